"""RMSProp: the gradient divided by its recent size.

    v <- decay v + (1 - decay) g^2
    M <- momentum M + g / (sqrt(v) + eps)
    w <- w - learning_rate M

v is a moving average over about 1 / (1 - decay) steps and starts at 0; with momentum 0 the step is
learning_rate g / (sqrt(v) + eps). The good rate differs by orders of magnitude from weight to weight, and here each
step of a weight is about as long as the rate, whatever the size of its gradients. Rprop has that too, but on
mini-batches it would let nine small pushes outweigh the one large push that cancels them; RMSProp divides
neighbouring batches by nearly the same number, so they still average. For mini-batches.

Traps: v isn't corrected for its start at 0, so the first step is learning_rate / sqrt(1 - decay) long (3 times the
rate for .9). The step doesn't shrink at a minimum, only its sign alternates: end with a smaller rate.
eps stands outside the root, as in PyTorch (optax adds it inside unless `eps_in_sqrt=False`). The centred
form, which subtracts the squared mean of g from v, is `from_optax(optax.rmsprop(..., centered=True))`.

Source: the notes, "RMSProp"; Tieleman and Hinton, Neural Networks for Machine Learning, lecture 6e.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, tree_map, zeros_like
from axonic.specs import Number, spec
from axonic.types import Params


class RMSPropState(NamedTuple):
    """v: moving average of g^2; M: sum of the scaled gradients, decayed by momentum. Trees like params."""

    v: Params
    M: Params


@spec
class RMSProp(Optimizer):
    """RMSProp.

    decay : of the moving average of g^2, in [0, 1).
    """

    learning_rate: Number = 0.001
    decay: Number = 0.9
    momentum: Number = 0.0
    eps: Number = 1e-8

    ranges: ClassVar[Mapping[str, str]] = {**Optimizer.ranges, "decay": "[0, 1)"}

    def init(self, params: Params) -> RMSPropState:
        return RMSPropState(zeros_like(params), zeros_like(params))

    def step(
        self, objective: ObjectiveLike, params: Params, state: RMSPropState
    ) -> tuple[Params, RMSPropState, StepInfo]:
        value, g = objective.value_and_grad(params)
        v = tree_map(lambda v, g, decay: decay * v + (1 - decay) * g * g, state.v, g, decay=self.decay)
        M = tree_map(
            lambda M, g, v, alpha, eps: alpha * M + g / (jnp.sqrt(v) + eps),
            state.M,
            g,
            v,
            alpha=self.momentum,
            eps=self.eps,
        )
        params = tree_map(lambda w, M, eta: w - eta * M, params, M, eta=self.learning_rate)
        return params, RMSPropState(v, M), StepInfo(value, g)
