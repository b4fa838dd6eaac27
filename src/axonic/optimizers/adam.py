"""Adam.

    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) g^2
    w <- w - learning_rate m' / (sqrt(v') + eps)

    bias_correction=True     m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t)     the paper's form
    bias_correction=False    m' = m,  v' = v                                     the notes' form

m and v start at 0, so early averages are too small by the factors 1 - beta^t. Without the correction the first step
is learning_rate (1 - beta1) / sqrt(1 - beta2), about 3 times the corrected one for the defaults.

Source: the notes, "Adam"; Kingma and Ba 2015, algorithm 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, scalar, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params


class AdamState(NamedTuple):
    """m, v: moving averages of g and g^2, trees like params; t: steps taken."""

    m: Params
    v: Params
    t: Int[Any, ""]


@spec
class Adam(Optimizer):
    """Adam; see the module for its two forms."""

    learning_rate: Number = 0.001
    beta1: Number = 0.9
    beta2: Number = 0.999
    eps: Number = 1e-8
    bias_correction: bool = static(default=True)

    def init(self, params: Params) -> AdamState:
        return AdamState(zeros_like(params), zeros_like(params), np.zeros((), np.int32))

    def step(self, objective: ObjectiveLike, params: Params, state: AdamState) -> tuple[Params, AdamState, StepInfo]:
        value, g = objective.value_and_grad(params)
        t = state.t + 1
        m = tree_map(lambda m, g, beta: beta * m + (1 - beta) * g, state.m, g, beta=self.beta1)
        v = tree_map(lambda v, g, beta: beta * v + (1 - beta) * g * g, state.v, g, beta=self.beta2)

        like = jax.tree.leaves(params)[0]
        m_scale = v_scale = scalar(1.0, like)
        if self.bias_correction:
            m_scale = 1 / (1 - scalar(self.beta1, like) ** t)
            v_scale = 1 / (1 - scalar(self.beta2, like) ** t)
        params = tree_map(
            lambda w, m, v, eta, eps, m_scale, v_scale: w - eta * (m_scale * m) / (jnp.sqrt(v_scale * v) + eps),
            params,
            m,
            v,
            eta=self.learning_rate,
            eps=self.eps,
            m_scale=m_scale,
            v_scale=v_scale,
        )
        return params, AdamState(m, v, t), StepInfo(value, g)
