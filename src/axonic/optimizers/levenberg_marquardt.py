"""Levenberg-Marquardt.

    (J^T J + mu I) d = -J^T r
    if L(w + d) < L(w):   w <- w + d,  mu <- decrease mu
    else:                 mu <- increase mu, and again, until mu > max_mu

r is the vector of residuals, J = dr/dw. With small mu it is the Gauss-Newton step, which uses half of the Hessian, the
half that is there when the residuals are small, and none of its costs; with large mu a short step down the gradient.
It is for networks of up to some thousand weights with a squared error, where a very low training loss is wanted. For
other losses J^T J is the generalised Gauss-Newton matrix J^T H_loss J, and J^T r the gradient.

One step goes on until it has found a lower loss. `stuck` says that mu has passed max_mu; it then stays so. The system
is solved by Cholesky factors; an attempt for which J^T J + mu I is not positive definite to rounding has failed.

Deviations. The loss is averaged over the rows, and so is J^T J, so mu means the same for any number of rows. mu does
not fall below 1e-20, or rounding to 0 could not be undone. Value and gradient are kept between steps, so the objective
must be the same at every one.

Source: Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters";
Hagan and Menhaj 1994, "Training feedforward networks with the Marquardt algorithm", for networks and the factors;
Schraudolph 2002 for other losses.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Bool, Float

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, n_weights, scalar
from axonic.optimizers.line_search import no_value, unless
from axonic.specs import Number, spec
from axonic.types import Params, Value

MIN_MU = 1e-20


class LevenbergMarquardtState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : the rest is that of the current weights.
    value, g : the objective and its gradient, (n,).
    mu : damping of the next attempt.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    mu: Float[Any, ""]


@spec
class LevenbergMarquardt(Optimizer):
    """Levenberg-Marquardt.

    Parameters
    ----------
    mu : damping of the first step, positive.
    increase, decrease : factors of mu after an attempt that failed, above 1, and one that succeeded, in (0, 1).
    max_mu : where to give up.
    """

    mu: Number = 1e-3
    increase: Number = 10.0
    decrease: Number = 0.1
    max_mu: Number = 1e10

    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30
    max_weights: ClassVar[int | None] = 3000
    instead: ClassVar[str] = "lbfgs"

    def init(self, params: Params) -> LevenbergMarquardtState:
        dtype, n = jax.tree.leaves(params)[0].dtype, n_weights(params)
        zero = np.zeros((), dtype)
        return LevenbergMarquardtState(np.bool_(False), no_value(dtype), np.zeros(n, dtype), zero)

    def step(
        self, objective: ObjectiveLike, params: Params, state: LevenbergMarquardtState
    ) -> tuple[Params, LevenbergMarquardtState, StepInfo]:
        w, function = flat(objective, params)

        def begin() -> tuple[Any, ...]:
            return *function.value_and_grad(w), scalar(self.mu, w)

        value, g, mu = unless(state.known, begin, (state.value, state.g, state.mu))
        increase, decrease, max_mu = (scalar(v, w) for v in (self.increase, self.decrease, self.max_mu))
        matrix = function.gauss_newton(w)
        one = jnp.eye(len(w), dtype=w.dtype)

        def attempt(carry: tuple) -> tuple:
            mu, _, n, _, _, _ = carry
            factor = jax.scipy.linalg.cho_factor(matrix + mu * one)
            new_w = w - jax.scipy.linalg.cho_solve(factor, g)
            new_value, new_g = function.value_and_grad(new_w)
            better = (new_value.total < value.total) & jnp.all(jnp.isfinite(new_g))
            new_value = Value(*(jnp.asarray(v, w.dtype) for v in new_value))
            new_mu = jnp.where(better, jnp.maximum(mu * decrease, MIN_MU), mu * increase)
            return new_mu, better, n + 1, new_w, new_value, new_g

        def unfinished(carry: tuple) -> Any:
            mu, better, *_ = carry
            return ~better & (mu <= max_mu)

        none = jnp.zeros((), jnp.int32)
        start = (mu, jnp.asarray(False), none, w, value, g)
        mu, better, n, new_w, new_value, new_g = jax.lax.while_loop(unfinished, attempt, start)
        new_w, new_value, new_g = jax.tree.map(
            lambda new, old: jnp.where(better, new, old), (new_w, new_value, new_g), (w, value, g)
        )
        info = StepInfo(value, function.unravel(g), n + ~jnp.asarray(state.known), ~better)
        following = LevenbergMarquardtState(jnp.asarray(True), new_value, new_g, mu)
        return function.unravel(new_w), following, info
