"""The pairs of loss and output activation of the notes, and the squared error behind any activation.

    loss                activation   value of one row                            delta = d value / dz
    squared_error       identity     1/2 sum (z - y)^2                           a - y
    cross_entropy       sigmoid      sum softplus(z) - y z                       a - y
    log_likelihood      softmax      logsumexp(z) - y . z                        a - y
    mse(activation)     any          1/2 sum (a - y)^2                           (a - y) * activation'(z)

The first three are the pairs of the notes: the loss is the one whose derivative cancels activation'(z), so that a
saturated output unit still learns. Written in z they are exact for any z: cross-entropy is
-y ln a - (1 - y) ln(1 - a) with a = 1/(1 + e^-z), whose two logarithms are -softplus(-z) and -softplus(z), and
softplus(-z) = softplus(z) - z. `mse` with a sigmoid or softmax output is what the notes warn of; it stays available.

Numbers that a cross-entropy or log-likelihood is to predict (shares, probabilities) are taken as they are, from 0 to 1.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from axonic.layers import activations
from axonic.layers.activations import Activation
from axonic.losses import ranges
from axonic.losses.base import Loss, Target, targets
from axonic.specs import spec, static
from axonic.types import Scaling


@spec
class SquaredError(Loss):
    """Half the squared error with a linear output."""

    activation: Activation = static(default=activations.identity)

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        return 0.5 * jnp.sum((z - targets(y, z)) ** 2, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        return z - targets(y, z)


@spec
class CrossEntropy(Loss):
    """Binary cross-entropy of each output with a sigmoid; y in [0, 1]."""

    activation: Activation = static(default=activations.sigmoid)

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        return jnp.sum(activations.softplus.value(z) - targets(y, z) * z, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        return self.activation.value(z) - targets(y, z)

    def scaling(self) -> Scaling:
        return "none"

    def limits(self) -> tuple[float, float]:
        return 0.0, 1.0


@spec
class LogLikelihood(Loss):
    """Negative log-likelihood of the true class with a softmax; y class indices, or rows of probabilities."""

    activation: Activation = static(default=activations.softmax)

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        z = z - jax.lax.stop_gradient(jnp.max(z, axis=-1, keepdims=True))
        y = targets(y, z)
        return jnp.log(jnp.sum(jnp.exp(z), axis=-1)) * jnp.sum(y, axis=-1) - jnp.sum(y * z, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        y = targets(y, z)
        return self.activation.value(z) * jnp.sum(y, axis=-1, keepdims=True) - y

    def scaling(self) -> Scaling:
        return "none"

    def limits(self) -> tuple[float, float]:
        return 0.0, 1.0


@spec
class MeanSquaredError(Loss):
    """Half the squared error behind any output activation: delta keeps the factor activation'(z)."""

    activation: Activation = static(default=activations.identity)

    def value(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, " batch"]:
        return 0.5 * jnp.sum((self.activation.value(z) - targets(y, z)) ** 2, axis=-1)

    def delta(self, z: Float[Array, "batch n_out"], y: Target) -> Float[Array, "batch n_out"]:
        a = self.activation.value(z)
        return self.activation.backward(z, a, a - targets(y, z))

    def scaling(self) -> Scaling:
        return ranges.scaling(self.activation)

    def limits(self) -> tuple[float, float]:
        return ranges.ends(self.activation)


squared_error = SquaredError()
cross_entropy = CrossEntropy()
log_likelihood = LogLikelihood()


def mse(activation: str | Activation = "identity") -> MeanSquaredError:
    """Mean squared error with that output activation.

    Raises
    ------
    InputError : an unknown activation.
    """
    return MeanSquaredError(activations.get(activation))
