"""The gated recurrent unit, with the reset after the product.

    forward     z_t = x_t w + b                  for r, u, g side by side: w (n_in, 3 n_hidden), b (3 n_hidden)
                s_t = h_{t-1} v                  v (n_hidden, 3 n_hidden)
                r, u = sigmoid(z^r + s^r), sigmoid(z^u + s^u)
                m = s^g + c                      c (n_hidden): what the candidate remembers
                g = tanh(z^g + r * m)
                h_t = (1 - u) * g + u * h_{t-1}  h_0 = 0;  a padded step keeps h
    backward    from the last step to the first, error_t = dL/dh_t of the output alone and carry that of the later steps
                error_h = error_t + carry
                delta^g = error_h * (1 - u) * (1 - g^2)
                delta^u = error_h * (h_{t-1} - g) * u (1 - u)
                delta^m = delta^g * r
                delta^r = delta^g * m * r (1 - r)
                carry = error_h * u + (delta^r, delta^u, delta^m) v^T
                at a padded step every delta is 0 and carry stays; where truncation cuts, carry = 0
                dL/dc = sum_t sum of delta^m over the batch
                dL/dv = sum_t h_{t-1}^T (delta^r, delta^u, delta^m)
                dL/db = sum_t sum of (delta^r, delta^u, delta^g) over the batch
                dL/dw = sum_t x_t^T (delta^r, delta^u, delta^g)
                dL/dx_t = (delta^r, delta^u, delta^g) w^T

h_{t-1} acts on h_t directly (u) and through the three products with v: the terms of carry.

Source: Cho et al. 2014, in the form that cuDNN, PyTorch and ONNX (linear_before_reset=1) compute: r multiplies the
product h v + c, where the paper multiplies h before the product. The notes leave this section empty. PyTorch calls u z
and g n; its two biases add up to b for r and u, and are b and c for g. u = 1 keeps the state, as in the paper and in
PyTorch; some authors exchange u and 1 - u. Biases start at 0; with `chrono` that of u is drawn for memories of up to so
many steps (Tallec and Ollivier 2018).
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.layers import initializers, recurrence
from axonic.layers.base import Key, Layer, masked, units
from axonic.layers.recurrence import (
    Span,
    against,
    by_row,
    by_time,
    carries,
    cut,
    onward,
    outer,
    room,
    span,
    steps,
    total,
    wide,
)
from axonic.specs import spec, static
from axonic.types import Sequence


class GRUParams(NamedTuple):
    """w: input weights, v: recurrent weights, b: bias, of r u g; c: bias of what the candidate remembers.

    Arrays of JAX or NumPy, or their shapes.
    """

    w: Float[Any, "n_in 3*n_hidden"]
    v: Float[Any, "n_hidden 3*n_hidden"]
    b: Float[Any, " 3*n_hidden"]
    c: Float[Any, " n_hidden"]


class GRUCache(NamedTuple):
    """x: input, 0 where padded; real: which steps are; walk: where they lie; r, u, g: gates; m: h_{t-1} v + c; h: state
    before each step and after the last."""

    x: Float[Array, "time batch n_in"]
    real: Bool[Array, "time batch 1"]
    walk: Span
    r: Float[Array, "time batch n_hidden"]
    u: Float[Array, "time batch n_hidden"]
    g: Float[Array, "time batch n_hidden"]
    m: Float[Array, "time batch n_hidden"]
    h: Float[Array, "time+1 batch n_hidden"]


@spec
class GRU(Layer):
    """See `gru`."""

    n_hidden: int = static()
    initializer: str = static(default="glorot_uniform")
    truncate: int | None = static(default=None)
    chrono: int | None = static(default=None)

    decays: ClassVar[tuple[str, ...]] = ("w", "v")
    of_sequences: ClassVar[bool] = True

    def n_out(self, n_in: int) -> int:
        del n_in
        return self.n_hidden

    def shapes(self, n_in: int) -> GRUParams:
        n = self.n_hidden
        shapes = GRUParams((n_in, 3 * n), (n, 3 * n), (3 * n,), (n,))
        return GRUParams(*(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes))

    def init(self, rng: np.random.Generator, n_in: int) -> GRUParams:
        w = recurrence.initial_w(rng, self.initializer, n_in, self.n_hidden, 3)
        v = recurrence.initial_v(rng, self.n_hidden, 3)
        b = np.zeros(3 * self.n_hidden, np.float32)
        if self.chrono is not None:
            b[self.n_hidden : 2 * self.n_hidden] = recurrence.chrono_bias(rng, self.n_hidden, self.chrono)
        return GRUParams(w, v, b, np.zeros(self.n_hidden, np.float32))

    def forward(self, params: GRUParams, x: Sequence, key: Key | None = None) -> tuple[Sequence, GRUCache]:
        del key
        values, real = steps(x)
        walk, chosen = span(x.mask), wide(real, self.n_hidden)

        def step(h: Array, from_x: Array, t: Any) -> tuple[Array, tuple]:
            r, u, g = jnp.split(from_x, 3, axis=-1)
            from_r, from_u, from_g = jnp.split(h @ params.v, 3, axis=-1)
            r, u = jax.nn.sigmoid(r + from_r), jax.nn.sigmoid(u + from_u)
            m = from_g + params.c
            g = jnp.tanh(g + r * m)
            h = jnp.where(chosen[t], (1.0 - u) * g + u * h, h)
            return h, (r, u, g, m, h)

        nothing = tuple(room(real, self.n_hidden, params.w, before) for before in (0, 0, 0, 0, 1))
        zero = nothing[0][0]
        r, u, g, m, h = onward(walk, lambda j: cut(values, j) @ params.w + params.b, step, zero, nothing)
        output = masked(x.mask, by_row(h[1:], x.mask.shape[1]))
        return Sequence(output, x.mask), GRUCache(values, real, walk, r, u, g, m, h)

    def backward(
        self, params: GRUParams, cache: GRUCache, error: Float[Array, "batch time n_hidden"]
    ) -> tuple[GRUParams, Float[Array, "batch time n_in"]]:
        x, real, walk, all_r, all_u, all_g, all_m, h = cache
        errors, carried = by_time(error), carries(real, self.truncate)
        v_transposed = params.v.T  # once, and not at every step

        def step(carry: Array, t: Any) -> tuple[Array, tuple[Array, Array]]:
            r, u, g, m, h_before = all_r[t], all_u[t], all_g[t], all_m[t], h[t]
            error_h = jnp.where(real[t], errors[t] + carry, 0.0)
            delta_g = error_h * (1.0 - u) * (1.0 - g * g)
            delta_u = error_h * (h_before - g) * u * (1.0 - u)
            delta_m = delta_g * r
            delta_r = delta_g * m * r * (1.0 - r)
            of_v = jnp.concatenate([delta_r, delta_u, delta_m], axis=-1)
            to_before = jnp.where(carried[t], error_h * u + of_v @ v_transposed, 0.0)
            return jnp.where(real[t], to_before, carry), (of_v, delta_g)

        def sums(deltas: tuple[Array, Array], j: Any) -> tuple[GRUParams, Array]:
            of_v, delta_g = deltas
            of_w = jnp.concatenate([of_v[..., : 2 * self.n_hidden], delta_g], axis=-1)
            c = of_v[..., 2 * self.n_hidden :].sum(axis=(0, 1))
            v = outer(cut(h, j), of_v)
            b = total(of_w)
            w = outer(cut(x, j), of_w)
            return GRUParams(w, v, b, c), jnp.einsum("tbo,io->tbi", of_w, params.w)

        none = jax.tree.map(jnp.zeros_like, params)
        zero = jnp.zeros_like(h[0])
        deltas = tuple(jnp.zeros((recurrence.BLOCK, len(zero), k * self.n_hidden), h.dtype) for k in (3, 1))
        grads, error_in = against(walk, step, sums, zero, deltas, none, jnp.zeros_like(x))
        return grads, by_row(error_in, error.shape[1])


def gru(n_hidden: int, init: str = "glorot_uniform", truncate: int | None = None, chrono: int | None = None) -> GRU:
    """A layer of gated recurrent units: from a `Sequence` to h after each of its steps, a `Sequence`.

    Parameters
    ----------
    n_hidden : number of units, at least 1.
    init : initial weights w, one of `axonic.layers.INITS`; v starts orthogonal, b and c at 0.
    truncate : window of the backward pass in steps (see `axonic.layers.recurrence`); None goes back to the first step.
    chrono : the steps over which the layer is to remember from the start, at least 3 (see
        `axonic.layers.recurrence.chrono_bias`); None leaves the biases as above.

    Raises
    ------
    InputError : an unknown initialisation, no units, or a window or memory of no such number of steps.

    >>> import jax.numpy as jnp, numpy as np
    >>> from axonic import layers
    >>> network = layers.chain(layers.gru(6), layers.each_step(layers.dense(2)), layers.every_step())
    >>> params = network.init(np.random.default_rng(0), 3)
    >>> z, cache = network.forward(params, layers.sequence(jnp.ones((4, 7, 3)), lengths=jnp.array([7, 2, 5, 1])))
    >>> z.shape
    (4, 7, 2)
    """
    recurrence.check(truncate, chrono)
    return GRU(units(n_hidden), initializers.check(init), truncate, chrono)
