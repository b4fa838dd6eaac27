"""L-BFGS: Newton's direction from the last few steps.

    q = g                                                                  the two-loop recursion
    for the pairs (s, y), newest first:   alpha = rho s . q,   q <- q - alpha y        rho = 1 / (s . y)
    r = gamma q                                                            gamma = s . y / y . y of the newest pair
    for the pairs, oldest first:          beta = rho y . r,    r <- r + (alpha - beta) s
    p = -r,    w <- w + t p                                                t from a strong Wolfe search
    s = t p,   y = g(w + s) - g(w)

s and y of the last `memory` steps say how the gradient changed along them; p is -H^-1 g for the H that agrees with
them and is 1 / gamma elsewhere. A step costs O(memory n) and mostly one gradient. Use it on up to some ten thousand
rows (each step sees them all) where Newton and Levenberg-Marquardt have too many weights; it is the first rule to try.

The search starts at t = 1, and at min(1, 1/|g|) while there are no pairs. Value and gradient at the accepted point are
kept, so a step costs what its search costs; the very first one gradient more. The objective must therefore be the same
at every step: all rows, no dropout. A pair whose s . y is not above rounding, eps |s . g|, is not stored (what SciPy
does). A search that fails empties the memory, so the next step goes down the gradient; if that fails too, `stuck`.

Source: Nocedal 1980, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35; Nocedal and Wright,
Numerical Optimization, 2nd edition, algorithms 7.4 and 7.5, equation 7.20 for gamma.
"""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

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
    s, y : steps and changes of the gradient, (memory, n), the newest last; 0 where there is none.
    rho : 1 / (s . y) of each pair, (memory,); 0 where there is none.
    gamma : s . y / y . y of the newest pair.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    s: Float[Any, "memory n"]
    y: Float[Any, "memory n"]
    rho: Float[Any, " memory"]
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
        pairs = np.zeros((self.memory, n), dtype)
        none = np.zeros(self.memory, dtype)
        return LBFGSState(np.bool_(False), no_value(dtype), np.zeros(n, dtype), pairs, pairs, none, np.ones((), dtype))

    def step(self, objective: ObjectiveLike, params: Params, state: LBFGSState) -> tuple[Params, LBFGSState, StepInfo]:
        w, function = flat(objective, params)
        value, g = unless(state.known, lambda: function.value_and_grad(w), (state.value, state.g))
        empty = state.rho[-1] == 0

        p = -_times_inverse(state, g)
        first = jnp.where(empty, jnp.minimum(1, 1 / jnp.linalg.norm(g)), 1)
        search = strong_wolfe(function, w, p, value, g, first, self.c1, self.c2, self.max_evaluations)

        following = _with_pair(state, search.t * p, search.g - g, g)
        forgotten = following._replace(rho=jnp.zeros_like(state.rho), gamma=jnp.ones_like(state.gamma))
        following = jax.tree.map(lambda a, b: jnp.where(search.failed, a, b), forgotten, following)
        following = following._replace(known=jnp.asarray(True), value=search.value, g=search.g)
        info = StepInfo(
            value, function.unravel(g), search.evaluations + ~jnp.asarray(state.known), search.failed & empty
        )
        return function.unravel(w + search.t * p), following, info


def _times_inverse(state: LBFGSState, g: Float[Array, " n"]) -> Float[Array, " n"]:
    """The two-loop recursion; a pair with rho = 0 changes nothing."""

    def newest_first(q: Array, pair: tuple) -> tuple[Array, Array]:
        s, y, rho = pair
        alpha = rho * (s @ q)
        return q - alpha * y, alpha

    def oldest_first(r: Array, pair: tuple) -> tuple[Array, None]:
        s, y, rho, alpha = pair
        beta = rho * (y @ r)
        return r + (alpha - beta) * s, None

    pairs = (state.s, state.y, state.rho)
    q, alpha = jax.lax.scan(newest_first, g, pairs, reverse=True)
    r, _ = jax.lax.scan(oldest_first, state.gamma * q, (*pairs, alpha))
    return r


def _with_pair(state: LBFGSState, s: Float[Array, " n"], y: Float[Array, " n"], g: Float[Array, " n"]) -> LBFGSState:
    """The state with the pair (s, y) in place of the oldest, or as it was if s . y is too small."""
    sy = s @ y
    stored = sy > jnp.finfo(g.dtype).eps * jnp.abs(s @ g)
    shifted = state._replace(
        s=jnp.concatenate([state.s[1:], s[None]]),
        y=jnp.concatenate([state.y[1:], y[None]]),
        rho=jnp.concatenate([state.rho[1:], 1 / sy[None]]),
        gamma=sy / (y @ y),
    )
    return jax.tree.map(lambda a, b: jnp.where(stored, a, b), shifted, state)
