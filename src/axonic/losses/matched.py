"""The matching loss of any strictly increasing output activation phi: the one whose delta is a - y.

    value = sum of  integral from phi^-1(y) to z of (phi(u) - y) du  =  Phi(z) - y z + Phi*(y)      with Phi' = phi
    delta = phi(z) - y

It is convex in z, 0 where phi(z) = y, and has no factor phi'(z), so that a saturated output still learns. Phi*(y) =
y phi^-1(y) - Phi(phi^-1(y)) does not depend on z. The pairs of the notes are matching losses:

    phi         value of one output
    identity    (z - y)^2 / 2
    sigmoid     y softplus(-z) + (1 - y) softplus(z) + y ln y + (1 - y) ln(1 - y)
    softmax     logsumexp(z) - y . z + y . ln y          (of all outputs together; y sums to 1)

and, since tanh z = 2 sigmoid(2z) - 1, so that Phi = ln cosh z = softplus(2z) - z - ln 2,

    tanh        that of sigmoid at 2z for (1 + y) / 2
    leaky_relu  slope(z) z^2/2 - y z + y^2 / (2 slope(y)), slope(u) = 1 for u > 0, else s
    elu, selu   Phi = scale z^2/2 and Phi* = y^2 / (2 scale) above 0; with c = scale alpha, t = y/c, below it
                Phi = c (e^z - 1 - z) and Phi* = c ((1 + t) ln(1 + t) - t)

Everything else, softplus and activations of your own, is integrated numerically: phi^-1(y) by bisection, then
Gauss and Legendre's rule on either side of 0, where activations have their kinks, in s with u = sinh s, which sees a
function that bends within a few units of 0 well even from 10,000 away. delta is exact in any case.

At the ends of the range phi^-1(y) is infinite and the integral of a sigmoid or tanh is not. Where it is infinite as
well (arctan), or y is beyond the range, phi^-1(y) is put at `FARTHEST`: value then differs by a constant.

Source: Helmbold, Kivinen and Warmuth, Worst-case loss bounds for single neurons, NIPS 8 (1996). Why increasing: where
phi is flat phi^-1 is not defined, and where it falls the integral is not convex and has minima that are none.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from axonic.errors import InputError
from axonic.layers import activations
from axonic.layers.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, Activation
from axonic.losses import ranges
from axonic.losses.base import Loss, Target, targets
from axonic.specs import spec, static
from axonic.types import Scaling

FARTHEST = 1e6
BISECTIONS = 64
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
ROUNDING, CLOSE = 1e-14, 1e-9
"""From an end of the range, relative to it: what cannot be told from it, and where what comes ever closer has been a
step of the grid before; a bend is further off."""


@spec
class Matching(Loss):
    """The matching loss; see `matching`."""

    activation: Activation = static(default=activations.identity)

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        y = targets(y, z)
        if self.activation is activations.softmax:
            return jnp.sum((jax.nn.logsumexp(z, axis=-1, keepdims=True) - z) * y + xlogy(y, y), axis=-1)
        known = FORMS.get(self.activation.name) if _is_our_own(self.activation) else None
        each = integral(self.activation.value, z, y) if known is None else known(z, y)
        return jnp.sum(each, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        return self.activation.value(z) - targets(y, z)

    def scaling(self) -> Scaling:
        return ranges.scaling(self.activation)

    def limits(self) -> tuple[float, float]:
        return ranges.ends(self.activation)

    def check(self) -> None:
        if self.activation is activations.softmax:
            return
        name, how = self.activation.name, "use one that increases everywhere, such as softplus, or losses.mse"
        a = ranges.outputs(self.activation, ranges.GRID)
        if a.shape != ranges.GRID.shape or not np.all(np.isfinite(a)):
            raise InputError(f"{name} has no matching loss: it is not a finite number for every z", how)
        low, high = self.limits()
        first, last = _saturated(a, low), len(a) - _saturated(a[::-1], high)
        rise = np.diff(a[first:last])
        if not np.all(rise > 0):
            at = ranges.GRID[first + np.argmin(rise)]
            what = "it falls" if rise.min() < 0 else "it is flat"
            raise InputError(f"{name} has no matching loss: {what} at z = {at:.3g}", how)


def matching(activation: str | Activation) -> Matching:
    """The matching loss of a strictly increasing activation, by name or of your own.

    >>> import jax.numpy as jnp
    >>> from axonic import losses
    >>> from axonic.layers.activations import Activation
    >>> arctan = Activation("arctan", jnp.arctan, lambda z, a: 1 / (1 + z * z))
    >>> [round(float(v), 4) for v in losses.matching(arctan).value(jnp.array([[1.0]]), jnp.array([[0.0]]))]
    [0.4388]

    Raises
    ------
    InputError : the activation is flat (relu) or falls (gelu, silu) somewhere, or is unknown.
    """
    loss = Matching(activations.get(activation))
    loss.check()
    return loss


def integral(phi: Callable[[Array], Array], z: Array, y: Array) -> Array:
    """The integral from phi^-1(y) to z of (phi(u) - y) du, elementwise, by quadrature."""
    start, end = jnp.arcsinh(inverse(phi, y)), jnp.arcsinh(z)
    middle = jnp.clip(0.0, jnp.minimum(start, end), jnp.maximum(start, end))
    return _gauss(phi, y, start, middle) + _gauss(phi, y, middle, end)


def inverse(phi: Callable[[Array], Array], y: Array) -> Array:
    """phi^-1(y), elementwise, by bisection in s with z = sinh s; at most `FARTHEST` from 0."""
    ends = jnp.full_like(y, -math.asinh(FARTHEST)), jnp.full_like(y, math.asinh(FARTHEST))

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = phi(jnp.sinh(middle)) < y
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, ends)
    return jnp.sinh(0.5 * (low + high))


def _gauss(phi: Callable[[Array], Array], y: Array, start: Array, end: Array) -> Array:
    half = 0.5 * (end - start)
    s = start[..., None] + half[..., None] * (1 + NODES).astype(y.dtype)
    return half * jnp.sum(WEIGHTS.astype(y.dtype) * (phi(jnp.sinh(s)) - y[..., None]) * jnp.cosh(s), axis=-1)


def _sigmoid(z: Array, y: Array) -> Array:
    softplus = activations.softplus.value
    return y * softplus(-z) + (1 - y) * softplus(z) + xlogy(y, y) + xlogy(1 - y, 1 - y)


def _leaky(z: Array, y: Array) -> Array:
    slope = jnp.where(z > 0, 1.0, LEAKY_SLOPE)
    start = y / jnp.where(y > 0, 1.0, LEAKY_SLOPE)
    apart = 0.5 * slope * z * z - y * z + 0.5 * y * start
    return jnp.where((z > 0) == (y > 0), 0.5 * slope * (z - start) ** 2, apart)


def _exponential(scale: float, alpha: float) -> Callable[[Array, Array], Array]:
    c = scale * alpha

    def value(z: Array, y: Array) -> Array:
        below, t = jnp.minimum(z, 0.0), jnp.minimum(y, 0.0) / c
        integral = jnp.where(z > 0, 0.5 * scale * z * z, c * (jnp.expm1(below) - below))
        conjugate = jnp.where(y > 0, 0.5 * y * y / scale, c * (xlogy(1 + t, 1 + t) - t))
        both = (z > 0) & (y > 0)
        return jnp.where(both, 0.5 * scale * (z - y / scale) ** 2, integral - y * z + conjugate)

    return value


FORMS: dict[str, Callable[[Array, Array], Array]] = {
    "identity": lambda z, y: 0.5 * (z - y) ** 2,
    "sigmoid": _sigmoid,
    "tanh": lambda z, y: _sigmoid(2 * z, 0.5 * (1 + y)),
    "leaky_relu": _leaky,
    "elu": _exponential(1.0, 1.0),
    "selu": _exponential(SELU_SCALE, SELU_ALPHA),
}


def _is_our_own(activation: Activation) -> bool:
    return activations.ACTIVATIONS.get(activation.name) is activation


def _saturated(a: np.ndarray, end: float) -> int:
    """How many of the first values are the end of the range but for rounding. What gets there in a bend (relu, clip)
    and not by coming ever closer is not saturated but flat: 0."""
    if not math.isfinite(end):
        return 0
    distance = np.abs(a - end) / (1 + abs(end))
    count = int(np.argmax(distance > ROUNDING))
    return count if distance[count] < CLOSE else 0
