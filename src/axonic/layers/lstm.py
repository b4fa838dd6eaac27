"""Long short-term memory, in the letters of the notes: a is the cell, h what the layer shows.

    forward     z_t = x_t w + h_{t-1} v + b      i f g o side by side: w (n_in, 4 n_hidden), v (n_hidden, 4 n_hidden)
                i, f, o = sigmoid(z^i), sigmoid(z^f), sigmoid(z^o);  g = tanh(z^g)
                a_t = f * a_{t-1} + i * g        a_0 = 0
                h_t = o * tanh(a_t)              h_0 = 0;  a padded step keeps both
    backward    from the last step to the first, with error_t = dL/dh_t of the output at t alone, carry_h and carry_a
                = dL/dh_t and dL/da_t of the later steps
                error_h = error_t + carry_h
                delta^o = error_h * tanh(a_t) * o (1 - o)
                error_a = carry_a + error_h * o * (1 - tanh(a_t)^2)
                delta^g = error_a * i * (1 - g^2)
                delta^f = error_a * a_{t-1} * f (1 - f)
                delta^i = error_a * g * i (1 - i)
                carry_a = error_a * f;  carry_h = delta v^T
                at a padded step delta = 0 and both carries stay; where truncation cuts, both are 0
                dL/db = sum_t sum of delta over the batch
                dL/dv = sum_t h_{t-1}^T delta
                dL/dw = sum_t x_t^T delta
                dL/dx_t = delta w^T

a_t acts through h_t = o tanh(a_t) and through a_{t+1} = f a_t + ...: the two terms of error_a. The path through f alone
has no weight in it, which is what the cell is for (Hochreiter and Schmidhuber 1997).

b of the forget gate starts at 1, so that the cell remembers before it has learnt to (Gers, Schmidhuber and Cummins
2000; Jozefowicz, Zaremba and Sutskever 2015); with `chrono` it is drawn for memories of up to so many steps, and b of
the input gate is its negative (Tallec and Ollivier 2018). The gates stand in the order of PyTorch and cuDNN, i f g o,
whose two biases add up to b. The notes write i for the product i * g, and linear(h_{t-1} + x) for four different linear
maps.
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


class LSTMParams(NamedTuple):
    """w: input weights, v: recurrent weights, b: bias, of i f g o. Arrays of JAX or NumPy, or their shapes."""

    w: Float[Any, "n_in 4*n_hidden"]
    v: Float[Any, "n_hidden 4*n_hidden"]
    b: Float[Any, " 4*n_hidden"]


class LSTMCache(NamedTuple):
    """x: input, 0 where padded; real: which steps are; walk: where they lie; i, f, g, o: gates of each step; a, h: the
    two states before each step and after the last."""

    x: Float[Array, "time batch n_in"]
    real: Bool[Array, "time batch 1"]
    walk: Span
    i: Float[Array, "time batch n_hidden"]
    f: Float[Array, "time batch n_hidden"]
    g: Float[Array, "time batch n_hidden"]
    o: Float[Array, "time batch n_hidden"]
    a: Float[Array, "time+1 batch n_hidden"]
    h: Float[Array, "time+1 batch n_hidden"]


@spec
class LSTM(Layer):
    """See `lstm`."""

    n_hidden: int = static()
    initializer: str = static(default="glorot_uniform")
    truncate: int | None = static(default=None)
    chrono: int | None = static(default=None)

    decays: ClassVar[tuple[str, ...]] = ("w", "v")
    of_sequences: ClassVar[bool] = True

    def n_out(self, n_in: int) -> int:
        del n_in
        return self.n_hidden

    def shapes(self, n_in: int) -> LSTMParams:
        shapes = LSTMParams((n_in, 4 * self.n_hidden), (self.n_hidden, 4 * self.n_hidden), (4 * self.n_hidden,))
        return LSTMParams(*(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes))

    def init(self, rng: np.random.Generator, n_in: int) -> LSTMParams:
        w = recurrence.initial_w(rng, self.initializer, n_in, self.n_hidden, 4)
        v = recurrence.initial_v(rng, self.n_hidden, 4)
        b = np.repeat(np.array([0.0, 1.0, 0.0, 0.0], np.float32), self.n_hidden)
        if self.chrono is not None:
            keeps = recurrence.chrono_bias(rng, self.n_hidden, self.chrono)
            b[: 2 * self.n_hidden] = np.concatenate([-keeps, keeps])
        return LSTMParams(w, v, b)

    def forward(self, params: LSTMParams, x: Sequence, key: Key | None = None) -> tuple[Sequence, LSTMCache]:
        del key
        values, real = steps(x)
        walk, chosen = span(x.mask), wide(real, self.n_hidden)

        def step(state: tuple[Array, Array], from_x: Array, t: Any) -> tuple[tuple[Array, Array], tuple]:
            a, h = state
            i, f, g, o = jnp.split(from_x + h @ params.v, 4, axis=-1)
            i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
            a = jnp.where(chosen[t], f * a + i * g, a)
            h = jnp.where(chosen[t], o * jnp.tanh(a), h)
            return (a, h), (i, f, g, o, a, h)

        nothing = tuple(room(real, self.n_hidden, params.w, before) for before in (0, 0, 0, 0, 1, 1))
        zero = nothing[0][0]
        i, f, g, o, a, h = onward(walk, lambda j: cut(values, j) @ params.w + params.b, step, (zero, zero), nothing)
        output = masked(x.mask, by_row(h[1:], x.mask.shape[1]))
        return Sequence(output, x.mask), LSTMCache(values, real, walk, i, f, g, o, a, h)

    def backward(
        self, params: LSTMParams, cache: LSTMCache, error: Float[Array, "batch time n_hidden"]
    ) -> tuple[LSTMParams, Float[Array, "batch time n_in"]]:
        x, real, walk, all_i, all_f, all_g, all_o, all_a, h = cache
        errors, carried = by_time(error), carries(real, self.truncate)
        v_transposed = params.v.T  # once, and not at every step

        def step(carry: tuple[Array, Array], t: Any) -> tuple[tuple[Array, Array], Array]:
            carry_a, carry_h = carry
            i, f, g, o, a, a_before = all_i[t], all_f[t], all_g[t], all_o[t], all_a[t + 1], all_a[t]
            tanh_a = jnp.tanh(a)
            error_h = errors[t] + carry_h
            delta_o = error_h * tanh_a * o * (1.0 - o)
            error_a = carry_a + error_h * o * (1.0 - tanh_a * tanh_a)
            delta_g = error_a * i * (1.0 - g * g)
            delta_f = error_a * a_before * f * (1.0 - f)
            delta_i = error_a * g * i * (1.0 - i)
            delta = jnp.where(real[t], jnp.concatenate([delta_i, delta_f, delta_g, delta_o], axis=-1), 0.0)
            to_a = jnp.where(carried[t], error_a * f, 0.0)
            to_h = jnp.where(carried[t], delta @ v_transposed, 0.0)
            return (jnp.where(real[t], to_a, carry_a), jnp.where(real[t], to_h, carry_h)), delta

        def sums(delta: Array, j: Any) -> tuple[LSTMParams, Array]:
            b = total(delta)
            v = outer(cut(h, j), delta)
            w = outer(cut(x, j), delta)
            return LSTMParams(w, v, b), jnp.einsum("tbo,io->tbi", delta, params.w)

        none = jax.tree.map(jnp.zeros_like, params)
        zero = jnp.zeros_like(h[0])
        delta = jnp.zeros((recurrence.BLOCK, len(zero), 4 * self.n_hidden), h.dtype)
        grads, error_in = against(walk, step, sums, (zero, zero), delta, none, jnp.zeros_like(x))
        return grads, by_row(error_in, error.shape[1])


def lstm(n_hidden: int, init: str = "glorot_uniform", truncate: int | None = None, chrono: int | None = None) -> LSTM:
    """A layer of long short-term memory: from a `Sequence` to h after each of its steps, a `Sequence`.

    Parameters
    ----------
    n_hidden : number of units, at least 1.
    init : initial weights w, one of `axonic.layers.INITS`; v starts orthogonal, b at 0, of the forget gate at 1.
    truncate : window of the backward pass in steps (see `axonic.layers.recurrence`); None goes back to the first step.
    chrono : the steps over which the layer is to remember from the start, at least 3 (see
        `axonic.layers.recurrence.chrono_bias`); None leaves the biases as above.

    Raises
    ------
    InputError : an unknown initialisation, no units, or a window or memory of no such number of steps.

    >>> import jax.numpy as jnp, numpy as np
    >>> from axonic import layers
    >>> network = layers.chain(layers.lstm(6), layers.lstm(5), layers.mean_over_time(), layers.dense(2))
    >>> params = network.init(np.random.default_rng(0), 3)
    >>> z, cache = network.forward(params, layers.sequence(jnp.ones((4, 7, 3)), lengths=jnp.array([7, 2, 5, 1])))
    >>> grads, error_in = network.backward(params, cache, jnp.ones_like(z))
    >>> grads[0].w.shape, error_in.shape
    ((3, 24), (4, 7, 3))
    """
    recurrence.check(truncate, chrono)
    return LSTM(units(n_hidden), initializers.check(init), truncate, chrono)
