"""The learning rule, with `optimizer="auto"`: some rules train their networks, and the one with the lowest mean
validation loss is taken.

The candidates follow the notes' advice for so many rows, without adaptive gains for small tables and vSGD for large
ones, and with Adam, which is not on the notes' list, for large ones. On eight small tables auto ended with them within
0.2 % of the best of fifteen rules, adaptive gains among them (`benchmarks/README.md`, "Learning rules").
"""

import math
from collections.abc import Sequence

import numpy as np

from axonic import optimizers
from axonic.optimizers import Optimizer
from axonic.recipe.journal import Stage
from axonic.recipe.networks import Task

SMALL_ROWS = 10_000
SMALL_RULES = ("momentum", "rprop", "conjugate_gradient", "scaled_conjugate_gradient", "lbfgs")
LARGE_RULES = ("momentum", "adam", "rmsprop")
"""Rules to choose from, up to so many training rows and beyond: the notes advise rules that take the whole training
set for small tables, mini-batches for large ones. The default comes first: momentum, for recurrent networks Adam."""
SAME = 0.01
"""A share of the loss that is not worth a change."""


def candidate_rules(task: Task) -> list[Optimizer]:
    """The rules to try: the one of the settings, or for "auto" the candidates for so many rows, as far as they can work
    here; the default first, alone where there is nothing to choose by."""
    settings = task.settings
    if settings.optimizer != "auto":
        return [optimizers.get(settings.optimizer)]
    names = SMALL_RULES if task.n_train <= SMALL_ROWS else LARGE_RULES
    if settings.recurrent:
        names = ("adam", *(name for name in names if name != "adam"))
    rules = [optimizers.get(name) for name in names]
    able = [
        rule
        for rule in rules
        if (rule.has_rate or settings.learning_rate == "auto")
        and not (rule.same_objective and settings.changes_steps)
        and (rule.takes_clipped or settings.clip_norm in ("auto", None))
        and task.n_weights <= (rule.max_weights or task.n_weights)
    ]
    return able if task.held_out else able[:1]


def rule_stage(rules: Sequence[Optimizer], losses: Sequence[Sequence[float]]) -> Stage:
    """Choose the rule whose networks have the lowest mean validation loss; within 1 % the earlier one.

    Parameters
    ----------
    rules, losses : rules and the validation losses of their networks.

    Returns
    -------
    The stage: "names", "learning_rates" and validation losses ("valid", one a network) of the rules, the "decision" (a
    name) and the "reason".
    """
    means = [float(np.mean(each)) if each else math.inf for each in losses]
    choice = next(i for i, mean in enumerate(means) if mean <= min(means) + SAME * abs(min(means)))
    names = [optimizers.name(rule) for rule in rules]
    return {
        "names": names,
        "learning_rates": [float(rule.rate) for rule in rules],
        "valid": [list(each) for each in losses],
        "decision": names[choice],
        "reason": "mean validation loss "
        + ", ".join(f"{mean:.4g} with {name}" for name, mean in zip(names, means, strict=True)),
    }
