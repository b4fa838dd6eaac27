"""Findings about the network before its first step: net.*

Each rule takes the evidence and yields findings; `RULES` lists them in the order in which one explains the others.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from axonic.diagnosis.evidence import DEAD, SATURATED, Evidence, rounded
from axonic.health import traced
from axonic.layers import activations
from axonic.layers.base import Chain
from axonic.losses import MeanSquaredError
from axonic.types import Finding

GAINS = (0.02, 5.0)
"""What a layer may make of the size of its inputs before its activation. He's, Glorot's and LeCun's weights give .14 to
1.5 for layers of up to 100 times as many units as inputs."""
EXPLODING, VANISHING = 100.0, 1e-3
"""Ratio of the deltas of the first and the last hidden layer; AutoTrainer has 70 and 1e-3 for gradients."""
DEEP = 3
SAMPLE = 1000
UNHEARD = 0.1
PLACES, WRONG_SLOPE = 64, 0.05
"""Where a derivative is compared with the slope of the value, and by what share of the steepest slope it may be off."""


def check_symmetric(e: Evidence) -> Iterator[Finding]:
    """net.symmetric: the units of a hidden layer begin with the same weights, and so stay the same for ever."""
    for name, index in list(zip(e.layer_names, traced(e.network), strict=True))[:-1]:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(e.member.params[index])]
        units = leaves[-1].shape[-1]
        if units > 1 and all(np.ptp(leaf, axis=-1).max(initial=0.0) == 0 for leaf in leaves):
            yield Finding(
                "net.symmetric",
                "error",
                name,
                {"units": units, "largest_weight": float(np.abs(leaves[0]).max())},
                f"All {units} units begin with the same weights: they get the same gradient, stay alike for ever and "
                "are worth one unit.",
                'Begin with random weights: init="auto".',
            )
            return


def check_scale(e: Evidence) -> Iterator[Finding]:
    """net.bad_scale: the weights of a layer begin far too large or too small for the number of its inputs."""
    gains = [_gain(e, index) for index in traced(e.network)]
    wrong = [i for i, gain in enumerate(gains) if gain > 0 and not GAINS[0] <= gain <= GAINS[1]]
    if wrong:
        first = wrong[0]
        word = "large" if gains[first] > 1 else "small"
        effect = "answers begin far off and its steps are wild" if word == "large" else "signal fades in it"
        yield Finding(
            "net.bad_scale",
            "error",
            e.layer_names[first],
            {"gain": [rounded(gain) for gain in gains], "lowest": GAINS[0], "highest": GAINS[1]},
            f"The weights begin too {word}: the layer makes {gains[first]:.3g} times the size of its inputs, and its "
            f"{effect}.",
            'Begin with weights that fit the number of inputs: init="auto".',
        )


def _gain(e: Evidence, index: int) -> float:
    """What a layer's weights make of the size of its inputs: sqrt(n_in) rms(w) if they are independent of them; of the
    first layer the size of x w itself, since its inputs need not be of size 1."""
    w = np.asarray(e.member.params[index].w, np.float64)
    if index > 0:
        return float(np.sqrt(len(w)) * np.sqrt(np.mean(w * w)))
    z = e.task.rows.x[e.task.split.train[:SAMPLE]] @ w
    return float(np.sqrt(np.mean(z * z)))


def check_exploding(e: Evidence) -> Iterator[Finding]:
    """train.exploding: deltas grow from layer to layer on their way back."""
    ratio = _ratio(e, e.first_look)
    if ratio is not None and ratio > EXPLODING:
        yield Finding(
            "train.exploding",
            "warning",
            e.layer_names[0],
            {"delta_rms": _deltas(e, e.first_look), "ratio": rounded(ratio), "threshold": EXPLODING},
            f"Deltas grow {ratio:.3g} times on their way back to the first layer: no learning rate suits all layers.",
            'Begin with weights that keep the size of the signal (init="auto"), or use fewer layers.',
        )


def check_vanishing(e: Evidence) -> Iterator[Finding]:
    """train.vanishing: deltas fade from layer to layer on their way back, and the network has not learned."""
    ratio = _ratio(e, e.first_look)
    if ratio is not None and ratio < VANISHING and not e.share_left < 0.9:
        yield Finding(
            "train.vanishing",
            "warning",
            e.layer_names[0],
            {"delta_rms": _deltas(e, e.first_look), "ratio": rounded(ratio), "threshold": VANISHING},
            f"Deltas fade on their way back: the first layer hears {ratio:.2g} of what the last hidden layer hears, "
            "and hardly learns.",
            'Use activation="relu" (or "tanh"), or fewer layers.',
        )


def check_dead(e: Evidence) -> Iterator[Finding]:
    """net.dead_at_start: units that pass nothing on at any row, and so learn nothing."""
    dead = e.column(e.first_look, "dead")
    for name, share in zip(e.layer_names, dead, strict=True):
        if share >= DEAD:
            yield Finding(
                "net.dead_at_start",
                "error" if share == 1 else "warning",
                name,
                {"dead": [rounded(v) for v in dead], "threshold": DEAD},
                f"{share:.0%} of the units pass nothing on at any row, so they get no gradient and never will.",
                'Begin with small random weights and biases of 0 (init="auto", no warm start from these weights), or '
                'use activation="leaky_relu".',
            )
            return


def check_saturated(e: Evidence) -> Iterator[Finding]:
    """net.saturated_at_start: the slopes of a layer are near 0 where change is asked for."""
    saturated = e.column(e.first_look, "saturated")
    for name, share in list(zip(e.layer_names, saturated, strict=True))[:-1]:
        if share >= SATURATED:
            yield Finding(
                "net.saturated_at_start",
                "warning",
                name,
                {"saturated": [rounded(v) for v in saturated], "threshold": SATURATED},
                f"{share:.0%} of the change that is asked of the layer meets a slope near 0 and is lost.",
                'Begin with smaller weights (init="auto"), or bring the inputs to a common scale (standardize=True).',
            )
            return


def check_slopes(e: Evidence) -> Iterator[Finding]:
    """net.wrong_derivative in a network of rows."""
    yield from check_activations(e.network)


def check_activations(network: Chain) -> Iterator[Finding]:
    """net.wrong_derivative: an activation of the user's own whose derivative is another than that of its value."""
    for activation in dict.fromkeys(_activations(network.layers)):
        if activations.ACTIVATIONS.get(activation.name) is activation:
            continue
        share, z, given, true = _wrong_slope(activation)
        if share > 0:
            yield Finding(
                "net.wrong_derivative",
                "error",
                f"activation {activation.name!r}",
                {"share_wrong": rounded(share), "z": rounded(z), "derivative": rounded(given), "true": rounded(true)},
                f"The derivative of the activation {activation.name!r} is not that of its value: at z = {z:.3g} it "
                f"is {given:.3g}, where the value has the slope {true:.3g}, so the network does not walk downhill.",
                "Correct derivative(z, a) to d value / d z, or use an activation of the package.",
            )


def _activations(layers: Iterable[Any]) -> Iterator[activations.Activation]:
    for layer in layers:
        activation = getattr(layer, "activation", None)
        if isinstance(activation, activations.Activation):
            yield activation
        if hasattr(layer, "layer"):
            yield from _activations([layer.layer])


def _wrong_slope(activation: activations.Activation) -> tuple[float, float, float, float]:
    """At how many places (as a share) the derivative is wrong by more than 5 % of the steepest slope, and of the worst:
    z, the derivative and the slope of the value."""
    z = jnp.linspace(-4.0, 4.0, PLACES, dtype=jnp.float32)  # none at 0, where a value may have a kink
    a, true = (np.asarray(v, np.float64) for v in jax.jvp(activation.value, (z,), (jnp.ones_like(z),)))
    given = np.broadcast_to(np.asarray(activation.derivative(z, jnp.asarray(a, z.dtype)), np.float64), true.shape)
    off = np.abs(given - true)
    wrong = np.isfinite(true) & ~(off <= WRONG_SLOPE * max(float(np.nanmax(np.abs(true))), 1e-6))
    worst = int(np.argmax(np.where(wrong, np.nan_to_num(off, nan=np.inf), -1.0)))
    return float(wrong.mean()), float(z[worst]), float(given[worst]), float(true[worst])


def check_mismatch(e: Evidence) -> Iterator[Finding]:
    """net.loss_mismatch: a loss that does not go with the output activation, so that answers that are wrong and sure
    are not heard."""
    if isinstance(e.loss, MeanSquaredError) and e.loss.activation.name in ("sigmoid", "softmax"):
        unheard = [float(e.column(look, "saturated")[-1]) for look in (e.first_look, e.last_look)]
        name, of_classes = e.loss.activation.name, isinstance(e.settings.loss, str) or e.task.rows.y.dtype.kind == "i"
        pair = 'loss="auto" (cross-entropy behind a sigmoid, log-likelihood behind a softmax)'
        if not of_classes:
            pair = f'losses.matching("{name}")'
        yield Finding(
            "net.loss_mismatch",
            "warning" if max(unheard) >= UNHEARD or not e.share_left < 0.9 else "info",
            "output layer",
            {"unheard_at_start": rounded(unheard[0]), "unheard_at_end": rounded(unheard[1]), "threshold": UNHEARD},
            f"Squared error behind a {name}: delta has the slope of the output as a factor, so "
            "where the network is wrong and sure it learns next to nothing.",
            f"Use {pair}, whose delta is a - y.",
        )
    wrong = _wrong_delta(e)
    if wrong is not None:
        yield Finding(
            "net.loss_mismatch",
            "error",
            "loss",
            {"relative_error": rounded(wrong)},
            "The loss's delta is not the derivative of its value: the network walks down something else than it is "
            "judged by.",
            "Correct delta(z, y) to d value / d z, or use a loss of axonic.losses.",
        )


def _wrong_delta(e: Evidence) -> float | None:
    """The relative error of delta against central differences of the value, where it is above 5 %; only a loss of the
    user's own is put to this test, since axonic's are tested with it."""
    if type(e.loss).__module__.startswith("axonic."):
        return None
    rng = np.random.default_rng(0)
    train = e.task.split.train[:64]
    y: Any = e.task.rows.y[train]
    n_out = len(e.member.params[-1].b)
    z: Any = rng.standard_normal((len(train), n_out)).astype(np.float32)
    v = rng.standard_normal(z.shape).astype(np.float32)
    step = 1e-2
    z, y = jnp.asarray(z), jnp.asarray(y)
    ahead, behind = (np.asarray(e.loss.value(z + sign * step * v, y), np.float64) for sign in (1, -1))
    numeric = (ahead - behind) / (2 * step)
    analytic = np.sum(np.asarray(e.loss.delta(z, y), np.float64) * v, axis=1)
    if not (np.isfinite(numeric).all() and np.isfinite(analytic).all()):
        return None
    size = np.sqrt(np.mean(numeric**2))
    error = np.sqrt(np.mean((numeric - analytic) ** 2)) / max(float(size), 1e-6)
    return float(error) if error > 0.05 else None


def check_initial_loss(e: Evidence) -> Iterator[Finding]:
    """net.initial_loss: the network begins far worse than a constant answer. Without a hidden layer it can't get lost:
    its objective has one valley, and Glorot's weights begin three times as high as a constant."""
    constant = e.trivial_at_start
    if constant is None or len(e.layer_names) == 1:
        return
    start = float(e.column(e.first_look, "loss")[0])
    if start > constant + max(1.0, 1.5 * constant):
        yield Finding(
            "net.initial_loss",
            "warning",
            "output layer",
            {"initial_loss": rounded(start), "constant": rounded(constant)},
            f"The loss begins at {start:.3g}, where a constant answer has {constant:.3g}: the first steps go into "
            "unlearning where it starts.",
            'Begin with small random weights and biases of 0: init="auto".',
        )


def check_no_gradient(e: Evidence) -> Iterator[Finding]:
    """net.no_gradient: weights that no row's error reaches."""
    gradients = e.column(e.first_look, "gradient_rms")
    silent = [name for name, size in zip(e.layer_names, gradients, strict=True) if size == 0]
    loss = float(e.column(e.first_look, "loss")[0])
    if silent and loss > 0:
        yield Finding(
            "net.no_gradient",
            "error",
            silent[-1],
            {"gradient_rms": [rounded(size) for size in gradients], "loss": rounded(loss)},
            f"No gradient reaches the weights of the {silent[-1]}: they can't learn.",
            "Check the loss's delta and the layers behind it for a slope of 0.",
        )


def _deltas(e: Evidence, look: np.ndarray) -> list[float]:
    return [rounded(size) for size in e.column(look, "delta_rms")]


def _ratio(e: Evidence, look: np.ndarray) -> float | None:
    """delta of the first over delta of the last hidden layer, None for shallow networks."""
    deltas = e.column(look, "delta_rms")[:-1]
    if len(deltas) < DEEP or deltas[-1] == 0:
        return None
    return float(deltas[0] / deltas[-1])


RULES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    check_symmetric,
    check_dead,
    check_no_gradient,
    check_mismatch,
    check_slopes,
    check_scale,
    check_exploding,
    check_saturated,
    check_vanishing,
    check_initial_loss,
)
