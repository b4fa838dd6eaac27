"""Findings about the steps of training: how long they are, how many rows each looks at, and how many there were."""

from collections.abc import Iterator

import numpy as np

from axonic.diagnosis.capacity import by_heart
from axonic.diagnosis.evidence import DEAD, SATURATED, Comparison, Evidence, rounded
from axonic.health import noise_scale
from axonic.optimizers import Optimizer
from axonic.recipe.rate import CALM, ends
from axonic.training import State
from axonic.types import Finding

LEARNED_LITTLE = 0.9
"""A loss above this share of a constant answer's is suspicious of everything."""
RATE_FACTOR = 5.0
"""How far a rate must lie from that of the sweep, whose candidates lie a decade apart."""
STILL_FALLING = 0.02
UPDATE_HIGH, UPDATE_LOW = 0.1, 1e-4
"""Updates over weights in one step; TheDeepChecker has 1e-1 and 1e-4."""
LARGE_BATCH = 128
SMALL_BATCH = 32
FLAT_NOISE = 0.05
GO_ON = "Go on with it (axonic resume RUN), with a larger budget or none."


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
