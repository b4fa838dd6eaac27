"""Step one of the notes for sequences: the checks of tables that make sense for them, and their own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from axonic import checks
from axonic.checks import Table
from axonic.data.schema import Schema
from axonic.data.sequences.layout import Data
from axonic.data.sequences.tables import Series
from axonic.data.sequences.windows import Windows
from axonic.types import Finding

OF_STEPS = (
    checks.check_missing,
    checks.check_constant,
    checks.check_id_like,
    checks.check_unsupported,
    checks.check_duplicate_columns,
)
OF_SEQUENCES = (checks.check_imbalance, checks.check_rare_classes)
FEW_SEQUENCES = 50
FEW_WINDOWS = 100
EVEN, EVEN_SHARE = 0.15, 0.7
"""A series has a usual step if this share of its steps is no farther from the median, as a share of it."""
MOST_STEPS = 0.95
"""Share of the steps of a series that are not suspected of a gap."""
LEAP, LEAP_OVER_BREAKS = 1.8, 6.0
"""Times the longest of those from which on a step is one over a gap: February and March are 1.9 times a month, five
days of Easter 1.7 times a weekend. Where breaks are usual, as weekends are, some are much longer."""


def check_sequences(data: Data, labels: Any, schema: Schema) -> list[Finding]:
    """Examine sequences before training.

    Parameters
    ----------
    data : the sequences.
    labels : their targets, a Series, or numbers (n, horizon).
    schema : of the steps.
    """
    lengths = np.diff(data.offsets)
    label = labels if isinstance(labels, pl.Series) else pl.Series(schema.target, labels[:, 0])
    per_step = label if data.by_step else label[np.repeat(np.arange(len(lengths)), lengths)]
    steps = Table(data.steps.with_columns(per_step.alias(schema.target)), schema)
    sequences = steps if data.by_step else Table(pl.DataFrame([label.alias(schema.target)]), schema)
    findings = [finding for check in OF_STEPS for finding in check(steps)]
    findings += [finding for check in OF_SEQUENCES for finding in check(sequences)]
    findings += [*_few(len(lengths)), *_moved(data.moved, len(lengths))]
    return checks.by_severity(findings)


def check_series(series: Series, windows: Windows, schema: Schema) -> list[Finding]:
    """Examine a series before training.

    Parameters
    ----------
    series, windows : the series, and what is cut from it.
    schema : of its steps, the target among them.
    """
    steps = Table(series.steps, schema, series.rows)
    findings = [finding for check in OF_STEPS for finding in check(steps)]
    findings += [*_moved(int(series.moved), 1), *_gaps(series)]
    if len(windows.train) < FEW_WINDOWS:
        findings.append(
            Finding(
                "data.few_rows",
                "warning",
                "",
                {"windows": len(windows.train), "advised": FEW_WINDOWS},
                f"{len(windows.train)} windows to train on are few, and windows that overlap say much the same.",
                "Give a longer series or a shorter window, and compare with a simple forecast.",
            )
        )
    return checks.by_severity(findings)


def _gaps(series: Series) -> Iterator[Finding]:
    """data.gaps: a few steps in time that are far longer than the usual one."""
    if series.key is None or len(series.key) < 3:
        return
    key = series.key if series.key.itemsize == 8 else series.key.astype(np.float64)  # differences may need more bits
    step = np.diff(key).astype(np.float64)
    usual, longest = float(np.median(step)), float(np.quantile(step, MOST_STEPS, method="lower"))
    if np.mean(np.abs(step / usual - 1) <= EVEN) < EVEN_SHARE:
        return
    limit = longest * (LEAP if longest < LEAP * usual else LEAP_OVER_BREAKS)
    after = 1 + np.flatnonzero((step > limit) & ~_turns_over(key, usual))
    if len(after):
        row = int(series.rows[after[0]]) + 1
        times = float(step[after[0] - 1] / usual)
        more = len(after) - 1
        yield Finding(
            "data.gaps",
            "warning",
            "",
            {"gaps": len(after), "first_row": row, "times_usual": round(times, 1)},
            f"Steps seem to be missing before row {row}: time goes {times:.3g} times as far there as it usually does"
            + (f", and too far in {more} other place{'s' * (more > 1)}." if more else "."),
            "Windows take rows that follow each other for steps that do: fill the gaps, for example by interpolation, "
            "or cut the series there.",
        )


def _turns_over(key: np.ndarray, usual: float) -> np.ndarray:
    """Where whole numbers that spell dates, such as 202412 or 20241231, begin a year or a month."""
    spells_dates = usual == 1 and key[0] >= 100_000
    return spells_dates & (key[1:] % 100 < 15) & (key[1:] // 100 > key[:-1] // 100)


def _few(n: int) -> Iterator[Finding]:
    if n < FEW_SEQUENCES:
        yield Finding(
            "data.few_rows",
            "warning",
            "",
            {"sequences": n, "advised": FEW_SEQUENCES},
            f"{n} sequences are few: a network can learn them by heart, and scores on so few are uncertain.",
            "Collect more, use a small network, and trust an average over several splits only.",
        )


def _moved(n: int, of: int) -> Iterator[Finding]:
    if n:
        yield Finding(
            "data.unordered",
            "info",
            "",
            {"sequences": n, "of": of},
            f"Time goes backwards in the file within {n} of {of} sequences."
            if of > 1
            else "Time goes backwards in the file.",
            "Steps were put into the order of their key; nothing needs to be done if that is the time.",
        )
