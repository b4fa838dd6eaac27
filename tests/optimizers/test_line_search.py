"""Both line searches on functions of one variable: their conditions, every step they try, and where they give up."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize._dcsrch import DCSRCH

from axonic.optimizers.base import Flat
from axonic.optimizers.line_search import backtracking, strong_wolfe
from axonic.types import Value


def yanai(b1, b2):
    """The fourth to sixth functions of More and Thuente's tables, with its derivative."""
    gamma1, gamma2 = (np.sqrt(1 + b**2) - b for b in (b1, b2))
    return (
        lambda t: gamma1 * jnp.sqrt((1 - t) ** 2 + b2**2) + gamma2 * jnp.sqrt(t**2 + b1**2),
        lambda t: gamma1 * (t - 1) / jnp.sqrt((1 - t) ** 2 + b2**2) + gamma2 * t / jnp.sqrt(t**2 + b1**2),
    )


# phi and phi'; those of More and Thuente 1994 are equations 5.1, 5.2 and 5.4
SMOOTH = {
    "parabola": (lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1)),
    "more-thuente-1": (lambda t: -t / (t**2 + 2), lambda t: (t**2 - 2) / (t**2 + 2) ** 2),
    "more-thuente-2": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "more-thuente-4": yanai(0.001, 0.001),
    "more-thuente-5": yanai(0.01, 0.001),
    "more-thuente-6": yanai(0.001, 0.01),
}
WALLS = {
    # minimum at 0.9, infinite at 1, NaN beyond
    "log-barrier": (lambda t: -t - 0.1 * jnp.log(1 - t), lambda t: -1 + 0.1 / jnp.where(t <= 1, 1 - t, jnp.nan)),
    "overflow": (lambda t: jnp.exp(80 * t) - 200 * t, lambda t: 80 * jnp.exp(80 * t) - 200),
    "infinite": (lambda t: jnp.where(t < 2, (t - 1.5) ** 2, jnp.inf), lambda t: 2 * (t - 1.5)),
    "slope-lost": (lambda t: (t - 1.5) ** 2, lambda t: jnp.where(t < 2, 2 * (t - 1.5), jnp.nan)),
}
NEVER_LOWER = {
    "higher": (lambda t: jnp.where(t > 0, 1 + t, -t), lambda t: jnp.where(t > 0, 1.0, -1.0)),
    "nan": (lambda t: jnp.where(t > 0, jnp.nan, -t), lambda t: jnp.where(t > 0, jnp.nan, -1.0)),
    "equal": (lambda t: 0 * t, lambda t: -1 + 0 * t),
}
NOT_DOWN = {"flat": (lambda t: 0 * t, lambda t: 0 * t), "rising": (lambda t: t, lambda t: 1 + 0 * t)}
LINES = SMOOTH | WALLS | NEVER_LOWER | NOT_DOWN
FIRST = (1e-3, 0.1, 10.0, 1e3)
METHODS = {
    strong_wolfe: {"c1": 1e-4, "c2": 0.4, "max_evaluations": 40},
    backtracking: {"c1": 1e-4, "factor": 0.5, "max_evaluations": 40},
}


class Line(NamedTuple):
    """One of LINES, by its place there, as an objective of vectors of one entry; keeps the steps it is asked for."""

    index: Any

    def value_and_grad(self, w):
        """(value, gradient)."""
        jax.debug.callback(lambda t: TRIED.append(float(t)), w[0], ordered=True)
        branch = lambda f: lambda t: jnp.asarray(f(t), w.dtype)  # noqa: E731
        phi, slope = ([branch(line[i]) for line in LINES.values()] for i in range(2))
        value = jax.lax.switch(self.index, phi, w[0])
        return Value(value, jnp.zeros_like(value)), jax.lax.switch(self.index, slope, w[0])[None]


TRIED = []


@functools.partial(jax.jit, static_argnames=("method", "xtol"))
def run(method, index, w, options, **xtol):
    line = Line(index)
    return method(Flat(line, lambda w: w), w, jnp.ones_like(w), *line.value_and_grad(w), **options, **xtol)


def search(method, name, first, dtype=None, **options):
    """(end of the search from 0 in the direction of 1, steps tried)."""
    TRIED.clear()
    w = jnp.zeros(1, dtype or jnp.result_type(float))
    options = METHODS[method] | {"first": first} | options
    xtol = {"xtol": 1e-15} if method is strong_wolfe else {}
    found = run(method, list(LINES).index(name), w, options, **xtol)
    jax.block_until_ready(found)
    jax.effects_barrier()
    return found, TRIED[1:]  # the first is the start


def assert_wolfe(found, phi, slope, c1, c2, slack=0.0):
    t = float(found.t)
    assert t > 0
    assert not found.failed
    assert phi(t) <= phi(0.0) + c1 * t * slope(0.0) + slack
    assert abs(slope(t)) <= c2 * abs(slope(0.0)) + slack
    np.testing.assert_allclose([found.value.total, found.g[0]], [phi(t), slope(t)], rtol=1e-6, atol=slack + 1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("c1", "c2"), [(1e-4, 0.9), (1e-4, 0.4), (1e-3, 1e-2)])
@pytest.mark.parametrize("name", [*SMOOTH, *WALLS])
def test_strong_wolfe_satisfies_both_conditions(name, c1, c2):
    for first in FIRST:
        found, tried = search(strong_wolfe, name, first, c1=c1, c2=c2)
        assert_wolfe(found, *LINES[name], c1, c2)
        assert int(found.evaluations) == len(tried)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SMOOTH)
def test_strong_wolfe_tries_the_steps_that_scipy_tries(name):
    phi, slope = SMOOTH[name]
    for first in FIRST:
        expected = []

        def scipys_phi(t, expected=expected):
            expected.append(float(t))
            return float(phi(t))

        scipys = DCSRCH(scipys_phi, lambda t: float(slope(t)), 1e-3, 1e-2, 1e-15, 0.0, 1e10)
        scipys(first, phi0=float(phi(0.0)), derphi0=float(slope(0.0)), maxiter=40)
        _, tried = search(strong_wolfe, name, first, c1=1e-3, c2=1e-2)
        np.testing.assert_allclose(tried, expected, rtol=1e-7)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", WALLS)
def test_strong_wolfe_shortens_a_step_that_is_not_finite_tenfold_and_tries_none_as_long_again(name):
    phi, slope = WALLS[name]
    _, tried = search(strong_wolfe, name, 1e3, c2=1e-2)
    finite = [bool(np.isfinite(phi(t)) and np.isfinite(slope(t))) for t in tried]
    lost = finite.index(True)
    assert lost > 0
    np.testing.assert_allclose(tried[: lost + 1], 10.0 ** (3 - np.arange(lost + 1)))
    for i, t in enumerate(tried):
        assert all(t < longer for longer, was_finite in zip(tried[:i], finite, strict=False) if not was_finite)


@pytest.mark.usefixtures("float64")
def test_strong_wolfe_halves_the_way_to_a_wall():
    """Worked by hand: 10 and 1 are not finite; at 0.1 and on the slope calls for more than the wall allows."""
    _, tried = search(strong_wolfe, "log-barrier", 10.0, c2=0.2)
    np.testing.assert_allclose(tried, [10, 1, 0.1, 0.55, 0.775, 0.8875])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("name", "first", "c1", "factor", "expected"),
    [
        # (t - 1)^2 <= 1 - 2 c1 t where t <= 2 (1 - c1)
        ("parabola", 10.0, 1e-4, 0.5, [10, 5, 2.5, 1.25]),
        ("parabola", 10.0, 0.5, 0.5, [10, 5, 2.5, 1.25, 0.625]),
        ("parabola", 10.0, 0.45, 0.1, [10, 1]),
        ("parabola", 1.75, 1e-4, 0.5, [1.75]),
        # the same value again is not good enough
        ("parabola", 2.0, 0.0, 0.5, [2, 1]),
        # -t - 0.1 log(1 - t) <= -0.9 c1 t where t is below 0.9999, not finite from 1 on
        ("log-barrier", 8.0, 1e-4, 0.5, [8, 4, 2, 1, 0.5]),
        ("infinite", 4.0, 1e-4, 0.75, [4, 3, 2.25, 1.6875]),
        # the value at 2.5 is low enough, but the gradient is lost from 2 on
        ("slope-lost", 2.5, 1e-4, 0.5, [2.5, 1.25]),
    ],
)
def test_backtracking_takes_the_first_step_that_satisfies_armijos_condition(name, first, c1, factor, expected):
    phi, slope = LINES[name]
    found, tried = search(backtracking, name, first, c1=c1, factor=factor)
    np.testing.assert_allclose(tried, expected)
    assert (float(found.t), int(found.evaluations), bool(found.failed)) == (tried[-1], len(expected), False)
    np.testing.assert_allclose([found.value.total, found.g[0]], [phi(found.t), slope(found.t)])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", [*SMOOTH, *WALLS])
@pytest.mark.parametrize("method", METHODS)
def test_no_search_ends_higher_or_takes_longer_than_allowed(method, name):
    """Whatever the budget leaves it with: a lower finite point, or the start and `failed`."""
    phi, _ = LINES[name]
    for first in FIRST:
        for most in (1, 2, 3, 7):
            found, tried = search(method, name, first, max_evaluations=most)
            assert int(found.evaluations) == len(tried) <= most
            assert np.isfinite([found.value.total, found.g[0]]).all()
            assert bool(found.failed) == (float(found.t) == 0)
            assert found.failed or found.value.total < phi(0.0)
            np.testing.assert_allclose(found.value.total, phi(found.t), rtol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NEVER_LOWER)
@pytest.mark.parametrize("method", METHODS)
def test_a_search_that_cannot_succeed_gives_up_at_the_start(method, name):
    found, tried = search(method, name, 1.0, max_evaluations=25)
    assert len(tried) <= 25
    assert (bool(found.failed), float(found.t), float(found.value.total), float(found.g[0])) == (True, 0.0, 0.0, -1.0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NOT_DOWN)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_evaluated_along_a_direction_that_does_not_go_down(method, name):
    found, tried = search(method, name, 1.0)
    assert tried == []
    assert (bool(found.failed), int(found.evaluations), float(found.t)) == (True, 0, 0.0)


@pytest.mark.parametrize("name", ["parabola", "more-thuente-1", "log-barrier", "overflow", "infinite"])
@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_float32(method, name):
    for first in FIRST:
        found, _ = search(method, name, first, jnp.float32)
        assert {found.t.dtype, found.value.total.dtype, found.g.dtype} == {jnp.dtype("float32")}
        assert not found.failed
        assert found.value.total < LINES[name][0](0.0)
        if method is strong_wolfe:
            assert_wolfe(found, *LINES[name], 1e-4, 0.4, slack=1e-6)
