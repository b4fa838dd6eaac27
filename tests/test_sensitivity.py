"""The Jacobian against finite differences in float64, and on a network whose answer is known."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from axonic import FeedForwardClassifier, FeedForwardRegressor
from axonic.sensitivity import jacobian


def outputs(params, x):
    """z of a network of dense layers with tanh between, float64."""
    layers = [layer for layer in params if len(layer)]
    for i, layer in enumerate(layers):
        z = x @ np.asarray(layer.w, np.float64) + np.asarray(layer.b, np.float64)
        x = np.tanh(z) if i < len(layers) - 1 else z
    return z


def test_it_is_the_root_mean_square_of_the_derivatives_of_the_output():
    x, y = load_iris(return_X_y=True)
    model = FeedForwardClassifier((8,), activation="tanh", epochs=20, learning_rate=0.1, ensemble=2).fit(x, y).model_
    encoded = model.encoder.transform(x).astype(np.float64)
    squares = np.zeros(4)
    for params in model.members:
        for j in range(4):
            step = 1e-6 * np.eye(4)[j]
            slope = (outputs(params, encoded + step) - outputs(params, encoded - step)) / 2e-6
            squares[j] += np.sum(slope**2)
    expected = np.sqrt(squares / (2 * len(x)))
    np.testing.assert_allclose(jacobian(model, encoded.astype(np.float32)), expected, rtol=1e-4)


def test_a_linear_model_has_its_weights():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3))
    model = FeedForwardRegressor((), ensemble=1).fit(x, 2 * x[:, 0] - x[:, 1]).model_
    w = np.abs(np.asarray(model.members[0][-1].w)[:, 0])
    assert jacobian(model, model.encoder.transform(x)) == pytest.approx(w, rel=1e-5)
