"""A table or sequences, and the network that they are to train, checked before training."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from axonic.checks import ENOUGH_ROWS, check_table
from axonic.correction import UNTOLD
from axonic.data.reading import read_table
from axonic.data.schema import Schema, infer_schema, target_values, usable_rows
from axonic.data.sequences.layout import Layout
from axonic.diagnosis import with_cause_first
from axonic.diagnosis.rehearsal import Rehearsal, rehearse
from axonic.recipe import Clock, Task
from axonic.report.pages import CHECK
from axonic.runs.page import refuse_others, write_page
from axonic.runs.prepare import check_layout, prepare
from axonic.runs.prepared import VALIDATION_FRACTION, Prepared
from axonic.runs.request import Reporter, Request, Silent
from axonic.runs.tables import encode, sample, streams
from axonic.seeds import generator
from axonic.settings import Settings, pair
from axonic.storage import plain, write_json
from axonic.types import Finding

REHEARSAL_ROWS, REHEARSAL_SEQUENCES = 2000, 200
"""Rows, or sequences, that the network is tried on before training."""
ROWS_OF_A_CLASS = 5


def check_data(
    data: str | os.PathLike[str],
    target: str,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    out: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    layout: Layout | None = None,
    network: bool = True,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Check a table or sequences before training (`axonic.checks`), and the network (`axonic.diagnosis.rehearsal`). Of
    a table that would take more than half of the memory a sample is checked.

    Parameters
    ----------
    data, target, task, layout, reporter : as for `fit_table`.
    out : a folder for the result (check.json) and its page (report.html); None writes nothing.
    settings : the network to check, a feed-forward or recurrent one.
    network : whether to look at the network, with up to `REHEARSAL_ROWS` rows or `REHEARSAL_SEQUENCES`, where the data
        hold no error and `axonic.checks.ENOUGH_ROWS` rows.

    Returns
    -------
    "n_rows", "schema", "findings", and of the network "first_batch" and "quick_run" (None if it was not
    looked at), ready for JSON.

    Raises
    ------
    InputError : as `fit_table`.
    """
    settings, reporter = settings or Settings(), reporter or Silent()
    request = Request(os.path.abspath(data), target, task, None, 0.0, settings, layout or Layout())
    check_layout(request)
    if out is not None:
        refuse_others(Path(out), CHECK)
    looked = (_sequences if settings.recurrent else _table)(request, network, reporter)
    result = plain({**looked, "findings": [finding._asdict() for finding in looked["findings"]]})
    if out is not None:
        write_json(Path(out) / CHECK, result)
        write_page(Path(out))
    return result


def _table(request: Request, network: bool, reporter: Reporter) -> dict[str, Any]:
    if streams(request.data, request.settings, None):
        _, drawn, schema, findings = sample(request, Clock(), reporter)
        frame, n_rows = drawn.frame, drawn.n_read
    else:
        frame = read_table(request.data)
        schema = infer_schema(frame, request.target, request.task)
        findings, n_rows = check_table(frame, schema), len(frame)
        reporter.data(frame, schema, findings)
    enough = network and len(usable_rows(frame, schema)) >= ENOUGH_ROWS
    rehearsal = (lambda: rehearse(_some_rows(frame, schema, request))) if enough else None
    return _result(n_rows, schema, findings, rehearsal)


def _sequences(request: Request, network: bool, reporter: Reporter) -> dict[str, Any]:
    prepared = prepare(request, None, Clock(), reporter)
    enough = network and len(prepared.rows.x) >= ENOUGH_ROWS
    corrects = prepared.series is not None and bool(prepared.series.coding.linear)

    def rehearsal() -> Rehearsal:
        tried = rehearse(_some_sequences(prepared))
        found = [f for f in tried.findings if not (corrects and f.code in UNTOLD)]
        return tried._replace(findings=found)

    return _result(len(prepared.frame), prepared.schema, prepared.findings, rehearsal if enough else None)


def _result(
    n_rows: int, schema: Schema, findings: list[Finding], rehearsal: Callable[[], Rehearsal] | None
) -> dict[str, Any]:
    result = {"n_rows": n_rows, "schema": schema.to_json(), "first_batch": None, "quick_run": None}
    if rehearsal is not None and all(finding.severity != "error" for finding in findings):
        tried = rehearsal()
        findings = with_cause_first(findings, tried.findings)
        result |= {"first_batch": tried.first_batch, "quick_run": tried.quick_run}
    return {**result, "findings": findings}


def _some_rows(frame: pl.DataFrame, schema: Schema, request: Request) -> Task:
    """To train on some of the rows, a few of every class among them."""
    settings, usable = request.settings, usable_rows(frame, schema)
    if len(usable) > REHEARSAL_ROWS:
        order = generator(settings.seed, "rehearsal").permutation(usable)
        kept = order[:REHEARSAL_ROWS]
        if schema.task == "classification":
            labels = target_values(frame, schema)[order].to_physical()
            few = pl.DataFrame({"row": order, "label": labels}).group_by("label").head(ROWS_OF_A_CLASS)
            kept = np.union1d(kept, few["row"].to_numpy())
        usable = np.sort(kept)
    encoded = encode(frame[usable], schema, request._replace(test=None, test_size=0.0))
    loss, n_out = pair(settings, schema.task, encoded.target.n_out)
    return Task(encoded.rows, encoded.split, settings, settings.network(n_out), loss)


def _some_sequences(prepared: Prepared) -> Task:
    """To train on some of the sequences."""
    settings, split = prepared.settings, prepared.split
    loss, n_out = pair(settings, prepared.schema.task, prepared.target.n_out)
    n = int(REHEARSAL_SEQUENCES * (1 - VALIDATION_FRACTION))
    split = split._replace(train=split.train[:n], valid=split.valid[: REHEARSAL_SEQUENCES - n])
    return Task(prepared.rows, split, settings, settings.network(n_out), loss)
