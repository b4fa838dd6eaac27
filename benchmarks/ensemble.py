"""What several networks, the penalty and refitting give: test losses and times of fits that differ in these alone.

    python benchmarks/ensemble.py [--splits 8] [--tables iris,wine]

The penalty is l2 = c / n for n training rows. "c chosen" is by the validation loss from `axonic.recipe.PENALTIES`,
unless the table is too large for it; five with c chosen is the default. Each network holds out validation rows of its
own, or all the same ones where it says "on one split". "Refitted" are five trained afresh, on training and validation
rows, for the median of the default's best epochs; their time includes the default's. The loss is the log-loss, or the
root mean squared error. Times are compared within a split, where the fits follow one another; compilation is apart.

The last tables are of sets of c: the five networks of the c of the set with the lowest mean validation loss. Their time
is the sum over the set, each c fitted by itself, and 1 with the sweep of the rate.
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest import mock

import harness
import numpy as np
from quality import score
from rates import MOST_ROWS
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from tables import MORE, TABLES, all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor, recipe

MOST_SPLITS = {"mnist_5k": 2, "randhie": 2}
FITS = (
    "one, c = 0",
    "one, c = 1",
    "five on one split, c = 1",
    "five, c = 1",
    "five, c chosen",
    "ten, c chosen",
    "five refitted",
)
DEFAULT = "five, c chosen"
OTHERS = ((1.0,), (4.0,), (0.25,), (0.0,), (1.0, 4.0), (1.0, 0.25), (1.0, 4.0, 0.25), (1.0, 4.0, 0.0))
SETS = tuple(dict.fromkeys((*OTHERS, recipe.PENALTIES)))


class Outcome(NamedTuple):
    """Of one fit: the loss on the test rows, the mean validation loss of its networks (NaN: nothing held out), and the
    seconds."""

    test: float
    valid: float
    seconds: float


class Split(NamedTuple):
    """What came out of one split: by name in `FITS`, and of five networks by c (empty where c is not chosen)."""

    fits: dict[str, Outcome]
    by_penalty: dict[float, Outcome]


def measure(x: Any, y: Any, task: str, split: int, *, warm: bool) -> Split:
    """Fit everything on one split; `warm` is whether the programs have been compiled before."""
    stratify = y if task == "classification" else None
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=split, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor

    def fit(**settings: Any) -> tuple[Any, Outcome]:
        seconds, model = harness.timed(lambda: estimator(random_state=split, **settings).fit(x_train, y_train))
        valid = float(np.mean(model.notebook_[-1]["best_loss"]))
        return model, Outcome(score(model, task, x_test, y_test), valid, seconds)

    if not warm:
        for early_stopping in (True, False):
            fit(epochs=1, early_stopping=early_stopping)
    _, none = fit(ensemble=1, regularization=None)
    one, alone = fit(ensemble=1)
    n = 1 / one.l2_
    with mock.patch.object(recipe, "resplit", lambda split, *_: split):
        _, same = fit(ensemble=5, l2=1 / n)
    _, five = fit(ensemble=5, l2=1 / n)
    model, default = fit()
    _, ten = fit(ensemble=10)

    given = {"ensemble": 5, "learning_rate": model.learning_rate_}
    epochs = max(1, int(np.median(model.notebook_[-1]["decision"])))
    _, refit = fit(**given, l2=model.l2_, epochs=epochs, early_stopping=False)
    refit = refit._replace(seconds=default.seconds + refit.seconds)

    by_penalty = {}
    if any(stage["stage"] == "regularization" for stage in model.notebook_):
        more = sorted({c for each in SETS for c in each} - {1.0})
        by_penalty = {c: fit(**given, l2=c / n, regularization="auto" if c else None)[1] for c in more}
        by_penalty[1.0] = five
    return Split(dict(zip(FITS, (none, alone, same, five, default, ten, refit), strict=True)), by_penalty)


def chosen(by_penalty: dict[float, Outcome], candidates: Sequence[float]) -> float:
    """The c with the lowest validation loss."""
    return min(candidates, key=lambda c: by_penalty[c].valid)


def together(by_penalty: dict[float, Outcome], candidates: Sequence[float]) -> Outcome:
    """The fit that chooses among the candidates."""
    outcome = by_penalty[chosen(by_penalty, candidates)]
    return outcome._replace(seconds=sum(by_penalty[c].seconds for c in candidates))


def ratios(ours: list[list[Outcome]], theirs: list[list[Outcome]]) -> tuple[np.ndarray, np.ndarray]:
    """By table, the ratio of the mean test losses, and the median ratio of the seconds."""
    pairs = list(zip(ours, theirs, strict=True))
    losses = [np.mean([each.test for each in a]) / np.mean([each.test for each in b]) for a, b in pairs]
    times = [harness.Ratio.of([e.seconds for e in a], [e.seconds for e in b]).middle for a, b in pairs]
    return np.array(losses), np.array(times)


def geometric(values: np.ndarray) -> str:
    """The geometric mean and its standard error."""
    logs = np.log(values)
    error = np.std(logs, ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else np.nan
    return f"{np.exp(logs.mean()):.3f} ± {np.exp(logs.mean()) * error:.3f}"


def worst(values: np.ndarray, names: Sequence[str]) -> str:
    """The highest one."""
    return f"{values.max():.2f} {names[int(np.argmax(values))]}"


def report(results: dict[str, list[Split]]) -> str:
    """The tables."""
    names = list(results)
    fits = {fit: [[split.fits[fit] for split in splits] for splits in results.values()] for fit in FITS}
    lines = []
    for fit in FITS:
        losses, times = ratios(fits[fit], fits[FITS[0]])
        against = "" if fit == DEFAULT else geometric(ratios(fits[fit], fits[DEFAULT])[0])
        seconds = harness.figure(float(np.exp(np.log(times).mean())))
        lines.append([fit, geometric(losses), worst(losses, names), against, seconds, worst(times, names)])
    header = ["fit", f"loss over that of {FITS[0]}", "worst table", "over the default's", "time", "longest"]
    tables = [harness.table(header, lines)]

    choosing = {name: splits for name, splits in results.items() if all(split.by_penalty for split in splits)}
    if not choosing:
        return tables[0]
    names = list(choosing)
    sets = {c: [[together(split.by_penalty, c) for split in splits] for splits in choosing.values()] for c in SETS}
    labels = [", ".join(f"{c:g}" for c in candidates) for candidates in SETS]
    by_table = [
        [name, *(f"{np.mean([each.test for each in outcomes[i]]):.4f}" for outcomes in sets.values())]
        for i, name in enumerate(names)
    ]
    tables.append(harness.table(["test loss of five, c of", *labels], by_table))
    lines = []
    for label, (candidates, outcomes) in zip(labels, sets.items(), strict=True):
        losses, times = ratios(outcomes, sets[SETS[0]])
        against = "" if candidates == recipe.PENALTIES else geometric(ratios(outcomes, sets[recipe.PENALTIES])[0])
        taken = Counter(chosen(split.by_penalty, candidates) for splits in choosing.values() for split in splits)
        how_often = ", ".join(f"{taken[c]}" for c in candidates)
        seconds = harness.figure(float(np.exp(np.log(times).mean())))
        lines.append([label, geometric(losses), worst(losses, names), against, how_often, seconds, worst(times, names)])
    header = ["c of", "loss over that of c = 1", "worst table", "over the default's", "splits", "time", "longest"]
    tables.append(harness.table(header, lines))
    return "\n\n".join(tables)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--tables", default=",".join(TABLES + MORE))
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    results = {}
    print(harness.table(["test loss", *FITS], []), flush=True)
    for name, x, y, task in all_tables(options.tables.split(",")):
        x, y = x[: MOST_ROWS.get(name)], y[: MOST_ROWS.get(name)]
        n_splits = min(options.splits, MOST_SPLITS.get(name, options.splits))
        results[name] = [measure(x, y, task, split, warm=split > 0) for split in range(n_splits)]
        means = [np.mean([split.fits[fit].test for split in results[name]]) for fit in FITS]
        print(f"| {name} | {' | '.join(f'{mean:.4f}' for mean in means)} |", flush=True)
    print(f"\n{report(results)}")


if __name__ == "__main__":
    main()
