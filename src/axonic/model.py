"""A trained network with the encoders around it: all that a prediction needs.

table or array  ->  encoder  ->  network  ->  output activation  ->  target encoder  ->  predictions

A model may hold several networks of the same kind, trained from different weights on different splits: its output is
then the mean of theirs (the probabilities of classes, or the numbers).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.calibration import expected_calibration_error
from axonic.data.encoding import TableEncoder, TargetEncoder
from axonic.errors import InputError
from axonic.layers.base import Chain
from axonic.losses import Loss
from axonic.types import Params

BLOCK = 128
BLOCKS = 32


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, or several, and the encoders.

    Attributes
    ----------
    network, loss : the kind of network; the loss brings the output activation.
    members : the weights of each network, one tree or more.
    encoder : raw columns to the network's inputs.
    target : classes or numbers to the network's targets and back.
    info : anything worth keeping that JSON can hold (seed, settings, version).
    """

    network: Chain
    loss: Loss
    members: tuple[Params, ...]
    encoder: TableEncoder
    target: TargetEncoder
    info: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.target.task

    def alone(self, index: int) -> "Model":
        """The model with one of its networks only."""
        return dataclasses.replace(self, members=(self.members[index],))

    def outputs(self, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, "n n_out"]:
        """Output activations for encoded rows, the mean over the networks; one compiled program serves any number of
        rows and networks."""
        return self.each(x).mean(axis=0)

    def spread(self, x: Float[np.ndarray, "n n_in"]) -> np.ndarray:
        """How far the networks are apart on encoded rows: the standard deviation of their probabilities,
        (n, n_classes), or of their numbers, (n,) or (n, n_targets), in the target's units. It is large where the rows
        that were seen leave open what holds; noise of the target itself is not in it.

        Raises
        ------
        InputError : there is one network only.
        """
        if len(self.members) < 2:
            raise InputError("one network has no spread", "train several, such as ensemble=5 (--ensemble 5)")
        each = [self.alone(i) for i in range(len(self.members))]
        answers = [one.probabilities(x) if self.task == "classification" else one.numbers(x) for one in each]
        return np.std(answers, axis=0, ddof=1)

    def each(self, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, "networks n n_out"]:
        """The outputs of each network."""
        size = BLOCK * BLOCKS
        outputs = []
        for start in range(0, len(x), size):
            rows = x[start : start + size]
            blocks = np.zeros((BLOCKS, BLOCK, x.shape[1]), np.float32)
            blocks.reshape(size, -1)[: len(rows)] = rows
            n_blocks = np.int32(-(-len(rows) // BLOCK))
            each = [_forward(self.network, self.loss, params, blocks, n_blocks) for params in self.members]
            outputs.append(np.stack(each).reshape(len(each), size, -1)[:, : len(rows)])
        return np.concatenate(outputs, axis=1) if outputs else np.zeros((len(self.members), 0, 0), np.float32)

    def probabilities(self, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, "n n_classes"]:
        """Probability of each class, float64, rows summing to 1."""
        return self.probabilities_of(self.outputs(x))

    def probabilities_of(self, a: Float[np.ndarray, "n n_out"]) -> Float[np.ndarray, "n n_classes"]:
        """As `probabilities`, of output activations; a single one is that of the second of two classes."""
        a = a.astype(np.float64)
        if a.shape[1] == 1:
            return np.hstack([1.0 - a, a])
        return a / a.sum(axis=1, keepdims=True)

    def numbers(self, x: Float[np.ndarray, "n n_in"]) -> np.ndarray:
        """Predicted numbers in the target's units, (n,) or (n, n_targets)."""
        return self.target.inverse(self.outputs(x))

    def predict(self, data: Any) -> np.ndarray:
        """Predicted classes or numbers for a table or an array.

        Raises
        ------
        InputError : a column is missing or holds what it did not hold in training.
        """
        x = self.encoder.transform(data)
        if self.task == "regression":
            return self.numbers(x)
        return self.target.inverse(self.probabilities(x).argmax(axis=1))

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `target.classes`; see `predict`."""
        return self.probabilities(self.encoder.transform(data))

    def metrics(self, x: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """Scores on encoded rows.

        Classification: `loss` is the mean negative logarithm of the probability of the true class (natural),
        `accuracy`, and `ece`, the expected calibration error (`axonic.calibration`). Regression: `loss` is half the
        mean squared error of the encoded target, `rmse` and `mae` in the target's units, and `r2` (NaN for a single
        row); of several targets the mean, as in scikit-learn.

        Parameters
        ----------
        x : encoded rows.
        y : encoded targets (class indices, or numbers).
        weight : weights of the rows; None weighs them alike.
        """
        return self.scores(self.outputs(x), y, weight) if len(x) else {}

    def scores(self, a: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """As `metrics`, of output activations a (n, n_out)."""
        mean = functools.partial(np.average, axis=0, weights=weight)
        if self.task == "classification":
            p = self.probabilities_of(a)
            true = np.clip(p[np.arange(len(y)), y], np.finfo(np.float32).eps, 1.0)
            return {
                "loss": float(-mean(np.log(true))),
                "accuracy": float(mean(p.argmax(axis=1) == y)),
                "ece": expected_calibration_error(p, y, weight),
            }
        y = y.astype(np.float64).reshape(len(a), -1)
        a = a.astype(np.float64)
        true, predicted = (np.asarray(self.target.inverse(v), np.float64).reshape(len(a), -1) for v in (y, a))
        square = mean((true - predicted) ** 2)
        spread = mean((true - mean(true)) ** 2)
        r2 = np.mean(1 - square / spread) if np.all(spread > 0) else np.nan
        return {
            "loss": float(0.5 * np.sum(mean((y - a) ** 2))),
            "r2": float(r2),
            "rmse": float(np.mean(np.sqrt(square))),
            "mae": float(np.mean(mean(np.abs(true - predicted)))),
        }


@jax.jit
def _forward(
    network: Chain, loss: Loss, params: Params, x: Float[Array, "block row n_in"], n_blocks: Any
) -> Float[Array, "block row n_out"]:
    """Output activations of the first `n_blocks` blocks of rows; the others are 0."""

    def block(i: Any, outputs: Array) -> Array:
        z, _ = network.forward(params, x[i])
        return outputs.at[i].set(loss.activation.value(z))

    n_out = network.n_out(x.shape[-1])
    return jax.lax.fori_loop(0, n_blocks, block, jnp.zeros((*x.shape[:2], n_out), x.dtype))
