"""Initial weights.

The variance of w is chosen so that the signal neither dies nor explodes on its way through the layers:

    he      2 / n_in              rectifiers pass half of the signal (He et al. 2015, eq. 10)
    glorot  2 / (n_in + n_out)    a compromise between forward and backward (Glorot and Bengio 2010, eq. 12)
    lecun   1 / n_in              keeps the variance of z at 1 (LeCun et al. 1998, section 4.6)

each drawn from the normal distribution (`_normal`) or the uniform one of the same variance (`_uniform`).
"""

import numpy as np

from axonic.errors import InputError

_VARIANCE = {
    "he": lambda n_in, _n_out: 2.0 / n_in,
    "glorot": lambda n_in, n_out: 2.0 / (n_in + n_out),
    "lecun": lambda n_in, _n_out: 1.0 / n_in,
}

INITS = ("auto", *(f"{name}_{shape}" for name in _VARIANCE for shape in ("normal", "uniform")), "zeros")


def check(init: str) -> str:
    """Return `init`, or raise `InputError` if no initialisation has that name."""
    if init not in INITS:
        raise InputError(f"unknown initialisation {init!r}", f"use one of {', '.join(INITS)}")
    return init


def draw(rng: np.random.Generator, init: str, suits: str, n_in: int, n_out: int) -> np.ndarray:
    """Weights of shape (n_in, n_out), float32.

    Parameters
    ----------
    rng : source of randomness.
    init : one of `INITS`; "auto" takes the scheme that suits the activation, uniform for glorot and normal otherwise.
    suits : "he", "glorot" or "lecun", from `Activation.init`.
    n_in, n_out : inputs and units.
    """
    if init == "zeros":
        return np.zeros((n_in, n_out), np.float32)
    if init == "auto":
        init = f"{suits}_{'uniform' if suits == 'glorot' else 'normal'}"
    name, shape = init.split("_")
    deviation = np.sqrt(_VARIANCE[name](n_in, n_out))
    if shape == "uniform":
        bound = np.sqrt(3.0) * deviation
        return rng.uniform(-bound, bound, (n_in, n_out)).astype(np.float32)
    return (deviation * rng.standard_normal((n_in, n_out))).astype(np.float32)


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    """A rotation or reflection of n dimensions, float32, every one as likely as any other (Mezzadri 2007).

    For recurrent weights: a signal that is sent through v again and again neither grows nor fades (Saxe, McClelland and
    Ganguli 2014).
    """
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return (q * np.where(np.diag(r) < 0, -1.0, 1.0)).astype(np.float32)
