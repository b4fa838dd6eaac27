"""Gradient descent with a gain for each weight, which grows while the weight's gradient keeps its sign.

    gain <- gain + increase    where g and v disagree in sign, which is where the step would go on as the last one
    gain <- gain decrease      where they agree
    gain <- clip(gain, min_gain, max_gain)
    v    <- momentum v - learning_rate gain g
    w    <- w + v

Gains start at 1. Growth is by addition and decay by multiplication, so a large gain dies quickly once a weight begins
to oscillate, and gains hover around 1 where signs are random. For layers whose units have very different fan-in,
whose best rates differ for that reason.

"Keeps its sign" needs one comparison only: without momentum the velocity is the last step, -learning_rate gain times
the last gradient, so -g v > 0 says that the gradient has kept its sign. With momentum the same test compares the
gradient with the velocity, as the notes' third remark advises. Where g or v is 0, as at the first step, the gain stays
as it is: no sign was kept or lost.

Signs of gradients must mean something, so the rule takes the whole training set at each step. [.01, 100] is the other
range that the notes name for the gains.

Source: the notes, "adaptive learning rates"; Hinton, Neural Networks for Machine Learning, lecture 6d; Jacobs 1988
(delta-bar-delta, which decays by multiplication as here but compares with an average of gradients).
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, tree_map, zeros_like
from axonic.specs import Number, spec
from axonic.types import Params


class AdaptiveGainState(NamedTuple):
    """gains: one a weight; v: the velocity, which is the last step taken. Trees like params."""

    gains: Params
    v: Params


@spec
class AdaptiveGain(Optimizer):
    """Gains by the sign of the gradient.

    increase : added to the gain of a weight whose gradient keeps its sign; not negative.
    decrease : factor on the gain of a weight whose gradient changes sign, in (0, 1].
    min_gain, max_gain : bounds of the gains.
    """

    full_batch: ClassVar[bool] = True

    learning_rate: Number = 0.01
    increase: Number = 0.05
    decrease: Number = 0.95
    min_gain: Number = 0.1
    max_gain: Number = 10.0
    momentum: Number = 0.0

    ranges: ClassVar[Mapping[str, str]] = {
        **Optimizer.ranges,
        "increase": "[0, inf)",
        "decrease": "(0, 1]",
        "min_gain": "(0, inf)",
        "max_gain": "[min_gain, inf)",
    }

    def init(self, params: Params) -> AdaptiveGainState:
        return AdaptiveGainState(jax.tree.map(lambda p: np.ones(p.shape, p.dtype), params), zeros_like(params))

    def step(
        self, objective: ObjectiveLike, params: Params, state: AdaptiveGainState
    ) -> tuple[Params, AdaptiveGainState, StepInfo]:
        value, g = objective.value_and_grad(params)
        gains = tree_map(
            _adapt,
            state.gains,
            g,
            state.v,
            increase=self.increase,
            decrease=self.decrease,
            low=self.min_gain,
            high=self.max_gain,
        )
        v = tree_map(
            lambda v, g, gain, alpha, eta: alpha * v - eta * gain * g,
            state.v,
            g,
            gains,
            alpha=self.momentum,
            eta=self.learning_rate,
        )
        params = tree_map(lambda w, v: w + v, params, v)
        return params, AdaptiveGainState(gains, v), StepInfo(value, g)


def _adapt(gain, g, v, increase, decrease, low, high):
    kept = -jnp.sign(g) * jnp.sign(v)  # of the signs, because a product of small numbers is 0
    gain = jnp.where(kept > 0, gain + increase, jnp.where(kept < 0, gain * decrease, gain))
    return jnp.clip(gain, low, high)
