"""Estimators from files."""

from pathlib import Path
from typing import Any

import numpy as np

from axonic import storage
from axonic.estimators.feedforward import FeedForwardClassifier, FeedForwardRegressor
from axonic.estimators.rbf import RBFClassifier, RBFRegressor
from axonic.estimators.recurrent import RecurrentClassifier, RecurrentRegressor
from axonic.layers import RBF
from axonic.types import Finding

_ALL = (
    *(FeedForwardClassifier, FeedForwardRegressor, RBFClassifier, RBFRegressor),
    *(RecurrentClassifier, RecurrentRegressor),
)
ESTIMATORS = {cls.__name__: cls for cls in _ALL}


def load(path):
    """A fitted estimator from a file written by `save`, from a model file or from a run directory of the command line.

    What the command line trained predicts from data frames with the columns of its table.

    Parameters
    ----------
    path : a model file or a run directory.

    Raises
    ------
    InputError : there is none, or the file is damaged.
    """
    model = storage.load_model(path)
    kind = "RBF" if any(isinstance(layer, RBF) for layer in model.network.layers) else "FeedForward"
    kind = "Recurrent" if model.recurrent else kind
    default = kind + ("Regressor" if model.task == "regression" else "Classifier")
    framed = bool(model.info.get("framed", "schema" in model.info))
    try:
        params = {n: storage.parameter_from_json(value) for n, value in model.info.get("params", {}).items()}
        estimator = ESTIMATORS[model.info.get("estimator", default)](**params)
        fitted = {n: _restored(n, model.info.get("fitted", {}).get(n)) for n in _FITTED}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise storage.damaged(Path(path), f"{type(error).__name__}: {error}") from error
    for name, value in fitted.items():
        if value is not None:
            setattr(estimator, name, value)
    estimator.model_, estimator._encoder, estimator._target = model, model.encoder, model.target
    estimator._framed, estimator._columns = framed, model.encoder.columns if framed else ()
    if isinstance(estimator, RBFClassifier | RBFRegressor):
        estimator.centers_, estimator.log_width_ = model.members[0][0]
    if model.task != "regression":
        estimator._task = model.task
        labels = model.target.classes
        estimator.classes_ = np.asarray(labels) if len(labels) else np.arange(model.target.n_out)
    return estimator


_FITTED = (
    "n_features_in_",
    "feature_names_in_",
    "learning_rate_",
    "l2_",
    "batch_size_",
    "n_iter_",
    "history_",
    "findings_",
    "notebook_",
)


def _restored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "history_":
        return {column: np.asarray(values, float if column != "epoch" else int) for column, values in value.items()}
    if name == "findings_":
        return [Finding(**finding) for finding in value]
    if name == "feature_names_in_":
        return np.asarray(value, object)
    return value
