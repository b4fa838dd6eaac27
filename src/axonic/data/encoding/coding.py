"""How one column is encoded, and its values in their slots.

- *number*, *boolean* (0 or 1): (x - mean) / deviation, both over the training rows. A value further beyond those of
  the training rows than these lie apart is taken as one that far (`statistics.MARGIN`): nothing was learned of what
  lies there, and a column that hardly varied in training would be let in a hundredfold. A missing value takes the
  median; where the training rows have missing ones, a second column says so with a 1. (Where they have none, the median
  is only kept in case one is missing at prediction, and a few hundred evenly spaced rows are enough for it.)
- *date*: days since 1970 as a number, and the sine and cosine of its place in the year, the week and the day, so that
  December lies next to January. Missing: as a number; 0 and 0. A cycle is left out where the target does not differ
  between its months, weekdays or hours, nor within the groups of another column (`statistics.fit_cycles`): one that
  says nothing costs test loss.
- *category*: a 1 in the slot of its level. The 50 most frequent levels have a slot each if they are on two training
  rows or more, others if they are on ten or more, or on fewer if the target differs between levels so much that these
  tell of it (`statistics.n_levels`; as long as slots times rows are no more than `SLOT_VALUES`); missing has one if the
  training rows have it; the last slot, "other", takes the rest: rare levels and, at prediction, levels never seen.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic import records
from axonic.data.columns import DATE_FORMATS, Kind
from axonic.data.values import as_booleans, as_dates, as_numbers, as_text
from axonic.errors import InputError

BLOCK_VALUES = 1 << 18
"""2 MB of float64: with larger blocks memory that is new to the process costs more than what is done there."""
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
    format : how a date is spelt in text, and the unit, currency or percent sign of numbers that have one there; see
        `axonic.data.columns.Column`.
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
        if coding.kind == "date" and coding.format not in ("", *DATE_FORMATS):
            raise ValueError(f"Coding.format = {coding.format!r:.40}")
        return coding


def linear_values(table: Any, codings: Sequence[Coding], index: Rows | None = None) -> np.ndarray:
    """Numbers, booleans and dates as a new float64 array (n, n_linear), NaN where missing; `index` as the `rows` of
    `axonic.data.values.as_numbers`."""
    if isinstance(table, np.ndarray):
        return table.astype(np.float64)
    columns = [_linear_series(table[coding.name], coding, index) for coding in codings]
    if not columns:
        return np.empty((len(table), 0))
    return pl.DataFrame(columns).to_numpy(writable=True)


def _linear_series(series: pl.Series, coding: Coding, index: Rows | None) -> pl.Series:
    if coding.kind == "date":
        return _days(as_dates(series, coding.format, index))
    return as_booleans(series, index) if coding.kind == "boolean" else as_numbers(series, index, coding.format)


def _days(dates: pl.Series) -> pl.Series:
    """Days since 1970, with the time of day as a fraction."""
    return dates.to_physical().cast(pl.Float64) / 86_400e6


def refuse_infinite(values: np.ndarray, codings: Sequence[Coding], index: Rows) -> None:
    """Refuse an infinite number; `index` are the rows of the table that the values come from."""
    infinite = np.isinf(values)
    if infinite.any():
        column = int(infinite.any(axis=0).argmax())
        row = index[int(infinite[:, column].argmax())] + 1
        raise InputError(
            "a value is infinite",
            "correct it or leave it empty, which means missing",
            f"column {codings[column].name!r}, row {row}",
        )


def fill_cycles(out: np.ndarray, slot: int, coding: Coding, dates: pl.Series) -> None:
    """Put the sine and the cosine of each date into their slots; 0 and 0 where it is missing."""
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


def fill_category(out: np.ndarray, slot: int, coding: Coding, series: pl.Series) -> int:
    """Put a 1 in the slot of each row's level; return how many levels training never saw."""
    text = _spelt(series, coding)
    other = len(coding.levels) + coding.has_missing
    codes = text.cast(pl.Enum(coding.levels), strict=False).to_physical()
    place = codes.cast(pl.Int64).fill_null(other).to_numpy(writable=True)
    if coding.has_missing:
        place[text.is_null().to_numpy()] = len(coding.levels)
    out[np.arange(len(place)), slot + place] = 1.0
    strange = text.filter(codes.is_null() & text.is_not_null())
    return len(strange) - int(strange.is_in(coding.rare).sum()) if len(strange) else 0
