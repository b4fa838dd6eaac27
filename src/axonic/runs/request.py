"""What a run is asked for, as `run.json` holds it, and who is told of it."""

import dataclasses
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl

from axonic.data.schema import Schema
from axonic.data.sequences.layout import Layout
from axonic.errors import InputError
from axonic.settings import Settings
from axonic.storage import parameter_from_json, parameter_to_json
from axonic.training import StopRule
from axonic.types import Finding


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


class Silent(Reporter):
    """Shows nothing."""


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
