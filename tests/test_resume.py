"""`axonic resume`: whenever and however a run has ended, it goes on and ends with the bits of the undisturbed run."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from axonic import distributed, optimizers, run_directory, runs, storage, training
from axonic.cli import main
from axonic.data import batches
from axonic.diagnosis import capacity
from axonic.errors import InputError
from axonic.recipe import fitting, rule
from axonic.settings import Settings
from axonic.storage import load_model
from tests import plainly
from tests.test_run_directory import THEIRS
from tests.test_runs import always, files, load_json, make_table, without_times

ROOT = Path(__file__).parents[1]
N = 125
"""Rows: few enough that networks have a say in the epochs of others (`axonic.recipe.epochs.FEW_ROWS`)."""
SAME = ("health.csv", "history.csv", "model.safetensors", "notebook.jsonl", "report.json", "run.json")
SLOTS = 128
"""Slots of a tape: few, so that a network takes several tapes."""

# The whole recipe on one of them; rates and batch sizes of two rules; several tapes of one network by hand; a rate at
# which nothing is finite.
RULES = ("momentum", "adam")
OPTIONS = {
    "recipe": ["--hidden", "4", "--ensemble", "3"],
    "rules": ["--hidden", "4", "--ensemble", "2", "--optimizer", "auto"],
    "by hand": ["--hidden", "4", "--learning-rate", "0.01", "--batch-size", "4", "--epochs", "30"],
    "diverging": ["--hidden", "4", "--ensemble", "2", "--learning-rate", "1e30"],
}
ARGUMENTS = ["--target", "kind", "--quiet", "--json"]


def long(*values):
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.fixture(autouse=True)
def short_tapes(monkeypatch):
    shorten(monkeypatch)


def shorten(patch):
    """Tapes of few slots, for "auto" two rules that have rates, and no second network to see whether the first is
    small."""
    patch.setattr(batches, "MAX_SLOTS", SLOTS)
    patch.setattr(rule, "SMALL_RULES", RULES)
    patch.setattr(capacity, "SMALL_LAYER", 0)


def make_references(path):
    """A table, and a finished run of each of the options that nothing has disturbed."""
    path.mkdir(exist_ok=True)
    make_table(N).write_csv(path / "t.csv")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        shorten(patch)
        for name, options in OPTIONS.items():
            assert main(["fit", str(path / "t.csv"), "--out", str(path / name), *options, *ARGUMENTS]) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("resume")
    make_references(path)
    return path


def fit(folder, name, run, **kwargs):
    """The run of these options as Python calls it."""
    request = runs.Request.from_json(load_json(folder / name / "run.json"), run)
    return runs.fit_table(request.data, request.target, run, settings=request.settings, **kwargs)


def assert_as_undisturbed(run, reference):
    """Everything but times is that of the reference, and nothing else is there."""
    for name in SAME:
        assert (run / name).read_bytes() == (reference / name).read_bytes(), name
    results = [load_json(path / "result.json") for path in (run, reference)]
    assert without_times(results[0]) == without_times(results[1])
    assert {path.relative_to(run).as_posix() for path in run.rglob("*")} == files(reference)


def content(run):
    """All that is in a run directory."""
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def assert_usable(run, table):
    """A run that was ended has a model and its scores, and its files belong together."""
    result = load_json(run / "result.json")
    assert result["interrupted"] is True
    assert np.isfinite(result["test"]["loss"])
    assert len(load_model(run).members) == result["networks"] >= 1
    assert runs.evaluate_table(run, table)["n"] == N
    lines = (run / "notebook.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result["stages"]
    history = pl.read_csv(run / "history.csv")
    assert history["network"].n_unique() <= result["networks"]


def decided(run):
    """The stages that were decided with all the evidence in."""
    return run_directory.RunDirectory(run).notebook()


def assert_refused(code, capsys, *says):
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("error: ")
    for word in says:
        assert word in captured.err


def test_the_runs_have_what_they_are_meant_to_have(folder):
    """Or the tests below would show less than they say."""
    stages = {name: [s["stage"] for s in load_json(folder / name / "result.json")["stages"]] for name in OPTIONS}
    assert stages["recipe"][:5] == ["rate", "batch_size", "regularization", "run", "branch"]
    assert stages["rules"][:5] == [*["rate", "batch_size"] * 2, "optimizer"]
    assert stages["by hand"] == ["run"]
    assert stages["diverging"][-1] in ("run", "branch")
    history = pl.read_csv(folder / "recipe" / "history.csv")
    run = next(s for s in load_json(folder / "recipe" / "result.json")["stages"] if s["stage"] == "run")
    own = [
        1 + losses["valid_loss"].head(epochs).arg_min()
        for (_, losses), epochs in zip(history.group_by("network", maintain_order=True), run["epochs"], strict=True)
    ]
    assert own != run["decision"]  # a network has been trained once more, to another epoch
    assert len(load_json(folder / "recipe" / "result.json")["stages"][1]["batch_sizes"]) > 1


# --- killed ---

DRIVER = f"""
import sys
from axonic import run_directory
from axonic.cli import main
from axonic.data import batches
from axonic.diagnosis import capacity
from axonic.recipe import rule
seconds, rounds = float(sys.argv.pop(1)), int(sys.argv.pop(1))
if seconds >= 0:
    run_directory.RUNNING_SECONDS = run_directory.FINISHED_SECONDS = seconds
batches.MAX_SLOTS, rule.SMALL_RULES, capacity.SMALL_LAYER = {SLOTS}, {RULES}, 0
print("ready", flush=True)
for _ in range(rounds):
    code = main(sys.argv[1:])
    sys.stdout.flush()
sys.exit(code)
"""
"""`axonic` that many times over; checkpoints are written every so many seconds, or as often as they are (-1)."""


def start(seconds, rounds, arguments):
    command = [sys.executable, "-c", DRIVER, str(seconds), str(rounds), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    assert process.stdout.readline() == "ready\n", process.stderr.read()
    return process


def kill_a_fit(folder, name, run, seconds, moment):
    """Kill a process that fits over and over into one folder, at that moment in units of a run after the second one has
    begun."""
    arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS[name], *ARGUMENTS]
    process = start(seconds, 1_000_000, arguments)
    try:
        assert process.stdout.readline().startswith("{"), process.stderr.read()
        begun = time.monotonic()
        process.stdout.readline()
        time.sleep(moment * (time.monotonic() - begun))
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def kill_a_resumption(run, seconds, moment):
    """Kill a process that resumes a run, that many seconds after it has begun."""
    process = start(seconds, 1, ["resume", str(run), *ARGUMENTS[2:]])
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)


def assert_resumes(run, reference):
    """The run goes on to the end of the undisturbed one; whether there was anything to go on with."""
    if not (run / "run.json").exists():  # killed after an earlier run was taken away, before the next one began
        with pytest.raises(InputError, match=r"no run\.json"):
            runs.resume_run(run)
        return False
    result = runs.resume_run(run)
    assert not result["interrupted"]
    assert_as_undisturbed(run, reference)
    return True


def kills(folder, place, count, seed, first=0):
    """So many processes killed at random moments, each run resumed: how many there were of each kind. Of three in a
    row each has options of its own."""
    rng = np.random.default_rng(seed)
    seen = dict.fromkeys(("finished", "under way", "nothing begun", "killed again"), 0)
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        _kills(folder, place, range(first, first + count), rng, seen)
    return seen


def _kills(folder, place, numbers, rng, seen):
    for number in numbers:
        name = list(OPTIONS)[number % 3]
        seconds = (0.0, -1.0, 0.1)[number // 3 % 3]
        run = place / f"{number}"
        kill_a_fit(folder, name, run, seconds, rng.uniform(0.0, 2.0))
        kind = "finished" if (run / "result.json").exists() else "under way"
        if kind == "under way" and (run / "run.json").exists() and number % 2 == 0:
            kill_a_resumption(run, seconds, rng.uniform(0.0, 3.0))
            seen["killed again"] += 1
        seen[kind if assert_resumes(run, folder / name) else "nothing begun"] += 1


@pytest.mark.parametrize(("first", "count"), [(2, 1), long(0, 6)])
def test_after_a_kill_at_any_instant_a_run_ends_as_if_undisturbed(first, count, folder, tmp_path):
    """Of a network by hand, which is soonest under way; thirty of all kinds in `benchmarks/kills.py`."""
    seen = kills(folder, tmp_path, count, seed=5, first=first)
    assert sum(seen.values()) - seen["killed again"] == count


def states(folder, name, run, monkeypatch, earlier=None):
    """Copies of the folder before and after each change to it in a run that replaces an earlier one, if one is named;
    of those that differ in no file of a run, the last one, which has more under temporary names."""
    copies, numbers = run.parent / "copies", itertools.count()
    kept = {}
    if earlier is not None:
        shutil.copytree(folder / earlier, run)

    def snapshot():
        copy = copies / f"{next(numbers):04d}"
        shutil.copytree(run, copy)
        digest = hashlib.sha256()
        for path in sorted(files(copy)):
            digest.update(path.encode() + b"\0" + (copy / path).read_bytes() + b"\0")
        kept[digest.digest()] = copy

    def watching(function):
        def watched(*args, **kwargs):
            snapshot()
            result = function(*args, **kwargs)
            snapshot()
            return result

        return watched

    with monkeypatch.context() as patch:
        always(patch)
        for function in ("replace", "unlink", "fsync"):
            patch.setattr(os, function, watching(getattr(os, function)))
        arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS[name], *ARGUMENTS]
        assert main(arguments) == 0
    assert_as_undisturbed(run, folder / name)
    return sorted(kept.values())


@pytest.mark.parametrize(("name", "earlier"), [("recipe", None), long("rules", None), long("by hand", "diverging")])
def test_after_a_kill_at_each_write_a_run_ends_as_if_undisturbed(name, earlier, folder, tmp_path, monkeypatch):
    resumed, nothing, old = 0, 0, 0
    copies = states(folder, name, tmp_path / "run", monkeypatch, earlier)
    assert len(copies) > (10 if name == "by hand" else 20)
    copies = copies[:: 1 if name == "by hand" else 8]  # they are many, and alike
    for copy in copies:
        requested = (copy / "run.json").exists() and (copy / "run.json").read_bytes()
        if earlier is not None and requested == (folder / earlier / "run.json").read_bytes():
            assert_resumes(copy, folder / earlier)
            old += 1
        elif assert_resumes(copy, folder / name):
            resumed += 1
        else:
            nothing += 1
    assert resumed > len(copies) // 2
    assert nothing >= 1
    assert (old > 1) == (earlier is not None)


def test_a_folder_where_nothing_has_begun_is_refused(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / ".run.json.abcdefgh").write_bytes(b'{"data"')
    shutil.copy(folder / "recipe" / "model.safetensors", tmp_path)
    for path in ("none", "empty", "half", "model.safetensors"):
        assert_refused(main(["resume", str(tmp_path / path)]), capsys, "run.json", "axonic fit")
    assert not (tmp_path / "none").exists()


# --- ended ---


class Ending(runs.Reporter):
    """Asks for the end after that many reports, and after it has been asked that many times."""

    def __init__(self, reports=np.inf, polls=np.inf):
        self.reports, self.polls = reports, polls
        self.n_reports = self.n_polls = self.n_asked = 0

    def stage(self, stage):
        self.n_polls = self.n_asked  # what comes after the last stage is no training

    def epochs(self, network, n_networks, history, n_epochs, stop):
        self.n_reports += 1

    def interrupted(self):
        self.n_asked += 1
        return self.n_reports >= self.reports or self.n_asked > self.polls


@pytest.fixture(scope="module")
def counts(folder, tmp_path_factory):
    """How many reports and questions there are in a whole run."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        for name in OPTIONS:
            reporter = Ending()
            fit(folder, name, tmp_path_factory.mktemp("counts") / "run", reporter=reporter)
            found[name] = reporter
    return found


@pytest.mark.parametrize(
    ("share", "name"),
    [
        *((share, "recipe") for share in (0.05, 0.9)),
        *((0.45, name) for name in ("rules", "by hand", "diverging")),
        *(long(share, name) for share in (0.05, 0.9) for name in ("rules", "by hand", "diverging")),
        long(0.45, "recipe"),
    ],
)
def test_a_run_that_was_interrupted_ends_as_if_undisturbed(share, name, counts, folder, tmp_path):
    """At any of the places where it can be: also in the sweep, between stages and in branches."""
    run, table = tmp_path / "run", folder / "t.csv"
    result = fit(folder, name, run, reporter=Ending(polls=int(share * counts[name].n_polls)))
    assert result["interrupted"] is True
    assert_usable(run, table)
    assert main(["resume", str(run), "--quiet"]) == 0
    assert_as_undisturbed(run, folder / name)


@pytest.mark.parametrize(
    ("reports", "name"),
    [
        *((reports, "recipe") for reports in (1, 13)),
        *(long(reports, name) for reports in (1, 3, 13) for name in ("rules", "by hand")),
        long(3, "recipe"),
    ],
)
def test_a_run_that_was_interrupted_at_a_report_ends_as_if_undisturbed(reports, name, counts, folder, tmp_path):
    assert counts[name].n_reports > 2
    reporter = Ending(reports=min(reports, counts[name].n_reports - 1))
    assert fit(folder, name, tmp_path / "run", reporter=reporter)["interrupted"] is True
    assert_usable(tmp_path / "run", folder / "t.csv")
    runs.resume_run(tmp_path / "run")
    assert_as_undisturbed(tmp_path / "run", folder / name)


@pytest.mark.parametrize("name", ["recipe", long("diverging"), long("rules"), long("by hand")])
def test_a_run_that_is_interrupted_again_and_again_ends_as_if_undisturbed(name, counts, folder, tmp_path, monkeypatch):
    """What has been decided and trained is not lost meanwhile."""
    always(monkeypatch)
    run, most = tmp_path / "run", counts[name].n_polls
    result = fit(folder, name, run, reporter=Ending(polls=1))
    stages, times = 0, 0
    for share in (0.1, 0.0, 0.5, 0.0, 0.9, 0.0, np.inf):
        if not result["interrupted"]:
            break
        assert_usable(run, folder / "t.csv")
        assert len(decided(run)) >= stages
        stages, times = len(decided(run)), times + 1
        result = runs.resume_run(run, reporter=Ending(polls=share * most))
    assert times > 2
    assert_as_undisturbed(run, folder / name)


def test_the_sweep_itself_can_be_ended(folder, tmp_path, monkeypatch):
    begun = []
    whole_run = training.run

    def counting(trial, tape, *args, **kwargs):
        begun.append(int(tape.n_segments))
        return whole_run(trial, tape, *args, **kwargs)

    monkeypatch.setattr(training, "run", counting)
    monkeypatch.setattr(distributed.os, "cpu_count", lambda: 1)
    fit(folder, "recipe", tmp_path / "whole")
    whole, begun[:] = len(begun), []
    result = fit(folder, "recipe", tmp_path / "run", reporter=Ending(polls=2))
    assert result["stages"][0]["stage"] == "rate"
    assert all(stage["interrupted"] is True for stage in result["stages"])
    assert len(begun) < 10 < whole
    assert_usable(tmp_path / "run", folder / "t.csv")


def spend(monkeypatch, seconds=1.0):
    """A clock that only tapes of training move on, by so many seconds each, and one thread; returns when each began."""
    now, begun = [0.0], []
    whole_run = training.run

    def timed(trial, tape, state, *args, **kwargs):
        if not np.all(state.stopped):  # otherwise the program is compiled, and does nothing
            begun.append(now[0])
            now[0] += seconds
        return whole_run(trial, tape, state, *args, **kwargs)

    monkeypatch.setattr(training, "run", timed)
    monkeypatch.setattr(distributed.os, "cpu_count", lambda: 1)
    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=time.perf_counter)
    monkeypatch.setattr(runs.fit, "time", clock)
    return begun


@pytest.mark.parametrize("name", ["recipe", long("diverging"), long("rules"), long("by hand")])
def test_a_budget_is_kept_to_about_a_tape(name, folder, tmp_path, monkeypatch):
    """Once it is spent, the tape under way is run to its end and at most one more, without which there is no model."""
    begun = spend(monkeypatch)
    fit(folder, name, tmp_path / "whole")
    total = len(begun)
    assert_as_undisturbed(tmp_path / "whole", folder / name)
    for budget in (0.5, 0.5 * total + 0.5, 0.8 * total + 0.5):
        assert budget < total
        run = tmp_path / f"{budget}"
        begun = spend(monkeypatch)
        fit(folder, name, run, budget=budget)
        assert sum(moment > budget for moment in begun) <= 1, budget
        if load_json(run / "result.json")["interrupted"]:
            assert_usable(run, folder / "t.csv")
        begun.clear()
        runs.resume_run(run)
        assert_as_undisturbed(run, folder / name)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_tiny_budget_leaves_a_model_that_can_be_used(name, folder, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["fit", str(folder / "t.csv"), "--out", str(run), *OPTIONS[name], *ARGUMENTS]
    assert main([*arguments, "--budget", "0.001"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == load_json(run / "result.json")
    assert_usable(run, folder / "t.csv")
    assert main(["resume", str(run), "--budget", "0.001", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["interrupted"] is True
    assert_usable(run, folder / "t.csv")
    assert main(["resume", str(run), "--budget", "1e6", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["interrupted"] is False
    assert_as_undisturbed(run, folder / name)


@pytest.mark.parametrize("budget", ["0", "-1", "nan", "-inf"])
def test_a_budget_that_is_none_is_refused(budget, folder, tmp_path, capsys):
    arguments = [str(folder / "t.csv"), "--target", "kind", "--out", str(tmp_path / "run")]
    assert_refused(main(["fit", *arguments, f"--budget={budget}", "--quiet"]), capsys, "budget", "positive")
    assert not (tmp_path / "run").exists()
    fit(folder, "by hand", tmp_path / "run", reporter=Ending(reports=1))
    before = content(tmp_path / "run")
    assert_refused(main(["resume", str(tmp_path / "run"), f"--budget={budget}", "--quiet"]), capsys, "budget")
    assert content(tmp_path / "run") == before


def test_what_was_trained_before_is_kept_when_a_run_is_ended_again(folder, tmp_path, monkeypatch):
    """Also of the networks that do not go on; where a second branch follows, whatever the first one has gained."""
    monkeypatch.setattr(fitting, "helped", lambda stage: True)
    run, whole = tmp_path / "run", Ending()
    stages = fit(folder, "recipe", tmp_path / "whole", reporter=whole)["stages"]
    assert [stage["stage"] for stage in stages[-2:]] == ["branch", "branch"]
    result = fit(folder, "recipe", run, reporter=Ending(polls=whole.n_polls - 1))
    assert result["interrupted"] is True
    assert result["networks"] == 3
    again = runs.resume_run(run, reporter=Ending(polls=0))
    assert again["interrupted"] is True
    assert again["networks"] == 3
    assert again["stages"] == [stage for stage in result["stages"] if not stage.get("interrupted")]
    assert again["stages"][-1]["stage"] == "branch"  # the first of two


# --- finished ---


def test_resuming_a_finished_run_says_its_result_again_and_changes_nothing(folder, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(folder / "recipe", run)
    before = content(run)
    for options in ([], ["--budget", "5"], ["--data", "nowhere.csv"]):
        capsys.readouterr()
        assert main(["resume", str(run), "--json", *options]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out) == load_json(folder / "recipe" / "result.json")
        assert content(run) == before
    assert main(["resume", str(run)]) == 0
    assert "3 networks averaged" in capsys.readouterr().out


def test_resuming_takes_away_what_a_kill_left_and_nothing_of_the_user(folder, tmp_path):
    run = tmp_path / "run"
    fit(folder, "by hand", run, reporter=Ending(reports=1))
    for name in (".model.safetensors.abcdefgh", ".run.json.x1y2z3_a", "checkpoints/.a.safetensors.abcdefgh"):
        (run / name).write_bytes(b"half a file")
    (run / "mine").mkdir()
    for name in THEIRS:
        (run / name).write_text("mine")
    runs.resume_run(run)
    assert {name for name in content(run) if name not in files(folder / "by hand")} == set(THEIRS)


# --- the table ---


@pytest.fixture(scope="module")
def ended_once(counts, folder, tmp_path_factory):
    """A run of the whole recipe that was ended in its branches, with its table, as it is and as it shall stay."""
    place = tmp_path_factory.mktemp("ended")
    run, table = place / "now" / "run", place / "now" / "table.csv"
    run.parent.mkdir()
    shutil.copy(folder / "t.csv", table)
    settings = runs.Request.from_json(load_json(folder / "recipe" / "run.json"), place).settings
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        reporter = Ending(polls=int(0.9 * counts["recipe"].n_polls))
        runs.fit_table(table, "kind", run, settings=settings, reporter=reporter)
    whole = {**content(folder / "recipe"), "run.json": content(run)["run.json"]}  # that names the table
    shutil.copytree(place / "now", place / "kept")
    return SimpleNamespace(run=run, table=table, whole=whole)


@pytest.fixture
def ended(ended_once):
    """That run, which a test may change."""
    place = ended_once.run.parent
    shutil.rmtree(place)
    shutil.copytree(place.parent / "kept", place)
    return ended_once


def test_a_table_that_has_moved_is_named_with_data(ended, tmp_path, capsys):
    before = content(ended.run)
    ended.table.rename(tmp_path / "moved.csv")
    assert_refused(main(["resume", str(ended.run)]), capsys, "table.csv", "--data")
    assert_refused(main(["resume", str(ended.run), "--data", str(tmp_path / "none.csv")]), capsys, "none.csv")
    assert content(ended.run) == before
    assert main(["resume", str(ended.run), "--data", str(tmp_path / "moved.csv"), "--quiet"]) == 0
    after = content(ended.run)
    assert all(after[name] == ended.whole[name] for name in SAME)


CHANGES = {
    "a row less": lambda table: table.head(N - 1),
    "another order": lambda table: table.reverse(),
    "another value": lambda table: table.with_columns(u=table["u"].scatter(17, 1e-3)),
    "another scale": lambda table: table.with_columns(u=pl.col("u") * 2),
    "other classes": lambda table: table.with_columns(kind=pl.col("kind").replace("ant", "asp")),
    "other categories": lambda table: table.with_columns(soil=pl.col("soil").replace("clay", "chalk")),
    "another target": lambda table: table.with_columns(kind=table["kind"].reverse()),
    "a column renamed": lambda table: table.rename({"v": "w"}),
    "a column less": lambda table: table.drop("soil"),
    "another column": lambda table: table.with_columns(more=pl.Series(np.arange(N) % 7)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_table_that_has_changed_is_refused(name, ended, capsys):
    before = content(ended.run)
    CHANGES[name](pl.read_csv(ended.table)).write_csv(ended.table)
    assert_refused(main(["resume", str(ended.run), "--quiet"]), capsys, "no longer the one", "--data", "table.csv")
    assert content(ended.run) == before


def test_a_table_that_cannot_be_read_any_more_is_refused(ended, capsys):
    before = content(ended.run)
    for damage, says in ((b"", "table.csv"), (b"u,v,soil\n1,2,clay\n", "'kind'"), (bytes(range(256)), "table.csv")):
        ended.table.write_bytes(damage)
        assert_refused(main(["resume", str(ended.run), "--quiet"]), capsys, says)
    assert content(ended.run) == before


def test_test_rows_from_a_file_are_part_of_what_is_asked_for(folder, tmp_path, capsys):
    make_table(30, seed=1).write_csv(tmp_path / "test.csv")
    settings = Settings(hidden_layer_sizes=(4,), learning_rate=0.01, batch_size=4, epochs=30)
    for name, reporter in (("whole", None), ("run", Ending(reports=1))):
        paths = {"out": tmp_path / name, "test": tmp_path / "test.csv"}
        runs.fit_table(folder / "t.csv", "kind", **paths, settings=settings, reporter=reporter)
    make_table(30, seed=2).write_csv(tmp_path / "test.csv")
    assert_refused(main(["resume", str(tmp_path / "run"), "--quiet"]), capsys, "no longer the one")
    (tmp_path / "test.csv").unlink()
    assert_refused(main(["resume", str(tmp_path / "run"), "--quiet"]), capsys, "test.csv")
    make_table(30, seed=1).write_csv(tmp_path / "test.csv")
    runs.resume_run(tmp_path / "run")
    assert_as_undisturbed(tmp_path / "run", tmp_path / "whole")


# --- damaged and forged files ---

DEEP = b"[" * 100_000
DAMAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "the last byte gone": lambda data: data.rstrip(b"\n")[:-1],
    "junk": lambda data: np.random.default_rng(0).bytes(500),
    "zeros": lambda data: bytes(len(data)),
    "a list": lambda data: b"[]",
    "a number": lambda data: b"1" * 5000,
    "nothing in it": lambda data: b"{}",
    "deep": lambda data: DEEP,
    "a pickle": lambda data: b"cos\nsystem\n(S'touch EXECUTED'\ntR.",
}


def needed(run):
    """Of the files that resume reads, the first and last ones: of checkpoints, of the penalty that has been chosen."""
    l2 = next(stage["decision"] for stage in decided(run) if stage["stage"] == "regularization")
    checkpoints = [path for path in sorted((run / "checkpoints").iterdir()) if f"-{l2:g}-" in path.name]
    assert len(checkpoints) == 6  # of three networks, each trained once more
    return [run / "run.json", run / "notebook.jsonl", checkpoints[0], checkpoints[-1]]


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_refused(name, ended, capsys):
    for path in needed(ended.run):
        if name == "empty" and path.name == "notebook.jsonl":
            continue  # nothing was decided
        good = path.read_bytes()
        path.write_bytes(DAMAGES[name](good))
        before = content(ended.run)
        assert_refused(main(["resume", str(ended.run), "--quiet"]), capsys, str(path))
        assert content(ended.run) == before
        path.write_bytes(good)


def with_decision(stage, decision, **values):
    def change(stages):
        for one in stages:
            if one["stage"] == stage:
                one.update(decision=decision, **values)
        return stages

    return change


NOTEBOOKS = {
    "turned around": lambda stages: stages[::-1],
    "the first one missing": lambda stages: stages[1:],
    "one missing": lambda stages: [*stages[:2], *stages[3:]],
    "two exchanged": lambda stages: [stages[0], stages[2], stages[1], *stages[3:]],
    "one twice": lambda stages: [stages[0], *stages],
    "one too many": lambda stages: [*stages, *[{"stage": "branch", "decision": [], "reason": ""}] * 3],
    "a stage of its own": lambda stages: [{"stage": "luck", "decision": 7, "reason": ""}, *stages],
    "no name": lambda stages: [{**stages[0], "stage": None}, *stages[1:]],
    "rate of 0": with_decision("rate", 0),
    "negative rate": with_decision("rate", -0.1),
    "rate in words": with_decision("rate", "fast"),
    "no rate": with_decision("rate", None),
    "rate without end": with_decision("rate", float("inf")),
    "rate that is true": with_decision("rate", True),
    "batches of 0": with_decision("batch_size", 0),
    "batches of half a row": with_decision("batch_size", 0.5),
    "batches of more than there is": with_decision("batch_size", 10**9),
    "batches at no rate": with_decision("batch_size", 32, learning_rate=None),
    "penalty that was not tried": with_decision("regularization", 0.5),
    "penalty in a list": with_decision("regularization", [0.5]),
    "branch of a network that is not": with_decision("branch", [7]),
    "branch of no list": with_decision("branch", 1),
    "branch without losses": with_decision("branch", [0], after=None),
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_forged_notebooks_are_refused(name, ended, capsys):
    stages = decided(ended.run)
    assert [stage["stage"] for stage in stages[:4]] == ["rate", "batch_size", "regularization", "run"]
    if "branch" not in [stage["stage"] for stage in stages]:
        stages.append(next(json.loads(s) for s in ended.whole["notebook.jsonl"].splitlines() if b'"branch"' in s))
    forged = NOTEBOOKS[name](stages)
    (ended.run / "notebook.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in forged))
    before = content(ended.run)
    assert_refused(main(["resume", str(ended.run), "--quiet"]), capsys, "notebook")
    assert content(ended.run) == before


WRONG = [None, True, -1, 0.5, 1e300, "", "nonsense", [], [None], {}, {"a": [1]}]


def places(value, path=()):
    """The path of every value inside a JSON value; of a list only its first."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def forged(value, place, wrong):
    value = json.loads(json.dumps(value))
    inside = value
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = wrong
    return value


def read_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def as_lines(stages):
    return "".join(json.dumps(stage) + "\n" for stage in stages)


def few_complaints():
    return complaints(1)


def many_complaints():
    return complaints(4)


def complaints(count):
    """What is wrong with the treatment of a run with so many wrong values at each place of its files, one at a time:
    neither gone on with nor refused in one line."""
    found = {}
    settings = Settings(hidden_layer_sizes=(4,), epochs=3, ensemble=1, monitor=False, batch_stage=True)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        run, other = Path(place) / "run", Path(place) / "forged"
        make_table(N).write_csv(run.with_suffix(".csv"))
        runs.fit_table(run.with_suffix(".csv"), "kind", run, settings=settings)
        (run / "result.json").unlink()
        for file, read, written in (("run.json", json.loads, json.dumps), ("notebook.jsonl", read_lines, as_lines)):
            value, rng = read((run / file).read_text()), np.random.default_rng(3)
            for at in places(value):
                for wrong in rng.choice(np.array(WRONG, object), count, replace=False):
                    shutil.copytree(run, other)
                    (other / file).write_text(written(forged(value, at, wrong)))
                    complaint = complaint_about(other)
                    if complaint is not None:
                        found[f"{file}: {at} = {wrong!r}"] = complaint
                    shutil.rmtree(other)
    return found


def complaint_about(run):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main(["resume", str(run), "--quiet"])
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    good = code == 0 or (code == 2 and len(said.getvalue().splitlines()) == 1)
    return None if good else f"{code} {said.getvalue()}"


@pytest.mark.parametrize("function", [few_complaints, long(many_complaints)])
def test_wrong_values_anywhere_are_refused_in_one_line_or_harmless(function):
    assert plainly.call(function) == {}


def test_what_cannot_be_asked_for_again_is_refused_before_anything_is_written(folder, tmp_path):
    import optax

    settings = Settings(optimizer=optimizers.from_optax(optax.sgd(0.1)), learning_rate="auto")
    with pytest.raises(InputError, match="can't be stored"):
        runs.fit_table(folder / "t.csv", "kind", tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_request_comes_back_as_it_was(name, folder):
    stored = load_json(folder / name / "run.json")
    request = runs.Request.from_json(stored, folder)
    assert storage.plain(request.to_json(stored["rows"])) == stored
    own = Settings((5, 3), activation=("tanh", "relu"), optimizer=optimizers.get("adam"), l2=0.1, epochs=7)
    again = runs.Request("d", "t", "auto", "e", 0, own)
    assert runs.Request.from_json(json.loads(json.dumps(again.to_json(1))), folder) == again
