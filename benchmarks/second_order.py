"""L-BFGS against scikit-learn's MLP and Levenberg-Marquardt against SciPy's, to the same training loss.

    python benchmarks/second_order.py [--only L-BFGS] [--table digits] [--starts 5] [--rounds 5] [--threads 1]

Same rows, same network, same penalty, the same initial weights for every contender (Glorot's, biases 0), five starts.
Every contender first runs as long as it may; the target of a start is the loss that all of them reach, that is the
highest of their last ones. Then each finds the fewest steps after which its loss is at the target, and that run is
timed, alternating, each contender in a process of its own. The first run of a process, mostly compilation, is apart.
The ratio of a start is the median of its rounds; the table holds the median of the starts, the lowest and the highest.

L-BFGS: breast cancer, digits and diabetes (569, 1,797 and 442 rows), standardised, two hidden layers of 64 rectified
units, alpha = 1, at most 200 iterations. scikit-learn's `fit` is timed, with its initial weights replaced; it computes
in float64, which SciPy's L-BFGS-B hands it whatever the type of the inputs. axonic is timed in two ways: as its fits
train a network (`axonic.training.train` from arrays to weights, float32), which is the one that is judged, and as a
loop of the rule's steps in float64, which is scikit-learn's arithmetic.

Levenberg-Marquardt: `scipy.optimize.least_squares(method="lm")`, default tolerances, at most 100 evaluations, with the
exact Jacobian written in NumPy or by JAX, jitted (`vmap` of `grad`); the faster one is judged. axonic is the loop of
the rule's steps in float64, at most 200, judged as it is by default, with `damping="factors"` beside it. Tanh networks:
a noisy sine (200 points), diabetes (442 rows), a noisy wave in four variables (500 rows); squared error, no penalty.

OpenBLAS has one thread everywhere unless `--threads` says otherwise: it is what scikit-learn multiplies with and where
the Cholesky factors of axonic's Levenberg-Marquardt come from, and on a shared machine a second one can make either a
hundred times slower. XLA's own threads are as they are by default.
"""

import argparse
import bisect
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import harness
import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]
FACTORS = {"damping": "factors"}
Run = Callable[[Layers, int], float]
"""(initial weights and biases of each layer, steps) -> the training loss after so many steps."""


class Job(NamedTuple):
    """A network and rows.

    Attributes
    ----------
    data : name of a function of this module that returns x, (n, n_in), and y, (n,) classes or (n, 1) numbers.
    hidden, activation : the hidden layers.
    alpha : penalty alpha / n times half the squares of the weights, as scikit-learn has it.
    """

    rule: str
    data: str
    hidden: tuple[int, ...]
    activation: str
    alpha: float
    required: float
    steps: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """x, y, float64 or class indices."""
        return globals()[self.data]()

    @property
    def n_out(self) -> int:
        y = self.arrays()[1]
        return 1 if y.ndim == 2 or y.max() == 1 else int(y.max()) + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.arrays()[0].shape[1], *self.hidden, self.n_out)

    @property
    def name(self) -> str:
        return f"{self.data} {'-'.join(map(str, self.sizes))}"

    def weights(self, seed: int) -> Layers:
        """Glorot's uniform weights, biases 0."""
        rng = np.random.default_rng(seed)
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        drawn = [rng.uniform(-1, 1, (n_in, n_out)) * np.sqrt(6 / (n_in + n_out)) for n_in, n_out in pairs]
        return [(w.astype(np.float32).astype(float), np.zeros(w.shape[1])) for w in drawn]


def _standardised(a: np.ndarray) -> np.ndarray:
    deviation = a.std(axis=0)
    return (a - a.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def _shipped(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return _standardised(x), y


def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    return _shipped("breast_cancer")


def digits() -> tuple[np.ndarray, np.ndarray]:
    return _shipped("digits")


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    x, y = _shipped("diabetes")
    return x, _standardised(y[:, None])


def sine() -> tuple[np.ndarray, np.ndarray]:
    x = np.linspace(-1, 1, 200)[:, None]
    return x, np.sin(2 * np.pi * x) + 0.1 * np.random.default_rng(0).standard_normal(x.shape)


def wave() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 4))
    return x, np.sin(x.sum(axis=1, keepdims=True)) + 0.1 * rng.standard_normal((500, 1))


JOBS = (
    Job("L-BFGS", "breast_cancer", (64, 64), "relu", 1.0, 3.0, 200),
    Job("L-BFGS", "digits", (64, 64), "relu", 1.0, 3.0, 200),
    Job("L-BFGS", "diabetes", (64, 64), "relu", 1.0, 3.0, 200),
    Job("LM", "sine", (10,), "tanh", 0.0, 5.0, 200),
    Job("LM", "diabetes", (8,), "tanh", 0.0, 5.0, 200),
    Job("LM", "wave", (15,), "tanh", 0.0, 5.0, 200),
    Job("LM", "diabetes", (20,), "tanh", 0.0, 5.0, 200),
)


def _specs(job: Job) -> tuple[Any, Any, Any]:
    """axonic's network, loss and rule."""
    from axonic import layers, losses, optimizers

    network = layers.chain(*(layers.dense(n, job.activation) for n in job.hidden), layers.dense(job.n_out))
    y = job.arrays()[1]
    loss = losses.squared_error if y.ndim == 2 else losses.cross_entropy if job.n_out == 1 else losses.log_likelihood
    return network, loss, optimizers.get("lbfgs" if job.rule == "L-BFGS" else "levenberg_marquardt")


def axonic_fit(job: Job) -> Run:
    """The loop that fits run, in the blocks of rows that they use."""
    import jax

    from axonic import training
    from axonic.data.batches import Batches, Rows, Split
    from axonic.layers.dense import DenseParams
    from axonic.objective import Objective
    from axonic.recipe.networks import WHOLE_BLOCK
    from axonic.types import Batch

    network, loss, rule = _specs(job)
    x, y = (a.astype(np.float32 if a.dtype == float else np.int32) for a in job.arrays())
    ones = np.ones(len(x), np.float32)
    l2 = job.alpha / len(x)
    total = jax.jit(lambda params: Objective(network, loss, Batch(x, y, ones), l2).value(params).total)

    def run(weights: Layers, steps: int) -> Any:
        none = np.zeros(0, np.int64)
        batches = Batches(Rows(x, y, ones), Split(np.arange(len(x)), none, none), WHOLE_BLOCK)
        trial = training.Trial(network, loss, rule, l2, 0.0, None)
        params = tuple(DenseParams(w.astype(np.float32), b.astype(np.float32)) for w, b in weights)
        stop = training.StopRule(steps, min_flat=steps + 1)
        states, _, _ = training.train([trial], [training.start(trial, params)], batches, stop)
        return functools.partial(total, states[0].params)

    return run


def axonic_loop(job: Job, hyper: dict[str, Any] = {}) -> Run:  # noqa: B006  read only
    """The rule's steps in one compiled program, float64; `hyper` changes the rule."""
    import jax
    import jax.numpy as jnp

    from axonic.layers.dense import DenseParams
    from axonic.objective import Objective
    from axonic.types import Batch

    jax.config.update("jax_enable_x64", True)
    network, loss, rule = _specs(job)
    rule = rule.replace(**hyper)
    x, y = job.arrays()
    objective = Objective(network, loss, Batch(jnp.asarray(x), jnp.asarray(y), jnp.ones(len(x))), job.alpha / len(x))

    @jax.jit
    def train(objective: Any, params: Any, steps: Any) -> Any:
        start = params, jax.tree.map(jnp.asarray, rule.init(params))
        params, _ = jax.lax.fori_loop(0, steps, lambda _, carry: rule.step(objective, *carry)[:2], start)
        return params

    total = jax.jit(lambda params: objective.value(params).total)

    def run(weights: Layers, steps: int) -> Any:
        params = train(objective, tuple(DenseParams(w, b) for w, b in weights), steps)
        return functools.partial(total, jax.tree.map(np.asarray, params))

    return run


def scikit_learn(job: Job) -> Run:
    """MLPClassifier or MLPRegressor with solver="lbfgs"."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = job.arrays()
    y = y.ravel()

    class Started(MLPClassifier if y.dtype != float else MLPRegressor):
        def _initialize(self, y: Any, layer_units: Any, dtype: Any) -> None:
            super()._initialize(y, layer_units, dtype)
            self.coefs_ = [w.copy() for w, _ in self.started_at]
            self.intercepts_ = [b.copy() for _, b in self.started_at]

    def run(weights: Layers, steps: int) -> Any:
        model = Started(
            hidden_layer_sizes=job.hidden, activation=job.activation, solver="lbfgs", alpha=job.alpha, max_iter=steps
        )
        model.started_at = weights
        model.fit(x, y)
        return lambda: model.loss_

    return run


def scipy_lm(job: Job, jacobian: str) -> Run:
    """least_squares(method="lm") with the Jacobian in NumPy or by JAX; one hidden layer."""
    import scipy.optimize

    x, y = job.arrays()
    n_in, n_hidden, _ = job.sizes

    def split(theta: Any) -> tuple[Any, Any, Any, Any]:
        first = theta[: n_in * n_hidden].reshape(n_in, n_hidden)
        return first, theta[n_in * n_hidden : -n_hidden - 1], theta[-n_hidden - 1 : -1], theta[-1]

    def residuals(theta: Any) -> Any:
        w, b, v, c = split(theta)
        return np.tanh(x @ w + b) @ v + c - y[:, 0]

    def in_numpy(theta: Any) -> Any:
        w, b, v, _ = split(theta)
        a = np.tanh(x @ w + b)
        delta = (1 - a * a) * v
        weights = (x[:, :, None] * delta[:, None, :]).reshape(len(x), -1)
        return np.hstack([weights, delta, a, np.ones((len(x), 1))])

    def by_jax() -> Any:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)

        def one(theta: Any, x: Any) -> Any:
            w, b, v, c = split(theta)
            return jnp.tanh(x @ w + b) @ v + c

        compiled = jax.jit(jax.vmap(jax.grad(one), (None, 0)))
        return lambda theta: np.asarray(compiled(theta, x))

    jac = in_numpy if jacobian == "NumPy" else by_jax()

    def run(weights: Layers, steps: int) -> Any:
        start = np.concatenate([a.ravel() for pair in weights for a in pair])
        end = scipy.optimize.least_squares(residuals, start, jac=jac, method="lm", max_nfev=min(steps, 100))
        return lambda: end.cost / len(x)

    return run


CONTENDERS: dict[str, dict[str, tuple]] = {
    "L-BFGS": {"fit": (axonic_fit,), "loop": (axonic_loop,), "scikit-learn": (scikit_learn,)},
    "LM": {
        "loop": (axonic_loop,),
        "factors": (axonic_loop, FACTORS),
        "NumPy": (scipy_lm, "NumPy"),
        "JAX": (scipy_lm, "JAX"),
    },
}


def last_losses(job: Job, starts: int, make: Callable[..., Run], *args: Any) -> Callable[[], list[float]]:
    """The loss of each start after all the steps that are allowed."""
    run = make(job, *args)
    return lambda: [float(run(job.weights(seed), job.steps)()) for seed in range(starts)]


class Reached(NamedTuple):
    """Seconds to the target and the steps it took, one each start."""

    seconds: list[float]
    steps: list[int]


def to_target(job: Job, targets: list[float], make: Callable[..., Run], *args: Any) -> Callable[[], Reached]:
    """Runs to the targets, each start timed by itself. The first call finds the numbers of steps."""
    run = make(job, *args)
    weights = [job.weights(seed) for seed in range(len(targets))]
    steps: list[int] = []

    def fewest(start: Layers, target: float) -> int:
        return (
            bisect.bisect_left(range(1, job.steps), True, key=lambda k: float(run(start, k)()) <= target * (1 + 1e-6))
            + 1
        )

    def reach() -> Reached:
        if not steps:
            compiled = harness.timed(run, weights[0], 1).seconds
            steps.extend(fewest(start, target) for start, target in zip(weights, targets, strict=True))
            return Reached([compiled], steps)
        return Reached([harness.timed(run, start, k).seconds for start, k in zip(weights, steps, strict=True)], steps)

    return reach


class Outcome(NamedTuple):
    """By contender: seconds of each round and start, steps of each start, seconds of the first run."""

    seconds: dict[str, np.ndarray]
    steps: dict[str, list[int]]
    first: dict[str, float]


def race(job: Job, starts: int, rounds: int) -> Outcome:
    """All contenders to the loss that all of them reach."""
    contenders = CONTENDERS[job.rule]
    ends = []
    for make in contenders.values():
        worker = harness.Worker(last_losses, job, starts, *make)
        ends.append(worker().value)
        worker.close()
    targets = np.max(ends, axis=0).tolist()
    workers = {name: harness.Worker(to_target, job, targets, *make) for name, make in contenders.items()}
    first = {name: worker().value for name, worker in workers.items()}
    results = harness.take_turns(workers, rounds)
    for worker in workers.values():
        worker.close()
    return Outcome(
        {name: np.array([timing.value.seconds for timing in timings]) for name, timings in results.items()},
        {name: reached.steps for name, reached in first.items()},
        {name: reached.seconds[0] for name, reached in first.items()},
    )


def ratio(outcome: Outcome, peer: str, ours: str) -> harness.Ratio:
    """Time of the peer over ours: median of the starts, lowest, highest."""
    by_start = np.median(outcome.seconds[peer] / outcome.seconds[ours], axis=0)
    return harness.Ratio(float(np.median(by_start)), float(by_start.min()), float(by_start.max()))


def row(job: Job, outcome: Outcome) -> tuple[list[str], list[str]]:
    """(ratios, times) of a job."""
    if job.rule == "L-BFGS":
        peer, judged = "scikit-learn", "fit"
        others = [str(ratio(outcome, peer, "loop"))]
    else:
        peer, judged = min(("NumPy", "JAX"), key=lambda name: float(np.median(outcome.seconds[name]))), "loop"
        others = [str(ratio(outcome, peer, "factors")), peer]
    found = ratio(outcome, peer, judged)
    verdict = f"{found}, asked {job.required:g}: {'met' if found.middle >= job.required else 'MISSED'}"
    times = [
        f"{1e3 * np.median(outcome.seconds[name]):.1f} / {np.median(outcome.steps[name]):.0f}"
        f" / {outcome.first[name]:.1f}"
        for name in CONTENDERS[job.rule]
    ]
    return [job.name, verdict, *others], [job.name, *times]


HEADERS = {
    "L-BFGS": ["L-BFGS: table, network", "scikit-learn over a fit's loop", "over a loop in float64"],
    "LM": ["LM: table, network", "SciPy over axonic", 'with damping="factors"', "SciPy's faster Jacobian"],
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=HEADERS, help="one rule")
    parser.add_argument("--table", help="one table")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of OpenBLAS")
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = str(
        options.threads
    )  # inherited: a worker imports this module, and NumPy, first
    print("Time of the peer over time of axonic, to the same training loss: median of the starts (lowest to highest).")
    for rule, header in HEADERS.items():
        if options.only in (None, rule):
            jobs = [job for job in JOBS if job.rule == rule and options.table in (None, job.data)]
            rows = []
            for job in jobs:
                rows.append(row(job, race(job, options.starts, options.rounds)))
                print(*rows[-1], sep="\n", file=sys.stderr, flush=True)  # it takes minutes
            print("\n" + harness.table(header, [ratios for ratios, _ in rows]))
            print("\nMilliseconds / steps (SciPy's LM: evaluations) / seconds of the first run.\n")
            print(harness.table([header[0], *CONTENDERS[rule]], [times for _, times in rows]), flush=True)


if __name__ == "__main__":
    main()
