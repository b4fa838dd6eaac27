"""Statistics of the training rows: what the coding of a column takes from them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from axonic.data.columns import level_counts, own_slots
from axonic.data.encoding.coding import BLOCK_VALUES, LARGEST, Coding, Rows, linear_values, refuse_infinite
from axonic.data.values import as_dates, as_text

MARGIN = 1.0
"""How far beyond the values of the training rows others are told apart, in widths of their range."""
MEDIAN_ROWS = 256
CYCLE_LEVEL = 0.01


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


def fit_cycles(frame: pl.DataFrame, coding: Coding, rows: Rows | None, target: np.ndarray | None) -> Coding:
    """Choose the cycles of a date: those that vary in the training rows and between whose parts the target differs."""
    series = frame[coding.name]
    dates = as_dates(series if rows is None else series[rows], coding.format)
    present = dates.is_not_null().to_numpy()
    dates = dates.drop_nulls()
    parts = {"year": dates.dt.month(), "week": dates.dt.weekday(), "day": dates.dt.hour()}
    cycles = []
    for cycle, part in parts.items():
        group = part.rank("dense").to_numpy() - 1
        if part.n_unique() > 1 and (target is None or _differs(group, target[present])):
            cycles.append(cycle)
    return replace(coding, cycles=tuple(cycles))


def _differs(group: np.ndarray, target: np.ndarray) -> bool:
    """Whether the mean of the target differs between groups of rows: a one-way analysis of variance at a level of
    1 %, for classes of the indicator of each class, with Bonferroni's correction (Fisher 1925, chapter 7)."""
    from scipy.special import fdtrc  # takes as long to import as polars, and few tables have dates

    if target.dtype.kind == "i":
        target = target[:, None] == np.arange(target.max() + 1)
    y = target.reshape(len(group), -1).astype(np.float64)
    counts = np.bincount(group)
    free = len(group) - len(counts)
    if free < 1:
        return False
    y = y - y.mean(axis=0)
    sums = np.stack([np.bincount(group, weights=column) for column in y.T])
    between = (sums**2 / counts).sum(axis=1)
    within = np.maximum((y**2).sum(axis=0) - between, 1e-12 * between)
    ratio = np.divide(between * free, within * (len(counts) - 1), out=np.zeros(len(within)), where=within > 0)
    return bool(fdtrc(len(counts) - 1, free, ratio).min() * len(ratio) < CYCLE_LEVEL)


def fit_category(frame: pl.DataFrame, coding: Coding, rows: Rows | None) -> Coding:
    """Choose the levels of a category that have a slot of their own."""
    series = frame[coding.name]
    text = as_text(series if rows is None else series[rows])
    counts = level_counts(text)
    levels = counts["level"].to_list()
    n_slots = own_slots(counts["count"], len(text))
    return replace(
        coding,
        levels=tuple(levels[:n_slots]),
        rare=tuple(levels[n_slots : n_slots + 1000]),
        has_missing=text.null_count() > 0,
    )
