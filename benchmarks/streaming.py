"""Tables larger than memory: `python streaming.py [--folder DIR] [--rounds 5] [--short]`.

The table is HIGGS-shaped: 28 numbers of a noisy function's two classes, float32, Parquet, made here.

memory   `axonic fit --stream --epochs 1` on 2 and on 20 million rows: peak resident memory, seconds by phase, against
         the size of the table
speed    rows trained a second by the same compiled program, 28-64-64-1 with batches of 128: from the file of 20
         million rows on disk, and from its first million in memory; nothing is held out; the two take turns
shuffle  what the order costs on rows sorted by their class, the worst case: validation loss after one pass from disk,
         and in memory in a full shuffle, several seeds

The folder takes 6 GB; by default it is a temporary one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from harness import Ratio, Worker, median, table, take_turns

COLUMNS, BATCH, RATE = 28, 128, 0.1
TARGET = "label"


def write_table(path, n):
    """n rows, a million at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, w = np.random.default_rng(0), np.random.default_rng(1).standard_normal((COLUMNS, 8)).astype(np.float32)
    writer = None
    for start in range(0, n, 1 << 20):
        m = min(1 << 20, n - start)
        x = rng.standard_normal((m, COLUMNS), dtype=np.float32)
        score = np.tanh(x @ w).sum(axis=1) + rng.standard_normal(m, dtype=np.float32)
        part = pa.table({TARGET: (score > 0).astype(np.int8), **{f"f{i}": x[:, i] for i in range(COLUMNS)}})
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    writer.close()


def fit(path, out):
    """(peak in bytes, result) of the command."""
    options = ["--target", TARGET, "--stream", "--epochs", "1", "--batch-size", str(BATCH), "--json", "--quiet"]
    command = [sys.executable, "-m", "axonic", "fit", str(path), *options, "--out", str(out)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"axonic fit ended with status {status}")
        output.seek(0)
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), json.load(output)


def parts(path, n=None):
    """A sample, what is stored, and all of it in memory if n is given."""
    from axonic.data.batches import Rows, Split
    from axonic.data.encoding import TableEncoder
    from axonic.data.reading import Blocks
    from axonic.data.schema import infer_schema
    from axonic.data.store import Store, draw
    from axonic.data.targets import TargetEncoder

    none = np.empty(0, np.int64)
    if n is not None:
        frame = pl.scan_parquet(path).head(n).collect()
        schema = infer_schema(frame, TARGET)
        encoder, target = TableEncoder.fit(frame, schema), TargetEncoder.fit(frame[TARGET], schema.task)
        rows = Rows(encoder.transform(frame), target.transform(frame[TARGET]), np.ones(len(frame), np.float32))
        return rows, Split(np.arange(len(frame)), none, none), None
    blocks = Blocks(path)
    drawn, schema = draw(blocks, TARGET, 0).judged(TARGET, "auto")
    encoder = TableEncoder.fit(drawn.frame, schema)
    target = TargetEncoder.fit(drawn.frame[TARGET], schema.task)
    y = target.transform(drawn.frame[TARGET])
    rows = Rows(encoder.transform(drawn.frame), y, np.ones(len(y), np.float32))
    split = Split(np.arange(len(y)), none, none)
    return rows, split, Store.write(blocks, drawn, rows, split, schema, encoder, target, Path(path).parent)


def one_pass(rows, split, store, seed=0):
    """A function that trains for one pass and returns (rows, weights)."""
    from axonic import layers, losses, optimizers, training
    from axonic.data.batches import Batches

    network = layers.chain(layers.dense(64, "relu"), layers.dense(64, "relu"), layers.dense(1))
    trial = training.Trial(network, losses.cross_entropy, optimizers.Momentum(RATE), 0.0, 0.0, np.zeros(2, np.uint32))
    params = network.init(np.random.default_rng(seed), rows.x.shape[1])
    batches = Batches(rows, split, BATCH, seed)
    batches = batches if store is None else store.batches(batches)
    n = len(split.train) if store is None else store.n_train

    def run():
        state = training.start(trial, params)
        (state,), _, _ = training.train([trial], [state], batches, training.StopRule(1, 2))
        return n, state.params

    return run, (network, losses.cross_entropy)


def make_stored(path):
    run, _ = one_pass(*parts(path))
    return lambda: run()[0]


def make_in_memory(path, n):
    run, _ = one_pass(*parts(path, n))
    return lambda: run()[0]


def memory(files, folder):
    rows = []
    for n, path in files.items():
        peak, result = fit(path, folder / "run")
        seconds = result["seconds_by_phase"]
        spent = ", ".join(f"{name} {seconds[name]:.1f}" for name in ("reading", "storing", "train"))
        rows.append([f"{n / 1e6:g} million", f"{4 * COLUMNS * n / 1e6:.0f}", f"{peak / 1e6:.0f}", spent])
    print(table(["rows", "MB as float32", "peak MB", "seconds"], rows), flush=True)


def speed(path, n_in_memory, rounds):
    workers = {
        "in memory": Worker(make_in_memory, path, n_in_memory),
        "stored": Worker(make_stored, path),
    }
    results = take_turns(workers, rounds)
    for worker in workers.values():
        worker.close()
    rates = {name: [one.value / one.seconds for one in each] for name, each in results.items()}
    for name, each in rates.items():
        print(f"{name}: {median(each) / 1e6:.2f} million rows a second")
    print(f"stored over in memory: {Ratio.of(rates['stored'], rates['in memory'])}", flush=True)


def shuffle(folder, n, seeds):
    import jax.numpy as jnp

    path = folder / "sorted.parquet"
    write_table(path, n)
    pl.read_parquet(path).sort(TARGET).write_parquet(path)
    held = folder / "held.parquet"
    write_table(held, n + 100_000)
    rows, _, store = parts(path)
    everything, split, _ = parts(path, n)
    valid = parts(held, n + 100_000)[0]
    x, y = valid.x[n:], valid.y[n:]
    found = {"stored": [], "in memory, full shuffle": []}
    for seed in range(seeds):
        for name, given in (
            ("stored", (rows, split, store)),
            ("in memory, full shuffle", (everything, split, None)),
        ):
            run, (network, loss) = one_pass(*given, seed=seed)
            z, _ = network.forward(run()[1], jnp.asarray(x))
            found[name].append(float(loss.value(z, jnp.asarray(y)).mean()))
    store.close()
    for name, losses in found.items():
        print(f"{name}: log-loss {np.mean(losses):.4f} (deviation of {seeds} seeds {np.std(losses, ddof=1):.4f})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="a hundredth of the rows, to see that it runs")
    arguments = parser.parse_args()
    size = 100 if arguments.short else 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        files = {n // size: folder / f"{n // size}.parquet" for n in (2_000_000, 20_000_000)}
        for n, path in files.items():
            if not path.exists():
                write_table(path, n)
        memory(files, folder)
        speed(files[20_000_000 // size], 1_000_000 // size, 2 if arguments.short else arguments.rounds)
        shuffle(folder, 1_000_000 // size, 2 if arguments.short else 5)


if __name__ == "__main__":
    main()
