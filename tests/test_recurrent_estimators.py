"""Recurrent estimators: predictions of sequences of mixed lengths, every parameter, files, scikit-learn's checks."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from axonic import RecurrentClassifier, RecurrentRegressor, load, optimizers
from axonic.data import batches
from axonic.errors import InputError
from axonic.layers import BothEnds, EveryStep, LastStep, MeanOverTime
from tests.oracles import compilations

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # most train too briefly
FAST = {
    "hidden_layer_sizes": (6,),
    "learning_rate": 0.03,
    "epochs": 25,
    "ensemble": 1,
    "regularization": None,
    "monitor": False,
}


def sequences(n=80, seed=0):
    """Sequences of 4 to 9 steps; the class is the sign of the first value."""
    rng = np.random.default_rng(seed)
    X = [rng.standard_normal((rng.integers(4, 10), 2)) for _ in range(n)]
    return X, np.array(["up" if x[0, 0] > 0 else "down" for x in X])


X, Y = sequences()
RUNNING = [np.cumsum(x[:, 0]) for x in X]


@pytest.fixture(scope="module")
def classifier():
    return RecurrentClassifier("gru", **{**FAST, "epochs": 60}).fit(X, Y)


def test_classes_of_sequences_of_mixed_lengths(classifier):
    assert classifier.score(X, Y) > 0.85
    p = classifier.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert classifier.classes_[p.argmax(axis=1)].tolist() == classifier.predict(X).tolist()
    alone = np.concatenate([classifier.predict_proba([x]) for x in X[:5]])
    np.testing.assert_allclose(alone, p[:5], atol=1e-5)
    longer = [*X[:3], np.zeros((40, 2))]
    np.testing.assert_allclose(classifier.predict_proba(longer)[:3], p[:3], atol=1e-5)


def test_how_far_a_batch_is_filled_up_changes_nothing(monkeypatch):
    """42 sequences of 50 train, in two batches of 21."""
    fits = []
    for filled_up in (1, 32):
        monkeypatch.setattr(batches, "FILLED_UP", filled_up)
        model = RecurrentClassifier("rnn", **FAST).fit(X[:50], Y[:50])
        fits.append((model.history_["train_loss"], model.predict_proba(X)))
    (losses, p), (losses_filled_up, p_filled_up) = fits
    np.testing.assert_allclose(losses_filled_up, losses, rtol=1e-4)
    np.testing.assert_allclose(p_filled_up, p, atol=1e-4)


def test_arrays_and_lists_are_the_same(classifier):
    same = [x[:4] for x in X]
    np.testing.assert_array_equal(classifier.predict_proba(np.stack(same)), classifier.predict_proba(same))


def test_the_order_of_the_sequences_does_not_matter_and_a_repeated_one_weighs_twice():
    order = np.random.default_rng(0).permutation(len(X))
    options = {**FAST, "epochs": 2}
    first = RecurrentClassifier("rnn", **options).fit(X, Y)
    other = RecurrentClassifier("rnn", **options).fit([X[i] for i in order], Y[order])
    np.testing.assert_array_equal(first.predict_proba(X), other.predict_proba(X))
    twice = RecurrentClassifier("rnn", **options).fit([*X, X[0]], [*Y, Y[0]])
    weight = np.ones(len(X))
    weight[0] = 2
    weighed = RecurrentClassifier("rnn", **options).fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(twice.predict_proba(X), weighed.predict_proba(X))


def test_save_and_load(classifier, tmp_path):
    classifier.save(tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert type(again) is RecurrentClassifier
    assert again.get_params() == classifier.get_params()
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(classifier)).predict(X), classifier.predict(X))


def test_numbers_at_every_step(tmp_path):
    model = RecurrentRegressor("gru", head="every", **{**FAST, "epochs": 60}).fit(X, RUNNING)
    assert model.score(X, RUNNING) > 0.8
    predicted = model.predict(X)
    assert [len(p) for p in predicted] == [len(x) for x in X]
    np.testing.assert_allclose(model.predict([X[3][:2]])[0], predicted[3][:2], atol=1e-5)  # it sees no later step
    assert model.predict(np.stack([x[:4] for x in X])).shape == (len(X), 4)
    model.save(tmp_path / "m.safetensors")
    for a, b in zip(load(tmp_path / "m.safetensors").predict(X), predicted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_classes_at_every_step():
    labels = [np.where(y > 0, "plus", "minus") for y in RUNNING]
    model = RecurrentClassifier("rnn", head="every", bidirectional=True, dropout=0.1, **FAST).fit(X, labels)
    assert model.score(X, labels) > 0.8
    assert model.predict(X)[0].shape == labels[0].shape
    assert model.predict_proba(X)[0].shape == (len(X[0]), 2)
    with pytest.raises(InputError, match="class_weight"):
        RecurrentClassifier(head="every", class_weight="balanced", **FAST).fit(X, labels)


def test_several_numbers_for_each_sequence():
    y = np.array([[x[-1, 0], x[-2, 0], x[:, 1].sum()] for x in X])
    model = RecurrentRegressor("lstm", **FAST).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.3


def test_a_series_is_continued(tmp_path):
    series = np.sin(np.arange(240) / 5)
    options = {**FAST, "hidden_layer_sizes": (8,), "epochs": 60, "learning_rate": 0.01}
    model = RecurrentRegressor("gru", **options).fit_series(series, window=16, horizon=4)
    np.testing.assert_allclose(model.forecast(series, 10), np.sin(np.arange(240, 250) / 5), atol=0.15)
    np.testing.assert_array_equal(model.forecast(series), model.forecast(series[-16:], 10)[:4])
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "m.safetensors").forecast(series, 10), model.forecast(series, 10))
    windows = np.lib.stride_tricks.sliding_window_view(series, 16)[:5]
    following = load(tmp_path / "m.safetensors").predict(windows[..., None])
    np.testing.assert_allclose(following, [model.forecast(window) for window in windows], rtol=1e-5)
    with pytest.raises(InputError, match=r"sequence 1 has 15 steps.*windows of 16"):
        model.predict([series[:16, None], series[:15, None]])
    with pytest.raises(InputError, match="shorter than the window"):
        model.forecast(series[:15])
    with pytest.raises(InputError, match="impossible"):
        model.forecast(series, 0)
    with pytest.raises(InputError, match="needs its last steps"):
        RecurrentRegressor("gru", **options, slicing=0.1).fit_series(series, window=16)


def test_a_series_that_rises_is_forecast_beyond_what_was_seen():
    time = np.arange(200.0)
    series = time + 3 * np.sin(time)
    model = RecurrentRegressor("gru", **{**FAST, "epochs": 60}).fit_series(series, window=12)
    future = np.arange(200.0, 220.0)
    np.testing.assert_allclose(model.forecast(series, 20), future + 3 * np.sin(future), atol=3)


def test_a_series_with_others_beside_it():
    rng = np.random.default_rng(0)
    cause = rng.standard_normal(300)
    series = np.column_stack([np.concatenate([[0.0], cause[:-1]]), cause])  # the next value is the cause now
    model = RecurrentRegressor("rnn", **FAST).fit_series(series, window=3)
    found = [model.forecast(series[: t + 1])[0] for t in range(250, 299)]
    assert np.corrcoef(found, series[251:300, 0])[0, 1] > 0.95
    with pytest.raises(InputError, match="more than the horizon"):
        model.forecast(series, 2)


@pytest.mark.parametrize("autoregression", [True, False])
@pytest.mark.parametrize(("loss", "relative"), [("poisson", False), ("auto", True)])
def test_counts_that_drift_are_forecast_with_any_loss(loss, relative, autoregression):
    counts = np.random.default_rng(1).poisson(5 + 0.2 * np.arange(150)).astype(float)
    assert counts.min() == 4
    assert np.diff(counts).min() < 0
    model = RecurrentRegressor("gru", loss=loss, **FAST).fit_series(counts, 8, 1, autoregression)
    assert model.model_.info["series"]["relative"] == relative
    assert bool(model.model_.info["series"]["linear"]) == (relative and autoregression)
    assert model.forecast(counts)[0] == pytest.approx(35, abs=12)
    with pytest.raises(InputError, match="the target holds -1, which this loss cannot take"):
        RecurrentRegressor("gru", loss="poisson", **FAST).fit_series(counts - 5, 8)


@pytest.mark.parametrize("bidirectional", ["auto", False])
def test_nothing_goes_on_from_a_series(bidirectional, tmp_path):
    """Its network answers what a linear forecast leaves, not what stands in y."""
    series = 10 + np.sin(np.arange(120) / 5)
    windows, y = np.lib.stride_tricks.sliding_window_view(series, 8)[:-1, :, None], series[8:]
    model = RecurrentRegressor("gru", bidirectional=bidirectional, **FAST).fit_series(series, 8)
    predicted = model.predict(windows)
    model.save(tmp_path / "m.safetensors")
    for one in (model, load(tmp_path / "m.safetensors")):
        with pytest.raises(InputError, match="partial_fit can't go on from fit_series: call fit_series again"):
            one.partial_fit(windows, y)
        one.set_params(warm_start=True)
        with pytest.raises(InputError, match="warm_start = True can't go on from fit_series: leave it out"):
            one.fit(windows, y)
        with pytest.raises(InputError, match="warm_start = True is impossible: leave it out: fit_series starts afresh"):
            one.fit_series(series, 8)
        np.testing.assert_array_equal(one.predict(windows), predicted)
    model.set_params(warm_start=False).fit(windows, y)
    assert model.partial_fit(windows, y).predict(windows).shape == y.shape


@pytest.mark.parametrize(
    ("options", "head"),
    [
        ({}, BothEnds),
        ({"bidirectional": False}, LastStep),
        ({"head": "mean", "bidirectional": True}, MeanOverTime),
        ({"head": "every", "truncate": 2}, EveryStep),
    ],
)
def test_heads(options, head):
    y = [np.sign(one) for one in RUNNING] if options.get("head") == "every" else Y
    model = RecurrentClassifier("rnn", **{**FAST, "epochs": 1, **options}).fit(X[:20], y[:20])
    assert any(isinstance(layer, head) for layer in model.model_.network.layers)


CHANGES = {
    "cell": "gru",
    "hidden_layer_sizes": (6, 5),
    "bidirectional": True,
    "head": "mean",
    "activation": "relu",
    "optimizer": optimizers.Momentum(0.03),
    "learning_rate": 0.01,
    "batch_size": 8,
    "epochs": 30,
    "loss": "mse",
    "init": "he_normal",
    "l2": 0.1,
    "l1": 0.1,
    "dropout": 0.5,
    "clip_norm": 0.01,
    "truncate": 1,
    "chrono": 5,
    "regularization": "auto",
    "ensemble": 2,
    "class_weight": {"up": 5, "down": 1},
    "standardize": False,
    "shuffle": False,
    "input_noise": 0.5,
    "scaling": 0.5,
    "slicing": 0.5,
    "weight_average": 0.9,
    "early_stopping": False,
    "validation_fraction": 0.4,
    "random_state": 1,
}


@pytest.mark.long
def test_every_parameter_changes_what_is_learned():
    base = {**FAST, "epochs": 3}
    start = {cell: RecurrentClassifier(cell, **base).fit(X, Y).predict_proba(X) for cell in ("rnn", "lstm")}
    told = set(inspect.signature(RecurrentClassifier).parameters)
    assert told - set(CHANGES) == {"recipe", "monitor", "warm_start", "verbose"}
    for name, value in CHANGES.items():
        cell = "lstm" if name == "chrono" else "rnn"
        changed = RecurrentClassifier(**{"cell": cell, **base, name: value}).fit(X, Y).predict_proba(X)
        assert not np.array_equal(changed, start[cell]), name


def test_every_parameter_is_documented():
    for kind in (RecurrentClassifier, RecurrentRegressor):
        for name in inspect.signature(kind).parameters:
            assert f"{name} :" in kind.__doc__ or f"{name}," in kind.__doc__, name


BAD = {
    "cell": ({"cell": "transformer"}, "use rnn, lstm, gru"),
    "head": ({"head": "first"}, "use last, mean, every"),
    "truncate": ({"truncate": 0}, "at least 1"),
    "chrono": ({"chrono": 2}, "at least 3"),
    "chrono_rnn": ({"cell": "rnn", "chrono": 9}, "an rnn has no gates"),
    "clip_norm": ({"clip_norm": -1.0}, "positive"),
    "clip with lbfgs": ({"optimizer": "lbfgs", "learning_rate": "auto", "clip_norm": 1.0}, "gradient itself"),
    "activation": ({"activation": "relu"}, "leave it at 'tanh'"),
    "scaling": ({"scaling": -0.1}, "not negative"),
    "slicing": ({"slicing": 1.0}, "below 1"),
    "slicing of steps": ({"slicing": 0.1, "head": "every"}, "none is to be missed"),
    "slicing with lbfgs": (
        {"slicing": 0.1, "optimizer": "lbfgs", "learning_rate": "auto"},
        "same loss at every step",
    ),
    "no layer": ({"hidden_layer_sizes": ()}, "at least one"),
}


@pytest.mark.parametrize("name", BAD)
def test_impossible_parameters_get_one_clear_line(name):
    options, says = BAD[name]
    with pytest.raises(InputError, match=says):
        RecurrentClassifier(**{**FAST, **options}).fit(X, Y)


def test_targets_of_steps_must_fit():
    with pytest.raises(InputError, match="sequence 1 has"):
        RecurrentRegressor(head="every", **FAST).fit(X, [RUNNING[0], RUNNING[1][:-1], *RUNNING[2:]])
    with pytest.raises(InputError, match="a target for each step"):
        RecurrentRegressor(head="every", **FAST).fit(X, np.ones(len(X)))
    with pytest.raises(ValueError, match="different lengths"):
        RecurrentClassifier(**FAST).fit(X, Y[:-1])
    with pytest.raises(InputError, match="too few"):
        RecurrentRegressor(**FAST).fit(X[:1], [1.0])


def test_other_features_are_refused(classifier):
    with pytest.raises(ValueError, match="3 features"):
        classifier.predict([np.ones((4, 3))])


def test_warm_start_and_partial_fit_go_on():
    model = RecurrentClassifier("rnn", warm_start=True, **{**FAST, "epochs": 3}).fit(X, Y)
    before = model.history_["train_loss"][0]
    for _ in range(4):
        model.fit(X, Y)
    assert model.history_["train_loss"][0] < before
    part = RecurrentClassifier("rnn", **FAST)
    for _ in range(3):
        part.partial_fit(X, Y, classes=["down", "up"])
    assert part.n_iter_ == 3


def test_the_sequence_at_fault_is_counted_as_it_was_given():
    """From 1 as a row, from 0 as a sequence."""
    weight = np.where(np.arange(len(X)) < 5, 0.0, 1.0)
    late = np.where(np.arange(len(X)) >= 70, "off", Y)
    with pytest.raises(InputError) as error:
        RecurrentClassifier("rnn", **FAST).partial_fit(X, late, weight, classes=["down", "up"])
    assert error.value.where == "target, row 71"
    steps = [np.full(len(x), label) for x, label in zip(X, late, strict=True)]
    by_step = RecurrentClassifier("rnn", head="every", **FAST)
    with pytest.raises(InputError) as error:
        by_step.partial_fit(X, steps, weight, classes=["down", "up"])
    assert error.value.where == "target, row 71"
    with pytest.raises(InputError, match="sequence 20 has"):
        by_step.fit(X, [*steps[:20], steps[20][:-1], *steps[21:]], weight)


@pytest.mark.parametrize("head", ["last", "every"])
def test_predictions_have_the_type_of_the_classes(head, tmp_path):
    codes = (Y == "up").astype(np.int8)
    y = codes if head == "last" else [np.full(len(x), code) for x, code in zip(X, codes, strict=True)]
    model = RecurrentClassifier("rnn", head=head, **{**FAST, "epochs": 2}).fit(X, y)
    model.save(tmp_path / "m.safetensors")
    for one in (model, load(tmp_path / "m.safetensors")):
        assert one.classes_.dtype == one.predict(X)[0].dtype == np.int8


def test_grids_pipelines_and_clones():
    array = np.stack([x[:4] for x in X])
    pipeline = make_pipeline(FunctionTransformer(), RecurrentClassifier("rnn", **{**FAST, "epochs": 2}))
    grid = GridSearchCV(pipeline, {"recurrentclassifier__learning_rate": [1e-6, 0.03]}, cv=2).fit(array, Y)
    assert grid.predict(array).shape == Y.shape
    assert clone(RecurrentClassifier(truncate=3)).truncate == 3


def test_a_second_order_rule():
    model = RecurrentRegressor("rnn", optimizer="lbfgs", **{**FAST, "learning_rate": "auto"})
    y = np.array([x[-1, 0] for x in X])
    assert model.fit(X, y).score(X, y) > 0.9


def test_the_whole_recipe():
    model = RecurrentClassifier("rnn", (4,), recipe="full", ensemble=2, epochs=8).fit(X, Y)
    stages = [stage["stage"] for stage in model.notebook_]
    assert stages[:2] == ["rate", "batch_size"]
    assert "run" in stages
    assert len(model.history_["epoch"]) == model.n_iter_


def test_one_program_serves_another_set_of_sequences():
    """Of as many steps, in batches that are filled up as far (`axonic.data.batches.Batches.width`)."""
    options = {**FAST, "epochs": 2, "hidden_layer_sizes": (7,)}
    RecurrentClassifier("rnn", **options).fit(*sequences(120, seed=2))
    more, labels = sequences(200, seed=1)
    with compilations() as compiled:
        RecurrentClassifier("rnn", **options).fit(more, labels)
    assert compiled == []


def test_a_rate_given_by_hand_is_the_first_thing_to_change_where_little_was_learned():
    x = np.random.default_rng(0).standard_normal((100, 12, 1))
    y = (x[:, -1, 0] * x[:, -2, 0] > 0).astype(int)
    options = {"learning_rate": 1e-7, "epochs": 2, "ensemble": 1, "regularization": None}
    model = RecurrentClassifier("rnn", (4,), random_state=1, **options)
    with pytest.warns(ConvergenceWarning):
        model.fit(x, y)
    (finding,) = [finding for finding in model.findings_ if finding.code == "data.no_signal"]
    assert finding.remedy.startswith('The rate of 1e-07 was given by hand: try learning_rate="auto" first.')


@pytest.mark.parametrize("given", [True, np.True_])
def test_a_series_is_gone_through_both_ways_if_that_is_asked_for(given):
    series = np.sin(np.arange(60) / 3)
    options = {"epochs": 1, "learning_rate": 0.01, "ensemble": 1, "monitor": False, "regularization": None}
    both = RecurrentRegressor("rnn", (3,), bidirectional=given, **options).fit_series(series, 8, 1)
    one = RecurrentRegressor("rnn", (3,), **options).fit_series(series, 8, 1)
    assert [type(model.model_.network.layers[0]).__name__ for model in (both, one)] == ["Bidirectional", "RNN"]
