"""Statistics of the training rows: what the coding of a column takes from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from axonic.data.columns import LEVEL_ROWS, level_counts, own_slots
from axonic.data.encoding.coding import BLOCK_VALUES, LARGEST, Coding, Rows, linear_values, refuse_infinite
from axonic.data.values import as_dates, as_text

MARGIN = 1.0
"""How far beyond the values of the training rows others are told apart, in widths of their range."""
MEDIAN_ROWS = 256
MEAN_LEVEL = 0.01
"""Level of the tests of whether the mean of the target differs between groups of rows."""
LEAST_LEVEL_ROWS = 2
GROUP_LEVELS = 8
CYCLE_ROWS = 16_384
"""About as many rows decide on cycles."""
TINY = 1e-12
"""Of the variance between groups: where that within is below, it is rounding."""


def fit_linear(
    table: pl.DataFrame | np.ndarray, codings: Sequence[Coding], rows: Rows | None, standardize: bool, bounded: bool
) -> list[Coding]:
    """Centre, scale, bounds and median of each column, for a few columns at a time."""
    index = range(len(table)) if rows is None else rows
    group = max(1, BLOCK_VALUES // max(1, len(index)))
    fitted: list[Coding] = []
    for start in range(0, len(codings), group):
        part = codings[start : start + group]
        values = linear_values(_select(table, part, start, rows), part, index)
        refuse_infinite(values, part, index)
        fitted += _describe(values, part, standardize, bounded)
    return fitted


def _select(
    table: pl.DataFrame | np.ndarray, codings: Sequence[Coding], start: int, rows: Rows | None
) -> pl.DataFrame | np.ndarray:
    if isinstance(table, np.ndarray):
        chosen = table[:, start : start + len(codings)]
    else:
        chosen = table.select(coding.name for coding in codings)
    return chosen if rows is None else chosen[rows]


def _describe(values: np.ndarray, codings: Sequence[Coding], standardize: bool, bounded: bool) -> list[Coding]:
    values = np.asfortranarray(values)
    has_missing = np.atleast_1d(np.isnan(values).any(axis=0))
    scaled = [standardize or coding.kind == "date" for coding in codings]
    center, scale = moments(values) if any(scaled) else (np.zeros(len(codings)), np.ones(len(codings)))
    low, high = _range(values)
    median = _medians(values, has_missing)
    described: list[Coding] = []
    for j, coding in enumerate(codings):
        coding = replace(coding, fill=float(median[j]), has_missing=bool(has_missing[j]))
        if scaled[j]:
            coding = replace(coding, center=float(center[j]), scale=float(scale[j]))
            if bounded:
                coding = replace(coding, low=float(low[j]), high=float(high[j]))
        described.append(coding)
    return described


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column of a float64 array (n, k), NaN left out.

    The deviation of a column that does not vary beyond rounding is 1, so that it can be divided by; a column without
    values has mean 0. Columns of any finite size are right: they are scaled by a power of two while they are squared.
    """
    values = np.asfortranarray(values)  # sums along contiguous columns are pairwise, hence accurate
    if np.isnan(values).any():
        pairs = [_moments(column[~np.isnan(column), None]) for column in values.T]
        return np.concatenate([mean for mean, _ in pairs]), np.concatenate([scale for _, scale in pairs])
    return _moments(values)


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(values):
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    low, high = values.min(axis=0), values.max(axis=0)
    size = np.maximum(high, -low)
    unit = np.where((size > 1e100) | ((size > 0) & (size < 1e-100)), np.ldexp(1.0, np.frexp(size)[1] - 1), 1.0)
    if (unit != 1).any():
        values = values / unit
    mean = values.mean(axis=0)
    spread = values - mean
    deviation = np.sqrt(np.square(spread, out=spread).mean(axis=0))
    scale = np.where(deviation <= 4 * np.finfo(float).eps * size / unit, 1.0, deviation * unit)
    return np.where(low == high, low, mean * unit), np.where(scale > 0, scale, 1.0)


def _range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each column of a float64 array (n, k), NaN left out, with `MARGIN` on each
    side; 0 and 0 for a column without values."""
    low, high = np.fmin.reduce(values, axis=0, initial=np.inf), np.fmax.reduce(values, axis=0, initial=-np.inf)
    low, high = np.where(low > high, 0.0, low), np.where(low > high, 0.0, high)
    with np.errstate(over="ignore"):
        margin = MARGIN * (high - low)
        return np.maximum(low - margin, -LARGEST), np.minimum(high + margin, LARGEST)


def _medians(values: np.ndarray, has_missing: np.ndarray) -> np.ndarray:
    """Median of each column, NaN left out; of evenly spaced rows where no value is missing."""
    medians = _median(values[:: max(1, len(values) // MEDIAN_ROWS)].copy(order="F"))
    for j in np.flatnonzero(has_missing):
        medians[j : j + 1] = _median(values[~np.isnan(values[:, j]), j : j + 1])
    return medians


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each column; 0 of no values."""
    if not len(values):
        return np.zeros(values.shape[1])
    lower, upper = (len(values) - 1) // 2, len(values) // 2
    values = np.partition(values.T, (lower, upper)).T
    return values[lower] / 2 + values[upper] / 2  # halved first, as the sum of huge values overflows


def fit_cycles(
    frame: pl.DataFrame,
    coding: Coding,
    rows: Rows | None,
    target: np.ndarray | None,
    groups: Sequence[np.ndarray] = (),
) -> Coding:
    """Choose the cycles of a date: those that vary in the training rows, and between whose parts the target differs, in
    all rows or within the groups of another column (`column_groups`): at weekends one shop may sell more, and another
    less. All of it is asked without what differs between the parts of the other cycles, which may hide a smaller one,
    and the first with it too, as two cycles may go together."""
    series = frame[coding.name]
    dates = as_dates(series if rows is None else series[rows], coding.format)
    present = dates.is_not_null().to_numpy()
    dates = dates.drop_nulls()
    parts = {"year": dates.dt.month(), "week": dates.dt.weekday(), "day": dates.dt.hour()}
    codes = {cycle: part.to_numpy().astype(np.int64) for cycle, part in parts.items() if part.n_unique() > 1}
    if target is None:
        return replace(coding, cycles=tuple(codes))
    some = slice(None, None, max(1, len(dates) // CYCLE_ROWS))
    y, bases = _columns(target[present][some]), [group[present][some] for group in groups]
    codes = {cycle: _dense(code[some]) for cycle, code in codes.items()}
    cycles = []
    for cycle, code in codes.items():
        others = [other for name, other in codes.items() if name != cycle]
        rest, lost = y, sum(int(other.max()) for other in others)
        for other in others:
            rest = rest - _means(rest, other)
        whole = np.zeros_like(code)
        within = min((_chance(code, rest, base, lost) for base in bases), default=1.0) * max(1, len(bases))
        if min(_chance(code, y, whole), _chance(code, rest, whole, lost), within) < MEAN_LEVEL:
            cycles.append(cycle)
    return replace(coding, cycles=tuple(cycles))


def column_groups(table: pl.DataFrame, codings: Sequence[Coding], rows: Rows | None) -> list[np.ndarray]:
    """The rows in groups, (n,) codes for each column but dates: by the median of numbers, by the most frequent levels
    of categories, all others and missing ones being one more."""
    groups = []
    for coding in codings:
        series = table[coding.name] if rows is None else table[coding.name][rows]
        if coding.kind == "category":
            text, levels = as_text(series), coding.levels[:GROUP_LEVELS]
            code = text.replace_strict(levels, range(len(levels)), default=len(levels), return_dtype=pl.Int64)
            groups.append(code.to_numpy())
        elif coding.kind != "date":
            values = linear_values(pl.DataFrame([series]), [coding], range(len(series)))[:, 0]
            groups.append((values > coding.fill).astype(np.int64))
    return groups


def fit_category(frame: pl.DataFrame, coding: Coding, rows: Rows | None, target: np.ndarray | None) -> Coding:
    """Choose the levels of a category that have a slot of their own; see `n_levels`."""
    series = frame[coding.name]
    text = as_text(series if rows is None else series[rows])
    counts = level_counts(text)
    levels, n_slots = counts["level"].to_list(), n_levels(text, counts, target)
    return replace(
        coding,
        levels=tuple(levels[:n_slots]),
        rare=tuple(levels[n_slots : n_slots + 1000]),
        has_missing=text.null_count() > 0,
    )


def n_levels(text: pl.Series, counts: pl.DataFrame, target: np.ndarray | None, trained: float = 1.0) -> int:
    """How many levels of a category, the most frequent first, have a slot of their own.

    The mean of a level of n rows is better taken from them than from all rows if n is above s^2 / t^2, with t^2 the
    variance between levels and s^2 that within (the variance components of a random effect; Searle, Casella and
    McCulloch 1992, section 3.6). So where the target differs between levels, those on so many rows have a slot, on
    `LEAST_LEVEL_ROWS` at least; where it does not, or the ratio is higher, those on `LEVEL_ROWS`, and the most frequent
    as `own_slots` has it, unless most rows would be without one all the same.

    Parameters
    ----------
    text : (n,), null where missing.
    counts : as `level_counts` has them.
    target : (n,) class indices or (n, n_out) numbers; None if not known.
    trained : the share of these rows that will be trained on.
    """
    usual, most = (own_slots(counts["count"], len(text), least / trained) for least in (LEVEL_ROWS, LEAST_LEVEL_ROWS))
    if usual == most:
        return usual
    shown = 0.0
    if target is not None:
        codes = text.replace_strict(counts["level"], range(len(counts)), default=None, return_dtype=pl.Int64)
        present = codes.is_not_null().to_numpy()
        shown = told_apart(codes.drop_nulls().to_numpy(), target[present])
    least = min(max(1 / shown, LEAST_LEVEL_ROWS), LEVEL_ROWS) if shown else LEVEL_ROWS
    found = own_slots(counts["count"], len(text), least / trained)
    if not shown and 2 * (int(counts["count"][:found].sum()) + text.null_count()) < len(text):
        return min(found, int((counts["count"] >= LEVEL_ROWS / trained).sum()))
    return found


def told_apart(group: np.ndarray, target: np.ndarray) -> float:
    """How far the means of the target differ between groups of rows (n,): the variance between groups over that within,
    the largest over classes or several numbers; 0 if there may be no difference (`_chance`)."""
    y, whole = _columns(target), np.zeros_like(group)
    if _chance(group, y, whole) >= MEAN_LEVEL:
        return 0.0
    ratio, n_more, _ = _ratios(group, y, whole)
    rows_each = (len(group) - (np.bincount(group) ** 2).sum() / len(group)) / n_more
    return float(np.max((ratio - 1) / rows_each))


def _chance(group: np.ndarray, y: np.ndarray, base: np.ndarray, lost: int = 0) -> float:
    """How likely means of y (n, columns) are to differ as they do between groups within those of `base` if they do not:
    an analysis of variance, with Bonferroni's correction for the columns (Fisher 1925, chapter 7)."""
    from scipy.special import fdtrc  # takes as long to import as polars, and few tables need it

    ratio, n_more, free = _ratios(group, y, base, lost)
    return float(fdtrc(n_more, free, ratio).min() * len(ratio)) if n_more > 0 and free > 0 else 1.0


def _ratios(group: np.ndarray, y: np.ndarray, base: np.ndarray, lost: int = 0) -> tuple[np.ndarray, int, int]:
    """The F ratio of each column, and its degrees of freedom above and below the line; 0 where these are none. `lost`
    are some that were used up before."""
    base = _dense(base)
    cell = _dense(base * (group.max() + 1) + group)
    n_more, free = int(cell.max() - base.max()), len(cell) - int(cell.max()) - 1 - lost
    y = y - _means(y, base)
    between = np.square(_means(y, cell)).sum(axis=0)
    within = np.maximum(np.square(y).sum(axis=0) - between, TINY * between)
    ratio = np.divide(between * free, within * n_more, out=np.zeros(len(within)), where=within * n_more > 0)
    return ratio, n_more, free


def _dense(code: np.ndarray) -> np.ndarray:
    """Codes without gaps."""
    return (np.cumsum(np.bincount(code) > 0) - 1)[code]


def _columns(target: np.ndarray) -> np.ndarray:
    """A target as float64 columns, those of classes their indicators."""
    if target.dtype.kind == "i":
        target = target[:, None] == np.arange(target.max() + 1)
    return target.reshape(len(target), -1).astype(np.float64)


def _means(y: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The mean over its group, in the place of each row of y (n, columns)."""
    sums = np.stack([np.bincount(group, weights=column) for column in y.T], axis=1)
    return (sums / np.maximum(np.bincount(group), 1)[:, None])[group]
