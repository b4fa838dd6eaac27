"""What is kept for the page, against NumPy and scikit-learn."""

import dataclasses

import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.metrics import confusion_matrix

from axonic import layers, losses
from axonic.data.batches import Rows, Split
from axonic.data.columns import Column
from axonic.data.encoding import TableEncoder
from axonic.data.schema import Schema
from axonic.data.targets import TargetEncoder
from axonic.model import Model
from axonic.report.evidence import evidence, importance, sequence_evidence

NONE = np.empty(0, np.int64)


def linear(x, y, task, w):
    """A linear model with given weights."""
    encoder = TableEncoder.from_array(x)
    target = TargetEncoder.fit(y, task)
    loss = losses.squared_error if task == "regression" else losses.log_likelihood
    params = (layers.DenseParams(w.astype(np.float32), np.zeros(w.shape[1], np.float32)),)
    model = Model(layers.chain(layers.dense(w.shape[1])), loss, (params,), encoder, target)
    return model, Rows(encoder.transform(x), target.transform(y), np.ones(len(x), np.float32))


def schema(n, task):
    return Schema(tuple(Column(f"x{i}", "number") for i in range(n)), "y", task)


def test_classes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    y = np.array(["a", "b", "c"])[(x + 0.7 * rng.standard_normal(x.shape)).argmax(axis=1)]
    model, rows = linear(x, y, "classification", 2 * np.eye(3))
    test = np.arange(100, 200)
    kept = evidence(model, rows, Split(np.arange(100), NONE, test), np.arange(1, 201), schema(3, "classification"))
    predicted = model.predict(x[test])
    assert kept["confusion"] == confusion_matrix(y[test], predicted).tolist()
    p = model.predict_proba(x[test])
    assert sum(b["n"] for b in kept["reliability"]) == 100
    mean = sum(b["n"] * b["accuracy"] for b in kept["reliability"]) / 100
    np.testing.assert_allclose(mean, np.mean(predicted == y[test]))
    of_truth = p[np.arange(100), np.searchsorted(model.target.classes, y[test])]
    wrong = np.flatnonzero(predicted != y[test])
    first = wrong[of_truth[wrong].argmin()]
    assert kept["worst"][0]["row"] == test[first] + 1
    assert kept["worst"][0]["true"] == y[test][first]
    assert all(one["true"] != one["predicted"] for one in kept["worst"])


def test_numbers():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    y = 10 + 3 * x[:, 0] + rng.standard_normal(300)
    model, rows = linear(x, y, "regression", np.array([[0.9], [0.0]]))
    kept = evidence(
        model, rows, Split(np.arange(200), np.arange(200, 300), NONE), np.arange(1, 301), schema(2, "regression")
    )
    assert kept["part"] == "valid"
    residual = y[200:] - model.predict(x[200:])
    np.testing.assert_allclose(kept["worst"][0]["row"], 201 + np.abs(residual).argmax())
    assert sum(kept["residuals"]["counts"]) == 100
    np.testing.assert_allclose(kept["points"]["true"], y[200:], rtol=1e-5)


def of_two(model):
    """A model of two networks, of which the first answers 0 everywhere."""
    first = layers.DenseParams(*(np.zeros_like(values) for values in model.members[0][0]))
    return dataclasses.replace(model, members=((first,), *model.members))


def test_on_validation_rows_the_network_that_holds_them_out_answers_alone():
    x = np.random.default_rng(0).standard_normal((300, 2))
    model, rows = linear(x, 10 + 3 * x[:, 0], "regression", np.array([[1.0], [0.0]]))
    both, held, shown = of_two(model), np.arange(200, 300), (np.arange(1, 301), schema(2, "regression"))
    kept = evidence(both, rows, Split(np.arange(200), held, NONE), *shown)
    alone = evidence(both.alone(0), rows, Split(np.arange(200), held, NONE), *shown)
    assert kept == alone | {"network": 1}
    np.testing.assert_allclose(kept["points"]["predicted"], np.full(100, model.target.center), rtol=1e-6)
    kept = evidence(both, rows, Split(np.arange(200), NONE, held), *shown)
    assert "network" not in kept
    np.testing.assert_allclose(kept["points"]["predicted"], both.predict(x[200:]), rtol=1e-6)


def test_windows_of_a_series_are_held_out_by_all_networks():
    x = np.random.default_rng(0).standard_normal((60, 2))
    model, rows = linear(x, x[:, 0], "regression", np.array([[1.0], [0.0]]))
    both = dataclasses.replace(of_two(model), info={"series": {"window": 2}})
    shown = (both, rows, Split(np.arange(40), np.arange(40, 60), NONE), schema(2, "regression"))
    kept = sequence_evidence(*shown, np.zeros((60, 1)), ())
    assert "network" not in kept
    np.testing.assert_allclose(kept["series"]["forecast"], both.predict(x[40:]), rtol=1e-5, atol=1e-6)
    kept = sequence_evidence(*shown, None, ())
    assert kept["network"] == 1
    np.testing.assert_allclose(kept["points"]["predicted"], both.alone(0).predict(x[40:]), rtol=1e-5, atol=1e-6)


def test_importance_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    y = 2 * x[:, 0] + x[:, 1]
    model, rows = linear(x, y, "regression", np.array([[0.8], [0.4], [0.0]]))
    found = {column["name"]: column["rise"] for column in importance(model, rows.x, rows.y)}

    def loss(_, x, y):
        return -model.metrics(model.encoder.transform(x), model.target.transform(y))["loss"]

    class Fitted:
        def fit(self, X, y):
            return self

    reference = permutation_importance(Fitted(), x, y, scoring=loss, n_repeats=30, random_state=0)
    np.testing.assert_allclose([found["x0"], found["x1"], found["x2"]], reference.importances_mean, rtol=0.1, atol=1e-6)


def test_without_rows_there_is_the_schema_alone():
    x = np.random.default_rng(0).standard_normal((20, 2))
    model, rows = linear(x, x[:, 0], "regression", np.ones((2, 1)))
    kept = evidence(model, rows, Split(np.arange(20), NONE, NONE), np.arange(1, 21), schema(2, "regression"))
    assert set(kept) == {"columns", "part", "n"}
