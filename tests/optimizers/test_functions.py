"""Standard test functions: minima found, gradient evaluations against SciPy's, parameters certified by NIST."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from axonic import minimize
from axonic.objective import from_function, from_residuals
from axonic.optimizers import LBFGS, ConjugateGradient, LevenbergMarquardt, Newton, ScaledConjugateGradient
from tests.problems import FUNCTIONS, NIST, powell_singular, rosenbrock_residuals

TOL = 1e-5
FEW = ("rosenbrock", "wood", "helical-valley", "ill-conditioned", "logistic")


@functools.partial(jax.jit, static_argnames=("objective", "max_steps"))
def _minimise(rule, objective, x, max_steps):
    """(x, gradient evaluations, largest entry of the gradient, stuck)."""

    def unfinished(carry):
        *_, largest, k, stuck = carry
        return (largest > TOL) & ~stuck & (k < max_steps)

    def step(carry):
        x, state, evaluations, _, k, _ = carry
        x, state, info = rule.step(objective, x, state)
        largest = jnp.max(jnp.abs(objective.value_and_grad(x)[1]))
        return x, state, evaluations + info.evaluations, largest, k + 1, jnp.asarray(info.stuck)

    none, state = jnp.asarray(0), jax.tree.map(jnp.asarray, rule.init(x))
    x, _, evaluations, largest, _, stuck = jax.lax.while_loop(
        unfinished, step, (x, state, none, jnp.asarray(jnp.inf), none, jnp.asarray(False))
    )
    return x, evaluations, largest, stuck


def minimise(rule, objective, start, max_steps=3000):
    x, evaluations, largest, stuck = _minimise(rule, objective, jnp.array(start), max_steps)
    return np.asarray(x), int(evaluations), float(largest), bool(stuck)


def scipy_evaluations(f, start, method, **options):
    derive = jax.jit(jax.value_and_grad(f))

    def value_and_grad(x):
        value, grads = derive(x)
        return float(value), np.asarray(grads)

    options = {"gtol": TOL, "maxiter": 10000} | options
    return scipy.optimize.minimize(value_and_grad, np.array(start), jac=True, method=method, options=options).njev


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "rule", [Newton(), Newton(form="pseudo_inverse"), ScaledConjugateGradient(), ConjugateGradient(), LBFGS()], ids=str
)
@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.long) for n in FUNCTIONS])
def test_it_finds_the_minimum(rule, name):
    f, start, lowest = FUNCTIONS[name]
    x, _, largest, stuck = minimise(rule, from_function(f), start)
    assert largest <= TOL or (stuck and largest < 0.1)  # Brown and Dennis's: 85,822, so rounding ends it at 1e-3 or so
    if lowest is not None:
        assert f(x) - lowest < 1e-6 * max(1, lowest)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("names", [FEW, pytest.param(tuple(FUNCTIONS), marks=pytest.mark.long)], ids=["few", "all"])
@pytest.mark.parametrize(
    ("rule", "method", "options"),
    [
        (LBFGS(), "L-BFGS-B", {"ftol": 0.0, "maxcor": 10, "maxfun": 100000}),
        pytest.param(ConjugateGradient(), "CG", {}, marks=pytest.mark.long),
    ],
    ids=["lbfgs", "conjugate_gradient"],
)
def test_it_evaluates_no_more_gradients_than_scipy(rule, method, options, names):
    """In total over the functions; Brown and Dennis's, where SciPy doesn't reach the tolerance either, left out."""
    names = [name for name in names if name != "brown-dennis"]
    ours = [minimise(rule, from_function(FUNCTIONS[name][0]), FUNCTIONS[name][1])[1] for name in names]
    scipys = [scipy_evaluations(*FUNCTIONS[name][:2], method, **options) for name in names]
    print(*zip(names, ours, scipys, strict=True), sep="\n")
    assert sum(ours) <= 1.25 * sum(scipys)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NIST)
def test_the_data_give_the_certified_sum_of_squares(name):
    residuals, _, certified, squares = NIST[name]
    np.testing.assert_allclose(np.sum(residuals(certified) ** 2), squares, rtol=1e-9)


FITS = [(name, i) for name in NIST for i in range(2)]


def certified_after(rule, name, start):
    """(steps until six digits are right, the end)."""
    residuals, starts, certified, _ = NIST[name]
    end = minimize(residuals, np.array(starts[start]), rule, max_steps=1500, tol=0.0, keep_points=True)
    there = np.all(np.abs(end.points / np.array(certified) - 1) < 1e-6, axis=1)
    return int(np.argmax(there)) if there.any() else None, end.x


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "start"), FITS)
def test_levenberg_marquardt_reaches_certified_parameters(name, start):
    residuals, starts, certified, _ = NIST[name]
    steps, x = certified_after(LevenbergMarquardt(), name, start)
    np.testing.assert_allclose(x, certified, rtol=1e-6)
    options = {"method": "lm", "x_scale": "jac", "xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 5000}
    jacobian = jax.jit(jax.jacfwd(residuals))
    scipys = scipy.optimize.least_squares(jax.jit(residuals), np.array(starts[start]), jac=jacobian, **options)
    assert steps <= 2 * scipys.njev


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "start"), [fit for fit in FITS if fit != ("meyer", 0)])  # more than 20,000 steps
def test_factors_reach_certified_parameters(name, start):
    _, x = certified_after(LevenbergMarquardt(damping="factors"), name, start)
    np.testing.assert_allclose(x, NIST[name][2], rtol=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("residuals", "start"), [(rosenbrock_residuals, [-1.2, 1.0]), (powell_singular, [3.0, -1.0, 0.0, 1.0])]
)
def test_levenberg_marquardt_solves_least_squares(residuals, start):
    x, _, largest, _ = minimise(LevenbergMarquardt(), from_residuals(residuals), start)
    assert largest <= TOL
    assert np.sum(residuals(x) ** 2) < 1e-6
