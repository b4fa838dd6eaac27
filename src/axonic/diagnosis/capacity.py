"""Findings about how much a network can learn: too little for its rows, or more than they tell."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from axonic.data.batches import Split
from axonic.diagnosis.evidence import Evidence, rounded
from axonic.layers.base import Chain
from axonic.layers.dropout import Dropout
from axonic.losses import MeanSquaredError
from axonic.losses.steps import of_a_step
from axonic.recipe import Member
from axonic.recipe.rate import RATES, SWEEP_WINDOWS, ends, sweep_curves, with_rate
from axonic.regularization import Regularization
from axonic.training import StopRule
from axonic.types import Finding

FIT_ROWS, FIT_STEPS, FIT_SHARE = 16, 1000, 0.05
"""TheDeepChecker: 16 rows are fitted to 5 % of the loss in 1,000 steps."""
REST_SHARE = 1 / 30
"""Then the steps become so much shorter."""
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
GAP, MEMORISED = 0.25, 0.5
"""Overfitting: validation loss above training loss by this share of a constant answer's loss, the training loss below
this share of the validation loss."""
ALIKE, FEW_ALIKE = 0.5, 20
"""Rows that are no more than half as far apart as usual: there a target that is linear in the inputs differs by a
quarter of what it usually does, squared, so that more than half is not its own doing. Of fewer nothing is said."""


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
        more = " and more rows" if len(e.fit.members) > 1 else ", several networks (ensemble=5), and more rows"
        yield Finding(
            "train.overfit",
            "warning",
            "",
            {**evidence, "l2": strongest, **comparison.numbers(), **_noises(e)},
            f"The network knows the training rows by heart (loss {train:.3g}) and does worse on others ({valid:.3g}): "
            f"a penalty of l2={strongest:.2g} lowers that by {comparison.gain:.0%}. {_which_noise(e)}",
            f"Use l2={strongest:.2g}{more}.",
        )


def by_heart(e: Evidence) -> bool:
    """Whether hardly anything is left of the training loss and nothing is held out."""
    return not e.task.held_out and e.share_left < LEARNED_ALL


def _noises(e: Evidence) -> dict[str, float | None]:
    """Evidence for the two kinds of noise: how often rows that are alike have other targets (targets that cannot be
    relied on; None if hardly any are alike), and how many rows there are for each weight (accidental regularities)."""
    return {"alike_disagree": _disagreement(e), "rows_per_weight": rounded(e.task.n_train / e.task.n_weights)}


def _disagreement(e: Evidence) -> float | None:
    """Of training rows that are alike (a row and its nearest neighbour, where that is no more than `ALIKE` as far as
    two rows are by the median) for classes the share that differ in it; for numbers half the mean squared difference
    over the variance, which estimates the share that is noise. None of fewer than `FEW_ALIKE`."""
    train = e.task.split.train[:1000]
    x, y = e.task.rows.x[train].astype(np.float64), e.task.rows.y[train]
    squares = np.sum(x * x, axis=1)
    distances = squares[:, None] + squares[None, :] - 2 * x @ x.T
    usual = np.median(distances[np.triu_indices(len(x), 1)])
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    alike = np.flatnonzero(distances.min(axis=1) <= ALIKE**2 * usual)
    if len(alike) < FEW_ALIKE:
        return None
    if y.dtype.kind == "i":
        return rounded(float(np.mean(y[alike] != y[nearest[alike]])))
    spread = y.var(axis=0).mean()
    return rounded(float(np.mean((y[alike] - y[nearest[alike]]) ** 2) / 2 / spread)) if spread > 0 else 0.0


def _which_noise(e: Evidence) -> str:
    share = _disagreement(e)
    if share is None:
        return (
            "Hardly any rows are alike, so whether that is noise of the targets or chance in the sample cannot be told."
        )
    n_classes = e.n_out if e.task.rows.y.dtype.kind == "i" else 0
    chance = 1 - 1 / n_classes if n_classes else 1.0
    if share > 0.5 * chance:
        return "Rows that are alike often differ in the target, so much of what it has learned is noise of the targets."
    return "Rows that are alike mostly agree in the target, so what it has learned too much of is chance in the sample."
