"""What a layer is, and the chain of layers that is a network.

    forward     a^0 = x,  a^l = layer^l(a^{l-1})                          l = 1 .. L
    backward    error^L = dL/da^L,  (grads^l, error^{l-1}) = layer^l.backward(error^l)      l = L .. 1

`error` is the derivative of the loss with respect to a layer's output a; `delta` is the one with respect to its
pre-activation z, so the first line of a layer's backward is delta = error * activation'(z). The last layer of a
network has no activation of its own (a = z): the output activation belongs to the loss, whose delta^L enters here as
the error of the last layer.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from axonic.errors import InputError
from axonic.specs import spec
from axonic.types import Params, Sequence

Key = Any
"""A raw threefry key, (2,) uint32."""


class Trace(NamedTuple):
    """What a layer with a pre-activation shows of one pass.

    Attributes
    ----------
    z, a : pre-activation and activation, shape (batch, n_out).
    delta : dL/dz of the averaged loss, the same shape.
    """

    z: Float[Array, "batch n_out"]
    a: Float[Array, "batch n_out"]
    delta: Float[Array, "batch n_out"]


class Layer:
    """The protocol. A layer is a small spec (see `axonic.specs`) without state; weights are passed in and out.

    `key` is given while training and None at prediction: dropout and noise act only when there is one.
    """

    decays: ClassVar[tuple[str, ...]] = ()
    """Names of the fields of its params that L1 and L2 act on (weights, never biases)."""

    of_sequences: ClassVar[bool] = False
    """Whether its input is a `Sequence`."""

    @property
    def draws(self) -> bool:
        """Whether `forward` draws from its key."""
        return False

    def n_out(self, n_in: int) -> int:
        """Number of outputs for `n_in` inputs."""
        return n_in

    def shapes(self, n_in: int) -> Params:
        """The tree of its params with `jax.ShapeDtypeStruct` leaves; `()` for a layer that has none."""
        del n_in
        return ()

    def init(self, rng: np.random.Generator, n_in: int) -> Params:
        """Initial weights, NumPy float32; `()` for a layer that has none. Drawn on the host: nothing is compiled."""
        del rng, n_in
        return ()

    def forward(self, params: Params, x: Any, key: Key | None = None) -> tuple[Any, Any]:
        """(a, cache): the output for a batch of rows, and what `backward` reads. Sequences are a `Sequence` each."""
        raise NotImplementedError

    def backward(self, params: Params, cache: Any, error: Array) -> tuple[Params, Array]:
        """(grads, error_in): dL/dparams, the same tree as params, and dL/dx, from error = dL/da.

        Of a `Sequence` these are dL/dvalues, plain arrays: a mask has no derivative.
        """
        raise NotImplementedError

    def trace(self, params: Params, cache: Any, error: Array) -> Trace | None:
        """(z, a, delta) of this layer, or None if it has no pre-activation."""
        del params, cache, error
        return None

    def decayed(self, params: Params) -> Params:
        """A tree like params with True where L1 and L2 act."""
        return type(params)(*(name in self.decays for name in params._fields)) if params else ()


@spec
class Chain(Layer):
    """Layers one after the other; itself a layer. Its params are the tuple of theirs."""

    layers: tuple[Layer, ...]

    @property
    def of_sequences(self) -> bool:
        return bool(self.layers) and self.layers[0].of_sequences

    @property
    def draws(self) -> bool:
        return any(layer.draws for layer in self.layers)

    def n_out(self, n_in: int) -> int:
        for layer in self.layers:
            n_in = layer.n_out(n_in)
        return n_in

    def shapes(self, n_in: int) -> Params:
        shapes = []
        for layer in self.layers:
            shapes.append(layer.shapes(n_in))
            n_in = layer.n_out(n_in)
        return tuple(shapes)

    def init(self, rng: np.random.Generator, n_in: int) -> Params:
        params = []
        for layer in self.layers:
            params.append(layer.init(rng, n_in))
            n_in = layer.n_out(n_in)
        return tuple(params)

    def forward(self, params: Params, x: Any, key: Key | None = None) -> tuple[Any, Any]:
        caches = []
        for index, (layer, layer_params) in enumerate(zip(self.layers, params, strict=True)):
            x, cache = layer.forward(layer_params, x, fold(key, index) if layer.draws else None)
            caches.append(cache)
        return x, tuple(caches)

    def backward(self, params: Params, cache: Any, error: Array) -> tuple[Params, Array]:
        grads = []
        for layer, layer_params, layer_cache in reversed(list(zip(self.layers, params, cache, strict=True))):
            layer_grads, error = layer.backward(layer_params, layer_cache, error)
            grads.append(layer_grads)
        return tuple(reversed(grads)), error

    def traces(self, params: Params, cache: Any, error: Array) -> tuple[Trace | None, ...]:
        """The trace of every layer, in the order of the layers."""
        traces = []
        for layer, layer_params, layer_cache in reversed(list(zip(self.layers, params, cache, strict=True))):
            traces.append(layer.trace(layer_params, layer_cache, error))
            _, error = layer.backward(layer_params, layer_cache, error)
        return tuple(reversed(traces))

    def decayed(self, params: Params) -> Params:
        return tuple(layer.decayed(layer_params) for layer, layer_params in zip(self.layers, params, strict=True))


def units(n: Any) -> int:
    """Return a number of units, or raise `InputError` if it is no whole number of at least 1."""
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise InputError(f"a layer of {n!r} units is impossible", "give a whole number of at least 1")
    return int(n)


def fold(key: Key | None, index: Any) -> Key | None:
    """A key of its own for each layer, step or block; None stays None."""
    if key is None:
        return None
    return jax.random.fold_in(key, index)


def sequence(values: Float[Array, "batch time n"], lengths: Int[Array, " batch"] | None = None) -> Sequence:
    """A `Sequence` of rows that are real for their first `lengths` steps; all steps are real if none are given.

    >>> import jax.numpy as jnp
    >>> sequence(jnp.ones((2, 3, 1)), jnp.array([3, 1])).mask.tolist()
    [[True, True, True], [True, False, False]]
    """
    n_batch, n_time, _ = values.shape
    if lengths is None:
        lengths = jnp.full(n_batch, n_time)
    return Sequence(values, jnp.arange(n_time) < lengths[:, None])


def masked(mask: Bool[Array, "batch time"], values: Float[Array, "batch time n"]) -> Float[Array, "batch time n"]:
    """The values with 0 at padded steps, whatever they hold there."""
    return jnp.where(mask[..., None], values, 0.0)


def chain(*layers: Layer) -> Chain:
    """A network of `layers`.

    >>> from axonic import layers
    >>> network = layers.chain(layers.dense(64, "relu"), layers.dropout(0.2), layers.dense(3))
    >>> network.n_out(20)
    3
    """
    return Chain(layers)
