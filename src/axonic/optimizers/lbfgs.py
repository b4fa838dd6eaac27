"""L-BFGS: Newton's direction from the last few steps.

    alpha = R^-1 S g                                                       the two-loop recursion in matrices
    c = R^-T (D alpha + gamma (Y Y^T alpha - Y g))                         gamma = s . y / y . y of the newest pair
    p = -(gamma (g - Y^T alpha) + S^T c),    w <- w + t p                  t from a strong Wolfe search
    s = t p,   y = g(w + s) - g(w)

s and y of the last `memory` steps, the rows of S and Y, oldest first, say how the gradient changed along them; p is
-H^-1 g for the H that agrees with them and is 1 / gamma elsewhere. R is the upper triangle of S Y^T, D its diagonal.

The recursion itself goes through the pairs one by one:

    newest first:   alpha_i = s_i . q / s_i . y_i,                q <- q - alpha_i y_i,     q = g before the first
    oldest first:   c_i = alpha_i - y_i . r / s_i . y_i,          r <- r + c_i s_i,         r = gamma q before the first

Put s_i . q = s_i . g - sum_{j > i} alpha_j s_i . y_j into the first line and y_i . r = gamma y_i . q + sum_{j < i}
c_j s_j . y_i into the second, and they read R alpha = S g and R^T c = D alpha - gamma Y q with q = g - Y^T alpha.

R and Y Y^T are carried on, and so are S g and Y g: since y is the change of g, the products of the pairs with y, which
are the new columns of both, are the changes of S g and Y g. A step thus goes through the pairs twice, once for p and
once for the products with the new g; the recursion has some forty products of short vectors, each a call of its own.

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

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float, Int

from axonic.errors import InputError
from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, inner, n_weights
from axonic.optimizers.line_search import no_value, strong_wolfe, unless
from axonic.specs import Number, spec, static
from axonic.types import Params, Value


class LBFGSState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : `value`, `g` and `along` are those of the current weights.
    value, g : the objective and its gradient, (n,).
    pairs : s and y of each pair, one row after the other, (2 memory, n), in a ring.
    along : S g and Y g, (2, memory), in the ring's order.
    oldest : which pair of the ring is the oldest, which the next one replaces.
    r : s_i . y_j for i <= j, (memory, memory), the oldest pair first; its diagonal is 0 where there is none.
    yy : y_i . y_j, (memory, memory), the oldest pair first.
    gamma : s . y / y . y of the newest pair, 1 where there is none.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    pairs: Float[Any, "2*memory n"]
    along: Float[Any, "2 memory"]
    oldest: Int[Any, ""]
    r: Float[Any, "memory memory"]
    yy: Float[Any, "memory memory"]
    gamma: Float[Any, ""]


@spec
class LBFGS(Optimizer):
    """L-BFGS.

    Parameters
    ----------
    c1, c2 : constants of the line search, 0 < c1 < c2 < 1.
    max_evaluations : the most gradients one search may evaluate, at least 1.
    memory : pairs kept, at least 1.

    Raises
    ------
    InputError : an impossible memory or constant.
    """

    c1: Number = 1e-4
    c2: Number = 0.9
    max_evaluations: Number = 20
    memory: int = static(default=10)

    ranges: ClassVar[Mapping[str, str]] = {"c1": "(0, 1)", "c2": "(c1, 1)", "max_evaluations": "[1, inf)"}
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.memory, int) and self.memory >= 1):
            raise InputError(f"memory = {self.memory!r} is impossible", "give a whole number of at least 1")

    def init(self, params: Params) -> LBFGSState:
        n, m, dtype = n_weights(params), self.memory, jax.tree.leaves(params)[0].dtype
        pairs, along, between = (np.zeros(shape, dtype) for shape in ((2 * m, n), (2, m), (m, m)))
        one = np.ones((), dtype)
        return LBFGSState(np.bool_(False), no_value(dtype), pairs[0], pairs, along, np.int32(0), between, between, one)

    def step(self, objective: ObjectiveLike, params: Params, state: LBFGSState) -> tuple[Params, LBFGSState, StepInfo]:
        w, function = flat(objective, params)
        state = jax.tree.map(jnp.asarray, state)
        value, g = unless(state.known, function.value_and_grad, w, (state.value, state.g))
        empty = state.r[-1, -1] == 0

        p = _direction(state, g)
        first = jnp.where(empty, jnp.minimum(1, 1 / jnp.sqrt(inner(g, g))), 1)
        search = strong_wolfe(function, w, p, value, g, first, self.c1, self.c2, self.max_evaluations)

        following = _with_pair(state, search.t * p, g, search.g)
        following = following._replace(
            known=jnp.asarray(True),
            value=search.value,
            r=jnp.where(search.failed, 0, following.r),
            gamma=jnp.where(search.failed, 1, following.gamma),
        )
        info = StepInfo(value, function.unravel(g), search.evaluations + ~state.known, search.failed & empty)
        return function.unravel(w + search.t * p), following, info


def _direction(state: LBFGSState, g: Float[Array, " n"]) -> Float[Array, " n"]:
    """p. Where there is no pair, R has a row of the unit matrix, and alpha and c are 0."""
    d = jnp.diag(state.r)
    held = d > 0
    r = jnp.where(held[:, None], state.r, jnp.eye(len(d), dtype=d.dtype))
    s_g, y_g = jnp.where(held, jnp.roll(state.along, -state.oldest, axis=1), 0)
    alpha = solve_triangular(r, s_g)
    c = solve_triangular(r, jnp.where(held, d * alpha + state.gamma * (state.yy @ alpha - y_g), 0), trans=1)
    shares = jnp.roll(jnp.stack([c, -state.gamma * alpha]), state.oldest, axis=1)
    return -(state.gamma * g + shares.T.ravel() @ state.pairs)


def _with_pair(
    state: LBFGSState, s: Float[Array, " n"], before: Float[Array, " n"], g: Float[Array, " n"]
) -> LBFGSState:
    """The state at the new gradient g, with the pair (s, g - before) in place of the oldest unless s . y is too
    small."""
    y = g - before
    sy, yy = inner(s, y), inner(y, y)
    stored = sy > jnp.finfo(g.dtype).eps * jnp.abs(inner(s, before))
    place = (2 * state.oldest, jnp.zeros_like(state.oldest))
    old = jax.lax.dynamic_slice(state.pairs, place, (2, len(g)))
    pair = jnp.where(stored, jnp.stack([s, y]), old)
    pairs = jax.lax.dynamic_update_slice(state.pairs, pair, place)  # in place, as nothing later reads the old ones
    along = (pairs @ g).reshape(-1, 2).T
    s_y, y_y = jnp.roll(along - state.along, -state.oldest, axis=1)[:, 1:]  # of the other pairs with y
    r, between = (jnp.pad(matrix[1:, 1:], ((0, 1), (0, 1))) for matrix in (state.r, state.yy))
    column = jnp.append(y_y, yy)
    return state._replace(
        g=g,
        pairs=pairs,
        along=along,
        oldest=jnp.where(stored, (state.oldest + 1) % len(r), state.oldest),
        r=jnp.where(stored, r.at[:, -1].set(jnp.append(s_y, sy)), state.r),
        yy=jnp.where(stored, between.at[:, -1].set(column).at[-1].set(column), state.yy),
        gamma=jnp.where(stored, sy / yy, state.gamma),
    )
