"""Newton's rule.

    H = Q diag(e) Q^T                          eigenvalues e of the Hessian, which is symmetric
    v = -H^+ g                                 form="pseudo_inverse": 1/e where |e| > rcond max |e|, else 0
    v = -|H|^+ g                               form="saddle_free": 1/|e| there
    w <- w + t v                               t = 1, 1/2, 1/4, ... until the loss falls

The singular values of H are |e|. Directions in which H is (nearly) singular are left alone: there the quadratic says
nothing. Where H has negative eigenvalues, -H^+ g leads to the nearest point of zero gradient, which is a saddle or a
maximum; with |e| the step has the same length along each eigenvector but always goes down, so it leaves saddles behind.
Far from a minimum networks have many negative eigenvalues, so "saddle_free" is the default; at a minimum the two are
the same, and the number of correct digits doubles at each step.

"pseudo_inverse" falls back on |H|^+ where v does not go down (v.g >= 0) or no t up to 1/2^19 lowers the loss; the
state says which was used, and how many eigenvalues were negative. If none helps either, `stuck`.

A step costs n products with the Hessian and an eigendecomposition, O(n^3): for some thousand weights at most.

Deviation. The notes ask for the pseudo-inverse by SVD; H is symmetric, so its eigendecomposition gives the same one at
a fraction of the time, and the signs besides. `rcond` below n eps of the type is taken as n eps.

Source: the notes; Dauphin et al. 2014, "Identifying and attacking the saddle point problem in high-dimensional
non-convex optimization", algorithm 1 (here with the whole Hessian in place of a Krylov subspace).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, flat, n_weights, one_of, scalar
from axonic.optimizers.line_search import backtracking, no_value, unless
from axonic.specs import Number, spec, static
from axonic.types import Params, Value

FORMS = ("saddle_free", "pseudo_inverse")
HALVINGS = 20


class NewtonState(NamedTuple):
    """What the next step needs, and what the last one used.

    Attributes
    ----------
    known : `value` and `g` are those of the current weights.
    value, g : the objective and its gradient, (n,).
    negative : eigenvalues of the last Hessian below 0 (of those that were not cut).
    absolute : the last step used the absolute eigenvalues.
    """

    known: Bool[Any, ""]
    value: Value
    g: Float[Any, " n"]
    negative: Int[Any, ""]
    absolute: Bool[Any, ""]


@spec
class Newton(Optimizer):
    """Newton's rule.

    Parameters
    ----------
    rcond : singular values at most this share of the largest are cut; in [0, 1).
    form : "saddle_free" or "pseudo_inverse", see the module.
    """

    rcond: Number = 1e-10
    form: str = static(default="saddle_free")

    ranges: ClassVar[Mapping[str, str]] = {"rcond": "[0, 1)"}
    full_batch: ClassVar[bool] = True
    has_rate: ClassVar[bool] = False
    same_objective: ClassVar[bool] = True
    patience: ClassVar[int] = 30
    max_weights: ClassVar[int | None] = 2000
    instead: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("form", self.form, FORMS)

    def init(self, params: Params) -> NewtonState:
        dtype = jax.tree.leaves(params)[0].dtype
        no = np.bool_(False)
        return NewtonState(no, no_value(dtype), np.zeros(n_weights(params), dtype), np.zeros((), np.int32), no)

    def step(
        self, objective: ObjectiveLike, params: Params, state: NewtonState
    ) -> tuple[Params, NewtonState, StepInfo]:
        w, function = flat(objective, params)
        value, g = unless(state.known, function.value_and_grad, w, (state.value, state.g))

        e, q = jnp.linalg.eigh(function.hessian(w))
        rcond = jnp.maximum(scalar(self.rcond, w), len(w) * jnp.finfo(w.dtype).eps)
        kept = jnp.abs(e) > rcond * jnp.max(jnp.abs(e))
        along = q.T @ g
        inverse = jnp.where(kept, 1 / jnp.where(kept, e, 1), 0)
        v_absolute = -q @ (jnp.abs(inverse) * along)

        def search(v: Any) -> Any:
            return backtracking(function, w, v, value, g, first=1.0, c1=0.0, factor=0.5, max_evaluations=HALVINGS)

        if self.form == "saddle_free":
            v, found = v_absolute, search(v_absolute)
            evaluations, absolute = found.evaluations, jnp.asarray(True)
        else:
            v = -q @ (inverse * along)
            plain = search(v)
            # a direction of zeros ends the second search before it begins
            other = search(jnp.where(plain.failed, v_absolute, 0))
            evaluations, absolute = plain.evaluations + other.evaluations, plain.failed
            v, found = jax.tree.map(lambda a, b: jnp.where(absolute, a, b), (v_absolute, other), (v, plain))

        negative = jnp.sum(kept & (e < 0), dtype=jnp.int32)
        info = StepInfo(value, function.unravel(g), evaluations + ~jnp.asarray(state.known), found.failed)
        following = NewtonState(jnp.asarray(True), found.value, found.g, negative, absolute)
        return function.unravel(w + found.t * v), following, info
