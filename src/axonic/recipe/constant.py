"""The constant answer: the best that one number can be, whatever the inputs are.

A network that is no better than that on its validation rows has learned nothing that holds, and takes its place: all
weights 0, and in the last layer the bias b at which the deltas of the training rows sum to 0. With m their mean target,

    squared error, matching losses   b = phi^-1(m):   m (identity),   ln m / (1 - m) (sigmoid),   ln m (softmax)
    poisson                          b = ln m
    absolute, quantile               b = the median, the quantile tau
    huber                            b = the mean with weights min(1, c / |y - b|), again and again from the median

A loss of the user's own has none, nor has `mse` behind other activations than these three.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from axonic.data.batches import Rows
from axonic.data.ragged import Ragged, known_steps, places
from axonic.losses import (
    Absolute,
    CrossEntropy,
    Huber,
    LogLikelihood,
    Loss,
    Matching,
    MeanSquaredError,
    Poisson,
    Quantile,
    SquaredError,
)
from axonic.losses.matched import inverse
from axonic.losses.steps import of_a_step
from axonic.programs import compiled
from axonic.recipe.networks import Member, Trained
from axonic.types import Params

INVERSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda m: m,
    "sigmoid": lambda m: np.log(m / (1 - m)),
    "softmax": np.log,
}
SMALLEST = 1e-7
"""The least probability, and the least count in units of the mean."""
REWEIGHTINGS = 50
BLOCK = 1024
"""Rows evaluated at a time, so that one program serves any number of them."""


def constant(member: Member) -> tuple[Params, float] | None:
    """(weights, validation loss) of the constant answer in place of a network; None where it is not known."""
    params = constant_params(member)
    if params is None:
        return None
    _, last = output(params)
    y, weight = weighted_targets(member.batches.rows, member.batches.split.valid, len(last.b))
    y = y.astype(last.b.dtype)
    values = loss_values(of_a_step(member.trial.loss), np.broadcast_to(last.b, y.shape), y)
    return params, float(np.average(values, weights=weight))


def constant_params(member: Member) -> Params | None:
    """The weights of the constant answer in place of a network; None where it is not known."""
    found = constant_bias(member)
    if found is None:
        return None
    place, last = output(member.params)
    params = list(jax.tree.map(np.zeros_like, member.params))
    params[place] = last._replace(w=np.zeros_like(last.w), b=found.astype(last.b.dtype))
    return tuple(params)


def constant_bias(member: Member) -> np.ndarray | None:
    """The pre-activation (n_out,) of the constant answer to the training rows; None where it is not known."""
    rows, train = member.batches.rows, member.batches.split.train
    return bias(of_a_step(member.trial.loss), *weighted_targets(rows, train, len(output(member.params)[1].b)))


def by_the_clock(member: Member) -> float | None:
    """Where each step has a target, the validation loss of a constant answer for every step of its own, counted from
    the first: the best that can be said without looking at a sequence. None where there is none, or it is not known."""
    rows, split = member.batches.rows, member.batches.split
    if not isinstance(rows.y, Ragged):
        return None
    n_out, loss = len(output(member.params)[1].b), of_a_step(member.trial.loss)
    (y, weight, step), (y_valid, weight_valid, step_valid) = (
        (*weighted_targets(rows, part, n_out), places(rows.y[part])) for part in (split.train, split.valid)
    )
    values = np.empty(len(y_valid))
    for t in np.unique(step_valid):
        seen, asked = (step == t) & (weight > 0), step_valid == t
        if not seen.any():
            seen = weight > 0
        if (b := bias(loss, y[seen], weight[seen])) is None:
            return None
        values[asked] = loss_values(loss, np.broadcast_to(b, y_valid[asked].shape), y_valid[asked])
    return float(np.average(values, weights=weight_valid))


def output(params: Params) -> tuple[int, Any]:
    """The place and the params of the last layer that has any."""
    place = max(place for place, own in enumerate(params) if own)
    return place, params[place]


def no_worse(member: Member, run: Trained) -> tuple[Trained, bool]:
    """The run, with the constant answer as its best weights if it did not do better on its validation rows; and whether
    that was so."""
    trivial = constant(member)
    if trivial is None or run.best_loss <= trivial[1]:
        return run, False
    params, loss = trivial
    none = np.int32(0)
    return run._replace(state=run.state._replace(best=params, best_loss=np.float32(loss), best_epoch=none)), True


def bias(loss: Loss, y: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """The pre-activation (n_out,) at which the deltas of the targets y (n, n_out) sum to 0, weighted; None where it is
    not known."""
    find = BIASES.get(type(loss))
    return None if find is None else find(loss, y, weight)


def _of_mean(loss: Loss, y: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    mean, name = np.average(y, axis=0, weights=weight), loss.activation.name
    if name in INVERSES:
        return INVERSES[name](mean if name == "identity" else np.clip(mean, SMALLEST, 1 - SMALLEST))
    return np.asarray(inverse(loss.activation.value, jnp.asarray(mean))) if isinstance(loss, Matching) else None


def _of_counts(loss: Poisson, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    del loss
    return np.log(np.maximum(np.average(y, axis=0, weights=weight), SMALLEST))


def _quantile(tau: float, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of each column the lowest number that a share tau of the weight lies at or below."""
    order = np.argsort(y, axis=0)
    below = np.cumsum(weight[order], axis=0)
    first = np.argmax(below >= tau * below[-1], axis=0)
    return np.take_along_axis(y, np.take_along_axis(order, first[None], axis=0), axis=0)[0]


def _of_huber(loss: Huber, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    b = _quantile(0.5, y, weight)
    for _ in range(REWEIGHTINGS):
        held_back = weight[:, None] * loss.threshold / np.maximum(np.abs(y - b), loss.threshold)
        b = np.average(y, axis=0, weights=held_back)
    return b


BIASES: dict[type, Callable[[Any, np.ndarray, np.ndarray], np.ndarray | None]] = {
    SquaredError: _of_mean,
    CrossEntropy: _of_mean,
    LogLikelihood: _of_mean,
    MeanSquaredError: _of_mean,
    Matching: _of_mean,
    Poisson: _of_counts,
    Absolute: lambda loss, y, weight: _quantile(0.5, y, weight),
    Quantile: lambda loss, y, weight: _quantile(loss.tau, y, weight),
    Huber: _of_huber,
}


def targets(rows: Rows, part: np.ndarray, n_out: int) -> np.ndarray:
    """The targets of a part, (n, n_out) float64: numbers, or indicators of the classes."""
    return weighted_targets(rows, part, n_out)[0]


def weighted_targets(rows: Rows, part: np.ndarray, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, and the weights (n,); where each step has a target, those of a sequence share its weight."""
    y, weight = rows.y[part], rows.weight[part].astype(np.float64)
    if isinstance(y, Ragged):
        y, weight = known_steps(y, weight)
    if y.dtype.kind != "i":
        return y.astype(np.float64).reshape(len(y), -1), weight
    return ((y[:, None] == np.arange(n_out)) * 1.0 if n_out > 1 else y[:, None].astype(np.float64)), weight


def loss_values(loss: Loss, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each row with pre-activations z and targets y, (n, n_out), in float64."""
    values = []
    for start in range(0, len(y), BLOCK):
        block = np.zeros((2, BLOCK, y.shape[1]), y.dtype)
        rows = slice(start, min(start + BLOCK, len(y)))
        block[0, : rows.stop - start], block[1, : rows.stop - start] = z[rows], y[rows]
        values.append(np.asarray(_values(loss, *block), np.float64)[: rows.stop - start])
    return np.concatenate(values)


@compiled(quickly=True)
def _values(loss: Loss, z: Any, y: Any) -> Any:
    return loss.value(z, y)
