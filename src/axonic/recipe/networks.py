"""The networks of a fit: each with its own seed, weights, split and batches, trained side by side."""

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from axonic import distributed, training
from axonic.data.batches import Batches, Cursor, Rows, Split, most_looks, resplit
from axonic.data.ragged import Ragged
from axonic.data.store import Store
from axonic.errors import InputError
from axonic.layers import BidirectionalParams, Chain
from axonic.losses import Absolute, CrossEntropy, LogLikelihood, Loss, Quantile
from axonic.losses.steps import of_a_step
from axonic.optimizers import Optimizer
from axonic.optimizers.base import one_thread
from axonic.recipe.journal import Journal, Kept, Watcher, nothing_yet
from axonic.seeds import generator, key_data
from axonic.settings import Settings
from axonic.training import Progress, State, StopRule, Trial
from axonic.types import Params

WHOLE_BLOCK = 128
SCALE_ROWS = 16_384
MIN_FLAT_EPOCHS = 10
MAX_EPOCHS, MAX_STEPS = 1000, 30_000
LEAST_GAIN = 0.03
"""By how much the losses of all validation rows together must fall for a gain (`docs/decisions/003-stopping.md`)."""
NUMBERS_GAIN = 0.05
"""A fall by this share of the loss is enough where it `is_precise`."""
ON_PLATEAU = 5
"""How many times as long as otherwise a loss may be flat that is still that of a constant answer."""
NETWORKS, FEWER = 5, 3
SHARED_UNITS, SHARED_ROWS = 32, 16
"""Units of a recurrent layer from which on devices that share a batch save time (benchmarks/devices.py, two processors:
every layer is 1.4 to 1.8 times as fast with 32 to 128 units; with 16 a simple recurrent one is not), and rows that each
has at least."""
AVERAGE_WORK = 1_000_000_000
"""Weights times rows, or times the steps of sequences, up to which several networks are trained by themselves."""
SEQUENCE_WORK = 250_000_000
"""Weights times steps beyond which these are `FEWER`, of one penalty (`docs/decisions/005-ensemble.md`)."""


class Task(NamedTuple):
    """What is to be trained, on what and how.

    Attributes
    ----------
    rows, split : the data; validation rows decide when to stop, which weights are kept and which penalty, test rows
        decide nothing.
    settings : how.
    network, loss : what; see `Settings.network` and `axonic.settings.pair`.
    resplits : whether further networks may hold out other rows than `split.valid`.
    start : weights to start from, a tree for each network; None draws them.
    begin : what draws them, from a seed and a split, and their validation loss (infinite if it need not be undercut);
        None is `Chain.init`.
    store : all rows to train on, where `rows` are a sample of them that fits in memory; None where they are all.
    stands_for : how many rows those trained on stand for, where some are several in one.
    """

    rows: Rows
    split: Split
    settings: Settings
    network: Chain
    loss: Loss
    resplits: bool = True
    start: Sequence[Params] | None = None
    begin: Callable[[int, Split], tuple[Params, float]] | None = None
    store: Store | None = None
    stands_for: float | None = None

    @property
    def n_train(self) -> int:
        """Training rows."""
        return len(self.split.train) if self.store is None else self.store.n_train

    @property
    def held_out(self) -> bool:
        """Whether there are validation rows."""
        return len(self.split.valid) > 0

    @property
    def n_weights(self) -> int:
        """Number of weights of one network."""
        shapes = self.network.shapes(self.rows.x.shape[1])
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))

    @property
    def work(self) -> int:
        """Weights times training rows, or times the steps of the training sequences."""
        x, train = self.rows.x, self.split.train
        return self.n_weights * (int(x.lengths[train].sum()) if isinstance(x, Ragged) else self.n_train)

    @property
    def is_long(self) -> bool:
        """Whether there are sequences with so many steps that each network counts."""
        return self.settings.recurrent and self.work > SEQUENCE_WORK

    @property
    def is_precise(self) -> bool:
        """Whether a loss that is small already is worth lowering: of numbers, which may be told with any precision.
        That of classes which can be told apart falls for ever, and the steps of a recurrent network are dear."""
        return not (self.settings.recurrent or isinstance(self.loss, CrossEntropy | LogLikelihood))

    @property
    def batch_size(self) -> int:
        """Rows of a batch as asked for, but no more than there are, beyond a block: padding costs what rows do."""
        asked = self.settings.batch_size
        return asked if asked <= WHOLE_BLOCK else min(asked, max(WHOLE_BLOCK, self.n_train))

    def seed_and_split(self, index: int) -> tuple[int, Split]:
        """Of the network of that index; the first one has those of the settings, and each of the others holds out other
        rows, if it may."""
        if index == 0:
            return self.settings.seed, self.split
        seed = int(generator(self.settings.seed, "network", index).integers(2**31))
        return seed, resplit(self.split, seed, self.rows.classes) if self.resplits and self.held_out else self.split

    def beginning(self, index: int) -> "Beginning":
        """Seed, split and weights of the network of that index; the first one has those of the settings."""
        seed, split = self.seed_and_split(index)
        loss = math.inf
        if self.start is None and self.begin is not None:
            params, loss = self.begin(seed, split)
        elif self.start is None:
            params = _to_scale(
                self.network.init(generator(seed, "init"), self.rows.x.shape[1]), self.rows.x, split.train
            )
        else:
            params = self.start[index]
            self.check_start(params)
        return Beginning(seed, split, params, loss)

    def member(
        self,
        rule: Optimizer,
        index: int,
        l2: float,
        batch_size: int | None = None,
        beginning: "Beginning | None" = None,
    ) -> "Member":
        """The network of that index, to be trained by a rule; `beginning` is its own, where that is known already."""
        settings = self.settings
        seed, split, params, loss = beginning or self.beginning(index)
        size = WHOLE_BLOCK if rule.full_batch else batch_size or self.batch_size
        devices = self.devices(size)
        looks = most_looks(self.n_weights) if settings.monitor else 0
        batches = Batches(
            self.rows,
            split,
            size,
            seed,
            settings.shuffle,
            n_weights=self.n_weights,
            looks=looks,
            devices=devices,
            processes=distributed.count(),
            process=distributed.index(),
            on_device=None if rule.full_batch or devices > 1 else training.on_device(self.rows),
        )
        key = key_data(seed, "dropout")
        values = (l2, settings.l1, key, settings.values, settings.clip(rule))
        trial = Trial(self.network, self.loss, rule, *values, looks=looks)
        return Member(trial, params, batches, loss)

    def devices(self, batch_size: int) -> int:
        """How many devices share each batch. Where there are several processes, all devices of all of them. Of a
        recurrent network that is trained alone, and is large enough, as many of the processors that JAX was given as
        devices as leave `SHARED_ROWS` rows to each; otherwise one: several networks have a processor each anyway, and
        the products of a feed-forward one are spread by XLA."""
        if distributed.count() > 1:
            return jax.device_count()
        settings = self.settings
        if not settings.recurrent or max(settings.hidden_layer_sizes) < SHARED_UNITS or self.n_networks() > 1:
            return 1
        most = jax.local_device_count() if jax.default_backend() == "cpu" else 1
        most = max(1, min(most, batch_size // SHARED_ROWS))
        return next(n for n in range(most, 0, -1) if batch_size % n == 0)

    def on_all_rows(self, member: "Member") -> "Member":
        """A network with all rows to train on; it comes with those of the sample."""
        return member if self.store is None else member._replace(batches=self.store.batches(member.batches))

    def check_start(self, params: Params) -> None:
        """Raise `InputError` if these weights are not those of the network."""
        shapes = jax.tree.map(lambda s: s.shape, self.network.shapes(self.rows.x.shape[1]))
        if shapes != jax.tree.map(np.shape, params):
            raise InputError("the weights to start from do not fit the network", "keep its layers, or start afresh")

    def check_rule(self, rule: Optimizer) -> None:
        """Raise `InputError` if the network is too large for the rule, the table for one that takes all of it, or the
        loss has no curvature for one that lives on it."""
        if self.store is not None and rule.full_batch:
            raise InputError(
                f"{type(rule).__name__} takes all rows at every step, and they are read in parts",
                "use a rule that takes batches, such as momentum or adam",
                "optimizer",
            )
        if rule.max_weights is not None and isinstance(of_a_step(self.loss), Absolute | Quantile):
            raise InputError(
                f"{type(rule).__name__} takes second derivatives, which are 0 for this loss",
                f"use {rule.instead}, or the huber loss",
                "optimizer",
            )
        if rule.max_weights is not None and self.n_weights > rule.max_weights:
            raise InputError(
                f"{type(rule).__name__} takes memory for a matrix of all weights, and the network has {self.n_weights}",
                f"use {rule.instead}, or a network of at most {rule.max_weights} weights",
                "optimizer",
            )

    def n_networks(self) -> int:
        """How many networks to train: as many as asked for, or have been given to start from; with `ensemble="auto"`
        five, three of long sequences, and one if the number of epochs is given by hand, nothing is held out, or the
        data and network are large.

        Raises
        ------
        InputError : another number is asked for than is given.
        """
        asked, given = self.settings.ensemble, 0 if self.start is None else len(self.start)
        if asked != "auto":
            if given not in (0, asked):
                raise InputError(
                    f"ensemble = {asked} does not fit the {given} networks to start from", "keep their number"
                )
            return asked
        if given:
            return given
        if self.settings.epochs != "auto" or not self.held_out or self.work > AVERAGE_WORK:
            return 1
        return FEWER if self.is_long else NETWORKS

    def stop_rule(self, rule: Optimizer, batches: Batches) -> StopRule:
        """When a long run ends; without early stopping a number of epochs given by hand is run to its end."""
        per_epoch = 1 if rule.full_batch else batches.batches_per_epoch
        min_flat = max(MIN_FLAT_EPOCHS, math.ceil(rule.patience / per_epoch))
        epochs = self.settings.epochs
        if epochs != "auto" and not self.settings.early_stopping:
            return StopRule(epochs, epochs + 1)
        most = max(MAX_EPOCHS, math.ceil(MAX_STEPS / per_epoch)) if epochs == "auto" else epochs
        stop = StopRule(most, min_flat, plateau_flat=math.ceil(ON_PLATEAU * rule.patience / per_epoch))
        if self.is_precise:
            stop = stop._replace(most_gain=NUMBERS_GAIN)
        if not self.held_out:
            return stop
        return stop._replace(abs_gain=max(stop.abs_gain, LEAST_GAIN / len(self.split.valid)))


def _to_scale(params: Params, x: np.ndarray | Ragged, rows: np.ndarray) -> Params:
    """Initial weights for inputs that are larger than they are meant for: those of a column whose root mean square over
    the rows is above 1 (which none is that was standardised, but for rounding) are divided by it, so that the first
    layer begins as it would on standardised inputs. Of sequences the rows are the steps."""
    matrix: np.ndarray = x.values if isinstance(x, Ragged) else x
    if isinstance(x, Ragged):
        rows = x.steps(rows)
    squares = np.zeros(x.shape[1])
    for start in range(0, len(rows), SCALE_ROWS):
        block = matrix[rows[start : start + SCALE_ROWS]]
        squares += np.einsum("ij,ij->j", block, block)
    size = np.maximum(np.sqrt(squares / len(rows)), 1.0)

    def scaled(first: Any) -> Any:
        if isinstance(first, BidirectionalParams):
            return BidirectionalParams(*map(scaled, first))
        return first._replace(w=(first.w / size[:, None]).astype(first.w.dtype))

    return (scaled(params[0]), *params[1:])


class Beginning(NamedTuple):
    """Where a network begins, whatever trains it: its seed, its split, its weights, and their validation loss (infinite
    if it need not be undercut)."""

    seed: int
    split: Split
    params: Params
    loss: float


class Member(NamedTuple):
    """One network to train: what, from which weights, on which batches.

    `best_loss` is the validation loss of those weights where it is known: they are kept unless a lower one is reached.
    `first_epoch` is where in its shuffles it begins.
    """

    trial: Trial
    params: Params
    batches: Batches
    best_loss: float = math.inf
    first_epoch: int = 0

    def changed(self, **values: Any) -> "Member":
        """The same network to train with other values of its trial."""
        return self._replace(trial=dataclasses.replace(self.trial, **values))

    def begin(self) -> State:
        """The state before the first step."""
        return training.start(self.trial, self.params)._replace(best_loss=np.float32(self.best_loss))

    def begun(self) -> Kept:
        """Where it stands before the first step."""
        return Kept(self.begin(), Cursor(self.first_epoch), *nothing_yet(self.trial.network))

    def prepare(self, stop: StopRule) -> float:
        """Compile its program; returns the seconds it took."""
        return training.prepare([self.trial], [self.begin()], self.batches, stop)


class Trained(NamedTuple):
    """Where a network ended.

    Attributes
    ----------
    state : all that the loop carried.
    history : (epochs, columns) as in `axonic.training.HISTORY`.
    health : (looks, layers, columns) as in `axonic.health.COLUMNS`.
    """

    state: State
    history: np.ndarray
    health: np.ndarray

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end."""
        return bool(self.state.stopped)

    @property
    def best_loss(self) -> float:
        """The lowest validation loss, or training loss if nothing is held out."""
        return float(self.state.best_loss)

    def kept(self, best: bool) -> tuple[Params, int]:
        """The weights to keep, the best or the last ones, and the epochs done when they were had."""
        if best or self.state.diverged:
            return self.state.best, int(self.state.best_epoch)
        return self.state.current, int(self.state.epoch)


def train_side_by_side(
    jobs: Mapping[str, Member], stop: StopRule | Mapping[str, StopRule], watcher: Watcher, journal: Journal
) -> dict[str, Trained | None]:
    """Train every network, as many at a time as there are processors (`axonic.distributed.side_by_side`).

    Parameters
    ----------
    jobs : networks by the name under which the journal keeps them.
    stop : when each is done; one for all of them, or one by name.
    watcher, journal : are told of every tape.

    Returns
    -------
    What became of each; None for those that had not begun when the fit was ended. The first one always begins.

    Raises
    ------
    InputError : what the journal has kept is damaged; no network has gone on.
    """
    lock, failed = threading.Lock(), threading.Event()
    names = list(jobs)
    stops = dict.fromkeys(names, stop) if isinstance(stop, StopRule) else stop
    begun = {name: member.begun() for name, member in jobs.items()}
    resumed = {name: journal.resume(name, start) for name, start in begun.items()}

    def run(index: int) -> Trained | None:
        name = names[index]
        member, kept = jobs[name], resumed[name] or begun[name]
        state, cursor = kept.state, kept.cursor
        if state.stopped:
            return Trained(state, kept.history, kept.health)
        if failed.is_set() or (index and watcher.ended()):
            return Trained(state, kept.history, kept.health) if resumed[name] else None
        closed, looked = [kept.history], [kept.health]

        def watch(progress: Progress) -> bool:
            closed.append(progress.history[:, 0])
            looked.append(progress.health[:, 0])
            ended = failed.is_set() or watcher.ended()
            with lock:
                last = ended or bool(np.asarray(progress.state.stopped).all())
                journal.keep(name, progress.state, progress.cursor, closed, looked, last=last)
                watcher.progress(index, len(jobs), closed[-1], sum(map(len, closed)), stops[name])
                if len(closed[-1]) == 0:
                    share = min(1.0, progress.cursor.batch / member.batches.batches_per_epoch)
                    watcher.within(index, len(jobs), sum(map(len, closed)) + 1, share)
                if member.batches.looks:
                    watcher.looked(index, np.concatenate(closed), looked[-1])
            return ended

        (state,), _, _ = training.train(
            [member.trial], [state], member.batches, stops[name], cursor=cursor, watch=watch
        )
        run = Trained(state, np.concatenate(closed), np.concatenate(looked))
        return run if len(run.history) or state.step == 0 else _closed_early(member, run)

    if len(jobs) == 1:
        return {names[0]: run(0)}
    # the limit is taken here as well: those of several threads would undo each other in the wrong order
    with one_thread(jobs[names[0]].trial.optimizer):
        return dict(zip(names, distributed.side_by_side(run, range(len(jobs)), failed.set), strict=True))


def _closed_early(member: Member, run: Trained) -> Trained:
    """A run that was ended within its first epoch, as if that had ended there: or nothing would be known of what it has
    learned. What the journal has kept of it goes on where it stood."""
    last = Cursor(member.first_epoch, member.batches.batches_per_epoch)  # of whose epoch all rows are trained on
    (state,), history, _ = training.train([member.trial], [run.state], member.batches, StopRule(1, 1), cursor=last)
    return Trained(state._replace(stopped=np.bool_(False)), history[:, 0], run.health)


Runs = Mapping[int, Trained | None]
"""What became of networks, by their index; None for one that had not begun when the fit was ended."""


def complete(runs: Runs) -> bool:
    """Whether every network was trained to its end."""
    return all(run is not None and run.finished for run in runs.values())
