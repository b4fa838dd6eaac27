"""What the recurrent layers share: time in front, padded steps, truncation, initial weights.

A recurrent layer computes state_t = step(state_{t-1}, x_t) at a real step and state_t = state_{t-1} at a padded one,
from the state 0. Its output is the state at real steps and 0 at padded ones, so that padding, wherever it stands,
changes neither an output nor a gradient.

Backwards the error of the state runs against time; a padded step hands it on as it is. With `truncate=k` the real steps
of each sequence are cut into windows of k, counted in the order in which the layer goes through them, and no error is
carried from a window into the one before: the steps 0, k, 2k, ... hand 0 on. The forward pass is the same with and
without. An output's error thus reaches back 0 to k - 1 steps, according to where in its window the output stands
(truncated backpropagation through time, Williams and Peng 1990).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.errors import InputError
from axonic.layers import initializers
from axonic.layers.base import masked
from axonic.types import Sequence


def by_time(array: Array) -> Array:
    """Time and batch exchanged."""
    return jnp.swapaxes(array, 0, 1)


def steps(x: Sequence) -> tuple[Float[Array, "time batch n"], Bool[Array, "time batch 1"]]:
    """(values, real): the values by time, 0 at padded steps, and which steps are real."""
    return by_time(masked(x.mask, x.values)), by_time(x.mask)[..., None]


def before(states: Float[Array, "time batch n"]) -> Float[Array, "time batch n"]:
    """The state before each step."""
    return jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])


def carries(real: Bool[Array, "time batch 1"], truncate: int | None) -> Bool[Array, "time batch 1"]:
    """Whether a real step hands an error on to the step before."""
    if truncate is None:
        return jnp.ones_like(real)
    return (jnp.cumsum(real, axis=0) - 1) % truncate != 0


def initial_w(rng: np.random.Generator, init: str, n_in: int, n_hidden: int, n_gates: int) -> np.ndarray:
    """Input weights of the gates, each drawn as a layer of its own, (n_in, n_gates n_hidden)."""
    return np.concatenate([initializers.draw(rng, init, "glorot", n_in, n_hidden) for _ in range(n_gates)], axis=1)


def initial_v(rng: np.random.Generator, n_hidden: int, n_gates: int) -> np.ndarray:
    """Recurrent weights of the gates, each orthogonal, (n_hidden, n_gates n_hidden)."""
    return np.concatenate([initializers.orthogonal(rng, n_hidden) for _ in range(n_gates)], axis=1)


def check(truncate: int | None) -> int | None:
    """Return `truncate`, or raise `InputError` if it is neither None nor at least 1."""
    if truncate is not None and truncate < 1:
        raise InputError(f"truncate={truncate}: a window has at least one step", "use None or a number from 1")
    return truncate
