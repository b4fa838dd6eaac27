"""From a table on disk to a run directory and back: what the commands do, without the command line."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl

from axonic import optimizers, recipe
from axonic.checks import check_table
from axonic.data.batches import Cursor, Rows, Split, split_rows
from axonic.data.encoding import TableEncoder, TargetEncoder
from axonic.data.reading import read_table
from axonic.data.schema import Schema, infer_schema, target_values, usable_rows
from axonic.errors import InputError
from axonic.model import Model
from axonic.race import Spectator, race
from axonic.report.charts import race_svg
from axonic.settings import Settings, pair
from axonic.storage import MODEL, RESULT, RunDirectory, load_model, plain, save_model, unwritable, write, write_json
from axonic.training import State, StopRule, lane
from axonic.types import Finding

CHECKPOINT_SECONDS = 15.0
VALIDATION_FRACTION = 0.15
COMPARISON = "compare.json"


@runtime_checkable
class Reporter(Protocol):
    """What a caller may want to see of a run."""

    def data(self, frame: pl.DataFrame, schema: Schema, findings: list[Finding]) -> None:
        """The table has been read, its schema inferred and checked."""

    def stage(self, stage: dict[str, Any]) -> None:
        """A stage of the recipe has been decided."""

    def epochs(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> None:
        """Epochs have been closed; see `axonic.recipe.Watcher.progress`."""

    def interrupted(self) -> bool:
        """Whether to end the training and keep what is best so far."""
        return False


class _Silent(Reporter):
    """Shows nothing."""


class _Watcher(recipe.Watcher):
    """Hands progress to the reporter and writes checkpoints."""

    def __init__(self, reporter: Reporter, directory: RunDirectory) -> None:
        self.reporter, self.directory = reporter, directory
        self.begun = time.monotonic()
        self.saved: dict[int, float] = {}

    def stage(self, stage: dict[str, Any]) -> None:
        self.reporter.stage(stage)

    def progress(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> bool:
        self.reporter.epochs(network, n_networks, history, n_epochs, stop)
        return self.reporter.interrupted()

    def checkpoint(self, network: int, state: State, cursor: Cursor) -> None:
        if time.monotonic() - self.saved.get(network, self.begun) > CHECKPOINT_SECONDS:
            self.directory.save_checkpoint(network, lane(state, 0), cursor)
            self.saved[network] = time.monotonic()


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, phase: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function and book its time under `phase`."""
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


def fit_table(
    data: str | os.PathLike[str],
    target: str,
    out: str | os.PathLike[str],
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    test: str | os.PathLike[str] | None = None,
    test_size: float = 0.2,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train on a table and leave a run directory.

    Parameters
    ----------
    data : the table; see `axonic.data.reading.read_table`.
    target : the column to predict.
    out : the run directory; an earlier run there is replaced once the new one starts to train.
    task : what the target asks for; "auto" infers it.
    test : a table of test rows; None holds out `test_size` of the rows.
    test_size : share of the rows for the test, from 0 (none) to below 1.
    settings : how to train.
    reporter : is told of everything as it happens.

    Returns
    -------
    The result, as `result.json` holds it.

    Raises
    ------
    InputError : the table, an option or the folder can't work; nothing half-written is left.
    """
    settings, reporter, clock = settings or Settings(), reporter or _Silent(), Clock()
    begun = time.perf_counter()
    if not 0 <= test_size < 1 - VALIDATION_FRACTION:
        raise InputError(
            f"test_size = {test_size!r} is impossible", f"give a number from 0 to below {1 - VALIDATION_FRACTION:g}"
        )
    frame = clock.time("reading", read_table, data)
    schema = infer_schema(frame, target, task)
    findings = clock.time("checking", check_table, frame, schema)
    reporter.data(frame, schema, findings)

    rows, split, encoder, encoded_target = clock.time(
        "encoding", _encode, frame, schema, test, test_size, settings.seed
    )
    n_rows, width = frame.shape
    del frame
    loss, n_out = pair(settings, schema.task, encoded_target.n_out)
    network = settings.network(n_out)
    directory = RunDirectory(Path(out))
    directory.begin()
    try:
        watcher = _Watcher(reporter, directory)
        fitted = recipe.fit(rows, split, settings, network, loss, watcher=watcher)
        info = {"schema": schema.to_json(), "seed": settings.seed}
        model = Model(network, loss, fitted.members, encoder, encoded_target, info)
        metrics = clock.time("evaluating", _metrics, model, rows, fitted.splits)
        result = {
            "task": schema.task,
            "target": target,
            "n_rows": n_rows,
            "n_columns": width,
            "n_train": len(split.train),
            "n_valid": len(split.valid),
            "n_test": len(split.test),
            "net": "feedforward",
            "hidden": list(settings.hidden_layer_sizes),
            "activation": settings.activation,
            "n_parameters": sum(int(np.prod(s.shape)) for layer in network.shapes(rows.x.shape[1]) for s in layer),
            "optimizer": optimizers.name(fitted.optimizer),
            "learning_rate": float(fitted.optimizer.rate),
            "l2": fitted.l2,
            "networks": len(fitted.members),
            "batch_size": settings.batch_size,
            "epochs": fitted.n_epochs,
            "seconds": 0.0,
            "seconds_by_phase": {},
            "seed": settings.seed,
            **metrics,
            "findings": [finding._asdict() for finding in [*findings, *fitted.findings]],
            "stages": fitted.stages,
            "interrupted": reporter.interrupted(),
            "run": str(directory.path),
        }
        directory.save_history(fitted.history_columns)
        directory.save_notebook(fitted.stages)
        save_model(model, directory.path / MODEL)
        for index, state in enumerate(fitted.states):
            directory.save_checkpoint(index, state, Cursor(int(state.epoch)))
        directory.clear_checkpoints(len(fitted.states))
        result["seconds_by_phase"] = {
            name: round(seconds, 3) for name, seconds in {**clock.seconds, **fitted.seconds}.items()
        }
        result["seconds"] = round(time.perf_counter() - begun, 3)
        write_json(directory.path / RESULT, result)
    except BaseException:
        directory.discard()
        raise
    return plain(result)


def compare_rules(
    data: str | os.PathLike[str],
    target: str,
    *,
    out: str | os.PathLike[str] | None = None,
    task: Literal["auto", "classification", "regression"] = "auto",
    names: Sequence[str] | None = None,
    seconds: float = 0.5,
    seeds: int = 3,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
    spectator: Spectator | None = None,
) -> dict[str, Any]:
    """Let learning rules race on a table; see `axonic.race`.

    Parameters
    ----------
    data, target, task : as for `fit_table`.
    out : a folder for the result (compare.json) and the curves (compare.svg); None writes nothing.
    names, seconds, seeds, spectator : as for `axonic.race.race`.
    settings, reporter : as for `fit_table`.

    Returns
    -------
    The result of the race, with the task, the target and the number of rows.

    Raises
    ------
    InputError : as `fit_table` and `race`.
    """
    settings, reporter = settings or Settings(), reporter or _Silent()
    frame = read_table(data)
    schema = infer_schema(frame, target, task)
    reporter.data(frame, schema, check_table(frame, schema))
    rows, split, _, encoded_target = _encode(frame, schema, None, 0.0, settings.seed)
    loss, n_out = pair(settings, schema.task, encoded_target.n_out)
    network = settings.network(n_out)
    folder = None if out is None else Path(out)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError("the output folder is a file", "name a folder", str(folder))
    race_result = race(
        rows, split, settings, network, loss, names=names, seconds=seconds, seeds=seeds, spectator=spectator
    )
    result = plain({"task": schema.task, "target": target, "n_rows": len(frame), **race_result})
    if folder is not None:
        write_json(folder / COMPARISON, result)
        write(folder / COMPARISON.replace(".json", ".svg"), race_svg(result).encode())
    return result


def _metrics(model: Model, rows: Rows, splits: Sequence[Split]) -> dict[str, dict[str, float]]:
    """Scores on the three parts. Test: of the model. Training and validation: the mean of its networks, each on its own
    rows, since the rows that one has not seen another has."""

    def scores(model: Model, part: np.ndarray) -> dict[str, float]:
        return model.metrics(rows.x[part], rows.y[part], rows.weight[part])

    def mean(part: str) -> dict[str, float]:
        each = [scores(model.alone(i), getattr(split, part)) for i, split in enumerate(splits)]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}

    return {"train": mean("train"), "valid": mean("valid"), "test": scores(model, splits[0].test)}


def _encode(
    frame: pl.DataFrame, schema: Schema, test: str | os.PathLike[str] | None, test_size: float, seed: int
) -> tuple[Rows, Split, TableEncoder, TargetEncoder]:
    """Split the rows that have a target, fit the encoders on the training rows and encode all rows."""
    usable = usable_rows(frame, schema)
    y = target_values(frame, schema)[usable]
    classes = y.to_physical().rank("dense").to_numpy() if schema.task == "classification" else None
    split = split_rows(
        len(usable), seed, valid=VALIDATION_FRACTION, test=0.0 if test is not None else test_size, classes=classes
    )
    target = TargetEncoder.fit(y, schema.task, rows=split.train)
    codes = target.transform(y)
    encoder = TableEncoder.fit(frame, schema, rows=usable[split.train], target=codes[split.train])
    x = encoder.transform(frame, usable)
    if test is not None:
        test_x, test_codes, _ = _encoded_table(read_table(test), schema, encoder, target, test)
        split = split._replace(test=np.arange(len(x), len(x) + len(test_x)))
        x, codes = np.concatenate([x, test_x]), np.concatenate([codes, test_codes])
    return Rows(x, codes, np.ones(len(x), np.float32)), split, encoder, target


def _encoded_table(
    frame: pl.DataFrame, schema: Schema, encoder: TableEncoder, target: TargetEncoder, path: Any
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Inputs, targets and unseen categories of the rows of another table that have a target."""
    values = target_values(frame, schema)
    usable = usable_rows(frame, schema)
    if len(usable) == 0:
        raise InputError(f"no row has a {schema.target!r}", "give rows with known targets", str(path))
    x, unseen = encoder.encode(frame, usable)
    return x, target.transform(values[usable]), unseen


def predict_table(
    run: str | os.PathLike[str], data: str | os.PathLike[str], *, proba: bool = False
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Predict the rows of a table.

    Parameters
    ----------
    run : a run directory or model file.
    data : a table with the columns of the training table; others are ignored.
    proba : whether to add the probability of each class.

    Returns
    -------
    table : a column "prediction" and, with `proba`, one for each class; rows in their order.
    unseen : for each column, the number of values that were not among its categories in training.

    Raises
    ------
    InputError : a file can't be read, a column is missing or holds what it did not hold in training.
    """
    model = load_model(run)
    if proba and model.task != "classification":
        raise InputError("--proba is for classes and this model predicts numbers", "leave it out", str(run))
    x, unseen = model.encoder.encode(read_table(data))
    if model.task == "regression":
        return pl.DataFrame({"prediction": model.numbers(x)}), unseen
    p = model.probabilities(x)
    table = pl.DataFrame({"prediction": model.target.inverse(p.argmax(axis=1))})
    if proba:
        names = _class_columns(model)
        table = table.hstack(pl.DataFrame(p, schema=names))
    return table, unseen


def _class_columns(model: Model) -> list[str]:
    """A column name for each class: the class itself, or "proba CLASS" where that is taken."""
    return [f"proba {label}" if str(label) == "prediction" else str(label) for label in model.target.classes]


def evaluate_table(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> dict[str, Any]:
    """Score a model on a table with known targets; see `axonic.model.Model.metrics`.

    Raises
    ------
    InputError : as `predict_table`, or the target is missing or holds an unknown class.
    """
    model = load_model(run)
    if "schema" not in model.info:
        raise InputError("the model was not trained on a table", "evaluate it in Python with score()", str(run))
    schema = Schema.from_json(model.info["schema"])
    x, y, unseen = _encoded_table(read_table(data), schema, model.encoder, model.target, data)
    return plain({"task": model.task, "target": schema.target, "n": len(x), **model.metrics(x, y), "unseen": unseen})


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


def check_prediction_path(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` if predictions can't be written under such a name."""
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".parquet", ".arrow"):
        raise InputError("predictions need a known ending", "use .csv, .tsv, .parquet or .arrow", str(path))
    if path.is_dir():
        raise InputError("the output file is a folder", "name a file", str(path))


def _bytes(writer: Callable[..., Any]) -> bytes:
    import io

    buffer = io.BytesIO()
    writer(buffer)
    return buffer.getvalue()
