"""From a table to the float32 matrix a network reads.

Everything that is learned here (medians, means, deviations, levels) comes from the training rows alone, so that nothing
of the validation and test rows leaks into training, and is kept as plain JSON beside the weights. How a column is
encoded:

- *number*, *boolean* (0 or 1): (x - mean) / deviation, both over the training rows. A value further beyond those of
  the training rows than these lie apart is taken as one that far (`MARGIN`): nothing was learned of what lies there,
  and a column that hardly varied in training would be let in a hundredfold. A missing value takes the median;
  where the training rows have missing ones, a second column says so with a 1. (Where they have none, the median is only
  kept in case one is missing at prediction, and a few hundred evenly spaced rows are enough for it.)
- *date*: days since 1970 as a number, and the sine and cosine of its place in the year, the week and the day, so that
  December lies next to January. Missing: as a number; 0 and 0. A cycle is left out where the target does not differ
  between its months, weekdays or hours (`_differs`): a cycle that says nothing costs test loss.
- *category*: a 1 in the slot of its level. The 50 most frequent levels have a slot each if they are on two training
  rows or more, others if they are on ten or more (as long as slots times rows are no more than `SLOT_VALUES`); missing
  has one if the training rows have it; the last slot, "other", takes the rest: rare levels and, at prediction, levels
  never seen.

Means and centring are done in float64, a block of rows at a time, and only the result is rounded to float32: a column
such as 1e9 plus a small variation keeps its variation, and no temporary is as large as the table.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic import records
from axonic.data.schema import DATE_FORMATS, Kind, Schema, level_counts, own_slots
from axonic.data.values import as_booleans, as_dates, as_numbers, as_text
from axonic.errors import InputError

FARTHEST = 1e6
"""Standardised values are cut off here. A training row cannot get there with fewer than 1e12 rows; a value
that does at prediction is an error of the data, and must not turn into an infinity in the network."""

MARGIN = 1.0
"""How far beyond the values of the training rows others are told apart, in widths of their range."""

BLOCK_ROWS = 65_536
BLOCK_VALUES = 1 << 18
"""2 MB of float64: with larger blocks memory that is new to the process costs more than what is done there."""
MEDIAN_ROWS = 256
CYCLE_LEVEL = 0.01
LARGEST = sys.float_info.max

Rows = np.ndarray | Sequence[int]


@dataclass(frozen=True)
class Coding:
    """How one column is encoded.

    Attributes
    ----------
    name, kind : of the column.
    center, scale : a number x becomes (x - center) / scale.
    low, high : numbers beyond them are taken as one of them, before that.
    fill : the median, in place of a missing number.
    has_missing : whether the training rows have missing values, which then get a slot of their own.
    levels : the levels of a category that have a slot, the most frequent first.
    rare : levels seen in training that share the slot "other" (the 1000 most frequent of them).
    format : how a date is spelt in text.
    cycles : the cycles of a date, of "year", "week" and "day", that have a sine and a cosine.
    """

    name: str
    kind: Kind
    center: float = 0.0
    scale: float = 1.0
    low: float = -LARGEST
    high: float = LARGEST
    fill: float = 0.0
    has_missing: bool = False
    levels: tuple[str, ...] = ()
    rare: tuple[str, ...] = ()
    format: str = ""
    cycles: tuple[Literal["year", "week", "day"], ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether the column has a slot with a (standardised) number."""
        return self.kind != "category"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name for each slot, in order."""
        absent = (f"{self.name} (missing)",) if self.has_missing else ()
        if self.kind == "category":
            return (*(f"{self.name}={level}" for level in self.levels), *absent, f"{self.name} (other)")
        if self.kind == "date":
            turns = (f"{self.name} ({wave} of {cycle})" for cycle in self.cycles for wave in ("sin", "cos"))
            return (self.name, *absent, *turns)
        return (self.name, *absent)

    def to_json(self) -> dict[str, Any]:
        """A plain dict; what is as by default is left out."""
        defaults = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in asdict(self).items() if value != defaults[key]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Coding":
        """The coding that `to_json` wrote."""
        coding = records.from_json(cls, data)
        if coding.scale <= 0:
            raise ValueError(f"Coding.scale = {coding.scale}")
        if coding.low > coding.high:
            raise ValueError(f"Coding.low = {coding.low}, high = {coding.high}")
        if len(set(coding.levels)) < len(coding.levels):
            raise ValueError(f"Coding.levels = {coding.levels!r:.40}")
        if coding.format not in ("", *DATE_FORMATS):
            raise ValueError(f"Coding.format = {coding.format!r:.40}")
        return coding


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
            on the cycles of dates; None keeps every cycle that varies.
        bounded : whether values far beyond those of the training rows are cut off, of what is standardised.

        Raises
        ------
        InputError
            If a column is missing, a value does not fit its column, or a training value is infinite.
        """
        _check_columns(frame, [column.name for column in schema.columns])
        codings = [Coding(column.name, column.kind, format=column.format) for column in schema.columns]
        linear = _fit_linear(frame, [coding for coding in codings if coding.is_linear], rows, standardize, bounded)
        fitted = {c.name: _fit_cycles(frame, c, rows, target) if c.kind == "date" else c for c in linear}
        return cls(tuple(fitted.get(c.name) or _fit_category(frame, c, rows) for c in codings), standardize)

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
        return cls(tuple(_fit_linear(x, codings, rows, standardize, bounded)), standardize)

    # --- applying it ---

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def n_features(self) -> int:
        """Number of columns of the matrix."""
        return len(self.feature_names)

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
            self._fill_numbers(out, _linear_values(block, self._linear, index), index, unseen)
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
        _refuse_infinite(values, self._linear, index)
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
                _fill_cycles(out, slot, coding, as_dates(series, coding.format, index))
            elif count := _fill_category(out, slot, coding, _spelt(series, coding)):
                unseen[coding.name] = unseen.get(coding.name, 0) + count

    @cached_property
    def _slots(self) -> tuple[int, ...]:
        """The first slot of each column."""
        widths = [len(column.feature_names) for column in self.columns]
        return tuple(np.cumsum([0, *widths])[:-1].tolist())

    @cached_property
    def _linear(self) -> tuple[Coding, ...]:
        return tuple(column for column in self.columns if column.is_linear)

    @cached_property
    def _linear_slots(self) -> np.ndarray | slice:
        slots = [slot for slot, column in zip(self._slots, self.columns, strict=True) if column.is_linear]
        return slice(None) if len(slots) == self.n_features else np.array(slots, int)

    @cached_property
    def _flagged(self) -> np.ndarray:
        return np.array([i for i, column in enumerate(self._linear) if column.has_missing], int)

    @cached_property
    def _flag_slots(self) -> np.ndarray:
        pairs = zip(self._slots, self.columns, strict=True)
        return np.array([slot + 1 for slot, column in pairs if column.is_linear and column.has_missing], int)

    @cached_property
    def _others(self) -> tuple[tuple[int, Coding], ...]:
        pairs = zip(self._slots, self.columns, strict=True)
        return tuple((slot, column) for slot, column in pairs if column.kind in ("category", "date"))

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


# --- checks ---


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


def _refuse_infinite(values: np.ndarray, codings: Sequence[Coding], index: Rows) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        column = int(infinite.any(axis=0).argmax())
        row = index[int(infinite[:, column].argmax())] + 1
        raise InputError(
            "a value is infinite",
            "correct it or leave it empty, which means missing",
            f"column {codings[column].name!r}, row {row}",
        )


# --- blocks of rows ---


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


def _linear_values(table: Any, codings: Sequence[Coding], index: Rows) -> np.ndarray:
    """Numbers, booleans and dates as a new float64 array (n, n_linear), NaN where missing."""
    if isinstance(table, np.ndarray):
        return table.astype(np.float64)
    columns = [_linear_series(table[coding.name], coding, index) for coding in codings]
    if not columns:
        return np.empty((len(table), 0))
    return pl.DataFrame(columns).to_numpy(writable=True)


def _linear_series(series: pl.Series, coding: Coding, index: Rows) -> pl.Series:
    if coding.kind == "date":
        return _days(as_dates(series, coding.format, index))
    return as_booleans(series, index) if coding.kind == "boolean" else as_numbers(series, index)


def _days(dates: pl.Series) -> pl.Series:
    """Days since 1970, with the time of day as a fraction."""
    return dates.to_physical().cast(pl.Float64) / 86_400e6


def _fill_cycles(out: np.ndarray, slot: int, coding: Coding, dates: pl.Series) -> None:
    if not coding.cycles:
        return
    days = _days(dates).to_numpy()
    turns = {
        "year": (dates.dt.ordinal_day().to_numpy() - 1 + days % 1) / 365.25,
        "week": (days + 3) / 7,  # 1970 began on a Thursday
        "day": days,
    }
    waves = [wave(2 * np.pi * (turns[cycle] % 1)) for cycle in coding.cycles for wave in (np.sin, np.cos)]
    slot += 2 if coding.has_missing else 1
    out[:, slot : slot + len(waves)] = np.nan_to_num(np.stack(waves, axis=1))


def _spelt(series: pl.Series, coding: Coding) -> pl.Series:
    """A category as text, in which a whole number is spelt as training spelt it: 36, or 36.0 as pandas has it where
    there are fractions beside it. Each value is looked at by itself."""
    text, known = as_text(series), [*coding.levels, *coding.rare]
    strange = ~text.is_in(known)
    if strange.any():
        for other in (text + ".0", text.str.strip_suffix(".0")):
            text = other.zip_with(strange & other.is_in(known), text)
    return text


def _fill_category(out: np.ndarray, slot: int, coding: Coding, text: pl.Series) -> int:
    """Put a 1 in the slot of each row's level; return how many levels training never saw."""
    other = len(coding.levels) + coding.has_missing
    codes = text.cast(pl.Enum(coding.levels), strict=False).to_physical()
    place = codes.cast(pl.Int64).fill_null(other).to_numpy(writable=True)
    if coding.has_missing:
        place[text.is_null().to_numpy()] = len(coding.levels)
    out[np.arange(len(place)), slot + place] = 1.0
    strange = text.filter(codes.is_null() & text.is_not_null())
    return len(strange) - int(strange.is_in(coding.rare).sum()) if len(strange) else 0


# --- statistics of the training rows ---


def _fit_linear(
    table: pl.DataFrame | np.ndarray, codings: Sequence[Coding], rows: Rows | None, standardize: bool, bounded: bool
) -> list[Coding]:
    """Centre, scale, bounds and median of each column, for a few columns at a time."""
    index = range(len(table)) if rows is None else rows
    group = max(1, BLOCK_VALUES // max(1, len(index)))
    fitted: list[Coding] = []
    for start in range(0, len(codings), group):
        part = codings[start : start + group]
        values = _linear_values(_select(table, part, start, rows), part, index)
        _refuse_infinite(values, part, index)
        fitted += _describe(values, part, standardize, bounded)
    return fitted


def _select(
    table: pl.DataFrame | np.ndarray, codings: Sequence[Coding], start: int, rows: Rows | None
) -> pl.DataFrame | np.ndarray:
    if isinstance(table, np.ndarray):
        chosen = table[:, start : start + len(codings)]
    else:
        chosen = table.select(coding.name for coding in codings)
    return chosen if rows is None else chosen[rows]


def _describe(values: np.ndarray, codings: Sequence[Coding], standardize: bool, bounded: bool) -> list[Coding]:
    values = np.asfortranarray(values)
    has_missing = np.atleast_1d(np.isnan(values).any(axis=0))
    scaled = [standardize or coding.kind == "date" for coding in codings]
    center, scale = moments(values) if any(scaled) else (np.zeros(len(codings)), np.ones(len(codings)))
    low, high = _range(values)
    median = _medians(values, has_missing)
    described: list[Coding] = []
    for j, coding in enumerate(codings):
        coding = replace(coding, fill=float(median[j]), has_missing=bool(has_missing[j]))
        if scaled[j]:
            coding = replace(coding, center=float(center[j]), scale=float(scale[j]))
            if bounded:
                coding = replace(coding, low=float(low[j]), high=float(high[j]))
        described.append(coding)
    return described


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of a float64 array (n, k), NaN left out.

    The deviation of a column that does not vary beyond rounding is 1, so that it can be divided by; a column without
    values has mean 0. Columns of any finite size are right: they are scaled by a power of two while they are squared.
    """
    values = np.asfortranarray(values)  # sums along contiguous columns are pairwise, hence accurate
    if np.isnan(values).any():
        pairs = [_moments(column[~np.isnan(column), None]) for column in values.T]
        return np.concatenate([mean for mean, _ in pairs]), np.concatenate([scale for _, scale in pairs])
    return _moments(values)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(values):
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    low, high = values.min(axis=0), values.max(axis=0)
    size = np.maximum(high, -low)
    unit = np.where((size > 1e100) | ((size > 0) & (size < 1e-100)), np.ldexp(1.0, np.frexp(size)[1] - 1), 1.0)
    if (unit != 1).any():
        values = values / unit
    mean = values.mean(axis=0)
    spread = values - mean
    deviation = np.sqrt(np.square(spread, out=spread).mean(axis=0))
    scale = np.where(deviation <= 4 * np.finfo(float).eps * size / unit, 1.0, deviation * unit)
    return np.where(low == high, low, mean * unit), np.where(scale > 0, scale, 1.0)


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each column of a float64 array (n, k), NaN left out, with `MARGIN` on each
    side; 0 and 0 for a column without values."""
    low, high = np.fmin.reduce(values, axis=0, initial=np.inf), np.fmax.reduce(values, axis=0, initial=-np.inf)
    low, high = np.where(low > high, 0.0, low), np.where(low > high, 0.0, high)
    with np.errstate(over="ignore"):
        margin = MARGIN * (high - low)
        return np.maximum(low - margin, -LARGEST), np.minimum(high + margin, LARGEST)


def _medians(values: np.ndarray, has_missing: np.ndarray) -> np.ndarray:
    """Median of each column, NaN left out; of evenly spaced rows where no value is missing."""
    medians = _median(values[:: max(1, len(values) // MEDIAN_ROWS)].copy(order="F"))
    for j in np.flatnonzero(has_missing):
        medians[j : j + 1] = _median(values[~np.isnan(values[:, j]), j : j + 1])
    return medians


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each column; 0 of no values."""
    if not len(values):
        return np.zeros(values.shape[1])
    lower, upper = (len(values) - 1) // 2, len(values) // 2
    values = np.partition(values.T, (lower, upper)).T
    return values[lower] / 2 + values[upper] / 2  # halved first, as the sum of huge values overflows


def _fit_cycles(frame: pl.DataFrame, coding: Coding, rows: Rows | None, target: np.ndarray | None) -> Coding:
    """Choose the cycles of a date: those that vary in the training rows and between whose parts the target differs."""
    series = frame[coding.name]
    dates = as_dates(series if rows is None else series[rows], coding.format)
    present = dates.is_not_null().to_numpy()
    dates = dates.drop_nulls()
    parts = {"year": dates.dt.month(), "week": dates.dt.weekday(), "day": dates.dt.hour()}
    cycles = []
    for cycle, part in parts.items():
        group = part.rank("dense").to_numpy() - 1
        if part.n_unique() > 1 and (target is None or _differs(group, target[present])):
            cycles.append(cycle)
    return replace(coding, cycles=tuple(cycles))


def _differs(group: np.ndarray, target: np.ndarray) -> bool:
    """Whether the mean of the target differs between groups of rows: a one-way analysis of variance at a level of
    1 %, for classes of the indicator of each class, with Bonferroni's correction (Fisher 1925, chapter 7)."""
    from scipy.special import fdtrc  # takes as long to import as polars, and few tables have dates

    if target.dtype.kind == "i":
        target = target[:, None] == np.arange(target.max() + 1)
    y = target.reshape(len(group), -1).astype(np.float64)
    counts = np.bincount(group)
    free = len(group) - len(counts)
    if free < 1:
        return False
    y = y - y.mean(axis=0)
    sums = np.stack([np.bincount(group, weights=column) for column in y.T])
    between = (sums**2 / counts).sum(axis=1)
    within = np.maximum((y**2).sum(axis=0) - between, 1e-12 * between)
    ratio = np.divide(between * free, within * (len(counts) - 1), out=np.zeros(len(within)), where=within > 0)
    return bool(fdtrc(len(counts) - 1, free, ratio).min() * len(ratio) < CYCLE_LEVEL)


def _fit_category(frame: pl.DataFrame, coding: Coding, rows: Rows | None) -> Coding:
    series = frame[coding.name]
    text = as_text(series if rows is None else series[rows])
    counts = level_counts(text)
    levels = counts["level"].to_list()
    n_slots = own_slots(counts["count"], len(text))
    return replace(
        coding,
        levels=tuple(levels[:n_slots]),
        rare=tuple(levels[n_slots : n_slots + 1000]),
        has_missing=text.null_count() > 0,
    )
