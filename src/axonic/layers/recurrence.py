"""What the recurrent layers share: time in front, padded steps, truncation, blocks of time, initial weights.

A recurrent layer computes state_t = step(state_{t-1}, x_t) at a real step and state_t = state_{t-1} at a padded one,
from the state 0. Its output is the state at real steps and 0 at padded ones, so that padding, wherever it stands,
changes neither an output nor a gradient.

Backwards the error of the state runs against time; a padded step hands it on as it is. With `truncate=k` the real steps
of each sequence are cut into windows of k, counted in the order in which the layer goes through them, and no error is
carried from a window into the one before: the steps 0, k, 2k, ... hand 0 on. The forward pass is the same with and
without. An output's error thus reaches back 0 to k - 1 steps, according to where in its window the output stands
(truncated backpropagation through time, Williams and Peng 1990).

Time is walked in blocks of `BLOCK` steps. What does not depend on the state is done for a block at once: x w before its
steps, and after them, backwards, dL/dw, dL/dv and dL/dx, so that neither x w nor delta is ever in memory for all times.
The walk begins at the first real step of any row and ends after the last one: what is padded to a common length costs
memory but no arithmetic. These bounds are values of the program, which JAX's own reverse mode can't go back through;
ours is written here, and forward mode, which products with the Hessian need, has no trouble with them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from axonic.errors import InputError
from axonic.layers import initializers
from axonic.layers.base import masked
from axonic.types import Sequence

BLOCK = 16


class Span(NamedTuple):
    """The first real step of any row, and the one after the last."""

    first: Int[Array, ""]
    last: Int[Array, ""]

    def block(self, j: Any) -> tuple[Any, Any]:
        """The steps of block j that are walked."""
        return jnp.maximum(self.first, j * BLOCK), jnp.minimum(self.last, (j + 1) * BLOCK)

    @property
    def blocks(self) -> tuple[Any, Any]:
        """The blocks that are walked."""
        return self.first // BLOCK, (self.last + BLOCK - 1) // BLOCK


def span(mask: Bool[Array, "batch time"]) -> Span:
    """Where the real steps lie; an empty span if there are none."""
    real = mask.any(axis=0)
    last = jnp.where(real.any(), len(real) - jnp.argmax(real[::-1]), 0)
    return Span(jnp.argmax(real), last)


def by_time(array: Shaped[Array, "batch time n"]) -> Shaped[Array, "blocks batch n"]:
    """Time in front, with steps of 0 at the end up to a whole number of blocks."""
    return jnp.pad(jnp.swapaxes(array, 0, 1), ((0, -array.shape[1] % BLOCK), (0, 0), (0, 0)))


def by_row(array: Float[Array, "blocks batch n"], n_time: int) -> Float[Array, "batch time n"]:
    """`by_time` undone."""
    return jnp.swapaxes(array[:n_time], 0, 1)


def steps(x: Sequence) -> tuple[Float[Array, "blocks batch n"], Bool[Array, "blocks batch 1"]]:
    """(values, real): the values by time, 0 at padded steps, and which steps are real."""
    return by_time(masked(x.mask, x.values)), by_time(x.mask[..., None])


def room(real: Bool[Array, "blocks batch 1"], n: int, like: Any, before: int = 0) -> Float[Array, "time batch n"]:
    """Zeros for n numbers at each step; with `before=1` for a state, which is 0 before the first step."""
    return jnp.zeros((len(real) + before, real.shape[1], n), like.dtype)


def wide(real: Bool[Array, "blocks batch 1"], n: int) -> Bool[Array, "blocks batch n"]:
    """`real` for each of n units: up to 32 of them XLA is several times as quick to select by it."""
    return jnp.broadcast_to(real, (*real.shape[:2], n))


def cut(array: Array, j: Any) -> Array:
    """The steps of block j."""
    return jax.lax.dynamic_slice_in_dim(array, j * BLOCK, BLOCK)


def put(array: Array, one: Array, t: Any) -> Array:
    """The array with `one` at step t, which must be there: `.at[t].set` would look whether it is, at every step."""
    return jax.lax.dynamic_update_index_in_dim(array, one, t, 0, allow_negative_indices=False)


def onward(
    walk: Span, block: Callable[[Any], Array], step: Callable[[Any, Array, Any], tuple[Any, Any]], state: Any, kept: Any
) -> Any:
    """Walk with time; returns what is kept of each step.

    Parameters
    ----------
    walk : where.
    block : of j gives what is computed for all steps of block j at once, (`BLOCK`, ...).
    step : of the state, this step's part of `block` and t gives the next state and what to keep of step t.
    state : before the first step.
    kept : a tree of `room` for what is to be kept.
    """

    def steps_of_block(j: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        now = block(j)

        def one(t: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, kept = carry
            state, new = step(state, now[t - j * BLOCK], t)
            return state, jax.tree.map(
                lambda all_steps, one: put(all_steps, one, t + len(all_steps) % BLOCK), kept, new
            )

        return jax.lax.fori_loop(*walk.block(j), one, carry)

    return jax.lax.fori_loop(*walk.blocks, steps_of_block, (state, kept))[1]


def against(
    walk: Span,
    step: Callable[[Any, Any], tuple[Any, Any]],
    sums: Callable[[Any, Any], tuple[Any, Array]],
    carry: Any,
    delta: Any,
    grads: Any,
    error_in: Array,
) -> tuple[Any, Array]:
    """Walk against time; returns (grads, error_in).

    Parameters
    ----------
    walk : where.
    step : of the carried error and t gives the error to carry on, and delta at t.
    sums : of the deltas of block j, (`BLOCK`, ...), and j gives their share of the gradients, and dL/dx there.
    carry, grads, error_in : zeros to begin with.
    delta : zeros like the deltas of a block.
    """
    first, last = walk.blocks

    def steps_of_block(i: Any, carried: tuple[Any, Any, Array]) -> tuple[Any, Any, Array]:
        carry, grads, error_in = carried
        j = last - 1 - i
        begin, end = walk.block(j)

        def one(i: Any, now: tuple[Any, Any]) -> tuple[Any, Any]:
            t = end - 1 - i
            carry, new = step(now[0], t)
            return carry, jax.tree.map(lambda all_steps, one: put(all_steps, one, t - j * BLOCK), now[1], new)

        carry, deltas = jax.lax.fori_loop(0, end - begin, one, (carry, delta))
        share, error = sums(deltas, j)
        grads = jax.tree.map(jnp.add, grads, share)
        return carry, grads, jax.lax.dynamic_update_slice_in_dim(error_in, error, j * BLOCK, axis=0)

    _, grads, error_in = jax.lax.fori_loop(0, last - first, steps_of_block, (carry, grads, error_in))
    return grads, error_in


def carries(real: Bool[Array, "time batch 1"], truncate: int | None) -> Bool[Array, "time batch 1"]:
    """Whether a real step hands an error on to the step before."""
    if truncate is None:
        return jnp.ones_like(real)
    return (jnp.cumsum(real, axis=0) - 1) % truncate != 0


def outer(left: Float[Array, "block batch n"], delta: Float[Array, "block batch m"]) -> Float[Array, "n m"]:
    """sum_t left_t^T delta_t."""
    return jnp.einsum("tbi,tbo->io", left, delta)


def total(delta: Float[Array, "block batch n"]) -> Float[Array, " n"]:
    """sum_t sum of delta_t over the batch, as a product, which XLA is quicker at than at sums of rows."""
    rows = delta.reshape(-1, delta.shape[-1])
    return jnp.ones(len(rows), delta.dtype) @ rows


def initial_w(rng: np.random.Generator, init: str, n_in: int, n_hidden: int, n_gates: int) -> np.ndarray:
    """Input weights of the gates, each drawn as a layer of its own, (n_in, n_gates n_hidden); "auto" is what suits
    sigmoid and tanh."""
    return np.concatenate([initializers.draw(rng, init, "glorot", n_in, n_hidden) for _ in range(n_gates)], axis=1)


def initial_v(rng: np.random.Generator, n_hidden: int, n_gates: int) -> np.ndarray:
    """Recurrent weights of the gates, each orthogonal, (n_hidden, n_gates n_hidden)."""
    return np.concatenate([initializers.orthogonal(rng, n_hidden) for _ in range(n_gates)], axis=1)


def chrono_bias(rng: np.random.Generator, n_hidden: int, chrono: int) -> np.ndarray:
    """Biases of a gate that keeps the state, (n_hidden,), for a memory of up to `chrono` steps.

    A gate of sigmoid(b) at every step forgets to 1/e in 1 + e^b steps, so b = ln(T - 1) remembers over T; T - 1 is
    drawn from U(1, chrono - 1) (Tallec and Ollivier 2018, "Can recurrent neural networks warp time?", equation 16).
    """
    return np.log(rng.uniform(1, chrono - 1, n_hidden)).astype(np.float32)


def check(truncate: int | None, chrono: int | None = None) -> None:
    """Raise `InputError` if `truncate` is neither None nor a whole number of at least 1, or `chrono` neither None nor
    one of at least 3."""
    for name, steps, least in (("truncate", truncate, 1), ("chrono", chrono, 3)):
        whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
        if steps is not None and not (whole and steps >= least):
            raise InputError(f"{name} = {steps!r} is impossible", f"give None or a whole number of at least {least}")
