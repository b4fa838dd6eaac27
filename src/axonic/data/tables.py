"""Tables: read a file into a lean frame, and infer what each column holds.

Reading. A delimited file is read in blocks of a few megabytes that end where a row ends, so that neither the text nor a
float64 copy of the numbers is ever in memory as a whole: one million rows of 30 numbers cost little more than their
120 MB as float32. Every field arrives as text and each column climbs a ladder, whole numbers, numbers, text, as far
as its fields demand; a column that turns out to be text late in the file is read once more, so nothing depends on
what the first rows happen to look like. Numbers become Float32, or the smallest whole-number type, where that
loses nothing that matters (`narrow`). What a CSV parser would pass over in silence, such as short rows or a repeated
column name, is refused with the row and the line.

Inferring. `infer_schema` says of each column whether it is a number, a category, a boolean, a date, or of no use, and
of the target whether it asks for classification or regression. The rules stand in the docstrings, because a user
who is surprised by one should be able to look it up.
"""

import csv
import difflib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic.errors import InputError

Kind = Literal["number", "category", "boolean", "date", "ignored"]
Task = Literal["classification", "regression"]

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "#N/A")
"""Texts that mean "no value", in a file and in the text columns of a frame."""

MAX_LEVELS = 50
"""A category has at most this many levels of its own; rarer ones share the slot "other"."""

BLOCK_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20

ID_LIKE, CONSTANT, ALL_MISSING = "id-like", "constant", "all missing"
FREE_TEXT = "free text: too many distinct values"
UNSUPPORTED = "unsupported type"


# ---------------------------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------------------------


def read_table(path: str | os.PathLike[str]) -> pl.DataFrame:
    """Read a table with named columns from a file.

    Parameters
    ----------
    path : a ``.csv`` (comma; semicolon or tab if the header has no comma), ``.tsv``, ``.parquet``, ``.arrow`` or
        ``.feather`` file.

    Returns
    -------
    frame : numbers as Float32 or the smallest whole-number type where that loses nothing that matters, as Float64 or
        Int64 elsewhere; everything else of a delimited file as text without blanks around it. The texts in `MISSING`
        are null. Whole numbers written with leading zeros in a fixed width (``02139``) and those beyond 64 bits stay
        text, as they are codes. Rows keep their order; blank lines are no rows.

    Raises
    ------
    InputError
        If the file cannot be read, is no such table, is not UTF-8, has no header, no rows or rows of unequal length, or
        repeats or omits a column name.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"unknown file type {path.suffix!r}" if path.suffix else "the file name has no extension",
            f"give a table as one of {', '.join(_READERS)}",
            str(path),
        )
    try:
        frame = reader(path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(path, error) from error
    if frame.width == 0 or frame.height == 0:
        raise InputError("the table has no rows", "give a file with at least one row of data", str(path))
    return frame


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
        if low is None or (-(2**bits) <= low and high < 2**bits):  # type: ignore[operator]
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


def _unreadable(path: Path, error: Exception) -> InputError:
    where = str(path)
    if isinstance(error, FileNotFoundError):
        near = difflib.get_close_matches(path.name, _names_beside(path), n=1)
        return InputError("no such file", f"did you mean {near[0]}?" if near else "check the path", where)
    if isinstance(error, IsADirectoryError):
        return InputError("this is a folder", "give the table file inside it", where)
    if isinstance(error, PermissionError):
        return InputError("no permission to read the file", "ask its owner, or run chmod u+r on it", where)
    reason = getattr(error, "strerror", None) or error
    return InputError(f"the file cannot be read: {reason}", "check the path and the disk", where)


def _names_beside(path: Path) -> list[str]:
    try:
        return os.listdir(path.parent)
    except (OSError, ValueError):
        return []


# --- delimited text ---

Types = dict[str, Any]
"""Column names with the polars types to read them in."""


@dataclass(frozen=True)
class _Layout:
    """What the first bytes of a delimited file say about the rest of it."""

    path: Path
    names: tuple[str, ...]
    separator: str
    decimal_comma: bool
    start: int
    """Offset of the first row of data, and the number of lines before it."""
    lines: int

    @property
    def as_text(self) -> Types:
        return dict.fromkeys(self.names, pl.String)


@dataclass(frozen=True)
class _Block:
    """Whole rows, with the number of rows and of lines before them."""

    data: bytes
    rows: int
    lines: int


def _read_delimited(path: Path, separator: str) -> pl.DataFrame:
    with open(path, "rb") as file:
        layout = _read_layout(file, path, separator)
        columns = [_Ladder(name, layout.decimal_comma) for name in layout.names]
        _climb(file, layout, columns)
        late = [column for column in columns if column.is_late_text]
        if late:
            for column in late:
                column.restart_as_text()
            _climb(file, layout, late)
    return pl.DataFrame([column.finish() for column in columns])


def _climb(file: io.BufferedReader, layout: _Layout, columns: Sequence["_Ladder"]) -> None:
    """Add every row of the file to the columns, in blocks.

    A column known to hold fractions is read as numbers, which is quickest, the others as text: whole numbers may turn
    out to be codes. A block that does not fit is read as text altogether.
    """
    rows, lines = 0, layout.lines
    types, refused = layout.as_text, None
    file.seek(layout.start)
    for data in _cut_into_rows(file, layout.path):
        block = _Block(data, rows, lines)
        _refuse_junk(layout.path, data, lines)
        frame = _parse(layout, block, types)
        if frame.schema != types:
            refused = types
        for column in columns:
            column.add(frame[column.name])
        types = layout.as_text | {column.name: pl.Float64 for column in columns if column.dtype == pl.Float64}
        if types == refused:  # blanks around numbers, say: trying again would be time lost
            types = layout.as_text
        rows, lines = rows + frame.height, lines + _count(data, "\n")


def _cut_into_rows(file: io.BufferedReader, path: Path) -> Iterator[bytes]:
    rest = b""
    while chunk := file.read(BLOCK_BYTES):
        data = rest + chunk
        del chunk  # a block is held once only while it is parsed
        end = _last_row_end(data)
        if end == 0 and len(data) > MAX_ROW_BYTES:
            raise InputError(
                f"a row is longer than {MAX_ROW_BYTES >> 20} MB",
                "look for a quote mark that is never closed",
                str(path),
            )
        rest, data = data[end:], data[:end]
        if data:
            yield data
    if rest:
        yield rest


def _last_row_end(data: bytes) -> int:
    """Offset after the last line end that is not inside quotes, 0 if there is none."""
    end = data.rfind(b"\n") + 1
    quotes = data.count(b'"', 0, end) if b'"' in data else 0
    while quotes % 2:
        previous = data.rfind(b"\n", 0, end - 1) + 1
        quotes -= data.count(b'"', previous, end)
        end = previous
    return end


def _parse(layout: _Layout, block: _Block, types: Types) -> pl.DataFrame:
    """The fields of a block in the types given; as text if they do not fit."""
    frame = _parse_quickly(layout, block.data, types)
    if frame is None and types != layout.as_text:
        frame = _parse_quickly(layout, block.data, layout.as_text)
    return _parse_slowly(layout, block) if frame is None else frame


def _parse_quickly(layout: _Layout, data: bytes, types: Types) -> pl.DataFrame | None:
    """Parse with polars; None if it refuses, or if a row is shorter or longer than the header."""
    width = len(layout.names)
    if width > 1 and (len(data) <= 2 or data.endswith((b"\n\n", b"\n\r\n"))):
        data = data.rstrip(b"\r\n")
    if not data:
        return pl.DataFrame(schema=types)
    if f'{layout.separator} "'.encode() in data:  # polars takes a quote after a blank for a part of the text
        return None
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=types,
            separator=layout.separator,
            decimal_comma=layout.decimal_comma,
            null_values=list(MISSING[1:]),
        )
    except pl.exceptions.PolarsError:
        return None
    return frame if _count_separators(data, layout.separator) == frame.height * (width - 1) else None


def _count(data: bytes, character: str) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord(character)))  # bytes.count takes ten times as long


def _count_separators(data: bytes, separator: str) -> int:
    """Count the separators outside quotes; -1 if a quote is not closed.

    Polars raises on rows that are too long but fills short ones with nulls: this total gives them away.
    """
    characters = np.frombuffer(data, np.uint8)
    separators = characters == ord(separator)
    if b'"' in data:
        inside = np.bitwise_xor.accumulate((characters == ord('"')).view(np.uint8))
        if inside[-1]:
            return -1
        separators &= inside == 0
    return int(np.count_nonzero(separators))


def _parse_slowly(layout: _Layout, block: _Block) -> pl.DataFrame:
    """Parse what the quick way refused: blank lines, stray quotes; and find the row that is wrong, if one is."""
    width = len(layout.names)
    source = io.StringIO(block.data.decode(), newline="")
    reader = csv.reader(source, delimiter=layout.separator, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    line = block.lines + 1
    try:
        for fields in reader:
            if len(fields) == width or (width == 1 and not fields):
                rows.append(fields or [""])
            elif any(text.strip() for text in fields) or len(fields) > 1:
                raise _ragged(layout, len(fields), block.rows + len(rows) + 1, line)
            line = block.lines + reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"a quoted field is not closed properly ({error})",
            'quote the whole field and double each quote mark inside it, as in "5"" pipe"',
            f"{layout.path}, row {block.rows + len(rows) + 1}, line {line}",
        ) from error
    frame = pl.DataFrame(rows, schema=dict.fromkeys(layout.names, pl.String), orient="row")
    return frame.with_columns(pl.all().replace("", None))


def _ragged(layout: _Layout, count: int, row: int, line: int) -> InputError:
    return InputError(
        f"a row has {count} field{'s' * (count != 1)} where the header has {len(layout.names)}",
        "give every row one field for each column, and put quotes around text that contains the separator"
        f" {layout.separator!r}",
        f"{layout.path}, row {row}, line {line}",
    )


def _read_layout(file: io.BufferedReader, path: Path, separator: str) -> _Layout:
    head = file.read(BLOCK_BYTES)
    _refuse_other_formats(path, head)
    content = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not content:
        raise InputError("the file is empty", "give a table with a header and at least one row", str(path))
    start = len(head) - len(content)
    end = start + _first_row_end(content)
    _refuse_junk(path, head[:end], 0)
    header = head[start:end].decode().rstrip("\r\n")
    if "\r" in header and not header.endswith('"'):
        raise InputError(
            "the lines end in a lone carriage return", "save the file with line ends of Unix or Windows", str(path)
        )
    if separator == "," and "," not in header:
        separator = next((other for other in ";\t" if other in header), ",")
    body = head[end : end + (1 << 16)]
    comma = separator == ";" and bool(_COMMA_NUMBER.search(body)) and not _POINT_NUMBER.search(body)
    return _Layout(path, _read_header(path, header, separator), separator, comma, end, head[:end].count(b"\n"))


_COMMA_NUMBER = re.compile(rb"(?:^|;)[ +-]*\d+,\d+(?=;|\r?$)", re.MULTILINE)
_POINT_NUMBER = re.compile(rb"(?:^|;)[ +-]*\d+\.\d+(?=;|\r?$)", re.MULTILINE)


def _first_row_end(content: bytes) -> int:
    end = content.find(b"\n") + 1
    while end and content.count(b'"', 0, end) % 2:
        end = content.find(b"\n", end) + 1
    return end or len(content)


def _read_header(path: Path, header: str, separator: str) -> tuple[str, ...]:
    where = f"{path}, header"
    try:
        names = next(csv.reader(io.StringIO(header, newline=""), delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise InputError(f"the header cannot be read ({error})", "write one name for each column", where) from error
    names = tuple(name.replace("\ufeff", "").strip() for name in names)
    if all(_is_number(name) for name in names) and not all(name.lstrip("+-").isdigit() for name in names):
        raise InputError("the first row holds numbers, not names", "put a row of column names above it", where)
    _check_names(path, names)
    return names


def _check_names(path: Path, names: Sequence[str]) -> None:
    where = f"{path}, header"
    for position, name in enumerate(names, start=1):
        if not name:
            raise InputError(
                f"column {position} of {len(names)} has no name",
                "name it in the header, or leave it out (pandas: to_csv(..., index=False))",
                where,
            )
        if name in names[: position - 1]:
            first = names.index(name) + 1
            raise InputError(
                f"the column name {name!r} stands twice, at columns {first} and {position}",
                "give each column its own name",
                where,
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_MAGIC = {
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "save the sheet as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "save the sheet as CSV (UTF-8)"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it first with gunzip"),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", "unpack it first with unzstd"),
    b"PAR1": ("a Parquet file", "give it the extension .parquet"),
    b"ARROW1": ("an Arrow file", "give it the extension .arrow"),
    b"\xff\xfe": ("UTF-16 text, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW"),
    b"\xfe\xff": ("UTF-16 text, not UTF-8", "convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW"),
}


def _refuse_other_formats(path: Path, head: bytes) -> None:
    for magic, (what, how) in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"this is {what}", how, str(path))


def _refuse_junk(path: Path, data: bytes, lines: int) -> None:
    """Refuse bytes that no UTF-8 table contains; `lines` come before them."""
    zero = data.find(b"\0")
    if zero >= 0:
        line = lines + data.count(b"\n", 0, zero) + 1
        raise InputError("this is binary data, not text", "give a table saved as text (UTF-8)", f"{path}, line {line}")
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = lines + data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise InputError(
            f"the text is not UTF-8: byte 0x{data[error.start]:02x} at position {column} of the line",
            "save it as UTF-8, for example: iconv -f LATIN1 -t UTF-8 OLD > NEW",
            f"{path}, line {line}",
        ) from None


# --- the ladder: whole numbers, numbers, text ---


def _clean(text: pl.Series) -> pl.Series:
    """Strip blanks, and null what means "missing"."""
    text = text.str.strip_chars()
    return text.set(text.is_in(MISSING), None)


def _parse_numbers(text: pl.Series, dtype: Any) -> pl.Series | None:
    """Numbers of a text column, or None if one of its values is none."""
    numbers = text.cast(dtype, strict=False)
    if numbers.null_count() > text.null_count():  # cleaning is slow, and rarely needed
        text = _clean(text)
        numbers = text.cast(dtype, strict=False)
    return numbers if numbers.null_count() == text.null_count() else None


def _holds_codes(text: pl.Series) -> bool:
    """Whether whole numbers in a text column are codes: zeros in front at a fixed width."""
    if not (text.str.starts_with("0") & (text.str.len_bytes() > 1)).any():
        return False
    text = _clean(text).drop_nulls()
    width = text.str.len_bytes()
    return width.min() == width.max() and bool(text.str.contains(r"^\d+$").all())


def _holds_only_digits(text: pl.Series) -> bool:
    return bool(_clean(text).drop_nulls().str.contains(r"^[+-]?\d+$").all())


class _Ladder:
    """One column while it is being read: it climbs from whole numbers to numbers to text, and never down."""

    def __init__(self, name: str, decimal_comma: bool) -> None:
        self.name = name
        self.decimal_comma = decimal_comma
        self.dtype: Any = pl.Int64
        self.parts: list[pl.Series] = []
        self.has_numbers = False
        self.is_late_text = False
        """Text appeared after earlier fields were kept as numbers, whose spelling is lost."""

    def restart_as_text(self) -> None:
        self.dtype, self.parts, self.has_numbers, self.is_late_text = pl.String, [], False, False

    def add(self, values: pl.Series) -> None:
        """Add the next values: text, or numbers once the column holds fractions."""
        if self.is_late_text:
            return
        part = self._climb(values) if values.dtype == pl.String else narrow(values)
        if self.dtype == pl.String and self.has_numbers:
            self.is_late_text, self.parts = True, []
            return
        self.has_numbers |= self.dtype != pl.String and part.null_count() < len(part)
        self.parts.append(part)

    def _climb(self, text: pl.Series) -> pl.Series:
        numeric = text.str.replace(",", ".", literal=True) if self.decimal_comma else text
        if self.dtype == pl.Int64:
            numbers = _parse_numbers(numeric, pl.Int64)
            if numbers is not None and not _holds_codes(numeric):
                return narrow(numbers)
            self.dtype = pl.String if numbers is not None or _holds_only_digits(numeric) else pl.Float64
        if self.dtype == pl.Float64:
            numbers = _parse_numbers(numeric, pl.Float64)
            if numbers is not None:
                return narrow(numbers)
            self.dtype = pl.String
        return _clean(text)

    def finish(self) -> pl.Series:
        """The whole column; the parts are let go.

        Parts of one type are not copied into one piece, as memory that many small parts leave behind comes back late.
        """
        types = {part.dtype for part in self.parts}
        if len(types) > 1:
            self.parts = [part.cast(self.dtype) for part in self.parts]
        column = pl.concat(self.parts, rechunk=len(types) > 1) if self.parts else pl.Series([], dtype=pl.String)
        self.parts = []
        return narrow(column).rename(self.name)


# --- columnar files ---


def _read_columnar(
    path: Path, open_table: Callable[[io.FileIO], Callable[[], pl.LazyFrame]], what: str
) -> pl.DataFrame:
    """Read a few columns at a time, so that only they are ever held in their wide type."""
    with open(path, "rb", buffering=0) as file:  # polars reads from where the operating system says the file stands
        if not file.read(1):
            raise InputError("the file is empty", "give a table with at least one row", str(path))
        try:
            table = open_table(file)
            names = table().collect_schema().names()
            _check_names(path, names)
            return _read_by_columns(table, names)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise InputError(
                f"this is not a whole {what} file",
                "it is cut short, damaged or of another type: write it again",
                str(path),
            ) from error


def _read_by_columns(table: Callable[[], pl.LazyFrame], names: list[str]) -> pl.DataFrame:
    n_rows = table().select(names[:1]).collect().height
    group = max(1, (32 << 20) // (8 * max(1, n_rows)))
    columns: list[pl.Series] = []
    for start in range(0, len(names), group):
        columns += map(narrow, table().select(names[start : start + group]).collect())
    return pl.DataFrame(columns)


def _open_parquet(file: io.FileIO) -> Callable[[], pl.LazyFrame]:
    return lambda: pl.scan_parquet(_rewound(file))


def _open_arrow(file: io.FileIO) -> Callable[[], pl.LazyFrame]:
    if _rewound(file).read(6) == b"ARROW1":
        return lambda: pl.scan_ipc(_rewound(file))
    stream = pl.read_ipc_stream(_rewound(file))
    return stream.lazy


def _rewound(file: io.FileIO) -> Any:
    file.seek(0)
    return file


_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": lambda path: _read_delimited(path, ","),
    ".tsv": lambda path: _read_delimited(path, "\t"),
    ".parquet": lambda path: _read_columnar(path, _open_parquet, "Parquet"),
    ".arrow": lambda path: _read_columnar(path, _open_arrow, "Arrow"),
    ".feather": lambda path: _read_columnar(path, _open_arrow, "Arrow"),
}


# ---------------------------------------------------------------------------------------------------------------------
# Values of a column, as text, numbers, booleans, dates
# ---------------------------------------------------------------------------------------------------------------------

TRUE_WORDS, FALSE_WORDS = ("true", "yes", "t", "y"), ("false", "no", "f", "n")

_DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y"),
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
)
_TIMES = (
    "",
    " %H:%M:%S%.f",
    "T%H:%M:%S%.f",
    "T%H:%M:%S%.f%#z",
    " %H:%M:%S%.f%#z",
    " %H:%M",
    "T%H:%M",
    " %I:%M:%S %p",
    " %I:%M %p",
)
DATE_FORMATS = (*(day + time for time in _TIMES for day in _DAYS), "%Y-%m", "%b %Y", "%B %Y")
"""Formats tried on text, in this order: a day, alone or with a time of day, or a month."""


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


def as_text(series: pl.Series) -> pl.Series:
    """A column as text without blanks around it, null where missing; whole floats read as whole numbers."""
    if series.dtype.is_float():
        series = series.fill_nan(None)
        whole = series.cast(pl.Int64, strict=False)
        if (whole.cast(series.dtype) == series).all():
            series = whole
    if not is_text(series):
        return series.cast(pl.String)
    return _clean(series.cast(pl.String))


def as_numbers(series: pl.Series, rows: Sequence[int] | np.ndarray | None = None) -> pl.Series:
    """A column as Float64, null or NaN where missing.

    Parameters
    ----------
    series : numbers, booleans, or text that spells numbers.
    rows : indices of the values in their table, for the error message; 0, 1, 2, ... by default.

    Raises
    ------
    InputError
        If a value is no number, or the column is of another type.
    """
    if not is_text(series):
        return _numbers_of(series, "numbers")
    text = as_text(series)
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() > text.null_count():
        _refuse_unread(text, numbers, "a number", rows)
    return numbers


def as_booleans(series: pl.Series, rows: Sequence[int] | np.ndarray | None = None) -> pl.Series:
    """A column of booleans as Float64, 0 or 1, null where missing.

    Parameters
    ----------
    series : booleans, numbers, or text: yes/no, true/false, y/n, t/f in any case, or numbers.
    rows : as for `as_numbers`.

    Raises
    ------
    InputError
        As for `as_numbers`.
    """
    if not is_text(series):
        return _numbers_of(series, "yes or no")
    text = as_text(series)
    words = dict.fromkeys(TRUE_WORDS, 1.0) | dict.fromkeys(FALSE_WORDS, 0.0)
    values = text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Float64)
    values = values.fill_null(text.cast(pl.Float64, strict=False))
    if values.null_count() > text.null_count():
        _refuse_unread(text, values, "yes or no", rows)
    return values


def _numbers_of(series: pl.Series, wanted: str) -> pl.Series:
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


def as_dates(series: pl.Series, format: str, rows: Sequence[int] | np.ndarray | None = None) -> pl.Series:
    """A column as Datetime in microseconds, null where missing.

    Parameters
    ----------
    series : dates, times with a date (of a time zone: in UTC), or text.
    format : how text spells a date, as `Column.format` gives it; ISO dates if empty.
    rows : as for `as_numbers`.

    Raises
    ------
    InputError
        If a text does not fit the format, or the column is of another type.
    """
    if series.dtype in (pl.Date, pl.Datetime, pl.Null):
        return _without_zone(series.cast(pl.Datetime("us", getattr(series.dtype, "time_zone", None))))
    if not is_text(series):
        raise InputError(
            f"the column holds values of type {series.dtype} where dates should be",
            f"give dates, as {_example(format)}",
            f"column {series.name!r}",
        )
    text = as_text(series)
    dates = _strptime(text, format)
    if dates.null_count() > text.null_count():
        _refuse_unread(text, dates, f"a date as {_example(format)}", rows)
    return dates


def _example(format: str) -> str:
    sample = pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return str(sample.dt.strftime((format or "%Y-%m-%d").replace("%#z", "%z").replace("%.f", ""))[0])


def _strptime(text: pl.Series, format: str) -> pl.Series:
    return _without_zone(text.str.to_datetime(format or "%Y-%m-%d", time_unit="us", strict=False, exact=True))


def _without_zone(dates: pl.Series) -> pl.Series:
    zone = getattr(dates.dtype, "time_zone", None)
    return dates.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if zone else dates


# ---------------------------------------------------------------------------------------------------------------------
# The schema
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """What one column holds.

    Attributes
    ----------
    name : its name in the table.
    kind : ``number``, ``category``, ``boolean``, ``date`` or ``ignored``.
    reason : why an ignored column is ignored; empty otherwise.
    format : how a date is spelt where it is text (as for ``strptime``); empty otherwise.
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
        return cls(**data)


@dataclass(frozen=True)
class Schema:
    """What a table holds and what is to be predicted from it.

    Attributes
    ----------
    columns : the columns used as features, in the order of the table.
    target : name of the column to predict; empty for none.
    task : ``classification`` or ``regression``.
    ignored : the columns left out, each with its reason.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    ignored: tuple[Column, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A plain dict of strings, lists and dicts."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "target": self.target,
            "task": self.task,
            "ignored": [column.to_json() for column in self.ignored],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Schema":
        """The schema that `to_json` wrote."""
        return cls(
            tuple(map(Column.from_json, data["columns"])),
            data["target"],
            data["task"],
            tuple(map(Column.from_json, data["ignored"])),
        )


def infer_schema(frame: pl.DataFrame, target: str, task: str = "auto") -> Schema:
    """Infer what the columns hold, and the task from the target.

    With ``task="auto"`` text and booleans ask for classification, numbers with a fraction for regression. Whole
    numbers are labels when they look like what a label encoder writes or like a short scale: at most 30 distinct
    values that are 0..K-1 or 1..K, or at most 10 distinct values of any kind, with two rows or more to a
    value on average. Counts and measurements have more values than that; where the rule is wrong, `task` decides.
    How features are judged stands at `infer_columns`.

    Parameters
    ----------
    frame : the table; rows without a target are left out of all judgements about the target.
    target : name of the column to predict.
    task : ``auto``, or where it is known ``classification`` or ``regression``.

    Raises
    ------
    InputError
        If the target is not there, empty, constant or does not suit the task, if fewer than two rows have one, if a
        class has a single row or every row its own class, or if no column is left to learn from.
    """
    if target not in frame.columns:
        raise InputError(f"no column is named {target!r}", _column_hint(target, frame.columns), "target")
    resolved = _resolve_task(frame[target], task)
    columns = infer_columns(frame.drop(target))
    used = tuple(column for column in columns if column.kind != "ignored")
    ignored = tuple(column for column in columns if column.kind == "ignored")
    if not used:
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in ignored) or "the target is the only column"
        raise InputError(
            f"no column is left to predict {target!r} from ({reasons})",
            "add columns that bear on the target",
            "features",
        )
    return Schema(used, target, resolved, ignored)


def usable_rows(frame: pl.DataFrame, schema: Schema) -> np.ndarray:
    """Indices (n_usable,) of the rows that have a target, in order."""
    return np.flatnonzero(~missing(frame[schema.target]).to_numpy())


def target_values(frame: pl.DataFrame, schema: Schema) -> pl.Series:
    """The target column (n,) as its task needs it: labels as they are for classification, Float64 for regression.

    Missing values are null; text labels lose the blanks around them.

    Raises
    ------
    InputError
        If the column is not there, or a value is no finite number for regression.
    """
    if schema.target not in frame.columns:
        raise InputError(f"no column is named {schema.target!r}", _column_hint(schema.target, frame.columns), "target")
    series = frame[schema.target]
    if schema.task == "regression":
        return _finite_target(series)
    if is_text(series):
        return as_text(series)
    if series.dtype == pl.Float32:  # through text, so that a label 0.1 stays 0.1
        series = series.cast(pl.String).cast(pl.Float64)
    return series.fill_nan(None) if series.dtype.is_float() else series


def _column_hint(name: str, names: Sequence[str]) -> str:
    lower = {other.strip().lower(): other for other in names}
    near = difflib.get_close_matches(name.strip().lower(), lower, n=1)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return (f"did you mean {lower[near[0]]!r}? " if near else "") + f"the columns are {listed}"


def _resolve_task(series: pl.Series, task: str) -> Task:
    if task not in ("auto", "classification", "regression"):
        raise InputError(f"no task is named {task!r}", "use auto, classification or regression", "task")
    where = f"target {series.name!r}"
    values = series.filter(~missing(series))
    if values.is_empty():
        raise InputError("the target has no values", "fill the column, or choose another target", where)
    if len(values) < 2:
        raise InputError("only one row has a target", "give at least two rows", where)
    if values.dtype.is_temporal() or values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise InputError(
            f"a target of type {values.dtype} cannot be learned", "turn it into a number or a label", where
        )
    counts = _label_counts(values)
    if len(counts) == 1:
        raise InputError(
            f"the target is {counts[0, 0]!r} in every row", "choose another target, or add rows that differ", where
        )
    resolved = _task_of(values, counts) if task == "auto" else task
    if resolved == "regression":
        _finite_target(series)
        return "regression"
    _check_classes(counts, len(values), values, where)
    return "classification"


def _label_counts(values: pl.Series) -> pl.DataFrame:
    """Label and count of each class, the rarest first."""
    values = as_text(values) if is_text(values) else values
    return values.rename("label").value_counts(name="count").sort("count", "label")


def _task_of(values: pl.Series, counts: pl.DataFrame) -> Task:
    labels = counts["label"]
    if labels.dtype == pl.Boolean:
        return "classification"
    if labels.dtype == pl.String:
        numbers = labels.cast(pl.Float64, strict=False)
        if numbers.null_count() or _holds_codes(labels):
            return "classification"
        labels = numbers
    return "classification" if _look_like_labels(labels, len(values)) else "regression"


def _look_like_labels(labels: pl.Series, n_rows: int) -> bool:
    numbers = labels.cast(pl.Float64)
    if not numbers.is_finite().all() or not (numbers == numbers.floor()).all() or 2 * len(numbers) > n_rows:
        return False
    low, high = float(numbers.min()), float(numbers.max())  # type: ignore[arg-type]
    is_encoded = low in (0.0, 1.0) and high - low == len(numbers) - 1
    return len(numbers) <= (30 if is_encoded else 10)


def _check_classes(counts: pl.DataFrame, n_rows: int, values: pl.Series, where: str) -> None:
    is_numeric = values.dtype.is_numeric()
    if len(counts) == n_rows:
        how = "use --task regression" if is_numeric else "choose a target whose values repeat"
        raise InputError("every row has a class of its own", how, where)
    if counts[0, "count"] == 1:
        singles = counts.filter(pl.col("count") == 1)["label"]
        also = f" (and {len(singles) - 1} more)" if len(singles) > 1 else ""
        raise InputError(
            f"class {singles[0]!r}{also} has a single row",
            "add rows of it, merge it with another class, or drop it" + ("; or use --task regression" * is_numeric),
            where,
        )


def _finite_target(series: pl.Series) -> pl.Series:
    try:
        numbers = as_numbers(series)
    except InputError as error:
        raise InputError(
            f"regression needs a numeric target: {error.what}", "correct it, or use --task classification", error.where
        ) from None
    infinite = numbers.is_infinite().arg_true()
    if len(infinite):
        where = f"column {series.name!r}, row {infinite[0] + 1}"
        raise InputError("the target is infinite", "correct the value or leave it empty", where)
    return numbers.fill_nan(None)


# --- features ---


def infer_columns(frame: pl.DataFrame) -> tuple[Column, ...]:
    """Infer what each column of a table of features holds.

    - *boolean*: booleans, and text with two values that are yes/no, true/false, y/n or t/f in any case.
    - *number*: numbers, and text in which every value spells one. Whole numbers with zeros in front at a fixed width
      (``02139``) are codes, hence categories.
    - *date*: dates, and text in which every value fits one of `DATE_FORMATS`. Where day and month could be either way
      round, the order in which the rows are sorted is preferred, else month first; the schema holds the format chosen.
    - *category*: other text, if the levels with a slot of their own (the 50 most frequent, among those on two rows or
      more; missing counts as one) cover at least half of the rows. Otherwise most rows would be "other".

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
            if column.reason == ID_LIKE and frame[column.name].dtype.is_numeric() and not _has_id_name(column.name):
                columns[position] = Column(column.name, "number")
    return tuple(columns)


def _infer_column(series: pl.Series) -> Column:
    name = series.name
    is_missing = missing(series)
    if is_missing.all():
        return Column(name, "ignored", ALL_MISSING)
    if is_text(series):
        return _infer_text(as_text(series))
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


def _infer_text(text: pl.Series) -> Column:
    name = text.name
    counts = text.drop_nulls().rename("level").value_counts(name="count")
    levels = counts["level"]
    if len(levels) == 1 and not text.null_count():
        return Column(name, "ignored", CONSTANT)
    numbers = levels.cast(pl.Float64, strict=False)
    if not numbers.null_count() and not _holds_codes(levels):
        is_id = _holds_only_digits(levels) and _is_id(text.cast(pl.Int64, strict=False).drop_nulls())
        return Column(name, "ignored", ID_LIKE) if is_id else Column(name, "number")
    words = levels.str.to_lowercase().unique()
    if len(words) == 2 and set(words) in _BOOLEANS:
        return Column(name, "boolean")
    format = _date_format(levels, text)
    if format:
        return Column(name, "date", format=format)
    if _covered(counts["count"], text.null_count()) >= 0.5 * len(text):
        return Column(name, "category")
    is_code = len(levels) == len(text) - text.null_count() and not levels.str.contains(r"\s").any()
    return Column(name, "ignored", ID_LIKE if is_code else FREE_TEXT)


_BOOLEANS = tuple({true, false} for true, false in zip(TRUE_WORDS, FALSE_WORDS, strict=True))


def _covered(counts: pl.Series, n_missing: int) -> int:
    """Rows whose level would have a slot of its own in the encoding."""
    return n_missing + int(counts.filter(counts > 1).top_k(MAX_LEVELS).sum())


_ID_NAME = re.compile(
    r"(^|[\W_])(id|ids|uid|uuid|guid|key)$|^(index|idx|row|rows|row_?(no|num|number|id)|nr|no)\.?$", re.I
)
_CAMEL_ID_NAME = re.compile(r"[a-z](Id|ID)$")
_TIME_NAME = re.compile(
    r"(^|[\W_])(t|time|timestamp|step|tick|epoch|seconds?|minutes?|hours?|days?|weeks?|months?|quarters?|years?|age)($|[\W_])",
    re.I,
)


def _has_id_name(name: str) -> bool:
    return bool(_ID_NAME.search(name) or _CAMEL_ID_NAME.search(name))


def _is_id(values: pl.Series) -> bool:
    """Whether whole numbers, missing ones left out, identify their rows instead of describing them."""
    if _has_id_name(values.name):
        return bool(values.n_unique() == len(values))
    return _counts_the_rows(values) and not _TIME_NAME.search(values.name)


def _counts_the_rows(values: pl.Series) -> bool:
    n = len(values)
    if n < 20 or values[0] not in (0, 1) or values[n - 1] != values[0] + n - 1:
        return False
    return bool((values.cast(pl.Int64).diff(null_behavior="drop") == 1).all())


def _date_format(levels: pl.Series, text: pl.Series) -> str:
    """The format that fits every value, or an empty string."""
    sample = levels.head(100)
    if not sample.str.contains(r"\d").all() or int(sample.str.len_chars().max() or 0) > 40:  # type: ignore[arg-type]
        return ""
    fitting = [f for f in DATE_FORMATS if _fits(sample, f) and (len(levels) == len(sample) or _fits(levels, f))]
    ordered = (f for f in fitting if _strptime(text, f).drop_nulls().is_sorted()) if len(fitting) > 1 else ()
    return next(iter(ordered), fitting[0] if fitting else "")


def _fits(levels: pl.Series, format: str) -> bool:
    dates = _strptime(levels, format)
    if dates.null_count():
        return False
    return bool(dates.dt.year().is_between(1000, 2999).all())
