"""Training throughput, fit to fit: the same data, network, batch size, rule and number of epochs for every contender.

    python benchmarks/throughput.py [--quick] [--only NAME] [--rounds N]

Every contender runs in a process of its own and they take turns. A fit is what a user waits for: from arrays to a new
trained network, with a shuffle and a training loss for every epoch, nothing held out, a fixed rate. The first fit of
each process is set apart (its excess over the later ones is mostly compilation). The table holds the time of each peer
over the time of axonic, so a figure above 1 means that axonic is faster.

The hand-written loop is what a JAX user would write for this one network and nothing else: a jitted scan over the steps
of an epoch, the permutation and the gather inside, the state donated. It has no validation, no stopping, no weights of
rows, no padding of the last batch. "The same without shuffling" is a bound for any loop that has to shuffle.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

import harness
import numpy as np

RATE, MOMENTUM = 0.02, 0.9


class Job(NamedTuple):
    """What is trained, and the least ratio asked of axonic against each peer.

    steps : steps of a fit; `n` rows, a multiple of `batch`, are gone through as often as that takes.
    """

    sizes: tuple[int, ...]
    batch: int
    n: int
    steps: int
    required: dict[str, float]

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    @property
    def epochs(self) -> int:
        return self.steps * self.batch // self.n

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard normal inputs, classes of a random linear teacher."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.n, self.sizes[0]), dtype=np.float32)
        return x, (x @ rng.standard_normal((self.sizes[0], self.sizes[-1]))).argmax(axis=1)

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Initial weights and biases of each layer."""
        rng = np.random.default_rng(1)
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        scaled = [
            np.sqrt(2 / n_in, dtype=np.float32) * rng.standard_normal((n_in, n_out), np.float32)
            for n_in, n_out in pairs
        ]
        return [(w, np.zeros(w.shape[1], np.float32)) for w in scaled]


JOBS = (
    Job((20, 64, 64, 3), 32, 3200, 5000, {"scikit-learn": 5, "PyTorch": 8, "JAX loop": 0.9}),
    Job((4, 8, 3), 16, 1600, 6000, {"scikit-learn": 8, "PyTorch": 8, "JAX loop": 0.9}),
    Job((784, 128, 10), 32, 6400, 6000, {"scikit-learn": 2, "PyTorch": 2, "JAX loop": 0.9}),
    Job((784, 256, 128, 10), 128, 6400, 1500, {"scikit-learn": 1, "PyTorch": 1, "JAX loop": 0.9}),
    Job((100, 512, 512, 512, 10), 256, 12800, 1000, {"scikit-learn": 1, "PyTorch": 1, "JAX loop": 0.9}),
)


def axonic(job: Job) -> Callable[[], float]:
    """The estimator as a user calls it."""
    from axonic import FeedForwardClassifier
    from axonic.optimizers import Momentum

    x, y = job.data()
    model = FeedForwardClassifier(
        job.sizes[1:-1],
        optimizer=Momentum(momentum=MOMENTUM, dampening=False),
        learning_rate=RATE,
        batch_size=job.batch,
        epochs=job.epochs,
        standardize=False,
        early_stopping=False,
    )
    return lambda: model.fit(x, y).history_["train_loss"][-1]


def scikit_learn(job: Job) -> Callable[[], float]:
    """MLPClassifier, told to run all epochs."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y = job.data()
    model = MLPClassifier(
        job.sizes[1:-1],
        solver="sgd",
        alpha=0.0,
        batch_size=job.batch,
        learning_rate_init=RATE,
        max_iter=job.epochs,
        tol=0.0,
        n_iter_no_change=job.epochs + 1,
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        random_state=0,
    )
    return lambda: model.fit(x, y).loss_


def torch(job: Job, threads: int, device: str = "cpu") -> Callable[[], float]:
    """PyTorch eager with a loop of one's own: rows shuffled and losses read once an epoch, batches are views."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    inputs, classes = job.data()

    def network() -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_in, n_out in zip(job.sizes[:-1], job.sizes[1:], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def fit() -> float:
        x, y = torch.from_numpy(inputs).to(device), torch.from_numpy(classes).to(device)
        model, loss_of = network().to(device), nn.CrossEntropyLoss()
        rule = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
        mean = 0.0
        for _ in range(job.epochs):
            order = torch.randperm(job.n, device=device)
            total = torch.zeros((), device=device)
            for xb, yb in zip(x[order].split(job.batch), y[order].split(job.batch), strict=True):
                loss = loss_of(model(xb), yb)
                rule.zero_grad()
                loss.backward()
                rule.step()
                total += loss.detach()
            mean = total.item() * job.batch / job.n
        return mean

    return fit


def keras(job: Job) -> Callable[[], float]:
    """Keras on JAX; one model, its weights put back before every fit, so that it compiles once."""
    import keras

    x, y = job.data()
    layers = [keras.layers.Dense(n, activation="relu") for n in job.sizes[1:-1]]
    model = keras.Sequential([keras.Input(job.sizes[:1]), *layers, keras.layers.Dense(job.sizes[-1])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, MOMENTUM), loss)
    model.optimizer.build(model.trainable_variables)
    variables = model.variables + model.optimizer.variables
    start = [np.array(variable) for variable in variables]

    def fit() -> float:
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        return model.fit(x, y, batch_size=job.batch, epochs=job.epochs, verbose=0).history["loss"][-1]

    return fit


def jax_loop(job: Job, shuffle: bool) -> Callable[[], float]:
    """The reference for "no overhead of ours"; see the module."""
    import functools

    import jax
    import jax.numpy as jnp

    inputs, classes = job.data()

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
        w, b = params[-1]
        return -jnp.take_along_axis(jax.nn.log_softmax(x @ w + b), y[:, None], axis=1).mean()

    def step(state: Any, x: Any, y: Any) -> tuple[Any, Any]:
        params, velocity = state
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        return (jax.tree.map(lambda p, v: p - RATE * v, params, velocity), velocity), loss

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, x: Any, y: Any, key: Any) -> tuple[Any, Any]:
        if shuffle:
            order = jax.random.permutation(key, job.n).reshape(-1, job.batch)
            state, losses = jax.lax.scan(lambda state, rows: step(state, x[rows], y[rows]), state, order)
        else:
            batches = x.reshape(-1, job.batch, job.sizes[0]), y.reshape(-1, job.batch)
            state, losses = jax.lax.scan(lambda state, xy: step(state, *xy), state, batches)
        return state, losses.mean()

    def fit() -> float:
        x, y = jax.device_put((inputs, classes.astype(np.int32)))
        params = job.weights()
        state = params, jax.tree.map(np.zeros_like, params)
        keys = np.random.default_rng(2).integers(0, 2**32, (job.epochs, 2), dtype=np.uint32)
        losses = []
        for key in keys:
            state, loss = epoch(state, x, y, key)
            losses.append(loss)
        jax.tree.map(np.asarray, state)
        return float(losses[-1])

    return fit


CONTENDERS: dict[str, tuple] = {
    "axonic": (axonic,),
    "scikit-learn": (scikit_learn,),
    "PyTorch": (torch,),
    "Keras on JAX": (keras,),
    "JAX loop": (jax_loop, True),
    "JAX loop, no shuffle": (jax_loop, False),
}
PEERS = tuple(CONTENDERS)[1:]


class Outcome(NamedTuple):
    """Seconds of the later fits by contender, seconds of the first fit above them, the last training loss, and the
    number of threads PyTorch ran on."""

    seconds: dict[str, list[float]]
    first: dict[str, float]
    loss: dict[str, float]
    threads: int


def torch_threads(job: Job) -> int:
    """1 or 2, whichever trains a few epochs in less time."""
    short = job._replace(steps=max(job.n // job.batch, job.steps // 10))
    workers = {threads: harness.Worker(torch, short, threads) for threads in (1, 2)}
    harness.take_turns(workers, 1)
    results = harness.take_turns(workers, 3)
    for worker in workers.values():
        worker.close()
    return min(results, key=lambda threads: harness.median([fit.seconds for fit in results[threads]]))


def race(job: Job, rounds: int) -> Outcome:
    """Let all contenders train."""
    threads = torch_threads(job)
    with tempfile.TemporaryDirectory() as cache:  # an empty one, so that axonic's first fit compiles
        environment = {"XDG_CACHE_HOME": cache, "KERAS_BACKEND": "jax"}
        workers = {}
        for name, (make, *args) in CONTENDERS.items():
            args = [threads] if make is torch else args
            workers[name] = harness.Worker(make, job, *args, environment=environment)
        first = {name: worker() for name, worker in workers.items()}
        results = harness.take_turns(workers, rounds)
        for worker in workers.values():
            worker.close()
    seconds = {name: [fit.seconds for fit in fits] for name, fits in results.items()}
    excess = {name: first[name].seconds - harness.median(seconds[name]) for name in CONTENDERS}
    return Outcome(seconds, excess, {name: fits[-1].value for name, fits in results.items()}, threads)


def report(outcomes: list[tuple[Job, Outcome]]) -> str:
    """The tables."""
    ratios, steps, first = [], [], []
    for job, outcome in outcomes:
        label = f"{job.name}, {job.batch}"
        ratios.append([label, *(_verdict(job, outcome, peer) for peer in PEERS)])
        medians = [harness.median(outcome.seconds[name]) for name in CONTENDERS]
        figures = [harness.figure(1e6 * seconds / job.steps) for seconds in medians]
        steps.append([label, f"{job.n} x {job.epochs}", outcome.threads, *figures])
        first.append([label, *(f"{outcome.first[name]:.2f} / {outcome.loss[name]:.3f}" for name in CONTENDERS)])
    return "\n\n".join(
        [
            "Time of the peer over time of axonic: median of the rounds (lowest to highest).",
            harness.table(["network, batch", *PEERS], ratios),
            "Microseconds a step, everything in a fit counted but the excess of the first fit.",
            harness.table(["network, batch", "rows x epochs", "PyTorch's threads", *CONTENDERS], steps),
            "Seconds of the first fit above the later ones (mostly compilation) / training loss of the last epoch.",
            harness.table(["network, batch", *CONTENDERS], first),
        ]
    )


def _verdict(job: Job, outcome: Outcome, peer: str) -> str:
    ratio = harness.Ratio.of(outcome.seconds[peer], outcome.seconds["axonic"])
    least = job.required.get(peer)
    if least is None:
        return str(ratio)
    return f"{ratio}, asked {least:g}: {'met' if ratio.middle >= least else 'MISSED'}"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Training throughput against peers.")
    parser.add_argument("--quick", action="store_true", help="two rounds of a third of the steps")
    parser.add_argument("--only", choices=[job.name for job in JOBS], help="one network")
    parser.add_argument("--rounds", type=int, help="how often every contender trains (default 5)")
    options = parser.parse_args()
    outcomes = []
    for job in JOBS:
        if options.only in (None, job.name):
            job = job._replace(steps=job.steps // 3 if options.quick else job.steps)
            outcomes.append((job, race(job, options.rounds or (2 if options.quick else 5))))
            if options.only is None:
                print(report(outcomes[-1:]), file=sys.stderr, flush=True)  # it takes minutes
    print(report(outcomes))


if __name__ == "__main__":
    main()
