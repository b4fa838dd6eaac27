"""What a network has to beat: the constant answer, and a linear model on the same encoded rows.

    constant   the mean of the target, or the frequencies of the classes, in the training rows; of a loss that asks for
               something else than a mean what it asks for, such as a median or a quantile (`axonic.recipe.constant`)
    linear     numbers: ridge regression, w = (X^T S X / n + I / n)^-1 X^T S y / n on X and y centred, S the weights
               of the rows; absolute, quantile, huber: the same again and again, weights times delta / (z - y)
               classes: logistic (softmax) regression, the minimum of the mean log-loss + 1/(2n) sum w^2

Rows weigh as much as when the network is trained. Of sequences the constant is that of all, or of all their steps where
each has a target, and the linear model takes the steps side by side: where all are of one length and have one answer
each. Where these are more inputs than there are sequences, the rows are turned, x V, so that as many hold all of them:
it changes neither the answers nor the penalty.

Of a series:

    last_value   what was last seen stays
    season       the value a season ago, if there is one: the lag within the window at which the series, freed of its
                 straight line, resembles itself most (correlation of at least `SEASONAL`)
    linear       the linear forecast of `axonic.data.autoregression`, fitted to the training windows, which the network
                 corrects

The penalty is that of the networks, l2 = 1/n (see `axonic.recipe.penalty`). The softmax is found by steps of the
gradient times (X^T S X / 2n + I / n)^-1, since it curves no more than that anywhere (Boehning 1992), accelerated
(Nesterov 1983, begun again where a step leads uphill: O'Donoghue and Candes 2015), until it is as close as `CLOSE` or
as many as `WORK` allows. Both take `MAX_ROWS` training rows at most, evenly spaced.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from axonic.data.autoregression import steps_ahead
from axonic.data.batches import Rows, Split
from axonic.data.ragged import Ragged, known_steps
from axonic.data.sequences.windows import SeriesCoding
from axonic.losses import Loss, Robust
from axonic.losses.steps import of_a_step
from axonic.model import Model
from axonic.recipe.constant import bias

MAX_ROWS = 20_000
WORK = 2_000_000_000
"""Rows times inputs times classes times steps; of sequences that are turned, inputs times their number squared."""
STEPS = (50, 200)
"""Gradient steps at least and at most, unless it is close before."""
CLOSE = 1e-6
"""How close to the lowest loss is close enough: losses are shown to four digits."""
SINGULAR = 1e-12
"""A share of each column's own curvature that is added to it."""
MAX_INPUTS, MAX_INPUTS_REWEIGHTED = 2_000, 200
"""Inputs beyond which the linear model is left out: its matrix would be too large, or solved too often."""
REWEIGHTINGS, SMALLEST = 50, 1e-4
"""Solutions one after the other, and the least |z - y| that is divided by."""
SEASONAL = 0.3
"""A correlation that 50 values have by chance once in 30 times."""

Weights = tuple[np.ndarray, np.ndarray]
"""(w, b) of an answer x w + b."""


class LinearModels:
    """The constant answers and linear models for the rows of a task, each fitted once to the training rows of a split.

    Parameters
    ----------
    rows : with the weights that they have in training.
    loss : of the network.
    n_out : classes, or numbers to predict.
    """

    def __init__(self, rows: Rows, loss: Loss, n_out: int) -> None:
        self.rows, self.loss, self.n_out = rows, of_a_step(loss), n_out
        self._fitted: dict[tuple[str, bytes], Weights] = {}

    @property
    def classes(self) -> bool:
        """Whether the targets are class indices."""
        y = self.rows.y
        return (y.values if isinstance(y, Ragged) else y).dtype.kind == "i"

    @functools.cached_property
    def inputs(self) -> np.ndarray | None:
        """(n, inputs) what the linear model takes; None where there is none at a low price."""
        x = self.rows.x
        if isinstance(x, Ragged):
            x = None if isinstance(self.rows.y, Ragged) else side_by_side(x)
        most = MAX_INPUTS_REWEIGHTED if isinstance(self.loss, Robust) else MAX_INPUTS
        return x if x is not None and x.shape[1] <= most else None

    def constant(self, train: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The constant answer for these training rows, (part, n_out), or where each step has a target one for each."""
        train, y, weight = self._sample(train)
        key = "constant", train.tobytes()
        if key not in self._fitted:
            self._fitted[key] = constant(np.empty((len(y), 0)), y, weight, self.loss, self.classes)
        _, b = self._fitted[key]
        n = self.rows.y.lengths[part].sum() if isinstance(self.rows.y, Ragged) else len(part)
        return np.broadcast_to(b, (n, len(b)))

    def linear(self, train: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The answers of the linear model of these training rows, (part, n_out); of two classes too there are two."""
        assert self.inputs is not None
        train, y, weight = self._sample(train)
        key = "linear", train.tobytes()
        if key not in self._fitted:
            x = self.inputs[train].astype(np.float64)
            with threadpool_limits(1, "blas"):  # of many small products threads make more work than they take over
                self._fitted[key] = linear(x, y, weight, self.loss, self.classes)
        w, b = self._fitted[key]
        return self.inputs[part] @ w + b

    def _sample(self, train: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training rows, `MAX_ROWS` at most, with their targets (n, n_out) and weights."""
        train = train[:: max(1, -(-len(train) // MAX_ROWS))]
        y, weight = self.rows.y[train], self.rows.weight[train].astype(np.float64)
        if isinstance(y, Ragged):
            y, weight = known_steps(y, weight)
        return train, _targets(y, self.n_out), weight


def side_by_side(x: Ragged) -> np.ndarray | None:
    """The steps of each sequence as one row, turned where that is wider than there are sequences; None where lengths
    differ, or they are too many for that."""
    n, n_inputs = len(x), x.longest * x.shape[1]
    if n == 0 or np.any(x.lengths != x.longest) or (n_inputs > MAX_INPUTS and n_inputs * n * n > WORK):
        return None
    rows = x.values.reshape(n, n_inputs)
    if n_inputs <= n:
        return rows
    with threadpool_limits(1, "blas"):
        rows = rows.astype(np.float64)
        squares, u = np.linalg.eigh(rows @ rows.T)  # of x V, with V the other side of x = u s V^T
    return u * np.sqrt(np.maximum(squares, 0.0))


def baselines(model: Model, rows: Rows, splits: Sequence[Split], models: LinearModels) -> dict[str, dict[str, Any]]:
    """Scores on the validation and test rows, as of `Model.metrics`, on the same rows as those of the networks: of
    validation the mean over the splits, of test those from the training rows of the first one.

    Parameters
    ----------
    model, rows, splits : what is to be beaten, and the rows that scores are of, a split for each network.
    models : what has to be beaten, of the same rows.

    Returns
    -------
    "constant" and "linear", each with "valid" and "test". The linear one is left out where there are too many inputs,
    and of sequences of different lengths or with a target for each step.
    """
    found = {}
    for name, of in {"constant": models.constant, "linear": models.linear}.items():
        if name == "constant" or models.inputs is not None:
            valid = [_scores(model, rows, split.valid, of(split.train, split.valid)) for split in splits]
            test = _scores(model, rows, splits[0].test, of(splits[0].train, splits[0].test))
            found[name] = {"valid": mean_scores(valid), "test": test}
    return found


def mean_scores(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of scores of the same names."""
    return {name: float(np.mean([scores[name] for scores in each])) for name in each[0]}


def forecasts(target: np.ndarray, ends: np.ndarray, coding: SeriesCoding, seen: int) -> dict[str, np.ndarray]:
    """What simple methods say follows the windows of a series, (n, horizon) each, by name; see the module.

    Parameters
    ----------
    target : (steps,) the series.
    ends : (n,) where the windows end.
    coding : with the linear forecast, if there is one.
    seen : steps that training may know of.
    """
    following = steps_ahead(ends, coding.horizon)
    found = {"last_value": np.repeat(target[ends][:, None], coding.horizon, axis=1)}
    lag = season(target[:seen], coding.window)
    if lag is not None:
        cycles = -(-np.arange(1, coding.horizon + 1) // lag)
        found["season"] = target[following - lag * cycles]
    if coding.linear:
        found["linear"] = coding.origin(target, ends)
    return found


def season(values: np.ndarray, longest: int) -> int | None:
    """The length of the season of a series, from 2 to `longest` steps; None if it has none."""
    time = np.arange(len(values))
    rest = values - np.polyval(np.polyfit(time, values, 1), time)
    lags = range(1, min(longest, len(values) // 2) + 2)  # a peak lies between two others
    total = np.sum(rest * rest)
    if total == 0:
        return None
    alike = np.array([np.sum(rest[lag:] * rest[:-lag]) / total for lag in lags])
    peaks = [i for i in range(1, len(alike) - 1) if alike[i] >= max(alike[i - 1], alike[i + 1])]
    best = max(peaks, key=lambda i: alike[i], default=None)
    return None if best is None or alike[best] < SEASONAL else lags[best]


def forecast_scores(truth: np.ndarray, forecast: np.ndarray, split: Split) -> dict[str, dict[str, float]]:
    """Root mean square and mean absolute error on the validation and test windows, the mean over the horizon."""
    scores = {}
    for part in ("valid", "test"):
        error = (truth - forecast)[getattr(split, part)]
        scores[part] = {"rmse": rmse(error), "mae": float(np.mean(np.abs(error)))} if len(error) else {}
    return scores


def rmse(error: np.ndarray) -> float:
    """Root mean square of errors (n, horizon), the mean over the horizon."""
    return float(np.mean(np.sqrt(np.mean(error**2, axis=0))))


def constant(x: np.ndarray, y: np.ndarray, weight: np.ndarray, loss: Loss, classes: bool) -> Weights:
    """(w, b) of the constant answer: w is 0."""
    asked = bias(loss, y, weight) if isinstance(loss, Robust) else None
    mean = np.average(y, axis=0, weights=weight)
    b = np.log(np.maximum(mean, 1e-12)) if classes else mean
    return np.zeros((x.shape[1], y.shape[1])), b if asked is None else asked


def linear(x: np.ndarray, y: np.ndarray, weight: np.ndarray, loss: Loss, classes: bool) -> Weights:
    """(w, b) of the linear model, for x (n, n_in), y (n, n_out) and weight (n,)."""
    weight = weight / weight.mean()
    if classes:
        return _softmax_regression(x, y, weight)
    if isinstance(loss, Robust):
        each = [_reweighted(x, y[:, [i]], weight, loss) for i in range(y.shape[1])]
        return np.hstack([w for w, _ in each]), np.concatenate([b for _, b in each])
    return _ridge(x, y, weight)


def _ridge(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Weights:
    n, n_in = x.shape
    mean_x, mean_y = (np.average(v, axis=0, weights=weight) for v in (x, y))
    x, y = x - mean_x, y - mean_y
    weighted = x.T * weight
    w = _inverse(weighted @ x / n + np.eye(n_in) / n) @ (weighted @ y / n)
    return w, mean_y - mean_x @ w


def _reweighted(x: np.ndarray, y: np.ndarray, weight: np.ndarray, loss: Loss) -> Weights:
    """Of one target: where the weighted squares are lowest, so is the loss, since its delta is weight times z - y."""
    w, b = _ridge(x, y, weight)
    for _ in range(REWEIGHTINGS):
        off = x @ w + b - y
        off = np.where(np.abs(off) < SMALLEST, np.copysign(SMALLEST, off), off)
        delta = np.asarray(loss.delta(jnp.asarray(off), jnp.zeros(off.shape)), np.float64)
        w, b = _ridge(x, y, weight * (delta / off)[:, 0])
    return w, b


def _softmax_regression(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> Weights:
    n, n_in = x.shape
    x, weight = np.hstack([x, np.ones((n, 1))]), weight[:, None]
    l2 = np.full((n_in + 1, 1), 1.0 / n)
    l2[-1] = 0.0  # no penalty on b
    inverse = _inverse(0.5 * x.T @ (weight * x) / n + np.diagflat(l2))
    w = ahead = np.zeros((n_in + 1, y.shape[1]))
    t = 1.0
    for _step in range(int(np.clip(WORK / max(1, x.size * y.shape[1]), *STEPS))):
        z = x @ ahead
        a = np.exp(z - z.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        grads = x.T @ (weight * (a - y)) / n + l2 * ahead
        new = ahead - inverse @ grads
        if n * np.vdot(grads, grads) < 2 * CLOSE:  # on w it curves by 1 / n at least
            return new[:-1], new[-1]
        uphill = np.vdot(grads, new - w) > 0
        t, past = (1.0, 0.0) if uphill else ((1 + np.sqrt(1 + 4 * t * t)) / 2, (t - 1.0))
        w, ahead = new, new + past / t * (new - w)
    return w[:-1], w[-1]


def _inverse(curvature: np.ndarray) -> np.ndarray:
    """Of a positive definite matrix, with columns of any size, and also where rounding has left it singular."""
    size = np.sqrt(np.diagonal(curvature))
    alike = curvature / size / size[:, None]
    return np.linalg.inv(alike + SINGULAR * np.eye(len(size))) / size / size[:, None]


def _targets(y: np.ndarray, n_out: int) -> np.ndarray:
    """Targets as (n, n_out) float64; class indices as rows with a single 1."""
    if y.dtype.kind == "i":
        return np.eye(n_out)[y]
    return y.astype(np.float64).reshape(len(y), -1)


def _scores(model: Model, rows: Rows, part: np.ndarray, z: np.ndarray) -> dict[str, float]:
    if len(part) == 0:
        return {}
    if model.task == "classification":
        z = np.exp(z - z.max(axis=1, keepdims=True))
    return model.scores(z, rows.y[part], rows.weight[part])
