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


def _extended_rosenbrock(x):
    """Rosenbrock in pairs (More, Garbow and Hillstrom 1981, problem 21)."""
    return jnp.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)


def _beale(x):
    return jnp.sum((jnp.array([1.5, 2.25, 2.625]) - x[0] * (1 - x[1] ** jnp.array([1, 2, 3]))) ** 2)


def powell_singular(x):
    """Residuals; the Hessian at the minimum 0 is singular."""
    return jnp.stack(
        [x[0] + 10 * x[1], jnp.sqrt(5.0) * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, jnp.sqrt(10.0) * (x[0] - x[3]) ** 2]
    )


def rosenbrock_residuals(x):
    return jnp.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def _wood(x):
    return (
        100 * (x[1] - x[0] ** 2) ** 2
        + (1 - x[0]) ** 2
        + 90 * (x[3] - x[2] ** 2) ** 2
        + (1 - x[2]) ** 2
        + 10 * (x[1] + x[3] - 2) ** 2
        + 0.1 * (x[1] - x[3]) ** 2
    )


def _helical_valley(x):
    theta = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    return 100 * ((x[2] - 10 * theta) ** 2 + (jnp.sqrt(x[0] ** 2 + x[1] ** 2) - 1) ** 2) + x[2] ** 2


def _himmelblau(x):
    return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2


def _ill_conditioned(x):
    """A quadratic of condition 10^4."""
    return 0.5 * jnp.sum(10 ** jnp.linspace(0.0, 4.0, len(x)) * (x - 1) ** 2)


def _trigonometric(x):
    n, c = len(x), jnp.cos(x)
    i = jnp.arange(1, n + 1)
    return jnp.sum((n - jnp.sum(c) + i * (1 - c) - jnp.sin(x)) ** 2)


def _brown_dennis(x):
    t = jnp.arange(1, 21) / 5
    return jnp.sum(((x[0] + t * x[1] - jnp.exp(t)) ** 2 + (x[2] + x[3] * jnp.sin(t) - jnp.cos(t)) ** 2) ** 2)


def _box(x):
    t = jnp.arange(1, 11) / 10
    return jnp.sum((jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10 * t))) ** 2)


def _logistic(x):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((200, 20)) * np.geomspace(0.1, 3, 20)
    sign = np.where(rows @ rng.standard_normal(20) + rng.standard_normal(200) > 0, 1.0, -1.0)
    return jnp.mean(jnp.logaddexp(0.0, -sign * (rows @ x))) + 0.005 * x @ x


def _variably_dimensioned(x):
    s = jnp.sum(jnp.arange(1, len(x) + 1) * (x - 1))
    return jnp.sum((x - 1) ** 2) + s**2 + s**4


# name -> (function, start, value at the minimum); starts of More, Garbow and Hillstrom 1981, "Testing unconstrained
# optimization software", ACM TOMS 7, where the function is theirs
FUNCTIONS = {
    "rosenbrock": (rosenbrock, [-1.2, 1.0], 0.0),
    "rosenbrock-10": (_extended_rosenbrock, [-1.2, 1.0] * 5, 0.0),
    "beale": (_beale, [1.0, 1.0], 0.0),
    "powell-singular": (lambda x: jnp.sum(powell_singular(x) ** 2), [3.0, -1.0, 0.0, 1.0], 0.0),
    "wood": (_wood, [-3.0, -1.0, -3.0, -1.0], 0.0),
    "helical-valley": (_helical_valley, [-1.0, 0.0, 0.0], 0.0),
    "himmelblau": (_himmelblau, [1.0, 1.0], 0.0),
    "ill-conditioned": (_ill_conditioned, [0.0] * 100, 0.0),
    "trigonometric": (_trigonometric, [0.1] * 10, 2.795056e-5),
    "brown-dennis": (_brown_dennis, [25.0, 5.0, -5.0, -1.0], 85822.2016264),
    "box": (_box, [0.0, 10.0, 20.0], 0.0),
    "logistic": (_logistic, [0.0] * 20, None),
    "variably-dimensioned": (_variably_dimensioned, [1 - i / 10 for i in range(1, 11)], 0.0),
}
