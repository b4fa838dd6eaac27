"""Sequences on disk for `axonic.runs`: from a file to rows that can be trained on, predicted or scored."""

import dataclasses
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from axonic import baselines
from axonic.checks_sequences import check_sequences, check_series
from axonic.correction import Series, settle
from axonic.data.autoregression import steps_ahead, steps_before
from axonic.data.batches import Rows, split_rows
from axonic.data.columns import Column, infer_columns
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged, join
from axonic.data.reading import UNKNOWN, Spelling, decimal_mark, read_table, refuse_pipes
from axonic.data.schema import Schema, named, resolve_task, target_unit
from axonic.data.sequences.arrays import NPZ, read_npz
from axonic.data.sequences.layout import Data, Layout
from axonic.data.sequences.tables import cut_table, order_series
from axonic.data.sequences.windows import SeriesCoding, cut_windows
from axonic.data.targets import TargetEncoder
from axonic.data.values import as_numbers, as_text, in_file, is_text, missing
from axonic.errors import InputError
from axonic.model import Model
from axonic.recipe import Fit
from axonic.runs.prepared import VALIDATION_FRACTION, Prepared
from axonic.runs.request import Request
from axonic.runs.tables import spelling_of, spelling_of_others
from axonic.settings import Settings, fit_target
from axonic.types import Finding


def prepare(request: Request) -> Prepared:
    """Read sequences or a series, split and encode them.

    Raises
    ------
    InputError : a file or an option can't work.
    """
    data, target, test, settings, layout = request.data, request.target, request.test, request.settings, request.layout
    if layout.forecasts:
        return _prepare_series(request)
    read = read_sequences(data, layout, target)
    if read.target is None:
        with in_file(data):
            named(read.steps, target, "target")
    if settings.head == "auto":
        settings = dataclasses.replace(settings, head="every" if read.by_step else "last")
    if read.by_step and settings.head != "every":
        how = "use --head every, or a target that does not change within a sequence"
        raise InputError(f"{target!r} changes from step to step", how, "--head")
    if settings.head == "every" and not read.by_step:
        raise InputError(f"{target!r} is one for each sequence", "use --head last or mean", "--head")
    with in_file(data):
        read, labels = _labelled(read, target)
    if len(read.sequences) < 2:
        raise InputError("there is one sequence only", "give two or more, or forecast one series with --window", data)
    with in_file(data, _label_rows(read)):
        resolved = _task(labels, request.task, "step" if read.by_step else "sequence")
    columns = infer_columns(read.steps)
    used = tuple(column for column in columns if column.kind != "ignored")
    ignored = tuple(column for column in columns if column.kind == "ignored")
    if not used:
        reasons = "; ".join(f"{column.name}: {column.reason}" for column in ignored) or "there is no other column"
        raise InputError(f"no column is left to predict {target!r} from ({reasons})", "add columns", "features")
    unit = target_unit(labels, resolved) if isinstance(labels, pl.Series) else ""
    schema = Schema(used, target, resolved, ignored, unit)
    labels = _in_numbers(read, labels, schema, data)
    findings = check_sequences(read, labels, schema)

    n = len(read.sequences)
    classes = labels.rank("dense").to_numpy() if _is_stratified(labels, resolved) else None
    share = 0.0 if test is not None else request.test_size
    split = split_rows(n, settings.seed, valid=VALIDATION_FRACTION, test=share, classes=classes)
    if len(split.train) == 0:
        raise InputError(f"{n} sequences are too few to train, validate and test on", "give more", data)
    encoded_target, y = _encode_target(read, labels, resolved, split.train, settings, data)
    steps = read.sequences.steps(split.train)
    cycles = None if read.by_step else np.repeat(y[split.train], read.sequences.lengths[split.train], axis=0)
    with in_file(data, read.rows):
        encoder = TableEncoder.fit(read.steps, schema, rows=steps, target=cycles)
        x = Ragged(encoder.transform(read.steps), read.offsets)
    layout, mark = dataclasses.replace(layout, order_format=read.order_format), decimal_mark(data)
    if test is not None:
        known = spelling_of_others(mark, encoder, encoded_target, target)
        others = _read_others(test, layout, target, known, read.by_step)
        more, more_y, _ = _encoded(others, schema, encoder, encoded_target, test)
        split = split._replace(test=np.arange(n, n + len(more)))
        x, y = join([x, more]), join([y, more_y])
    lengths = read.sequences.lengths
    summary = f"{n} sequences of {lengths.min()} to {lengths.max()} steps"
    rows = Rows(x, y, np.ones(len(x), np.float32))
    info = {"schema": schema.to_json(), "layout": layout.to_json(), "decimal_mark": mark}
    return Prepared(
        settings=settings,
        frame=read.steps,
        schema=schema,
        findings=findings,
        summary=summary,
        rows=rows,
        split=split,
        encoder=encoder,
        target=encoded_target,
        origin=None,
        info=info,
        resplits=True,
    )


def read_sequences(
    path: str | os.PathLike[str],
    layout: Layout,
    target: str | None,
    by_step: bool | None = None,
    spelling: Spelling = UNKNOWN,
) -> Data:
    """The sequences of a file; `spelling` as for `axonic.data.reading.read_table`."""
    path = Path(path)
    if path.suffix.lower() == NPZ:
        if layout.sequence_id is not None or layout.order_by is not None:
            raise InputError("a .npz file has no columns", "leave out --sequence-id and --order-by", str(path))
        refuse_pipes(path)
        with in_file(path):
            return read_npz(path, target, by_step)
    frame = _read_table(path, layout, spelling)
    with in_file(path):
        return cut_table(frame, layout, target, by_step)


def _read_table(path: str | os.PathLike[str], layout: Layout, spelling: Spelling) -> pl.DataFrame:
    """The table of a file, what names and orders the steps as text; other types than a delimited file's stay."""
    return read_table(path, spelling._replace(text=[*spelling.text, *layout.text]))


def _read_others(
    path: str | os.PathLike[str],
    layout: Layout,
    target: str | None,
    spelling: Spelling,
    by_step: bool | None = None,
) -> Data:
    """The sequences of another file than the one that is trained on."""
    is_table = layout.sequence_id is not None
    if is_table == (Path(path).suffix.lower() == NPZ):
        kind = "a table with one row a step" if is_table else "a .npz file"
        raise InputError(f"the sequences trained on are in {kind}", "give the others in one too", str(path))
    return read_sequences(path, layout, target, by_step, spelling)


def _labelled(read: Data, name: str) -> tuple[Data, Any]:
    """The sequences that have a target, and the targets: a Series, or numbers (n, horizon)."""
    found = read.target
    if isinstance(found, np.ndarray) and found.ndim > 1:
        return read, found
    series = found if isinstance(found, pl.Series) else pl.Series(name, found)
    series = as_text(series) if is_text(series) else series
    if series.dtype == pl.Float32:
        series = series.cast(pl.String).cast(pl.Float64)
    present = ~missing(series).to_numpy()
    lengths = np.diff(read.offsets)
    some = np.maximum.reduceat(present, read.offsets[:-1]) if read.by_step else present
    if not some.any():
        raise InputError(f"no sequence has a {name!r}", "fill it in", "target")
    if some.all():
        return read, series
    kept = np.flatnonzero(some)
    steps = read.sequences.steps(kept)
    read = read._replace(
        steps=read.steps[steps],
        offsets=Ragged.of(None, lengths[kept]).offsets,
        ids=None if read.ids is None else read.ids[kept],
        rows=read.rows[steps],
    )
    return read, series[steps] if read.by_step else series[kept]


def _label_rows(read: Data) -> np.ndarray:
    """The row of the file of each target: of sequences the first, in a .npz file their number."""
    if read.by_step:
        return read.rows
    return read.rows[read.offsets[:-1]] if isinstance(read.target, pl.Series) else np.arange(len(read.sequences))


def _task(labels: Any, task: str, each: str) -> Any:
    if isinstance(labels, pl.Series):
        return resolve_task(labels, task, each)
    if task == "classification" or labels.dtype.kind not in "fiub":
        raise InputError(
            f"a target of shape {labels.shape} holds no classes", "give one class for each sequence", "target"
        )
    return "regression"


def _in_numbers(read: Data, labels: Any, schema: Schema, path: Any) -> Any:
    """Targets of a regression that are text, as numbers."""
    if schema.task != "regression" or not isinstance(labels, pl.Series) or not is_text(labels):
        return labels
    with in_file(path, _label_rows(read)):
        return as_numbers(labels, unit=schema.unit)


def _is_stratified(labels: Any, task: str) -> bool:
    return task == "classification" and isinstance(labels, pl.Series)


def _encode_target(
    read: Data, labels: Any, task: Any, train: np.ndarray, settings: Settings, path: Any
) -> tuple[TargetEncoder, Any]:
    if not read.by_step:
        with in_file(path, _label_rows(read)):
            encoder = fit_target(settings, labels, task, train)
        return encoder, _codes(read, labels, encoder, path)
    known = np.flatnonzero(~missing(labels).to_numpy())
    seen = np.isin(known, read.sequences.steps(train))
    with in_file(path, read.rows[known]):
        encoder = fit_target(settings, labels[known], task, np.flatnonzero(seen))
    return encoder, _codes(read, labels, encoder, path)


def _codes(read: Data, labels: Any, encoder: TargetEncoder, path: Any) -> np.ndarray | Ragged:
    """The targets of all sequences, or of all steps, -1 or NaN where there is none."""
    if not read.by_step:
        with in_file(path, _label_rows(read)):
            return encoder.transform(labels)
    known = np.flatnonzero(~missing(labels).to_numpy())
    with in_file(path, read.rows[known]):
        codes = encoder.transform(labels[known])
    if codes.dtype.kind == "i":
        all_codes = np.full(len(labels), -1, np.int32)
    else:
        all_codes = np.full((len(labels), codes.shape[1]), np.nan, np.float32)
    all_codes[known] = codes
    return Ragged(all_codes, read.offsets)


def _encoded(
    read: Data, schema: Schema, encoder: TableEncoder, target: TargetEncoder, path: Any
) -> tuple[Ragged, np.ndarray | Ragged, dict[str, int]]:
    """Inputs, targets and unseen values of the sequences of another file that have a target."""
    if read.target is None:
        raise InputError(f"no column is named {schema.target!r}", "give known targets", str(path))
    with in_file(path):
        read, labels = _labelled(read, schema.target)
    with in_file(path, read.rows):
        matrix, unseen = encoder.encode(read.steps)
    labels = _in_numbers(read, labels, schema, path)
    return Ragged(matrix, read.offsets), _codes(read, labels, target, path), unseen


# --- one series ---


def _prepare_series(request: Request) -> Prepared:
    data, target, settings, layout = request.data, request.target, request.settings, request.layout
    if request.test is not None:
        raise InputError("--test is not for a series", "its last steps are the test; see --test-size", "--test")
    if request.task == "classification":
        raise InputError("what is forecast are numbers", "leave out --task classification", "--task")
    if settings.head == "every":
        raise InputError("--head every gives no forecast", "use --head last or mean", "--head")
    if settings.slicing:
        raise InputError(
            f"--slicing {settings.slicing:g} is not for a series", "a forecast needs its last steps", "--slicing"
        )
    settings = settings.of_series()
    read = read_series(data, layout, target)
    window, horizon = layout.window or 1, layout.steps_ahead
    windows = cut_windows(len(read.steps), window, horizon, VALIDATION_FRACTION, request.test_size)
    others = infer_columns(read.steps.drop(target))
    used = tuple(column for column in others if column.kind != "ignored")
    ignored = tuple(column for column in others if column.kind == "ignored")
    schema = Schema((Column(target, "number"), *used), target, "regression", ignored)
    findings = check_series(read, windows, schema)
    with in_file(data, read.rows):
        encoder = TableEncoder.fit(read.steps, schema, rows=np.arange(windows.seen), bounded=False)
        encoded = encoder.transform(read.steps)
    layout = dataclasses.replace(layout, order_format=read.order_format)
    series = Series.of(read.target, encoded, windows, window, horizon, settings)
    coding, split = series.coding, series.split
    summary = f"one series of {len(read.steps)} steps: {len(windows.ends)} windows of {window}, {horizon} ahead"
    summary += "; it drifts, so changes are forecast" if coding.relative else ""
    summary += "; the network corrects a linear forecast" if coding.linear else ""
    info = {
        "schema": schema.to_json(),
        "layout": layout.to_json(),
        "series": coding.to_json(),
        "decimal_mark": decimal_mark(data),
    }
    simple = baselines.forecasts(read.target, windows.ends, coding, windows.seen)
    truth = read.target[steps_ahead(windows.ends, horizon)]
    return Prepared(
        settings=settings,
        frame=read.steps,
        schema=schema,
        findings=findings,
        summary=summary,
        rows=series.rows,
        split=split,
        encoder=encoder,
        target=series.target,
        origin=coding.origin(read.target, windows.ends),
        info=info,
        resplits=False,
        baselines={name: baselines.forecast_scores(truth, found, split) for name, found in simple.items()},
        series=series,
    )


def settled(
    prepared: Prepared, fitted: Fit, model: Model, diagnosed: list[Finding], *, cut: bool
) -> tuple[Prepared, Fit, list[Finding]]:
    """What is used of a fit to a series (`axonic.correction`): the data with what the answers are added to and the
    targets that are counted from it, the networks, and what is to be said. The validation windows keep the forecast
    that was not fitted to them. What is not a series stays as it is. `cut` is whether training was cut short."""
    if prepared.series is None or prepared.origin is None:
        return prepared, fitted, diagnosed
    values, windows = prepared.series.values, prepared.series.windows
    kept = settle(fitted, model, prepared.series)
    if kept.coding is not prepared.series.coding:
        origin = prepared.origin.copy()
        ends = windows.ends[windows.test]
        origin[windows.test] = kept.coding.origin(values, ends)
        y = prepared.rows.y.copy()
        y[windows.test] = prepared.target.transform(kept.coding.targets(values, ends))
        rows, info = prepared.rows._replace(y=y), {**prepared.info, "series": kept.coding.to_json()}
        prepared = prepared._replace(rows=rows, origin=origin, info=info)
    return prepared, kept.fit, kept.said(diagnosed, cut=cut)


def read_series(
    path: str | os.PathLike[str],
    layout: Layout,
    target: str,
    where: str = "--target",
    spelling: Spelling = UNKNOWN,
) -> Any:
    """The series of a file, in its order; `where` is what names the target, `spelling` as for
    `axonic.data.reading.read_table`."""
    if Path(path).suffix.lower() == NPZ:
        raise InputError("a series is a table with one row a step", "give a .csv, .tsv, .parquet or .arrow", str(path))
    frame = _read_table(path, layout, spelling)
    with in_file(path):
        return order_series(frame, layout, target, where)


# --- with a model ---


class Asked(NamedTuple):
    """Sequences to predict.

    Attributes
    ----------
    x : encoded.
    ids : the column that names the sequences, a frame; None if there is none, and where every step is predicted.
    rows : (steps,) row of the file of each step, where every step is predicted.
    unseen : number of values of each column that were not among its categories in training.
    """

    x: Ragged
    ids: pl.DataFrame | None
    rows: np.ndarray
    unseen: dict[str, int]


def asked(model: Model, path: str | os.PathLike[str]) -> Asked:
    """The sequences of a file to predict."""
    layout = layout_of(model, path)
    read = _read_others(path, layout, None, spelling_of(model))
    with in_file(path, read.rows):
        matrix, unseen = model.encoder.encode(read.steps)
    x = Ragged(matrix, read.offsets)
    ids = None if layout.sequence_id is None or model.by_step else pl.DataFrame([read.ids])
    return Asked(x, ids, read.rows, unseen)


def raw(model: Model, path: str | os.PathLike[str], n: int) -> Ragged:
    """The first n sequences of a file, or windows of its series, as they are before they are encoded."""
    layout = layout_of(model, path)
    if not layout.forecasts:
        read = _read_others(path, layout, Schema.from_json(model.info["schema"]).target, spelling_of(model))
        steps = read.steps if layout.sequence_id is not None else read.steps.to_numpy()
        return Ragged(steps, read.offsets)[:n]
    series = _series_for(model, path)
    coding = SeriesCoding.from_json(model.info["series"])
    ends = np.arange(coding.window - 1, len(series.steps))[:n]
    steps = series.steps[steps_before(ends, coding.window).ravel()]
    return Ragged.of(steps, np.full(len(ends), coding.window))


def _series_for(model: Model, path: str | os.PathLike[str]) -> Any:
    """The series of a file that a model is to forecast."""
    layout = layout_of(model, path)
    target = Schema.from_json(model.info["schema"]).target
    return read_series(path, layout, target, "the series that the model forecasts", spelling_of(model))


def forecast(model: Model, path: str | os.PathLike[str], n_steps: int | None) -> tuple[pl.DataFrame, dict[str, int]]:
    """What follows the series of a file: columns "step", counted from 1, and "prediction"; and the unseen values of the
    window that is looked at."""
    series = _series_for(model, path)
    schema = Schema.from_json(model.info["schema"])
    window = SeriesCoding.from_json(model.info["series"]).window
    steps = series.steps.select(column.name for column in schema.columns if column.name in series.steps.columns)
    with in_file(path, series.rows[-window:]):
        found = model.forecast(steps, n_steps)
        _, unseen = model.encoder.encode(steps[-window:])
    return pl.DataFrame({"step": np.arange(1, len(found) + 1), "prediction": found}), unseen


def evaluated(model: Model, path: str | os.PathLike[str]) -> tuple[Ragged, Any, np.ndarray | None, dict[str, int]]:
    """Inputs, targets, origins and unseen values of a file with known targets."""
    schema, layout = Schema.from_json(model.info["schema"]), layout_of(model, path)
    if "series" not in model.info:
        read = _read_others(path, layout, schema.target, spelling_of(model), model.by_step)
        x, y, unseen = _encoded(read, schema, model.encoder, model.target, path)
        return x, y, None, unseen
    coding = SeriesCoding.from_json(model.info["series"])
    series = _series_for(model, path)
    ends = np.arange(coding.window - 1, len(series.target) - coding.horizon)
    if len(ends) == 0:
        what = f"a series of {len(series.target)} steps has no window of {coding.window} with {coding.horizon} ahead"
        raise InputError(what, "give more steps", str(path))
    with in_file(path, series.rows):
        matrix, unseen = model.encoder.encode(series.steps)
    y = model.target.transform(coding.targets(series.target, ends))
    return coding.inputs(matrix, ends), y, coding.origin(series.target, ends), unseen


def layout_of(model: Model, path: Any) -> Layout:
    """How the model's sequences lie in a file; of a model that was trained in Python, in a .npz file."""
    if "layout" in model.info:
        return Layout.from_json(model.info["layout"])
    if "series" in model.info:
        raise InputError("the model was trained in Python", "forecast in Python with forecast()", str(path))
    return Layout()
