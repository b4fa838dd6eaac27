"""Levenberg-Marquardt.

    (J^T J + mu I) d = -J^T r
    if L(w + d) < L(w):   w <- w + d,  mu <- decrease mu
    else:                 mu <- increase mu, and again, until mu > max_mu                    damping="factors"

    rho = (L(w) - L(w + d)) / (1/2 d . (mu d - g)),  g the gradient                          damping="gain"
    if rho > 0:           w <- w + d,  mu <- mu max(decrease, 1 - (2 rho - 1)^3)
    else:                 mu <- increase mu, increase <- 2 increase, and again, until mu > max_mu

r is the vector of residuals, J = dr/dw. With small mu it is the Gauss-Newton step, which uses half of the Hessian, the
half that is there when the residuals are small, and none of its costs; with large mu a short step down the gradient.
It is for networks of up to some thousand weights with a squared error, where a very low training loss is wanted. For
other losses J^T J is the generalised Gauss-Newton matrix J^T H_loss J, and J^T r the gradient.

"factors" tries a smaller mu after every success, so near the smallest mu that works every second attempt fails, and a
step that hardly lowers the loss is taken like any other. "gain" compares the fall of the loss with the one that the
quadratic promised: mu falls where they agree, stays where half of it came, and grows where little did. Its own factors
are increase=2, decrease=1/3.

One step goes on until it has found a lower loss. `stuck` says that mu has passed max_mu; it then stays so. The system
is solved by Cholesky factors; an attempt for which J^T J + mu I is not positive definite to rounding has failed.

Deviations. The loss is averaged over the rows, and so is J^T J, so mu means the same for any number of rows. mu does
not fall below 1e-20, or rounding to 0 could not be undone.

Source: Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters"; Nielsen 1999, "Damping
parameter in Marquardt's method", equation 2.4, for "gain";
Hagan and Menhaj 1994, "Training feedforward networks with the Marquardt algorithm", for networks and the factors;
Schraudolph 2002 for other losses.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Bool, Float

from axonic.errors import InputError
from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, scalar
from axonic.specs import Number, spec, static
from axonic.types import Params

DAMPINGS = ("factors", "gain")
MIN_MU = 1e-20


class LevenbergMarquardtState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : a step has been taken.
    mu : damping of the next attempt.
    """

    known: Bool[Any, ""]
    mu: Float[Any, ""]


@spec
class LevenbergMarquardt(Optimizer):
    """Levenberg-Marquardt.

    Parameters
    ----------
    mu : damping of the first step, positive.
    increase, decrease : factors of mu after an attempt that failed, above 1, and one that succeeded, in (0, 1).
    max_mu : where to give up.
    damping : "factors" or "gain", see the module.

    Raises
    ------
    InputError : an unknown damping.
    """

    mu: Number = 1e-3
    increase: Number = 10.0
    decrease: Number = 0.1
    max_mu: Number = 1e10
    damping: str = static(default="factors")

    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30
    max_weights: ClassVar[int | None] = 3000
    instead: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        if self.damping not in DAMPINGS:
            raise InputError(f"unknown damping {self.damping!r}", f"use one of {', '.join(DAMPINGS)}")

    def init(self, params: Params) -> LevenbergMarquardtState:
        dtype = jax.tree.leaves(params)[0].dtype
        return LevenbergMarquardtState(np.bool_(False), np.zeros((), dtype))

    def step(
        self, objective: ObjectiveLike, params: Params, state: LevenbergMarquardtState
    ) -> tuple[Params, LevenbergMarquardtState, StepInfo]:
        w, function = flat(objective, params)
        value, g, matrix = function.value_grad_and_gauss_newton(w)
        increase, decrease, max_mu = (scalar(v, w) for v in (self.increase, self.decrease, self.max_mu))
        one = jnp.eye(len(w), dtype=w.dtype)

        def attempt(carry: tuple) -> tuple:
            mu, increase, _, _ = carry
            factor = jax.scipy.linalg.cho_factor(matrix + mu * one)
            d = -jax.scipy.linalg.cho_solve(factor, g)
            fall = value.total - function.value(w + d).total
            better = fall > 0
            if self.damping == "gain":
                rho = fall / (0.5 * d @ (mu * d - g))
                share, following = jnp.maximum(decrease, 1 - (2 * rho - 1) ** 3), 2 * increase
            else:
                share, following = decrease, increase
            return jnp.where(better, jnp.maximum(mu * share, MIN_MU), mu * increase), following, better, w + d

        def unfinished(carry: tuple) -> Any:
            mu, _, better, _ = carry
            return ~better & (mu <= max_mu)

        mu = jnp.where(state.known, state.mu, scalar(self.mu, w))
        mu, _, better, new_w = jax.lax.while_loop(unfinished, attempt, (mu, increase, jnp.asarray(False), w))
        new_w = jnp.where(better, new_w, w)
        following = LevenbergMarquardtState(jnp.asarray(True), mu)
        return function.unravel(new_w), following, StepInfo(value, function.unravel(g), stuck=~better)
