"""From sequences to rows and back: what stands behind a recurrent layer.

    head                forward, at real steps                        backward: dL/dx_t at real steps, 0 at padded ones
    last_step           a = x_t of the last real step t               error at that step, else 0
    mean_over_time      a = 1/n sum of x_t over the n real steps      error / n
    every_step          a_t = x_t, 0 at padded steps                  error_t
    each_step(layer)    a_t = layer(x_t), 0 at padded steps           that of the layer, all steps as rows

The first three give plain arrays, for a dense layer or a loss. `each_step` gives a `Sequence`; its gradient is the sum
over all steps because the steps are the rows of one large batch. A row without a real step gives 0.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.layers.base import Key, Layer, masked
from axonic.specs import spec
from axonic.types import Params, Sequence


@spec
class LastStep(Layer):
    """See `last_step`."""

    def forward(
        self, params: tuple, x: Sequence, key: Key | None = None
    ) -> tuple[Float[Array, "batch n"], Bool[Array, "batch time"]]:
        """The cache is True at the last real step of each row."""
        del params, key
        until_here = jnp.cumsum(x.mask, axis=1)
        last = x.mask & (until_here == until_here[:, -1:])
        return masked(last, x.values).sum(axis=1), last

    def backward(
        self, params: tuple, cache: Bool[Array, "batch time"], error: Float[Array, "batch n"]
    ) -> tuple[tuple, Float[Array, "batch time n"]]:
        del params
        return (), jnp.where(cache[..., None], error[:, None, :], 0.0)


@spec
class MeanOverTime(Layer):
    """See `mean_over_time`."""

    def forward(
        self, params: tuple, x: Sequence, key: Key | None = None
    ) -> tuple[Float[Array, "batch n"], Float[Array, "batch time 1"]]:
        """The cache is the share of each step: 1/n at real steps, 0 at padded ones."""
        del params, key
        count = jnp.maximum(x.mask.sum(axis=1, keepdims=True), 1)
        share = (x.mask / count)[..., None].astype(x.values.dtype)
        return (masked(x.mask, x.values) * share).sum(axis=1), share

    def backward(
        self, params: tuple, cache: Float[Array, "batch time 1"], error: Float[Array, "batch n"]
    ) -> tuple[tuple, Float[Array, "batch time n"]]:
        del params
        return (), error[:, None, :] * cache


@spec
class EveryStep(Layer):
    """See `every_step`."""

    def forward(
        self, params: tuple, x: Sequence, key: Key | None = None
    ) -> tuple[Float[Array, "batch time n"], Bool[Array, "batch time"]]:
        """The cache is the mask."""
        del params, key
        return masked(x.mask, x.values), x.mask

    def backward(
        self, params: tuple, cache: Bool[Array, "batch time"], error: Float[Array, "batch time n"]
    ) -> tuple[tuple, Float[Array, "batch time n"]]:
        del params
        return (), masked(cache, error)


@spec
class EachStep(Layer):
    """See `each_step`."""

    layer: Layer

    def n_out(self, n_in: int) -> int:
        return self.layer.n_out(n_in)

    def shapes(self, n_in: int) -> Params:
        return self.layer.shapes(n_in)

    def init(self, rng: np.random.Generator, n_in: int) -> Params:
        return self.layer.init(rng, n_in)

    def decayed(self, params: Params) -> Params:
        return self.layer.decayed(params)

    def forward(self, params: Params, x: Sequence, key: Key | None = None) -> tuple[Sequence, tuple[Any, Array]]:
        """The cache is that of the layer, and the mask."""
        a, cache = self.layer.forward(params, _rows(masked(x.mask, x.values)), key)
        return Sequence(masked(x.mask, a.reshape(*x.mask.shape, -1)), x.mask), (cache, x.mask)

    def backward(
        self, params: Params, cache: tuple[Any, Array], error: Float[Array, "batch time n"]
    ) -> tuple[Params, Float[Array, "batch time n_in"]]:
        layer_cache, mask = cache
        grads, error_in = self.layer.backward(params, layer_cache, _rows(masked(mask, error)))
        return grads, masked(mask, error_in.reshape(*mask.shape, -1))


def _rows(values: Float[Array, "batch time n"]) -> Float[Array, "steps n"]:
    return values.reshape(-1, values.shape[-1])


def last_step() -> LastStep:
    """The values at the last real step of each sequence, (batch, n)."""
    return LastStep()


def mean_over_time() -> MeanOverTime:
    """The mean of the values over the real steps of each sequence, (batch, n)."""
    return MeanOverTime()


def every_step() -> EveryStep:
    """The values at every step, (batch, time, n), 0 at padded steps: the last layer where each step has a target."""
    return EveryStep()


def each_step(layer: Layer) -> EachStep:
    """`layer`, one that takes rows (dense, dropout), applied to each step with the same weights.

    >>> from axonic import layers
    >>> network = layers.chain(
    ...     layers.lstm(16), layers.each_step(layers.dropout(0.2)), layers.gru(16), layers.last_step(), layers.dense(3)
    ... )
    """
    return EachStep(layer)
