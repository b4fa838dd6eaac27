"""What it gains that the sweep of rates looks no further than a run of few epochs will go.

    python few_epochs.py [--splits 2] [--tables iris,...] [--epochs 3,20,100] [--optimizers momentum,...]

Each rule trains for so many epochs at the rate that a sweep of 300 steps takes, and at that of a sweep that looks no
further than the run (`axonic.recipe.sweep_steps`). A cell is the geometric mean over the tables of the ratio of test
losses (log-loss, or squared error over the target's variance; means of the splits), the second over the first, and on
how many tables it is lower and higher.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import TABLES, all_tables, loss_of

import axonic
from axonic.recipe import fitting, sweep_steps
from axonic.recipe.rate import SWEEP_STEPS

MOST = 2000
FLOOR = 1e-3
"""Losses are compared no further down than this."""


def measure(job: tuple[str, str, int, int]) -> tuple[float, float]:
    """Test losses after a sweep of `SWEEP_STEPS`, and after one that looks no further than the run."""
    name, rule, n_epochs, split = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    ((_, x, y, task),) = all_tables([name])
    x, x_test, y, y_test = train_test_split(x[:MOST], y[:MOST], random_state=split)
    losses = []
    for steps in (lambda *_: SWEEP_STEPS, sweep_steps):
        fitting.sweep_steps = steps
        kind = axonic.FeedForwardRegressor if task == "regression" else axonic.FeedForwardClassifier
        model = kind(optimizer=rule, epochs=n_epochs, random_state=split).fit(x, y)
        losses.append(loss_of(model, x_test, y_test))
    return losses[0], losses[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--epochs", default="3,20,100")
    parser.add_argument("--optimizers", default="momentum,adam,gd,adaptive_gain")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names, rules, counts = (text.split(",") for text in (options.tables, options.optimizers, options.epochs))
    jobs = [(n, rule, int(c), s) for rule in rules for c in counts for n in names for s in range(options.splits)]
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        results = pool.map(measure, jobs)
        for rule in rules:
            rows.append([rule])
            for _ in counts:
                found = [[next(results) for _ in range(options.splits)] for _ in names]
                before, after = np.maximum(np.mean(found, axis=1), FLOOR).T
                lower, higher = int((after < before).sum()), int((after > before).sum())
                rows[-1].append(f"{np.exp(np.log(after / before).mean()):.2f} ({lower}, {higher})")
            print(" | ".join(rows[-1]), flush=True)
    print(harness.table(["rule", *(f"{count} epochs" for count in counts)], rows))


if __name__ == "__main__":
    main()
