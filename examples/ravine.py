"""In a ravine gradient descent swings from wall to wall; momentum damps the swings and keeps the way along the floor.

The loss is x^2 / 2 + 25 y^2 / 2. Across the ravine one step at rate 0.077 multiplies y by 1 - 25 * 0.077 = -0.92.
Momentum in the notes' form, at the same rate, steps along a moving average of the gradients: what they agree on stays,
what they do not agree on averages out.
"""

import numpy as np
from picture import folder, lines

from axonic import minimize

RATE, STEPS = 0.077, 60
START = [-10.0, 1.0]


def path(rule: str, **hyper: float) -> np.ndarray:
    """The points of a descent, (steps + 1, 2)."""
    loss = lambda p: 0.5 * p[0] ** 2 + 12.5 * p[1] ** 2  # noqa: E731
    result = minimize(loss, START, rule, learning_rate=RATE, max_steps=STEPS, tol=0.0, keep_points=True, **hyper)
    return np.asarray(result.points)


def swings(points: np.ndarray) -> float:
    """How far it went across the ravine, up and down."""
    return float(np.abs(np.diff(points[:, 1])).sum())


def main() -> dict[str, float]:
    """Draw both ways; returns how far each went across."""
    ways = {"gradient descent": path("gd"), "momentum": path("momentum")}
    drawn = {name: (points[:, 0], points[:, 1]) for name, points in ways.items()}
    lines(folder() / "ravine.svg", drawn, "along the ravine", "across the ravine", points=True)
    across = {name: swings(points) for name, points in ways.items()}
    for name, length in across.items():
        print(f"{name}: {length:.1f} across the ravine, ends {np.linalg.norm(ways[name][-1]):.2g} from the minimum")
    assert across["momentum"] < across["gradient descent"] / 2, "momentum should damp the oscillation"
    return across


if __name__ == "__main__":
    main()
