"""Predictions and scores of a trained network."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error

from axonic import layers, losses
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged
from axonic.data.schema import infer_schema
from axonic.data.targets import TargetEncoder
from axonic.model import Model
from tests.oracles import compilations

N, N_IN = 5000, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, N_IN)) * [1.0, 50.0, 1e-3] + [0.0, 1e3, 0.0]
CODES = RNG.integers(0, 3, N)
LABELS = np.array(["ant", "bee", "cat"])[CODES]
NUMBERS = 300 + 7 * X[:, 0] + RNG.standard_normal(N)
PAIRS = np.stack([NUMBERS, 1e-6 * RNG.standard_normal(N)], axis=1)
WEIGHT = RNG.uniform(0.1, 3.0, N)

# name -> (target, task, loss, outputs)
KINDS = {
    "three classes": (LABELS, "classification", losses.log_likelihood, 3),
    "two classes": (CODES > 0, "classification", losses.cross_entropy, 1),
    "two classes, softmax": (np.minimum(CODES, 1), "classification", losses.log_likelihood, 2),
    "numbers": (NUMBERS, "regression", losses.squared_error, 1),
    "two numbers": (PAIRS, "regression", losses.squared_error, 2),
}


def make_model(name, n_networks=1, scale=1.0):
    """A model with random weights, as if trained."""
    y, task, loss, n_out = KINDS[name]
    network = layers.chain(layers.dense(5, "tanh"), layers.dropout(0.5), layers.dense(n_out))
    rng = np.random.default_rng(1)
    members = tuple(network.init(rng, N_IN) for _ in range(n_networks))
    last = [trees[-1]._replace(w=trees[-1].w * np.float32(scale)) for trees in members]
    members = tuple((*trees[:-1], end) for trees, end in zip(members, last, strict=True))
    return Model(network, loss, members, TableEncoder.from_array(X), TargetEncoder.fit(y, task))


@pytest.fixture(params=KINDS)
def name(request):
    return request.param


# --- predictions ---


@pytest.mark.parametrize("n_networks", [1, 3])
def test_a_prediction_does_not_depend_on_the_rows_beside_it(name, n_networks):
    model = make_model(name, n_networks)
    x = model.encoder.transform(X)
    everything = model.outputs(x)
    assert everything.shape == (N, KINDS[name][3])
    for n in (1, 2, 127, 128, 129, 4095, 4096, 4097, N):
        np.testing.assert_array_equal(model.outputs(x[:n]), everything[:n])
        np.testing.assert_array_equal(model.outputs(x[-n:]), everything[-n:])
    order = np.random.default_rng(2).permutation(N)
    np.testing.assert_array_equal(model.outputs(x[order]), everything[order])


def test_another_number_of_rows_or_networks_compiles_nothing(name):
    model = make_model(name, 2)
    x = model.encoder.transform(X)
    model.outputs(x[:10])
    with compilations() as compiled:
        for n in (1, 127, 128, 129, N):
            model.outputs(x[:n])
            model.predict(X[:n])
            model.metrics(x[:n], model.target.transform(KINDS[name][0][:n]))
        make_model(name, 3).outputs(x)
    assert compiled == []


def test_the_outputs_are_those_of_the_network(name):
    model = make_model(name)
    hidden, _, last = model.members[0]
    x = model.encoder.transform(X).astype(float)
    z = np.tanh(x @ hidden.w + hidden.b) @ last.w + last.b
    activation = model.loss.activation.name
    if activation == "sigmoid":
        z = 1 / (1 + np.exp(-z))
    elif activation == "softmax":
        z = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.outputs(model.encoder.transform(X)), z, rtol=1e-5, atol=1e-6)


def test_several_networks_give_the_mean_of_their_outputs(name):
    model = make_model(name, 3)
    x = model.encoder.transform(X[:200])
    alone = [model.alone(i).outputs(x) for i in range(3)]
    assert not np.allclose(alone[0], alone[1])
    np.testing.assert_allclose(model.outputs(x), np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)
    assert [len(model.alone(i).members) for i in range(3)] == [1, 1, 1]


def test_classes_and_their_probabilities():
    for name in ("three classes", "two classes", "two classes, softmax"):
        model = make_model(name, 2)
        p = model.predict_proba(X)
        assert p.dtype == np.float64
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
        assert p.min() >= 0
        predicted = model.predict(X)
        np.testing.assert_array_equal(predicted, np.unique(KINDS[name][0])[p.argmax(axis=1)])
        assert set(predicted) <= set(KINDS[name][0])


def test_numbers_come_in_the_unit_and_shape_of_the_target():
    for name, y in (("numbers", NUMBERS), ("two numbers", PAIRS)):
        model = make_model(name)
        predicted = model.predict(X)
        assert predicted.shape == y.shape
        assert predicted.dtype == np.float64
        standard = model.outputs(model.encoder.transform(X)).astype(float)
        np.testing.assert_allclose(predicted.reshape(N, -1), standard * y.std(axis=0) + y.mean(axis=0), rtol=1e-6)


def test_saturated_outputs_stay_probabilities():
    for name in ("three classes", "two classes"):
        model = make_model(name, scale=1e4)
        p = model.predict_proba(X)
        assert np.isfinite(p).all()
        assert p.max() == 1.0
        scores = model.metrics(model.encoder.transform(X), model.target.transform(KINDS[name][0]))
        assert np.isfinite(scores["loss"])
        assert scores["loss"] > 1


def test_a_table_is_read_by_the_names_of_its_columns():
    frame = pl.DataFrame(X[:50], schema=["u", "v", "w"]).with_columns(y=pl.Series(LABELS[:50]))
    encoder = TableEncoder.fit(frame, infer_schema(frame, "y"))
    model = dataclasses.replace(make_model("three classes"), encoder=encoder)
    expected = model.predict_proba(frame)
    np.testing.assert_array_equal(model.predict_proba(frame.select("w", "y", "v", "u")), expected)
    np.testing.assert_array_equal(model.predict(frame.drop("y")), model.predict(frame))
    with pytest.raises(ValueError, match="'v'"):
        model.predict(frame.drop("v"))


# --- scores ---


@pytest.mark.parametrize("weight", [None, WEIGHT, np.where(CODES == 1, 0.0, 2.0)], ids=["none", "weights", "zeros"])
@pytest.mark.parametrize("name", ["three classes", "two classes", "two classes, softmax"])
def test_scores_of_classes_are_those_of_scikit_learn(name, weight):
    model, y = make_model(name, 2), KINDS[name][0]
    scores = model.metrics(model.encoder.transform(X), model.target.transform(y), weight)
    p = model.predict_proba(X)
    assert set(scores) == {"loss", "accuracy", "ece"}
    assert scores["loss"] == pytest.approx(log_loss(y, p, sample_weight=weight), rel=1e-6)
    assert scores["accuracy"] == pytest.approx(accuracy_score(y, model.predict(X), sample_weight=weight), rel=1e-12)


@pytest.mark.parametrize("weight", [None, WEIGHT, np.where(CODES == 1, 0.0, 2.0)], ids=["none", "weights", "zeros"])
@pytest.mark.parametrize("name", ["numbers", "two numbers"])
def test_scores_of_numbers_are_those_of_scikit_learn(name, weight):
    model, y = make_model(name, 2), KINDS[name][0]
    codes = model.target.transform(y)
    scores = model.metrics(model.encoder.transform(X), codes, weight)
    predicted = model.predict(X)
    assert set(scores) == {"loss", "r2", "rmse", "mae"}
    assert scores["r2"] == pytest.approx(r2_score(y, predicted, sample_weight=weight), rel=1e-4)
    assert scores["mae"] == pytest.approx(mean_absolute_error(y, predicted, sample_weight=weight), rel=1e-5)
    standard = model.outputs(model.encoder.transform(X)).astype(float)
    half_squares = 0.5 * ((codes - standard) ** 2).sum(axis=1)
    assert scores["loss"] == pytest.approx(np.average(half_squares, weights=weight), rel=1e-5)
    if name == "numbers":
        expected = root_mean_squared_error(y, predicted, sample_weight=weight)
        assert scores["rmse"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("unit", [2.0**660, 2.0**-660])
def test_scores_of_numbers_whose_squares_are_beyond_float64(unit):
    model = make_model("numbers")
    x, y = model.encoder.transform(X), model.target.transform(NUMBERS)
    target = dataclasses.replace(
        model.target, center=(model.target.center[0] * unit,), scale=(model.target.scale[0] * unit,)
    )
    plain, scaled = model.metrics(x, y), dataclasses.replace(model, target=target).metrics(x, y)
    assert scaled["r2"] == plain["r2"]
    assert scaled["rmse"] == plain["rmse"] * unit
    assert scaled["mae"] == plain["mae"] * unit


def test_scores_of_few_rows():
    model = make_model("three classes")
    x, y = model.encoder.transform(X), model.target.transform(LABELS)
    assert model.metrics(x[:0], y[:0]) == {}
    one = model.metrics(x[:1], y[:1])
    assert one["loss"] == pytest.approx(-np.log(model.predict_proba(X[:1])[0, CODES[0]]), rel=1e-6)

    model = make_model("numbers")
    x, y = model.encoder.transform(X), model.target.transform(NUMBERS)
    assert model.metrics(x[:0], y[:0]) == {}
    one = model.metrics(x[:1], y[:1])
    assert np.isnan(one["r2"])
    assert one["rmse"] == pytest.approx(abs(model.predict(X[:1])[0] - NUMBERS[0]), rel=1e-4)


def test_the_loss_of_a_certain_mistake_is_finite():
    """A probability of 0 for the true class counts as the smallest float32 step, as in scikit-learn."""
    model = make_model("two classes", scale=1e6)
    x = model.encoder.transform(X)
    wrong = 1 - model.predict_proba(X).argmax(axis=1)
    loss = model.metrics(x, wrong.astype(np.int32))["loss"]
    assert 10 < loss < 17


@pytest.mark.parametrize("name", ["three classes", "two numbers"])
def test_scores_of_steps_count_all_alike_and_the_loss_every_sequence(name):
    model = make_model(name)
    y, lengths = KINDS[name][0][:600], np.repeat([2, 10], 50)
    known = RNG.random(600) > 0.2
    codes = model.target.transform(y)
    steps = np.where(known.reshape(-1, *[1] * (codes.ndim - 1)), codes, -1 if codes.dtype.kind == "i" else np.nan)
    a = model.outputs(model.encoder.transform(X[:600]))
    scores = model.scores(a, Ragged.of(steps.astype(codes.dtype), lengths))
    plain = model.scores(a[known], codes[known])
    assert {key: value for key, value in scores.items() if key != "loss"} == pytest.approx(
        {key: value for key, value in plain.items() if key != "loss"}, rel=1e-12
    )
    place = np.repeat(np.arange(100), lengths)[known]
    losses_of = model.losses(a[known], codes[known])
    some = np.unique(place)
    assert scores["loss"] == pytest.approx(np.mean([losses_of[place == i].mean() for i in some]), rel=1e-9)
