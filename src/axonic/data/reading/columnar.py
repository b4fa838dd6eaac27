"""Columnar files: Parquet and Arrow, a few columns or a block of rows at a time."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from axonic.data.reading.layout import Spelling
from axonic.data.reading.refusals import check_names
from axonic.data.values import is_text, narrow, spelt, unit_of, with_points
from axonic.errors import InputError

BLOCK_VALUES, MOST_BLOCK_ROWS = 8 << 20, 1 << 18
"""Of a block."""


def read_parquet(path: Path, spelling: Spelling) -> pl.DataFrame:
    """The table of a Parquet file."""
    return _pointed(_read_columnar(path, _open_parquet, "Parquet"), spelling)


def read_arrow(path: Path, spelling: Spelling) -> pl.DataFrame:
    """The table of an Arrow file or stream."""
    return _pointed(_read_columnar(path, _open_arrow, "Arrow"), spelling)


class ParquetBlocks:
    """The rows of a Parquet file in blocks; see `axonic.data.reading.Blocks`."""

    settled = True

    def __init__(self, path: Path, spelling: Spelling) -> None:
        self.path, self.spelling = path, spelling
        with open(path, "rb") as file:
            _refuse_empty(file, path)
        self.names = tuple(self._read(lambda: pl.scan_parquet(path).collect_schema().names()))
        check_names(path, self.names)
        self.n_rows: int = self._read(lambda: pl.scan_parquet(path).select(pl.len()).collect().item())
        self.block_rows = int(np.clip(BLOCK_VALUES // len(self.names), 1024, MOST_BLOCK_ROWS))

    def size(self) -> int:
        return 12 * self.n_rows * len(self.names)

    def between(self, first: int, last: int) -> Iterator[tuple[int, pl.DataFrame]]:
        for start in range(first // self.block_rows * self.block_rows, self.n_rows, self.block_rows):
            if start >= last:
                return
            block = self._read(pl.scan_parquet(self.path).slice(start, self.block_rows).collect)
            yield start, _pointed(block, self.spelling)

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame

    def _read(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise _not_whole(self.path, "Parquet") from error


def _pointed(frame: pl.DataFrame, spelling: Spelling) -> pl.DataFrame:
    """The numbers of text columns with decimal points, if others like this file are known to have commas."""
    if spelling.mark != ",":
        return frame
    return frame.with_columns(_with_points(column.cast(pl.String)) for column in frame if is_text(column))


def _with_points(text: pl.Series) -> pl.Series:
    """As `with_points`, unless a number of the column has a decimal point already, as 0.5 and 1234.5 have."""
    changed = with_points(text, has_groups=True)
    kept = text.filter((changed == text) & text.str.contains(".", literal=True))
    return text if spelt(kept, unit_of(kept)).count() else changed


def _read_columnar(
    path: Path, open_table: Callable[[io.FileIO], Callable[[], pl.LazyFrame]], what: str
) -> pl.DataFrame:
    """Read a few columns at a time, so that only they are ever held in their wide type."""
    with open(path, "rb", buffering=0) as file:  # polars reads from where the operating system says the file stands
        _refuse_empty(file, path)
        try:
            table = open_table(file)
            names = table().collect_schema().names()
            check_names(path, names)
            return _read_by_columns(table, names)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise _not_whole(path, what) from error


def _refuse_empty(file: io.IOBase, path: Path) -> None:
    if not file.read(1):
        raise InputError("the file is empty", "give a table with at least one row", str(path))


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
