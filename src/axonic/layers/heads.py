"""From sequences to rows and back: what stands behind a recurrent layer.

    head                forward, at real steps                        backward: dL/dx_t at real steps, 0 at padded ones
    last_step           a = x_t of the last real step t               error at that step, else 0
    both_ends           a = first half of x_t of the last real step,  the halves of error at these two steps
                            second half of that of the first one
    mean_over_time      a = 1/n sum of x_t over the n real steps      error / n
    every_step          a_t = x_t, 0 at padded steps                  error_t
    each_step(layer)    a_t = layer(x_t), 0 at padded steps           that of the layer, all steps as rows

All but the last give plain arrays, for a dense layer or a loss. `each_step` gives a `Sequence`; its gradient is the sum
over all steps because the steps are the rows of one large batch (block by block of time, see
`axonic.layers.recurrence`). A row without a real step gives 0.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.layers import recurrence
from axonic.layers.base import Key, Layer, fold, masked
from axonic.layers.recurrence import by_row, by_time, cut, span
from axonic.specs import spec
from axonic.types import Params, Sequence


@spec
class LastStep(Layer):
    """See `last_step`."""

    of_sequences: ClassVar[bool] = True

    def forward(
        self, params: tuple, x: Sequence, key: Key | None = None
    ) -> tuple[Float[Array, "batch n"], Bool[Array, "batch time"]]:
        """The cache is True at the last real step of each row."""
        del params, key
        until_here = jnp.cumsum(x.mask, axis=1)
        last = x.mask & (until_here == until_here[:, -1:])
        place = jnp.argmax(last, axis=1)[:, None]
        taken = jnp.take_along_axis(x.values, place[..., None], axis=1)[:, 0]  # not a sum over all steps
        return jnp.where(jnp.any(last, axis=1)[:, None], taken, 0.0), last

    def backward(
        self, params: tuple, cache: Bool[Array, "batch time"], error: Float[Array, "batch n"]
    ) -> tuple[tuple, Float[Array, "batch time n"]]:
        del params
        return (), jnp.where(cache[..., None], error[:, None, :], 0.0)


@spec
class BothEnds(Layer):
    """See `both_ends`."""

    of_sequences: ClassVar[bool] = True

    def forward(
        self, params: tuple, x: Sequence, key: Key | None = None
    ) -> tuple[Float[Array, "batch n"], Bool[Array, "batch time n"]]:
        """The cache is True where an output comes from."""
        del params, key
        count = jnp.cumsum(x.mask, axis=1)
        last, first = x.mask & (count == count[:, -1:]), x.mask & (count == 1)
        onward = jnp.arange(x.values.shape[-1]) < x.values.shape[-1] // 2
        taken = jnp.where(onward, last[..., None], first[..., None])
        return jnp.where(taken, x.values, 0.0).sum(axis=1), taken

    def backward(
        self, params: tuple, cache: Bool[Array, "batch time n"], error: Float[Array, "batch n"]
    ) -> tuple[tuple, Float[Array, "batch time n"]]:
        del params
        return (), jnp.where(cache, error[:, None, :], 0.0)


@spec
class MeanOverTime(Layer):
    """See `mean_over_time`."""

    of_sequences: ClassVar[bool] = True

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

    of_sequences: ClassVar[bool] = True

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

    of_sequences: ClassVar[bool] = True

    @property
    def draws(self) -> bool:
        return self.layer.draws

    def n_out(self, n_in: int) -> int:
        return self.layer.n_out(n_in)

    def shapes(self, n_in: int) -> Params:
        return self.layer.shapes(n_in)

    def init(self, rng: np.random.Generator, n_in: int) -> Params:
        return self.layer.init(rng, n_in)

    def decayed(self, params: Params) -> Params:
        return self.layer.decayed(params)

    def forward(self, params: Params, x: Sequence, key: Key | None = None) -> tuple[Sequence, tuple[Any, Array]]:
        """The cache is that of the layer for each block of time, and the mask."""
        values = by_time(masked(x.mask, x.values))
        walk = span(x.mask)

        def block(j: Any) -> tuple[Array, Any]:
            return self.layer.forward(params, _rows(cut(values, j)), fold(key, j))

        def one(j: Any, kept: tuple[Array, Any]) -> tuple[Array, Any]:
            return jax.tree.map(lambda all_blocks, one: all_blocks.at[j].set(one), kept, block(j))

        n_blocks = len(values) // recurrence.BLOCK
        kept = jax.tree.map(lambda a: jnp.zeros((n_blocks, *a.shape), a.dtype), jax.eval_shape(block, 0))
        a, caches = jax.lax.fori_loop(*walk.blocks, one, kept)
        a = by_row(a.reshape(len(values), len(x.mask), -1), x.mask.shape[1])
        return Sequence(masked(x.mask, a), x.mask), (caches, x.mask)

    def backward(
        self, params: Params, cache: tuple[Any, Array], error: Float[Array, "batch time n"]
    ) -> tuple[Params, Float[Array, "batch time n_in"]]:
        caches, mask = cache
        errors = by_time(masked(mask, error))

        def block(j: Any) -> tuple[Params, Array]:
            layer_cache = jax.tree.map(lambda a: a[j], caches)
            return self.layer.backward(params, layer_cache, _rows(cut(errors, j)))

        def one(j: Any, sums: tuple[Params, Array]) -> tuple[Params, Array]:
            grads, error_in = block(j)
            return jax.tree.map(jnp.add, sums[0], grads), sums[1].at[j].set(error_in)

        of_grads, of_error = jax.eval_shape(block, 0)
        zero = jax.tree.map(lambda g: jnp.zeros(g.shape, g.dtype), of_grads)
        error_in = jnp.zeros((len(errors) // recurrence.BLOCK, *of_error.shape), of_error.dtype)
        grads, error_in = jax.lax.fori_loop(*span(mask).blocks, one, (zero, error_in))
        return grads, masked(mask, by_row(error_in.reshape(len(errors), len(mask), -1), mask.shape[1]))


def _rows(values: Float[Array, "time batch n"]) -> Float[Array, "steps n"]:
    return values.reshape(-1, values.shape[-1])


def last_step() -> LastStep:
    """The values at the last real step of each sequence, (batch, n)."""
    return LastStep()


def both_ends() -> BothEnds:
    """Behind a layer of both directions, where each of them has seen the whole sequence, (batch, n): the first half of
    the values at the last real step, the second half of those at the first one."""
    return BothEnds()


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
