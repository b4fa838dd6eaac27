"""From encoded rows to trained networks: the stages of a fit, each with its evidence and its decision.

1. The rule. With `optimizer="auto"` the rules that the notes advise for so many rows go through 2 and 3, and the one
   whose networks have the lowest mean validation loss is taken.
2. The rate. Candidates ten times apart train from the same weights on the same batches for a few hundred steps; see
   `choose_rate` for which one is taken. A rate given by hand takes the stage out.
3. The long runs, each until its loss has been flat for a fifth of all epochs (`axonic.training.StopRule`), with the
   weights of the best validation loss kept. Where the cost allows (`n_networks`), five networks are trained from
   different weights on different splits, and predict together.
4. The penalty. With `regularization="auto"` L2 is scaled by the number of rows; where the cost allows, the long runs
   are made at several penalties, and the networks of the one with the lowest mean validation loss are kept.

Everything is trained by one compiled program, since compiling is most of the wait for a small table; candidates and
networks run side by side, a thread for each processor.
"""

import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from axonic import optimizers, training
from axonic.data.batches import Batches, Cursor, Rows, Split, resplit
from axonic.engine import use_compilation_cache
from axonic.errors import InputError
from axonic.layers import Chain
from axonic.losses import Loss
from axonic.optimizers import Optimizer
from axonic.seeds import generator, key_data
from axonic.settings import Settings
from axonic.training import HISTORY, Progress, State, StopRule, Trial
from axonic.types import Finding, Params

RATES = tuple(10.0**power for power in range(1, -5, -1))
SWEEP_STEPS, SWEEP_WINDOWS = 300, 20
LEARNED = 0.9
WHOLE_BLOCK = 256
MIN_FLAT_EPOCHS = 10
MAX_EPOCHS, MAX_STEPS = 1000, 30_000
NETWORKS = 5
PENALTIES = (1.0, 0.25)
"""Candidates of the L2 penalty, over the number of training rows; the first is taken where there is no choice."""
SMALL_ROWS = 10_000
SMALL_RULES = ("momentum", "rprop", "conjugate_gradient", "scaled_conjugate_gradient", "lbfgs")
LARGE_RULES = ("momentum", "adam", "rmsprop")
"""Rules to choose from with `optimizer="auto"`, up to so many training rows and beyond: the notes advise rules that
take the whole training set for small tables, mini-batches for large ones."""
SAME = 0.01
AVERAGE_WORK, CHOICE_WORK = 1_000_000_000, 20_000_000
"""Weights times rows up to which several networks, and several penalties, are trained by themselves: about ten
seconds of training on two processors."""


class Fit(NamedTuple):
    """Trained networks and how they came about.

    Attributes
    ----------
    network, loss : as trained.
    members : the weights kept of each network: those of the best validation loss, or the last ones where nothing was
        held out.
    splits : the rows that each network was trained on and validated with.
    states : where each long run ended, for going on.
    optimizer : the rule with its rate.
    l2 : the penalty.
    history : (epochs, columns) of the first network, columns as in `axonic.training.HISTORY`.
    stages : evidence and decision of each stage, ready for JSON.
    findings : what is worth telling.
    seconds : time of each stage, compilation apart.
    """

    network: Chain
    loss: Loss
    members: tuple[Params, ...]
    splits: tuple[Split, ...]
    states: tuple[State, ...]
    optimizer: Optimizer
    l2: float
    history: np.ndarray
    stages: list[dict[str, Any]]
    findings: list[Finding]
    seconds: dict[str, float]

    @property
    def n_epochs(self) -> int:
        """Epochs run, of the first network."""
        return len(self.history)

    @property
    def history_columns(self) -> dict[str, np.ndarray]:
        """The history by column, "epoch" counted from 1."""
        columns = {name: self.history[:, i].astype(float) for i, name in enumerate(HISTORY)}
        return {"epoch": np.arange(1, len(self.history) + 1), **columns}


class Watcher:
    """What a caller may want to see of a fit; every method may be overridden."""

    def stage(self, stage: dict[str, Any]) -> None:
        """A stage has been decided."""

    def progress(self, network: int, n_networks: int, history: np.ndarray, n_epochs: int, stop: StopRule) -> bool:
        """One of the networks under way has closed epochs: `history` of the latest ones, and how many it has done.
        True ends the training of all. Never called by two threads at once."""
        del network, n_networks, history, n_epochs, stop
        return False

    def checkpoint(self, network: int, state: State, cursor: Cursor) -> None:
        """The whole state of a network, after each tape; `state` is on the device."""


class Member(NamedTuple):
    """One network to train: what, from which weights, on which batches."""

    trial: Trial
    params: Params
    batches: Batches


class Trained(NamedTuple):
    """Where a network ended: its state, and its history (epochs, columns)."""

    state: State
    history: np.ndarray


class Attempt(NamedTuple):
    """A rule with its rate, when its runs end, its networks and what became of them at the first penalty."""

    rule: Optimizer
    stop: StopRule
    members: list[Member]
    runs: list[Trained | None]


def fit(
    rows: Rows,
    split: Split,
    settings: Settings,
    network: Chain,
    loss: Loss,
    *,
    resplits: bool = True,
    start: Sequence[Params] | None = None,
    watcher: Watcher | None = None,
) -> Fit:
    """Train one network or several.

    Parameters
    ----------
    rows : encoded rows, targets and weights.
    split : validation rows decide when to stop, which weights are kept and which penalty; test rows decide nothing.
    settings : how.
    network, loss : what; see `Settings.network` and `axonic.settings.pair`.
    resplits : whether further networks may hold out other rows than `split.valid`.
    start : weights to start from, a tree for each network; None draws them.
    watcher : is told of every stage and every tape.

    Raises
    ------
    InputError : the weights to start from don't fit.
    """
    use_compilation_cache()
    watcher = watcher or Watcher()
    held_out = len(split.valid) > 0
    size = n_weights(network, rows)
    work = size * len(split.train)
    count = n_networks(settings, work, held_out=held_out, given=0 if start is None else len(start))
    penalties = candidate_penalties(settings, work, len(split.train), choose=count > 1 and held_out)
    stages: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}

    def tell(stage: dict[str, Any]) -> None:
        stages.append(stage)
        watcher.stage(stage)

    def attempt(rule: Optimizer) -> Attempt:
        """Find the rate of a rule and train its networks at the first penalty."""
        check_size(rule, size)
        members = [
            make_member(rows, split, settings, rule, network, loss, index, penalties[0], resplits, start)
            for index in range(count)
        ]
        trial, params, batches = members[0]
        stop = stop_rule(settings, rule, batches)
        _add(seconds, "compile", training.prepare([trial], [training.start(trial, params)], batches, stop))
        rule, spent = _timed(with_rate, members[0], settings, tell)
        _add(seconds, "rate", spent)
        members = [changed(member, optimizer=rule) for member in members]
        runs, spent = _timed(_train_side_by_side, members, stop, watcher)
        _add(seconds, "train", spent)
        return Attempt(rule, stop, members, runs)

    attempts = [attempt(rule) for rule in candidate_rules(settings, size, len(split.train), held_out=held_out)]
    best = 0
    if len(attempts) > 1:
        tell(_rule_stage(attempts))
        best = stages[-1]["names"].index(stages[-1]["decision"])
    rule, stop, members, runs = attempts[best]

    l2 = penalties[0]
    if len(penalties) > 1:
        jobs = [changed(member, l2=l2) for l2 in penalties[1:] for member in members]
        more, spent = _timed(_train_side_by_side, jobs, stop, watcher)
        _add(seconds, "train", spent)
        by_penalty = [runs, *(more[i : i + count] for i in range(0, len(more), count))]
        tell(_penalty_stage(penalties, by_penalty))
        l2 = stages[-1]["decision"]
        runs = by_penalty[penalties.index(l2)]

    ended = [(member, run) for member, run in zip(members, runs, strict=True) if run is not None]
    keeps_best = settings.early_stopping and held_out
    tell(_run_stage([run for _, run in ended], rule, stop, keeps_best))
    return Fit(
        network,
        loss,
        tuple(_kept(run.state, keeps_best)[0] for _, run in ended),
        tuple(member.batches.split for member, _ in ended),
        tuple(run.state for _, run in ended),
        rule,
        float(l2),
        ended[0][1].history,
        stages,
        _findings([run.state for _, run in ended], rule),
        seconds,
    )


def go_on(rows: Rows, split: Split, settings: Settings, network: Chain, loss: Loss, before: Fit | None) -> Fit:
    """Train for one pass over the rows, going on from where each network of the pass before stood (None: one network
    from the start, with the rate found or given as in `fit`). Nothing is held out, and the last weights are kept."""
    use_compilation_cache()
    stages: list[dict[str, Any]] = []
    if before is None:
        size = n_weights(network, rows)
        l2 = candidate_penalties(settings, size * len(split.train), len(split.train), choose=False)[0]
        rule = candidate_rules(settings, size, len(split.train), held_out=False)[0]
        check_size(rule, size)
        first = make_member(rows, split, settings, rule, network, loss, 0, l2, False, None)
        rule = with_rate(first, settings, stages.append)
        states = [training.start(first.trial, first.params)]
    else:
        rule, l2 = before.optimizer, before.l2
        states = [state._replace(stopped=np.bool_(False)) for state in before.states]
    members = [
        make_member(rows, split, settings, rule, network, loss, index, l2, False, None) for index in range(len(states))
    ]
    begun = time.perf_counter()
    histories = []
    for index, member in enumerate(members):
        _check_start(network, rows, states[index].params)
        epoch = int(states[index].epoch)
        stop, cursor = StopRule(epoch + 1, epoch + 2), Cursor(epoch)
        (states[index],), history = training.train([member.trial], [states[index]], member.batches, stop, cursor=cursor)
        histories.append(history[:, 0])
    return Fit(
        network,
        loss,
        tuple(state.params for state in states),
        (split,) * len(states),
        tuple(states),
        rule,
        l2,
        histories[0],
        stages,
        _findings(states, rule),
        {"train": time.perf_counter() - begun},
    )


def n_networks(settings: Settings, work: int, *, held_out: bool, given: int = 0) -> int:
    """How many networks to train: as many as asked for, or have been given to start from; with `ensemble="auto"`
    five, but one if the number of epochs is given by hand, nothing is held out, or the table and network are large.

    Parameters
    ----------
    settings : how to train.
    work : weights times rows.
    held_out : whether there are validation rows.
    given : number of networks to start from, 0 for none.

    Raises
    ------
    InputError : another number is asked for than is given.
    """
    if settings.ensemble != "auto":
        if given not in (0, settings.ensemble):
            raise InputError(
                f"ensemble = {settings.ensemble} does not fit the {given} networks to start from", "keep their number"
            )
        return settings.ensemble
    if given:
        return given
    return NETWORKS if settings.epochs == "auto" and held_out and work <= AVERAGE_WORK else 1


def candidate_rules(settings: Settings, size: int, n_train: int, *, held_out: bool) -> list[Optimizer]:
    """The rules to try: the one of the settings, or for "auto" those that the notes advise for so many rows, as far as
    they can work here; the default first, alone where there is nothing to choose by."""
    if settings.optimizer != "auto":
        return [optimizers.get(settings.optimizer)]
    names = SMALL_RULES if n_train <= SMALL_ROWS else LARGE_RULES
    rules = [optimizers.get(name) for name in names]
    able = [
        rule
        for rule in rules
        if (rule.has_rate or settings.learning_rate == "auto")
        and not (rule.same_objective and settings.dropout > 0)
        and size <= (rule.max_weights or size)
    ]
    return able if held_out else able[:1]


def candidate_penalties(settings: Settings, work: int, n_train: int, *, choose: bool) -> tuple[float, ...]:
    """L2 penalties to try, the default first; a single one where there is no choice to make.

    A penalty of l2/2 sum w^2 on the mean loss is a normal prior of the weights with variance 1 / (n l2), so the same
    prior is l2 = c / n for any number of rows n; `PENALTIES` are the values of c.
    """
    if settings.regularization is None or settings.l2 or settings.l1 or settings.dropout:
        return (settings.l2,)
    candidates = PENALTIES if choose and work <= CHOICE_WORK else PENALTIES[:1]
    return tuple(c / n_train for c in candidates)


def n_weights(network: Chain, rows: Rows) -> int:
    """Number of weights of a network for these rows."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(network.shapes(rows.x.shape[1])))


def check_size(rule: Optimizer, size: int) -> None:
    """Raise `InputError` if a network of that many weights is too large for the rule."""
    if rule.max_weights is not None and size > rule.max_weights:
        raise InputError(
            f"{type(rule).__name__} takes memory for a matrix of all weights, and the network has {size}",
            f"use {rule.instead}, or a network of at most {rule.max_weights} weights",
            "optimizer",
        )


def make_member(
    rows: Rows,
    split: Split,
    settings: Settings,
    rule: Optimizer,
    network: Chain,
    loss: Loss,
    index: int,
    l2: float,
    resplits: bool,
    start: Sequence[Params] | None,
) -> Member:
    """The network of that index with its own seed, split and weights; the first one has those of the settings."""
    seed = settings.seed if index == 0 else int(generator(settings.seed, "network", index).integers(2**31))
    if index and resplits and len(split.valid):
        split = resplit(split, seed, rows.y if rows.y.dtype.kind == "i" else None)
    if start is None:
        params = network.init(generator(seed, "init"), rows.x.shape[1])
    else:
        params = start[index]
        _check_start(network, rows, params)
    size = WHOLE_BLOCK if rule.full_batch else settings.batch_size
    batches = Batches(rows, split, size, seed, settings.shuffle)
    return Member(Trial(network, loss, rule, l2, settings.l1, key_data(seed, "dropout")), params, batches)


def _check_start(network: Chain, rows: Rows, params: Params) -> None:
    shapes = jax.tree.map(lambda s: s.shape, network.shapes(rows.x.shape[1]))
    if shapes != jax.tree.map(np.shape, params):
        raise InputError("the weights to start from do not fit the network", "keep its layers, or start afresh")


def changed(member: Member, **values: Any) -> Member:
    """The same network to train with other values of its trial."""
    return member._replace(trial=member.trial._replace(**values))


def with_rate(member: Member, settings: Settings, tell: Callable[[dict[str, Any]], Any]) -> Optimizer:
    """The rule with the rate given, or found by a stage that `tell` is told of."""
    rule, rate = member.trial.optimizer, settings.learning_rate
    if not rule.has_rate:
        return rule
    if rate == "auto":
        stage = rate_stage(member)
        tell(stage)
        rate = stage["decision"]
    return rule.replace(learning_rate=float(rate))


def _train_side_by_side(jobs: Sequence[Member], stop: StopRule, watcher: Watcher) -> list[Trained | None]:
    """Train every network, as many at a time as there are processors; None for those that had not begun when the
    training was ended from outside. The first one always begins."""
    lock, ended = threading.Lock(), threading.Event()

    def run(index: int) -> Trained | None:
        if ended.is_set() and index:
            return None
        trial, params, batches = jobs[index]
        closed = 0

        def watch(progress: Progress) -> bool:
            nonlocal closed
            closed += len(progress.history)
            with lock:
                watcher.checkpoint(index, progress.state, progress.cursor)
                if watcher.progress(index, len(jobs), progress.history[:, 0], closed, stop):
                    ended.set()
            return ended.is_set()

        (state,), history = training.train([trial], [training.start(trial, params)], batches, stop, watch=watch)
        return Trained(state, history[:, 0])

    if len(jobs) == 1:
        return [run(0)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return list(pool.map(run, range(len(jobs))))
        except BaseException:
            ended.set()
            raise


def stop_rule(settings: Settings, rule: Optimizer, batches: Batches) -> StopRule:
    """When a long run ends; without early stopping a number of epochs given by hand is run to its end."""
    per_epoch = 1 if rule.full_batch else batches.batches_per_epoch
    min_flat = max(MIN_FLAT_EPOCHS, math.ceil(rule.patience / per_epoch))
    epochs = settings.epochs
    if epochs == "auto":
        return StopRule(max(MAX_EPOCHS, math.ceil(MAX_STEPS / per_epoch)), min_flat)
    if not settings.early_stopping:
        return StopRule(epochs, epochs + 1)
    return StopRule(epochs, min_flat)


def rate_stage(member: Member) -> dict[str, Any]:
    """Sweep the rates and choose one. Pure: the run that follows is the one it would have been without it.

    Every candidate starts from the same weights and takes the same batches of training rows.

    Returns
    -------
    The stage: "rates", their training losses in windows ("train"), the "decision" and the "reason".
    """
    batches = member.batches
    train_only = Split(batches.split.train, batches.split.train[:0], batches.split.train[:0])
    windows = SWEEP_STEPS
    if not member.trial.optimizer.full_batch:
        windows = SWEEP_WINDOWS
        batches = dataclasses.replace(batches, epoch_batches=SWEEP_STEPS // SWEEP_WINDOWS)
    batches = dataclasses.replace(batches, split=train_only)
    rule = member.trial.optimizer
    jobs = [changed(member._replace(batches=batches), optimizer=rule.replace(learning_rate=rate)) for rate in RATES]
    runs = _train_side_by_side(jobs, StopRule(windows, windows + 1), Watcher())
    curves = np.full((len(RATES), windows), np.nan)
    for curve, run in zip(curves, runs, strict=True):
        if run is not None:
            curve[: len(run.history)] = run.history[:, 0]
    choice, reason = choose_rate(RATES, curves)
    return {
        "stage": "rate",
        "rates": list(RATES),
        "train": curves.round(6).tolist(),
        "decision": RATES[choice],
        "reason": reason,
    }


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
    tail = curves[:, -max(1, curves.shape[1] // 4) :]
    ends = np.median(np.where(np.isfinite(tail), tail, np.inf), axis=1)
    if not np.any(np.isfinite(ends)):
        return len(rates) - 1, "every rate diverged; the lowest is taken"
    best = int(np.argmin(ends))
    fall = curves[-1, 0] - ends[best]
    choice = int(np.flatnonzero(ends <= ends[best] + (1 - LEARNED) * max(fall, 0.0))[-1])
    most = f"the training loss fell lowest at {rates[best]:g}"
    if choice == best:
        return choice, most
    return choice, f"{most}, and at {rates[choice]:g}, which is safer, by at least {LEARNED:.0%} as much"


def _rule_stage(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Choose the rule whose networks have the lowest mean validation loss; within 1 % the earlier one."""
    losses = [[float(run.state.best_loss) for run in attempt.runs if run is not None] for attempt in attempts]
    means = [float(np.mean(each)) if each else math.inf for each in losses]
    choice = next(i for i, mean in enumerate(means) if mean <= min(means) + SAME * abs(min(means)))
    names = [optimizers.name(attempt.rule) for attempt in attempts]
    return {
        "stage": "optimizer",
        "names": names,
        "learning_rates": [float(attempt.rule.rate) for attempt in attempts],
        "valid": losses,
        "decision": names[choice],
        "reason": "mean validation loss "
        + ", ".join(f"{mean:.4g} with {name}" for name, mean in zip(names, means, strict=True)),
    }


def _penalty_stage(penalties: Sequence[float], by_penalty: Sequence[Sequence[Trained | None]]) -> dict[str, Any]:
    """Choose the penalty whose networks have the lowest mean validation loss."""
    losses = [[float(run.state.best_loss) for run in runs if run is not None] for runs in by_penalty]
    means = [float(np.mean(each)) if each else math.inf for each in losses]
    choice = int(np.argmin(means))
    return {
        "stage": "regularization",
        "l2": list(penalties),
        "valid": losses,
        "decision": penalties[choice],
        "reason": f"the lowest mean validation loss of {len(losses[choice])} networks: {means[choice]:.4g}, against "
        + ", ".join(
            f"{mean:.4g} at {l2:.2g}" for l2, mean in zip(penalties, means, strict=True) if l2 != penalties[choice]
        ),
    }


def _run_stage(runs: Sequence[Trained], rule: Optimizer, stop: StopRule, best: bool) -> dict[str, Any]:
    """What became of the networks that are kept; the reason is the first one's."""
    state, history = runs[0]
    if state.diverged:
        reason = "the loss was no longer finite"
    elif len(history) >= stop.max_epochs:
        reason = "all epochs were run"
    elif state.stopped:
        reason = f"the loss had been flat for {len(history) - int(state.reference_epoch)} of {len(history)} epochs"
    else:
        reason = "it was interrupted"
    epochs = [_kept(run.state, best)[1] for run in runs]
    more = f"; {len(runs)} networks predict together" if len(runs) > 1 else ""
    return {
        "stage": "run",
        "learning_rate": float(rule.rate),
        "epochs": [len(run.history) for run in runs],
        "steps": [int(run.state.step) for run in runs],
        "best_loss": [float(run.state.best_loss) for run in runs],
        "decision": epochs,
        "reason": f"stopped because {reason}; the weights of epoch {epochs[0]} are kept{more}",
    }


def _kept(state: State, best: bool) -> tuple[Params, int]:
    """The weights to keep, the best or the last ones, and the epochs done when they were had."""
    if best or state.diverged:
        return state.best, int(state.best_epoch)
    return state.params, int(state.epoch)


def _findings(states: Sequence[State], rule: Optimizer) -> list[Finding]:
    state = next((state for state in states if state.diverged), None)
    if state is None:
        return []
    evidence = {"epoch": int(state.epoch), "learning_rate": float(rule.rate)}
    return [
        Finding(
            "train.diverged",
            "error",
            "",
            evidence,
            f"The loss was no longer finite in epoch {evidence['epoch']}: the steps are too long for this network.",
            f"Use a learning rate of {evidence['learning_rate'] / 10:g} or leave it on 'auto'."
            if rule.has_rate
            else "Use another rule, such as momentum.",
        )
    ]


def _add(seconds: dict[str, float], phase: str, spent: float) -> None:
    """Book time under a phase."""
    seconds[phase] = seconds.get(phase, 0.0) + spent


def _timed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start
