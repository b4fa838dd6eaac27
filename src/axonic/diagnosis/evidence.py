"""What a diagnosis rests on: the curves, the looks inside, the loss of a constant answer, and runs made for comparison.

A suspicion from a curve or a look is put to the test: the same network is trained again with the one thing changed that
the remedy would change, and the two are compared row by row. The changed run starts from the same weights and takes
the same rows, so what differs is the cause.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from axonic import training
from axonic.baselines import LinearModels
from axonic.data.batches import Rows, gather, room
from axonic.data.ragged import Ragged
from axonic.data.targets import TargetEncoder
from axonic.health import COLUMNS, examine, traced
from axonic.layers import Chain
from axonic.losses import CrossEntropy, LogLikelihood, Loss, MeanSquaredError, Robust, SquaredError
from axonic.objective import Objective
from axonic.programs import compiled
from axonic.recipe import (
    Fit,
    Journal,
    Member,
    Task,
    Trained,
    Watcher,
    candidate_penalties,
    rate_stage,
    sweep_steps,
    train_side_by_side,
    with_rate,
)
from axonic.recipe.constant import constant_bias, loss_values, output, weighted_targets
from axonic.recipe.rate import oscillation
from axonic.settings import Settings, pair
from axonic.training import StopRule
from axonic.types import Batch, Params, Sequence

PROBE_ROWS = 1024
SEEN_ROWS = 4 * PROBE_ROWS
"""Rows of a closer look, so that one program serves any table."""
SEQUENCES = 64
"""Sequences of a closer look."""
LINEAR_NUMBERS = (SquaredError, Robust)
LINEAR_CLASSES = (CrossEntropy, LogLikelihood, MeanSquaredError)
"""Losses of which a linear model is known (`axonic.baselines`), for numbers and for classes."""
DEAD, SATURATED = 0.5, 0.5
"""Shares from which a layer is dead or saturated (Amazon SageMaker Debugger, TheDeepChecker: half of a layer)."""
GAIN, ERRORS = 0.05, 1.0
"""A change helps if the mean loss falls by this share of itself, and by this many standard errors of the rows'
differences."""


class Losses(NamedTuple):
    """Losses of single rows that were trained on and that were held out; the second is empty if none were."""

    train: np.ndarray
    valid: np.ndarray

    @property
    def judged(self) -> np.ndarray:
        """Those that say how good a network is."""
        return self.valid if len(self.valid) else self.train


class Comparison(NamedTuple):
    """The network as it is and after a change: mean losses on the rows that judge, and the share by which they fell
    with its standard error."""

    before: float
    after: float
    gain: float
    error: float

    @property
    def helped(self) -> bool:
        """Whether the change has helped beyond chance."""
        return self.gain > GAIN and self.gain > ERRORS * self.error

    def numbers(self) -> dict[str, float]:
        """For the evidence of a finding."""
        return {"loss": rounded(self.before), "loss_with_remedy": rounded(self.after), "gain": rounded(self.gain)}


class Evidence:
    """What is known of the first network of a fit.

    Parameters
    ----------
    task : what was trained, and on what.
    fit : what came of it.
    watcher : may end the runs for comparison.
    target : how the targets were encoded; None if nobody says.
    linear : linear models of the same rows, if some are known.
    """

    def __init__(
        self,
        task: Task,
        fit: Fit,
        watcher: Watcher,
        target: TargetEncoder | None = None,
        linear: LinearModels | None = None,
    ) -> None:
        self.task, self.fit, self.watcher, self.target = task, fit, watcher, target
        self._linear = linear
        self.settings, self.network, self.loss = task.settings, fit.network, fit.loss
        self.rule, self.state = fit.optimizer, fit.states[0]
        self.health, self.history = fit.healths[0], fit.histories[0]
        self.keeps_best = self.settings.early_stopping and task.held_out

    @functools.cached_property
    def member(self) -> Member:
        """The network as it was trained."""
        return self.task.member(self.rule, 0, self.fit.l2, self.fit.batch_size)

    @property
    def params(self) -> Params:
        """The weights that were kept."""
        return self.fit.members[0]

    @property
    def train_curve(self) -> np.ndarray:
        """Training loss of each epoch."""
        return self.history[:, training.HISTORY.index("train_loss")]

    @property
    def finite(self) -> bool:
        """Whether training stayed finite."""
        return not bool(self.state.diverged)

    @functools.cached_property
    def batches_per_epoch(self) -> int:
        """Steps of an epoch."""
        return 1 if self.rule.full_batch else self.member.batches.batches_per_epoch

    @functools.cached_property
    def losses(self) -> Losses:
        """Of the weights that were kept."""
        return self.losses_of(self.params)

    @property
    def trivial(self) -> float | None:
        """The loss of the best constant answer on the rows that judge; None where it is not known."""
        losses = self._trivial(self.task.split.valid if self.task.held_out else self.task.split.train)
        return None if losses is None else float(losses.mean())

    def _trivial(self, part: np.ndarray) -> np.ndarray | None:
        b = self._constant
        if b is None:
            return None
        y, weight = weighted_targets(self.task.rows, part, len(b))
        y = y.astype(np.float32)
        return loss_values(self.loss, np.broadcast_to(b.astype(np.float32), y.shape), y) * weight

    @property
    def trivial_at_start(self) -> float | None:
        """The same on the rows of the first look."""
        losses = self._trivial(self._looked_at)
        return None if losses is None else float(losses.mean())

    @functools.cached_property
    def _constant(self) -> np.ndarray | None:
        return constant_bias(self.member)

    @functools.cached_property
    def advantage(self) -> np.ndarray | None:
        """How much lower the loss of a row is than that of the constant answer, for every row that some network of the
        fit held out, the mean over these networks; None where it is not known."""
        gains = np.zeros(len(self.task.rows.y))
        counts = np.zeros(len(gains))
        for params, split in zip(self.fit.members, self.fit.splits, strict=True):
            constant = self._trivial(split.valid)
            if constant is None:
                return None
            gains[split.valid] += constant - self._losses_on(split.valid, params, self.network, self.loss)
            counts[split.valid] += 1
        return gains[counts > 0] / counts[counts > 0]

    @functools.cached_property
    def gain_on_training(self) -> float | None:
        """How much lower the networks' losses are than that of the constant answer on the rows that each was
        trained on, or some `SEEN_ROWS` of them, on average; None where it is not known."""
        gains = []
        for params, split in zip(self.fit.members, self.fit.splits, strict=True):
            part = split.train[:: max(1, len(split.train) // SEEN_ROWS)]
            constant = self._trivial(part)
            if constant is None:
                return None
            gains.append(float(np.mean(constant - self._losses_on(part, params, self.network, self.loss))))
        return float(np.mean(gains))

    @functools.cached_property
    def beside_linear(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Losses of the networks' average and of a linear model, for every row that some network held out; None where
        there is no such row or such model, or each step has a target.

        The average of the networks is better than they are on average by as much as they are apart, which rows that
        they were trained on tell too: loss of the average = mean loss - (mean loss of all - loss of the mean z of all),
        the first mean over those that held the row out. The linear model is fitted to the training rows of each.
        """
        loss, rows = self.loss, self.task.rows
        if isinstance(rows.y, Ragged):
            return None
        models = self._linear or LinearModels(rows, loss, self.n_out)
        if not isinstance(loss, LINEAR_CLASSES if models.classes else LINEAR_NUMBERS):
            return None
        if not self.task.held_out or models.inputs is None:
            return None
        place = np.unique(np.concatenate([split.valid for split in self.fit.splits]))
        y, weight = weighted_targets(rows, place, self._n_units)
        y = y.astype(np.float32)
        z = np.stack([self._outputs_on(place, params) for params in self.fit.members])
        every = np.stack([loss_values(loss, each, y) for each in z])
        apart = every.mean(axis=0) - loss_values(loss, z.mean(axis=0), y)
        own, other, counts = (np.zeros(len(place)) for _ in range(3))
        for split, losses in zip(self.fit.splits, every, strict=True):
            held = np.isin(place, split.valid)
            own[held] += losses[held]
            other[held] += loss_values(loss, self._outputs_of(models.linear(split.train, place[held])), y[held])
            counts[held] += 1
        return weight * (own / counts - apart), weight * other / counts

    def _outputs_of(self, z: np.ndarray) -> np.ndarray:
        """Pre-activations of a linear model, as many as the network has."""
        return (z if z.shape[1] == self._n_units else z[:, 1:] - z[:, :1]).astype(np.float32)

    @property
    def share_left(self) -> float:
        """The loss of the kept weights over that of a constant answer; NaN where that is not known."""
        return float(np.mean(self.losses.judged) / self.trivial) if self.trivial else np.nan

    @functools.cached_property
    def layer_names(self) -> list[str]:
        """Of the layers that are looked at."""
        count = len(traced(self.network))
        return [f"hidden layer {i}" for i in range(1, count)] + ["output layer"]

    def column(self, looks: np.ndarray, name: str) -> np.ndarray:
        """One quantity of looks, the last axis taken away."""
        return looks[..., COLUMNS.index(name)]

    @functools.cached_property
    def first_look(self) -> np.ndarray:
        """(layers, columns) at the weights that training began from, over up to `PROBE_ROWS` training rows."""
        return self.look(self.member.params)

    @functools.cached_property
    def last_look(self) -> np.ndarray:
        """The same at the weights that were kept, or the last ones if a constant answer took their place."""
        return self.look(self.state.params if 0 in self.fit.constant else self.params)

    def look(self, params: Params) -> np.ndarray:
        """(layers, columns) at these weights."""
        return self.look_at(self._looked_at, params)

    @property
    def _looked_at(self) -> np.ndarray:
        train = self.task.split.train
        return train[np.linspace(0, len(train) - 1, min(PROBE_ROWS, len(train))).astype(int)]

    def look_at(self, part: np.ndarray, params: Params | None = None) -> np.ndarray:
        """(layers, columns) at these weights, or those that training began from, over up to `PROBE_ROWS` rows."""
        rows, params = self.task.rows, self.member.params if params is None else params
        padded: list[Any] = [_padded(array[part], PROBE_ROWS) for array in rows]
        batch = Batch(*padded)
        objective = Objective(self.network, self.loss, batch, np.float32(0), np.float32(0), None)
        loss, quantities = (np.asarray(value) for value in examine(objective, params))
        fixed = np.broadcast_to(np.stack([np.float32(0), loss]), (len(quantities), 2))
        return np.concatenate([fixed, quantities], axis=1)

    def losses_of(self, params: Params, network: Chain | None = None, loss: Loss | None = None) -> Losses:
        """Losses of single rows."""
        split = self.task.split
        parts = split.train[: 8 * PROBE_ROWS], split.valid
        return Losses(*(self._losses_on(part, params, network or self.network, loss or self.loss) for part in parts))

    def _losses_on(self, part: np.ndarray, params: Params, network: Chain, loss: Loss) -> np.ndarray:
        rows = self.task.rows
        blocks = [part[start : start + PROBE_ROWS] for start in range(0, len(part), PROBE_ROWS)]
        values = [
            np.asarray(_row_losses(network, loss, params, *(_padded(a[block], PROBE_ROWS) for a in rows)))
            for block in blocks
        ]
        return (np.concatenate(values)[: len(part)] if values else np.zeros(0)).astype(np.float64)

    def _outputs_on(self, part: np.ndarray, params: Params, network: Chain | None = None) -> np.ndarray:
        rows, network = self.task.rows, network or self.network
        size = SEQUENCES if network.of_sequences else PROBE_ROWS
        blocks = [part[start : start + size] for start in range(0, len(part), size)]
        values = [np.asarray(_row_outputs(network, params, _inputs(rows, block, size))) for block in blocks]
        return np.concatenate(values)[: len(part)]

    # --- runs for comparison ---

    def compare(self, run: Trained, network: Chain | None = None, loss: Loss | None = None) -> Comparison:
        """The network as it is, and what became of it in another run."""
        params, _ = run.kept(self.keeps_best)
        return self.compare_losses(self.losses_of(params, network, loss))

    def compare_losses(self, after: Losses) -> Comparison:
        """The network as it is, and one with these losses."""
        return compared(self.losses.judged, after.judged)

    def again(self, *, rate: float | None = None, l2: float | None = None, batch_size: int | None = None) -> Trained:
        """Train once more from the start with another rate, penalty or batch size."""
        l2, size = self.fit.l2 if l2 is None else l2, batch_size or self.fit.batch_size
        member = self.task.member(self.rule, 0, l2, size)
        member = member if rate is None else with_rate(member, rate)
        return self.train(member, self.task.stop_rule(member.trial.optimizer, member.batches))

    def afresh(self, rows: Rows | None = None, **settings: Any) -> tuple[Trained, Chain, Loss]:
        """Train another network, at the rate that a sweep finds for it: (what came of it, the network, its loss).
        `rows` are the same with other targets, None as they are."""
        changed: Settings = dataclasses.replace(self.settings, **settings)
        kind = "classification" if self.task.rows.y.dtype.kind == "i" else "regression"
        loss, n_out = pair(changed, kind, self.n_out)
        rows, network = rows or self.task.rows, changed.network(n_out)
        task = self.task._replace(rows=rows, settings=changed, network=network, loss=loss, start=None)
        l2 = candidate_penalties(task, choose=False)[0]
        member = task.member(self.rule, 0, l2, self.fit.batch_size)
        if self.rule.has_rate:
            swept = rate_stage(member, self.watcher, n_steps=sweep_steps(task, member))
            member = with_rate(member, swept["decision"])
        return self.train(member, task.stop_rule(self.rule, member.batches)), task.network, loss

    def gone_on_for(self, epochs: int) -> Trained:
        """Go on from where the run ended."""
        member = self.member._replace(
            params=self.state.params, best_loss=float(self.state.best_loss), first_epoch=len(self.history)
        )
        run = self.train(member, StopRule(epochs, epochs))
        nothing_better = run.state.best_epoch == 0
        return run._replace(state=run.state._replace(best=self.state.best)) if nothing_better else run

    @property
    def n_out(self) -> int:
        """Classes, or numbers to predict."""
        y = self.task.rows.y
        return int(y.max()) + 1 if y.dtype.kind == "i" else y.shape[1]

    @property
    def _n_units(self) -> int:
        """Of the output layer: one for two classes."""
        return len(output(self.params)[1].b)

    def train(self, member: Member, stop: StopRule) -> Trained:
        """One run, unseen."""
        unseen = Watcher()
        unseen.ended = self.watcher.ended
        member = member._replace(batches=dataclasses.replace(member.batches, looks=0))
        run = train_side_by_side({"again": member}, stop, unseen, Journal())["again"]
        assert run is not None
        return run

    @functools.cached_property
    def sweep(self) -> dict[str, Any]:
        """The rate that a sweep would have taken, with its evidence."""
        return rate_stage(self.member, self.watcher, n_steps=sweep_steps(self.task, self.member))

    @functools.cached_property
    def at_swept_rate(self) -> Comparison:
        """What the rate of the sweep would have come to."""
        return self.compare(self.again(rate=self.sweep["decision"]))

    def with_poisson(self, center: float, scale: float) -> tuple[Comparison, float]:
        """What the loss "poisson" would have come to in absolute errors, and the share of negative answers without it;
        targets y stand for y scale + center."""
        task, rows = self.task, self.task.rows
        numbers = np.maximum(rows.y.astype(np.float64) * scale + center, 0.0)
        mean = numbers[task.split.train].mean()
        run, network, _ = self.afresh(rows._replace(y=(numbers / mean).astype(np.float32)), loss="poisson")
        judge = task.split.valid if task.held_out else task.split.train[: 8 * PROBE_ROWS]
        z = self._outputs_on(judge, run.kept(self.keeps_best)[0], network).astype(np.float64)
        answers = self._outputs_on(judge, self.params) * scale + center, np.exp(z) * mean
        before, after = (rows.weight[judge] * np.abs(each - numbers[judge])[:, 0] for each in answers)
        return compared(before, after), float(np.mean(answers[0] < 0))

    @functools.cached_property
    def gone_on(self) -> Comparison:
        """What twice as many epochs more would have come to."""
        return self.compare(self.gone_on_for(2 * len(self.history)))

    @property
    def ended(self) -> bool:
        """Whether there is no time for runs for comparison."""
        return self.watcher.ended()

    @property
    def cut(self) -> bool:
        """Whether the run was ended before its time."""
        most = self.task.stop_rule(self.rule, self.member.batches).max_epochs
        return self.ended and not bool(self.state.stopped) and len(self.history) < most

    # --- curves ---

    @property
    def still_falling(self) -> float:
        """The share of the training loss that its last fifth of the epochs took away, by the means of the two halves of
        that fifth; negative if it rose, 0 where they lie no further apart than two standard errors."""
        tail = self.train_curve[-max(4, len(self.train_curve) // 5) :].astype(np.float64)
        half = len(tail) // 2
        if half == 0 or not np.isfinite(tail).all():
            return 0.0
        early, late = tail[:half], tail[-half:]
        fall, error = early.mean() - late.mean(), np.sqrt((early.var() + late.var()) / max(1, half - 1))
        return float(fall / early.mean()) if early.mean() > 0 and abs(fall) > 2 * error else 0.0

    @property
    def oscillation(self) -> float:
        """The oscillation index of the training loss over all epochs (see `axonic.recipe.rate.oscillation`)."""
        return oscillation(self.train_curve.astype(np.float64)) if len(self.train_curve) > 3 else 0.0


def compared(before: np.ndarray, after: np.ndarray) -> Comparison:
    """Losses of the same rows before and after a change."""
    with np.errstate(invalid="ignore", over="ignore"):
        base = float(np.mean(before))
        if not np.isfinite(base):
            gain, error = (1.0, 0.0) if np.isfinite(np.mean(after)) else (0.0, 0.0)
        elif not np.isfinite(np.mean(after)):
            gain, error = -np.inf, 0.0
        else:
            fall, base = before - after, max(base, 1e-12)
            gain, error = float(fall.mean() / base), float(fall.std() / np.sqrt(len(fall)) / base)
    return Comparison(float(np.mean(before)), float(np.mean(after)), gain, error)


def rounded(value: Any) -> float:
    """To four digits, as evidence shows it."""
    return float(f"{float(value):.4g}")


def _inputs(rows: Rows, part: np.ndarray, n: int) -> Any:
    """The inputs of these rows, filled up to n."""
    if not isinstance(rows.x, Ragged):
        return _padded(rows.x[part], n)
    slots = np.full(n, -1)
    slots[: len(part)] = part
    rows = rows._replace(y=rows.weight)
    probe = room(rows, slots.shape)
    gather(rows, slots, probe)
    return probe.x


def _padded(array: np.ndarray, n: int) -> np.ndarray:
    padded = np.zeros((n, *array.shape[1:]), array.dtype)
    padded[: len(array)] = array
    return padded


@compiled(quickly=True)
def _row_outputs(network: Chain, params: Params, x: Array | Sequence) -> Float[Array, "rows n_out"]:
    return network.forward(params, x)[0]


@compiled(quickly=True)
def _row_losses(network: Chain, loss: Loss, params: Params, x: Array, y: Array, weight: Array) -> Float[Array, " rows"]:
    z, _ = network.forward(params, x)
    return weight * loss.value(z, y)
