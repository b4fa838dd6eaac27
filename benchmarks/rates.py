"""Which rate a sweep should settle on: rules compared by the test loss of a long run at the rate each of them takes.

    python benchmarks/rates.py [--optimizer momentum] [--seeds 3] [--tables iris,wine] [--save FILE | --load FILE]

On every table and seed, thirteen rates half a decade apart are swept as `axonic.recipe.rate_stage` does, and each then
trains one network to its end. A rule sees the training losses of the sweep, of all thirteen rates or of axonic's own
ones, and takes a rate. Its regret is the mean test loss over the seeds at the rates it took, less that of the one rate
that is best for the table in hindsight: log-loss, or squared error over the target's variance. Its epochs are given
over those of that rate. "More than axonic's" is the regret over that of axonic's own rule, with the standard error of
the mean over the tables. `--save` keeps the losses, so that other rules can be tried with `--load` without training.
"""

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
from quality import score
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import MORE, TABLES, all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor, recipe
from axonic.recipe.rate import corrected

RATES = tuple(10.0**power for power in np.linspace(1, -5, 13))
DECADES = [i for i, rate in enumerate(RATES) if np.isclose(rate, recipe.RATES).any()]
MOST_ROWS = {"randhie": 6000}
THREADS = 2
CALM, HALF = 0.05, 0.5

Rule = Callable[[Sequence[float], np.ndarray], int]


class Run(NamedTuple):
    """One table and seed: the training losses of the sweep (rates, windows), and of the long run at each rate the test
    loss and the epochs."""

    table: str
    seed: int
    curves: list[list[float]]
    test: list[float]
    epochs: list[int]


def measure(table: str, x: Any, y: Any, task: str, seed: int, optimizer: str) -> Run:
    """Sweep, and train at every rate."""
    stratify = y if task == "classification" else None
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor
    scale = 1.0 if task == "classification" else float(np.var(y_test))

    def long_run(rate: float) -> tuple[float, int]:
        model = estimator(learning_rate=rate, ensemble=1, optimizer=optimizer, random_state=seed).fit(x_train, y_train)
        loss = score(model, task, x_test, y_test)
        return (loss if task == "classification" else loss**2 / scale), model.n_iter_

    swept = estimator(epochs=1, ensemble=1, optimizer=optimizer, random_state=seed).fit(x_train, y_train)
    stage = swept.notebook_[0]
    untrained = stage["untrained"] and np.array(stage["untrained"])
    curves = corrected(np.array([stage["train"][stage["rates"].index(rate)] for rate in RATES]), untrained)  # or wider
    with ThreadPoolExecutor(THREADS) as pool:
        test, epochs = zip(*pool.map(long_run, RATES), strict=True)
    return Run(table, seed, curves.tolist(), list(test), list(epochs))


def ends(curves: np.ndarray) -> np.ndarray:
    """The loss at the end of the sweep: the median of the last quarter of the windows."""
    return np.median(curves[:, -max(1, curves.shape[1] // 4) :], axis=1)


def nearest(rates: Sequence[float], rate: float) -> int:
    """The index of the rate that is nearest by its logarithm."""
    return int(np.argmin(np.abs(np.log(rates) - np.log(rate))))


def least(rates: Sequence[float], curves: np.ndarray) -> int:
    """The sweep's rule: the lowest rate that has learned nearly as much as the best."""
    return recipe.choose_rate(rates, curves)[0]


def half_decade_below(rates: Sequence[float], curves: np.ndarray) -> int:
    """That rule on the decades, and again with the rate half a decade below its choice."""
    choice = DECADES[least([rates[i] for i in DECADES], curves[DECADES])]
    grid = sorted({*DECADES, min(choice + 1, len(rates) - 1)})
    return grid[least([rates[i] for i in grid], curves[grid])]


def lowest(rates: Sequence[float], curves: np.ndarray) -> int:  # noqa: ARG001
    """The rate of the lowest loss."""
    return int(np.argmin(ends(curves)))


def decade_below_lowest(rates: Sequence[float], curves: np.ndarray) -> int:
    """A tenth of the rate of the lowest loss."""
    return nearest(rates, rates[lowest(rates, curves)] / 10)


def calm(rates: Sequence[float], curves: np.ndarray) -> int:
    """The highest rate whose loss rises in at most 5 % of the windows and has come down at least half as far as the
    lowest one."""
    last = ends(curves)
    with np.errstate(invalid="ignore"):
        rises = np.mean(~(np.diff(curves, axis=1) <= 0), axis=1)
    learned = last <= last.min() + HALF * (curves[-1, 0] - last.min())
    found = np.flatnonzero((rises <= CALM) & learned)
    return int(found[0]) if len(found) else lowest(rates, curves)


def valley(depth: float) -> Rule:
    """fastai's `lr_find`: find the longest falling sequence of losses over the rising rates (steps back in between are
    passed over), and take the rate `depth` of its length after its start; fastai's code does with 1/2."""

    def choose(rates: Sequence[float], curves: np.ndarray) -> int:
        losses = ends(curves)[::-1]
        finite = np.isfinite(losses)
        losses = losses if finite.all() else losses[: int(np.argmin(finite))]
        lengths: list[int] = []
        for i, loss in enumerate(losses):
            lengths.append(1 + max((lengths[j] for j in range(i) if losses[j] > loss), default=0))
        end = int(np.argmax(lengths)) if lengths else 0
        start = end - lengths[end] if end else 0
        return len(rates) - 1 - (start + int((end - start) * depth))

    return choose


def fixed(rate: float) -> Rule:
    """Always the same rate."""
    return lambda rates, curves: nearest(rates, rate)


SWEPT: dict[str, Rule] = {
    "lowest loss": lowest,
    "a decade below the lowest loss": decade_below_lowest,
    "highest calm one": calm,
    "fastai's valley, 1/2": valley(1 / 2),
    "fastai's valley, 2/3": valley(2 / 3),
}
FIXED: dict[str, Rule] = {f"always {rate:g}": fixed(rate) for rate in (0.1, 0.03, 0.01, 0.001)}


def picks(rule: Rule, grid: Sequence[int], runs: Sequence[Run]) -> list[int]:
    """The index among all thirteen rates that a rule takes in each run, from those of the grid."""
    rates = [RATES[i] for i in grid]
    curves = [np.array(run.curves, float)[grid] for run in runs]
    return [grid[rule(rates, np.where(np.isfinite(each), each, np.inf))] for each in curves]


def report(runs: Sequence[Run]) -> str:
    """The tables: rates by table, and rules."""
    by_table = {name: [run for run in runs if run.table == name] for name in dict.fromkeys(run.table for run in runs)}
    test = {name: np.array([run.test for run in each]) for name, each in by_table.items()}
    epochs = {name: np.array([run.epochs for run in each]) for name, each in by_table.items()}
    best = {name: int(np.argmin(each.mean(axis=0))) for name, each in test.items()}

    def judge(rule: Rule, grid: Sequence[int]) -> tuple[np.ndarray, float, str]:
        regrets, log_epochs = [], []
        (usual, times), *_ = Counter(picks(rule, grid, runs)).most_common(1)
        for name, each in by_table.items():
            rows, taken = range(len(each)), picks(rule, grid, each)
            regrets.append(test[name][rows, taken].mean() - test[name][:, best[name]].mean())
            log_epochs.append(np.log(epochs[name][rows, taken].mean() / epochs[name][:, best[name]].mean()))
        return np.array(regrets), float(np.exp(np.mean(log_epochs))), f"{RATES[usual]:.2g} in {times} of {len(runs)}"

    everything = list(range(len(RATES)))
    rules = [("axonic's", DECADES, least, "6"), ("and half a decade below", everything, half_decade_below, "7")]
    rules += [(name, DECADES, rule, "6") for name, rule in SWEPT.items()]
    rules += [(name, everything, rule, "13") for name, rule in ({"axonic's": least} | SWEPT).items()]
    rules += [(name, everything, rule, "") for name, rule in FIXED.items()]
    reference, *_ = judge(least, DECADES)
    lines = []
    for name, grid, rule, swept in rules:
        regrets, times, usual = judge(rule, grid)
        more = regrets - reference
        error = np.std(more, ddof=1) / np.sqrt(len(more)) if len(more) > 1 else np.nan
        worst = f"{regrets.max():.3f} {list(by_table)[int(np.argmax(regrets))]}"
        against = "" if not lines else f"{more.mean():+.4f} ± {error:.4f}"
        lines.append([name, swept, f"{regrets.mean():.4f}", worst, against, harness.figure(times), usual])

    middle = slice(DECADES[1], DECADES[-1] + 1)
    losses = [
        [name, f"{RATES[best[name]]:.2g}", *(f"{loss:.3f}" for loss in each.mean(axis=0)[middle])]
        for name, each in test.items()
    ]
    rates = ["test loss at rate", "best", *(f"{rate:.2g}" for rate in RATES[middle])]
    header = ["rule", "rates swept", "mean regret", "worst table", "more than axonic's", "epochs", "taken most"]
    return f"{harness.table(rates, losses)}\n\n{harness.table(header, lines)}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--optimizer", default="momentum")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tables", default=",".join(TABLES + MORE))
    parser.add_argument("--save", type=Path, help="write the losses to this file")
    parser.add_argument("--load", type=Path, help="take the losses from this file and train nothing")
    options = parser.parse_args()
    if options.load:
        runs = [Run(**run) for run in json.loads(options.load.read_text())]
    else:
        warnings.simplefilter("ignore", ConvergenceWarning)
        recipe.fitting.rate_stage = lambda member, watcher, n_steps: recipe.rate_stage(member, watcher, RATES)
        runs = []
        for name, x, y, task in all_tables(options.tables.split(",")):
            x, y = x[: MOST_ROWS.get(name)], y[: MOST_ROWS.get(name)]
            runs += [measure(name, x, y, task, seed, options.optimizer) for seed in range(options.seeds)]
            if options.save:
                options.save.write_text(json.dumps([run._asdict() for run in runs]))
    print(report(runs))


if __name__ == "__main__":
    main()
