"""What goes on through time in a recurrent network: how much of an error at the end of a sequence arrives how far back.

    norm_k   root mean square over sequences of |delta_{T-k}|, the delta of a layer's gates k steps before the last one,
             of the error at the last step alone (going back: at the first one, where that direction ends)
    reach_k  norm_k / norm_0
    felt_k   root mean square of |dL/dx_{T-k}| of the whole loss: what a step of the input matters to the answer

Backwards through one step delta is multiplied by v^T and by slopes; over k steps the product fades or grows like the
k-th power of its size (Hochreiter 1991; Bengio, Simard and Frasconi 1994; Pascanu, Mikolov and Bengio 2013).

    vanishing     reach < `VANISHED` at the beginning of the sequences, the share of AutoTrainer
    exploding     reach > `EXPLODED` there or before, likewise
    memory        the steps until reach stays below `MEMORY`; it is short below `NEARLY_ALL` of the steps

What fades is a fault only where something was to be remembered, which nobody knows beforehand. So a network that has
learned well is told nothing but its memory, and only one is warned that is little better than an answer that does not
look at the sequence: a constant, or where each step has a target one for each.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from axonic.data.batches import Rows, gather, room
from axonic.data.ragged import Ragged
from axonic.diagnosis import rivals
from axonic.diagnosis.evidence import GAIN
from axonic.layers import GRU, LSTM, RNN, Bidirectional
from axonic.layers.base import Chain
from axonic.losses import EachStepLoss, Loss
from axonic.programs import compiled
from axonic.recipe import Fit, Member, Task
from axonic.recipe.constant import by_the_clock, constant
from axonic.types import Finding, Params, Sequence

PROBE = 64
"""Sequences that are looked at."""
VANISHED, EXPLODED = 1e-3, 70.0
MEMORY, NEARLY_ALL = 0.01, 0.9
IDLE = 0.01
LEARNED = 0.5
"""A network has learned well if it has come down by this share of the loss of an answer without looking."""
FEW_STEPS = 10
"""Sequences too short to speak of memory."""


class ThroughTime(NamedTuple):
    """A recurrent layer in one direction.

    Attributes
    ----------
    where : the layer, counted from 1, with its kind and direction.
    norms : (longest,) norm_k for k = 0, 1, ...; NaN beyond the longest sequence.
    truncate : window of its backward pass in steps; None goes back to the first step.
    chrono : steps over which it was to remember from the start; None if it was not said.
    """

    where: str
    norms: np.ndarray
    truncate: int | None = None
    chrono: int | None = None

    @property
    def reach(self) -> np.ndarray:
        """norm_k / norm_0."""
        return self.norms / max(float(self.norms[0]), np.finfo(np.float32).tiny)

    @property
    def memory(self) -> int:
        """Steps until the error stays below `MEMORY` of what it was."""
        there = np.flatnonzero(np.nan_to_num(self.reach) >= MEMORY)
        return int(there[-1]) + 1 if len(there) else 0

    def cut(self, steps: int) -> bool:
        """Whether it is truncation that ends this memory, within so many steps: the error goes from there at once to
        0."""
        if self.truncate is None or self.truncate >= steps:
            return False
        return not np.any(np.nan_to_num(self.norms)[self.memory :])


class Examined(NamedTuple):
    """A network on a probe.

    Attributes
    ----------
    layers : its recurrent layers, each direction on its own.
    felt : (longest,) felt_k.
    lengths : (n,) steps of the sequences.
    """

    layers: list[ThroughTime]
    felt: np.ndarray
    lengths: np.ndarray


def examine(task: Task, fit: Fit) -> Examined:
    """Look at the first network of a fit on its validation sequences, or on training ones if there are no others; where
    a constant answer has taken its place, at the weights with which it ended."""
    part = fit.splits[0].valid if len(fit.splits[0].valid) else fit.splits[0].train
    return examine_at(task, fit.states[0].params if 0 in fit.constant else fit.members[0], part)


def examine_at(task: Task, params: Params, part: np.ndarray) -> Examined:
    """Look at a network with these weights, on the first of these rows."""
    part = part[:PROBE]
    rows = Rows(task.rows.x[part], task.rows.y[part], task.rows.weight[part])
    probe = room(rows, (len(part),))
    gather(rows, np.arange(len(part)), probe)
    assert isinstance(rows.x, Ragged)
    deltas, error_in = _deltas(task.network, task.loss, params, probe.x, probe.y)
    looked: list[ThroughTime] = []
    for place, layer in enumerate(task.network.layers):
        if not isinstance(layer, RNN | LSTM | GRU | Bidirectional):
            continue
        cell: Any = layer.layer if isinstance(layer, Bidirectional) else layer
        for way in ("onward", "back") if isinstance(layer, Bidirectional) else ("",):
            norms = _by_lag(np.asarray(deltas[len(looked)]), rows.x.lengths, back=way == "back")
            where = f"layer {place + 1} ({f'{type(cell).__name__} {way}'.strip()})"
            looked.append(ThroughTime(where, norms, cell.truncate, None if isinstance(cell, RNN) else cell.chrono))
    return Examined(looked, _by_lag(np.asarray(error_in), rows.x.lengths), rows.x.lengths)


def _by_lag(values: Float[np.ndarray, "batch time n"], lengths: np.ndarray, back: bool = False) -> np.ndarray:
    """Root mean square over sequences of the norms k steps before the end, or after the beginning."""
    squares = np.square(values, dtype=np.float64).sum(axis=2)
    found = np.full(values.shape[1], np.nan)
    for k in range(len(found)):
        rows = np.flatnonzero(lengths > k)
        if len(rows):
            found[k] = np.sqrt(squares[rows, k if back else lengths[rows] - 1 - k].mean())
    return found


@compiled
def _deltas(network: Chain, loss: Loss, params: Any, x: Sequence, y: Array) -> tuple[list[Array], Array]:
    """The deltas of each recurrent layer and direction, of the error at the end alone, and dL/dx of the whole loss."""
    a: Any = x
    caches = []
    for layer, weights in zip(network.layers, params, strict=True):
        a, cache = layer.forward(weights, a)
        caches.append(cache)
    _, error_in = network.backward(params, tuple(caches), loss.delta(a, y) / len(y))
    error = loss.delta(a, y) / len(y)
    if isinstance(loss, EachStepLoss):
        error = jnp.where(_ends(x.mask, error, both=False), error, 0.0)
    found: list[Array] = []
    for layer, weights, cache in reversed(list(zip(network.layers, params, caches, strict=True))):
        if isinstance(layer, Bidirectional):
            error = jnp.where(_ends(x.mask, error, both=True), error, 0.0)
            onward, back = jnp.split(error, 2, axis=-1)
            against = _of_gates(layer.layer, weights.back, cache.back, jnp.flip(back, axis=1))
            found += [jnp.flip(against, axis=1), _of_gates(layer.layer, weights.onward, cache.onward, onward)]
        elif isinstance(layer, RNN | LSTM | GRU):
            error = jnp.where(_ends(x.mask, error, both=False), error, 0.0)
            found.append(_of_gates(layer, weights, cache, error))
        _, error = layer.backward(weights, cache, error)
    return found[::-1], error_in


def _ends(mask: Array, error: Array, *, both: bool) -> Array:
    """True at the last real step; of both directions for the second half of the units at the first one."""
    count = jnp.cumsum(mask, axis=1)
    last, first = mask & (count == count[:, -1:]), mask & (count == 1)
    back = jnp.arange(error.shape[-1]) >= error.shape[-1] // 2 if both else jnp.zeros(error.shape[-1], bool)
    return jnp.where(back, first[..., None], last[..., None])


def _of_gates(layer: Any, params: Any, cache: Any, error: Array) -> Array:
    """delta of the gates at every step, (batch, time, gates): dL/dx of a layer whose input weights are the identity."""
    n = params.w.shape[1]
    x = jnp.zeros((*cache.x.shape[:2], n), cache.x.dtype)
    return layer.backward(params._replace(w=jnp.eye(n, dtype=x.dtype)), cache._replace(x=x), error)[1]


def findings(examined: Examined, learned: float, clip_norm: float | None = None) -> list[Finding]:
    """What is to be said.

    Parameters
    ----------
    examined : of a trained network.
    learned : the share of the loss of an answer without looking at the sequence by which the validation loss has come
        down; 1 is all of it.
    clip_norm : the norm to which gradients were clipped; None if they were not.
    """
    longest = int(np.median(examined.lengths))
    if longest < FEW_STEPS:
        return []
    found: list[Finding] = []
    for layer in examined.layers:
        reach = layer.reach[:longest]
        evidence = {
            "first_to_last": float(reach[-1]),
            "largest": float(np.nanmax(reach)),
            "memory": layer.memory,
            "steps": longest,
            "learned": round(learned, 4),
        }
        if layer.cut(longest):
            evidence["truncate"] = layer.truncate
        if np.nanmax(reach) > EXPLODED:
            found.append(_exploding(layer, evidence, clip_norm))
        elif reach[-1] < VANISHED and learned < LEARNED:
            found.append(_vanishing(layer, evidence))
        elif layer.memory < NEARLY_ALL * longest:
            found.append(_memory(layer, evidence, mixed=len(np.unique(examined.lengths)) > 1))
    truncated = any(layer.truncate is not None and layer.truncate < longest for layer in examined.layers)
    if not truncated and not any(finding.code in ("train.vanishing", "train.exploding") for finding in found):
        found += _idle(examined, longest)  # a truncated dL/dx does not say on what the answer depends
    return found


def _vanishing(layer: ThroughTime, evidence: dict[str, Any]) -> Finding:
    if "truncate" in evidence:
        return Finding(
            "train.vanishing",
            "warning",
            layer.where,
            evidence,
            f"truncate={layer.truncate} cuts off what goes back from the last of {evidence['steps']} steps after "
            f"{evidence['memory']}, so nothing can be learned from the beginning, and the network is little better "
            "than an answer that does not look at the sequence.",
            "Leave truncate out, or raise it to the number of steps that matter.",
        )
    remedy = (
        "Use LSTM or GRU layers, whose state is carried on without being multiplied by weights; "
        if ("RNN" in layer.where)
        else "Begin with a longer memory (chrono), add units, train for longer, or begin with shorter sequences; "
    )
    return Finding(
        "train.vanishing",
        "warning",
        layer.where,
        evidence,
        f"The error at the last step has faded to {evidence['first_to_last']:.1g} of its size at the first of "
        f"{evidence['steps']} steps, so nothing can be learned from the beginning, and the network is little better "
        "than an answer that does not look at the sequence.",
        remedy + "or shorten the sequences to what matters.",
    )


def _exploding(layer: ThroughTime, evidence: dict[str, Any], clip_norm: float | None) -> Finding:
    clipped = clip_norm is not None
    harm = (
        f"the gradient is that of the earliest ones almost alone, and only clip_norm={clip_norm:g} keeps single "
        "batches from throwing the weights far off."
        if clipped
        else "single batches may throw the weights far off."
    )
    return Finding(
        "train.exploding",
        "warning",
        layer.where,
        evidence,
        f"The error grows to {evidence['largest']:.2g} times its size on its way back through {evidence['steps']} "
        f"steps: {harm}",
        "Truncate the backward pass, or lower the learning rate."
        if clipped
        else "Clip the gradient (clip_norm=1), truncate the backward pass, or lower the learning rate.",
    )


def _memory(layer: ThroughTime, evidence: dict[str, Any], mixed: bool) -> Finding:
    simple, both_ways = "(RNN" in layer.where, layer.where.endswith((" onward)", " back)"))
    remedies = [
        "use LSTM or GRU layers" if simple else "add units",
        *(["begin with a longer memory (chrono)"] if not simple and layer.chrono is None else []),
        *(["go both directions"] if not both_ways else []),
    ]
    return Finding(
        "train.short_memory",
        "info",
        layer.where,
        evidence,
        f"Less than {MEMORY:.0%} of an error at the last step reaches further back than {evidence['memory']} of "
        f"{evidence['steps']} steps{', the median length of the sequences' if mixed else ''}.",
        "Nothing needs to be done if what matters is recent; otherwise "
        + (
            f"raise truncate={layer.truncate}, which cuts it off, or leave it out."
            if "truncate" in evidence
            else f"{', or '.join(remedies)}."
        ),
    )


def _idle(examined: Examined, longest: int) -> list[Finding]:
    """Steps of the input that hardly change the answer: the earliest ones that have `IDLE` of all together."""
    felt = np.nan_to_num(examined.felt[:longest]) ** 2
    total = felt.sum()
    if total <= 0:
        return []
    later = np.cumsum(felt[::-1]) / total
    idle = int(np.sum(later < IDLE))
    if idle < longest // 2:
        return []
    return [
        Finding(
            "data.idle_steps",
            "info",
            "",
            {"idle": idle, "steps": longest, "share": float(later[idle - 1])},
            f"The answer depends on the last {longest - idle} of {longest} steps; those before have "
            f"{later[idle - 1]:.1%} of the influence.",
            f"Sequences of their last {longest - idle} steps would train faster; nothing needs to be done otherwise.",
        )
    ]


def diagnose(task: Task, fit: Fit) -> list[Finding]:
    """What is to be said of a fit of sequences."""
    best, trivial = float(fit.states[0].best_loss), trivial_loss(task, fit)
    learned = 1 - best / trivial if trivial is not None and trivial > 0 else 1.0
    clip_norm = task.settings.clip(fit.optimizer)
    return findings(examine(task, fit), 0.0 if 0 in fit.constant else learned, clip_norm)


def no_signal(task: Task, fit: Fit) -> list[Finding]:
    """data.no_signal of networks some of which are constant answers, and the others on average hardly better."""
    trivial = constant_loss(task, fit) if fit.constant else None
    little = trivial is not None and np.mean([state.best_loss for state in fit.states]) > (1 - GAIN) * trivial
    return rivals.no_signal(fit, least=1) if little else []


def constant_loss(task: Task, fit: Fit) -> float | None:
    """The validation loss of the constant answer; None where it is not known."""
    trivial = constant(_first(task, fit)) if task.held_out else None
    return None if trivial is None else trivial[1]


def trivial_loss(task: Task, fit: Fit) -> float | None:
    """The lowest validation loss of an answer that does not look at the sequence."""
    known = [constant_loss(task, fit), by_the_clock(_first(task, fit)) if task.held_out else None]
    return min((loss for loss in known if loss is not None), default=None)


def _first(task: Task, fit: Fit) -> Member:
    return task.member(fit.optimizer, 0, fit.l2, fit.batch_size)
