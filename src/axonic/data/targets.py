"""From labels and numbers to what a loss reads, and from a network's outputs back to labels and units.

Centre and scale come from the training rows alone, and all of it is kept as plain JSON beside the weights.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic import records
from axonic.data.encoding.coding import LARGEST, Rows
from axonic.data.encoding.statistics import moments
from axonic.data.schema import Task
from axonic.data.values import BOOLEANS, as_numbers, as_text, is_text
from axonic.errors import InputError
from axonic.types import Scaling

NORMAL_QUARTILES = 1.3489795
"""Between the quartiles of a normal distribution, in standard deviations."""

LabelType = Literal["str", "int", "float", "bool"]


@dataclass(frozen=True)
class TargetEncoder:
    """Turns targets into what a loss reads, and a network's outputs back.

    Attributes
    ----------
    task : ``classification``, ``regression`` or ``multilabel``.
    labels : the classes in sorted order; empty for numbers and for several labels a row.
    label_type : the type of the labels, as JSON does not keep it for NumPy.
    center, scale : one of each for each output that is a number, y becomes (y - center) / scale; 0 and 1 for labels.
    scaling : where they come from. ``deviation``: mean and standard deviation. ``quartiles``: median and interquartile
        range over 1.349, which outliers do not move (mean and deviation if the range is 0). ``mean``: 0 and the mean,
        for counts. ``none``: 0 and 1.
    limits : the lowest and the highest number that may be a target.
    is_flat : whether regression targets came as (n,) instead of (n, n_out), and go back so.
    """

    task: Task
    labels: tuple[Any, ...] = ()
    label_type: LabelType = "str"
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    scaling: Scaling = "deviation"
    limits: tuple[float, ...] = (-LARGEST, LARGEST)
    is_flat: bool = True

    @classmethod
    def fit(
        cls,
        y: Any,
        task: Task,
        rows: Rows | None = None,
        scaling: Scaling = "deviation",
        limits: tuple[float, float] = (-LARGEST, LARGEST),
    ) -> "TargetEncoder":
        """Learn the classes, or centre and scale of each output.

        Parameters
        ----------
        y : (n,) labels (text, whole numbers, floats or booleans), or (n,) or (n, n_out) numbers; a Series or an array.
            For ``multilabel`` (n, n_out), 1 where a row has the label and 0 where not.
        task : as above.
        rows : indices of the training rows; centre and scale come from these alone, the classes from all rows, so
            that a class which the split left out of training has a code all the same.
        scaling, limits : of numbers, as above.

        Raises
        ------
        InputError
            If a target is missing, infinite, beyond the limits or of a type that cannot be learned.
        """
        if task == "classification":
            series = _as_labels(y)
            return cls(task, tuple(series.unique().sort().to_list()), _label_type(series))
        values, is_flat = _as_outputs(y)
        if task == "multilabel":
            scaling, limits = "none", (0.0, 1.0)
        low, high = np.clip(limits, -LARGEST, LARGEST).tolist()
        _check_limits(values, low, high)
        center, scale = _scale(values if rows is None else values[rows], scaling)
        return cls(
            task,
            center=tuple(center.tolist()),
            scale=tuple(scale.tolist()),
            scaling=scaling,
            limits=(low, high),
            is_flat=is_flat,
        )

    @property
    def classes(self) -> np.ndarray:
        """(n_classes,) labels in sorted order, as text, int64, float64 or bool; empty for regression."""
        return np.array(
            self.labels, {"str": np.str_, "int": None, "float": np.float64, "bool": np.bool_}[self.label_type]
        )

    @property
    def n_out(self) -> int:
        """Number of classes, or of outputs."""
        return len(self.labels) if self.task == "classification" else len(self.center)

    def transform(self, y: Any) -> np.ndarray:
        """Codes (n,) as int32, or standardised outputs (n, n_out) as float32.

        Raises
        ------
        InputError
            If a label was never seen, or a target is missing or infinite (the row is named) or beyond the limits.
        """
        if self.task == "classification":
            return self._codes(y)
        values, _ = _as_outputs(y)
        if values.shape[1] != self.n_out:
            raise InputError(
                f"the target has {values.shape[1]} columns", f"give {self.n_out}, as in training", "target"
            )
        _check_limits(values, *self.limits)
        limit = np.finfo(np.float32).max
        with np.errstate(over="ignore"):
            return np.clip((values - self.center) / self.scale, -limit, limit).astype(np.float32)

    def inverse(self, output: np.ndarray) -> np.ndarray:
        """Labels (n,) of class codes (n,); outputs (n, n_out) in their units as float64, (n,) if they came so; or 1
        where a probability (n, n_out) is above a half and 0 where not, int64."""
        if self.task == "classification":
            return self.classes[np.asarray(output)]
        if self.task == "multilabel":
            return (np.asarray(output) > 0.5).astype(np.int64)
        values = np.asarray(output, np.float64).reshape(len(output), self.n_out) * self.scale + self.center
        return values[:, 0] if self.is_flat else values

    def _codes(self, y: Any) -> np.ndarray:
        given = _as_labels(y)
        series = _match_type(given, self.label_type)
        if self.label_type == "str":
            codes = series.cast(pl.Enum(self.labels), strict=False).to_physical()
            lower = [label.lower() for label in self.labels]
            if len(lower) == 2 and set(lower) in BOOLEANS:  # TRUE in one file, True in another
                codes = codes.fill_null(series.str.to_lowercase().cast(pl.Enum(lower), strict=False).to_physical())
        else:
            codes = series.replace_strict(
                pl.Series(self.labels), range(self.n_out), default=None, return_dtype=pl.Int32
            )
        unknown = codes.is_null()
        if unknown.any():
            row = unknown.arg_true()[0]
            known = ", ".join(map(str, self.labels[:10])) + (", ..." if self.n_out > 10 else "")
            raise InputError(
                f"the label {given[row]!r} was not among the classes in training",
                f"use one of {known}",
                f"target, row {row + 1}",
            )
        return codes.to_numpy().astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """A plain dict of strings, numbers and lists."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "TargetEncoder":
        """The encoder that `to_json` wrote."""
        encoder = records.from_json(cls, data)
        kinds = {"str": str, "int": int, "float": float, "bool": bool}
        if encoder.task == "classification":
            if len(encoder.labels) < 2 or any(type(label) is not kinds[encoder.label_type] for label in encoder.labels):
                raise ValueError(f"TargetEncoder.labels = {encoder.labels!r:.40}")
        elif not encoder.center or len(encoder.center) != len(encoder.scale) or min(encoder.scale) <= 0:
            raise ValueError(f"TargetEncoder.scale = {encoder.scale!r:.40}")
        if len(encoder.limits) != 2:
            raise ValueError(f"TargetEncoder.limits = {encoder.limits!r:.40}")
        return encoder


def _scale(values: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of each column; see `TargetEncoder`."""
    none, one = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if scaling == "none":
        return none, one
    mean, deviation = moments(values)
    if scaling == "mean":
        return none, np.where(mean > 0, mean, one)
    if scaling == "deviation":
        return mean, deviation
    with np.errstate(over="ignore", invalid="ignore"):
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
        spread = (high - low) / NORMAL_QUARTILES
        varies = np.isfinite(spread) & (spread > 4 * np.finfo(float).eps * np.abs(median))
    return np.where(varies, median, mean), np.where(varies, spread, deviation)


def _check_limits(values: np.ndarray, low: float, high: float) -> None:
    beyond = values[(values < low) | (values > high)]
    if len(beyond):
        most = "" if high == LARGEST else f" and at most {high:g}"
        least = "" if low == -LARGEST else f"at least {low:g}"
        raise InputError(
            f"the target holds {beyond[0]:g}, which this loss cannot take",
            f"give numbers of {(least + most).removeprefix(' and ')}, or use another loss",
            "target",
        )


def _as_labels(y: Any) -> pl.Series:
    series = y if isinstance(y, pl.Series) else _series_of(np.asarray(y))
    if is_text(series):
        series = series.cast(pl.String)
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.null_count():
        row = series.is_null().arg_true()[0] + 1
        raise InputError("the target is missing", "fill it in, or leave the row out", f"target, row {row}")
    return series


def _series_of(values: np.ndarray) -> pl.Series:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise InputError(f"the labels have shape {values.shape}", "give one label for each row: (n,)", "target")
    try:
        return pl.Series("target", values.tolist() if values.dtype == object else values)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise InputError("the labels are of mixed types", "give all as text, or all as numbers", "target") from error


def _label_type(series: pl.Series) -> LabelType:
    if series.dtype == pl.Boolean:
        return "bool"
    if series.dtype.is_integer():
        return "int"
    if series.dtype.is_float():
        return "float"
    if series.dtype == pl.String:
        return "str"
    raise InputError(f"labels of type {series.dtype} cannot be learned", "give text, numbers or booleans", "target")


def _match_type(series: pl.Series, label_type: LabelType) -> pl.Series:
    """Labels in the type they had in training: a second file may hold 1 where the first had "1" among text."""
    if label_type == "str":
        return series if series.dtype == pl.String else as_text(series)
    if series.dtype == pl.String:
        if label_type == "bool":
            return series.str.to_lowercase().replace_strict(["true", "false"], [True, False], default=None)
        return series.cast(pl.Float64, strict=False)
    return series


def _as_outputs(y: Any) -> tuple[np.ndarray, bool]:
    """Targets as float64 (n, n_out), and whether they came as (n,)."""
    values = np.asarray(as_numbers(y).to_numpy() if isinstance(y, pl.Series) else y, dtype=np.float64)
    is_flat = values.ndim == 1
    values = values[:, None] if is_flat else values
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(finite.argmin()) + 1
        raise InputError("the target is missing or infinite", "correct it, or leave the row out", f"target, row {row}")
    return values, is_flat
