"""The learning rate, by a sweep: candidates ten times apart train from the same weights on the same batches.

The notes take the largest rate whose loss comes down without oscillating. Measured on thirteen tables, what is best
over a few hundred steps is often too high for a long run, and calm alone is no sign of learning: a network that has
died lies still. So the rate taken is the lowest that has learned nearly as much as the best one (`choose_rate`), and
how much each one oscillates is shown (`oscillation`) and decides between a rate that has and one that has not.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from axonic.data.batches import Split
from axonic.optimizers import Optimizer
from axonic.recipe.journal import Journal, Stage, Watcher
from axonic.recipe.networks import Member, Task, Trained, train_side_by_side
from axonic.training import StopRule

RATES = tuple(10.0**power for power in range(1, -5, -1))
LIMITS = (1e4, 1e-12)
"""How far the sweep is widened where the rate taken stands at its edge."""
SWEEP_STEPS, SWEEP_WINDOWS = 300, 20
LEARNED = 0.9
CALM = 0.25
"""Above this index a curve is said to oscillate: a quarter of its way was upwards, half as much as for a curve that
goes nowhere."""


def sweep_steps(task: Task, member: Member) -> int:
    """How many steps a sweep looks at: no more than a run of as many epochs as are given by hand will take, since a
    rate that would have learned as much later has not. One more, as the loss of a step is that before it."""
    epochs, rule = task.settings.epochs, member.trial.optimizer
    if epochs == "auto":
        return SWEEP_STEPS
    return min(SWEEP_STEPS, epochs * (1 if rule.full_batch else task.on_all_rows(member).batches.batches_per_epoch) + 1)


def rate_stage(member: Member, watcher: Watcher, rates: Sequence[float] = RATES, n_steps: int = SWEEP_STEPS) -> Stage:
    """Sweep the rates and choose one. Pure: the run that follows is the one it would have been without it.

    Every candidate starts from the same weights and takes the same batches of training rows, and ends as soon as its
    loss is no longer finite. A choice at the edge of the grid widens it.

    One more run has a rate of 0: what the batches of each window are worth without learning. By as much as they are
    harder or easier than those of the first one, every curve is corrected (`corrected`); a row that is far out, which
    some windows have and others have not, would otherwise hide what the rates do.

    Returns
    -------
    The stage: "rates" falling, their training losses in windows as they were ("train") and those without learning
    ("untrained"; None for rules that take all rows at every step), "oscillation" and "verdict" of each, the "decision"
    and the "reason".
    """
    swept = np.array(sorted(rates, reverse=True))
    still = [] if member.trial.optimizer.full_batch else [0.0]
    curves = np.array(sweep_curves(member, [*swept.tolist(), *still], watcher, n_steps))
    as_they_were, untrained = curves[: len(swept)], curves[-1] if still else None
    table = corrected(as_they_were, untrained)

    while not watcher.ended() and (wider := _beyond(swept, table)) is not None:
        wider = float(f"{wider:.2g}")
        place = int(np.sum(swept > wider))
        swept = np.insert(swept, place, wider)
        as_they_were = np.insert(as_they_were, place, sweep_curves(member, [wider], watcher, n_steps), axis=0)
        table = corrected(as_they_were, untrained)
    choice, reason = choose_rate(swept.tolist(), table)
    return {
        "rates": swept.tolist(),
        "train": as_they_were.round(6).tolist(),
        "untrained": None if untrained is None else untrained.round(6).tolist(),
        "oscillation": [round(oscillation(curve), 3) for curve in table],
        "verdict": verdicts(table, choice),
        "decision": float(swept[choice]),
        "reason": reason,
    }


def _beyond(rates: np.ndarray, curves: np.ndarray) -> float | None:
    """The next rate to try where the grid is too narrow: the loss is lowest at its upper edge, or its lower edge would
    be taken."""
    if int(np.argmin(ends(curves))) == 0 and np.isfinite(curves[0]).all() and rates[0] < LIMITS[0]:
        return rates[0] * 10
    if choose_rate(rates.tolist(), curves)[0] == len(rates) - 1 and rates[-1] > LIMITS[1]:
        return rates[-1] / 10
    return None


def sweep_curves(
    member: Member, rates: Sequence[float], watcher: Watcher, n_steps: int = SWEEP_STEPS
) -> list[np.ndarray]:
    """The training losses of each rate in windows, from the same weights on the same batches.

    Parameters
    ----------
    member : what is trained; its validation rows are not looked at.
    rates : one run each.
    watcher : ends them.
    n_steps : of each run; a rule that takes all rows at every step gives one loss a step, the others the means over
        `SWEEP_WINDOWS` windows, or over as many as there are steps. A loss is that before its step.

    Returns
    -------
    (windows,) losses each, NaN from where a run diverged or was ended.
    """
    batches, rule = member.batches, member.trial.optimizer
    windows = n_steps if rule.full_batch else min(SWEEP_WINDOWS, n_steps)
    train_only = Split(batches.split.train, batches.split.train[:0], batches.split.train[:0])
    per_window = None if rule.full_batch else n_steps // windows
    batches = dataclasses.replace(batches, split=train_only, epoch_batches=per_window, looks=0)
    member = member._replace(batches=batches)
    middle_first = sorted(rates, key=lambda rate: abs(sorted(rates).index(rate) - len(rates) // 2))  # if it is ended
    jobs = {f"{rate:g}": member.changed(optimizer=rule.replace(learning_rate=rate)) for rate in middle_first}
    runs = train_side_by_side(jobs, StopRule(windows, windows + 1), _Unseen(watcher), Journal())
    return [_curve(runs[f"{rate:g}"], windows) for rate in rates]


def corrected(curves: np.ndarray, untrained: np.ndarray | None) -> np.ndarray:
    """Curves (rates, windows) without what the batches of a window do to the loss of a network that does not learn,
    (windows,), counted from the first window; as they are if that is not known."""
    if untrained is None or not np.isfinite(untrained).all():
        return curves
    return curves - (untrained - untrained[0])


def _curve(run: Trained | None, windows: int) -> np.ndarray:
    curve = np.full(windows, np.nan)
    if run is not None:
        curve[: len(run.history)] = np.where(np.isfinite(run.history[:, 0]), run.history[:, 0], np.nan)
    return curve


class _Unseen(Watcher):
    """Shows nothing of the runs of a sweep, but lets them be ended."""

    def __init__(self, watcher: Watcher) -> None:
        self.ended = watcher.ended


def choose_rate(rates: Sequence[float], curves: np.ndarray) -> tuple[int, str]:
    """The index of the rate to take, and why.

    The lowest rate that has learned nearly as much as the best one: whose training loss at the end of the sweep (median
    of the last quarter of the windows) has come down by at least `LEARNED` of the best one's fall. What is best over a
    few hundred steps is often too high for a long run, and one that is much lower only takes longer. The training loss
    decides, since a rate that is too high now and then has a low validation loss by luck. Compared with other rules on
    thirteen tables in `benchmarks/rates.py`.

    Parameters
    ----------
    rates : falling.
    curves : (rates, windows) losses; not finite where a rate diverged.
    """
    last = ends(curves)
    if not np.any(np.isfinite(last)):
        return len(rates) - 1, "every rate diverged; the lowest is taken"
    best = int(np.argmin(last))
    choice = int(np.flatnonzero(has_learned(curves))[-1])
    most = f"the training loss fell lowest at {rates[best]:g}"
    if choice == best:
        return choice, most
    return choice, f"{most}, and at {rates[choice]:g}, which is safer, by at least {LEARNED:.0%} as much"


def ends(curves: np.ndarray) -> np.ndarray:
    """The loss at the end of each curve, of which the last is of the lowest rate: the median of the last quarter of the
    windows; infinite if it diverged.

    The median passes over an unlucky batch. It would pass over more where a window is a few rows: a rate that throws
    the weights about has rows it is sure of, at no loss, and others at a thousandfold. So a curve whose mean there, or
    whose median over all windows, is above all that the lowest rate has seen, and thus above where training begins,
    counts as diverged too: what it ends with was come upon by chance.
    """
    tail = curves[:, -max(1, curves.shape[1] // 4) :]
    tail = np.where(np.isfinite(tail), tail, np.inf)
    calm = curves[np.isfinite(curves).all(axis=1)][-1:]
    most = calm.max() if len(calm) else np.inf
    whole = np.median(np.where(np.isfinite(curves), curves, np.inf), axis=1)
    return np.where((tail.mean(axis=1) > most) | (whole > most), np.inf, np.median(tail, axis=1))


def has_learned(curves: np.ndarray) -> np.ndarray:
    """Which curves (the last is of the lowest rate, and begins at the loss before any step) have fallen by at least
    `LEARNED` of the deepest fall."""
    last = ends(curves)
    first = curves[np.isfinite(curves[:, 0]), 0]
    fall = max(float(first[-1] - last.min()), 0.0)
    return last <= last.min() + (1 - LEARNED) * fall


def oscillation(curve: np.ndarray) -> float:
    """The oscillation index of a loss curve: the share of its way that goes up, U / (U + D) with U the sum of its rises
    and D that of its falls; 1 for a curve that diverged.

    It is 0 for a curve that only falls, 1/2 for one that ends where it began, however wild or calm, and more for one
    that rises. It needs no threshold for what counts as a rise: normal noise of deviation s on n windows adds about
    .56 n s to U and to D alike, which is little beside the fall of a curve that learns and all there is of one that
    does not. It does not change with the scale or the origin of the loss.
    """
    if not np.isfinite(curve).all():
        return 1.0
    moves = np.diff(curve)
    way = np.abs(moves).sum()
    return float(np.maximum(moves, 0).sum() / way) if way > 0 else 0.0


def verdicts(curves: np.ndarray, taken: int) -> list[str]:
    """What is to be said of each rate."""
    learned = has_learned(curves) if np.any(np.isfinite(ends(curves))) else np.zeros(len(curves), bool)
    said = []
    for i, curve in enumerate(curves):
        if not np.isfinite(curve).all():
            word = "diverged"
        elif i != taken and learned[i]:
            word = "learned"
        elif oscillation(curve) > CALM and i < taken:
            word = "oscillated"
        elif not learned[i]:
            word = "fell less"
        else:
            word = "learned"
        said.append(f"{word}, taken" if i == taken else word)
    return said


def with_rate(member: Member, rate: float) -> Member:
    """The same network with a rule of that rate; a rule without a rate stays as it is."""
    rule: Optimizer = member.trial.optimizer
    return member.changed(optimizer=rule.replace(learning_rate=float(rate))) if rule.has_rate else member
