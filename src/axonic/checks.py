"""Step one of the notes: look at the data before a single step is taken.

Each check is one small function that takes the table, as a `Table`, and yields findings; `CHECKS` lists them. To
add one, write it and put it in the list. A finding states the numbers it rests on, a cause and a remedy. A finding
that is wrong costs trust, so the thresholds are such that ordinary tables pass in silence, and what may be
coincidence in a small table is not said at all.

What cannot be trained on at all (a constant target, a class with one row) is refused earlier, by `infer_schema`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from axonic.data.columns import (
    ALL_MISSING,
    CONSTANT,
    FREE_TEXT,
    FREQUENT_LEVELS,
    ID_LIKE,
    Column,
    canonical,
    has_id_name,
    level_counts,
    mixed,
)
from axonic.data.encoding.statistics import n_levels
from axonic.data.schema import Schema, Task, target_values, usable_rows
from axonic.data.values import as_numbers, as_text, is_text, missing
from axonic.types import Finding

MUCH_MISSING = 0.5
IMBALANCE = 10.0
RARE_CLASS_ROWS = 10
FEW_ROWS = 50
FEW_ROWS_PER_FEATURE = 5
ENOUGH_ROWS = 20
"""Below this, a column that gives the target away, or sorted rows, may be coincidence."""
SPELT = ("number", "date", "boolean")
"""Kinds of columns whose values all are what the kind says, also where they are text."""
LEAK_CORRELATION = 0.9999
MUCH_RARE = 0.25
TRAINED = 2 / 3
"""About the share of a table's rows that is trained on."""


@dataclass(frozen=True)
class Table:
    """A table with its schema, and what several checks need of it, computed once."""

    frame: pl.DataFrame
    schema: Schema
    places: Sequence[int] | np.ndarray | None = None
    """Of the rows in their file, from 0; None if these are all of its rows."""

    @cached_property
    def rows(self) -> np.ndarray:
        """Indices of the rows that have a target."""
        return usable_rows(self.frame, self.schema)

    @cached_property
    def target(self) -> pl.Series:
        """The target of those rows."""
        target = target_values(self.frame, self.schema)
        return target if len(self.rows) == len(target) else target[self.rows]

    @cached_property
    def codes(self) -> np.ndarray:
        """The target as numbers: those of the classes, in any order, or float64."""
        if self.schema.task == "classification":
            return self.target.rank("dense").to_numpy().astype(np.int64) - 1
        return self.target.cast(pl.Float64).to_numpy()

    @cached_property
    def class_counts(self) -> list[tuple[Any, int]]:
        """Classes with their number of rows, the most frequent first; empty for regression."""
        if self.schema.task != "classification":
            return []
        counts = self.target.rename("label").value_counts(name="count")
        return counts.sort(["count", "label"], descending=[True, False]).rows()

    def usable(self, name: str) -> pl.Series:
        """A column, in the rows that have a target."""
        series = self.frame[name]
        return series if len(self.rows) == len(series) else series[self.rows]


def check_table(frame: pl.DataFrame, schema: Schema, places: Sequence[int] | np.ndarray | None = None) -> list[Finding]:
    """Examine a table before training.

    Parameters
    ----------
    frame : the table.
    schema : what `infer_schema` made of it.
    places : of its rows in their file, from 0, if it is a sample of them.

    Returns
    -------
    findings : errors first, then warnings, then what is merely worth knowing. Training is possible if none is an error.
    """
    table = Table(frame, schema, places)
    return by_severity([finding for check in CHECKS for finding in check(table)])


def check_rows(x: np.ndarray, y: np.ndarray, task: Task, names: Sequence[str] | None = None) -> list[Finding]:
    """Examine an array of numbers before training, of which every column is used.

    Parameters
    ----------
    x : (n, n_features), NaN for a missing value.
    y, task : as for `check_beside`.
    names : of the columns; None counts them from 1.

    Returns
    -------
    findings : as `check_table` has them.
    """
    names = list(names) if names is not None else [f"column {i}" for i in range(1, x.shape[1] + 1)]
    varies = [not bool(np.all(column == column[0])) for column in x.T]
    used = tuple(Column(name, "number") for name, varied in zip(names, varies, strict=True) if varied)
    constant = tuple(
        Column(name, "ignored", CONSTANT) for name, varied in zip(names, varies, strict=True) if not varied
    )
    schema = Schema(used, "", task, constant)
    return check_beside(pl.from_numpy(x, names), schema, y, (*CHECKS, check_counting))


def check_beside(
    frame: pl.DataFrame, schema: Schema, y: np.ndarray, checks: Sequence["Check"] | None = None
) -> list[Finding]:
    """As `check_table`, of a table whose target stands beside it.

    Parameters
    ----------
    frame : the columns.
    schema : what they are, and the task.
    y : (n,) classes or numbers; (n, n_targets) numbers, of which the first is examined; or (n, n_labels) of 0 and 1.
    checks : None for `CHECKS`.
    """
    findings = []
    several = schema.task == "multilabel"
    for place, values in enumerate(y.T if several else [y if y.ndim == 1 else y[:, 0]]):
        name = f"label {place + 1}" if several else "target"
        name = name if name not in frame.columns else f"the {name}"
        if several:  # the other checks have been made with the first
            values, schema = values.astype(np.int64), dataclasses.replace(schema, task="classification")
        table = Table(frame.with_columns(pl.Series(name, values)), dataclasses.replace(schema, target=name))
        findings += [f for check in (OF_LABELS if place else checks or CHECKS) for f in check(table)]
    return by_severity(findings)


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Errors first, then warnings, then what is merely worth knowing."""
    return sorted(findings, key=lambda finding: ("error", "warning", "info").index(finding.severity))


# --- columns ---


def check_counting(table: Table) -> Iterator[Finding]:
    """data.id_like: a column of an array that counts the rows, or is called an id and differs in every row, and is
    used."""
    for column in table.schema.columns:
        values = table.frame[column.name].to_numpy()
        if len(values) < ENOUGH_ROWS or np.any(values != np.floor(values)):
            continue
        counts = bool(np.all(np.diff(values) == 1))
        if counts or (has_id_name(column.name) and len(np.unique(values)) == len(values)):
            yield Finding(
                "data.id_like",
                "warning",
                column.name,
                {"first": float(values[0]), "last": float(values[-1]), "rows": len(values)},
                "The column counts the rows: it says where a row stands and nothing about a new one."
                if counts
                else "The column names the rows, each of which has its own: it says nothing about a new one.",
                "Leave it out.",
            )


def check_missing(table: Table) -> Iterator[Finding]:
    """data.missing: columns with missing values, and rows without a target."""
    n_rows = len(table.frame)
    absent = n_rows - len(table.rows)
    if absent:
        yield Finding(
            "data.missing",
            "warning",
            table.schema.target,
            {"missing": absent, "rows": n_rows, "share": absent / n_rows},
            f"{absent} of {n_rows} rows have no target.",
            "They are left out of training and evaluation; fill in the target if it can be known.",
        )
    for column in (*table.schema.columns, *table.schema.ignored):
        count = int(missing(table.frame[column.name]).sum())
        if count:
            yield _missing_values(column, count, n_rows)


def _missing_values(column: Column, count: int, n_rows: int) -> Finding:
    share = count / n_rows
    if column.kind == "ignored":
        remedy = "The column is left out; remove it from the table, or fill it."
    elif column.kind == "category":
        remedy = "Missing is treated as a level of its own; nothing needs to be done."
    else:
        remedy = "The median takes their place, and a second column tells the network where."
    if share > MUCH_MISSING and column.kind != "ignored":
        remedy += " With so few values, try without the column as well."
    much = share > MUCH_MISSING and (column.kind != "ignored" or column.reason == ALL_MISSING)
    return Finding(
        "data.missing",
        "warning" if much else "info",
        column.name,
        {"missing": count, "rows": n_rows, "share": share},
        f"{count} of {n_rows} values are missing.",
        remedy,
    )


def check_infinite(table: Table) -> Iterator[Finding]:
    """data.infinite: infinite values in a column that is used."""
    for column in table.schema.columns:
        if column.kind != "number" or table.frame[column.name].dtype.is_integer():
            continue
        infinite = as_numbers(table.frame[column.name], unit=column.format).is_infinite()
        count = int(infinite.sum())
        if count:
            first = int(infinite.arg_true()[0])
            row = 1 + (first if table.places is None else int(table.places[first]))
            yield Finding(
                "data.infinite",
                "error",
                column.name,
                {"infinite": count, "rows": len(table.frame), "first_row": row},
                f"{count} values are infinite, the first in row {row}; no mean or scale can be computed.",
                "Correct them, or leave them empty, which means missing.",
            )


def check_mixed(table: Table) -> Iterator[Finding]:
    """data.mixed: text among the numbers or dates of a column, which is no column of numbers or dates for that."""
    used = {column.name for column in table.schema.columns}
    names = [column.name for column in (*table.schema.columns, *table.schema.ignored) if column.kind not in SPELT]
    for name in [table.schema.target, *names] if table.schema.task == "classification" else names:
        series = table.frame[name]
        if series.dtype != pl.String or len(series) < ENOUGH_ROWS:
            continue
        text = as_text(series)
        found = mixed(text)
        if found is None or found.distinct < ENOUGH_ROWS:
            continue
        first = int((text == found.others[0]).arg_true()[0])
        row = 1 + (first if table.places is None else int(table.places[first]))
        n = len(text) - text.null_count()
        more = len(found.others) - 1
        also = f" and {more} other{'s' * (more > 1)}" if more else ""
        is_target = name == table.schema.target
        taken = "the target is taken for classes" if is_target else "the column is taken for text"
        yield Finding(
            "data.mixed",
            "info" if name in used and found.distinct <= FREQUENT_LEVELS else "warning",
            name,
            {found.what: found.count, "values": n, "first_other": found.others[0], "first_row": row},
            f"{found.count} of {n} values are {found.what}; {found.others[0]!r} (row {row}){also} "
            f"{'are' if more else 'is'} not, so {taken}.",
            "Correct them, or leave them empty, which means missing.",
        )


def check_constant(table: Table) -> Iterator[Finding]:
    """data.constant: columns with one value only."""
    for column in table.schema.ignored:
        if column.reason == CONSTANT:
            series = table.frame[column.name]
            yield Finding(
                "data.constant",
                "info",
                column.name,
                {"value": _plain(series[0]), "rows": len(series)},
                "Every row has the same value, so nothing can be learned from the column.",
                "It is left out; nothing needs to be done.",
            )


def check_id_like(table: Table) -> Iterator[Finding]:
    """data.id_like: columns left out because they name the rows instead of describing them."""
    for column in table.schema.ignored:
        if column.reason not in (ID_LIKE, FREE_TEXT):
            continue
        distinct, rows = table.frame[column.name].n_unique(), len(table.frame)
        few = f"It is text with {distinct} different values in {rows} rows: most rows have one too rare to learn from."
        yield Finding(
            "data.id_like",
            "info",
            column.name,
            {"distinct": distinct, "rows": rows, "reason": column.reason},
            "Its values identify rows: a network would learn them by heart and know nothing about a new row."
            if column.reason == ID_LIKE
            else few,
            "It is left out. If it holds something that recurs, such as a title or a region, make that a column.",
        )


def check_rare_levels(table: Table) -> Iterator[Finding]:
    """data.rare_levels: categories of which many rows share the slot "other"."""
    for column in table.schema.columns:
        if column.kind != "category":
            continue
        text = as_text(table.usable(column.name))
        levels, rows = level_counts(text), len(text)
        counts, own = levels["count"], n_levels(text, levels, table.codes, TRAINED)
        rare = int(counts[own:].sum())
        if rare > MUCH_RARE * rows:
            yield Finding(
                "data.rare_levels",
                "warning",
                column.name,
                {"distinct": len(counts), "rare": len(counts) - own, "rows": rare, "share": rare / rows},
                f"{rare} of {rows} rows have one of the {len(counts) - own} rarest of {len(counts)} values, which are "
                'taken as one, "other".',
                "Add a column of what such values have in common, a region or a kind, or more rows of each.",
            )


def check_case(table: Table) -> Iterator[Finding]:
    """data.case: classes whose names differ only in upper and lower case."""
    labels: dict[str, list[str]] = {}
    for label, _ in table.class_counts:
        if isinstance(label, str):
            labels.setdefault(label.lower(), []).append(label)
    alike = [sorted(found) for found in labels.values() if len(found) > 1]
    if alike:
        listed = " and ".join(map(repr, alike[0])) + (f" ({len(alike) - 1} more such)" if len(alike) > 1 else "")
        yield Finding(
            "data.case",
            "warning",
            table.schema.target,
            {"classes": alike},
            f"Classes differ only in upper and lower case: {listed}. They are learned as different classes.",
            "Spell them alike if they mean the same.",
        )


def check_unsupported(table: Table) -> Iterator[Finding]:
    """data.unsupported_type: columns of a type that has no encoding."""
    for column in table.schema.ignored:
        if column.reason not in (ID_LIKE, FREE_TEXT, CONSTANT, ALL_MISSING):
            yield Finding(
                "data.unsupported_type",
                "warning",
                column.name,
                {"type": str(table.frame[column.name].dtype)},
                "Values of this type cannot be turned into numbers.",
                "The column is left out; convert it to numbers, text or dates to use it.",
            )


def check_duplicate_columns(table: Table) -> Iterator[Finding]:
    """data.duplicate_column: columns that repeat another one value for value."""
    seen: dict[tuple[Any, ...], list[Column]] = {}
    for column in table.schema.columns:
        twins = seen.setdefault(_fingerprint(table.frame[column.name], column), [])
        twin = next((other for other in twins if _equal(table, column, other)), None)
        if twin is None:
            twins.append(column)
            continue
        yield Finding(
            "data.duplicate_column",
            "warning",
            column.name,
            {"same_as": twin.name, "rows": len(table.frame)},
            f"The column repeats {twin.name!r} in every row, which gives that information double weight.",
            "Remove one of the two.",
        )


def _fingerprint(series: pl.Series, column: Column) -> tuple[Any, ...]:
    """Something cheap that equal columns have in common; its first 1000 values and the number missing."""
    head = canonical(series.head(1000), column)
    return (column.kind == "category", series.null_count(), tuple(head.to_list()))


def _equal(table: Table, column: Column, other: Column) -> bool:
    left = canonical(table.frame[column.name], column)
    return left.equals(canonical(table.frame[other.name], other), check_names=False, null_equal=True)


# --- rows ---


def check_duplicate_rows(table: Table) -> Iterator[Finding]:
    """data.duplicate_rows: rows that repeat another in every column that is used, and in the target."""
    names = [*(column.name for column in table.schema.columns), table.schema.target]
    left_out = [column.name for column in table.schema.ignored if column.reason not in (CONSTANT, ALL_MISSING)]
    every = "every column that is used" if left_out else "every column"
    distinct = table.frame.select(names).hash_rows().n_unique()
    count = len(table.frame) - distinct
    if count:
        share = count / len(table.frame)
        yield Finding(
            "data.duplicate_rows",
            "warning" if share > 0.1 and not left_out else "info",
            "",
            {"duplicates": count, "rows": len(table.frame), "share": share},
            f"{count} of {len(table.frame)} rows repeat an earlier row in {every}. Where one copy is trained on "
            "and the other tested, the test looks better than it is.",
            "Remove them, unless they are separate observations that happen to agree.",
        )


def check_few_rows(table: Table) -> Iterator[Finding]:
    """data.few_rows: few rows, in all or for the number of columns."""
    n_rows, n_columns = len(table.rows), len(table.schema.columns)
    needed = max(FEW_ROWS, FEW_ROWS_PER_FEATURE * n_columns)
    if n_rows < needed:
        yield Finding(
            "data.few_rows",
            "warning",
            "",
            {"rows": n_rows, "columns": n_columns, "advised": needed},
            f"{n_rows} rows are few for {n_columns} columns: a network can learn them by heart, and scores on so few "
            "test rows are uncertain.",
            "Collect more rows, leave out columns, use a small network, and trust an average over several splits only.",
        )


def check_sorted(table: Table) -> Iterator[Finding]:
    """data.sorted: rows in the order of the target."""
    target = table.target
    if len(target) < ENOUGH_ROWS:
        return
    if table.schema.task == "classification":
        runs = int(target.ne_missing(target.shift()).sum())
        is_sorted, evidence = runs == len(table.class_counts), {"runs": runs, "classes": len(table.class_counts)}
    else:
        steps = target.diff(null_behavior="drop")
        is_sorted = bool((steps >= 0).all() or (steps <= 0).all())
        evidence = {"rising": int((steps > 0).sum()), "falling": int((steps < 0).sum())}
    if is_sorted:
        yield Finding(
            "data.sorted",
            "info",
            table.schema.target,
            {"rows": len(target), **evidence},
            "The rows are sorted by the target.",
            "They are shuffled before they are split and in every epoch; leave shuffling on.",
        )


# --- classes ---


def check_imbalance(table: Table) -> Iterator[Finding]:
    """data.imbalance: a class with far more rows than another."""
    if not table.class_counts:
        return
    (common, most), (rare, least) = table.class_counts[0], table.class_counts[-1]
    if most >= IMBALANCE * least:
        yield Finding(
            "data.imbalance",
            "warning",
            table.schema.target,
            {"ratio": most / least, "most": most, "least": least, "share_of_most": most / len(table.target)},
            f"Class {common!r} has {most} rows, class {rare!r} {least}: always answering {common!r} is right in "
            f"{100 * most / len(table.target):.0f} % of the rows.",
            "Judge by the scores of each class, not by the accuracy, and weight the classes if the rare one matters.",
        )


def check_rare_classes(table: Table) -> Iterator[Finding]:
    """data.rare_class: classes with too few rows to be split and learned."""
    rare = {str(label): count for label, count in table.class_counts if count < RARE_CLASS_ROWS}
    if rare:
        listed = ", ".join(f"{label!r} ({count})" for label, count in list(rare.items())[:5])
        more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
        yield Finding(
            "data.rare_class",
            "warning",
            table.schema.target,
            {"classes": rare, "fewer_than": RARE_CLASS_ROWS},
            f"Fewer than {RARE_CLASS_ROWS} rows are there for {listed}{more}: too few to learn from and to test on.",
            "Collect more rows of them, merge them with another class, or leave them out.",
        )


# --- leaks ---


def check_leaks(table: Table) -> Iterator[Finding]:
    """data.leak: a column that is the target in another guise.

    Classification: each value of the column goes with one class and each class with one value. Regression: the
    correlation is above 0.9999. A column that merely predicts well is never accused.
    """
    if len(table.rows) < ENOUGH_ROWS:
        return
    is_leak = _names_the_class if table.schema.task == "classification" else _follows_the_target
    for column in table.schema.columns:
        evidence = is_leak(table, column)
        if evidence:
            yield Finding(
                "data.leak",
                "warning",
                column.name,
                {"rows": len(table.rows), **evidence},
                f"The column gives {table.schema.target!r} away: one follows from the other in every row.",
                "Remove it if it is not known at the time of the prediction; otherwise no network is needed.",
            )


def _names_the_class(table: Table, column: Column) -> dict[str, Any] | None:
    n_classes = len(table.class_counts)
    if table.frame[column.name].head(1000).n_unique() > n_classes:  # spares most columns the whole count
        return None
    series = table.usable(column.name)
    values = as_text(series) if is_text(series) else series
    pairs = pl.DataFrame({"value": values, "label": table.target}).unique()
    if not len(pairs) == pairs["value"].n_unique() == n_classes:
        return None
    return {"classes": n_classes, "distinct": n_classes}


def _follows_the_target(table: Table, column: Column) -> dict[str, Any] | None:
    if column.kind != "number":
        return None
    values, target = as_numbers(table.usable(column.name), unit=column.format).to_numpy(), table.target.to_numpy()
    stride = max(1, len(values) // 1000)  # a sample spares most columns the whole computation
    if stride > 1 and abs(_correlation(values[::stride], target[::stride])) < 0.99:
        return None
    correlation = _correlation(values, target)
    return {"correlation": correlation} if abs(correlation) > LEAK_CORRELATION else None


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation over the rows where x is finite, 0 where one does not vary or the rows are too few; safe
    for values of any size."""
    present = np.isfinite(x)
    if not present.all():
        x, y = x[present], y[present]
    if len(x) < ENOUGH_ROWS:
        return 0.0
    x, y = (_unit_spread(values) for values in (x, y))
    return float(np.clip(x @ y, -1, 1))


def _unit_spread(values: np.ndarray) -> np.ndarray:
    size = np.abs(values).max()
    centred = values / size - np.mean(values / size) if size else values
    length = np.sqrt(centred @ centred)
    return centred / length if length > 1e-14 * np.sqrt(len(values)) else np.zeros(len(values))


def _plain(value: Any) -> Any:
    """A value ready for JSON."""
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)


Check = Callable[[Table], Iterator[Finding]]
OF_LABELS: tuple[Check, ...] = (check_imbalance, check_rare_classes, check_leaks)
CHECKS: tuple[Check, ...] = (
    check_infinite,
    check_missing,
    check_mixed,
    check_constant,
    check_id_like,
    check_rare_levels,
    check_unsupported,
    check_duplicate_columns,
    check_duplicate_rows,
    check_few_rows,
    check_sorted,
    check_imbalance,
    check_rare_classes,
    check_case,
    check_leaks,
)
