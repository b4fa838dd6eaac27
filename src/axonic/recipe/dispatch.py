"""A fit of any kind of network."""

from axonic.engine import set_up
from axonic.programs import make_room
from axonic.recipe.fitting import Fit, Fitting
from axonic.recipe.journal import Journal, Watcher
from axonic.recipe.networks import Task
from axonic.recipe.rbf import fit_rbf


def fit(task: Task, *, watcher: Watcher | None = None, journal: Journal | None = None) -> Fit:
    """Train one network or several.

    Parameters
    ----------
    task : what is to be trained, on what and how.
    watcher : is told of every stage and every tape, and may end the fit.
    journal : keeps what would have to be done again, and has what was done before.

    Raises
    ------
    InputError : the weights to start from don't fit, or the journal is another run's.
    """
    set_up()
    make_room()
    watcher, journal = watcher or Watcher(), journal or Journal()
    if task.settings.net == "rbf":
        return fit_rbf(task, watcher, journal)
    return Fitting(task, watcher, journal).run()
