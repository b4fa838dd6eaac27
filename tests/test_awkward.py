"""The recipe on data that nothing was made for: it always returns a usable network, and says what it saw."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from axonic import FeedForwardClassifier, FeedForwardRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def gaussian(n, d, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def halves(x, y):
    middle = len(x) // 2
    return x[:middle], x[middle:], y[:middle], y[middle:]


def few_rows():
    x, y = load_iris(return_X_y=True)
    return train_test_split(x, y, train_size=30, random_state=0, stratify=y)


def one_in_a_hundred():
    x = gaussian(2000, 5)
    return halves(x, (x[:, 0] > 2.33).astype(int))


def noise_classes():
    return halves(gaussian(600, 8), np.random.default_rng(1).integers(0, 3, 600))


def noise_numbers():
    return halves(gaussian(600, 8), gaussian(600, 1, seed=1)[:, 0])


def unscaled_classes():
    return train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)


def unscaled_numbers():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return train_test_split(1000 * x, y, random_state=0)


def large_target():
    x, y = load_diabetes(return_X_y=True)
    return train_test_split(x, 1e6 * y, random_state=0)


def linear():
    x = gaussian(1000, 6)
    return halves(x, x @ np.arange(1.0, 7.0))


def duplicated():
    x, test = gaussian(40, 4), gaussian(500, 4, seed=1)
    return np.repeat(x, 25, axis=0), test, np.repeat(x[:, 0] > 0, 25), test[:, 0] > 0


def wide():
    x = gaussian(600, 500)
    y = (x[:, 0] + x[:, 1] > 0).astype(int)
    return x[:100], x[100:], y[:100], y[100:]


# data, parameters, and the most that the test loss may be of that of the constant answer
CASES = {
    "30 rows": (few_rows, {}, 0.4),
    "99 : 1": (one_in_a_hundred, {}, 0.7),
    "noise, classes": (noise_classes, {}, 1.02),
    "noise, numbers": (noise_numbers, {}, 1.02),
    "unscaled, classes": (unscaled_classes, {"standardize": False}, 0.6),
    "unscaled, numbers": (unscaled_numbers, {"standardize": False}, 0.95),
    "target times 1e6": (large_target, {}, 0.8),
    "linear": (linear, {}, 0.01),
    "every row 25 times": (duplicated, {}, 0.5),
    "500 columns, 100 rows": (wide, {}, 1.02),
}

MOST_AWKWARD = ("30 rows", "99 : 1", "unscaled, numbers", "500 columns, 100 rows")
SMALL = {"hidden_layer_sizes": (16,), "ensemble": 2}


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_usable_network_comes_of_it(name):
    assert_usable(name)


@pytest.mark.parametrize("name", MOST_AWKWARD)
def test_two_small_networks_come_of_the_most_awkward(name):
    assert_usable(name, **SMALL)


def assert_usable(name, **size):
    make, parameters, most = CASES[name]
    x, x_test, y, y_test = make()
    classes = not np.issubdtype(np.asarray(y).dtype, np.floating)
    estimator = FeedForwardClassifier if classes else FeedForwardRegressor
    model = estimator(recipe="full", random_state=0, **parameters, **size).fit(x, y)
    if classes:
        labels, counts = np.unique(y, return_counts=True)
        trivial = log_loss(y_test, np.tile(counts / len(y), (len(y_test), 1)), labels=labels)
        loss = log_loss(y_test, model.predict_proba(x_test), labels=labels)
    else:
        trivial, loss = np.mean((y_test - y.mean()) ** 2), np.mean((y_test - model.predict(x_test)) ** 2)
    assert np.isfinite(loss)
    assert loss <= most * trivial
    assert {"rate", "batch_size", "run"} <= {stage["stage"] for stage in model.notebook_}
    assert all(stage["reason"] for stage in model.notebook_)


@pytest.mark.parametrize("make", [noise_classes, noise_numbers])
def test_noise_is_called_noise(make):
    x, _, y, _ = make()
    estimator = FeedForwardRegressor if np.issubdtype(y.dtype, np.floating) else FeedForwardClassifier
    with pytest.warns(ConvergenceWarning, match="no better"):
        estimator((64,), learning_rate=0.1, ensemble=1, regularization=None, random_state=0).fit(x, y)
    model = estimator((64,), ensemble=2, random_state=0).fit(x, y)
    assert [finding.code for finding in model.findings_] == ["data.no_signal"]
