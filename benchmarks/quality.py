"""Test loss with defaults against scikit-learn's MLP, on eight tables and ten splits each.

    python benchmarks/quality.py [--splits 10]

Both are used as they come: axonic's estimators on the raw frame, scikit-learn's MLP behind median imputation with an
indicator, scaling and one-hot encoding (dates as year, month and day of the year), its regressor also with a scaled
target. The loss is the log-loss, or the root mean squared error in the target's units.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tables import all_tables

from axonic import FeedForwardClassifier, FeedForwardRegressor


def with_date_parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Each date column as year, month and day of the year."""
    frame = frame.copy()
    for name in frame.select_dtypes("datetime").columns:
        date = frame.pop(name).dt
        frame = frame.assign(
            **{f"{name} year": date.year, f"{name} month": date.month, f"{name} day": date.day_of_year}
        )
    return frame


def scikit_learn(task: str):
    """scikit-learn's MLP with defaults behind the usual preprocessing."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore")
    encode = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )
    if task == "classification":
        return make_pipeline(encode, MLPClassifier(random_state=0))
    return make_pipeline(encode, TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler()))


def score(model, task: str, x: pd.DataFrame, y: pd.Series) -> float:
    """Log-loss or root mean squared error."""
    if task == "classification":
        return log_loss(y, model.predict_proba(x), labels=model.classes_)
    return root_mean_squared_error(y, model.predict(x))


def compare(x: pd.DataFrame, y: pd.Series, task: str, split: int) -> tuple[list[float], list[float]]:
    """(losses, seconds) of axonic and of scikit-learn on one split, fitted one after the other in turn."""
    stratify = y if task == "classification" else None
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=split, stratify=stratify)
    ours = (FeedForwardClassifier if task == "classification" else FeedForwardRegressor)(random_state=split)
    parts = with_date_parts(x_train), with_date_parts(x_test)
    contenders = [(ours, x_train, x_test), (scikit_learn(task), *parts)]
    losses, seconds = [0.0, 0.0], [0.0, 0.0]
    for i in (0, 1) if split % 2 else (1, 0):
        model, train, test = contenders[i]
        begun = time.perf_counter()
        model.fit(train, y_train)
        seconds[i] = time.perf_counter() - begun
        losses[i] = score(model, task, test, y_test)
    return losses, seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--splits", type=int, default=10)
    n_splits = parser.parse_args().splits
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| table | axonic | scikit-learn | ratio | splits won | time ratio |\n|---|---|---|---|---|---|")
    ratios = []
    for name, x, y, task in all_tables():
        results = [compare(x, y, task, split) for split in range(n_splits)]
        losses = np.array([losses for losses, _ in results])
        seconds = np.median([seconds for _, seconds in results], axis=0)
        ours, theirs = losses.mean(axis=0)
        ratios.append(ours / theirs)
        won = int((losses[:, 0] <= losses[:, 1]).sum())
        print(
            f"| {name} | {ours:.4f} | {theirs:.4f} | {ratios[-1]:.2f} | {won}/{n_splits} "
            f"| {seconds[1] / seconds[0]:.1f} |",
            flush=True,
        )
    print(f"\ngeometric mean of the loss ratios {np.exp(np.mean(np.log(ratios))):.3f}")


if __name__ == "__main__":
    main()
