"""Step one of the notes for sequences: the checks of tables that make sense for them, and their own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from axonic import checks
from axonic.checks import Table
from axonic.data.schema import Schema
from axonic.data.sequences import Data, Series, Windows
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


def check_series(series: Series, windows: Windows) -> list[Finding]:
    """Examine a series before training."""
    findings = [*_moved(int(series.moved), 1)]
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
