"""What a learning rule is.

    state = rule.init(params)
    params, state, info = rule.step(objective, params, state)

A rule is a spec (see `axonic.specs`): its hyperparameters are values, so a sweep over rates compiles nothing and runs
under `jax.vmap`. The objective is closed over its batch; a rule asks it for what it needs (a gradient, a value along a
line, a product with the Hessian). The state is only what the next step needs, the info only what a reader wants to
know. Every array keeps the type of the params.

Steps are meant to be compiled: by hand with `step = jax.jit(rule.step)`, as `axonic.training` and `axonic.minimize`
do for whole runs. Taken without, each step of a rule with a loop inside (a line search, Newton's damping) compiles that
loop anew.
"""

import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float
from threadpoolctl import threadpool_limits

from axonic.errors import InputError
from axonic.specs import Ranged
from axonic.types import Params, Value

State = Any
R = TypeVar("R", bound="Optimizer")


@runtime_checkable
class ObjectiveLike(Protocol):
    """What a rule may ask of what it minimises; `axonic.objective` has those of networks and of plain functions.

    Matrices are (n, n) for n weights, in the order of `jax.flatten_util.ravel_pytree`.
    """

    def value(self, params: Params) -> Value: ...
    def value_and_grad(self, params: Params) -> tuple[Value, Params]: ...
    def hvp(self, params: Params, v: Params) -> Params: ...
    def hessian(self, params: Params) -> Array: ...
    def value_grad_and_gauss_newton(self, params: Params) -> tuple[Value, Params, Array]: ...


class StepInfo(NamedTuple):
    """What a reader wants to know of a step.

    Attributes
    ----------
    value : the objective where the gradient was taken (`value.loss` is the data's part).
    grads : the gradient there, a tree like params.
    evaluations : gradients evaluated in this step.
    stuck : no step that lowers the objective was found, and the weights are as before.
    """

    value: Value
    grads: Params
    evaluations: Any = 1
    stuck: Any = False


class Optimizer(Ranged):
    """The protocol. Hyperparameters are fields; `learning_rate` is the first of them in every rule that has one.

    learning_rate : length of a step; not negative.
    momentum : share of the velocity that is kept at each step, in [0, 1).
    beta1, beta2 : decay of the moving averages of the gradient and of its square, in [0, 1).
    eps : added to a denominator; positive.

    Raises
    ------
    InputError : a hyperparameter that is no number of its interval, or not True or False where it is to be.
    """

    ranges: ClassVar[Mapping[str, str]] = {
        "learning_rate": "[0, inf)",
        "momentum": "[0, 1)",
        "beta1": "[0, 1)",
        "beta2": "[0, 1)",
        "eps": "(0, inf)",
    }
    """The intervals of hyperparameters; the lower end may be the name of an earlier one. Arrays, which may be values of
    a program, are not looked at."""

    full_batch: ClassVar[bool] = False
    """Whether the rule needs the whole training set at every step."""

    has_rate: ClassVar[bool] = True
    """Whether the rule has a learning rate to find; the others choose the length of their steps themselves."""

    patience: ClassVar[int] = 300
    """Steps for which the loss must be flat before a run may end."""

    same_objective: ClassVar[bool] = False
    """Whether the rule compares the objective from one step to the next, so that nothing random may be in it."""

    looks_ahead: ClassVar[bool] = False
    """Whether value and gradient of a step belong to another point than the weights before it."""

    max_weights: ClassVar[int | None] = None
    """The most weights the rule can work with, where its memory or time grows with their square or cube."""

    instead: ClassVar[str] = ""
    """The rule to name where this one can't work."""

    @property
    def takes_clipped(self) -> bool:
        """Whether the rule works with a gradient whose norm has been limited."""
        return self.has_rate and not self.same_objective

    @property
    def rate(self) -> Any:
        """The learning rate, NaN for a rule that has none."""
        return self.learning_rate if self.has_rate else np.nan  # pyright: ignore[reportAttributeAccessIssue]

    def rate_at(self, step: Any) -> Any:
        """The learning rate of step number `step`, counted from 0."""
        del step
        return self.rate

    def init(self, params: Params) -> State:
        """The state before the first step."""
        del params
        return ()

    def step(self, objective: ObjectiveLike, params: Params, state: State) -> tuple[Params, State, StepInfo]:
        """One step: (params, state, info)."""
        raise NotImplementedError

    def replace(self: R, **values: Any) -> R:
        """The same rule with other hyperparameters."""
        return dataclasses.replace(self, **values)  # pyright: ignore[reportArgumentType]  every rule is a spec


class Flat(NamedTuple):
    """An objective of the weights as one vector w of length n, for rules that are written in vectors and matrices.

    Attributes
    ----------
    objective : of the tree.
    unravel : vector to tree.
    """

    objective: ObjectiveLike
    unravel: Any

    def value(self, w: Float[Array, " n"]) -> Value:
        """The value alone."""
        return self.objective.value(self.unravel(w))

    def value_and_grad(self, w: Float[Array, " n"]) -> tuple[Value, Float[Array, " n"]]:
        """(value, gradient)."""
        value, grads = self.objective.value_and_grad(self.unravel(w))
        return value, ravel_pytree(grads)[0]

    def hvp(self, w: Float[Array, " n"], v: Float[Array, " n"]) -> Float[Array, " n"]:
        """Product of the Hessian at w with v."""
        return ravel_pytree(self.objective.hvp(self.unravel(w), self.unravel(v)))[0]

    def hessian(self, w: Float[Array, " n"]) -> Float[Array, "n n"]:
        """The Hessian at w."""
        return self.objective.hessian(self.unravel(w))

    def value_grad_and_gauss_newton(
        self, w: Float[Array, " n"]
    ) -> tuple[Value, Float[Array, " n"], Float[Array, "n n"]]:
        """(value, gradient, generalised Gauss-Newton matrix)."""
        value, grads, matrix = self.objective.value_grad_and_gauss_newton(self.unravel(w))
        return value, ravel_pytree(grads)[0], matrix


def flat(objective: ObjectiveLike, params: Params) -> tuple[Float[Array, " n"], Flat]:
    """The weights as one vector, and the objective of such vectors (whose `unravel` gives the tree back)."""
    w, unravel = ravel_pytree(params)
    return w, Flat(objective, unravel)


def one_of(what: str, value: Any, known: Collection[str]) -> None:
    """Raise `InputError` if a hyperparameter is none of its known values."""
    if value not in known:
        raise InputError(f"unknown {what} {value!r}", f"use one of {', '.join(known)}")


def one_thread(rule: Optimizer) -> contextlib.AbstractContextManager:
    """OpenBLAS held to one thread while a rule with `max_weights`, one that factorises matrices, runs.

    JAX on a CPU hands matrices to SciPy's LAPACK, whose threads wait for each other where another program wants a core
    too: a Cholesky factor of 500 weights took 0.7 ms in one thread and 720 in two, an eigendecomposition 35 and 100.
    The limit is the process's, and ends with the context.
    """
    return contextlib.nullcontext() if rule.max_weights is None else threadpool_limits(1, "blas")


def n_weights(params: Params) -> int:
    """Number of weights."""
    return sum(int(np.prod(p.shape)) for p in jax.tree.leaves(params))


def zeros_like(params: Params) -> Params:
    """A tree of zeros like params (NumPy's, so that a first state costs no compilation)."""
    return jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), params)


def inner(a: Float[Array, " n"], b: Float[Array, " n"]) -> Float[Array, ""]:
    """a . b, as a sum: XLA is two to three times as quick at it as at `a @ b`, which it adds up one by one."""
    return jnp.sum(a * b)


def scalar(value: Any, like: Any) -> Float[Array, ""]:
    """A hyperparameter in the type of the array it meets, so that no step changes a type."""
    return jnp.asarray(value, like.dtype)


def tree_map(f: Any, *trees: Params, **hyper: Any) -> Params:
    """`jax.tree.map` with hyperparameters passed by name, each in the type of the leaf."""

    def leaf(*leaves: Any) -> Any:
        return f(*leaves, **{name: scalar(value, leaves[0]) for name, value in hyper.items()})

    return jax.tree.map(leaf, *trees)
