"""The fully connected layer.

    forward     z = x w + b                      x (batch, n_in), w (n_in, n_out), b (n_out)
                a = activation(z)
    backward    delta = error * activation'(z)   error = dL/da, delta = dL/dz, both (batch, n_out)
                dL/db = sum of delta over the batch
                dL/dw = x^T delta
                dL/dx = delta w^T

In components z_ij = sum_k x_ik w_kj + b_j, so dz_ij/dw_kj = x_ik, dz_ij/db_j = 1 and dz_ij/dx_ik = w_kj; summing
each against delta_ij gives the three lines. The notes write examples as columns, keep one row of w a unit, and carry
b as the weight of an always-one neuron that has no error of its own: here examples are rows and b stands apart, which
is the same thing and lets L1 and L2 act on w alone. The factor 1/n of the notes is in delta (see `axonic.objective`).

Source: the notes, "backpropagation"; Rumelhart, Hinton and Williams 1986, equations 4 to 8.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.layers import activations, initializers
from axonic.layers.activations import Activation
from axonic.layers.base import Key, Layer, Trace, units
from axonic.specs import spec, static


class DenseParams(NamedTuple):
    """w: input weights, (n_in, n_out); b: bias, (n_out). Arrays of JAX or NumPy, or their shapes."""

    w: Float[Any, "n_in n_out"]
    b: Float[Any, " n_out"]


class DenseCache(NamedTuple):
    """x: input, (batch, n_in); z, a: pre-activation and activation, (batch, n_out)."""

    x: Float[Array, "batch n_in"]
    z: Float[Array, "batch n_out"]
    a: Float[Array, "batch n_out"]


@spec
class Dense(Layer):
    """See `dense`."""

    n_units: int = static()
    activation: Activation = static(default=activations.identity)
    initializer: str = static(default="auto")

    decays: ClassVar[tuple[str, ...]] = ("w",)

    def n_out(self, n_in: int) -> int:
        del n_in
        return self.n_units

    def shapes(self, n_in: int) -> DenseParams:
        return DenseParams(
            jax.ShapeDtypeStruct((n_in, self.n_units), np.float32), jax.ShapeDtypeStruct((self.n_units,), np.float32)
        )

    def init(self, rng: np.random.Generator, n_in: int) -> DenseParams:
        w = initializers.draw(rng, self.initializer, self.activation.init, n_in, self.n_units)
        return DenseParams(w, np.zeros(self.n_units, w.dtype))

    def forward(
        self, params: DenseParams, x: Float[Array, "batch n_in"], key: Key | None = None
    ) -> tuple[Float[Array, "batch n_out"], DenseCache]:
        del key
        z = x @ params.w + params.b
        a = self.activation.value(z)
        return a, DenseCache(x, z, a)

    def backward(
        self, params: DenseParams, cache: DenseCache, error: Float[Array, "batch n_out"]
    ) -> tuple[DenseParams, Float[Array, "batch n_in"]]:
        delta = self.activation.backward(cache.z, cache.a, error)
        b = delta.sum(axis=0)
        w = cache.x.T @ delta
        error_in = jnp.einsum("bo,io->bi", delta, params.w)  # delta w^T; written as such, XLA would copy w^T first
        return DenseParams(w, b), error_in

    def trace(self, params: DenseParams, cache: DenseCache, error: Any) -> Trace:
        del params
        return Trace(cache.z, cache.a, self.activation.backward(cache.z, cache.a, error))


def dense(n_units: int, activation: str | Activation = "identity", init: str = "auto") -> Dense:
    """A fully connected layer.

    Parameters
    ----------
    n_units : number of units, at least 1.
    activation : a name (see `axonic.layers.ACTIVATIONS`) or an `Activation`.
    init : initial weights, one of `axonic.layers.INITS`; "auto" follows the activation. Biases start at 0.

    Raises
    ------
    InputError : an unknown activation or initialisation, or no units.
    """
    return Dense(units(n_units), activations.get(activation), initializers.check(init))
