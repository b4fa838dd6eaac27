"""What a step of training looks like inside the network: a few numbers for each layer, from its trace (z, a, delta).

    z_rms, a_rms, delta_rms     root mean squares over rows and units
    weight_rms, gradient_rms    of w and dL/dw
    update_ratio                rms of the step that was made over weight_rms
    saturated                   sigmoid and tanh: the share of the change asked for, sum |dL/da|, that meets a slope
                                below a tenth of the steepest one, and is lost; output: the share of the wrong
                                answers (|a - y| > 1/2) of which delta hears less than a tenth
    dead                        the share of the units whose slope is 0 at every row
    sign_flips                  the share of the weights that the step has moved against what the gradient asked for
    gradient_noise              tr Sigma, the variance of the gradients of single rows, summed over the weights
    gradient_signal             |G|^2, the squared length of the true gradient

The last two are estimates without bias from the n rows of the batch, whose mean gradient is g:

    tr Sigma = n / (n - 1) (mean_i |g_i|^2 - |g|^2)        |G|^2 = |g|^2 - tr Sigma / n

The second takes off what noise adds to |g|^2, and may be below 0. Their quotient is the noise scale, the batch size at
which noise and signal balance. A single look says little of it: `noise_scale` takes sums over many.

A quantity that a layer does not have is NaN. Layers without a trace (dropout) have no row.

The gradient of one row i to w is the outer product of its input x_i and n delta_i (delta has 1/n in it), so the sum of
their squares needs no more than the trace: n sum_i |x_i|^2 |delta_i|^2 is its mean.

Sources: saturation as the notes mean it ("activation'(z) near 0 while delta asks for change"); the ratio of update and
weight is Amazon SageMaker Debugger's and TheDeepChecker's; the norms of single rows' gradients Goodfellow 2015
(arXiv 1510.01799); the noise scale McCandlish et al. 2018 (arXiv 1812.06162), equation 2.9, and its estimate appendix
A.1, with batches of 1 and of n rows.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.layers.base import Chain, Layer, fold
from axonic.losses.base import targets
from axonic.objective import Objective
from axonic.programs import compiled
from axonic.types import Params

QUANTITIES = (
    "z_rms",
    "a_rms",
    "delta_rms",
    "weight_rms",
    "gradient_rms",
    "update_ratio",
    "saturated",
    "dead",
    "sign_flips",
    "gradient_noise",
    "gradient_signal",
)
COLUMNS = ("epoch", "loss", *QUANTITIES)
STEEPEST = {"sigmoid": 0.25, "tanh": 1.0}
"""The largest slope of the activations that saturate at both ends."""
FLAT = 0.1
WRONG = 0.5


def traced(network: Chain) -> tuple[int, ...]:
    """The indices of the layers that have a row: those with weights w that decay, an activation and a trace; none of a
    network that reads sequences, see `axonic.diagnosis.sequences`."""
    if network.of_sequences:
        return ()
    return tuple(
        i
        for i, layer in enumerate(network.layers)
        if hasattr(layer, "activation") and "w" in layer.decays and type(layer).trace is not Layer.trace
    )


def look(
    objective: Objective, params: Params, after: Params
) -> tuple[Float[Array, ""], Float[Array, "layers quantities"]]:
    """(loss, quantities of every layer) at `params`, for the batch of the objective and the step from there to `after`.

    Parameters
    ----------
    objective : closed over one batch that is not in blocks; its penalties are left out.
    params, after : the weights before and after a step.
    """
    network, batch, key = objective.network, objective.batch, objective.key
    x: Any = batch.x
    inputs, caches = [], []
    for index, (layer, weights) in enumerate(zip(network.layers, params, strict=True)):
        inputs.append(x)
        x, cache = layer.forward(weights, x, fold(key, index) if layer.draws else None)
        caches.append(cache)
    counts = (batch.weight > 0).astype(x.dtype)
    n = jnp.maximum(counts.sum(), 1)
    error = jnp.where(counts[:, None] > 0, batch.weight[:, None] * objective.loss.delta(x, batch.y), 0.0) / n

    rows: dict[int, Array] = {}
    last = len(network.layers) - 1
    shown = traced(network)
    for index in range(last, -1, -1):
        layer, weights, cache = network.layers[index], params[index], caches[index]
        grads, error_in = layer.backward(weights, cache, error)
        if index in shown:
            rows[index] = _quantities(layer, weights, after[index], inputs[index], cache, error, grads, counts, n)
        error = error_in
    if last in rows:
        asked = _unheard(objective, x, counts)
        rows[last] = rows[last].at[QUANTITIES.index("saturated")].set(asked)
    values = jnp.where(counts > 0, batch.weight * objective.loss.value(x, batch.y), 0.0)
    return values.sum() / n, jnp.stack([rows[index] for index in shown])


def _quantities(
    layer: Layer,
    weights: Any,
    after: Any,
    x: Array,
    cache: Any,
    error: Array,
    grads: Any,
    counts: Array,
    n: Array,
) -> Float[Array, " quantities"]:
    trace = layer.trace(weights, cache, error)
    assert trace is not None
    none = jnp.asarray(jnp.nan, x.dtype)
    real = counts[:, None]

    def rms(values: Array) -> Array:
        return jnp.sqrt(_squares(jnp.where(real > 0, values, 0.0)) / (n * values.shape[1]))

    activation = layer.activation  # type: ignore[attr-defined]
    slope = jnp.abs(activation.derivative(trace.z, trace.a))
    asked = jnp.where(real > 0, jnp.abs(error), 0.0)
    saturated = none
    if activation.name in STEEPEST:
        lost = jnp.sum(jnp.where(slope < FLAT * STEEPEST[activation.name], asked, 0.0))
        saturated = lost / jnp.maximum(asked.sum(), jnp.finfo(x.dtype).tiny)
    dead = none
    if activation.name not in ("identity", "softmax"):
        dead = jnp.mean(jnp.max(jnp.where(real > 0, slope, 0.0), axis=0) == 0)

    w, g, step = weights.w, grads.w, after.w - weights.w
    weight = jnp.sqrt(_squares(w) / w.size)
    squares = n * jnp.sum(counts * jnp.sum(x * x, axis=1) * jnp.sum(trace.delta**2, axis=1))
    gradient = _squares(g)
    noise = n / jnp.where(n > 1, n - 1, none) * jnp.maximum(squares - gradient, 0.0)
    tiny = jnp.finfo(x.dtype).tiny
    return jnp.stack(
        [
            rms(trace.z),
            rms(trace.a),
            rms(trace.delta * n),
            weight,
            jnp.sqrt(gradient / g.size),
            jnp.sqrt(_squares(step) / step.size) / jnp.maximum(weight, tiny),
            saturated,
            dead,
            jnp.mean(g * step > 0),
            noise,
            gradient - noise / n,
        ]
    )


def _squares(values: Any) -> Array:
    return jnp.vdot(values, values)


def _unheard(objective: Objective, z: Array, counts: Array) -> Array:
    """The share of the wrong answers of which delta hears less than a tenth; NaN where answers are no shares."""
    loss, y = objective.loss, objective.batch.y
    if loss.activation.name not in ("sigmoid", "softmax", "tanh"):
        return jnp.asarray(jnp.nan, z.dtype)
    miss = jnp.abs(loss.activation.value(z) - targets(y, z))
    wrong = (miss > WRONG) & (counts[:, None] > 0)
    unheard = wrong & (jnp.abs(loss.delta(z, y)) < FLAT * miss)
    return jnp.sum(unheard) / jnp.maximum(jnp.sum(wrong), 1)


@compiled(quickly=True)
def examine(objective: Objective, params: Params) -> tuple[Float[Array, ""], Float[Array, "layers quantities"]]:
    """`look` without a step; `update_ratio` and `sign_flips` are 0."""
    return look(objective, params, params)


def noise_scale(noise: Any, signal: Any) -> np.ndarray:
    """The batch size at which noise and signal balance, from `gradient_noise` and `gradient_signal`, each summed over
    the same looks (and layers); NaN where no signal is left."""
    noise, signal = np.asarray(noise, float), np.asarray(signal, float)
    return np.divide(noise, signal, out=np.full(signal.shape, np.nan), where=signal > 0)


def nothing(network: Chain) -> np.ndarray:
    """The health of a network that was not looked at, (0, layers, columns)."""
    return np.zeros((0, len(traced(network)), len(COLUMNS)), np.float32)
