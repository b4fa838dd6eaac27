"""What can be said while training is under way, from the curve and the looks inside alone."""

from collections.abc import Iterator

import numpy as np

from axonic.health import COLUMNS
from axonic.types import Finding

BLOWN_UP = 10.0
"""How many times its first value a training loss must reach to be called exploding."""
DEAD = 0.9
VANISHED = 1e-7
"""Amazon SageMaker Debugger's mean absolute gradient of a layer that has vanished."""


def alarms(history: np.ndarray, health: np.ndarray) -> Iterator[Finding]:
    """What is going wrong.

    Parameters
    ----------
    history : (epochs, columns) of one network so far, as in `axonic.training.HISTORY`.
    health : (looks, layers, columns) of the latest steps that were looked at, as in `axonic.health.COLUMNS`.
    """
    train = history[:, 0]
    if len(train) and not np.isfinite(train[-1]):
        yield Finding(
            "train.diverged",
            "error",
            "",
            {"epoch": len(train)},
            f"The loss is no longer finite in epoch {len(train)}.",
            "Lower the learning rate, or leave it on 'auto'.",
        )
    elif len(train) > 1 and train[-1] > BLOWN_UP * max(train[0], 1e-12):
        yield Finding(
            "train.rate_too_high",
            "warning",
            "",
            {"first_loss": float(train[0]), "loss": float(train[-1])},
            f"The training loss has risen from {train[0]:.3g} to {train[-1]:.3g}.",
            "Lower the learning rate, or leave it on 'auto'.",
        )
    if len(health):
        dead = np.nan_to_num(health[-1, :-1, COLUMNS.index("dead")])
        if dead.max(initial=0.0) >= DEAD:
            yield Finding(
                "train.dead_units",
                "warning",
                "",
                {"dead": [float(f"{share:.3g}") for share in dead]},
                f"{dead.max():.0%} of the units of a layer pass nothing on at any row of a batch.",
                "Lower the learning rate, or use activation='leaky_relu'.",
            )
        gradients = health[-1, :, COLUMNS.index("gradient_rms")]
        if gradients.min(initial=1.0) < VANISHED and float(health[-1, 0, COLUMNS.index("loss")]) > 0.1:
            yield Finding(
                "train.vanishing",
                "warning",
                "",
                {"gradient_rms": [float(f"{size:.3g}") for size in gradients]},
                "Hardly any gradient reaches a layer, while the loss asks for change.",
                "Use activation='relu', fewer layers, or init='auto'.",
            )
