"""Learning rules, one a file. To add one, copy a file and add a line to `RULES`."""

from typing import Any

import jax

from axonic.errors import InputError
from axonic.optimizers import schedules
from axonic.optimizers.adam import Adam
from axonic.optimizers.adaptive_gain import AdaptiveGain
from axonic.optimizers.amsgrad import AMSGrad
from axonic.optimizers.base import Optimizer, StepInfo
from axonic.optimizers.conjugate_gradient import ConjugateGradient
from axonic.optimizers.from_optax import FromOptax, from_optax
from axonic.optimizers.gradient_descent import GD, SGD
from axonic.optimizers.lbfgs import LBFGS
from axonic.optimizers.levenberg_marquardt import LevenbergMarquardt
from axonic.optimizers.momentum import Momentum
from axonic.optimizers.nesterov import Nesterov
from axonic.optimizers.newton import Newton
from axonic.optimizers.physical_momentum import PhysicalMomentum
from axonic.optimizers.rmsprop import RMSProp
from axonic.optimizers.rprop import Rprop
from axonic.optimizers.scaled_conjugate_gradient import ScaledConjugateGradient
from axonic.optimizers.scheduled import scheduled
from axonic.optimizers.swats import SWATS
from axonic.optimizers.vsgd import VSGD

RULES: dict[str, type[Optimizer]] = {
    "gd": GD,
    "sgd": SGD,
    "momentum": Momentum,
    "physical_momentum": PhysicalMomentum,
    "nesterov": Nesterov,
    "adam": Adam,
    "amsgrad": AMSGrad,
    "swats": SWATS,
    "adaptive_gain": AdaptiveGain,
    "rmsprop": RMSProp,
    "rprop": Rprop,
    "vsgd": VSGD,
    "newton": Newton,
    "levenberg_marquardt": LevenbergMarquardt,
    "conjugate_gradient": ConjugateGradient,
    "scaled_conjugate_gradient": ScaledConjugateGradient,
    "lbfgs": LBFGS,
}


def names() -> list[str]:
    """The names of all rules.

    >>> from axonic import optimizers
    >>> "momentum" in optimizers.names()
    True
    """
    return list(RULES)


def get(optimizer: Any) -> Optimizer:
    """A rule from its name, a rule, or an optax transformation.

    Raises
    ------
    InputError : no rule has that name, it is none of the three, or it is a rule that is no spec or lacks its rate.
    """
    if isinstance(optimizer, Optimizer):
        kind = type(optimizer).__name__
        if any(leaf is optimizer for leaf in jax.tree.leaves(optimizer)):
            raise InputError(f"the rule {kind} is no spec", "put @spec (of axonic.specs) before its class")
        if optimizer.has_rate and not hasattr(optimizer, "learning_rate"):
            how = "name its rate so, or say has_rate: ClassVar[bool] = False in the class"
            raise InputError(f"the rule {kind} has no field learning_rate", how)
        return optimizer
    if isinstance(optimizer, str):
        if optimizer not in RULES:
            raise InputError(f"unknown optimizer {optimizer!r}", f"use one of {', '.join(RULES)}")
        return RULES[optimizer]()
    if callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None)):
        return from_optax(optimizer)
    raise InputError(
        f"{optimizer!r} is no optimizer", "give a name, a rule of axonic.optimizers or an optax transformation"
    )


def name(rule: Optimizer) -> str:
    """The name of a rule; without one "optax" for a lifted transformation, the class for a rule of the user's own."""
    known = {kind: name for name, kind in RULES.items()}
    return known.get(type(rule), "optax" if isinstance(rule, FromOptax) else type(rule).__name__)


__all__ = [
    "GD",
    "LBFGS",
    "RULES",
    "SGD",
    "SWATS",
    "VSGD",
    "AMSGrad",
    "Adam",
    "AdaptiveGain",
    "ConjugateGradient",
    "LevenbergMarquardt",
    "Momentum",
    "Nesterov",
    "Newton",
    "Optimizer",
    "PhysicalMomentum",
    "RMSProp",
    "Rprop",
    "ScaledConjugateGradient",
    "StepInfo",
    "from_optax",
    "get",
    "name",
    "names",
    "scheduled",
    "schedules",
]
