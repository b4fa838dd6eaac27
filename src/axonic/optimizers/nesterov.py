"""Nesterov's accelerated gradient in the look-ahead form.

    g <- gradient at w + momentum v
    v <- momentum v - learning_rate g
    w <- w + v

First a step along the velocity, then a correction with the gradient found there: "better to correct a mistake after
you have made it". The gradient, and the loss that is reported, belong to the point looked ahead to.

Source: the notes, "SGD-M", second remark; Nesterov 1983; Sutskever, Martens, Dahl and Hinton 2013, equations 3 and 4.
"""

from typing import ClassVar

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, tree_map, zeros_like
from axonic.specs import Number, spec
from axonic.types import Params


@spec
class Nesterov(Optimizer):
    """Look-ahead momentum; the state is the velocity, a tree like params."""

    learning_rate: Number = 0.01
    momentum: Number = 0.9

    looks_ahead: ClassVar[bool] = True

    def init(self, params: Params) -> Params:
        return zeros_like(params)

    def step(self, objective: ObjectiveLike, params: Params, state: Params) -> tuple[Params, Params, StepInfo]:
        ahead = tree_map(lambda w, v, alpha: w + alpha * v, params, state, alpha=self.momentum)
        value, g = objective.value_and_grad(ahead)
        v = tree_map(
            lambda v, g, alpha, eta: alpha * v - eta * g, state, g, alpha=self.momentum, eta=self.learning_rate
        )
        params = tree_map(lambda w, v: w + v, params, v)
        return params, v, StepInfo(value, g)
