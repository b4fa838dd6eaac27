"""Whether probabilities are what they say: among the answers given with probability p a share p should be right.

    bins        of equal width in the probability of the answer, (0, 1/B], ..., (1 - 1/B, 1]
    ece         sum over the bins of  share of the rows in it * |share of right answers - mean probability|

(Guo, Pleiss, Sun and Weinberger 2017, equations 2 and 3; Naeini, Cooper and Hauskrecht 2015.) The answer is the most
probable class. On few rows the error is above 0 for honest probabilities too, by about sqrt(B / n) of a bin's spread.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

BINS = 10


class Bin(NamedTuple):
    """A bin that has rows: its bounds, their number, their mean probability, and the share of right answers."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(
    p: Float[np.ndarray, "n n_classes"],
    codes: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"] | None = None,
    bins: int = BINS,
) -> list[Bin]:
    """The reliability curve: the bins that have rows, from low to high.

    Parameters
    ----------
    p : probabilities of the classes, rows summing to 1.
    codes : the true classes, as column numbers.
    weight : of the rows; None weighs them alike.
    bins : of equal width from 0 to 1.
    """
    return [each for each, _ in _binned(p, codes, weight, bins)]


def expected_calibration_error(
    p: Float[np.ndarray, "n n_classes"],
    codes: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"] | None = None,
    bins: int = BINS,
) -> float:
    """The mean distance of the reliability curve from the diagonal; see `reliability`.

    >>> import numpy as np
    >>> from axonic.calibration import expected_calibration_error
    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 3)
    0.4
    """
    return float(sum(share * abs(each.accuracy - each.confidence) for each, share in _binned(p, codes, weight, bins)))


def _binned(p: np.ndarray, codes: np.ndarray, weight: np.ndarray | None, bins: int) -> list[tuple[Bin, float]]:
    """The bins that have rows, each with its share of the weight."""
    weight = np.ones(len(p)) if weight is None else np.asarray(weight, np.float64)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == codes
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        rows = place == number
        if weight[rows].sum() > 0:
            mean = (float(np.average(values[rows], weights=weight[rows])) for values in (confidence, right))
            found.append(
                (Bin(number / bins, (number + 1) / bins, int(rows.sum()), *mean), weight[rows].sum() / weight.sum())
            )
    return found
