"""Tables of few kinds of rows: equal rows merged into one that weighs as much, or kept apart.

    python duplicates.py [--seeds 4]

Rows are drawn from so many columns of so many values each; classes and counts have known probabilities and means. A
cell is the mean over the seeds of what the networks lose against knowing them, in nats a row, on 4,000 other rows: with
equal rows merged always, kept apart always, and as the estimators do (`axonic.estimators.base.KINDS`). Copies is how
often a kind of row, with its target, is there on average.
"""

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning

import axonic
from axonic.data.duplicates import of_few_kinds
from axonic.estimators import base

TABLES = ((3, 2), (3, 3), (2, 6), (4, 4), (3, 6), (5, 5), (10, 5))
"""Values of each column, and columns."""
ROWS = (300, 1500)
WAYS = (np.inf, 0, base.KINDS)


def draw(levels: int, columns: int, n: int, seed: int):
    """(rows, values from -2 to 2 or so that classes and counts depend on)."""
    rng = np.random.default_rng(seed)
    effects = rng.standard_normal((columns, levels))
    rows = rng.integers(0, levels, (n + 4000, columns))
    f = effects[np.arange(columns), rows].sum(axis=1) + 1.5 * (rows[:, 0] == rows[:, 1])
    return rows.astype(float), (f - f.mean()) / f.std()


def measure(job: tuple[int, int, int, bool, int]) -> tuple[list[float], float]:
    """(What is lost in each way, copies)."""
    levels, columns, n, counts, seed = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    x, f = draw(levels, columns, n, seed)
    rng = np.random.default_rng(1000 + seed)
    found = []
    means = np.exp(f / 2) if counts else 1 / (1 + np.exp(-1.5 * f))
    y = rng.poisson(means).astype(float) if counts else rng.binomial(1, means)
    copies = n / len(np.unique(np.c_[x[:n], y[:n]], axis=0))
    for kinds in WAYS:
        base.KINDS = kinds
        base.of_few_kinds = (lambda *_: True) if kinds == 0 else of_few_kinds
        if counts:
            model = axonic.FeedForwardRegressor(loss="poisson", random_state=seed, monitor=False).fit(x[:n], y[:n])
            own = np.maximum(model.predict(x[n:]), 1e-9)
            found.append(float(np.mean(own - means[n:] + means[n:] * np.log(means[n:] / own))))
        else:
            model = axonic.FeedForwardClassifier(random_state=seed, monitor=False).fit(x[:n], y[:n])
            own = np.clip(model.predict_proba(x[n:])[:, 1], 1e-9, 1 - 1e-9)
            p = means[n:]
            found.append(float(np.mean(p * np.log(p / own) + (1 - p) * np.log((1 - p) / (1 - own)))))
    return found, copies


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    kinds = [(levels, columns, n, counts) for n in ROWS for levels, columns in TABLES for counts in (False, True)]
    rows = []
    with ProcessPoolExecutor(options.processes) as pool:
        results = pool.map(measure, [(*kind, seed) for kind in kinds for seed in range(options.seeds)])
        for levels, columns, n, counts in kinds:
            found, copies = zip(*(next(results) for _ in range(options.seeds)), strict=True)
            merged, apart, own = np.mean(found, axis=0)
            name = f"{levels}^{columns}, {n} rows, {'counts' if counts else 'classes'}"
            rows.append([name, f"{np.mean(copies):.1f}", f"{merged:.4f}", f"{apart:.4f}", f"{own:.4f}"])
            print(" | ".join(rows[-1]), flush=True)
    rows.sort(key=lambda row: float(row[1]))
    print(harness.table(["table", "copies", "merged", "kept apart", "as it is"], rows))


if __name__ == "__main__":
    main()
