"""Data frames of any library, as frames of polars."""

from collections import Counter
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.exceptions import DuplicateError

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
    except DuplicateError:
        name, times = Counter(getattr(X, "column_names", X.columns)).most_common(1)[0]
        how = "rename them, so that each has its own"
        raise InputError(f"{times} columns have the name {name!r}", how, "X") from None


def is_numeric(frame: nw.DataFrame[Any]) -> bool:
    return all(dtype.is_numeric() or dtype == nw.Boolean for dtype in frame.schema.values())


def as_polars(frame: nw.DataFrame[Any]) -> pl.DataFrame:
    """The frame as one of polars, in which categories of numbers, intervals and others are categories too."""
    try:
        table = frame.to_polars()
    except Exception:  # each library has its own for a column of mixed types, which are taken one by one
        table = pl.DataFrame([_column(frame[name]) for name in frame.columns])
    declared = [name for name, dtype in frame.schema.items() if isinstance(dtype, nw.Categorical | nw.Enum)]
    return table.with_columns(_levels(frame[name], table[name]).cast(pl.Categorical) for name in declared)


SPELT = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Time, pl.Null)
"""What is spelt as in any other column, as numbers are."""


def _levels(series: nw.Series[Any], converted: pl.Series) -> pl.Series:
    """The level of each row as text, null where missing; intervals, periods and other objects of pandas as Python
    spells them."""
    native = series.to_native()
    if converted.dtype.is_numeric() or converted.dtype in SPELT or not hasattr(native, "cat"):
        return as_text(converted)
    levels = pl.Series(series.name, [*map(str, native.cat.categories), None], pl.String)
    return levels[native.cat.codes.to_numpy()]  # a missing one has the code -1


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
