"""Step one of the notes on the network itself, before it is trained in earnest.

    first batch    the loss against a constant answer's, and the looks of `axonic.health`, at the weights that training
                   begins from
    quick run      some epochs of large batches at the rate of a short sweep: does the loss come down?
    sixteen rows   where it hardly does: can they be learned by heart? If so the network works, and the columns tell
                   little of the target; if not, the network is at fault

The rules are those of a run (`network.RULES` and three others), for networks that read sequences those of
`sequences`: whether an error comes through time, at the first weights and after the quick run. The notes run the quick
one with "a large batch and a large rate"; the sweep takes the place of guessing one.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jax import Array

from axonic import recipe
from axonic.data.batches import Rows, gather, room
from axonic.diagnosis import network, rivals, sequences, unwatched
from axonic.diagnosis.capacity import check_cannot_fit
from axonic.diagnosis.evidence import Evidence, rounded
from axonic.diagnosis.loss import check_nonfinite
from axonic.health import QUANTITIES
from axonic.objective import Objective
from axonic.programs import compiled
from axonic.recipe import Fit, Task, Watcher
from axonic.recipe.constant import constant_params
from axonic.recipe.rate import SWEEP_STEPS
from axonic.types import Batch, Finding, Params

QUICK_BATCH, QUICK_SEQUENCES = 128, 32
"""Rows of a batch of the quick run, or sequences, of which each has many steps."""
QUICK_EPOCHS = 20
"""The quick run has so many epochs, and at least as many steps as the sweep, whose rate may be too low for fewer."""


class Rehearsal(NamedTuple):
    """What came of it.

    Attributes
    ----------
    findings : the cause alone, if there is one.
    first_batch, quick_run : their numbers, ready for JSON.
    """

    findings: list[Finding]
    first_batch: dict[str, Any]
    quick_run: dict[str, Any]


def rehearse(task: Task, watcher: Watcher | None = None) -> Rehearsal:
    """Look at the first batch and run quickly; see the module.

    Parameters
    ----------
    task : what is to be trained, and some of the rows; its rate, epochs and batches are not looked at.
    watcher : may end the runs.
    """
    size = QUICK_SEQUENCES if task.network.of_sequences else QUICK_BATCH
    epochs = max(QUICK_EPOCHS, math.ceil(SWEEP_STEPS / math.ceil(task.n_train / size)))
    brief = {"epochs": epochs, "batch_size": size, "learning_rate": "auto", "ensemble": 1}
    less = {"batch_stage": False, "branch_stage": False, "regularization": None, "monitor": False}
    task = task._replace(settings=dataclasses.replace(task.settings, **brief, **less))
    watcher = watcher or Watcher()
    fit = recipe.fit(task, watcher=watcher)
    if task.network.of_sequences:
        return _through_time(task, fit)
    e = Evidence(task, fit, watcher)
    findings: list[Finding] = []
    with np.errstate(all="ignore"):
        for rule in (check_nonfinite, *network.RULES, check_cannot_fit):
            findings = list(rule(e))
            if findings:
                break
    return Rehearsal(findings or rivals.no_signal(fit), _first_batch(e), _quick_run(e))


def _through_time(task: Task, fit: Fit) -> Rehearsal:
    member = task.member(fit.optimizer, 0, fit.l2, fit.batch_size)
    part = task.split.train[: sequences.PROBE]
    layers = [
        {"layer": layer.where, "first_to_last": _number(layer.reach[-1]), "largest": _number(np.nanmax(layer.reach))}
        for layer in sequences.examine_at(task, member.params, part).layers
    ]
    constant = constant_params(member)
    first = {
        "loss": _number(_loss_of(task, member.params, part)),
        "constant_answer": None if constant is None else _number(_loss_of(task, constant, part)),
        "layers": layers,
    }
    train_loss = fit.history_columns()["train_loss"]
    trivial, best = sequences.constant_loss(task, fit), float(fit.states[0].best_loss)
    quick = {
        "batch_size": fit.batch_size,
        "learning_rate": fit.learning_rate,
        "epochs": fit.n_epochs,
        "train_loss": _number(train_loss[-1]),
        "valid_loss": _number(best) if task.held_out else None,
        "share_of_constant_answer": _number(best / trivial) if trivial else None,
    }
    found = [finding for finding in sequences.diagnose(task, fit) if finding.severity != "info"]
    return Rehearsal(unwatched(fit) or found, first, quick)


def _loss_of(task: Task, params: Params, part: np.ndarray) -> float:
    """The mean loss of some sequences."""
    rows = Rows(*(array[part] for array in task.rows))
    batch = room(rows, (len(part),))
    gather(rows, np.arange(len(part)), batch)
    none = np.float32(0)
    return float(_value(Objective(task.network, task.loss, Batch(*batch), none, none, None), params))


@compiled(quickly=True)
def _value(objective: Objective, params: Params) -> Array:
    return objective.value(params).loss


def _first_batch(e: Evidence) -> dict[str, Any]:
    look = e.first_look
    columns = {name: e.column(look, name) for name in QUANTITIES if name not in ("update_ratio", "sign_flips")}
    layers = [
        {"layer": layer, **{name: _number(column[index]) for name, column in columns.items()}}
        for index, layer in enumerate(e.layer_names)
    ]
    constant = None if e.trivial_at_start is None else _number(e.trivial_at_start)
    return {"loss": _number(e.column(look, "loss")[0]), "constant_answer": constant, "layers": layers}


def _quick_run(e: Evidence) -> dict[str, Any]:
    return {
        "batch_size": e.fit.batch_size,
        "learning_rate": e.fit.learning_rate,
        "epochs": len(e.history),
        "train_loss": _number(e.losses.train.mean()),
        "valid_loss": _number(e.losses.valid.mean()) if len(e.losses.valid) else None,
        "share_of_constant_answer": _number(e.share_left),
    }


def _number(value: Any) -> float | None:
    return rounded(value) if np.isfinite(value) else None
