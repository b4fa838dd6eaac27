"""Levenberg-Marquardt.

    (J^T J + mu D^2) d = -J^T r

    damping="trust_region"     D the largest norms so far of the columns of J, at least 1; mu such that |D d| <= Delta
        rho = (L(w) - L(w + d)) / (1/2 |J d|^2 + mu |D d|^2)       the fall of the loss over the one promised
        if rho >= 1e-4:   w <- w + d,  else again with the new Delta
        rho <= 1/4:       Delta <- Delta times 1/10 to 1/2
        rho >= 3/4, or the whole Gauss-Newton step and rho > 1/4:      Delta <- 2 |D d|

    damping="factors"          D = 1
        if L(w + d) < L(w):   w <- w + d,  mu <- decrease mu
        else:                 mu <- increase mu, and again, until mu > max_mu

r is the vector of residuals, J = dr/dw. With small mu it is the Gauss-Newton step, which uses half of the Hessian, the
half that is there when the residuals are small, and none of its costs; with large mu a short step down the gradient.
It is for networks of up to some thousand weights with a squared error, where a very low training loss is wanted. For
other losses J^T J is the generalised Gauss-Newton matrix J^T H_loss J, and J^T r the gradient.

"factors" is the form of the textbooks on networks. It tries a smaller mu after every success, so near the smallest mu
that works every second attempt fails, and a step that hardly lowers the loss is taken like any other. "trust_region"
knows how far the last quadratic held, and D allows for unknowns in units of their own.

The length of D d falls as mu grows, and with e = D d, A = D^-1 J^T J D^-1 and A + mu I = C C^T the equation
1 / |e| = 1 / Delta is nearly linear in mu: Newton's step for it is

    mu <- mu + (|e| / Delta - 1) |e|^2 / |C^-1 e|^2

It goes on until |e| is within a tenth of Delta, or mu is so small that it is rounding in A; with a new Delta, and the
next A, it begins where the same equation leads from the last factor. When a step falls short, Delta shrinks to the
minimum of the parabola through both losses and the slope.

One step goes on until it has found a lower loss. `stuck` says that there is none: Delta, and so any step, has become
rounding in the weights ("trust_region"), or mu has passed max_mu ("factors"); it then stays so. The system is solved by
Cholesky factors; where the matrix is not positive definite to rounding, mu is raised tenfold.

Deviations. MINPACK's D is 1 for columns of 0 alone. In networks the columns of saturated units are nearly 0, and with
such a D one step may run far out, where all is flat: on two networks of `benchmarks/matlab.py` 6 and 7 of 12 starts
reached the goal, with at least 1 it is 12 and 11. Where a loss is paired with an output that it does not match, the
curvature may be negative; the norm of such a column counts as 0. The loss is averaged over the rows, and J^T J too, so
mu means the same for any number of rows. MINPACK factors J, not J^T J, and so gets along with mu = 0 where columns are
nearly dependent; here mu is at least n eps (A has at most ones on its diagonal), or 1e-20 ("factors", where rounding to
0 could not be undone).

Source: Levenberg 1944; Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters"; More 1978,
"The Levenberg-Marquardt algorithm: implementation and theory", and MINPACK's lmder and lmpar, for "trust_region";
Hagan and Menhaj 1994, "Training feedforward networks with the Marquardt algorithm", for networks and the factors;
Schraudolph 2002 for other losses.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from axonic.optimizers.base import Flat, ObjectiveLike, Optimizer, StepInfo, flat, n_weights, one_of, scalar
from axonic.specs import Number, spec, static
from axonic.types import Params

DAMPINGS = ("trust_region", "factors")
MIN_MU = 1e-20
GOOD_ENOUGH = 1e-4
FACTORISATIONS = 10
ATTEMPTS = 1000


class LevenbergMarquardtState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : a step has been taken.
    mu : damping of the next attempt.
    radius : Delta.
    scale : the diagonal of D, (n,).
    """

    known: Bool[Any, ""]
    mu: Float[Any, ""]
    radius: Float[Any, ""]
    scale: Float[Any, " n"]


@spec
class LevenbergMarquardt(Optimizer):
    """Levenberg-Marquardt.

    Parameters
    ----------
    mu : damping of the first step, positive; only where the search for mu begins in "trust_region".
    radius : the first Delta over |D w|, positive ("trust_region").
    increase, decrease : factors of mu after an attempt that failed, above 1, and one that succeeded, in (0, 1)
        ("factors").
    max_mu : where to give up, positive ("factors").
    damping : "trust_region" or "factors", see the module.

    Raises
    ------
    InputError : an unknown damping, or a number out of its range.
    """

    mu: Number = 1e-3
    increase: Number = 10.0
    decrease: Number = 0.1
    max_mu: Number = 1e10
    radius: Number = 100.0
    damping: str = static(default="trust_region")

    ranges: ClassVar[Mapping[str, str]] = {
        "mu": "(0, inf)",
        "increase": "(1, inf)",
        "decrease": "(0, 1)",
        "max_mu": "(0, inf)",
        "radius": "(0, inf)",
    }
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30
    max_weights: ClassVar[int | None] = 3000
    instead: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("damping", self.damping, DAMPINGS)

    def init(self, params: Params) -> LevenbergMarquardtState:
        dtype = jax.tree.leaves(params)[0].dtype
        zero = np.zeros((), dtype)
        return LevenbergMarquardtState(np.bool_(False), zero, zero, np.ones(n_weights(params), dtype))

    def step(
        self, objective: ObjectiveLike, params: Params, state: LevenbergMarquardtState
    ) -> tuple[Params, LevenbergMarquardtState, StepInfo]:
        w, function = flat(objective, params)
        value, g, matrix = function.value_grad_and_gauss_newton(w)
        state = state._replace(mu=jnp.where(state.known, state.mu, scalar(self.mu, w)))
        form = self._in_trust_region if self.damping == "trust_region" else self._by_factors
        new_w, following, better = form(function, w, value.total, g, matrix, state)
        new_w = jnp.where(better, new_w, w)
        following = following._replace(known=jnp.asarray(True))
        return function.unravel(new_w), following, StepInfo(value, function.unravel(g), stuck=~better)

    def _by_factors(
        self, function: Flat, w: Array, loss: Array, g: Array, matrix: Array, state: LevenbergMarquardtState
    ) -> tuple[Array, LevenbergMarquardtState, Array]:
        """(new w, state, whether it is better)."""
        increase, decrease, max_mu = (scalar(v, w) for v in (self.increase, self.decrease, self.max_mu))
        one = jnp.eye(len(w), dtype=w.dtype)

        def attempt(carry: tuple) -> tuple:
            mu, _, _, k = carry
            new_w = w - cho_solve(cho_factor(matrix + mu * one), g)
            better = function.value(new_w).total < loss
            return jnp.where(better, jnp.maximum(mu * decrease, MIN_MU), mu * increase), better, new_w, k + 1

        def unfinished(carry: tuple) -> Any:
            mu, better, _, k = carry
            return ~better & (mu <= max_mu) & (k < ATTEMPTS)

        mu, better, new_w, _ = jax.lax.while_loop(unfinished, attempt, (state.mu, jnp.asarray(False), w, 0))
        return new_w, state._replace(mu=mu), better

    def _in_trust_region(
        self, function: Flat, w: Array, loss: Array, g: Array, matrix: Array, state: LevenbergMarquardtState
    ) -> tuple[Array, LevenbergMarquardtState, Array]:
        """(new w, state, whether it is better)."""
        scale = jnp.maximum(state.scale, jnp.sqrt(jnp.maximum(jnp.diag(matrix), 0)))
        a, b = matrix / jnp.outer(scale, scale), g / scale
        size = jnp.linalg.norm(scale * w)
        first = scalar(self.radius, w) * jnp.where(size == 0, 1, size)
        smallest = jnp.finfo(w.dtype).eps * size

        def attempt(carry: tuple) -> tuple:
            mu, radius, known, _, _ = carry
            mu, e, rate, whole = _step_of_length(a, b, mu, radius)
            length, slope = jnp.linalg.norm(e), b @ e
            radius = jnp.where(known, radius, jnp.minimum(radius, length))
            new_w = w + e / scale
            fall = loss - function.value(new_w).total
            rho = fall / (0.5 * (mu * length**2 - slope))
            parabola = jnp.clip(0.5 * slope / (slope + fall), 0.1, 0.5)
            shrink = jnp.where(fall >= 0, 0.5, jnp.where(jnp.isfinite(parabola), parabola, 0.1))
            good, poor = (rho >= 0.75) | (whole & (rho > 0.25)), ~(rho > 0.25)
            radius = jnp.where(good, 2 * length, jnp.where(poor, shrink * jnp.minimum(radius, 10 * length), radius))
            following = mu + (length / radius - 1) * rate  # 0 / 0 where there is no way to go
            mu = jnp.where(jnp.isfinite(following), jnp.maximum(following, 0), mu)
            return mu, radius, jnp.asarray(True), rho >= GOOD_ENOUGH, new_w

        def unfinished(carry: tuple) -> Any:
            _, radius, _, better, _ = carry
            return ~better & (radius > smallest)

        radius = jnp.where(state.known, state.radius, first)
        carry = (state.mu, radius, jnp.asarray(state.known), jnp.asarray(False), w)
        mu, radius, _, better, new_w = jax.lax.while_loop(unfinished, attempt, carry)
        return new_w, state._replace(mu=mu, radius=radius, scale=scale), better


def _step_of_length(
    a: Float[Array, "n n"], b: Float[Array, " n"], mu: Float[Array, ""], radius: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, " n"], Float[Array, ""], Bool[Array, ""]]:
    """(mu, e, rate, whole) with (A + mu I) e = -b and |e| = radius to a tenth; the rate is |e|^2 / |C^-1 e|^2, and
    `whole` says that e is shorter with the least mu."""
    one = jnp.eye(len(b), dtype=b.dtype)

    def solve(carry: tuple) -> tuple:
        following, least, low, high, *_, k = carry
        mu = jnp.maximum(jnp.clip(following, low, high), least)
        c, _ = cho_factor(a + mu * one, lower=True)
        e = -cho_solve((c, True), b)
        length = jnp.linalg.norm(e)
        excess = length / radius - 1
        definite = jnp.isfinite(length)
        rate = length**2 / jnp.sum(solve_triangular(c, e, lower=True) ** 2)
        newton = mu + excess * rate
        least = jnp.where(definite, least, 10 * mu)
        low, high = jnp.where(excess > 0, mu, low), jnp.where(excess < 0, mu, high)
        whole = (mu <= least) & (excess < 0.1)
        done = whole | (jnp.abs(excess) <= 0.1)
        following = jnp.where(definite, newton, least)
        return following, least, low, high, mu, e, rate, whole, done, jnp.where(definite, k + 1, k)

    def unfinished(carry: tuple) -> Any:
        _, least, *_, done, k = carry
        return ~done & (k < FACTORISATIONS) & (least < len(b))

    no = jnp.asarray(False)
    least = jnp.asarray(len(b) * jnp.finfo(b.dtype).eps, b.dtype)
    high = jnp.linalg.norm(b) / radius
    carry = (mu, least, jnp.zeros_like(mu), high, mu, b, mu, no, no, 0)
    *_, mu, e, rate, whole, _, _ = jax.lax.while_loop(unfinished, solve, carry)
    return mu, e, rate, whole
