"""The batch size, by the time to a common loss: a short look at a quarter and at four times of what stands.

Batch size is a matter of speed, not of the loss that is reached in the end, as long as the rate goes with it. So the
rate is swept again around its base for every size that is tried: for larger batches upwards, for smaller ones down.

The time is computed, not measured: `step_seconds` says what a step costs on the processor this was measured on, so
that the same seed takes the same decision on a busy machine as on an idle one, and when a run is resumed.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from axonic import distributed
from axonic.layers import Chain
from axonic.optimizers.base import n_weights
from axonic.recipe.journal import Stage, Watcher
from axonic.recipe.networks import Member
from axonic.recipe.rate import LEARNED, SWEEP_STEPS, SWEEP_WINDOWS, choose_rate, ends, sweep_curves
from axonic.training import StopRule

SMALLEST, LARGEST, FACTOR = 8, 1024, 4
FEWEST_BATCHES = 8
"""Batches of an epoch below which a size is not tried."""
GAIN = 1.2
"""How much sooner a size must reach the loss to be taken."""
HALF_DECADES = 3
STEP_SECONDS, ROW_SECONDS, WEIGHT_SECONDS, FLOPS = 3e-6, 3e-8, 3e-10, 1.8e11
"""Cost of a step, of each row and each weight in it, and operations a second; see `benchmarks/batch_sizes.py`."""
COMPILE_SECONDS = 2.0
"""What it takes to compile a program of training (`benchmarks/startup.py`)."""


class Look(NamedTuple):
    """One size with the rate that is taken for it: seconds to the common loss (infinite if it is not reached), and the
    loss at the end."""

    batch_size: int
    learning_rate: float
    seconds: float
    end: float


def step_seconds(weights: int, batch_size: int) -> float:
    """What one step of so many weights costs: an overhead for it, for each row and for each weight (its update), and
    six operations for each weight and row (two each for z, delta and the gradient)."""
    overhead = STEP_SECONDS + batch_size * ROW_SECONDS + weights * WEIGHT_SECONDS
    return overhead + 6 * weights * batch_size / FLOPS


def pays_to_pad(network: Chain, weights: int, batch_size: int, other: int) -> bool:
    """Whether a look at batches of a size takes less time in the program of another size, each batch padded to that,
    than with one that has to be compiled for it. Padding of sequences costs as much as their steps."""
    if batch_size > other or network.of_sequences:
        return False
    n_steps = HALF_DECADES * SWEEP_STEPS * step_seconds(weights, other) / step_seconds(weights, batch_size)
    return n_steps * (step_seconds(weights, other) - step_seconds(weights, batch_size)) < COMPILE_SECONDS


def saves(weights: int, batch_size: int, other: int, rows: float) -> float:
    """Seconds that a larger size saves over so many rows, if it needs no more of them to learn as much."""
    return rows * (step_seconds(weights, batch_size) / batch_size - step_seconds(weights, other) / other)


def batch_stage(member: Member, watcher: Watcher, rows: float = math.inf) -> Stage:
    """Try a quarter and four times the batch size of `member`, whose rate is found, and go on in a direction as long as
    it pays. A larger size is not tried if over so many `rows`, those that all training takes, it can't save what it
    takes to compile a program for it.

    Every size gets as much computed time as `SWEEP_STEPS` steps of the first one take. The common loss is where that
    one has made `LEARNED` of its fall. A size is taken if it is there `GAIN` times as soon, and ends no higher than
    the common loss.

    Returns
    -------
    The stage: "batch_sizes", "learning_rates" and "seconds" of each look (computed; null where the loss was not
    reached), "loss" (the common one; null where there is no other size to look at, and nothing is trained), the
    "decision", the "learning_rate" that goes with it, and the "reason".
    """
    size, rate = member.batches.batch_size, float(member.trial.optimizer.rate)
    n_train, weights = len(member.batches.split.train), n_weights(member.params)
    span = SWEEP_STEPS * step_seconds(weights, size)

    def following(size: int, up: bool) -> int | None:
        other = _next(size, up, n_train)
        if other is None or not up or member.trial.network.of_sequences:
            return other
        return other if saves(weights, size, other, rows) > COMPILE_SECONDS else None

    def resized(other: int) -> Member:
        padded_to = size if pays_to_pad(member.trial.network, weights, other, size) else 0
        return member._replace(batches=dataclasses.replace(member.batches, batch_size=other, padded_to=padded_to))

    first = [resized(other) for up in (True, False) if (other := following(size, up))]
    new = [look for look in first if not look.batches.padded_to]
    distributed.side_by_side(lambda look: look.prepare(StopRule(1, 1)), new)  # it takes longest to compile
    curve = sweep_curves(member, [rate], watcher)[0] if first else np.full(1, np.nan)
    end = float(ends(curve[None])[0])
    loss = float(curve[0] - LEARNED * (curve[0] - end))
    best = Look(size, rate, seconds_to(curve, loss, span), end)
    looks = [best]
    for up in (True, False) if end < curve[0] else ():
        while (other := following(best.batch_size, up)) and not watcher.ended():
            cost = step_seconds(weights, other)
            n_steps = SWEEP_WINDOWS * max(1, round(span / cost / SWEEP_WINDOWS))
            look = _look(resized(other), best.learning_rate, up, loss, n_steps, n_steps * cost, watcher)
            looks.append(look)
            if look.seconds * GAIN > best.seconds or look.end > loss:
                break
            best = look
        if best is not looks[0]:
            break
    return {
        "batch_sizes": [look.batch_size for look in looks],
        "learning_rates": [look.learning_rate for look in looks],
        "seconds": [look.seconds if np.isfinite(look.seconds) else None for look in looks],
        "loss": loss if first else None,
        "decision": best.batch_size,
        "learning_rate": best.learning_rate,
        "reason": _reason(looks, best, none_larger=following(size, True) != _next(size, True, n_train)),
    }


def _next(size: int, up: bool, n_train: int) -> int | None:
    """The next size to try, None if there is none."""
    other = size * FACTOR if up else size // FACTOR
    return other if SMALLEST <= other <= min(LARGEST, n_train // FEWEST_BATCHES) else None


def _look(member: Member, rate: float, up: bool, loss: float, n_steps: int, span: float, watcher: Watcher) -> Look:
    """The size of `member`, at the rate that the sweep's rule takes of three half a decade apart: from `rate` upwards
    for a larger size, downwards for a smaller one."""
    steps = range(HALF_DECADES - 1, -1, -1) if up else range(0, -HALF_DECADES, -1)
    rates = [float(f"{rate * 10 ** (step / 2):.2g}") for step in steps]
    curves = np.array(sweep_curves(member, rates, watcher, n_steps))
    choice, _ = choose_rate(rates, curves)
    curve = curves[choice]
    return Look(member.batches.batch_size, rates[choice], seconds_to(curve, loss, span), float(ends(curve[None])[0]))


def seconds_to(curve: np.ndarray, loss: float, span: float) -> float:
    """When a curve of windows that take `span` seconds together first reaches a loss, interpolated between the middles
    of windows; infinite if it never does."""
    reached = np.flatnonzero(curve <= loss)
    if len(reached) == 0:
        return math.inf
    i = int(reached[0])
    past = (curve[i - 1] - loss) / (curve[i - 1] - curve[i]) if i else 1.0
    return (i - 0.5 + float(past)) * span / len(curve)


def _reason(looks: Sequence[Look], best: Look, *, none_larger: bool) -> str:
    more = "; larger ones would save less than it takes to compile for them" if none_larger else ""
    if len(looks) == 1:
        return f"there is nothing to compare it with{more}"
    said = []
    for look in looks:
        if look is not best:
            ratio = look.seconds / best.seconds
            times = f"take {ratio:.2g} times as long" if np.isfinite(ratio) else "do not reach it"
            said.append(f"batches of {look.batch_size} at {look.learning_rate:g} {times}")
    return f"by the time to a common training loss: {', '.join(said)}{more}"
