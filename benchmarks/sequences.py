"""Real sequences with default settings: `python sequences.py [--seeds 5] [--only NAME,NAME]`.

Two classifications on their own test parts (BasicMotions, GunPoint, of the package aeon) and two forecasts, one step
ahead, of their last fifth (yearly sunspots, monthly co2, of statsmodels), for several seeds. Peers, in the same run:
PyTorch's LSTM of the same size with Adam at 1e-3, stopped by validation; for forecasts also the value a season ago and
a least-squares autoregression of the same window.

aeon asks for older versions of other packages; only its data are read: `pip install --no-deps --target DIR aeon`, and
`AEON=DIR`.
"""

import argparse
import os
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from axonic import RecurrentClassifier, RecurrentRegressor

CLASSIFICATIONS = ("BasicMotions", "GunPoint")
FORECASTS = {"sunspots": (22, 11), "co2": (24, 12)}
"""Window and season of each series, in its own steps."""
HIDDEN = 64


def read_ts(path):
    """(X (n, time, features), y) of a .ts file whose sequences are of one length."""
    lines = path.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.lower().startswith("@data"))
    sequences, labels = [], []
    for line in lines[start + 1 :]:
        if line.strip():
            *dimensions, label = line.strip().split(":")
            sequences.append(np.array([np.array(d.split(","), float) for d in dimensions]).T)
            labels.append(label)
    return np.stack(sequences), np.array(labels)


def aeon_folder():
    """Where aeon keeps its data."""
    if "AEON" in os.environ:
        return Path(os.environ["AEON"]) / "aeon" / "datasets" / "data"
    spec = find_spec("aeon")
    if spec is None or spec.origin is None:
        raise SystemExit("aeon is not there: see the head of this file")
    return Path(spec.origin).parent / "datasets" / "data"


def classification(name):
    """((X, y) to train on, (X, y) to test on)."""
    folder = aeon_folder() / name
    return [read_ts(folder / f"{name}_{part}.ts") for part in ("TRAIN", "TEST")]


def series(name):
    """The values of a series."""
    import statsmodels.api as sm

    if name == "sunspots":
        return sm.datasets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float)
    weekly = sm.datasets.co2.load_pandas().data["co2"]
    return weekly.resample("MS").mean().interpolate().to_numpy(float)


def torch_lstm(X, y, seed, n_out, valid, *, classes):
    """PyTorch's LSTM with Adam at 1e-3, batches of 32; the weights of the best validation loss, which may be flat for
    100 epochs. Returns a function from X to outputs."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(2)
    lstm, head = torch.nn.LSTM(X.shape[2], HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, n_out)
    parameters = [*lstm.parameters(), *head.parameters()]
    rule = torch.optim.Adam(parameters, 1e-3)
    loss = torch.nn.CrossEntropyLoss() if classes else torch.nn.MSELoss()
    mean, deviation = X.mean(axis=(0, 1)), X.std(axis=(0, 1))

    def scaled(X):
        return torch.tensor((X - mean) / deviation, dtype=torch.float32)

    def forward(x):
        return head(lstm(x)[0][:, -1])

    x, t = scaled(X), torch.tensor(y, dtype=torch.long if classes else torch.float32)
    held = np.zeros(len(x), bool)
    held[valid] = True
    train, held = np.flatnonzero(~held), np.flatnonzero(held)
    rng = np.random.default_rng(seed)
    best, since, kept = np.inf, 0, None
    for _ in range(1000):
        for rows in np.array_split(rng.permutation(train), max(1, round(len(train) / 32))):
            rule.zero_grad()
            loss(forward(x[rows]), t[rows]).backward()
            rule.step()
        with torch.no_grad():
            now = float(loss(forward(x[held]), t[held]))
        if now < best:
            best, since, kept = now, 0, [p.detach().clone() for p in parameters]
        elif (since := since + 1) >= 100:
            break
    with torch.no_grad():
        for p, k in zip(parameters, kept, strict=True):
            p.copy_(k)

    def predict(X):
        with torch.no_grad():
            return forward(scaled(X)).numpy()

    return predict


def classify(name, seed, peer, chrono):
    """Accuracies on the test part."""
    (X, y), (X_test, y_test) = classification(name)
    begun = time.perf_counter()
    model = RecurrentClassifier(random_state=seed, chrono=chrono).fit(X, y)
    ours = model.score(X_test, y_test)
    print(
        f"  {name} seed {seed}: {ours:.4f} (rate {model.learning_rate_:g}, {model.n_iter_} epochs, "
        f"{time.perf_counter() - begun:.0f} s)",
        flush=True,
    )
    if not peer:
        return ours, np.nan
    classes = np.unique(y)
    codes = np.searchsorted(classes, y)
    rng = np.random.default_rng(seed)
    valid = np.concatenate(
        [rng.permutation(np.flatnonzero(codes == c))[: max(1, round(0.15 * (codes == c).sum()))] for c in set(codes)]
    )
    predict = torch_lstm(X, codes, seed, len(classes), valid, classes=True)
    return ours, float(np.mean(classes[predict(X_test).argmax(axis=1)] == y_test))


def forecast(name, seed, peer, chrono):
    """Root mean squared errors of one step ahead over the last fifth: ours, PyTorch, seasonal, autoregression."""
    values = series(name)
    window, season = FORECASTS[name]
    first = len(values) - len(values) // 5
    past, future = values[:first], np.arange(first, len(values))
    X = values[np.arange(len(values) - window)[:, None] + np.arange(window)]
    y = values[window:]
    tested = np.arange(first - window, len(values) - window)
    rmse = lambda predicted: float(np.sqrt(np.mean((predicted - values[future]) ** 2)))  # noqa: E731
    model = RecurrentRegressor(random_state=seed, chrono=chrono).fit_series(past, window)
    ours = rmse(np.array([model.forecast(values[:t])[0] for t in future]))
    seasonal = rmse(values[future - season])
    design = np.column_stack([X, np.ones(len(X))])
    fitted = np.arange(first - window)
    w = np.linalg.lstsq(design[fitted], y[fitted], rcond=None)[0]
    autoregression = rmse(design[tested] @ w)
    torch = np.nan
    if peer:
        mean, deviation = past.mean(), past.std()
        valid = fitted[-round(0.15 * len(fitted)) :]
        scale = lambda v: (v - mean) / deviation  # noqa: E731
        predict = torch_lstm(X[fitted][..., None], scale(y[fitted])[:, None], seed, 1, valid, classes=False)
        torch = rmse(predict(X[tested][..., None])[:, 0] * deviation + mean)
    print(
        f"  {name} seed {seed}: {ours:.4f}, PyTorch {torch:.4f}, seasonal {seasonal:.4f}, AR {autoregression:.4f}",
        flush=True,
    )
    return ours, torch, seasonal, autoregression


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default=",".join([*CLASSIFICATIONS, *FORECASTS]))
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--chrono", type=int, help="steps that ours are to remember from the start")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only.split(","):
        one = classify if name in CLASSIFICATIONS else forecast
        peer, seeds = not arguments.no_peer, range(arguments.seeds)
        results = np.array([one(name, seed, peer, arguments.chrono) for seed in seeds])
        rows.append(
            [
                name,
                *(
                    f"{m:.4f} ({low:.4f} to {high:.4f})"
                    for m, low, high in zip(results.mean(axis=0), results.min(axis=0), results.max(axis=0), strict=True)
                ),
            ]
        )
    print("accuracy, or root mean squared error: mean over seeds (lowest to highest)")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
