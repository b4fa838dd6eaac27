"""Functions to minimise, as objectives with exact derivatives, and the network of the parity tests."""

import jax
import jax.numpy as jnp
import numpy as np

from axonic import layers, losses
from axonic.objective import Objective
from axonic.types import Batch

QUADRATIC_MATRIX = np.array([[3.0, 0.5], [0.5, 1.0]])
QUADRATIC_SHIFT = np.array([1.0, -2.0])


def quadratic(x):
    """1/2 x^T A x - b^T x, minimum at A^-1 b."""
    return 0.5 * x @ QUADRATIC_MATRIX @ x - QUADRATIC_SHIFT @ x


def rosenbrock(x):
    """Rosenbrock 1960; minimum 0 at (1, 1)."""
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def network_objective():
    """(objective, params): a small network on fixed rows, float64 where enabled."""
    rng = np.random.default_rng(0)
    network = layers.chain(layers.dense(5, "tanh"), layers.dense(2))
    params = jax.tree.map(jnp.asarray, network.init(rng, 3))
    x, y = rng.standard_normal((8, 3)), rng.standard_normal((8, 2))
    dtype = jnp.result_type(float)
    batch = Batch(jnp.asarray(x, dtype), jnp.asarray(y, dtype), jnp.ones(8, dtype))
    return Objective(network, losses.squared_error, batch, 0.01), jax.tree.map(lambda p: p.astype(dtype), params)
