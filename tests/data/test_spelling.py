"""What is read of a row does not hang on the rows beside it: a model's files are read as the one it was trained on."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from axonic import FeedForwardRegressor
from axonic.data.sequences.layout import Layout
from axonic.errors import InputError
from axonic.runs import evaluate_table, fit_table, predict_table, tables
from axonic.settings import Settings

LEVELS = ["1.1", "1.10", "2.50", "beta"]
QUICK = {
    "hidden_layer_sizes": (),
    "epochs": 30,
    "ensemble": 1,
    "monitor": False,
    "learning_rate": 0.1,
    "batch_size": 20,
}
N = 80


def rows(levels, n=N):
    rng = np.random.default_rng(0)
    chosen = [levels[i % len(levels)] for i in range(n)]
    y = np.array([LEVELS.index(level) for level in chosen]) + 0.01 * rng.standard_normal(n)
    return pl.DataFrame({"version": chosen, "x": rng.standard_normal(n), "y": y, "grade": chosen})


@pytest.fixture(scope="module", params=["y", "grade"])
def run(request, tmp_path_factory):
    """A folder with a run, and the target it predicts."""
    folder = tmp_path_factory.mktemp("run")
    rows(LEVELS).drop({"y": "grade", "grade": "y"}[request.param]).write_csv(folder / "train.csv")
    rows(LEVELS[:3], 30).write_csv(folder / "test.csv")
    settings = Settings(**QUICK)
    result = fit_table(folder / "train.csv", request.param, folder / "run", test=folder / "test.csv", settings=settings)
    return folder, request.param, result


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_row_is_predicted_alike_alone_and_among_others(run, monkeypatch, in_parts):
    folder, _, _ = run
    if in_parts:
        monkeypatch.setattr(tables, "fits", lambda blocks: False)
    rows(LEVELS, 4).write_csv(folder / "all.csv")
    together, unseen = predict_table(folder / "run", folder / "all.csv")
    assert unseen == {}
    for row in range(4):
        rows(LEVELS, 4)[row].write_csv(folder / "one.csv")
        alone, unseen = predict_table(folder / "run", folder / "one.csv")
        assert unseen == {}
        assert alone["prediction"].to_list() == pytest.approx([together["prediction"][row]])


def test_levels_and_classes_that_look_like_numbers_are_scored(run):
    folder, target, result = run
    scores = evaluate_table(folder / "run", folder / "test.csv")
    assert scores["unseen"] == {}
    assert (scores["r2"] if target == "y" else scores["accuracy"]) > 0.95
    assert scores["n"] == result["n_test"] == 30
    assert scores["loss"] == pytest.approx(result["test"]["loss"])


def test_a_level_of_a_sequence_keeps_its_spelling(tmp_path):
    steps = rows(LEVELS).drop("grade").with_row_index("id")
    frame = pl.concat([steps.with_columns(t=pl.lit(t)) for t in (1, 2)])
    frame.write_csv(tmp_path / "train.csv")
    few = frame.filter(pl.col("version") != "beta")
    few.write_csv(tmp_path / "few.csv")
    settings = Settings(net="rnn", hidden_layer_sizes=(4,), epochs=1, ensemble=1, monitor=False)
    fit_table(
        *(tmp_path / "train.csv", "y", tmp_path / "run"),
        test=tmp_path / "few.csv",
        settings=settings,
        layout=Layout(sequence_id="id", order_by="t"),
    )
    assert evaluate_table(tmp_path / "run", tmp_path / "few.csv")["unseen"] == {}
    assert predict_table(tmp_path / "run", tmp_path / "few.csv")[1] == {}


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("categories", [[5, 6, 7], [0.5, 1.0, 2.25], ["5", "6", "7"]])
def test_a_declared_category_of_numbers_is_a_category(categories, ordered):
    codes = np.random.default_rng(0).integers(0, 3, 90)
    X = pd.DataFrame({"shop": pd.Categorical.from_codes(codes, categories, ordered=ordered)})
    y = np.array([1.0, -3.0, 2.0])[codes]
    model = FeedForwardRegressor(**QUICK, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.model_.encoder.n_features == 4
    plain = X.assign(shop=X.shop.astype(type(categories[0])))
    np.testing.assert_array_equal(model.predict(plain[:20]), model.predict(X[:20]))


@pytest.fixture(scope="module")
def weighed():
    """A table whose numbers have units, and the same without."""
    rng = np.random.default_rng(5)
    weight, price = rng.uniform(1, 9, 90).round(2), rng.uniform(1, 9, 90).round(2)
    bare = pl.DataFrame({"weight": weight, "price": price, "y": (weight * 100 - price).round(1)})
    units = {"weight": "{} kg", "price": "{} EUR", "y": "{} days"}
    return pl.DataFrame([bare[name].map_elements(units[name].format, pl.String) for name in bare.columns]), bare


@pytest.mark.parametrize("in_parts", [False, True])
def test_numbers_with_units_are_numbers_from_training_to_scoring(weighed, tmp_path, monkeypatch, in_parts):
    table, bare = weighed
    if in_parts:
        monkeypatch.setattr(tables, "fits", lambda blocks: False)
    table.write_csv(tmp_path / "t.csv")
    bare.write_csv(tmp_path / "bare.csv")
    settings = Settings(**QUICK)
    fit_table(tmp_path / "t.csv", "y", tmp_path / "run", settings=settings)
    scores = evaluate_table(tmp_path / "run", tmp_path / "t.csv")
    assert scores["r2"] > 0.9
    assert evaluate_table(tmp_path / "run", tmp_path / "bare.csv")["rmse"] == pytest.approx(scores["rmse"], rel=1e-5)
    for name, said in {"weight": "'3 lb' is not a number, alone or of kg", "y": "'3 lb' is not a number"}.items():
        table.with_columns(pl.lit("3 lb").alias(name)).write_csv(tmp_path / "other.csv")
        with pytest.raises(InputError, match=said):
            evaluate_table(tmp_path / "run", tmp_path / "other.csv")


def test_a_currency_holds_from_training_to_scoring(weighed, tmp_path):
    _, bare = weighed
    marked = [("weight", "{} %"), ("price", "${}"), ("y", "€{}")]
    table = pl.DataFrame([bare[name].map_elements(mark.format, pl.String) for name, mark in marked])
    table.write_csv(tmp_path / "t.csv")
    bare.write_csv(tmp_path / "bare.csv")
    fit_table(tmp_path / "t.csv", "y", tmp_path / "run", settings=Settings(**QUICK))
    scores = evaluate_table(tmp_path / "run", tmp_path / "t.csv")
    assert evaluate_table(tmp_path / "run", tmp_path / "bare.csv")["rmse"] == pytest.approx(scores["rmse"], rel=1e-5)
    for name, mark in {"weight": "%", "price": "\\$", "y": "€"}.items():
        table.with_columns(pl.lit("£1,000.00").alias(name)).write_csv(tmp_path / "other.csv")
        with pytest.raises(InputError, match=f"'£1,000.00' is not a number, alone or of {mark}"):
            evaluate_table(tmp_path / "run", tmp_path / "other.csv")


@pytest.mark.parametrize("in_parts", [False, True])
def test_fractions_between_commas_are_read_alike_from_training_to_scoring(tmp_path, monkeypatch, in_parts):
    """With a decimal comma in quotes as with a point, beside lists of two numbers, and in rows that do not tell."""
    if in_parts:
        monkeypatch.setattr(tables, "fits", lambda blocks: False)
    rng = np.random.default_rng(7)
    a, b = rng.uniform(1, 9, 90).round(3), rng.integers(0, 9, 90)
    points = pl.DataFrame({"a": a, "b": b, "c": ["1,2", "x", "y"] * 30, "y": (a * 100 - b).round(1)})
    commas = points.with_columns(pl.col("a", "y").cast(pl.String).str.replace(".", ",", literal=True))
    rmse = []
    for frame in (points, commas):
        run, data, row = (tmp_path / f"{len(rmse)}{end}" for end in ("", ".csv", "_row.csv"))
        frame.write_csv(data)
        fit_table(data, "y", run, settings=Settings(**QUICK))
        together, unseen = predict_table(run, data)
        assert unseen == {}
        for i in range(3):
            frame[i].drop("y").write_csv(row)
            alone, unseen = predict_table(run, row)
            assert unseen == {}
            assert alone["prediction"].to_list() == pytest.approx([together["prediction"][i]], rel=1e-5)
        scores = evaluate_table(run, data)
        assert scores["r2"] > 0.9
        rmse.append(scores["rmse"])
    assert rmse[1] == pytest.approx(rmse[0], rel=1e-4)


@pytest.mark.parametrize("in_parts", [False, True])
def test_the_decimal_comma_of_training_holds_in_columnar_files(tmp_path, monkeypatch, in_parts):
    rng = np.random.default_rng(8)
    a, version = rng.uniform(1, 9, 90).round(3), ["1,1", "1,25"] * 45
    text = pl.DataFrame({"a": [f"{v:.3f}".replace(".", ",") for v in a], "version": version})
    text.with_columns(y=a * 100).write_csv(tmp_path / "t.csv", separator=";", decimal_comma=True)
    run = tmp_path / "run"
    fit_table(tmp_path / "t.csv", "y", run, settings=Settings(**QUICK))
    if in_parts:
        monkeypatch.setattr(tables, "fits", lambda blocks: False)
    expected = predict_table(run, tmp_path / "t.csv")[0]["prediction"].to_list()
    points = text.with_columns(pl.Series("a", a).cast(pl.String))
    others = {
        "text": text,
        "declared": text.cast(pl.Categorical),
        "numbers": text.with_columns(pl.Series("a", a)),
        "points": points,
    }
    for name, frame in others.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
        frame.write_ipc(tmp_path / f"{name}.arrow")
        for end in ("parquet", "arrow"):
            predicted, unseen = predict_table(run, tmp_path / f"{name}.{end}")
            assert unseen == {}
            assert predicted["prediction"].to_list() == pytest.approx(expected, rel=1e-5)


def test_an_estimator_reads_units_in_a_frame(weighed):
    _, bare = weighed
    X, plain_X = (frame.select("weight", "price") for frame in weighed)
    model, plain = (FeedForwardRegressor(**QUICK, random_state=0).fit(inputs, bare["y"]) for inputs in (X, plain_X))
    np.testing.assert_allclose(model.predict(X), plain.predict(plain_X), rtol=0.01)  # rows come in another order
    with pytest.raises(InputError, match="of kg"):
        model.predict(X.with_columns(weight=pl.lit("3 lb")))


def test_a_target_of_sequences_may_have_a_unit(tmp_path):
    rng = np.random.default_rng(6)
    n, steps = 40, 3
    y = rng.uniform(1, 9, n).round(2)
    rows = {
        "id": np.repeat(np.arange(n), steps),
        "t": list(range(steps)) * n,
        "x": [f"{v} m/s" for v in np.repeat(y, steps)],
    }
    frame = pl.DataFrame(rows).with_columns(y=pl.Series([f"{v} h" for v in np.repeat(y, steps)]))
    frame.write_csv(tmp_path / "t.csv")
    settings = Settings(
        net="rnn", hidden_layer_sizes=(4,), epochs=60, learning_rate=0.05, ensemble=1, monitor=False, batch_size=8
    )
    fit_table(
        tmp_path / "t.csv", "y", tmp_path / "run", settings=settings, layout=Layout(sequence_id="id", order_by="t")
    )
    assert evaluate_table(tmp_path / "run", tmp_path / "t.csv")["r2"] > 0.8
    frame.with_columns(y=pl.lit("3 days")).write_csv(tmp_path / "other.csv")
    with pytest.raises(InputError, match="'3 days' is not a number, alone or of h"):
        evaluate_table(tmp_path / "run", tmp_path / "other.csv")
