"""The L2 penalty, with `regularization="auto"`: scaled by the number of rows, and where the cost allows chosen by the
mean validation loss of the networks.

A penalty of l2/2 sum w^2 on the mean loss is a normal prior of the weights with variance 1 / (n l2), so the same prior
is l2 = c / n for any number of rows n; `PENALTIES` are the values of c. Where numbers are predicted and the lowest is
clearly the best, as on targets with little noise, a lower one is tried as well.
"""

import math
from collections.abc import Sequence

import numpy as np

from axonic.recipe.journal import Stage
from axonic.recipe.networks import Task

PENALTIES = (1.0, 0.25)
"""Candidates of c; the first is taken where there is no choice."""
LOWER, WORTH_LOWERING = 0.0625, 0.05
"""The value of c that is tried below them, and by what share of the loss the lowest has to be better than its neighbour
for that. With less still, networks go on learning for very long."""
CHOICE_WORK = 20_000_000
"""Weights times rows up to which there is a choice. Of sequences there is one wherever several networks are trained."""


def candidate_penalties(task: Task, *, choose: bool) -> tuple[float, ...]:
    """L2 penalties to try, the default first; a single one where there is no choice to make."""
    settings = task.settings
    if settings.regularization is None or settings.l2 or settings.l1 or settings.dropout:
        return (settings.l2,)
    affordable = not task.is_long if task.settings.recurrent else task.work <= CHOICE_WORK
    candidates = PENALTIES if choose and affordable else PENALTIES[:1]
    return tuple(c / _rows(task) for c in candidates)


def _rows(task: Task) -> float:
    return task.n_train if task.stands_for is None else task.stands_for


def lower_penalty(task: Task) -> float:
    """The penalty below the candidates."""
    return LOWER / _rows(task)


def worth_lowering(losses: Sequence[Sequence[float]]) -> bool:
    """Whether the penalty below the candidates is to be tried, by the validation losses of their networks."""
    before, last = (float(np.mean(each)) for each in losses[-2:])
    return last < before - WORTH_LOWERING * abs(before)


def penalty_stage(penalties: Sequence[float], losses: Sequence[Sequence[float]]) -> Stage:
    """Choose the penalty whose networks have the lowest mean validation loss.

    Parameters
    ----------
    penalties, losses : candidates and the validation losses of their networks.

    Returns
    -------
    The stage: "l2" and the validation losses ("valid", one a network) of the candidates, the "decision" and the
    "reason".
    """
    means = [float(np.mean(each)) if each else math.inf for each in losses]
    choice = int(np.argmin(means))
    tried = zip(penalties, means, strict=True)
    others = ", ".join(f"{mean:.4g} at {l2:.2g}" for l2, mean in tried if l2 != penalties[choice])
    return {
        "l2": list(penalties),
        "valid": [list(each) for each in losses],
        "decision": penalties[choice],
        "reason": f"the lowest mean validation loss of {len(losses[choice])} networks: {means[choice]:.4g}"
        + (f", against {others}" if others else ", of the only penalty that was tried"),
    }
