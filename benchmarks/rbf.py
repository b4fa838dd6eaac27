"""Networks of radial basis functions in closed form against scikit-learn's Nystroem with as many components.

    python benchmarks/rbf.py [--splits 10] [--tables wine,ring]

The peers: Nystroem with its defaults behind a scaler, and logistic regression or ridge regression with leave-one-out
(RidgeCV), "tuned" with the width (a factor of the default gamma) and C chosen by five-fold cross-validation. axonic
chooses width and ridge itself. Scores are accuracy or root mean squared error on a quarter of the rows; times of whole
fits, taken in turns, as ratios of the peer's to axonic's. "auto" also chooses the number of centres.
"""

import argparse
import warnings
from typing import Any

import harness
import numpy as np
from sklearn import datasets
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from axonic import RBFClassifier, RBFRegressor

CENTERS = {"wine": 30, "breast_cancer": 50, "digits": 100, "diabetes": 50, "banana": 40, "ring": 40}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two of them are generated: bananas that lie in each other's arm, and a ring around a disc."""
    rng = np.random.default_rng(0)
    side, turn = rng.integers(0, 2, 800), rng.uniform(-np.pi / 2, np.pi / 2, 800)
    if name == "banana":
        sign = 1 - 2 * side
        x = np.stack([sign * np.cos(turn) + side, np.sin(turn) + 0.5 * side], axis=1)
        return x + 0.3 * rng.standard_normal((800, 2)), side
    if name == "ring":
        radius = 1 + side + 0.35 * rng.standard_normal(800)
        return np.stack([radius * np.cos(2 * turn), radius * np.sin(2 * turn)], axis=1), side
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def peers(m: int, n_in: int, classes: bool, seed: int) -> dict[str, Any]:
    """The peers by name."""
    last = LogisticRegression(max_iter=1000) if classes else RidgeCV(np.logspace(-6, 3, 10))
    plain = make_pipeline(StandardScaler(), Nystroem(n_components=m, random_state=seed), last)
    grid: dict[str, Any] = {"nystroem__gamma": [0.1 / n_in, 0.3 / n_in, 1 / n_in]}
    if classes:
        grid["logisticregression__C"] = [1.0, 30.0, 1000.0]
    return {"Nystroem": plain, "Nystroem, tuned": GridSearchCV(plain, grid, cv=5)}


def measure(name: str, split: int) -> dict[str, tuple[float, float, float]]:
    """(score, log-loss, seconds) of every contender."""
    x, y = load(name)
    classes = name != "diabetes"
    x, x_test, y, y_test = train_test_split(x, y, random_state=split, stratify=y if classes else None)
    ours = RBFClassifier if classes else RBFRegressor
    contenders = {
        "axonic": ours(n_centers=CENTERS[name], random_state=split),
        "axonic, auto": ours(random_state=split),
        **peers(CENTERS[name], x.shape[1], classes, split),
    }
    found = {}
    for label, model in contenders.items():
        seconds, model = harness.timed(model.fit, x, y)
        if classes:
            found[label] = model.score(x_test, y_test), log_loss(y_test, model.predict_proba(x_test)), seconds
        else:
            found[label] = float(np.sqrt(np.mean((model.predict(x_test) - y_test) ** 2))), np.nan, seconds
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--tables", default=",".join(CENTERS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    scores, losses, times = [], [], []
    for name in options.tables.split(","):
        measure(name, 0)  # imports and compiles what there is
        results = [measure(name, split) for split in range(options.splits)]
        labels = list(results[0])
        mean = {label: np.mean([each[label] for each in results], axis=0) for label in labels}
        scores.append([name, CENTERS[name], *(f"{mean[label][0]:.4f}" for label in labels)])
        losses.append([name, *(f"{mean[label][1]:.4f}" for label in labels)])
        seconds = {label: [each[label][2] for each in results] for label in labels}
        times.append([name, *(str(harness.Ratio.of(seconds[label], seconds["axonic"])) for label in labels[1:])])
    print(harness.table(["score", "centres", *labels], scores))
    print("\n" + harness.table(["log-loss", *labels], losses))
    print("\n" + harness.table(["time over axonic's", *labels[1:]], times))


if __name__ == "__main__":
    main()
