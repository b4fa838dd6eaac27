"""Any optax transformation as a learning rule.

    updates, state <- tx.update(g, state, w)
    w <- w + learning_rate updates

`learning_rate` multiplies what the transformation proposes: 1 leaves it as it is, and `from_optax(optax.adam(1.0))`
at 0.001 is Adam at 0.001. It is a value like every other hyperparameter, so sweeps over it compile nothing.
"""

from typing import Any

from axonic.optimizers.base import ObjectiveLike, Optimizer, State, StepInfo, tree_map
from axonic.specs import Number, spec, static
from axonic.types import Params


@spec
class FromOptax(Optimizer):
    """See `from_optax`; the state is the transformation's own."""

    transformation: Any = static()
    learning_rate: Number = 1.0

    def init(self, params: Params) -> State:
        return self.transformation.init(params)

    def step(self, objective: ObjectiveLike, params: Params, state: State) -> tuple[Params, State, StepInfo]:
        value, g = objective.value_and_grad(params)
        updates, state = self.transformation.update(g, state, params)
        params = tree_map(lambda w, u, eta: w + eta * u, params, updates, eta=self.learning_rate)
        return params, state, StepInfo(value, g)


def from_optax(transformation: Any, learning_rate: float = 1.0) -> FromOptax:
    """Lift an `optax.GradientTransformation`.

    Parameters
    ----------
    transformation : the transformation, for example `optax.lamb(1e-3)`.
    learning_rate : factor on its updates.
    """
    return FromOptax(transformation, learning_rate)
