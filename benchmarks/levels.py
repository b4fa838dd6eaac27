"""Slots of categories and of the cycles of dates: chosen by what the target shows, or by rows alone.

    python benchmarks/levels.py [--part levels|cycles] [--rows 1500 ...] [--seeds 1] [--processes 2]

*levels*: made tables of one category and three numbers, of which two act together. Levels are alike in frequency, or
fall as 1 / rank ("zipf"); their effects have a deviation of so many deviations of the noise. "by rows": a level has a
slot from ten training rows on (or among the 50 most frequent), and text most of whose rows have a level on fewer than
fifteen is left out. "by target": `axonic.data.encoding.statistics.n_levels`.

*cycles*: three numbers and a date whose months, weekdays and hours say nothing, or something in one of two groups
alone, with the opposite sign in the other. "alone": cycles between whose parts the target differs. "within": or within
the groups of another column (`axonic.data.encoding.statistics.fit_cycles`). "all": every cycle.

Shown is the root mean square error beyond the noise, or the log-loss, on 5,000 new rows; defaults of the estimators.
"""

import argparse
import functools
import itertools
import warnings
from concurrent.futures import ProcessPoolExecutor

import harness
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from axonic import FeedForwardClassifier, FeedForwardRegressor
from axonic.data import columns, encoding
from axonic.data.columns import RECURRING_ROWS
from axonic.data.encoding import statistics
from axonic.data.encoding.statistics import LEAST_LEVEL_ROWS, MEAN_LEVEL, column_groups

NEW = 5_000
MODULES = {"statistics": statistics, "columns": columns, "encoding": encoding}


def no_groups(*_):
    """In place of `column_groups`."""
    return []


def level_table(shape, rows_each, effect, rng, n):
    """Columns and the mean of the target of n + NEW rows."""
    n_levels = max(2, round(n / rows_each))
    share = 1 / np.arange(1, n_levels + 1) if shape == "zipf" else np.ones(n_levels)
    level = rng.choice(n_levels, n + NEW, p=share / share.sum())
    x = rng.normal(size=(n + NEW, 3))
    names = np.array([f"l{k}" for k in range(n_levels)])
    frame = pd.DataFrame(x, columns=list("abc")).assign(level=names[level])
    return frame, effect * rng.normal(size=n_levels)[level] + 0.7 * x[:, 0] + 0.7 * x[:, 1] * x[:, 2]


def date_table(said, rng, n):
    """As `level_table`, with a date that says nothing or something."""
    minutes = rng.integers(0, 2 * 365 * 24 * 60, n + NEW)
    date = pd.Timestamp("2021-01-01") + pd.to_timedelta(minutes, unit="min")
    x, group = rng.normal(size=(n + NEW, 3)), rng.integers(0, 2, n + NEW)
    frame = pd.DataFrame(x, columns=list("abc")).assign(group=np.array(["u", "v"])[group], date=date)
    wave = np.sin(2 * np.pi * date.day_of_week.to_numpy() / 7)
    return frame, said * wave * (2 * group - 1) + 0.7 * x[:, 0] + 0.7 * x[:, 1] * x[:, 2]


def loss(frame, mean, rng, n, classes):
    """Of the default network, trained on the first n rows."""
    if classes:
        y = (rng.random(len(mean)) < 1 / (1 + np.exp(-2 * mean))).astype(int)
        model = FeedForwardClassifier(monitor=False).fit(frame[:n], y[:n])
        return log_loss(y[n:], model.predict_proba(frame[n:]))
    y = mean + rng.normal(size=len(mean))
    model = FeedForwardRegressor(monitor=False).fit(frame[:n], y[:n])
    return float(np.sqrt(np.mean((model.predict(frame[n:]) - mean[n:]) ** 2)))


def measure(job):
    """The mean loss over the seeds under each variant."""
    make, variants, n, classes, seeds = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    found = []
    for variant in variants:
        for module, name, value in variant:
            setattr(MODULES[module], name, value)
        rngs = [np.random.default_rng(seed) for seed in range(seeds)]
        found.append(np.mean([loss(*make(rng, n), rng, n, classes) for rng in rngs]))
    return found


def main():
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=("levels", "cycles"))
    parser.add_argument("--rows", type=int, nargs="*", default=[1500])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    tasks = {"numbers": False, "classes": True}
    parts = {
        "levels": (
            ("by rows", "by target"),
            (
                (("statistics", "LEAST_LEVEL_ROWS", 10), ("columns", "RECURRING_ROWS", 15)),
                (("statistics", "LEAST_LEVEL_ROWS", LEAST_LEVEL_ROWS), ("columns", "RECURRING_ROWS", RECURRING_ROWS)),
            ),
            level_table,
            [("alike", "zipf"), (4, 8, 12, 25), (0.0, 0.3, 1.0, 3.0)],
        ),
        "cycles": (
            ("alone", "within", "all"),
            (
                (("statistics", "MEAN_LEVEL", MEAN_LEVEL), ("encoding", "column_groups", no_groups)),
                (("statistics", "MEAN_LEVEL", MEAN_LEVEL), ("encoding", "column_groups", column_groups)),
                (("statistics", "MEAN_LEVEL", np.inf), ("encoding", "column_groups", column_groups)),
            ),
            date_table,
            [(0.0, 1.0)],
        ),
    }
    for part, (names, variants, make, choices) in parts.items():
        if options.part not in (None, part):
            continue
        cases = list(itertools.product(options.rows, tasks, *choices))
        rows = []
        with ProcessPoolExecutor(options.processes) as pool:
            jobs = [
                (functools.partial(make, *case), variants, n, tasks[task], options.seeds) for n, task, *case in cases
            ]
            for case, losses in zip(cases, pool.map(measure, jobs), strict=True):
                rows.append([*map(str, case), *(f"{value:.3f}" for value in losses)])
                print(" | ".join(rows[-1]), flush=True)
        kinds = ["levels", "rows each", "effect"] if part == "levels" else ["said"]
        print(harness.table(["rows", "task", *kinds, *names], rows))


if __name__ == "__main__":
    main()
