"""What a loss is: value and delta of single rows from the pre-activation z of the output layer."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from axonic.errors import InputError
from axonic.layers.activations import Activation
from axonic.types import Scaling

Target = Float[Array, "batch n_out"] | Int[Array, " batch"]


class Loss:
    """The protocol. `activation` turns z into the prediction a.

    Averaging over rows and their weights (the 1/n) is the objective's task. Of a loss of your own write `activation`,
    `value` and `delta`; the rest has defaults.
    """

    activation: Activation

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        """The loss of each row."""
        raise InputError(f"the loss {type(self).__name__} has no value", "write value(z, y), the loss of each row")

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        """d value / dz of each row."""
        raise InputError(f"the loss {type(self).__name__} has no delta", "write delta(z, y), d value / dz of each row")

    def scaling(self) -> Scaling:
        """How numbers to predict are brought to the scale of the network; see `axonic.data.targets.TargetEncoder`."""
        return "deviation"

    def limits(self) -> tuple[float, float]:
        """The lowest and the highest number that the loss can take as a target."""
        return -math.inf, math.inf

    def check(self) -> None:
        """Raise `InputError` if a parameter is impossible."""


def targets(y: Any, z: Array) -> Array:
    """y as a float array shaped like z: class indices become rows with a single 1 (one output: 0 or 1).

    An index that is no class, such as -1, is not noticed: its row has no 1, which adds nothing to `log_likelihood`.

    Raises
    ------
    InputError : numbers that are not shaped like z; beside (n, 1) outputs (n,) would become (n, n) errors.
    """
    if y.dtype != bool and not jnp.issubdtype(y.dtype, jnp.integer):
        if y.shape != z.shape:
            raise InputError(
                f"targets of shape {y.shape} meet outputs of shape {z.shape}",
                "give numbers as (rows, outputs), for one output y[:, None]",
            )
        return y
    if z.shape[-1] == 1:
        return y[..., None].astype(z.dtype)
    return (y[..., None] == jnp.arange(z.shape[-1])).astype(z.dtype)
