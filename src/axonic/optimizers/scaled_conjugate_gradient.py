"""Scaled conjugate gradients: the length of a step from the curvature along it, without a line search.

The numbers are those of the steps in Moller's algorithm; r = -g, lambda_ is his lambda_k and `raised` his lambda-bar_k.

    2  s = H p,  delta = p.s                                       if the step before succeeded
    3  delta <- delta + (lambda_ - raised) |p|^2
    4  if delta <= 0:  raised = 2 (lambda_ - delta / |p|^2),  delta <- -delta + lambda_ |p|^2,  lambda_ = raised
    5  mu = p.r,  alpha = mu / delta
    6  Delta = 2 delta (L(w) - L(w + alpha p)) / mu^2              1 where the loss falls as the quadratic says
    7  if Delta >= 0:  w <- w + alpha p,  r' = -g(w),  raised = 0,  and
                       p <- r' at every n-th step, else r' + beta p with beta = (|r'|^2 - r'.r) / mu
                       if Delta >= 3/4:  lambda_ <- lambda_ / 4
       else:           raised = lambda_, and w and p stay
    8  if Delta < 1/4:  lambda_ <- lambda_ + delta (1 - Delta) / |p|^2
    9  stop where r = 0

lambda_ plays the part of a trust region: it makes the curvature positive where it is not and grows when the quadratic
model was wrong. A step costs one gradient, and after a success one product with the Hessian. It was made for networks,
needs no rate and no search, and keeps three vectors.

Deviations. s is the exact product with the Hessian, so that sigma and its difference quotient are gone. Value and
gradient at w are kept between steps, so the objective must be the same at every one. `evaluations` counts a product
with the Hessian as a gradient. A loss that is not finite counts as Delta = -1. `stuck` says that alpha p is too short
to change w (or that r = 0). Where rounding has left p with p.r <= 0 it is replaced by r.

Source: Moller 1993, "A scaled conjugate gradient algorithm for fast supervised learning", Neural Networks 6, the
algorithm of section 4; Pearlmutter 1994 for the exact product.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, inner, n_weights, scalar
from axonic.optimizers.line_search import no_value, unless
from axonic.specs import Number, spec
from axonic.types import Params, Value


class ScaledConjugateGradientState(NamedTuple):
    """What the next step needs.

    Attributes
    ----------
    known : the rest is that of the current weights.
    value, g, p : the objective, its gradient and the direction, (n,).
    curved, delta : `delta` is p.H p (plus what was added) for this p.
    lambda_, raised : Moller's lambda_k and lambda-bar_k.
    k : steps taken.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    p: Float[Any, " n"]
    curved: Bool[Any, ""]
    delta: Float[Any, ""]
    lambda_: Float[Any, ""]
    raised: Float[Any, ""]
    k: Int[Any, ""]


@spec
class ScaledConjugateGradient(Optimizer):
    """Scaled conjugate gradients.

    Parameters
    ----------
    lambda_ : the scale at the first step, positive and at most 1e-6 in the paper.
    """

    lambda_: Number = 1e-6

    ranges: ClassVar[Mapping[str, str]] = {"lambda_": "(0, inf)"}
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30

    def init(self, params: Params) -> ScaledConjugateGradientState:
        dtype = jax.tree.leaves(params)[0].dtype
        zero, vector, no = np.zeros((), dtype), np.zeros(n_weights(params), dtype), np.bool_(False)
        return ScaledConjugateGradientState(
            no, no_value(dtype), vector, vector, no, zero, zero, zero, np.zeros((), np.int32)
        )

    def step(
        self, objective: ObjectiveLike, params: Params, state: ScaledConjugateGradientState
    ) -> tuple[Params, ScaledConjugateGradientState, StepInfo]:
        w, function = flat(objective, params)

        def begin(w: Float[Array, " n"]) -> tuple[Any, ...]:  # 1
            value, g = function.value_and_grad(w)
            return value, g, -g, scalar(self.lambda_, w)

        value, g, p, lambda_ = unless(state.known, begin, w, (state.value, state.g, state.p, state.lambda_))
        raised, k = state.raised, state.k + 1
        r, pp = -g, inner(p, p)

        delta = unless(state.curved, lambda w: inner(p, function.hvp(w, p)), w, state.delta)  # 2
        delta = delta + (lambda_ - raised) * pp  # 3

        negative = delta <= 0  # 4
        raised = jnp.where(negative, 2 * (lambda_ - delta / pp), raised)
        delta = jnp.where(negative, -delta + lambda_ * pp, delta)
        lambda_ = jnp.where(negative, raised, lambda_)

        mu = inner(p, r)  # 5
        alpha = mu / delta
        new_w = w + alpha * p
        new_value, new_g = function.value_and_grad(new_w)
        ratio = 2 * delta * (value.total - new_value.total) / mu**2  # 6
        ratio = jnp.where(jnp.isfinite(ratio) & jnp.all(jnp.isfinite(new_g)), ratio, -1)

        good = ratio >= 0  # 7
        new_r = -new_g
        beta = (inner(new_r, new_r) - inner(new_r, r)) / mu
        direction = jnp.where(k % len(w) == 0, new_r, new_r + beta * p)
        direction = jnp.where(inner(direction, new_r) > 0, direction, new_r)
        raised = jnp.where(good, 0, lambda_)
        reduced = jnp.where(good & (ratio >= 0.75), lambda_ / 4, lambda_)
        lambda_ = jnp.where(ratio < 0.25, reduced + delta * (1 - ratio) / pp, reduced)  # 8

        stuck = jnp.all(new_w == w) | ~jnp.any(r != 0)  # 9
        choose = lambda new, old: jnp.where(good & ~stuck, new, old)  # noqa: E731
        evaluations = 1 + ~jnp.asarray(state.known) + ~jnp.asarray(state.curved)
        info = StepInfo(value, function.unravel(g), evaluations, stuck)
        following = ScaledConjugateGradientState(
            known=jnp.asarray(True),
            value=jax.tree.map(choose, Value(*(jnp.asarray(v, w.dtype) for v in new_value)), value),
            g=choose(new_g, g),
            p=choose(direction, p),
            curved=~good | stuck,
            delta=delta,
            lambda_=lambda_,
            raised=raised,
            k=k,
        )
        return function.unravel(choose(new_w, w)), following, info
