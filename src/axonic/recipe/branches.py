"""Branches: where the long run has gone flat, go on from its best weights with a tenth of the rate.

Every network branches from the weights of its lowest validation loss with a state of the rule that is new, so nothing
of the velocity at the high rate is left. A network keeps its branch if that has a lower validation loss (where few rows
are held out, the other networks have a say in it: `axonic.recipe.epochs`), and the branches are followed by others at a
hundredth of the rate if they lowered the mean by more than `SAME`. Branches from the last weights and from the
beginning of the flat stretch were tried as well: docs/decisions/007-branches.md.
"""

import math
from collections.abc import Mapping

import numpy as np

from axonic.recipe.journal import Stage
from axonic.recipe.networks import Member, Runs, Trained
from axonic.recipe.rate import with_rate
from axonic.recipe.rule import SAME

TENTH = 0.1
LEVELS = 2


def branch(member: Member, run: Trained, rate: float) -> Member:
    """The network that goes on at that rate from the best weights of a run of `member`."""
    params, epoch = run.kept(best=True)
    return with_rate(member, rate)._replace(
        params=params, best_loss=run.best_loss, first_epoch=member.first_epoch + epoch
    )


def branch_stage(rate: float, before: Mapping[int, Trained], branches: Runs) -> Stage:
    """Keep each branch whose weights are better than those it started from.

    Parameters
    ----------
    rate : of the branches.
    before, branches : the runs they branch from and what became of them, by network.

    Returns
    -------
    The stage: "learning_rate", "from_epoch", validation losses "before" and "after", the "epochs" of each branch, the
    "decision" (the networks, counted from 0, that keep their branch) and the "reason".
    """
    old = {index: run.best_loss for index, run in before.items()}
    new = {index: old[index] if run is None else run.best_loss for index, run in branches.items()}
    kept = [index for index in old if (run := branches[index]) is not None and run.kept(best=True)[1] > 0]
    was, now = float(np.mean(list(old.values()))), float(np.mean(list(new.values())))
    rescued = [index for index in kept if before[index].state.diverged]
    told = f"; {len(rescued)} of them had diverged, and went on from their best weights" if rescued else ""
    return {
        "learning_rate": rate,
        "from_epoch": [run.kept(best=True)[1] for run in before.values()],
        "before": list(old.values()),
        "after": list(new.values()),
        "epochs": [0 if run is None else len(run.history) for run in branches.values()],
        "decision": kept,
        "reason": f"{len(kept)} of {len(old)} networks have a lower validation loss at {rate:.2g}; "
        f"the mean went from {was:.4g} to {now:.4g}{told}",
    }


def helped(stage: Stage) -> bool:
    """Whether the branches have lowered the mean validation loss enough to go on with others; in a stage that was read
    from a file, a loss that was not finite is None."""
    was, now = ([math.inf if loss is None else loss for loss in stage[part]] for part in ("before", "after"))
    before, after = float(np.mean(was)), float(np.mean(now))
    return after < (before - SAME * abs(before) if math.isfinite(before) else before)
