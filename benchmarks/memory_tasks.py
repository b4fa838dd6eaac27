"""Long memory.

    python memory_tasks.py [--seeds 5] [--first 0] [--cells lstm,gru,rnn] [--tasks adding,copy] [--no-chrono] [--short]

adding    100 steps of a random number and a mark; two steps are marked, and the answer is the sum of their numbers
          (Hochreiter and Schmidhuber 1997). Always answering 1 has a mean squared error of 1/6.
copy      ten symbols of eight, 50 blank steps, and a signal from which on they are to be repeated (Arjovsky et al.
          2016). Remembering nothing costs ln 8 at each of the ten steps.

Both with PyTorch's habits for such tasks (Adam, 128 units, batches of 64, clipping at 1) and given rates: what is
measured is what the cell remembers. On the copy problem the LSTM begins with chrono=60, a memory of the 60 steps from
a symbol to its copy; `--no-chrono` leaves that out. Prints the error of each seed on fresh sequences, and what the
findings say.
"""

import argparse
import warnings

import numpy as np

from axonic import RecurrentClassifier, RecurrentRegressor

SYMBOLS, ITEMS = 8, 10


def adding(rng, n, time=100):
    """(X (n, time, 2), y (n,))."""
    values, marks = rng.random((n, time)), np.zeros((n, time))
    first, second = rng.integers(0, time // 2, n), rng.integers(time // 2, time, n)
    rows = np.arange(n)
    marks[rows, first] = marks[rows, second] = 1
    return np.stack([values, marks], axis=2), values[rows, first] + values[rows, second]


def copying(rng, n, blank=50):
    """(X (n, steps, symbols), y (n, steps)); symbols 0 to 7, 8 is blank, 9 the signal."""
    items = rng.integers(0, SYMBOLS, (n, ITEMS))
    time = 2 * ITEMS + blank
    x, y = np.full((n, time), SYMBOLS), np.full((n, time), SYMBOLS)
    x[:, :ITEMS] = items
    x[:, ITEMS + blank - 1] = SYMBOLS + 1
    y[:, -ITEMS:] = items
    return (x[..., None] == np.arange(SYMBOLS + 2)).astype(float), y


def run(task, cell, seed, chrono, short):
    """(error on fresh sequences, codes of the findings)."""
    rng = np.random.default_rng(seed)
    n, epochs = (512, 2) if short else (20_000, 60)
    options = {
        "hidden_layer_sizes": (128,),
        "learning_rate": 2e-3 if task == "adding" else 3e-3,
        "batch_size": 64,
        "epochs": epochs,
        "ensemble": 1,
        "regularization": None,
        "random_state": seed,
        "standardize": False,
        "bidirectional": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if task == "adding":
            X, y = adding(rng, n)
            model = RecurrentRegressor(cell, **options).fit(X, y)
            X, y = adding(rng, 2000)
            error = float(np.mean((model.predict(X) - y) ** 2))
        else:
            X, y = copying(rng, n)
            memory = 60 if chrono and cell == "lstm" else None
            model = RecurrentClassifier(cell, head="every", chrono=memory, **options).fit(X, y)
            X, y = copying(rng, 500)
            p = model.predict_proba(X)[:, -ITEMS:]
            true = np.take_along_axis(p, y[:, -ITEMS:, None], axis=2)
            error = float(-np.log(np.maximum(true, 1e-12)).mean())
    return error, [f"{finding.code} [{finding.where}]" for finding in model.findings_]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cells", default="lstm,gru,rnn")
    parser.add_argument("--tasks", default="adding,copy")
    parser.add_argument("--no-chrono", action="store_true")
    parser.add_argument("--short", action="store_true", help="to see that it runs")
    arguments = parser.parse_args()
    print(f"nothing remembered: adding {1 / 6:.4f}, copy {np.log(SYMBOLS):.4f}")
    for task in arguments.tasks.split(","):
        for cell in arguments.cells.split(","):
            for seed in range(arguments.first, arguments.first + arguments.seeds):
                error, codes = run(task, cell, seed, not arguments.no_chrono, arguments.short)
                print(f"{task} {cell} seed {seed}: {error:.5f} {', '.join(codes)}", flush=True)


if __name__ == "__main__":
    main()
