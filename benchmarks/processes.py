"""Several processes on one machine: `python processes.py [--rounds 5] [--only PARTS] [--times 10]`.

speed      seconds of a step of 100-512-512-512-10 (momentum, a global batch of 1,024) and of an LSTM of 64 units over
           50 steps (256 sequences of 8 features) in one process and in two, each of one thread and on a processor of
           its own; they take turns
compute    seconds of the first of these steps in one process by the rows of its batch
reduction  seconds to add up a vector of so many numbers between two processes, inside a compiled loop
lost       `axonic fit` in two processes: process 1 is killed, process 0 is killed, process 1 is stopped, at random
           moments, so many times each. Whether the other one says which was lost, with code 3; after how long; and
           whether the model that two processes resume is that of a run that nothing has disturbed, bit for bit
"""

import argparse
import filecmp
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Ratio, median, table

ADDRESS = "127.0.0.1"
ONE_THREAD = {"NPROC": "1", "OMP_NUM_THREADS": "1"}
SIZES = (1, 1024, 16_384, 131_072, 583_178, 2_097_152)
TAPES = 14
BATCHES = (16, 128, 512, 1024)


def free_port():
    """A port that nobody listens at."""
    with socket.create_server((ADDRESS, 0)) as server:
        return server.getsockname()[1]


def join(process, processes, port):
    """Meet the others, if there are any."""
    from axonic import distributed

    if processes > 1:
        distributed.join(f"{ADDRESS}:{port}", processes, process)


def step_seconds(kind, process, processes, port):
    """Median seconds of a step, on a processor of its own."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[process]})
    join(process, processes, port)
    from axonic import optimizers, training
    from axonic.data.batches import Batches, Rows, Split
    from axonic.data.ragged import Ragged
    from axonic.settings import Settings, pair

    rng = np.random.default_rng(0)
    if kind != "lstm":
        n, batch = 8192, 1024 if kind == "feed-forward" else int(kind)
        x = rng.standard_normal((n, 100)).astype(np.float32)
        settings = Settings(hidden_layer_sizes=(512, 512, 512))
    else:
        n, batch, length = 2048, 256, 50
        x = Ragged.of(rng.standard_normal((n * length, 8)).astype(np.float32), np.full(n, length))
        settings = Settings(net=kind, hidden_layer_sizes=(64,), activation="tanh")
    y, none = rng.integers(0, 10, n).astype(np.int32), np.empty(0, np.int64)
    network, (loss, _) = settings.network(10), pair(settings, "classification", 10)
    split = Split(np.arange(n), none, none)
    shared = {"devices": processes, "processes": processes, "process": process}
    batches = Batches(Rows(x, y, np.ones(n, np.float32)), split, batch, **shared)
    key = np.zeros(2, np.uint32)
    trial = training.Trial(network, loss, optimizers.Momentum(0.01), 0.0, 0.0, key, looks=0)
    state = training.start(trial, network.init(np.random.default_rng(0), x.shape[1]))
    times, steps = [], []

    def watch(progress):
        times.append(time.perf_counter())
        steps.append(int(np.asarray(progress.state.step)[0]))
        return len(times) == TAPES

    training.train([trial], [state], batches, training.StopRule(10**6, 10**6), watch=watch)
    return median(np.diff(times)[2:] / np.diff(steps)[2:])


def reduction_seconds(_, process, processes, port):
    """Median seconds to add up vectors of `SIZES`."""
    join(process, processes, port)
    import jax
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh, n = Mesh(np.array(jax.devices()), ("rows",)), 50
    place = NamedSharding(mesh, PartitionSpec("rows"))
    one = jax.make_array_from_process_local_data(place, np.ones(1, np.float32))
    found = []
    for size in SIZES:

        def add_up(x, size=size):
            step = lambda _, v: jax.lax.psum(v, "rows") * 0.5  # noqa: E731
            return jnp.sum(jax.lax.fori_loop(0, n, step, jnp.ones(size) * x[0]))[None]

        spec = PartitionSpec("rows")
        run = jax.jit(jax.shard_map(add_up, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))
        times = []
        for _ in range(9):
            begun = time.perf_counter()
            jax.block_until_ready(run(one))
            times.append((time.perf_counter() - begun) / n)
        found.append(median(times[2:]))
    return found


def together(part, kind, processes):
    """What process 0 of so many finds."""
    port = free_port()
    command = [sys.executable, __file__, "--worker", part, kind]
    several = [
        subprocess.Popen(
            [*command, str(i), str(processes), str(port)], stdout=subprocess.PIPE, env=os.environ | ONE_THREAD
        )
        for i in range(processes)
    ]
    output = [process.communicate()[0] for process in several]
    return json.loads(output[0].splitlines()[-1])


def speed(rounds):
    rows = []
    for kind in ("feed-forward", "lstm"):
        alone, both = [], []
        for _ in range(rounds):
            alone.append(together("speed", kind, 1))
            both.append(together("speed", kind, 2))
        rows.append([kind, f"{median(alone) * 1e3:.2f}", f"{median(both) * 1e3:.2f}", str(Ratio.of(alone, both))])
    print(table(["network", "ms a step, one process", "two", "how many times as fast"], rows))


def compute(rounds):
    rows = []
    for batch in BATCHES:
        rows.append([str(batch), f"{median([together('speed', str(batch), 1) for _ in range(rounds)]) * 1e3:.2f}"])
    print(table(["rows", "ms"], rows))


def reduction(rounds):
    every = np.median([together("reduction", "-", 2) for _ in range(rounds)], axis=0)
    print(table(["numbers", "ms"], [[f"{n:,}", f"{t * 1e3:.3f}"] for n, t in zip(SIZES, every, strict=True)]))


def start(command, folder, name, processes=2):
    """The processes of a command, their errors in files."""
    address = f"{ADDRESS}:{free_port()}"
    several = []
    for i in range(processes):
        shared = ["--coordinator", address, "--processes", str(processes), "--process-id", str(i)]
        with (folder / f"{name}-{i}.txt").open("w") as errors:
            words = [sys.executable, "-m", "axonic", *command, "--quiet", *shared]
            several.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors))
    return several


def lost(times):
    from sklearn.datasets import load_breast_cancer

    folder = Path(tempfile.mkdtemp())
    load_breast_cancer(as_frame=True).frame.to_csv(folder / "table.csv", index=False)
    fit = ["fit", str(folder / "table.csv"), "--target", "target", "--ensemble", "2", "--out"]
    begun = time.monotonic()
    assert [process.wait() for process in start([*fit, str(folder / "whole")], folder, "whole")] == [0, 0]
    seconds = time.monotonic() - begun
    rng = random.Random(0)
    rows, bad = [], 0
    for what, victim, number in (
        ("kill -9 of process 1", 1, signal.SIGKILL),
        ("kill -9 of process 0", 0, signal.SIGKILL),
        ("SIGSTOP of process 1", 1, signal.SIGSTOP),
    ):
        said, after, same = 0, [], 0
        for _ in range(times):
            run = folder / "run"
            shutil.rmtree(run, ignore_errors=True)
            processes = start([*fit, str(run)], folder, "lost")
            while not (run / "run.json").exists():
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 0.8 * seconds))
            processes[victim].send_signal(number)
            begun = time.monotonic()
            other = processes[1 - victim]
            code = other.wait(60)
            after.append(time.monotonic() - begun)
            processes[victim].kill()
            processes[victim].wait()
            text = (folder / f"lost-{1 - victim}.txt").read_text()
            line = re.fullmatch(rf"error: process {victim} was lost: [^\n]+\n", text)
            told = code == 0 or (code == 3 and line is not None)  # 0: the run was over
            said += told
            codes = [process.wait(300) for process in start(["resume", str(run)], folder, "again")]
            same += codes == [0, 0] and filecmp.cmp(
                run / "model.safetensors", folder / "whole/model.safetensors", False
            )
            if not told or codes != [0, 0]:
                print(what, code, repr(text[-500:]), codes, (folder / "again-0.txt").read_text()[:300], flush=True)
        rows.append([what, f"{said} of {times}", f"{median(after):.1f} ({max(after):.1f})", f"{same} of {times}"])
        bad += 2 * times - said - same
    print(f"an undisturbed run takes {seconds:.0f} s")
    print(table(["what", "the other says so", "after seconds, median (most)", "resumed bit-identical"], rows))
    shutil.rmtree(folder)
    return bad


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--only", default="speed,compute,reduction,lost")
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        part, kind, process, processes, port = options.worker
        work = {"speed": step_seconds, "reduction": reduction_seconds}[part]
        found = work(kind, int(process), int(processes), port)
        if process == "0":
            print(json.dumps(found), flush=True)
        from axonic import distributed

        distributed.part()
        return
    for part in options.only.split(","):
        print(f"\n{part}\n", flush=True)
        {"speed": speed, "compute": compute, "reduction": reduction, "lost": lost}[part](
            options.times if part == "lost" else options.rounds
        )


if __name__ == "__main__":
    main()
