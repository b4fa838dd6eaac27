"""From a table to the float32 matrix a network reads.

    coding.py       how one column is encoded, and its values in their slots
    statistics.py   what is learned from the training rows

Everything that is learned here (medians, means, deviations, levels) comes from the training rows alone, so that nothing
of the validation and test rows leaks into training, and is kept as plain JSON beside the weights.

Means and centring are done in float64, a block of rows at a time, and only the result is rounded to float32: a column
such as 1e9 plus a small variation keeps its variation, and no temporary is as large as the table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from axonic import records
from axonic.data.encoding.coding import (
    BLOCK_VALUES,
    Coding,
    Rows,
    fill_category,
    fill_cycles,
    linear_values,
    refuse_infinite,
)
from axonic.data.encoding.statistics import column_groups, fit_category, fit_cycles, fit_linear
from axonic.data.schema import Schema
from axonic.data.values import as_dates
from axonic.errors import InputError

__all__ = ["FARTHEST", "Coding", "Rows", "TableEncoder"]

FARTHEST = 1e6
"""Standardised values are cut off here. A training row cannot get there with fewer than 1e12 rows; a value
that does at prediction is an error of the data, and must not turn into an infinity in the network."""

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class TableEncoder:
    """Turns tables into float32 matrices, always in the same way.

    Made by `fit` from a frame, or by `from_array` from a plain array; it does not change afterwards.

    Attributes
    ----------
    columns : how each column is encoded, in the order of the slots.
    standardize : whether numbers and booleans are centred and scaled.
    """

    columns: tuple[Coding, ...]
    standardize: bool = True

    # --- learning the encoding ---

    @classmethod
    def fit(
        cls,
        frame: pl.DataFrame,
        schema: Schema,
        rows: Rows | None = None,
        standardize: bool = True,
        target: np.ndarray | None = None,
        bounded: bool = True,
    ) -> "TableEncoder":
        """Learn the encoding of the columns that a schema uses.

        Parameters
        ----------
        frame : the table.
        schema : which columns are used, and as what.
        rows : indices of the training rows; all rows by default.
        standardize : False leaves numbers and booleans as they are. Dates are standardised all the same.
        target : encoded targets of the training rows, (n_rows,) class indices or (n_rows, n_out) numbers, which decide
            on the cycles of dates and the levels of categories; None keeps every cycle that varies.
        bounded : whether values far beyond those of the training rows are cut off, of what is standardised.

        Raises
        ------
        InputError
            If a column is missing, a value does not fit its column, or a training value is infinite.
        """
        _check_columns(frame, [column.name for column in schema.columns])
        codings = [Coding(column.name, column.kind, format=column.format) for column in schema.columns]
        linear = fit_linear(frame, [coding for coding in codings if coding.is_linear], rows, standardize, bounded)
        fitted = {c.name: c for c in linear}
        fitted |= {c.name: fit_category(frame, c, rows, target) for c in codings if not c.is_linear}
        if dates := [c for c in linear if c.kind == "date"]:
            groups = [] if target is None else column_groups(frame, list(fitted.values()), rows)
            fitted |= {c.name: fit_cycles(frame, c, rows, target, groups) for c in dates}
        return cls(tuple(fitted[c.name] for c in codings), standardize)

    @classmethod
    def from_array(
        cls,
        x: np.ndarray,
        rows: Rows | None = None,
        standardize: bool = True,
        bounded: bool = True,
        names: Sequence[str] | None = None,
    ) -> "TableEncoder":
        """Learn the encoding of an array (n, n_columns) of numbers.

        Parameters
        ----------
        x : numbers; NaN is a missing value.
        rows, standardize, bounded : as for `fit`.
        names : of the columns; None calls them x0, x1, ...

        Raises
        ------
        InputError
            If the array is not two-dimensional or not of numbers, or a training value is infinite.
        """
        _check_array(x)
        names = [f"x{j}" for j in range(x.shape[1])] if names is None else names
        codings = [Coding(name, "number") for name in names]
        return cls(tuple(fit_linear(x, codings, rows, standardize, bounded)), standardize)

    # --- applying it ---

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def n_features(self) -> int:
        """Number of columns of the matrix."""
        return len(self.feature_names)

    @cached_property
    def slots(self) -> tuple[slice, ...]:
        """The columns of the matrix that each column of the table has, in the order of `columns`."""
        ends = np.cumsum([len(column.feature_names) for column in self.columns]).tolist()
        return tuple(slice(start, stop) for start, stop in pairwise([0, *ends]))

    def transform(self, table: pl.DataFrame | np.ndarray, rows: Rows | None = None) -> np.ndarray:
        """Encode a table as a C-contiguous float32 matrix (n, n_features).

        Parameters
        ----------
        table : a frame with at least the columns of the encoder, the order being free; or, where all columns are
            numbers, an array with as many columns.
        rows : indices of the rows to encode, in the order wanted; all rows by default.

        Raises
        ------
        InputError
            If a column is missing, a value does not fit its column, or a number is infinite.
        """
        return self.encode(table, rows)[0]

    def encode(self, table: pl.DataFrame | np.ndarray, rows: Rows | None = None) -> tuple[np.ndarray, dict[str, int]]:
        """As `transform`, with the number of values in each column that are beyond what training saw.

        Returns
        -------
        matrix : (n, n_features), float32.
        unseen : column name to count, for the columns where it is not zero: of levels that were not seen, and numbers
            that are cut off. A missing value is not counted; beyond 1000 rare levels a column's rarest count as unseen.
        """
        self._check(table)
        n_rows = len(table) if rows is None else len(rows)
        matrix = np.zeros((n_rows, self.n_features), np.float32)
        unseen: dict[str, int] = {}
        for start, block, index in _blocks(table, rows, len(self.columns)):
            out = matrix[start : start + len(block)]
            self._fill_numbers(out, linear_values(block, self._linear, index), index, unseen)
            if isinstance(block, pl.DataFrame):
                self._fill_others(out, block, index, unseen)
        return matrix, unseen

    def _check(self, table: pl.DataFrame | np.ndarray) -> None:
        if isinstance(table, pl.DataFrame):
            return _check_columns(table, [column.name for column in self.columns])
        _check_array(table)
        if any(column.kind != "number" for column in self.columns):
            raise InputError("an array cannot hold categories or dates", "give a data frame with named columns", "x")
        if table.shape[1] != len(self.columns):
            raise InputError(
                f"the array has {table.shape[1]} columns where training had {len(self.columns)}",
                "give the same columns in the same order",
                "x",
            )
        return None

    def _fill_numbers(self, out: np.ndarray, values: np.ndarray, index: Rows, unseen: dict[str, int]) -> None:
        """Standardise the numbers (n, n_linear) into their slots, and count those that are cut off; `values` is used
        up."""
        gaps = np.isnan(values)
        if gaps.any():
            out[:, self._flag_slots] = gaps[:, self._flagged]
            np.copyto(values, self._fill, where=gaps)
        refuse_infinite(values, self._linear, index)
        limit = FARTHEST if self.standardize else np.finfo(np.float32).max
        low, high = self._bounds
        beyond = (values.min(axis=0, initial=np.inf) < low) | (values.max(axis=0, initial=-np.inf) > high)
        for j in np.flatnonzero(beyond):
            column, name = values[:, j], self._linear[j].name
            unseen[name] = unseen.get(name, 0) + int(np.sum((column < low[j]) | (column > high[j])))
            np.clip(column, low[j], high[j], out=column)
        with np.errstate(over="ignore"):
            values -= self._center
            values /= self._scale
        out[:, self._linear_slots] = np.clip(values, -limit, limit, out=values)

    def _fill_others(self, out: np.ndarray, block: pl.DataFrame, index: Rows, unseen: dict[str, int]) -> None:
        """Fill the slots of levels and of the cycles of dates, and count the levels that training never saw."""
        for slot, coding in self._others:
            series = block[coding.name]
            if coding.kind == "date":
                fill_cycles(out, slot, coding, as_dates(series, coding.format, index))
            elif count := fill_category(out, slot, coding, series):
                unseen[coding.name] = unseen.get(coding.name, 0) + count

    @cached_property
    def _linear(self) -> tuple[Coding, ...]:
        return tuple(column for column in self.columns if column.is_linear)

    @cached_property
    def _linear_slots(self) -> np.ndarray | slice:
        slots = [slot.start for slot, column in zip(self.slots, self.columns, strict=True) if column.is_linear]
        return slice(None) if len(slots) == self.n_features else np.array(slots, int)

    @cached_property
    def _flagged(self) -> np.ndarray:
        return np.array([i for i, column in enumerate(self._linear) if column.has_missing], int)

    @cached_property
    def _flag_slots(self) -> np.ndarray:
        pairs = zip(self.slots, self.columns, strict=True)
        return np.array([slot.start + 1 for slot, column in pairs if column.is_linear and column.has_missing], int)

    @cached_property
    def _others(self) -> tuple[tuple[int, Coding], ...]:
        pairs = zip(self.slots, self.columns, strict=True)
        return tuple((slot.start, column) for slot, column in pairs if column.kind in ("category", "date"))

    @cached_property
    def _center(self) -> np.ndarray:
        return np.array([column.center for column in self._linear])

    @cached_property
    def _scale(self) -> np.ndarray:
        return np.array([column.scale for column in self._linear])

    @cached_property
    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([column.low for column in self._linear]), np.array([column.high for column in self._linear])

    @cached_property
    def _fill(self) -> np.ndarray:
        return np.array([column.fill for column in self._linear])

    # --- keeping it ---

    def to_json(self) -> dict[str, Any]:
        """A plain dict of strings, numbers, lists and dicts."""
        return {"standardize": self.standardize, "columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "TableEncoder":
        """The encoder that `to_json` wrote; it encodes bit for bit as before."""
        columns = tuple(map(Coding.from_json, data["columns"]))
        if len({column.name for column in columns}) < len(columns):
            raise ValueError("two columns have the same name")
        return cls(columns, records.from_json(cls, data).standardize)


def _check_columns(frame: pl.DataFrame, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        also = f" (and {len(absent) - 1} more: {', '.join(map(repr, absent[1:6]))})" if len(absent) > 1 else ""
        raise InputError(f"column {absent[0]!r} is missing{also}", "add it; it may be empty", "columns")


def _check_array(x: np.ndarray) -> None:
    if x.ndim != 2:
        raise InputError(f"the array has {x.ndim} dimensions", "give one row for each sample: (n, n_columns)", "x")
    if x.dtype.kind not in "fiub":
        raise InputError(f"the array holds values of type {x.dtype}", "give numbers, or a data frame", "x")


def _blocks(
    table: pl.DataFrame | np.ndarray, rows: Rows | None, n_columns: int
) -> Iterator[tuple[int, pl.DataFrame | np.ndarray, Rows]]:
    """Yield (first output row, block of the table, index of its rows in the table)."""
    n_rows = len(table) if rows is None else len(rows)
    step = max(256, min(BLOCK_ROWS, BLOCK_VALUES // max(1, n_columns)))
    for start in range(0, n_rows, step):
        stop = min(start + step, n_rows)
        if rows is None:
            yield start, table[start:stop], range(start, stop)
        else:
            index = rows[start:stop]
            yield start, table[index], index
