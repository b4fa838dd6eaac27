"""Predictions and scores of a saved model."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from axonic.calibration import reliability
from axonic.data.schema import Schema
from axonic.data.values import in_file
from axonic.errors import InputError
from axonic.model import Model
from axonic.run_directory import OF_A_RUN, RUN, RunDirectory
from axonic.runs import sequences
from axonic.runs.request import Request
from axonic.runs.tables import encode_others, no_targets, parts, spelling_of
from axonic.storage import load_model, plain, unwritable, write


def predict_table(
    run: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    proba: bool = False,
    std: bool = False,
    steps: int | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Predict the rows of a table, the sequences of a file or their steps, or what follows a series.

    Parameters
    ----------
    run : a run directory or model file.
    data : a table with the columns of the training table; others are ignored.
    proba : whether to add the probability of each class.
    std : whether to add how far the networks are apart, see `axonic.model.Model.spread`; of classes that of the class
        predicted.
    steps : how many steps of a series to forecast; None is the horizon.

    Returns
    -------
    table : a column "prediction" and, with `proba`, one for each class, with `std` a column "std"; rows in their order.
        Of several numbers or labels "prediction_1", ..., and so on. Of sequences in a long table also the column that
        names them ("id NAME" where the name is taken); of a series the steps ahead.
    unseen : for each column, the number of values beyond what training saw; see `TableEncoder.encode`.

    Raises
    ------
    InputError : a file can't be read, a column is missing or holds what it did not hold in training.
    """
    model = load_model(run)
    if proba and model.task == "regression":
        raise InputError("--proba is for classes and this model predicts numbers", "leave it out", str(run))
    if steps is not None and "series" not in model.info:
        raise InputError("--steps is for a model that forecasts a series", "leave it out", str(run))
    if "series" in model.info:
        if std:
            raise InputError("--std is not for forecasts of a series", "leave it out", str(run))
        return sequences.forecast(model, data, steps)
    if model.recurrent:
        asked = sequences.asked(model, data)
        table = _predicted(model, asked.x, proba, std)
        if model.by_step:
            return table[np.argsort(asked.rows)], asked.unseen
        return (table if asked.ids is None else _beside(asked.ids, table)), asked.unseen
    tables: list[pl.DataFrame] = []
    unseen: dict[str, int] = {}
    for first, part in parts(data, spelling_of(model)):
        with in_file(data, range(first, first + len(part))):
            x, new = model.encoder.encode(part)
        tables.append(_predicted(model, x, proba, std))
        _add_up(unseen, new)
    return pl.concat(tables), unseen


def _add_up(counts: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count


def _predicted(model: Model, x: Any, proba: bool, std: bool) -> pl.DataFrame:
    spread = model.spread(x) if std else None
    if model.task == "regression":
        found = {"": model.numbers(x), "std": spread}
        columns: dict[str, np.ndarray] = {}
        for kind, values in found.items():
            if values is not None and values.ndim == 1:
                columns[kind or "prediction"] = values
            elif values is not None:
                several = values.shape[1] > 1
                names = [(kind or "prediction") + (f"_{i + 1}" if several else "") for i in range(values.shape[1])]
                columns |= dict(zip(names, values.T, strict=True))
        return pl.DataFrame(columns)
    p = model.probabilities(x)
    if model.task == "multilabel":
        found = {"prediction": model.decided(p), "proba": p if proba else None, "std": spread}
        told = {name: np.asarray(values).T for name, values in found.items() if values is not None}
        return pl.DataFrame({f"{name}_{i + 1}": one for name, of in told.items() for i, one in enumerate(of)})
    table = pl.DataFrame({"prediction": model.target.inverse(p.argmax(axis=1))})
    if spread is not None:
        table = table.with_columns(pl.Series("std", spread[np.arange(len(p)), p.argmax(axis=1)]))
    if proba:
        names = _class_columns(model)
        table = table.hstack(pl.DataFrame(p, schema=names))
    return table


def _class_columns(model: Model) -> list[str]:
    """A column name for each class: the class itself, or "proba CLASS" where that is taken."""
    return [f"proba {label}" if str(label) in ("prediction", "std") else str(label) for label in model.target.classes]


def _beside(ids: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Predictions beside what they are of: a column under its name, or "id NAME" where that is taken."""
    return ids.rename(lambda name: f"id {name}" if name in table.columns else name).hstack(table)


def evaluate_table(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> dict[str, Any]:
    """Score a model on a table with known targets.

    Returns
    -------
    The "task", the "target", how many answers were scored ("n") of what ("of": rows, sequences or windows), the scores
    of `axonic.model.Model.metrics`, for classes of rows the "reliability" curve of `axonic.calibration`, and how many
    values of each column were beyond what training saw ("unseen").

    Raises
    ------
    InputError : as `predict_table`, or the target is missing or holds an unknown class.
    """
    model = load_model(run)
    if "schema" not in model.info:
        raise InputError("the model was not trained on a table", "evaluate it in Python with score()", str(run))
    schema = Schema.from_json(model.info["schema"])
    about = {"task": model.task, "target": schema.target}
    if model.recurrent:
        x, y, origin, unseen = sequences.evaluated(model, data)
        about |= {"n": len(x), "of": "sequences" if origin is None else "windows"}
        return plain({**about, **model.metrics(x, y, origin=origin), "unseen": unseen})
    outputs, targets, unseen = [], [], {}
    for first, part in parts(data, spelling_of(model)):
        found = encode_others(part, schema, model.encoder, model.target, data, first)
        if found is None:
            continue
        outputs.append(model.outputs(found.x))
        targets.append(found.y)
        _add_up(unseen, found.unseen)
    if not outputs:
        raise no_targets(schema, data)
    a, y = np.concatenate(outputs), np.concatenate(targets)
    scores: dict[str, Any] = model.scores(a, y)
    if model.task == "classification":
        scores["reliability"] = [each._asdict() for each in reliability(model.probabilities_of(a), y)]
    return plain({**about, "n": len(a), "of": "rows", **scores, "unseen": unseen})


def write_predictions(table: pl.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write predictions as .csv, .tsv, .parquet or .arrow, whole or not at all.

    Raises
    ------
    InputError : another ending, or the file can't be written.
    """
    path = Path(path)
    check_prediction_path(path)
    try:
        content = {
            ".csv": lambda: table.write_csv().encode(),
            ".tsv": lambda: table.write_csv(separator="\t").encode(),
            ".parquet": lambda: _bytes(table.write_parquet),
            ".arrow": lambda: _bytes(table.write_ipc),
        }[path.suffix.lower()]()
    except OSError as error:
        raise unwritable(path, error) from error
    write(path, content)


def check_prediction_path(
    path: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
) -> None:
    """Raise `InputError` if predictions can't be written under such a name, or would replace what they are made from:
    the table `data`, or a file of the run."""
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet", ".arrow"):
        raise InputError("predictions need a known ending", "use .csv, .tsv, .parquet or .arrow", str(path))
    if path.is_dir():
        raise InputError("the output file is a folder", "name a file", str(path))
    if data is not None and _is_same(path, data):
        raise InputError("this is the table to predict", "name another file", str(path))
    if run is not None:
        spare_run(path, run)


def spare_run(path: str | os.PathLike[str], run: str | os.PathLike[str]) -> None:
    """Raise `InputError` if an output would replace a model file, a file of its run or a table that it was trained or
    tested on."""
    run = Path(run)
    folder = run if run.is_dir() else run.parent
    if any(_is_same(path, file) for file in (run, *(folder / name for name in (*OF_A_RUN, RUN)))):
        raise InputError("this is a file of the run", "name another file", str(path))
    try:
        request = Request.from_json(RunDirectory(folder).run(), folder / RUN)
    except (InputError, OSError):
        return  # a model file by itself, or of a run that is damaged
    if any(_is_same(path, table) for table in (request.data, request.test) if table is not None):
        raise InputError("the run was trained or tested on this table", "name another file", str(path))


def _is_same(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two names are of one file, links followed."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _bytes(writer: Callable[..., Any]) -> bytes:
    import io

    buffer = io.BytesIO()
    writer(buffer)
    return buffer.getvalue()
