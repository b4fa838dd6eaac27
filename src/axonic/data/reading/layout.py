"""How a delimited file is written, as its first bytes tell: the names of its columns, what stands between the fields,
and whether a comma or a point is the decimal one."""

import codecs
import csv
import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from axonic.data.reading.refusals import check_names, refuse_junk, refuse_other_formats
from axonic.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
HEAD_BYTES = 4 << 20
"""Of a file, in which the header ends."""
FIRST_BYTES = 1 << 20
"""Of a file, which tell how it writes numbers."""

Mark = Literal[".", ","]
"""The decimal point of a delimited file."""


class Spelling(NamedTuple):
    """What a model knows of how delimited files are written, from the one that it was trained on.

    Attributes
    ----------
    mark : the decimal point, which is believed where a file itself does not tell whether 1.234 is a fraction or a
        thousand set apart, or a file between commas whether "1,5" is a fraction or a list; see
        `axonic.data.reading.decimal_mark`.
    text : columns that are text, also in a file where every value looks like a number: 1.10 is not 1.1 there.
    """

    mark: Mark | None = None
    text: Collection[str] = ()


UNKNOWN = Spelling()

Types = dict[str, Any]
"""Column names with the polars types to read them in."""


@dataclass(frozen=True)
class Layout:
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


def read_layout(file: io.BufferedReader, path: Path, believed: Mark | None) -> Layout:
    """What a file says at its beginning.

    Parameters
    ----------
    file : open, at its beginning.
    path : its name, for messages and for what stands between the fields where the file does not tell.
    believed : the decimal point, where the file leaves it open.
    """
    head = file.read(HEAD_BYTES)
    refuse_other_formats(path, head)
    content = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not content:
        raise InputError("the file is empty", "give a table with a header and at least one row", str(path))
    separator, start = SEPARATORS[path.suffix.lower()], len(head) - len(content)
    told = re.match(rb"sep=([,;\t])\r?\n", content)  # a line for spreadsheets
    if told:
        separator = told[1].decode()
        start += told.end()
        content = content[told.end() :]
    end = start + _first_row_end(content)
    refuse_junk(path, head[:end], 0)
    header = head[start:end].decode().rstrip("\r\n")
    if "\r" in header and not header.endswith('"'):
        raise InputError(
            "the lines end in a lone carriage return", "save the file with line ends of Unix or Windows", str(path)
        )
    bare = re.sub(r'"[^"]*"', "", header)
    if separator == "," and "," not in bare and not told:
        separator = next((other for other in ";\t" if other in bare), ",")
    rows = head[end : end + FIRST_BYTES]
    if end + len(rows) < len(head) or len(head) == HEAD_BYTES:  # 1,2 may be the beginning of 1,234
        rows = rows[: max(rows.rfind(after) for after in (separator.encode(), b"\n"))]
    decimal_comma, mark = _decimal_comma(separator, rows, believed)
    names = _read_header(path, header, separator)
    return Layout(path, names, separator, decimal_comma, mark, end, head[:end].count(b"\n"))


def _decimal_comma(separator: str, rows: bytes, believed: Mark | None) -> tuple[bool, Mark | None]:
    """(Whether a number with a comma is a fraction, the decimal point if it is not in doubt), as the first rows tell.

    Where the file leaves it open, it is believed to be written as others were. Otherwise, files between semicolons are
    made where the comma is the decimal point, so that a number with one is taken for a fraction, and their first
    fraction may come late. Between tabs and commas ``1,234`` is a thousand and more. Between commas a fraction with
    one stands in quotes, and so may a list of two numbers, which it is taken for if commas set millions apart or the
    others are known to have a decimal point.
    """
    fields = _field_by_field(separator, rows)

    def holds(numbers: dict[Mark, str], mark: Mark, unit: str = "") -> bool:
        beside = rf'[^{separator}\w\n"()[\]]{{0,5}}'  # a sign, a currency; (0,5] is an interval
        field = rf"\n{beside}(?:{numbers[mark]}){beside}{unit}(?=\r?\n)"
        return mark.encode() in fields and re.search(field.encode(), fields) is not None

    if holds(_FRACTION, ".") or (separator == "," and (believed == "." or holds(_MILLIONS, ","))):
        return False, "."
    if holds(_FRACTION, ","):
        return True, ","
    if believed is not None:
        return believed == ",", believed
    if separator != "\t" and holds(_FRACTION, ",", _UNIT):
        return True, ","
    comma = separator == ";" and holds(_FRACTION_OR_GROUP, ",")
    return comma or (separator == ";" and not holds(_FRACTION_OR_GROUP, ".")), "," if comma else None


_FRACTION: dict[Mark, str] = {
    ".": r"(?![1-9]\d{0,2}\.\d{3}(?!\d))\d+(?:,\d{3})*\.\d+",
    ",": r"(?![1-9]\d{0,2},\d{3}(?!\d))\d+(?:\.\d{3})*,\d+",
}
_FRACTION_OR_GROUP: dict[Mark, str] = {".": r"\d+\.\d+", ",": r"\d+,\d+"}
_MILLIONS: dict[Mark, str] = {",": r"[1-9]\d{0,2}(?:,\d{3}){2,}"}
"""Numbers whose point, or comma, is a decimal one, those where it may set thousands apart instead (1.234), and those
where it does."""
_UNIT = r"[a-zA-Z/]+"


def _field_by_field(separator: str, rows: bytes) -> bytes:
    """The fields of rows without the quotes around them, in any order, between line ends; those of several lines are
    left out."""
    quoted = rf'"(?<=[{separator}\n \t]")([^"]*(?:""[^"]*)*)"(?=[{separator}\r\n])'
    pieces = re.split(quoted.encode(), b"\n" + rows + b"\n")
    bare = b"".join(pieces[::2]).replace(separator.encode(), b"\n")
    return b"\n".join([bare, *(field for field in pieces[1::2] if b"\n" not in field), b""])


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
    check_names(path, names)
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
