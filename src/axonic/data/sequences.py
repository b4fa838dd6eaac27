"""Sequences from arrays, files, long tables and one long series.

- *Arrays*: (n, time, features), or a list of arrays (time, features) of different lengths.
- *.npz*: x (n, time, features), padded at the end if there are `lengths` (n,), or x (steps, features) with all
  sequences one after the other and their `lengths`; y, or another name for the target, (n,), (n, horizon), or one value
  a step.
- *A long table*: one row a step, a column that names the sequence and one that orders its steps. Columns that do not
  change within a sequence stand beside it and are given to the network at every step. The target is one for each
  sequence if it never changes within one, otherwise one for each step.
- *One series*: one row a step. Windows of `window` steps are cut from it, and what is predicted are the next `horizon`
  values. It is split by time: the first windows train, then come those that validate, then those that test, and no
  window is in two parts; the encoders see nothing later than the last step that is trained on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from axonic import records
from axonic.data.autoregression import fit_linear, linear_forecast, steps_ahead, steps_before, unit_of
from axonic.data.ragged import Ragged
from axonic.data.schema import DATE_FORMATS, infer_columns, named
from axonic.data.values import as_dates, as_numbers, as_text, is_text, missing, parse_dates, spelt
from axonic.errors import InputError

NPZ = ".npz"
DRIFTS = 0.5
"""A series is said to drift if a straight line in time explains this share of its variance."""
SPELLINGS = 200
"""Values of a column by which it is seen how most of them spell a date."""


# --- arrays ---


def as_sequences(x: Any) -> Ragged:
    """Sequences of numbers, float64.

    Parameters
    ----------
    x : (n, time, features), or a list of (time, features) or (time,) arrays.

    Raises
    ------
    InputError : no such array; a sequence is empty or has another number of features; a value is NaN or infinite.
    """
    if (isinstance(x, np.ndarray) and x.dtype != object) or not isinstance(x, Sequence | np.ndarray):
        return _of_array(np.asarray(x))
    each = [_one(item, place) for place, item in enumerate(x)]
    if not each:
        raise InputError("there are no sequences", "give at least one", "X")
    widths = [one.shape[1] for one in each]
    for place, (one, width) in enumerate(zip(each, widths, strict=True)):
        if width != widths[0]:
            what = f"sequence {place} has {width} features where the first has {widths[0]}"
            raise InputError(what, "give every sequence the same features at every step", "X")
        if len(one) == 0:
            raise InputError(f"sequence {place} is empty", "leave it out, or give it at least one step", "X")
    return _finite(Ragged.of(np.concatenate(each), [len(one) for one in each]))


def _of_array(x: np.ndarray) -> Ragged:
    if x.dtype.kind not in "fiub":
        raise InputError(f"the sequences hold values of type {x.dtype}", "give numbers", "X")
    if x.ndim != 3:
        hint = "; for one feature a step, X[:, :, None]" if x.ndim == 2 else ""
        how = f"give (n, time, features), or a list of arrays (time, features){hint}"
        raise InputError(f"Expected 3D array, got {x.ndim}D array instead: sequences have steps and features", how, "X")
    if 0 in x.shape:
        what = "there are no sequences" if len(x) == 0 else f"the sequences have shape {x.shape[1:]}"
        raise InputError(what, "give at least one sequence of at least one step and feature", "X")
    return _finite(Ragged.of(x.reshape(-1, x.shape[2]).astype(np.float64), np.full(len(x), x.shape[1])))


def _one(item: Any, place: int) -> np.ndarray:
    try:
        one = np.asarray(item, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"sequence {place} is no array of numbers", "give (time, features)", "X") from None
    if one.ndim == 1:
        one = one[:, None]
    if one.ndim != 2 or one.shape[1] == 0:
        raise InputError(f"sequence {place} has shape {one.shape}", "give (time, features)", "X")
    return one


def _finite(x: Ragged) -> Ragged:
    finite = np.isfinite(x.values).all(axis=1)
    if not finite.all():
        step = int(finite.argmin())
        place = int(np.searchsorted(x.offsets, step, "right")) - 1
        kind = "NaN" if np.isnan(x.values[step]).any() else "infinite"
        raise InputError(
            f"sequence {place} holds a value that is {kind}, at step {step - int(x.offsets[place])}",
            "fill it in; if the end of a sequence is padding, cut it off or give lengths",
            "X",
        )
    return x


# --- what a file holds ---


@dataclass(frozen=True)
class Layout:
    """How sequences lie in a file.

    Attributes
    ----------
    sequence_id, order_by : columns of a long table; of one series `order_by` may be missing.
    window, horizon : of one series.
    order_format : how `order_by` spells a date in text, as training found it; None if it does not, or is not known.
    """

    sequence_id: str | None = None
    order_by: str | None = None
    window: int | None = None
    horizon: int | None = None
    order_format: str | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for options that do not go together."""
        if self.window is None and self.horizon is not None:
            raise InputError("--horizon needs --window", "say how many steps a forecast may look at", "--horizon")
        if self.window is not None and self.sequence_id is not None:
            raise InputError("--window is for one series, not for several", "leave out --sequence-id", "--window")
        if self.sequence_id is not None and self.order_by is None:
            raise InputError("--sequence-id needs --order-by", "name the column that orders the steps", "--order-by")
        if self.sequence_id is not None and self.sequence_id == self.order_by:
            raise InputError("--sequence-id and --order-by name the same column", "name two columns", "--order-by")
        for name in ("window", "horizon"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} {value} is impossible", "give a whole number of at least 1", f"--{name}")

    @property
    def forecasts(self) -> bool:
        """Whether the file is one series to forecast."""
        return self.window is not None

    @property
    def steps_ahead(self) -> int:
        """Steps of a forecast."""
        return self.horizon or 1

    def to_json(self) -> dict[str, Any]:
        """A plain dict; what is not given is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Layout":
        """The layout that `to_json` wrote."""
        return records.from_json(cls, data)


class Data(NamedTuple):
    """What a file of sequences holds.

    Attributes
    ----------
    steps : the columns of every step, a frame.
    offsets : where the sequences begin, as in `Ragged`.
    ids : (n,) names of the sequences; None if they have none.
    target : one for each sequence, (n,) or (n, horizon), or for each step; None if the file holds none.
    by_step : whether the target is one for each step.
    rows : (steps,) row of the file of each step.
    moved : sequences whose steps were not in their order in the file.
    order_format : of `Layout`.
    """

    steps: pl.DataFrame
    offsets: np.ndarray
    ids: pl.Series | None
    target: Any
    by_step: bool
    rows: np.ndarray
    moved: int
    order_format: str | None = None

    @property
    def sequences(self) -> Ragged:
        """The steps as sequences."""
        return Ragged(self.steps, self.offsets)


def read_npz(path: Path, target: str | None, by_step: bool | None = None) -> Data:
    """Read sequences from a .npz file; see the module.

    Parameters
    ----------
    path : the file. Nothing in it is unpickled.
    target : name of the array that holds the targets; None if there is no need of one.
    by_step : whether there is a target for each step, as in training; None sees it from the file.

    Raises
    ------
    InputError : it can't be read, or does not hold such arrays.
    """
    where = str(path)
    arrays = _arrays(path)
    if "x" not in arrays:
        raise InputError(f"no array is named 'x'; there are {', '.join(arrays) or 'none'}", "name it x", where)
    x, lengths = arrays["x"], arrays.get("lengths")
    if x.dtype.kind not in "fiub":
        raise InputError(f"x holds values of type {x.dtype}", "give numbers", where)
    if lengths is not None:
        lengths = _lengths(lengths, x, where)
    if x.ndim == 2 and lengths is None:
        how = "give (n, time, features), or (steps, features) with lengths"
        raise InputError("x has two dimensions and there are no lengths", how, where)
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise InputError(f"x has shape {x.shape}", "give (n, time, features), or (steps, features) with lengths", where)
    if lengths is None:
        lengths = np.full(len(x), x.shape[1])
    there = np.arange(x.shape[1]) < lengths[:, None] if x.ndim == 3 else None
    values = x if there is None else x[there]
    sequences = _finite(Ragged.of(values.astype(np.float64), lengths))
    names = [f"x{i}" for i in range(sequences.shape[1])]
    steps = pl.DataFrame(sequences.values, schema=names)
    found = None
    if target is not None and target in arrays:
        found, by_step = _npz_target(arrays[target], sequences, there, target, where, by_step)
    elif target is not None:
        how = f"name one of {', '.join(arrays)} with --target"
        raise InputError(f"no array is named {target!r}", how, where)
    ids = pl.Series("sequence", np.arange(len(sequences)))
    return Data(steps, sequences.offsets, ids, found, bool(by_step), np.arange(len(steps)), 0)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise InputError("this is a single array", "save it with numpy.savez(path, x=..., y=...)", str(path))
        with found as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise InputError("no such file", "check the path", str(path)) from None
    except InputError:
        raise
    except ValueError as error:
        if "Object arrays" in str(error) or "pickle" in str(error):
            how = "store the steps of all sequences in one x (steps, features), and lengths (n,)"
            raise InputError("an array of Python objects would have to be unpickled", how, str(path)) from None
        raise InputError(f"not a whole .npz file: {error}", "write it again", str(path)) from error
    except Exception as error:
        raise InputError(f"not a whole .npz file: {error}", "write it again", str(path)) from error


def _lengths(lengths: np.ndarray, x: np.ndarray, where: str) -> np.ndarray:
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise InputError("lengths is no list of whole numbers", "give one for each sequence", where)
    if len(lengths) and lengths.min() < 1:
        place = int(lengths.argmin())
        raise InputError(f"sequence {place} is empty: its length is {lengths[place]}", "leave it out", where)
    if x.ndim == 3 and (len(lengths) != len(x) or lengths.max(initial=0) > x.shape[1]):
        how = f"give {len(x)} of them, at most {x.shape[1]} each"
        raise InputError(f"the {len(lengths)} lengths do not fit x of shape {x.shape}", how, where)
    if x.ndim == 2 and lengths.sum() != len(x):
        how = "the lengths of all sequences add up to the steps of x"
        raise InputError(f"the lengths add up to {lengths.sum()} and x has {len(x)} steps", how, where)
    return lengths.astype(np.int64)


def _npz_target(
    y: np.ndarray, x: Ragged, there: np.ndarray | None, name: str, where: str, by_step: bool | None
) -> tuple[np.ndarray, bool]:
    """The target of a .npz file, and whether it is one for each step: if that is not known, it is if there are as many
    as steps, padding counted or not, and not as many as sequences."""
    if y.dtype.kind == "O":
        raise InputError(f"{name} holds Python objects", "give numbers or text", where)
    of_steps = y.ndim > 0 and (len(y) == len(x.values) if there is None else y.shape[:2] == there.shape)
    of_sequences = y.ndim in (1, 2) and len(y) == len(x)
    each = {False: f"one for each of the {len(x)} sequences", True: "one for each step"}
    how = "give " + (each[by_step] if by_step is not None else ", or ".join(each.values()))
    if by_step is None:
        by_step = of_steps and not (there is None and of_sequences)
    if not (of_steps if by_step else of_sequences):
        raise InputError(f"{name} has shape {y.shape}", how, where)
    found = y[there] if by_step and there is not None else y
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if by_step and found.ndim > 1:
        raise InputError(f"{name} has shape {y.shape}: several values for each step", "give one for each step", where)
    return found, by_step


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


def order_key(
    frame: pl.DataFrame, name: str, place: np.ndarray, order_format: str | None = None
) -> tuple[np.ndarray, str | None]:
    """The column that orders the steps as numbers, and how it spells dates.

    Parameters
    ----------
    frame : one row a step.
    name : of the column.
    place : (steps,) the sequence of each step.
    order_format : of `Layout`. If it is None, the format is found as in `axonic.data.schema.infer_columns`, but where
        day and month could be either way round, the order in which time goes forward within the sequences is preferred.

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
    (column,) = infer_columns(pl.DataFrame([pl.concat([series, series.clear(1)])]))  # with a gap nothing is constant
    if column.kind == "date":
        order_format = _forward(as_text(series), column.format, place) if column.format else None
        return _instants(series, order_format or ""), order_format
    try:
        return (series if series.dtype.is_integer() else as_numbers(series)).to_numpy(), None
    except InputError as error:
        if is_text(series):
            _refuse_misspelt(series, error)
        how = "name a column of numbers or dates with --order-by"
        raise InputError(f"{name!r} holds neither numbers nor dates", how, "--order-by") from None


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
    order = np.argsort(place, kind="stable")
    same = np.diff(place[order]) == 0
    dates = [parse_dates(text, f) for f in (format, other)]
    first, second = (
        not each.null_count() and bool(np.all(np.diff(each.to_physical().to_numpy()[order])[same] >= 0))
        for each in dates
    )
    return other if second and not first else format


def _refuse_missing(series: pl.Series, option: str) -> None:
    absent = missing(series)
    if absent.any():
        row = int(absent.arg_true()[0]) + 1
        raise InputError(f"a row has no {series.name!r}", "fill it in, or leave the row out", f"{option}, row {row}")


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


class Windows(NamedTuple):
    """Windows of a series with what follows them.

    Attributes
    ----------
    ends : (n,) the last step of each window.
    train, valid, test : numbers of the windows of each part.
    seen : steps that training may know of.
    """

    ends: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    seen: int


def cut_windows(n_steps: int, window: int, horizon: int, valid: float, test: float) -> Windows:
    """Windows of a series of `n_steps`, split by time.

    The last share `test` of the steps is to be forecast in the test, the share `valid` before it in validation. A
    window belongs to a part if all steps that follow it do; those on a border belong to none.

    Raises
    ------
    InputError : a part would have no window.
    """
    first_test = n_steps - round(test * n_steps) if test > 0 else n_steps
    first_valid = first_test - max(1, round(valid * n_steps)) if valid > 0 else first_test
    ends = np.arange(window - 1, n_steps - horizon)
    first, last = ends + 1, ends + horizon
    train = np.flatnonzero(last < first_valid)
    held = np.flatnonzero((first >= first_valid) & (last < first_test))
    tested = np.flatnonzero(first >= first_test)
    if len(train) < 2 or (valid > 0 and len(held) < 1) or (test > 0 and len(tested) < 1):
        what = f"a series of {n_steps} steps is too short for windows of {window} with {horizon} ahead"
        raise InputError(what, "give more steps, or a shorter --window or --horizon", "--window")
    return Windows(ends, train, held, tested, first_valid)


def drifts(values: np.ndarray) -> bool:
    """Whether a series drifts: a straight line in time explains at least `DRIFTS` of its variance."""
    time = np.arange(len(values), dtype=np.float64)
    if len(values) < 3 or np.ptp(values) == 0:
        return False
    return bool(np.corrcoef(time, values / unit_of(values))[0, 1] ** 2 >= DRIFTS)


@dataclass(frozen=True)
class SeriesCoding:
    """How the windows of a series are given to a network, and what its answers are added to.

    Attributes
    ----------
    window, horizon : steps that a forecast looks at, and steps ahead.
    relative : whether the series (never the columns beside it) is counted from the last value of each window, and so
        is what follows. A series that drifts leaves the range that the network was trained on; its changes do not.
    scale : what its changes, in units of its deviation, are divided by.
    center : what a series that does not drift is counted from.
    linear : (window + 1, horizon) weights of the linear forecast that the network corrects
        (`axonic.data.autoregression`); empty is none.
    """

    window: int
    horizon: int
    relative: bool = False
    scale: float = 1.0
    center: float = 0.0
    linear: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(
        cls,
        encoded: np.ndarray,
        target: np.ndarray,
        windows: Windows,
        window: int,
        horizon: int,
        linear: bool = True,
    ) -> "SeriesCoding":
        """Decide by the steps that training may know of."""
        coding = cls(window, horizon)
        ends = windows.ends[windows.train]
        if drifts(target[: windows.seen]):
            coding = cls(window, horizon, True)
            changes = coding.inputs(encoded, ends).values[:, 0]
            spread = float(np.sqrt(np.mean(np.square(changes, dtype=np.float64))))
            coding = replace(coding, scale=spread if spread > 0 else 1.0)
        elif linear:
            seen = target[: windows.seen]
            unit = unit_of(seen)
            coding = replace(coding, center=float((seen / unit).mean() * unit))
        if not linear:
            return coding
        weights = fit_linear(target, coding.bases(target, ends), ends, window, horizon)
        return replace(coding, linear=tuple(map(tuple, weights.tolist())))

    def check(self, lengths: np.ndarray) -> None:
        """Raise `InputError` unless all sequences are as long as a window."""
        others = np.flatnonzero(lengths != self.window)
        if len(others):
            what = f"sequence {others[0]} has {lengths[others[0]]} steps"
            raise InputError(what, f"give windows of {self.window} steps, as the model was trained with", "X")

    def inputs(self, encoded: np.ndarray, ends: np.ndarray) -> Ragged:
        """The windows that end at these steps, from the encoded steps, (steps, n_in), whose first column is the
        series."""
        x = encoded[steps_before(ends, self.window)]
        if self.relative:
            x[..., 0] = (x[..., 0] - x[:, -1:, 0]) / self.scale
        return Ragged.of(x.reshape(-1, x.shape[2]), np.full(len(ends), self.window))

    def targets(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n, horizon) what follows the windows, from their origin."""
        return target[steps_ahead(ends, self.horizon)] - self.origin(target, ends)

    def bases(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n,) what the values of each window count from."""
        return target[ends] if self.relative else np.full(len(ends), self.center)

    def origin(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n, horizon) what the network's answers are added to."""
        bases = self.bases(target, ends)
        if self.linear:
            return linear_forecast(np.array(self.linear), target, bases, ends)
        return np.repeat(bases[:, None], self.horizon, axis=1)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SeriesCoding":
        """The coding that `to_json` wrote."""
        coding = records.from_json(cls, data)
        linear = not coding.linear or np.shape(coding.linear) == (coding.window + 1, coding.horizon)
        if coding.window < 1 or coding.horizon < 1 or coding.scale <= 0 or not linear:
            raise ValueError(f"a forecast of {coding.horizon} steps from {coding.window}")
        return coding
