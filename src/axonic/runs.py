"""From a table on disk to a run directory and back: what the commands do, without the command line."""

import dataclasses
import json
import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import polars as pl

from axonic import distributed, recipe, sequence_runs
from axonic.baselines import baselines
from axonic.calibration import reliability
from axonic.checks import ENOUGH_ROWS, check_table
from axonic.data.batches import Rows, Split, balanced, split_rows
from axonic.data.encoding import TableEncoder, TargetEncoder
from axonic.data.ragged import Ragged
from axonic.data.reading import Blocks, read_table
from axonic.data.schema import Schema, infer_schema, target_values, usable_rows
from axonic.data.sequences import NPZ, Layout
from axonic.data.store import Drawn, Store, draw, fits
from axonic.diagnosis import diagnose, sequences, unwatched, with_cause_first
from axonic.diagnosis.live import alarms
from axonic.diagnosis.rehearsal import Rehearsal, rehearse
from axonic.errors import InputError
from axonic.layers import RBF, Chain
from axonic.model import Model
from axonic.race import Spectator, race
from axonic.recipe import Clock
from axonic.report.evidence import evidence, sequence_evidence
from axonic.report.pages import CHECK, COMPARISON, PAGE, rebuilt
from axonic.report.through_time import through_time_svg
from axonic.run_directory import RESULT, RUN, RunDirectory, RunJournal
from axonic.seeds import generator
from axonic.settings import Settings, fit_target, pair
from axonic.storage import (
    load_model,
    model_file,
    parameter_from_json,
    parameter_to_json,
    plain,
    unwritable,
    write,
    write_json,
)
from axonic.training import StopRule
from axonic.types import Finding, Severity

VALIDATION_FRACTION = 0.15
STREAMED = (".parquet", ".csv", ".tsv")
"""Files that can be read in parts."""


@runtime_checkable
class Reporter(Protocol):
    """What a caller may want to see of a run."""

    def read(self, n_rows: int) -> None:
        """So many rows have been read of a table that is read in parts."""

    def data(self, frame: pl.DataFrame, schema: Schema, findings: list[Finding]) -> None:
        """The table has been read, its schema inferred and checked."""

    def stage(self, stage: dict[str, Any]) -> None:
        """A stage of the recipe has been decided."""

    def findings(self, findings: list[Finding]) -> None:
        """The run has been diagnosed."""

    def alarm(self, finding: Finding) -> None:
        """Something is going wrong while a network is trained."""

    def epochs(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> None:
        """Epochs have been closed; see `axonic.recipe.Watcher.progress`."""

    def within(self, network: int, n_networks: int, epoch: int, share: float) -> None:
        """A share of an epoch that takes long has been done; see `axonic.recipe.Watcher.within`."""

    def interrupted(self) -> bool:
        """Whether to end the training and keep what is best so far."""
        return False


class _Silent(Reporter):
    """Shows nothing."""


class _Watcher(recipe.Watcher):
    """Hands progress to the reporter, and ends the fit when it is interrupted or its time is up."""

    def __init__(self, reporter: Reporter, deadline: float, stop_on: Severity | None = None) -> None:
        self.reporter, self.deadline, self.stop_on = reporter, deadline, stop_on
        self.cut_short = False
        self.alarmed: set[str] = set()

    def stage(self, stage: dict[str, Any]) -> None:
        self.reporter.stage(stage)

    def progress(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> None:
        self.reporter.epochs(network, n_networks, history, n_epochs, stop)

    def within(self, network: int, n_networks: int, epoch: int, share: float) -> None:
        self.reporter.within(network, n_networks, epoch, share)

    def looked(self, network: int, history: np.ndarray, health: np.ndarray) -> None:
        for finding in alarms(history, health):
            if finding.code not in self.alarmed:
                self.alarmed.add(finding.code)
                self.reporter.alarm(finding._replace(where=f"network {network + 1}"))
                if finding.severity == self.stop_on or self.stop_on == "warning":
                    self.cut_short = True

    def ended(self) -> bool:
        if not self.cut_short:
            self.cut_short = distributed.agreed(self.reporter.interrupted() or time.monotonic() > self.deadline)
        return self.cut_short


class Request(NamedTuple):
    """What a run is asked for, as `run.json` holds it.

    Attributes
    ----------
    data, target, task, test, test_size : as for `fit_table`; paths are absolute.
    settings : how to train.
    layout : how sequences lie in the file.
    stream : whether the table is read in parts.
    """

    data: str
    target: str
    task: str
    test: str | None
    test_size: float
    settings: Settings
    layout: Layout = Layout()
    stream: bool = False

    def to_json(self, fingerprint: int) -> dict[str, Any]:
        """With a number that stands for the table, and the versions."""
        fields = dataclasses.fields(Settings)
        settings = {field.name: parameter_to_json(getattr(self.settings, field.name)) for field in fields}
        versions = {name: version(name) for name in ("axonic", "jax", "numpy", "polars")}
        own = {"settings": settings, "layout": self.layout.to_json()}
        return {**self._asdict(), **own, "rows": fingerprint, "versions": versions}

    @classmethod
    def from_json(cls, value: dict[str, Any], path: Path) -> "Request":
        """The request that `to_json` gave.

        Raises
        ------
        InputError : it is none.
        """
        try:
            values = {name: value[name] for name in cls._fields}
            texts = [values["data"], values["target"], *([values["test"]] if values["test"] is not None else [])]
            if not all(isinstance(text, str) for text in texts) or not isinstance(values["test_size"], int | float):
                raise TypeError("a value has another type")
            if not isinstance(values["stream"], bool):
                raise TypeError(f"stream = {values['stream']!r}")
            if values["task"] not in ("auto", "classification", "regression"):
                raise ValueError(f"task = {values['task']!r}")
            settings = {name: parameter_from_json(item) for name, item in values["settings"].items()}
            layout = Layout.from_json(values["layout"])
            return cls(**{**values, "settings": Settings(**settings), "layout": layout})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"not the request of a run: {error}", "start the run afresh", str(path)) from error


def fit_table(
    data: str | os.PathLike[str],
    target: str,
    out: str | os.PathLike[str],
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    test: str | os.PathLike[str] | None = None,
    test_size: float = 0.2,
    settings: Settings | None = None,
    layout: Layout | None = None,
    stream: bool | None = None,
    budget: float | None = None,
    stop_on: Literal["warning", "error"] | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train on a table, or with recurrent layers on sequences, and leave a run directory.

    Parameters
    ----------
    data : the table; see `axonic.data.reading.read_table`.
    target : the column to predict.
    out : the run directory; an earlier run there is replaced once the new one starts to train.
    task : what the target asks for; "auto" infers it.
    test : a table of test rows; None holds out `test_size` of the rows.
    test_size : share of the rows for the test, from 0 (none) to below 1.
    settings : how to train.
    layout : how sequences lie in the file.
    stream : whether the table is read in parts (`axonic.data.store`); None does so if it would take more than half of
        the memory.
    budget : seconds after which training ends, and what is best so far is evaluated and saved; None is no limit.
    stop_on : end the training, as a budget does, when something of this severity is seen while it is under way.
    reporter : is told of everything as it happens.

    Returns
    -------
    The result, as `result.json` holds it; in all processes but the first only whether the run was "interrupted".

    Raises
    ------
    InputError : the table, an option or the folder can't work; nothing half-written is left.
    """
    if not 0 <= test_size < 1 - VALIDATION_FRACTION:
        raise InputError(
            f"test_size = {test_size!r} is impossible", f"give a number from 0 to below {1 - VALIDATION_FRACTION:g}"
        )
    test = None if test is None else os.path.abspath(test)
    settings, layout = settings or Settings(), layout or Layout()
    if not settings.recurrent and (layout != Layout() or Path(data).suffix.lower() == NPZ):
        what = "sequences" if layout == Layout() else "--sequence-id, --order-by, --window and --horizon"
        raise InputError(f"{what} need a recurrent network", "choose one with --net: rnn, lstm or gru", "--net")
    stream = _streams(data, settings, stream)
    request = Request(os.path.abspath(data), target, task, test, test_size, settings, layout, stream)
    with distributed.own_folder(Path(out), copied=False) as folder:
        return _run(request, RunDirectory(folder), budget, reporter, stop_on, resumes=False)


def _streams(data: str | os.PathLike[str], settings: Settings, stream: bool | None) -> bool:
    """Whether a table is read in parts."""
    if stream and settings.net != "feedforward":
        raise InputError(
            f"--stream is not for --net {settings.net}", "leave it out, or use --net feedforward", "--stream"
        )
    if stream is None and settings.net == "feedforward" and Path(data).suffix.lower() in STREAMED:
        return not fits(Blocks(data))
    return bool(stream)


def resume_run(
    run: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    budget: float | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Go on with a run that was killed, interrupted or ran out of its budget; it ends as if it had never stopped.

    Parameters
    ----------
    run : the run directory.
    data : where the table is now; None is where it was.
    budget, reporter : as for `fit_table`.

    Returns
    -------
    The result. A run that is finished already is left as it is, but for what a kill has left in its folder.

    Raises
    ------
    InputError : there is no run, its table is no longer the same, or a file is damaged.
    """
    if distributed.index() == 0:
        Request.from_json(RunDirectory(Path(run)).run(), Path(run) / RUN)
    with distributed.own_folder(Path(run), copied=True) as folder:
        directory = RunDirectory(folder)
        request = Request.from_json(directory.run(), folder / RUN)
        result = directory.result()
        if result is not None and not result.get("interrupted"):
            directory.clear_checkpoints()
            if not (directory.path / PAGE).exists():
                write_report(directory.path)
            return result
        if data is not None:
            request = request._replace(data=os.path.abspath(data))
        elif not os.path.exists(request.data):
            raise InputError("the table is no longer there", "say with --data where it is now", request.data)
        return _run(request, directory, budget, reporter, None, resumes=True)


def _run(
    request: Request,
    directory: RunDirectory,
    budget: float | None,
    reporter: Reporter | None,
    stop_on: Severity | None,
    *,
    resumes: bool,
) -> dict[str, Any]:
    """Begin or go on with what is asked for."""
    reporter, clock = reporter or _Silent(), Clock()
    begun = time.perf_counter()
    if budget is not None and not budget > 0:
        raise InputError(f"budget = {budget!r} is impossible", "give a positive number of seconds")
    watcher = _Watcher(reporter, math.inf if budget is None else time.monotonic() + budget, stop_on)
    prepared = _prepare(request, directory.path, clock, reporter)
    try:
        return _trained(request, prepared, directory, watcher, clock, begun, resumes=resumes)
    finally:
        if prepared.store is not None:
            prepared.store.close()


def _trained(
    request: Request,
    prepared: sequence_runs.Prepared,
    directory: RunDirectory,
    watcher: _Watcher,
    clock: Clock,
    begun: float,
    *,
    resumes: bool,
) -> dict[str, Any]:
    """Train on what has been prepared, diagnose, evaluate, and write it all down."""
    reporter = watcher.reporter
    settings, rows, split = prepared.settings, prepared.rows, prepared.split
    schema, found = prepared.schema, prepared.findings
    encoder, encoded_target = prepared.encoder, prepared.target
    store = prepared.store
    n_rows, width = prepared.frame.shape if store is None else (store.n_rows, prepared.frame.width)
    prepared = prepared._replace(frame=prepared.frame.head(0))
    loss, n_out = pair(settings, schema.task, encoded_target.n_out)
    stored = 0 if store is None else distributed.added(store.checksum)
    fingerprint = _fingerprint(rows, encoder, encoded_target, stored)
    if not resumes:
        directory.begin(request.to_json(fingerprint))
    elif directory.run().get("rows") != fingerprint:
        raise InputError(
            "the table is no longer the one the run began with",
            "give that one with --data, or start afresh",
            request.data,
        )
    weighted = rows
    if settings.class_weight == "balanced":
        weight = balanced(rows.y, rows.weight.astype(np.float64), encoded_target.n_out)
        weighted = rows._replace(weight=(weight / weight[split.train].mean()).astype(np.float32))
    try:
        journal = RunJournal(directory)
        distributed.at_end(journal.flush)
        network = settings.network(n_out)
        task = recipe.Task(weighted, split, settings, network, loss, prepared.resplits, store=store)
        fitted = recipe.fit(task, watcher=watcher, journal=journal)
        diagnosed = clock.time("diagnosis", _diagnosed, task, fitted, watcher)
        if watcher.cut_short:
            journal.flush()
        if distributed.index() > 0:
            return {"interrupted": watcher.cut_short}
        as_trained, seed = fitted, {"seed": settings.seed}
        model = Model(fitted.network, loss, fitted.members, encoder, encoded_target, prepared.info | seed)
        prepared, fitted, diagnosed = sequence_runs.settled(prepared, fitted, model, diagnosed)
        if fitted is not as_trained:
            reporter.stage(fitted.stages[-1])
            model = dataclasses.replace(model, members=fitted.members, info=prepared.info | seed)
        findings = with_cause_first(found, diagnosed)
        reporter.findings(diagnosed)
        metrics = clock.time("evaluating", _metrics, model, rows, fitted.splits, prepared.origin)
        picture = None
        if settings.recurrent:
            beaten, layers = prepared.baselines, ()
            if settings.monitor:
                layers = sequences.examine(task, as_trained).layers
                picture = through_time_svg(layers).encode()
            shown = (model, rows, fitted.splits[0], schema, prepared.origin, layers)
            kept = clock.time("evidence", sequence_evidence, *shown)
        else:
            beaten = clock.time("baselines", baselines, model, rows, split)
            kept = clock.time("evidence", evidence, model, rows, fitted.splits[0], prepared.numbers, schema)
        result = {
            "task": schema.task,
            "target": request.target,
            "n_rows": n_rows,
            "n_columns": width,
            "n_train": task.n_train,
            "n_valid": len(split.valid),
            "n_test": len(split.test),
            **({} if store is None else {"n_sampled": len(split.train)}),
            **({} if distributed.count() == 1 else {"processes": distributed.count()}),
            "net": settings.net,
            "hidden": _hidden(fitted.network, settings),
            "activation": settings.radial if settings.net == "rbf" else settings.activation,
            **_recurrent(settings, request.layout),
            "n_parameters": sum(math.prod(s.shape) for s in jax.tree.leaves(fitted.network.shapes(rows.x.shape[1]))),
            "optimizer": fitted.rule,
            "learning_rate": fitted.learning_rate,
            "l2": fitted.l2,
            "networks": len(fitted.members),
            "batch_size": fitted.batch_size,
            "epochs": fitted.n_epochs,
            "seconds": 0.0,
            "seconds_by_phase": {},
            "seed": settings.seed,
            **metrics,
            "baselines": beaten,
            "findings": [finding._asdict() for finding in findings],
            "stages": fitted.stages,
            "interrupted": watcher.cut_short,
            "run": str(directory.path),
        }
        seconds = {**clock.seconds, **fitted.seconds}
        result["seconds_by_phase"] = {name: round(spent, 3) for name, spent in seconds.items()}
        result["seconds"] = round(time.perf_counter() - begun, 3)
        histories = [fitted.history_columns(network) for network in range(len(fitted.members))]
        directory.keep_evidence(kept)
        directory.finish(histories, fitted.healths, model_file(model), result, picture)
        (write_report if resumes else _write_page)(directory.path)  # what was resumed may have been forged
        if not watcher.cut_short:
            directory.clear_checkpoints()
    except BaseException as error:
        distributed.judge(error)
        directory.discard()
        raise
    return plain(result)


def findings_of(run: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """What a finished run was found to have, the cause of what went wrong first.

    Raises
    ------
    InputError : there is no run, it is not finished, or its files are damaged.
    """
    directory = RunDirectory(Path(run))
    directory.run()
    result = directory.result()
    if result is None:
        raise InputError(
            "the run is not finished, so there is nothing to diagnose", "go on with axonic resume", str(run)
        )
    findings = result.get("findings")
    if not (
        isinstance(findings, list) and all(isinstance(f, dict) and set(f) == set(Finding._fields) for f in findings)
    ):
        raise InputError("not a whole result: it has no findings", "start the run afresh", str(Path(run) / RESULT))
    return findings


def _prepare(request: Request, out: Path, clock: Clock, reporter: Reporter) -> sequence_runs.Prepared:
    """Read, check, split and encode what is to be trained on."""
    settings = request.settings
    if request.stream:
        return _prepare_stored(request, out, clock, reporter)
    if settings.recurrent:
        prepared = clock.time(
            "reading",
            sequence_runs.prepare,
            request.data,
            request.target,
            request.task,
            request.test,
            request.test_size,
            request.layout,
            settings,
        )
        reporter.data(prepared.frame, prepared.schema, prepared.findings)
        reporter.stage({"stage": "sequences", "decision": prepared.summary, "reason": ""})
        return prepared
    frame = clock.time("reading", read_table, request.data)
    schema = infer_schema(frame, request.target, request.task)
    findings = clock.time("checking", check_table, frame, schema)
    reporter.data(frame, schema, findings)
    rows, split, encoder, target = clock.time(
        "encoding", _encode, frame, schema, request.test, request.test_size, settings
    )
    info = {"schema": schema.to_json()}
    numbers = usable_rows(frame, schema) + 1
    return sequence_runs.Prepared(
        settings, frame, schema, findings, "", rows, split, encoder, target, None, info, True, _with_test(numbers, rows)
    )


def _with_test(numbers: np.ndarray, rows: Rows) -> np.ndarray:
    """The numbers of rows in their file, and after them those of the rows of a test table."""
    return np.concatenate([numbers, np.arange(1, len(rows.x) - len(numbers) + 1)])


def _prepare_stored(request: Request, out: Path, clock: Clock, reporter: Reporter) -> sequence_runs.Prepared:
    """The same of a table that is read in parts: what is in memory is a sample of it."""
    settings = request.settings
    blocks = Blocks(request.data)
    drawn = clock.time("reading", draw, blocks, request.target, settings.seed, reporter.read)
    drawn, schema = drawn.judged(request.target, request.task)
    findings = clock.time("checking", check_table, drawn.frame, schema)
    reporter.stage({"stage": "sample", "decision": f"{len(drawn.frame)} of {drawn.n_read} rows", "reason": ""})
    reporter.data(drawn.frame, schema, findings)
    rows, split, encoder, target = clock.time(
        "encoding", _encode, drawn.frame, schema, request.test, request.test_size, settings, drawn
    )
    folder = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.is_dir())
    store = clock.time(
        *("storing", Store.write, blocks, drawn, rows, split, schema, encoder, target, folder, reporter.read),
        share=(distributed.index(), distributed.count()),
    )
    if settings.class_weight == "balanced" and drawn.labels is not None:
        counts = drawn.labels["count"].to_numpy()
        store = dataclasses.replace(store, factor=(counts.sum() / (len(counts) * counts)).astype(np.float32))
    numbers = _with_test(drawn.number + 1, rows)
    info = {"schema": schema.to_json()}
    reporter.stage(
        {
            "stage": "table",
            "decision": f"{store.n_train} rows are trained on, read from disk",
            "reason": f"rate and batch size are chosen on {len(split.train)} of them",
        }
    )
    return sequence_runs.Prepared(
        *(settings, drawn.frame, schema, findings, "", rows, split, encoder, target, None, info, False, numbers),
        store=store,
    )


def _recurrent(settings: Settings, layout: Layout) -> dict[str, Any]:
    """What a result says of a recurrent network."""
    if not settings.recurrent:
        return {}
    own = {"head": settings.head, "bidirectional": settings.bidirectional}
    return own | ({"window": layout.window, "horizon": layout.steps_ahead} if layout.forecasts else {})


def _diagnosed(task: recipe.Task, fitted: recipe.Fit, watcher: _Watcher) -> list[Finding]:
    """The findings of a fit. Runs for comparison that were cut short have proved nothing: if the end comes while they
    are made, what needs none of them is said, and going on with the run diagnoses it in full."""
    if not task.settings.monitor:
        return unwatched(fitted)
    was_cut_short = watcher.cut_short
    findings = diagnose(task, fitted, watcher)
    return diagnose(task, fitted, watcher) if watcher.cut_short and not was_cut_short else findings


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
    out : a folder for the result (compare.json) and its page (report.html); None writes nothing.
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
    rows, split, _, encoded_target = _encode(frame, schema, None, 0.0, settings)
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
        _write_page(folder)
    return result


def _hidden(network: Chain, settings: Settings) -> list[int]:
    """The units of each hidden layer."""
    if settings.net == "rbf":
        return [layer.n_centers for layer in network.layers if isinstance(layer, RBF)]
    return list(settings.hidden_layer_sizes)


REHEARSAL_ROWS = 2000
"""Rows that the network is tried on before training."""
ROWS_OF_A_CLASS = 5


def check_data(
    data: str | os.PathLike[str],
    target: str,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    network: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Check a table before training, see `axonic.checks`, and the network, see `axonic.diagnosis.rehearsal`.

    Parameters
    ----------
    data, target, task, reporter : as for `fit_table`.
    out : a folder for the result (check.json) and its page (report.html); None writes nothing.
    settings : the network to check, a feed-forward one.
    network : whether to look at the network, with up to `REHEARSAL_ROWS` rows, where the data hold no error and
        `axonic.checks.ENOUGH_ROWS` rows.

    Returns
    -------
    "n_rows", "schema", "findings", and of the network "first_batch" and "quick_run" (None if it was not
    looked at), ready for JSON.

    Raises
    ------
    InputError : as `fit_table`.
    """
    frame = read_table(data)
    schema = infer_schema(frame, target, task)
    findings = check_table(frame, schema)
    (reporter or _Silent()).data(frame, schema, findings)
    result = {"n_rows": len(frame), "schema": schema.to_json(), "first_batch": None, "quick_run": None}
    enough = len(usable_rows(frame, schema)) >= ENOUGH_ROWS
    if network and enough and all(finding.severity != "error" for finding in findings):
        tried = _rehearsed(frame, schema, settings or Settings())
        findings = with_cause_first(findings, tried.findings)
        result |= {"first_batch": tried.first_batch, "quick_run": tried.quick_run}
    result = plain({**result, "findings": [finding._asdict() for finding in findings]})
    if out is not None:
        write_json(Path(out) / CHECK, result)
        _write_page(Path(out))
    return result


def _rehearsed(frame: pl.DataFrame, schema: Schema, settings: Settings) -> Rehearsal:
    """The rehearsal on some of the rows, a few of every class among them."""
    usable = usable_rows(frame, schema)
    if len(usable) > REHEARSAL_ROWS:
        order = generator(settings.seed, "rehearsal").permutation(usable)
        kept = order[:REHEARSAL_ROWS]
        if schema.task == "classification":
            labels = target_values(frame, schema)[order].to_physical()
            few = pl.DataFrame({"row": order, "label": labels}).group_by("label").head(ROWS_OF_A_CLASS)
            kept = np.union1d(kept, few["row"].to_numpy())
        usable = np.sort(kept)
    rows, split, _, target = _encode(frame[usable], schema, None, 0.0, settings)
    loss, n_out = pair(settings, schema.task, target.n_out)
    return rehearse(recipe.Task(rows, split, settings, settings.network(n_out), loss))


def write_report(run: str | os.PathLike[str]) -> Path:
    """Write report.html from what the folder of a fit, compare or check holds; returns its path.

    Raises
    ------
    InputError : there is no result in the folder, or it is damaged.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise InputError("no such folder", "name the folder of a finished fit, compare or check", str(run))
    try:
        return _write_page(folder)
    except InputError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"a file of the run does not hold what axonic writes: {type(error).__name__}: {error}"
        raise InputError(what, "start the run afresh", str(folder)) from error


def _write_page(folder: Path) -> Path:
    """The page of a folder whose files are as they were written."""
    write(folder / PAGE, rebuilt(folder).encode("utf-8", "replace"))
    return folder / PAGE


def _fingerprint(rows: Rows, encoder: TableEncoder, target: TargetEncoder, stored: int) -> int:
    """A number that changes with the rows that are trained on (`stored` stands for those on disk), and with what a
    model says of them."""
    number = zlib.crc32(json.dumps(plain([encoder.to_json(), target.to_json(), stored])).encode())
    for array in (rows.x, rows.y):
        for part in (array.values, array.offsets) if isinstance(array, Ragged) else (array,):
            number = zlib.crc32(np.ascontiguousarray(part).data, number)
    return number


def _metrics(
    model: Model, rows: Rows, splits: Sequence[Split], origin: np.ndarray | None
) -> dict[str, dict[str, float]]:
    """Scores on the three parts. Test: of the model. Training and validation: the mean of its networks, each on its own
    rows, since the rows that one has not seen another has."""

    def scores(model: Model, part: np.ndarray) -> dict[str, float]:
        return model.metrics(rows.x[part], rows.y[part], rows.weight[part], None if origin is None else origin[part])

    def mean(part: str) -> dict[str, float]:
        each = [scores(model.alone(i), getattr(split, part)) for i, split in enumerate(splits)]
        return {name: float(np.mean([one[name] for one in each])) for name in each[0]}

    return {"train": mean("train"), "valid": mean("valid"), "test": scores(model, splits[0].test)}


def _encode(
    frame: pl.DataFrame,
    schema: Schema,
    test: str | os.PathLike[str] | None,
    test_size: float,
    settings: Settings,
    drawn: Drawn | None = None,
) -> tuple[Rows, Split, TableEncoder, TargetEncoder]:
    """Split the rows that have a target, fit the encoders on the training rows and encode all rows; `drawn` if they are
    a sample."""
    usable = usable_rows(frame, schema)
    y = target_values(frame, schema)[usable]
    classes = y.to_physical().rank("dense").to_numpy() if schema.task == "classification" else None
    valid, held = VALIDATION_FRACTION if settings.holds_out else 0.0, 0.0 if test is not None else test_size
    if drawn is None or drawn.whole:
        split = split_rows(len(usable), settings.seed, valid=valid, test=held, classes=classes)
    else:
        split = drawn.split(valid, held)
    if drawn is None or drawn.labels is None or schema.task == "regression":
        target = fit_target(settings, y, schema.task, split.train)
    else:
        every = drawn.labels.select(pl.col("label").alias(schema.target))
        target = fit_target(settings, target_values(every, schema), schema.task)
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
        Of sequences in a long table also the column that names them; of a series the steps ahead.
    unseen : for each column, the number of values that were not among its categories in training.

    Raises
    ------
    InputError : a file can't be read, a column is missing or holds what it did not hold in training.
    """
    model = load_model(run)
    if proba and model.task != "classification":
        raise InputError("--proba is for classes and this model predicts numbers", "leave it out", str(run))
    if steps is not None and "series" not in model.info:
        raise InputError("--steps is for a model that forecasts a series", "leave it out", str(run))
    if "series" in model.info:
        if std:
            raise InputError("--std is not for forecasts of a series", "leave it out", str(run))
        return sequence_runs.forecast(model, data, steps), {}
    if model.recurrent:
        asked = sequence_runs.asked(model, data)
        table = _predicted(model, asked.x, proba, std)
        if model.by_step:
            return table[np.argsort(asked.rows)], asked.unseen
        return (table if asked.ids is None else asked.ids.hstack(table)), asked.unseen
    tables: list[pl.DataFrame] = []
    unseen: dict[str, int] = {}
    for part in _parts(data):
        x, new = model.encoder.encode(part)
        tables.append(_predicted(model, x, proba, std))
        _add_up(unseen, new)
    return pl.concat(tables), unseen


def _parts(data: str | os.PathLike[str]) -> Iterator[pl.DataFrame]:
    """A table in one piece, or in several if it would take more than half of the memory."""
    if Path(data).suffix.lower() in STREAMED and not fits(blocks := Blocks(data)):
        blocks.settle()
        yield from blocks
    else:
        yield read_table(data)


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


def evaluate_table(run: str | os.PathLike[str], data: str | os.PathLike[str]) -> dict[str, Any]:
    """Score a model on a table with known targets; see `axonic.model.Model.metrics`, for classes with the "reliability"
    curve of `axonic.calibration`.

    Raises
    ------
    InputError : as `predict_table`, or the target is missing or holds an unknown class.
    """
    model = load_model(run)
    if "schema" not in model.info:
        raise InputError("the model was not trained on a table", "evaluate it in Python with score()", str(run))
    schema = Schema.from_json(model.info["schema"])
    if model.recurrent:
        x, y, origin = sequence_runs.evaluated(model, data)
        scores = model.metrics(x, y, origin=origin)
        return plain({"task": model.task, "target": schema.target, "n": len(x), **scores, "unseen": {}})
    outputs, targets, unseen = [], [], {}
    for part in _parts(data):
        if outputs and not len(usable_rows(part, schema)):
            continue
        x, codes, new = _encoded_table(part, schema, model.encoder, model.target, data)
        outputs.append(model.outputs(x))
        targets.append(codes)
        _add_up(unseen, new)
    a, y = np.concatenate(outputs), np.concatenate(targets)
    scores: dict[str, Any] = model.scores(a, y)
    if model.task == "classification":
        scores["reliability"] = [each._asdict() for each in reliability(model.probabilities_of(a), y)]
    return plain({"task": model.task, "target": schema.target, "n": len(a), **scores, "unseen": unseen})


def export_run(run: str | os.PathLike[str], path: str | os.PathLike[str]) -> int:
    """Write the model of a run as an ONNX file; see `axonic.export`.

    Returns
    -------
    The number of rows (or sequences) of its table that the file was checked with; 0 if the table is not at hand.

    Raises
    ------
    InputError : as `axonic.storage.load_model` and `axonic.export.export_onnx`.
    """
    from axonic.export import CHECKED_ROWS, export_onnx

    model = load_model(run)
    rows = None
    if Path(run).is_dir() and (Path(run) / RUN).exists():
        try:
            data = Request.from_json(RunDirectory(Path(run)).run(), Path(run) / RUN).data
            rows = sequence_runs.raw(model, data, CHECKED_ROWS) if model.recurrent else read_table(data)[:CHECKED_ROWS]
            model.encode(rows)
        except (InputError, OSError):
            rows = None
    export_onnx(model, path, rows)
    return 0 if rows is None else len(rows)


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
