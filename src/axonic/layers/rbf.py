"""The layer of radial basis functions.

    forward     u_ij = sum_k (x_ik - c_jk)^2 / width_jk^2     x (batch, n_in), c (n_centers, n_in)
                a_ij = phi(u_ij)                              a (batch, n_centers)
    backward    delta = error * phi'(u)                       error = dL/da, delta = dL/du
                dL/dc_jk         = -2 p_jk (sum_i delta_ij x_ik - c_jk sum_i delta_ij)
                dL/dlog_width_jk = -2 p_jk sum_i delta_ij (x_ik - c_jk)^2
                dL/dx_ik         =  2 (x_ik sum_j delta_ij p_jk - sum_j delta_ij p_jk c_jk)

with p = 1 / width^2. Both squares are expanded, (x - c)^2 = x^2 - 2 x c + c^2, so that everything is a product of
matrices and no array of (batch, n_centers, n_in) numbers is made. Since du_ij/dc_jk = -2 p_jk (x_ik - c_jk),
du_ij/dlog_width_jk = -2 p_jk (x_ik - c_jk)^2 and du_ij/dx_ik = 2 p_jk (x_ik - c_jk), summing each against delta gives
the three lines. Where centres or dimensions share a width, its derivative is the sum of theirs.

The widths are carried as their logarithms, so that they stay positive and a step means the same for a wide unit as
for a narrow one. With r^2 = u,

    gaussian              phi = exp(-u / 2)          phi' = -a / 2
    multiquadric          phi = sqrt(1 + u)          phi' = 1 / (2 a)
    inverse_multiquadric  phi = 1 / sqrt(1 + u)      phi' = -a^3 / 2
    thin_plate            phi = u ln(u) / 2          phi' = (ln(u) + 1) / 2        r^2 ln r, 0 at u = 0

Rounding may leave u below 0 by a hair, where it counts as 0 and has no derivative; so has the thin plate there.

Source: Broomhead and Lowe 1988; Hardy 1971 (multiquadrics); Duchon 1977 (thin plates).
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.errors import InputError
from axonic.layers.base import Key, Layer, units
from axonic.specs import spec, static

RADIALS: tuple[str, ...] = ("gaussian", "multiquadric", "inverse_multiquadric", "thin_plate")
WIDTHS: tuple[str, ...] = ("shared", "per_center", "per_dimension")
TINY = 1e-30


class RBFParams(NamedTuple):
    """c: centres, (n_centers, n_in); log_width: (1, 1) if shared, (n_centers, 1) or (n_centers, n_in)."""

    c: Float[Any, "n_centers n_in"]
    log_width: Float[Any, "rows columns"]


class RBFCache(NamedTuple):
    """x: input, (batch, n_in); u, a: squared distance in widths and activation, (batch, n_centers)."""

    x: Float[Array, "batch n_in"]
    u: Float[Array, "batch n_centers"]
    a: Float[Array, "batch n_centers"]


def distances(c: Any, log_width: Any, x: Any, xp: Any = jnp) -> Any:
    """u, (batch, n_centers), in the arithmetic of `xp`, which is JAX's or NumPy."""
    p = xp.broadcast_to(xp.exp(-2.0 * log_width), c.shape)
    return xp.maximum((x * x) @ p.T - 2.0 * (x @ (p * c).T) + xp.sum(p * c * c, axis=1), 0.0)


def radial_value(radial: str, u: Any, xp: Any = jnp) -> Any:
    """phi(u)."""
    if radial == "gaussian":
        return xp.exp(-0.5 * u)
    if radial == "multiquadric":
        return xp.sqrt(1.0 + u)
    if radial == "inverse_multiquadric":
        return 1.0 / xp.sqrt(1.0 + u)
    return 0.5 * u * xp.log(xp.maximum(u, TINY))


def radial_slope(radial: str, u: Any, a: Any) -> Any:
    """phi'(u), 0 where u is 0 and rounding may have put it there."""
    if radial == "gaussian":
        slope = -0.5 * a
    elif radial == "multiquadric":
        slope = 0.5 / a
    elif radial == "inverse_multiquadric":
        slope = -0.5 * a * a * a
    else:
        slope = 0.5 * (jnp.log(jnp.maximum(u, TINY)) + 1.0)
    return jnp.where(u > 0, slope, 0.0)


@spec
class RBF(Layer):
    """See `rbf`."""

    n_centers: int = static()
    radial: str = static(default="gaussian")
    widths: str = static(default="shared")

    decays: ClassVar[tuple[str, ...]] = ()

    def n_out(self, n_in: int) -> int:
        del n_in
        return self.n_centers

    def shapes(self, n_in: int) -> RBFParams:
        width = {"shared": (1, 1), "per_center": (self.n_centers, 1), "per_dimension": (self.n_centers, n_in)}
        return RBFParams(
            jax.ShapeDtypeStruct((self.n_centers, n_in), np.float32),
            jax.ShapeDtypeStruct(width[self.widths], np.float32),
        )

    def init(self, rng: np.random.Generator, n_in: int) -> RBFParams:
        """Centres as standardised inputs lie, and widths as far as those are apart; `axonic.rbf_closed_form` finds
        better ones from the rows."""
        shapes = self.shapes(n_in)
        c = rng.standard_normal(shapes.c.shape).astype(np.float32)
        return RBFParams(c, np.full(shapes.log_width.shape, 0.5 * np.log(2.0 * n_in), np.float32))

    def forward(
        self, params: RBFParams, x: Float[Array, "batch n_in"], key: Key | None = None
    ) -> tuple[Float[Array, "batch n_centers"], RBFCache]:
        del key
        u = distances(params.c, params.log_width, x)
        a = radial_value(self.radial, u)
        return a, RBFCache(x, u, a)

    def backward(
        self, params: RBFParams, cache: RBFCache, error: Float[Array, "batch n_centers"]
    ) -> tuple[RBFParams, Float[Array, "batch n_in"]]:
        x, c = cache.x, params.c
        p = jnp.broadcast_to(jnp.exp(-2.0 * params.log_width), c.shape)
        delta = error * radial_slope(self.radial, cache.u, cache.a)
        total = delta.sum(axis=0)[:, None]
        weighted = delta.T @ x
        grad_c = -2.0 * p * (weighted - c * total)
        squares = delta.T @ (x * x) - 2.0 * c * weighted + c * c * total
        grad_log_width = _summed(-2.0 * p * squares, params.log_width.shape)
        error_in = 2.0 * (x * (delta @ p) - delta @ (p * c))
        return RBFParams(grad_c, grad_log_width), error_in


def _summed(grad: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which a width is shared."""
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=axes, keepdims=True) if axes else grad


def rbf(n_centers: int, radial: str = "gaussian", widths: str = "shared") -> RBF:
    """A layer of radial basis functions, for a dense layer behind it.

    Parameters
    ----------
    n_centers : number of units, at least 1.
    radial : "gaussian", "multiquadric", "inverse_multiquadric" or "thin_plate".
    widths : "shared" by all centres, "per_center", or "per_dimension" of each centre.

    Raises
    ------
    InputError : an unknown name, or no units.

    >>> from axonic import layers
    >>> network = layers.chain(layers.rbf(30), layers.dense(3))
    >>> network.n_out(4)
    3
    """
    for name, value, known in (("radial function", radial, RADIALS), ("kind of widths", widths, WIDTHS)):
        if value not in known:
            raise InputError(f"unknown {name} {value!r}", f"use one of {', '.join(known)}")
    return RBF(units(n_centers), radial, widths)
