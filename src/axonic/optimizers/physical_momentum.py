"""The notes' own proposal for momentum, "from the physics" of a ball that loses its potential energy.

    form="notes"       v <- alpha M - eps (1 + 1/|g|)      w <- w + v      M <- v / alpha      as written
    form="repaired"    v <- alpha v - eps (g + sign g)     w <- w + v                          with the sign

alpha is `momentum`, eps is `learning_rate`, v starts at 0, and both forms work weight by weight.

As written, the proposal can't descend: alpha M is v as it was, so alpha cancels, nothing damps v, and the push
-eps (1 + 1/|g|) is negative whatever the sign of g. Every weight falls for ever, at a pace that grows where the slope
is gentle. The notes mark it "not yet tested"; `docs/rules/first-order.md` has the test.

What it seems to mean is a factor 1 + 1/|g| on the gradient: g (1 + 1/|g|) = g + sign g, a push that stays of size
eps where g fades. With the velocity damped by alpha this is the repaired form: classical momentum plus a constant
push, as a blend of gradient and sign descent. Trap: the push doesn't fade at a minimum either, so the weights circle
it at a distance of up to eps / (1 - alpha); make eps smaller to come closer.

Deviation: 1/|g| is taken as 0 where g is exactly 0 (an input that is 0, a dead unit), where the formula has no value,
and |g| elsewhere as no smaller than the smallest normal number, so that a first step is finite.

Source: the notes, "SGD-M", first remark.
"""

import jax.numpy as jnp

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, one_of, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params

FORMS = ("repaired", "notes")


@spec
class PhysicalMomentum(Optimizer):
    """See the module for its two forms; the state is the velocity v, a tree like params (the notes' M is v / alpha)."""

    learning_rate: Number = 0.01
    momentum: Number = 0.9
    form: str = static(default="repaired")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("form", self.form, FORMS)

    def init(self, params: Params) -> Params:
        return zeros_like(params)

    def step(self, objective: ObjectiveLike, params: Params, state: Params) -> tuple[Params, Params, StepInfo]:
        value, g = objective.value_and_grad(params)
        if self.form == "notes":
            v = tree_map(lambda v, g, eps: v - eps * (1 + _inverse(jnp.abs(g))), state, g, eps=self.learning_rate)
        else:
            v = tree_map(
                lambda v, g, alpha, eps: alpha * v - eps * (g + jnp.sign(g)),
                state,
                g,
                alpha=self.momentum,
                eps=self.learning_rate,
            )
        params = tree_map(lambda w, v: w + v, params, v)
        return params, v, StepInfo(value, g)


def _inverse(size):
    """1/size, and 0 where size is 0."""
    return jnp.where(size == 0, 0, 1 / jnp.maximum(size, jnp.finfo(size.dtype).tiny))
