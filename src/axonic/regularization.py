"""What keeps a network from overfitting, beside L1, L2 (`axonic.objective`), dropout (`axonic.layers.dropout`), early
stopping (`axonic.training`) and several networks (`axonic.recipe`). All acts while training and not at prediction.

    input_noise s       x <- x + s e,  e ~ N(0, 1) for each number at each step; for small s a penalty on how steep the
                        network is (Bishop 1995); of sequences at each of their steps ("jitter")
    scaling s           of sequences: x_t <- x_t (1 + s e) with one e ~ N(0, 1) for each sequence and feature at each
                        step of training, so that how large a signal is tells less than its shape (Um et al. 2017)
    slicing s           of sequences: a stretch of a share 1 - s of the real steps (rounded up), which begins anywhere;
                        the others count as padding (Le Guennec et al. 2016, "window slicing")
    mixup a             x_i <- m x_i + (1 - m) x_j and likewise y, with m ~ Beta(a, a) for each batch and j the row
                        after i in it, which is a random one since rows are shuffled (Zhang et al. 2018, figure 1).
                        Rows with weights v: v <- m v_i + (1 - m) v_j,  y <- (m v_i y_i + (1 - m) v_j y_j) / v, so that
                        a loss that is linear in y is the mean of the two losses
    label_smoothing s   y <- (1 - s) y + s / K for K classes (Szegedy et al. 2016, section 7)
    max_norm c          after each step w <- w min(1, c / |w|) for the weights into each hidden unit (Srivastava et al.
                        2014, section 5.1); the output layer is left alone
    weight_average b    what is validated and kept is the mean of the weights of all steps, the one k steps ago with
                        weight b^k:  avg_t = avg_{t-1} + (1 - b) / (1 - b^t) (w_t - avg_{t-1})  (Polyak and Juditsky
                        1992; the divisor as in Adam)

Each is a value of the compiled program, and not in the program at all where it is None. The training loss that is shown
is that of the changed rows.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from axonic.layers.base import Chain, Key, fold
from axonic.types import Batch, Params, Sequence

NOISE, MIX, SCALE, SLICE = (1 << power for power in (20, 21, 22, 23))
"""What is folded into the key of a step, beyond the number of any layer."""


POINTS = 1025


class Regularization(NamedTuple):
    """See the module; None where it is not used. `mixup` is the table of `quantiles`."""

    input_noise: Any = None
    scaling: Any = None
    slicing: Any = None
    mixup: Any = None
    label_smoothing: Any = None
    max_norm: Any = None
    weight_average: Any = None

    @property
    def changes_batches(self) -> bool:
        """Whether the rows of a step are changed."""
        of_weights = self._replace(max_norm=None, weight_average=None)
        return any(value is not None for value in of_weights)


def changed(batch: Batch, values: Regularization, n_out: int, key: Key) -> Batch:
    """The batch as it is trained on at one step.

    Parameters
    ----------
    batch : rows, in blocks or not; padding (weight 0) stands behind the others.
    values : what is to be done.
    n_out : outputs of the network.
    key : raw key of the step.
    """
    if values.label_smoothing is not None:
        y = _as_numbers(batch, n_out)
        batch = batch._replace(y=y + values.label_smoothing * (1 / max(n_out, 2) - y))
    if values.mixup is not None:
        batch = mixed(batch._replace(y=_as_numbers(batch, n_out)), drawn(values.mixup, fold(key, MIX)))
    if isinstance(batch.x, Sequence):
        batch = batch._replace(x=_augmented(batch.x, values, key))
    if values.input_noise is not None:
        batch = batch._replace(x=_noisy(batch.x, values.input_noise, fold(key, NOISE)))
    return batch


def quantiles(a: float) -> np.ndarray:
    """The quantiles of Beta(a, a) at `POINTS` points from 0 to 1. Looking one up takes the place of drawing by
    rejection, which would make the program much larger."""
    from scipy.special import betaincinv

    return betaincinv(a, a, np.linspace(0, 1, POINTS)).astype(np.float32)


def drawn(table: Any, key: Any) -> Array:
    """A number with that distribution, linear between the quantiles."""
    place = jax.random.uniform(key, (), table.dtype) * (POINTS - 1)
    below = jnp.clip(place.astype(jnp.int32), 0, POINTS - 2)
    return table[below] + (place - below) * (table[below + 1] - table[below])


def mixed(batch: Batch, share: Any) -> Batch:
    """Each row with 1 - `share` of the next one, the last with the first."""
    n_real = jnp.sum(batch.weight > 0, axis=-1, keepdims=True)
    place = jnp.arange(batch.weight.shape[-1])
    partner = jnp.where(place + 1 < n_real, place + 1, 0)

    def of_partner(rows: Any) -> Array:
        index = partner.reshape(partner.shape + (1,) * (rows.ndim - batch.weight.ndim))
        return jnp.take_along_axis(rows, index, axis=batch.weight.ndim - 1)

    def wide(weight: Array) -> Array:
        return weight.reshape(weight.shape + (1,) * (batch.y.ndim - batch.weight.ndim))

    own = share * batch.weight
    other = jnp.where(batch.weight > 0, (1 - share) * of_partner(batch.weight), 0.0)
    weight = own + other
    y = (wide(own) * batch.y + wide(other) * of_partner(batch.y)) / jnp.where(wide(weight) > 0, wide(weight), 1.0)
    return Batch(share * batch.x + (1 - share) * of_partner(batch.x), y, weight)


def _noisy(x: Any, deviation: Any, key: Any) -> Any:
    if isinstance(x, Sequence):
        return x._replace(values=_noisy(x.values, deviation, key))
    return x + deviation * jax.random.normal(key, x.shape, x.dtype)


def _augmented(x: Sequence, values: Regularization, key: Key) -> Sequence:
    x = x if values.scaling is None else _scaled(x, values.scaling, fold(key, SCALE))
    return x if values.slicing is None else _sliced(x, values.slicing, fold(key, SLICE))


def _scaled(x: Sequence, deviation: Any, key: Any) -> Sequence:
    values = x.values
    drawn = jax.random.normal(key, (*values.shape[:-2], 1, values.shape[-1]), values.dtype)
    return x._replace(values=values * (1 + deviation * drawn))


def _sliced(x: Sequence, share: Any, key: Any) -> Sequence:
    place = jnp.cumsum(x.mask, axis=-1) - 1
    length = place[..., -1:] + 1
    kept = jnp.ceil((1 - share) * length - 1e-4).astype(length.dtype)  # .9 of 10 is 9, not what is a hair above it
    first = jnp.floor(jax.random.uniform(key, length.shape) * (length - kept + 1)).astype(length.dtype)
    return x._replace(mask=x.mask & (place >= first) & (place < first + kept))


def _as_numbers(batch: Batch, n_out: int) -> Array:
    """The targets as (..., n_out) numbers: indicators in place of classes."""
    y = batch.y
    if not jnp.issubdtype(y.dtype, jnp.integer):
        return y
    if n_out == 1:
        return y[..., None].astype(batch.weight.dtype)
    return jax.nn.one_hot(y, n_out, dtype=batch.weight.dtype)


def within_norm(network: Chain, params: Params, norm: Any) -> Params:
    """The weights with those into each hidden unit no longer than `norm`."""

    def shortened(w: Array, decayed: bool) -> Array:
        if not decayed or w.ndim != 2:
            return w
        length = jnp.sqrt(jnp.sum(w * w, axis=0, keepdims=True))
        return w * jnp.minimum(1.0, norm / jnp.maximum(length, jnp.finfo(w.dtype).tiny)).astype(w.dtype)

    last = max(place for place, layer in enumerate(params) if jax.tree.leaves(layer))
    hidden = jax.tree.map(shortened, params[:last], network.decayed(params)[:last])
    return (*hidden, *params[last:])


def averaged(average: Params, params: Params, decay: Any, step: Any) -> Params:
    """The mean after step number `step`, counted from 0."""
    gain = (1.0 - decay) / (1.0 - decay ** (step + 1))
    return jax.tree.map(lambda old, new: old + (gain * (new - old)).astype(old.dtype), average, params)
