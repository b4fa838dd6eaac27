"""The constant answer: the mean of the target, or the frequencies of its classes, whatever the inputs are.

A network that is no better than that on its validation rows has learned nothing that holds, and takes its place: all
weights 0, and in the last layer the bias b for which the output is the mean target m of the training rows,

    b = m  (identity),   b = ln m / (1 - m)  (sigmoid),   b = ln m  (softmax)
"""

from collections.abc import Callable

import jax
import numpy as np

from axonic.data.batches import Rows
from axonic.losses import CrossEntropy, LogLikelihood, Loss, MeanSquaredError, SquaredError
from axonic.recipe.networks import Member, Trained
from axonic.types import Params

BIASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda m: m,
    "sigmoid": lambda m: np.log(m / (1 - m)),
    "softmax": np.log,
}
SMALLEST = 1e-7
"""The least probability."""


def constant(member: Member) -> tuple[Params, float] | None:
    """(weights, validation loss) of the constant answer in place of a network; None for a loss of the user's own."""
    loss, rows, split = member.trial.loss, member.batches.rows, member.batches.split
    bias = BIASES.get(loss.activation.name)
    if bias is None or type(loss) not in (SquaredError, CrossEntropy, LogLikelihood, MeanSquaredError):
        return None
    last = member.params[-1]
    n_out = len(last.b)
    mean = np.average(_targets(rows, split.train, n_out), axis=0, weights=rows.weight[split.train])
    if loss.activation.name != "identity":
        mean = np.clip(mean, SMALLEST, 1 - SMALLEST)
    values = _values(loss, mean, _targets(rows, split.valid, n_out))
    params = jax.tree.map(np.zeros_like, member.params)
    params = (*params[:-1], last._replace(w=np.zeros_like(last.w), b=bias(mean).astype(last.b.dtype)))
    return params, float(np.average(values, weights=rows.weight[split.valid]))


def no_worse(member: Member, run: Trained) -> tuple[Trained, bool]:
    """The run, with the constant answer as its best weights if it did not do better on its validation rows; and whether
    that was so."""
    trivial = constant(member)
    if trivial is None or run.best_loss <= trivial[1]:
        return run, False
    params, loss = trivial
    none = np.int32(0)
    return run._replace(state=run.state._replace(best=params, best_loss=np.float32(loss), best_epoch=none)), True


def _targets(rows: Rows, part: np.ndarray, n_out: int) -> np.ndarray:
    y = rows.y[part]
    if y.dtype.kind != "i":
        return y.astype(np.float64).reshape(len(part), -1)
    return (y[:, None] == np.arange(n_out)) * 1.0 if n_out > 1 else y[:, None].astype(np.float64)


def _values(loss: Loss, mean: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The loss of each row."""
    if isinstance(loss, CrossEntropy):
        return -np.sum(targets * np.log(mean) + (1 - targets) * np.log(1 - mean), axis=1)
    if isinstance(loss, LogLikelihood):
        return -np.sum(targets * np.log(mean), axis=1)
    return 0.5 * np.sum((mean - targets) ** 2, axis=1)
