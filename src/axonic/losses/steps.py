"""A loss at every step of a sequence.

    value    mean of loss.value(z_t, y_t) over the steps t of the sequence that have a target
    delta    loss.delta(z_t, y_t) / (number of such steps), 0 at the others

A step without a target has the class -1 or the number NaN: padding, and steps that nothing is known of. Every sequence
counts alike, however long it is.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from axonic.layers.activations import Activation
from axonic.losses.base import Loss
from axonic.specs import spec
from axonic.types import Scaling

StepTarget = Float[Array, "batch time n_out"] | Int[Array, "batch time"]


@spec
class EachStepLoss(Loss):
    """See `each_step`."""

    loss: Loss

    @property
    def activation(self) -> Activation:
        return self.loss.activation

    def value(self, z: Float[Array, "batch time n_out"], y: StepTarget) -> Float[Array, " batch"]:
        known, y = _known(y)
        flat = self.loss.value(z.reshape(-1, z.shape[-1]), y.reshape(-1, *y.shape[2:]))
        each = jnp.where(known, flat.reshape(known.shape), 0.0)
        return each.sum(axis=1) / _count(known, z)[:, 0]

    def delta(self, z: Float[Array, "batch time n_out"], y: StepTarget) -> Float[Array, "batch time n_out"]:
        known, y = _known(y)
        flat = self.loss.delta(z.reshape(-1, z.shape[-1]), y.reshape(-1, *y.shape[2:]))
        return jnp.where(known[..., None], flat.reshape(z.shape) / _count(known, z)[..., None], 0.0)

    def scaling(self) -> Scaling:
        return self.loss.scaling()

    def limits(self) -> tuple[float, float]:
        return self.loss.limits()

    def check(self) -> None:
        self.loss.check()


def _known(y: StepTarget) -> tuple[Bool[Array, "batch time"], StepTarget]:
    """(which steps have a target, the targets with 0 at the others)."""
    if jnp.issubdtype(y.dtype, jnp.integer):
        return y >= 0, jnp.maximum(y, 0)
    known = ~jnp.isnan(y).any(axis=-1)
    return known, jnp.where(known[..., None], y, 0.0)


def _count(known: Bool[Array, "batch time"], z: Array) -> Float[Array, "batch 1"]:
    """Steps with a target; 1 where there are none."""
    return jnp.maximum(known.sum(axis=1, keepdims=True), 1).astype(z.dtype)


def each_step(loss: Loss) -> EachStepLoss:
    """`loss` at every step of a sequence, for networks that end in `axonic.layers.every_step`.

    >>> import jax.numpy as jnp
    >>> from axonic import losses
    >>> loss = losses.each_step(losses.squared_error)
    >>> loss.value(jnp.zeros((1, 3, 1)), jnp.array([[[1.0], [2.0], [jnp.nan]]])).tolist()
    [1.25]
    """
    return EachStepLoss(loss)


def of_a_step(loss: Loss) -> Loss:
    """The loss of one step, if this is one at every step; otherwise the loss itself."""
    return loss.loss if isinstance(loss, EachStepLoss) else loss
