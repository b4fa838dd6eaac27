"""Tables on disk for `axonic.runs`: from a file to rows that can be trained on or scored, whole or in parts."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from axonic import distributed
from axonic.checks import check_table
from axonic.data.batches import Rows, Split, class_factors, split_rows
from axonic.data.encoding import TableEncoder
from axonic.data.reading import Blocks, Mark, Spelling, decimal_mark, read_table
from axonic.data.schema import Schema, infer_schema, target_values, usable_rows
from axonic.data.store import Drawn, Store, draw, fits
from axonic.data.targets import TargetEncoder
from axonic.data.values import in_file
from axonic.errors import InputError
from axonic.model import Model
from axonic.recipe import Clock
from axonic.runs.prepared import VALIDATION_FRACTION, Prepared
from axonic.runs.request import Reporter, Request
from axonic.settings import Settings, fit_target
from axonic.types import Finding

STREAMED = (".parquet", ".csv", ".tsv")
"""Files that can be read in parts."""


def streams(data: str | os.PathLike[str], settings: Settings, stream: bool | None) -> bool:
    """Whether a table is read in parts."""
    if stream and settings.net != "feedforward":
        raise InputError(
            f"--stream is not for --net {settings.net}", "leave it out, or use --net feedforward", "--stream"
        )
    if stream is None and settings.net == "feedforward" and Path(data).suffix.lower() in STREAMED:
        return not fits(Blocks(data))
    return bool(stream)


def prepare(request: Request, clock: Clock, reporter: Reporter) -> Prepared:
    """Read, check, split and encode a table."""
    frame = clock.time("reading", read_table, request.data)
    with in_file(request.data):
        schema = infer_schema(frame, request.target, request.task)
    findings = clock.time("checking", check_table, frame, schema)
    reporter.data(frame, schema, findings)
    encoded = clock.time("encoding", encode, frame, schema, request)
    return _prepared(request, frame, schema, findings, encoded, resplits=True)


def _prepared(
    request: Request,
    frame: pl.DataFrame,
    schema: Schema,
    findings: list[Finding],
    encoded: "Encoded",
    *,
    resplits: bool,
) -> Prepared:
    rows, split, encoder, target, numbers = encoded
    info = {"schema": schema.to_json(), "decimal_mark": decimal_mark(request.data)}
    return Prepared(
        settings=request.settings,
        frame=frame,
        schema=schema,
        findings=findings,
        summary="",
        rows=rows,
        split=split,
        encoder=encoder,
        target=target,
        origin=None,
        info=info,
        resplits=resplits,
        numbers=numbers,
    )


def sample(request: Request, clock: Clock, reporter: Reporter) -> tuple[Blocks, Drawn, Schema, list[Finding]]:
    """A table that is read in parts, rows of it that fit in memory, what they hold and what is to be said of them."""
    blocks = Blocks(request.data)
    with in_file(request.data):
        drawn = clock.time("reading", draw, blocks, request.target, request.settings.seed, reporter.read)
        drawn, schema = drawn.judged(request.target, request.task)
    findings = clock.time("checking", check_table, drawn.frame, schema, drawn.number)
    reporter.stage({"stage": "sample", "decision": f"{len(drawn.frame)} of {drawn.n_read} rows", "reason": ""})
    reporter.data(drawn.frame, schema, findings)
    return blocks, drawn, schema, findings


def prepare_parts(request: Request, out: Path | None, clock: Clock, reporter: Reporter) -> Prepared:
    """The same of a table that is read in parts: what is in memory is a sample of it. All its rows are written to disk,
    encoded, beside `out`; with None the sample is all there is to train on."""
    settings = request.settings
    blocks, drawn, schema, findings = sample(request, clock, reporter)
    encoded = clock.time("encoding", encode, drawn.frame, schema, request, drawn)
    prepared = _prepared(request, drawn.frame, schema, findings, encoded, resplits=False)
    if out is None:
        return prepared
    rows, split, encoder, target, _ = encoded
    folder = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.is_dir())
    store = clock.time(
        *("storing", Store.write, blocks, drawn, rows, split, schema, encoder, target, folder, reporter.read),
        share=(distributed.index(), distributed.count()),
    )
    if settings.class_weight == "balanced" and drawn.labels is not None and schema.task == "classification":
        held = np.concatenate([split.valid, split.test])
        held = rows.y[held[held < len(drawn.frame)]]
        counts = drawn.labels["count"].to_numpy() - np.bincount(held, minlength=len(drawn.labels))
        store = dataclasses.replace(store, factor=class_factors(counts).astype(np.float32))
    reporter.stage(
        {
            "stage": "table",
            "decision": f"{store.n_train} rows are trained on, read from disk",
            "reason": f"rate and batch size are chosen on {len(split.train)} of them",
        }
    )
    return prepared._replace(store=store)


class Encoded(NamedTuple):
    """The rows of a table that have a target.

    Attributes
    ----------
    rows, split : what the network is given, those of a test file at the end.
    encoder, target : what encoded them, fitted on the training rows.
    numbers : the number of each row in its file, counted from 1.
    """

    rows: Rows
    split: Split
    encoder: TableEncoder
    target: TargetEncoder
    numbers: np.ndarray


class Others(NamedTuple):
    """The rows of another table that have a target: inputs, targets, unseen values by column, and the places of the
    rows in the file, counted from 0."""

    x: np.ndarray
    y: np.ndarray
    unseen: dict[str, int]
    places: np.ndarray


def encode(frame: pl.DataFrame, schema: Schema, request: Request, drawn: Drawn | None = None) -> Encoded:
    """Split the rows that have a target, fit the encoders on the training rows and encode all rows; `drawn` if they are
    a sample."""
    settings, test = request.settings, request.test
    usable = usable_rows(frame, schema)
    y = target_values(frame, schema)[usable]
    classes = y.to_physical().rank("dense").to_numpy() if schema.task == "classification" else None
    valid, held = VALIDATION_FRACTION if settings.holds_out else 0.0, 0.0 if test is not None else request.test_size
    if drawn is None or drawn.whole:
        split = split_rows(len(usable), settings.seed, valid=valid, test=held, classes=classes)
    else:
        split = drawn.split(valid, held)
    places = usable if drawn is None else drawn.number
    with in_file(request.data, places):
        if drawn is None or drawn.labels is None or schema.task == "regression":
            target = fit_target(settings, y, schema.task, split.train)
        else:
            every = drawn.labels.select(pl.col("label").alias(schema.target))
            target = fit_target(settings, target_values(every, schema), schema.task)
        codes = target.transform(y)
    with in_file(request.data, None if drawn is None else drawn.number):
        encoder = TableEncoder.fit(frame, schema, rows=usable[split.train], target=codes[split.train])
        x = encoder.transform(frame, usable)
    numbers = 1 + places
    if test is not None:
        known = spelling_of_others(decimal_mark(request.data), encoder, target, schema.target)
        others = encode_others(read_table(test, known), schema, encoder, target, test)
        if others is None:
            raise no_targets(schema, test)
        split = split._replace(test=np.arange(len(x), len(x) + len(others.x)))
        x, codes = np.concatenate([x, others.x]), np.concatenate([codes, others.y])
        numbers = np.concatenate([numbers, 1 + others.places])
    return Encoded(Rows(x, codes, np.ones(len(x), np.float32)), split, encoder, target, numbers)


def encode_others(
    frame: pl.DataFrame, schema: Schema, encoder: TableEncoder, target: TargetEncoder, path: Any, first: int = 0
) -> Others | None:
    """The rows of another table than the one trained on, or None if none has a target; `first` rows of the file come
    before it."""
    with in_file(path, range(first, first + len(frame))):
        values = target_values(frame, schema)
        usable = usable_rows(frame, schema)
        if len(usable) == 0:
            return None
        x, unseen = encoder.encode(frame, usable)
    with in_file(path, first + usable):
        return Others(x, target.transform(values[usable]), unseen, first + usable)


def no_targets(schema: Schema, path: Any) -> InputError:
    """The error for a table none of whose rows has a target."""
    return InputError(f"no row has a {schema.target!r}", "give rows with known targets", str(path))


def spelling_of_others(mark: Mark | None, encoder: TableEncoder, target: TargetEncoder, name: str) -> Spelling:
    """What is known of other files than the one trained on, whose decimal point is `mark`; `name` is the target's."""
    text = [column.name for column in encoder.columns if column.kind == "category"]
    return Spelling(mark, [*text, name] if target.labels and target.label_type == "str" else text)


def spelling_of(model: Model) -> Spelling:
    """The same of a model's files."""
    name = model.info["schema"]["target"] if "schema" in model.info else ""
    return spelling_of_others(model.info.get("decimal_mark"), model.encoder, model.target, name)


def parts(data: str | os.PathLike[str], spelling: Spelling) -> Iterator[tuple[int, pl.DataFrame]]:
    """A table in one piece, or in several if it would take more than half of the memory, each with the number of its
    first row; `spelling` as for `axonic.data.reading.read_table`."""
    if Path(data).suffix.lower() in STREAMED and not fits(blocks := Blocks(data, spelling)):
        blocks.settle()
        yield from blocks.between(0)
    else:
        yield 0, read_table(data, spelling)
