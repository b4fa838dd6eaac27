"""Whether an ONNX file predicts as its model does: its inputs, made-up ones, and the difference."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from axonic.data.encoding import Coding, TableEncoder
from axonic.data.encoding.coding import linear_values
from axonic.data.ragged import Ragged
from axonic.data.sequences.arrays import as_sequences
from axonic.data.sequences.layout import Layout
from axonic.data.sequences.windows import SeriesCoding
from axonic.data.values import as_text
from axonic.errors import InputError
from axonic.export.columns import ARRAY, LENGTHS, input_name
from axonic.model import Model

TOLERANCE = 1e-5
CHECKED_ROWS = 1000
CHECKED_STEPS = 100_000
"""Steps, padding counted, that sequences are checked with at a time."""
LONGEST_MADE_UP = 20


def is_framed(model: Any) -> bool:
    """Whether the file of a model, or of an estimator, has an input for each column rather than one array for all:
    if it was trained on a table."""
    info = getattr(model, "model_", model).info
    framed = getattr(model, "_framed", info.get("framed"))
    if framed is None and "layout" in info:
        layout = Layout.from_json(info["layout"])
        return layout.forecasts or layout.sequence_id is not None
    return bool("schema" in info if framed is None else framed)


def inputs(model: Any, data: Any, *, framed: bool | None = None) -> dict[str, np.ndarray]:
    """What an exported file takes for data, by input name.

    Parameters
    ----------
    model : an `axonic.model.Model` or a fitted estimator.
    data : a table (a polars frame), or an array (n, n_columns); of a network that reads sequences an array
        (n, time, n_columns), a list of arrays (time, n_columns), or an `axonic.data.ragged.Ragged` of either.
    framed : whether columns come by name; None sees it from the model.

    Raises
    ------
    InputError : a column is missing or holds what it did not hold in training; windows of another length.
    """
    framed = is_framed(model) if framed is None else framed
    model = getattr(model, "model_", model)
    if not model.recurrent:
        if not framed:
            return {ARRAY: np.asarray(data, np.float64)}
        return {input_name(c.name): _column(c, data).reshape(-1, 1) for c in model.encoder.columns}
    x = data if isinstance(data, Ragged) else as_sequences(data)
    if framed:
        columns = {input_name(c.name): _padded(x, _column(c, x.values)) for c in model.encoder.columns}
    else:
        columns = {ARRAY: _padded(x, np.asarray(x.values, np.float64))}
    if "series" in model.info:
        SeriesCoding.from_json(model.info["series"]).check(x.lengths)
        return columns
    return {**columns, LENGTHS: x.lengths.astype(np.int32)}


def _column(coding: Coding, table: Any) -> np.ndarray:
    if coding.name not in table.columns:
        raise InputError(f"column {coding.name!r} is missing", "add it; it may be empty", "columns")
    if coding.kind == "category":
        return np.array(as_text(table[coding.name]).fill_null("").to_list(), object)
    return linear_values(table, [coding])[:, 0]


def _padded(x: Ragged, values: np.ndarray) -> np.ndarray:
    """The values of all steps as (n, time, ...)."""
    nothing = "" if values.dtype == object else np.nan
    padded = np.full((len(x), x.longest, *values.shape[1:]), nothing, values.dtype)
    padded[np.arange(x.longest) < x.lengths[:, None]] = values
    return padded


# --- rows to check with ---


def blocks(data: Any) -> Iterator[Any]:
    """Up to `CHECKED_ROWS` rows or sequences, in parts that are held at a time."""
    data = data[:CHECKED_ROWS]
    size = max(1, CHECKED_STEPS // data.longest) if isinstance(data, Ragged) else CHECKED_ROWS
    for start in range(0, len(data), size):
        yield data[start : start + size]


def made_up(model: Model, framed: bool) -> Any:
    """Rows, sequences or windows as training might have seen them."""

    def rows(n: int) -> Any:
        table = made_up_rows(model.encoder, n)
        return table if framed else table.select(pl.all().cast(pl.Float64)).to_numpy()

    if not model.recurrent:
        return rows(CHECKED_ROWS)
    if "series" not in model.info:
        lengths = np.random.default_rng(1).integers(1, LONGEST_MADE_UP, CHECKED_ROWS, endpoint=True)
        return Ragged.of(rows(int(lengths.sum())), lengths)
    window = SeriesCoding.from_json(model.info["series"]).window
    n = int(np.clip(CHECKED_STEPS // window, 1, CHECKED_ROWS))
    steps, own = rows(n * window), model.encoder.columns[0]  # a series has no gaps
    if framed:
        steps = steps.with_columns(pl.col(own.name).fill_null(own.center))
    else:
        steps[:, 0] = np.nan_to_num(steps[:, 0], nan=own.center)
    return Ragged.of(steps, np.full(n, window))


def made_up_rows(encoder: TableEncoder, n_rows: int) -> pl.DataFrame:
    """Rows as training might have seen them: numbers around their mean, levels at random, a tenth of all values
    missing and of the levels unseen."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {}
    for coding in encoder.columns:
        gaps = rng.random(n_rows) < 0.1
        if coding.kind == "category":
            known = [*coding.levels, *coding.rare[:10], "never seen before, 从未见过"]
            values = [None if gap else known[i] for gap, i in zip(gaps, rng.integers(len(known), size=n_rows))]  # noqa: B905
            columns[coding.name] = pl.Series(values, dtype=pl.String)
            continue
        if coding.kind == "boolean":
            numbers = rng.integers(2, size=n_rows).astype(float)
        else:
            numbers = coding.center + coding.scale * rng.standard_normal(n_rows)
        series = pl.Series(np.where(gaps, np.nan, numbers)).fill_nan(None)
        if coding.kind == "date":  # in the years that text can spell
            series = (series.clip(-350_000, 376_000) * 86_400e6).cast(pl.Int64).cast(pl.Datetime("us"))
        columns[coding.name] = series
    return pl.DataFrame(columns)


# --- the difference ---


def compare(model: Model, data: Any, given: Sequence[np.ndarray]) -> None:
    """Refuse a file whose outputs are not those of the model.

    Parameters
    ----------
    model : what the file was made of.
    data : rows or sequences, raw.
    given : the file's outputs for them.
    """
    ours, theirs = _answers(model, data), _rows(model, data, given[-1])
    error, same = _difference(model, ours, theirs), True
    if model.task != "regression":
        best = np.sort(ours, axis=1)[:, -2:]
        tied = np.abs(ours - 0.5) < TOLERANCE if model.task == "multilabel" else best @ [-1, 1] < TOLERANCE
        same = np.all((_rows(model, data, given[0]) == model.decided(ours)) | tied)
    if not (same and error <= TOLERANCE):
        raise InputError(
            f"onnxruntime does not reproduce the predictions (relative difference {error:.2g}); no file is written",
            "report it with the model file; weights or inputs may be extreme",
        )


def difference(model: Model, data: Any, given: Sequence[np.ndarray]) -> float:
    """The largest difference between our outputs for rows or sequences and those of an exported file, over the largest
    probability of the row (of several labels: of each, or of its absence), or the predicted number (or the target's
    scale where that is larger)."""
    return _difference(model, _answers(model, data), _rows(model, data, given[-1]))


def _difference(model: Model, ours: np.ndarray, theirs: np.ndarray) -> float:
    if model.task == "classification":
        scale = ours.max(axis=1, keepdims=True)
    elif model.task == "multilabel":
        scale = np.maximum(ours, 1 - ours)
    else:
        scale = np.maximum(np.abs(ours), np.asarray(model.target.scale))
    return float(np.max(np.abs(ours - theirs) / scale, initial=0.0))


def _answers(model: Model, data: Any) -> np.ndarray:
    """Our probabilities or numbers, (rows, n); of the steps of all sequences where each has one."""
    if "series" in model.info:
        return model.forecasts(data)
    x = model.encode(data)
    answers = model.numbers(x) if model.task == "regression" else model.probabilities(x)
    return answers.reshape(len(answers), -1)


def _rows(model: Model, data: Any, output: np.ndarray) -> np.ndarray:
    """An output of a file in the order of `_answers`, without what stands at padded steps."""
    if not model.by_step:
        return output
    return output[np.arange(data.longest) < data.lengths[:, None]]
