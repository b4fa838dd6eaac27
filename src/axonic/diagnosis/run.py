"""Findings about the run: train.*, net.cannot_fit_batch and data.no_signal.

A rule looks at the curves and the looks inside first, which costs nothing. Where they are suspicious it trains again
with the change that the remedy proposes (see `axonic.diagnosis.evidence`), and speaks only if that has helped.
`CAUSES` lists the rules in the order in which one explains the others: the first that speaks is the cause.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from axonic.data.batches import Split
from axonic.diagnosis.evidence import ERRORS, GAIN, Comparison, Evidence, compared, rounded
from axonic.health import noise_scale
from axonic.layers.base import Chain
from axonic.layers.dropout import Dropout
from axonic.losses import Absolute, Huber, MeanSquaredError, Quantile, SquaredError
from axonic.losses.steps import of_a_step
from axonic.optimizers import Optimizer
from axonic.recipe import Fit, Member
from axonic.recipe.rate import CALM, RATES, SWEEP_WINDOWS, ends, sweep_curves, with_rate
from axonic.regularization import Regularization
from axonic.training import State, StopRule
from axonic.types import Finding

LEARNED_LITTLE = 0.9
"""A loss above this share of a constant answer's is suspicious of everything."""
RATE_FACTOR = 5.0
"""How far a rate must lie from that of the sweep, whose candidates lie a decade apart."""
STILL_FALLING = 0.02
UPDATE_HIGH, UPDATE_LOW = 0.1, 1e-4
"""Updates over weights in one step; TheDeepChecker has 1e-1 and 1e-4."""
DEAD, SATURATED = 0.5, 0.5
LARGE_BATCH = 128
SMALL_BATCH = 32
GAP, MEMORISED = 0.25, 0.5
"""Overfitting: validation loss above training loss by this share of a constant answer's loss, the training loss below
this share of the validation loss."""
SMALL_LAYER = 64
UNRESTRAINED: dict[str, Any] = {
    "l2": 0.0,
    "l1": 0.0,
    "dropout": 0.0,
    "input_noise": 0.0,
    "mixup": 0.0,
    "label_smoothing": 0.0,
    "max_norm": None,
}
LEARNED_ALL = 0.01
"""A training loss below this share of a constant answer's leaves nothing for a larger network to learn."""
FIT_ROWS, FIT_STEPS, FIT_SHARE = 16, 1000, 0.05
"""TheDeepChecker: 16 rows are fitted to 5 % of the loss in 1,000 steps."""
REST_SHARE = 1 / 30
"""Then the steps become so much shorter."""
FLAT_NOISE = 0.05
SPAN, ROUNDING = 100.0, 1e-6
"""Nine tenths of a skewed target lie this factor apart; encoded, a 0 comes back with such an error."""
CLEAR = 2.0
"""Standard errors that are asked for where one would often be had by chance: of a linear model, which is looked at in
every run, and of networks some of which have given way to a constant."""
MEAN = "the mean of the target, the frequencies of its classes"
CONSTANTS: dict[type, str] = {
    Absolute: "the median of the target",
    Quantile: "the quantile of the target",
    Huber: "the middle of the target",
}
"""The best constant answer by loss (`axonic.recipe.baseline`), where it is another than the mean."""


def check_nonfinite(e: Evidence) -> Iterator[Finding]:
    """train.nonfinite: the loss is not a number before any step."""
    loss = float(e.column(e.first_look, "loss")[0])
    if not np.isfinite(loss):
        z = e.column(e.first_look, "z_rms")
        broken = [name for name, size in zip(e.layer_names, z, strict=True) if not np.isfinite(size)]
        where = broken[0] if broken else "loss"
        yield Finding(
            "train.nonfinite",
            "error",
            where,
            {"initial_loss": str(loss), "z_rms": [str(size) for size in z]},
            f"The loss is {loss} before the first step; the first numbers that are not finite are those of the "
            f"{where}.",
            "Check the loss for logarithms and quotients of 0 and the inputs for huge values; bring them to a common "
            "scale (standardize=True).",
        )


def check_rate_too_high(e: Evidence) -> Iterator[Finding]:
    """train.diverged, train.rate_too_high, train.dead_units, train.saturated: steps that are too long."""
    if not e.rule.has_rate:
        if not e.finite:
            yield diverged(e.state, e.rule)
        return
    dead, saturated = _grown(e, "dead"), _grown(e, "saturated")
    updates = e.column(e.health, "update_ratio")
    symptoms = {
        "oscillation": rounded(e.oscillation),
        "share_of_constant_loss": rounded(e.share_left),
        "update_ratio": rounded(float(np.nanmedian(updates))) if len(updates) else None,
        "dead": rounded(dead),
        "saturated": rounded(saturated),
    }
    suspicious = (
        not e.finite
        or e.oscillation > CALM
        or not e.share_left < LEARNED_LITTLE
        or dead >= DEAD
        or saturated >= SATURATED
        or (symptoms["update_ratio"] or 0) > UPDATE_HIGH
    )
    if not suspicious or (e.settings.learning_rate == "auto" and e.finite):
        return
    if e.ended:
        if not e.finite:
            yield diverged(e.state, e.rule)
        return
    better, rate = e.sweep["decision"], float(e.rule.rate)
    if not np.isfinite(ends(np.array(_numbers(e.sweep["train"])))).any() or rate < RATE_FACTOR * better:
        if not e.finite:
            yield diverged(e.state, e.rule)
        return
    comparison = e.at_swept_rate
    if e.finite and not comparison.helped:
        return
    evidence = {"learning_rate": rate, "swept_rate": better, **symptoms, **comparison.numbers()}
    remedy = f"Use learning_rate={better:g}, or leave it on 'auto'."
    if not e.finite:
        yield diverged(e.state, e.rule, better, evidence)
    elif dead >= DEAD:
        yield Finding(
            "train.dead_units",
            "warning",
            _worst(e, "dead"),
            evidence,
            f"{dead:.0%} of the units of a layer have died: steps at rate {rate:g} have pushed them to where they pass "
            "nothing on at any row, and there they stay.",
            remedy + ' activation="leaky_relu" keeps units alive.',
        )
    elif saturated >= SATURATED:
        yield Finding(
            "train.saturated",
            "warning",
            _worst(e, "saturated"),
            evidence,
            f"Steps at rate {rate:g} have driven a layer to where its slope is near 0: {saturated:.0%} of the change "
            "that is asked of it is lost.",
            remedy,
        )
    else:
        yield Finding(
            "train.rate_too_high",
            "warning",
            "",
            evidence,
            f"The learning rate of {rate:g} is too high: the steps overshoot. A sweep takes {better:g}, with which the "
            f"loss is {comparison.gain:.0%} lower.",
            remedy,
        )


def diverged(state: State, rule: Optimizer, better: float | None = None, evidence: dict | None = None) -> Finding:
    """train.diverged of a network that ended in `state`; `better` is a rate that works, where one is known."""
    epoch, rate = int(state.epoch), float(rule.rate)
    lower = f"a rate far below {rate:g}" if better is None else f"learning_rate={better:g}"
    return Finding(
        "train.diverged",
        "error",
        "",
        {"epoch": epoch, "learning_rate": rate, **(evidence or {})},
        f"The loss was no longer finite in epoch {epoch}: the steps are too long for this network.",
        f"Use {lower}, or leave it on 'auto'." if rule.has_rate else "Use another rule, such as momentum.",
    )


def check_rate_too_low(e: Evidence) -> Iterator[Finding]:
    """train.rate_too_low: the same number of epochs would have gone much further."""
    if not e.rule.has_rate or e.settings.learning_rate == "auto" or not e.finite or e.ended:
        return
    updates = e.column(e.health, "update_ratio")
    small = len(updates) > 0 and np.nanmedian(updates) < UPDATE_LOW
    if not (e.still_falling > STILL_FALLING or small or not e.share_left < LEARNED_LITTLE):
        return
    better, rate = e.sweep["decision"], float(e.rule.rate)
    if rate * RATE_FACTOR > better:
        return
    comparison = e.at_swept_rate
    if comparison.helped:
        evidence = {
            "learning_rate": rate,
            "swept_rate": better,
            "still_falling": rounded(e.still_falling),
            "update_ratio": rounded(float(np.nanmedian(updates))) if len(updates) else None,
            **comparison.numbers(),
        }
        yield Finding(
            "train.rate_too_low",
            "warning",
            "",
            evidence,
            f"The learning rate of {rate:g} is too low: training creeps. A sweep takes {better:g}, with which the loss "
            f"is {comparison.gain:.0%} lower after no more epochs.",
            f"Use learning_rate={better:g}, or leave it on 'auto'.",
        )


def check_cannot_fit(e: Evidence) -> Iterator[Finding]:
    """net.cannot_fit_batch: sixteen rows cannot be learned by heart. Where the network has what the remedy proposes,
    the rows are hard, as noise over one or two columns is, and nothing is wrong with it."""
    if not e.finite or e.ended or e.share_left < 0.5 or not e.rule.has_rate or e.rule.full_batch:
        return
    if _as_proposed(e):
        return
    rows, train = e.task.rows, e.task.split.train
    _, first = np.unique(rows.x[train], axis=0, return_index=True)
    part = train[np.sort(first)][:FIT_ROWS]
    none = train[:0]
    calm = (dataclasses.replace(layer, rate=0.0) if isinstance(layer, Dropout) else layer for layer in e.network.layers)
    member = e.member.changed(l2=0.0, l1=0.0, network=Chain(tuple(calm)), regularization=Regularization())
    member = member._replace(batches=dataclasses.replace(member.batches, split=Split(part, none, none)))
    start = float(e.column(e.look_at(part), "loss")[0])
    last = ends(np.array(sweep_curves(member, RATES, e.watcher, FIT_STEPS)))
    lowest = float(last.min())
    if FIT_SHARE * start < lowest < np.inf and not e.ended:
        lowest = min(lowest, _at_rest(e, member, RATES[int(np.argmin(last))]))
    if lowest > FIT_SHARE * start and np.isfinite(start):
        yield Finding(
            "net.cannot_fit_batch",
            "error",
            "",
            {"rows": len(part), "steps": FIT_STEPS, "loss_before": rounded(start), "loss_after": rounded(lowest)},
            f"{len(part)} rows cannot be learned by heart in {FIT_STEPS} steps at any rate and as many short ones: "
            f"their loss goes from {start:.3g} to {lowest:.3g} only. The network has too few units on the way, its "
            "outputs cannot reach the targets, or its gradient is wrong.",
            "Use more units in the smallest hidden layer (hidden_layer_sizes=(64, 64)) and the loss that fits the "
            'target (loss="auto"); check a loss of your own: what its outputs can be, and its delta.',
        )


def _as_proposed(e: Evidence) -> bool:
    """Whether no hidden layer is small and the loss is one of the package's whose outputs can reach the targets."""
    loss = of_a_step(e.loss)
    fits = type(loss).__module__.startswith("axonic.losses.") and not isinstance(loss, MeanSquaredError)
    return fits and e.settings.net != "rbf" and min(e.settings.hidden_layer_sizes, default=0) >= SMALL_LAYER


def _at_rest(e: Evidence, member: Member, rate: float) -> float:
    """The loss where a run at this rate ends, after as many steps again at a share of it: where the gradient is as long
    near the lowest loss as far from it, like that of absolute errors, steps of one length lead to and fro about it. The
    program is that of the sweep, of which a rate is a value."""
    batches = dataclasses.replace(member.batches, epoch_batches=FIT_STEPS // SWEEP_WINDOWS)
    stop = StopRule(SWEEP_WINDOWS, SWEEP_WINDOWS + 1)
    member = member._replace(batches=batches)
    there = e.train(with_rate(member, rate), stop)
    rest = e.train(with_rate(member._replace(params=there.state.current), rate * REST_SHARE), stop)
    return float(ends(rest.history[:, :1].T).min())


def check_batch_too_large(e: Evidence) -> Iterator[Finding]:
    """train.batch_too_large: smaller batches get further in the same epochs."""
    if not e.finite or e.ended or e.rule.full_batch or e.fit.batch_size <= LARGE_BATCH:
        return
    if not (e.still_falling > STILL_FALLING or e.batches_per_epoch <= 2 or not e.share_left < LEARNED_LITTLE):
        return
    rate = None if e.settings.learning_rate != "auto" else float(e.rule.rate)
    run = e.again(rate=rate, batch_size=SMALL_BATCH)
    comparison = e.compare(run)
    if comparison.helped and len(run.history) <= 1.5 * len(e.history):
        noise, signal = (np.nansum(e.column(e.health, name)) for name in ("gradient_noise", "gradient_signal"))
        balance = float(noise_scale(noise, signal))
        yield Finding(
            "train.batch_too_large",
            "warning",
            "",
            {
                "batch_size": e.fit.batch_size,
                "steps_per_epoch": e.batches_per_epoch,
                "noise_scale": rounded(balance) if np.isfinite(balance) else None,
                **comparison.numbers(),
            },
            f"Batches of {e.fit.batch_size} rows give {e.batches_per_epoch} steps an epoch, too few: with batches of "
            f"{SMALL_BATCH} the loss is {comparison.gain:.0%} lower after as many epochs.",
            f"Use batch_size={SMALL_BATCH}, or more epochs.",
        )


def check_stopped_early(e: Evidence) -> Iterator[Finding]:
    """train.stopped_early: the loss was still falling when the epochs were up. Where nothing is held out and the
    training rows are known by heart, that it falls on says nothing of other rows."""
    if not e.finite or e.ended or e.settings.epochs == "auto" or len(e.history) < e.settings.epochs:
        return
    if by_heart(e):
        return
    if e.still_falling <= STILL_FALLING / 2 and e.share_left < LEARNED_LITTLE:
        return
    comparison = e.gone_on
    if comparison.helped:
        yield Finding(
            "train.stopped_early",
            "warning",
            "",
            {"epochs": len(e.history), "still_falling": rounded(e.still_falling), **comparison.numbers()},
            f"Training stopped after {len(e.history)} epochs while the loss was still falling: going on lowers it by "
            f"{comparison.gain:.0%}.",
            "Leave epochs on 'auto', which trains until the loss is flat, or give more of them.",
        )


def check_cut(e: Evidence) -> Iterator[Finding]:
    """train.stopped_early: the run was interrupted, or its time was up, while the loss was still falling; info where no
    more is known than that it was cut short."""
    if not e.finite or not e.ended:
        return
    epochs, numbers = len(e.history), {"epochs": len(e.history), "still_falling": rounded(e.still_falling)}
    if e.cut and e.still_falling > STILL_FALLING / 2:
        yield Finding(
            "train.stopped_early",
            "warning",
            "",
            numbers,
            f"Training was cut short after {epochs} epoch{'s' if epochs > 1 else ''} while the loss was still falling.",
            GO_ON,
        )
    else:
        yield Finding(
            "train.stopped_early",
            "info",
            "",
            numbers,
            "The run was interrupted, or its time was up, before it could be judged.",
            GO_ON,
        )


GO_ON = "Go on with it (axonic resume RUN), with a larger budget or none."


def check_underfit(e: Evidence) -> Iterator[Finding]:
    """train.underfit: a larger or less restrained network does better on the held-out rows."""
    if not e.finite or e.ended or (e.rule.full_batch and not e.rule.has_rate):
        return
    settings, train = e.settings, e.losses.train.mean()
    if e.trivial is not None and train < LEARNED_ALL * e.trivial:
        return
    smallest = min(settings.hidden_layer_sizes, default=0)
    restraints = _restraints(e)
    changes = {}
    if restraints:
        changes = {**{name: UNRESTRAINED[name] for name in restraints}, "regularization": "auto"}
    elif smallest < SMALL_LAYER:
        changes = {"hidden_layer_sizes": (64, 64), "activation": "relu"}
    if not changes:
        return
    run, network, loss = e.afresh(**changes)
    comparison = e.compare(run, network, loss)
    if not comparison.helped:
        return
    evidence = {"train_loss": rounded(train), "loss_of_constant": e.trivial, **comparison.numbers()}
    if restraints:
        named = ", ".join(f"{name}={value:.3g}" for name, value in restraints.items())
        free = ", ".join(f"{name}={UNRESTRAINED[name]}" for name in restraints)
        yield Finding(
            "train.underfit",
            "warning",
            "",
            {**restraints, **evidence},
            f"What is to keep the network from overfitting holds it back ({named}): without it the loss is "
            f"{comparison.gain:.0%} lower.",
            f"Set {free}, and leave regularization on 'auto'.",
        )
    else:
        yield Finding(
            "train.underfit",
            "warning",
            "",
            {"hidden_layer_sizes": list(settings.hidden_layer_sizes), **evidence},
            f"The network is too small for what there is to learn: two hidden layers of 64 units have a loss that is "
            f"{comparison.gain:.0%} lower.",
            "Use more units: hidden_layer_sizes=(64, 64).",
        )


def _restraints(e: Evidence) -> dict[str, float]:
    """What keeps the network from fitting the training rows, by the names of its parameters, as far as it is strong
    enough to be suspected."""
    s = e.settings
    values = {
        "l2": e.fit.l2 if e.fit.l2 * e.task.n_train > 4 else 0.0,
        "l1": s.l1,
        "dropout": s.dropout if s.dropout > 0.3 else 0.0,
        "input_noise": s.input_noise,
        "mixup": s.mixup,
        "label_smoothing": s.label_smoothing,
        "max_norm": s.max_norm or 0.0,
    }
    return {name: value for name, value in values.items() if value > 0}


def check_overfit(e: Evidence) -> Iterator[Finding]:
    """train.overfit: the training rows are known by heart, and a penalty helps the others; info where nothing is held
    out, so that nobody knows how it does on others."""
    if e.finite and by_heart(e):
        yield Finding(
            "train.overfit",
            "info",
            "",
            {"train_loss": rounded(e.losses.train.mean()), "loss_of_constant": rounded(e.trivial)},
            f"The network knows the training rows by heart (loss {e.losses.train.mean():.3g}, where a constant answer "
            f"has {e.trivial:.3g}). No rows are held out, so whether it does as well on others cannot be told.",
            "Leave early_stopping=True, or give validation_data.",
        )
    if not e.finite or e.ended or not e.task.held_out or not e.trivial:
        return
    train, valid = e.losses.train.mean(), e.losses.valid.mean()
    if not (valid - train > GAP * e.trivial and train < MEMORISED * valid):
        return
    n = e.task.n_train
    strongest, comparison = None, None
    for c in (1.0, 4.0, 16.0):
        if c / n <= e.fit.l2 or e.ended:
            continue
        tried = e.compare(e.again(l2=c / n))
        if comparison is None or tried.gain > comparison.gain:
            strongest, comparison = c / n, tried
    evidence = {"train_loss": rounded(train), "valid_loss": rounded(valid), "loss_of_constant": rounded(e.trivial)}
    if comparison is not None and comparison.helped:
        yield Finding(
            "train.overfit",
            "warning",
            "",
            {**evidence, "l2": strongest, **comparison.numbers(), **_noises(e)},
            f"The network knows the training rows by heart (loss {train:.3g}) and does worse on others ({valid:.3g}): "
            f"a penalty of l2={strongest:.2g} lowers that by {comparison.gain:.0%}. {_which_noise(e)}",
            f'Use l2={strongest:.2g} or regularization="auto", several networks (ensemble="auto"), and more rows.',
        )


def by_heart(e: Evidence) -> bool:
    """Whether hardly anything is left of the training loss and nothing is held out."""
    return not e.task.held_out and e.share_left < LEARNED_ALL


def _noises(e: Evidence) -> dict[str, float]:
    """Evidence for the two kinds of noise: how often a row's nearest neighbour in training has another target
    (targets that cannot be relied on), and how many rows there are for each weight (accidental regularities)."""
    return {
        "neighbour_disagrees": rounded(_disagreement(e)),
        "rows_per_weight": rounded(e.task.n_train / e.task.n_weights),
    }


def _disagreement(e: Evidence) -> float:
    """Classification: the share of training rows whose nearest neighbour is of another class. Regression: half the mean
    squared difference to its target, over the variance, which estimates the share that is noise."""
    train = e.task.split.train[:1000]
    x, y = e.task.rows.x[train].astype(np.float64), e.task.rows.y[train]
    squares = np.sum(x * x, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * x @ x.T
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    if y.dtype.kind == "i":
        return float(np.mean(y != y[nearest]))
    spread = y.var(axis=0).mean()
    return float(np.mean((y - y[nearest]) ** 2) / 2 / spread) if spread > 0 else 0.0


def _which_noise(e: Evidence) -> str:
    share = _disagreement(e)
    n_classes = e.n_out if e.task.rows.y.dtype.kind == "i" else 0
    chance = 1 - 1 / n_classes if n_classes else 1.0
    if share > 0.5 * chance:
        return "Rows that are alike often differ in the target, so much of what it has learned is noise of the targets."
    return "Rows that are alike mostly agree in the target, so what it has learned too much of is chance in the sample."


def check_plateau(e: Evidence) -> Iterator[Finding]:
    """train.plateau: the loss is flat because the steps are too long to get any lower."""
    if not e.finite or e.ended or not e.rule.has_rate or e.settings.branch_stage or e.still_falling > STILL_FALLING:
        return
    tail = e.train_curve[-max(4, len(e.train_curve) // 5) :]
    if not np.isfinite(tail).all() or tail.mean() <= 0 or tail.std() < FLAT_NOISE * tail.mean():
        return
    rate = float(e.rule.rate)
    member = e.member.changed(optimizer=e.rule.replace(learning_rate=rate / 10))
    member = member._replace(params=e.params)
    run = e.train(member, e.task.stop_rule(member.trial.optimizer, member.batches))
    comparison: Comparison = e.compare(run)
    if comparison.helped:
        yield Finding(
            "train.plateau",
            "warning",
            "",
            {"learning_rate": rate, "noise_of_the_tail": rounded(tail.std() / tail.mean()), **comparison.numbers()},
            f"The loss is flat and noisy: steps at rate {rate:g} are too long to get any lower, and a tenth of it "
            f"lowers the loss by {comparison.gain:.0%}.",
            f"Use learning_rate={rate / 10:.2g}, from the start or from here on (warm_start=True); with validation "
            'rows recipe="full" goes on like that by itself.',
        )


def check_skewed_target(e: Evidence) -> Iterator[Finding]:
    """data.skewed_target: a positive target over powers of ten, whose logarithm lies better. The loss
    "poisson", whose output is an exponential, must do better in absolute errors: a few squares of large ones tell
    little."""
    if not e.finite or e.ended or e.target is None or e.task.store is not None or type(e.loss) is not SquaredError:
        return
    if len(e.target.center) != 1:
        return
    (center,), (scale,) = e.target.center, e.target.scale
    numbers = e.task.rows.y[e.task.split.train, 0].astype(np.float64) * scale + center
    low, high = np.quantile(numbers, (0.05, 0.95))
    if numbers.min() < -ROUNDING * numbers.mean() or low <= 0 or high < SPAN * low:
        return
    skews = _skew(numbers), _skew(np.log(np.maximum(numbers, ROUNDING * low)))
    if abs(skews[1]) > abs(skews[0]) / 2:
        return
    comparison, negative = e.with_poisson(center, scale)
    if comparison.helped:
        yield Finding(
            "data.skewed_target",
            "warning",
            "target",
            {
                "5_percent_below": rounded(low),
                "5_percent_above": rounded(high),
                "skewness": rounded(skews[0]),
                "skewness_of_logarithm": rounded(skews[1]),
                "negative_answers": rounded(negative),
                **comparison.numbers(),
            },
            f"The target is never negative and spans powers of ten ({low:.3g} to {high:.3g} are nine tenths of it), so "
            f"that the few large ones decide all, and {negative:.0%} of the answers are negative. A loss for such "
            f"targets lowers the absolute error by {comparison.gain:.0%}.",
            'Use loss="poisson" (--loss poisson); or, if relative errors count, predict the logarithm, in Python with '
            "TransformedTargetRegressor of scikit-learn.",
        )


def _skew(values: np.ndarray) -> float:
    deviation = values.std()
    return float(np.mean((values - values.mean()) ** 3) / deviation**3) if deviation > 0 else 0.0


def check_worse_than_linear(e: Evidence) -> Iterator[Finding]:
    """train.worse_than_linear: a linear model does clearly better on rows that were held out."""
    if not e.finite or e.cut or not e.settings.hidden_layer_sizes or e.beside_linear is None:
        return
    comparison = compared(*e.beside_linear)
    if comparison.gain > GAIN and comparison.gain > CLEAR * comparison.error:
        yield Finding(
            "train.worse_than_linear",
            "warning",
            "",
            {
                "rows": len(e.beside_linear[0]),
                "loss": rounded(comparison.before),
                "loss_of_linear": rounded(comparison.after),
                "gain": rounded(comparison.gain),
                "standard_error": rounded(comparison.error),
            },
            f"A linear model does better: on {len(e.beside_linear[0])} rows that were held out its loss is "
            f"{comparison.gain:.0%} lower than that of the network{'s together' if len(e.fit.members) > 1 else ''}.",
            "Leave the hidden layers out, hidden_layer_sizes=() (--hidden none): the network is a linear model then.",
        )


def check_no_signal(e: Evidence) -> Iterator[Finding]:
    """data.no_signal: nothing that holds was learned, and nothing else explains it. Of the rows that decided which
    weights to keep, half of all useless networks do a little better than a constant, so chance is asked for too; and
    where the other half has given way to the constant, for more, since what is left is better by choice."""
    said = no_signal(e.fit)
    yield from said
    if said or e.cut or not e.keeps_best or e.advantage is None:
        return
    gain, error = float(e.advantage.mean()), float(e.advantage.std() / np.sqrt(len(e.advantage)))
    if gain <= (CLEAR if e.fit.constant else ERRORS) * error:
        few = f"no more than {CLEAR:g} standard errors" if e.fit.constant else "no more than its standard error"
        yield Finding(
            "data.no_signal",
            "warning",
            "",
            {"rows": len(e.advantage), "gain": rounded(gain), "standard_error": rounded(error)},
            f"On {len(e.advantage)} rows that were held out the loss is only {gain:.2g} below that of always answering "
            f"with one constant ({_constant(e.fit)}), {few} of {error:.2g}: that may be chance.",
            off_the_plateau(e.fit) + NO_SIGNAL_REMEDY,
        )


NO_SIGNAL_REMEDY = "Check that the columns can tell the target, or collect more rows."


def no_signal(fit: Fit, least: int | None = None) -> list[Finding]:
    """data.no_signal of a fit of which at least so many networks are constant answers; None is all."""
    constant, networks = len(fit.constant), len(fit.members)
    if constant < (networks if least is None else least):
        return []
    closed = fit.optimizer is None
    where = "when each row is left out once" if closed else "on their validation rows"
    return [
        Finding(
            "data.no_signal",
            "warning",
            "",
            {"constant_networks": constant, "networks": networks},
            f"{constant} of {networks} networks did no better {where} than always answering with one constant "
            f"({_constant(fit)}), and now answer so.",
            ('If width or ridge was given, leave it at "auto". ' if closed else off_the_plateau(fit))
            + NO_SIGNAL_REMEDY,
        )
    ]


def off_the_plateau(fit: Fit) -> str:
    """What to try first behind sigmoids, where the loss is long that of a constant before it falls; "" elsewhere."""
    hidden = (getattr(layer, "activation", None) for layer in fit.network.layers)
    among = any(activation is not None and activation.name == "sigmoid" for activation in hidden)
    return 'Try activation="relu" first: behind sigmoids training can begin on a plateau. ' if among else ""


def _constant(fit: Fit) -> str:
    return CONSTANTS.get(type(of_a_step(fit.loss)), MEAN)


def _grown(e: Evidence, quantity: str) -> float:
    """The largest share of a hidden layer at the end, where it was lower at the start; 0 where there is none."""
    before, after = (e.column(look, quantity)[:-1] for look in (e.first_look, e.last_look))
    grown = np.where(np.isfinite(before) & np.isfinite(after) & (after > before), after, 0.0)
    return float(grown.max(initial=0.0))


def _worst(e: Evidence, quantity: str) -> str:
    """The hidden layer in which the share is largest at the end."""
    shares = e.column(e.last_look, quantity)[:-1]
    return e.layer_names[int(np.argmax(np.nan_to_num(shares, nan=-1.0)))]


def _numbers(rows: list) -> list:
    return [[np.nan if value is None else value for value in row] for row in rows]


CAUSES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    check_nonfinite,
    check_rate_too_high,
    check_rate_too_low,
    check_batch_too_large,
    check_stopped_early,
    check_underfit,
    check_cannot_fit,
    check_overfit,
    check_plateau,
    check_skewed_target,
    check_cut,
    check_worse_than_linear,
    check_no_signal,
)
