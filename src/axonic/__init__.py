"""axonic: from a table to a tuned neural network in one command, with every formula readable.

Names in reading order; estimators are loaded when they are first asked for, since importing scikit-learn takes longer
than everything else.
"""

from typing import TYPE_CHECKING, Any

from axonic.engine import refuse_broken_version

refuse_broken_version()

if TYPE_CHECKING:
    from axonic import layers, losses, objective, optimizers, training
    from axonic.estimators import (
        FeedForwardClassifier,
        FeedForwardRegressor,
        RBFClassifier,
        RBFRegressor,
        RecurrentClassifier,
        RecurrentRegressor,
        load,
    )
    from axonic.export import export_onnx
    from axonic.minimization import minimize

_MODULES = ("layers", "losses", "objective", "optimizers", "training")
_FUNCTIONS = {"export_onnx": "export", "minimize": "minimization"}
_ESTIMATORS = (
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "RBFClassifier",
    "RBFRegressor",
    "RecurrentClassifier",
    "RecurrentRegressor",
    "load",
)

__all__ = [  # noqa: RUF022
    "layers",
    "losses",
    "objective",
    "optimizers",
    "training",
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "RBFClassifier",
    "RBFRegressor",
    "RecurrentClassifier",
    "RecurrentRegressor",
    "load",
    "export_onnx",
    "minimize",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"axonic.{name}")
    if name in _ESTIMATORS:
        return getattr(import_module("axonic.estimators"), name)
    if name in _FUNCTIONS:
        return getattr(import_module(f"axonic.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'axonic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_MODULES, *_ESTIMATORS, *_FUNCTIONS]
