"""The linear model against scikit-learn's with the same penalty."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.linear_model import HuberRegressor, LogisticRegression, QuantileRegressor, Ridge
from sklearn.metrics import log_loss

from axonic import losses
from axonic.baselines import LinearModels, baselines, constant, linear, season
from axonic.data.batches import Rows, Split
from axonic.data.ragged import Ragged


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer, load_digits])
def test_softmax_regression(load):
    x, y = load(return_X_y=True)
    x = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1)
    train = np.arange(len(x)) % 3 > 0
    w, b = linear(x[train], np.eye(y.max() + 1)[y[train]], np.ones(train.sum()), losses.log_likelihood, True)
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
    w, b = linear(x, y[:, None], np.ones(len(x)), losses.squared_error, False)
    reference = Ridge(alpha=1.0).fit(x, y)
    np.testing.assert_allclose(w[:, 0], reference.coef_, rtol=1e-8)
    np.testing.assert_allclose(b, reference.intercept_, rtol=1e-10)


@pytest.mark.parametrize("classes", [True, False])
def test_columns_of_any_size_and_the_same_column_twice(classes):
    """As inputs that are not standardised may be: the loss is no higher than without them."""
    rng = np.random.default_rng(0)
    useful = rng.standard_normal((300, 2))
    awkward = np.column_stack([1e20 * useful[:, 0], 1e20 * useful[:, 0], 1e-15 * useful[:, 1], 1e6 + useful[:, 1]])
    y = np.eye(2)[(useful.sum(axis=1) + rng.standard_normal(300) > 0).astype(int)]
    loss = losses.log_likelihood if classes else losses.squared_error

    def value(x):
        w, b = linear(x, y, np.ones(300), loss, classes)
        z = x @ w + b
        return log_loss(y, softmax(z, axis=1)) if classes else np.mean((z - y) ** 2)

    assert value(awkward) < 1.01 * value(useful)


def test_constant():
    y = np.eye(3)[[0, 0, 1, 2]]
    w, b = constant(np.ones((4, 2)), y, np.ones(4), losses.log_likelihood, True)
    assert not w.any()
    np.testing.assert_allclose(np.exp(b), [0.5, 0.25, 0.25])


def test_the_constant_is_what_the_loss_asks_for():
    y = np.random.default_rng(0).exponential(size=(500, 2))
    for loss, expected in [
        (losses.squared_error, y.mean(axis=0)),
        (losses.absolute, np.median(y, axis=0)),
        (losses.quantile(0.9), np.quantile(y, 0.9, axis=0)),
    ]:
        _, b = constant(np.ones((500, 1)), y, np.ones(500), loss, False)
        np.testing.assert_allclose(b, expected, rtol=0.02)


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (losses.absolute, QuantileRegressor(alpha=0)),
        (losses.quantile(0.9), QuantileRegressor(quantile=0.9, alpha=0)),
        (losses.huber(), HuberRegressor(alpha=0)),
    ],
    ids=["absolute", "quantile", "huber"],
)
def test_the_linear_model_has_the_loss_of_the_network(loss, reference):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    y = x @ np.array([2.0, -1.0, 0.5]) + np.exp(x[:, 0]) * rng.exponential(size=400)
    w, b = linear(x, y[:, None], np.ones(400), loss, False)
    answers = jnp.asarray(x @ w + b), jnp.asarray(reference.fit(x, y).predict(x))[:, None]
    ours, best = (float(jnp.mean(loss.value(z, jnp.asarray(y)[:, None]))) for z in answers)
    assert ours == pytest.approx(best, rel=0.01)  # the reference's Huber has a scale of its own


def test_weighted_rows_count_as_often_as_they_weigh():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2000, 2)), rng.integers(1, 4, 2000)
    y = np.eye(2)[(x[:, 0] + rng.standard_normal(2000) > 1).astype(int)]
    rows = np.repeat(np.arange(2000), weight)
    for loss, classes in ((losses.log_likelihood, True), (losses.squared_error, False), (losses.huber(), False)):
        for fit in (constant, linear):
            weighted = fit(x, y, weight, loss, classes)
            repeated = fit(x[rows], y[rows], np.ones(len(rows)), loss, classes)
            for one, other in zip(weighted, repeated, strict=True):
                np.testing.assert_allclose(one, other, atol=0.005)  # the penalty of 1/n is another


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


def test_validation_scores_are_means_over_the_rows_of_each_network():
    """As those of the networks, which they stand beside, are."""
    x, y = load_diabetes(return_X_y=True)
    x, y = (x / x.std(axis=0)).astype(np.float32), ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    rows, test = Rows(x, y, np.ones(len(x), np.float32)), np.arange(0, len(x), 5)
    rest = np.setdiff1d(np.arange(len(x)), test)
    splits = [Split(np.setdiff1d(rest, valid), valid, test) for valid in (rest[:70], rest[70:140], rest[200:270])]

    def scores(z, y, weight):
        return {"rmse": float(np.sqrt(np.average((z - y)[:, 0] ** 2, weights=weight)))}

    model = SimpleNamespace(
        task="regression", loss=losses.squared_error, target=SimpleNamespace(n_out=1), scores=scores
    )
    found = baselines(model, rows, splits, LinearModels(rows, model.loss, 1))["linear"]

    def reference(split, part):
        prediction = Ridge(alpha=1.0).fit(x[split.train], y[split.train, 0]).predict(x[part])
        return float(np.sqrt(np.mean((prediction - y[part, 0]) ** 2)))

    assert found["valid"]["rmse"] == pytest.approx(np.mean([reference(s, s.valid) for s in splits]), rel=1e-4)
    assert found["test"]["rmse"] == pytest.approx(reference(splits[0], test), rel=1e-4)


@pytest.mark.parametrize(("loss", "classes"), [(losses.squared_error, 0), (losses.log_likelihood, 3)])
def test_of_sequences_with_more_steps_than_there_are_the_linear_model_is_the_same(loss, classes):
    """Fifty of 150 steps are turned into fifty inputs."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 150, 1)).astype(np.float32)
    y = x[:, ::30, 0].sum(axis=1)
    y = np.digitize(y, [-1, 1]).astype(np.int32) if classes else y.astype(np.float32)[:, None]
    rows = Rows(Ragged.of(x.reshape(-1, 1), np.full(50, 150)), y, np.ones(50, np.float32))
    models = LinearModels(rows, loss, classes or 1)
    assert models.inputs.shape == (50, 50)
    train, part = np.arange(40), np.arange(40, 50)
    found = models.linear(train, part)
    flat = x[:, :, 0].astype(float)
    w, b = linear(flat[train], np.eye(3)[y[train]] if classes else y[train], np.ones(40), loss, bool(classes))
    np.testing.assert_allclose(found, flat[part] @ w + b, atol=0.01 if classes else 1e-4)


def test_there_is_no_linear_model_of_sequences_that_are_too_long_or_differ_or_have_targets_of_each_step():
    def models(lengths, by_step=False):
        x = Ragged.of(np.zeros((sum(lengths), 1), np.float32), lengths)
        y = Ragged(x.values, x.offsets) if by_step else np.zeros((len(lengths), 1), np.float32)
        return LinearModels(Rows(x, y, np.ones(len(lengths), np.float32)), losses.each_step(losses.squared_error), 1)

    assert models([5, 5, 5]).inputs.shape == (3, 3)
    assert models([2, 2, 2]).inputs.shape == (3, 2)
    assert models([5, 4, 5]).inputs is None
    assert models([5, 5, 5], by_step=True).inputs is None
    assert models([3000] * 800).inputs.shape == (800, 800)
    assert models([3000] * 1000).inputs is None
    steps = models([5, 4, 6], by_step=True).constant(np.arange(2), np.arange(1, 3))
    assert steps.shape == (10, 1)
