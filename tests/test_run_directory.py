"""Run directories: whole files at every instant, read back as written, refused in one line when they are damaged."""

import json
import os

import jax
import numpy as np
import polars as pl
import pytest

from axonic import layers, losses, optimizers, storage, training
from axonic.data.batches import Cursor
from axonic.errors import InputError
from axonic.health import COLUMNS
from axonic.recipe import Kept
from axonic.run_directory import RunDirectory, claimed
from axonic.storage import load_model
from tests.test_storage import N_IN, PICKLE, failing, make_model, names

REQUEST = {"data": "/tables/t.csv", "settings": {"seed": 0}, "rows": 7}
JOB = "adam-0.01-32-0.001-0"
STAGE = {"stage": "run", "decision": [3], "reason": "stopped"}
HISTORY = {"epoch": np.array([1]), "train_loss": np.array([0.5])}


def make_state(units=4, steps=0, rule="adam"):
    """A state of training, with numbers of its own."""
    network = layers.chain(layers.dense(units, "tanh"), layers.dense(2))
    params = network.init(np.random.default_rng(units), N_IN)
    trial = training.Trial(network, losses.log_likelihood, optimizers.get(rule), 0.0, 0.0, np.zeros(2, np.uint32))
    state = training.start(trial, params)
    return jax.tree.map(lambda leaf: (leaf + np.asarray(steps)).astype(leaf.dtype), state)


def make_kept(steps=0, cursor=(1, 0), **kwargs):
    """A network under way that has closed that many epochs."""
    state = make_state(steps=steps, **kwargs)
    history = np.random.default_rng(steps).random((int(state.epoch), len(training.HISTORY)), np.float32)
    health = np.random.default_rng(steps).random((3, 2, len(COLUMNS)), np.float32)
    return Kept(state, Cursor(*cursor), history, health)


def make_run(path, **kwargs):
    """A run directory that has begun, with a checkpoint."""
    run = RunDirectory(path)
    run.begin(REQUEST)
    run.save_checkpoint(JOB, make_kept(**kwargs))
    return run


def assert_same_kept(one, other):
    assert one.cursor == other.cursor
    np.testing.assert_array_equal(one.history, other.history)
    assert one.history.dtype == other.history.dtype
    assert jax.tree.structure(one.state) == jax.tree.structure(other.state)
    for a, b in zip(jax.tree.leaves(one.state), jax.tree.leaves(other.state), strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.shape(a) == np.shape(b)


# --- begin, clear, discard ---


def test_what_is_asked_for_comes_back_as_it_was(tmp_path):
    RunDirectory(tmp_path / "run").begin(REQUEST)
    assert RunDirectory(tmp_path / "run").run() == REQUEST
    assert names(tmp_path) == ["run/run.json"]


def make_everything(path):
    """A run directory with all files of a run, and some of the user's own."""
    run = make_run(path)
    run.save_checkpoint("branch-0.001-3", make_kept())
    run.save_notebook([STAGE])
    run.finish([HISTORY], [], storage.model_file(make_model()), {})
    (path / "notes.txt").write_text("mine")
    (path / "checkpoints" / "mine.txt").write_text("mine")
    (path / "other.safetensors").write_bytes(b"mine")
    (path / ".settings.abcdefgh").write_text("mine")
    (path / "mine").mkdir()
    (path / "mine" / ".run.json.12345678").write_text("mine")
    return run


THEIRS = [".settings.abcdefgh", "checkpoints/mine.txt", "mine/.run.json.12345678", "notes.txt", "other.safetensors"]


def test_beginning_takes_away_the_files_of_an_earlier_run_and_no_others(tmp_path):
    make_everything(tmp_path)
    assert len(names(tmp_path)) == 8 + len(THEIRS)
    RunDirectory(tmp_path).begin(REQUEST)
    assert names(tmp_path) == sorted([*THEIRS, "run.json"])


@pytest.mark.parametrize("name", ["history.csv", "report.html", "model.safetensors"])
def test_files_that_are_no_runs_are_not_replaced(name, tmp_path):
    """A table may be called history.csv, and its folder be named with --out."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"the folder holds {name}"):
        RunDirectory(tmp_path).begin(REQUEST)
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_beginning_takes_away_what_a_kill_left_under_a_temporary_name(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in (".model.safetensors.x1y2z3_a", ".run.json.abcdefgh", f"checkpoints/.{JOB}.safetensors.abcdefgh"):
        (tmp_path / name).write_bytes(b"half a file")
    RunDirectory(tmp_path).begin(REQUEST)
    assert names(tmp_path) == ["run.json"]


def test_the_result_is_the_first_to_go(tmp_path, monkeypatch):
    """A result.json says that everything else is there: at no instant of `begin` is it alone."""
    before = [
        "health.csv",
        "history.csv",
        "model.safetensors",
        "notebook.jsonl",
        "report.json",
        "result.json",
        "run.json",
    ]
    everything = [*before, "report.html"]
    for name in everything:
        (tmp_path / name).write_bytes(b"old")
    unlink = os.unlink

    def watching(path, *args, **kwargs):
        unlink(path, *args, **kwargs)
        assert "result.json" not in names(tmp_path) or set(names(tmp_path)) >= set(before)

    monkeypatch.setattr(os, "unlink", watching)
    RunDirectory(tmp_path).begin(REQUEST)
    assert names(tmp_path) == ["run.json"]


def test_a_new_request_is_never_beside_the_files_of_an_earlier_run(tmp_path, monkeypatch):
    """Or the new run would be resumed with what the earlier one has decided."""
    make_everything(tmp_path)
    earlier = (tmp_path / "run.json").read_bytes()
    seen = []

    def watching(function):
        def watched(*args, **kwargs):
            result = function(*args, **kwargs)
            if (tmp_path / "run.json").exists() and (tmp_path / "run.json").read_bytes() != earlier:
                seen.append(names(tmp_path))
            return result

        return watched

    for name in ("replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, watching(getattr(os, name)))
    RunDirectory(tmp_path).begin({**REQUEST, "rows": 8})
    assert seen
    assert all(files == sorted([*THEIRS, "run.json"]) for files in seen)


def test_a_run_needs_a_folder_it_can_write_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError) as error:
            RunDirectory(path).begin(REQUEST)
        assert "\n" not in str(error.value)
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", failing(30))
        with pytest.raises(InputError, match="read-only"):
            RunDirectory(tmp_path / "new" / "run").begin(REQUEST)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing(28))
        with pytest.raises(InputError, match="no space"):
            RunDirectory(tmp_path / "new" / "run").begin(REQUEST)
    assert names(tmp_path) == ["file"]
    assert not (tmp_path / "new" / "run").exists()


def test_discarding_takes_away_what_was_made_and_holds_nothing_of_a_run(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.begin(REQUEST)
    run.discard()
    assert not (tmp_path / "run").exists()

    run = RunDirectory(tmp_path / "run")
    run.begin(REQUEST)
    run.save_notebook([])
    run.discard()
    assert names(tmp_path) == ["run/notebook.jsonl", "run/run.json"]

    run = make_run(tmp_path / "other")
    run.discard()
    assert names(tmp_path / "other") == [f"checkpoints/{JOB}.safetensors", "run.json"]

    (tmp_path / "theirs").mkdir()
    run = RunDirectory(tmp_path / "theirs")
    run.begin(REQUEST)
    run.discard()
    assert (tmp_path / "theirs").is_dir()


def test_a_folder_that_is_claimed_is_ones_own_and_leaves_nothing_when_it_is_empty(tmp_path):
    place = tmp_path / "runs" / "t"
    with claimed(place, numbered=True) as one, claimed(place, numbered=True) as other:
        assert (one.name, other.name) == ("t-1", "t-2")
        RunDirectory(other).begin(REQUEST)
        with pytest.raises(InputError, match="another run is at work in this folder"), claimed(one):
            pass
        assert one.is_dir()
    assert names(tmp_path) == ["runs/t-2/run.json"]
    assert not (tmp_path / "runs" / "t-1").exists()
    with claimed(tmp_path / "a" / "b") as run:
        directory = RunDirectory(run)
        directory.begin(REQUEST)
        directory.discard()
        assert names(run) == []
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write: not a directory"), claimed(tmp_path / "file" / "run"):
        pass


# --- checkpoints ---


def test_checkpoints_come_back_as_they_were(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.begin(REQUEST)
    assert run.load_checkpoint("a", make_kept()) is None
    for steps, job in ((1, "a"), (2, "b"), (3, "a")):
        run.save_checkpoint(job, make_kept(steps, (10 + steps, steps)))
    for job, steps in (("a", 3), ("b", 2)):
        assert_same_kept(run.load_checkpoint(job, make_kept()), make_kept(steps, (10 + steps, steps)))
    assert run.load_checkpoint("c", make_kept()) is None


def test_names_of_jobs_become_names_of_files(tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    for steps, job in enumerate(("../../away", "a b", "branch-1e-05-0", "ü")):
        run.save_checkpoint(job, make_kept(steps))
        assert_same_kept(run.load_checkpoint(job, make_kept()), make_kept(steps))
    assert all(name.count("/") == 1 for name in names(tmp_path) if name != "run.json")
    run.save_checkpoint("a b", make_kept(1))
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        run.load_checkpoint("a_b", make_kept())


def test_a_state_on_the_device_is_saved_like_one_in_memory(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.begin(REQUEST)
    kept = make_kept(5)
    run.save_checkpoint(JOB, kept._replace(state=jax.tree.map(jax.numpy.asarray, kept.state)))
    assert_same_kept(run.load_checkpoint(JOB, make_kept()), kept)


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_a_checkpoint_that_fails_leaves_the_one_before(where, tmp_path, monkeypatch):
    run = make_run(tmp_path / "run", steps=1)
    files = names(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(where, failing(28))
        with pytest.raises(InputError, match="no space"):
            run.save_checkpoint(JOB, make_kept(2, (2, 0)))
    assert names(tmp_path) == files
    assert_same_kept(run.load_checkpoint(JOB, make_kept()), make_kept(1))


def test_there_is_a_whole_checkpoint_at_every_instant(tmp_path, monkeypatch):
    """Whenever a name changes, one complete checkpoint is there, and no more than two files."""
    run = make_run(tmp_path / "run", steps=1)
    seen = []

    def look():
        state, _, history, _ = RunDirectory(tmp_path / "run").load_checkpoint(JOB, make_kept())
        seen.append(int(state.step.max()))
        assert len(history) == state.epoch
        assert len(names(tmp_path / "run" / "checkpoints")) <= 2

    def watching(function):
        def watched(*args, **kwargs):
            look()
            result = function(*args, **kwargs)
            look()
            return result

        return watched

    for name in ("replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, watching(getattr(os, name)))
    for steps in (2, 3, 4):
        run.save_checkpoint(JOB, make_kept(steps))
    assert set(seen) == {1, 2, 3, 4}
    assert seen == sorted(seen)
    assert names(tmp_path / "run") == [f"checkpoints/{JOB}.safetensors", "run.json"]


@pytest.mark.usefixtures("nothing_runs")
def test_damaged_checkpoints_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (path,) = (tmp_path / "run").rglob("*.safetensors")
    content = path.read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:-1], PICKLE, content.replace(b"axonic", b"atomic")):
        path.write_bytes(damaged)
        with pytest.raises(InputError) as error:
            run.load_checkpoint(JOB, make_kept())
        assert "\n" not in str(error.value)
        assert str(error.value).startswith("not a whole checkpoint: ")
        assert error.value.how == "start the run afresh"


CURSORS = [None, [], [1], [1, 2, 3], ["a", 0], [-1, 0], [0, -1], [0.5, 0], [True, 0], {}, [[0], 0], [1e300, 0]]


@pytest.mark.parametrize("cursor", CURSORS, ids=repr)
def test_a_checkpoint_that_stands_nowhere_is_refused(cursor, tmp_path):
    run = make_run(tmp_path)
    kept = make_kept()
    tree = {"state": kept.state, "history": kept.history, "health": kept.health}
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(storage.pack(tree, {"job": JOB, "cursor": [0, 0]}))
    assert_same_kept(run.load_checkpoint(JOB, make_kept()), kept._replace(cursor=Cursor(0, 0)))
    path.write_bytes(storage.pack(tree, {"job": JOB, "cursor": cursor}))
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        run.load_checkpoint(JOB, make_kept())


HISTORIES = {
    "too short": lambda history: history[:-1],
    "too long": lambda history: np.concatenate([history, history]),
    "a column less": lambda history: history[:, :-1],
    "flat": lambda history: history.ravel(),
    "of another type": lambda history: history.astype(np.float64),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_checkpoint_with_the_history_of_another_is_refused(name, tmp_path):
    run = make_run(tmp_path)
    kept = make_kept(3)
    run.save_checkpoint(JOB, kept._replace(history=HISTORIES[name](kept.history)))
    with pytest.raises(InputError, match="not a checkpoint of this run"):
        run.load_checkpoint(JOB, make_kept())


def test_numbers_of_a_checkpoint_keep_their_shape(tmp_path):
    """Scalars come back as arrays of one, with which no run can go on."""
    run = make_run(tmp_path, steps=1)
    state, _, _, _ = run.load_checkpoint(JOB, make_kept())
    assert np.shape(state.step) == np.shape(make_state().step) == ()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run = make_run(tmp_path, units=4)
    with pytest.raises(InputError):
        run.load_checkpoint(JOB, make_kept(units=5))


def test_a_checkpoint_without_its_place_is_refused(tmp_path):
    run = make_run(tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes().replace(b"cursor", b"cursed"))
    with pytest.raises(InputError):
        run.load_checkpoint(JOB, make_kept())


def test_a_checkpoint_of_another_rule_is_refused(tmp_path):
    run = make_run(tmp_path, rule="adam")
    with pytest.raises(InputError):
        run.load_checkpoint(JOB, make_kept(rule="momentum"))


# --- what others read ---


def test_history_and_notebook_can_be_read_by_others(tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    losses_of_epochs = np.array([1.0, np.nan, 1 / 3])
    first = {"epoch": np.arange(1, 4), "valid_loss": losses_of_epochs}
    second = {"epoch": np.arange(1, 3), "valid_loss": losses_of_epochs[1:]}
    stages = [
        {"stage": "rate", "rates": np.array([1.0, np.inf]), "decision": np.float32(0.1), "reason": "low"},
        {"stage": "run", "decision": np.array([3, 2]), "reason": "naïve\nlines"},
    ]
    run.save_notebook(stages)
    run.finish([first, second], [], storage.model_file(make_model()), {"test": {"loss": np.nan}})
    assert names(tmp_path) == [
        "health.csv",
        "history.csv",
        "model.safetensors",
        "notebook.jsonl",
        "result.json",
        "run.json",
    ]
    frame = pl.read_csv(tmp_path / "history.csv")
    assert frame.columns == ["network", "epoch", "valid_loss"]
    assert frame["network"].to_list() == [1, 1, 1, 2, 2]
    assert frame["epoch"].to_list() == [1, 2, 3, 1, 2]
    assert frame["valid_loss"].to_list() == [1.0, None, 1 / 3, None, 1 / 3]

    lines = (tmp_path / "notebook.jsonl").read_text(encoding="utf-8").splitlines()
    plain = [
        {"stage": "rate", "rates": [1.0, None], "decision": float(np.float32(0.1)), "reason": "low"},
        {"stage": "run", "decision": [3, 2], "reason": "naïve\nlines"},
    ]
    assert [json.loads(line) for line in lines] == plain == run.notebook()
    assert run.result() == {"test": {"loss": None}}
    assert len(load_model(tmp_path).members) == 2


def test_a_notebook_that_is_read_and_written_is_the_same(tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    assert run.notebook() == []
    assert run.result() is None
    run.save_notebook([])
    assert run.notebook() == []
    numbers = np.random.default_rng(0).standard_normal(50) * 10.0 ** np.arange(-25, 25)
    run.save_notebook([{**STAGE, "losses": numbers, "single": numbers.astype(np.float32), "Ä": "\u2028"}])
    content = (tmp_path / "notebook.jsonl").read_bytes()
    run.save_notebook(run.notebook())
    assert (tmp_path / "notebook.jsonl").read_bytes() == content


def test_what_was_decided_without_all_the_evidence_is_not_gone_on_with(tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    run.save_notebook([STAGE, {**STAGE, "interrupted": True}, STAGE])
    assert run.notebook() == [STAGE]


NOTEBOOKS = {
    "junk": b"\x00\xff\xfe" * 30,
    "text": b"rate 0.1\n",
    "a list": b"[]\n",
    "a number": b"7\n",
    "null": b"null\n",
    "no stage": b'{"decision": 1, "reason": ""}\n',
    "no decision": b'{"stage": "run", "reason": ""}\n',
    "no reason": b'{"stage": "run", "decision": 1}\n',
    "cut short": (json.dumps(STAGE) + "\n" + json.dumps(STAGE)[:-5]).encode(),
    "deep": b"[" * 100_000,
    "a pickle": PICKLE,
}


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.usefixtures("nothing_runs")
def test_damaged_notebooks_are_refused(name, tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    (tmp_path / "notebook.jsonl").write_bytes(NOTEBOOKS[name])
    with pytest.raises(InputError) as error:
        run.notebook()
    assert "\n" not in str(error.value)
    assert "notebook.jsonl" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, PICKLE], ids=repr)
@pytest.mark.usefixtures("nothing_runs")
def test_other_damaged_files_are_refused(content, tmp_path):
    run = RunDirectory(tmp_path)
    run.begin(REQUEST)
    for name, read in (("run.json", run.run), ("result.json", run.result)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as error:
            read()
        assert "\n" not in str(error.value)
        assert name in str(error.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=r"no run\.json in this folder"):
            RunDirectory(path).run()
    assert names(tmp_path) == []
