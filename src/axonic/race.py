"""A race between learning rules on the same data: the same networks, the same starting weights, the same time.

For each seed, which decides the validation rows, the weights and the shuffles, every rule finds its rate by the sweep
of the recipe and then trains for a given number of seconds, one after the other so that none disturbs another.
Compiling and the sweep are not counted.

The finish is `CLOSE` above the lowest validation loss that any rule has reached by the end, and the rule that is there
first is ranked first; those that do not reach it follow by their loss. Losses are the mean over the runs of the lowest
that each has reached so far. Nearly every rule ends within a few percent of the best on a small table, where the order
of the losses at the end is luck, while the times they take differ a hundredfold.

A few dozen validation rows say little about rules that end close together. So on a small table several parts of it are
held out in turn, as in cross-validation, each with starting weights of its own, and share the seconds: until `HELD_OUT`
rows have been, or all.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from axonic import optimizers, recipe, training
from axonic.data.batches import Split, folds
from axonic.engine import set_up
from axonic.errors import InputError
from axonic.recipe import Member, Task
from axonic.seeds import generator
from axonic.settings import Settings
from axonic.training import Progress, StopRule

POINTS = 200
HELD_OUT = 500
"""Rows that are held out on each seed, if there are so many: so many parts of the table take turns."""
CLOSE = 0.1
"""How far above the lowest loss a race is over for a rule: where the orders of different seeds agree on every table
that was tried. A smaller distance asks for differences that are luck (`docs/rules/race.md`)."""
SAME_ORDER = 0.5
"""Below this rank correlation between seeds the order of the rules is hardly more than luck."""


class Curve(NamedTuple):
    """One run of a rule.

    Attributes
    ----------
    seconds : (epochs,) time at the end of each epoch; several epochs that ran in one go share it out evenly.
    train, valid : (epochs,) losses.
    """

    seconds: np.ndarray
    train: np.ndarray
    valid: np.ndarray

    @property
    def best(self) -> float:
        """The lowest validation loss; infinite if there is none."""
        finite = self.valid[np.isfinite(self.valid)]
        return float(finite.min()) if len(finite) else np.inf

    def reaches(self, loss: float) -> float:
        """The seconds after which the validation loss is finite and no higher than this; NaN if it never is."""
        there = np.flatnonzero(np.isfinite(self.valid) & (self.valid <= loss))
        return float(self.seconds[there[0]]) if len(there) else np.nan


class Lap(NamedTuple):
    """One rule on one seed.

    Attributes
    ----------
    learning_rate : the rate found; NaN for a rule that has none.
    curves : of its run with each of the parts held out.
    """

    learning_rate: float
    curves: Sequence[Curve]

    @property
    def best(self) -> float:
        """The mean over the parts of the lowest validation loss."""
        return float(np.mean([curve.best for curve in self.curves]))

    @property
    def epochs(self) -> int:
        """Epochs run, with all parts."""
        return sum(len(curve.train) for curve in self.curves)

    @property
    def train(self) -> float:
        """The mean over the parts of the training loss at the end."""
        return float(np.mean([curve.train[-1] if len(curve.train) else np.nan for curve in self.curves]))


@runtime_checkable
class Spectator(Protocol):
    """What a caller may want to see of a race; every method may be overridden."""

    def lap(self, name: str, seed: int, lap: Lap) -> None:
        """A rule has run on a seed."""

    def refused(self, name: str, reason: str) -> None:
        """A rule can't take part."""

    def interrupted(self) -> bool:
        """Whether to end the race; what has been run is ranked."""
        return False


class _Nobody(Spectator):
    """Watches nothing."""


def race(
    task: Task,
    *,
    names: Sequence[str] | None = None,
    seconds: float = 0.5,
    seeds: int = 3,
    spectator: Spectator | None = None,
) -> dict[str, Any]:
    """Let rules race.

    Parameters
    ----------
    task : what to train, on what and how; the rule of its settings is not used. The further seeds hold out other rows
        of the training and validation part, if its networks may.
    names : the rules; None is all of them.
    seconds : time for each rule and seed, which the parts that are held out share.
    seeds : number of seeds.
    spectator : is told of every lap.

    Returns
    -------
    A dict ready for JSON:
    "rules" : the first one first; each has "name", "rank", the seconds into a run after which it had "arrived" at the
        finish (NaN if it never did), "mean_valid", one value a seed of "learning_rate", "valid" (the lowest validation
        loss), "train" and "epochs", the mean "curve" of its runs (seconds, train, valid), and by how much of the lowest
        rule's loss it is "behind" that on the same rows, with the standard error "behind_error" (NaN of a single run)
        and whether it is "even": within two of them.
    "finish", "close" : the validation loss to be reached, and the share by which it lies above the lowest.
    "parts" : how many parts were held out in turn on each seed.
    "refused" : the rules that can't take part, name to reason.
    "rank_correlation" : Spearman's, the mean over pairs of seeds; NaN for one seed.
    "told_apart" : whether the order is more than luck by that; None for one seed.
    "seconds", "seeds" : as given.

    Raises
    ------
    InputError : a rule is unknown, none can run, nothing is held out, or `seconds` or `seeds` is not positive.
    """
    if not (seconds > 0 and seeds >= 1):
        raise InputError("seconds and seeds of a race must be positive", "give for example 0.5 seconds and 3 seeds")
    set_up()
    spectator = spectator or _Nobody()
    if not task.held_out:
        raise InputError("a race needs validation rows", "give a table of at least 10 rows")
    names = list(dict.fromkeys(names or optimizers.names()))
    refused = {}
    for name in names:
        try:
            task.check_rule(optimizers.get(name))
            _with(task.settings, name, task.settings.seed)
        except InputError as error:
            if "unknown" in error.what:
                raise
            refused[name] = f"{error.what}: {error.how}"
            spectator.refused(name, refused[name])
    runners = [name for name in names if name not in refused]
    if not runners:
        raise InputError("none of these rules can run here", next(iter(refused.values())))

    laps: dict[str, list[Lap]] = {name: [] for name in runners}
    held_out = [parts(task, task.settings.seed + seed) for seed in range(seeds)]
    for seed, splits in enumerate(held_out):
        for name in runners:
            if spectator.interrupted():
                break
            settings = _with(task.settings, name, task.settings.seed + seed)
            lap = _run(task._replace(settings=settings), splits, name, seconds, spectator)
            if spectator.interrupted() and any(laps.values()):
                break  # it has not run to its end
            laps[name].append(lap)
            spectator.lap(name, seed, lap)
    about = {"close": CLOSE, "parts": len(held_out[0]), "seconds": seconds, "seeds": seeds}
    return {**_ranking(laps), "refused": refused, **about}


def parts(task: Task, seed: int) -> list[Split]:
    """The splits of a seed: as many parts are held out in turn as it takes to have held out `HELD_OUT` rows, or all
    there are; a single one, that of the task, if its networks may not hold out other rows."""
    if not task.resplits:
        return [task.split]
    count = -(-HELD_OUT // len(task.split.valid))
    return folds(task.split, seed, task.rows.classes)[:count]


def _run(task: Task, splits: Sequence[Split], name: str, seconds: float, spectator: Spectator) -> Lap:
    """A rule with each part held out, at the rate that the sweep finds with the first."""
    rule, stop = optimizers.get(name), StopRule(10**9, 10**9)
    rate = task.settings.learning_rate
    curves: list[Curve] = []
    for part, split in enumerate(splits):
        if part and spectator.interrupted():
            break
        seed = int(generator(task.settings.seed, "part", part).integers(2**31))
        here = task._replace(split=split, settings=dataclasses.replace(task.settings, seed=seed))
        member = here.member(rule, 0, recipe.candidate_penalties(here, choose=False)[0])
        if part == 0:
            member.prepare(stop)
        if rule.has_rate:
            if rate == "auto":
                rate = recipe.rate_stage(member, recipe.Watcher())["decision"]
            member = recipe.with_rate(member, float(rate))
        curves.append(_curve(member, stop, seconds / len(splits), spectator))
    return Lap(float(rate) if rule.has_rate else np.nan, curves)


def _curve(member: Member, stop: StopRule, seconds: float, spectator: Spectator) -> Curve:
    """One run of so many seconds."""
    begun = time.perf_counter()
    marks = [0.0]
    counts = []

    def watch(progress: Progress) -> bool:
        marks.append(time.perf_counter() - begun)
        counts.append(len(progress.history))
        return marks[-1] >= seconds or spectator.interrupted()

    _, history, _ = training.train([member.trial], [member.begin()], member.batches, stop, watch=watch)
    spans = zip(marks[:-1], marks[1:], counts, strict=True)
    times = np.concatenate([np.linspace(first, last, count + 1)[1:] for first, last, count in spans])
    within = times <= max(seconds, times[0]) if len(times) else np.zeros(0, bool)
    return Curve(times[within], history[within, 0, 0], history[within, 0, 1])


def _with(settings: Settings, name: str, seed: int) -> Settings:
    """The settings for a rule: what it has no use for is left out."""
    rule = optimizers.get(name)
    rate = settings.learning_rate if rule.has_rate else "auto"
    return dataclasses.replace(settings, optimizer=name, seed=seed, learning_rate=rate)


def _ranking(laps: dict[str, list[Lap]]) -> dict[str, Any]:
    """The rules with their figures, in their order, of the seeds on which every one of them has run."""
    if not any(laps.values()):
        return {"rules": [], "finish": np.nan, "rank_correlation": np.nan, "told_apart": None}
    complete = min(len(each) for each in laps.values() if each)
    laps = {name: each[:complete] for name, each in laps.items() if each}
    courses = {name: mean_curve([curve for lap in each for curve in lap.curves]) for name, each in laps.items()}
    line, order = finish(courses)
    lowest = min(courses, key=lambda name: courses[name].best)
    rules = [
        {
            "name": name,
            "rank": place + 1,
            "arrived": courses[name].reaches(line),
            "mean_valid": courses[name].best,
            **_behind(laps[lowest], laps[name]),
            "valid": [lap.best for lap in laps[name]],
            "train": [lap.train for lap in laps[name]],
            "epochs": [lap.epochs for lap in laps[name]],
            "learning_rate": [lap.learning_rate for lap in laps[name]],
            "curve": _thinned(courses[name]),
        }
        for place, name in enumerate(order)
    ]
    of_seeds = [{name: mean_curve(each[seed].curves) for name, each in laps.items()} for seed in range(complete)]
    correlation = rank_correlation([finish(curves)[1] for curves in of_seeds])
    told_apart = None if np.isnan(correlation) else correlation >= SAME_ORDER
    return {"rules": rules, "finish": line, "rank_correlation": correlation, "told_apart": told_apart}


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Runs as one, from when each has closed an epoch: at every time the mean of their training losses, and of the
    lowest validation losses that they have reached."""
    if not all(len(curve.seconds) for curve in curves):
        return Curve(*(np.empty(0) for _ in Curve._fields))
    times = np.unique(np.concatenate([curve.seconds for curve in curves]))
    times = times[times >= max(curve.seconds[0] for curve in curves)]
    train, valid = np.zeros(len(times)), np.zeros(len(times))
    for curve in curves:
        at = np.searchsorted(curve.seconds, times, side="right") - 1
        train += curve.train[at] / len(curves)
        valid += np.minimum.accumulate(np.where(np.isfinite(curve.valid), curve.valid, np.inf))[at] / len(curves)
    return Curve(times, train, valid)


def finish(curves: Mapping[str, Curve], close: float = CLOSE) -> tuple[float, list[str]]:
    """(the loss at the finish, the rules in the order in which they arrive there, and by their loss if they don't)."""
    lowest = min(curve.best for curve in curves.values())
    line = lowest + close * abs(lowest) if np.isfinite(lowest) else lowest

    def place(name: str) -> tuple[float, float]:
        arrived = curves[name].reaches(line)
        return np.inf if np.isnan(arrived) else arrived, curves[name].best

    return line, sorted(curves, key=place)


def _behind(first: Sequence[Lap], other: Sequence[Lap]) -> dict[str, Any]:
    """How far a rule is behind another one, run by run on the same rows from the same weights."""
    pairs = [run for ours, theirs in zip(first, other, strict=True) for run in zip(ours.curves, theirs.curves)]  # noqa: B905
    losses = np.array([[curve.best for curve in run] for run in pairs])
    if not np.isfinite(losses).all() or losses[:, 0].mean() == 0:
        return {"behind": np.nan, "behind_error": np.nan, "even": False}
    gaps = (losses[:, 1] - losses[:, 0]) / losses[:, 0].mean()
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else np.nan
    return {"behind": float(gaps.mean()), "behind_error": error, "even": bool(gaps.mean() <= 2 * error)}


def rank_correlation(orders: Sequence[Sequence[str]]) -> float:
    """Spearman's rank correlation between orders of the same rules, the mean over their pairs."""
    if len(orders) < 2 or len(orders[0]) < 2:
        return float("nan")
    ranks = [[order.index(name) for name in orders[0]] for order in orders]
    matrix = np.atleast_2d(np.corrcoef(ranks))
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def _thinned(curve: Curve) -> dict[str, list[float]]:
    """At most `POINTS` of its times, evenly spread over their logarithms."""
    if not len(curve.seconds):
        return {name: [] for name in Curve._fields}
    wanted = np.geomspace(curve.seconds[0], curve.seconds[-1], POINTS)
    index = np.unique(np.searchsorted(curve.seconds, wanted * (1 - 1e-12)).clip(max=len(curve.seconds) - 1))
    return {name: np.asarray(getattr(curve, name), float)[index].tolist() for name in Curve._fields}
