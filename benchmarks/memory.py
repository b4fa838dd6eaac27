"""Memory and the split of the time on a large table: `axonic fit` for one epoch on a CSV of a million rows.

    python benchmarks/memory.py [--rows N] [--columns N]

The peak is the operating system's count of the process's resident memory, Python and all libraries included. It is held
against five times the size of the table's inputs in float32.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness

MOST_TIMES_FLOAT32 = 5


def write_table(path: str, rows: int, columns: int) -> None:
    """A CSV of normal numbers with six digits, and a target that is a noisy function of them."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    y = np.tanh(x @ rng.standard_normal(columns, dtype=np.float32)) + 0.1 * rng.standard_normal(rows, dtype=np.float32)
    frame = pl.from_numpy(x, [f"x{i}" for i in range(columns)]).with_columns(y=y)
    frame.write_csv(path, float_precision=6)


class Run:
    """One run of the command: seconds from start to end, peak memory in bytes, the result."""

    def __init__(self, folder: Path) -> None:
        fit = ["fit", str(folder / "big.csv"), "--target", "y", "--epochs", "1", "--learning-rate", "0.1"]
        command = [sys.executable, "-m", "axonic", *fit, "--out", str(folder / "run"), "--json", "--quiet"]
        start = time.perf_counter()
        with open(folder / "result.json", "w+") as output:
            process = subprocess.Popen(
                command, stdout=output, env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
            )
            _, status, usage = os.wait4(process.pid, 0)  # of this process alone
            self.seconds = time.perf_counter() - start
            if status:
                raise SystemExit(f"axonic fit ended with status {status}")
            output.seek(0)
            self.result: dict[str, Any] = json.load(output)
        self.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(runs: list[Run], rows: int, columns: int, csv_bytes: int) -> str:
    """The tables."""
    peak, float32 = harness.median([run.peak for run in runs]), 4 * rows * columns
    verdict = f"{MOST_TIMES_FLOAT32}: {'met' if peak < MOST_TIMES_FLOAT32 * float32 else 'MISSED'}"
    megabytes = [f"{size / 1e6:.0f}" for size in (csv_bytes, float32, peak)]
    memory = [f"{rows} x {columns}", *megabytes, harness.figure(peak / float32), verdict]

    spent = [
        {**run.result["seconds_by_phase"], "all of fit": run.result["seconds"], "process": run.seconds} for run in runs
    ]
    phases = {name: harness.median([seconds[name] for seconds in spent]) for name in spent[0]}
    steps = -(-runs[0].result["n_train"] // runs[0].result["batch_size"])
    return "\n\n".join(
        [
            harness.table(
                ["rows x columns", "CSV, MB", "float32, MB", "peak, MB", "peak / float32", "asked below"], [memory]
            ),
            f"Seconds by phase; the epoch has {steps} steps, {1e6 * phases['train'] / steps:.0f} us each.",
            harness.table(["", *phases], [["seconds", *(f"{seconds:.2f}" for seconds in phases.values())]]),
        ]
    )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Memory and time of axonic fit on a large table.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = harness.Worker(_writing, str(folder / "big.csv"), options.rows, options.columns)
        writer()
        writer.close()
        Run(folder)  # fills the cache of compiled programs
        runs = [Run(folder) for _ in range(options.rounds)]
        print(report(runs, options.rows, options.columns, (folder / "big.csv").stat().st_size))


def _writing(*args: Any) -> Any:
    return lambda: write_table(*args)


if __name__ == "__main__":
    main()
