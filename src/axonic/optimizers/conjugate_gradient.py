"""Nonlinear conjugate gradients.

    w <- w + t p                  t from a strong Wolfe search
    y = g' - g                    g' the gradient at the new w
    p <- -g' + beta p

    fletcher_reeves     beta = g'.g' / g.g
    polak_ribiere       beta = max(0, g'.y / g.g)         the form PR+
    hestenes_stiefel    beta = max(0, g'.y / p.y)
    dai_yuan            beta = g'.g' / p.y

On a quadratic with exact searches the four are the same, and n steps reach the minimum. Elsewhere Polak-Ribiere+ is the
one to use: after a bad step y is small and so is beta, so that it starts afresh by itself; Fletcher-Reeves and Dai-Yuan
go on in a bad direction. It keeps three vectors, so it suits networks for which even the pairs of L-BFGS are too much;
otherwise L-BFGS needs fewer gradients.

The direction becomes -g' again when the last two gradients are far from orthogonal, |g'.g| >= restart |g'|^2 (Powell's
test), or when p is hardly one of descent, p.g' > -0.01 |g'|^2. restart = 0.2 is worth having on an ill-conditioned
quadratic (1,645 gradients against 1,978 without) and for Fletcher-Reeves; on the other test functions Polak-Ribiere+ is
better off with infinity, no such test, as SciPy (848 gradients against 945; Wood's function 115 against 225).

The first t tried is the one for which the loss would fall as much as in the step before, 2.02 (L - L_before) / phi'(0)
but at most 1; the search is that of L-BFGS with c2 = 0.4. Value and gradient at the accepted point are kept, so the
objective must be the same at every step. A search that fails makes the next direction -g; if that fails too, `stuck`.

Deviations. SciPy searches again where p is not a direction of sufficient descent; here p is replaced by -g'.

Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 5.4, equations 5.41a (FR), 5.44 and 5.45
(PR+), 5.46 (HS), 5.49 (DY), 5.52 (Powell's test), 3.60 (first step); Gilbert and Nocedal 1992 for PR+ and the test of
descent.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, inner, n_weights, one_of, scalar
from axonic.optimizers.line_search import no_value, strong_wolfe, unless
from axonic.specs import Number, spec, static
from axonic.types import Params, Value

FORMULAS = {
    "polak_ribiere": lambda g, new, p, y: jnp.maximum(0, inner(new, y) / inner(g, g)),
    "fletcher_reeves": lambda g, new, p, y: inner(new, new) / inner(g, g),
    "hestenes_stiefel": lambda g, new, p, y: jnp.maximum(0, inner(new, y) / inner(p, y)),
    "dai_yuan": lambda g, new, p, y: inner(new, new) / inner(p, y),
}
DESCENT = 0.01


class ConjugateGradientState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : the rest is that of the current weights.
    value, g : the objective and its gradient, (n,).
    p : the direction of the next step, (n,).
    before : the objective one step before.
    steepest : p is -g.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    p: Float[Any, " n"]
    before: Float[Any, ""]
    steepest: Bool[Any, ""]


@spec
class ConjugateGradient(Optimizer):
    """Conjugate gradients.

    Parameters
    ----------
    c1, c2 : constants of the line search, 0 < c1 < c2 < 1; below 1/2 for Fletcher-Reeves.
    restart : Powell's threshold, positive; infinity for no such test.
    max_evaluations : the most gradients one search may evaluate, at least 1.
    formula : of beta, see the module.
    """

    c1: Number = 1e-4
    c2: Number = 0.4
    restart: Number = 0.2
    max_evaluations: Number = 40
    formula: str = static(default="polak_ribiere")

    ranges: ClassVar[Mapping[str, str]] = {
        "c1": "(0, 1)",
        "c2": "(c1, 1)",
        "restart": "(0, inf]",
        "max_evaluations": "[1, inf)",
    }
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("formula", self.formula, FORMULAS)

    def init(self, params: Params) -> ConjugateGradientState:
        dtype = jax.tree.leaves(params)[0].dtype
        zero, vector = np.zeros((), dtype), np.zeros(n_weights(params), dtype)
        return ConjugateGradientState(np.bool_(False), no_value(dtype), vector, vector, zero, np.bool_(True))

    def step(
        self, objective: ObjectiveLike, params: Params, state: ConjugateGradientState
    ) -> tuple[Params, ConjugateGradientState, StepInfo]:
        w, function = flat(objective, params)

        def begin(w: Float[Array, " n"]) -> ConjugateGradientState:
            value, g = function.value_and_grad(w)
            before = value.total + jnp.linalg.norm(g) / 2  # the first step tried is about 1 long
            return ConjugateGradientState(jnp.asarray(True), value, g, -g, before, jnp.asarray(True))

        _, value, g, p, before, steepest = unless(state.known, begin, w, state)

        guess = 1.01 * 2 * (value.total - before) / inner(g, p)
        first = jnp.where(guess > 0, jnp.minimum(1, guess), 1)
        eps = float(jnp.finfo(w.dtype).eps)
        search = strong_wolfe(function, w, p, value, g, first, self.c1, self.c2, self.max_evaluations, xtol=eps)

        new = search.g
        direction = -new + FORMULAS[self.formula](g, new, p, new - g) * p
        far_from_orthogonal = jnp.abs(inner(new, g)) >= scalar(self.restart, w) * inner(new, new)
        descends = inner(direction, new) <= -DESCENT * inner(new, new)  # not where beta is NaN
        afresh = search.failed | far_from_orthogonal | ~descends
        direction = jnp.where(afresh, -new, direction)

        info = StepInfo(
            value, function.unravel(g), search.evaluations + ~jnp.asarray(state.known), search.failed & steepest
        )
        following = ConjugateGradientState(
            jnp.asarray(True), search.value, new, direction, jnp.where(search.failed, before, value.total), afresh
        )
        return function.unravel(w + search.t * p), following, info
