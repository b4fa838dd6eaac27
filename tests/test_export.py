"""ONNX files: onnxruntime is the reference for what axonic predicts from the same raw columns."""

import dataclasses
import datetime
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_iris

from axonic import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RBFClassifier,
    RBFRegressor,
    RecurrentRegressor,
    layers,
    losses,
)
from axonic.cli import main
from axonic.data.autoregression import steps_before
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged
from axonic.data.schema import infer_schema, target_values
from axonic.data.sequences.layout import Layout
from axonic.data.sequences.tables import cut_table
from axonic.data.targets import TargetEncoder
from axonic.errors import InputError
from axonic.export import ACTIVATIONS, LAYERS, agreement, export_onnx, inputs, onnx_network
from axonic.layers.base import sequence
from axonic.model import Model
from axonic.storage import load_model

KINDS = ["number", "category", "boolean", "date"]
FAST = ["--epochs", "2", "--regularization", "none", "--no-monitor"]


def table(n=400, seed=0):
    """Every kind of column, with missing values and names that are awkward; the number has little spread far from 0."""
    rng = np.random.default_rng(seed)
    gap = rng.random((4, n)) < 0.1
    start = datetime.datetime(1999, 1, 1)
    moments = [start + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 24 * 365 * 30, n)]
    frame = pl.DataFrame(
        {
            "prediction": np.where(gap[0], np.nan, 1e9 + rng.standard_normal(n)),
            "<script>alert(1)</script>": rng.standard_normal(n),
            "城市 🌆": [None if g else f"c{i}" for g, i in zip(gap[1], rng.integers(0, 5, n), strict=True)],
            "": pl.Series([None if g else bool(b) for g, b in zip(gap[2], rng.random(n) < 0.4, strict=True)]),
            "when": [None if g else m for g, m in zip(gap[3], moments, strict=True)],
        }
    )
    y = np.sin(np.arange(n)) + frame["<script>alert(1)</script>"].to_numpy()
    return frame.with_columns(y=pl.Series(y))


def untrained(frame, target, network, loss, n_members=2, scaling="deviation"):
    schema = infer_schema(frame, target)
    y = target_values(frame, schema)
    encoder = TableEncoder.fit(frame, schema)
    encoded = TargetEncoder.fit(y, schema.task, scaling=scaling)
    rng = np.random.default_rng(0)
    members = tuple(
        jax.tree.map(
            lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape).astype(np.float32),
            network.init(rng, encoder.n_features),
        )
        for _ in range(n_members)
    )
    return Model(network, loss, members, encoder, encoded, {"schema": schema.to_json()})


def run(path, feeds):
    return onnxruntime.InferenceSession(str(path)).run(None, feeds)


def test_every_kind_of_column(tmp_path):
    frame = table()
    model = untrained(frame, "y", layers.chain(layers.dense(8, "tanh"), layers.dense(1)), losses.squared_error)
    dates = next(column for column in model.encoder.columns if column.name == "when")
    assert dates.cycles == ("year", "week", "day")
    assert {column.kind for column in model.encoder.columns} == set(KINDS)
    assert sum(column.has_missing for column in model.encoder.columns) == 4
    export_onnx(model, tmp_path / "m.onnx", frame)
    new = table(1000, seed=1).with_columns(pl.col("城市 🌆").str.replace("c3", "unseen"))
    (predicted,) = run(tmp_path / "m.onnx", inputs(model, new))
    np.testing.assert_allclose(predicted[:, 0], model.predict(new), rtol=1e-5, atol=1e-5)


def test_matrix_of_encoded_columns_is_the_same(tmp_path):
    """Each slot by itself: a network that hands its inputs on."""
    frame = table()
    model = untrained(frame, "y", layers.chain(layers.dense(1)), losses.squared_error, 1)
    n = model.encoder.n_features
    through = layers.chain(layers.dense(n))
    params = ((layers.DenseParams(np.eye(n, dtype=np.float32), np.zeros(n, np.float32)),),)
    target = TargetEncoder("regression", center=(0.0,) * n, scale=(1.0,) * n, is_flat=False)
    model = Model(through, losses.squared_error, params, model.encoder, target, model.info)
    export_onnx(model, tmp_path / "m.onnx", frame)
    days = [datetime.datetime(1582, 10, 16) + datetime.timedelta(days=d, hours=d % 24) for d in range(0, 400_000, 397)]
    calendar = pl.concat([frame] * 3)[: len(days)].with_columns(when=pl.Series(days))
    (matrix,) = run(tmp_path / "m.onnx", inputs(model, calendar))
    np.testing.assert_allclose(matrix, model.encoder.transform(calendar), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "exp"])
def test_activation(name):
    network = layers.chain(layers.dense(5, name), layers.dense(2))
    params = network.init(np.random.default_rng(0), 3)
    x = 5 * np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
    proto = onnx_network(network, losses.mse(name), [params], 3)
    (outputs,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    expected = losses.mse(name).activation.value(network.forward(params, jnp.asarray(x))[0])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("radial", ["gaussian", "multiquadric", "inverse_multiquadric", "thin_plate"])
@pytest.mark.parametrize("widths", ["shared", "per_center", "per_dimension"])
def test_radial(radial, widths):
    network = layers.chain(layers.rbf(6, radial, widths), layers.dense(2))
    rng = np.random.default_rng(0)
    params = network.init(rng, 3)
    params = (
        params[0]._replace(log_width=params[0].log_width + 0.1 * rng.random(params[0].log_width.shape, "f4")),
        params[1],
    )
    x = rng.standard_normal((50, 3)).astype(np.float32)
    proto = onnx_network(network, losses.squared_error, [params], 3)
    (outputs,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(outputs, network.forward(params, jnp.asarray(x))[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("radial", ["gaussian", "multiquadric", "inverse_multiquadric", "thin_plate"])
def test_radial_with_large_weights_of_either_sign_does_not_amplify_rounding(radial, tmp_path):
    """Wide functions are nearly alike, so a readout with hardly a penalty is a difference of large numbers."""
    x, y = load_diabetes(return_X_y=True)
    model = RBFRegressor(n_centers=60, radial=radial, width=30.0, ridge=1e-12).fit(x, y)
    assert np.abs(model.model_.members[0][-1].w).sum() > 1e3  # in float32 that costs three digits
    model.export_onnx(tmp_path / "m.onnx", x)
    (predicted,) = run(tmp_path / "m.onnx", {"x": x})
    np.testing.assert_allclose(predicted[:, 0], model.predict(x), rtol=1e-6)


def test_every_activation_has_a_form():
    assert set(layers.ACTIVATIONS) <= set(ACTIVATIONS)


RECURRENT = {
    "rnn": lambda: [layers.rnn(4)],
    "rnn identity": lambda: [layers.rnn(4, "identity")],
    "rnn leaky_relu, both": lambda: [layers.bidirectional(layers.rnn(4, "leaky_relu"))],
    "rnn elu": lambda: [layers.rnn(4, "elu")],
    "rnn softplus": lambda: [layers.rnn(4, "softplus")],
    "rnn relu": lambda: [layers.rnn(4, "relu")],
    "rnn sigmoid": lambda: [layers.rnn(4, "sigmoid")],
    "rnn gelu": lambda: [layers.rnn(4, "gelu")],
    "rnn silu, then": lambda: [layers.rnn(4, "silu"), layers.rnn(3, "selu")],
    "rnn selu, both": lambda: [layers.bidirectional(layers.rnn(4, "selu"))],
    "lstm": lambda: [layers.lstm(4)],
    "lstm both": lambda: [layers.bidirectional(layers.lstm(4)), layers.lstm(3)],
    "gru": lambda: [layers.gru(4), layers.each_step(layers.dropout(0.2)), layers.gru(3)],
    "gru both": lambda: [layers.bidirectional(layers.gru(4))],
    "gru both twice": lambda: [layers.bidirectional(layers.gru(4)), layers.bidirectional(layers.gru(4))],
    "each": lambda: [layers.gru(4), layers.each_step(layers.dense(3, "tanh"))],
}
BOTH = ("rnn leaky_relu, both", "rnn selu, both", "gru both", "gru both twice")
"""Bodies whose last layer goes in both directions."""
HEADS = {
    "both ends": [layers.both_ends(), layers.dense(2)],
    "last": [layers.last_step(), layers.dense(2)],
    "mean": [layers.mean_over_time(), layers.dense(2)],
    "every": [layers.each_step(layers.dense(2)), layers.every_step()],
}


@pytest.mark.parametrize(
    ("body", "head"),
    [
        *((body, "mean") for body in RECURRENT),
        *((body, head) for body in ("lstm both", "each") for head in ("last", "every")),
        *((body, "both ends") for body in BOTH),
    ],
)
def test_recurrent(body, head):
    network = layers.chain(*RECURRENT[body](), *HEADS[head])
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: leaf + 0.3 * rng.standard_normal(leaf.shape).astype(np.float32), network.init(rng, 3)
    )
    x = rng.standard_normal((4, 3, 3)).astype(np.float32)
    lengths = np.array([3, 1, 2, 3], np.int32)
    proto = onnx_network(network, losses.squared_error, [params], 3, sequences=True)
    feeds = {"x": x, "lengths": lengths}
    (outputs,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    with jax.disable_jit():
        expected, _ = network.forward(params, sequence(jnp.asarray(x), jnp.asarray(lengths)))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_every_layer_has_a_form_or_is_refused():
    kinds = [kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, layers.Layer)]
    assert {kind for kind in kinds if kind is not layers.Layer} - set(LAYERS) == set()

    class Strange(layers.Layer):
        pass

    with pytest.raises(InputError, match="Strange layer has no ONNX form"):
        onnx_network(layers.chain(Strange()), losses.squared_error, [((),)], 3)
    own = layers.Activation("own", lambda z: z, lambda z, a: jnp.ones_like(a))
    network = layers.chain(layers.rnn(2, own), layers.last_step())
    params = network.init(np.random.default_rng(0), 3)
    with pytest.raises(InputError, match="the activation 'own' has no ONNX form"):
        onnx_network(network, losses.squared_error, [params], 3, sequences=True)


@pytest.mark.parametrize("labels", [["a", "b", "<b>"], [3, 5, 9], [0.5, 1.5, 2.5], [False, True]])
@pytest.mark.parametrize("framed", [True, False])
def test_classes(labels, framed, tmp_path):
    x, y = load_iris(return_X_y=True)
    x = x[: 50 * len(labels)].copy()
    x[::9, 1] = np.nan
    target = TargetEncoder.fit(np.array(labels)[y[: len(x)]], "classification")
    n_out, loss = (1, losses.cross_entropy) if len(labels) == 2 else (3, losses.log_likelihood)
    network = layers.chain(layers.dense(4, "relu"), layers.dense(n_out))
    members = tuple(network.init(np.random.default_rng(seed), 5) for seed in range(2))
    model = Model(network, loss, members, TableEncoder.from_array(x), target)
    rows = pl.DataFrame(x, schema=["x0", "x1", "x2", "x3"]) if framed else x
    export_onnx(model, tmp_path / "m.onnx", rows, framed=framed)
    predicted, probabilities = run(tmp_path / "m.onnx", inputs(model, rows, framed=framed))
    np.testing.assert_allclose(probabilities, model.predict_proba(x), rtol=1e-5, atol=1e-6)
    assert (predicted == model.predict(x)).all()


def test_estimator(tmp_path):
    x, y = load_iris(return_X_y=True)
    model = FeedForwardClassifier((4,), epochs=30, learning_rate=0.1, regularization=None, monitor=False).fit(x, y)
    model.export_onnx(tmp_path / "m.onnx", x)
    predicted, probabilities = run(tmp_path / "m.onnx", {"x": x})
    np.testing.assert_allclose(probabilities, model.predict_proba(x), rtol=1e-5, atol=1e-6)
    assert (predicted == model.predict(x)).all()


def test_radial_estimator(tmp_path):
    x, y = load_iris(return_X_y=True)
    model = RBFClassifier(n_centers=8, ensemble=1).fit(x, y)
    model.export_onnx(tmp_path / "m.onnx", x)
    predicted, _ = run(tmp_path / "m.onnx", {"x": x})
    assert (predicted == model.predict(x)).all()


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
def test_numbers_of_two_targets(loss, tmp_path):
    x, y = load_diabetes(return_X_y=True)
    fast = {"epochs": 20, "learning_rate": 0.03, "regularization": None, "monitor": False}
    model = FeedForwardRegressor((4,), loss=loss, **fast).fit(x, np.stack([y, 2 * y], axis=1))
    model.export_onnx(tmp_path / "m.onnx", x)
    (predicted,) = run(tmp_path / "m.onnx", {"x": x})
    np.testing.assert_allclose(predicted, model.predict(x), rtol=1e-5)


def test_no_file_is_left_when_predictions_differ(tmp_path, monkeypatch):
    frame = table()
    model = untrained(frame, "y", layers.chain(layers.dense(1)), losses.squared_error)
    dense = LAYERS[layers.Dense]
    monkeypatch.setitem(
        LAYERS, layers.Dense, lambda g, la, p, x: g.add("Mul", dense(g, la, p, x), g.constant(np.float32(1.0001)))
    )
    with pytest.raises(InputError, match="does not reproduce the predictions"):
        export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_command(tmp_path, capsys):
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    frame = pl.DataFrame(x, schema=["sl", "sw", "pl", "pw"]).with_columns(species=pl.Series(names[y]))
    frame.write_csv(tmp_path / "iris.csv")
    fit = ["fit", str(tmp_path / "iris.csv"), "--target", "species", "--hidden", "4", "--out", str(tmp_path / "run")]
    assert main([*fit, *FAST, "--learning-rate", "0.1", "--quiet"]) == 0
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "iris.onnx")]) == 0
    predicted, _ = run(tmp_path / "iris.onnx", inputs(load_model(tmp_path / "run"), frame))
    assert (predicted == load_model(tmp_path / "run").predict(frame)).all()
    capsys.readouterr()
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    for name in ("run/model.safetensors", "iris.csv", "run/run.json", "new"):
        before = (tmp_path / name).read_bytes() if name != "new" else None
        assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert before is None or (tmp_path / name).read_bytes() == before
    assert "an ONNX file needs the ending .onnx" in line
    assert not (tmp_path / "new").exists()


def shaken(model):
    """The model with weights moved, so that the network has its say however short the training was."""
    rng = np.random.default_rng(7)
    moved = (jax.tree.map(lambda w: w + 0.3 * rng.standard_normal(w.shape, "f4"), each) for each in model.members)
    return dataclasses.replace(model, members=tuple(moved))


def steps_table(by_step, n=40, seed=0):
    """A long table of sequences of 1 to 9 steps with every kind of column, a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 10, n)
    rows = np.repeat(np.arange(n), lengths)
    steps = (
        table(len(rows), seed)
        .drop("y")
        .rename({"": "lengths"})
        .with_columns(id=pl.Series([f"s{i}" for i in rows]), place=pl.Series(np.arange(len(rows))))
    )
    value = steps["<script>alert(1)</script>"].to_numpy()
    y = value > 0 if by_step else (np.bincount(rows, value) > 0)[rows]
    return steps.with_columns(y=pl.Series(np.where(y, "high", "low")))


@pytest.mark.parametrize(
    ("by_step", "options"),
    [
        (False, ["--net", "lstm", "--bidirectional"]),
        (False, ["--net", "rnn", "--head", "mean"]),
        (True, ["--net", "gru"]),
    ],
)
def test_sequences_of_a_table(by_step, options, tmp_path):
    steps_table(by_step).write_parquet(tmp_path / "s.parquet")
    fast = [*FAST, "--learning-rate", "0.01", "--hidden", "4", "--ensemble", "2", "--quiet"]
    fast += ["--batch-size", "8", "--sequence-id", "id", "--order-by", "place", "--out", str(tmp_path / "run")]
    assert main(["fit", str(tmp_path / "s.parquet"), "--target", "y", *options, *fast]) == 0
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "run.onnx")]) == 0

    model = shaken(load_model(tmp_path / "run"))
    export_onnx(model, tmp_path / "m.onnx")
    other = steps_table(by_step, seed=1).with_columns(pl.col("城市 🌆").str.replace("c3", "unseen"))
    raw = cut_table(other, Layout("id", "place"), "y").sequences
    feeds = inputs(model, raw)
    assert set(feeds) == {
        "column prediction",
        "<script>alert(1)</script>",
        "城市 🌆",
        "column lengths",
        "when",
        "lengths",
    }
    there = np.arange(raw.longest) < raw.lengths[:, None]
    assert not there.all()
    for name, column in feeds.items():
        if name != "lengths":  # what stands beyond the end does not matter
            column[~there] = "c1" if column.dtype == object else 1e12
    labels, p = run(tmp_path / "m.onnx", feeds)
    expected = model.predict_proba(raw)
    np.testing.assert_allclose(p[there] if by_step else p, expected, rtol=1e-5, atol=1e-6)
    assert set(np.unique(labels)) <= {"high", "low"}
    assert ((labels[there] if by_step else labels) == model.target.inverse(expected.argmax(axis=1))).all()
    # and each sequence by itself gives what it gives among others
    alone = run(tmp_path / "m.onnx", inputs(model, raw[[3]]))[1]
    np.testing.assert_allclose(
        alone[0, : raw.lengths[3]] if by_step else alone[0], p[3, there[3]] if by_step else p[3], rtol=1e-5, atol=1e-6
    )


def two_columns(drift):
    """A series that rises by so much a step."""
    rng = np.random.default_rng(0)
    time = np.arange(150)
    return np.stack([100 + drift * time + np.sin(time / 4) + 0.1 * rng.standard_normal(150), np.cos(time)], axis=1)


def forecaster(series, autoregression=True):
    """A model of 3 steps ahead, hardly trained."""
    fast = {"epochs": 2, "learning_rate": 0.01, "batch_size": 16, "ensemble": 2, "monitor": False}
    return RecurrentRegressor("gru", (4,), regularization=None, **fast).fit_series(series, 12, 3, autoregression)


@pytest.mark.filterwarnings("ignore:2 of 2 networks did no better")  # so short is the training
@pytest.mark.parametrize("drift", [0.0, 0.2])
@pytest.mark.parametrize("autoregression", [True, False])
def test_windows_of_a_series(drift, autoregression, tmp_path):
    """Against the prediction put together by hand from the linear forecast and the network."""
    series = two_columns(drift)
    model = forecaster(series, autoregression)
    assert model.model_.info["series"]["relative"] == bool(drift)
    model.model_ = shaken(model.model_)
    windows = series[steps_before(np.arange(100, 120), 12)]
    model.export_onnx(tmp_path / "m.onnx", windows)
    (found,) = run(tmp_path / "m.onnx", {"x": windows})
    np.testing.assert_allclose(found, model.predict(windows), rtol=1e-6)
    for window, forecast in zip(windows, found, strict=True):
        np.testing.assert_allclose(model.forecast(window), forecast, rtol=1e-6)
    assert np.ptp(found - windows[:, -1:, 0]) > 0.1
    with pytest.raises(InputError, match="sequence 0 has 11 steps"):
        inputs(model, windows[:, 1:])


def test_series_with_columns_beside_it(tmp_path):
    frame = table(200).rename({"y": "level", "": "lengths"})
    frame.write_parquet(tmp_path / "s.parquet")
    fast = [*FAST, "--learning-rate", "0.01", "--hidden", "4", "--ensemble", "2", "--quiet"]
    fast += ["--batch-size", "8", "--window", "5", "--horizon", "2", "--out", str(tmp_path / "run")]
    assert main(["fit", str(tmp_path / "s.parquet"), "--target", "level", "--net", "gru", *fast]) == 0
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "run.onnx")]) == 0
    model = shaken(load_model(tmp_path / "run"))
    export_onnx(model, tmp_path / "m.onnx")
    last = {name: column.reshape(1, 5) for name, column in inputs_by_hand(frame[-5:]).items()}
    (found,) = run(tmp_path / "m.onnx", last)
    steps = frame.select([column.name for column in model.encoder.columns])
    np.testing.assert_allclose(found[0], model.forecast(steps), rtol=1e-5)


def inputs_by_hand(frame):
    """Each column by itself, from the definition in docs/export.md."""
    days = frame["when"].dt.epoch("us") / 86_400e6
    return {
        "level": frame["level"].to_numpy(),
        "column prediction": frame["prediction"].to_numpy(),
        "<script>alert(1)</script>": frame["<script>alert(1)</script>"].to_numpy(),
        "城市 🌆": np.array(frame["城市 🌆"].fill_null("").to_list(), object),
        "column lengths": frame["lengths"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
        "when": days.fill_null(np.nan).to_numpy(),
    }


def test_arrays_of_sequences(tmp_path):
    """The values of a .npz file are far from 0; float32 would not tell them apart."""
    rng = np.random.default_rng(0)
    x, lengths = 1e9 + rng.standard_normal((60, 7, 2)), rng.integers(1, 8, 60)
    np.savez(tmp_path / "s.npz", x=x, y=(x[:, 0, 0] > 1e9).astype(int), lengths=lengths)
    fast = [*FAST, "--learning-rate", "0.01", "--hidden", "4", "--ensemble", "2", "--quiet"]
    fast += ["--batch-size", "8", "--out", str(tmp_path / "run")]
    assert main(["fit", str(tmp_path / "s.npz"), "--target", "y", "--net", "rnn", *fast]) == 0
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "run.onnx")]) == 0
    model = shaken(load_model(tmp_path / "run"))
    export_onnx(model, tmp_path / "m.onnx")
    _, p = run(tmp_path / "m.onnx", {"x": x, "lengths": lengths.astype(np.int32)})
    expected = model.predict_proba(Ragged.of(x[np.arange(7) < lengths[:, None]], lengths))
    np.testing.assert_allclose(p, expected, rtol=1e-5)
    assert np.ptp(p) > 0.1


@pytest.mark.parametrize("kind", ["array", "list"])
def test_sequences_to_check_with_come_as_they_are_fitted(kind, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 4, 2))
    sequences = x if kind == "array" else [one[: 1 + i % 4] for i, one in enumerate(x)]
    model = RecurrentRegressor("rnn", (4,), epochs=2, learning_rate=0.01, ensemble=1, monitor=False)
    model.fit(sequences, x[:, 0, 0])
    seen, compare = [], agreement.compare
    monkeypatch.setattr(
        agreement, "compare", lambda model, data, given: (seen.append(data), compare(model, data, given))
    )
    export_onnx(model, tmp_path / "m.onnx", sequences)
    np.testing.assert_array_equal(seen[-1].values, np.concatenate(list(sequences)))


@pytest.mark.filterwarnings("ignore:2 of 2 networks did no better")
def test_no_file_of_a_series_is_left_when_predictions_differ(tmp_path, monkeypatch):
    model = forecaster(two_columns(0.0) - [100.0, 0.0])  # near 0, where a small factor is seen
    model.model_ = shaken(model.model_)
    dense = LAYERS[layers.Dense]
    monkeypatch.setitem(
        LAYERS, layers.Dense, lambda g, la, p, x: g.add("Mul", dense(g, la, p, x), g.constant(np.float32(1.0001)))
    )
    with pytest.raises(InputError, match="does not reproduce the predictions"):
        model.export_onnx(tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_one_line_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['onnx'] = None\n"
        "from axonic.export import export_onnx\n"
        f"export_onnx(None, {str(tmp_path / 'm.onnx')!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith("needs onnx and onnxruntime: pip install 'axonic[onnx]'")


def test_made_up_rows_suit_their_encoder():
    model = untrained(table(), "y", layers.chain(layers.dense(1)), losses.squared_error, 1)
    rows = agreement.made_up_rows(model.encoder, 100)
    matrix, unseen = model.encoder.encode(rows)
    assert matrix.shape == (100, model.encoder.n_features)
    assert unseen
