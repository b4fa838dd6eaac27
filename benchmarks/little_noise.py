"""Where long runs end and how low the penalty goes, on functions with little noise and on tables with much.

    python little_noise.py [--splits 3] [--sets smooth,...] [--variants now,...] [--processes 2]

Each variant is the defaults with other constants of the recipe: by what share of itself a loss of numbers must fall at
most to go on (`axonic.recipe.networks.NUMBERS_GAIN`), whether a penalty below .25 / n is tried
(`axonic.recipe.penalty.WORTH_LOWERING`), and how many times as long a loss may be flat that is that of a constant
(`axonic.recipe.networks.ON_PLATEAU`). A cell is the mean test loss
(log-loss, or squared error over the target's variance) of the splits over that of the first variant, and the time over
its time.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import harness
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import TABLES, all_tables, loss_of

import axonic
from axonic.recipe import networks, penalty

FLOOR = 1e-4
"""Losses are compared no further down than this."""


def function(
    n: int, width: int, values: Callable[[np.ndarray], np.ndarray], noise: float
) -> Callable[[int], tuple[Any, ...]]:
    """n rows of a function of numbers between -1 and 1, with noise of so many deviations, and 2,000 without."""

    def draw(seed: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (n + 2000, width))
        y = values(x)
        noisy = y + noise * y.std() * rng.standard_normal(len(y))
        return x[:n], noisy[:n], x[n:], y[n:]

    return draw


def spirals(seed: int) -> tuple[Any, ...]:
    """Two arms of a spiral, 400 rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 2400)
    t = rng.uniform(0.5, 3, 2400) * np.pi
    x = (t * np.array([np.cos(t + np.pi * y), np.sin(t + np.pi * y)])).T / 9 + 0.02 * rng.standard_normal((2400, 2))
    return x[:400], y[:400], x[400:], y[400:]


FUNCTIONS = {
    "line": function(160, 1, lambda x: x[:, 0], 0.03),
    "line of 5": function(300, 5, lambda x: x @ [1.0, -2, 0.5, 0, 3], 0.03),
    "noisy line of 5": function(300, 5, lambda x: x @ [1.0, -2, 0.5, 0, 3], 1.0),
    "smooth": function(400, 1, lambda x: np.sin(2 * x[:, 0]) + 0.3 * x[:, 0], 0.01),
    "smooth of 2": function(800, 2, lambda x: np.sin(2 * x[:, 0]) * np.exp(-x[:, 1]), 0.01),
    "product": function(600, 3, lambda x: x[:, 0] * x[:, 1] + x[:, 2], 0.03),
    "waves": function(1000, 1, lambda x: np.sin(20 * x[:, 0]), 0.05),
    "waves of 2": function(1500, 2, lambda x: np.sin(6 * x[:, 0]) * np.cos(6 * x[:, 1]), 0.05),
    "3 of 50": function(1000, 50, lambda x: np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2], 0.1),
    "10 columns": function(2000, 10, lambda x: np.tanh(x @ np.linspace(-1, 1, 10)) + x[:, 0] ** 2, 0.02),
    "steps": function(800, 2, lambda x: np.floor(2 * x[:, 0]) + (x[:, 1] > 0.3), 0.05),
    "spirals": spirals,
}
VARIANTS = {
    "as it was": (1.0, np.inf, 1),
    "10 %": (0.1, np.inf, 1),
    "5 %": (0.05, np.inf, 1),
    "lower c": (1.0, 0.05, 1),
    "plateaus": (1.0, np.inf, 5),
    "10 %, lower c, plateaus": (0.1, 0.05, 5),
    "5 %, lower c, plateaus": (0.05, 0.05, 5),
    "as it is": None,
}


def data(name: str, seed: int) -> tuple[Any, ...]:
    """(inputs, targets) to train on and to test on."""
    if name in FUNCTIONS:
        return FUNCTIONS[name](seed)
    ((_, x, y, task),) = all_tables([name])
    x, x_test, y, y_test = train_test_split(x, y, random_state=seed, stratify=y if task == "classification" else None)
    return x, y, x_test, y_test


def measure(job: tuple[str, str, int]) -> tuple[float, float]:
    """(test loss, seconds) of a fit."""
    name, variant, seed = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    if (values := VARIANTS[variant]) is not None:
        networks.NUMBERS_GAIN, penalty.WORTH_LOWERING, networks.ON_PLATEAU = values
    x, y, x_test, y_test = data(name, seed)
    numbers = np.asarray(y).dtype.kind == "f"
    model = (axonic.FeedForwardRegressor if numbers else axonic.FeedForwardClassifier)(random_state=seed)
    model.set_params(epochs=2).fit(x, y)  # compiles
    begun = time.perf_counter()
    model.set_params(epochs="auto").fit(x, y)
    seconds = time.perf_counter() - begun
    return loss_of(model, x_test, y_test), seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--sets", default=",".join((*FUNCTIONS, *TABLES)))
    parser.add_argument("--variants", default="; ".join(VARIANTS), help="with a semicolon and a blank between them")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    names, variants = options.sets.split(","), options.variants.split("; ")
    seeds = range(options.first, options.first + options.splits)
    rows, logs = [], []
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        results = pool.map(measure, [(name, variant, s) for name in names for variant in variants for s in seeds])
        for name in names:
            found = np.array([[next(results) for _ in seeds] for _ in variants])
            losses, seconds = found[..., 0].mean(axis=1), found[..., 1]
            losses = np.maximum(losses, FLOOR)
            times = np.exp(np.log(seconds / seconds[0]).mean(axis=1))
            logs.append(np.log([losses / losses[0], times]))
            cells = [f"{ratio:.2f} ({t:.1f})" for ratio, t in zip(losses / losses[0], times, strict=True)]
            rows.append([name, f"{losses[0]:.4f}, {np.median(seconds[0]):.1f} s", *cells])
            print(" | ".join(rows[-1]), flush=True)
    for label, part in (("functions", FUNCTIONS), ("tables", TABLES)):
        chosen = [log for name, log in zip(names, logs, strict=True) if name in part]
        if chosen:
            ratios, times = np.exp(np.mean(chosen, axis=0))
            rows.append([label, "", *(f"{r:.2f} ({t:.1f})" for r, t in zip(ratios, times, strict=True))])
    print(harness.table(["set", "loss", *variants], rows))


if __name__ == "__main__":
    main()
