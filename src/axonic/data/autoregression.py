"""A linear forecast of a series from its last values, which the network then has only to correct.

    forecast_h = base + sum_k w_kh (v_{t-k} - base) + c_h          h = 1 ... horizon, k = 0 ... window - 1

`base` is the last value of the window for a series that drifts, otherwise the mean of what training may know of. w is
had by ridge regression, w = (Z^T Z + lambda I)^-1 Z^T Y, with the penalty of the lowest error over five stretches of
the series, each forecast from the others; with a large one it becomes the base itself (a drifting series then stays
where it is).

Most of what a short series tells is linear, and a recurrent network needs many steps of training to say "the same as a
year ago". Trained on what the linear forecast leaves, it begins where that ends; a network that finds nothing more
gives its place to a constant, and the linear forecast remains.

Source: Zhang 2003, "Time series forecasting using a hybrid ARIMA and neural network model", Neurocomputing 50, for
training on what a linear model leaves; Lai et al. 2018 (arXiv 1703.07015) add both in one network; Hoerl and Kennard
1970 for the ridge.
"""

import math

import numpy as np
from jaxtyping import Float

STRETCHES = 5
PENALTIES = 10.0 ** np.arange(-8.0, 4.0)
"""Of a mean square of 1."""
CHUNK = 1 << 22
"""Numbers of windows that are laid out at a time."""


def steps_before(ends: np.ndarray, window: int) -> np.ndarray:
    """(n, window) the steps of the windows that end at `ends`."""
    return ends[:, None] + np.arange(1 - window, 1)


def steps_ahead(ends: np.ndarray, horizon: int) -> np.ndarray:
    """(n, horizon) the steps that follow them."""
    return ends[:, None] + np.arange(1, horizon + 1)


def unit_of(values: np.ndarray) -> float:
    """A power of two near the largest of values that are too huge or too small to be squared, otherwise 1."""
    size = float(np.abs(values).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(size)[1] - 1) if size > 1e100 or 0 < size < 1e-100 else 1.0


def fit_linear(
    values: np.ndarray, bases: np.ndarray, ends: np.ndarray, window: int, horizon: int
) -> Float[np.ndarray, "weights horizon"]:
    """The weights of the lagged values, oldest first, and below them the constants, (window + 1, horizon).

    Parameters
    ----------
    values : (steps,) the series.
    bases : (n,) what each window is counted from.
    ends : (n,) where the windows end that may be learned from.
    window, horizon : steps of a window, and steps ahead.
    """
    if (unit := unit_of(values)) != 1.0:
        weights = fit_linear(values / unit, bases / unit, ends, window, horizon)
        return np.vstack([weights[:-1], weights[-1:] * unit])
    parts = [part for part in np.array_split(np.arange(len(ends)), STRETCHES) if len(part)]
    sums = [_sums(values, bases[part], ends[part], window, horizon) for part in parts]
    whole_gram, whole_product = (np.sum([one[i] for one in sums], axis=0) for i in range(2))
    if len(parts) < 2:
        return _solve(whole_gram, whole_product, PENALTIES[-1])
    errors = np.zeros(len(PENALTIES))
    for gram, product, square in sums:
        for i, penalty in enumerate(PENALTIES):
            w = _solve(whole_gram - gram, whole_product - product, penalty)
            errors[i] += square - 2 * np.sum(w * product) + np.sum(w * (gram @ w))
    return _solve(whole_gram, whole_product, PENALTIES[int(errors.argmin())])


def linear_forecast(
    weights: Float[np.ndarray, "weights horizon"], values: np.ndarray, bases: np.ndarray, ends: np.ndarray
) -> Float[np.ndarray, "n horizon"]:
    """What follows the windows.

    Parameters
    ----------
    weights : as `fit_linear` gives them.
    values, bases, ends : the series, what each window is counted from, and where it ends.
    """
    window = len(weights) - 1
    z = values[steps_before(ends, window)] - bases[:, None]
    return bases[:, None] + z @ weights[:-1] + weights[-1]


def _sums(values: np.ndarray, bases: np.ndarray, ends: np.ndarray, window: int, horizon: int) -> tuple:
    """Z^T Z and Z^T Y, Z with a column of ones, and the sum of the squares of Y."""
    gram, product, square = np.zeros((window + 1, window + 1)), np.zeros((window + 1, horizon)), 0.0
    size = max(1, CHUNK // (window + horizon))
    for first in range(0, len(ends), size):
        part, base = ends[first : first + size], bases[first : first + size, None]
        z = np.hstack([values[steps_before(part, window)] - base, np.ones((len(part), 1))])
        y = values[steps_ahead(part, horizon)] - base
        gram += z.T @ z
        product += z.T @ y
        square += float(np.sum(y * y))
    return gram, product, square


def _solve(gram: np.ndarray, product: np.ndarray, penalty: float) -> np.ndarray:
    """The constant is not held back."""
    n = gram[-1, -1]
    size = np.trace(gram[:-1, :-1]) / max(1, len(gram) - 1)
    ridge = np.full(len(gram), penalty * size if size > 0 else n)
    ridge[-1] = 1e-12 * n
    return np.linalg.solve(gram + np.diag(ridge), product)
