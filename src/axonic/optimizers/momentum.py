"""Gradient descent with momentum.

    dampening=True     M <- momentum M + (1 - momentum) g     w <- w - learning_rate M     the notes' form
    dampening=False    v <- momentum v + g                    w <- w - learning_rate v     the classical form

In the notes' form M is a moving average of the gradient, in the classical one v is its sum; v = M / (1 - momentum),
so the classical form at the same rate takes steps 1 / (1 - momentum) times as long (10 times for 0.9).

Source: the notes, "SGD-M"; Polyak 1964 for the classical form.
"""

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params


@spec
class Momentum(Optimizer):
    """Momentum; the state is the velocity, a tree like params."""

    learning_rate: Number = 0.1
    momentum: Number = 0.9
    dampening: bool = static(default=True)

    def init(self, params: Params) -> Params:
        return zeros_like(params)

    def step(self, objective: ObjectiveLike, params: Params, state: Params) -> tuple[Params, Params, StepInfo]:
        value, g = objective.value_and_grad(params)
        share = 1.0 - self.momentum if self.dampening else 1.0
        v = tree_map(lambda v, g, alpha, share: alpha * v + share * g, state, g, alpha=self.momentum, share=share)
        params = tree_map(lambda w, v, eta: w - eta * v, params, v, eta=self.learning_rate)
        return params, v, StepInfo(value, g)
