"""The whole recipe against its parts and against others, on thirteen tables: test loss, mean rank and time.

    python benchmarks/recipe.py [--splits 3] [--tables iris,wine] [--contenders ...] [--save FILE]

Contenders, fitted in turn on the same splits (80 % for training):

    full                recipe="full": rate, batch size, penalty, five long runs, branches
    no branches         the same without the branches; what they earn is the difference
    no batch size       the same with batches of 32
    default             the estimator's default: neither
    one at RATE         one network, no penalty, a fixed rate: the settings of our own without the recipe
    scikit-learn        its MLP with defaults, behind scaling and one-hot encoding as in quality.py
    scikit-learn grid   the better of 2 rates x 2 batch sizes x 2 networks by cross-validation, with early stopping
    RealMLP-TD          pytabkit's, with its tuned defaults

Loss: log-loss, or root mean squared error. Ranks are taken in each split and averaged. The ratio is of the means over
the splits, against "full", geometric over the tables. With `--save` every fit is kept and done once, so a run that was
cut short goes on.
"""

import argparse
import dataclasses
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from quality import scikit_learn, score, with_date_parts
from sklearn.model_selection import GridSearchCV, train_test_split
from tables import MORE, TABLES, all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor

MOST_ROWS = {"randhie": 6000}
RATES = (0.1, 0.03, 0.01)
SETTINGS = {
    "full": {"recipe": "full"},
    "no branches": {"recipe": "full"},
    "no batch size": {"recipe": "full"},
    "default": {},
    **{f"one at {rate:g}": {"learning_rate": rate, "ensemble": 1, "regularization": None} for rate in RATES},
}
OTHERS = ("scikit-learn", "scikit-learn grid", "RealMLP-TD")
GRID = {"learning_rate_init": [1e-3, 1e-2], "batch_size": [32, 128], "hidden_layer_sizes": [(100,), (64, 64)]}


def ours(name: str, task: str, split: int) -> Any:
    """An estimator of axonic; the parts that have no parameter of their own are switched off underneath."""
    estimator = (FeedForwardClassifier if task == "classification" else FeedForwardRegressor)(
        random_state=split, **SETTINGS[name]
    )
    off = {"no branches": "branch_stage", "no batch size": "batch_stage"}.get(name)
    if off:
        made = estimator._settings
        estimator._settings = lambda: dataclasses.replace(made(), **{off: False})
    return estimator


def grid(task: str) -> Any:
    """scikit-learn's grid search over its MLP."""
    pipeline = scikit_learn(task)
    step = "mlpclassifier__" if task == "classification" else "transformedtargetregressor__regressor__"
    pipeline.set_params(**{f"{step}early_stopping": True})
    return GridSearchCV(
        pipeline,
        {step + name: values for name, values in GRID.items()},
        cv=3,
        scoring="neg_log_loss" if task == "classification" else "neg_root_mean_squared_error",
    )


def realmlp(task: str) -> Any:
    """pytabkit's RealMLP with tuned defaults."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Classifier if task == "classification" else RealMLP_TD_Regressor
    return kind(device="cpu", random_state=0, verbosity=0, n_threads=2)


def for_realmlp(frame: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Dates as parts, missing numbers as the training median (it takes none), categories as such."""
    frame, like = with_date_parts(frame), with_date_parts(like)
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(float).fillna(like[name].median())
        else:
            frame[name] = frame[name].astype(str).astype("category")
    return frame


def fitted(name: str, task: str, split: int, x: pd.DataFrame, y: pd.Series, x_test: pd.DataFrame) -> tuple[Any, Any]:
    """(trained model, test inputs as it takes them)."""
    if name in SETTINGS:
        return ours(name, task, split).fit(x, y), x_test
    if name == "RealMLP-TD":
        return realmlp(task).fit(for_realmlp(x, x), y), for_realmlp(x_test, x)
    model = grid(task) if name == "scikit-learn grid" else scikit_learn(task)
    return model.fit(with_date_parts(x), y), with_date_parts(x_test)


def measure(name: str, task: str, split: int, x: pd.DataFrame, y: pd.Series) -> dict[str, float]:
    """Test loss and seconds of one fit, and what ours did."""
    stratify = y if task == "classification" else None
    x, x_test, y, y_test = train_test_split(x, y, test_size=0.2, random_state=split, stratify=stratify)
    begun = time.perf_counter()
    model, x_test = fitted(name, task, split, x, y, x_test)
    seconds = time.perf_counter() - begun
    found = {"loss": float(score(model, task, x_test, y_test)), "seconds": seconds}
    if name in SETTINGS:
        found |= {"rate": model.learning_rate_, "batch_size": model.batch_size_}
        valid = [stage["after"] for stage in model.notebook_ if stage["stage"] == "branch"]
        valid = valid or [stage["best_loss"] for stage in model.notebook_ if stage["stage"] == "run"]
        found["valid"] = float(np.mean(valid[-1]))
    return found


def report(results: dict[str, dict], contenders: list[str], tables: list[str], splits: int) -> str:
    """The tables of losses, of ranks and ratios, and of what the branches earn."""
    done = [t for t in tables if all(f"{t}/{s}/{c}" in results for s in range(splits) for c in contenders)]
    loss = np.array([[[results[f"{t}/{s}/{c}"]["loss"] for c in contenders] for s in range(splits)] for t in done])
    seconds = np.array(
        [[[results[f"{t}/{s}/{c}"]["seconds"] for c in contenders] for s in range(splits)] for t in done]
    )
    means = loss.mean(axis=1)
    ranks = loss.argsort(axis=2).argsort(axis=2).mean(axis=(0, 1)) + 1
    reference = contenders.index("full") if "full" in contenders else 0
    ratios = np.exp(np.log(means / means[:, [reference]]).mean(axis=0))
    times = np.exp(np.log(np.median(seconds, axis=1) / np.median(seconds, axis=1)[:, [reference]]).mean(axis=0))
    rows = [[t, *(f"{value:.4f}" for value in row)] for t, row in zip(done, means, strict=True)]
    rows.append(["mean rank", *(f"{rank:.2f}" for rank in ranks)])
    rows.append([f"loss over that of {contenders[reference]}", *(f"{ratio:.3f}" for ratio in ratios)])
    rows.append(["time over it", *(harness.figure(value) for value in times)])
    return harness.table(["table", *contenders], rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--tables", default=",".join(TABLES + MORE))
    parser.add_argument("--contenders", default=",".join((*SETTINGS, *OTHERS)))
    parser.add_argument("--save", type=Path, help="keep every fit in this file, and take from there what is done")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    names, contenders = options.tables.split(","), options.contenders.split(",")
    results = {}
    if options.save and options.save.exists():
        results = dict(json.loads(line) for line in options.save.read_text().splitlines())
    for table, x, y, task in all_tables(names):
        x, y = x[: MOST_ROWS.get(table)], y[: MOST_ROWS.get(table)]
        for split in range(options.splits):
            for contender in contenders:
                key = f"{table}/{split}/{contender}"
                if key not in results:
                    results[key] = measure(contender, task, split, x, y)
                    print(key, results[key], flush=True)
                    if options.save:
                        with options.save.open("a") as file:
                            file.write(json.dumps([key, results[key]]) + "\n")
    print("\n" + report(results, contenders, names, options.splits))


if __name__ == "__main__":
    main()
