"""Which epoch's weights a network keeps.

That of its lowest validation loss. But every network of a fit holds out rows of its own, and the lowest loss on a
handful of them comes by luck, while the mean loss of all networks speaks for all the rows that are held out between
them. (The networks of a series all hold out the same rows; what the mean is worth there was not measured.) So the epoch
of a network with n < `FEW_ROWS` validation rows is that of the lowest

    (n own + FEW_ROWS mean) / (n + FEW_ROWS)

its own loss shrunk towards the mean, as if the mean were the loss of so many more rows. A network that has stopped
stays in the mean with its last loss. `docs/decisions/003-stopping.md` has what it gains.
"""

from collections.abc import Mapping

import numpy as np

from axonic.recipe.networks import Member, Runs, Trained
from axonic.training import HISTORY

VALID = HISTORY.index("valid_loss")
FEW_ROWS = 20
"""Validation rows of a network below which the others have a say, and as how many rows their mean then counts."""


def other_epochs(runs: Mapping[int, Trained], starts: Mapping[int, float], n_valid: int) -> dict[int, int]:
    """The networks whose epoch is another one than that of their own lowest loss, with that epoch; none if there is a
    single network, or rows enough, or a loss that is not finite.

    Parameters
    ----------
    runs, starts : the networks, and their losses before the first epoch; infinite if those weights are not to be kept.
    n_valid : validation rows of each.
    """
    if len(runs) < 2 or n_valid >= FEW_ROWS:
        return {}
    longest = max(len(run.history) for run in runs.values())
    own = {index: np.append(starts[index], run.history[:, VALID]) for index, run in runs.items()}
    mean = np.mean([np.pad(losses, (0, longest + 1 - len(losses)), mode="edge") for losses in own.values()], axis=0)
    if not np.isfinite(mean[1:]).all():
        return {}
    epochs = {i: int(np.argmin(n_valid * losses + FEW_ROWS * mean[: len(losses)])) for i, losses in own.items()}
    return {index: epoch for index, epoch in epochs.items() if epoch != runs[index].kept(best=True)[1]}


def kept_losses(runs: Runs, starts: Mapping[int, float], n_valid: int) -> list[float]:
    """The validation losses of the networks that have begun, at the epochs whose weights they keep: by these, rules and
    penalties are compared. Parameters as of `other_epochs`."""
    begun = {index: run for index, run in runs.items() if run is not None}
    moved = other_epochs(begun, starts, n_valid)

    def loss(index: int, run: Trained) -> float:
        epoch = moved.get(index)
        if epoch is None:
            return run.best_loss
        return float(run.history[epoch - 1, VALID]) if epoch else starts[index]

    return [loss(index, run) for index, run in begun.items()]


def kept_at(run: Trained, earlier: Trained) -> Trained:
    """A run, of which the weights are kept with which the same network ended when it was trained for less."""
    ended, loss = earlier.state, np.float32(earlier.history[-1, VALID])
    return run._replace(state=run.state._replace(best=ended.current, best_loss=loss, best_epoch=ended.epoch))


def kept_at_start(run: Trained, member: Member) -> Trained:
    """A run, of which the weights are kept from which it started."""
    start = member.begin()
    return run._replace(
        state=run.state._replace(best=start.best, best_loss=start.best_loss, best_epoch=start.best_epoch)
    )
