"""Several processes that train one network: the same weights, one run directory, and a clear end when one is lost."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from axonic import distributed
from axonic.cli import main
from axonic.data.batches import Batches, Cursor, Rows, Split
from axonic.data.ragged import Ragged
from axonic.errors import InputError
from axonic.storage import load_model
from tests.compiling import QUICKLY

QUICK = os.environ | QUICKLY


def address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def start(words, n, folder, environment=QUICK, **others):
    """`n` processes with these words and what tells them of each other; `others` are the words of a single one."""
    place, several = address(), []
    for i in range(n):
        words_here = others.get(f"process_{i}", words)
        own = [*words_here, "--coordinator", place, "--processes", str(n), "--process-id", str(i)]
        with (folder / f"out{i}").open("w") as out, (folder / f"err{i}").open("w") as err:
            several.append(subprocess.Popen([sys.executable, *own], stdout=out, stderr=err, env=environment))
    return several


def ended(processes, folder, seconds=120):
    """Exit codes, and what each has said."""
    codes = [process.wait(seconds) for process in processes]
    return (
        codes,
        [(folder / f"out{i}").read_text() for i in range(len(codes))],
        [(folder / f"err{i}").read_text() for i in range(len(codes))],
    )


# --- the rows of each ---


@pytest.mark.parametrize("kind", ["rows", "sequences"])
@pytest.mark.parametrize(("batch_size", "processes"), [(8, 2), (8, 4), (10, 4)])
def test_the_shares_of_all_are_the_batch_of_one(kind, batch_size, processes):
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 6, 50)
    x = rng.standard_normal((lengths.sum(), 3)).astype(np.float32)
    x = x[:50] if kind == "rows" else Ragged.of(x, lengths)
    rows = Rows(x, rng.integers(0, 3, 50).astype(np.int32), rng.random(50).astype(np.float32))
    split = Split(np.arange(33), np.arange(33, 44), np.arange(44, 50))
    whole, cursor = Batches(rows, split, batch_size, seed=3), Cursor()
    shares = [
        Batches(rows, split, batch_size, seed=3, devices=processes, processes=processes, process=i)
        for i in range(processes)
    ]
    for _ in range(3):
        tape, after = whole.tape(cursor)
        parts = [share.tape(cursor) for share in shares]
        assert {place for _, place in parts} == {after}
        for name in ("segments", "n_segments"):
            assert all(np.array_equal(getattr(part, name), getattr(tape, name)) for part, _ in parts)
        weight = np.concatenate([part.weight for part, _ in parts], axis=1)
        np.testing.assert_array_equal(weight[:, :batch_size], tape.weight)
        assert (weight[:, batch_size:] == 0).all()

        def leaf(tape):
            return tape.x if kind == "rows" else np.where(tape.x.mask[..., None], tape.x.values, 0)

        values = np.concatenate([leaf(part) for part, _ in parts], axis=1)[:, :batch_size]
        np.testing.assert_array_equal(values[tape.weight > 0], leaf(tape)[tape.weight > 0])
        cursor = after


# --- the weights ---

CASES = {
    2: [
        ("feed-forward", "momentum"),
        ("feed-forward", "lbfgs"),
        ("dropped", "adam"),
        ("lstm", "adam"),
        ("lstm", "lbfgs"),
    ],
    4: [("lstm", "adam")],
}
"""Networks and rules by the number of processes."""
CASES[1] = CASES[2]
SCRIPT = """
import sys
import numpy as np
from axonic import distributed
n, i = int(sys.argv[sys.argv.index("--processes") + 1]), int(sys.argv[sys.argv.index("--process-id") + 1])
if n > 1:
    distributed.join(sys.argv[sys.argv.index("--coordinator") + 1], n, i)
import jax
from axonic import layers, losses, optimizers, training
from axonic.data.batches import Batches, Rows, Split
from axonic.data.ragged import Ragged

rng, rows = np.random.default_rng(0), 192
lengths = rng.integers(2, 7, rows)
steps = rng.standard_normal((lengths.sum(), 3)).astype(np.float32)
flat = rng.standard_normal((rows, 3)).astype(np.float32)
y = np.sin(flat[:, :1]).astype(np.float32)
split = Split(np.arange(160), np.arange(160, 180), np.arange(180, rows))
kinds = {
    "feed-forward": (flat, [layers.dense(8, "tanh"), layers.dense(1)]),
    "dropped": (flat, [layers.dense(8, "tanh"), layers.dropout(0.2), layers.dense(1)]),
    "lstm": (Ragged.of(steps, lengths), [layers.lstm(8), layers.last_step(), layers.dense(1)]),
}
rules = {"momentum": optimizers.Momentum(0.05), "adam": optimizers.Adam(0.01), "lbfgs": optimizers.LBFGS()}
found = {}
for kind, (x, stack) in kinds.items():
    network = layers.chain(*stack)
    params = network.init(np.random.default_rng(0), 3)
    for name, rule in rules.items():
        if f"{kind} {name}" not in sys.argv[2].split(","):
            continue
        data = Rows(x, y, np.ones(rows, np.float32))
        trial = training.Trial(network, losses.squared_error, rule, 1e-3, 0.0, np.zeros(2, np.uint32), looks=0)
        batches = Batches(data, split, 16, 0, devices=n, processes=n, process=i)
        epochs = 10  # of ten batches
        stop = training.StopRule(epochs, epochs + 1)
        (state,), _, _ = training.train([trial], [training.start(trial, params)], batches, stop)
        assert int(state.step) == (10 if rule.full_batch else 100)
        found[f"{kind} {name}"] = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(state.params)])
    found[kind] = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
np.savez(f"{sys.argv[1]}/{n}-{i}.npz", **found)
distributed.part()
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    (folder / "script.py").write_text(SCRIPT)
    for n, cases in CASES.items():
        words = [str(folder / "script.py"), str(folder), ",".join(map(" ".join, cases))]
        codes, _, said = ended(start(words, n, folder), folder, 240)
        assert codes == [0] * n, said
    return {(n, i): np.load(folder / f"{n}-{i}.npz") for n in (1, 2, 4) for i in range(n)}


@pytest.mark.parametrize(("processes", "kind", "rule"), [(n, *case) for n in (2, 4) for case in CASES[n]])
def test_steps_give_the_weights_of_one_process(weights, kind, rule, processes):
    """After a hundred steps, of L-BFGS after ten: there a difference in the last bit grows tenfold every ten steps and
    more, in float64 as well."""
    alone = weights[1, 0]
    name = f"{kind} {rule}"
    assert np.abs(alone[name] - alone[kind]).max() > 0.05
    for i in range(processes):
        np.testing.assert_array_equal(weights[processes, i][name], weights[processes, 0][name])
        apart = np.abs(weights[processes, i][name] - alone[name]).max()
        assert apart < (1e-5 if rule == "lbfgs" else 1e-6)


# --- whole runs ---


def table(folder, n=300):
    """Numbers, text and gaps."""
    rng = np.random.default_rng(0)
    x, word = rng.standard_normal((n, 3)), rng.integers(0, 3, n)
    lines = ["a,b,c,word,y"]
    for row, k in zip(x, word, strict=True):
        a = "" if rng.random() < 0.1 else f"{row[0]:.6f}"
        lines.append(f"{a},{row[1]:.6f},{row[2]:.6f},w{k},{'yes' if row[1] + k > 1 else 'no'}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


BRIEF = [
    "--learning-rate",
    "0.01",
    "--epochs",
    "2",
    "--ensemble",
    "1",
    "--batch-size",
    "32",
    "--regularization",
    "none",
    "--quiet",
    "--no-monitor",
]


def fit(path, out, *options):
    return ["-m", "axonic", "fit", str(path), "--target", "y", "--hidden", "8", "--out", str(out), *options]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The whole recipe in one process, in two, and in two from disk, with what they have said."""
    folder = tmp_path_factory.mktemp("runs")
    path = table(folder)
    quick = QUICK | {"TMPDIR": str(folder)}
    recipe = ["--ensemble", "2", "--batch-size", "32", "--epochs", "30"]
    assert main(fit(path, folder / "one", *recipe, "--quiet")[2:]) == 0
    found = {}
    for name, options in (("two", [*recipe, "--json"]), ("stream", ["--stream", *BRIEF])):
        codes, out, err = ended(start(fit(path, folder / name, *options), 2, folder, quick), folder)
        assert codes == [0, 0], err
        found[name] = out, err
    return folder, found


def test_a_run_of_two_processes_is_that_of_one(both):
    folder, _ = both
    one, two = (json.loads((folder / name / "result.json").read_text()) for name in ("one", "two"))
    assert (two["processes"], "processes" in one) == (2, False)
    for name in ("learning_rate", "batch_size", "networks", "n_train", "n_valid", "n_test"):
        assert one[name] == two[name]
    assert two["test"]["loss"] == pytest.approx(one["test"]["loss"], abs=0.02)
    assert [f["code"] for f in one["findings"]] == [f["code"] for f in two["findings"]]
    assert {path.name for path in (folder / "one").iterdir()} == {path.name for path in (folder / "two").iterdir()}


def test_only_the_first_process_speaks_and_writes(both):
    folder, said = both
    out, err = said["two"]
    assert json.loads(out[0])["run"] == str(folder / "two")
    assert "learning rate" in err[0]
    assert (out[1], err[1]) == ("", "")
    assert not list(folder.glob("axonic-*"))


def test_a_table_read_in_parts_by_two_processes(both):
    folder, _ = both
    result = json.loads((folder / "stream" / "result.json").read_text())
    assert result["n_train"] + result["n_valid"] + result["n_test"] == 300
    assert main(["evaluate", str(folder / "stream"), str(folder / "t.csv"), "--json"]) == 0
    assert main(["export", str(folder / "two"), "--onnx", str(folder / "two.onnx")]) == 0


# --- the loss of a process ---

LONG = ["--learning-rate", "0.01", "--epochs", "3000", "--ensemble", "1", "--batch-size", "8", "--quiet"]
LOSSES = [(1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGSTOP)]


@pytest.mark.parametrize(("victim", "number"), LOSSES, ids=lambda v: str(getattr(v, "name", v)))
def test_a_lost_process_is_named_and_the_run_goes_on(tmp_path, victim, number):
    path = table(tmp_path, 100)
    processes = start(fit(path, tmp_path / "run", *LONG, "--budget", "25"), 2, tmp_path)
    while not (tmp_path / "run" / "run.json").exists():
        assert all(process.poll() is None for process in processes), ended(processes, tmp_path)
        time.sleep(0.1)
    time.sleep(4)
    processes[victim].send_signal(number)
    begun = time.monotonic()
    assert processes[1 - victim].wait(60) == distributed.LOST
    assert time.monotonic() - begun < 30
    processes[victim].kill()
    processes[victim].wait()
    line = f"error: process {victim} was lost: killed, or silent for 10 s: start all processes again, with axonic"
    assert re.fullmatch(rf"{line} [^\n]+\n", (tmp_path / f"err{1 - victim}").read_text())
    assert main(["resume", str(tmp_path / "run"), "--quiet", "--budget", "2"]) == 0  # in one process
    assert load_model(tmp_path / "run").info


def test_a_process_that_ends_with_an_error_says_why_to_the_others(tmp_path):
    path = table(tmp_path)
    wrong = fit(tmp_path / "none.csv", tmp_path / "run", "--quiet")
    codes, _, err = ended(start(fit(path, tmp_path / "run", "--quiet"), 2, tmp_path, process_1=wrong), tmp_path)
    assert codes == [distributed.LOST, 2]
    assert err[1].startswith("error: no such file")
    assert err[0].startswith("error: process 1 has ended: no such file")
    assert err[0].count("\n") == 1


STUCK = """
import sys, time
from axonic import distributed
distributed.STUCK_SECONDS, distributed.LOOK_SECONDS = 3.0, 0.5
i = int(sys.argv[-1])
distributed.join(sys.argv[-5], 2, i)
with distributed.training() as begins:
    begins()
    begins() if i == 0 else None
    if i:
        time.sleep(60)
    distributed.agreed(False)
"""


def test_a_process_that_is_alive_and_stuck_is_named(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    processes = start([str(tmp_path / "stuck.py")], 2, tmp_path)
    assert processes[0].wait(60) == distributed.LOST
    assert (tmp_path / "err0").read_text().startswith("error: process 1 has not gone on for 3 s: start all")
    processes[1].kill()
    processes[1].wait()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--processes", "2"], "--process-id is missing"),
        (["--process-id", "0"], "--processes is missing"),
        (["--coordinator", "127.0.0.1:1"], "--processes is missing"),
        (["--processes", "0", "--process-id", "0"], "0 processes are impossible"),
        (["--processes", "2", "--process-id", "2"], "there is no process 2"),
        (["--processes", "2", "--process-id", "0", "--coordinator", "here"], "'here' is no address"),
        (["--processes", "2", "--process-id", "0", "--coordinator", "127.0.0.1:99999"], "is no address"),
        (["--processes", "2", "--process-id", "0", "--coordinator", "127.0.0.1:0"], "is no address"),
        (["--processes", "2", "--process-id", "0", "--coordinator", "203.0.113.1:80"], "can't listen there"),
        (["--processes", "2", "--process-id", "1", "--coordinator", "nowhere.invalid:80"], "no such host"),
    ],
)
def test_what_can_not_be_is_said_in_one_line(tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.setattr(distributed, "RESOLVE_SECONDS", 1)
    assert main(["fit", str(table(tmp_path)), "--target", "y", "--out", str(tmp_path / "run"), *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_cluster_that_tells(tmp_path):
    """What SLURM sets for each process of a job is all that is needed."""
    job = int(address().rsplit(":", 1)[1])  # of which JAX makes a port
    command = [sys.executable, *fit(table(tmp_path), tmp_path / "run", "--distributed", *BRIEF)]
    of_job = {"SLURM_JOB_ID": str(job), "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    several = []
    for i in range(2):
        own = {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}
        several.append(subprocess.Popen(command, env=QUICK | of_job | own, stderr=subprocess.PIPE, text=True))
    assert [process.communicate()[1] for process in several] == ["", ""]
    assert [process.returncode for process in several] == [0, 0]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["processes"] == 2


def test_a_cluster_that_tells_nothing(tmp_path):
    command = [sys.executable, *fit(table(tmp_path), tmp_path / "run", "--distributed")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the cluster does not tell how many processes there are")
    assert done.stderr.count("\n") == 1


def test_alone_nothing_is_asked():
    assert (distributed.count(), distributed.index(), distributed.agreed(True), distributed.added(-1)) == (
        *(1, 0, True),
        (1 << 64) - 1,
    )
    with pytest.raises(InputError, match="is no address"):
        distributed.join("x", 2, 0)


@pytest.fixture
def hears_ctrl_c():
    """Where a shell starts something in the background, the signal is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_ctrl_c")
def test_what_is_done_side_by_side_hears_ctrl_c():
    ended, heard = threading.Event(), []

    def work(index):
        if index == 0 and not ended.wait(0.5):  # the others have begun
            os.kill(os.getpid(), signal.SIGINT)
        heard.append(ended.wait(20))

    with pytest.raises(KeyboardInterrupt):
        distributed.side_by_side(work, range(5), ended.set)
    assert heard
    assert all(heard)


def test_what_is_done_side_by_side_ends_with_the_first_that_fails():
    ended = threading.Event()

    def work(index):
        if index:
            raise ValueError(index)
        return ended.wait(20)

    with pytest.raises(ValueError, match="1"):
        distributed.side_by_side(work, range(2), ended.set)
    assert ended.is_set()
    assert distributed.side_by_side(str, range(3)) == ["0", "1", "2"]
