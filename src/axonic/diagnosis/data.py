"""Findings about encoded rows that depend on how they are trained on: data.*

What a table shows before it is encoded is in `axonic.checks`.
"""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from axonic.data.duplicates import of_few_kinds
from axonic.diagnosis.evidence import rounded
from axonic.recipe import Task
from axonic.types import Finding

LARGE, RATIO = 10.0, 100.0
"""Root mean square of a column, and the ratio of the largest to the smallest deviation, from which inputs count as
unscaled. Standardised columns have 1, and counts, indicators and one-hot columns stay far below."""
ENOUGH_ROWS = 20


def check_unscaled(task: Task) -> Iterator[Finding]:
    """data.unscaled: inputs that are much larger than others, or than a network is made for. They are encoded: a column
    may have several."""
    x = task.rows.x[task.split.train].astype(np.float64)
    size, deviation = np.sqrt(np.mean(x * x, axis=0)), x.std(axis=0)
    varies = deviation > 0
    ratio = deviation[varies].max() / deviation[varies].min() if varies.any() else 1.0
    worst = int(np.argmax(size))
    if size[worst] > LARGE and (ratio > RATIO or size[worst] > LARGE**2):
        yield Finding(
            "data.unscaled",
            "warning",
            f"input {worst + 1} of the network",
            {"largest_rms": rounded(size[worst]), "ratio_of_deviations": rounded(ratio), "inputs": len(size)},
            f"Inputs are not on one scale (the largest has a root mean square of {size[worst]:.3g}): no learning rate "
            "suits all weights of the first layer.",
            "Leave standardize=True, or bring every column to mean 0 and deviation 1.",
        )


def check_sorted(task: Task) -> Iterator[Finding]:
    """data.sorted: rows in the order of the target, which are not shuffled."""
    if task.settings.shuffle or len(task.split.train) < ENOUGH_ROWS:
        return
    y = task.rows.y[task.split.train]
    y = y if y.ndim == 1 else y[:, 0]
    changes = int(np.count_nonzero(np.diff(y)))
    is_sorted = (
        changes < len(np.unique(y)) if y.dtype.kind == "i" else np.all(np.diff(y) >= 0) or np.all(np.diff(y) <= 0)
    )
    if is_sorted:
        yield Finding(
            "data.sorted",
            "warning",
            "target",
            {"rows": len(y), "changes": changes},
            "The rows are sorted by the target and are not shuffled: every batch pulls the network towards the few "
            "targets it holds.",
            "Leave shuffle=True.",
        )


def check_overlap(task: Task) -> Iterator[Finding]:
    """data.split_overlap: held-out rows that are trained on as well, unless rows of so few kinds meet by chance."""
    held = {"validation": task.split.valid, "test": task.split.test}
    trained = _whole(task, task.split.train)
    seen = {row.tobytes() for row in trained}
    for name, part in held.items():
        if len(part) == 0:
            continue
        both = sum(row.tobytes() in seen for row in _whole(task, part))
        if both > 0.01 * len(part) and not _few_kinds(trained, task.rows.x.shape[1]):
            yield Finding(
                "data.split_overlap",
                "warning",
                f"{name} rows",
                {"rows": len(part), "also_trained_on": both, "share": rounded(both / len(part))},
                f"{both} of {len(part)} {name} rows are among the training rows as well: scores on them say how well "
                "rows are remembered, not how well new ones are told.",
                "Take them out of one of the two parts.",
            )


def _whole(task: Task, part: np.ndarray) -> np.ndarray:
    """Inputs and targets of rows side by side."""
    y = task.rows.y[part]
    return np.ascontiguousarray(np.column_stack([task.rows.x[part], y.reshape(len(part), -1).astype(np.float32)]))


def _few_kinds(rows: np.ndarray, n_inputs: int) -> bool:
    kinds, weight = np.unique(rows, axis=0, return_counts=True)
    return of_few_kinds(pl.from_numpy(kinds[:, :n_inputs]), weight.astype(np.float64))


RULES: tuple[Callable[[Task], Iterator[Finding]], ...] = (check_unscaled, check_sorted, check_overlap)
