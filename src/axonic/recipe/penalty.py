"""The L2 penalty, with `regularization="auto"`: scaled by the number of rows, and where the cost allows chosen by the
mean validation loss of the networks.

A penalty of l2/2 sum w^2 on the mean loss is a normal prior of the weights with variance 1 / (n l2), so the same prior
is l2 = c / n for any number of rows n; `PENALTIES` are the values of c.
"""

import math
from collections.abc import Sequence

import numpy as np

from axonic.recipe.journal import Stage
from axonic.recipe.networks import Task

PENALTIES = (1.0, 0.25)
"""Candidates of c; the first is taken where there is no choice."""
CHOICE_WORK = 20_000_000
"""Weights times rows up to which there is a choice."""


def candidate_penalties(task: Task, *, choose: bool) -> tuple[float, ...]:
    """L2 penalties to try, the default first; a single one where there is no choice to make."""
    settings = task.settings
    if settings.regularization is None or settings.l2 or settings.l1 or settings.dropout:
        return (settings.l2,)
    candidates = PENALTIES if choose and task.work <= CHOICE_WORK else PENALTIES[:1]
    n = task.n_train if task.stands_for is None else task.stands_for
    return tuple(c / n for c in candidates)


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
    return {
        "l2": list(penalties),
        "valid": [list(each) for each in losses],
        "decision": penalties[choice],
        "reason": f"the lowest mean validation loss of {len(losses[choice])} networks: {means[choice]:.4g}, against "
        + ", ".join(
            f"{mean:.4g} at {l2:.2g}" for l2, mean in zip(penalties, means, strict=True) if l2 != penalties[choice]
        ),
    }
