"""`axonic.minimize`: any rule on any function, in float64, with a path that can be trusted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

from axonic import minimize, optimizers
from axonic.errors import InputError
from tests.oracles import compilations
from tests.problems import rosenbrock

START = [-1.2, 1.0]


def bowl(x):
    return jnp.sum((x - jnp.arange(3.0)) ** 2)


def residuals(x):
    return jnp.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [name for name in optimizers.names() if name != "levenberg_marquardt"])
def test_every_rule_goes_down_in_a_bowl(name):
    hyper = {"learning_rate": 0.1} if optimizers.RULES[name].has_rate else {}
    result = minimize(bowl, np.zeros(3), name, max_steps=300, **hyper)
    assert result.fun < 0.05 * float(bowl(np.zeros(3)))
    assert result.x.dtype == np.float64
    assert len(result.path) == result.n_steps + 1
    np.testing.assert_allclose([result.path[0], result.path[-1]], [5.0, bowl(result.x)], rtol=1e-12)


def test_rosenbrock_as_scipy():
    result = minimize(rosenbrock, START)
    expected = scipy.optimize.minimize(rosenbrock, START, method="L-BFGS-B", jac=jax.grad(rosenbrock))
    np.testing.assert_allclose(result.x, [1.0, 1.0], atol=1e-8)
    assert result.success
    assert result.n_evaluations <= 1.25 * expected.nfev


def test_levenberg_marquardt_takes_residuals_and_minimises_half_their_squared_norm():
    result = minimize(residuals, START, "levenberg_marquardt")
    np.testing.assert_allclose(result.x, [1.0, 1.0], atol=1e-10)
    np.testing.assert_allclose(result.path[0], 0.5 * np.sum(np.square(residuals(np.array(START)))))


@pytest.mark.usefixtures("float64")
def test_trees_come_back_as_they_were_and_the_points_lead_to_the_end():
    start = {"a": np.ones((2, 2)), "b": (np.zeros(3), 4.0)}

    def f(p):
        return jnp.sum(p["a"] ** 2) + bowl(p["b"][0]) + (p["b"][1] - 1.0) ** 2

    result = minimize(f, start, keep_points=True)
    assert jax.tree.structure(result.x) == jax.tree.structure(start)
    np.testing.assert_allclose(result.x["b"][0], np.arange(3), atol=1e-8)
    assert result.points["a"].shape == (result.n_steps + 1, 2, 2)
    np.testing.assert_array_equal(result.points["a"][0], start["a"])
    values = [float(f(jax.tree.map(lambda p, i=i: p[i], result.points))) for i in range(result.n_steps + 1)]
    np.testing.assert_allclose(result.path, values, rtol=1e-12, atol=1e-20)


def test_tol_and_max_steps_end_it_and_the_message_says_which():
    rough, fine = minimize(bowl, np.zeros(3), "gd", tol=1e-2), minimize(bowl, np.zeros(3), "gd", tol=1e-6)
    assert rough.success
    assert fine.success
    assert rough.n_steps < fine.n_steps
    assert np.max(np.abs(2 * (rough.x - np.arange(3)))) <= 1e-2
    few = minimize(rosenbrock, START, "gd", max_steps=7, learning_rate=1e-4)
    assert (few.success, few.n_steps, few.message) == (False, 7, "7 steps were taken")
    assert "no longer finite" in minimize(rosenbrock, START, "gd", learning_rate=10.0).message


def test_a_gradient_that_is_lost_on_the_way_is_said_to_be_the_cause():
    result = minimize(lambda x: jnp.sum(jnp.sqrt(jnp.maximum(x, 0.0))), [4.0], "gd", learning_rate=16.0)
    assert (result.n_steps, result.success) == (1, False)
    np.testing.assert_array_equal(result.x, [0.0])
    assert "gradient is no longer finite" in result.message


@pytest.mark.parametrize("hyper", [{"mu": jnp.zeros(())}, {"mu": jnp.full((), -1.0)}, {"increase": jnp.ones(())}])
def test_factors_that_never_damp_come_to_an_end(hyper):
    """Arrays are not checked: they may be values of a program."""
    result = minimize(residuals, START, "levenberg_marquardt", damping="factors", **hyper)
    assert result.message == "no step that lowers the function was found"


def test_a_minimum_is_left_at_once():
    result = minimize(bowl, np.arange(3.0))
    assert (result.n_steps, result.success) == (0, True)
    np.testing.assert_array_equal(result.path, [0.0])


def test_another_rate_tolerance_or_start_compiles_nothing():
    minimize(bowl, np.zeros(3), "momentum", learning_rate=0.1)
    with compilations() as compiled:
        minimize(bowl, np.ones(3), "momentum", learning_rate=0.2, tol=1e-3)
    assert compiled == []


def test_optax_and_rules_with_hyperparameters():
    lifted = minimize(bowl, np.zeros(3), optax.adam(0.1), max_steps=50)
    ours = minimize(bowl, np.zeros(3), optimizers.Adam(0.1), max_steps=50)
    np.testing.assert_allclose(lifted.path, ours.path, rtol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "transformation",
    [
        optax.lbfgs(),  # asks for the value, the gradient and the function
        optax.polyak_sgd(),
        optax.chain(optax.sgd(0.3), optax.contrib.reduce_on_plateau()),
        optax.noisy_sgd(0.3, eta=1e-6, gamma=1.0, key=0),  # holds a random key
    ],
    ids=["lbfgs", "polyak", "plateau", "noisy"],
)
def test_optax_gets_what_it_asks_for(transformation):
    result = minimize(bowl, np.zeros(3), transformation, max_steps=100)
    np.testing.assert_allclose(result.x, np.arange(3), atol=1e-3)


@pytest.mark.parametrize(("rate", "momentum", "tol"), [(0.01, 0.99, 1e-3), (0.1, 0.9, 1e-4)])
def test_nesterov_has_not_succeeded_where_only_the_point_ahead_is_a_minimum(rate, momentum, tol):
    result = minimize(lambda x: jnp.sum(x**2) / 2, [1.0], "nesterov", 5000, tol, learning_rate=rate, momentum=momentum)
    assert result.success
    assert abs(float(result.x[0])) <= tol


def test_a_scheduled_rule_takes_the_hyperparameters_of_its_rule():
    rule = optimizers.scheduled(optimizers.Momentum(0.1), optimizers.schedules.Cosine(50))
    slow, quick = (minimize(bowl, np.zeros(3), rule, max_steps=20, learning_rate=rate) for rate in (0.01, 0.2))
    assert quick.fun < slow.fun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimizer": "adm"}, "unknown optimizer"),
        ({"learning_rate": 1.0}, "has no 'learning_rate'"),
        ({"x0": [np.nan, 1.0]}, "x0 is not finite"),
        ({"fun": residuals}, r"shape \(2,\)"),
        ({"fun": lambda x: (x[0], x[1])}, "no array"),
        ({"fun": rosenbrock, "optimizer": "levenberg_marquardt"}, "does not return a vector"),
        ({"fun": lambda x: jnp.log(x[0])}, "at x0"),
        ({"fun": lambda x: 3}, "numbers of type int"),
        ({"fun": lambda x: jnp.sum(x > 0)}, "numbers of type int"),
        ({"fun": lambda x: x > 0, "optimizer": "levenberg_marquardt"}, "numbers of type bool"),
        ({"x0": "abc"}, "x0 holds 'abc': start at real numbers"),
        ({"x0": {"a": np.ones(2, complex)}}, "start at real numbers"),
        ({"x0": []}, "x0 is empty"),
        ({"x0": {}}, "x0 is empty"),
        ({"fun": lambda x: jnp.sum(jnp.sqrt(x)), "x0": [0.0, 1.0]}, "gradient of the function is not finite at x0"),
        ({"fun": jnp.sqrt, "x0": [0.0], "optimizer": "levenberg_marquardt"}, "gradient .* is not finite at x0"),
        ({"optimizer": "adam", "learning_rate": "auto"}, "learning_rate = 'auto' is impossible"),
        ({"max_steps": 0}, "max_steps"),
        ({"tol": -1.0}, "tol"),
        ({"fun": lambda x: jnp.sum(x**2), "x0": np.ones(100_000), "optimizer": "newton"}, "too many"),
        (
            {"fun": lambda x: x, "x0": np.zeros(3001), "optimizer": "levenberg_marquardt"},
            "use lbfgs on half the sum of their squares",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(arguments, message):
    given = {"fun": rosenbrock, "x0": START, **arguments}
    with pytest.raises(InputError, match=message) as caught:
        minimize(**given)
    assert "\n" not in str(caught.value)
