"""The comparison behind MATLAB's "Choose a Multilayer Neural Network Training Function", with the rules of axonic.

    python benchmarks/matlab.py [--starts 30] [--only SIN] [--init glorot]

Each rule trains on all rows at every step until the mean squared error reaches a goal, from the same starts.

    SIN       1-5-1       .002   one period of a sine, 41 points, linear output
    PARITY    3-10-10-1   .001   the parity of three bits; inputs and targets -1 and 1
    CANCER    9-5-5-2     .012   scikit-learn's breast cancer: 569 rows, its first nine columns; targets 0 and 1
    DIABETES  8-15-15-2   .05    statsmodels' fair: 768 of its rows, drawn once; targets 0 and 1

Networks and goals are MATLAB's; units are tanh, inputs are scaled to [-1, 1], and the error is MATLAB's mse, the mean
over rows and outputs of (t - a)^2, which is 2 / n_out times the loss of `axonic.losses.mse`. The tables are not
MATLAB's. Its CANCER is another one from Wisconsin (699 rows of nine grades); the nine columns here are means of
measurements of cells. Its DIABETES, Pima, has 768 rows of eight inputs that say little about the two classes, one of
which is 35 %; fair (who of 6,366 women had an affair) has eight such inputs and 32 %, and 768 of its rows are drawn.
How MATLAB coded PARITY's targets is not known.

Initial weights are Nguyen and Widrow's, MATLAB's default (`initnw`), or axonic's own (Glorot's, biases 0). With biases
of 0 the two toys are degenerate: both targets are odd functions, so the gradient of every bias is 0 and stays so.

All in float64, LAPACK in one thread. A rule is compiled once for a problem, and the time of a start is the processor
time of one compiled call (of all threads, so that other work on the machine counts little), the shortest of five where
they are short; the rules take turns within a start. A run ends at the goal, where the rule is stuck, or when
`GRADIENTS` or, for rules that solve a linear system at each step, `SYSTEMS` are used up; a start that ends above the
goal has failed. Rules with a rate get the best of rates half a decade apart, from 3 to 16 starts of their own that are
`SWEEP` steps long: most successes, then fewest steps, then lowest losses. That search is not in their time.

"ms a success" is the time of all starts, the failed ones included, divided by the number that reached the goal: what a
success costs to whoever starts until it succeeds. Where no start fails it is MATLAB's mean time. Ratios are of it.
Every time includes that of a call without a step, which is printed too. `TOO_LONG` names what is left out because it
would take most of the time: gd, of which no run reached either goal in trials, and Newton on 407 weights (120 ms a
step).
"""

import argparse
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import statsmodels.api
from harness import Timed, figure, median, table
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

from axonic import layers, losses, optimizers
from axonic.layers.dense import DenseParams
from axonic.objective import Objective
from axonic.optimizers import LBFGS, AdaptiveGain, ConjugateGradient, LevenbergMarquardt, Momentum, Optimizer
from axonic.types import Batch, Params

GRADIENTS = 10_000
SYSTEMS = 200
SWEEP = 2000
RATES = np.geomspace(10, 1e-3, 9)
REPEATS, SHORT = 5, 0.05

RULES: dict[str, tuple[str, Optimizer]] = {
    "levenberg_marquardt": ("LM", optimizers.get("levenberg_marquardt")),
    "levenberg_marquardt, factors": ("", LevenbergMarquardt(damping="factors")),
    "lbfgs": ("BFG", optimizers.get("lbfgs")),
    "rprop": ("RP", optimizers.get("rprop")),
    "scaled_conjugate_gradient": ("SCG", optimizers.get("scaled_conjugate_gradient")),
    "conjugate_gradient": ("CGB", ConjugateGradient()),
    "fletcher_reeves": ("CGF", ConjugateGradient(formula="fletcher_reeves")),
    "polak_ribiere": ("CGP", ConjugateGradient(restart=np.inf)),
    "lbfgs, one pair": ("OSS", LBFGS(memory=1)),
    "adaptive_gain": ("GDX", AdaptiveGain(momentum=0.9)),
    "newton": ("", optimizers.get("newton")),
    "adam": ("", optimizers.get("adam")),
    "momentum": ("", Momentum(dampening=False)),
    "gd": ("", optimizers.get("gd")),
}
TOO_LONG = {("DIABETES", "newton"), ("DIABETES", "gd"), ("CANCER", "gd")}


class Problem(NamedTuple):
    """widths: units of each layer, the inputs first; goal: of MATLAB's mse."""

    objective: Objective
    widths: tuple[int, ...]
    goal: float

    @property
    def loss(self) -> float:
        """The goal as a value of the objective."""
        return self.goal * self.widths[-1] / 2


class End(NamedTuple):
    """How a run ended."""

    loss: Any
    steps: Any
    gradients: Any


def problem(x: Any, y: Any, hidden: tuple[int, ...], output: str, goal: float) -> Problem:
    """All rows of a table as one batch; x is scaled to [-1, 1]."""
    x = MinMaxScaler((-1, 1)).fit_transform(x)
    y = np.asarray(y, float)
    network = layers.chain(*(layers.dense(n, "tanh") for n in hidden), layers.dense(y.shape[1]))
    batch = Batch(*(jnp.asarray(a) for a in (x, y, np.ones(len(x)))))
    return Problem(Objective(network, losses.mse(output), batch), (x.shape[1], *hidden, y.shape[1]), goal)


def sine() -> Problem:
    x = np.linspace(-1, 1, 41)[:, None]
    return problem(x, np.sin(np.pi * x), (5,), "identity", 0.002)


def parity() -> Problem:
    x = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)])
    return problem(x, x.prod(axis=1, keepdims=True), (10, 10), "tanh", 0.001)


def cancer() -> Problem:
    x, y = load_breast_cancer(return_X_y=True)
    return problem(x[:, :9], np.eye(2)[y], (5, 5), "tanh", 0.012)


def diabetes() -> Problem:
    rows = statsmodels.api.datasets.fair.load_pandas().data.sample(768, random_state=0)
    return problem(rows.drop(columns="affairs"), np.eye(2)[(rows["affairs"] > 0).astype(int)], (15, 15), "tanh", 0.05)


PROBLEMS = {"SIN": sine, "PARITY": parity, "CANCER": cancer, "DIABETES": diabetes}


def nguyen_widrow(rng: np.random.Generator, n_in: int, n_out: int) -> DenseParams:
    """MATLAB's initnw for tanh units and inputs in [-1, 1]: the units' active regions, |z| < 2, cover the inputs."""
    size = 2 * 0.7 * n_out ** (1 / n_in)
    w = rng.standard_normal((n_in, n_out))
    w *= size / np.linalg.norm(w, axis=0)
    return DenseParams(w, size * np.linspace(-1, 1, n_out) * np.sign(w[0]) if n_out > 1 else np.zeros(1))


def start(problem: Problem, init: str, seed: int) -> Params:
    """Initial weights of one start; a linear output gets uniform ones in [-1, 1], which is what initnw does."""
    rng = np.random.default_rng(seed)
    network, widths = problem.objective.network, problem.widths
    if init == "glorot":
        return jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), network.init(rng, widths[0]))
    params = [nguyen_widrow(rng, n_in, n_out) for n_in, n_out in itertools.pairwise(widths)]
    if problem.objective.loss.activation.name == "identity":
        params[-1] = DenseParams(rng.uniform(-1, 1, (widths[-2], 1)), rng.uniform(-1, 1, 1))
    return jax.tree.map(jnp.asarray, tuple(params))


def train(rule: Optimizer, objective: Objective, params: Params, goal: Any, gradients: Any, steps: Any) -> End:
    """Steps until the loss is at most `goal`.

    Rules that keep the value of the new weights say at once whether these have reached it. Rules without one learn it
    with the gradient of the next step, which is therefore counted and timed; next to a step that solves a linear system
    a value costs nothing.
    """

    def step(carry: tuple) -> tuple:
        params, state, end, _ = carry
        params, state, info = rule.step(objective, params, state)
        if hasattr(state, "value"):
            value = state.value
        else:
            value = info.value if rule.max_weights is None else objective.value(params)
        end = End(value.total, end.steps + 1, end.gradients + info.evaluations)
        return params, state, end, jnp.asarray(info.stuck)

    def unfinished(carry: tuple) -> Any:
        _, _, end, stuck = carry
        return (end.loss > goal) & (end.gradients < gradients) & (end.steps < steps) & ~stuck

    first = End(jnp.asarray(np.inf), jnp.asarray(0), jnp.asarray(0))
    return jax.lax.while_loop(unfinished, step, (params, rule.init(params), first, jnp.asarray(False)))[2]


run = jax.jit(train)


@jax.jit
def sweep(rule: Optimizer, objective: Objective, starts: Params, goal: Any) -> End:
    """Ends of all rates (first axis) from all starts, side by side."""
    at = lambda rate, params: train(rule.replace(learning_rate=rate), objective, params, goal, SWEEP, SWEEP)  # noqa: E731
    return jax.vmap(jax.vmap(at, (None, 0)), (0, None))(RATES, starts)


def tuned(rule: Optimizer, problem: Problem, init: str) -> Optimizer:
    """The rule with the best of the rates."""
    n_starts = max(3, min(16, 2000 // len(problem.objective.batch.x)))
    starts = [start(problem, init, 1000 + seed) for seed in range(n_starts)]
    end = sweep(rule, problem.objective, jax.tree.map(lambda *p: jnp.stack(p), *starts), problem.loss)
    loss = np.nan_to_num(end.loss, nan=np.inf)
    reached = loss <= problem.loss
    best = np.lexsort((loss.mean(axis=1), np.where(reached, end.steps, SWEEP).sum(axis=1), -reached.sum(axis=1)))[0]
    return rule.replace(learning_rate=float(RATES[best]))


def timed(call: Callable[[Params], End], params: Params) -> Timed:
    """Processor seconds of a call, and its end."""
    began = time.process_time()
    end = call(params)
    return Timed(time.process_time() - began, end)


def shortest(call: Callable[[Params], End], params: Params) -> Timed:
    """The fastest of a few calls, of one if it takes long."""
    calls = [timed(call, params)]
    while len(calls) < REPEATS and sum(c.seconds for c in calls) < SHORT:
        calls.append(timed(call, params))
    return min(calls, key=lambda c: c.seconds)


def contender(rule: Optimizer, problem: Problem, gradients: int, steps: int) -> Callable[[Params], End]:
    """From starting weights to the end of a run."""
    call = functools.partial(run, rule, problem.objective, goal=problem.loss, gradients=gradients, steps=steps)
    return lambda params: jax.block_until_ready(call(params=params))


def compare(problem: Problem, names: Sequence[str], n_starts: int, init: str) -> str:
    """The table of one problem."""
    first = start(problem, init, 0)
    calls, labels = {}, {}
    for name in names:
        rule = RULES[name][1]
        rule = tuned(rule, problem, init) if rule.has_rate else rule
        labels[name] = f"{name} at {rule.rate:.2g}" if rule.has_rate else name
        calls[name] = contender(rule, problem, GRADIENTS, GRADIENTS if rule.max_weights is None else SYSTEMS)
        calls[name](first)
        print(f"  {labels[name]} is ready", flush=True)
    nothing = contender(RULES["rprop"][1], problem, 0, 0)
    seconds = min(timed(nothing, first).seconds for _ in range(100))
    print(f"  a call without a step takes {1e3 * seconds:.2f} ms", flush=True)

    ends = {name: [] for name in names}
    for seed in range(n_starts):
        params = start(problem, init, seed)
        for name in list(names)[:: 1 if seed % 2 == 0 else -1]:
            ends[name].append(shortest(calls[name], params))
        print(f"  start {seed + 1} of {n_starts}", flush=True)
    return summary(problem, labels, ends)


def summary(problem: Problem, labels: Mapping[str, str], ends: Mapping[str, Sequence[Timed]]) -> str:
    """The rows of the rules, the cheapest success first."""
    good = {name: [end for end in ends[name] if end.value.loss <= problem.loss] for name in ends}
    cost = {n: sum(end.seconds for end in ends[n]) / len(good[n]) if good[n] else np.inf for n in ends}
    rows = []
    for name in sorted(ends, key=cost.__getitem__):
        row = [labels[name], RULES[name][0], f"{len(good[name])} of {len(ends[name])}"]
        if good[name]:
            ms = [1e3 * end.seconds for end in good[name]]
            counts = [round(median([getattr(e.value, what) for e in good[name]])) for what in ("steps", "gradients")]
            times = (figure(1e3 * cost[name]), figure(cost[name] / min(cost.values())))
            row += [*times, f"{figure(median(ms))} ({figure(min(ms))} to {figure(max(ms))})", *counts]
        rows.append(row + ["-"] * (8 - len(row)))
    header = ("rule", "MATLAB's", "reached", "ms a success", "ratio", "ms, median (range)", "steps", "gradients")
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=30)
    parser.add_argument("--only", choices=PROBLEMS)
    parser.add_argument("--init", choices=("nguyen_widrow", "glorot"), default="nguyen_widrow")
    options = parser.parse_args()
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # or the last moments of its thread may go uncounted
    with jax.enable_x64(True), threadpool_limits(1, user_api="blas"):
        for name in [options.only] if options.only else PROBLEMS:
            began = time.perf_counter()
            print(f"{name}:", flush=True)
            names = [rule for rule in RULES if (name, rule) not in TOO_LONG]
            result = compare(PROBLEMS[name](), names, options.starts, options.init)
            print(f"\n{result}\n\n{time.perf_counter() - began:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
