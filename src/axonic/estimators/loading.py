"""Estimators from files."""

from pathlib import Path
from typing import Any

import numpy as np

from axonic import storage
from axonic.errors import InputError
from axonic.estimators.feedforward import FeedForwardClassifier, FeedForwardRegressor
from axonic.estimators.rbf import OF_GRADIENT, RBFClassifier, RBFRegressor
from axonic.estimators.recurrent import RecurrentClassifier, RecurrentRegressor
from axonic.estimators.tasks import LABEL_DTYPES
from axonic.layers import RBF, Bidirectional, Chain, EveryStep, MeanOverTime
from axonic.model import Model
from axonic.run_directory import RunDirectory
from axonic.types import Finding

_ALL = (
    *(FeedForwardClassifier, FeedForwardRegressor, RBFClassifier, RBFRegressor),
    *(RecurrentClassifier, RecurrentRegressor),
)
ESTIMATORS = {cls.__name__: cls for cls in _ALL}


def load(path):
    """A fitted estimator from a file written by `save`, from a model file or from a run directory of the command line.

    What the command line trained on a table predicts from data frames with its columns, what it trained on sequences
    from arrays of their columns, all of which must be numbers. A run directory tells how it was trained, its parameters
    and what `fit` leaves in attributes, as a file written by `save` does; the model file of a run alone does not.

    Parameters
    ----------
    path : a model file or a run directory.

    Raises
    ------
    InputError : there is none, or a file is damaged.
    """
    model = storage.load_model(path)
    kind = "RBF" if any(isinstance(layer, RBF) for layer in model.network.layers) else "FeedForward"
    kind = "Recurrent" if model.recurrent else kind
    default = kind + ("Regressor" if model.task == "regression" else "Classifier")
    framed = bool(model.info.get("framed", "schema" in model.info))
    told = model.info if "params" in model.info else _told_by_the_run(Path(path), ESTIMATORS[default])
    try:
        cls = ESTIMATORS[model.info.get("estimator", default)]
        params = {n: storage.parameter_from_json(value) for n, value in told["params"].items()}
        if model.recurrent and "params" not in model.info:
            params |= _recurrent_parameters(model.network)
        estimator = cls(**params)
        fitted = {n: _restored(n, value) for n, value in told["fitted"].items() if n in _FITTED}
        if model.task != "regression":
            fitted["classes_"] = _classes(model)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise storage.damaged(Path(path), f"{type(error).__name__}: {error}") from error
    if model.recurrent:
        estimator.n_features_in_ = len(model.encoder.columns)
    for name, value in fitted.items():
        if value is not None:
            setattr(estimator, name, value)
    estimator.model_, estimator._encoder, estimator._target = model, model.encoder, model.target
    estimator._framed, estimator._columns = framed, model.encoder.columns if framed else ()
    if isinstance(estimator, RBFClassifier | RBFRegressor):
        estimator.centers_, estimator.log_width_ = model.members[0][0]
    if model.task != "regression":
        estimator._task = model.task
    return estimator


def _classes(model: Model) -> np.ndarray:
    """The classes in the type that they had when the estimator was trained; of several labels their columns."""
    labels = model.target.classes if model.target.labels else np.arange(model.target.n_out)
    if "label_dtype" not in model.info:
        return labels
    name = model.info["label_dtype"]
    if name not in LABEL_DTYPES or not np.array_equal(labels.astype(name), labels):
        raise ValueError(f"label_dtype = {name!r:.40}")
    return labels.astype(name)


def _told_by_the_run(path: Path, cls: type) -> dict[str, Any]:
    """What `save` would have kept of the fit of a command line's run; nothing if there is only its model."""
    directory = RunDirectory(path)
    result = directory.result() if path.is_dir() else None
    if result is None:
        return {"params": {}, "fitted": {}}
    run, history = directory.run(), directory.history()
    try:
        settings = run["settings"]
        own = settings | {"random_state": settings["seed"], "cell": settings["net"]}
        if settings["batch_stage"] and settings["branch_stage"]:
            own["recipe"] = "full"
        if settings["net"] == "rbf" and settings["training"] == "closed_form":
            own = {name: value for name, value in own.items() if name not in OF_GRADIENT}
        fitted = {f"{name}_": result[name] for name in ("learning_rate", "l2", "batch_size", "findings")}
        fitted |= {"n_iter_": result["epochs"], "notebook_": result["stages"], "history_": history}
    except (KeyError, TypeError) as error:
        raise InputError(f"not a whole run: {error}", "name its model.safetensors", str(path)) from error
    return {"params": {name: own[name] for name in cls().get_params() if name in own}, "fitted": fitted}


def _recurrent_parameters(network: Chain) -> dict[str, Any]:
    """What the estimator of a network that the command line has trained must know of it."""
    first = network.layers[0].layer if isinstance(network.layers[0], Bidirectional) else network.layers[0]
    cell = type(first).__name__.lower()
    kinds = {type(layer) for layer in network.layers}
    return {"cell": cell, "head": "every" if EveryStep in kinds else "mean" if MeanOverTime in kinds else "last"}


_FITTED = (
    "n_features_in_",
    "feature_names_in_",
    "learning_rate_",
    "l2_",
    "batch_size_",
    "n_iter_",
    "history_",
    "health_",
    "findings_",
    "notebook_",
)


def _restored(name: str, value: Any) -> Any:
    if value is None:
        return np.nan if name == "learning_rate_" else None
    if name == "history_":
        return {column: np.asarray(values, float if column != "epoch" else int) for column, values in value.items()}
    if name == "health_":
        return {quantity: np.asarray(values, float) for quantity, values in value.items()}
    if name == "findings_":
        return [Finding(**finding) for finding in value]
    if name == "feature_names_in_":
        return np.asarray(value, object)
    return value
