"""The stages of a fit, one after the other; see `axonic.recipe`."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from axonic import optimizers, training
from axonic.data.batches import Cursor, Rows, Split
from axonic.engine import set_up
from axonic.errors import InputError
from axonic.health import COLUMNS
from axonic.layers import Chain
from axonic.losses import Loss
from axonic.optimizers import Optimizer
from axonic.recipe.batch_size import batch_stage
from axonic.recipe.branches import LEVELS, TENTH, branch, branch_stage, helped
from axonic.recipe.clock import Clock
from axonic.recipe.constant import constant, no_worse
from axonic.recipe.epochs import FEW_ROWS, kept_at, kept_at_start, kept_losses, other_epochs
from axonic.recipe.journal import Journal, Notebook, Stage, Watcher
from axonic.recipe.networks import Beginning, Member, Runs, Task, Trained, complete, train_side_by_side
from axonic.recipe.penalty import candidate_penalties, lower_penalty, penalty_stage, worth_lowering
from axonic.recipe.rate import rate_stage, sweep_steps, with_rate
from axonic.recipe.rule import candidate_rules, rule_stage
from axonic.settings import Settings
from axonic.training import HISTORY, State, StopRule
from axonic.types import Params

LEARNED = 0.05
"""By what share of a constant answer's loss a network has to do better to have learned something."""


class Fit(NamedTuple):
    """Trained networks and how they came about.

    Attributes
    ----------
    network, loss : as trained.
    members : the weights kept of each network: those of the best validation loss, or the last ones where nothing was
        held out.
    splits : the rows that each network was trained on and validated with.
    states : where each network ended, for going on.
    optimizer : the rule with the rate of the long runs, an `Optimizer`; None where the weights were had in closed form.
    l2 : the penalty.
    batch_size : rows of a batch.
    histories : (epochs, columns) of each network, columns as in `axonic.training.HISTORY`: its long run, and after it
        the branches it has kept.
    healths : (looks, layers, columns) of each network alike, columns as in `axonic.health.COLUMNS`.
    stages : evidence and decision of each stage, ready for JSON.
    constant : the networks, counted from 0, whose place a constant answer has taken.
    seconds : time of each stage, compilation apart.
    """

    network: Chain
    loss: Loss
    members: tuple[Params, ...]
    splits: tuple[Split, ...]
    states: tuple[State, ...]
    optimizer: Any
    l2: float
    batch_size: int
    histories: tuple[np.ndarray, ...]
    healths: tuple[np.ndarray, ...]
    stages: list[Stage]
    constant: tuple[int, ...]
    seconds: dict[str, float]

    @property
    def n_epochs(self) -> int:
        """Epochs run, of the first network."""
        return len(self.histories[0])

    def going_on(self, members: Sequence[Params]) -> tuple[Params, ...]:
        """The weights from which each network would be trained on: those of `members`, or, where they are the constant
        answer that has taken the place of a network, its own last ones."""
        found = list(members)
        for index in self.constant if len(self.states) == len(found) else ():
            if found[index] is self.members[index] and not self.states[index].diverged:
                found[index] = self.states[index].current
        return tuple(found)

    @property
    def rule(self) -> str:
        """The name of the rule, or "closed_form"."""
        return "closed_form" if self.optimizer is None else optimizers.name(self.optimizer)

    @property
    def learning_rate(self) -> float:
        """The rate of the long runs, NaN without one."""
        return math.nan if self.optimizer is None else float(self.optimizer.rate)

    def history_columns(self, network: int = 0) -> dict[str, np.ndarray]:
        """The history of a network by column, "epoch" counted from 1."""
        history = self.histories[network]
        columns = {name: history[:, i].astype(float) for i, name in enumerate(HISTORY)}
        return {"epoch": np.arange(1, len(history) + 1), **columns}

    def health_columns(self, network: int = 0) -> dict[str, np.ndarray]:
        """The health of a network by quantity, (looks, layers) each."""
        return {name: self.healths[network][..., i].astype(float) for i, name in enumerate(COLUMNS)}


class Plan(NamedTuple):
    """A rule, the rate and batch size found for it, and when its runs end."""

    rule: Optimizer
    batch_size: int
    stop: StopRule


class Fitting:
    """One fit under way.

    Attributes
    ----------
    penalties : candidates of l2.
    trained : what became of the networks, by the name of the rule and the penalty.
    """

    def __init__(self, task: Task, watcher: Watcher, journal: Journal, notebook: Notebook | None = None) -> None:
        self.task, self.watcher, self.journal = task, watcher, journal
        self.notebook, self.clock = notebook or Notebook(watcher, journal), Clock()
        self.count = task.n_networks()
        self.penalties = candidate_penalties(task, choose=self.count > 1 and task.held_out)
        self.keeps_best = task.settings.early_stopping and task.held_out
        self.n_valid = len(task.split.valid)
        self.trained: dict[tuple[str, float], Runs] = {}
        self.beginnings: dict[int, Beginning] = {}

    def run(self) -> Fit:
        plan = self.choose_rule()
        l2 = self.choose_penalty(plan)
        self.train(plan, [l2])
        members = self.members(plan, l2)
        own = _worth_keeping(self.trained[optimizers.name(plan.rule), l2])
        runs = self.steadied(_job(plan, l2), dict(enumerate(members)), own)
        shared = runs is not own
        constant: list[int] = []
        if self.keeps_best:
            checked = {index: no_worse(members[index], run) for index, run in runs.items()}
            runs = {index: run for index, (run, _) in checked.items()}
            constant = [index for index, (_, replaced) in checked.items() if replaced]
        places = [place for place, index in enumerate(runs) if index in constant]
        self.notebook.stage(
            "run", lambda: run_stage(list(runs.values()), plan.rule, plan.stop, self.keeps_best, shared, places)
        )
        tracks = {index: [run] for index, run in runs.items()}
        if self.task.settings.branch_stage and self.keeps_best and plan.rule.has_rate:
            self.branch_off(plan, members, tracks, constant)
        ended = [track[-1] for track in tracks.values()]
        self.notebook.end()
        return Fit(
            network=self.task.network,
            loss=self.task.loss,
            members=tuple(run.kept(self.keeps_best)[0] for run in ended),
            splits=tuple(members[index].batches.split for index in tracks),
            states=tuple(run.state for run in ended),
            optimizer=plan.rule,
            l2=float(l2),
            batch_size=plan.batch_size,
            histories=tuple(np.concatenate([run.history for run in track]) for track in tracks.values()),
            healths=tuple(_one_after_the_other(track) for track in tracks.values()),
            stages=self.notebook.stages,
            constant=tuple(places),
            seconds=self.clock.seconds,
        )

    def choose_rule(self) -> Plan:
        """The rule, with its rate and batch size."""
        plans: list[Plan] = []
        rules = candidate_rules(self.task)
        for rule in rules:
            if plans and self.watcher.ended() and not self.notebook.replays:
                break
            plans.append(self.settle(rule))
            if len(rules) > 1 and not self.notebook.replays:
                for plan in plans:
                    self.train(plan, self.penalties[:1])
        if len(rules) == 1:
            return plans[0]
        names = [optimizers.name(plan.rule) for plan in plans]

        def decide() -> Stage:
            runs = {name: self.trained.get((name, self.penalties[0]), {}) for name in names}
            able = [name for name in names if runs[name] and complete(runs[name])] or names[:1]
            compared = [plan.rule for plan in plans if optimizers.name(plan.rule) in able]
            return rule_stage(compared, [self.losses(runs[name]) for name in able])

        stage = self.notebook.stage("optimizer", decide, lambda stage: stage["decision"] in names)
        return plans[names.index(stage["decision"])]

    def settle(self, rule: Optimizer) -> Plan:
        """Find the rate and the batch size of a rule."""
        self.task.check_rule(rule)
        settings = self.task.settings
        member = self.member(rule, 0, self.penalties[0])
        self.clock.time("compile", member.prepare, self.task.stop_rule(rule, member.batches))
        if rule.has_rate:
            rate = settings.learning_rate
            if rate == "auto":
                sweep = partial(rate_stage, n_steps=sweep_steps(self.task, member))
                rate = self.decide("rate", sweep, member, lambda stage: _is_rate(stage["decision"]))["decision"]
            member = with_rate(member, float(rate))
            if settings.batch_stage and not rule.full_batch and (self.notebook.replays or not self.watcher.ended()):
                most = max(settings.batch_size, self.task.n_train)
                epochs = self.task.stop_rule(rule, self.task.on_all_rows(member).batches).usual_epochs
                stage = self.decide(
                    "batch_size",
                    partial(batch_stage, rows=self.count * epochs * self.task.n_train),
                    member,
                    lambda stage: _is_size(stage["decision"], most) and _is_rate(stage["learning_rate"]),
                )
                rule = with_rate(member, stage["learning_rate"]).trial.optimizer
                size, member = member.batches.batch_size, self.member(rule, 0, self.penalties[0], stage["decision"])
                if member.batches.batch_size != size:
                    self.clock.time("compile", member.prepare, self.task.stop_rule(rule, member.batches))
        stop = self.task.stop_rule(rule, self.task.on_all_rows(member).batches)
        return Plan(member.trial.optimizer, member.batches.batch_size, stop)

    def decide(
        self,
        name: str,
        stage: Callable[[Member, Watcher], Stage],
        member: Member,
        possible: Callable[[Stage], bool],
    ) -> Stage:
        """A stage that trains for itself."""
        return self.clock.time(name, self.notebook.stage, name, lambda: stage(member, self.watcher), possible)

    def choose_penalty(self, plan: Plan) -> float:
        """The penalty."""
        if len(self.penalties) == 1:
            return self.penalties[0]
        tried, lower = list(self.penalties), lower_penalty(self.task)

        def runs(l2: float) -> Runs:
            return self.trained.get((optimizers.name(plan.rule), l2), {})

        def able() -> list[float]:
            """The penalties whose networks have all been trained."""
            return [l2 for l2 in tried if runs(l2) and complete(runs(l2))]

        def losses(l2s: Sequence[float]) -> list[list[float]]:
            return [self.losses(runs(l2)) for l2 in l2s]

        if not self.notebook.replays:
            self.train(plan, tried)
            worth = self.task.is_precise and able() == tried and worth_lowering(losses(tried))
            if worth and not self.watcher.ended():
                tried.append(lower)
                self.train(plan, tried)

        def decide() -> Stage:
            compared = able() or tried[:1]
            return penalty_stage(compared, losses(compared))

        known = (*self.penalties, lower)
        return self.notebook.stage("regularization", decide, lambda stage: stage["decision"] in known)["decision"]

    def member(self, rule: Optimizer, index: int, l2: float, batch_size: int | None = None) -> Member:
        """The network of that index; where it begins is found once."""
        if index not in self.beginnings:
            self.beginnings[index] = self.task.beginning(index)
        return self.task.member(rule, index, l2, batch_size, self.beginnings[index])

    def members(self, plan: Plan, l2: float) -> list[Member]:
        """The networks to train by a plan."""
        return [self.member(plan.rule, index, l2, plan.batch_size) for index in range(self.count)]

    def train(self, plan: Plan, l2s: Sequence[float]) -> None:
        """Train the networks of a plan at these penalties, as far as they have not been trained."""
        name = optimizers.name(plan.rule)
        new = [l2 for l2 in l2s if (name, l2) not in self.trained]
        if not new or (self.trained and self.watcher.ended()):
            return
        jobs = {
            f"{_job(plan, l2)}-{index}": self.task.on_all_rows(member)
            for l2 in new
            for index, member in enumerate(self.members(plan, l2))
        }
        each = [self.patient(plan.stop, member) for member in self.members(plan, new[0])]
        stops = dict(zip(jobs, each * len(new), strict=True))
        runs = list(self.clock.time("train", train_side_by_side, jobs, stops, self.watcher, self.journal).values())
        for place, l2 in enumerate(new):
            self.trained[name, l2] = dict(enumerate(runs[place * self.count :][: self.count]))

    def patient(self, stop: StopRule, member: Member) -> StopRule:
        """A rule that lets a network stay longer where it has learned nothing yet: where it does no better than a
        constant answer. Of sequences, whose steps cost more, none does."""
        if not self.keeps_best or self.task.settings.recurrent or (trivial := constant(member)) is None:
            return stop
        loss = trivial[1]
        return stop._replace(plateau=loss - LEARNED * abs(loss))

    def losses(self, runs: Runs) -> list[float]:
        """Validation losses of networks by which a choice is made: those of the weights that they would keep."""
        starts = {index: beginning.loss for index, beginning in self.beginnings.items()}
        return kept_losses(runs, starts, self.n_valid if self.keeps_best else FEW_ROWS)

    def steadied(self, name: str, members: Mapping[int, Member], runs: dict[int, Trained]) -> dict[int, Trained]:
        """The networks with the weights of other epochs where each has few validation rows (`axonic.recipe.epochs`);
        those that have to keep others are trained once more, up to there, which gives the same weights.

        Parameters
        ----------
        name : of the jobs of those networks, but for their index.
        members, runs : what was trained and what became of it.
        """
        if not self.keeps_best or not complete(runs):
            return runs
        moved = other_epochs(runs, {index: members[index].best_loss for index in runs}, self.n_valid)
        if not moved:
            return runs
        steady = {i: kept_at_start(runs[i], members[i]) for i, epoch in moved.items() if epoch == 0}
        later = {index: epoch for index, epoch in moved.items() if epoch > 0}
        if later:
            jobs = {f"{name}-{i}-to-{epoch}": self.task.on_all_rows(members[i]) for i, epoch in later.items()}
            stops = dict(zip(jobs, (StopRule(epoch, epoch + 1) for epoch in later.values()), strict=True))
            ended = self.clock.time("train", train_side_by_side, jobs, stops, self.watcher, self.journal)
            again = dict(zip(later, ended.values(), strict=True))
            if not complete(again):
                return runs
            steady |= {index: kept_at(runs[index], again[index]) for index in later}
        return runs | steady

    def branch_off(
        self, plan: Plan, members: Sequence[Member], tracks: dict[int, list[Trained]], constant: Sequence[int]
    ) -> None:
        """Go on with a tenth of the rate, and with a hundredth if that has helped; the branches that are kept are added
        to the tracks. Networks that give a constant answer have nothing to go on from."""
        rate = float(plan.rule.rate)
        here = dict(enumerate(members))
        for _ in range(LEVELS):
            if self.watcher.ended() and not self.notebook.replays:
                return
            rate *= TENTH
            before = {index: track[-1] for index, track in tracks.items() if index not in constant}
            if not before:
                return
            here = {index: branch(here[index], run, rate) for index, run in before.items()}
            jobs = {f"branch-{rate:g}-{index}": self.task.on_all_rows(member) for index, member in here.items()}
            runs = self.clock.time("branch", train_side_by_side, jobs, plan.stop, self.watcher, self.journal)
            branches: Runs = dict(zip(before, runs.values(), strict=True))
            if complete(branches):
                branches = self.steadied(f"branch-{rate:g}", here, _worth_keeping(branches))
            stage = self.notebook.stage(
                "branch",
                lambda: branch_stage(rate, before, branches),  # noqa: B023
                lambda stage: set(stage["decision"]) <= set(range(self.count)) and helped(stage) in (True, False),
            )
            for index in stage["decision"]:
                if (run := branches.get(index)) is not None:  # not all have begun if the fit is ended once more
                    tracks[index].append(run)
            if not helped(stage):
                return


def _job(plan: Plan, l2: float) -> str:
    """The name under which the journal keeps the networks of a plan, but for their index."""
    return f"{optimizers.name(plan.rule)}-{plan.rule.rate:g}-{plan.batch_size}-{l2:g}"


def _is_rate(value: Any) -> bool:
    """Whether a value read from a notebook can be a learning rate."""
    return type(value) in (int, float) and 0 < value < math.inf


def _is_size(value: Any, most: int) -> bool:
    """Whether a value read from a notebook can be a batch size."""
    return type(value) is int and 1 <= value <= most


def _worth_keeping(runs: Runs) -> dict[int, Trained]:
    """The networks that were trained to their end, or where the fit was ended before, all that have begun."""
    begun = {index: run for index, run in runs.items() if run is not None}
    return {index: run for index, run in begun.items() if run.finished} or begun


def run_stage(
    runs: Sequence[Trained], rule: Optimizer, stop: StopRule, best: bool, shared: bool, constant: Sequence[int]
) -> Stage:
    """What became of the networks that are kept; the reason is the first one's. `shared` is whether they have had a say
    in each other's epochs, `constant` those, counted from 0, whose place a constant answer has taken: "best_loss" is
    then its loss."""
    state, history, _ = runs[0]
    if state.diverged:
        reason = "the loss was no longer finite"
    elif len(history) >= stop.max_epochs:
        reason = "all epochs were run"
    elif state.stopped:
        reason = f"the loss had been flat for {len(history) - int(state.reference_epoch)} of {len(history)} epochs"
    else:
        reason = "it was interrupted"
    epochs = [run.kept(best)[1] for run in runs]
    kept = f"the weights of epoch {epochs[0]} are kept" if epochs[0] else "the weights that it began with are kept"
    if 0 in constant:
        kept = "a constant answer, which no epoch undercut, is kept"
    say = ", chosen by the validation rows of all networks together, as each has few" if shared else ""
    more = f"; {len(runs)} networks predict together" if len(runs) > 1 else ""
    return {
        "learning_rate": float(rule.rate),
        "epochs": [len(run.history) for run in runs],
        "steps": [int(run.state.step) for run in runs],
        "flat_from": [int(run.state.reference_epoch) for run in runs],
        "best_loss": [run.best_loss for run in runs],
        "constant": list(constant),
        "decision": epochs,
        "reason": f"stopped because {reason}; {kept}{say}{more}",
    }


def go_on(rows: Rows, split: Split, settings: Settings, network: Chain, loss: Loss, before: Fit | None) -> Fit:
    """Train for one pass over the rows, going on from where each network of the fit before stood (None: from the start,
    with the rate found or given as in `fit`, one network unless more are asked for). Nothing is held out, and the last
    weights are kept. A network of which other weights than the last are kept begins a new run from those.

    Raises
    ------
    InputError : another rule or number of networks than before is asked for.
    """
    set_up()
    task = Task(rows, split, settings, network, loss, resplits=False)
    notebook, clock = Notebook(Watcher(), Journal()), Clock()
    rule = candidate_rules(task)[0]
    asked = settings.ensemble
    if before is None:
        l2 = candidate_penalties(task, choose=False)[0]
        task.check_rule(rule)
        first = task.member(rule, 0, l2)
        if rule.has_rate:
            rate = settings.learning_rate
            if rate == "auto":
                rate = notebook.stage("rate", lambda: rate_stage(first, Watcher()))["decision"]
            first = with_rate(first, float(rate))
        rule = first.trial.optimizer
        states = [task.member(rule, index, l2).begin() for index in range(1 if asked == "auto" else asked)]
    else:
        if settings.optimizer != "auto" and optimizers.name(rule) != before.rule:
            raise InputError(f"the networks were begun with {before.rule}", "keep the optimizer, or start afresh")
        if asked not in ("auto", len(before.states)):
            raise InputError(f"ensemble = {asked} does not fit the {len(before.states)} networks", "keep their number")
        l2 = before.l2 if settings.regularization == "auto" and not settings.l2 else settings.l2
        first = task.member(before.optimizer if settings.optimizer == "auto" else rule, 0, l2)
        if rule.has_rate:
            rate = before.learning_rate if settings.learning_rate == "auto" else settings.learning_rate
            first = with_rate(first, float(rate))
        rule = first.trial.optimizer
        states = [_stands(first, *each) for each in zip(before.states, before.going_on(before.members), strict=True)]
    size = before.batch_size if before is not None and settings.batch_stage else task.batch_size
    histories, healths = [], []
    for index, state in enumerate(states):
        task.check_start(state.params)
        member = task.member(rule, index, l2, size)
        epoch = int(state.epoch)
        stop, cursor = StopRule(epoch + 1, epoch + 2), Cursor(epoch)
        (states[index],), history, health = clock.time(
            "train",
            lambda: training.train([member.trial], [state], member.batches, stop, cursor=cursor),  # noqa: B023
        )
        histories.append(history[:, 0])
        healths.append(health[:, 0])
    return Fit(
        network=network,
        loss=loss,
        members=tuple(state.current for state in states),
        splits=(split,) * len(states),
        states=tuple(states),
        optimizer=rule,
        l2=l2,
        batch_size=size,
        histories=tuple(histories),
        healths=tuple(healths),
        stages=notebook.stages,
        constant=(),
        seconds=clock.seconds,
    )


def _stands(member: Member, state: State, params: Params) -> State:
    """Where a network goes on: where it ended, or at the first step of a new run if other weights are kept."""
    new = member._replace(params=params).begin()
    if jax.tree.structure(new) != jax.tree.structure(state):
        what = "weight_average and the form of a rule can't be changed while going on"
        raise InputError(what, "keep them, or start afresh")
    if all(np.array_equal(*pair) for pair in zip(jax.tree.leaves(state.current), jax.tree.leaves(params), strict=True)):
        return state._replace(stopped=np.bool_(False))
    return new._replace(step=state.step, epoch=state.epoch)  # so that the rows come in an order of their own


def _one_after_the_other(track: Sequence[Trained]) -> np.ndarray:
    """The health of a long run and its branches, epochs counted through."""
    parts, before = [], 0
    for run in track:
        health = run.health.copy()
        health[:, :, 0] += before
        parts.append(health)
        before += len(run.history)
    return np.concatenate(parts)
