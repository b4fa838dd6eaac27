"""Learning rules, one a file. To add one, copy a file and add a line to `RULES`."""

from typing import Any

from axonic.errors import InputError
from axonic.optimizers.adam import Adam
from axonic.optimizers.base import Optimizer, StepInfo
from axonic.optimizers.conjugate_gradient import ConjugateGradient
from axonic.optimizers.from_optax import from_optax
from axonic.optimizers.gradient_descent import GD, SGD
from axonic.optimizers.lbfgs import LBFGS
from axonic.optimizers.levenberg_marquardt import LevenbergMarquardt
from axonic.optimizers.momentum import Momentum
from axonic.optimizers.nesterov import Nesterov
from axonic.optimizers.newton import Newton
from axonic.optimizers.scaled_conjugate_gradient import ScaledConjugateGradient

RULES: dict[str, type[Optimizer]] = {
    "gd": GD,
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adam": Adam,
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
    InputError : no rule has that name, or it is none of the three.
    """
    if isinstance(optimizer, Optimizer):
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


__all__ = [
    "GD",
    "LBFGS",
    "RULES",
    "SGD",
    "Adam",
    "ConjugateGradient",
    "LevenbergMarquardt",
    "Momentum",
    "Nesterov",
    "Newton",
    "Optimizer",
    "ScaledConjugateGradient",
    "StepInfo",
    "from_optax",
    "get",
    "names",
]
