"""The command line, end to end on real tables, and a table of bad inputs, each with its one line and exit code 2."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_iris

from axonic import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RBFRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
    losses,
    runs,
)
from axonic.cli import main
from axonic.run_directory import RunDirectory, held
from axonic.storage import load_model

SPECIES = np.array(["setosa", "versicolor", "virginica"])
FAST = [
    *("--epochs", "3", "--learning-rate", "0.1", "--hidden", "4", "--regularization", "none", "--no-monitor"),
    "--quiet",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with good tables and a trained run."""
    path = tmp_path_factory.mktemp("cli")
    x, y = load_iris(return_X_y=True)
    frame = pl.DataFrame(x, schema=["sl", "sw", "pl", "pw"]).with_columns(
        species=pl.Series(SPECIES[y]), soil=pl.Series(np.where(np.arange(150) % 3, "clay", "sand"))
    )
    frame.write_csv(path / "iris.csv")
    x, y = load_diabetes(return_X_y=True)
    pl.DataFrame(x, schema=[f"c{i}" for i in range(10)]).with_columns(y=pl.Series(y)).write_parquet(
        path / "diab.parquet"
    )
    assert main(["fit", str(path / "iris.csv"), "--target", "species", "--out", str(path / "run"), *FAST]) == 0
    return path


def test_fit_predict_evaluate(folder, tmp_path, capsys):
    run = tmp_path / "run"
    few = ["--hidden", "4", "--ensemble", "2"]
    code = main(["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(run), *few, "--json", "--quiet"])
    out = capsys.readouterr().out
    assert code == 0
    result = json.loads(out)
    assert result == json.loads((run / "result.json").read_text())
    assert result["n_train"] + result["n_valid"] + result["n_test"] == 150
    assert result["test"]["accuracy"] > 0.8
    assert {path.name for path in run.iterdir()} == {
        "run.json", "model.safetensors", "health.csv", "history.csv", "notebook.jsonl", "report.html",
        "report.json", "result.json",
    }  # fmt: skip
    history = pl.read_csv(run / "history.csv")
    assert history["network"].unique().sort().to_list() == list(range(1, result["networks"] + 1))
    assert len(history.filter(pl.col("network") == 1)) == result["epochs"]

    assert main(["predict", str(run), str(folder / "iris.csv"), "--proba", "--out", str(tmp_path / "p.csv")]) == 0
    predicted = pl.read_csv(tmp_path / "p.csv")
    assert predicted.columns == ["prediction", *SPECIES]
    np.testing.assert_allclose(predicted.select(list(SPECIES)).sum_horizontal(), 1.0, rtol=1e-6)
    truth = pl.read_csv(folder / "iris.csv")["species"]
    accuracy = (predicted["prediction"] == truth).mean()
    capsys.readouterr()
    assert main(["evaluate", str(run), str(folder / "iris.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(accuracy)


def test_numbers_are_read_as_in_training_where_a_file_alone_does_not_tell(tmp_path, capsys):
    rng = np.random.default_rng(0)
    prices, rates = rng.integers(1, 90, 60) * 100, rng.uniform(0, 9, 60)
    rows = [
        f"{f'{p:,}'.replace(',', '.')};{f'{r:.2f}'.replace('.', ',')};{p}" for p, r in zip(prices, rates, strict=True)
    ]
    training = tmp_path / "prices.csv"
    training.write_text("\n".join(["price;rate;y", *rows]))
    assert main(["fit", str(training), "--target", "y", "--out", str(tmp_path / "r"), *FAST]) == 0
    said = []
    for number, field in enumerate(("1.500", "1500", "1.500,0")):
        asked = tmp_path / f"asked{number}.csv"
        asked.write_text(f"price;rate;y\n{field};2;1.500\n")
        capsys.readouterr()
        assert main(["predict", str(tmp_path / "r"), str(asked)]) == 0
        predicted = capsys.readouterr().out
        assert main(["evaluate", str(tmp_path / "r"), str(asked), "--json"]) == 0
        said.append((predicted, json.loads(capsys.readouterr().out)["rmse"] if number == 0 else None))
    assert said[0][0] == said[1][0] == said[2][0]
    assert said[0][1] == pytest.approx(abs(float(said[0][0].split()[-1]) - 1500), rel=1e-4)


def test_regression_from_parquet(folder, tmp_path, capsys):
    fit = ["fit", str(folder / "diab.parquet"), "--target", "y", "--out", str(tmp_path / "r")]
    code = main([*fit, "--hidden", "4", "--ensemble", "1", "--no-monitor", "--json", "--quiet"])
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert result["task"] == "regression"
    assert result["test"]["r2"] > 0.3


@pytest.mark.parametrize(
    ("net", "estimator"),
    [
        ("feedforward", FeedForwardClassifier()),
        ("feedforward", FeedForwardRegressor()),
        ("rbf", RBFRegressor()),
        *((cell, RecurrentClassifier(cell)) for cell in ("rnn", "lstm", "gru")),
        ("gru", RecurrentRegressor("gru")),
    ],
)
def test_what_the_options_leave_open_is_as_in_the_estimators(net, estimator, folder, monkeypatch):
    class Seen(Exception):
        pass

    def fit_table(*_, settings, **__):
        raise Seen(settings)

    monkeypatch.setattr(runs, "fit_table", fit_table)
    with pytest.raises(Seen) as seen:
        main(["fit", str(folder / "iris.csv"), "--target", "species", "--net", net, "--quiet"])
    expected = dataclasses.replace(estimator._settings(), batch_stage=True, branch_stage=True)
    (settings,) = seen.value.args
    if net in ("rnn", "lstm", "gru"):
        assert settings.head == "auto"  # until the data say which
        settings = dataclasses.replace(settings, head="last")
    assert settings == expected


@pytest.mark.parametrize("loss", ["quantile:0.9", "huber", "poisson"])
def test_loss(loss, folder, tmp_path, capsys):
    out = tmp_path / "run"
    code = main(["fit", str(folder / "diab.parquet"), "--target", "y", "--loss", loss, "--out", str(out), *FAST])
    assert code == 0, capsys.readouterr().err
    capsys.readouterr()
    made = load_model(out).loss
    assert made == {"quantile:0.9": losses.quantile(0.9), "huber": losses.huber(), "poisson": losses.poisson}[loss]
    assert main(["predict", str(out), str(folder / "diab.parquet")]) == 0
    predictions = np.array(capsys.readouterr().out.split()[1:], float)
    truth = pl.read_parquet(folder / "diab.parquet")["y"].to_numpy()
    if loss == "poisson":
        assert np.all(predictions > 0)
    if loss == "quantile:0.9":
        assert np.mean(truth < predictions) > 0.7
    assert main(["resume", str(out), "--json"]) == 0
    assert main(["evaluate", str(out), str(folder / "diab.parquet"), "--json"]) == 0


def test_a_loss_of_numbers_for_a_target_of_few_values_says_how_to_ask_for_numbers(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,t\n" + "".join(f"{i % 11},{i % 3}\n" for i in range(60)))
    out = tmp_path / "run"
    arguments = ["--target", "t", "--loss", "poisson", "--out", str(out), *FAST]
    assert_refused(main(["fit", str(tmp_path / "t.csv"), *arguments]), capsys.readouterr(), "ask for regression")
    assert main(["fit", str(tmp_path / "t.csv"), *arguments, "--task", "regression"]) == 0


def test_negative_counts(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a,t\n" + "".join(f"{i},{i % 7 - 3}\n" for i in range(60)))
    out = tmp_path / "run"
    arguments = ["--target", "t", "--task", "regression", "--loss", "poisson", "--out", str(out), "--quiet"]
    assert_refused(main(["fit", str(tmp_path / "t.csv"), *arguments]), capsys.readouterr(), "at least 0")
    assert not out.exists()


def test_the_same_seed_gives_the_same_file(folder, tmp_path):
    for name in ("a", "b"):
        main(["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(tmp_path / name), *FAST])
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_check(folder, capsys):
    assert main(["check", str(folder / "iris.csv"), "--target", "species", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"]["task"] == "classification"


@pytest.mark.parametrize("command", ["check", "compare"])
@pytest.mark.parametrize("there", ["report.html", "result.json", "run.json"])
def test_no_page_of_something_else_is_replaced(command, there, folder, tmp_path, capsys):
    (tmp_path / there).write_text("{}")
    code = main([command, str(folder / "iris.csv"), "--target", "species", "--out", str(tmp_path)])
    assert_refused(code, capsys.readouterr(), f"the folder holds {there} and no earlier {command}.json")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "{}"


def test_an_earlier_check_is_replaced(folder, tmp_path):
    for target in ("species", "soil"):
        words = ["check", str(folder / "iris.csv"), "--target", target, "--no-network", "--out", str(tmp_path)]
        assert main(words) == 0
        assert f"{target}: check" in (tmp_path / "report.html").read_text()


def test_predictions_never_replace_what_they_are_made_from(folder, tmp_path, capsys):
    table = tmp_path / "new.csv"
    table.write_bytes((folder / "iris.csv").read_bytes())
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    for out in (table, link):
        code = main(["predict", str(folder / "run"), str(table), "--out", str(out)])
        assert_refused(code, capsys.readouterr(), "this is the table to predict")
    assert table.read_bytes() == (folder / "iris.csv").read_bytes()


def test_what_training_never_saw_is_counted_and_extra_columns_ignored(folder, tmp_path, capsys):
    frame = pl.read_csv(folder / "iris.csv").with_columns(soil=pl.lit("peat"), extra=pl.lit(1)).head(7)
    number = next(name for name in frame.columns if frame[name].dtype == pl.Float64)
    frame = frame.with_columns(pl.when(pl.int_range(7) < 2).then(1e9).otherwise(number).alias(number))
    frame.write_csv(tmp_path / "new.csv")
    assert main(["predict", str(folder / "run"), str(tmp_path / "new.csv")]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 8
    assert "values of 'soil' beyond what training saw: 7" in captured.err
    assert f"values of {number!r} beyond what training saw: 2" in captured.err


HEAD = "a,b,t\n"
ROWS = "".join(f"{i},{i * 7 % 11},{'xy'[i % 2]}\n" for i in range(1, 41))

# name -> (file name, content or None, extra arguments, what the message says)
BAD_TABLES = {
    "no such file": ("none.csv", None, [], "no such file"),
    "unknown ending": ("data.foo", HEAD + ROWS, [], "unknown file type"),
    "no ending": ("data", HEAD + ROWS, [], "no extension"),
    "empty": ("e.csv", "", [], "empty"),
    "header only": ("h.csv", HEAD, [], "row"),
    "one row": ("o.csv", HEAD + "1,2,x\n", [], "row"),
    "binary junk": ("b.csv", bytes(range(256)) * 20, [], "b.csv"),
    "not utf-8": ("l.csv", (HEAD + ROWS + "1,2,\xe9\n").encode("latin-1"), [], "UTF-8"),
    "ragged": ("r.csv", HEAD + ROWS + "1,2\n", [], "fields"),
    "too many fields": ("r2.csv", HEAD + ROWS + "1,2,x,9\n", [], "fields"),
    "duplicate names": ("d.csv", "a,a,t\n" + ROWS, [], "'a'"),
    "empty name": ("n.csv", "a,,t\n" + ROWS, [], "name"),
    "missing target": ("m.csv", "a,b,tt\n" + ROWS, [], "'t'"),
    "constant target": ("c.csv", HEAD + "1,2,x\n2,5,x\n3,4,x\n" * 9, [], "t"),
    "all-missing target": ("mt.csv", HEAD + "1,2,\n2,4,\n3,4,\n" * 9, [], "t"),
    "class with one row": ("s.csv", HEAD + ROWS + "5,5,z\n", [], "'z'"),
    "infinite value": ("i.csv", HEAD + ROWS + "inf,3,x\n" * 9, [], "infinite"),
    "regression on text": ("t.csv", HEAD + ROWS, ["--task", "regression"], "number"),
    "no feature left": ("f.csv", "a,t\n" + "".join(f"1,{'xy'[i % 2]}\n" for i in range(40)), [], "no column is left"),
    "every row its class": ("k.csv", HEAD + "".join(f"{i},{i * i % 7},w{i}\n" for i in range(30)), [], "class"),
    "corrupt parquet": ("p.parquet", b"PAR1" + bytes(100), [], "p.parquet"),
    "corrupt arrow": ("a.arrow", b"ARROW1" + bytes(100), [], "a.arrow"),
    "tsv that is empty": ("x.tsv", "", [], "empty"),
}  # fmt: skip

GOOD = HEAD + ROWS
BAD_OPTIONS = {
    "hidden": (["--hidden", "a,b"], "--hidden"),
    "hidden zero": (["--hidden", "0"], "hidden_layer_sizes"),
    "activation": (["--activation", "rleu"], "unknown activation"),
    "activation count": (["--activation", "relu,tanh,relu"], "activation"),
    "optimizer": (["--optimizer", "adm"], "unknown optimizer"),
    "loss": (["--loss", "hinge"], "cross_entropy"),
    "loss of numbers": (["--loss", "huber"], "cross_entropy"),
    "tau": (["--loss", "quantile:1.5"], "tau = 1.5"),
    "tau text": (["--loss", "quantile:high"], "--loss 'quantile:high'"),
    "threshold": (["--loss", "huber:-1"], "threshold"),
    "number of a loss without": (["--loss", "absolute:2"], "takes no number"),
    "rate text": (["--learning-rate", "fast"], "--learning-rate"),
    "rate negative": (["--learning-rate", "-1"], "learning_rate"),
    "rate nan": (["--learning-rate", "nan"], "learning_rate"),
    "batch zero": (["--batch-size", "0"], "batch_size"),
    "batch text": (["--batch-size", "many"], "batch"),
    "epochs zero": (["--epochs", "0"], "epochs"),
    "epochs fraction": (["--epochs", "1.5"], "--epochs"),
    "l2 negative": (["--l2", "-1"], "l2"),
    "l1 negative": (["--l1", "-0.1"], "l1"),
    "dropout one": (["--dropout", "1"], "dropout"),
    "seed negative": (["--seed", "-1"], "seed"),
    "test size": (["--test-size", "1.5"], "test_size"),
    "task": (["--task", "sorting"], "task"),
    "unknown option": (["--colour", "red"], "colour"),
    "test file": (["--test", "none.csv"], "none.csv"),
    "test file and share": (["--test", "none.csv", "--test-size", "0.5"], "--test-size"),
    "stop unseen": (["--stop-on", "error", "--no-monitor"], "--no-monitor"),
    "batches of a rule that takes all": (["--optimizer", "lbfgs", "--batch-size", "7"], "LBFGS takes all rows"),
    "usual batches of a rule that takes all": (["--optimizer", "gd", "--batch-size", "32"], "GD takes all rows"),
    "dropout of nothing": (["--hidden", "none", "--dropout", "0.5"], "hidden layers"),
    "norm of nothing": (["--hidden", "none", "--max-norm", "1"], "hidden layers"),
    "no autoregression": (["--no-autoregression"], "is for a series"),
}


def assert_refused(code, captured, says):
    assert code == 2, captured
    lines = captured.err.strip().splitlines()
    assert captured.out == ""
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in captured.err
    assert says in lines[-1], lines[-1]
    assert len(lines) == 1, lines


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name, tmp_path, capsys):
    file, content, arguments, says = BAD_TABLES[name]
    if content is not None:
        (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "run"
    code = main(["fit", str(tmp_path / file), "--target", "t", "--out", str(out), *arguments, "--quiet"])
    assert_refused(code, capsys.readouterr(), says)
    assert not out.exists()


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(name, tmp_path, capsys):
    arguments, says = BAD_OPTIONS[name]
    (tmp_path / "good.csv").write_text(GOOD)
    out = tmp_path / "run"
    code = main(["fit", str(tmp_path / "good.csv"), "--target", "t", "--out", str(out), "--quiet", *arguments])
    assert_refused(code, capsys.readouterr(), says)
    assert not out.exists()


def damaged(folder, tmp_path, change):
    content = (folder / "run" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(change(content))
    return tmp_path / "model.safetensors"


def forged(content):
    """A header that promises more units than there are weights."""
    return content.replace(b'\\"n_units\\": 4', b'\\"n_units\\": 9')


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "junk": lambda content: b"\x00" * 100,
    "forged length": lambda content: b"\xff" * 8 + content[8:],
    "forged header": forged,
    "other json": lambda content: content.replace(b"network", b"netwurk"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_models(name, folder, tmp_path, capsys):
    path = damaged(folder, tmp_path, DAMAGES[name])
    assert path.read_bytes() != (folder / "run" / "model.safetensors").read_bytes()
    assert_refused(main(["predict", str(path), str(folder / "iris.csv")]), capsys.readouterr(), "model")


def test_other_bad_predictions(folder, tmp_path, capsys):
    frame = pl.read_csv(folder / "iris.csv")
    frame.drop("pw").write_csv(tmp_path / "missing.csv")
    frame.with_columns(pw=pl.lit("wide")).write_csv(tmp_path / "text.csv")
    run = str(folder / "run")
    for arguments, says in (
        ([run, str(tmp_path / "missing.csv")], "'pw'"),
        ([run, str(tmp_path / "text.csv")], "wide"),
        ([str(tmp_path), str(folder / "iris.csv")], "model.safetensors"),
        ([str(tmp_path / "none"), str(folder / "iris.csv")], "no such file"),
        ([run, str(folder / "iris.csv"), "--out", str(tmp_path / "p.xyz")], "ending"),
        ([run, str(folder / "iris.csv"), "--out", str(tmp_path / "text.csv" / "p.csv")], "cannot write"),
    ):
        assert_refused(main(["predict", *arguments]), capsys.readouterr(), says)
    frame.with_columns(species=pl.lit("daisy")).write_csv(tmp_path / "daisy.csv")
    assert_refused(main(["evaluate", run, str(tmp_path / "daisy.csv")]), capsys.readouterr(), "daisy")


def test_errors_in_a_file_with_gaps_in_its_target_name_it_and_its_rows(folder, tmp_path, capsys):
    frame = pl.read_csv(folder / "iris.csv").with_row_index()
    gaps = pl.when(pl.col("index").is_in([0, 2, 3])).then(None)
    bad = {
        "label.csv": frame.with_columns(
            species=gaps.when(pl.col("index") == 5).then(pl.lit("daisy")).otherwise("species")
        ),
        "value.csv": frame.with_columns(
            species=gaps.otherwise("species"), pw=pl.when(pl.col("index") == 5).then(np.inf).otherwise("pw")
        ),
    }
    for name, table in bad.items():
        path = str(tmp_path / name)
        table.drop("index").write_csv(path)
        assert_refused(main(["evaluate", str(folder / "run"), path]), capsys.readouterr(), "row 6)")
        out = tmp_path / "new"
        arguments = ["--target", "species", "--test", path, "--out", str(out), *FAST]
        assert main(["fit", str(folder / "iris.csv"), *arguments]) == 2
        error = capsys.readouterr().err
        assert f"({path}, " in error
        assert "row 6)" in error
        assert not out.exists()


def test_an_output_that_is_a_file(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    code = main(["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(tmp_path / "file"), *FAST])
    assert_refused(code, capsys.readouterr(), "folder")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_nothing_behind(folder, tmp_path, capsys, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "run"
    code = main(["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(out), *FAST])
    assert_refused(code, capsys.readouterr(), "no space left")
    assert not out.exists()


def at_once(arguments, folder):
    """`axonic` in several processes at the same time: exit code and standard error of each."""
    command = [sys.executable, "-m", "axonic"]
    started = [
        subprocess.Popen([*command, *each], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for each in arguments
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, said, strict=True)]


def test_fits_that_start_at_once_have_a_folder_each(folder, tmp_path):
    fit = ["fit", str(folder / "iris.csv"), "--target", "species", *FAST]
    assert at_once([[*fit, "--seed", seed] for seed in "12"], tmp_path) == [(0, "")] * 2
    seeds = set()
    for run in (tmp_path / "runs").iterdir():
        asked, result = (json.loads((run / name).read_text()) for name in ("run.json", "result.json"))
        assert asked["settings"]["seed"] == result["seed"]
        assert result["run"] == f"runs/{run.name}"
        seeds.add(result["seed"])
    assert seeds == {1, 2}


def test_a_fit_that_is_refused_leaves_no_folder_that_it_would_have_numbered(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = main(["fit", str(folder / "iris.csv"), "--target", "colour", *FAST])
    assert_refused(code, capsys.readouterr(), "colour")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_run_under_way_is_not_taken(folder, tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    fit = ["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(run), *FAST]
    with held(run):
        assert_refused(main(fit), capsys.readouterr(), "another run is at work in this folder")
        RunDirectory(run).begin({})
        assert_refused(main(["resume", str(run)]), capsys.readouterr(), "another run is at work in this folder")
        assert [path.name for path in run.iterdir()] == ["run.json"]
    assert main(fit) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such disk here")
@pytest.mark.parametrize(
    ("command", "buffered"),
    [
        ("predict", True),
        ("fit", False),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (("predict", False), ("evaluate", True), ("fit", True))
        ),
    ],
)
def test_a_full_disk_under_standard_output(command, buffered, folder, tmp_path):
    run, table = str(folder / "run"), str(folder / "iris.csv")
    arguments = {
        "predict": [run, table],
        "evaluate": [run, table, "--json"],
        "fit": [table, "--target", "species", "--out", str(tmp_path / "run"), "--json", *FAST],
    }[command]
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "axonic", command, *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write: no space left on device: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("closed", "command"),
    [
        ((1,), "predict"),
        ((0, 1, 2), "fit"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (((1,), "predict to a file"), ((1,), "evaluate"), ((1,), "diagnose"), ((2,), "fit"))
        ),
    ],
)
def test_a_closed_stream_leads_nowhere(closed, command, folder, tmp_path):
    run, table, out = str(folder / "run"), str(folder / "iris.csv"), tmp_path / "out.csv"
    arguments = {
        "predict": ["predict", run, table],
        "predict to a file": ["predict", run, table, "--out", str(out)],
        "evaluate": ["evaluate", run, table],
        "diagnose": ["diagnose", run],
        "fit": ["fit", table, "--target", "species", "--out", str(tmp_path / "run"), *FAST[:-1]],
    }[command]
    shell = f'exec "$@" {" ".join(f"{number}>&-" for number in closed)}'
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command_line = ["sh", "-c", shell, "sh", sys.executable, "-m", "axonic", *arguments]
    done = subprocess.run(command_line, **streams, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert out.exists() == (command == "predict to a file")
    assert (tmp_path / "run" / "result.json").exists() == (command == "fit")


def test_ctrl_c_when_the_training_is_over_has_interrupted_nothing(folder, tmp_path, monkeypatch, capsys):
    finish = RunDirectory.finish

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        finish(*arguments)

    monkeypatch.setattr(RunDirectory, "finish", interrupted)
    fit = ["fit", str(folder / "iris.csv"), "--target", "species", "--out", str(tmp_path / "run"), "--json", *FAST]
    assert main(fit) == 0
    assert json.loads(capsys.readouterr().out)["interrupted"] is False


def test_a_run_that_was_cut_off_is_to_be_resumed_before_it_predicts(folder, tmp_path, capsys):
    RunDirectory(tmp_path / "run").begin({})
    code = main(["predict", str(tmp_path / "run"), str(folder / "iris.csv")])
    assert_refused(code, capsys.readouterr(), f"axonic resume {tmp_path / 'run'}")
