"""Data frames of any library, as frames of polars."""

from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from axonic.data.values import as_text
from axonic.errors import InputError


def as_frame(X: Any) -> nw.DataFrame[Any] | None:
    """X as a data frame, None for everything else."""
    if isinstance(X, np.ndarray) or not hasattr(X, "columns"):
        return None
    try:
        return nw.from_native(X, eager_only=True)
    except TypeError:
        return None


def is_numeric(frame: nw.DataFrame[Any]) -> bool:
    return all(dtype.is_numeric() or dtype == nw.Boolean for dtype in frame.schema.values())


def as_polars(frame: nw.DataFrame[Any]) -> pl.DataFrame:
    """The frame as one of polars, in which categories of numbers are categories too."""
    try:
        table = frame.to_polars()
    except Exception:  # each library has its own for a column of mixed types, which are taken one by one
        table = pl.DataFrame([_column(frame[name]) for name in frame.columns])
    declared = [name for name, dtype in frame.schema.items() if isinstance(dtype, nw.Categorical | nw.Enum)]
    return table.with_columns(as_text(table[name]).cast(pl.Categorical) for name in declared)


def _column(series: nw.Series[Any]) -> pl.Series:
    try:
        return series.to_polars()
    except Exception:
        values = np.asarray(series.to_native()).tolist()
    try:
        return pl.Series(series.name, values, strict=False)
    except (TypeError, pl.exceptions.PolarsError) as error:
        how = "make it a column of numbers, text or dates"
        raise InputError("the column holds values of several types", how, f"column {series.name!r}") from error
