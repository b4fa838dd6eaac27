"""Online, mini-batch, full batch: steps, epochs, time and final loss against the batch size.

    python benchmarks/batch_choice.py [--tables wine,digits,diabetes] [--seeds 3]

One network with everything by default but the batch size; the rate is swept for each size (docs/batches.md). Trained
until the validation loss has been flat for a fifth of the epochs. Times are of the training alone, compiled before, and
divided by those of batches of 32. The loss is the test's: log-loss, or half the squared error over the variance.
"""

import argparse
import warnings

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from tables import load

from axonic import FeedForwardClassifier, FeedForwardRegressor

SIZES = (1, 8, 32, 128, 512, None)
BASE = 32


def measure(name: str, size: int | None, seed: int) -> tuple[float, float, float, float, float]:
    """(rate, steps, epochs, seconds, loss) of one fit; None takes all training rows as one batch."""
    x, y, task = load(name)
    stratify = y if task == "classification" else None
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor
    model = estimator(batch_size=size or len(x), ensemble=1, random_state=seed, monitor=False).fit(x, y)
    stage = model.notebook_[-1]
    if task == "classification":
        loss = log_loss(y_test, model.predict_proba(x_test))
    else:
        loss = 0.5 * float(np.mean((model.predict(x_test) - y_test) ** 2)) / float(np.var(y))
    return model.learning_rate_, stage["steps"][0], stage["epochs"][0], model._fitted.seconds["train"], loss


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", default="wine,digits,diabetes")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in options.tables.split(","):
        n = round(0.75 * 0.85 * len(load(name)[0]))
        found = {}
        for size in SIZES:
            if size is None or size < n:
                found[size] = np.array([measure(name, size, seed) for seed in range(options.seeds)])
        base = found[BASE][:, 3]
        rows = []
        for size, values in found.items():
            rate, steps, epochs, _, loss = np.median(values, axis=0)
            time = harness.figure(float(np.median(values[:, 3] / base)))
            rows.append([size or f"all ({n})", f"{rate:g}", f"{steps:.0f}", f"{epochs:.0f}", time, f"{loss:.4f}"])
        print(f"\n{name}, {n} training rows\n")
        print(harness.table(["batch size", "rate", "steps", "epochs", "time", "test loss"], rows), flush=True)


if __name__ == "__main__":
    main()
