"""The schema: what each column of a table holds, and what is to be predicted.

`infer_schema` says of the target whether it asks for classification or regression, and `axonic.data.columns` of every
other column what it holds.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic import records
from axonic.data.columns import FREQUENT_LEVELS, Column, infer_columns, mixed
from axonic.data.values import as_numbers, as_text, holds_codes, is_text, missing, share_a_mark, spelt, unit_of
from axonic.errors import InputError

Task = Literal["classification", "regression", "multilabel"]
"""Of a table it is one of the first two; multilabel: columns of 0 and 1 that do not exclude each other."""
MOST_LABELS, MOST_CODES = 30, 10
"""So many whole numbers are taken for classes where they count from 0 or 1 without a gap, and where they do not."""
DOUBTFUL = 5
"""From so many on they may well be the other."""


@dataclass(frozen=True)
class Schema:
    """What a table holds and what is to be predicted from it.

    Attributes
    ----------
    columns : the columns used as features, in the order of the table.
    target : name of the column to predict; empty for none.
    task : ``classification`` or ``regression``; ``multilabel`` where the targets stand beside the table.
    ignored : the columns left out, each with its reason.
    unit : of a target of numbers, where its text has one (see `axonic.data.values.unit_of`); empty otherwise.
    """

    columns: tuple[Column, ...]
    target: str
    task: Task
    ignored: tuple[Column, ...] = field(default=())
    unit: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain dict of strings, lists and dicts."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "target": self.target,
            "task": self.task,
            "ignored": [column.to_json() for column in self.ignored],
            **({"unit": self.unit} if self.unit else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Schema":
        """The schema that `to_json` wrote."""
        return records.from_json(cls, data)


def infer_schema(frame: pl.DataFrame, target: str, task: str = "auto") -> Schema:
    """Infer what the columns hold, and the task from the target.

    With ``task="auto"`` text and booleans ask for classification, numbers with a fraction for regression. Whole
    numbers are labels when they look like what a label encoder writes or like a short scale: at most 30 distinct
    values that are 0..K-1 or 1..K, or at most 10 distinct values of any kind, with two rows or more to a
    value on average. Counts and measurements have more values than that; where the rule is wrong, `task` decides.
    How features are judged stands at `infer_columns`.

    Parameters
    ----------
    frame : the table; rows without a target are left out of all judgements about the target.
    target : name of the column to predict.
    task : ``auto``, or where it is known ``classification`` or ``regression``.

    Raises
    ------
    InputError
        If the target is not there, empty, constant or does not suit the task, if fewer than two rows have one, if a
        class has a single row or every row its own class, or if no column is left to learn from.
    """
    resolved = resolve_task(named(frame, target, "target"), task)
    columns = infer_columns(frame.drop(target))
    used = tuple(column for column in columns if column.kind != "ignored")
    ignored = tuple(column for column in columns if column.kind == "ignored")
    if not used:
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in ignored) or "the target is the only column"
        raise InputError(
            f"no column is left to predict {target!r} from ({reasons})",
            "add columns that bear on the target",
            "features",
        )
    return Schema(used, target, resolved, ignored, target_unit(frame[target], resolved))


def target_unit(series: pl.Series, task: Task) -> str:
    """`Schema.unit` of a target."""
    return unit_of(as_text(series)) if task == "regression" and is_text(series) else ""


def usable_rows(frame: pl.DataFrame, schema: Schema) -> np.ndarray:
    """Indices (n_usable,) of the rows that have a target, in order."""
    return np.flatnonzero(~missing(frame[schema.target]).to_numpy())


def target_values(frame: pl.DataFrame, schema: Schema) -> pl.Series:
    """The target column (n,) as its task needs it: labels as they are for classification, Float64 for regression.

    Missing values are null; text labels lose the blanks around them.

    Raises
    ------
    InputError
        If the column is not there, or a value is no finite number for regression.
    """
    series = named(frame, schema.target, "target")
    if schema.task == "regression":
        return _finite_target(series, schema.unit)
    if is_text(series):
        return as_text(series)
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
        whole = series.cast(pl.Int64, strict=False)
        return whole if (whole == series).all() else series
    if series.dtype == pl.Float32:  # through text, so that a label 0.1 stays 0.1
        series = series.cast(pl.String).cast(pl.Float64)
    return series.fill_nan(None) if series.dtype.is_float() else series


def check_name(name: str, names: Sequence[str], where: str) -> None:
    """`InputError` with the names there are, if this is none of them."""
    if name in names:
        return
    lower = {other.strip().lower(): other for other in names}
    near = difflib.get_close_matches(name.strip().lower(), lower, n=1)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise InputError(f"no column is named {name!r}", f"{hint}the columns are {listed}", where)


def named(frame: pl.DataFrame, name: str, where: str) -> pl.Series:
    """The column of that name; see `check_name`."""
    check_name(name, frame.columns, where)
    return frame[name]


def resolve_task(series: pl.Series, task: str, each: str = "row") -> Task:
    """The task that a target asks for; see `infer_schema`. `each` is what has one: a row, a sequence or a step."""
    if task not in ("auto", "classification", "regression"):
        raise InputError(f"no task is named {task!r}", "use auto, classification or regression", "task")
    where = f"target {series.name!r}"
    values = series.filter(~missing(series))
    if values.is_empty():
        raise InputError("the target has no values", "fill the column, or choose another target", where)
    if len(values) < 2:
        raise InputError(f"only one {each} has a target", f"give at least two {each}s", where)
    if values.dtype.is_temporal() or values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise InputError(
            f"a target of type {values.dtype} cannot be learned", "turn it into a number or a label", where
        )
    counts = _label_counts(values)
    if len(counts) == 1:
        raise InputError(
            f"the target is {counts[0, 0]!r} in every {each}",
            f"choose another target, or add {each}s that differ",
            where,
        )
    resolved = _task_of(values, counts) if task == "auto" else task
    if resolved == "regression":
        _finite_target(series, target_unit(series, resolved))
        return "regression"
    _check_classes(counts, len(values), values, where, each)
    return "classification"


def _label_counts(values: pl.Series) -> pl.DataFrame:
    """Label and count of each class, the rarest first."""
    values = as_text(values) if is_text(values) else values
    return values.rename("label").value_counts(name="count").sort("count", "label")


def _task_of(values: pl.Series, counts: pl.DataFrame) -> Task:
    labels = counts["label"]
    if labels.dtype == pl.Boolean:
        return "classification"
    if labels.dtype == pl.String:
        numbers = spelt(labels, unit_of(labels))
        if numbers.null_count() or holds_codes(labels) or not share_a_mark(labels):
            return "classification"
        labels = numbers
    return "classification" if _look_like_labels(labels, len(values)) else "regression"


def _look_like_labels(labels: pl.Series, n_rows: int) -> bool:
    numbers = labels.cast(pl.Float64).to_numpy()
    if not np.isfinite(numbers).all() or (numbers % 1 != 0).any() or 2 * len(numbers) > n_rows:
        return False
    is_encoded = numbers.min() in (0, 1) and np.ptp(numbers) == len(numbers) - 1
    return len(numbers) <= (MOST_LABELS if is_encoded else MOST_CODES)


def other_task(values: pl.Series, task: Task) -> str:
    """What may be meant by a target of few whole numbers, which can be codes as well as counts or grades: the other
    task, in words for the command line; empty where there is hardly a doubt."""
    numbers = values.drop_nulls().unique()
    if not values.dtype.is_numeric() or not DOUBTFUL <= len(numbers) <= MOST_LABELS or 2 * len(numbers) > len(values):
        return ""
    if (numbers.cast(pl.Float64) % 1 != 0).any():
        return ""
    if task == "regression":
        return f"{len(numbers)} whole numbers; if they stand for classes: --task classification"
    return f"{len(numbers)} classes; if they are counts or grades: --task regression"


def _check_classes(counts: pl.DataFrame, n_rows: int, values: pl.Series, where: str, each: str) -> None:
    is_numeric = values.dtype.is_numeric()
    found = mixed(as_text(values)) if counts[0, "count"] == 1 and is_text(values) else None
    if found is not None and found.what == "numbers" and found.distinct > FREQUENT_LEVELS:
        raise InputError(
            f"{found.count} of {n_rows} values of the target are numbers, but not {found.others[0]!r}",
            "correct it or leave it empty",
            where,
        )
    if len(counts) == n_rows:
        how = "use --task regression" if is_numeric else "choose a target whose values repeat"
        raise InputError(f"every {each} has a class of its own", how, where)
    if counts[0, "count"] == 1:
        singles = counts.filter(pl.col("count") == 1)["label"]
        also = f" (and {len(singles) - 1} more)" if len(singles) > 1 else ""
        raise InputError(
            f"class {singles[0]!r}{also} has a single {each}",
            f"add {each}s of it, merge it with another class, or drop it" + ("; or use --task regression" * is_numeric),
            where,
        )


def _finite_target(series: pl.Series, unit: str) -> pl.Series:
    try:
        numbers = as_numbers(series, unit=unit)
    except InputError as error:
        raise InputError(
            f"regression needs a numeric target: {error.what}", "correct it, or use --task classification", error.where
        ) from None
    infinite = numbers.is_infinite().arg_true()
    if len(infinite):
        where = f"column {series.name!r}, row {infinite[0] + 1}"
        raise InputError("the target is infinite", "correct the value or leave it empty", where)
    return numbers.fill_nan(None)
