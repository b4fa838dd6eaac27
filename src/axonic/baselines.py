"""What a network has to beat: the constant answer, and a linear model on the same encoded rows.

    constant   the mean of the target, or the frequencies of the classes, in the training rows
    linear     numbers: ridge regression, w = (X^T X / n + I / n)^-1 X^T y / n on centred X and y
               classes: logistic (softmax) regression, the minimum of the mean log-loss + 1/(2n) sum w^2

The penalty is that of the networks, l2 = 1/n (see `axonic.recipe.penalty`). The softmax is found by accelerated
gradient steps of 1/L with L the largest curvature (Nesterov 1983, restarted where the loss rises: O'Donoghue and
Candes 2015), as many as `WORK` allows. Both take `MAX_ROWS` training rows at most, evenly spaced.
"""

from typing import Any

import numpy as np

from axonic.data.batches import Rows, Split
from axonic.model import Model

MAX_ROWS = 20_000
WORK = 2_000_000_000
"""Rows times inputs times classes times steps."""
STEPS = (50, 500)
"""Gradient steps at least and at most."""
MAX_INPUTS = 2_000
"""Inputs beyond which the linear model is left out: its matrix would be too large."""


def baselines(model: Model, rows: Rows, split: Split) -> dict[str, dict[str, Any]]:
    """Scores on the validation and test rows, as of `Model.metrics`.

    Returns
    -------
    "constant" and "linear", each with "valid" and "test". The linear one is left out above `MAX_INPUTS` inputs.
    """
    fits = {"constant": constant, "linear": linear}
    train = split.train[:: max(1, -(-len(split.train) // MAX_ROWS))]
    x, y = rows.x[train].astype(np.float64), _targets(rows.y[train], model.target.n_out)
    found = {}
    for name, fit in fits.items():
        if name == "linear" and x.shape[1] > MAX_INPUTS:
            continue
        w, b = fit(x, y, model.task == "classification")
        found[name] = {part: _scores(model, rows, getattr(split, part), w, b) for part in ("valid", "test")}
    return found


def constant(x: np.ndarray, y: np.ndarray, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) of the constant answer: w is 0."""
    mean = y.mean(axis=0)
    b = np.log(np.maximum(mean, 1e-12)) if classes else mean
    return np.zeros((x.shape[1], y.shape[1])), b


def linear(x: np.ndarray, y: np.ndarray, classes: bool) -> tuple[np.ndarray, np.ndarray]:
    """(w, b) of the linear model, for x (n, n_in) and y (n, n_out)."""
    return _softmax_regression(x, y) if classes else _ridge(x, y)


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, n_in = x.shape
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    w = np.linalg.solve(x.T @ x / n + np.eye(n_in) / n, x.T @ y / n)
    return w, mean_y - mean_x @ w


def _softmax_regression(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, n_in = x.shape
    x = np.hstack([x, np.ones((n, 1))])
    l2 = np.full((n_in + 1, 1), 1.0 / n)
    l2[-1] = 0.0  # no penalty on b
    curvature = 0.5 * np.linalg.norm(x, 2) ** 2 / n + 1.0 / n
    w = ahead = np.zeros((n_in + 1, y.shape[1]))
    loss, t = np.inf, 1.0
    for _step in range(int(np.clip(WORK / max(1, x.size * y.shape[1]), *STEPS))):
        z = x @ ahead
        z -= z.max(axis=1, keepdims=True)
        a = np.exp(z)
        total = a.sum(axis=1, keepdims=True)
        before, loss = loss, float(np.mean(np.log(total[:, 0]) - np.sum(y * z, axis=1)) + 0.5 * np.sum(l2 * ahead**2))
        new = ahead - (x.T @ (a / total - y) / n + l2 * ahead) / curvature
        t, past = (1.0, 0.0) if loss > before else ((1 + np.sqrt(1 + 4 * t * t)) / 2, (t - 1.0))
        w, ahead = new, new + past / t * (new - w)
    return w[:-1], w[-1]


def _targets(y: np.ndarray, n_out: int) -> np.ndarray:
    """Targets as (n, n_out) float64; class indices as rows with a single 1."""
    if y.dtype.kind == "i":
        return np.eye(n_out)[y]
    return y.astype(np.float64).reshape(len(y), -1)


def _scores(model: Model, rows: Rows, part: np.ndarray, w: np.ndarray, b: np.ndarray) -> dict[str, float]:
    if len(part) == 0:
        return {}
    z = rows.x[part] @ w + b
    if model.task == "classification":
        z = np.exp(z - z.max(axis=1, keepdims=True))
    return model.scores(z, rows.y[part], rows.weight[part])
