"""A trained network with the encoders around it: all that a prediction needs.

table or array  ->  encoder  ->  network  ->  output activation  ->  target encoder  ->  predictions

Of sequences (`axonic.data.ragged.Ragged`) the encoder sees the steps, and where every step is predicted the outputs are
those of all steps, one after the other.

A model may hold several networks of the same kind, trained from different weights on different splits: its output is
then the mean of theirs (the probabilities of classes, or the numbers).
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jaxtyping import Array, Float

from axonic.calibration import expected_calibration_error
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged, known, known_steps
from axonic.data.schema import Task
from axonic.data.sequences.windows import SeriesCoding
from axonic.data.targets import TargetEncoder
from axonic.engine import set_up
from axonic.errors import InputError
from axonic.layers import RBF, Dense, EveryStep
from axonic.layers.base import Chain
from axonic.layers.rbf import distances, radial_value
from axonic.losses import Loss, Quantile, Robust
from axonic.programs import compiled, make_room
from axonic.types import Params, Sequence

BLOCK = 128
BLOCKS = 32
SEQUENCES = 32
"""Sequences of a block."""
SEQUENCE_BYTES = 8 << 20
SHORTEST = 16
SMALLEST = np.finfo(np.float32).eps
"""Probabilities are clipped here before their logarithm."""


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
    def task(self) -> Task:
        """ "classification", "regression" or "multilabel"."""
        return self.target.task

    @property
    def recurrent(self) -> bool:
        """Whether it reads sequences."""
        return self.network.of_sequences

    @property
    def by_step(self) -> bool:
        """Whether every step of a sequence is predicted."""
        return isinstance(self.network.layers[-1], EveryStep)

    def alone(self, index: int) -> "Model":
        """The model with one of its networks only."""
        return dataclasses.replace(self, members=(self.members[index],))

    def encode(self, data: Any) -> Any:
        """The network's inputs for a table or an array, or for sequences of either.

        Raises
        ------
        InputError : a column is missing or holds what it did not hold in training.
        """
        if isinstance(data, Ragged):
            return Ragged(self.encoder.transform(data.values), data.offsets)
        return self.encoder.transform(data)

    def outputs(self, x: Float[np.ndarray, "n n_in"] | Ragged) -> Float[np.ndarray, "n n_out"]:
        """Output activations for encoded rows or sequences, the mean over the networks; one compiled program serves any
        number of rows and networks, and sequences of similar length."""
        return self.each(x).mean(axis=0)

    def spread(self, x: Float[np.ndarray, "n n_in"] | Ragged) -> np.ndarray:
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
        answers = [one.numbers(x) if self.task == "regression" else one.probabilities(x) for one in each]
        return np.std(answers, axis=0, ddof=1)

    def each(self, x: Float[np.ndarray, "n n_in"] | Ragged) -> Float[np.ndarray, "networks n n_out"]:
        """The outputs of each network."""
        set_up()
        make_room()
        if isinstance(x, Ragged):
            return self._each_of_sequences(x)
        if isinstance(self.network.layers[0], RBF):
            return self._each_of_radial(x)
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

    def _each_of_radial(self, x: Float[np.ndarray, "n n_in"]) -> Float[np.ndarray, "networks n n_out"]:
        """In float64: readout weights may be large and of either sign, and would amplify the rounding of float32."""
        layer, readout = self.network.layers[0], self.network.layers[-1]
        assert isinstance(layer, RBF)
        assert isinstance(readout, Dense)
        outputs = np.zeros((len(self.members), len(x), readout.n_units), np.float32)
        size = BLOCK * BLOCKS
        exact = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (p[0], p[-1])) for p in self.members]
        for start in range(0, len(x), size):
            rows = np.zeros((size, x.shape[1]))
            rows[: len(x) - start] = x[start : start + size]
            for each, ((c, log_width), (w, b)) in zip(outputs, exact, strict=True):
                z = radial_value(layer.radial, distances(c, log_width, rows, np), np) @ w + b
                each[start : start + size] = _activated(self.loss, z.astype(np.float32))[: len(x) - start]
        return outputs

    def _each_of_sequences(self, x: Ragged) -> Float[np.ndarray, "networks n n_out"]:
        n_time = next(t for t in _sizes() if t >= x.longest)
        n_in = x.shape[1]
        n_blocks = int(np.clip(SEQUENCE_BYTES // (4 * SEQUENCES * n_time * n_in), 1, BLOCKS))
        size = SEQUENCES * n_blocks
        order = np.argsort(-x.lengths, kind="stable")
        n_out = self.network.n_out(n_in)
        outputs = np.empty((len(self.members), len(x.values) if self.by_step else len(x), n_out), np.float32)
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            slots = np.full((n_blocks, SEQUENCES), -1)
            slots.reshape(-1)[: len(rows)] = rows
            values = np.zeros((*slots.shape, n_time, n_in), np.float32)
            mask = np.zeros((*slots.shape, n_time), bool)
            x.fill(slots, values, mask)
            used = np.int32(-(-len(rows) // SEQUENCES))
            blocks = Sequence(values, mask)  # pyright: ignore[reportArgumentType]
            each = [_forward(self.network, self.loss, params, blocks, used) for params in self.members]
            found = np.stack(each).reshape(len(each), size, *each[0].shape[2:])[:, : len(rows)]
            if self.by_step:
                outputs[:, x.steps(rows)] = found[:, mask.reshape(size, n_time)[: len(rows)]]
            else:
                outputs[:, rows] = found
        return outputs

    def probabilities(self, x: Float[np.ndarray, "n n_in"] | Ragged) -> Float[np.ndarray, "n n_classes"]:
        """Probability of each class, float64, rows summing to 1; or of each of several labels."""
        return self.probabilities_of(self.outputs(x))

    def probabilities_of(self, a: Float[np.ndarray, "n n_out"]) -> Float[np.ndarray, "n n_classes"]:
        """As `probabilities`, of output activations; a single one is that of the second of two classes."""
        a = a.astype(np.float64)
        if self.task == "multilabel":
            return a
        if a.shape[1] == 1:
            return np.hstack([1.0 - a, a])
        return a / a.sum(axis=1, keepdims=True)

    def numbers(self, x: Float[np.ndarray, "n n_in"] | Ragged) -> np.ndarray:
        """Predicted numbers in the target's units, (n,) or (n, n_targets)."""
        return self.target.inverse(self.outputs(x))

    def predict(self, data: Any) -> np.ndarray:
        """Predicted classes or numbers for a table or an array.

        Raises
        ------
        InputError : a column is missing or holds what it did not hold in training.
        """
        x = self.encode(data)
        if self.task == "regression":
            return self.numbers(x)
        return self.decided(self.probabilities(x))

    def decided(self, p: Float[np.ndarray, "n n_classes"]) -> np.ndarray:
        """The most probable classes, (n,); or 1 for each of several labels that is likelier than not, (n, n_labels)."""
        return self.target.inverse(p if self.task == "multilabel" else p.argmax(axis=1))

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities of the classes, in the order of `target.classes`; see `predict`."""
        return self.probabilities(self.encode(data))

    def forecast(self, steps: Any, n_steps: int | None = None) -> np.ndarray:
        """The values that follow a series, (n_steps,), float64.

        Parameters
        ----------
        steps : the series, an array or a frame whose first column is the one to forecast; its last window is looked at.
        n_steps : how many; None is the horizon. Beyond it the forecasts themselves continue the series.

        Raises
        ------
        InputError : the series is shorter than the window, or n_steps is impossible.
        """
        coding = SeriesCoding.from_json(self.info["series"])
        wanted = coding.horizon if n_steps is None else n_steps
        if not isinstance(wanted, int | np.integer) or wanted < 1:
            raise InputError(f"{wanted!r} steps are impossible", "give a whole number of at least 1")
        if len(steps) < coding.window:
            what = f"the series of {len(steps)} steps is shorter than the window of {coding.window}"
            raise InputError(what, f"give at least its last {coding.window} steps")
        if wanted > coding.horizon and steps.shape[1] > 1:
            what = f"{wanted} steps are more than the horizon of {coding.horizon}"
            raise InputError(
                what, "other columns are not known beyond it: forecast fewer, or train with the series alone"
            )
        recent = steps[-coding.window :]
        found: list[float] = []
        while len(found) < wanted:
            series = _series(recent)
            end = np.array([coding.window - 1])
            x = coding.inputs(self.encoder.transform(recent), end)
            following = self.numbers(x).reshape(-1) + coding.origin(series, end)[0]
            found += following.tolist()
            series = np.concatenate([series, following])[-coding.window :]
            recent = series[:, None] if isinstance(recent, np.ndarray) else pl.DataFrame({recent.columns[0]: series})
        return np.array(found[:wanted])

    def forecasts(self, windows: np.ndarray | Ragged) -> np.ndarray:
        """What follows each of several windows, (n, horizon), float64.

        Parameters
        ----------
        windows : (n, window, features) or (n, window), the feature to forecast first; or sequences of arrays or frames.

        Raises
        ------
        InputError : the windows are of another length.
        """
        coding = SeriesCoding.from_json(self.info["series"])
        if not isinstance(windows, Ragged):
            windows = np.asarray(windows, np.float64)
            n, length = windows.shape[:2]
            windows = Ragged.of(windows.reshape(n * length, -1), np.full(n, length))
        coding.check(windows.lengths)
        ends = windows.offsets[1:] - 1
        x = coding.inputs(self.encoder.transform(windows.values), ends)
        return self.numbers(x).reshape(len(ends), -1) + coding.origin(_series(windows.values), ends)

    def metrics(
        self,
        x: np.ndarray | Ragged,
        y: np.ndarray | Ragged,
        weight: np.ndarray | None = None,
        origin: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Scores on encoded rows, or on encoded sequences. Where each step has a target, all steps count alike, but for
        `loss`, in which every sequence does, as in training.

        Classification: `loss` is the mean negative logarithm of the probability of the true class (natural),
        `accuracy`, and `ece`, the expected calibration error (`axonic.calibration`). Several labels: `loss` is the sum
        over the labels of their mean cross-entropy, `accuracy` the share of rows with every label right. Regression:
        `loss` is half the mean squared error of the encoded target, or the loss itself if that is huber, absolute or
        quantile, summed over several targets; `rmse` and `mae` in the target's units, and `r2` (NaN for a single row);
        of a quantile also `below`, the share of the targets that are no higher than predicted; these are means over
        several targets, as in scikit-learn.

        Parameters
        ----------
        x : encoded rows.
        y : encoded targets (class indices, or numbers).
        weight : weights of the rows; None weighs them alike.
        origin : (n, n_targets) what numbers are added to, in the target's units; None is 0.
        """
        return self.scores(self.outputs(x), y, weight, origin) if len(x) else {}

    def scores(
        self,
        a: np.ndarray,
        y: np.ndarray | Ragged,
        weight: np.ndarray | None = None,
        origin: np.ndarray | None = None,
    ) -> dict[str, float]:
        """As `metrics`, of output activations a (n, n_out)."""
        if isinstance(y, Ragged):
            there, weight = known(y), np.ones(len(y)) if weight is None else weight
            a, each = a[there], np.repeat(weight, y.lengths)[there]
            y, weight = known_steps(y, weight)
        else:
            each = weight
        mean = functools.partial(np.average, axis=0, weights=each)
        if self.task == "classification":
            p = self.probabilities_of(a)
            return {
                "loss": float(np.average(_log_losses(p, y), weights=weight)),
                "accuracy": float(mean(p.argmax(axis=1) == y)),
                "ece": expected_calibration_error(p, y, each),
            }
        y, a = y.astype(np.float64).reshape(len(a), -1), a.astype(np.float64)
        loss = float(np.average(self.losses(a, y), weights=weight))
        if self.task == "multilabel":
            return {"loss": loss, "accuracy": float(mean(np.all((a > 0.5) == (y > 0.5), axis=1)))}
        true, predicted = (np.asarray(self.target.inverse(v), np.float64).reshape(len(a), -1) for v in (y, a))
        if origin is not None:
            true, predicted = true + origin, predicted + origin
        largest = np.maximum(np.abs(true), np.abs(predicted)).max(axis=0)
        # squares of 1e200 are beyond float64; a power of two costs no bit
        unit = np.ldexp(1.0, np.frexp(largest)[1] - 1)
        error, centred = (true - predicted) / unit, true / unit
        square = mean(error**2)
        spread = mean((centred - mean(centred)) ** 2)
        r2 = np.mean(1 - square / spread) if np.all(spread > 0) else np.nan
        below = {"below": float(np.mean(mean(true <= predicted)))} if isinstance(self.loss, Quantile) else {}
        return {
            "loss": loss,
            "r2": float(r2),
            "rmse": float(np.mean(np.sqrt(square) * unit)),
            "mae": float(np.mean(mean(np.abs(error)) * unit)),
            **below,
        }

    def losses(self, a: np.ndarray, y: np.ndarray) -> Float[np.ndarray, " n"]:
        """The loss of each row, as `metrics` has it, of output activations a (n, n_out) and encoded targets."""
        if self.task == "classification":
            return _log_losses(self.probabilities_of(a), y)
        y, a = y.astype(np.float64).reshape(len(a), -1), a.astype(np.float64)
        if self.task == "multilabel":
            right = np.where(y > 0.5, a, 1 - a)
            return -np.log(np.clip(right, SMALLEST, 1.0)).sum(axis=1)
        if isinstance(self.loss, Robust):
            return np.asarray(self.loss.value(jnp.asarray(a), jnp.asarray(y)))
        return 0.5 * np.square(y - a).sum(axis=1)


def _log_losses(p: Float[np.ndarray, "n n_classes"], y: np.ndarray) -> Float[np.ndarray, " n"]:
    """-log of the probability of the class of each row."""
    return -np.log(np.clip(p[np.arange(len(y)), y], SMALLEST, 1.0))


def _series(steps: Any) -> Float[np.ndarray, " steps"]:
    """The first column of an array or a frame."""
    return np.asarray(steps[:, 0], np.float64)


def _sizes() -> Iterator[int]:
    """Numbers of steps that programs are compiled for: 16, 24, 32, 48, 64, ..."""
    size = SHORTEST
    while True:
        yield from (size, size + size // 2)
        size *= 2


@compiled
def _activated(loss: Loss, z: Float[Array, "row n_out"]) -> Float[Array, "row n_out"]:
    return loss.activation.value(z)


@compiled
def _forward(
    network: Chain, loss: Loss, params: Params, x: Float[Array, "block row n_in"] | Sequence, n_blocks: Any
) -> Float[Array, "block row ..."]:
    """Output activations of the first `n_blocks` blocks of rows; the others are 0."""

    def outputs(i: Any) -> Array:
        z, _ = network.forward(params, jax.tree.map(lambda a: a[i], x))
        return loss.activation.value(z)

    block = jax.eval_shape(outputs, 0)
    zero = jnp.zeros((len(jax.tree.leaves(x)[0]), *block.shape), block.dtype)
    return jax.lax.fori_loop(0, n_blocks, lambda i, all: all.at[i].set(outputs(i)), zero)
