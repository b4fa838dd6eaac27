"""Rprop: each weight steps by the sign of its gradient, and learns the length of its step from changes of sign.

    s     <- sign(g) sign(g of the step before)
    size  <- min(increase size, max_step)   where s > 0
    size  <- max(decrease size, min_step)   where s < 0
    w     <- w - sign(g) size

`s` is 0 at the first step, and sizes start at `initial_step`. The variants differ in what a weight does in the step
after its sign has changed, which says that it has jumped over a minimum:

    "rprop-"     steps as above
    "rprop+"     takes its last step back, and behaves at the next step as at the first (s = 0)
    "irprop-"    stands still (g counts as 0), so s = 0 at the next step
    "irprop+"    as rprop+ if the loss has risen since the last step, otherwise as irprop-

The change of sign says that the minimum along this weight lies between the last two points, not that the last step was
bad: rprop+ often undoes progress. irprop+ undoes a step only when the loss as a whole has risen, so it needs the loss,
which comes with the gradient at no cost.

For small tables and full batches: no rate to find, and the size of gradients, which spans decades between layers,
plays no part. Trap: on mini-batches signs change at random and every step shrinks to `min_step`; and the loss must be
the same function at every step (no dropout). Signs are multiplied rather than gradients, whose product can be 0
in float32 when they are not.

Source: Igel and Huesken 2003, "Empirical evaluation of the improved Rprop learning algorithms", algorithms 1 to 4;
Riedmiller and Braun 1993 for rprop+; Riedmiller 1994 for rprop-. PyTorch's Rprop is "irprop-".
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from axonic.optimizers.base import ObjectiveLike, Optimizer, StepInfo, one_of, tree_map, zeros_like
from axonic.specs import Number, spec, static
from axonic.types import Params, Value


class RpropState(NamedTuple):
    """What the next step compares with.

    Attributes
    ----------
    signs : of the last gradient, 0 where it is not to be compared; a tree like params.
    sizes : of the last step, 0 before the first; a tree like params.
    moves : the last step, None in the variants that take none back; a tree like params.
    loss : the objective at the last step, None but for irprop+.
    """

    signs: Params
    sizes: Params
    moves: Params | None
    loss: Float[Any, ""] | None


VARIANTS = ("rprop-", "rprop+", "irprop-", "irprop+")


@spec
class Rprop(Optimizer):
    """Rprop; see the module for its variants.

    increase, decrease : factors on the size of a step, above and below 1.
    initial_step, min_step, max_step : sizes of steps; positive.
    """

    has_rate: ClassVar[bool] = False
    full_batch: ClassVar[bool] = True
    same_objective: ClassVar[bool] = True

    increase: Number = 1.2
    decrease: Number = 0.5
    initial_step: Number = 0.1
    min_step: Number = 1e-6
    max_step: Number = 50.0
    variant: str = static(default="irprop+")

    ranges: ClassVar[Mapping[str, str]] = {
        "increase": "(1, inf)",
        "decrease": "(0, 1)",
        "initial_step": "(0, inf)",
        "min_step": "(0, inf)",
        "max_step": "[min_step, inf]",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variant", self.variant, VARIANTS)

    def init(self, params: Params) -> RpropState:
        takes_back = self.variant.endswith("+")
        dtype = jax.tree.leaves(params)[0].dtype
        return RpropState(
            signs=zeros_like(params),
            sizes=zeros_like(params),
            moves=zeros_like(params) if takes_back else None,
            loss=np.full((), np.inf, dtype) if self.variant == "irprop+" else None,
        )

    def step(self, objective: ObjectiveLike, params: Params, state: RpropState) -> tuple[Params, RpropState, StepInfo]:
        value, g = objective.value_and_grad(params)
        signs = tree_map(jnp.sign, g)
        changes = tree_map(jnp.multiply, signs, state.signs)
        sizes = tree_map(
            _resize,
            state.sizes,
            changes,
            increase=self.increase,
            decrease=self.decrease,
            first=self.initial_step,
            low=self.min_step,
            high=self.max_step,
        )
        moves = tree_map(lambda sign, size: -sign * size, signs, sizes)

        if self.variant != "rprop-":
            signs = tree_map(lambda s, sign: jnp.where(s < 0, 0, sign), changes, signs)
            share = self._share_taken_back(value, state)
            last = zeros_like(params) if state.moves is None else state.moves
            moves = tree_map(
                lambda s, move, last, share: jnp.where(s < 0, -share * last, move), changes, moves, last, share=share
            )
        params = tree_map(jnp.add, params, moves)

        loss = None if state.loss is None else value.total.astype(state.loss.dtype)
        moves = None if state.moves is None else moves
        return params, RpropState(signs, sizes, moves, loss), StepInfo(value, g)

    def _share_taken_back(self, value: Value, state: RpropState) -> Any:
        """The share of its last step that a weight takes back when its sign has changed: 0 or 1."""
        if state.loss is not None:
            return value.total > state.loss
        return 1.0 if self.variant == "rprop+" else 0.0


def _resize(size, s, increase, decrease, first, low, high):
    """The size of this step; a size of 0 says that none was taken yet."""
    size = jnp.where(size == 0, first, size)
    larger, smaller = jnp.minimum(increase * size, high), jnp.maximum(decrease * size, low)
    return jnp.where(s > 0, larger, jnp.where(s < 0, smaller, size))
