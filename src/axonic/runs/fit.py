"""From data on disk to a run directory, and on with one that was cut short."""

import dataclasses
import json
import math
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from axonic import distributed, recipe
from axonic.baselines import LinearModels, baselines, mean_scores
from axonic.data.batches import Rows, Split, class_factors
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged
from axonic.data.sequences.layout import Layout
from axonic.data.targets import TargetEncoder
from axonic.diagnosis import diagnose, unwatched, with_cause_first
from axonic.diagnosis.live import alarms
from axonic.diagnosis.sequences import examine
from axonic.errors import InputError
from axonic.layers import RBF, Chain
from axonic.model import Model
from axonic.recipe import Clock
from axonic.report.evidence import evidence, sequence_evidence
from axonic.report.pages import PAGE
from axonic.report.through_time import through_time_svg
from axonic.run_directory import RESULT, RUN, RunDirectory, RunJournal
from axonic.runs import sequences
from axonic.runs.page import write_page, write_report
from axonic.runs.prepare import prepare
from axonic.runs.prepared import VALIDATION_FRACTION, Prepared
from axonic.runs.request import Reporter, Request, Silent
from axonic.runs.tables import streams
from axonic.settings import Settings, pair
from axonic.storage import model_file, plain
from axonic.training import StopRule
from axonic.types import Finding, Severity

TEST_SIZE = 0.2


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


def fit_table(
    data: str | os.PathLike[str],
    target: str,
    out: str | os.PathLike[str],
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    test: str | os.PathLike[str] | None = None,
    test_size: float = TEST_SIZE,
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
    test : a table of test rows; None holds out `test_size` of the rows (with a table leave that as it is).
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
    settings, layout = settings or Settings(), layout or Layout()
    _refuse_unused(settings, layout, test, test_size, stop_on)
    test = None if test is None else os.path.abspath(test)
    stream = streams(data, settings, stream)
    request = Request(os.path.abspath(data), target, task, test, test_size, settings, layout, stream)
    with distributed.own_folder(Path(out), copied=False) as folder:
        return _run(request, RunDirectory(folder), budget, reporter, stop_on, resumes=False)


def _refuse_unused(settings: Settings, layout: Layout, test: Any, test_size: float, stop_on: Severity | None) -> None:
    """Raise `InputError` for what another option leaves without effect."""
    if test is not None and test_size != TEST_SIZE:
        raise InputError(
            f"test_size = {test_size!r} is for a share of the rows", "leave it out, or --test", "--test-size"
        )
    if stop_on is not None and not settings.monitor:
        raise InputError(f"--stop-on {stop_on} looks at what --no-monitor leaves out", "leave one out", "--stop-on")
    if not settings.autoregression and not layout.forecasts:
        raise InputError("--no-autoregression is for a series", "leave it out, or give --window", "--no-autoregression")
    settings.check_batches()


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
    reporter, clock = reporter or Silent(), Clock()
    begun = time.perf_counter()
    if budget is not None and not budget > 0:
        raise InputError(f"budget = {budget!r} is impossible", "give a positive number of seconds")
    watcher = _Watcher(reporter, math.inf if budget is None else time.monotonic() + budget, stop_on)
    prepared = prepare(request, directory.path, clock, reporter)
    try:
        return _trained(request, prepared, directory, watcher, clock, begun, resumes=resumes)
    finally:
        if prepared.store is not None:
            prepared.store.close()


def _trained(
    request: Request,
    prepared: Prepared,
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
    weighted = rows
    if settings.class_weight == "balanced":
        factor = class_factors(np.bincount(rows.y[split.train], minlength=encoded_target.n_out))
        weighted = rows._replace(weight=(rows.weight * factor[rows.y]).astype(np.float32))
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
    try:
        journal = RunJournal(directory)
        distributed.at_end(journal.flush)
        network = settings.network(n_out)
        task = recipe.Task(weighted, split, settings, network, loss, prepared.resplits, store=store)
        fitted = recipe.fit(task, watcher=watcher, journal=journal)
        linear = LinearModels(weighted, loss, encoded_target.n_out)
        windows = prepared.series is not None
        diagnosed = clock.time("diagnosis", _diagnosed, task, fitted, watcher, encoded_target, linear, windows)
        if watcher.cut_short:
            journal.flush()
        if distributed.index() > 0:
            return {"interrupted": watcher.cut_short}
        as_trained, seed = fitted, {"seed": settings.seed}
        model = Model(fitted.network, loss, fitted.members, encoder, encoded_target, prepared.info | seed)
        prepared, fitted, diagnosed = sequences.settled(prepared, fitted, model, diagnosed, cut=watcher.cut_short)
        rows = prepared.rows
        if fitted is not as_trained:
            reporter.stage(fitted.stages[-1])
            model = dataclasses.replace(model, members=fitted.members, info=prepared.info | seed)
        findings = with_cause_first(found, diagnosed, weighted=settings.class_weight is not None)
        reporter.findings(diagnosed)
        metrics = clock.time("evaluating", _metrics, model, rows, fitted.splits, prepared.origin)
        picture = None
        beaten = (
            prepared.baselines if windows else clock.time("baselines", baselines, model, rows, fitted.splits, linear)
        )
        if settings.recurrent:
            layers = ()
            if settings.monitor:
                layers = examine(task, as_trained).layers
                picture = through_time_svg(layers).encode()
            shown = (model, rows, fitted.splits[0], schema, prepared.origin, layers)
            kept = clock.time("evidence", sequence_evidence, *shown)
        else:
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
            "batch_size": task.n_train if _takes_all(fitted) else fitted.batch_size,
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
        (write_report if resumes else write_page)(directory.path)  # what was resumed may have been forged
        if not watcher.cut_short:
            directory.clear_checkpoints()
    except BaseException as error:
        distributed.judge(error)
        directory.discard()
        raise
    return plain(result)


def _takes_all(fitted: recipe.Fit) -> bool:
    """Whether all training rows are taken at once: by the rule at every step, or in closed form."""
    return fitted.optimizer is None or fitted.optimizer.full_batch


def _recurrent(settings: Settings, layout: Layout) -> dict[str, Any]:
    """What a result says of a recurrent network."""
    if not settings.recurrent:
        return {}
    own = {"head": settings.head, "bidirectional": settings.both_ways}
    return own | ({"window": layout.window, "horizon": layout.steps_ahead} if layout.forecasts else {})


def _hidden(network: Chain, settings: Settings) -> list[int]:
    """The units of each hidden layer."""
    if settings.net == "rbf":
        return [layer.n_centers for layer in network.layers if isinstance(layer, RBF)]
    return list(settings.hidden_layer_sizes)


def _diagnosed(
    task: recipe.Task,
    fitted: recipe.Fit,
    watcher: _Watcher,
    target: TargetEncoder,
    linear: LinearModels,
    windows: bool,
) -> list[Finding]:
    """The findings of a fit. Runs for comparison that were cut short have proved nothing: if the end comes while they
    are made, what needs none of them is said, and going on with the run diagnoses it in full."""
    if not task.settings.monitor:
        return unwatched(fitted)
    was_cut_short = watcher.cut_short
    findings = diagnose(task, fitted, watcher, target, linear, windows=windows)
    if not watcher.cut_short or was_cut_short:
        return findings
    return diagnose(task, fitted, watcher, target, linear, windows=windows)


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
        return mean_scores([scores(model.alone(i), getattr(split, part)) for i, split in enumerate(splits)])

    return {"train": mean("train"), "valid": mean("valid"), "test": scores(model, splits[0].test)}


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
