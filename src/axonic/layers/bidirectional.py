"""A recurrent layer in both directions (Schuster and Paliwal 1997).

    forward     a_t = (onward(x)_t, back(x reversed in time)_t reversed in time)      (batch, time, 2 n_hidden)
    backward    error is cut in two, the second half goes reversed through the layer and its dL/dx is reversed again;
                dL/dx is the sum of both

Reversing a padded row brings its padding to the front, where the state is still 0 and stays so: no length is needed.

`back` has seen the whole sequence at the first step and one step alone at the last, so `last_step` behind this layer
sees little of it; `mean_over_time` sees both.
"""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.layers.base import Key, Layer, fold
from axonic.specs import spec
from axonic.types import Params, Sequence


class BidirectionalParams(NamedTuple):
    """The params of the layer that goes with time and of the one that goes against it; also their caches."""

    onward: Any
    back: Any


@spec
class Bidirectional(Layer):
    """See `bidirectional`."""

    layer: Layer

    of_sequences: ClassVar[bool] = True

    @property
    def draws(self) -> bool:
        return self.layer.draws

    def n_out(self, n_in: int) -> int:
        return 2 * self.layer.n_out(n_in)

    def shapes(self, n_in: int) -> BidirectionalParams:
        return BidirectionalParams(self.layer.shapes(n_in), self.layer.shapes(n_in))

    def init(self, rng: np.random.Generator, n_in: int) -> BidirectionalParams:
        return BidirectionalParams(self.layer.init(rng, n_in), self.layer.init(rng, n_in))

    def decayed(self, params: BidirectionalParams) -> Params:
        return BidirectionalParams(self.layer.decayed(params.onward), self.layer.decayed(params.back))

    def forward(
        self, params: BidirectionalParams, x: Sequence, key: Key | None = None
    ) -> tuple[Sequence, BidirectionalParams]:
        onward, onward_cache = self.layer.forward(params.onward, x, fold(key, 0))
        reversed_x = Sequence(_reverse(x.values), _reverse(x.mask))
        back, back_cache = self.layer.forward(params.back, reversed_x, fold(key, 1))
        a = jnp.concatenate([onward.values, _reverse(back.values)], axis=-1)
        return Sequence(a, x.mask), BidirectionalParams(onward_cache, back_cache)

    def backward(
        self, params: BidirectionalParams, cache: BidirectionalParams, error: Float[Array, "batch time n"]
    ) -> tuple[BidirectionalParams, Float[Array, "batch time n_in"]]:
        onward_error, back_error = jnp.split(error, 2, axis=-1)
        back, back_error_in = self.layer.backward(params.back, cache.back, _reverse(back_error))
        onward, onward_error_in = self.layer.backward(params.onward, cache.onward, onward_error)
        return BidirectionalParams(onward, back), onward_error_in + _reverse(back_error_in)


def _reverse(array: Array) -> Array:
    return jnp.flip(array, axis=1)


def bidirectional(layer: Layer) -> Bidirectional:
    """`layer` twice, with weights of their own, once with time and once against it; their outputs stand side by side.

    >>> from axonic import layers
    >>> layers.bidirectional(layers.lstm(8)).n_out(3)
    16
    """
    return Bidirectional(layer)
