"""AMSGrad: Adam whose second moment never falls, so that no weight's rate ever rises.

    m <- beta1 m + (1 - beta1) g

    form="paper"    v <- beta2 v + (1 - beta2) g^2            vhat <- max(vhat, v)
                    w <- w - learning_rate m / (sqrt(vhat) + eps)
    form="notes"    v <- max(beta2 v + (1 - beta2) g^2, v)
                    w <- w - learning_rate m / (sqrt(v) + eps)

For runs where Adam's rates swing late in training: a rare large gradient is forgotten after about 1 / (1 - beta2)
steps in Adam, and never here. The price is the one the notes name: late rates may be too small.

The forms differ in where the maximum is kept. In the paper v is an average as in Adam and vhat its running maximum; in
the notes the maximum is fed back into v, which then rises by a share 1 - beta2 of the gap whenever g^2 > v and never
falls. So the notes' v is never below the paper's vhat, and grows from the largest average of g^2 seen towards the
largest g^2 itself: on noisy gradients its steps become much shorter.

Neither form corrects the bias of m and v, as the paper's algorithm doesn't (Adam's does). Others do:
PyTorch's `amsgrad=True` divides m by 1 - beta1^t and the maximum by 1 - beta2^t after it is taken, optax's `amsgrad`
takes the maximum of the corrected v. Deviation from the paper: eps, which its algorithm 2 leaves out, keeps
the first steps of a weight without gradient finite; the paper lets learning_rate and beta1 change from step to step.

Source: Reddi, Kale and Kumar 2018, "On the convergence of Adam and beyond", algorithm 2; the notes, "Adam".
"""

from typing import NamedTuple

import jax.numpy as jnp

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, one_of, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params


class AMSGradState(NamedTuple):
    """m: moving average of g; v: that of g^2 (in the notes' form its maximum); vhat: the maximum of v so far, None in
    the notes' form. Trees like params."""

    m: Params
    v: Params
    vhat: Params | None


FORMS = ("paper", "notes")


@spec
class AMSGrad(Optimizer):
    """AMSGrad; see the module for its two forms."""

    learning_rate: Number = 0.001
    beta1: Number = 0.9
    beta2: Number = 0.999
    eps: Number = 1e-8
    form: str = static(default="paper")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("form", self.form, FORMS)

    def init(self, params: Params) -> AMSGradState:
        vhat = zeros_like(params) if self.form == "paper" else None
        return AMSGradState(zeros_like(params), zeros_like(params), vhat)

    def step(
        self, objective: ObjectiveLike, params: Params, state: AMSGradState
    ) -> tuple[Params, AMSGradState, StepInfo]:
        value, g = objective.value_and_grad(params)
        m = tree_map(lambda m, g, beta: beta * m + (1 - beta) * g, state.m, g, beta=self.beta1)
        v = tree_map(lambda v, g, beta: beta * v + (1 - beta) * g * g, state.v, g, beta=self.beta2)
        if self.form == "paper":
            vhat = highest = tree_map(jnp.maximum, state.vhat, v)
        else:
            vhat, v = None, tree_map(jnp.maximum, state.v, v)
            highest = v
        params = tree_map(
            lambda w, m, v, eta, eps: w - eta * m / (jnp.sqrt(v) + eps),
            params,
            m,
            highest,
            eta=self.learning_rate,
            eps=self.eps,
        )
        return params, AMSGradState(m, v, vhat), StepInfo(value, g)
