"""Every rule: ten steps equal a naive NumPy reference, it minimises, keeps types, compiles once, runs in lanes."""

import dataclasses
import functools
import re
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from threadpoolctl import threadpool_info

from axonic import optimizers
from axonic.errors import InputError
from axonic.objective import from_function, from_residuals
from axonic.optimizers import (
    GD,
    RULES,
    SGD,
    SWATS,
    VSGD,
    Adam,
    AdaptiveGain,
    AMSGrad,
    LevenbergMarquardt,
    Momentum,
    Nesterov,
    PhysicalMomentum,
    RMSProp,
    Rprop,
)
from axonic.optimizers.base import Optimizer, one_thread
from axonic.specs import Number, spec
from tests import plainly
from tests.optimizers import second_order
from tests.problems import (
    QUADRATIC_MATRIX,
    QUADRATIC_SHIFT,
    network_objective,
    quadratic,
    quadratic_residuals,
    rosenbrock,
    rosenbrock_residuals,
)


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


def physical_momentum(w, g, s, eps, alpha, form):
    grad = g(w)
    if form == "notes":
        v = alpha * s.get("M", 0.0) - eps * (1 + 1 / np.abs(grad))
        return w + v, {"M": v / alpha}
    v = alpha * s.get("v", 0.0) - eps * (grad + np.sign(grad))
    return w + v, {"v": v}


def amsgrad(w, g, s, eta, b1, b2, eps, form):
    m, v, vhat = s.get("m", 0.0), s.get("v", 0.0), s.get("vhat", 0.0)
    grad = g(w)
    m = b1 * m + (1 - b1) * grad
    if form == "paper":
        v = b2 * v + (1 - b2) * grad**2
        vhat = np.maximum(vhat, v)
    else:
        v = vhat = np.maximum(b2 * v + (1 - b2) * grad**2, v)
    return w - eta * m / (np.sqrt(vhat) + eps), {"m": m, "v": v, "vhat": vhat}


def swats(w, g, s, alpha, b1, b2, eps, tolerance, relative):
    """Keskar and Socher 2017, algorithm 1, line by line."""
    s = s or {"phase": "Adam", "k": 0, "m": 0.0, "a": 0.0, "lam": 0.0}
    k, grad = s["k"] + 1, g(w)
    if s["phase"] == "SGD":
        v = b1 * s["v"] + grad
        return w - (1 - b1) * s["rate"] * v, s | {"k": k, "v": v}
    m, a = b1 * s["m"] + (1 - b1) * grad, b2 * s["a"] + (1 - b2) * grad**2
    p = -alpha * np.sqrt(1 - b2**k) / (1 - b1**k) * m / (np.sqrt(a) + eps)
    s = s | {"k": k, "m": m, "a": a}
    if p @ grad != 0:
        gamma = p @ p / -(p @ grad)
        s["lam"] = b2 * s["lam"] + (1 - b2) * gamma
        rate = s["lam"] / (1 - b2**k)
        if k > 1 and rate > 0 and abs(rate - gamma) < tolerance * (rate if relative else 1):
            s |= {"phase": "SGD", "v": 0.0, "rate": rate}
    return w + p, s


def adaptive_gain(w, g, s, eta, up, down, low, high, alpha):
    """Weight by weight, with the notes' comparison: gradients without momentum, gradient and velocity with it."""
    grad, v, gains = g(w), s.get("v", np.zeros_like(w)), s.get("gains", np.ones_like(w)).copy()
    previous = s.get("grad", np.zeros_like(w))
    for i in range(len(w)):
        agreement = -grad[i] * v[i] if alpha else grad[i] * previous[i]
        if agreement > 0:
            gains[i] += up
        elif agreement < 0:
            gains[i] *= down
        gains[i] = min(max(gains[i], low), high)
    v = alpha * v - eta * gains * grad
    return w + v, {"v": v, "gains": gains, "grad": grad}


def rmsprop(w, g, s, eta, decay, alpha, eps):
    grad = g(w)
    v = decay * s.get("v", 0.0) + (1 - decay) * grad**2
    M = alpha * s.get("M", 0.0) + grad / (np.sqrt(v) + eps)
    return w - eta * M, {"v": v, "M": M}


def rprop(w, g, s, variant, up=1.2, down=0.5, first=0.1, low=1e-6, high=50.0):
    """Igel and Huesken 2003, algorithms 1 to 4, weight by weight."""
    w, grad, loss = w.copy(), g(w).copy(), g.value(w)
    size, last, move = (s.get(name, np.full(len(w), start)) for name, start in (("size", first), ("g", 0), ("dw", 0)))
    size, move = size.copy(), move.astype(float)
    for i in range(len(w)):
        if grad[i] * last[i] > 0:
            size[i] = min(size[i] * up, high)
        elif grad[i] * last[i] < 0:
            size[i] = max(size[i] * down, low)
            if variant == "rprop+" or (variant == "irprop+" and loss > s["loss"]):
                w[i] -= move[i]
            if variant != "rprop-":
                grad[i] = 0
                continue
        move[i] = -np.sign(grad[i]) * size[i]
        w[i] += move[i]
    return w, {"size": size, "g": grad, "dw": move, "loss": loss}


def vsgd(w, g, s, form, samples, slow, seed=0):
    """Schaul, Zhang and LeCun 2013, algorithm 1, and Schaul and LeCun 2013, algorithm 1, weight by weight."""
    n = len(w)
    s = s or {name: np.zeros(n) for name in ("g", "v", "h", "h2", "tau")} | {"t": 0}
    grad, t = g(w), s["t"] + 1
    if form == "l":
        key = jax.random.fold_in(jax.random.key(seed), s["t"])
        z = np.asarray(jax.random.rademacher(key, (n,)), float)
        curvature = np.abs(z * (g.hessian(w) @ z))
    else:
        ahead = s["g"] if s["t"] else grad
        curvature = np.abs(g(w + ahead) - grad) / np.abs(ahead)
    w, s = w.copy(), {name: np.array(value) for name, value in s.items()}
    s["t"] = t
    for i in range(n):
        if t <= samples:
            s["tau"][i] = t
        else:
            far = abs(grad[i] - s["g"][i]) > 2 * np.sqrt(s["v"][i] - s["g"][i] ** 2)
            far_h = abs(curvature[i] - s["h"][i]) > 2 * np.sqrt(s["h2"][i] - s["h"][i] ** 2)
            s["tau"][i] += far or (far_h and form == "fd")
        for name, new in (("g", grad), ("v", grad**2), ("h", curvature), ("h2", curvature**2)):
            s[name][i] += (new[i] - s[name][i]) / s["tau"][i]
    if t == samples:
        s["v"], s["h"], s["h2"] = slow * s["v"], slow * s["h"], slow**2 * s["h2"]
        s["h"] = np.maximum(s["h"], s["h"].mean())
        s["h2"] = np.maximum(s["h2"], s["h"] ** 2)
    share = s["g"] ** 2 / s["v"]
    s["tau"] = (1 - share) * s["tau"] + 1
    if t > samples:
        w -= share * (1 / s["h"] if form == "l" else s["h"] / s["h2"]) * grad
    return w, s


class Problem(NamedTuple):
    """What a reference may ask, of a NumPy vector; the problem itself is its gradient."""

    value: Any
    gradient: Any
    hessian: Any
    gauss_newton: Any

    def __call__(self, w):
        return self.gradient(w)


class Case(NamedTuple):
    """A rule, its reference and the reference's hyperparameters.

    knob : a hyperparameter of the rule and three values of it.
    curved : changes for Rosenbrock's function, whose curvature is about 1,000; None for a rule that doesn't minimise.
    """

    rule: Any
    reference: Any
    hyper: dict
    knob: tuple = ("learning_rate", (0.001, 0.01, 0.1))
    curved: dict | None = {}  # noqa: RUF012


ADAM = {"eta": 0.05, "b1": 0.8, "b2": 0.95, "eps": 1e-6}
SWITCH = {"alpha": 0.05, "b1": 0.8, "b2": 0.95, "eps": 1e-6}
GAIN = {"up": 0.05, "down": 0.95, "low": 0.1, "high": 10.0}
STEP = ("initial_step", (0.001, 0.01, 0.1))

CASES = {
    "gd": Case(GD(0.1), gd, {"eta": 0.1}, curved={"learning_rate": 0.001}),
    "sgd": Case(SGD(0.07), gd, {"eta": 0.07}, curved={"learning_rate": 0.0007}),
    "momentum": Case(
        Momentum(0.2, 0.8), momentum, {"eta": 0.2, "alpha": 0.8, "dampening": True}, curved={"learning_rate": 0.002}
    ),
    "momentum-classical": Case(
        Momentum(0.02, 0.9, dampening=False),
        momentum,
        {"eta": 0.02, "alpha": 0.9, "dampening": False},
        curved={"learning_rate": 0.0002},
    ),
    "nesterov": Case(Nesterov(0.05, 0.9), nesterov, {"eta": 0.05, "alpha": 0.9}, curved={"learning_rate": 0.0005}),
    "adam": Case(Adam(0.05, 0.8, 0.95, 1e-6), adam, ADAM | {"correct": True}),
    "adam-notes": Case(Adam(0.05, 0.8, 0.95, 1e-6, bias_correction=False), adam, ADAM | {"correct": False}),
    "physical_momentum": Case(
        PhysicalMomentum(0.001, 0.9),
        physical_momentum,
        {"eps": 0.001, "alpha": 0.9, "form": "repaired"},
        curved={"learning_rate": 0.0002},
    ),
    "physical_momentum-notes": Case(
        PhysicalMomentum(1e-5, 0.9, form="notes"),
        physical_momentum,
        {"eps": 1e-5, "alpha": 0.9, "form": "notes"},
        ("learning_rate", (1e-7, 1e-6, 1e-5)),
        curved=None,
    ),
    "amsgrad": Case(AMSGrad(0.05, 0.8, 0.95, 1e-6), amsgrad, ADAM | {"form": "paper"}),
    "amsgrad-notes": Case(AMSGrad(0.05, 0.8, 0.95, 1e-6, form="notes"), amsgrad, ADAM | {"form": "notes"}),
    "swats": Case(SWATS(0.05, 0.8, 0.95, 1e-6, 1e-4), swats, SWITCH | {"tolerance": 1e-4, "relative": True}),
    "swats-absolute": Case(
        SWATS(0.05, 0.8, 0.95, 1e-6, 1e-9, relative=False), swats, SWITCH | {"tolerance": 1e-9, "relative": False}
    ),
    "adaptive_gain": Case(
        AdaptiveGain(0.05), adaptive_gain, GAIN | {"eta": 0.05, "alpha": 0.0}, curved={"learning_rate": 0.0005}
    ),
    "adaptive_gain-momentum": Case(
        AdaptiveGain(0.02, 0.1, 0.9, 0.5, 1.2, 0.5),
        adaptive_gain,
        {"eta": 0.02, "up": 0.1, "down": 0.9, "low": 0.5, "high": 1.2, "alpha": 0.5},
        curved={"learning_rate": 0.0005},
    ),
    "rmsprop": Case(RMSProp(0.02, 0.8), rmsprop, {"eta": 0.02, "decay": 0.8, "alpha": 0.0, "eps": 1e-8}),
    "rmsprop-momentum": Case(
        RMSProp(0.01, 0.9, 0.5, 1e-4),
        rmsprop,
        {"eta": 0.01, "decay": 0.9, "alpha": 0.5, "eps": 1e-4},
        ("decay", (0.5, 0.7, 0.9)),
    ),
    "rprop": Case(Rprop(), rprop, {"variant": "irprop+"}, STEP),
    "rprop-irprop-": Case(Rprop(variant="irprop-"), rprop, {"variant": "irprop-"}, STEP),
    "rprop-rprop+": Case(Rprop(variant="rprop+"), rprop, {"variant": "rprop+"}, STEP),
    "rprop-rprop-": Case(Rprop(variant="rprop-"), rprop, {"variant": "rprop-"}, STEP),
    "rprop-large": Case(
        Rprop(1.5, 0.7, 1.0, 0.5, 2.0),
        rprop,
        {"variant": "irprop+", "up": 1.5, "down": 0.7, "first": 1.0, "low": 0.5, "high": 2.0},
        STEP,
        curved=None,
    ),
    "vsgd": Case(VSGD(3, 4.0), vsgd, {"form": "l", "samples": 3, "slow": 4.0}, ("slow_start", (1.0, 2.0, 5.0))),
    "vsgd-fd": Case(
        VSGD(3, 4.0, form="fd"),
        vsgd,
        {"form": "fd", "samples": 3, "slow": 4.0},
        ("slow_start", (1.0, 2.0, 5.0)),
        {"slow_start": 1.0, "samples": 1},
    ),
}


CASES |= {name: Case(*case) for name, case in second_order.CASES.items()}


def objective_of(rule, function):
    if isinstance(rule, LevenbergMarquardt):
        return from_residuals({quadratic: quadratic_residuals, rosenbrock: rosenbrock_residuals}[function])
    return from_function(function)


def test_the_table_holds_every_rule():
    assert {name.split("-")[0] for name in CASES} == set(RULES)
    assert optimizers.names() == list(RULES)
    for name, case in CASES.items():
        assert type(case.rule) is RULES[name.split("-")[0]]


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
    rule, reference, hyper, *_ = CASES[name]
    matrix = lambda w: QUADRATIC_MATRIX  # noqa: E731
    problem = Problem(quadratic, lambda w: QUADRATIC_MATRIX @ w - QUADRATIC_SHIFT, matrix, matrix)
    w, state, expected = np.array([2.0, -1.0]), {}, []
    for _ in range(10):
        w, state = reference(w, problem, state, **hyper)
        expected.append(w)
    actual = run(rule, objective_of(rule, quadratic), jnp.array([2.0, -1.0]), 10)
    # the second-order rules come within sqrt(eps) of the minimum, where rounding decides what is lower
    atol = 1e-7 if name in second_order.CASES else 1e-14
    np.testing.assert_allclose(actual[:4], expected[:4], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=atol)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_ten_steps_on_a_network_equal_the_reference(name):
    rule, reference, hyper, *_ = CASES[name]
    objective, params = network_objective()
    problem = network_problem()
    w, state, expected = np.asarray(jax.flatten_util.ravel_pytree(params)[0]), {}, []
    for _ in range(10):
        w, state = reference(w, problem, state, **hyper)
        expected.append(w)
    # -H^+ g of an indefinite H runs to and fro, and multiplies rounding by 5 or so a step (8e-15 to 9e-9 in ten)
    atol = 1e-7 if name == "newton-pseudo" else 1e-12
    np.testing.assert_allclose(run(rule, objective, params, 10), expected, rtol=1e-10, atol=atol)


@functools.cache
def network_problem():
    """The network as a problem of the references, compiled once for all rules (needs the fixture `float64`)."""
    objective, params = network_objective()
    unflatten = jax.flatten_util.ravel_pytree(params)[1]
    value = jax.jit(lambda w: objective.value(unflatten(w)).total)
    gradient = jax.jit(jax.grad(value))
    hessian = jax.jit(jax.hessian(value))
    jacobian = jax.jit(jax.jacobian(lambda w: objective.network.forward(unflatten(w), objective.batch.x)[0]))
    decay = jax.tree.map(lambda p, d: jnp.full(p.shape, 0.01 * d), params, objective.network.decayed(params))
    decay = np.diag(jax.flatten_util.ravel_pytree(decay)[0])

    def gauss_newton(w):
        rows = np.asarray(jacobian(w)).reshape(-1, len(w))
        return rows.T @ rows / len(objective.batch.x) + decay

    return Problem(
        lambda w: float(value(w)), lambda w: np.asarray(gradient(w)), lambda w: np.asarray(hessian(w)), gauss_newton
    )


ONE_OF_EACH = list({type(case.rule): name for name, case in reversed(CASES.items())}.values())


def with_one_of_each(names):
    """All forms of all rules; those but the first of each rule take long together."""
    return [name if name in ONE_OF_EACH else pytest.param(name, marks=pytest.mark.long) for name in names]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", with_one_of_each(name for name, case in CASES.items() if case.curved is not None))
def test_it_minimises(name):
    rule, curved = CASES[name].rule, CASES[name].curved
    start = np.array([2.0, -1.0])
    lowest = quadratic(np.linalg.solve(QUADRATIC_MATRIX, QUADRATIC_SHIFT))
    end = run(rule, objective_of(rule, quadratic), jnp.asarray(start), 600)[-1]
    assert quadratic(end) - lowest < 1e-3 * (quadratic(start) - lowest)
    start = np.array([-1.2, 1.0])
    end = run(rule.replace(**curved), objective_of(rule, rosenbrock), jnp.asarray(start), 400)[-1]
    assert rosenbrock(end) < rosenbrock(start) / 4


@pytest.mark.parametrize("name", with_one_of_each(CASES))
def test_types_are_kept_and_another_value_compiles_nothing(name):
    rule, (knob, values) = CASES[name].rule, CASES[name].knob
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
    for value in values:
        step(rule.replace(**{knob: value}), params, state)
    assert len(compiled) == 1


@pytest.mark.long
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_lanes_of_values_and_starts_equal_single_runs(name):
    with jax.enable_x64(name in second_order.CASES):  # solving for a step multiplies the rounding of float32
        compare_lanes(CASES[name].rule, *CASES[name].knob)


def compare_lanes(rule, knob, values):
    objective, params = network_objective()
    starts = [jax.tree.map(lambda p, i=i: p * (1 + i), params) for i in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)

    def three(value, params):
        state = rule.init(params)
        for _ in range(3):
            params, state, _ = rule.replace(**{knob: value}).step(objective, params, state)
        return params

    lanes = jax.jit(jax.vmap(three))(jnp.array(values), stacked)
    for i, value in enumerate(values):
        single = jax.jit(three)(jnp.asarray(value, float), starts[i])
        for a, b in zip(jax.tree.leaves(lanes), jax.tree.leaves(single), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rule", "transformation"),
    [
        (Adam(0.01), optax.adam(0.01)),
        (Momentum(0.01, dampening=False), optax.sgd(0.01, momentum=0.9)),
        (SGD(0.1), optax.sgd(0.1)),
        (RMSProp(0.01), optax.rmsprop(0.01, eps_in_sqrt=False)),
        (RMSProp(0.01, 0.8, 0.5), optax.rmsprop(0.01, 0.8, momentum=0.5, eps_in_sqrt=False)),
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


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("amsgrad", "form"),
        ("physical_momentum", "form"),
        ("rprop", "variant"),
        ("vsgd", "form"),
        ("newton", "form"),
        ("levenberg_marquardt", "damping"),
        ("conjugate_gradient", "formula"),
    ],
)
def test_a_form_that_there_is_not_is_refused(rule, name):
    with pytest.raises(InputError, match=f"unknown {name} 'none': use one of"):
        RULES[rule](**{name: "none"})


@pytest.mark.parametrize(
    ("rule", "values", "interval"),
    [
        ("adam", {"beta1": 1.0}, "[0, 1)"),
        ("adam", {"learning_rate": -1}, "[0, inf)"),
        ("sgd", {"learning_rate": "auto"}, "[0, inf)"),
        ("sgd", {"learning_rate": np.nan}, "[0, inf)"),
        ("momentum", {"momentum": True}, "[0, 1)"),
        ("physical_momentum", {"momentum": 1.5}, "[0, 1)"),
        ("amsgrad", {"eps": -1}, "(0, inf)"),
        ("swats", {"tolerance": np.float32(0)}, "(0, inf)"),
        ("adaptive_gain", {"max_gain": 1, "min_gain": 5}, "[min_gain, inf)"),
        ("rmsprop", {"decay": -0.1}, "[0, 1)"),
        ("rprop", {"increase": 1}, "(1, inf)"),
        ("vsgd", {"samples": 0}, "[1, inf)"),
        ("newton", {"rcond": 2.0}, "[0, 1)"),
        ("levenberg_marquardt", {"mu": 0.0}, "(0, inf)"),
        ("levenberg_marquardt", {"increase": 1.0}, "(1, inf)"),
        ("conjugate_gradient", {"c2": 1e-5}, "(c1, 1)"),
        ("scaled_conjugate_gradient", {"lambda_": 0}, "(0, inf)"),
        ("lbfgs", {"max_evaluations": 0}, "[1, inf)"),
    ],
)
def test_a_number_out_of_its_range_is_refused(rule, values, interval):
    name, value = next(iter(values.items()))
    message = re.escape(f"{name} = {value!r} is impossible ({RULES[rule].__name__}): give a number in {interval}")
    for make in (lambda: RULES[rule](**values), lambda: RULES[rule]().replace(**values)):
        with pytest.raises(InputError, match=message):
            make()


@pytest.mark.parametrize(
    ("values", "interval"),
    [({"samples": 2.5}, "[1, inf)"), ({"samples": 10.0}, "[1, inf)"), ({"seed": 0.5}, "(-inf, inf)")],
)
def test_a_number_of_vsgd_that_is_not_whole_is_refused(values, interval):
    name, value = next(iter(values.items()))
    message = re.escape(f"{name} = {value!r} is impossible (VSGD): give a whole number in {interval}")
    for make in (VSGD, VSGD().replace):
        with pytest.raises(InputError, match=message):
            make(**values)


BOOLEANS = {"momentum": "dampening", "adam": "bias_correction", "swats": "relative"}


def told_of_booleans():
    """What is said of values that are neither True nor False, and that NumPy's are taken."""
    said = []
    for rule, name in BOOLEANS.items():
        for make in (RULES[rule], RULES[rule]().replace):
            for value in ("no", "False", 0, None):
                try:
                    make(**{name: value})
                except InputError as error:
                    said.append(str(error) == f"{name} = {value!r} is impossible ({RULES[rule].__name__}): {error.how}")
            said.append(not getattr(make(**{name: np.bool_(False)}), name))
    return said


def test_what_is_true_or_false_is_nothing_else():
    assert plainly.call(told_of_booleans) == [True] * 5 * 2 * len(BOOLEANS)


@pytest.mark.parametrize("name", RULES)
def test_every_number_of_a_rule_has_a_range(name):
    fields = dataclasses.fields(RULES[name])
    numbers = {field.name for field in fields if not field.metadata.get("static")}
    assert numbers <= set(RULES[name].ranges)


def test_values_of_a_program_and_trees_of_rules_are_not_checked():
    rates = jax.vmap(lambda rate: RULES["adam"](learning_rate=rate).learning_rate)(jnp.array([-1.0, 2.0]))
    np.testing.assert_array_equal(rates, [-1, 2])
    assert RULES["lbfgs"](c1=jnp.array(0.5)).c2 == 0.9
    assert jax.tree.map(lambda _: None, RULES["lbfgs"]()).c1 is None


def test_which_rules_take_the_whole_training_set_at_each_step():
    in_batches = {"sgd", "momentum", "physical_momentum", "nesterov", "adam", "amsgrad", "swats", "rmsprop", "vsgd"}
    assert {name for name, kind in RULES.items() if not kind.full_batch} == in_batches


class NoSpec(Optimizer):
    """A rule that a user wrote, without @spec."""


@spec
class NoRate(Optimizer):
    """A rule that a user wrote, whose rate has another name."""

    lr: Number = 0.1


@pytest.mark.parametrize(("rule", "how"), [(NoSpec(), "put @spec"), (NoRate(), "has no field learning_rate")])
def test_what_a_rule_of_ones_own_lacks_is_said(rule, how):
    with pytest.raises(InputError, match=how):
        optimizers.get(rule)


def test_lbfgs_keeps_a_pair_at_least():
    with pytest.raises(InputError, match="memory = 0 is impossible"):
        RULES["lbfgs"](memory=0)


def test_rules_that_factorise_hold_openblas_to_one_thread():
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before = threads()
    with one_thread(LevenbergMarquardt()):
        assert set(threads()) == {1}
    assert threads() == before
    with one_thread(Adam()):
        assert threads() == before
