"""Sequences on the command line: fit, predict, evaluate, resume; what is said of bad ones."""

import dataclasses
import json
import os
import re

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import Ridge

from axonic import load, run_directory, runs
from axonic.cli import main
from axonic.data import batches
from axonic.data.encoding import Coding, TableEncoder
from axonic.data.ragged import Ragged
from axonic.data.sequences.layout import Layout
from axonic.diagnosis.rehearsal import Rehearsal
from axonic.errors import InputError
from axonic.report.terminal import Progress
from axonic.runs import check, sequences
from axonic.runs.sequences import prepare
from axonic.storage import load_model
from axonic.types import Finding
from tests.test_runs import always, load_json, without_times

FAST = [
    "--hidden",
    "4",
    "--learning-rate",
    "0.05",
    "--batch-size",
    "16",
    "--epochs",
    "12",
    "--ensemble",
    "1",
    "--quiet",
]
SLOTS = 16
LONG = ["--sequence-id", "who", "--order-by", "day"]
CASES = {
    "long": ["long.csv", "--target", "kind", "--net", "gru", *LONG],
    "steps": ["long.csv", "--target", "total", "--net", "rnn", "--bidirectional", *LONG],
    "npz": ["s.npz", "--target", "y", "--net", "lstm", "--no-bidirectional"],
    "series": ["series.csv", "--target", "v", *["--net", "gru", "--window", "12", "--horizon", "3", "--order-by", "t"]],
}


def make_long(n=60, seed=0):
    """Visits of n people, 3 to 8 each, in no order; soil does not change, some values are missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        soil, values = ["clay", "sand"][i % 2], rng.standard_normal(rng.integers(3, 9))
        kind = "ant" if values[0] + 0.5 * (soil == "sand") > 0 else "bee"
        for t, value in enumerate(values):
            seen = float(value) if rng.random() > 0.03 else None
            rows.append(
                (f"p{i}", f"2024-02-{t + 1:02d}", seen, soil, rng.random() > 0.5, kind, float(values[: t + 1].sum()))
            )
    frame = pl.DataFrame(rows, schema=["who", "day", "v", "soil", "wet", "kind", "total"], orient="row")
    return frame.sample(fraction=1, shuffle=True, seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files with sequences, and a run on each."""
    path = tmp_path_factory.mktemp("sequences")
    frame = make_long()
    frame.write_csv(path / "long.csv")
    bad = pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("bad")).otherwise(pl.col("v").cast(pl.String))
    frame.with_columns(v=bad).write_csv(path / "bad.csv")
    frame.with_columns(kind=pl.Series(["ant", "bee"] * len(frame))[: len(frame)]).write_csv(path / "changes.csv")
    frame.with_columns(total=1.0).write_csv(path / "same.csv")
    sixth = pl.int_range(pl.len()) == 5
    frame.with_columns(v=pl.when(sixth).then(np.inf).otherwise("v")).write_csv(path / "infinite.csv")
    total = pl.when(sixth).then(pl.lit("bad")).otherwise(pl.col("total").cast(pl.String))
    frame.with_columns(total=total).write_csv(path / "total.csv")
    frame.with_columns(own="who").write_csv(path / "own.csv")
    frame.with_columns(soon=pl.col("day") < "2024-02-03").write_csv(path / "soon.csv")
    pl.concat([frame, frame.head(1)]).write_csv(path / "twice.csv")
    frame.filter(pl.col("who") == "p0").write_csv(path / "one.csv")
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, 50)
    x = rng.standard_normal((lengths.sum(), 2))
    y = np.where(x[np.cumsum(lengths) - 1, 0] > 0, "up", "down")
    np.savez(path / "s.npz", x=x, lengths=lengths, y=y)
    t = np.arange(160)
    series = np.sin(t / 3) + 0.05 * rng.standard_normal(160)
    pl.DataFrame({"t": t[::-1], "v": series[::-1]}).write_csv(path / "series.csv")
    steps, late = pl.read_csv(path / "series.csv"), pl.int_range(160) == 59
    steps.with_columns(v=pl.when(~late).then("v")).write_csv(path / "gap.csv")
    steps = steps.with_columns(w=pl.col("v") * 2)
    steps.with_columns(w=pl.when(late).then(np.inf).otherwise("w")).write_csv(path / "beside.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "MAX_SLOTS", SLOTS)
        for name, (data, *options) in CASES.items():
            assert main(["fit", str(path / data), "--out", str(path / name), *options, *FAST]) == 0
    return path


@pytest.fixture
def short_tapes(monkeypatch):
    """Tapes of few slots, checkpoints after each."""
    monkeypatch.setattr(batches, "MAX_SLOTS", SLOTS)
    always(monkeypatch)


def answer(capsys, *arguments):
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_a_forecast_is_held_against_simple_ones(folder):
    result = load_json(folder / "series" / "result.json")
    v = pl.read_csv(folder / "series.csv").sort("t")["v"].to_numpy()
    assert set(result["baselines"]) == {"last_value", "linear"}  # the season of 18.8 steps is longer than the window
    ends = np.arange(128 - 1, 160 - 3)  # the last fifth is the test
    truth = v[ends[:, None] + [1, 2, 3]]
    rmse = np.mean(np.sqrt(np.mean((truth - v[ends][:, None]) ** 2, axis=0)))
    assert result["baselines"]["last_value"]["test"]["rmse"] == pytest.approx(rmse)
    assert result["test"]["rmse"] < rmse
    assert result["test"]["rmse"] < 1.5 * result["baselines"]["linear"]["test"]["rmse"]


def test_sequences_are_held_against_the_constant_and_where_they_are_of_one_length_a_linear_model(
    folder, tmp_path, capsys
):
    for name in ("long", "steps", "npz"):
        result = load_json(folder / name / "result.json")
        assert set(result["baselines"]) == {"constant"}  # lengths differ
        assert set(result["baselines"]["constant"]["test"]) <= set(result["test"])
    frame, result = make_long(), load_json(folder / "long" / "result.json")
    ants = frame.group_by("who").agg(pl.col("kind").first())["kind"].eq("ant").mean()
    assert result["baselines"]["constant"]["valid"]["loss"] == pytest.approx(
        -ants * np.log(ants) - (1 - ants) * np.log(1 - ants), rel=0.1
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 15, 1)).astype(np.float32)
    y = x[:, :, 0] @ rng.standard_normal(15) + 0.3 * rng.standard_normal(200)
    for part, rows in (("s", slice(150)), ("test", slice(150, None))):
        np.savez(tmp_path / f"{part}.npz", x=x[rows], y=y[rows])
    arguments = [
        "fit",
        tmp_path / "s.npz",
        "--target",
        "y",
        "--net",
        "gru",
        "--test",
        tmp_path / "test.npz",
        *FAST[:-1],
    ]
    printed = answer(capsys, *arguments, "--out", tmp_path / "run")
    result = load_json(tmp_path / "run" / "result.json")
    split = prepare(runs.Request.from_json(load_json(tmp_path / "run" / "run.json"), tmp_path)).split
    train = x[split.train, :, 0]
    scale, spread = train.std(axis=(0, 1)), y[split.train].std()
    ridge = Ridge(1.0).fit(train / scale, y[split.train] / spread)
    error = ridge.predict(x[150:, :, 0] / scale) * spread - y[150:]
    assert result["baselines"]["linear"]["test"]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-3)
    assert result["baselines"]["constant"]["test"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((y[150:] - y[split.train].mean()) ** 2)), rel=1e-3
    )
    finding = result["findings"][0]
    assert finding["code"] == "train.worse_than_linear"
    assert "sequences" in finding["cause"]
    assert "side by side" in finding["cause"]
    assert "reshape" in finding["remedy"]
    assert "simpler models (test): constant" in printed
    page = (tmp_path / "run" / "report.html").read_text()
    assert "linear model of all steps" in page
    assert "train.worse_than_linear" in answer(capsys, "diagnose", tmp_path / "run")


def test_the_constant_of_steps_is_that_of_all_of_them(folder):
    """The numbers of a sequence share its weight."""
    result = load_json(folder / "steps" / "result.json")
    prepared = prepare(runs.Request.from_json(load_json(folder / "steps" / "run.json"), folder))
    each = prepared.rows.y.split()
    mean = np.mean([each[i].mean() for i in prepared.split.train])
    truth = np.concatenate([each[i] for i in prepared.split.test])
    expected = np.sqrt(np.mean((truth - mean) ** 2)) * prepared.target.scale[0]
    assert result["baselines"]["constant"]["test"]["rmse"] == pytest.approx(expected, rel=1e-3)


def test_one_prediction_for_each_sequence(folder, capsys):
    frame = pl.read_csv(folder / "long.csv")
    table = pl.read_csv(answer(capsys, "predict", folder / "long", folder / "long.csv", "--proba").encode())
    assert table.columns == ["who", "prediction", "ant", "bee"]
    assert table["who"].to_list() == frame["who"].unique(maintain_order=True).to_list()
    truth = table.join(frame.select("who", "kind").unique(), on="who", maintain_order="left")["kind"]
    scores = json.loads(answer(capsys, "evaluate", folder / "long", folder / "long.csv", "--json"))
    assert scores["accuracy"] == pytest.approx((table["prediction"] == truth).mean())
    assert (scores["n"], scores["of"]) == (60, "sequences")
    assert "60 sequences, classification of kind" in answer(capsys, "evaluate", folder / "long", folder / "long.csv")
    result = load_json(folder / "long" / "result.json")
    assert result["net"] == "gru"
    assert result["head"] == "last"
    assert result["n_train"] + result["n_valid"] + result["n_test"] == 60
    assert (folder / "long" / "through_time.svg").read_text().startswith("<svg")
    codes = {finding["code"] for finding in result["findings"]}
    assert {"data.missing", "data.unordered"} <= codes


@pytest.mark.parametrize("name", ["prediction", "std", "ant"])
def test_sequences_may_be_named_by_any_column(name, tmp_path, capsys):
    make_long().rename({"who": name}).write_csv(tmp_path / "t.csv")
    options = ["--target", "kind", "--net", "rnn", "--no-bidirectional", "--sequence-id", name, "--order-by", "day"]
    options += [*FAST[:-3], "--ensemble", "2", "--quiet", "--no-monitor"]
    assert main(["fit", str(tmp_path / "t.csv"), "--out", str(tmp_path / "run"), *options]) == 0
    table = pl.read_csv(answer(capsys, "predict", tmp_path / "run", tmp_path / "t.csv", "--proba", "--std").encode())
    assert table.columns == [f"id {name}", "prediction", "std", "ant", "bee"]


def named(frame, names):
    return frame.with_columns(pl.col("who").replace_strict([f"p{i}" for i in range(60)], names))


SPELT = [f"{i}" if i % 2 else f"0{i - 1 if i < 30 else i}" for i in range(1, 61)]
"""1, 01, 3, 03, ...; 31, 032, ..."""


@pytest.mark.parametrize("names", [SPELT, [f"{i}E0" for i in range(60)], [f"{1 + i / 10:.2f}" for i in range(60)]])
def test_sequences_are_named_as_the_file_spells_them(names, folder, tmp_path, capsys):
    frame = named(make_long(), names)
    frame.write_csv(tmp_path / "t.csv")
    order = frame["who"].unique(maintain_order=True).to_list()
    table = pl.read_csv(answer(capsys, "predict", folder / "long", tmp_path / "t.csv").encode(), infer_schema=False)
    assert table["who"].to_list() == order
    scores = json.loads(answer(capsys, "evaluate", folder / "long", tmp_path / "t.csv", "--json"))
    assert scores["n"] == 60
    request = runs.Request.from_json(load_json(folder / "long" / "run.json"), folder)
    prepared = prepare(request._replace(data=str(tmp_path / "t.csv"), test=str(tmp_path / "t.csv")))
    assert prepared.summary.startswith("60 sequences of")
    assert len(prepared.split.test) == 60
    same = pl.read_csv(answer(capsys, "predict", folder / "long", folder / "long.csv").encode())
    assert table["prediction"].to_list() == same["prediction"].to_list()


def test_whole_numbers_of_a_columnar_file_stay_names(folder, tmp_path):
    frame = named(make_long(), range(60))
    frame.write_parquet(tmp_path / "t.parquet")
    table, _ = runs.predict_table(folder / "long", tmp_path / "t.parquet")
    assert table["who"].dtype.is_integer()
    assert table["who"].to_list() == frame["who"].unique(maintain_order=True).to_list()


def test_months_are_read_as_months_and_so_in_another_file(tmp_path):
    months = [f"{t % 12 + 1:02d}.{2005 + t // 12}" for t in range(120)]
    frame = pl.DataFrame({"month": months, "v": np.sin(np.arange(120) / 3)})
    frame.write_csv(tmp_path / "s.csv")
    frame.with_columns(month=pl.Series([f"{m[3:]}-{m[:2]}" for m in months])).write_csv(tmp_path / "iso.csv")
    about = ["--target", "v", "--order-by", "month", "--net", "rnn", "--window", "6", "--no-monitor"]
    for name in ("s", "iso"):
        data = str(tmp_path / f"{name}.csv")
        assert main(["fit", data, *about, "--out", str(tmp_path / name), *FAST]) == 0
    result, same = (load_json(tmp_path / name / "result.json") for name in ("s", "iso"))
    assert result["test"]["rmse"] == same["test"]["rmse"]
    assert "data.unordered" not in {finding["code"] for finding in result["findings"]}
    assert load_model(tmp_path / "s").info["layout"]["order_format"] == "%m.%Y"
    table, _ = runs.predict_table(tmp_path / "s", tmp_path / "s.csv", steps=2)
    frame.sample(fraction=1, shuffle=True, seed=0).write_csv(tmp_path / "moved.csv")
    moved, _ = runs.predict_table(tmp_path / "s", tmp_path / "moved.csv", steps=2)
    assert moved["prediction"].to_list() == table["prediction"].to_list()


def test_static_columns_stand_beside_the_sequences(folder):
    model = load_model(folder / "long")
    assert {"soil=clay", "soil=sand", "v", "wet"} <= set(model.encoder.feature_names)


def test_one_prediction_for_each_step_in_the_order_of_the_rows(folder, capsys):
    frame = pl.read_csv(folder / "long.csv")
    table = pl.read_csv(answer(capsys, "predict", folder / "steps", folder / "long.csv").encode())
    assert table.columns == ["prediction"]
    assert len(table) == len(frame)
    assert np.corrcoef(table["prediction"], frame["total"])[0, 1] > 0.5
    assert load_json(folder / "steps" / "result.json")["head"] == "every"
    first = frame["who"][0]
    alone = frame.filter(pl.col("who") == first)
    alone.write_csv(folder / "alone.csv")
    found = pl.read_csv(answer(capsys, "predict", folder / "steps", folder / "alone.csv").encode())
    np.testing.assert_allclose(found["prediction"], table.filter(frame["who"] == first)["prediction"], atol=1e-5)


def test_targets_of_each_step_may_be_the_same_in_another_file(folder, capsys):
    scores = json.loads(answer(capsys, "evaluate", folder / "steps", folder / "same.csv", "--json"))
    assert scores["n"] == 60
    request = runs.Request.from_json(load_json(folder / "steps" / "run.json"), folder)
    prepared = prepare(request._replace(test=str(folder / "same.csv")))
    assert len(prepared.split.test) == 60
    assert isinstance(prepared.rows.y, Ragged)


def test_dates_are_read_as_in_training(folder):
    frame, days = pl.read_csv(folder / "long.csv"), [f"2024-02-{day:02d}" for day in range(1, 9)]
    late = [f"{day}/02/2024" for day in range(21, 29)]
    frame.with_columns(pl.col("day").replace_strict(days, late)).write_csv(folder / "days.csv")
    request = runs.Request.from_json(load_json(folder / "long" / "run.json"), folder)
    info = prepare(request._replace(data=str(folder / "days.csv"))).info
    assert info["layout"] == {"sequence_id": "who", "order_by": "day", "order_format": "%d/%m/%Y"}
    loaded = load_model(folder / "long")
    model = dataclasses.replace(loaded, info={**loaded.info, "layout": info["layout"]})
    early = [f"{day:02d}/01/2024" for day in range(9, 13)] + [f"{day:02d}/02/2024" for day in range(1, 5)]
    frame.with_columns(pl.col("day").replace_strict(days, early)).write_csv(folder / "early.csv")
    found, same = (sequences.asked(m, folder / f"{n}.csv").x.values for m, n in ((model, "early"), (loaded, "long")))
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("linear", [True, False])
def test_no_signal_is_said_where_no_linear_forecast_is_corrected(linear, folder, monkeypatch):
    finding = Finding("data.no_signal", "warning", "", {}, "none", "none")
    monkeypatch.setattr(check, "rehearse", lambda _: Rehearsal([finding], {}, {}))
    request = runs.Request.from_json(load_json(folder / "series" / "run.json"), folder)
    settings = dataclasses.replace(request.settings, autoregression=linear)
    found = runs.check_data(request.data, "v", settings=settings, layout=request.layout)["findings"]
    assert ("data.no_signal" in [finding["code"] for finding in found]) != linear


def test_a_series_beside_others_may_be_written_as_text_and_hold_what_is_new(tmp_path, capsys):
    t = np.arange(120)
    values = 2000 + 900 * np.sin(t / 3)
    frame = pl.DataFrame({"v": values, "kind": np.where(t % 2, "odd", "even"), "t": t})
    frame = frame.with_columns(v=pl.Series([f"${value:,.2f}" for value in values]))
    frame.write_csv(tmp_path / "s.csv")
    about = ["--target", "v", "--order-by", "t", "--net", "rnn", "--window", "6", "--horizon", "2", "--no-monitor"]
    assert main(["fit", str(tmp_path / "s.csv"), *about, "--out", str(tmp_path / "run"), *FAST]) == 0
    last = pl.when(pl.col("t") > 110)  # 6 of these 9 are in the last window
    frame.with_columns(kind=last.then(pl.lit("new")).otherwise("kind")).write_csv(tmp_path / "new.csv")
    table, unseen = runs.predict_table(tmp_path / "run", tmp_path / "new.csv")
    assert unseen == {"kind": 6}
    assert 0 < table["prediction"].min() < table["prediction"].max() < 4000
    assert runs.predict_table(tmp_path / "run", tmp_path / "s.csv")[1] == {}
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.csv")]) == 0
    assert "values of 'kind' beyond what training saw: 6" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "run"), "--onnx", str(tmp_path / "m.onnx")]) == 0
    frame.drop("v").write_csv(tmp_path / "without.csv")
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "without.csv")]) == 2
    said = capsys.readouterr().err
    assert re.search(r"no column is named 'v' \(\S*without\.csv, the series that the model forecasts\)", said)


def test_a_forecast_needs_the_columns_of_training(folder):
    loaded = load_model(folder / "series")
    encoder = TableEncoder((*loaded.encoder.columns, Coding("w", "number")))
    schema = loaded.info["schema"]
    schema = {**schema, "columns": [*schema["columns"], {"name": "w", "kind": "number"}]}
    model = dataclasses.replace(loaded, encoder=encoder, info={**loaded.info, "schema": schema})
    with pytest.raises(InputError, match="column 'w' is missing"):
        sequences.forecast(model, folder / "series.csv", None)


def test_a_file_of_arrays(folder, capsys):
    table = pl.read_csv(answer(capsys, "predict", folder / "npz", folder / "s.npz").encode())
    assert len(table) == 50
    scores = json.loads(answer(capsys, "evaluate", folder / "npz", folder / "s.npz", "--json"))
    assert scores["accuracy"] == pytest.approx(
        np.mean(table["prediction"].to_numpy() == np.load(folder / "s.npz")["y"])
    )


def test_runs_predict_in_python(folder, capsys):
    with np.load(folder / "s.npz") as held:
        sequences_of_it = np.split(held["x"], np.cumsum(held["lengths"])[:-1])
        y = held["y"]
    model = load(folder / "npz")
    table = pl.read_csv(answer(capsys, "predict", folder / "npz", folder / "s.npz").encode())
    np.testing.assert_array_equal(model.predict(sequences_of_it), table["prediction"])
    assert model.score(sequences_of_it, y) == pytest.approx(np.mean(table["prediction"].to_numpy() == y))
    steps = load(folder / "steps")
    assert (steps.cell, steps.head) == ("rnn", "every")
    assert load(folder / "series").predict(np.sin(np.arange(24) / 3).reshape(2, 12, 1)).shape == (2, 3)


def test_a_quantile_of_a_series_is_held_against_simple_forecasts(folder, tmp_path, capsys):
    about = ["--target", "v", "--order-by", "t", "--net", "rnn", "--window", "12", "--loss", "quantile:0.9"]
    shown = answer(capsys, "fit", folder / "series.csv", *about, "--out", tmp_path / "run", *FAST)
    assert "rmse of simple forecasts (test): last value" in shown
    assert "below" in shown
    assert "no higher than predicted" in (tmp_path / "run" / "report.html").read_text()


def test_unseen_values_are_counted_when_sequences_are_scored(folder, tmp_path, capsys):
    frame = pl.read_csv(folder / "long.csv")
    frame.with_columns(v=pl.col("v") + 1e6).write_csv(tmp_path / "far.csv")
    scores = json.loads(answer(capsys, "evaluate", folder / "long", tmp_path / "far.csv", "--json"))
    assert scores["unseen"] == {"v": frame["v"].count()}


def test_a_series_is_continued(folder, capsys):
    table = pl.read_csv(answer(capsys, "predict", folder / "series", folder / "series.csv", "--steps", "6").encode())
    assert table["step"].to_list() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(table["prediction"], np.sin(np.arange(160, 166) / 3), atol=0.5)
    horizon = pl.read_csv(answer(capsys, "predict", folder / "series", folder / "series.csv").encode())
    assert horizon["prediction"].to_list() == table["prediction"].to_list()[:3]
    scores = json.loads(answer(capsys, "evaluate", folder / "series", folder / "series.csv", "--json"))
    assert scores["n"] == 160 - 12 - 3 + 1
    assert scores["r2"] > 0.7
    result = load_json(folder / "series" / "result.json")
    assert (result["window"], result["horizon"]) == (12, 3)
    assert result["n_test"] == 32 - 3 + 1


@pytest.mark.parametrize(("loss", "relative"), [("poisson", False), ("squared_error", True)])
def test_counts_that_drift_are_forecast_with_any_loss(loss, relative, tmp_path, capsys):
    counts = np.random.default_rng(1).poisson(5 + 0.2 * np.arange(150))
    pl.DataFrame({"t": range(150), "y": counts}).write_csv(tmp_path / "counts.csv")
    about = ["--target", "y", "--net", "gru", "--order-by", "t", "--window", "8", "--loss", loss]
    answer(capsys, "fit", tmp_path / "counts.csv", *about, "--out", tmp_path / "run", *FAST)
    coding = load_model(tmp_path / "run").info["series"]
    assert (coding["relative"], bool(coding["linear"])) == (relative, relative)
    table, _ = runs.predict_table(tmp_path / "run", tmp_path / "counts.csv")
    assert table["prediction"][0] == pytest.approx(35, abs=12)


class Interrupting(Progress):
    """Ends a fit after so many looks."""

    def __init__(self, after):
        super().__init__(quiet=True)
        self.left = after

    def interrupted(self):
        self.left -= 1
        return self.left < 0


@pytest.mark.usefixtures("short_tapes")
@pytest.mark.parametrize("name", ["long", "series"])
def test_a_run_that_was_ended_goes_on_to_the_same_bits(name, folder, tmp_path):
    request = runs.Request.from_json(load_json(folder / name / "run.json"), tmp_path)
    options = {"settings": request.settings, "layout": request.layout}
    result = runs.fit_table(request.data, request.target, tmp_path / "r", reporter=Interrupting(1), **options)
    assert result["interrupted"]
    resumed = runs.resume_run(tmp_path / "r")
    assert without_times(resumed) == without_times(load_json(folder / name / "result.json"))
    for file in ("model.safetensors", "history.csv", "notebook.jsonl", "run.json"):
        assert (tmp_path / "r" / file).read_bytes() == (folder / name / file).read_bytes()


@pytest.mark.usefixtures("short_tapes")
def test_another_file_is_refused_when_a_run_goes_on(folder, tmp_path):
    make_long().write_csv(tmp_path / "t.csv")
    settings = runs.Request.from_json(load_json(folder / "long" / "run.json"), tmp_path).settings
    options = {"settings": settings, "layout": Layout("who", "day")}
    runs.fit_table(tmp_path / "t.csv", "kind", tmp_path / "r", reporter=Interrupting(1), **options)
    make_long(seed=1).write_csv(tmp_path / "t.csv")
    assert main(["resume", str(tmp_path / "r"), "--quiet"]) == 2
    assert run_directory.RunDirectory(tmp_path / "r").run()["layout"] == {"sequence_id": "who", "order_by": "day"}


@pytest.mark.parametrize(("name", "n_columns"), [("long", 4), ("steps", 4), ("npz", 2), ("series", 1)])
def test_sequences_are_checked(name, n_columns, folder, capsys):
    data, *options = CASES[name]
    checked = json.loads(answer(capsys, "check", folder / data, *options, "--no-network", "--json"))
    n_rows = np.load(folder / data)["lengths"].sum() if name == "npz" else len(pl.read_csv(folder / data))
    assert (checked["n_rows"], len(checked["schema"]["columns"])) == (n_rows, n_columns)


TRIED = {
    "long": ["long.csv", "--target", "kind", *LONG],
    "steps": ["long.csv", "--target", "total", *LONG],
}


@pytest.mark.parametrize("name", TRIED)
def test_a_network_is_tried_on_sequences_before_training(name, folder, capsys):
    """The smallest one: what is said of the layers of others is seen where they are trained."""
    data, *options = TRIED[name]
    network = ["--net", "rnn", "--no-bidirectional", "--hidden", "4"]
    checked = json.loads(answer(capsys, "check", folder / data, *options, *network, "--json"))
    assert checked["quick_run"]["train_loss"] < checked["first_batch"]["loss"]


def raced(capsys, folder, name, *options):
    """The result of a race with the network of the run, whose program serves Adam here as well."""
    data, *about = CASES[name]
    race = ["--hidden", "4", "--seconds", "0.05", "--quiet", "--json", *options]
    return json.loads(answer(capsys, "compare", folder / data, *about, *race))


@pytest.mark.usefixtures("short_tapes")
@pytest.mark.parametrize(
    ("name", "rule", "seeds"), [("long", "adam", 1), ("steps", "adam", 1), ("npz", "rprop", 2), ("series", "adam", 1)]
)
def test_rules_race_on_sequences(name, rule, seeds, folder, capsys):
    result = raced(capsys, folder, name, "--optimizers", rule, "--seeds", seeds)
    assert [each["name"] for each in result["rules"]] == [rule]
    assert result["refused"] == {}
    assert all(np.isfinite(each["valid"]).all() and len(each["valid"]) == seeds for each in result["rules"])


@pytest.mark.usefixtures("short_tapes")
def test_a_rule_that_cannot_learn_steps_is_left_out_of_a_race(folder, capsys):
    result = raced(capsys, folder, "steps", "--optimizers", "adam,levenberg_marquardt", "--seeds", "1")
    assert [rule["name"] for rule in result["rules"]] == ["adam"]
    assert "one target for each sequence" in result["refused"]["levenberg_marquardt"]


def test_check_says_what_is_wrong_with_sequences(folder, tmp_path, capsys):
    code = main(["check", str(folder / "long.csv"), "--target", "kind", "--out", str(tmp_path / "c"), *LONG])
    assert code == 2
    assert "need a recurrent network" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    backwards = pl.DataFrame({"t": np.arange(40)[::-1], "v": np.sin(np.arange(40.0))})
    backwards.write_csv(tmp_path / "b.csv")
    out = answer(
        *(capsys, "check", tmp_path / "b.csv", "--target", "v", "--net", "rnn", "--window", "4", "--order-by", "t"),
        *("--no-network", "--json", "--out", tmp_path / "c"),
    )
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["data.few_rows", "data.unordered"]
    assert json.loads(out)["quick_run"] is None
    assert "data.unordered" in (tmp_path / "c" / "report.html").read_text()


GRU = ["--net", "gru"]
BAD = {
    "no net": (["long.csv", "--target", "kind", *LONG], "recurrent network"),
    "npz without net": (["s.npz", "--target", "y"], "recurrent network"),
    "no layout": (["long.csv", "--target", "kind", *GRU], "--sequence-id and --order-by"),
    "no order": (["long.csv", "--target", "kind", *GRU, "--sequence-id", "who"], "--order-by"),
    "no such column": (
        ["long.csv", "--target", "kind", *GRU, "--sequence-id", "wo", "--order-by", "day"],
        "did you mean 'who'",
    ),
    "no target": (
        ["long.csv", "--target", "kin", *GRU, *LONG],
        "long.csv, target): did you mean 'kind'?",
    ),
    "test of another kind": (["long.csv", "--target", "kind", *GRU, *LONG, "--test", "s.npz"], "in a table"),
    "test of steps": (
        ["long.csv", "--target", "kind", *GRU, *LONG, "--test", "changes.csv"],
        "changes.csv, column 'kind')",
    ),
    "test with a bad value": (
        ["long.csv", "--target", "kind", *GRU, *LONG, "--test", "bad.csv"],
        "bad.csv, column 'v', row 6)",
    ),
    "ordered by the target": (
        ["series.csv", "--target", "v", *GRU, "--window", "5", "--order-by", "v"],
        "both name 'v'",
    ),
    "target in npz": (["s.npz", "--target", "z", *GRU], "no array is named 'z'"),
    "last for steps": (["long.csv", "--target", "total", "--head", "last", *GRU, *LONG], "changes from step to step"),
    "every for sequences": (["long.csv", "--target", "kind", "--head", "every", *GRU, *LONG], "one for each sequence"),
    "window too long": (["series.csv", "--target", "v", *GRU, "--window", "500"], "longer than the series"),
    "slices of a series": (["series.csv", "--target", "v", *GRU, "--window", "5", "--slicing", "0.1"], "last steps"),
    "window and horizon": (["series.csv", "--target", "v", *GRU, "--window", "100", "--horizon", "50"], "too short"),
    "forecast of text": (["long.csv", "--target", "kind", *GRU, "--window", "5"], "not a number"),
    "classes of a series": (
        ["series.csv", "--target", "v", *GRU, "--window", "5", "--task", "classification"],
        "numbers",
    ),
    "test of a series": (["series.csv", "--target", "v", *GRU, "--window", "5", "--test", "series.csv"], "--test"),
    "duplicate keys": (["twice.csv", "--target", "kind", *GRU, *LONG], "twice.csv, row"),
    "infinite": (["infinite.csv", "--target", "kind", *GRU, *LONG], "infinite.csv, column 'v', row 6)"),
    "infinite beside a series": (
        ["beside.csv", "--target", "v", *GRU, "--window", "12", "--order-by", "t"],
        "beside.csv, column 'w', row 60)",
    ),
    "gap in a series": (["gap.csv", "--target", "v", *GRU, "--window", "12", "--order-by", "t"], "gap.csv, row 60)"),
    "target that is no number": (
        ["total.csv", "--target", "total", *GRU, *LONG, "--task", "regression"],
        "total.csv, column 'total', row 6)",
    ),
    "one sequence": (["one.csv", "--target", "total", *GRU, *LONG], "one sequence only"),
    "classes of their own": (
        ["own.csv", "--target", "own", *GRU, *LONG],
        "own.csv, target 'own'): choose a target whose values repeat",
    ),
    "clip": (["long.csv", "--target", "kind", *GRU, *LONG, "--clip-norm", "much"], "no number"),
    "chrono": (["long.csv", "--target", "kind", *GRU, *LONG, "--chrono", "2"], "chrono = 2"),
    "truncate": (["long.csv", "--target", "kind", *GRU, *LONG, "--truncate", "0"], "truncate = 0"),
    "class weight of steps": (["soon.csv", "--target", "soon", *GRU, *LONG, "--class-weight", "balanced"], "not steps"),
    "no autoregression without a series": (["s.npz", "--target", "y", *GRU, "--no-autoregression"], "for a series"),
    "head of a table": (["long.csv", "--target", "kind", "--head", "mean"], "recurrent"),
    "bidirectional table": (["long.csv", "--target", "kind", "--bidirectional"], "recurrent"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_can_be_mended_is_one_line(name, folder, tmp_path, capsys):
    (data, *arguments), says = BAD[name]
    arguments = [str(folder / a) if a.endswith(".csv") else a for a in arguments]
    capsys.readouterr()
    code = main(["fit", str(folder / data), "--out", str(tmp_path / "r"), *arguments, "--quiet"])
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1
    assert says in captured.err
    assert not (tmp_path / "r").exists()


def test_what_a_model_cannot_predict_is_one_line(folder, capsys):
    for arguments, says in (
        (["predict", "long", "series.csv"], "no column is named 'who'"),
        (["predict", "series", "long.csv"], "no column is named"),
        (["predict", "npz", "long.csv"], "the sequences trained on are in a .npz file"),
        (["evaluate", "long", "s.npz"], "the sequences trained on are in a table"),
        (["evaluate", "long", "changes.csv"], "'kind' changes within sequence"),
        (["predict", "long", "bad.csv"], "bad.csv, column 'v', row 6)"),
        (["evaluate", "steps", "bad.csv"], "bad.csv, column 'v', row 6)"),
        (["predict", "long", "infinite.csv"], "infinite.csv, column 'v', row 6)"),
        (["predict", "long", "twice.csv"], "twice.csv, row"),
        (["evaluate", "steps", "total.csv"], "total.csv, column 'total', row 6)"),
        (["predict", "series", "gap.csv"], "gap.csv, row 60)"),
        (["evaluate", "series", "gap.csv"], "gap.csv, row 60)"),
        (["predict", "long", "long.csv", "--steps", "3"], "--steps"),
    ):
        code = main([arguments[0], str(folder / arguments[1]), str(folder / arguments[2]), *arguments[3:]])
        err = capsys.readouterr().err
        assert code == 2
        assert says in err
        assert len(err.splitlines()) == 1


def test_a_pipe_of_sequences_is_refused_before_it_is_opened(folder, tmp_path, capsys):
    for run, name in (("long", "p.csv"), ("npz", "p.npz")):
        os.mkfifo(tmp_path / name)
        assert main(["predict", str(folder / run), str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"this is a pipe, which can be read once only ({tmp_path / name})" in line
