"""Every rule: ten steps equal a naive NumPy reference, it minimises, keeps types, compiles once, runs in lanes."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from axonic import optimizers
from axonic.errors import InputError
from axonic.objective import from_function
from axonic.optimizers import GD, RULES, SGD, Adam, Momentum, Nesterov
from tests.problems import QUADRATIC_MATRIX, QUADRATIC_SHIFT, network_objective, quadratic, rosenbrock


def gd(w, g, s, eta):
    return w - eta * g(w), s


def momentum(w, g, s, eta, alpha, dampening):
    v = alpha * s.get("v", 0.0) + ((1 - alpha) if dampening else 1.0) * g(w)
    return w - eta * v, {"v": v}


def nesterov(w, g, s, eta, alpha):
    v = s.get("v", np.zeros_like(w))
    v = alpha * v - eta * g(w + alpha * v)
    return w + v, {"v": v}


def adam(w, g, s, eta, b1, b2, eps, correct):
    t, m, v = s.get("t", 0) + 1, s.get("m", 0.0), s.get("v", 0.0)
    grad = g(w)
    m, v = b1 * m + (1 - b1) * grad, b2 * v + (1 - b2) * grad**2
    mhat, vhat = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
    return w - eta * mhat / (np.sqrt(vhat) + eps), {"t": t, "m": m, "v": v}


# name -> (rule, reference step, its hyperparameters)
CASES = {
    "gd": (GD(0.1), gd, {"eta": 0.1}),
    "sgd": (SGD(0.07), gd, {"eta": 0.07}),
    "momentum": (Momentum(0.2, 0.8), momentum, {"eta": 0.2, "alpha": 0.8, "dampening": True}),
    "momentum-classical": (
        Momentum(0.02, 0.9, dampening=False),
        momentum,
        {"eta": 0.02, "alpha": 0.9, "dampening": False},
    ),
    "nesterov": (Nesterov(0.05, 0.9), nesterov, {"eta": 0.05, "alpha": 0.9}),
    "adam": (Adam(0.05, 0.8, 0.95, 1e-6), adam, {"eta": 0.05, "b1": 0.8, "b2": 0.95, "eps": 1e-6, "correct": True}),
    "adam-notes": (
        Adam(0.05, 0.8, 0.95, 1e-6, bias_correction=False),
        adam,
        {"eta": 0.05, "b1": 0.8, "b2": 0.95, "eps": 1e-6, "correct": False},
    ),
}


def test_the_table_holds_every_rule():
    assert {name.split("-")[0] for name in CASES} == set(RULES)
    assert optimizers.names() == list(RULES)
    for name, (rule, _, _) in CASES.items():
        assert type(rule) is RULES[name.split("-")[0]]


def run(rule, objective, params, n):
    """The weights after each of n steps, flattened."""
    state, points = rule.init(params), []
    step = jax.jit(lambda p, s: rule.step(objective, p, s)[:2])
    for _ in range(n):
        params, state = step(params, state)
        points.append(np.asarray(jax.flatten_util.ravel_pytree(params)[0]))
    return np.array(points)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_ten_steps_on_a_quadratic_equal_the_reference(name):
    rule, reference, hyper = CASES[name]
    w, state, expected = np.array([2.0, -1.0]), {}, []
    for _ in range(10):
        w, state = reference(w, lambda w: QUADRATIC_MATRIX @ w - QUADRATIC_SHIFT, state, **hyper)
        expected.append(w)
    actual = run(rule, from_function(quadratic), jnp.array([2.0, -1.0]), 10)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_ten_steps_on_a_network_equal_the_reference(name):
    rule, reference, hyper = CASES[name]
    objective, params = network_objective()
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    gradient = jax.jit(jax.grad(lambda w: objective.value(unflatten(w)).total))
    w, state, expected = np.asarray(flat), {}, []
    for _ in range(10):
        w, state = reference(w, lambda w: np.asarray(gradient(w)), state, **hyper)
        expected.append(w)
    np.testing.assert_allclose(run(rule, objective, params, 10), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_it_minimises(name):
    rule = CASES[name][0]
    start = np.array([2.0, -1.0])
    lowest = quadratic(np.linalg.solve(QUADRATIC_MATRIX, QUADRATIC_SHIFT))
    end = run(rule, from_function(quadratic), jnp.asarray(start), 600)[-1]
    assert quadratic(end) - lowest < 1e-3 * (quadratic(start) - lowest)
    if not name.startswith("adam"):  # the others step as far as the gradient, and the curvature is about 1,000
        rule = rule.replace(learning_rate=rule.learning_rate / 100)
    start = np.array([-1.2, 1.0])
    end = run(rule, from_function(rosenbrock), jnp.asarray(start), 400)[-1]
    assert rosenbrock(end) < rosenbrock(start) / 4


@pytest.mark.parametrize("name", CASES)
def test_types_are_kept_and_another_rate_compiles_nothing(name):
    rule = CASES[name][0]
    objective, params = network_objective()
    compiled = []

    @jax.jit
    def step(rule, params, state):
        compiled.append(None)
        return rule.step(objective, params, state)[:2]

    state = rule.init(params)
    new_params, new_state = step(rule, params, state)
    for before, after in zip(jax.tree.leaves((params, state)), jax.tree.leaves((new_params, new_state)), strict=True):
        assert before.dtype == after.dtype
        assert before.shape == after.shape
    step(rule.replace(learning_rate=0.5), params, state)
    assert len(compiled) == 1


@pytest.mark.parametrize("name", CASES)
def test_lanes_of_rates_and_starts_equal_single_runs(name):
    rule = CASES[name][0]
    objective, params = network_objective()
    rates = [0.001, 0.01, 0.1]
    starts = [jax.tree.map(lambda p, i=i: p * (1 + i), params) for i in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    def three(rate, params):
        state = rule.init(params)
        for _ in range(3):
            params, state, _ = rule.replace(learning_rate=rate).step(objective, params, state)
        return params

    lanes = jax.jit(jax.vmap(three))(jnp.array(rates), stacked)
    for i, rate in enumerate(rates):
        single = jax.jit(three)(jnp.float32(rate), starts[i])
        for a, b in zip(jax.tree.leaves(lanes), jax.tree.leaves(single), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "transformation"),
    [
        (Adam(0.01), optax.adam(0.01)),
        (Momentum(0.01, dampening=False), optax.sgd(0.01, momentum=0.9)),
        (SGD(0.1), optax.sgd(0.1)),
    ],
)
def test_lifted_from_optax_equals_ours(rule, transformation):
    objective, params = network_objective()
    np.testing.assert_allclose(
        run(optimizers.from_optax(transformation), objective, params, 10),
        run(rule, objective, params, 10),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_rate_of_a_lifted_rule_scales_its_updates():
    objective, params = network_objective()
    np.testing.assert_allclose(
        run(optimizers.from_optax(optax.adam(1.0), learning_rate=0.01), objective, params, 5),
        run(optimizers.from_optax(optax.adam(0.01)), objective, params, 5),
        rtol=1e-4,
        atol=1e-6,
    )


def test_get_takes_names_rules_and_optax_and_refuses_the_rest():
    assert optimizers.get("adam") == Adam()
    assert optimizers.get(Adam(0.5)) == Adam(0.5)
    assert isinstance(optimizers.get(optax.sgd(0.1)), type(optimizers.from_optax(optax.sgd(0.1))))
    with pytest.raises(InputError, match="momentum"):
        optimizers.get("adm")
    with pytest.raises(InputError, match="no optimizer"):
        optimizers.get(3)
