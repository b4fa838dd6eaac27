"""Findings about the loss itself: one that is no number, and squared errors of a target that does not suit them."""

from collections.abc import Iterator

import numpy as np

from axonic.diagnosis.evidence import Evidence, rounded
from axonic.losses import SquaredError
from axonic.types import Finding

SPAN, ROUNDING = 100.0, 1e-6
"""Nine tenths of a skewed target lie this factor apart; encoded, a 0 comes back with such an error."""


def check_nonfinite(e: Evidence) -> Iterator[Finding]:
    """train.nonfinite: the loss is not a number before any step."""
    loss = float(e.column(e.first_look, "loss")[0])
    if not np.isfinite(loss):
        z = e.column(e.first_look, "z_rms")
        broken = [name for name, size in zip(e.layer_names, z, strict=True) if not np.isfinite(size)]
        where = broken[0] if broken else "loss"
        yield Finding(
            "train.nonfinite",
            "error",
            where,
            {"initial_loss": str(loss), "z_rms": [str(size) for size in z]},
            f"The loss is {loss} before the first step; the first numbers that are not finite are those of the "
            f"{where}.",
            "Check the loss for logarithms and quotients of 0 and the inputs for huge values; bring them to a common "
            "scale (standardize=True).",
        )


def check_skewed_target(e: Evidence) -> Iterator[Finding]:
    """data.skewed_target: a positive target over powers of ten, whose logarithm lies better. The loss
    "poisson", whose output is an exponential, must do better in absolute errors: a few squares of large ones tell
    little."""
    if not e.finite or e.ended or e.target is None or e.task.store is not None or type(e.loss) is not SquaredError:
        return
    if len(e.target.center) != 1:
        return
    (center,), (scale,) = e.target.center, e.target.scale
    numbers = e.task.rows.y[e.task.split.train, 0].astype(np.float64) * scale + center
    low, high = np.quantile(numbers, (0.05, 0.95))
    if numbers.min() < -ROUNDING * numbers.mean() or low <= 0 or high < SPAN * low:
        return
    skews = _skew(numbers), _skew(np.log(np.maximum(numbers, ROUNDING * low)))
    if abs(skews[1]) > abs(skews[0]) / 2:
        return
    comparison, negative = e.with_poisson(center, scale)
    if comparison.helped:
        yield Finding(
            "data.skewed_target",
            "warning",
            "target",
            {
                "5_percent_below": rounded(low),
                "5_percent_above": rounded(high),
                "skewness": rounded(skews[0]),
                "skewness_of_logarithm": rounded(skews[1]),
                "negative_answers": rounded(negative),
                **comparison.numbers(),
            },
            f"The target is never negative and spans powers of ten ({low:.3g} to {high:.3g} are nine tenths of it), so "
            f"that the few large ones decide all, and {negative:.0%} of the answers are negative. A loss for such "
            f"targets lowers the absolute error by {comparison.gain:.0%}.",
            'Use loss="poisson" (--loss poisson); or, if relative errors count, predict the logarithm, in Python with '
            "TransformedTargetRegressor of scikit-learn.",
        )


def _skew(values: np.ndarray) -> float:
    deviation = values.std()
    return float(np.mean((values - values.mean()) ** 3) / deviation**3) if deviation > 0 else 0.0
