"""SWATS: Adam until the rate that gradient descent would need has settled, then gradient descent at that rate.

    Adam, step k        m <- beta1 m + (1 - beta1) g
                        v <- beta2 v + (1 - beta2) g^2
                        p = -learning_rate sqrt(1 - beta2^k) / (1 - beta1^k)  m / (sqrt(v) + eps)
                        w <- w + p

    if p.g != 0         gamma = p.p / (-p.g)                                     projected rate
                        lam  <- beta2 lam + (1 - beta2) gamma
                        settled = lam / (1 - beta2^k)
                        switch if k > 1, settled > 0 and |settled - gamma| < tolerance settled       relative=True
                                                         |settled - gamma| < tolerance               relative=False
    at the switch       rate = settled,  m <- 0

    SGD                 m <- beta1 m + g
                        w <- w - (1 - beta1) rate m

gamma is the rate at which a step of gradient descent, projected on Adam's step, is that step. It is one number for the
whole network: p.p and p.g are sums over all weights of all layers. For the fast start of Adam with the better end of
gradient descent; `learning_rate` is Adam's and has no part after the switch.

Traps. The paper's test is absolute, at 1e-9 (`relative=False, tolerance=1e-9`): neighbouring float32 numbers near a
rate of .01 are 1e-9 apart, so it fires by accident or never, and it means something else for every scale of the loss. A
relative test means the same at every scale. gamma is negative when Adam's momentum climbs, so a switch to a rate that
isn't positive is refused (the paper's algorithm doesn't say). One lucky gamma passes the test: those of mini-batches
scatter, so the tolerance sets, by chance, how long Adam lasts. Measured on six tables, batches of 32, Adam's rate .001
and .01, three starts, 400 to 5,600 steps: at 1e-2 the switch came in 33 of 36 runs, in 22 of them within 31 steps and
often at the second, before Adam had done its part (training losses of up to 14 and 30 times Adam's on digits); at 1e-3
in 23, after 158 steps at the median; at 1e-4, the default, in 4, not before step 347; the paper's test never fired.

Deviation: none in Adam's part, whose eps stands as in the paper's algorithm, beside the uncorrected sqrt(v).

Source: the notes, "Adam", last remark; Keskar and Socher 2017 (arXiv 1712.07628), algorithm 1.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, scalar, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params


class SWATSState(NamedTuple):
    """What the next step needs; `rate` tells the phase.

    Attributes
    ----------
    m : moving average of g in Adam's phase, the velocity after the switch; a tree like params.
    v : moving average of g^2 in Adam's phase; a tree like params.
    lam : moving average of the projected rate.
    rate : rate of gradient descent, 0 before the switch.
    k : steps taken.
    """

    m: Params
    v: Params
    lam: Float[Any, ""]
    rate: Float[Any, ""]
    k: Int[Any, ""]


@spec
class SWATS(Optimizer):
    """Switching from Adam to SGD.

    tolerance : how near the projected rate must be to its average, relative to it or not; positive.
    """

    learning_rate: Number = 0.001
    beta1: Number = 0.9
    beta2: Number = 0.999
    eps: Number = 1e-9
    tolerance: Number = 1e-4
    relative: bool = static(default=True)

    ranges: ClassVar[Mapping[str, str]] = {**Optimizer.ranges, "tolerance": "(0, inf)"}

    def init(self, params: Params) -> SWATSState:
        zero = np.zeros((), jax.tree.leaves(params)[0].dtype)
        return SWATSState(zeros_like(params), zeros_like(params), zero, zero, np.zeros((), np.int32))

    def step(self, objective: ObjectiveLike, params: Params, state: SWATSState) -> tuple[Params, SWATSState, StepInfo]:
        value, g = objective.value_and_grad(params)
        like = jax.tree.leaves(params)[0]
        beta1, beta2 = scalar(self.beta1, like), scalar(self.beta2, like)
        k = state.k + 1
        switched = state.rate > 0

        share = jnp.where(switched, 1, 1 - beta1)
        m = tree_map(lambda m, g, beta, share: beta * m + share * g, state.m, g, beta=beta1, share=share)
        v = tree_map(lambda v, g, beta: beta * v + (1 - beta) * g * g, state.v, g, beta=beta2)
        adam_rate = scalar(self.learning_rate, like) * jnp.sqrt(1 - beta2**k) / (1 - beta1**k)
        p = tree_map(
            lambda m, v, switched, rate, sgd_rate, eps: jnp.where(
                switched, -sgd_rate * m, -rate * m / (jnp.sqrt(v) + eps)
            ),
            m,
            v,
            switched=switched,
            rate=adam_rate,
            sgd_rate=(1 - beta1) * state.rate,
            eps=self.eps,
        )
        params = tree_map(jnp.add, params, p)

        p_g = _dot(p, g)
        gamma = _dot(p, p) / jnp.where(p_g == 0, 1, -p_g)
        lam = jnp.where(p_g == 0, state.lam, beta2 * state.lam + (1 - beta2) * gamma)
        settled = lam / (1 - beta2**k)
        bound = scalar(self.tolerance, like) * (settled if self.relative else 1)
        now = ~switched & (p_g != 0) & (k > 1) & (settled > 0) & (jnp.abs(settled - gamma) < bound)
        m = tree_map(lambda m, now: jnp.where(now, 0, m), m, now=now)
        rate = jnp.where(now, settled, state.rate)
        return params, SWATSState(m, v, lam, rate, k), StepInfo(value, g)


def _dot(a: Params, b: Params) -> Array:
    """The inner product over all weights."""
    return jnp.stack(jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))).sum()
