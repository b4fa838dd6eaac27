"""The linear model against scikit-learn's with the same penalty."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

from axonic.baselines import constant, linear, season


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer, load_digits])
def test_softmax_regression(load):
    x, y = load(return_X_y=True)
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    train = np.arange(len(x)) % 3 > 0
    w, b = linear(x[train], np.eye(y.max() + 1)[y[train]], True)
    z = x @ w + b
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    # two classes: sklearn has one weight vector, the difference of ours, so half of the penalty is ours
    reference = LogisticRegression(C=1.0 if y.max() > 1 else 2.0, max_iter=5000).fit(x[train], y[train])
    expected = log_loss(y[~train], reference.predict_proba(x[~train]))
    assert log_loss(y[~train], p[~train]) == pytest.approx(expected, rel=0.02)


def test_ridge():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    w, b = linear(x, y[:, None], False)
    reference = Ridge(alpha=1.0).fit(x, y)
    np.testing.assert_allclose(w[:, 0], reference.coef_, rtol=1e-8)
    np.testing.assert_allclose(b, reference.intercept_, rtol=1e-10)


def test_constant():
    y = np.eye(3)[[0, 0, 1, 2]]
    w, b = constant(np.ones((4, 2)), y, True)
    assert not w.any()
    np.testing.assert_allclose(np.exp(b), [0.5, 0.25, 0.25])


def test_the_season_of_a_series_is_found_and_none_where_there_is_none():
    rng = np.random.default_rng(0)
    time = np.arange(200)
    yearly = 0.05 * time + 3 * np.sin(2 * np.pi * time / 12) + rng.standard_normal(200)
    assert season(yearly, 30) == 12
    assert season(yearly, 12) == 12  # a window of just one season
    assert season(yearly, 11) is None
    assert season(yearly, 8) is None
    assert season(np.where(time % 2, 1.0, -1.0) + 0.1 * rng.standard_normal(200), 10) == 2
    assert season(rng.standard_normal(200), 30) is None
    assert season(np.ones(50), 10) is None
