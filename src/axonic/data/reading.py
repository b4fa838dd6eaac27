"""Reading: a file into a lean frame.

A delimited file is read in blocks of a few megabytes that end where a row ends, so that neither the text nor a
float64 copy of the numbers is ever in memory as a whole: one million rows of 30 numbers cost little more than their
120 MB as float32. Every field arrives as text and each column climbs a ladder, whole numbers, numbers, text, as far
as its fields demand; a column that turns out to be text late in the file is read once more, so nothing depends on
what the first rows happen to look like. Numbers become Float32, or the smallest whole-number type, where that
loses nothing that matters (`narrow`). What a CSV parser would pass over in silence, such as short rows or a repeated
column name, is refused with the row and the line.
"""

import codecs
import csv
import difflib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from axonic.data.values import MISSING, clean, grouped, half_width, holds_codes, holds_only_digits, narrow, written
from axonic.errors import InputError

BLOCK_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20
BLOCK_VALUES, MOST_BLOCK_ROWS = 8 << 20, 1 << 18
"""Of a block of a columnar file."""


Mark = Literal[".", ","]
"""The decimal point of a delimited file."""


class Spelling(NamedTuple):
    """What a model knows of how delimited files are written, from the one that it was trained on.

    Attributes
    ----------
    mark : the decimal point, which is believed where a file itself does not tell whether 1.234 is a fraction or a
        thousand set apart; see `decimal_mark`.
    text : columns that are text, also in a file where every value looks like a number: 1.10 is not 1.1 there.
    """

    mark: Mark | None = None
    text: Collection[str] = ()


UNKNOWN = Spelling()


def read_table(path: str | os.PathLike[str], spelling: Spelling = UNKNOWN) -> pl.DataFrame:
    """Read a table with named columns from a file.

    Parameters
    ----------
    path : a ``.csv`` (comma; semicolon or tab if the header has no comma outside quotes), ``.tsv``, ``.parquet``,
        ``.arrow`` or ``.feather`` file.
    spelling : what is known of files like this one.

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
        frame = reader(path, spelling)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise _unreadable(path, error) from error
    if frame.width == 0 or frame.height == 0:
        raise InputError("the table has no rows", "give a file with at least one row of data", str(path))
    return frame


def decimal_mark(path: str | os.PathLike[str]) -> Mark | None:
    """The decimal point of a file between semicolons or tabs; None if it does not tell, and of any other file.

    Raises
    ------
    InputError : as `read_table`.
    """
    path = Path(path)
    if path.suffix.lower() not in _SEPARATORS:
        return None
    with open(path, "rb") as file:
        return _guarded(path, _read_layout, file, path, _SEPARATORS[path.suffix.lower()], None).mark


class Blocks:
    """The rows of a file in blocks, again and again, so that no more than a block is ever in memory.

    Delimited text arrives as text in the first pass, since only its last row tells whether a column holds numbers;
    after it `typed` turns such a block into the types of the whole column, in which later passes come by themselves.
    Columnar files have their types from the beginning.

    Parameters
    ----------
    path, spelling : as for `read_table`.

    Raises
    ------
    InputError : as `read_table`, at once or in a pass.
    """

    def __init__(self, path: str | os.PathLike[str], spelling: Spelling = UNKNOWN) -> None:
        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in _READERS or suffix == ".feather" or suffix == ".arrow":
            raise InputError(
                f"a {suffix or 'file without an ending'} can't be read in parts",
                "give a .parquet, .csv or .tsv",
                str(path),
            )
        source = _ParquetBlocks if suffix == ".parquet" else _DelimitedBlocks
        self._source = _guarded(path, source, self.path, spelling)
        self.names: tuple[str, ...] = self._source.names

    @property
    def size(self) -> int:
        """About how many bytes the table would take in memory, read and encoded."""
        return _guarded(self.path, self._source.size)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """One pass."""
        return (block for _, block in self.between(0))

    def between(self, first: int, last: int = sys.maxsize) -> Iterator[tuple[int, pl.DataFrame]]:
        """The blocks that hold rows from `first` to before `last`, each with the number of its first row; after the
        first pass no others are read."""
        blocks = _guarded(self.path, self._source.between, first, last)
        while (found := _guarded(self.path, next, blocks, None)) is not None:
            yield found

    def settle(self) -> None:
        """Make the first pass, if the types are not known without it."""
        if not self._source.settled:
            for _ in self:
                pass

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of the first pass in the types of their columns; what has them already stays as it is."""
        return self._source.typed(frame)


def _guarded(path: str | os.PathLike[str], function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function, what goes wrong with the file said in a line."""
    try:
        return function(*args)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, InputError) else _unreadable(Path(path), error) from error


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
    """No number of the first rows has a decimal point."""
    mark: Mark | None
    """The decimal point, where there is no doubt: with a comma, points set thousands apart."""
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


def _read_delimited(path: Path, spelling: Spelling) -> pl.DataFrame:
    with open(path, "rb") as file:
        layout = _read_layout(file, path, _SEPARATORS[path.suffix.lower()], spelling.mark)
        columns = [_Ladder(name, is_text=name in spelling.text) for name in layout.names]
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
    """The fields of a block in the types given; as text if they do not fit, or if its numbers have decimal commas,
    which are points then."""
    frame = None if layout.decimal_comma else _parse_quickly(layout, block.data, types)
    if frame is None and (types != layout.as_text or layout.decimal_comma):
        frame = _parse_quickly(layout, block.data, layout.as_text)
    frame = _parse_slowly(layout, block) if frame is None else frame
    if not layout.decimal_comma:
        return frame
    return frame.with_columns(_with_points(column, layout.mark == ",") for column in frame)


_PLAIN, _GROUPED = written(r"\d+", ","), written(grouped("."), ",")


def _with_points(text: pl.Series, has_groups: bool) -> pl.Series:
    """Numbers with a decimal comma as others spell them, ``1.234,5 %`` as ``1234.5 %``, if points set thousands apart;
    other text as it is."""
    plain = half_width(text)
    number = plain.str.contains(_GROUPED if has_groups else _PLAIN).fill_null(False)
    pointed = plain.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return pointed.zip_with(number, text)


def _parse_quickly(layout: _Layout, data: bytes, types: Types) -> pl.DataFrame | None:
    """Parse with polars; None if it refuses, or if a row is shorter or longer than the header."""
    width = len(layout.names)
    if width > 1 and (len(data) <= 2 or data.endswith((b"\n\n", b"\n\r\n"))):
        data = data.rstrip(b"\r\n")
    if not data:
        return pl.DataFrame(schema=types)
    if data.startswith(
        codecs.BOM_UTF8
    ):  # polars takes it for a mark of the encoding, which stands before the header only
        data = codecs.BOM_UTF8 + data
    if f'{layout.separator} "'.encode() in data:  # polars takes a quote after a blank for a part of the text
        return None
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema=types,
            separator=layout.separator,
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


def _read_layout(file: io.BufferedReader, path: Path, separator: str, believed: Mark | None) -> _Layout:
    head = file.read(BLOCK_BYTES)
    _refuse_other_formats(path, head)
    content = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not content:
        raise InputError("the file is empty", "give a table with a header and at least one row", str(path))
    start = len(head) - len(content)
    told = re.match(rb"sep=([,;\t])\r?\n", content)  # a line for spreadsheets
    if told:
        separator = told[1].decode()
        start += told.end()
        content = content[told.end() :]
    end = start + _first_row_end(content)
    _refuse_junk(path, head[:end], 0)
    header = head[start:end].decode().rstrip("\r\n")
    if "\r" in header and not header.endswith('"'):
        raise InputError(
            "the lines end in a lone carriage return", "save the file with line ends of Unix or Windows", str(path)
        )
    bare = re.sub(r'"[^"]*"', "", header)
    if separator == "," and "," not in bare and not told:
        separator = next((other for other in ";\t" if other in bare), ",")
    decimal_comma, mark = _decimal_comma(separator, head[end:], believed)
    names = _read_header(path, header, separator)
    return _Layout(path, names, separator, decimal_comma, mark, end, head[:end].count(b"\n"))


FIRST_BYTES = 1 << 20
"""Of a file, which tell how it writes numbers."""


def _decimal_comma(separator: str, body: bytes, believed: Mark | None) -> tuple[bool, Mark | None]:
    """(Whether a number with a comma is a fraction, the decimal point if it is not in doubt).

    Where the file leaves it open, it is believed to be written as others were. Otherwise, files between semicolons are
    made where the comma is the decimal point, so that a number with one is taken for a fraction, and their first
    fraction may come late. Between tabs ``1,234`` is a thousand and more.
    """

    def holds(number: str) -> bool:
        beside = rf"[^{separator}\w\n]{{0,5}}"
        field = rf"(?:^|{separator}){beside}(?:{number}){beside}(?={separator}|\r?$)"
        return re.search(field.encode(), body[:FIRST_BYTES], re.MULTILINE) is not None

    if separator == ",":
        return False, None
    if holds(_POINT):
        return False, "."
    if holds(_COMMA):
        return True, ","
    if believed is not None:
        return believed == ",", believed
    comma = separator == ";" and holds(_COMMA_OR_GROUP)
    return comma or (separator == ";" and not holds(_POINT_OR_GROUP)), "," if comma else None


_POINT = r"(?![1-9]\d{0,2}\.\d{3}(?!\d))\d+(?:,\d{3})*\.\d+"
_COMMA = r"(?![1-9]\d{0,2},\d{3}(?!\d))\d+(?:\.\d{3})*,\d+"
_POINT_OR_GROUP, _COMMA_OR_GROUP = r"\d+\.\d+", r"\d+,\d+"
"""Numbers whose point, or comma, is a decimal one, and those where it may set a thousand apart (1.234)."""


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
    if not names:
        raise InputError("the table has no columns", "give a file with at least one column and one row", str(path))
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
        encoding = _encoding(data[error.start - column + 1 :])
        raise InputError(
            f"the text is not UTF-8: byte 0x{data[error.start]:02x} at position {column} of the line",
            f"save it as UTF-8, for example: iconv -f {encoding} -t UTF-8 OLD > NEW",
            f"{path}, line {line}",
        ) from None


_COMMON = {
    "EUC-KR": rb"[\xb0-\xc8][\xa1-\xfe]",
    "GB18030": rb"[\xb0-\xd7][\xa1-\xfe]",
    "BIG5": rb"[\xa4-\xc6][\xa1-\xfe]",
    "SHIFT_JIS": rb"[\x82-\x83\x88-\x90][\x40-\xfc]|[\x91-\x97][\x80-\xfc]",
}
"""The bytes of the characters that most text is of, as far as Western text has none such side by side: the syllables of
Korean, the frequent characters of Chinese and of Japanese."""
SYLLABLES = 6
"""Different ones of Korean, whose bytes are those of half of the frequent characters of Chinese too: fewer are taken
for these."""


def _encoding(data: bytes) -> str:
    """The encoding that text, from the start of a line on, which is not UTF-8 probably has.

    It is one of East Asia if the bytes fit it and most of what is not ASCII is common there and does not stand behind a
    Latin letter, as Western letters with an accent do; otherwise Latin-1.
    """
    data = data[: data.rfind(b"\n", 0, FIRST_BYTES) + 1] or data[:FIRST_BYTES]
    likely = {"LATIN1": 0.5}
    for encoding, common in _COMMON.items():
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        foreign = "".join(re.findall(r"(?<![A-Za-z])[^\x00-\x7f]+", text)).encode(encoding)
        found = [pair for pair in re.findall(rb"..", foreign, re.DOTALL) if re.fullmatch(common, pair)]
        if encoding == "EUC-KR" and len(set(found)) < SYLLABLES:
            continue
        likely[encoding] = len(found) / max(1, sum(not character.isascii() for character in text))
    return max(likely, key=lambda encoding: likely[encoding])


# --- the ladder: whole numbers, numbers, text ---


def _parse_numbers(text: pl.Series, dtype: Any) -> pl.Series | None:
    """Numbers of a text column, or None if one of its values is none."""
    numbers = text.cast(dtype, strict=False)
    if numbers.null_count() > text.null_count():  # cleaning is slow, and rarely needed
        text = clean(text)
        numbers = text.cast(dtype, strict=False)
    return numbers if numbers.null_count() == text.null_count() else None


class _Ladder:
    """One column while it is being read: it climbs from whole numbers to numbers to text, and never down."""

    def __init__(self, name: str, is_text: bool) -> None:
        self.name = name
        self.dtype: Any = pl.String if is_text else pl.Int64
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
        if self.dtype == pl.Int64:
            numbers = _parse_numbers(text, pl.Int64)
            if numbers is not None and not holds_codes(text):
                return narrow(numbers)
            self.dtype = pl.String if numbers is not None or holds_only_digits(text) else pl.Float64
        if self.dtype == pl.Float64:
            numbers = _parse_numbers(text, pl.Float64)
            if numbers is not None:
                return narrow(numbers)
            self.dtype = pl.String
        return clean(text)

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


class _DelimitedBlocks:
    """See `Blocks`."""

    def __init__(self, path: Path, spelling: Spelling) -> None:
        self.path, self.spelling = path, spelling
        with open(path, "rb") as file:
            self.layout = _read_layout(file, path, _SEPARATORS[path.suffix.lower()], spelling.mark)
        self.names = self.layout.names
        self.dtypes: dict[str, Any] | None = None
        self.starts: list[tuple[int, int, int]] = []
        """Of each block, and of the end, the offset in the file and the rows and lines before it."""

    @property
    def settled(self) -> bool:
        return self.dtypes is not None

    def size(self) -> int:
        return os.path.getsize(self.path)  # a number of eight characters is eight bytes in memory, half of them encoded

    def between(self, first: int, last: int) -> Iterator[tuple[int, pl.DataFrame]]:
        return self._first_pass() if self.dtypes is None else self._known(self.dtypes, first, last)

    def _first_pass(self) -> Iterator[tuple[int, pl.DataFrame]]:
        ladders = [_Ladder(name, is_text=name in self.spelling.text) for name in self.names]
        place, rows, lines = self.layout.start, 0, self.layout.lines
        self.starts = [(place, rows, lines)]
        with open(self.path, "rb") as file:
            file.seek(place)
            for data in _cut_into_rows(file, self.path):
                frame = self._parsed(data, rows, lines, self.layout.as_text)
                for ladder in ladders:
                    ladder.add(frame[ladder.name])
                    ladder.parts.clear()
                yield rows, frame
                place, rows, lines = place + len(data), rows + frame.height, lines + _count(data, "\n")
                self.starts.append((place, rows, lines))
        self.dtypes = {ladder.name: ladder.dtype for ladder in ladders}

    def _known(self, dtypes: dict[str, Any], first: int, last: int) -> Iterator[tuple[int, pl.DataFrame]]:
        types = self.layout.as_text | {name: pl.Float64 for name, dtype in dtypes.items() if dtype == pl.Float64}
        with open(self.path, "rb") as file:
            for (place, rows, lines), (end, end_rows, _) in itertools.pairwise(self.starts):
                if rows < last and end_rows > first:
                    file.seek(place)
                    yield rows, self.typed(self._parsed(file.read(end - place), rows, lines, types))

    def _parsed(self, data: bytes, rows: int, lines: int, types: Types) -> pl.DataFrame:
        _refuse_junk(self.path, data, lines)
        return _parse(self.layout, _Block(data, rows, lines), types)

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        assert self.dtypes is not None
        return frame.with_columns(
            self._typed(column, self.dtypes[column.name]) for column in frame if column.dtype == pl.String
        )

    def _typed(self, text: pl.Series, dtype: Any) -> pl.Series:
        if dtype == pl.String:
            return clean(text)
        numbers = _parse_numbers(text, dtype)
        if numbers is None:
            raise InputError(
                f"column {text.name!r} has changed", "leave the file alone while it is read", str(self.path)
            )
        return numbers


# --- columnar files ---


class _ParquetBlocks:
    """See `Blocks`."""

    settled = True

    def __init__(self, path: Path, spelling: Spelling) -> None:
        del spelling
        self.path = path
        with open(path, "rb") as file:
            if not file.read(1):
                raise InputError("the file is empty", "give a table with at least one row", str(path))
        self.names = tuple(self._read(lambda: pl.scan_parquet(path).collect_schema().names()))
        _check_names(path, self.names)
        self.n_rows: int = self._read(lambda: pl.scan_parquet(path).select(pl.len()).collect().item())
        self.block_rows = int(np.clip(BLOCK_VALUES // len(self.names), 1024, MOST_BLOCK_ROWS))

    def size(self) -> int:
        return 12 * self.n_rows * len(self.names)

    def between(self, first: int, last: int) -> Iterator[tuple[int, pl.DataFrame]]:
        for start in range(first // self.block_rows * self.block_rows, self.n_rows, self.block_rows):
            if start >= last:
                return
            yield start, self._read(pl.scan_parquet(self.path).slice(start, self.block_rows).collect)

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def _read(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _not_whole(self.path, "Parquet") from error


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
            raise _not_whole(path, what) from error


def _not_whole(path: Path, what: str) -> InputError:
    how = "it is cut short, damaged or of another type: write it again"
    return InputError(f"this is not a whole {what} file", how, str(path))


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


_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_READERS: dict[str, Callable[[Path, Spelling], pl.DataFrame]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".parquet": lambda path, _: _read_columnar(path, _open_parquet, "Parquet"),
    ".arrow": lambda path, _: _read_columnar(path, _open_arrow, "Arrow"),
    ".feather": lambda path, _: _read_columnar(path, _open_arrow, "Arrow"),
}
