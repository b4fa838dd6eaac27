"""Windows of a series.

Windows of `window` steps are cut from it, and what is predicted are the next `horizon` values. It is split by time: the
first windows train, then come those that validate, then those that test, and no window is in two parts; the encoders
see nothing later than the last step that is trained on.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from axonic import records
from axonic.data.autoregression import fit_linear, linear_forecast, steps_ahead, steps_before, unit_of
from axonic.data.ragged import Ragged
from axonic.errors import InputError

DRIFTS = 0.5
"""A series is said to drift if a straight line in time explains this share of its variance."""


class Windows(NamedTuple):
    """Windows of a series with what follows them.

    Attributes
    ----------
    ends : (n,) the last step of each window.
    train, valid, test : numbers of the windows of each part.
    seen : steps that training may know of.
    """

    ends: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    seen: int


def cut_windows(n_steps: int, window: int, horizon: int, valid: float, test: float) -> Windows:
    """Windows of a series of `n_steps`, split by time.

    The last share `test` of the steps is to be forecast in the test, the share `valid` before it in validation. A
    window belongs to a part if all steps that follow it do; those on a border belong to none.

    Raises
    ------
    InputError : a part would have no window.
    """
    first_test = n_steps - round(test * n_steps) if test > 0 else n_steps
    first_valid = first_test - max(1, round(valid * n_steps)) if valid > 0 else first_test
    ends = np.arange(window - 1, n_steps - horizon)
    first, last = ends + 1, ends + horizon
    train = np.flatnonzero(last < first_valid)
    held = np.flatnonzero((first >= first_valid) & (last < first_test))
    tested = np.flatnonzero(first >= first_test)
    if len(train) < 2 or (valid > 0 and len(held) < 1) or (test > 0 and len(tested) < 1):
        what = f"a series of {n_steps} steps is too short for windows of {window} with {horizon} ahead"
        raise InputError(what, "give more steps, or a shorter --window or --horizon", "--window")
    return Windows(ends, train, held, tested, first_valid)


def drifts(values: np.ndarray) -> bool:
    """Whether a series drifts: a straight line in time explains at least `DRIFTS` of its variance."""
    time = np.arange(len(values), dtype=np.float64)
    if len(values) < 3 or np.ptp(values) == 0:
        return False
    return bool(np.corrcoef(time, values / unit_of(values))[0, 1] ** 2 >= DRIFTS)


@dataclass(frozen=True)
class SeriesCoding:
    """How the windows of a series are given to a network, and what its answers are added to.

    Attributes
    ----------
    window, horizon : steps that a forecast looks at, and steps ahead.
    relative : whether the series (never the columns beside it) is counted from the last value of each window, and so
        is what follows. A series that drifts leaves the range that the network was trained on; its changes do not.
    scale : what its changes, in units of its deviation, are divided by.
    center : what a series that does not drift is counted from.
    linear : (window + 1, horizon) weights of the linear forecast that the network corrects
        (`axonic.data.autoregression`); empty is none.
    """

    window: int
    horizon: int
    relative: bool = False
    scale: float = 1.0
    center: float = 0.0
    linear: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(
        cls,
        encoded: np.ndarray,
        target: np.ndarray,
        windows: Windows,
        window: int,
        horizon: int,
        linear: bool = True,
        relative: bool = True,
    ) -> "SeriesCoding":
        """Decide by the steps that training may know of; `linear` is whether to make a linear forecast, `relative`
        whether a series that drifts may be counted from the last value of each window."""
        coding = cls(window, horizon)
        ends = windows.ends[windows.train]
        if relative and drifts(target[: windows.seen]):
            coding = cls(window, horizon, True)
            changes = coding.inputs(encoded, ends).values[:, 0]
            spread = float(np.sqrt(np.mean(np.square(changes, dtype=np.float64))))
            coding = replace(coding, scale=spread if spread > 0 else 1.0)
        elif linear:
            seen = target[: windows.seen]
            unit = unit_of(seen)
            coding = replace(coding, center=float((seen / unit).mean() * unit))
        if not linear:
            return coding
        weights = fit_linear(target, coding.bases(target, ends), ends, window, horizon)
        return replace(coding, linear=tuple(map(tuple, weights.tolist())))

    def check(self, lengths: np.ndarray) -> None:
        """Raise `InputError` unless all sequences are as long as a window."""
        others = np.flatnonzero(lengths != self.window)
        if len(others):
            what = f"sequence {others[0]} has {lengths[others[0]]} steps"
            raise InputError(what, f"give windows of {self.window} steps, as the model was trained with", "X")

    def inputs(self, encoded: np.ndarray, ends: np.ndarray) -> Ragged:
        """The windows that end at these steps, from the encoded steps, (steps, n_in), whose first column is the
        series."""
        x = encoded[steps_before(ends, self.window)]
        if self.relative:
            x[..., 0] = (x[..., 0] - x[:, -1:, 0]) / self.scale
        return Ragged.of(x.reshape(-1, x.shape[2]), np.full(len(ends), self.window))

    def targets(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n, horizon) what follows the windows, from their origin."""
        return target[steps_ahead(ends, self.horizon)] - self.origin(target, ends)

    def bases(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n,) what the values of each window count from."""
        return target[ends] if self.relative else np.full(len(ends), self.center)

    def origin(self, target: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(n, horizon) what the network's answers are added to."""
        bases = self.bases(target, ends)
        if self.linear:
            return linear_forecast(np.array(self.linear), target, bases, ends)
        return np.repeat(bases[:, None], self.horizon, axis=1)

    def to_json(self) -> dict[str, Any]:
        """A plain dict."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "SeriesCoding":
        """The coding that `to_json` wrote."""
        coding = records.from_json(cls, data)
        linear = not coding.linear or np.shape(coding.linear) == (coding.window + 1, coding.horizon)
        if coding.window < 1 or coding.horizon < 1 or coding.scale <= 0 or not linear:
            raise ValueError(f"a forecast of {coding.horizon} steps from {coding.window}")
        return coding
