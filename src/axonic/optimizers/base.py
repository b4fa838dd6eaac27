"""What a learning rule is.

    state = rule.init(params)
    params, state, info = rule.step(objective, params, state)

A rule is a spec (see `axonic.specs`): its hyperparameters are values, so a sweep over rates compiles nothing and runs
under `jax.vmap`. The objective is closed over its batch; a rule asks it for what it needs (a gradient, a value along a
line, a product with the Hessian). The state is only what the next step needs, the info only what a reader wants to
know. Every array keeps the type of the params.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.types import Params, Value

State = Any
R = TypeVar("R", bound="Optimizer")


@runtime_checkable
class ObjectiveLike(Protocol):
    """What a first-order rule may ask; `axonic.objective.Objective` offers more."""

    def value(self, params: Params) -> Value: ...
    def value_and_grad(self, params: Params) -> tuple[Value, Params]: ...


class StepInfo(NamedTuple):
    """What a reader wants to know of a step.

    Attributes
    ----------
    value : the objective where the gradient was taken (`value.loss` is the data's part).
    grads : the gradient there, a tree like params.
    """

    value: Value
    grads: Params


class Optimizer:
    """The protocol. Hyperparameters are fields; `learning_rate` is one of them in every rule that has a rate.

    learning_rate : length of a step; not negative.
    momentum : share of the velocity that is kept at each step, in [0, 1).
    beta1, beta2 : decay of the moving averages of the gradient and of its square, in [0, 1).
    eps : added to a denominator; positive.
    """

    full_batch: ClassVar[bool] = False
    """Whether the rule needs the whole training set at every step."""

    learning_rate: Any

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


def zeros_like(params: Params) -> Params:
    """A tree of zeros like params (NumPy's, so that a first state costs no compilation)."""
    return jax.tree.map(lambda p: np.zeros(p.shape, p.dtype), params)


def scalar(value: Any, like: Any) -> Float[Array, ""]:
    """A hyperparameter in the type of the array it meets, so that no step changes a type."""
    return jnp.asarray(value, like.dtype)


def tree_map(f: Any, *trees: Params, **hyper: Any) -> Params:
    """`jax.tree.map` with hyperparameters passed by name, each in the type of the leaf."""

    def leaf(*leaves: Any) -> Any:
        return f(*leaves, **{name: scalar(value, leaves[0]) for name, value in hyper.items()})

    return jax.tree.map(leaf, *trees)
