"""What it gains that networks with few validation rows have a say in each other's epochs.

    python benchmarks/few_rows.py [--rows 100] [--splits 5] [--tables iris,...] [--sequences BasicMotions,...] [--full]

So many rows of each table are trained on, with default settings and a sixth or so of them held out by each of the
five networks, and up to 2,000 others are the test. Sequences are those of `sequence_choices.py`, one seed for each
split. `--full` is `recipe="full"`, with branches. A cell is the mean test loss (log-loss, or squared error over the
target's variance) with each network's own epochs and with those that all have a say in; "over" is the geometric mean of
the ratios.
"""

import argparse
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import harness
import numpy as np
from sequence_choices import load
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import MORE, TABLES, all_tables, loss_of

import axonic
from axonic.recipe import epochs

MOST = 2000
FLOOR = 1e-3
"""Losses are compared no further down than this."""


def data(name: str, n_rows: int, split: int):
    """(kind of estimator, (inputs, targets) to train on, and to test on)."""
    if name in (*TABLES, *MORE):
        ((_, x, y, task),) = all_tables([name])
        stratify = y if task == "classification" else None
        x, x_test, y, y_test = train_test_split(x, y, train_size=n_rows, random_state=split, stratify=stratify)
        return "FeedForward", (x, y), (x_test[:MOST], y_test[:MOST])
    train, test = load(name, split)
    return "Recurrent", train, test


def measure(job: tuple[str, int, int, int, str | None]) -> tuple[float, float]:
    """(test loss, seconds) of a fit."""
    name, n_rows, split, few, recipe = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    epochs.FEW_ROWS = few
    kind, (x, y), (x_test, y_test) = data(name, n_rows, split)
    numbers = np.asarray(y).dtype.kind == "f"
    model = getattr(axonic, kind + ("Regressor" if numbers else "Classifier"))(random_state=split, recipe=recipe)
    begun = time.perf_counter()
    model.fit(x, y)
    seconds = time.perf_counter() - begun
    return loss_of(model, x_test, y_test), seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--tables", default=",".join((*TABLES, *MORE)))
    parser.add_argument("--sequences", default="")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    recipe = "full" if options.full else None
    names = [name for name in (*options.tables.split(","), *options.sequences.split(",")) if name]
    choices = (0, epochs.FEW_ROWS)
    jobs = [(name, options.rows, s, few, recipe) for name in names for s in range(options.splits) for few in choices]
    logs, times, rows = [], [], []
    with ProcessPoolExecutor(options.processes) as pool:
        results = pool.map(measure, jobs)
        for name in names:
            found = np.array([[next(results) for _ in choices] for _ in range(options.splits)])
            own, shared = found[..., 0].mean(axis=0)
            logs.append(np.log(max(shared, FLOOR) / max(own, FLOOR)))
            times.append(np.log(found[:, 1, 1] / found[:, 0, 1]).mean())
            won = int((found[:, 1, 0] < found[:, 0, 0]).sum())
            rows.append([name, f"{own:.4f}", f"{shared:.4f}", f"{shared / own:.2f}", f"{won}/{options.splits}"])
            print(" | ".join(rows[-1]), flush=True)
    middle, error = np.exp(np.mean(logs)), np.std(logs, ddof=1) / len(logs) ** 0.5 if len(logs) > 1 else 0.0
    over = f"{middle:.3f} ± {middle * error:.3f}"
    rows.append(["over", "", "", over, f"time {np.exp(np.mean(times)):.2f}"])
    print(harness.table(["set", "own epochs", "with a say", "ratio", "lower"], rows))


if __name__ == "__main__":
    main()
