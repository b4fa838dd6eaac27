"""How far to go along a direction.

With phi(t) = L(w + t p), phi'(t) = g(w + t p) . p and phi'(0) < 0, a step t is good enough when

    phi(t) <= phi(0) + c1 t phi'(0)        it lowers the loss in proportion to its length        (Armijo)
    |phi'(t)| <= c2 |phi'(0)|              and stops where the slope has become small            (strong Wolfe)

`strong_wolfe` finds one by the search of More and Thuente, step for step as MINPACK-2's dcsrch and dcstep, which SciPy
runs: an interval of uncertainty [x, y], x its best end, is widened until it brackets a minimum and then narrowed by
cubic and secant interpolation; as long as no step has satisfied psi(t) = phi(t) - phi(0) - c1 t phi'(0) <= 0 with
phi'(t) >= 0, interpolation uses psi where that is the more cautious choice (stage 1). `backtracking` wants Armijo's
condition alone and shortens the step by a factor until it holds.

Deviations. A step whose value or slope is not finite is shortened to a tenth of its way from x, and none as long is
tried again: one that would be goes half the way from x to the shortest of them. A search that ends without a step of
both conditions (interval narrower than `xtol`, rounding, evaluations used up) returns the lowest point it has seen, and
says `failed` only if there is none below the start; dcsrch goes back to x and evaluates it again. Both searches are one
`lax.while_loop`, so under `jax.vmap` the lanes that are done wait.

Source: More and Thuente 1994, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20; MINPACK-2,
dcsrch and dcstep (the comments "case 1" to "case 4" are dcstep's).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from axonic.optimizers.base import Flat, inner, scalar
from axonic.types import Value

T = TypeVar("T")

LONGEST = 1e10


class Point(NamedTuple):
    """What is known of one point on the line.

    Attributes
    ----------
    t : length of the step to it.
    value : the objective there.
    g : its gradient, (n,).
    """

    t: Float[Array, ""]
    value: Value
    g: Float[Array, " n"]


class Search(NamedTuple):
    """The end of a search.

    Attributes
    ----------
    t, value, g : the accepted step, and the objective and its gradient there; those of the start if it failed.
    evaluations : gradients evaluated.
    failed : no point below the start was found.
    """

    t: Float[Array, ""]
    value: Value
    g: Float[Array, " n"]
    evaluations: Int[Array, ""]
    failed: Bool[Array, ""]


class End(NamedTuple):
    """An end of the interval: step t, phi(t) as f, phi'(t) as d."""

    t: Any
    f: Any
    d: Any


class Interval(NamedTuple):
    """The interval of uncertainty.

    Attributes
    ----------
    x, y : its ends, x the better one.
    bracketed : it holds a minimum.
    low, high : bounds on the next step.
    width, width_before : its length after the last two steps (dcsrch's width and width1).
    second : stage 2 has been reached.
    wall : the shortest step beyond x that was not finite; infinity before there is one.
    """

    x: End
    y: End
    bracketed: Any
    low: Any
    high: Any
    width: Any
    width_before: Any
    second: Any
    wall: Any


def strong_wolfe(
    objective: Flat,
    w: Float[Array, " n"],
    p: Float[Array, " n"],
    value: Value,
    g: Float[Array, " n"],
    first: Any,
    c1: Any,
    c2: Any,
    max_evaluations: Any,
    xtol: float = 0.1,
) -> Search:
    """A step along p that satisfies both conditions.

    Parameters
    ----------
    objective, w, p, value, g : the objective, the start, the direction, and value and gradient at the start.
    first : the first step to try, positive.
    c1, c2 : 0 < c1 < c2 < 1.
    max_evaluations : the most gradients to evaluate.
    xtol : relative width at which a bracketing interval is narrow enough.
    """
    like = lambda v: scalar(v, w)  # noqa: E731
    c1, c2, first = like(c1), like(c2), like(first)
    xtol = max(xtol, float(jnp.finfo(w.dtype).eps))
    f0, d0 = like(value.total), inner(g, p)
    start = End(like(0.0), f0, d0)
    interval = Interval(
        x=start,
        y=start,
        bracketed=jnp.asarray(False),
        low=like(0.0),
        high=5 * first,
        width=like(LONGEST),
        width_before=like(2 * LONGEST),
        second=jnp.asarray(False),
        wall=like(jnp.inf),
    )

    def body(carry: tuple) -> tuple:
        t, interval, best, n, _ = carry
        here = _evaluate(objective, w, p, t)
        f, d = like(here.value.total), inner(here.g, p)
        finite = jnp.isfinite(f) & jnp.isfinite(d)
        armijo = f <= f0 + t * c1 * d0
        good = finite & armijo & (jnp.abs(d) <= c2 * jnp.abs(d0))
        at_longest = finite & (t >= LONGEST) & armijo & (d <= c1 * d0)

        shortened = interval.x.t + 0.1 * (t - interval.x.t)
        walled = interval._replace(wall=jnp.where(t > interval.x.t, jnp.minimum(interval.wall, t), interval.wall))
        second = interval.second | (armijo & (d >= 0))
        moved, following = _narrow(interval._replace(second=second), End(t, f, d), f0, d0, c1)
        interval = _select(finite, moved, walled)
        following = jnp.where(finite, following, shortened)
        following = jnp.where(following < interval.wall, following, (interval.x.t + interval.wall) / 2)
        narrow = interval.bracketed & (
            (following <= interval.low)
            | (following >= interval.high)
            | (interval.high - interval.low <= xtol * interval.high)
        )
        best = _select(good | (finite & (f < best.value.total)), here, best)
        return following, interval, best, n + 1, good | at_longest | (finite & narrow)

    def unfinished(carry: tuple) -> Any:
        _, _, _, n, done = carry
        return ~done & (n < max_evaluations)

    best = Point(like(0.0), _like(value, w), g)
    carry = (first, interval, best, jnp.zeros((), jnp.int32), ~(d0 < 0))
    _, _, best, n, _ = jax.lax.while_loop(unfinished, body, carry)
    return Search(*best, evaluations=n, failed=best.t == 0)


def backtracking(
    objective: Flat,
    w: Float[Array, " n"],
    p: Float[Array, " n"],
    value: Value,
    g: Float[Array, " n"],
    first: Any,
    c1: Any,
    factor: Any,
    max_evaluations: Any,
) -> Search:
    """The first of the steps first, factor first, factor^2 first, ... that satisfies Armijo's condition.

    The parameters are those of `strong_wolfe`; `factor` is in (0, 1).
    """
    like = lambda v: scalar(v, w)  # noqa: E731
    f0, d0, c1, factor = like(value.total), inner(g, p), like(c1), like(factor)

    def body(carry: tuple) -> tuple:
        t, best, n, _ = carry
        here = _evaluate(objective, w, p, t)
        good = (here.value.total <= f0 + t * c1 * d0) & (here.value.total < f0) & jnp.all(jnp.isfinite(here.g))
        return factor * t, _select(good, here, best), n + 1, good

    def unfinished(carry: tuple) -> Any:
        _, _, n, done = carry
        return ~done & (n < max_evaluations)

    start = Point(like(0.0), _like(value, w), g)
    _, best, n, _ = jax.lax.while_loop(unfinished, body, (like(first), start, jnp.zeros((), jnp.int32), ~(d0 < 0)))
    return Search(*best, evaluations=n, failed=best.t == 0)


def unless(known: Any, f: Callable[[Array], T], w: Array, otherwise: T) -> T:
    """`otherwise` if `known`, else f(w). Under `jax.vmap` f is not run if every lane knows; `lax.cond` would run it."""

    def body(carry: tuple[Any, T]) -> tuple[Any, T]:
        known, old = carry
        here, _ = jax.lax.optimization_barrier((w, known))  # or XLA takes f(w), the same in every turn, out of the loop
        return jnp.asarray(True), jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), f(here), old)

    otherwise = jax.tree.map(jnp.asarray, otherwise)
    return jax.lax.while_loop(lambda carry: ~carry[0], body, (jnp.asarray(known), otherwise))[1]


def no_value(dtype: Any) -> Value:
    """The value in a state before the first step (NumPy's, so that a first state costs no compilation)."""
    zero: Any = np.zeros((), dtype)
    return Value(zero, zero)


def _evaluate(objective: Flat, w: Array, p: Array, t: Any) -> Point:
    value, g = objective.value_and_grad(w + t * p)
    return Point(t, _like(value, w), g)


def _like(value: Value, w: Array) -> Value:
    return Value(*(jnp.asarray(v, w.dtype) for v in value))


def _select(condition: Any, new: T, old: T) -> T:
    return jax.tree.map(lambda new, old: jnp.where(condition, new, old), new, old)


def _narrow(interval: Interval, trial: End, f0: Any, d0: Any, c1: Any) -> tuple[Interval, Any]:
    """dcsrch from "a modified function is used" on: (the interval with the trial in it, the next step)."""
    x, y = interval.x, interval.y
    shift = lambda end, sign: End(end.t, end.f + sign * end.t * c1 * d0, end.d + sign * c1 * d0)  # noqa: E731
    modified = ~interval.second & (trial.f <= x.f) & (trial.f > f0 + trial.t * c1 * d0)
    ends = _select(modified, (shift(x, -1), shift(y, -1), shift(trial, -1)), (x, y, trial))
    x, y, t, bracketed = _interpolate(*ends, interval.bracketed, interval.low, interval.high)
    x, y = _select(modified, (shift(x, 1), shift(y, 1)), (x, y))

    width = jnp.abs(y.t - x.t)
    t = jnp.where(bracketed & (width >= 0.66 * interval.width_before), x.t + 0.5 * (y.t - x.t), t)
    low = jnp.where(bracketed, jnp.minimum(x.t, y.t), t + 1.1 * (t - x.t))
    high = jnp.where(bracketed, jnp.maximum(x.t, y.t), t + 4.0 * (t - x.t))
    t = jnp.clip(t, 0, LONGEST)
    return (
        interval._replace(
            x=x,
            y=y,
            bracketed=bracketed,
            low=low,
            high=high,
            width=jnp.where(bracketed, width, interval.width),
            width_before=jnp.where(bracketed, interval.width, interval.width_before),
        ),
        t,
    )


def _interpolate(x: End, y: End, trial: End, bracketed: Any, low: Any, high: Any) -> tuple[End, End, Any, Any]:
    """dcstep: (x, y, the next step, bracketed)."""
    t, f, d = trial
    opposite = d * jnp.sign(x.d) < 0
    beyond = t > x.t
    secant = t + d / (d - x.d) * (x.t - t)

    # case 1: a higher value; between the cubic step and the quadratic one, or the cubic step if it is closer to x
    cubic = x.t + _cubic_share(x, trial, t < x.t) * (t - x.t)
    quadratic = x.t + (x.d / ((x.f - f) / (t - x.t) + x.d)) / 2 * (t - x.t)
    case1 = jnp.where(jnp.abs(cubic - x.t) <= jnp.abs(quadratic - x.t), cubic, cubic + (quadratic - cubic) / 2)

    # case 2: a lower value, slopes of opposite sign; the farther from t of the cubic and the secant step
    cubic = t + _cubic_share(trial, x, beyond) * (x.t - t)
    case2 = jnp.where(jnp.abs(cubic - t) > jnp.abs(secant - t), cubic, secant)

    # case 3: a lower value, slopes of the same sign, the slope getting smaller; the cubic may have no minimum beyond t
    theta, gamma = _cubic(x, trial)
    gamma = jnp.where(beyond, -gamma, gamma)
    share = ((gamma - d) + theta) / ((gamma + (x.d - d)) + gamma)
    cubic = jnp.where((share < 0) & (gamma != 0), t + share * (x.t - t), jnp.where(beyond, high, low))
    closer = jnp.abs(cubic - t) < jnp.abs(secant - t)
    inside = jnp.where(closer, cubic, secant)
    guard = t + 0.66 * (y.t - t)
    inside = jnp.where(beyond, jnp.minimum(guard, inside), jnp.maximum(guard, inside))
    outside = jnp.clip(jnp.where(jnp.abs(cubic - t) > jnp.abs(secant - t), cubic, secant), low, high)
    case3 = jnp.where(bracketed, inside, outside)

    # case 4: a lower value, slopes of the same sign, the slope not getting smaller
    cubic = t + _cubic_share(trial, y, t > y.t) * (y.t - t)
    case4 = jnp.where(bracketed, cubic, jnp.where(beyond, high, low))

    higher = f > x.f
    following = jnp.where(higher, case1, jnp.where(opposite, case2, jnp.where(jnp.abs(d) < jnp.abs(x.d), case3, case4)))
    new_y = _select(higher, trial, _select(opposite, x, y))
    new_x = _select(higher, x, trial)
    return new_x, new_y, following, bracketed | higher | opposite


def _cubic(a: End, b: End) -> tuple[Any, Any]:
    """(theta, gamma >= 0) of the cubic through the values and slopes at a and b; gamma is 0 where it has no minimum."""
    theta = 3 * (a.f - b.f) / (b.t - a.t) + a.d + b.d
    s = jnp.maximum(jnp.abs(theta), jnp.maximum(jnp.abs(a.d), jnp.abs(b.d)))
    return theta, s * jnp.sqrt(jnp.maximum(0, (theta / s) ** 2 - (a.d / s) * (b.d / s)))


def _cubic_share(a: End, b: End, negative: Any) -> Any:
    """Where between a and b the cubic has its minimum, as a share of the way from a."""
    theta, gamma = _cubic(a, b)
    gamma = jnp.where(negative, -gamma, gamma)
    return ((gamma - a.d) + theta) / (((gamma - a.d) + gamma) + b.d)
