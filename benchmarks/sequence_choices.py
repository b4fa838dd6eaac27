"""Which recurrent network to take when nothing is known of the sequences: choices compared on eleven sets.

    python sequence_choices.py [--seeds 2] [--sets GunPoint,waves] [--choices "last;mean"] [--save FILE | --load FILE]

Three sets are aeon's with their own test parts (see `sequences.py` for where they are read from), digits are taken row
by row, the others are generated: three classics of the field (cylinder, bell and funnel of Saito 1994; control charts
of Alcock and Manolopoulos 1999; two patterns of Geurts 2002) and four of lengths that differ or memories that are long.
Each fit is that of one network with default settings but for the choice. A cell is the mean over the seeds of the test
log-loss, or of the squared error over the target's variance; "over" is the geometric mean of the ratios to the first
choice.
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
}
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
    "shapes": (shapes, 90),
    "charts": (charts, 180),
    "patterns": (patterns, 300),
    "chains": (chains, 200),
    "motifs": (motifs, 300),
    "waves": (waves, 300),
    "adding": (functools.partial(adding, time=50), 1000),
    "digits": (digits, 400),
}
SETS = ("GunPoint", "BasicMotions", "ArrowHead", *GENERATED)


def load(name, seed):
    """((X, y) to train on, (X, y) to test on)."""
    if name not in GENERATED:
        return classification(name)
    make, n = GENERATED[name]
    x, y = make(np.random.default_rng([seed, len(name)]), n + TEST)
    return (x[:n], y[:n]), (x[n:], y[n:])


def measure(job):
    """[test loss, epochs, seconds] of one fit."""
    name, choice, seed = job
    warnings.simplefilter("ignore", ConvergenceWarning)
    (x, y), (x_test, y_test) = load(name, seed)
    estimator = RecurrentRegressor if y.dtype.kind == "f" else RecurrentClassifier
    begun = time.perf_counter()
    model = estimator(**CHOICES[choice], ensemble=1, random_state=seed).fit(x, y)
    seconds = time.perf_counter() - begun
    if y.dtype.kind == "f":
        loss = float(np.mean((model.predict(x_test) - y_test) ** 2) / np.var(y_test))
    else:
        loss = float(log_loss(y_test, model.predict_proba(x_test), labels=model.classes_))
    return [loss, model.n_iter_, seconds]


def report(found):
    """The tables, from {"set, choice": [[loss, epochs, seconds] of each seed]}."""
    names = list(dict.fromkeys(key.rsplit("|", 1)[0] for key in found))
    choices = list(dict.fromkeys(key.rsplit("|", 1)[1] for key in found))
    mean = np.array([[np.mean(found[f"{name}|{choice}"], axis=0) for choice in choices] for name in names])
    rows = [[name, *(f"{loss:.4f}" for loss in each)] for name, each in zip(names, mean[:, :, 0], strict=True)]
    logs = np.log(np.maximum(mean[:, :, 0], FLOOR))
    logs -= logs[:, :1]
    error = logs.std(axis=0, ddof=1) / np.sqrt(len(names)) if len(names) > 1 else np.zeros(len(choices))
    middle = np.exp(logs.mean(axis=0))
    rows.append(["over", *(f"{m:.2f} ± {m * e:.2f}" for m, e in zip(middle, error, strict=True))])
    times = np.exp(np.log(mean[:, :, 2] / mean[:, :1, 2]).mean(axis=0))
    rows.append(["time over", *map(harness.figure, times)])
    return harness.table(["test loss", *choices], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--choices", help="which, between semicolons")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--load", type=Path)
    options = parser.parse_args()
    if options.load:
        print(report(json.loads(options.load.read_text())))
        return
    choices = options.choices.split(";") if options.choices else list(CHOICES)
    jobs = [(n, c, s) for n in options.sets.split(",") for c in choices for s in range(options.seeds)]
    found = {}
    with ProcessPoolExecutor(options.processes) as pool:
        for (name, choice, _), result in zip(jobs, pool.map(measure, jobs), strict=True):
            found.setdefault(f"{name}|{choice}", []).append(result)
            print(name, choice, *map(harness.figure, result), flush=True)
            if options.save:
                options.save.write_text(json.dumps(found))
    print(report(found))


if __name__ == "__main__":
    main()
