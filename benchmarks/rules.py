"""Which learning rule suits which table: validation loss of whole fits with each rule, and what "auto" loses.

    python benchmarks/rules.py [--splits 2] [--rules momentum,adam,...] [--tables iris,...]

Every fit is the default one with another rule (five networks, the rate found by the sweep, l2 = 1 / n), on 80 % of the
rows. The validation loss is the mean of the networks' lowest ones. A cell is the loss over that of momentum; "auto" is
what `optimizer="auto"` ends with over the best single rule, the last column the rule it took in each split.
"""

import argparse
import time
import warnings

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import TABLES, all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor, optimizers
from axonic.errors import InputError


def fit(x, y, task: str, split: int, rule: str):
    """(validation loss, seconds, rule taken) of one fit; NaN where the rule can't work."""
    stratify = y if task == "classification" else None
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=split, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor
    model = estimator(optimizer=rule, l2=1 / len(x), random_state=split)
    begun = time.perf_counter()
    try:
        model.fit(x, y)
    except InputError:
        return np.nan, np.nan, ""
    taken = next((stage["decision"] for stage in model.notebook_ if stage["stage"] == "optimizer"), rule)
    run = next(stage for stage in model.notebook_ if stage["stage"] == "run")
    return float(np.mean(run["best_loss"])), time.perf_counter() - begun, taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--rules", default=",".join(optimizers.names()))
    parser.add_argument("--tables", default=",".join(TABLES))
    options = parser.parse_args()
    rules = options.rules.split(",")
    warnings.simplefilter("ignore", ConvergenceWarning)
    losses, seconds, rows = [], [], []
    for name, x, y, task in all_tables(options.tables.split(",")):
        fits = {rule: [fit(x, y, task, split, rule) for split in range(options.splits)] for rule in (*rules, "auto")}
        means = np.array([np.mean([loss for loss, _, _ in fits[rule]]) for rule in (*rules, "auto")])
        losses.append(means / means[rules.index("momentum")])
        seconds.append([np.median([spent for _, spent, _ in fits[rule]]) for rule in (*rules, "auto")])
        lost = means[-1] / np.nanmin(means[:-1]) - 1
        best = rules[int(np.nanargmin(means[:-1]))]
        row = [name, *(f"{ratio:.2f}" for ratio in losses[-1][:-1]), f"{lost:+.1%}", best]
        rows.append([*row, " ".join(taken for _, _, taken in fits["auto"])])
        print(" | ".join(rows[-1]), flush=True)
    means = np.exp(np.nanmean(np.log(losses), axis=0))
    times = np.array(seconds)
    times = np.exp(np.nanmean(np.log(times / times[:, [rules.index("momentum")]]), axis=0))
    rows.append(["geometric mean", *(f"{mean:.2f}" for mean in means[:-1]), "", "", ""])
    rows.append(["time", *(f"{each:.1f}" for each in times[:-1]), f"{times[-1]:.1f}", "", ""])
    print("\n" + harness.table(["table", *rules, "auto", "best", "auto took"], rows))


if __name__ == "__main__":
    main()
