"""What is ready to be trained on, whether a table, sequences or a series."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from axonic.correction import Series
from axonic.data.batches import Rows, Split
from axonic.data.encoding import TableEncoder
from axonic.data.schema import Schema
from axonic.data.store import Store
from axonic.data.targets import TargetEncoder
from axonic.settings import Settings
from axonic.types import Finding

VALIDATION_FRACTION = 0.15


class Prepared(NamedTuple):
    """Data that a network can be trained on.

    Attributes
    ----------
    settings : how to train, the head that the data ask for among it.
    frame, schema, findings : what was read, what it holds, and what is to be said of it.
    summary : one line on the sequences.
    rows, split, encoder, target : as for tables.
    origin : (n, horizon) what the network's numbers are added to, of a series; otherwise None.
    info : what the model should know.
    numbers : of a table, the number of each row in its file.
    baselines : of a series, the scores of simple forecasts.
    series : of a series, what decides whether the network is kept; otherwise None.
    store : all rows to train on, of a table that is read in parts; then the others are a sample of it.
    resplits : whether further networks may hold out other rows for validation.
    """

    settings: Settings
    frame: pl.DataFrame
    schema: Schema
    findings: list[Finding]
    summary: str
    rows: Rows
    split: Split
    encoder: TableEncoder
    target: TargetEncoder
    origin: np.ndarray | None
    info: dict[str, Any]
    resplits: bool
    numbers: np.ndarray = np.empty(0, np.int64)
    baselines: dict[str, dict[str, Any]] = {}  # noqa: RUF012  read only
    series: Series | None = None
    store: Store | None = None
