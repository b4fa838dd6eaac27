"""Activations, each with its derivative beside it.

a = activation(z) elementwise, and delta = error * activation'(z), where error = dL/da. The derivative is written in
whichever of z and a is cheaper. Softmax is the one activation that is not elementwise: its `backward` is the product
with its Jacobian, delta_i = a_i (error_i - sum_j error_j a_j).

Sources: elu (Clevert et al. 2016), selu (Klambauer et al. 2017), gelu (Hendrycks and Gimpel 2016, exact form with the
normal distribution function), silu (Elfwing et al. 2018), initial weights: He et al. 2015 for the rectifier family,
LeCun et al. 1998 for selu, Glorot and Bengio 2010 for the rest.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from axonic.errors import InputError

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
LEAKY_SLOPE = 0.01


@dataclasses.dataclass(frozen=True)
class Activation:
    """A named activation.

    Attributes
    ----------
    name : what it is called in specs and model files.
    value : z -> a, same shape.
    derivative : (z, a) -> da/dz, elementwise.
    of_a : whether the derivative is one of a alone, so that z need not be kept for it.
    init : the initialisation that suits it ("he", "glorot" or "lecun").
    """

    name: str
    value: Callable[[Array], Array]
    derivative: Callable[[Any, Array], Array]
    init: str = "glorot"
    of_a: bool = False

    def backward(
        self, z: Float[Array, "*n"] | None, a: Float[Array, "*n"], error: Float[Array, "*n"]
    ) -> Float[Array, "*n"]:
        """delta = dL/dz from error = dL/da; z may be None with `of_a`."""
        return error * self.derivative(z, a)

    def __reduce__(self) -> tuple:
        """The package's own are pickled by name."""
        if ACTIVATIONS.get(self.name) is self:
            return get, (self.name,)
        return type(self), (self.name, self.value, self.derivative, self.init, self.of_a)


class Softmax(Activation):
    """Softmax over the last axis; its Jacobian is diag(a) - a a^T."""

    def backward(
        self, z: Float[Array, "*n"] | None, a: Float[Array, "*n"], error: Float[Array, "*n"]
    ) -> Float[Array, "*n"]:
        return a * (error - jnp.sum(error * a, axis=-1, keepdims=True))


def _elu_derivative(z: Array, a: Array) -> Array:
    del z
    return jnp.where(a > 0, 1.0, a + 1.0)


def _selu_value(z: Array) -> Array:
    return SELU_SCALE * jnp.where(z > 0, z, SELU_ALPHA * jnp.expm1(jnp.minimum(z, 0.0)))


def _selu_derivative(z: Array, a: Array) -> Array:
    del z
    return jnp.where(a > 0, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA)


def _normal_cdf(z: Array) -> Array:
    return 0.5 * jax.lax.erfc(-z / math.sqrt(2.0))


def _gelu_derivative(z: Array, a: Array) -> Array:
    del a
    return _normal_cdf(z) + z * jnp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


def _silu_derivative(z: Array, a: Array) -> Array:
    return jax.nn.sigmoid(z) * (1.0 + z - a)


def _softmax_diagonal(z: Array, a: Array) -> Array:
    del z
    return a * (1.0 - a)


def _softplus(z: Array) -> Array:
    return jnp.maximum(z, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(z)))


identity = Activation("identity", lambda z: z, lambda z, a: jnp.ones_like(a), of_a=True)
sigmoid = Activation("sigmoid", jax.nn.sigmoid, lambda z, a: a * (1.0 - a), of_a=True)
tanh = Activation("tanh", jnp.tanh, lambda z, a: 1.0 - a * a, of_a=True)
relu = Activation("relu", lambda z: jnp.maximum(z, 0.0), lambda z, a: (a > 0).astype(a.dtype), init="he", of_a=True)
leaky_relu = Activation(
    "leaky_relu",
    lambda z: jnp.where(z > 0, z, LEAKY_SLOPE * z),
    lambda z, a: jnp.where(a > 0, 1.0, LEAKY_SLOPE),
    init="he",
    of_a=True,
)
elu = Activation(
    "elu", lambda z: jnp.where(z > 0, z, jnp.expm1(jnp.minimum(z, 0.0))), _elu_derivative, init="he", of_a=True
)
selu = Activation("selu", _selu_value, _selu_derivative, init="lecun", of_a=True)
gelu = Activation("gelu", lambda z: z * _normal_cdf(z), _gelu_derivative, init="he")
silu = Activation("silu", lambda z: z * jax.nn.sigmoid(z), _silu_derivative, init="he")
softplus = Activation("softplus", _softplus, lambda z, a: jax.nn.sigmoid(z), init="he")
softmax = Softmax("softmax", lambda z: jax.nn.softmax(z, axis=-1), _softmax_diagonal, of_a=True)

ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (identity, sigmoid, tanh, relu, leaky_relu, elu, selu, gelu, silu, softplus, softmax)
}


def get(activation: Any) -> Activation:
    """The activation of that name; an `Activation` is returned as it is.

    Raises
    ------
    InputError : no activation has that name.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise InputError(f"unknown activation {activation!r}", f"use one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[activation]
