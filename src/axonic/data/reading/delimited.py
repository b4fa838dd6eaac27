"""Delimited text: its rows, and the types of its columns.

A file is read in blocks of a few megabytes that end where a row ends, so that neither the text nor a float64 copy of
the numbers is ever in memory as a whole: one million rows of 30 numbers cost little more than their 120 MB as float32.
Every field arrives as text and each column climbs a ladder, whole numbers, numbers, text, as far as its fields demand;
a column that turns out to be text late in the file is read once more, so nothing depends on what the first rows happen
to look like. What a CSV parser would pass over in silence, such as short rows, is refused with the row and the line.
"""

import codecs
import csv
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from axonic.data.reading.layout import Layout, Spelling, Types, read_layout
from axonic.data.reading.refusals import refuse_junk
from axonic.data.values import MISSING, clean, holds_codes, holds_only_digits, narrow, with_points
from axonic.errors import InputError

BLOCK_BYTES = 4 << 20
MAX_ROW_BYTES = 64 << 20


@dataclass(frozen=True)
class _Block:
    """Whole rows, with the number of rows and of lines before them."""

    data: bytes
    rows: int
    lines: int


def read_delimited(path: Path, spelling: Spelling) -> pl.DataFrame:
    """The table of a file of delimited text."""
    with open(path, "rb") as file:
        layout = read_layout(file, path, spelling.mark)
        columns = [_Ladder(name, is_text=name in spelling.text) for name in layout.names]
        _climb(file, layout, columns)
        late = [column for column in columns if column.is_late_text]
        if late:
            for column in late:
                column.restart_as_text()
            _climb(file, layout, late)
    return pl.DataFrame([column.finish() for column in columns])


def _climb(file: io.BufferedReader, layout: Layout, columns: Sequence["_Ladder"]) -> None:
    """Add every row of the file to the columns, in blocks.

    A column known to hold fractions is read as numbers, which is quickest, the others as text: whole numbers may turn
    out to be codes. A block that does not fit is read as text altogether.
    """
    rows, lines = 0, layout.lines
    types, refused = layout.as_text, None
    file.seek(layout.start)
    for data in _cut_into_rows(file, layout.path):
        block = _Block(data, rows, lines)
        refuse_junk(layout.path, data, lines)
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


def _parse(layout: Layout, block: _Block, types: Types) -> pl.DataFrame:
    """The fields of a block in the types given; as text if they do not fit, or if its numbers have decimal commas,
    which are points then."""
    frame = None if layout.decimal_comma else _parse_quickly(layout, block.data, types)
    if frame is None and (types != layout.as_text or layout.decimal_comma):
        frame = _parse_quickly(layout, block.data, layout.as_text)
    frame = _parse_slowly(layout, block) if frame is None else frame
    if not layout.decimal_comma:
        return frame
    return frame.with_columns(with_points(column, layout.mark == ",") for column in frame)


def _parse_quickly(layout: Layout, data: bytes, types: Types) -> pl.DataFrame | None:
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


def _parse_slowly(layout: Layout, block: _Block) -> pl.DataFrame:
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


def _ragged(layout: Layout, count: int, row: int, line: int) -> InputError:
    return InputError(
        f"a row has {count} field{'s' * (count != 1)} where the header has {len(layout.names)}",
        "give every row one field for each column, and put quotes around text that contains the separator"
        f" {layout.separator!r}",
        f"{layout.path}, row {row}, line {line}",
    )


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


# --- blocks, again and again ---


class DelimitedBlocks:
    """The rows of a file in blocks; see `axonic.data.reading.Blocks`."""

    def __init__(self, path: Path, spelling: Spelling) -> None:
        self.path, self.spelling = path, spelling
        with open(path, "rb") as file:
            self.layout = read_layout(file, path, spelling.mark)
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
        refuse_junk(self.path, data, lines)
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
