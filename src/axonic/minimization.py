"""Any rule on any function: `axonic.minimize`.

The loop is one compiled program in float64, as `axonic.training` is for networks:

    while the gradient is larger than tol, and steps are left, and the rule finds a step
        x, state <- rule.step(function, x, state)
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic import optimizers
from axonic.errors import InputError
from axonic.objective import Function, from_function, from_residuals
from axonic.optimizers import LevenbergMarquardt, Optimizer
from axonic.optimizers.base import n_weights, one_thread
from axonic.programs import compiled, make_room


class Result(NamedTuple):
    """What `minimize` found.

    Attributes
    ----------
    x : the last point, a tree like x0, float64.
    fun : the value there.
    n_steps : steps taken.
    n_evaluations : gradients evaluated.
    success : whether the largest entry of the gradient came down to `tol`.
    message : why it ended.
    path : (n_steps + 1,) values, x0's first, one a step.
    points : the points themselves, a tree like x0 with a leading axis of that length; None unless asked for.
    """

    x: Any
    fun: float
    n_steps: int
    n_evaluations: int
    success: bool
    message: str
    path: np.ndarray
    points: Any


class _Carry(NamedTuple):
    x: Any
    state: Any
    step: Any
    evaluations: Any
    converged: Any
    stuck: Any
    sound: Any
    path: Any
    points: Any


def minimize(
    fun: Callable[[Any], Any],
    x0: Any,
    optimizer: Any = "lbfgs",
    max_steps: int = 1000,
    tol: float = 1e-8,
    keep_points: bool = False,
    **hyper: Any,
) -> Result:
    """Minimise a function of an array or a tree of arrays, in float64.

    Parameters
    ----------
    fun : written in jax.numpy; returns a number, or for "levenberg_marquardt" the vector of residuals r, of which
        1/2 sum r^2 is minimised.
    x0 : where to start, an array or a tree of arrays.
    optimizer : a rule, its name (`axonic.optimizers.names()`) or an optax transformation. Default "lbfgs".
    max_steps : steps at most. Default 1000.
    tol : the largest entry of the gradient at which x counts as a minimum. Default 1e-8.
    keep_points : whether to return every point.
    **hyper : hyperparameters of the rule, for example `learning_rate=0.1`.

    Raises
    ------
    InputError : an unknown rule or hyperparameter, or a value of one that can't work; a function that returns something
        else; a function or a gradient that is not finite at x0.

    >>> import jax.numpy as jnp
    >>> from axonic import minimize
    >>> rosenbrock = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    >>> result = minimize(rosenbrock, [-1.2, 1.0])
    >>> result.x.round(6).tolist(), result.success
    ([1.0, 1.0], True)
    """
    rule = _rule(optimizer, hyper)
    if not (isinstance(max_steps, int | np.integer) and max_steps >= 1):
        raise InputError(f"max_steps = {max_steps!r} is impossible", "give a whole number of at least 1")
    if not (isinstance(tol, int | float | np.number) and tol >= 0):
        raise InputError(f"tol = {tol!r} is impossible", "give a number that is not negative")
    make_room()
    with jax.enable_x64(True), one_thread(rule):
        x0 = _start(x0)
        objective = _objective(fun, x0, rule)
        if rule.max_weights is not None and n_weights(x0) > rule.max_weights:
            how = " on half the sum of their squares" if isinstance(rule, LevenbergMarquardt) else ""
            what = f"{n_weights(x0)} unknowns are too many for {type(rule).__name__}"
            raise InputError(what, f"use {rule.instead}{how}")
        first = float(objective.value(x0).total)
        if not np.isfinite(first):
            raise InputError(f"the function is {first} at x0", "start where it is finite")
        end = jax.tree.map(np.asarray, _run(rule, objective, x0, tol, first, int(max_steps), bool(keep_points)))
    n_steps = int(end.step)
    if not end.sound and n_steps == 0:
        raise InputError("the gradient of the function is not finite at x0", "start where it is finite")
    path = end.path[: n_steps + 1]
    if end.converged:
        message = f"no entry of the gradient is larger than tol = {tol:g}"
    elif not (end.sound and np.isfinite(path[-1])):
        message = "the function is no longer finite: the steps are too long"
        if not end.sound:
            message = "the gradient is no longer finite: the steps are too long, or there is none at this x"
    elif end.stuck:
        message = "no step that lowers the function was found"
    else:
        message = f"{max_steps} steps were taken"
    points = jax.tree.map(lambda p: p[: n_steps + 1], end.points) if keep_points else None
    return Result(end.x, float(path[-1]), n_steps, int(end.evaluations), bool(end.converged), message, path, points)


@compiled(static_argnames=("max_steps", "keep_points"))
def _run(
    rule: Optimizer, objective: Function, x0: Any, tol: Any, first: Any, max_steps: int, keep_points: bool
) -> _Carry:
    def unfinished(carry: _Carry) -> Any:
        finite = jnp.isfinite(carry.path[carry.step])
        return (carry.step < max_steps) & ~carry.converged & ~carry.stuck & carry.sound & finite

    def step(carry: _Carry) -> _Carry:
        x, state, info = rule.step(objective, carry.x, carry.state)
        largest = _largest(info.grads)
        sound = jnp.isfinite(largest)
        converged = largest <= tol  # at the point before the step, which is then not taken
        asked = jnp.asarray(False)
        if rule.looks_ahead:  # then the gradient was that of another point
            asked, no = converged, asked
            here = lambda: _largest(objective.value_and_grad(carry.x)[1]) <= tol  # noqa: E731
            converged = jax.lax.cond(asked, here, lambda: no)
        taken = ~converged & sound
        x = jax.tree.map(lambda new, old: jnp.where(taken, new, old), x, carry.x)
        index = carry.step + taken
        return _Carry(
            x,
            state,
            index,
            carry.evaluations + jnp.where(converged, 1, info.evaluations) + asked,
            converged,
            jnp.asarray(info.stuck) & taken,
            sound,
            carry.path.at[index].set(objective.value(x).total),
            jax.tree.map(lambda points, p: points.at[index].set(p), carry.points, x) if keep_points else None,
        )

    def room(p: Array) -> Array:
        return jnp.zeros((max_steps + 1, *p.shape)).at[0].set(p)

    no, yes = jnp.asarray(False), jnp.asarray(True)
    zero = jnp.asarray(0)
    points = jax.tree.map(room, x0) if keep_points else None
    return jax.lax.while_loop(
        unfinished, step, _Carry(x0, rule.init(x0), zero, zero, no, no, yes, room(jnp.asarray(first)), points)
    )


def _largest(grads: Any) -> Array:
    """The size of the largest entry."""
    return functools.reduce(jnp.maximum, [jnp.max(jnp.abs(g)) for g in jax.tree.leaves(grads)])


def _rule(optimizer: Any, hyper: dict[str, Any]) -> Optimizer:
    rule = optimizers.get(optimizer)
    rules: tuple[Any, ...] = (getattr(rule, "rule", rule), rule)  # a scheduled rule hands on what is its rule's
    known = list(dict.fromkeys(field.name for one in rules for field in dataclasses.fields(one)))
    unknown = [name for name in hyper if name not in known]
    if unknown:
        raise InputError(f"{type(rule).__name__} has no {unknown[0]!r}", f"it has {', '.join(known)}")
    return rule.replace(**hyper)


def _start(x0: Any) -> Any:
    def leaf(value: Any) -> Float[Array, "..."]:
        try:
            if np.iscomplexobj(value):
                raise TypeError("complex numbers")
            numbers = np.asarray(value, np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"x0 holds {value!r:.40}", "start at real numbers") from error
        if not np.isfinite(numbers).all():
            raise InputError("x0 is not finite", "start at finite numbers")
        return jnp.asarray(numbers)

    if isinstance(x0, list) and all(np.ndim(value) == 0 for value in x0):
        x0 = np.asarray(x0)
    start = jax.tree.map(leaf, x0)
    if n_weights(start) == 0:
        raise InputError("x0 is empty", "start at one number or more")
    return start


def _objective(fun: Callable[[Any], Any], x0: Any, rule: Optimizer) -> Function:
    returned = jax.eval_shape(fun, x0)
    shape = getattr(returned, "shape", None)
    if shape is not None and not jnp.issubdtype(returned.dtype, jnp.floating):
        how = "return real numbers that change smoothly with x"
        raise InputError(f"the function returns numbers of type {returned.dtype}", how)
    if isinstance(rule, LevenbergMarquardt):
        if shape is None or len(shape) != 1:
            raise InputError("the function does not return a vector", "return the residuals, shape (m,)")
        return from_residuals(fun)
    if shape != ():
        how = "return a number, or use levenberg_marquardt on residuals"
        raise InputError(f"the function returns {'no array' if shape is None else f'an array of shape {shape}'}", how)
    return from_function(fun)
