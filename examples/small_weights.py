"""Small weights against noise: what a few weights do to a small change of the input, many large ones exaggerate.

Twenty noisy points of a sine. Without a penalty the network goes through the noise with large weights; with L2 it has
to do with small ones, bends less, and is nearer to the sine.
"""

import warnings

import jax
import numpy as np
from picture import folder, lines
from sklearn.exceptions import ConvergenceWarning

from axonic import FeedForwardRegressor

L2 = 3e-3
NOISE = 0.3


def size(model: FeedForwardRegressor) -> float:
    """The root of the sum of the squared weights, biases left out."""
    return float(np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(model.model_.members) if leaf.ndim == 2)))


def main() -> dict[str, tuple[float, float, float]]:
    """Draw both curves; returns for each the size of its weights, its error against the sine, and its answer to noise:
    how much a small normal change of the input moves the output."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(-3, 3, (20, 1)), axis=0)
    y = np.sin(x[:, 0]) + NOISE * rng.standard_normal(20)
    grid = np.linspace(-2.8, 2.8, 141)[:, None]
    moved = grid + 0.05 * rng.standard_normal(grid.shape)
    found, drawn = {}, {"sine": (grid[:, 0], np.sin(grid[:, 0]))}
    for name, l2 in (("no penalty", 0.0), (f"L2 {L2:g}", L2)):
        alone = {"regularization": None, "ensemble": 1, "early_stopping": False, "monitor": False}
        model = FeedForwardRegressor((32,), "tanh", "lbfgs", epochs=2000, l2=l2, **alone)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)
        answer = model.predict(grid)
        drawn[name] = (grid[:, 0], np.clip(answer, -2, 2))
        error = float(np.sqrt(np.mean((answer - np.sin(grid[:, 0])) ** 2)))
        found[name] = size(model), error, float(np.sqrt(np.mean((model.predict(moved) - answer) ** 2)))
        print(f"{name}: weights {found[name][0]:.3g}, error {error:.3g}, answer to noise {found[name][2]:.3g}")
    lines(folder() / "small_weights.svg", drawn, "x", "y", dots={"noisy points": (x[:, 0], y)})
    large, small = found.values()
    assert all(a > 1.5 * b for a, b in zip(large, small, strict=True)), "small weights should be better here"
    return found


if __name__ == "__main__":
    main()
