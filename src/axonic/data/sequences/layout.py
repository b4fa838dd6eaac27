"""How sequences lie in a file, and what is read of one."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from axonic import records
from axonic.data.ragged import Ragged
from axonic.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How sequences lie in a file.

    Attributes
    ----------
    sequence_id, order_by : columns of a long table; of one series `order_by` may be missing.
    window, horizon : of one series.
    order_format : how `order_by` spells a date in text, as training found it; None if it does not, or is not known.
    """

    sequence_id: str | None = None
    order_by: str | None = None
    window: int | None = None
    horizon: int | None = None
    order_format: str | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for options that do not go together."""
        if self.window is None and self.horizon is not None:
            raise InputError("--horizon needs --window", "say how many steps a forecast may look at", "--horizon")
        if self.window is not None and self.sequence_id is not None:
            raise InputError("--window is for one series, not for several", "leave out --sequence-id", "--window")
        if self.sequence_id is not None and self.order_by is None:
            raise InputError("--sequence-id needs --order-by", "name the column that orders the steps", "--order-by")
        if self.sequence_id is not None and self.sequence_id == self.order_by:
            raise InputError("--sequence-id and --order-by name the same column", "name two columns", "--order-by")
        for name in ("window", "horizon"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} {value} is impossible", "give a whole number of at least 1", f"--{name}")

    @property
    def text(self) -> list[str]:
        """Columns to read as text: a name is what the file spells, 7 is not 07; and 01.2005 may be a month."""
        return [name for name in (self.sequence_id, self.order_by) if name is not None]

    @property
    def forecasts(self) -> bool:
        """Whether the file is one series to forecast."""
        return self.window is not None

    @property
    def steps_ahead(self) -> int:
        """Steps of a forecast."""
        return self.horizon or 1

    def to_json(self) -> dict[str, Any]:
        """A plain dict; what is not given is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Layout":
        """The layout that `to_json` wrote."""
        return records.from_json(cls, data)


class Data(NamedTuple):
    """What a file of sequences holds.

    Attributes
    ----------
    steps : the columns of every step, a frame.
    offsets : where the sequences begin, as in `Ragged`.
    ids : (n,) names of the sequences; None if they have none.
    target : one for each sequence, (n,) or (n, horizon), or for each step; None if the file holds none.
    by_step : whether the target is one for each step.
    rows : (steps,) row of the file of each step.
    moved : sequences whose steps were not in their order in the file.
    order_format : of `Layout`.
    """

    steps: pl.DataFrame
    offsets: np.ndarray
    ids: pl.Series | None
    target: Any
    by_step: bool
    rows: np.ndarray
    moved: int
    order_format: str | None = None

    @property
    def sequences(self) -> Ragged:
        """The steps as sequences."""
        return Ragged(self.steps, self.offsets)
