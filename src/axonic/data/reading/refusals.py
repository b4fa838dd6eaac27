"""Files that are no tables, and what is said of them: they cannot be opened, are of another format or not of UTF-8, or
their columns have no names of their own."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from axonic.errors import InputError


def unreadable(path: Path, error: Exception) -> InputError:
    """What to say of a file that cannot be opened or read."""
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


def check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse a table without columns, or with one whose name is empty or stands twice."""
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


def refuse_other_formats(path: Path, head: bytes) -> None:
    """Refuse a file that begins as one of another format does."""
    for magic, (what, how) in _MAGIC.items():
        if head.startswith(magic):
            raise InputError(f"this is {what}", how, str(path))


def refuse_junk(path: Path, data: bytes, lines: int) -> None:
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
GUESS_BYTES = 1 << 20
"""Of text, which tell its encoding."""


def _encoding(data: bytes) -> str:
    """The encoding that text, from the start of a line on, which is not UTF-8 probably has.

    It is one of East Asia if the bytes fit it and most of what is not ASCII is common there and does not stand behind a
    Latin letter, as Western letters with an accent do; otherwise Latin-1.
    """
    data = data[: data.rfind(b"\n", 0, GUESS_BYTES) + 1] or data[:GUESS_BYTES]
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
