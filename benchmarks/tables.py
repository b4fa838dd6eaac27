"""The eight small tables of the benchmarks, as packages ship them: (name, inputs, target, task)."""

from collections.abc import Iterator

import palmerpenguins
import pandas as pd
import vega_datasets
from sklearn import datasets

TABLES = ("iris", "wine", "breast_cancer", "digits", "diabetes", "penguins", "cars", "seattle_weather")


def load(name: str) -> tuple[pd.DataFrame, pd.Series, str]:
    """(inputs, target, task) of a table."""
    if name in ("iris", "wine", "breast_cancer", "digits", "diabetes"):
        bunch = getattr(datasets, f"load_{name}")(as_frame=True)
        return bunch.data, bunch.target, "regression" if name == "diabetes" else "classification"
    if name == "penguins":
        frame = palmerpenguins.load_penguins()
        return frame.drop(columns="species"), frame["species"], "classification"
    if name == "cars":
        frame = vega_datasets.data.cars().dropna(subset="Miles_per_Gallon").reset_index(drop=True)
        return frame.drop(columns="Miles_per_Gallon"), frame["Miles_per_Gallon"], "regression"
    frame = vega_datasets.data.seattle_weather()
    return frame.drop(columns="weather"), frame["weather"], "classification"


def all_tables() -> Iterator[tuple[str, pd.DataFrame, pd.Series, str]]:
    """Every table, in the order of `TABLES`."""
    for name in TABLES:
        yield name, *load(name)
