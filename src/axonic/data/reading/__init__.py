"""Reading: a file into a lean frame, as a whole or in blocks.

    refusals.py    files that are no tables
    layout.py      how a delimited file is written, as its first bytes tell
    delimited.py   its rows, and the types of its columns
    columnar.py    Parquet and Arrow

Numbers become Float32, or the smallest whole-number type, where that loses nothing that matters
(`axonic.data.values.narrow`).
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from axonic.data.reading.columnar import ParquetBlocks, read_arrow, read_parquet
from axonic.data.reading.delimited import DelimitedBlocks, read_delimited
from axonic.data.reading.layout import SEPARATORS, UNKNOWN, Mark, Spelling, read_layout
from axonic.data.reading.refusals import unreadable
from axonic.errors import InputError

__all__ = ["UNKNOWN", "Blocks", "Mark", "Spelling", "decimal_mark", "read_table", "refuse_pipes"]

_READERS: dict[str, Callable[[Path, Spelling], pl.DataFrame]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}


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
        If the file cannot be read, is a pipe, is no such table, is not UTF-8, has no header, no rows or rows of unequal
        length, or repeats or omits a column name.
    """
    path = Path(path)
    refuse_pipes(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"unknown file type {path.suffix!r}" if path.suffix else "the file name has no extension",
            f"give a table as one of {', '.join(_READERS)}",
            str(path),
        )
    frame = _guarded(path, reader, path, spelling)
    if frame.width == 0 or frame.height == 0:
        raise InputError("the table has no rows", "give a file with at least one row of data", str(path))
    return frame


def decimal_mark(path: str | os.PathLike[str]) -> Mark | None:
    """The decimal point of a delimited file; None if it does not tell, and of any other file.

    Raises
    ------
    InputError : as `read_table`.
    """
    path = Path(path)
    if path.suffix.lower() not in SEPARATORS:
        return None
    refuse_pipes(path)
    with _guarded(path, open, path, "rb") as file:
        return _guarded(path, read_layout, file, path, None).mark


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
        refuse_pipes(self.path)
        suffix = self.path.suffix.lower()
        if suffix not in _READERS or suffix == ".feather" or suffix == ".arrow":
            raise InputError(
                f"a {suffix or 'file without an ending'} can't be read in parts",
                "give a .parquet, .csv or .tsv",
                str(path),
            )
        if suffix == ".parquet":
            self._source = _guarded(path, ParquetBlocks, self.path, spelling)
        else:
            self._source = _guarded(path, DelimitedBlocks, self.path, spelling)
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


def refuse_pipes(path: Path) -> None:
    """Refuse, before it is opened, what is neither a file nor a folder: it may never end, and can't be read twice.

    Raises
    ------
    InputError : it is a pipe, a device or a socket.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        kind = "pipe" if path.is_fifo() else "device"
        raise InputError(f"this is a {kind}, which can be read once only", "write it to a file first", str(path))


def _guarded(path: str | os.PathLike[str], function: Callable[..., Any], *args: Any) -> Any:
    """The result of a function, what goes wrong with the file said in a line."""
    try:
        return function(*args)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable(Path(path), error) from error
