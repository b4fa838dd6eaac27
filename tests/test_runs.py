"""Runs on disk: killed, interrupted, out of space, repeated. Whatever lies in a run directory is whole and right."""

import csv
import io
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from axonic import load, optimizers, run_directory, runs
from axonic.cli import main
from axonic.data import batches
from axonic.data.batches import split_rows
from axonic.errors import InputError
from axonic.runs import tables
from axonic.runs.prepared import VALIDATION_FRACTION
from axonic.settings import Settings
from axonic.storage import load_model

ROOT = Path(__file__).parents[1]
N = 90
PARTS = ("health.csv", "history.csv", "model.safetensors", "notebook.jsonl", "report.json", "result.json", "run.json")
PAGE = "report.html"
# batches of one row and two networks, so that a run is several tapes and checkpoints long
OPTIONS = [
    *("--target", "kind", "--hidden", "4", "--batch-size", "1", "--epochs", "60", "--ensemble", "2"),
    *("--learning-rate", "0.003", "--optimizer", "sgd", "--regularization", "none"),
]
# the whole recipe, of a network that the diagnosis does not take for too small
BY_ITSELF = ["--target", "kind", "--hidden", "64", "--ensemble", "2"]


def always(patch):
    """Write checkpoints after every tape."""
    patch.setattr(run_directory, "RUNNING_SECONDS", 0.0)
    patch.setattr(run_directory, "FINISHED_SECONDS", 0.0)


def make_table(n=N, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 2))
    kind = np.array(["ant", "bee"])[(x[:, 0] + 0.5 * rng.standard_normal(n) > 0).astype(int)]
    soil = np.array(["clay", "sand", "peat"])[rng.integers(0, 3, n)]
    return pl.DataFrame({"u": x[:, 0], "v": x[:, 1], "soil": soil, "kind": kind})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table, and finished runs on it with two seeds, each with checkpoints after every tape."""
    path = tmp_path_factory.mktemp("runs")
    make_table().write_csv(path / "t.csv")
    with pytest.MonkeyPatch.context() as patch:
        always(patch)
        for seed in ("0", "1"):
            arguments = ["fit", str(path / "t.csv"), "--out", str(path / f"seed-{seed}"), *OPTIONS, "--seed", seed]
            assert main([*arguments, "--quiet", "--json"]) == 0
    return path


def files(run):
    """Paths of the files in a run directory, but for what a kill leaves under a temporary name."""
    found = (path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    return {name for name in found if not name.split("/")[-1].startswith(".")}


def without_times(result):
    return {key: value for key, value in result.items() if key not in ("seconds", "seconds_by_phase", "run")}


def read_history(content):
    """The rows of a history file, every field a number or empty."""
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    assert header[:2] == ["network", "epoch"]
    assert all(len(row) == len(header) for row in rows)
    return [[float(field) if field else None for field in row] for row in rows]


def checked(run, references):
    """Every file in a run directory is whole, and is that of one of the finished runs: which one, by name."""
    names = files(run)
    checkpoints = {name for name in names if name.startswith("checkpoints/")}
    assert names - checkpoints - {PAGE} <= set(PARTS), names
    if PAGE in names:
        assert "result.json" in names
        assert (run / PAGE).read_text().rstrip().endswith("</html>")
    candidates = set(references)
    for name in names & set(PARTS):
        content = (run / name).read_bytes()
        if name == "result.json":
            result = json.loads(content)
            same = {r for r in references if without_times(result) == without_times(load_json(references[r] / name))}
        elif name == "notebook.jsonl" and "result.json" not in names:  # appended as it is decided
            assert content.endswith(b"\n")
            same = {r for r in references if (references[r] / name).read_bytes().startswith(content)}
        else:
            same = {r for r in references if content == (references[r] / name).read_bytes()}
        assert same, f"{name} is that of no finished run"
        candidates &= same
        if name == "history.csv":
            assert read_history(content)
        elif name == "notebook.jsonl":
            assert all(json.loads(line)["stage"] for line in content.decode().splitlines())
        elif name == "model.safetensors":
            load_model(run / name)
    assert candidates, f"{names} are of different runs"
    if "result.json" in names:
        assert set(PARTS) <= names, f"a result without {set(PARTS) - names}"
    for name in checkpoints:
        arrays = load_file(run / name)
        assert arrays
        weights = [array for key, array in arrays.items() if key.startswith("state.params")]
        assert weights
        assert all(np.isfinite(array).all() for array in weights)
    return candidates


def load_json(path):
    return json.loads(path.read_bytes())


def assert_predicts_rightly_or_refuses(run, table, references, capsys):
    """`predict` gives what one of the finished runs gives, or one line and exit code 2."""
    capsys.readouterr()
    code = main(["predict", str(run), str(table), "--proba"])
    captured = capsys.readouterr()
    if "model.safetensors" in files(run):
        assert code == 0
        right = []
        for reference in references.values():
            assert main(["predict", str(reference), str(table), "--proba"]) == 0
            right.append(capsys.readouterr().out)
        assert captured.out in right
    else:
        assert code == 2
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert len(captured.err.strip().splitlines()) == 1


# --- killed ---

DRIVER = """
import sys
from axonic import run_directory, runs
from axonic.cli import main
run_directory.RUNNING_SECONDS = run_directory.FINISHED_SECONDS = 0.0
rounds = int(sys.argv.pop(1))
for _ in range(rounds):
    code = main(sys.argv[1:])
    sys.stdout.flush()
sys.exit(code)
"""


def start(rounds, arguments, **environment):
    """`axonic` with checkpoints after every tape, that many times over."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(rounds), *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


MOMENTS = np.random.default_rng(11).uniform(0, 2, 4)


@pytest.mark.parametrize(
    "moment",
    [pytest.param(moment, marks=pytest.mark.long if i else []) for i, moment in enumerate(MOMENTS)],
    ids=[f"{moment:.2f}" for moment in MOMENTS],
)
def test_a_kill_at_any_moment_leaves_what_is_whole_and_right(moment, folder, tmp_path, capsys):
    """The same run over and over in one folder; the kill comes that many runs after the second one."""
    run = tmp_path / "run"
    arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS, "--seed", "0", "--quiet", "--json"]
    process = start(1_000_000, arguments)
    try:
        assert process.stdout.readline().startswith("{"), process.stderr.read()
        begun = time.monotonic()
        process.stdout.readline()
        duration = time.monotonic() - begun
        time.sleep(moment * duration)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL

    references = {"seed-0": folder / "seed-0"}
    checked(run, references)
    assert_predicts_rightly_or_refuses(run, folder / "t.csv", references, capsys)
    assert main(arguments) == 0
    checked(run, references)
    assert set(PARTS) <= files(run)


def test_every_state_of_the_folder_is_whole_and_right(folder, tmp_path, monkeypatch, capsys):
    every_state(folder, None, tmp_path, monkeypatch, capsys)


def every_state(folder, earlier, tmp_path, monkeypatch, capsys):
    """A copy of the folder before and after each change to it, in a run that replaces an earlier one if one is named: a
    kill would leave one of these."""
    always(monkeypatch)
    references = {"seed-0": folder / "seed-0", "seed-1": folder / "seed-1"}
    run, copies = tmp_path / "run", tmp_path / "copies"
    if earlier is not None:
        shutil.copytree(references[earlier], run)
    count = itertools.count()

    def snapshot():
        shutil.copytree(run, copies / f"{next(count):04d}")

    def watching(function):
        def watched(*args, **kwargs):
            snapshot()
            result = function(*args, **kwargs)
            snapshot()
            return result

        return watched

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "fsync"):
            patch.setattr(os, name, watching(getattr(os, name)))
        arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS, "--seed", "0", "--quiet", "--json"]
        assert main(arguments) == 0
    assert next(count) > 50
    assert checked(run, references) == {"seed-0"}
    assert set(PARTS) <= files(run)
    assert not list(run.rglob(".*"))

    seen = set()
    for copy in sorted(copies.iterdir()):
        names = frozenset(files(copy))
        checked(copy, references)
        if names not in seen:
            seen.add(names)
            assert_predicts_rightly_or_refuses(copy, folder / "t.csv", references, capsys)
    assert len(seen) > 5


@pytest.fixture(scope="module")
def n_flushes(folder, tmp_path_factory):
    """How often a whole run has something flushed to disk."""
    fsync, calls = os.fsync, []
    arguments = ["fit", str(folder / "t.csv"), "--out", str(tmp_path_factory.mktemp("counted") / "run"), *OPTIONS]
    with pytest.MonkeyPatch.context() as patch:
        always(patch)
        patch.setattr(os, "fsync", lambda descriptor: calls.append(fsync(descriptor)))
        assert main([*arguments, "--quiet", "--json"]) == 0
    return len(calls)


@pytest.mark.parametrize("writes", [0, 1, 2, 5, 9, -8, -6, -4, -2])
def test_a_disk_that_fills_up_during_a_run_is_told_in_one_line(
    writes, n_flushes, folder, tmp_path, monkeypatch, capsys
):
    always(monkeypatch)
    fsync, run = os.fsync, tmp_path / "run"
    arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS, "--quiet", "--json"]
    left = itertools.count(writes % n_flushes, -1)

    def filling_up(descriptor):
        if next(left) <= 0:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", filling_up)
        code = main(arguments)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert "no space left" in captured.err
    if run.exists():
        assert not list(run.rglob(".*"))
        references = {"seed-0": folder / "seed-0"}
        checked(run, references)
        assert_predicts_rightly_or_refuses(run, folder / "t.csv", references, capsys)


# --- interrupted ---


def test_one_interrupt_ends_a_run_with_code_130_and_keeps_what_is_best(tmp_path, capsys):
    make_table(2000).write_csv(tmp_path / "big.csv")
    run = tmp_path / "run"
    options = ["--target", "kind", "--hidden", "8", "--batch-size", "1", "--epochs", "1000000", "--no-monitor"]
    process = start(1, ["fit", str(tmp_path / "big.csv"), "--out", str(run), *options, "--learning-rate", "1e-5"])
    try:
        deadline = time.monotonic() + 60
        while not list(run.glob("checkpoints/*.safetensors")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "accuracy" in out

    assert files(run) >= set(PARTS)
    result = load_json(run / "result.json")
    assert result["interrupted"] is True
    assert "interrupted" in result["stages"][-1]["reason"]
    assert [row[0] for row in read_history((run / "history.csv").read_bytes())] == [1] * result["epochs"]
    assert result["epochs"] < 1_000_000
    assert main(["evaluate", str(run), str(tmp_path / "big.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.3


class Interrupting(runs.Reporter):
    """Asks for the end after that many reports of progress."""

    def __init__(self, after):
        self.after, self.reports = after, 0

    def epochs(self, network, n_networks, history, n_epochs, stop):
        self.reports += 1

    def interrupted(self):
        return self.reports >= self.after


@pytest.mark.parametrize("after", [1, 3, 13])
@pytest.mark.parametrize("settings", [{"ensemble": 3, "epochs": 400}, {}], ids=["epochs by hand", "all by itself"])
def test_an_interrupt_at_any_time_leaves_a_complete_run(settings, after, folder, tmp_path, capsys):
    settings = Settings(hidden_layer_sizes=(4,), learning_rate=0.01, batch_size=4, **settings)
    reporter = Interrupting(after)
    result = runs.fit_table(folder / "t.csv", "kind", tmp_path / "run", settings=settings, reporter=reporter)
    assert result["interrupted"] is True
    assert set(PARTS) <= files(tmp_path / "run")
    assert load_json(tmp_path / "run" / "result.json") == result
    assert 1 <= result["networks"] == len(load_model(tmp_path / "run").members)
    assert np.isfinite(result["test"]["loss"])
    assert main(["predict", str(tmp_path / "run"), str(folder / "t.csv")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == N + 1


class Impatient(Interrupting):
    """Interrupts, as a second Ctrl-C does."""

    def epochs(self, network, n_networks, history, n_epochs, stop):
        raise KeyboardInterrupt


def test_a_run_that_ends_within_its_first_epoch_keeps_what_it_has_learned(tmp_path, monkeypatch):
    """Of a table on which an epoch takes longer than the user waits; and it goes on as if it had not been ended."""

    class Impatient(runs.Reporter):
        share = 0.0

        def within(self, network, n_networks, epoch, share):
            self.share = share

        def interrupted(self):
            return self.share > 0.3

    monkeypatch.setattr(batches, "MAX_SLOTS", 64)
    make_table(2000).write_csv(tmp_path / "t.csv")
    options = {"batch_size": 1, "learning_rate": 0.03, "epochs": 3, "ensemble": 1, "monitor": False}
    settings = Settings(hidden_layer_sizes=(4,), **options)
    whole = runs.fit_table(tmp_path / "t.csv", "kind", tmp_path / "whole", settings=settings)
    cut = runs.fit_table(tmp_path / "t.csv", "kind", tmp_path / "cut", settings=settings, reporter=Impatient())
    assert (cut["interrupted"], cut["epochs"], whole["epochs"]) == (True, 1, 3)
    assert cut["test"]["loss"] < 0.9 * cut["baselines"]["constant"]["test"]["loss"]
    assert cut["findings"] == []
    assert runs.resume_run(tmp_path / "cut")["epochs"] == 3
    for name in ("model.safetensors", "history.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("ensemble", [1, 3])
def test_a_second_interrupt_ends_at_once(ensemble, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(run_directory, "FINISHED_SECONDS", 1e9)  # or a slow machine has something worth keeping
    settings = Settings(hidden_layer_sizes=(4,), learning_rate=0.01, ensemble=ensemble)
    with pytest.raises(KeyboardInterrupt):
        runs.fit_table(folder / "t.csv", "kind", tmp_path / "run", settings=settings, reporter=Impatient(0))
    assert not (tmp_path / "run").exists()


def exit_code(arguments):
    """What the process would end with."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("where", ["read_table", "check_table", "split_rows"])
def test_an_interrupt_before_training_leaves_nothing(where, folder, tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):  # noqa: ARG001
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, where, interrupt)
    assert exit_code(["fit", str(folder / "t.csv"), "--out", str(tmp_path / "run"), *OPTIONS]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


# --- repeated ---


def test_the_same_seed_gives_the_same_bytes_in_another_process(folder, tmp_path):
    """The whole recipe, with its threads; another process with another order of hashes."""
    options = [*BY_ITSELF, "--seed", "5", "--quiet", "--json"]
    process = start(1, ["fit", str(folder / "t.csv"), "--out", str(tmp_path / "a"), *options], PYTHONHASHSEED="7")
    assert main(["fit", str(folder / "t.csv"), "--out", str(tmp_path / "b"), *options]) == 0
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for name in ("model.safetensors", "history.csv", "notebook.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    results = [load_json(tmp_path / name / "result.json") for name in "ab"]
    assert without_times(results[0]) == without_times(results[1])


def test_another_seed_gives_other_bytes(folder):
    for name in ("model.safetensors", "history.csv", "notebook.jsonl"):
        assert (folder / "seed-0" / name).read_bytes() != (folder / "seed-1" / name).read_bytes(), name


def without_test(run):
    """What a run left, with all that speaks of test rows in a part of its own."""
    result = without_times(load_json(run / "result.json"))
    history = pl.read_csv(run / "history.csv")
    test = {"n_test": result.pop("n_test"), "scores": result.pop("test"), "curve": history["test_loss"].to_list()}
    result["baselines"] = {name: scores["valid"] for name, scores in result["baselines"].items()}
    model, notebook = (run / "model.safetensors").read_bytes(), (run / "notebook.jsonl").read_bytes()
    return {"model": model, "notebook": notebook, "result": result, "history": history.drop("test_loss").rows()}, test


def assert_only_the_test_differs(one, other):
    (rest, test), (other_rest, other_test) = without_test(one), without_test(other)
    for part in rest:
        assert rest[part] == other_rest[part], part
    assert test["scores"] != other_test["scores"]
    assert test["curve"] != other_test["curve"]


@pytest.mark.parametrize("options", [OPTIONS, BY_ITSELF], ids=["fast", "all by itself"])
def test_the_rows_of_a_test_file_decide_nothing(options, folder, tmp_path):
    make_table(30, seed=1).write_csv(tmp_path / "one.csv")
    other = make_table(40, seed=2).with_columns(pl.col("u") * 1e6, soil=pl.lit("moor"), more=pl.lit("x"))
    other.write_csv(tmp_path / "two.csv")
    for name in ("one", "two"):
        arguments = ["--out", str(tmp_path / name), "--test", str(tmp_path / f"{name}.csv"), *options]
        assert main(["fit", str(folder / "t.csv"), *arguments, "--quiet", "--json"]) == 0
    assert [without_test(tmp_path / name)[1]["n_test"] for name in ("one", "two")] == [30, 40]
    assert_only_the_test_differs(tmp_path / "one", tmp_path / "two")


def test_the_rows_held_out_for_the_test_decide_nothing(folder, tmp_path):
    table = pl.read_csv(folder / "t.csv")
    classes = (table["kind"] == "bee").to_numpy().astype(int)
    split = split_rows(N, 0, valid=VALIDATION_FRACTION, test=0.2, classes=classes)
    rows = pl.Series(np.isin(np.arange(N), split.test))
    changed = table.with_columns(
        pl.when(rows).then(pl.col("u").reverse() * 2).otherwise(pl.col("u")).alias("u"),
        pl.when(rows).then(pl.lit("sand")).otherwise(pl.col("soil")).alias("soil"),
    )
    changed.write_csv(tmp_path / "changed.csv")
    arguments = [*OPTIONS, "--quiet", "--json"]
    assert main(["fit", str(folder / "t.csv"), "--out", str(tmp_path / "one"), *arguments]) == 0
    assert main(["fit", str(tmp_path / "changed.csv"), "--out", str(tmp_path / "two"), *arguments]) == 0
    assert load_json(tmp_path / "one" / "result.json")["n_test"] == len(split.test)
    assert_only_the_test_differs(tmp_path / "one", tmp_path / "two")


def test_a_run_does_not_depend_on_what_lay_in_its_folder(folder, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(folder / "seed-1", run)
    (run / "notes.txt").write_text("mine")
    arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS, "--seed", "0", "--quiet", "--json"]
    assert main(arguments) == 0
    assert (run / "notes.txt").read_text() == "mine"
    for name in (*PARTS[:3], "run.json"):
        assert (run / name).read_bytes() == (folder / "seed-0" / name).read_bytes()


# --- results ---

KEYS = {
    "task": str, "target": str, "n_train": int, "n_valid": int, "n_test": int, "net": str, "optimizer": str,
    "learning_rate": float, "batch_size": int, "epochs": int, "seconds": float, "seed": int, "train": dict,
    "valid": dict, "test": dict, "findings": list, "stages": list,
}  # fmt: skip


def test_the_result_has_what_was_promised(folder):
    """The keys of `result.json` that users rely on, and their types."""
    result = load_json(folder / "seed-0" / "result.json")
    for key, kind in KEYS.items():
        assert type(result[key]) is kind, key
    assert {"loss", "accuracy"} <= set(result["test"])
    assert result["n_train"] + result["n_valid"] + result["n_test"] == N
    for finding in result["findings"]:
        assert set(finding) == {"code", "severity", "where", "evidence", "cause", "remedy"}
    notebook = (folder / "seed-0" / "notebook.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in notebook] == result["stages"]
    (stage,) = result["stages"]
    assert stage["epochs"][0] == result["epochs"]
    rows = [row[:2] for row in read_history((folder / "seed-0" / "history.csv").read_bytes())]
    assert rows == [[i, e] for i, epochs in enumerate(stage["epochs"], 1) for e in range(1, epochs + 1)]


def test_scores_of_a_result_are_those_of_evaluate(folder, tmp_path):
    table = make_table(60, seed=3).with_columns(kind=pl.when(pl.int_range(60) >= 10).then("kind"))  # ten without
    table.write_csv(tmp_path / "test.csv")
    arguments = ["--out", str(tmp_path / "run"), "--test", str(tmp_path / "test.csv"), *OPTIONS, "--quiet", "--json"]
    assert main(["fit", str(folder / "t.csv"), *arguments]) == 0
    scores = runs.evaluate_table(tmp_path / "run", tmp_path / "test.csv")
    result = load_json(tmp_path / "run" / "result.json")
    assert scores["n"] == result["n_test"] == 50
    for name, value in result["test"].items():
        assert scores[name] == pytest.approx(value, rel=1e-6)
    worst = load_json(tmp_path / "run" / "report.json")["worst"]
    assert worst
    assert [one["true"] for one in worst] == [table["kind"][one["row"] - 1] for one in worst]


def test_the_batch_of_a_rule_that_takes_all_rows_is_all_of_them(folder, tmp_path):
    settings = Settings(hidden_layer_sizes=(4,), optimizer="gd", learning_rate=0.1, epochs=2, monitor=False)
    result = runs.fit_table(folder / "t.csv", "kind", tmp_path / "run", settings=settings)
    assert result["batch_size"] == result["n_train"]


def test_a_run_keeps_a_rule_with_an_infinite_number(folder, tmp_path):
    rule = optimizers.ConjugateGradient(restart=math.inf)
    settings = Settings(hidden_layer_sizes=(4,), optimizer=rule, epochs=2, ensemble=1, monitor=False)
    result = runs.fit_table(folder / "t.csv", "kind", tmp_path / "run", settings=settings)
    assert load(tmp_path / "run").optimizer == rule
    (tmp_path / "run" / "result.json").unlink()  # as if it had been killed at the end
    assert without_times(runs.resume_run(tmp_path / "run")) == without_times(result)


def test_without_test_rows_there_are_no_test_scores(folder, tmp_path):
    result = runs.fit_table(
        folder / "t.csv",
        "kind",
        tmp_path / "run",
        test_size=0.0,
        settings=Settings(hidden_layer_sizes=(4,), learning_rate=0.1, epochs=2, monitor=False),
    )
    assert result["n_test"] == 0
    assert result["test"] == {}
    assert result["n_train"] + result["n_valid"] == N


def test_rows_without_a_target_are_left_out_and_predicted_all_the_same(folder, tmp_path):
    table = make_table().with_columns(kind=pl.when(pl.arange(0, N) % 9 == 0).then(None).otherwise(pl.col("kind")))
    table.write_csv(tmp_path / "holes.csv")
    settings = Settings(hidden_layer_sizes=(4,), learning_rate=0.1, epochs=2, monitor=False)
    result = runs.fit_table(tmp_path / "holes.csv", "kind", tmp_path / "run", settings=settings)
    assert result["n_rows"] == N
    assert result["n_train"] + result["n_valid"] + result["n_test"] == N - 10
    predicted, _ = runs.predict_table(tmp_path / "run", tmp_path / "holes.csv")
    assert len(predicted) == N
    with pytest.raises(InputError, match="kind"):
        runs.evaluate_table(tmp_path / "run", folder / "seed-0" / "history.csv")


def test_every_state_of_the_folder_is_whole_and_right_while_a_run_replaces_another(
    folder,
    tmp_path,
    monkeypatch,
    capsys,
):
    every_state(folder, "seed-1", tmp_path, monkeypatch, capsys)


def test_what_training_has_reached_is_never_lost_again(folder, tmp_path, monkeypatch):
    """From the first checkpoint on there is a checkpoint or a model at every instant."""
    always(monkeypatch)
    run, lost = tmp_path / "run", []

    def watching(function):
        def watched(*args, **kwargs):
            result = function(*args, **kwargs)
            if run.exists() and "model.safetensors" not in files(run):
                lost.append(not list(run.glob("checkpoints/*.safetensors")))
            return result

        return watched

    for name in ("replace", "unlink"):
        monkeypatch.setattr(os, name, watching(getattr(os, name)))
    assert main(["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS, "--quiet", "--json"]) == 0
    assert not any(lost[lost.index(False) :])


def test_an_interrupt_before_training_says_so(folder, tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):  # noqa: ARG001
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "read_table", interrupt)
    assert exit_code(["fit", str(folder / "t.csv"), "--out", str(tmp_path / "run"), *OPTIONS]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("linked", [False, True])
def test_predictions_never_replace_what_they_are_made_from(linked, folder, tmp_path):
    run, new = tmp_path / "run", tmp_path / "new.csv"
    shutil.copytree(folder / "seed-0", run)
    shutil.copy(folder / "t.csv", new)
    shutil.copy(run / "model.safetensors", tmp_path / "model.csv")
    for model, path, says in (
        (run, new, "the table to predict"),
        (run, run / "health.csv", "a file of the run"),
        (run / "model.safetensors", run / "history.csv", "a file of the run"),
        (tmp_path / "model.csv", tmp_path / "model.csv", "a file of the run"),
        (run, folder / "t.csv", "trained or tested on this table"),
    ):
        out = path
        if linked:
            out = tmp_path / f"{path.stem}-link.csv"
            out.unlink(missing_ok=True)
            out.symlink_to(path)
        with pytest.raises(InputError, match=says):
            runs.check_prediction_path(out, model, new)
    for name in ("there.csv", "run/there.csv"):
        (tmp_path / name).write_text("prediction\n")
        runs.check_prediction_path(tmp_path / name, run, new)
    runs.check_prediction_path(tmp_path / "fresh.csv", run, new)
    runs.check_prediction_path(tmp_path / "there.csv", tmp_path / "nowhere", new)


@pytest.mark.parametrize("options", [[], ["--stream"]])
def test_a_value_that_cannot_be_learned_is_named_with_its_file(options, tmp_path, capsys):
    frame = make_table().with_columns(u=pl.when(pl.int_range(N) == 40).then(np.inf).otherwise("u"))
    frame.write_csv(tmp_path / "bad.csv")
    for target, column in (("kind", "u"), ("u", "u")):
        arguments = [str(tmp_path / "bad.csv"), "--target", target, "--out", str(tmp_path / "run"), *options]
        assert main(["fit", *arguments, "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"bad.csv, column '{column}', row 41)" in line
        assert not (tmp_path / "run").exists()
