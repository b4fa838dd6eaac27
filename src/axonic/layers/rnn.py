"""The simple recurrent layer (Elman 1990).

    forward     z_t = x_t w + a_{t-1} v + b      x_t (batch, n_in), w (n_in, n_hidden), v (n_hidden, n_hidden)
                a_t = activation(z_t)            a_0 = 0;  a_t = a_{t-1} at a padded step
    backward    from the last step to the first, with error_t = dL/da_t of the output at t alone, carry = dL/da_t of
                the later steps
                delta_t = (error_t + carry) * activation'(z_t);  carry = delta_t v^T
                at a padded step delta_t = 0 and carry stays; where truncation cuts, carry = 0
                dL/db = sum_t sum of delta_t over the batch
                dL/dv = sum_t a_{t-1}^T delta_t
                dL/dw = sum_t x_t^T delta_t
                dL/dx_t = delta_t w^T

a_t acts on the loss as the output of step t (error_t) and through z_{t+1} = ... + a_t v, whose share is
delta_{t+1} v^T: their sum is dL/da_t. Each use of w, v and b adds its share to the gradient, hence the sums over t.

Source: the notes, "RNNs", a = sigma(W x + V a); Werbos 1990, "Backpropagation through time". The notes have no b; see
`axonic.layers.recurrence` for padding and truncation. PyTorch has two biases, whose sum is b.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.layers import activations, initializers, recurrence
from axonic.layers.activations import Activation
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


class RNNParams(NamedTuple):
    """w: input weights, v: recurrent weights, b: bias. Arrays of JAX or NumPy, or their shapes."""

    w: Float[Any, "n_in n_hidden"]
    v: Float[Any, "n_hidden n_hidden"]
    b: Float[Any, " n_hidden"]


class RNNCache(NamedTuple):
    """x: input, 0 where padded; real: which steps are; walk: where they lie; z: pre-activation of each step,
    None where the activation does without; a: state before each step and after the last."""

    x: Float[Array, "time batch n_in"]
    real: Bool[Array, "time batch 1"]
    walk: Span
    z: Float[Array, "time batch n_hidden"] | None
    a: Float[Array, "time+1 batch n_hidden"]


@spec
class RNN(Layer):
    """See `rnn`."""

    n_hidden: int = static()
    activation: Activation = static(default=activations.tanh)
    initializer: str = static(default="glorot_uniform")
    truncate: int | None = static(default=None)

    decays: ClassVar[tuple[str, ...]] = ("w", "v")
    of_sequences: ClassVar[bool] = True

    def n_out(self, n_in: int) -> int:
        del n_in
        return self.n_hidden

    def shapes(self, n_in: int) -> RNNParams:
        shapes = RNNParams((n_in, self.n_hidden), (self.n_hidden, self.n_hidden), (self.n_hidden,))
        return RNNParams(*(jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes))

    def init(self, rng: np.random.Generator, n_in: int) -> RNNParams:
        w = initializers.draw(rng, self.initializer, self.activation.init, n_in, self.n_hidden)
        v = recurrence.initial_v(rng, self.n_hidden, 1)
        return RNNParams(w, v, np.zeros(self.n_hidden, np.float32))

    def forward(self, params: RNNParams, x: Sequence, key: Key | None = None) -> tuple[Sequence, RNNCache]:
        del key
        values, real = steps(x)
        walk, chosen = span(x.mask), wide(real, self.n_hidden)

        def step(a: Array, from_x: Array, t: Any) -> tuple[Array, tuple]:
            z = from_x + a @ params.v
            a = jnp.where(chosen[t], self.activation.value(z), a)
            return a, (None if self.activation.of_a else z, a)

        z, a = (room(real, self.n_hidden, params.w, before) for before in (0, 1))
        z = None if self.activation.of_a else z
        z, a = onward(walk, lambda j: cut(values, j) @ params.w + params.b, step, a[0], (z, a))
        output = masked(x.mask, by_row(a[1:], x.mask.shape[1]))
        return Sequence(output, x.mask), RNNCache(values, real, walk, z, a)

    def backward(
        self, params: RNNParams, cache: RNNCache, error: Float[Array, "batch time n_hidden"]
    ) -> tuple[RNNParams, Float[Array, "batch time n_in"]]:
        x, real, walk, z, a = cache
        errors, carried = by_time(error), carries(real, self.truncate)
        v_transposed = params.v.T  # once, and not at every step

        def step(carry: Array, t: Any) -> tuple[Array, Array]:
            delta = jnp.where(
                real[t], self.activation.backward(None if z is None else z[t], a[t + 1], errors[t] + carry), 0.0
            )
            to_before = jnp.where(carried[t], delta @ v_transposed, 0.0)
            return jnp.where(real[t], to_before, carry), delta

        def sums(delta: Array, j: Any) -> tuple[RNNParams, Array]:
            b = total(delta)
            v = outer(cut(a, j), delta)
            w = outer(cut(x, j), delta)
            return RNNParams(w, v, b), jnp.einsum("tbo,io->tbi", delta, params.w)

        zero = jax.tree.map(jnp.zeros_like, params)
        delta = jnp.zeros((recurrence.BLOCK, *a.shape[1:]), a.dtype)
        grads, error_in = against(walk, step, sums, jnp.zeros_like(a[0]), delta, zero, jnp.zeros_like(x))
        return grads, by_row(error_in, error.shape[1])


def rnn(
    n_hidden: int, activation: str | Activation = "tanh", init: str = "glorot_uniform", truncate: int | None = None
) -> RNN:
    """A simple recurrent layer: from a `Sequence` to the state after each of its steps, a `Sequence`.

    Parameters
    ----------
    n_hidden : number of units, at least 1.
    activation : a name (see `axonic.layers.ACTIVATIONS`) or an `Activation`.
    init : initial weights w, one of `axonic.layers.INITS`; "auto" follows the activation. v starts orthogonal, b at 0.
    truncate : window of the backward pass in steps (see `axonic.layers.recurrence`); None goes back to the first step.

    Raises
    ------
    InputError : an unknown activation or initialisation, no units, or a window of no such number of steps.

    >>> import jax.numpy as jnp, numpy as np
    >>> from axonic import layers
    >>> network = layers.chain(layers.rnn(5), layers.last_step(), layers.dense(2))
    >>> params = network.init(np.random.default_rng(0), 3)
    >>> x = layers.sequence(jnp.ones((4, 7, 3)), lengths=jnp.array([7, 2, 5, 1]))
    >>> z, cache = network.forward(params, x)
    >>> z.shape
    (4, 2)
    """
    recurrence.check(truncate)
    return RNN(units(n_hidden), activations.get(activation), initializers.check(init), truncate)
