"""What is said of three learning rules, measured: vSGD, SWATS and adaptive gains.

    python benchmarks/claims.py [--only vsgd|swats|gains] [--tables digits,...] [--seeds N] [--steps 3000]

- vsgd: without tuning it ends within 10 % of the training loss of the best of nine rates of SGD, on three tables.
- swats: its validation loss is within 2 % of that of the better of Adam and SGD, on eight tables. Each takes the best
  of nine rates (SGD from 10 to .001, Adam and SWATS from 1 to .0001) and of twenty lengths, so that a rule is not
  blamed for fitting fast. Beside it SWATS that never switches (tolerance 0), which is Adam again but for its eps (1e-9
  for 1e-8) and so shows what chance does, and SWATS that nearly always does (tolerance .01).
- gains: they end below the training loss of their own rule without gains, each at the best of nine rates, in a network
  whose first layer has a hundred times the fan-in of those behind it, on a real and a generated table; 500 steps, each
  over the whole training set.

The rules of a comparison start from the same weights and take the same batches of 32 for the same number of steps.
Networks are axonic's default one (64-64 rectified units, Glorot's weights) but for the gains; l2 = c / n for n training
rows, c = 1 being the default. A training loss that is judged has its penalty in it, as what the rules lower; validation
and test losses have not. Rates are half a decade apart, and chosen by the mean over the seeds, each of which has its
own weights, batches and split (65 : 15 : 20, for SWATS 60 : 20 : 20).
"""

import argparse
import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
from tables import TABLES, load

from axonic.data.batches import split_rows
from axonic.data.columns import infer_columns
from axonic.data.encoding import TableEncoder
from axonic.data.schema import Schema
from axonic.data.targets import TargetEncoder
from axonic.layers import Chain
from axonic.losses import Loss
from axonic.objective import Objective
from axonic.optimizers import SGD, SWATS, VSGD, Adam, AdaptiveGain, Optimizer
from axonic.settings import Settings, pair
from axonic.types import Batch, Params

RATES = np.geomspace(10, 1e-3, 9, dtype=np.float32)
ADAM_RATES = RATES / 10
ROWS, WHOLE_STEPS, CHECKS = 32, 500, 20
NEAR_SGD, NEAR_BETTER, BELOW = 1.10, 1.02, 1.0
TOLERANCES = (1e-4, 1e-2, 0.0)
SETS = {"vsgd": ("digits", "breast_cancer", "mnist_5k"), "swats": TABLES, "gains": ("mnist_5k", "teacher")}
SEEDS = {"vsgd": 3, "swats": 5, "gains": 3}
FAN_IN_RATIO = 100
THREADS = 2


class Problem(NamedTuple):
    """A network to train on a table: arrays but for the kinds of layers and loss.

    Attributes
    ----------
    network, loss, l2 : what is minimised.
    x, y : encoded rows.
    parts : numbers of the training, validation and test rows.
    batches : (steps, ROWS) numbers of the rows of each step.
    start : first weights.
    """

    network: Chain
    loss: Loss
    l2: Any
    x: Any
    y: Any
    parts: Any
    batches: Any
    start: Params

    def of(self, rows: Any) -> Objective:
        """The objective of some rows."""
        return Objective(self.network, self.loss, Batch(self.x[rows], self.y[rows], jnp.ones(len(rows))), self.l2)


class Course(NamedTuple):
    """Losses at `CHECKS` points of a run, evenly spaced, the last at its end: arrays (seeds, rates, points).

    Attributes
    ----------
    objective : the training loss with its penalty, which the rules lower.
    train, valid, test : losses without it.
    switched : for SWATS, the rate it switched to, 0 before.
    """

    objective: Any
    train: Any
    valid: Any
    test: Any
    switched: Any


def problem(name: str, seed: int, steps: int, *, c: float = 1.0, valid: float = 0.15, narrow: bool = False) -> Problem:
    """A table encoded as the estimators do, and a network; `narrow` gives its two hidden layers a hundredth of the
    inputs as units."""
    frame, target, task = teacher() if name == "teacher" else load(name)
    classes = target.to_numpy() if task == "classification" else None
    split = split_rows(len(frame), seed, valid=valid, test=0.2, classes=classes)
    coded = TargetEncoder.fit(target.to_numpy(), task, split.train)
    y = coded.transform(target.to_numpy())
    table = pl.from_pandas(frame)
    columns = tuple(column for column in infer_columns(table) if column.kind != "ignored")
    x = TableEncoder.fit(table, Schema(columns, "", task), split.train, True, y[split.train]).transform(table)
    settings = Settings(hidden_layer_sizes=(x.shape[1] // FAN_IN_RATIO,) * 2) if narrow else Settings()
    loss, n_out = pair(settings, task, coded.n_out)
    network = settings.network(n_out)
    rng = np.random.default_rng(seed)
    start = network.init(rng, x.shape[1])
    per_pass = len(split.train) // ROWS
    passes = [rng.permutation(split.train)[: per_pass * ROWS].reshape(-1, ROWS) for _ in range(-(-steps // per_pass))]
    return Problem(network, loss, c / len(split.train), x, y, tuple(split), np.concatenate(passes)[:steps], start)


def teacher() -> tuple[pd.DataFrame, pd.Series, str]:
    """2,000 rows of 1,000 normal inputs, and the output of ten random tanh units with noise."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 1000)).astype(np.float32)
    hidden = np.tanh(x @ rng.standard_normal((1000, 10)) / np.sqrt(1000))
    y = hidden @ rng.standard_normal(10) + 0.1 * rng.standard_normal(2000)
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(1000)]), pd.Series(y), "regression"


@jax.jit
def run(rule: Optimizer, rates: Any, one: Problem) -> Course:
    """Train with a rule at every rate, side by side; (rates, points)."""

    def step(tuned: Optimizer, carry: Any, rows: Any) -> Any:
        return tuned.step(one.of(rows), *carry)[:2], None

    def lane(rate: Any) -> Course:
        tuned = rule.replace(learning_rate=rate) if rule.has_rate else rule
        advance = functools.partial(step, tuned)

        def part(carry: Any, rows: Any) -> Any:
            if rule.full_batch:
                steps = WHOLE_STEPS // CHECKS
                carry, _ = jax.lax.scan(lambda carry, _: advance(carry, one.parts[0]), carry, length=steps)
            else:
                carry, _ = jax.lax.scan(advance, carry, rows)
            train, valid, test = (one.of(rows).value(carry[0]) for rows in one.parts)
            return carry, Course(train.total, train.loss, valid.loss, test.loss, getattr(carry[1], "rate", 0.0))

        first = jax.tree.map(jnp.asarray, (one.start, tuned.init(one.start)))
        return jax.lax.scan(part, first, one.batches.reshape(CHECKS, -1, ROWS))[1]

    return jax.vmap(lane)(rates)


def courses(rule: Optimizer, rates: Any, problems: Sequence[Problem]) -> Course:
    """The runs of every seed; a loss that is not a number counts as infinite."""
    with ThreadPoolExecutor(THREADS) as pool:
        runs = list(pool.map(lambda one: run(rule, jnp.asarray(rates), one), problems))
    return jax.tree.map(lambda *each: np.nan_to_num(np.stack(each).astype(float), nan=np.inf), *runs)


def verdict(ratio: float, bound: float) -> str:
    """The ratio, and whether it is within the bound."""
    return f"{ratio:.2f} {'met' if ratio <= bound else 'MISSED'}"


def vsgd(tables: Sequence[str], seeds: int, steps: int) -> str:
    """The table of vSGD."""
    rows = []
    for name, c in itertools.product(tables, (0.0, 1.0)):
        problems = [problem(name, seed, steps, c=c) for seed in range(seeds)]
        train, test = _at_the_end(courses(SGD(), RATES, problems))
        row = [f"{name}, c = {c:g}", f"{train.min():.2g} at {RATES[train.argmin()]:.1g}"]
        for form in ("l", "fd"):
            (own,), (own_test,) = _at_the_end(courses(VSGD(form=form), [0.0], problems))
            row += [f"{own:.2g}", verdict(own / train.min(), NEAR_SGD), f"{np.sum(own < train)} of 9"]
            row.append(f"{own_test / test.min():.2f}")
        rows.append(row)
    header = ["table", "best SGD"]
    for form in ("l", "fd"):
        header += [f"vSGD-{form}", "over SGD", "rates beaten", "test over best SGD's"]
    return harness.table(header, rows)


def _at_the_end(course: Course) -> tuple[np.ndarray, np.ndarray]:
    """(training objective, test loss) at the end, means over the seeds at each rate."""
    return course.objective[..., -1].mean(axis=0), course.test[..., -1].mean(axis=0)


class Chosen(NamedTuple):
    """The rate whose mean validation loss was the lowest, at the point where it was, and the mean losses there."""

    rate: float
    valid: float
    test: float
    train: float


def choose(course: Course, rates: Any) -> Chosen:
    """See `Chosen`."""
    valid, test, train = (part.mean(axis=0) for part in (course.valid, course.test, course.train))
    i, j = np.unravel_index(np.argmin(valid), valid.shape)
    return Chosen(float(rates[i]), float(valid[i, j]), float(test[i, j]), float(train[i, j]))


def swats(tables: Sequence[str], seeds: int, steps: int) -> str:
    """The table of SWATS."""
    rows, over = [], []
    for name in tables:
        problems = [problem(name, seed, steps, valid=0.2) for seed in range(seeds)]
        sgd = choose(courses(SGD(), RATES, problems), RATES)
        adam = choose(courses(Adam(), ADAM_RATES, problems), ADAM_RATES)
        runs = [courses(SWATS(tolerance=tolerance), ADAM_RATES, problems) for tolerance in TOLERANCES]
        owns = [choose(run, ADAM_RATES) for run in runs]
        better = min(sgd, adam, key=lambda chosen: chosen.valid)
        over.append([own.valid / better.valid for own in owns])
        row = [name, *(f"{each.valid:.3g} at {each.rate:.1g}" for each in (sgd, adam, owns[0]))]
        row += [verdict(over[-1][0], NEAR_BETTER), f"{owns[0].test / better.test:.2f}"]
        row.append(f"{owns[0].train / better.train:.2f}")
        rates = runs[0].switched[..., -1]
        row += [f"{np.sum(rates > 0)} of {rates.size}", f"{np.median(rates[rates > 0]):.2g}" if rates.any() else ""]
        rows.append(row + [f"{ratio:.2f}" for ratio in over[-1][1:]])
    means = np.exp(np.mean(np.log(over), axis=0))
    mean = ["geometric mean", "", "", "", verdict(means[0], NEAR_BETTER), "", "", "", ""]
    rows.append(mean + [f"{ratio:.2f}" for ratio in means[1:]])
    header = ["table", "SGD", "Adam", "SWATS", "over the better", "test", "training", "switched", "median rate then"]
    return harness.table([*header, "nearly always switching", "never switching"], rows)


def gains(tables: Sequence[str], seeds: int, steps: int) -> str:
    """The table of adaptive gains."""
    rows = []
    for name, momentum in itertools.product(tables, (0.0, 0.9)):
        problems = [problem(name, seed, steps, narrow=True) for seed in range(seeds)]
        with_gains = AdaptiveGain(momentum=momentum)
        without = with_gains.replace(increase=0.0, decrease=1.0)
        (plain, plain_test), (own, own_test) = (
            _at_the_end(courses(rule, RATES, problems)) for rule in (without, with_gains)
        )
        row = [f"{name}, momentum {momentum:g}"]
        row += [f"{loss.min():.2g} at {RATES[loss.argmin()]:.1g}" for loss in (plain, own)]
        row.append(verdict(own.min() / plain.min(), BELOW))
        row += [f"{own_test.min() / plain_test.min():.2f}", f"{np.sum(own < plain)} of 9"]
        rows.append(row)
    header = ["table", "without", "with gains", "ratio", "ratio of best test losses", "rates at which lower"]
    return harness.table(header, rows)


PARTS = {"vsgd": vsgd, "swats": swats, "gains": gains}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--tables", help="instead of those of the part")
    parser.add_argument("--seeds", type=int, help="3, for swats 5")
    parser.add_argument("--steps", type=int, default=3000, help="a multiple of 20")
    options = parser.parse_args()
    for name in [options.only] if options.only else PARTS:
        tables = options.tables.split(",") if options.tables else SETS[name]
        print(f"{name}\n\n{PARTS[name](tables, options.seeds or SEEDS[name], options.steps)}\n", flush=True)


if __name__ == "__main__":
    main()
