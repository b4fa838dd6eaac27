"""The values of a column: what counts as missing, and a column as text, numbers, booleans or dates.

Every part of the package that needs to know what a field means asks here, so that a file, a schema, an encoder and a
check never differ over it. What does not fit is refused with its column and row.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from axonic.errors import InputError

MISSING = (
    *("", "NA", "N/A", "n/a", "n.a.", "N.A.", "NaN", "nan", "null", "NULL", "None", "?", "<NA>", "NaT"),
    *("#N/A", "#NA", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
)
"""Texts that mean "no value", in a file and in the text columns of a frame; the last are a spreadsheet's."""

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "t", "y"), ("false", "no", "f", "n")
BOOLEANS = tuple({true, false} for true, false in zip(TRUE_WORDS, FALSE_WORDS, strict=True))
"""Pairs of words that mean yes and no, in any case."""


@contextlib.contextmanager
def in_file(path: Any = "", rows: Sequence[int] | np.ndarray | None = None) -> Iterator[None]:
    """Let an `InputError` name the file, if one is given, and count a row as the file does: `rows` are the places in
    it, from 0, of the rows at hand."""
    try:
        yield
    except InputError as error:
        where = error.where
        if rows is not None:
            where = re.sub(r"\brow (\d+)$", lambda row: f"row {rows[int(row[1]) - 1] + 1}", where)
        if str(path) not in where:
            where = f"{path}, {where}" if where else str(path)
        raise InputError(error.what, error.how, where) from error


def is_text(series: pl.Series) -> bool:
    """Whether a column holds text: strings, categoricals or enums."""
    return series.dtype in (pl.String, pl.Categorical, pl.Enum)


def missing(series: pl.Series) -> pl.Series:
    """Booleans, true where a column has no value: null, NaN, or a text in `MISSING`."""
    if is_text(series):
        return as_text(series).is_null()
    if series.dtype.is_float():
        return series.is_null() | series.is_nan().fill_null(False)
    return series.is_null()


def clean(text: pl.Series) -> pl.Series:
    """Text without blanks around it, null where it means "missing"."""
    text = text.str.strip_chars()
    return text.set(text.is_in(MISSING), None)


_WIDE = {chr(0xFEE0 + code): chr(code) for code in range(0x21, 0x7F)} | {"￥": "¥", "￡": "£", "−": "-"}


def half_width(text: pl.Series) -> pl.Series:
    """Text with the digits, letters and signs of East Asian width, and the minus sign of print, as ASCII has them.

    This is how numbers, dates and words for yes and no are looked for; categories keep their spelling. The rest of
    Unicode's compatibility forms (NFKC) stays as it is: in it 5² would be 52.
    """
    if (text.str.len_bytes() == text.str.len_chars()).all():
        return text
    return text.str.replace_many([*_WIDE], [*_WIDE.values()])


def as_text(series: pl.Series) -> pl.Series:
    """A column as text without blanks around it, null where missing; a whole float reads as a whole number, whatever
    the other values are.

    Raises
    ------
    InputError
        If the values have no text: lists, intervals, ...
    """
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.cast(pl.Int64, strict=False)  # null beyond 64 bits
        return whole.cast(pl.String).zip_with(whole.cast(series.dtype) == series, series.cast(pl.String))
    try:
        text = series.cast(pl.String)
    except pl.exceptions.PolarsError as error:
        what = f"the column holds values of type {series.dtype} where text should be"
        raise InputError(what, "make it text", f"column {series.name!r}") from error
    return clean(text) if is_text(series) else text


def as_numbers(series: pl.Series, rows: Sequence[int] | np.ndarray | None = None, unit: str = "") -> pl.Series:
    """A column as Float64, null or NaN where missing.

    Parameters
    ----------
    series : numbers, booleans, or text that spells numbers; see `spelt`.
    rows : indices of the values in their table, for the error message; 0, 1, 2, ... by default.
    unit : of numbers in text, besides which no other is taken; see `unit_of`.

    Raises
    ------
    InputError
        If a value is no number, or the column is of another type.
    """
    if not is_text(series):
        return _numbers_of(series, "numbers")
    text = as_text(series)
    numbers = spelt(text, unit)
    if numbers.null_count() > text.null_count():
        _refuse_unread(text, numbers, f"a number, alone or of {unit}" if unit else "a number", rows)
    return numbers


_CURRENCIES = "$€£¥₹"
MARKS = _CURRENCIES + "%"
"""What may stand beside a number without being a word: currencies on either side, a percent sign behind."""


def written(whole: str, point: str, unit: str = "") -> str:
    """The regular expression of a number as people write it, blanks around it allowed.

    Parameters
    ----------
    whole : of the digits before the decimal point.
    point : of the decimal point.
    unit : of what may stand behind it, as `UNIT`; besides a currency or a percent sign.
    """
    number = rf"({whole})({point}\d*)?([eE][+-]?\d+)?"
    behind = rf"(\s?[{MARKS}]|{unit})?" if unit else rf"\s?[{MARKS}]?"
    return rf"^\s*[+-]?[{_CURRENCIES}]?\s?[+-]?{number}{behind}\s*$"


def _any_case(unit: str) -> str:
    """The regular expression of a unit, capitals and a plural s allowed."""
    return rf"(?i:{re.escape(unit)}s?)"


def grouped(mark: str) -> str:
    """The regular expression of digits whose thousands a mark, an apostrophe or a blank that does not break may set
    apart. No group of zeros comes first: 0,125 is no thousand."""
    return rf"[1-9]\d{{0,2}}([{mark}'’\u00a0\u202f]\d{{3}})+|\d+"


_WRITTEN = written(grouped(","), r"\.")


def spelt(text: pl.Series, unit: str = "") -> pl.Series:
    """The number that each text spells, Float64 (n,), null where it spells none.

    Numbers are spelt as programs do (``-1234.5``, ``1e5``), or as people do: thousands set apart by a comma, an
    apostrophe or a blank that does not break (``1,234.50``), a currency on either side (``$1,234``, ``5 €``), a percent
    sign behind (``45 %`` is 45), or a unit behind (``5 kg``). Where the unit is given, which may be such a mark (see
    `unit_of`), a number stands alone or has this one. The decimal point is a point. They may be of East Asian width
    (``２０．６３``).
    """
    text = half_width(text)
    if unit:
        text = text.set(text.str.contains(f"[{MARKS.replace(unit, '')}]"), None)
    if unit and unit not in MARKS:
        text = text.str.replace(rf"^(\P{{L}}*[\d.])\s*{_any_case(unit)}\s*$", "$1")
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() == text.null_count():
        return numbers
    bare = text.str.replace_all(r"[^\d.eE+-]", "").set(~text.str.contains(_WRITTEN).fill_null(False), None)
    return numbers.fill_null(bare.cast(pl.Float64, strict=False))


def with_points(text: pl.Series, has_groups: bool) -> pl.Series:
    """Numbers with a decimal comma as others spell them, ``1.234,5 %`` as ``1234.5 %``, if points set thousands apart;
    other text as it is. Each by itself, of whatever unit, so that a table and a part of it are read alike."""
    plain = half_width(text)
    number = plain.str.contains(written(grouped(".") if has_groups else r"\d+", ",", UNIT)).fill_null(False)
    pointed = plain.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return pointed.zip_with(number, text)


_UNITS = "|".join(
    (
        "mg|g|kg|lb|oz|ton|mm|cm|m|km|mi|mile|ft|foot|feet|in|inch|yd|ml|cl|l|cc|m2|m²|km²|sqft|sqm|ha|℃|㎡|°[cf]?|º[cf]?",
        "ms|s|sec|min|minute|h|hr|hour|day|week|month|mo|yr|year|m/s|km/h|kmh|kph|kmph|mph|kmpl|mpg|rpm",
        "hp|bhp|ps|w|kw|mw|kwh|mah|v|hz|khz|mhz|ghz|kb|mb|gb|tb|mbps|px|mp|pa|hpa|kpa|bar|psi|cal|kcal|kj|nm|ppm|db",
        "公斤|千克|克|斤|吨|米|厘米|毫米|公里|千米|升|毫升|平米|平方米|元|万元|亿元|岁|年|个月|天|小时|分钟|秒|度|人|次",
    )
)
"""Units that may follow a number without a blank; 12A, 12B and 12D are no numbers of anything."""
_WORD = r"[\p{L}°º][\p{L}°º²³/.]*"
UNIT = rf"(?i:\s+{_WORD}(?: {_WORD})?|(?:{_UNITS})s?)"
"""The regular expression of a unit with the blank before it."""
_MEASURED = rf"^\s*[+-]?(?:\d[\d.,'’]*|\.\d+)({UNIT})\s*$"


def unit_of(text: pl.Series) -> str:
    """The unit in which a text column gives its numbers (``5 kg``, ``7.5kg``, ``36 months``), in the singular and as it
    is mostly written, or the currency or percent sign beside them; empty if there is none, or several, capitals apart.
    A unit is a word or two behind a blank, or one of those people write without."""
    text = half_width(text)
    found = pl.concat([text.str.extract(_MEASURED), _marks(text.filter(text.str.contains(_WRITTEN)))])
    units = found.drop_nulls().str.strip_chars().str.replace(r"(?i)(\w[^\Ws])s$", "$1").rename("unit").value_counts()
    one = units["unit"].str.to_lowercase().n_unique() == 1
    return str(units.sort("count", "unit", descending=[True, False])["unit"][0]) if one else ""


def _marks(text: pl.Series) -> pl.Series:
    """The first of `MARKS` in each text, null where there is none."""
    return text.str.extract(rf"([{MARKS}])")


def share_a_mark(text: pl.Series) -> bool:
    """Whether no two numbers of a text column bear different marks, as dollars and percents do."""
    return _marks(half_width(text)).drop_nulls().n_unique() <= 1


def as_booleans(series: pl.Series, rows: Sequence[int] | np.ndarray | None = None) -> pl.Series:
    """A column of booleans as Float64, 0 or 1, null where missing.

    Parameters
    ----------
    series : booleans, the numbers 0 and 1, or text: yes/no, true/false, y/n, t/f in any case, or these numbers.
    rows : as for `as_numbers`.

    Raises
    ------
    InputError
        If a value is none of these, or the column is of another type.
    """
    if is_text(series):
        given = half_width(as_text(series))
        words = dict.fromkeys(TRUE_WORDS, 1.0) | dict.fromkeys(FALSE_WORDS, 0.0)
        values = given.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Float64)
        values = values.fill_null(given.cast(pl.Float64, strict=False))
    else:
        given = values = _numbers_of(series, "yes or no").fill_nan(None)
    values = values.set(~values.is_in([0.0, 1.0]), None)
    if values.null_count() > given.null_count():
        _refuse_unread(as_text(given), values, "yes or no", rows)
    return values


def _numbers_of(series: pl.Series, wanted: str) -> pl.Series:
    if missing(series).all():  # such a column of a file may be of any type
        return pl.Series(series.name, [None] * len(series), pl.Float64)
    if series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null):
        return series.cast(pl.Float64)
    raise InputError(
        f"the column holds values of type {series.dtype} where {wanted} should be",
        f"give {wanted}",
        f"column {series.name!r}",
    )


def _refuse_unread(text: pl.Series, values: pl.Series, what: str, rows: Sequence[int] | np.ndarray | None) -> None:
    """Refuse the first text that has no value."""
    unread = (values.is_null() & text.is_not_null()).arg_true()
    if len(unread):
        position = unread[0]
        row = (position if rows is None else rows[position]) + 1
        raise InputError(
            f"{text[position]!r} is not {what}",
            "correct the value or leave it empty",
            f"column {text.name!r}, row {row}",
        )


ISO_TIMES = (
    *("", " %H:%M:%S%.f", "T%H:%M:%S%.f", "T%H:%M:%S%.f%#z", " %H:%M:%S%.f%#z", " %H:%M", "T%H:%M"),
    *("T%H:%M%#z", " %H:%M%#z", " %H:%M:%S%.f UTC"),
)
"""How a time of day is spelt behind a day."""
ISO_DATES = tuple("%Y-%m-%d" + time for time in ISO_TIMES)


def as_dates(series: pl.Series, format: str, rows: Sequence[int] | np.ndarray | None = None) -> pl.Series:
    """A column as Datetime in microseconds, null where missing.

    Parameters
    ----------
    series : dates, times with a date (of a time zone: in UTC), or text.
    format : how text spells a date, as `Column.format` gives it; empty for ISO. Where it is one of ISO, a day may come
        with a time or without, and a time as any of `ISO_TIMES`.
    rows : as for `as_numbers`.

    Raises
    ------
    InputError
        If a text does not fit the format, or the column is of another type.
    """
    if missing(series).all():
        return pl.Series(series.name, [None] * len(series), pl.Datetime("us"))
    if series.dtype in (pl.Date, pl.Datetime):
        return _without_zone(series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None))))
    if not is_text(series):
        raise InputError(
            f"the column holds values of type {series.dtype} where dates should be",
            f"give dates, as {_example(format)}",
            f"column {series.name!r}",
        )
    text = as_text(series)
    dates = parse_dates(text, format)
    if not format or format in ISO_DATES:
        for other in ISO_DATES:
            if dates.null_count() > text.null_count():
                dates = dates.fill_null(parse_dates(text, other))
    if dates.null_count() > text.null_count():
        _refuse_unread(text, dates, f"a date as {_example(format)}", rows)
    return dates


def _example(format: str) -> str:
    sample = pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return str(sample.dt.strftime((format or "%Y-%m-%d").replace("%#z", "%z").replace("%.f", ""))[0])


def parse_dates(text: pl.Series, format: str) -> pl.Series:
    """Text as Datetime in microseconds (of a time zone: in UTC), null where it does not fit; ISO dates if no format."""
    text = half_width(text)
    return _without_zone(text.str.to_datetime(format or "%Y-%m-%d", time_unit="us", strict=False, exact=True))


def _without_zone(dates: pl.Series) -> pl.Series:
    zone = getattr(dates.dtype, "time_zone", None)
    return dates.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else dates


def holds_codes(text: pl.Series) -> bool:
    """Whether whole numbers in a text column are codes: zeros in front at a fixed width."""
    text = half_width(text)
    if not (text.str.starts_with("0") & (text.str.len_bytes() > 1)).any():
        return False
    text = clean(text).drop_nulls()
    width = text.str.len_bytes()
    return width.min() == width.max() and bool(text.str.contains(r"^\d+$").all())


def holds_only_digits(text: pl.Series) -> bool:
    """Whether every value of a text column is a whole number, whatever its length."""
    return bool(clean(text).drop_nulls().str.contains(r"^[+-]?\d+$").all())


def narrow(series: pl.Series) -> pl.Series:
    """Give a column of numbers the smallest type that loses nothing that matters.

    Whole numbers keep every value. Float64 becomes Float32 when the rounding is at most 1e-5 of the column's standard
    deviation, a hundredth of a percent of the smallest difference a network could use; a column such as 1e9 plus a
    small variation, or one beyond Float32's range, stays as it is. Other columns are returned unchanged.
    """
    if series.dtype.is_integer():
        return _narrow_integers(series)
    if series.dtype == pl.Float64:
        return _narrow_floats(series)
    return series


def _narrow_integers(series: pl.Series) -> pl.Series:
    low, high = series.min(), series.max()
    for dtype, bits in ((pl.Int8, 7), (pl.Int16, 15), (pl.Int32, 31), (pl.Int64, 63)):
        if low is None or (-(2**bits) <= low and high < 2**bits):
            return series.cast(dtype)
    return series


def _narrow_floats(series: pl.Series) -> pl.Series:
    values = (series.drop_nulls() if series.null_count() else series).to_numpy()
    if np.isnan(values).any():
        return _narrow_floats(series.fill_nan(None))
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        error = np.abs(values.astype(np.float32) - values).max(initial=0.0)
        is_harmless = error == 0 or (np.isfinite(error) and error <= 1e-5 * values.std())
    return series.cast(pl.Float32) if is_harmless else series
