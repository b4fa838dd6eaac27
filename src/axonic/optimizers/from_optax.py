"""Any optax transformation as a learning rule.

    updates, state <- tx.update(g, state, w, value=f(w), grad=g, value_fn=f)
    w <- w + learning_rate updates

What it doesn't ask for by name it doesn't get. Random keys are kept as their numbers, as states are saved to files.

`learning_rate` multiplies what the transformation proposes: 1 leaves it as it is, and `from_optax(optax.adam(1.0))`
at 0.001 is Adam at 0.001. It is a value like every other hyperparameter, so sweeps over it compile nothing.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from axonic.optimizers.base import ObjectiveLike, Optimizer, State, StepInfo, tree_map
from axonic.specs import Number, spec, static
from axonic.types import Params


@spec
class FromOptax(Optimizer):
    """See `from_optax`; the state is the transformation's own."""

    transformation: Any = static()
    learning_rate: Number = 1.0

    ranges: ClassVar[Mapping[str, str]] = {"learning_rate": "(-inf, inf)"}

    def init(self, params: Params) -> State:
        return jax.tree.map(lambda s: jax.random.key_data(s) if _is_key(s) else s, self.transformation.init(params))

    def step(self, objective: ObjectiveLike, params: Params, state: State) -> tuple[Params, State, StepInfo]:
        import optax  # whoever gives a transformation has it

        value, g = objective.value_and_grad(params)
        state = jax.tree.map(_like, state, self.transformation.init(params))
        told = {"value": value.total, "grad": g, "value_fn": lambda w: objective.value(w).total}
        updates, state = optax.with_extra_args_support(self.transformation).update(g, state, params, **told)
        state = jax.tree.map(lambda s: jax.random.key_data(s) if _is_key(s) else s, state)
        params = tree_map(lambda w, u, eta: w + eta * u, params, updates, eta=self.learning_rate)
        return params, state, StepInfo(value, g)


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _like(leaf: Any, first: Any) -> Any:
    """A leaf of the state as the transformation knows it, `first` being what it was at first."""
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(first)) if _is_key(first) else leaf


def from_optax(transformation: Any, learning_rate: float = 1.0) -> FromOptax:
    """Lift an `optax.GradientTransformation`.

    Parameters
    ----------
    transformation : the transformation, for example `optax.lamb(1e-3)`.
    learning_rate : factor on its updates.
    """
    return FromOptax(transformation, learning_rate)
