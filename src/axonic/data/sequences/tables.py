"""Sequences from tables.

- *A long table*: one row a step, a column that names the sequence and one that orders its steps. Columns that do not
  change within a sequence stand beside it and are given to the network at every step. The target is one for each
  sequence if it never changes within one, otherwise one for each step.
- *One series*: one row a step, and a column that orders them unless they stand in the order of time.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from axonic.data.columns import DATE_FORMATS, infer_columns
from axonic.data.schema import named
from axonic.data.sequences.layout import Data, Layout
from axonic.data.values import as_dates, as_numbers, as_text, half_width, is_text, missing, parse_dates, spelt
from axonic.errors import InputError

SPELLINGS = 200
"""Values of a column by which it is seen how most of them spell a date."""
MONTH, MONTHS = "%m.%Y", r"^(0[1-9]|1[0-2])\.[12]\d{3}$"
"""01.2005, a month that might be a number."""


# --- a long table ---


def cut_table(frame: pl.DataFrame, layout: Layout, target: str | None, by_step: bool | None = None) -> Data:
    """Cut a long table into sequences, in the order in which they first appear.

    Parameters
    ----------
    frame : one row a step.
    layout : which columns name the sequence and order its steps.
    target : the column to predict; None, or one that is not there, is none.
    by_step : whether there is a target for each step, as in training; None sees it from the file.

    Raises
    ------
    InputError : a column is not there; a row has no name or place; two steps of a sequence have the same place; a
        target changes within a sequence and should not.
    """
    if layout.sequence_id is None or layout.order_by is None:
        raise InputError(
            "a table does not say which rows are a sequence", "give --sequence-id and --order-by, or --window"
        )
    names = named(frame, layout.sequence_id, "--sequence-id")
    _refuse_missing(names, "--sequence-id")
    codes = names.rank("dense").to_numpy().astype(np.int64)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[codes]  # sequences in the order in which they appear
    key, order_format = order_key(frame, layout.order_by, place, layout.order_format)
    rows = np.lexsort((np.arange(len(frame)), key, place))
    place, key = place[rows], key[rows]
    again = np.flatnonzero((np.diff(place) == 0) & (np.diff(key) == 0))
    if len(again):
        row = int(rows[again[0] + 1])
        raise InputError(
            f"sequence {names[row]!r} has two steps at {layout.order_by} = {frame[layout.order_by][row]}",
            "give each step a place of its own, or name another column with --order-by",
            f"row {row + 1}",
        )
    lengths = np.bincount(place)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    moved = np.zeros(len(lengths), bool)
    moved[place[1:][(np.diff(rows) < 0) & (np.diff(place) == 0)]] = True
    keys = [layout.sequence_id, layout.order_by]
    steps = frame[rows]
    ids = steps[layout.sequence_id][offsets[:-1]]
    found = None
    if target is not None and target in frame.columns:
        found = steps[target]
        keys.append(target)
        changes = _changes(found, offsets)
        if by_step is False and changes.any():
            what = f"{target!r} changes within sequence {ids[int(changes.argmax())]!r}"
            raise InputError(what, "give one target for each sequence, as in training", f"column {target!r}")
        by_step = bool(changes.any()) if by_step is None else by_step
        if not by_step:
            found = _per_sequence(found, offsets)
    return Data(steps.drop(keys), offsets, ids, found, bool(by_step), rows, int(moved.sum()), order_format)


def _changes(series: pl.Series, offsets: np.ndarray) -> np.ndarray:
    """Whether a column changes within each sequence; missing values aside."""
    absent = missing(series).to_numpy()
    codes = series.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    low = np.minimum.reduceat(np.where(absent, np.iinfo(np.int64).max, codes), offsets[:-1])
    high = np.maximum.reduceat(np.where(absent, -1, codes), offsets[:-1])
    return high > low


def _per_sequence(series: pl.Series, offsets: np.ndarray) -> pl.Series:
    """The one value of each sequence; missing where it has none."""
    present = ~missing(series).to_numpy()
    steps = np.where(present, np.arange(len(series)), len(series))
    first = np.minimum.reduceat(steps, offsets[:-1])
    values = series[np.minimum(first, len(series) - 1)]
    return values.set(pl.Series(first == len(series)), None) if (first == len(series)).any() else values


# --- one series ---


class Series(NamedTuple):
    """One series in the order of time.

    Attributes
    ----------
    steps : its columns, that of the target first.
    target : (steps,) float64.
    moved : whether the rows were in another order.
    rows : (steps,) row of the file of each step.
    order_format : of `Layout`.
    key : (steps,) what orders them, as numbers; None if nothing does.
    """

    steps: pl.DataFrame
    target: np.ndarray
    moved: bool
    rows: np.ndarray
    order_format: str | None
    key: np.ndarray | None


def order_series(frame: pl.DataFrame, layout: Layout, target: str, where: str = "--target") -> Series:
    """One series, ordered.

    Parameters
    ----------
    frame : one row a step.
    layout : which column orders them, if one does.
    target : the column to forecast, which becomes numbers.
    where : what names it, for the error message.

    Raises
    ------
    InputError : a column is not there, the target has gaps or no numbers or orders the steps, two steps have the same
        place, or the series is shorter than a window.
    """
    series = named(frame, target, where)
    rows, key, order_format = np.arange(len(frame)), None, None
    if layout.order_by == target:
        what = f"--order-by and --target both name {target!r}"
        raise InputError(what, "name the column of the time with --order-by, or leave it out", "--order-by")
    if layout.order_by is not None:
        key, order_format = order_key(frame, layout.order_by, np.zeros(len(frame), np.int64), layout.order_format)
        rows = np.argsort(key, kind="stable")
        key = key[rows]
        again = np.flatnonzero(np.diff(key) == 0)
        if len(again):
            row = int(rows[again[0] + 1])
            what = f"two steps stand at {layout.order_by} = {frame[layout.order_by][row]}"
            raise InputError(what, "give each step a place of its own", f"row {row + 1}")
    values = as_numbers(series).fill_nan(None)
    gaps = (values.is_null() | values.is_infinite()).to_numpy()
    if gaps.any():
        row = int(gaps.argmax())
        how = "fill it in, for example by interpolation, or cut the series there"
        raise InputError(f"the series has no value of {target!r} there", how, f"row {row + 1}")
    window = layout.window or 1
    if len(frame) < window:
        how = f"give at least {window} steps, or train with a shorter --window"
        raise InputError(f"the window of {window} steps is longer than the series of {len(frame)}", how, "--window")
    order = [layout.order_by] if layout.order_by is not None else []
    steps = frame.with_columns(values.alias(target))[rows].drop(order)
    steps = steps.select(target, *(name for name in steps.columns if name != target))
    return Series(steps, values.to_numpy()[rows], bool(np.any(np.diff(rows) < 0)), rows, order_format, key)


# --- what orders the steps ---


def order_key(
    frame: pl.DataFrame, name: str, place: np.ndarray, order_format: str | None = None
) -> tuple[np.ndarray, str | None]:
    """The column that orders the steps as numbers, and how it spells dates.

    Parameters
    ----------
    frame : one row a step.
    name : of the column.
    place : (steps,) the sequence of each step.
    order_format : of `Layout`. If it is None, the format is found as in `axonic.data.columns.infer_columns`, but where
        day and month could be either way round, the order in which time goes forward within the sequences is preferred.
        Where every text is spelt as 01.2005, they are months if some begin with a zero, unless the numbers go forward
        in the file and the years have gaps; without such a zero only if the months go forward and the numbers do not.

    Raises
    ------
    InputError : it is not there, has gaps, or holds neither numbers nor dates; or dates in another format.
    """
    series = named(frame, name, "--order-by")
    _refuse_missing(series, "--order-by")
    if order_format is not None:
        try:
            return _instants(series, order_format), order_format
        except InputError as error:
            raise InputError(error.what, f"give dates as in training, {order_format}", error.where) from None
    if is_text(series):
        if _are_months(as_text(series), place):
            return _instants(series, MONTH), MONTH
        series = _in_numbers(as_text(series))
    (column,) = infer_columns(pl.DataFrame([pl.concat([series, series.clear(1)])]))  # with a gap nothing is constant
    if column.kind == "date":
        order_format = _forward(as_text(series), column.format, place) if column.format else None
        return _instants(series, order_format or ""), order_format
    try:
        return (series if series.dtype.is_integer() else as_numbers(series, unit=column.format)).to_numpy(), None
    except InputError as error:
        if is_text(series):
            _refuse_misspelt(series, error)
        how = "name a column of numbers or dates with --order-by"
        raise InputError(f"{name!r} holds neither numbers nor dates", how, "--order-by") from None


def _in_numbers(text: pl.Series) -> pl.Series:
    """Text as whole numbers, of which none is rounded, or as numbers, if every value is one as programs spell it."""
    for dtype in (pl.Int64, pl.Float64):
        numbers = text.cast(dtype, strict=False)
        if not numbers.null_count():
            return numbers
    return text


def _are_months(text: pl.Series, place: np.ndarray) -> bool:
    """Whether text spells months as 01.2005; see `order_key`."""
    text = half_width(text)
    if not text.str.contains(MONTHS).all():
        return False
    numbers_do = _goes_forward(text.cast(pl.Float64), place)
    if text.str.starts_with("0").any():
        years = text.str.slice(3).unique().cast(pl.Int64).sort()
        return not numbers_do or bool((years.diff().drop_nulls() == 1).all())
    return not numbers_do and _goes_forward(parse_dates(text, MONTH), place)


def _goes_forward(key: pl.Series, place: np.ndarray) -> bool:
    """Whether what orders the steps never goes back within a sequence, as the rows stand."""
    order = np.argsort(place, kind="stable")
    same = np.diff(place[order]) == 0
    return bool(np.all(np.diff(key.to_physical().to_numpy()[order])[same] >= 0))


def _instants(series: pl.Series, format: str) -> np.ndarray:
    """Dates as whole numbers, those of a frame in its own unit."""
    dates = series if series.dtype in (pl.Date, pl.Datetime) else as_dates(series, format)
    return dates.to_physical().to_numpy()


def _refuse_misspelt(series: pl.Series, error: InputError) -> None:
    """Name the first value that is no number, which `error` does, or no date, if most of the others are some."""
    some = as_text(series).unique(maintain_order=True).head(SPELLINGS)
    how = "correct the value, or leave the row out"
    if 2 * spelt(some).count() > len(some):
        raise InputError(error.what, how, error.where) from None
    format = max(DATE_FORMATS, key=lambda each: parse_dates(some, each).count())
    if 2 * parse_dates(some, format).count() > len(some):
        try:
            as_dates(series, format)
        except InputError as misspelt:
            raise InputError(misspelt.what, how, misspelt.where) from None


def _forward(text: pl.Series, format: str, place: np.ndarray) -> str:
    """The format, or that with day and month the other way round if only with it time goes forward."""
    other = format.translate(str.maketrans("dm", "md"))
    if other == format or other not in DATE_FORMATS:
        return format
    dates = [parse_dates(text, f) for f in (format, other)]
    first, second = (not each.null_count() and _goes_forward(each, place) for each in dates)
    return other if second and not first else format


def _refuse_missing(series: pl.Series, option: str) -> None:
    absent = missing(series)
    if absent.any():
        row = int(absent.arg_true()[0]) + 1
        raise InputError(f"a row has no {series.name!r}", "fill it in, or leave the row out", f"{option}, row {row}")
