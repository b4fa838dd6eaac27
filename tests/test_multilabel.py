"""Several labels a row: each is a logistic regression of its own on what the hidden layers make of the columns."""

import warnings

import numpy as np
import onnxruntime
import polars as pl
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from axonic import FeedForwardClassifier, RBFClassifier, RecurrentClassifier, load, rbf_closed_form
from axonic.cli import main
from axonic.errors import InputError

QUICK = {"epochs": 20, "learning_rate": 0.1, "ensemble": 1, "regularization": None}


@pytest.fixture(scope="module")
def rows():
    return make_multilabel_classification(200, 6, n_classes=3, n_labels=2, random_state=0)


def test_without_a_hidden_layer_it_is_one_logistic_regression_for_each_label(rows):
    x, y = rows
    options = {"optimizer": "lbfgs", "early_stopping": False, "epochs": 200, "ensemble": 1, "regularization": None}
    model = FeedForwardClassifier((), **options).fit(x, y)
    p = model.predict_proba(x)
    for label, own in zip(y.T, p.T, strict=True):
        reference = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(model.model_.encode(x), label)
        np.testing.assert_allclose(own, reference.predict_proba(model.model_.encode(x))[:, 1], atol=2e-3)
    np.testing.assert_array_equal(model.predict(x), p > 0.5)
    assert model.score(x, y) == np.mean(np.all((p > 0.5) == y, axis=1))
    scores = model.model_.metrics(model.model_.encode(x), y.astype(np.float32))
    expected = sum(log_loss(label, own) for label, own in zip(y.T, p.T, strict=True))
    assert scores["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("training", ["closed_form", "gradient"])
def test_radial_functions(rows, training):
    x, y = rows
    quick = {"epochs": 5, "learning_rate": 0.01, "ensemble": 1} if training == "gradient" else {}
    model = RBFClassifier(n_centers=16, training=training, **quick).fit(x, y)
    p = model.predict_proba(x)
    constant = np.broadcast_to(y.mean(axis=0), y.shape)
    for k in range(3):
        assert log_loss(y[:, k], p[:, k]) < 0.95 * log_loss(y[:, k], constant[:, k])


def test_a_label_and_its_absence_are_two_classes(rows):
    """In closed form: the same readout, the same calibration, the same probabilities."""
    x, y = rows
    two = RBFClassifier(n_centers=16, shuffle=False).fit(x, y[:, 0]).predict_proba(x)
    each = RBFClassifier(n_centers=16, shuffle=False).fit(x, np.stack([1 - y[:, 0], y[:, 0]], axis=1)).predict_proba(x)
    np.testing.assert_allclose(each, two, atol=1e-5)
    weight = np.random.default_rng(0).random(len(y))
    indicators = rbf_closed_form.indicators(y[:, 0], 2)
    assert rbf_closed_form.constant_loss(indicators, weight, indicators.astype(int)) == pytest.approx(
        2 * rbf_closed_form.constant_loss(indicators, weight, y[:, 0])
    )


def test_file_and_onnx(rows, tmp_path):
    x, y = rows
    model = FeedForwardClassifier((8,), **QUICK).fit(x, y)
    model.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    np.testing.assert_array_equal(again.classes_, [0, 1, 2])
    assert again.set_params(warm_start=True).fit(x, y).predict(x).shape == y.shape
    model.export_onnx(tmp_path / "m.onnx", x)
    labels, p = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"x": x})
    np.testing.assert_allclose(p, model.predict_proba(x), atol=1e-6)
    np.testing.assert_array_equal(labels, model.predict(x))


def test_the_command_line_predicts_every_label(rows, tmp_path, capsys):
    x, y = rows
    frame = pl.DataFrame(x, schema=[f"x{j}" for j in range(x.shape[1])])
    frame.write_csv(tmp_path / "x.csv")
    model = FeedForwardClassifier((8,), **QUICK).fit(frame, y)
    model.save(tmp_path / "m.safetensors")
    assert main(["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "x.csv"), "--proba"]) == 0
    table = pl.read_csv(capsys.readouterr().out.encode())
    labels, proba = ([f"{name}_{i}" for i in (1, 2, 3)] for name in ("prediction", "proba"))
    assert table.columns == [*labels, *proba]
    np.testing.assert_array_equal(table.select(labels), model.predict(frame))
    np.testing.assert_allclose(table.select(proba), model.predict_proba(frame), atol=1e-6)


def test_in_parts_and_afresh_with_classes(rows):
    x, y = rows
    model = FeedForwardClassifier((8,), **QUICK)
    for _ in range(30):
        model.partial_fit(x, y)
    assert np.mean(model.predict(x) == y) > 0.75
    assert model.fit(x, y[:, 0]).predict_proba(x).shape == (len(x), 2)


@pytest.mark.parametrize("head", ["last", "every"])
def test_sequences(head):
    """The labels: whether the sums of two features so far are positive."""
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((n, 2)) for n in rng.integers(3, 8, 120)]
    each = [(one.cumsum(axis=0) > 0).astype(int) for one in x]
    y = each if head == "every" else np.stack([one[-1] for one in each])
    model = RecurrentClassifier("gru", (16,), head=head, monitor=False, **QUICK).fit(x, y)
    found = model.predict(x)
    assert np.mean(np.concatenate(found) == np.concatenate(each) if head == "every" else found == y) > 0.9


@pytest.mark.parametrize(
    ("options", "change", "said"),
    [
        ({}, lambda y: y + 1, "y has 3 columns and holds 2"),
        ({"class_weight": "balanced"}, lambda y: y, "class_weight = 'balanced' is impossible"),
        ({"label_smoothing": 0.1}, lambda y: y, "label_smoothing = 0.1 is impossible"),
        ({"loss": "log_likelihood"}, lambda y: y, "for several labels use one of auto, cross_entropy, mse"),
    ],
)
def test_what_does_not_go_together_is_refused(rows, options, change, said):
    x, y = rows
    with pytest.raises(InputError, match=said):
        FeedForwardClassifier(**options).fit(x, change(y))


def test_findings_of_each_label(rows):
    x, y = rows
    y = y.copy()
    y[:, 1] = 0
    y[:3, 1] = 1
    x = np.column_stack([x, y[:, 2]])
    for data in (x, pl.DataFrame(x).with_columns(word=pl.Series(["a", "b"] * 100))):  # numbers, and named columns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = {(f.code, f.where) for f in FeedForwardClassifier((8,), **QUICK).fit(data, y).findings_}
        assert {("data.imbalance", "label 2"), ("data.rare_class", "label 2")} <= found
        assert [code for code, _ in found].count("data.leak") == 1
        assert [code for code, _ in found].count("data.few_rows") <= 1
