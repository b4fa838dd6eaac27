"""The rate sweep of the notes: too high a rate oscillates, too low a one is slow, and between them lies a calm one.

The same network on the same batches of scikit-learn's digits at the rates that the recipe tries, with the oscillation
index of each training loss (docs/recipe.md).
"""

import warnings

import numpy as np
from picture import folder, lines
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from axonic import FeedForwardClassifier
from axonic.recipe import oscillation


def main() -> dict[str, float]:
    """Draw the three curves; returns the oscillation index of each."""
    x, y = load_digits(return_X_y=True)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the sweep is what is looked at
    model = FeedForwardClassifier(hidden_layer_sizes=(32,), epochs=10, ensemble=1, monitor=False).fit(x, y)
    stage = model.notebook_[0]
    rates, taken = stage["rates"], stage["decision"]
    curves = {rate: np.array(curve, float) for rate, curve in zip(rates, stage["train"], strict=True)}
    finite = [rate for rate in rates if np.isfinite(curves[rate]).all()]
    high = max((rate for rate in finite if rate > taken), key=lambda rate: oscillation(curves[rate]))
    low = max(rate for rate in rates if rate < taken / 5)
    three = {f"{high:g}, oscillates": high, f"{taken:g}, calm": taken, f"{low:g}, slow": low}
    steps = np.arange(1, 21) * 15
    drawn = {name: (steps, curves[rate]) for name, rate in three.items()}
    lines(folder() / "rate_sweep.svg", drawn, "step", "training loss", log=True)
    index = {name: oscillation(curves[rate]) for name, rate in three.items()}
    for name, value in index.items():
        print(f"rate {name}: oscillation index {value:.2f}, training loss {curves[three[name]][-1]:.3g} at the end")
    oscillating, calm, slow = (curves[rate] for rate in three.values())
    assert oscillation(oscillating) > 5 * oscillation(calm), "the high rate should oscillate"
    assert slow[-1] > 2 * calm[-1], "the low rate should have come less far"
    return index


if __name__ == "__main__":
    main()
