"""Every loss: delta against automatic differentiation, values by hand, extremes, targets as indices or rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from axonic import FeedForwardRegressor, losses
from axonic.errors import InputError
from axonic.layers import ACTIVATIONS, activations
from axonic.layers.activations import Activation
from axonic.losses.matched import FORMS, integral, inverse
from axonic.settings import Settings, pair
from axonic.specs import spec
from tests.oracles import assert_close

OWN = {
    "arctan": Activation("arctan", jnp.arctan, lambda z, a: 1 / (1 + z * z)),
    "stairs": Activation("stairs", lambda z: z + jnp.sin(2 * z) / 3, lambda z, a: 1 + 2 / 3 * jnp.cos(2 * z)),
    "bent": Activation("bent", lambda z: jnp.where(z > 0, 2 * z, z / 3), lambda z, a: jnp.where(z > 0, 2.0, 1 / 3)),
    "sigmoid": Activation("sigmoid", lambda z: 1 / (1 + jnp.exp(-z)), lambda z, a: a * (1 - a)),
    "sigmoid of 3z": Activation("sigmoid of 3z", lambda z: jax.nn.sigmoid(3 * z), lambda z, a: 3 * a * (1 - a)),
    "sigmoid of 4z": Activation("sigmoid of 4z", lambda z: 1 / (1 + jnp.exp(-4 * z)), lambda z, a: 4 * a * (1 - a)),
    "probit": Activation("probit", jax.scipy.stats.norm.cdf, lambda z, a: jax.scipy.stats.norm.pdf(z)),
    "erf": Activation("erf", jax.lax.erf, lambda z, a: 2 / np.sqrt(np.pi) * jnp.exp(-z * z)),
}
MATCHING = {
    **{name: name for name in (*FORMS, "softplus", "softmax")},
    **{f"own {name}": activation for name, activation in OWN.items()},
}
CASES = {
    "squared_error": lambda: losses.squared_error,
    "cross_entropy": lambda: losses.cross_entropy,
    "log_likelihood": lambda: losses.log_likelihood,
    **{f"mse-{name}": functools.partial(losses.mse, name) for name in ACTIVATIONS},
    **{f"matching-{name}": functools.partial(losses.matching, activation) for name, activation in MATCHING.items()},
    "huber": losses.huber,
    "huber-0.3": lambda: losses.huber(0.3),
    "absolute": lambda: losses.absolute,
    "quantile-0.1": lambda: losses.quantile(0.1),
    "quantile": losses.quantile,
    "poisson": lambda: losses.poisson,
}
"""How each is made: by the first test that asks for it."""
CONVEX = [name for name in CASES if not name.startswith("mse")] + ["mse-identity"]
EACH_KIND = (
    "squared_error", "cross_entropy", "log_likelihood", "mse-sigmoid", "mse-softmax", "matching-tanh",
    "matching-softmax", "huber-0.3", "absolute", "quantile-0.1", "poisson",
)  # fmt: skip


@functools.cache
def case(name):
    return CASES[name]()


def test_the_table_holds_every_loss():
    for cases in (CASES, EACH_KIND):
        assert set(losses.LOSSES.values()) == {type(case(name)) for name in cases}


ROWS = 400


def example():
    rng = np.random.default_rng(0)
    z, y = 3 * rng.standard_normal((ROWS, 3)), rng.random((ROWS, 3))
    return z, y / y.sum(axis=1, keepdims=True)


@functools.cache
def value_and_delta(loss):
    """Both as one compiled program, which serves all tests that give it as many rows."""
    return jax.jit(lambda z, y: (loss.value(z, y), loss.delta(z, y)))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_delta_equals_grad(name):
    loss = case(name)
    z, y = example()
    grad = jax.jit(jax.grad(lambda z, y: loss.value(z, y).sum()))
    assert_close(value_and_delta(loss)(z, y)[1], grad(z, y))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "name", ["squared_error", "cross_entropy", "log_likelihood", "poisson", *(f"matching-{name}" for name in MATCHING)]
)
def test_matching_pairs_have_delta_a_minus_y(name):
    loss = case(name)
    z, y = example()
    assert_close(value_and_delta(loss)(z, y)[1], jax.jit(loss.activation.value)(z) - y)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_extreme_pre_activations_are_finite(name):
    z = np.resize([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]], (ROWS, 3))
    y = np.resize([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], (ROWS, 3))
    value, delta = value_and_delta(case(name))(z, y)
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(delta))


def test_values_by_hand():
    """ln 2 for a coin, ln 3 for a die of three, half of 1 + 4 for errors of 1 and 2, (1 - 1/2)^2 / 2 for a sigmoid."""
    z = jnp.zeros((1, 1))
    np.testing.assert_allclose(losses.cross_entropy.value(z, jnp.ones((1, 1))), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(losses.log_likelihood.value(jnp.zeros((1, 3)), jnp.array([2])), np.log(3), rtol=1e-6)
    np.testing.assert_allclose(losses.squared_error.value(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2))), 2.5)
    np.testing.assert_allclose(losses.mse("sigmoid").value(z, jnp.ones((1, 1))), 0.125)


@pytest.mark.parametrize("name", EACH_KIND)
def test_class_indices_are_rows_with_a_single_one(name):
    loss = case(name)
    z = jnp.asarray(example()[0][:5], jnp.float32)
    indices = jnp.array([0, 2, 1, 1, 0])
    rows = jnp.eye(3)[indices]
    np.testing.assert_array_equal(loss.value(z, indices), loss.value(z, rows))
    np.testing.assert_array_equal(loss.delta(z, indices), loss.delta(z, rows))


def test_one_output_takes_indices_as_zero_and_one():
    z = jnp.array([[2.0], [-1.0]])
    np.testing.assert_array_equal(
        losses.cross_entropy.value(z, jnp.array([1, 0])), losses.cross_entropy.value(z, jnp.array([[1.0], [0.0]]))
    )


def test_a_saturated_sigmoid_learns_from_cross_entropy_and_not_from_squared_error():
    """The notes' reason for the pairing: at z = 20 and y = 0 one delta is 1, the other vanishes."""
    z, y = jnp.array([[20.0]]), jnp.array([[0.0]])
    np.testing.assert_allclose(losses.cross_entropy.delta(z, y), 1.0, rtol=1e-6)
    assert abs(float(losses.mse("sigmoid").delta(z, y)[0, 0])) < 1e-6


# --- convexity, kinks and ends ---


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CONVEX)
def test_convex_and_never_negative_in_z(name):
    rng = np.random.default_rng(1)
    y = example()[1]
    one, other = (rng.normal(0, 6, (ROWS, 3)) for _ in range(2))
    t = rng.random(ROWS)
    between = t[:, None] * one + (1 - t[:, None]) * other
    at_one, at_other, at_between = (np.asarray(value_and_delta(case(name))(z, y)[0]) for z in (one, other, between))
    assert np.all(at_between <= t * at_one + (1 - t) * at_other + 1e-9)
    assert np.all(at_one >= 0)


@pytest.mark.parametrize("name", CASES)
def test_single_precision_is_kept_and_extremes_are_finite_in_it(name):
    z = np.resize(np.float32([[1e4, -1e4, 0.0], [-1e4, 30.0, -30.0]]), (ROWS, 3))
    y = np.resize(np.float32([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), (ROWS, 3))
    for out in value_and_delta(case(name))(z, y):
        assert out.dtype == jnp.float32
        assert np.all(np.isfinite(out))


@pytest.mark.usefixtures("float64")
def test_delta_at_a_kink_is_zero():
    y = jnp.array([[0.25, -3.0]])
    for loss in (losses.absolute, losses.quantile(0.9), losses.huber()):
        np.testing.assert_array_equal(loss.delta(y, y), jnp.zeros((1, 2)))
        np.testing.assert_array_equal(loss.value(y, y), [0.0])


# --- the matching loss ---


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", FORMS)
def test_closed_forms_are_the_integral(name):
    """By our quadrature, and for some by SciPy's."""
    rng = np.random.default_rng(2)
    phi = jax.jit(ACTIVATIONS[name].value)
    z, start = (rng.normal(0, 4, (60, 3)) for _ in range(2))
    y = phi(start)
    values, integrals = jax.jit(lambda z, y: (FORMS[name](z, y), integral(phi, z, y)))(z, y)
    np.testing.assert_allclose(values, integrals, rtol=1e-10, atol=1e-10)
    for i in range(4):
        a, b, c = float(start[i, 0]), float(z[i, 0]), float(y[i, 0])
        assert values[i, 0] == pytest.approx(integrate.quad(lambda u, c=c: float(phi(u)) - c, a, b)[0], rel=1e-7)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", OWN)
def test_of_an_activation_of_ones_own_it_is_the_integral(name):
    phi = jax.jit(OWN[name].value)
    z, start = np.array([-40.0, -2.0, 0.3, 7.0]), np.array([1.5, -3.0, 0.3, 2.0])
    y = np.asarray(phi(start))
    expected = [
        integrate.quad(lambda u, c=c: float(phi(u)) - c, a, b, limit=500, points=[0.0] if a * b < 0 else None)[0]
        for a, b, c in zip(start, z, y, strict=True)
    ]
    values = jax.jit(losses.matching(OWN[name]).value)(z[:, None], y[:, None])
    np.testing.assert_allclose(values, expected, rtol=1e-7, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_softplus_is_the_dilogarithm():
    """Phi(z) = -Li2(-e^z), and spence(x) = Li2(1 - x)."""
    from scipy.special import spence

    z, start = np.array([-8.0, -1.0, 0.0, 2.5, 9.0]), np.array([1.0, -4.0, 0.5, 2.5, -1.0])
    y = np.log1p(np.exp(start))
    expected = -spence(1 + np.exp(z)) + spence(1 + np.exp(start)) - y * (z - start)
    values = jax.jit(losses.matching("softplus").value)(z[:, None], y[:, None])
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "pair"), [("identity", "squared_error"), ("sigmoid", "cross_entropy"), ("softmax", "log_likelihood")]
)
def test_the_pairs_of_the_notes_are_matching_losses(name, pair):
    """With one-hot targets they are equal; in between they differ by what does not depend on z."""
    z, y = example()
    matching, classic = (value_and_delta(loss) for loss in (losses.matching(name), case(pair)))
    one_hot = np.resize(np.eye(3), (ROWS, 3))
    np.testing.assert_allclose(matching(z, one_hot)[0], classic(z, one_hot)[0], rtol=1e-12)
    difference = [np.asarray(matching(shift * z, y)[0]) - classic(shift * z, y)[0] for shift in (1.0, -2.0)]
    np.testing.assert_allclose(difference[0], difference[1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(matching(z, y)[1], classic(z, y)[1], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("float64")
def test_the_ends_of_the_range_are_finite():
    z = np.array([[-1e4], [-3.0], [0.0], [3.0], [1e4]])
    for name, ends in {
        "sigmoid": (0, 1),
        "tanh": (-1, 1),
        "own sigmoid": (0, 1),
        "own sigmoid of 4z": (0, 1),
        "own probit": (0, 1),
        "own erf": (-1, 1),
        "elu": (-1,),
        "softplus": (0,),
    }.items():
        value, low = jax.jit(case(f"matching-{name}").value), case(f"matching-{name}").limits()[0]
        for end in ends:
            values = np.asarray(value(z, np.full((5, 1), float(end))))
            assert np.all(np.isfinite(values))
            assert np.all(np.diff(values if end == low else -values) >= 0)
            assert min(values) == pytest.approx(0.0, abs=1e-12)
            if (name, end) == ("tanh", 1):
                np.testing.assert_allclose(values[2], np.log(2), rtol=1e-12)
    at_end = jax.jit(case("matching-own arctan").value)(z, np.full((5, 1), np.pi / 2))
    assert np.all(np.isfinite(at_end))


@pytest.mark.usefixtures("float64")
def test_inverse():
    z = np.r_[np.linspace(-3, 3, 13), 1e4, -1e4]
    for phi in (activations.softplus.value, OWN["stairs"].value, OWN["arctan"].value):
        near = z if phi is OWN["stairs"].value else z[:13]
        np.testing.assert_allclose(jax.jit(lambda z, phi=phi: inverse(phi, phi(z)))(near), near, rtol=1e-9, atol=1e-12)


def test_limits_and_scaling():
    inf = np.inf
    expected = {
        "identity": (-inf, inf), "leaky_relu": (-inf, inf), "sigmoid": (0, 1), "tanh": (-1, 1), "elu": (-1, inf),
        "softplus": (0, inf), "softmax": (0, 1), "own arctan": (-np.pi / 2, np.pi / 2), "own bent": (-inf, inf),
        "own probit": (0, 1), "own erf": (-1, 1),
    }  # fmt: skip
    for name, limits in expected.items():
        for loss in (case(f"matching-{name}"), losses.mse(case(f"matching-{name}").activation)):
            np.testing.assert_allclose(loss.limits(), limits, rtol=1e-6)
            assert loss.scaling() == ("none" if np.isfinite(limits).any() else "deviation")
    assert losses.poisson.limits() == (0, inf)
    assert losses.Loss().scaling() == "deviation"


@pytest.mark.parametrize(
    ("phi", "limits"),
    [
        (activations.relu.value, (0, np.inf)),
        (activations.silu.value, (-0.2785, np.inf)),
        (jnp.sin, (-1, 1)),
        (lambda z: jnp.exp(-z * z), (0, 1)),
        (lambda z: jnp.exp(-z), (0, np.inf)),
        (lambda z: 1.7159 * jnp.tanh(2 * z / 3), (-1.7159, 1.7159)),
        (jnp.log, (-np.inf, np.inf)),
    ],
)
def test_the_range_of_an_activation_that_need_not_increase(phi, limits):
    """In double precision: 1.7159 is one of the targets, its float32 is less."""
    assert losses.mse(Activation("own", phi, lambda z, a: z)).limits() == limits


@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_squared_error_behind_a_bounded_output_reaches_its_targets(name):
    """Shares from .05 to .95; standardised they would lie from -1.5 to 1.5, half of them out of reach."""
    x = np.random.default_rng(0).uniform(-3, 3, (200, 1))
    y = 1 / (1 + np.exp(-x[:, 0]))
    brief = {"learning_rate": 0.5, "epochs": 200, "ensemble": 1, "regularization": None, "monitor": False}
    model = FeedForwardRegressor((8,), loss=losses.mse(name), **brief).fit(x, y)
    assert model.score(x, y) > 0.9
    with pytest.raises(InputError, match="this loss cannot take"):
        model.fit(x, y - 1.5)


@pytest.mark.parametrize(
    "phi",
    [
        lambda z: jax.nn.sigmoid(10 * z),
        lambda z: jax.nn.sigmoid(500 * z),
        lambda z: jax.lax.erf(3 * z),
        lambda z: 1 - 2 / (jnp.exp(16 * z) + 1),
        lambda z: jnp.log(1 + jnp.exp(10 * z)),
        lambda z: 2e6 * jax.nn.sigmoid(8 * z) - 1e6,
    ],
)
def test_flat_within_rounding_of_an_end_is_saturated(phi):
    loss = losses.matching(Activation("steep", phi, lambda z, a: z))
    z, y = np.float32([[-3.0], [0.0], [3.0]]), np.full((3, 1), 0.5, np.float32)
    assert np.all(np.isfinite(jax.jit(loss.value)(z, y)))


@pytest.mark.parametrize(
    ("activation", "says"),
    [
        ("relu", "flat"),
        ("gelu", "falls"),
        ("silu", "falls"),
        (Activation("clip", lambda z: jnp.clip(z, -1, 1), lambda z, a: z), "flat"),
        (Activation("cube of relu", lambda z: jnp.maximum(z, 0) ** 3, lambda z, a: z), "flat"),
        (Activation("cut", lambda z: jnp.minimum(jax.nn.sigmoid(3 * z), 0.99), lambda z, a: z), "flat at z = 1.55"),
        (Activation("step", lambda z: jnp.where(z > 0, 1.0, 0.0), lambda z, a: z), "flat"),
        (Activation("constant", lambda z: 0 * z, lambda z, a: z), "flat"),
        (Activation("sin", jnp.sin, lambda z, a: jnp.cos(z)), "falls"),
        (Activation("falling", lambda z: jax.nn.sigmoid(-z), lambda z, a: a * (a - 1)), "falls"),
        (Activation("square", lambda z: z * z, lambda z, a: 2 * z), "falls"),
        (Activation("log", jnp.log, lambda z, a: 1 / z), "not a finite number"),
        ("rleu", "unknown activation"),
    ],
)
def test_what_has_no_matching_loss_is_refused_with_the_reason(activation, says):
    with pytest.raises(InputError, match=says) as error:
        losses.matching(activation)
    assert "\n" not in str(error.value)


# --- losses for numbers, by hand ---


def test_values_of_the_robust_losses_by_hand():
    """Errors of 3 and -1/2: Huber at 1 gives 3 - 1/2 and 1/8, the absolute error their sum, quantile 0.9 a tenth of
    what is too high and nine tenths of what is too low."""
    z, y = jnp.array([[3.0, -0.5]]), jnp.zeros((1, 2))
    np.testing.assert_allclose(losses.huber(1.0).value(z, y), 2.625)
    np.testing.assert_allclose(losses.huber(1.0).delta(z, y), [[1.0, -0.5]])
    np.testing.assert_allclose(losses.absolute.value(z, y), 3.5)
    np.testing.assert_allclose(losses.quantile(0.9).value(z, y), 0.3 + 0.45, rtol=1e-6)
    np.testing.assert_allclose(losses.quantile(0.9).delta(z, y), [[0.1, -0.9]], rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_poisson_is_half_the_deviance():
    from scipy.stats import poisson

    mean, y = np.array([0.1, 1.0, 7.0, 4.0]), np.array([0.0, 3.0, 7.0, 1.0])
    values = losses.poisson.value(jnp.log(mean)[:, None], jnp.asarray(y)[:, None])
    np.testing.assert_allclose(values, poisson.logpmf(y, np.maximum(y, 1e-300)) - poisson.logpmf(y, mean), atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [losses.Quantile(tau) for tau in (0.0, 1.0, -0.1, 1.5, np.nan, "0.5", None, True)]
    + [losses.Huber(threshold) for threshold in (0.0, -1.0, np.nan, np.inf, "1", None, True)]
    + [losses.Matching(activations.relu)],
    ids=lambda loss: type(loss).__name__ if isinstance(loss, losses.Matching) else repr(loss),
)
def test_impossible_parameters_are_refused(loss):
    with pytest.raises(InputError) as error:
        pair(Settings(loss=loss), "regression", 1)
    assert "\n" not in str(error.value)


@spec
class Unfinished(losses.Loss):
    activation = activations.identity

    def value(self, z, y):
        return jnp.sum((z - y) ** 4, axis=-1)


def test_a_loss_of_ones_own_without_delta_is_named():
    x = np.random.default_rng(0).standard_normal((40, 2))
    with pytest.raises(InputError, match=r"the loss Unfinished has no delta: write delta\(z, y\)"):
        FeedForwardRegressor((3,), loss=Unfinished()).fit(x, x[:, 0])


def test_constructors_check():
    for make in (lambda: losses.quantile(1.0), lambda: losses.huber(0.0)):
        with pytest.raises(InputError, match="impossible"):
            make()


@pytest.mark.parametrize("rule", ["newton", "levenberg_marquardt"])
@pytest.mark.parametrize("loss", ["absolute", "quantile"])
def test_rules_of_second_derivatives_are_refused_where_these_are_0(rule, loss):
    x = np.random.default_rng(0).standard_normal((40, 2))
    with pytest.raises(InputError, match=r"second derivatives, which are 0 for this loss.*lbfgs"):
        FeedForwardRegressor((3,), optimizer=rule, loss=loss).fit(x, x[:, 0])
