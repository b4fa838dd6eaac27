"""From encoded rows to trained networks: the stages of a fit, each with its evidence and its decision.

    rule.py         with `optimizer="auto"`, the rules that the notes advise for so many rows go through the rest, and
                    the one whose networks have the lowest mean validation loss is taken
    rate.py         candidates ten times apart train from the same weights on the same batches for a few hundred steps
    batch_size.py   a short look at smaller and larger batches, by the time to a common loss
    networks.py     the long runs: several networks with weights and splits of their own, each until its loss has been
                    flat for a fifth of all epochs (`axonic.training.StopRule`), the weights of the best validation loss
                    kept
    epochs.py       where each has few validation rows, the others have a say in which epoch that is
    constant.py     a network that is no better than a constant answer gives way to it
    penalty.py      L2 scaled by the number of rows, at the strength of the lowest mean validation loss
    branches.py     from the best weights on with a tenth of the rate
    fitting.py      one after the other
    rbf.py          networks of radial basis functions: centres, widths and a readout in closed form, and from there on
                    the other stages if they are to be trained
    clock.py        where the time goes
    journal.py      what is shown and kept meanwhile, so that a fit can be ended and taken up at any time

A value given by hand takes its stage out. Each stage is a function of the data, the settings and the seed; nothing of
it but its decision reaches the next one. Everything is trained by one compiled program, since compiling is most of the
wait for a small table (each batch size that is tried takes one more); candidates and networks run side by side, a
thread for each processor.
"""

from axonic.recipe.batch_size import batch_stage
from axonic.recipe.branches import branch_stage
from axonic.recipe.clock import Clock
from axonic.recipe.dispatch import fit
from axonic.recipe.fitting import Fit, go_on
from axonic.recipe.journal import Journal, Kept, Notebook, Stage, Watcher
from axonic.recipe.networks import Member, Task, Trained, train_side_by_side
from axonic.recipe.penalty import PENALTIES, candidate_penalties
from axonic.recipe.rate import RATES, choose_rate, oscillation, rate_stage, sweep_steps, with_rate
from axonic.recipe.rule import candidate_rules

__all__ = [
    "PENALTIES",
    "RATES",
    "Clock",
    "Fit",
    "Journal",
    "Kept",
    "Member",
    "Notebook",
    "Stage",
    "Task",
    "Trained",
    "Watcher",
    "batch_stage",
    "branch_stage",
    "candidate_penalties",
    "candidate_rules",
    "choose_rate",
    "fit",
    "go_on",
    "oscillation",
    "rate_stage",
    "sweep_steps",
    "train_side_by_side",
    "with_rate",
]
