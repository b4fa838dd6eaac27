"""Faults planted through the public interface in otherwise healthy runs, and healthy runs, hard ones among them.

A plant changes rows, parameters or starting weights of a healthy run and names the findings that are right; more than
one where they name the same cause (a rate a hundred times too high diverges, kills units or overshoots, by chance).
"""

# ruff: noqa: ARG001  every plant takes a case and a generator

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from axonic import FeedForwardClassifier, FeedForwardRegressor, losses
from axonic.specs import spec

CLASSES, NUMBERS = "classification", "regression"
BOTH = (CLASSES, NUMBERS)
RATE_HIGH = ("train.rate_too_high", "train.diverged", "train.dead_units", "train.saturated")


@dataclasses.dataclass
class Case:
    """What is fitted.

    Attributes
    ----------
    x, y : rows.
    task : "classification" or "regression".
    params : of the estimator.
    fit : more arguments of `fit`.
    weights : changes the starting weights (a warm start from a fit of one epoch), or None.
    rate : the rate that the sweep finds on this table.
    """

    x: np.ndarray
    y: np.ndarray
    task: str
    params: dict[str, Any]
    fit: dict[str, Any] = dataclasses.field(default_factory=dict)
    weights: Callable[[tuple], tuple] | None = None
    rate: float = 0.03

    def model(self, **params: Any) -> Any:
        """Fitted."""
        made = FeedForwardClassifier if self.task == CLASSES else FeedForwardRegressor
        params = {**self.params, **params}
        if self.weights is None:
            return made(**params).fit(self.x, self.y, **self.fit)
        first = {
            k: v for k, v in params.items() if k not in ("epochs", "learning_rate", "warm_start", "early_stopping")
        }
        model = made(**first, epochs=1, learning_rate=1e-6, monitor=False, early_stopping=False).fit(self.x, self.y)
        model.model_ = dataclasses.replace(
            model.model_, members=tuple(self.weights(jax.tree.map(np.asarray, m)) for m in model.model_.members)
        )
        model.set_params(**{"early_stopping": True, **params}, warm_start=True, monitor=True)
        model.set_params(epochs=params.get("epochs", "auto"), learning_rate=params.get("learning_rate", "auto"))
        return model.fit(self.x, self.y, **self.fit)


@dataclasses.dataclass(frozen=True)
class Plant:
    """A fault.

    Attributes
    ----------
    name : what was done.
    right : the findings that name it.
    plant : changes a healthy case, with a generator of random numbers.
    tasks : where it makes sense.
    harmful : whether it counts only where the loss is a tenth or more above that of the healthy run.
    anywhere : whether it is enough that the finding is there (what is merely worth knowing).
    mend : parameters that the remedy names, from the finding; None where the remedy changes the data.
    """

    name: str
    right: tuple[str, ...]
    plant: Callable[[Case, np.random.Generator], None]
    tasks: tuple[str, ...] = BOTH
    harmful: bool = False
    anywhere: bool = False
    mend: Callable[[dict[str, Any]], dict[str, Any]] | None = None


def parameters(**params: Any) -> Callable[[Case, np.random.Generator], None]:
    def plant(case: Case, rng: np.random.Generator) -> None:
        case.params.update(params)

    return plant


def rate(factor: float, **params: Any) -> Callable[[Case, np.random.Generator], None]:
    def plant(case: Case, rng: np.random.Generator) -> None:
        case.params.update(learning_rate=factor * case.rate, **params)

    return plant


def weights(change: Callable[[tuple], tuple], **params: Any) -> Callable[[Case, np.random.Generator], None]:
    def plant(case: Case, rng: np.random.Generator) -> None:
        case.params.update(params)
        case.weights = change

    return plant


def scaled(factor: float) -> Callable[[tuple], tuple]:
    return lambda members: tuple(p._replace(w=p.w * np.float32(factor)) if len(p) else p for p in members)


def last_only(factor: float = 1.0, bias: float = 0.0) -> Callable[[tuple], tuple]:
    def change(members: tuple) -> tuple:
        last = members[-1]
        b = last.b + np.float32(bias) * (np.arange(len(last.b)) == 0)
        return (*members[:-1], last._replace(w=last.w * np.float32(factor), b=b.astype(np.float32)))

    return change


def first_only(factor: float = 1.0, bias: float = 0.0) -> Callable[[tuple], tuple]:
    def change(members: tuple) -> tuple:
        first = members[0]
        return (first._replace(w=first.w * np.float32(factor), b=first.b + np.float32(bias)), *members[1:])

    return change


def shuffled_labels(case: Case, rng: np.random.Generator) -> None:
    case.y = rng.permutation(case.y)


def unscaled(case: Case, rng: np.random.Generator) -> None:
    n = case.x.shape[1]
    case.x = (case.x - case.x.mean(0)) / (case.x.std(0) + 1e-9) * np.logspace(-1, 4, n)[rng.permutation(n)]
    case.params["standardize"] = False


def shifted(case: Case, rng: np.random.Generator) -> None:
    case.x = (case.x - case.x.mean(0)) / (case.x.std(0) + 1e-9) + 1000.0
    case.params["standardize"] = False


def sorted_rows(case: Case, rng: np.random.Generator) -> None:
    order = np.argsort(case.y, kind="stable")
    case.x, case.y = case.x[order], case.y[order]
    case.params["shuffle"] = False


def leak(case: Case, rng: np.random.Generator) -> None:
    case.x = np.column_stack([case.x, case.y.astype(float) * 3.0 + 1.0])


def id_column(case: Case, rng: np.random.Generator) -> None:
    case.x = np.column_stack([np.arange(len(case.x), dtype=float), case.x])


def twin_column(case: Case, rng: np.random.Generator) -> None:
    varies = int(np.argmax(np.ptp(case.x, axis=0)))
    case.x = np.column_stack([case.x, case.x[:, varies]])


def constant_column(case: Case, rng: np.random.Generator) -> None:
    case.x = np.column_stack([case.x, np.full(len(case.x), 7.0)])


def infinite(case: Case, rng: np.random.Generator) -> None:
    case.x[rng.integers(len(case.x)), 0] = np.inf


def missing(case: Case, rng: np.random.Generator) -> None:
    case.x = case.x.copy()
    case.x[rng.random(len(case.x)) < 0.7, 0] = np.nan


def repeated_rows(case: Case, rng: np.random.Generator) -> None:
    again = rng.choice(len(case.x), len(case.x) // 2, replace=False)
    case.x, case.y = np.concatenate([case.x, case.x[again]]), np.concatenate([case.y, case.y[again]])


def overlap(case: Case, rng: np.random.Generator) -> None:
    held = rng.choice(len(case.x), max(10, len(case.x) // 5), replace=False)
    case.fit["validation_data"] = (case.x[held], case.y[held])


def few(n: int, **params: Any) -> Callable[[Case, np.random.Generator], None]:
    def plant(case: Case, rng: np.random.Generator) -> None:
        if case.task == CLASSES:
            each = max(2, n // len(np.unique(case.y)))
            kept = np.concatenate(
                [rng.permutation(np.flatnonzero(case.y == label))[:each] for label in np.unique(case.y)]
            )
        else:
            kept = rng.permutation(len(case.x))[:n]
        case.x, case.y = case.x[kept], case.y[kept]
        case.params.update(params)

    return plant


def by_heart(case: Case, rng: np.random.Generator) -> None:
    """60 rows, a third of the targets drawn anew, trained for 300 epochs without a penalty; the others are held out."""
    y = case.y.copy()
    drawn = rng.random(len(y)) < 1 / 3
    y[drawn] = rng.permutation(case.y)[drawn]
    order = rng.permutation(len(y))
    train, valid = order[:60], order[60:]
    if case.task == CLASSES:
        labels = np.unique(case.y)
        train = np.concatenate([train, [np.flatnonzero(y == label)[0] for label in labels]])
        valid = np.setdiff1d(valid, train)
    case.fit["validation_data"] = (case.x[valid], y[valid])
    case.x, case.y = case.x[train], y[train]
    case.params.update(regularization=None, early_stopping=False, epochs=300)


def too_long_at_last(case: Case, rng: np.random.Generator) -> None:
    """A target without noise, and a rule whose steps do not shrink with the gradient, at 2.5 times the rate that a
    sweep finds for it: it learns, and then can't settle. The last weights are kept."""
    x = (case.x - case.x.mean(0)) / (case.x.std(0) + 1e-9)
    one, two, three = rng.permutation(np.flatnonzero(case.x.std(0) > 0))[:3]
    case.y, case.task = x[:, one] + 0.5 * x[:, two] * x[:, three], NUMBERS
    case.params.update(optimizer="adam", batch_size=4, regularization=None, early_stopping=False)
    swept = case.model(epochs=10, monitor=False).learning_rate_  # as many as the sweep takes, at least
    case.params.update(learning_rate=2.5 * swept, epochs=200)


def rare(n: int) -> Callable[[Case, np.random.Generator], None]:
    def plant(case: Case, rng: np.random.Generator) -> None:
        labels, counts = np.unique(case.y, return_counts=True)
        chosen = labels[counts.argmin()]
        rows = np.flatnonzero(case.y == chosen)
        kept = np.concatenate([np.flatnonzero(case.y != chosen), rng.permutation(rows)[:n]])
        case.x, case.y = case.x[np.sort(kept)], case.y[np.sort(kept)]

    return plant


def hundred_to_one(case: Case, rng: np.random.Generator) -> None:
    labels, counts = np.unique(case.y, return_counts=True)
    common = np.flatnonzero(case.y == labels[counts.argmax()])
    other = rng.permutation(np.flatnonzero(case.y != labels[counts.argmax()]))
    kept = np.concatenate([common, other[: max(2, len(common) // 99)]])
    case.x, case.y = case.x[np.sort(kept)], (case.y[np.sort(kept)] == labels[counts.argmax()]).astype(int)


@spec
class WrongDelta(losses.SquaredError):
    """A user's loss with a slip: the sign of delta."""

    def delta(self, z: Any, y: Any) -> Any:
        return -super().delta(z, y)


@spec
class Bounded(losses.SquaredError):
    """A user's loss with a sigmoid before it, so that no answer is below 0 or above 1."""

    def value(self, z: Any, y: Any) -> Any:
        return super().value(jax.nn.sigmoid(z), y)

    def delta(self, z: Any, y: Any) -> Any:
        a = jax.nn.sigmoid(z)
        return super().delta(a, y) * a * (1 - a)


@spec
class NoDelta(losses.SquaredError):
    """A user's loss whose delta forgot to depend on anything."""

    def delta(self, z: Any, y: Any) -> Any:
        return jnp.zeros_like(z)


@spec
class Logarithm(losses.SquaredError):
    """A user's loss that takes a logarithm of what may be negative."""

    def value(self, z: Any, y: Any) -> Any:
        return jnp.sum((jnp.log(z) - y) ** 2, axis=-1)

    def delta(self, z: Any, y: Any) -> Any:
        return 2 * (jnp.log(z) - y) / z


def _auto(finding: dict[str, Any]) -> dict[str, Any]:
    return {"learning_rate": finding["evidence"].get("swept_rate", "auto"), "activation": "relu"}


def _free(f: dict[str, Any]) -> dict[str, Any]:
    free = {"l2": 0.0, "l1": 0.0, "dropout": 0.0, "input_noise": 0.0, "max_norm": None, "regularization": "auto"}
    return {name: value for name, value in free.items() if name in f["evidence"] or name == "regularization"}


PLANTS = (
    Plant("rate 10x too high", RATE_HIGH, rate(10), harmful=True, mend=_auto),
    Plant("rate 100x too high", RATE_HIGH, rate(100), harmful=True, mend=_auto),
    Plant("rate 1000x too high", RATE_HIGH, rate(1000), mend=_auto),
    Plant("rate 100x too high, tanh", RATE_HIGH, rate(100, activation="tanh"), harmful=True, mend=_auto),
    Plant("rate 100x too high, deep", RATE_HIGH, rate(100, hidden_layer_sizes=(64,) * 4), mend=_auto),
    Plant("rate 100x too low, 50 epochs", ("train.rate_too_low",), rate(0.01, epochs=50), mend=_auto),
    Plant("rate 1000x too low", ("train.rate_too_low",), rate(0.001), harmful=True, mend=_auto),
    Plant("zero weights", ("net.symmetric",), parameters(init="zeros"), mend=lambda f: {"init": "auto"}),
    Plant("huge weights", ("net.bad_scale",), weights(scaled(30)), mend=lambda f: {"warm_start": False}),
    Plant("tiny weights", ("net.bad_scale",), weights(scaled(1e-3)), mend=lambda f: {"warm_start": False}),
    Plant(
        "sigmoid, eight layers",
        ("train.vanishing",),
        parameters(activation="sigmoid", hidden_layer_sizes=(32,) * 8),
        harmful=True,
        mend=lambda f: {"activation": "relu"},
    ),
    Plant(
        "exploding depth",
        ("train.exploding",),
        weights(scaled(2.2), hidden_layer_sizes=(32,) * 10),
        mend=lambda f: {"warm_start": False},
    ),
    Plant(
        "dead by bias", ("net.dead_at_start",), weights(first_only(1.0, -30.0)), mend=lambda f: {"warm_start": False}
    ),
    Plant(
        "saturated tanh",
        ("net.saturated_at_start", "net.bad_scale"),
        weights(first_only(8.0), activation="tanh"),
        mend=lambda f: {"warm_start": False},
    ),
    Plant(
        "squared error from saturated outputs",
        ("net.loss_mismatch",),
        weights(last_only(1.0, 12.0), loss="mse"),
        tasks=(CLASSES,),
        mend=lambda f: {"loss": "auto", "warm_start": False},
    ),
    Plant(
        "output bias far off",
        ("net.initial_loss",),
        weights(last_only(1.0, 15.0)),
        mend=lambda f: {"warm_start": False},
    ),
    Plant("unscaled columns", ("data.unscaled",), unscaled, mend=lambda f: {"standardize": True}),
    Plant("shifted columns", ("data.unscaled",), shifted, mend=lambda f: {"standardize": True}),
    Plant("sorted rows, not shuffled", ("data.sorted",), sorted_rows, mend=lambda f: {"shuffle": True}),
    Plant("shuffled labels", ("data.no_signal",), shuffled_labels),
    Plant("a column that is the target", ("data.leak",), leak),
    Plant("an id column", ("data.id_like",), id_column),
    Plant("a repeated column", ("data.duplicate_column",), twin_column),
    Plant("a constant column", ("data.constant",), constant_column, anywhere=True),
    Plant("a column mostly missing", ("data.missing",), missing),
    Plant("an infinite value", ("data.infinite",), infinite),
    Plant("half of the rows repeated", ("data.duplicate_rows",), repeated_rows),
    Plant("training rows in validation", ("data.split_overlap",), overlap),
    Plant("20 rows", ("data.few_rows", "data.rare_class", "train.overfit", "data.no_signal"), few(20)),
    Plant("a class of 4 rows", ("data.rare_class", "data.imbalance"), rare(4), tasks=(CLASSES,)),
    Plant("99:1", ("data.imbalance", "data.rare_class", "data.no_signal"), hundred_to_one, tasks=(CLASSES,)),
    Plant("3 epochs", ("train.stopped_early",), parameters(epochs=3), harmful=True, mend=lambda f: {"epochs": "auto"}),
    Plant(
        "20 epochs at a tenth of the rate",
        ("train.stopped_early", "train.rate_too_low"),
        rate(0.1, epochs=20),
        harmful=True,
        mend=lambda f: {"epochs": "auto"} if f["code"] == "train.stopped_early" else _auto(f),
    ),
    Plant(
        "2 units",
        ("train.underfit", "net.cannot_fit_batch"),
        parameters(hidden_layer_sizes=(2,)),
        harmful=True,
        mend=lambda f: {"hidden_layer_sizes": (64, 64)},
    ),
    Plant(
        "a bottleneck of 1 unit",
        ("train.underfit", "net.cannot_fit_batch"),
        parameters(hidden_layer_sizes=(64, 1)),
        harmful=True,
        mend=lambda f: {"hidden_layer_sizes": (64, 64)},
    ),
    Plant("a penalty 1000x too strong", ("train.underfit",), parameters(l2=1.0), harmful=True, mend=_free),
    Plant("dropout of .9", ("train.underfit",), parameters(dropout=0.9), harmful=True, mend=_free),
    Plant(
        "60 noisy rows by heart",
        ("train.overfit",),
        by_heart,
        mend=lambda f: {"l2": f["evidence"].get("l2", 0.0)},
    ),
    Plant(
        "batches of 1024, 20 epochs",
        ("train.batch_too_large", "train.stopped_early"),
        parameters(batch_size=1024, epochs=20),
        harmful=True,
        mend=lambda f: {"batch_size": 32} if f["code"] == "train.batch_too_large" else {"epochs": "auto"},
    ),
    Plant(
        "batches of 2 at 10 times the rate",
        ("train.plateau", *RATE_HIGH),
        rate(10, batch_size=2, epochs=100),
        harmful=True,
        mend=lambda f: {"recipe": "full", "epochs": "auto"} if f["code"] == "train.plateau" else _auto(f),
    ),
    Plant(
        "steps too long to settle",
        ("train.plateau",),
        too_long_at_last,
        mend=lambda f: {"learning_rate": f["evidence"]["learning_rate"] / 10, "epochs": "auto"},
    ),
    Plant(
        "answers that cannot reach the targets",
        ("net.cannot_fit_batch",),
        parameters(loss=Bounded()),
        tasks=(NUMBERS,),
        mend=lambda f: {"loss": "auto"},
    ),
    Plant("noise in the inputs, ten deviations", ("train.underfit",), parameters(input_noise=10.0), mend=_free),
    Plant("weights held within .05", ("train.underfit",), parameters(max_norm=0.05), harmful=True, mend=_free),
    Plant("a loss with the wrong sign", ("net.loss_mismatch",), parameters(loss=WrongDelta()), tasks=(NUMBERS,)),
    Plant(
        "a loss without a gradient",
        ("net.no_gradient", "net.loss_mismatch"),
        parameters(loss=NoDelta()),
        tasks=(NUMBERS,),
        mend=lambda f: {"loss": "auto"},
    ),
    Plant(
        "a loss with a logarithm of negatives",
        ("train.nonfinite",),
        parameters(loss=Logarithm()),
        tasks=(NUMBERS,),
        mend=lambda f: {"loss": "auto"},
    ),
)


def noisy(case: Case, rng: np.random.Generator) -> None:
    if case.task == CLASSES:
        flipped = rng.random(len(case.y)) < 0.15
        case.y = np.where(flipped, rng.permutation(case.y), case.y)
    else:
        case.y = case.y + 0.5 * case.y.std() * rng.standard_normal(len(case.y))


def uneven(case: Case, rng: np.random.Generator) -> None:
    if case.task == CLASSES:
        labels, counts = np.unique(case.y, return_counts=True)
        chosen = labels[counts.argmin()]
        rows = rng.permutation(np.flatnonzero(case.y == chosen))
        kept = np.concatenate([np.flatnonzero(case.y != chosen), rows[: max(12, len(case.y) // 8)]])
        case.x, case.y = case.x[np.sort(kept)], case.y[np.sort(kept)]


HEALTHY: dict[str, Callable[[Case, np.random.Generator], None]] = {
    "default": parameters(),
    "five networks": parameters(ensemble="auto"),
    "sgd": parameters(optimizer="sgd"),
    "adam at .001": parameters(optimizer="adam", learning_rate=0.001),
    "the rate of the sweep, by hand": rate(1.0),
    "half of it": rate(0.5),
    "deep": parameters(hidden_layer_sizes=(64,) * 4),
    "one sigmoid layer": parameters(hidden_layer_sizes=(64,), activation="sigmoid"),
    "tanh": parameters(activation="tanh"),
    "noisy": noisy,
    "uneven classes": uneven,
    "150 rows": few(150),
    "lbfgs": parameters(optimizer="lbfgs"),
    "one layer of 100": parameters(hidden_layer_sizes=(100,)),
    "batches of 8": parameters(batch_size=8),
}
