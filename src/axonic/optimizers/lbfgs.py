"""L-BFGS: Newton's direction from the last few steps.

    alpha = R^-1 S g,      q = g - Y^T alpha                               the two-loop recursion in matrices
    c = R^-T (D alpha - gamma Y q)                                         gamma = s . y / y . y of the newest pair
    p = -(gamma q + S^T c),    w <- w + t p                                t from a strong Wolfe search
    s = t p,   y = g(w + s) - g(w)

s and y of the last `memory` steps, the rows of S and Y, oldest first, say how the gradient changed along them; p is
-H^-1 g for the H that agrees with them and is 1 / gamma elsewhere. R is the upper triangle of S Y^T, D its diagonal.

The recursion itself goes through the pairs one by one:

    newest first:   alpha_i = s_i . q / s_i . y_i,                q <- q - alpha_i y_i,     q = g before the first
    oldest first:   c_i = alpha_i - y_i . r / s_i . y_i,          r <- r + c_i s_i,         r = gamma q before the first

Put s_i . q = s_i . g - sum_{j > i} alpha_j s_i . y_j into the first line and y_i . r = gamma y_i . q + sum_{j < i}
c_j s_j . y_i into the second, and they read R alpha = S g and R^T c = D alpha - gamma Y q. A step adds one column,
S y, to R. These are five products of a matrix with a vector, where the recursion has some forty of short vectors, each
a call of its own (20 us in place of 210 for 6,209 weights and ten pairs).

A step costs O(memory n) and mostly one gradient. Use it on up to some ten thousand rows (each step sees them all)
where Newton and Levenberg-Marquardt have too many weights; it is the first rule to try.

The search starts at t = 1, and at min(1, 1/|g|) while there are no pairs. Value and gradient at the accepted point are
kept, so a step costs what its search costs; the very first one gradient more. The objective must therefore be the same
at every step: all rows, no dropout. A pair whose s . y is not above rounding, eps |s . g|, is not stored (what SciPy
does). A search that fails empties the memory, so the next step goes down the gradient; if that fails too, `stuck`.

Source: Nocedal 1980, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35; Nocedal and Wright,
Numerical Optimization, 2nd edition, algorithms 7.4 and 7.5, equation 7.20 for gamma; Byrd, Nocedal and Schnabel 1994,
"Representations of quasi-Newton matrices and their use in limited memory methods", theorem 2.2, for R and D.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, n_weights
from axonic.optimizers.line_search import no_value, strong_wolfe, unless
from axonic.specs import Number, spec, static
from axonic.types import Params, Value


class LBFGSState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : `value` and `g` are those of the current weights.
    value, g : the objective and its gradient, (n,).
    s, y : steps and changes of the gradient, (memory, n), in a ring.
    oldest : where in the ring the oldest pair is, which the next one replaces.
    r : s_i . y_j for i <= j, (memory, memory), the oldest pair first; its diagonal is 0 where there is none.
    gamma : s . y / y . y of the newest pair, 1 where there is none.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    s: Float[Any, "memory n"]
    y: Float[Any, "memory n"]
    oldest: Int[Any, ""]
    r: Float[Any, "memory memory"]
    gamma: Float[Any, ""]


@spec
class LBFGS(Optimizer):
    """L-BFGS.

    Parameters
    ----------
    c1, c2 : constants of the line search, 0 < c1 < c2 < 1.
    max_evaluations : the most gradients one search may evaluate.
    memory : pairs kept, at least 1.
    """

    c1: Number = 1e-4
    c2: Number = 0.9
    max_evaluations: Number = 20
    memory: int = static(default=10)

    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30

    def init(self, params: Params) -> LBFGSState:
        n, dtype = n_weights(params), jax.tree.leaves(params)[0].dtype
        vector, pairs = np.zeros(n, dtype), np.zeros((self.memory, n), dtype)
        r = np.zeros((self.memory, self.memory), dtype)
        return LBFGSState(np.bool_(False), no_value(dtype), vector, pairs, pairs, np.int32(0), r, np.ones((), dtype))

    def step(self, objective: ObjectiveLike, params: Params, state: LBFGSState) -> tuple[Params, LBFGSState, StepInfo]:
        w, function = flat(objective, params)
        state = jax.tree.map(jnp.asarray, state)
        value, g = unless(state.known, function.value_and_grad, w, (state.value, state.g))
        empty = state.r[-1, -1] == 0

        p = -_times_inverse(state, g)
        first = jnp.where(empty, jnp.minimum(1, 1 / jnp.linalg.norm(g)), 1)
        search = strong_wolfe(function, w, p, value, g, first, self.c1, self.c2, self.max_evaluations)

        following = _with_pair(state, search.t * p, search.g - g, g)
        following = following._replace(
            known=jnp.asarray(True),
            value=search.value,
            g=search.g,
            r=jnp.where(search.failed, 0, following.r),
            gamma=jnp.where(search.failed, 1, following.gamma),
        )
        info = StepInfo(value, function.unravel(g), search.evaluations + ~state.known, search.failed & empty)
        return function.unravel(w + search.t * p), following, info


def _times_inverse(state: LBFGSState, g: Float[Array, " n"]) -> Float[Array, " n"]:
    """H^-1 g. Where there is no pair, R has a row of the unit matrix, and alpha and c are 0."""
    _, _, _, s, y, oldest, r, gamma = state
    from_ring, to_ring = (lambda v: jnp.roll(v, -oldest)), (lambda v: jnp.roll(v, oldest))
    d = jnp.diag(r)
    held = d > 0
    r = jnp.where(held[:, None], r, jnp.eye(len(d), dtype=d.dtype))
    alpha = solve_triangular(r, jnp.where(held, from_ring(s @ g), 0))
    q = g - to_ring(alpha) @ y
    c = solve_triangular(r, jnp.where(held, d * alpha - gamma * from_ring(y @ q), 0), trans=1)
    return gamma * q + to_ring(c) @ s


def _with_pair(state: LBFGSState, s: Float[Array, " n"], y: Float[Array, " n"], g: Float[Array, " n"]) -> LBFGSState:
    """The state with the pair (s, y) in place of the oldest, or as it was if s . y is too small."""
    _, _, _, steps, changes, oldest, r, gamma = state
    sy = s @ y
    stored = sy > jnp.finfo(g.dtype).eps * jnp.abs(s @ g)
    column = jnp.append(jnp.roll(steps @ y, -oldest)[1:], sy)
    shifted = jnp.pad(r[1:, 1:], ((0, 1), (0, 1))).at[:, -1].set(column)
    return state._replace(
        s=steps.at[oldest].set(jnp.where(stored, s, steps[oldest])),  # one row, where a selection would copy them all
        y=changes.at[oldest].set(jnp.where(stored, y, changes[oldest])),
        oldest=jnp.where(stored, (oldest + 1) % len(steps), oldest),
        r=jnp.where(stored, shifted, r),
        gamma=jnp.where(stored, sy / (y @ y), gamma),
    )
