"""Does regularization pay on small noisy tables? Test losses of five averaged networks that differ in it alone.

    python benchmarks/regularization.py [--splits 5] [--tables wine,cars]

Ten tables of 60 to 500 training rows: parts of real ones, and three generated ones with noise. "none" has early
stopping and the averaging, as all others but "one network", which has early stopping alone. A choice among several
takes the one whose five networks have the lowest mean validation loss, as `regularization="auto"` does. The loss is the
log-loss, or half the mean squared error in units of the target's variance, so that ratios mean the same for both.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import harness
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from tables import load

from axonic import FeedForwardClassifier, FeedForwardRegressor

ROWS = {
    "iris": 60,
    "wine": 90,
    "penguins": 120,
    "barley": 80,
    "breast_cancer": 150,
    "diabetes": 300,
    "cars": 250,
    "noisy_sine": 100,
    "noisy_classes": 200,
    "many_columns": 500,
}
"""Training rows of each table; the others are the test."""
TEST_ROWS = 1000
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "one network": {"ensemble": 1},
    "L2 1/n": {"l2": 1.0},
    "L2 1/4n": {"l2": 0.25},
    "L2 4/n": {"l2": 4.0},
    "dropout .2": {"dropout": 0.2},
    "dropout .2, L2 1/n": {"dropout": 0.2, "l2": 1.0},
    "input noise .2": {"input_noise": 0.2},
    "input noise .2, L2 1/4n": {"input_noise": 0.2, "l2": 0.25},
    "input noise .1, L2 1/4n": {"input_noise": 0.1, "l2": 0.25},
    "mixup .2": {"mixup": 0.2},
    "average .99": {"weight_average": 0.99},
    "max-norm 2": {"max_norm": 2.0},
}
"""`l2` in units of one over the training rows."""
SETS = {
    "L2 of 1, 1/4 (auto as it is)": ("L2 1/n", "L2 1/4n"),
    "L2 of 1, 4, 1/4": ("L2 1/n", "L2 1/4n", "L2 4/n"),
    "L2 of 1, 1/4, or dropout with L2 1/n": ("L2 1/n", "L2 1/4n", "dropout .2, L2 1/n"),
    "L2 of 1, 1/4, or input noise": ("L2 1/n", "L2 1/4n", "input noise .2"),
    "L2 of 1, 1/4, or input noise with L2 1/4n": ("L2 1/n", "L2 1/4n", "input noise .2, L2 1/4n"),
    "L2 of 1/4, or input noise with it": ("L2 1/4n", "input noise .2, L2 1/4n"),
    "L2 of 1/4, or input noise alone": ("L2 1/4n", "input noise .2"),
    "L2 of 1, 4, 1/4, dropout with L2 1/n, input noise": (
        *("L2 1/n", "L2 1/4n", "L2 4/n"),
        *("dropout .2, L2 1/n", "input noise .2"),
    ),
    "all": tuple(OPTIONS),
}


class Outcome(NamedTuple):
    """Of one fit: the test loss, the mean validation loss of its networks, the seconds."""

    test: float
    valid: float
    seconds: float


def generated(name: str) -> tuple[pd.DataFrame, pd.Series, str]:
    """Tables whose noise is known."""
    rng = np.random.default_rng(7)
    n = ROWS[name] + TEST_ROWS
    if name == "noisy_sine":
        x = rng.uniform(-2, 2, (n, 3))
        y = np.sin(2 * x[:, 0]) + 0.5 * x[:, 1] + 0.5 * rng.standard_normal(n)
        return pd.DataFrame(x), pd.Series(y), "regression"
    if name == "noisy_classes":
        x = rng.standard_normal((n, 8))
        score = x[:, 0] * x[:, 1] + x[:, 2] + 0.7 * rng.logistic(size=n)
        return pd.DataFrame(x), pd.Series((score > 0).astype(int)), "classification"
    x = rng.standard_normal((n, 40))
    y = x[:, :5].sum(axis=1) + np.abs(x[:, 5]) + 2.0 * rng.standard_normal(n)
    return pd.DataFrame(x), pd.Series(y), "regression"


def measure(x: Any, y: Any, task: str, rows: int, split: int) -> dict[str, Outcome]:
    """Every option on one split."""
    stratify = y if task == "classification" else None
    x_train, x_test, y_train, y_test = train_test_split(x, y, train_size=rows, random_state=split, stratify=stratify)
    estimator = FeedForwardClassifier if task == "classification" else FeedForwardRegressor
    n = round(0.85 * rows)
    rate: Any = "auto"
    outcomes = {}
    for name, values in OPTIONS.items():
        given = {**values, "l2": values["l2"] / n} if "l2" in values else values
        model = estimator(regularization=None, random_state=split, learning_rate=rate, **given)
        seconds, model = harness.timed(lambda: model.fit(x_train, y_train))  # noqa: B023
        rate = model.learning_rate_  # the sweep is of the training loss, and all options get the same rate
        if task == "classification":
            test = log_loss(y_test, model.predict_proba(x_test), labels=model.classes_)
        else:
            test = 0.5 * float(np.mean((model.predict(x_test) - y_test) ** 2)) / float(np.var(y_train))
        outcomes[name] = Outcome(test, float(np.mean(model.notebook_[-1]["best_loss"])), seconds)
    return outcomes


def report(results: dict[str, list[dict[str, Outcome]]]) -> str:
    """The tables: by table and option, and over all tables."""
    choices = {
        **{name: (name,) for name in OPTIONS},
        **{name: names for name, names in SETS.items() if len(names) > 1},
    }
    losses, seconds = {}, {}
    for label, names in choices.items():
        losses[label], seconds[label] = [], []
        for splits in results.values():
            picked = [min((split[name] for name in names), key=lambda outcome: outcome.valid) for split in splits]
            losses[label].append(np.mean([outcome.test for outcome in picked]))
            seconds[label].append(sum(split[name].seconds for split in splits for name in names))
    none, base = np.array(losses["none"]), np.sum(seconds["none"])
    by_table = [
        [name, f"{none[i]:.4f}", *(f"{losses[label][i] / none[i]:.3f}" for label in list(choices)[1:])]
        for i, name in enumerate(results)
    ]
    lines = [harness.table(["table", "none", *list(choices)[1:]], by_table), ""]
    rows = []
    for label in choices:
        cells = []
        for base_losses in (losses["none"], losses.get("one network", ())):
            if not len(base_losses):
                continue
            ratios = np.array(losses[label]) / np.array(base_losses)
            worst = int(np.argmax(ratios))
            cells += [f"{np.exp(np.mean(np.log(ratios))):.3f}", f"{ratios[worst]:.3f} {list(results)[worst]}"]
        rows.append([label, *cells, f"{np.sum(seconds[label]) / base:.1f}"])
    header = ["option", "loss over none's", "worst table", "over one network's", "worst table"]
    header = [*header[: 1 + 2 * (1 + ("one network" in losses))], "time"]
    return "\n".join([*lines, harness.table(header, rows)])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--tables", default=",".join(ROWS))
    parser.add_argument("--without", default="", help="options to leave out, separated by semicolons")
    parser.add_argument("--keep", type=Path, help="a JSON file of all outcomes, added to table by table")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    left_out = {name.strip() for name in options.without.split(";")}
    for name in left_out & set(OPTIONS):
        del OPTIONS[name]
    for label in [label for label, names in SETS.items() if set(names) - set(OPTIONS)]:
        del SETS[label]
    SETS["all"] = tuple(OPTIONS)
    results = {}
    for name in options.tables.split(","):
        x, y, task = generated(name) if name.startswith(("noisy", "many")) else load(name)
        results[name] = [measure(x, y, task, ROWS[name], options.first + i) for i in range(options.splits)]
        means = " ".join(f"{option}: {np.mean([s[option].test for s in results[name]]):.4f}" for option in OPTIONS)
        print(f"{name}: {means}", flush=True)
        if options.keep:
            options.keep.write_text(json.dumps(results))
    print(report(results))


if __name__ == "__main__":
    main()
