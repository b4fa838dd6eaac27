"""The range of an output activation: which numbers it can predict, and so how targets are scaled for it."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from axonic.layers import activations
from axonic.layers.activations import Activation
from axonic.types import Scaling

GRID = np.linspace(-5.0, 5.0, 401)
REMOTE = np.array([[-1e9, 1e9], [-1e18, 1e18]])


def outputs(activation: Activation, z: np.ndarray) -> np.ndarray:
    """The activation at z in float64: single precision is flat or jitters where a sigmoid of 4z saturates."""
    with jax.enable_x64(True):
        return np.asarray(activation.value(jnp.asarray(z)), float)


def ends(activation: Activation) -> tuple[float, float]:
    """The lowest and the highest number it comes to, far out or in a hump near 0; infinite if it is still on its way
    far out."""
    if activation is activations.softmax:
        return 0.0, 1.0
    near, *far = (outputs(activation, z) for z in (GRID, *REMOTE))
    return _lowest(near, *far), -_lowest(-near, *(-a for a in far))


def scaling(activation: Activation) -> Scaling:
    """Targets are taken as they are if the range has an end, which standardised targets would lie beyond."""
    return "deviation" if ends(activation) == (-math.inf, math.inf) else "none"


def _lowest(near: np.ndarray, far: np.ndarray, farther: np.ndarray) -> float:
    dip, before, end = (float(a.min()) for a in (near, far, farther))
    if dip < min(before, end) - 1e-6 * (1 + abs(dip)):
        return math.floor(1e4 * dip) / 1e4  # the grid may just miss it
    return end if abs(end - before) <= 1e-6 * (1 + abs(end)) else -math.inf
