"""What one column of a table holds: a number, a category, a boolean, a date, or nothing of use.

The rules stand in the docstring of `infer_columns`: a user who is surprised by one should be able to look it up.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from axonic import records
from axonic.data.values import (
    BOOLEANS,
    ISO_TIMES,
    MARKS,
    as_booleans,
    as_dates,
    as_numbers,
    as_text,
    half_width,
    holds_codes,
    holds_only_digits,
    is_text,
    missing,
    parse_dates,
    share_a_mark,
    spelt,
    unit_of,
)

Kind = Literal["number", "category", "boolean", "date", "ignored"]

FREQUENT_LEVELS, LEVEL_ROWS = 50, 10
"""The most frequent levels of a category have a slot of their own from two training rows on, any other from ten on, by
which its mean is known to a third of the deviation within it, or from as many as the target asks for
(`axonic.data.encoding.statistics.n_levels`)."""
RECURRING_ROWS = 4
"""Rows of a table from which on a level counts as one that recurs: two or three are trained on."""
SLOT_VALUES = 1 << 27
"""Slots of a category times rows, half a gigabyte as float32, beyond which only the most frequent have one."""

ID_LIKE, CONSTANT, ALL_MISSING = "id-like", "constant", "all missing"
MOST = 0.9
"""Share of numbers, or of dates, from which on the other values of a column are remarked upon."""
FREE_TEXT = "free text: too many distinct values"
UNSUPPORTED = "unsupported type"

_DAYS = (
    *("%Y-%m-%d", "%Y年%m月%d日", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y"),
    *("%m/%d/%y", "%d/%m/%y", "%d.%m.%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
DATE_FORMATS = (
    *(day + time for time in (*ISO_TIMES, " %I:%M:%S %p", " %I:%M %p") for day in _DAYS),
    *("%Y-%m", "%b %Y", "%B %Y"),
)
"""Formats tried on text, in this order: a day, alone or with a time of day, or a month."""
DATE_DIGITS = r"\d\D+\d|\d{4}"
"""What every date has: two numbers, or a year."""


@dataclass(frozen=True)
class Column:
    """What one column holds.

    Attributes
    ----------
    name : its name in the table.
    kind : ``number``, ``category``, ``boolean``, ``date`` or ``ignored``.
    reason : why an ignored column is ignored; empty otherwise.
    format : how a date is spelt where it is text (as for ``strptime``), the unit, currency or percent sign of numbers
        that have one; else empty.
    """

    name: str
    kind: Kind
    reason: str = ""
    format: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain dict; reason and format are left out where they are empty."""
        return {key: value for key, value in asdict(self).items() if value or key in ("name", "kind")}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Column":
        """The column that `to_json` wrote."""
        return records.from_json(cls, data)


def infer_columns(frame: pl.DataFrame) -> tuple[Column, ...]:
    """Infer what each column of a table of features holds.

    - *boolean*: booleans, and text with two values that are yes/no, true/false, y/n or t/f in any case.
    - *number*: numbers, and text in which every value spells one (``1,234``, ``$5`` and ``45 %`` do: see
      `axonic.data.values.spelt`), all in the same currency, percent or unit (``5 kg``), which the schema holds. Whole
      numbers with zeros in front at a fixed width (``02139``) are codes, hence categories.
    - *date*: dates, and text in which every value fits one of `DATE_FORMATS`. Where day and month could be either way
      round, the order in which the rows are sorted is preferred, else month first; the schema holds the format chosen.
    - *category*: other text, if levels that recur (on four rows or more, or among the 50 most frequent and on two;
      missing counts as one) cover at least half of the rows. Otherwise most rows would be "other". A column that its
      type declares a category (polars Categorical or Enum) is one by the same rule, whatever its values spell.

    Ignored, with the reason:

    - *all missing*; *constant*: one value and nothing missing.
    - *free text: too many distinct values*: text that fails the rule for categories.
    - *id-like*: text without blanks that differs in every row; whole numbers that differ in every row under a name
      such as id, row, key, index or customer_id; and whole numbers that count the rows of the table, 0, 1, 2, ... or
      1, 2, 3, ..., in at least 20 rows. A row number says nothing about a new row, and gives away the target where
      the file is sorted by it. It is kept under a name that speaks of time (t, step, day, year, ...), and where no
      other column is left. Years that do not start at 1, counts and repeated whole numbers are never id-like,
      whatever their order.
    - *unsupported type* and which: lists, structs, binary data, times without a date, durations.

    Returns
    -------
    columns : one for each column of the frame, in order.
    """
    columns = [_infer_column(series) for series in frame]
    if all(column.kind == "ignored" for column in columns):
        for position, column in enumerate(columns):
            if column.reason == ID_LIKE and frame[column.name].dtype.is_numeric() and not has_id_name(column.name):
                columns[position] = Column(column.name, "number")
    return tuple(columns)


def _infer_column(series: pl.Series) -> Column:
    name = series.name
    is_missing = missing(series)
    if is_missing.all():
        return Column(name, "ignored", ALL_MISSING)
    if is_text(series):
        return _infer_text(as_text(series), series.dtype != pl.String)
    if series.dtype == pl.Boolean or series.dtype.is_numeric() or series.dtype in (pl.Date, pl.Datetime):
        values = series.filter(~is_missing) if is_missing.any() else series
        if len(values) == len(series) and values.min() == values.max():
            return Column(name, "ignored", CONSTANT)
        if series.dtype.is_integer() and _is_id(values):
            return Column(name, "ignored", ID_LIKE)
        return Column(name, _kind_of(series.dtype))
    return Column(name, "ignored", f"{UNSUPPORTED}: {series.dtype}")


def _kind_of(dtype: Any) -> Kind:
    if dtype == pl.Boolean:
        return "boolean"
    return "number" if dtype.is_numeric() else "date"


def _infer_text(text: pl.Series, declared: bool) -> Column:
    """What text holds; if it is a declared category, its values need not look like one."""
    name = text.name
    counts = level_counts(text)
    levels = counts["level"]
    if len(levels) == 1 and not text.null_count():
        return Column(name, "ignored", CONSTANT)
    if not declared and (column := _spelt_out(levels, text)):
        return column
    covered = counts["count"].head(recurring(counts["count"], RECURRING_ROWS)).sum()
    if text.null_count() + covered >= 0.5 * len(text):
        return Column(name, "category")
    is_code = len(levels) == len(text) - text.null_count() and not levels.str.contains(r"\s").any()
    return Column(name, "ignored", ID_LIKE if is_code else FREE_TEXT)


def level_counts(text: pl.Series) -> pl.DataFrame:
    """The levels of a text column and the rows of each, the most frequent first."""
    counts = text.drop_nulls().rename("level").value_counts(name="count")
    return counts.sort("count", "level", descending=[True, False])


def _spelt_out(levels: pl.Series, text: pl.Series) -> Column | None:
    """The column if its text spells numbers, yes and no, or dates."""
    name = text.name
    unit = unit_of(levels)
    if not spelt(levels, unit).null_count() and not holds_codes(levels) and share_a_mark(levels):
        if _spells_ids(levels, text, unit):
            return Column(name, "ignored", ID_LIKE)
        return Column(name, "number", format=unit)
    words = half_width(levels).str.to_lowercase().unique()
    if len(words) == 2 and set(words) in BOOLEANS:
        return Column(name, "boolean")
    format = _date_format(levels, text)
    return Column(name, "date", format=format) if format else None


def _spells_ids(levels: pl.Series, text: pl.Series, unit: str) -> bool:
    """Whether a text column of numbers holds whole ones that identify their rows."""

    def bare(text: pl.Series) -> pl.Series:
        return half_width(text).str.replace(r"\D*$", "") if unit and unit not in MARKS else half_width(text)

    return holds_only_digits(bare(levels)) and _is_id(bare(text).cast(pl.Int64, strict=False).drop_nulls())


def own_slots(counts: pl.Series, n_rows: int, least: float = LEVEL_ROWS) -> int:
    """How many levels of a category have a slot of their own.

    Parameters
    ----------
    counts : rows of each level, the most frequent first.
    n_rows : of the table.
    least : rows that a level must have which is not among the most frequent.
    """
    return min(recurring(counts, least), max(FREQUENT_LEVELS, SLOT_VALUES // max(1, n_rows)))


def recurring(counts: pl.Series, least: float) -> int:
    """How many levels are on so many rows, or among the most frequent and on two."""
    return max(int((counts.head(FREQUENT_LEVELS) > 1).sum()), int((counts >= least).sum()))


_ID_NAME = re.compile(
    r"(^|[\W_])(id|ids|uid|uuid|guid|key)$|^(index|idx|row|rows|row_?(no|num|number|id)|nr|no)\.?$", re.I
)
_CAMEL_ID_NAME = re.compile(r"[a-z](Id|ID)$")
_TIME_NAME = re.compile(
    r"(^|[\W_])(t|time|timestamp|step|tick|epoch|seconds?|minutes?|hours?|days?|weeks?|months?|quarters?|years?|age)($|[\W_])",
    re.I,
)


def has_id_name(name: str) -> bool:
    """Whether a column is called as those are that name rows: id, row, key, index, customer_id, ..."""
    return bool(_ID_NAME.search(name) or _CAMEL_ID_NAME.search(name))


def _is_id(values: pl.Series) -> bool:
    """Whether whole numbers, missing ones left out, identify their rows instead of describing them."""
    if has_id_name(values.name):
        return bool(values.n_unique() == len(values))
    return _counts_the_rows(values) and not _TIME_NAME.search(values.name)


def _counts_the_rows(values: pl.Series) -> bool:
    n = len(values)
    if n < 20 or values[0] not in (0, 1) or values[n - 1] != values[0] + n - 1:
        return False
    return bool((values == pl.int_range(values[0], values[0] + n, eager=True)).all())


def _date_format(levels: pl.Series, text: pl.Series) -> str:
    """The format that fits every value, or an empty string."""
    sample = levels.head(100)
    if not sample.str.contains(DATE_DIGITS).all() or (sample.str.len_chars() > 40).any():
        return ""
    fitting = [f for f in DATE_FORMATS if _fits(sample, f) and (len(levels) == len(sample) or _fits(levels, f))]
    ordered = (f for f in fitting if parse_dates(text, f).drop_nulls().is_sorted()) if len(fitting) > 1 else ()
    return next(iter(ordered), fitting[0] if fitting else "")


def _fits(levels: pl.Series, format: str) -> bool:
    return bool(_fitting(levels, format).all())


def _fitting(levels: pl.Series, format: str) -> pl.Series:
    return parse_dates(levels, format).dt.year().is_between(1000, 2999).fill_null(False)


class Mixed(NamedTuple):
    """Of a text column that nearly holds numbers or dates: which of the two, how many of its values are some, how many
    different ones, and which are none, the most frequent first."""

    what: str
    count: int
    distinct: int
    others: list[str]


def mixed(text: pl.Series) -> Mixed | None:
    """What nearly all values of a text column are, if a few are something else: at least `MOST` of them are numbers, or
    dates of one format."""
    counts = level_counts(text)
    levels, count = counts["level"], counts["count"]
    sample = levels.head(100)

    def found(what: str, fits: pl.Series) -> Mixed | None:
        n, every = int(count.filter(fits).sum()), int(count.sum())
        if n == every or n < MOST * every:
            return None
        return Mixed(what, n, int(fits.sum()), levels.filter(~fits).to_list())

    if numbers := found("numbers", spelt(levels, unit_of(levels)).is_not_null()):
        return numbers
    if np.mean(sample.str.contains(DATE_DIGITS).to_numpy()) < MOST:
        return None
    format = max(DATE_FORMATS, key=lambda format: int(_fitting(sample, format).sum()))
    return found("dates", _fitting(levels, format))


def canonical(series: pl.Series, column: Column) -> pl.Series:
    """A column in the form in which it is encoded, one type for each kind, so that equal values are equal however they
    are held."""
    if column.kind == "category":
        return as_text(series)
    if column.kind == "date":
        return as_dates(series, column.format).to_physical().cast(pl.Float64)
    numbers = as_booleans(series) if column.kind == "boolean" else as_numbers(series, unit=column.format)
    return numbers.cast(pl.Float64).fill_nan(None)
