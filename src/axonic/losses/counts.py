"""The loss of counts: they are Poisson with mean a = e^z.

    -ln P(y) = e^z - y z + ln y!          value = e^z - y z + y ln y - y          delta = e^z - y

The value is half the deviance, which differs from -ln P(y) by what does not depend on z, and is 0 where e^z = y. It is
the matching loss of exp. Counts come divided by their mean m: the loss of y/m at z - ln m is that of y at z over m, so
that e^z begins near the mean whatever the counts are. Targets need not be whole: any numbers from 0 on will do,
for which m e^z is then the mean.

No count is more than n times the mean of n counts, so z is cut off at `LARGEST`: beyond it e^z is constant, and the
value goes on in a straight line. This keeps everything finite for any z.

Source: McCullagh and Nelder, Generalized Linear Models, 2nd ed. (1989), chapter 6.
"""

import math

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from axonic.layers.activations import Activation
from axonic.losses.base import Loss, Target, targets
from axonic.specs import spec
from axonic.types import Scaling

LARGEST = 30.0

exponential = Activation(
    "exp", lambda z: jnp.exp(jnp.minimum(z, LARGEST)), lambda z, a: jnp.where(z < LARGEST, a, jnp.zeros_like(a))
)


@spec
class Poisson(Loss):
    """Half the Poisson deviance; y from 0 on."""

    activation = exponential

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        y = targets(y, z)
        integral = self.activation.value(z) * (1 + jnp.maximum(z - LARGEST, 0.0))
        return jnp.sum(integral - y * z + xlogy(y, y) - y, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        return self.activation.value(z) - targets(y, z)

    def scaling(self) -> Scaling:
        return "mean"

    def limits(self) -> tuple[float, float]:
        return 0.0, math.inf


poisson = Poisson()
