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


def quadratic_residuals(x):
    """Half their sum of squares is the quadratic plus a constant: L^T x - L^-1 b with A = L L^T."""
    factor = np.linalg.cholesky(QUADRATIC_MATRIX)
    return factor.T @ x - np.linalg.solve(factor, QUADRATIC_SHIFT)


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
    """Half their sum of squares is half of Rosenbrock's function."""
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
    turn = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    theta = jnp.where(turn < -0.25, turn + 1, turn)  # in (-1/4, 3/4], so that it is smooth around the start
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


def _nist(x, y, model, *starts, certified, squares):
    x, y = np.array(x, float), np.array(y, float)
    return (lambda b: model(b, x) - y), starts, np.array(certified), squares


def _thurber(b, x):
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6])))


# name -> (residuals, NIST's two starts, certified parameters, certified sum of squares): NIST's Statistical Reference
# Datasets (StRD), nonlinear regression, Misra1a, Thurber, MGH10 (Meyer's problem) and MGH17 (Osborne's first); every
# number is that of NIST's files, and those of the last two are More, Garbow and Hillstrom's (MINPACK's ssqfcn)
NIST = {
    "misra1a": _nist(
        [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0],
        [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78],
        lambda b, x: b[0] * (1 - jnp.exp(-b[1] * x)),
        [500.0, 0.0001],
        [250.0, 0.0005],
        certified=[2.3894212918e2, 5.5015643181e-4],
        squares=1.2455138894e-1,
    ),
    "thurber": _nist(
        [
            -3.067, -2.981, -2.921, -2.912, -2.840, -2.797, -2.702, -2.699, -2.633, -2.481, -2.363, -2.322,
            -1.501, -1.460, -1.274, -1.212, -1.100, -1.046, -0.915, -0.714, -0.566, -0.545, -0.400, -0.309,
            -0.109, -0.103, 0.010, 0.119, 0.377, 0.790, 0.963, 1.006, 1.115, 1.572, 1.841, 2.047, 2.200,
        ],
        [
            80.574, 84.248, 87.264, 87.195, 89.076, 89.608, 89.868, 90.101, 92.405, 95.854, 100.696, 101.060,
            401.672, 390.724, 567.534, 635.316, 733.054, 759.087, 894.206, 990.785, 1090.109, 1080.914,
            1122.643, 1178.351, 1260.531, 1273.514, 1288.339, 1327.543, 1353.863, 1414.509, 1425.208, 1421.384,
            1442.962, 1464.350, 1468.705, 1447.894, 1457.628,
        ],
        _thurber,
        [1000.0, 1000.0, 400.0, 40.0, 0.7, 0.3, 0.03],
        [1300.0, 1500.0, 500.0, 75.0, 1.0, 0.4, 0.05],
        certified=[
            1.2881396800e3, 1.4910792535e3, 5.8323836877e2, 7.5416644291e1, 9.6629502864e-1, 3.9797285797e-1,
            4.9727297349e-2,
        ],
        squares=5.6427082397e3,
    ),
    "meyer": _nist(
        np.arange(50, 126, 5),
        [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872],
        lambda b, x: b[0] * jnp.exp(b[1] / (x + b[2])),
        [2.0, 400000.0, 25000.0],
        [0.02, 4000.0, 250.0],
        certified=[5.6096364710e-3, 6.1813463463e3, 3.4522363462e2],
        squares=8.7945855171e1,
    ),
    "osborne1": _nist(
        np.arange(0, 321, 10),
        [
            0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658,
            0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431,
            0.424, 0.420, 0.414, 0.411, 0.406,
        ],
        lambda b, x: b[0] + b[1] * jnp.exp(-b[3] * x) + b[2] * jnp.exp(-b[4] * x),
        [50.0, 150.0, -100.0, 1.0, 2.0],
        [0.5, 1.5, -1.0, 0.01, 0.02],
        certified=[3.7541005211e-1, 1.9358469127, -1.4646871366, 1.2867534640e-2, 2.2122699662e-2],
        squares=5.4648946975e-5,
    ),
}  # fmt: skip
