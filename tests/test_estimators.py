"""Feed-forward networks as estimators: what users of scikit-learn expect beyond its own checks."""

import datetime as dt
import inspect
import io
import json
import pickle
import re
import shutil
from copy import deepcopy

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, mean_poisson_deviance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from axonic import FeedForwardClassifier, FeedForwardRegressor, RBFClassifier, load, losses, optimizers
from axonic.cli import main
from axonic.errors import InputError
from axonic.layers import activations
from axonic.specs import spec
from tests import plainly
from tests.oracles import compilations

pytestmark = pytest.mark.filterwarnings("ignore:.*networks did no better")
"""A few epochs, as `fast` trains, need not learn anything."""


N = 60
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal((N, 3))
X = NORMAL * [1.0, 3.0, 0.1] + [0.0, 5.0, 0.0]
CODES = np.argmax(8 * NORMAL + RNG.gumbel(size=(N, 3)), axis=1)
CLASSES = ["ant", "bee", "cat"]
LABELS = np.array(CLASSES)[CODES]
NUMBERS = 10 * np.sin(X[:, 0]) + X[:, 1] + 100.0
PAIRS = np.stack([NUMBERS, 1e-3 * X[:, 2]], axis=1)

# name -> (class, target)
KINDS = {
    "text classes": (FeedForwardClassifier, LABELS),
    "two classes": (FeedForwardClassifier, CODES == 1),
    "whole-number classes": (FeedForwardClassifier, CODES * 10 - 10),
    "fractional classes": (FeedForwardClassifier, CODES.astype(float)),
    "numbers": (FeedForwardRegressor, NUMBERS),
    "two targets": (FeedForwardRegressor, PAIRS),
}
PARAMETERS = sorted(inspect.signature(FeedForwardClassifier).parameters)


def fast(cls=FeedForwardClassifier, **parameters):
    """One small network, trained for a few epochs at a fixed rate."""
    quick = {
        "hidden_layer_sizes": (4,),
        "learning_rate": 0.1,
        "epochs": 3,
        "batch_size": 16,
        "regularization": None,
        "monitor": False,
    }
    return cls(**{**quick, **parameters})


def outputs(model, x=X):
    """Probabilities of a classifier, predictions of a regressor."""
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


def weights(model):
    """All weights of a fitted model as one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(model.model_.members)])


def assert_one_line(error, says=""):
    message = str(error.value)
    assert "\n" not in message
    assert says in message


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def fitted():
    """A model of each kind."""
    return {name: fast(cls, monitor=True).fit(X, y) for name, (cls, y) in KINDS.items()}


# --- scikit-learn's conventions ---


@pytest.mark.parametrize("cls", [FeedForwardClassifier, FeedForwardRegressor])
def test_every_parameter_is_documented_in_order_and_nothing_else_is(cls):
    section = re.search(r"\n    Parameters\n    -+\n(.*?)\n\n", cls.__doc__, re.DOTALL).group(1)
    named = [name for line in re.findall(r"^    (\w[\w, ]*) :", section, re.MULTILINE) for name in line.split(", ")]
    assert sorted(named) == sorted(inspect.signature(cls).parameters)
    for name in re.findall(r"Default ([^\s,;]+?)\.?\s", section):
        assert "None" not in name or "None" in section


@pytest.mark.parametrize("cls", [FeedForwardClassifier, FeedForwardRegressor])
def test_every_attribute_documented_is_there_after_a_fit(cls):
    section = re.search(r"\n    Attributes\n    -+\n(.*)", cls.__doc__, re.DOTALL).group(1)
    named = [name for line in re.findall(r"^    (\w[\w, ]*) :", section, re.MULTILINE) for name in line.split(", ")]
    assert {"learning_rate_", "n_iter_", "history_", "n_features_in_"} <= set(named)
    frame = pl.DataFrame(X, schema=["u", "v", "w"])
    model = fast(cls).fit(frame, CODES if cls is FeedForwardClassifier else NUMBERS)
    for name in named:
        assert hasattr(model, name), name


@pytest.mark.parametrize("optimizer", ["adam", optimizers.Momentum(momentum=0.5), optax.sgd(1.0)])
def test_clone_has_the_parameters_and_is_not_fitted(optimizer):
    model = fast(optimizer=optimizer, hidden_layer_sizes=[4], epochs=1).fit(X, LABELS)
    copy = clone(model)
    assert copy.get_params().keys() == model.get_params().keys()
    assert copy.hidden_layer_sizes == [4]
    with pytest.raises(NotFittedError):
        copy.predict(X)
    np.testing.assert_array_equal(outputs(copy.fit(X, LABELS)), outputs(model))


@pytest.mark.parametrize("name", KINDS)
def test_pickle_of_a_fitted_model(name, fitted):
    model = fitted[name]
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(outputs(copy), outputs(model))
    assert copy.get_params() == model.get_params()
    for column in model.history_:
        np.testing.assert_array_equal(copy.history_[column], model.history_[column])


def test_pickle_of_an_unfitted_model_trains_as_the_original():
    model = fast(optimizer=optimizers.Adam(beta1=0.8), activation="tanh", loss=losses.mse("softmax"))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(copy.fit(X, LABELS)), outputs(model.fit(X, LABELS)))


def test_pickling_goes_on_where_training_stopped():
    model = fast().partial_fit(X, LABELS, classes=CLASSES)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(outputs(copy.partial_fit(X, LABELS)), outputs(model.partial_fit(X, LABELS)))


def test_an_optax_transformation_goes_where_cloudpickle_does():
    """As in `cross_val_score(..., n_jobs=2)`; pickle itself can't take optax's inner functions."""
    model = fast(optimizer=optax.sgd(0.1)).fit(X, LABELS)
    for copy in (deepcopy(model), pickle.loads(cloudpickle.dumps(model))):
        np.testing.assert_array_equal(outputs(copy), outputs(model))


def test_pipeline_grid_search_and_cross_validation():
    holes = X.copy()
    holes[::7, 1] = np.nan
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), fast(epochs=10))
    scores = cross_val_score(pipeline, holes, LABELS, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.5  # a third is chance

    grid = {
        "feedforwardclassifier__learning_rate": [1e-6, 0.3],
        "feedforwardclassifier__hidden_layer_sizes": [(4,), ()],
    }
    search = GridSearchCV(pipeline, grid, cv=2).fit(holes, LABELS)
    assert search.best_params_["feedforwardclassifier__learning_rate"] == 0.3
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0
    assert search.predict(holes).shape == (N,)
    assert search.score(holes, LABELS) > 0.5

    regressor = fast(FeedForwardRegressor, epochs=30, optimizer="adam", learning_rate=0.03)
    assert cross_val_score(regressor, X, NUMBERS, cv=2).shape == (2,)


def test_prediction_before_fit_is_refused(kind):
    cls, _ = kind
    with pytest.raises(NotFittedError):
        cls().predict(X)
    with pytest.raises(NotFittedError):
        cls().save("nowhere.safetensors")


@pytest.mark.parametrize("name", KINDS)
def test_predictions_have_the_type_of_the_target(name, fitted):
    model, (_, y) = fitted[name], KINDS[name]
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype
    assert predicted.shape == y.shape
    if name == "two targets":
        assert np.all(np.abs(predicted[:, 1]) < 0.1)
        assert np.all(np.abs(predicted[:, 0] - 100) < 50)
    if hasattr(model, "classes_"):
        np.testing.assert_array_equal(model.classes_, np.unique(y))
        np.testing.assert_array_equal(predicted, model.classes_[outputs(model).argmax(axis=1)])
        np.testing.assert_allclose(outputs(model).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["i1", "u8", "f4", "O"])
def test_predictions_have_the_type_of_the_classes(dtype, tmp_path):
    """Before and after a file, and whatever the type of the labels of a later call."""
    y = LABELS if dtype == "O" else CODES
    model = fast().fit(X, y.astype(dtype))
    model.save(tmp_path / "m.safetensors")
    for one in (model, load(tmp_path / "m.safetensors"), deepcopy(model).partial_fit(X, y)):
        assert one.predict(X).dtype == one.classes_.dtype == dtype
        np.testing.assert_array_equal(one.classes_, model.classes_)


def test_a_forged_type_of_the_classes_is_refused(fitted, tmp_path):
    model = fitted["whole-number classes"]  # -10, 0 and 10
    for forged in ("uint8", "bool", "datetime64[s]", "int8,int8", ",", 3, None, ["int8"]):
        changed = deepcopy(model)
        changed.model_.info["label_dtype"] = forged
        changed.save(tmp_path / "m.safetensors")
        with pytest.raises(InputError, match="not a whole") as error:
            load(tmp_path / "m.safetensors")
        assert_one_line(error)


def test_targets_of_several_columns_are_learned_each_in_its_unit():
    model = fast(FeedForwardRegressor, epochs=200, optimizer="adam", learning_rate=0.02).fit(X, PAIRS)
    assert model.score(X, PAIRS) > 0.7
    for column in range(2):
        spread = np.var(PAIRS[:, column])
        assert np.mean((model.predict(X)[:, column] - PAIRS[:, column]) ** 2) < 0.5 * spread


def test_defaults_learn():
    assert FeedForwardClassifier().fit(*load_iris(return_X_y=True)).score(*load_iris(return_X_y=True)) > 0.95
    assert FeedForwardRegressor().fit(*load_diabetes(return_X_y=True)).score(*load_diabetes(return_X_y=True)) > 0.45


# --- what goes in ---


@pytest.mark.parametrize("name", ["text classes", "numbers"])
@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        lambda x: x.astype(np.float32),
        lambda x: np.asfortranarray(x.astype(np.float32)),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1][::-1],
        lambda x: x.tolist(),
    ],
    ids=["fortran", "float32", "float32 fortran", "strided", "reversed view", "lists"],
)
def test_the_layout_of_the_input_does_not_matter_at_prediction(change, name, fitted):
    np.testing.assert_allclose(outputs(fitted[name], change(X)), outputs(fitted[name]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2], lambda x: x.tolist()],
    ids=["fortran", "strided", "lists"],
)
def test_the_layout_of_the_input_does_not_matter_at_fitting(change, fitted):
    model = fast().fit(change(X), LABELS)
    np.testing.assert_array_equal(outputs(model), outputs(fitted["text classes"]))


def test_whole_numbers_are_numbers():
    whole = np.round(10 * X).astype(int)
    np.testing.assert_array_equal(
        outputs(fast().fit(whole, LABELS), whole), outputs(fast().fit(whole.astype(float), LABELS), whole)
    )


def test_inputs_are_left_as_they_were():
    x, y, weight = X.copy(), PAIRS.copy(), np.arange(1.0, N + 1)
    x[3, 1] = np.nan
    before = x.copy()
    model = fast(FeedForwardRegressor).fit(x, y, weight)
    model.predict(x)
    model.partial_fit(x, y, weight)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, PAIRS)
    np.testing.assert_array_equal(weight, np.arange(1.0, N + 1))


MIXED = {
    "size": [None if i % 7 == 0 else float(v) for i, v in enumerate(X[:, 0])],
    "colour": [None if i % 5 == 0 else ("red", "green", "blue")[c] for i, c in enumerate(CODES)],
    "ripe": [None if i % 11 == 0 else bool(v > 5) for i, v in enumerate(X[:, 1])],
    "picked": [None if i % 13 == 0 else dt.datetime(2024, 1, 1) + dt.timedelta(days=3 * i) for i in range(N)],
    "count": [int(v) for v in np.round(10 * X[:, 2])],
}
# name -> a frame with the same content
FRAMES = {
    "polars": pl.DataFrame(MIXED),
    "pandas": pd.DataFrame({**MIXED, "size": np.array(MIXED["size"], float)}),
    "pandas, nullable types": pd.DataFrame(MIXED).astype(
        {"size": "Float64", "colour": "string", "ripe": "boolean", "count": "Int64"}
    ),
    "pandas, objects": pd.DataFrame(MIXED).astype({"colour": object}),
    "arrow": pl.DataFrame(MIXED).to_arrow(),
}


@pytest.fixture(scope="module")
def mixed():
    return fast(epochs=20).fit(FRAMES["polars"], LABELS)


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_any_library_are_the_same(name, mixed):
    frame = FRAMES[name]
    model = fast(epochs=20).fit(frame, LABELS)
    np.testing.assert_array_equal(model.feature_names_in_, list(MIXED))
    assert model.n_features_in_ == len(MIXED)
    np.testing.assert_array_equal(outputs(model, frame), outputs(mixed, FRAMES["polars"]))
    np.testing.assert_array_equal(outputs(mixed, frame), outputs(mixed, FRAMES["polars"]))
    assert np.isfinite(outputs(model, frame)).all()


def test_every_column_of_a_mixed_frame_counts(mixed):
    frame = FRAMES["polars"]
    other = frame.reverse()
    for column in frame.columns:
        changed = frame.with_columns(other[column])
        assert not np.array_equal(outputs(mixed, changed), outputs(mixed, frame)), column


def test_categories_of_pandas_and_polars():
    for frame in (
        FRAMES["pandas"].astype({"colour": "category"}),
        FRAMES["polars"].with_columns(pl.col("colour").cast(pl.Categorical)),
        FRAMES["polars"].with_columns(pl.col("colour").cast(pl.Enum(["blue", "green", "red", "violet"]))),
    ):
        model = fast(epochs=20).fit(frame, LABELS)
        assert model.score(frame, LABELS) > 0.6  # the colour gives most labels away
        text = FRAMES["polars"]
        np.testing.assert_array_equal(outputs(model, frame), outputs(model, text))


LEVELS = {
    "intervals": pd.IntervalIndex.from_breaks([0.0, 1.5, 2.0, 4.0]),
    "intervals of time": pd.interval_range(pd.Timestamp("2020-01-01"), periods=3),
    "periods": pd.period_range("2020-01", periods=3, freq="M"),
    "durations": pd.to_timedelta([1, 2, 3], unit="h"),
    "pairs": pd.Index([(1, 2), (3, 4), (5, 6)], tupleize_cols=False),
    "bytes": pd.Index([b"a", b"\xff", b"c"]),
    "complex numbers": pd.Index([1j, 2j, 3j]),
    "numbers": pd.Index([1, 2, 3]),
    "dates": pd.Index([dt.date(2020, 1, day) for day in (1, 2, 3)], dtype=object),
}


@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_categories_of_pandas_are_their_text(levels):
    codes = np.where(np.arange(N) % 9 == 0, -1, CODES)
    frame = pd.DataFrame({"a": NORMAL[:, 0], "k": pd.Categorical.from_codes(codes, levels)})
    text = frame.assign(k=np.array([*map(str, levels), None], object)[codes])
    model = fast(epochs=20).fit(frame, LABELS)
    coding = model.model_.encoder.columns[1]
    assert (coding.kind, sorted(coding.levels), coding.has_missing) == ("category", sorted(map(str, levels)), True)
    assert model.score(frame, LABELS) > 0.6
    np.testing.assert_array_equal(outputs(model, text), outputs(model, frame))
    few = frame[50:].assign(k=frame["k"][50:].cat.remove_unused_categories())
    np.testing.assert_array_equal(outputs(model, few), outputs(model, frame)[50:])


def test_bins_of_pandas():
    frame = pd.DataFrame({"a": NORMAL[:, 0], "bin": pd.cut(X[:, 1], 3), "share": pd.qcut(X[:, 2], 4)})
    text = frame.astype({"bin": str, "share": str})
    np.testing.assert_array_equal(outputs(fast().fit(frame, LABELS), frame), outputs(fast().fit(text, LABELS), text))


def test_what_has_no_text_is_refused_where_text_should_be():
    frame = pd.DataFrame({"a": NORMAL[:, 0], "k": pd.cut(X[:, 1], 3)})
    model = fast().fit(frame, LABELS)
    for values in (pd.arrays.IntervalArray.from_breaks(np.arange(N + 1)), [[1]] * N, [b"\xff"] * N, [1j] * N):
        with pytest.raises(InputError, match="where text should be") as error:
            model.predict(frame.assign(k=values))
        assert_one_line(error, "column 'k'")
    for values in (pd.arrays.IntervalArray.from_breaks(np.arange(N + 1)), pd.period_range("2020", periods=N, freq="M")):
        plain = frame.assign(plain=values)
        with pytest.warns(UserWarning, match="'plain' is left out"):
            np.testing.assert_array_equal(outputs(fast().fit(plain, LABELS), plain), outputs(model, frame))


def test_columns_of_one_name_are_refused(fitted):
    text = pd.DataFrame([["x", 1.0]] * N, columns=["k", "k"])
    arrow = pl.DataFrame(X[:, :2], schema=["u", "v"]).to_arrow().rename_columns(["u", "u"])
    for frame, name in ((pd.DataFrame(X, columns=["a", "b", "a"]), "'a'"), (text, "'k'"), (arrow, "'u'")):
        for call in (lambda frame: fast().fit(frame, LABELS), fitted["text classes"].predict):
            with pytest.raises(InputError, match="rename") as error:
                call(frame)
            assert_one_line(error, f"2 columns have the name {name}")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("colour", "violet"),
        ("colour", None),
        ("size", None),
        ("ripe", None),
        ("picked", None),
        ("picked", dt.datetime(1900, 1, 1)),
    ],
)
def test_what_training_never_saw_is_handled(column, value, mixed):
    dtype = FRAMES["polars"].schema[column]
    frame = FRAMES["polars"].with_columns(pl.lit(value, dtype=dtype).alias(column))
    p = outputs(mixed, frame)
    assert np.isfinite(p).all()
    untyped = FRAMES["polars"].with_columns(pl.lit(value).alias(column))
    np.testing.assert_array_equal(outputs(mixed, untyped), p)


def test_unseen_categories_are_one_and_the_same_other(mixed):
    p = [outputs(mixed, FRAMES["polars"].with_columns(colour=pl.lit(name))) for name in ("violet", "mauve", "red")]
    np.testing.assert_array_equal(p[0], p[1])
    assert not np.array_equal(p[0], p[2])


def test_columns_go_by_name(mixed):
    """A column that is missing, or stands elsewhere, is named or found: never taken for another."""
    frame = FRAMES["polars"]
    with pytest.raises(ValueError, match="colour"):
        mixed.predict(frame.drop("colour"))
    numbers = pl.DataFrame(X, schema=["u", "v", "w"])
    model = fast().fit(numbers, LABELS)
    for fitted_on, given in ((mixed, frame), (model, numbers)):
        with pytest.raises(ValueError, match="names"):
            fitted_on.predict(given.select(given.columns[::-1]))


def test_a_frame_of_numbers_is_the_array(fitted):
    for frame in (pl.DataFrame(X, schema=["u", "v", "w"]), pd.DataFrame(X, columns=["u", "v", "w"])):
        np.testing.assert_array_equal(outputs(fast().fit(frame, LABELS), frame), outputs(fitted["text classes"]))


def test_text_in_a_column_of_numbers_is_named(mixed):
    frame = FRAMES["polars"].with_columns(size=pl.lit("wide"))
    with pytest.raises(ValueError, match="wide") as error:
        mixed.predict(frame)
    assert_one_line(error, "size")


@pytest.mark.parametrize(
    "y",
    [pd.Series(LABELS), pd.Series(LABELS, dtype="category"), pl.Series(LABELS), LABELS.tolist(), LABELS.astype(object)],
    ids=["pandas", "pandas category", "polars", "list", "objects"],
)
def test_labels_of_any_type(y, fitted):
    model = fast().fit(X, y)
    np.testing.assert_array_equal(outputs(model), outputs(fitted["text classes"]))
    assert model.predict(X).tolist() == fitted["text classes"].predict(X).tolist()


# --- weights of rows ---


@pytest.mark.parametrize("name", KINDS)
def test_a_weight_of_two_is_a_row_given_twice(name):
    cls, y = KINDS[name]
    times = np.random.default_rng(1).integers(0, 4, N)
    repeated = fast(cls).fit(np.repeat(X, times, axis=0), np.repeat(y, times, axis=0))
    weighted = fast(cls).fit(X, y, sample_weight=times)
    np.testing.assert_array_equal(outputs(repeated), outputs(weighted))
    assert not np.array_equal(outputs(weighted), outputs(fast(cls).fit(X, y)))


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_of_weight_0_are_as_good_as_not_there(shuffle):
    """In particular none of them is held out, or only they might be."""
    weight = np.where(np.arange(len(X)) % 4 == 0, 1.5, 0.0)
    kept = weight > 0
    model = fast(shuffle=shuffle, regularization="auto").fit(X, LABELS, sample_weight=weight)
    alone = fast(shuffle=shuffle, regularization="auto").fit(X[kept], LABELS[kept])
    np.testing.assert_array_equal(outputs(model), outputs(alone))
    assert model.l2_ == alone.l2_


@pytest.mark.filterwarnings("ignore:.*networks did no better")
@pytest.mark.parametrize("cls", [FeedForwardClassifier, RBFClassifier])
def test_a_class_of_weight_0_is_left_out_of_the_split_too(cls):
    x, y = np.random.default_rng(0).standard_normal((40, 3)), np.repeat([0, 1], [2, 38])
    model = cls(class_weight={0: 1.0, 1: 0.0}).fit(x, y)
    assert (model.predict(x) == 0).all()


def test_the_scale_of_the_weights_and_the_order_of_the_rows_do_not_matter(fitted):
    order = np.random.default_rng(2).permutation(N)
    np.testing.assert_array_equal(outputs(fast().fit(X[order], LABELS[order])), outputs(fitted["text classes"]))
    for scale in (0.5, 1e9):  # what is no count of rows
        scaled = fast().fit(X, LABELS, sample_weight=np.full(N, scale))
        np.testing.assert_array_equal(outputs(scaled), outputs(fitted["text classes"]))


def few_kinds(n=1500, seed=0):
    """Three columns of three values, and how probable the second class is in each of their 27 combinations."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (n, 3))
    logits = x @ [1.0, -0.7, 0.4] + 1.5 * (x[:, 0] == x[:, 1]) - 1
    probability = 1 / (1 + np.exp(-logits))
    return x.astype(float), rng.binomial(1, probability), probability


def test_a_table_of_few_kinds_of_rows_is_learned_as_one_of_many_rows():
    x, y, probability = few_kinds()
    best = log_loss(np.r_[np.ones(1500), np.zeros(1500)], np.r_[probability, probability],
                    sample_weight=np.r_[probability, 1 - probability])  # fmt: skip
    model = FeedForwardClassifier((16,), ensemble=1, monitor=False).fit(x, y)
    found = model.predict_proba(x)[:, 1]
    loss = -np.mean(probability * np.log(found) + (1 - probability) * np.log(1 - found))
    assert loss < best + 0.02
    assert model.l2_ * 1500 * 0.85 == pytest.approx(1, rel=0.01)


def test_counts_beside_the_kinds_of_rows_are_the_rows():
    x, y, _ = few_kinds(300)
    kinds, counts = np.unique(np.c_[x, y], axis=0, return_counts=True)
    counted = fast().fit(kinds[:, :3], kinds[:, 3].astype(int), sample_weight=counts)
    np.testing.assert_array_equal(outputs(counted, x), outputs(fast().fit(x, y), x))


def test_whole_weights_do_not_put_a_row_on_both_sides_of_the_split():
    """Weights of 9 and of 9.01 on the rare class are nearly the same, though only the first could be counts."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = x[:, 0] + rng.logistic(size=300) > 1.5
    whole, broken = (fast(epochs=20).fit(x, y, sample_weight=np.where(y, heavy, 1)) for heavy in (9, 9.01))
    np.testing.assert_allclose(whole.history_["valid_loss"], broken.history_["valid_loss"], rtol=0.02)
    assert not {f.code for f in whole.findings_} & {"data.split_overlap"}


def test_the_penalty_counts_rows_given_twice_and_weights_alike():
    penalized = {"regularization": "auto", "ensemble": 1}
    twice = fast(**penalized).fit(np.r_[X, X], np.r_[LABELS, LABELS]).l2_
    assert twice == fast(**penalized).fit(X, LABELS, sample_weight=np.full(N, 2)).l2_
    assert twice == pytest.approx(fast(**penalized).fit(X, LABELS).l2_ / 2)


def test_class_weight():
    plain = fast().fit(X, LABELS)
    classes = np.unique(LABELS)
    balanced = dict(zip(classes.tolist(), compute_class_weight("balanced", classes=classes, y=LABELS), strict=True))
    as_rows = fast().fit(X, LABELS, sample_weight=[balanced[label] for label in LABELS])
    for class_weight in ("balanced", balanced, {name: 7 * value for name, value in balanced.items()}):
        model = fast(class_weight=class_weight).fit(X, LABELS)
        np.testing.assert_allclose(outputs(model), outputs(as_rows), rtol=1e-5)
        assert not np.allclose(outputs(model), outputs(plain), rtol=1e-3)
    heavy = fast(class_weight={"cat": 1000.0}, epochs=30).fit(X, LABELS)
    assert np.mean(heavy.predict(X) == "cat") > 0.9


def test_class_weight_weighs_the_rows_held_out_by_hand_as_well():
    held = X[40:], LABELS[40:]
    weights = {"ant": 1.0, "bee": 20.0, "cat": 0.5}
    by_class = fast(class_weight=weights).fit(X[:40], LABELS[:40], validation_data=held)
    of_rows = [np.array([weights[label] for label in LABELS[part]]) for part in (slice(40), slice(40, None))]
    by_row = fast().fit(X[:40], LABELS[:40], of_rows[0], validation_data=(*held, of_rows[1]))
    np.testing.assert_allclose(by_class.history_["valid_loss"], by_row.history_["valid_loss"], rtol=1e-5)


def test_class_weights_of_0_alone_are_refused():
    with pytest.raises(InputError, match="weight above 0"):
        fast(class_weight={"ant": 0, "bee": 0, "cat": 0}).fit(X, LABELS)


def test_class_weight_multiplies_sample_weight():
    weight = np.random.default_rng(3).uniform(0.5, 2.0, N)
    both = fast(class_weight={"bee": 3.0}).fit(X, LABELS, sample_weight=weight)
    one = fast().fit(X, LABELS, sample_weight=weight * np.where(LABELS == "bee", 3.0, 1.0))
    np.testing.assert_allclose(outputs(both), outputs(one), rtol=1e-5)


# --- going on ---


def test_partial_fit_grows_the_history_and_learns():
    model = fast()
    for call in range(1, 21):
        rows = slice(None) if call % 2 else slice(0, 30)
        assert model.partial_fit(X[rows], LABELS[rows], classes=["ant", "bee", "cat", "dog"]) is model
        assert model.n_iter_ == call
        for column in model.history_.values():
            assert len(column) == call
    np.testing.assert_array_equal(model.history_["epoch"], np.arange(1, 21))
    assert model.classes_.tolist() == ["ant", "bee", "cat", "dog"]
    assert outputs(model).shape == (N, 4)
    assert model.history_["train_loss"][-1] < model.history_["train_loss"][0]
    assert model.score(X, LABELS) > 0.5


def test_partial_fit_keeps_the_encoders_of_its_first_rows():
    model = fast(FeedForwardRegressor).partial_fit(X, NUMBERS)
    encoder = model.model_.encoder
    model.partial_fit(100 * X, 100 * NUMBERS)
    assert model.model_.encoder == encoder


def test_partial_fit_in_two_halves_is_not_a_fresh_start():
    model = fast(learning_rate=1e-20)
    first = outputs(model.partial_fit(X, LABELS, classes=CLASSES))
    np.testing.assert_allclose(outputs(model.partial_fit(X[:20], LABELS[:20])), first, rtol=1e-6)
    model.set_params(random_state=7)
    np.testing.assert_allclose(outputs(model.partial_fit(X, LABELS)), first, rtol=1e-6)


def test_partial_fit_after_fit_goes_on_from_the_weights_that_are_kept():
    """And not from the last ones, which have learned the rows by heart."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((80, 8))
    y = (x[:, 0] + 1.5 * rng.standard_normal(80) > 0).astype(int)
    model = fast(hidden_layer_sizes=(32,), learning_rate=0.3, epochs=60, ensemble=1, optimizer="gd").fit(x, y)
    assert model._fitted.states[0].best_epoch < 60
    kept = model.model_.members[0]
    model.set_params(learning_rate=1e-3).partial_fit(x, y)
    gradient = losses_gradient(model, kept, x, y)
    for before, after, slope in zip(*map(jax.tree.leaves, (kept, model.model_.members[0], gradient)), strict=True):
        np.testing.assert_allclose(after, before - 1e-3 * slope, atol=1e-6)


def losses_gradient(model, params, x, y):
    """dL/dparams of the mean loss, by JAX."""
    network, loss, encoded = model.model_.network, model.model_.loss, jnp.asarray(model.model_.encoder.transform(x))
    targets = jnp.asarray(y[:, None], jnp.float32)
    return jax.jit(jax.grad(lambda p: jnp.mean(loss.value(network.forward(p, encoded)[0], targets))))(params)


def test_partial_fit_takes_a_rate_given_by_hand_and_refuses_what_it_can_not_change():
    model = fast(ensemble=2).partial_fit(X, LABELS, classes=CLASSES)
    assert len(model.model_.members) == 2
    before = outputs(model)
    np.testing.assert_array_equal(outputs(model.set_params(learning_rate=1e-12).partial_fit(X, LABELS)), before)
    begun = fast().partial_fit(X, LABELS, classes=CLASSES)
    changed_rule = deepcopy(begun).set_params(optimizer=optimizers.Momentum(momentum=0.1)).partial_fit(X, LABELS)
    assert not np.allclose(outputs(changed_rule), outputs(begun.partial_fit(X, LABELS)), atol=1e-4)
    for changed in ({"optimizer": "adam"}, {"ensemble": 3}, {"weight_average": 0.9}):
        with pytest.raises(InputError, match="keep"):
            deepcopy(model).set_params(**changed).partial_fit(X, LABELS)


def test_partial_fit_takes_the_penalty_as_it_stands_at_each_call():
    model = fast(regularization="auto").fit(X, LABELS)
    chosen = model.l2_
    assert chosen > 0
    assert model.partial_fit(X, LABELS).l2_ == chosen
    assert model.set_params(regularization=None).partial_fit(X, LABELS).l2_ == 0
    assert model.set_params(l2=0.5).partial_fit(X, LABELS).l2_ == 0.5


def test_a_warm_start_goes_on_from_a_network_that_was_no_better_than_a_constant():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 3))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = fast(hidden_layer_sizes=(16,), batch_size=32, epochs=1, warm_start=True).fit(x, y)
    assert len(set(model.predict_proba(x)[:, 1].round(4))) == 1
    for _ in range(60):
        model.fit(x, y)
    assert model.score(x, y) > 0.9


def test_batches_are_no_larger_than_the_table():
    large = fast(batch_size=100_000).fit(X, LABELS)
    assert large.batch_size_ == 128
    np.testing.assert_array_equal(outputs(large), outputs(fast(batch_size=128).fit(X, LABELS)))


@pytest.mark.parametrize("loss", [losses.squared_error, losses.mse("tanh"), losses.huber(), losses.mse("relu")])
def test_a_loss_whose_outputs_are_no_probabilities_is_not_for_classes(loss):
    with pytest.raises(InputError, match="no probabilities"):
        fast(loss=loss).fit(X, LABELS)


def test_frames_of_columns_that_no_other_library_knows():
    number = X[:, 0]
    mixed = pd.DataFrame({"a": number, "b": [1, "s"] * (N // 2)})
    model = fast().fit(mixed, LABELS)
    assert [column.kind for column in model.model_.encoder.columns] == ["number", "category"]
    as_text = fast().fit(mixed.assign(b=mixed["b"].astype(str)), LABELS)
    np.testing.assert_array_equal(outputs(model, mixed), outputs(as_text, mixed))
    dummies = pd.get_dummies(pd.DataFrame({"k": list("ab") * (N // 2)}), sparse=True).assign(a=number)
    dense = dummies.astype({"k_a": bool, "k_b": bool})
    np.testing.assert_array_equal(
        outputs(fast().fit(dummies, LABELS), dummies), outputs(fast().fit(dense, LABELS), dense)
    )


def test_columns_of_a_frame_that_are_left_out_are_told():
    frame = pd.DataFrame({"a": X[:, 0], "k": list("ab") * (N // 2), "same": 5, "note": [f"v{i}" for i in range(N)]})
    frame["took"] = pd.to_timedelta(np.arange(N), unit="h")
    with pytest.warns(UserWarning, match="'took' is left out"):
        model = fast(monitor=True).fit(frame, LABELS)
    told = {(finding.code, finding.where) for finding in model.findings_}
    assert {("data.constant", "same"), ("data.id_like", "note"), ("data.unsupported_type", "took")} <= told
    with pytest.raises(InputError, match="no column is left to predict from"):
        fast().fit(frame[["same", "took"]], LABELS)


def test_partial_fit_refuses_a_class_it_was_not_told_of():
    model = fast().partial_fit(X[:30], np.where(LABELS[:30] == "cat", "ant", LABELS[:30]), classes=["ant", "bee"])
    before = outputs(model)
    with pytest.raises(ValueError, match="cat") as error:
        model.partial_fit(X, LABELS)
    assert_one_line(error)
    np.testing.assert_array_equal(outputs(model), before)


def test_partial_fit_needs_the_classes_once_and_always_the_same():
    with pytest.raises(InputError, match="classes must be passed on the first call to partial_fit") as error:
        fast().partial_fit(X, LABELS)
    assert_one_line(error)
    begun = fast().partial_fit(X, LABELS, classes=CLASSES)
    for model in (begun, fast().fit(X, LABELS)):
        model.partial_fit(X, LABELS).partial_fit(X, LABELS, classes=np.array(["cat", "bee", "ant", "ant"], object))
        for other in (["ant", "bee"], [*CLASSES, "dog"], [0, 1, 2]):
            before = outputs(model)
            with pytest.raises(InputError, match="not the same as on the last call") as error:
                model.partial_fit(X, LABELS, classes=other)
            assert_one_line(error, f"{other!r}")
            np.testing.assert_array_equal(outputs(model), before)
    fast(FeedForwardRegressor).partial_fit(X, NUMBERS).partial_fit(X, NUMBERS, classes=CLASSES)  # which it ignores


# --- which row is at fault ---


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("weight", [None, np.arange(N) % 3], ids=["all rows", "some of weight 0"])
def test_the_row_at_fault_is_counted_as_it_was_given(shuffle, weight):
    """From 1; of several the first, if it is a label."""
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "k": LABELS})
    two, late = np.where(CODES == 2, 0, CODES), np.where(np.arange(N) < 40, CODES % 2, CODES + 1)
    infinite, unread = frame.copy(), frame.astype({"b": object})
    infinite.loc[50, "b"], unread.loc[50, "b"] = np.inf, "wide"
    label = 1 + int(np.flatnonzero((np.arange(N) >= 40) & (late > 1) & (True if weight is None else weight > 0))[0])
    start = fast(shuffle=shuffle, warm_start=True).fit(frame, two)
    calls = {
        "column 'b', row 51": (
            lambda: fast(shuffle=shuffle).fit(infinite, two, weight),
            lambda: fast(shuffle=shuffle).partial_fit(infinite, two, weight, classes=[0, 1]),
            lambda: fast(FeedForwardRegressor, shuffle=shuffle).fit(infinite, NUMBERS, weight),
            lambda: deepcopy(start).fit(unread, two, weight),
            lambda: deepcopy(start).partial_fit(infinite, two, weight),
        ),
        f"target, row {label}": (
            lambda: fast(shuffle=shuffle).partial_fit(frame, late, weight, classes=[0, 1]),
            lambda: deepcopy(start).fit(frame, late, weight),
        ),
        f"validation_data, target, row {label}": (
            lambda: fast(shuffle=shuffle).fit(frame, two, validation_data=(frame, late, weight)),
        ),
        "validation_data, column 'b', row 51": (
            lambda: fast(shuffle=shuffle).fit(frame, two, validation_data=(infinite, two, weight)),
        ),
    }
    for where, refused in calls.items():
        for call in refused:
            with pytest.raises(InputError) as error:
                call()
            assert error.value.where == where


def test_warm_start_goes_on_from_the_weights_before():
    model = fast(warm_start=True).fit(X, LABELS)
    before, encoder = weights(model), model.model_.encoder
    model.set_params(learning_rate=1e-20, epochs=1).fit(X, LABELS)
    np.testing.assert_allclose(weights(model), before, rtol=1e-6)
    model.fit(X[:40], LABELS[:40])  # other rows, the encoders stay
    np.testing.assert_allclose(weights(model), before, rtol=1e-6)
    assert model.model_.encoder == encoder
    model.set_params(warm_start=False).fit(X, LABELS)
    assert not np.allclose(weights(model), before, rtol=1e-2)


def test_warm_start_refuses_what_no_longer_fits():
    model = fast(warm_start=True).fit(X, LABELS)
    for change, y in (({"hidden_layer_sizes": (5,)}, LABELS), ({}, np.where(LABELS == "ant", "dog", LABELS))):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            clone(model).fit(X, LABELS).set_params(**change).fit(X, y)
        assert_one_line(error)


# --- stopping, validation rows ---

VALID_X = np.random.default_rng(4).standard_normal((40, 3)) * [1.0, 3.0, 0.1] + [0.0, 5.0, 0.0]
VALID_Y = np.array(["ant", "bee", "cat"])[np.random.default_rng(5).integers(0, 3, 40)]  # noise: the loss must rise


@pytest.mark.parametrize("early_stopping", [True, False])
def test_which_weights_are_kept(early_stopping):
    """The validation loss of the weights kept is the one in the history: the lowest, or the last."""
    model = fast(early_stopping=early_stopping, epochs=40, learning_rate=1.0)
    model.fit(X, LABELS, validation_data=(VALID_X, VALID_Y))
    curve = model.history_["valid_loss"]
    kept = log_loss(VALID_Y, model.predict_proba(VALID_X))
    assert curve[-1] > curve.min() + 0.01
    assert kept == pytest.approx(curve.min() if early_stopping else curve[-1], rel=1e-4)
    if not early_stopping:
        assert model.n_iter_ == 40


def test_without_early_stopping_no_row_is_held_out_and_all_epochs_are_run():
    model = fast(early_stopping=False, epochs=37).fit(X, LABELS)
    assert model.n_iter_ == len(model.history_["epoch"]) == 37
    assert np.isnan(model.history_["valid_loss"]).all()
    assert np.isfinite(model.history_["train_loss"]).all()


def test_early_stopping_ends_before_the_epochs_given():
    model = fast(epochs=5000, learning_rate=1.0).fit(X, LABELS, validation_data=(VALID_X, VALID_Y))
    assert model.n_iter_ < 5000
    assert np.isfinite(model.history_["valid_loss"]).all()


def test_validation_data_trains_nothing():
    """Other validation rows leave the course of training as it is."""
    first = fast().fit(X, LABELS, validation_data=(VALID_X, VALID_Y))
    second = fast().fit(X, LABELS, validation_data=(VALID_X[:20] + 1, VALID_Y[::-1][:20]))
    np.testing.assert_array_equal(first.history_["train_loss"], second.history_["train_loss"])
    assert not np.array_equal(first.history_["valid_loss"], second.history_["valid_loss"])
    assert first.model_.encoder == second.model_.encoder


def test_weights_of_validation_rows():
    weight = np.random.default_rng(6).uniform(0.1, 3.0, 40)
    model = fast(early_stopping=False).fit(X, LABELS, validation_data=(VALID_X, VALID_Y, weight))
    expected = log_loss(VALID_Y, model.predict_proba(VALID_X), sample_weight=weight)
    assert model.history_["valid_loss"][-1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("validation_data", "says"),
    [
        (VALID_X, "validation_data"),
        ((VALID_X,), "validation_data"),
        ((VALID_X, VALID_Y[:5]), "length"),
        ((VALID_X[:, :2], VALID_Y), "features"),
        ((VALID_X, np.full(40, "dog")), "dog"),
    ],
    ids=["array", "no target", "lengths", "columns", "unknown class"],
)
def test_bad_validation_data(validation_data, says):
    with pytest.raises(ValueError, match=says) as error:
        fast().fit(X, LABELS, validation_data=validation_data)
    assert_one_line(error)


def test_divergence_is_told_and_what_is_kept_is_finite():
    model = fast(FeedForwardRegressor, learning_rate=1e6, epochs=50, early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="no longer finite"):
        model.fit(X, NUMBERS)
    assert model.findings_[0].code == "train.diverged"
    assert np.isfinite(model.predict(X)).all()


# --- every parameter ---

# name -> (parameters of the base, another value)
CHANGES = {
    "hidden_layer_sizes": ({}, (4, 4)),
    "activation": ({}, "tanh"),
    "optimizer": ({}, "adam"),
    "learning_rate": ({}, 0.01),
    "batch_size": ({}, 8),
    "epochs": ({}, 2),
    "loss": ({}, "mse"),
    "init": ({}, "he_normal"),
    "l2": ({}, 0.3),
    "l1": ({}, 0.3),
    "dropout": ({}, 0.5),
    "input_noise": ({}, 0.5),
    "mixup": ({}, 0.5),
    "max_norm": ({}, 0.5),
    "weight_average": ({}, 0.9),
    "label_smoothing": ({}, 0.3),
    "class_weight": ({}, "balanced"),
    "standardize": ({}, False),
    "shuffle": ({}, False),
    "early_stopping": ({}, False),
    "validation_fraction": ({}, 0.4),
    "random_state": ({}, 1),
    "ensemble": ({}, 2),
    "regularization": ({}, "auto"),
    "recipe": ({"learning_rate": 0.01, "batch_size": 32, "epochs": 30}, "full"),
}
ELSEWHERE = {"warm_start", "verbose", "monitor"}  # tested above and below, and with the diagnosis


def test_every_parameter_has_its_test():
    assert set(PARAMETERS) <= set(CHANGES) | ELSEWHERE
    assert set(PARAMETERS) <= set(BAD) | {"warm_start", "verbose", "shuffle", "standardize", "early_stopping"}
    assert set(inspect.signature(FeedForwardRegressor).parameters) == set(PARAMETERS) - {
        "class_weight",
        "label_smoothing",
    }


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name in CHANGES])
def test_every_parameter_changes_something(name, fitted):
    base, value = CHANGES[name]
    one = fast(**base).fit(X, LABELS) if base else fitted["text classes"]
    other = fast(**{**base, name: value}).fit(X, LABELS)
    assert not np.array_equal(outputs(one), outputs(other))
    np.testing.assert_array_equal(outputs(fast(**{**base, name: value}).fit(X, LABELS)), outputs(other))


BAD = {
    "recipe": ["half", True, 1],
    "hidden_layer_sizes": [(0,), (-1,), (2.5,), ("4",), None, "four", {4: 4}],
    "activation": ["rleu", ("relu", "tanh"), None, 3, [None]],
    "optimizer": ["adm", None, 3, dict],
    "learning_rate": [0, -0.1, np.nan, np.inf, 1e39, "fast", None, True, [0.1]],
    "batch_size": [0, -1, 2.5, "auto", None, True],
    "epochs": [0, -1, 1.5, "many", None, True],
    "loss": ["l2", "squared_error", None, [], {}],
    "init": ["he", None],
    "l2": [-1e-9, np.nan, np.inf, "some", None],
    "l1": [-1e-9, np.nan, np.inf, 1e39, "some", None],
    "dropout": [1, -0.1, np.nan, "some", None],
    "input_noise": [-0.1, np.nan, "some", None],
    "mixup": [-0.1, np.nan, "some", None],
    "max_norm": [0, -1.0, np.nan, 1e39, "some"],
    "weight_average": [1, -0.1, np.nan, "some", None],
    "label_smoothing": [1, -0.1, np.nan, "some", None],
    "monitor": ["no", None, 2],
    "class_weight": ["even", {"dog": 2.0}, 3, {"ant": -1.0}, {"ant": np.nan}, {"ant": "heavy"}],
    "standardize": ["no", None, 2],
    "shuffle": ["no", None, 2],
    "early_stopping": ["no", None, 2],
    "warm_start": ["no", None, 2],
    "verbose": ["no", None, -1],
    "validation_fraction": [0, 1, -0.1, np.nan, "some", None],
    "random_state": [-1, 1.5, "some"],
    "ensemble": [0, -1, 1.5, "many", None],
    "regularization": ["some", 0.1, True, [], {}],
}


def refusals():
    """What is said to each of `BAD`: the classes of the error, and its message; None where nothing is."""
    said = {}
    for name, values in BAD.items():
        for value in values:
            try:
                fast(**{name: value}).fit(X, LABELS)
                said[f"{name}={value}"] = None
            except Exception as error:
                said[f"{name}={value}"] = [[cls.__name__ for cls in type(error).__mro__], str(error)]
    return said


@pytest.fixture(scope="module")
def said():
    return plainly.call(refusals)


@pytest.mark.parametrize("case", [f"{name}={value}" for name, values in BAD.items() for value in values])
def test_bad_values_are_refused_in_one_line(case, said):
    assert said[case] is not None, "accepted"
    classes, message = said[case]
    assert "ValueError" in classes
    assert "\n" not in message
    assert case.split("=")[0] in message or "unknown" in message or "seed" in message.lower()


def test_losses_that_do_not_go_with_the_task():
    for cls, y, loss in (
        (FeedForwardClassifier, LABELS, "cross_entropy"),
        (FeedForwardRegressor, NUMBERS, "cross_entropy"),
        (FeedForwardRegressor, NUMBERS, "log_likelihood"),
    ):
        with pytest.raises(ValueError, match="loss") as error:
            fast(cls, loss=loss).fit(X, y)
        assert_one_line(error)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.where(X > 1, np.inf, X), LABELS, "inf"),
        (X, np.full(N, "ant"), "class"),
        (X[:1], LABELS[:1], "1 sample"),
        (X, LABELS[:-1], "length"),
        (X[:, :0], LABELS, "0 feature"),
        (X[:0], LABELS[:0], "0 sample"),
        (X.reshape(N, 3, 1), LABELS, "dim"),
    ],
    ids=["infinite", "one class", "one row", "lengths", "no column", "no row", "three dimensions"],
)
def test_bad_data(x, y, says):
    with pytest.raises(ValueError, match=says):
        fast().fit(x, y)


def test_bad_weights_and_targets():
    for weight in (np.zeros(N), -np.ones(N), np.full(N, np.nan), np.ones(N - 1)):
        with pytest.raises(ValueError):  # noqa: PT011
            fast().fit(X, LABELS, sample_weight=weight)
    for y in (np.where(X[:, 0] > 0, np.nan, NUMBERS), np.where(X[:, 0] > 0, np.inf, NUMBERS), None):
        with pytest.raises(ValueError):  # noqa: PT011
            fast(FeedForwardRegressor).fit(X, y)


# --- rules, activations, randomness, progress ---


def test_a_rule_by_name_as_an_object_and_from_optax_are_one():
    momentum = fast(optimizer="momentum").fit(X, LABELS)
    rule = fast(optimizer=optimizers.Momentum()).fit(X, LABELS)
    np.testing.assert_array_equal(outputs(rule), outputs(momentum))
    other = fast(optimizer=optimizers.Momentum(momentum=0.1)).fit(X, LABELS)
    assert not np.array_equal(outputs(other), outputs(momentum))

    sgd = fast(optimizer="sgd").fit(X, LABELS)
    lifted = fast(optimizer=optax.sgd(1.0)).fit(X, LABELS)  # times the learning rate
    np.testing.assert_allclose(outputs(lifted), outputs(sgd), rtol=1e-5)
    assert lifted.learning_rate_ == 0.1


@pytest.mark.parametrize("name", optimizers.names())
def test_every_rule_trains(name):
    rate = 0.1 if optimizers.RULES[name].has_rate else "auto"
    if name == "physical_momentum":  # whose steps are of that size in every weight
        rate = 0.001
    model = fast(optimizer=name, learning_rate=rate, epochs=60, early_stopping=False).fit(X, LABELS)
    assert np.isnan(model.learning_rate_) == (not optimizers.RULES[name].has_rate)
    loss = model.history_["train_loss"]
    assert loss[-1] < loss[0]
    assert np.isfinite(loss).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "LBFGS has no rate"),
        ({"optimizer": "rprop", "learning_rate": "auto", "dropout": 0.5}, "use momentum or adam with dropout"),
        ({"optimizer": "newton", "learning_rate": "auto", "hidden_layer_sizes": (64, 64)}, "use lbfgs"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_and_another_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        fast(**parameters).fit(X, LABELS)


def test_an_activation_for_each_layer():
    shared = fast(hidden_layer_sizes=(4, 4), activation="tanh").fit(X, LABELS)
    each = fast(hidden_layer_sizes=(4, 4), activation=("tanh", "tanh")).fit(X, LABELS)
    np.testing.assert_array_equal(outputs(each), outputs(shared))
    mixed_up = fast(hidden_layer_sizes=(4, 4), activation=["tanh", "relu"]).fit(X, LABELS)
    assert not np.array_equal(outputs(mixed_up), outputs(shared))


def test_no_hidden_layer_is_a_linear_model():
    model = fast(FeedForwardRegressor, hidden_layer_sizes=(), epochs=1).fit(X, NUMBERS)
    p = model.predict(np.stack([X[0], X[1], (X[0] + X[1]) / 2]))
    assert p[2] == pytest.approx((p[0] + p[1]) / 2, rel=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(kind):
    cls, y = kind
    one, two, other = (fast(cls, random_state=seed, dropout=0.2, early_stopping=False).fit(X, y) for seed in (3, 3, 4))
    np.testing.assert_array_equal(weights(one), weights(two))
    assert not np.array_equal(weights(one), weights(other))
    for column in one.history_:
        np.testing.assert_array_equal(one.history_[column], two.history_[column])


def test_the_whole_recipe_gives_the_same_bits_twice():
    """The sweep of rates, five networks and the choice of a penalty, side by side in threads."""
    one, two = (FeedForwardClassifier(hidden_layer_sizes=(4,)).fit(X, LABELS) for _ in range(2))
    assert len(one.model_.members) == 5
    np.testing.assert_array_equal(weights(one), weights(two))
    assert (one.learning_rate_, one.l2_) == (two.learning_rate_, two.l2_)
    assert repr(one.notebook_) == repr(two.notebook_)


def test_several_networks_are_averaged(tmp_path):
    model = fast(ensemble=3, epochs=20).fit(X, LABELS)
    assert len(model.model_.members) == 3
    assert len(np.unique([w.sum() for (w, _), *_ in model.model_.members])) == 3
    alone = [model.model_.alone(i).predict_proba(X) for i in range(3)]
    np.testing.assert_allclose(outputs(model), np.mean(alone, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(alone[0], outputs(fast(ensemble=1, epochs=20).fit(X, LABELS)))

    copy = pickle.loads(pickle.dumps(model))
    model.save(tmp_path / "m.safetensors")
    for other in (copy, load(tmp_path / "m.safetensors")):
        np.testing.assert_array_equal(outputs(other), outputs(model))
    before = weights(model)
    model.set_params(warm_start=True, learning_rate=1e-20).fit(X, LABELS)
    np.testing.assert_allclose(weights(model), before, rtol=1e-6)
    with pytest.raises(ValueError, match="ensemble"):
        model.set_params(ensemble=2).fit(X, LABELS)


def test_the_penalty_by_itself_is_the_one_given_by_hand():
    auto = fast(regularization="auto").fit(X, LABELS)
    assert auto.l2_ > 0
    by_hand = fast(l2=auto.l2_).fit(X, LABELS)
    assert by_hand.l2_ == auto.l2_
    np.testing.assert_array_equal(weights(by_hand), weights(auto))
    assert fast().fit(X, LABELS).l2_ == 0
    assert fast(regularization="auto", l2=0.5).fit(X, LABELS).l2_ == 0.5
    few = fast(regularization="auto").fit(X[:30], LABELS[:30])
    assert few.l2_ > auto.l2_  # in inverse proportion to the rows


def test_random_states_of_numpy():
    one, two = (fast(random_state=np.random.RandomState(5)).fit(X, LABELS) for _ in range(2))
    np.testing.assert_array_equal(weights(one), weights(two))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    fast(random_state=0).fit(X, LABELS)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_rate_that_is_found_is_told():
    model = fast(learning_rate="auto").fit(X, LABELS)
    assert model.learning_rate_ > 0
    assert model.notebook_[0]["stage"] == "rate"
    assert model.notebook_[0]["decision"] == pytest.approx(model.learning_rate_)
    np.testing.assert_allclose(model.history_["learning_rate"], model.learning_rate_, rtol=1e-6)


def test_verbose_prints_progress_and_silence_is_the_default(capsys):
    fast().fit(X, LABELS)
    assert capsys.readouterr() == ("", "")
    fast(verbose=1, learning_rate="auto").fit(X, LABELS)
    printed = capsys.readouterr().out
    assert "rate" in printed
    assert re.search(r"epoch 3: train_loss \d", printed)


# --- save and load ---


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


@pytest.mark.parametrize("name", KINDS)
def test_save_and_load(name, fitted, tmp_path):
    model = fitted[name]
    assert model.findings_  # what has been asked for is kept
    model.save(tmp_path / "m.safetensors")
    copy = load(tmp_path / "m.safetensors")
    assert type(copy) is type(model)
    assert copy.get_params() == model.get_params()
    np.testing.assert_array_equal(outputs(copy), outputs(model))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    kept = ("classes_", "n_features_in_", "learning_rate_", "n_iter_", "history_", "health_", "notebook_", "findings_")
    for attribute in kept:
        if hasattr(model, attribute):
            assert same(getattr(model, attribute), getattr(copy, attribute)), attribute
    y = KINDS[name][1]
    assert copy.score(X, y) == model.score(X, y)


def test_save_and_load_with_columns_of_all_kinds(mixed, tmp_path):
    mixed.save(tmp_path / "m.safetensors")
    copy = load(str(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(copy.feature_names_in_, mixed.feature_names_in_)
    for frame in FRAMES.values():
        np.testing.assert_array_equal(outputs(copy, frame), outputs(mixed, FRAMES["polars"]))
    with pytest.raises(ValueError, match="colour"):
        copy.predict(FRAMES["polars"].drop("colour"))


def test_saving_twice_gives_the_same_bytes_and_replaces(fitted, tmp_path):
    path = tmp_path / "m.safetensors"
    fitted["numbers"].save(path)
    fitted["text classes"].save(path)
    first = path.read_bytes()
    fitted["text classes"].save(path)
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_loaded_model_trains_on(fitted, tmp_path):
    fitted["numbers"].save(tmp_path / "m.safetensors")
    copy = load(tmp_path / "m.safetensors").set_params(warm_start=True, learning_rate=1e-20)
    copy.fit(X, NUMBERS)
    np.testing.assert_allclose(outputs(copy), outputs(fitted["numbers"]), rtol=1e-6)


def test_what_json_cannot_hold_does_not_stop_a_save(tmp_path):
    model = fast(optimizer=optax.sgd(1.0)).fit(X, LABELS)
    with pytest.warns(UserWarning, match="optimizer is not kept"):
        model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(outputs(load(tmp_path / "m.safetensors")), outputs(model))


@pytest.mark.parametrize("cls", [FeedForwardClassifier, FeedForwardRegressor])
def test_a_fit_on_float32_is_the_fit_on_the_same_numbers_as_float64(cls):
    single, y = X.astype(np.float32), LABELS if cls is FeedForwardClassifier else NUMBERS
    one, other = fast(cls).fit(single, y), fast(cls).fit(single.astype(float), y)
    np.testing.assert_allclose(outputs(one, single), outputs(other, single), rtol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        pl.col("colour").cast(pl.Categorical),
        pl.col("picked").cast(pl.Date),
        pl.col("count").cast(pl.Int16),
    ],
    ids=["categories", "dates", "whole numbers"],
)
def test_a_fit_does_not_depend_on_how_a_column_is_held(change):
    frame = FRAMES["polars"].with_columns(pl.col("size").round(1))
    one, other = fast().fit(frame, LABELS), fast().fit(frame.with_columns(change), LABELS)
    np.testing.assert_allclose(outputs(one, frame), outputs(other, frame), rtol=1e-4)


@pytest.fixture(scope="module")
def run_on_numbers(tmp_path_factory):
    """A run of the command line on a table of numbers, and the table."""
    path = tmp_path_factory.mktemp("numbers")
    frame = pl.DataFrame(X, schema=["u", "v", "w"]).with_columns(y=pl.Series(LABELS))
    frame.write_csv(path / "t.csv")
    brief = ["--epochs", "3", "--learning-rate", "0.1", "--regularization", "none", "--quiet"]
    arguments = ["--target", "y", "--out", str(path / "run"), *brief]
    assert main(["fit", str(path / "t.csv"), *arguments]) == 0
    return path / "run", frame


@pytest.mark.parametrize(
    "given",
    [
        lambda frame: frame.select("u", "v", "w"),
        lambda frame: frame.select("w", "v", "u"),
        lambda frame: frame,
        lambda frame: frame.to_pandas()[["w", "u", "v"]],
    ],
    ids=["same columns", "another order", "with the target", "pandas"],
)
def test_a_run_loaded_in_python_reads_frames_by_name(given, run_on_numbers):
    run, frame = run_on_numbers
    estimator = load(run)
    np.testing.assert_array_equal(outputs(estimator, given(frame)), estimator.model_.predict_proba(frame))


def test_a_run_loaded_in_python_tells_how_it_was_trained(run_on_numbers, tmp_path):
    run, _ = run_on_numbers
    estimator, result = load(run), json.loads((run / "result.json").read_text())
    given = {"learning_rate": 0.1, "epochs": 3, "regularization": None}
    assert estimator.get_params() == FeedForwardClassifier(**given).get_params()
    assert [finding._asdict() for finding in estimator.findings_] == result["findings"]
    assert estimator.notebook_ == result["stages"]
    assert (estimator.n_iter_, estimator.l2_, estimator.batch_size_) == (3, result["l2"], result["batch_size"])
    lines = (run / "history.csv").read_text().splitlines()
    assert lines[0] == "network," + ",".join(estimator.history_)
    written = pl.read_csv(run / "history.csv")["train_loss"].to_numpy()
    np.testing.assert_array_equal(estimator.history_["train_loss"], written)
    assert np.isfinite(estimator.history_["test_loss"]).all()
    assert len(written) == 3
    (tmp_path / "part").mkdir()
    for name in ("model.safetensors", "result.json"):
        shutil.copy(run / name, tmp_path / "part")
    with pytest.raises(InputError, match=r"no run\.json in this folder"):
        load(tmp_path / "part")
    alone = load(run / "model.safetensors")
    assert not hasattr(alone, "history_")
    assert alone.get_params() == FeedForwardClassifier().get_params()


def test_a_rule_without_a_rate_has_none_after_loading_either(tmp_path):
    model = FeedForwardClassifier(hidden_layer_sizes=(2,), optimizer="lbfgs", epochs=2, ensemble=1).fit(X, LABELS)
    model.save(tmp_path / "m.safetensors")
    assert np.isnan(model.learning_rate_)
    assert np.isnan(load(tmp_path / "m.safetensors").learning_rate_)


def test_a_batch_in_which_all_text_is_missing():
    """pandas reads a column without values as numbers."""
    frame = pd.DataFrame({"size": X[:, 0], "colour": FRAMES["pandas"]["colour"]})
    model = fast().fit(frame, LABELS)
    empty = frame.assign(colour=np.nan)
    as_text = frame.assign(colour=pd.Series([None] * N, dtype="string"))
    np.testing.assert_array_equal(outputs(model, empty), outputs(model, as_text))


def test_a_frame_without_rows_is_refused_in_words():
    model = fast().fit(FRAMES["polars"], LABELS)
    with pytest.raises(ValueError, match=r"0 sample|no row"):
        model.predict(FRAMES["polars"].head(0))


def test_no_validation_row_is_not_called_one():
    with pytest.raises(ValueError, match=r"0 sample|no row"):
        fast().fit(FRAMES["polars"], LABELS, validation_data=(FRAMES["polars"].head(0), []))


@pytest.mark.parametrize(
    "parameters",
    [
        {"class_weight": {"ant": 2.0, "bee": 1.0, "cat": 1.0}},
        {"optimizer": optimizers.Momentum(momentum=0.5)},
        {"loss": losses.matching("softmax")},
    ],
    ids=["class_weight", "optimizer", "loss"],
)
def test_parameters_survive_a_file(parameters, tmp_path):
    """Or `save` says which ones can't be held: a model that is loaded and trained on must not be another."""
    model = fast(**parameters).fit(X, LABELS)
    model.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").get_params() == model.get_params()


def test_partial_fit_after_a_fit_of_several_networks_is_one_pass_for_each():
    model = fast(ensemble=3, early_stopping=True, epochs=40, learning_rate=1.0).fit(X, LABELS)
    before = [int(state.step) for state in model._fitted.states]
    model.partial_fit(X, LABELS)
    steps = [int(state.step) - n for state, n in zip(model._fitted.states, before, strict=True)]
    assert len(set(steps)) == 1


# --- losses for numbers ---

FITS = {"hidden_layer_sizes": (16,), "batch_size": 32, "epochs": 60}


def signal(n=900, seed=3):
    """(inputs, a smooth function of them)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] / 2, rng


@pytest.mark.parametrize("tau", [0.1, 0.9])
def test_a_quantile_has_its_share_of_new_rows_below_it(tau):
    x, f, rng = signal()
    y = f + (1 + (x[:, 0] > 0)) * rng.standard_normal(len(x))
    model = fast(FeedForwardRegressor, loss=losses.quantile(tau), **FITS).fit(x[:600], y[:600])
    assert np.mean(y[600:] < model.predict(x[600:])) == pytest.approx(tau, abs=0.06)


def test_a_quantile_is_scored_as_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    y = x[:, 0] + rng.exponential(size=400)
    model = fast(FeedForwardRegressor, loss=losses.quantile(0.9), **FITS).fit(x[:300], y[:300]).model_
    scores = model.metrics(model.encoder.transform(x[300:]), model.target.transform(y[300:]))
    predicted = model.numbers(model.encoder.transform(x[300:])).ravel()
    assert scores["below"] == pytest.approx(np.mean(y[300:] <= predicted))
    unit = (y[300:] - predicted) / model.target.scale[0]
    assert scores["loss"] == pytest.approx(np.mean(np.maximum(0.9 * unit, -0.1 * unit)), rel=1e-4)


def test_a_quantile_of_the_diabetes_data():
    x, y = load_diabetes(return_X_y=True)
    part = np.random.default_rng(0).permutation(len(y))
    model = FeedForwardRegressor((16,), loss=losses.quantile(0.9), ensemble=1, monitor=False)
    model.fit(x[part[:300]], y[part[:300]])
    assert 0.8 <= np.mean(y[part[300:]] < model.predict(x[part[300:]])) <= 0.97


def test_outliers_do_not_move_huber_nor_the_median():
    x, f, rng = signal()
    y = f + 0.1 * rng.standard_normal(len(x))
    out = rng.random(len(x)) < 0.05
    y[out] += rng.choice([-1, 1], out.sum()) * rng.exponential(30, out.sum())
    y[0] = 1e6
    error = {}
    for loss in ("squared_error", "huber", "absolute"):
        model = fast(FeedForwardRegressor, loss=loss, **FITS).fit(x[:600], y[:600])
        error[loss] = np.sqrt(np.mean((model.predict(x[600:]) - f[600:]) ** 2))
    assert error["huber"] < 0.5 < error["squared_error"]
    assert error["absolute"] < 0.5


def test_counts():
    """Positive predictions, nearer than those of the squared error as counts go."""
    x, f, rng = signal()
    y = rng.poisson(np.exp(1 + f))
    deviance = {}
    for loss in ("squared_error", "poisson"):
        model = fast(FeedForwardRegressor, loss=loss, **{**FITS, "learning_rate": 0.01, "epochs": 200})
        predicted = model.fit(x[:600], y[:600]).predict(x[600:])
        assert loss == "squared_error" or predicted.min() > 0
        deviance[loss] = mean_poisson_deviance(y[600:], np.maximum(predicted, 0.05))
    assert deviance["poisson"] < deviance["squared_error"]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_loss_of_counts_does_not_mind_their_unit(scale):
    counts = np.round(NUMBERS)
    plain = {"loss": "poisson", "shuffle": False, "early_stopping": False}  # which rows are held out would change
    one, other = (fast(FeedForwardRegressor, **plain).fit(X, y) for y in (counts, scale * counts))
    np.testing.assert_allclose(other.predict(X), scale * one.predict(X), rtol=1e-4)


@pytest.mark.parametrize(
    "loss",
    ["huber", "absolute", "quantile", "poisson", losses.quantile(0.9), losses.matching("softplus")],
    ids=["huber", "absolute", "quantile", "poisson", "quantile(0.9)", "matching"],
)
def test_losses_survive_a_file_a_pickle_and_a_clone(loss, tmp_path):
    y = np.abs(PAIRS)
    model = fast(FeedForwardRegressor, loss=loss).fit(X, y)
    model.save(tmp_path / "m.safetensors")
    read, copy = load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(model))
    for other in (read, copy):
        assert other.get_params()["loss"] == loss
        assert other.model_.loss == model.model_.loss
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))


def test_names_stand_for_losses():
    for name, loss in {"huber": losses.huber(), "quantile": losses.quantile(0.5), "poisson": losses.poisson}.items():
        one, other = (fast(FeedForwardRegressor, loss=given).fit(X, NUMBERS) for given in (name, loss))
        np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_another_tau_compiles_nothing():
    fast(FeedForwardRegressor, loss=losses.quantile(0.3)).fit(X, NUMBERS).predict(X)
    with compilations() as compiled:
        fast(FeedForwardRegressor, loss=losses.quantile(0.7)).fit(X, NUMBERS).predict(X)
    assert compiled == []


def test_shares_are_predicted_by_the_matching_loss_of_a_sigmoid():
    share = 1 / (1 + np.exp(-NUMBERS + 100))
    model = fast(FeedForwardRegressor, loss=losses.matching("sigmoid"), epochs=50).fit(X, share)
    predicted = model.predict(X)
    assert 0 < predicted.min() < predicted.max() < 1
    assert model.score(X, share) > 0.3


@spec
class FourthPower(losses.Loss):
    """A loss that a user wrote."""

    activation = activations.identity

    def value(self, z, y):
        return jnp.sum((z - y) ** 4, axis=-1) / 4

    def delta(self, z, y):
        return (z - y) ** 3


def test_a_loss_of_ones_own():
    model = fast(FeedForwardRegressor, loss=FourthPower(), epochs=20, learning_rate=0.01).fit(X, NUMBERS)
    assert model.history_["train_loss"][-1] < model.history_["train_loss"][0]
    assert np.isfinite(model.predict(X)).all()


def test_targets_that_a_loss_cannot_take_are_refused():
    for loss, y in (("poisson", NUMBERS - 101), (losses.matching("sigmoid"), NUMBERS), (losses.cross_entropy, NUMBERS)):
        with pytest.raises(ValueError, match="which this loss cannot take") as error:
            fast(FeedForwardRegressor, loss=loss).fit(X, y)
        assert_one_line(error)
    model = fast(FeedForwardRegressor, loss="poisson")
    with pytest.raises(ValueError, match="at least 0"):
        model.fit(X, NUMBERS, validation_data=(X, -NUMBERS))


def test_a_warm_start_keeps_the_scale_of_the_target():
    model = fast(FeedForwardRegressor, warm_start=True).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="another scale"):
        model.set_params(loss="poisson").fit(X, NUMBERS)
    quantile = fast(FeedForwardRegressor, warm_start=True, loss=losses.quantile(0.2)).fit(X, NUMBERS)
    quantile.set_params(loss=losses.quantile(0.8)).fit(X, NUMBERS)


def test_the_command_line_finds_the_columns_of_a_frame_of_numbers_by_name(tmp_path, capsys):
    frame = pd.DataFrame(X, columns=[f"col {j}" for j in range(X.shape[1])])
    model = fast().fit(frame, LABELS)
    model.save(tmp_path / "m.safetensors")
    frame[frame.columns[::-1]].to_csv(tmp_path / "x.csv", index=False)
    assert main(["predict", str(tmp_path / "m.safetensors"), str(tmp_path / "x.csv")]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))["prediction"]
    np.testing.assert_array_equal(found, model.predict(frame))


def test_few_epochs_get_a_rate_that_learns_in_them():
    x, y = load_iris(return_X_y=True)
    brief = {"hidden_layer_sizes": (16,), "optimizer": "gd", "epochs": 10}
    auto = fast(**brief, learning_rate="auto").fit(x, y)
    slow = fast(**brief, learning_rate=auto.learning_rate_ / 10).fit(x, y)
    assert auto.history_["train_loss"][-1] < 0.5 * slow.history_["train_loss"][-1]
