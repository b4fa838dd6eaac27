"""From encoded rows to a trained network: the stages of a fit, each with its evidence and its decision.

1. The rate. Candidates ten times apart run side by side from the same weights on the same batches for a few hundred
   steps; see `choose_rate` for which one is taken. A rate given by hand takes the stage out.
2. The long run, until the loss has been flat for a fifth of all epochs (`axonic.training.StopRule`), with the weights
   of the best validation loss kept.

The programs of both stages are compiled at the same time, since compiling is most of the wait for a small table.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from axonic import layers, losses, optimizers, training
from axonic.data.batches import Batches, Cursor, Rows, Split
from axonic.engine import use_compilation_cache
from axonic.errors import InputError
from axonic.layers import Chain
from axonic.losses import Loss
from axonic.optimizers import Optimizer
from axonic.seeds import generator, key_data
from axonic.training import HISTORY, Progress, State, StopRule, Trial
from axonic.types import Finding, Params

RATES = tuple(10.0**power for power in range(1, -5, -1))
SWEEP_STEPS, SWEEP_WINDOWS, SWEEP_VALID_ROWS = 300, 20, 1024
WHOLE_BLOCK = 256
MIN_FLAT_STEPS, MIN_FLAT_EPOCHS = 300, 10
MAX_EPOCHS, MAX_STEPS = 1000, 30_000
SHALLOW = 2


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; the parameters of the estimators with the same names, where they are documented."""

    hidden_layer_sizes: tuple[int, ...] = (64, 64)
    activation: str | tuple[str, ...] = "relu"
    optimizer: Any = "momentum"
    learning_rate: float | Literal["auto"] = "auto"
    batch_size: int = 32
    epochs: int | Literal["auto"] = "auto"
    loss: str | Loss = "auto"
    init: str = "auto"
    l2: float = 0.0
    l1: float = 0.0
    dropout: float = 0.0
    shuffle: bool = True
    early_stopping: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `InputError` for a value that can't work."""
        if not all(_is_whole(n) and n >= 1 for n in self.hidden_layer_sizes):
            _refuse("hidden_layer_sizes", self.hidden_layer_sizes, "give whole numbers of at least 1")
        if isinstance(self.activation, tuple) and len(self.activation) != len(self.hidden_layer_sizes):
            _refuse("activation", self.activation, "give one name, or one for each hidden layer")
        if self.learning_rate != "auto" and not _is_number(self.learning_rate, above=0.0):
            _refuse("learning_rate", self.learning_rate, "give 'auto' or a positive number")
        if not (_is_whole(self.batch_size) and self.batch_size >= 1):
            _refuse("batch_size", self.batch_size, "give a whole number of at least 1")
        if self.epochs != "auto" and not (_is_whole(self.epochs) and self.epochs >= 1):
            _refuse("epochs", self.epochs, "give 'auto' or a whole number of at least 1")
        for name in ("l2", "l1"):
            if not _is_number(getattr(self, name), least=0.0):
                _refuse(name, getattr(self, name), "give a number that is not negative")
        if not (_is_number(self.dropout, least=0.0) and self.dropout < 1):
            _refuse("dropout", self.dropout, "give a number from 0 to below 1")
        if not (_is_whole(self.seed) and 0 <= self.seed < 2**63):
            _refuse("seed", self.seed, "give a whole number from 0 on")
        layers.initializers.check(self.init)
        optimizers.get(self.optimizer)
        for name in self._activations():
            layers.activations.get(name)

    def _activations(self) -> tuple[str, ...]:
        if isinstance(self.activation, tuple):
            return self.activation
        return (self.activation,) * len(self.hidden_layer_sizes)

    def network(self, n_out: int) -> Chain:
        """Hidden layers with their activation and dropout, and a linear last layer whose output is z.

        With `init="auto"` a shallow network (up to `SHALLOW` hidden layers) starts with Glorot's weights whatever its
        activation, since He's factor of 2 starts it too large; see `docs/decisions/002-initial-weights.md`.
        """
        shallow = self.init == "auto" and len(self.hidden_layer_sizes) <= SHALLOW
        init = "glorot_uniform" if shallow else self.init
        hidden = []
        for n_units, activation in zip(self.hidden_layer_sizes, self._activations(), strict=True):
            hidden.append(layers.dense(n_units, activation, init))
            if self.dropout > 0:
                hidden.append(layers.dropout(self.dropout))
        return layers.chain(*hidden, layers.dense(n_out, "identity", init))


class Fit(NamedTuple):
    """A trained network and how it came about.

    Attributes
    ----------
    network, loss : as trained.
    params : the weights kept: of the best validation loss, or the last ones where nothing was held out.
    state : where the long run ended, for going on.
    optimizer : the rule with its rate.
    history : (epochs, columns), columns as in `axonic.training.HISTORY`.
    stages : evidence and decision of each stage, ready for JSON.
    findings : what is worth telling.
    seconds : time of each stage, compilation apart.
    """

    network: Chain
    loss: Loss
    params: Params
    state: State
    optimizer: Optimizer
    history: np.ndarray
    stages: list[dict[str, Any]]
    findings: list[Finding]
    seconds: dict[str, float]

    @property
    def n_epochs(self) -> int:
        """Epochs run."""
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

    def progress(self, history: np.ndarray, n_epochs: int, stop: StopRule) -> bool:
        """Epochs have been closed: `history` of the latest ones, and how many there are so far. True ends the run."""
        del history, n_epochs, stop
        return False

    def checkpoint(self, state: State, cursor: Cursor) -> None:
        """The whole state of the long run, after each tape; `state` is on the device."""


def pair(settings: Settings, task: str, n: int) -> tuple[Loss, int]:
    """The loss with its output activation, and the number of output units, for `n` classes or target numbers.

    Two classes take one sigmoid unit, more take a softmax; numbers take linear units.

    Raises
    ------
    InputError : the loss does not go with the task.
    """
    if isinstance(settings.loss, Loss):
        binary = task == "classification" and n == 2 and settings.loss.activation.name == "sigmoid"
        return settings.loss, 1 if binary else n
    if task == "regression":
        known: dict[str, tuple[Loss, int]] = {"auto": (losses.squared_error, n)}
        known["squared_error"] = known["auto"]
    elif n == 2:
        known = {
            "auto": (losses.cross_entropy, 1),
            "cross_entropy": (losses.cross_entropy, 1),
            "log_likelihood": (losses.log_likelihood, 2),
            "mse": (losses.mse("sigmoid"), 1),
        }
    else:
        known = {
            "auto": (losses.log_likelihood, n),
            "log_likelihood": (losses.log_likelihood, n),
            "mse": (losses.mse("softmax"), n),
        }
    if settings.loss not in known:
        what = "regression" if task == "regression" else f"{n} classes"
        _refuse("loss", settings.loss, f"for {what} use one of {', '.join(known)}")
    return known[settings.loss]


def fit(
    rows: Rows,
    split: Split,
    settings: Settings,
    network: Chain,
    loss: Loss,
    *,
    params: Params | None = None,
    watcher: Watcher | None = None,
) -> Fit:
    """Train a network on the rows of `split.train`.

    Parameters
    ----------
    rows : encoded rows, targets and weights.
    split : validation rows decide when to stop and which weights are kept; test rows decide nothing.
    settings : how.
    network, loss : what; see `Settings.network` and `pair`.
    params : weights to start from; None draws them.
    watcher : is told of every stage and every tape.
    """
    use_compilation_cache()
    watcher = watcher or Watcher()
    params = _start(network, settings, rows, params)
    trial = _trial(network, loss, optimizers.get(settings.optimizer), settings)
    batches = _batches(rows, split, settings, trial.optimizer)
    stop = stop_rule(settings, batches)
    stages: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}

    compiled = training.compile_ahead([trial], [training.start(trial, params)], batches, stop)
    trial, seconds["rate"] = _timed(_with_rate, trial, params, rows, split, settings, stages)
    for stage in stages:
        watcher.stage(stage)
    seconds["compile"] = compiled.result()
    closed = 0

    def watch(progress: Progress) -> bool:
        nonlocal closed
        closed += len(progress.history)
        watcher.checkpoint(progress.state, progress.cursor)
        return watcher.progress(progress.history[:, 0], closed, stop)

    (states, history), seconds["train"] = _timed(
        training.train, [trial], [training.start(trial, params)], batches, stop, watch=watch
    )
    state, history = states[0], history[:, 0]
    kept, best = _kept(state, settings.early_stopping and len(split.valid) > 0)
    stages.append(_long_run(state, history, trial.optimizer, stop, best))
    watcher.stage(stages[-1])
    return Fit(network, loss, kept, state, trial.optimizer, history, stages, _findings(state, trial.optimizer), seconds)


def go_on(
    rows: Rows, split: Split, settings: Settings, network: Chain, loss: Loss, before: tuple[State, Optimizer] | None
) -> Fit:
    """Train for one pass over the rows, going on from the state and the rule of the pass before (None: from the
    start, with the rate found or given as in `fit`). Nothing is held out, and the last weights are kept."""
    use_compilation_cache()
    stages: list[dict[str, Any]] = []
    if before is None:
        params = _start(network, settings, rows, None)
        trial = _trial(network, loss, optimizers.get(settings.optimizer), settings)
        trial, _ = _timed(_with_rate, trial, params, rows, split, settings, stages)
        state = training.start(trial, params)
    else:
        state, rule = before
        _start(network, settings, rows, state.params)
        trial = _trial(network, loss, rule, settings)
        state = state._replace(stopped=np.bool_(False))
    batches = _batches(rows, split, settings, trial.optimizer)
    epoch = int(state.epoch)
    stop = StopRule(epoch + 1, epoch + 2)
    (states, history), seconds = _timed(training.train, [trial], [state], batches, stop, cursor=Cursor(epoch))
    state = states[0]
    findings = _findings(state, trial.optimizer)
    return Fit(network, loss, state.params, state, trial.optimizer, history[:, 0], stages, findings, {"train": seconds})


def _start(network: Chain, settings: Settings, rows: Rows, params: Params | None) -> Params:
    """The weights to start from: drawn, or those given if they fit the network."""
    n_in = rows.x.shape[1]
    if params is None:
        return network.init(generator(settings.seed, "init"), n_in)
    if jax.tree.map(lambda s: s.shape, network.shapes(n_in)) != jax.tree.map(np.shape, params):
        raise InputError("the weights to start from do not fit the network", "keep its layers, or start afresh")
    return params


def _trial(network: Chain, loss: Loss, rule: Optimizer, settings: Settings) -> Trial:
    return Trial(network, loss, rule, settings.l2, settings.l1, key_data(settings.seed, "dropout"))


def _with_rate(
    trial: Trial, params: Params, rows: Rows, split: Split, settings: Settings, stages: list[dict[str, Any]]
) -> Trial:
    """The trial with the rate given, or found by a stage that is added to `stages`."""
    rate = settings.learning_rate
    if rate == "auto":
        stages.append(rate_stage(trial, params, rows, split, settings))
        rate = stages[-1]["decision"]
    return trial._replace(optimizer=trial.optimizer.replace(learning_rate=float(rate)))


def stop_rule(settings: Settings, batches: Batches) -> StopRule:
    """When the long run ends; without early stopping a number of epochs given by hand is run to its end."""
    per_epoch = 1 if optimizers.get(settings.optimizer).full_batch else batches.batches_per_epoch
    epochs = settings.epochs
    if epochs == "auto":
        return StopRule(max(MAX_EPOCHS, math.ceil(MAX_STEPS / per_epoch)), _min_flat(per_epoch))
    if not settings.early_stopping:
        return StopRule(epochs, epochs + 1)
    return StopRule(epochs, _min_flat(per_epoch))


def _min_flat(steps_per_epoch: int) -> int:
    return max(MIN_FLAT_EPOCHS, math.ceil(MIN_FLAT_STEPS / steps_per_epoch))


def rate_stage(trial: Trial, params: Params, rows: Rows, split: Split, settings: Settings) -> dict[str, Any]:
    """Sweep the rates and choose one. Pure: the run that follows is the one it would have been without it.

    Returns
    -------
    The stage: "rates", their "train" and "valid" losses in windows, the "decision" and the "reason".
    """
    rng = generator(settings.seed, "sweep")
    valid = split.valid
    if len(valid) > SWEEP_VALID_ROWS:
        valid = rng.choice(valid, SWEEP_VALID_ROWS, replace=False)
    few = Split(split.train, valid, np.empty(0, np.int64))
    if trial.optimizer.full_batch:
        batches = Batches(rows, few, WHOLE_BLOCK)
        windows = SWEEP_STEPS
    else:
        batches = Batches(
            rows,
            few,
            settings.batch_size,
            int(rng.integers(2**31)),
            settings.shuffle,
            epoch_batches=SWEEP_STEPS // SWEEP_WINDOWS,
        )
        windows = SWEEP_WINDOWS
    trials = [trial._replace(optimizer=trial.optimizer.replace(learning_rate=rate)) for rate in RATES]
    states = [training.start(each, params) for each in trials]
    _, history = training.train(trials, states, batches, StopRule(windows, windows + 1))
    curves = np.full((windows, len(RATES), len(HISTORY)), np.nan)
    curves[: len(history)] = history
    train, valid_curves = curves[:, :, 0].T, curves[:, :, 1].T
    choice, reason = choose_rate(RATES, valid_curves if len(valid) else train)
    return {
        "stage": "rate",
        "rates": list(RATES),
        "train": train.round(6).tolist(),
        "valid": valid_curves.round(6).tolist(),
        "decision": RATES[choice],
        "reason": reason,
    }


def choose_rate(rates: Sequence[float], curves: np.ndarray) -> tuple[int, str]:
    """The index of the rate to take, and why.

    The rate whose loss at the end of the sweep (median of the last quarter of the windows) is lowest, or a tenth of
    it: a rate that is best over a few hundred steps is often too high for a long run, and one decade below costs
    little (the sweep over tables in `benchmarks/`).

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
    choice = min(best + 1, len(rates) - 1)
    return choice, f"the loss fell lowest at {rates[best]:g}; a long run takes the rate one decade below"


def _batches(rows: Rows, split: Split, settings: Settings, rule: Optimizer) -> Batches:
    size = WHOLE_BLOCK if rule.full_batch else settings.batch_size
    return Batches(rows, split, size, settings.seed, settings.shuffle)


def _kept(state: State, best: bool) -> tuple[Params, int]:
    """The weights to keep, and the epochs done when they were had."""
    if best or state.diverged:
        return state.best, int(state.best_epoch)
    return state.params, int(state.epoch)


def _long_run(state: State, history: np.ndarray, rule: Optimizer, stop: StopRule, best: int) -> dict[str, Any]:
    n_epochs = len(history)
    if state.diverged:
        reason = "the loss was no longer finite"
    elif n_epochs >= stop.max_epochs:
        reason = "all epochs were run"
    elif state.stopped:
        reason = f"the loss had been flat for {n_epochs - int(state.reference_epoch)} of {n_epochs} epochs"
    else:
        reason = "it was interrupted"
    return {
        "stage": "run",
        "learning_rate": float(rule.learning_rate),
        "epochs": n_epochs,
        "steps": int(state.step),
        "decision": best,
        "reason": f"stopped because {reason}; the weights of epoch {best} are kept",
    }


def _findings(state: State, rule: Optimizer) -> list[Finding]:
    if not state.diverged:
        return []
    evidence = {"epoch": int(state.epoch), "learning_rate": float(rule.learning_rate)}
    return [
        Finding(
            "train.diverged",
            "error",
            "",
            evidence,
            f"The loss was no longer finite in epoch {evidence['epoch']}: the steps are too long for this network.",
            f"Use a learning rate of {evidence['learning_rate'] / 10:g} or leave it on 'auto'.",
        )
    ]


def _timed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - start


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_number(value: Any, *, least: float = -math.inf, above: float = -math.inf) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= least and value > above


def _refuse(name: str, value: Any, how: str) -> None:
    raise InputError(f"{name} = {value!r} is impossible", how)
