"""Gradient descent.

    w <- w - learning_rate g

`GD` takes g over the whole training set, `SGD` over a batch; the formula is the same. The true step is as long as the
gradient: long where the loss is steep and short where it is flat.

Source: the notes, "parameter update: gradient descent" (first-order Taylor expansion); Cauchy 1847; Robbins and
Monro 1951 for batches.
"""

from typing import ClassVar

from axonic.optimizers.base import ObjectiveLike, Optimizer, State, StepInfo, tree_map
from axonic.specs import Number, spec
from axonic.types import Params


@spec
class SGD(Optimizer):
    """Stochastic gradient descent: one step a batch."""

    learning_rate: Number = 0.1

    def step(self, objective: ObjectiveLike, params: Params, state: State) -> tuple[Params, State, StepInfo]:
        value, g = objective.value_and_grad(params)
        params = tree_map(lambda w, g, eta: w - eta * g, params, g, eta=self.learning_rate)
        return params, state, StepInfo(value, g)


@spec
class GD(SGD):
    """Gradient descent: one step a pass over the whole training set."""

    full_batch: ClassVar[bool] = True
