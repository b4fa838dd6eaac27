"""Which recurrent network to take when nothing is known of the sequences: choices compared on eleven sets.

    python sequence_choices.py [--seeds 2] [--sets GunPoint,waves] [--choices "last;mean"] [--few] [--networks 5]
        [--save FILE | --load FILE]

Three sets are aeon's with their own test parts (see `sequences.py` for where they are read from), digits are taken row
by row, the others are generated: three classics of the field (cylinder, bell and funnel of Saito 1994; control charts
of Alcock and Manolopoulos 1999; two patterns of Geurts 2002) and four of lengths that differ or memories that are long.
Each fit is that of one network, or of `--networks`, with default settings but for the choice; `--few` takes a part of
the sequences that were generated, so that fewer than 20 are held out. A cell is the mean over the seeds of the test
log-loss, or of the squared error over the target's variance, and of the share that is right; "over" is the geometric
mean of the ratios to the first choice.
"""

import argparse
import functools
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import harness
import numpy as np
from memory_tasks import adding
from sequences import classification
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss

from axonic import RecurrentClassifier, RecurrentRegressor
from axonic.recipe import penalty

CHOICES = {
    "last": {},
    "mean": {"head": "mean"},
    "both ways, last": {"bidirectional": True},
    "both ways, mean": {"bidirectional": True, "head": "mean"},
    "gru, last": {"cell": "gru"},
    "input noise .1": {"input_noise": 0.1},
    "slicing .1": {"slicing": 0.1},
    "weight average .99": {"weight_average": 0.99},
    "dropout .2": {"dropout": 0.2},
    "batches of 16": {"batch_size": 16},
    "both ways, batches of 16": {"bidirectional": True, "batch_size": 16},
    "both ways of 32, batches of 16": {"bidirectional": True, "batch_size": 16, "hidden_layer_sizes": (32,)},
    "c of 1": {"penalties": (1.0,)},
    "c of 1, batches of 16": {"penalties": (1.0,), "batch_size": 16},
}
"""Parameters of the estimator; "penalties" are the candidates of c, of which there are two by default (with one network
there is no choice)."""
CANDIDATES = penalty.PENALTIES
TEST = 500
FLOOR = 1e-3
"""Losses are compared no further down than this."""


def shapes(rng, n):
    """Cylinder, bell and funnel: 128 steps, three classes."""
    label, t = rng.integers(0, 3, n), np.arange(128)
    a = rng.uniform(16, 32, (n, 1))
    b = a + rng.uniform(32, 96, (n, 1))
    inside = (t >= a) & (t <= b)
    form = np.choose(label[:, None], [np.ones((n, 128)), (t - a) / (b - a), (b - t) / (b - a)])
    x = (6 + rng.standard_normal((n, 1))) * inside * form + rng.standard_normal((n, 128))
    return x[..., None], label


def charts(rng, n):
    """Control charts: 60 steps; normal, cyclic, trend up and down, shift up and down."""
    label, t = rng.integers(0, 6, n), np.arange(60.0)
    column = (n, 1)
    cyclic = rng.uniform(10, 15, column) * np.sin(2 * np.pi * t / rng.uniform(10, 15, column))
    trend = rng.uniform(0.2, 0.5, column) * t
    shift = rng.uniform(7.5, 20, column) * (t >= rng.integers(20, 41, column))
    part = np.choose(label[:, None], [np.zeros((n, 60)), cyclic, trend, -trend, shift, -shift])
    return (30 + 2 * rng.uniform(-3, 3, (n, 60)) + part)[..., None], label


def patterns(rng, n):
    """Two patterns: 128 steps of noise with two steps up or down in it; which two, in their order."""
    label = rng.integers(0, 4, n)
    x = rng.standard_normal((n, 128))
    for i in range(n):
        first, second = rng.integers(5, 40), rng.integers(65, 100)
        for begin, up in ((first, label[i] // 2), (second, label[i] % 2)):
            half = rng.integers(7, 13)
            sign = 1 if up else -1
            x[i, begin : begin + half] = -5 * sign
            x[i, begin + half : begin + 2 * half] = 5 * sign
    return x[..., None], label


def chains(rng, n):
    """Strings of 10 to 60 symbols out of six, from one of four Markov chains."""
    chain = np.random.default_rng(5).dirichlet(np.full(6, 1.0), (4, 6))
    label, found = rng.integers(0, 4, n), []
    for kind in label:
        symbols = [rng.integers(6)]
        for _ in range(rng.integers(9, 60)):
            symbols.append(rng.choice(6, p=chain[kind, symbols[-1]]))
        found.append(np.eye(6)[symbols])
    return found, label


def motifs(rng, n):
    """Whether a motif of eight steps occurs somewhere in 40 to 120 steps of noise, three columns wide."""
    motif = 2 * np.random.default_rng(6).standard_normal((8, 3))
    label, found = rng.integers(0, 2, n), []
    for kind in label:
        x = rng.standard_normal((rng.integers(40, 121), 3))
        if kind:
            begin = rng.integers(0, len(x) - 8)
            x[begin : begin + 8] += motif
        found.append(x)
    return found, label


def waves(rng, n):
    """The frequency of a noisy wave of 30 to 90 steps, a number."""
    frequency = rng.uniform(0.02, 0.2, n)
    found = []
    for f in frequency:
        t = np.arange(rng.integers(30, 91))
        x = rng.uniform(0.5, 2) * np.sin(2 * np.pi * (f * t + rng.uniform())) + 0.3 * rng.standard_normal(len(t))
        found.append(x[:, None])
    return found, frequency


def digits(rng, n):
    """scikit-learn's digits, eight rows of eight."""
    x, y = load_digits(return_X_y=True)
    rows = rng.permutation(len(y))[:n]
    return x[rows].reshape(-1, 8, 8), y[rows]


GENERATED = {
    "shapes": (shapes, 90, 60),
    "charts": (charts, 180, 90),
    "patterns": (patterns, 300, 100),
    "chains": (chains, 200, 100),
    "motifs": (motifs, 300, 100),
    "waves": (waves, 300, 100),
    "adding": (functools.partial(adding, time=50), 1000, 100),
    "digits": (digits, 400, 100),
}
"""What makes them, and how many there are to train on, and how many with `--few`."""
SETS = ("GunPoint", "BasicMotions", "ArrowHead", *GENERATED)


def load(name, seed, *, few=False):
    """((X, y) to train on, (X, y) to test on)."""
    if name not in GENERATED:
        return classification(name)
    make, n, part = GENERATED[name]
    x, y = make(np.random.default_rng([seed, len(name)]), n + TEST)
    first = part if few else n
    return (x[:first], y[:first]), (x[n:], y[n:])


def measure(job):
    """[test loss, epochs, seconds, share that is right] of one fit; of numbers the last is NaN."""
    name, choice, seed, few, networks = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    (x, y), (x_test, y_test) = load(name, seed, few=few)
    estimator = RecurrentRegressor if y.dtype.kind == "f" else RecurrentClassifier
    params = dict(CHOICES[choice])
    penalty.PENALTIES = params.pop("penalties", CANDIDATES)
    begun = time.perf_counter()
    model = estimator(**params, ensemble=networks, random_state=seed).fit(x, y)
    seconds = time.perf_counter() - begun
    if y.dtype.kind == "f":
        loss, right = float(np.mean((model.predict(x_test) - y_test) ** 2) / np.var(y_test)), np.nan
    else:
        loss = float(log_loss(y_test, model.predict_proba(x_test), labels=model.classes_))
        right = float(model.score(x_test, y_test))
    return [loss, model.n_iter_, seconds, right]


def report(found):
    """The tables, from {"set, choice": [[loss, epochs, seconds, right] of each seed]}."""
    names = list(dict.fromkeys(key.rsplit("|", 1)[0] for key in found))
    choices = list(dict.fromkeys(key.rsplit("|", 1)[1] for key in found))
    mean = np.array([[np.mean(found[f"{name}|{choice}"], axis=0) for choice in choices] for name in names])
    shown = lambda loss, right: f"{loss:.4f}" if np.isnan(right) else f"{loss:.4f}, {right:.3f}"  # noqa: E731
    rows = [[name, *(shown(*cell) for cell in each)] for name, each in zip(names, mean[:, :, [0, 3]], strict=True)]
    logs = np.log(np.maximum(mean[:, :, 0], FLOOR))
    logs -= logs[:, :1]
    error = logs.std(axis=0, ddof=1) / np.sqrt(len(names)) if len(names) > 1 else np.zeros(len(choices))
    middle = np.exp(logs.mean(axis=0))
    rows.append(["over", *(f"{m:.2f} ± {m * e:.2f}" for m, e in zip(middle, error, strict=True))])
    times = np.exp(np.log(mean[:, :, 2] / mean[:, :1, 2]).mean(axis=0))
    rows.append(["time over", *map(harness.figure, times)])
    return harness.table(["test loss, right", *choices], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--choices", help="which, between semicolons")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--networks", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--load", type=Path)
    options = parser.parse_args()
    if options.load:
        print(report(json.loads(options.load.read_text())))
        return
    choices = options.choices.split(";") if options.choices else list(CHOICES)
    about = options.few, options.networks
    jobs = [(n, c, s, *about) for n in options.sets.split(",") for c in choices for s in range(options.seeds)]
    found = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for (name, choice, *_), result in zip(jobs, pool.map(measure, jobs), strict=True):
            found.setdefault(f"{name}|{choice}", []).append(result)
            print(name, choice, *map(harness.figure, result), flush=True)
            if options.save:
                options.save.write_text(json.dumps(found))
    print(report(found))


if __name__ == "__main__":
    main()
