"""What a fit shows while it runs, and what it keeps so that it need not be done twice.

Everything in a fit is a pure function of the data, the settings and the seed, so a run that was cut short ends as the
undisturbed one whatever has been kept: what was decided is replayed, a network under way goes on from where it was
kept, and the rest is done afresh.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from axonic import health
from axonic.data.batches import Cursor
from axonic.errors import InputError
from axonic.layers import Chain
from axonic.training import HISTORY, State, StopRule

Stage = dict[str, Any]
"""Evidence and decision of a stage, ready for JSON: "stage" is its name, "decision" what was decided, "reason" why; the
rest is the evidence. "interrupted" marks what was decided before all the evidence was in."""


class Kept(NamedTuple):
    """A network under way.

    Attributes
    ----------
    state : all that the loop carries, NumPy arrays.
    cursor : where in its batches it stands.
    history : (epochs, columns) of the epochs closed so far.
    health : (looks, layers, columns) of the steps looked at so far.
    """

    state: State
    cursor: Cursor
    history: np.ndarray
    health: np.ndarray


def nothing_yet(network: Chain) -> tuple[np.ndarray, np.ndarray]:
    """The history and health of a network that has not begun."""
    return np.zeros((0, len(HISTORY)), np.float32), health.nothing(network)


class Watcher:
    """What a caller may want to see of a fit; every method may be overridden."""

    def stage(self, stage: Stage) -> None:
        """A stage has been decided."""

    def progress(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> None:
        """One of the networks under way has closed epochs: `history` of the latest ones, and how many it has done.
        Never called by two threads at once."""

    def within(self, network: int, n_networks: int, epoch: int, share: float) -> None:
        """One of the networks under way has done this share of an epoch, counted from 1, that takes long. Never called
        by two threads at once."""

    def looked(self, network: int, history: np.ndarray, health: np.ndarray) -> None:
        """Steps of one of the networks under way have been looked at: its `history` so far, and `health` of the latest
        steps, (looks, layers, columns). Never called by two threads at once."""

    def ended(self) -> bool:
        """Whether to end the fit now and keep what is best so far. Once True it must stay so."""
        return False


class Journal:
    """What a fit keeps on the way; this one keeps nothing."""

    stages: Sequence[Stage] = ()
    """The stages that an earlier part of the run has decided, in their order."""

    def decided(self, stages: Sequence[Stage]) -> None:
        """All stages so far, after each decision."""

    def resume(self, job: str, like: Kept) -> Kept | None:
        """What was kept of a network, with the structure of `like`; None if nothing was."""

    def keep(
        self,
        job: str,
        state: State,
        cursor: Cursor,
        history: Sequence[np.ndarray],
        health: Sequence[np.ndarray],
        *,
        last: bool,
    ) -> None:
        """A network has come so far, and no further if it is the `last` call for it; `state` is on the device, with its
        axis of lanes, and `history` and `health` are in parts. Never called by two threads at once."""


class Notebook:
    """The stages of a fit, decided one after the other; those that the journal has are taken from there."""

    def __init__(self, watcher: Watcher, journal: Journal) -> None:
        self.stages: list[Stage] = []
        self._watcher, self._journal = watcher, journal
        self._replay = list(journal.stages)

    @property
    def replays(self) -> bool:
        """Whether the next stage is in the journal; if so, there is no need to train for it."""
        return bool(self._replay)

    def stage(
        self, name: str, decide: Callable[[], Stage], possible: Callable[[Stage], bool] = lambda stage: True
    ) -> Stage:
        """The next stage, decided now unless it is in the journal.

        Parameters
        ----------
        name : of the stage.
        decide : gives the stage.
        possible : whether one that is in the journal can be gone on with; it may raise what wrong types and missing
            keys raise.

        Raises
        ------
        InputError : the journal has another stage there, or one that is not possible.
        """
        if self._replay:
            return self._replayed(name, possible)
        stage = {"stage": name, **decide()}
        if self._watcher.ended():
            stage["interrupted"] = True
        self.stages.append(stage)
        self._journal.decided(self.stages)
        self._watcher.stage(stage)
        return stage

    def end(self) -> None:
        """The fit has come to its end.

        Raises
        ------
        InputError : the journal has stages that the fit has not come to.
        """
        if self._replay:
            raise InputError("the notebook goes on where the fit has ended", "start the run afresh")
        if len(self.stages) == len(self._journal.stages):  # no stage was new: what was decided too early goes
            self._journal.decided(self.stages)

    def _replayed(self, name: str, possible: Callable[[Stage], bool]) -> Stage:
        stage = self._replay.pop(0)
        what = f"the notebook does not go on with a stage {name!r} that is possible here"
        if stage.get("stage") != name:
            raise InputError(what, "start the run afresh")
        try:
            if not possible(stage):
                raise ValueError("the decision is impossible")
            self._watcher.stage(stage)  # which shows its evidence
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise InputError(what, "start the run afresh") from error
        self.stages.append(stage)
        return stage
