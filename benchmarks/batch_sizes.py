"""What a training step costs by network and batch size, and the model of it that the recipe decides by.

    python benchmarks/batch_sizes.py [--rounds 5]

The recipe compares batch sizes by the time to a common loss, and computes that time from `step_seconds` instead of
measuring it, so that its decisions are the same on a busy machine and when a run is resumed. This measures the steps
(the compiled loop alone, fastest of the rounds), fits the constants of the model to them by least squares of the
logarithms, and says how far the model is from what was measured. What decides is the ratio between sizes of the same
network; the last table has those.
"""

import argparse
import itertools
import time

import harness
import numpy as np
from scipy.optimize import least_squares

from axonic import optimizers
from axonic.data.batches import Rows, split_rows
from axonic.recipe import Task
from axonic.recipe.batch_size import FLOPS, ROW_SECONDS, STEP_SECONDS, WEIGHT_SECONDS, step_seconds
from axonic.settings import Settings, pair
from axonic.training import StopRule, train

NETWORKS = (
    (4, 8, 3),
    (10, 64, 64, 1),
    (20, 64, 64, 3),
    (64, 100, 10),
    (64, 64, 64, 10),
    (100, 256, 256, 10),
    (784, 64, 64, 10),
)
SIZES = (8, 32, 128, 512)
N_ROWS = 8192
CONSTANTS = (STEP_SECONDS, ROW_SECONDS, WEIGHT_SECONDS, FLOPS)
SECONDS = 0.15


def step_time(sizes: tuple[int, ...], batch: int, rounds: int) -> float:
    """Seconds of a step, the fastest of the rounds."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_ROWS, sizes[0]), np.float32)
    y = rng.integers(0, max(2, sizes[-1]), N_ROWS, dtype=np.int32)
    settings = Settings(hidden_layer_sizes=sizes[1:-1], batch_size=batch, learning_rate=0.01)
    split = split_rows(N_ROWS, 0, valid=0.0, test=0.0)
    loss, n_out = pair(settings, "classification", max(2, sizes[-1]))
    task = Task(Rows(x, y, np.ones(N_ROWS, np.float32)), split, settings, settings.network(n_out), loss)
    member = task.member(optimizers.get("momentum"), 0, 0.0)
    stop = StopRule(10**6, 10**6)
    member.prepare(stop)
    times = []
    for _ in range(rounds):
        begun, tapes = time.perf_counter(), []

        def watch(progress, tapes=tapes, begun=begun):
            tapes.append((time.perf_counter() - begun, int(progress.state.step[0])))
            return tapes[-1][0] > SECONDS

        train([member.trial], [member.begin()], member.batches, stop, watch=watch)
        (first, done), (last, total) = tapes[0], tapes[-1]
        times.append((last - first) / (total - done) if total > done else last / total)
    return min(times)


def work(sizes: tuple[int, ...]) -> int:
    """Weights of a network, its biases included."""
    return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))


def model(sizes: tuple[int, ...], batch: int, step: float, row: float, weight: float, flops: float) -> float:
    """`axonic.recipe.batch_size.step_seconds` with other constants."""
    return step + batch * row + work(sizes) * weight + 6 * work(sizes) * batch / flops


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measured = {(n, b): step_time(n, b, options.rounds) for n in NETWORKS for b in SIZES}

    def misfit(log_constants: np.ndarray) -> np.ndarray:
        return np.array([np.log(model(n, b, *np.exp(log_constants)) / t) for (n, b), t in measured.items()])

    fitted = np.exp(least_squares(misfit, np.log(CONSTANTS), loss="soft_l1").x)
    text = "step {:.2g} s, row {:.2g} s, weight {:.2g} s, {:.2g} operations a second"
    print(f"fitted: {text.format(*fitted)}\nin use: {text.format(*CONSTANTS)}\n")
    rows, ratios = [], []
    for n in NETWORKS:
        name = "-".join(map(str, n))
        here = [step_seconds(work(n), b) for b in SIZES]
        there = [measured[n, b] for b in SIZES]
        rows.append([name, *(f"{1e6 * t:.1f} / {1e6 * m:.1f}" for t, m in zip(there, here, strict=True))])
        base = SIZES.index(32)
        ratios.append(
            [name, *(f"{t / there[base]:.2f} / {m / here[base]:.2f}" for t, m in zip(there, here, strict=True))]
        )
    header = ["network", *(f"batch {b}" for b in SIZES)]
    print("Microseconds a step, measured / model.\n" + harness.table(header, rows))
    print("\nOver those of batches of 32, measured / model.\n" + harness.table(header, ratios))


if __name__ == "__main__":
    main()
