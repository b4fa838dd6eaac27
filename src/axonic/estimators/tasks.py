"""What the estimators for classes and those for numbers share."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from axonic.data.batches import class_factors
from axonic.errors import InputError
from axonic.estimators.base import Estimator
from axonic.settings import fit_target

LABEL_DTYPES = {np.dtype(code).name for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?O"}
"""Types of NumPy in which classes come back from a file; text is as long as it needs to be."""


class Classifier(ClassifierMixin, Estimator):
    """What the estimators for classes share."""

    _task = "classification"
    class_weight: Any

    def predict(self, X):
        """The most probable class of each row, shape (n,); of several labels 1 for those that are likelier than not,
        (n, n_labels)."""
        check_is_fitted(self)
        return self._decided(self.model_.predict_proba(self._inputs(X, reset=False)))

    def _decided(self, p):
        """As `predict`, from probabilities."""
        return self.model_.decided(p) if self._task == "multilabel" else self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X, return_std=False):
        """Probabilities of the classes in the order of `classes_`, shape (n, n_classes), rows summing to 1, or of each
        of several labels; with `return_std` also how far those of the networks are apart, see
        `axonic.model.Model.spread`.

        Raises
        ------
        InputError : `return_std` and a single network.
        """
        check_is_fitted(self)
        x = self.model_.encoder.transform(self._inputs(X, reset=False))
        p = self.model_.probabilities(x)
        return (p, self.model_.spread(x)) if return_std else p

    def _targets(self, y):
        labels = _as_labels(y)
        if labels is not None:
            return labels
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        return y

    def _target_keys(self, y):
        return y if y.ndim == 2 else np.unique(y, return_inverse=True)[1]

    def _encode_target(self, y, settings):
        self._task = "multilabel" if y.ndim == 2 else "classification"
        if y.ndim == 2:
            self.classes_ = np.arange(y.shape[1])
            self._target = fit_target(settings, y, self._task)
            return
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise InputError(
                f"only one class, {self.classes_.tolist()[0]!r}, has rows (of a sample_weight above 0)",
                "give rows of at least two classes",
            )
        self._target = fit_target(settings, self.classes_, "classification")

    def _foretold(self, classes, y, *, first):
        if len(y.shape) == 2:
            return None
        if classes is None:
            if first:
                what = "classes must be passed on the first call to partial_fit"
                raise InputError(what, "give all that will ever be seen")
            return None
        classes = np.unique(classes)
        if not first and not np.array_equal(classes, self.classes_):
            what = f"classes = {classes.tolist()!r} is not the same as on the last call, {self.classes_.tolist()!r}"
            raise InputError(what, "leave it out, or start afresh")
        return classes

    def _info(self):
        name = self.classes_.dtype.name
        return {"label_dtype": name} if name in LABEL_DTYPES else {}

    def _factor(self, y, weight):
        """The factors of `class_weight`; a class's rows are counted by their weight."""
        if self.class_weight is None:
            return super()._factor(y, weight)
        if self._task == "multilabel":
            how = "leave it out: it is for classes that exclude each other"
            raise InputError(f"class_weight = {self.class_weight!r} is impossible", how)
        factors = self._class_factors(y, weight)
        return lambda y: factors[y]

    def _class_factors(self, y, weight):
        """The factor (n_classes,) of the rows of each class."""
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise InputError(f"class_weight = {self.class_weight!r} is impossible", "give 'balanced' or a dict")
            return class_factors(np.bincount(y, weights=weight, minlength=len(self.classes_)))
        weights = list(self.class_weight.values()) if isinstance(self.class_weight, dict) else [None]
        if not all(isinstance(w, int | float | np.number) and np.isfinite(w) and w >= 0 for w in weights):
            how = "give 'balanced' or a dict from class to a number that is not negative"
            raise InputError(f"class_weight = {self.class_weight!r} is impossible", how)
        return compute_sample_weight(self.class_weight, self.classes_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class Regressor(RegressorMixin, Estimator):
    """What the estimators for numbers share."""

    _task = "regression"

    def predict(self, X, return_std=False):
        """Predicted numbers, shape (n,) or (n, n_targets) as the target was; with `return_std` also how far those of
        the networks are apart, see `axonic.model.Model.spread`.

        Raises
        ------
        InputError : `return_std` and a single network.
        """
        check_is_fitted(self)
        x = self.model_.encoder.transform(self._inputs(X, reset=False))
        numbers = self.model_.numbers(x)
        return (numbers, self.model_.spread(x)) if return_std else numbers

    def _targets(self, y):
        y = np.asarray(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"), np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y

    def _target_keys(self, y):
        return y

    def _encode_target(self, y, settings):
        self._target = fit_target(settings, y, "regression")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _as_labels(y: Any) -> np.ndarray | None:
    """Several labels a row, (n, n_labels) float64; None if y holds something else."""
    if hasattr(y, "toarray"):
        raise InputError("y is sparse", "give y.toarray()", "y")
    shape = np.asarray(y).shape
    if len(shape) != 2 or shape[1] < 2:
        return None
    labels = np.asarray(check_array(y, dtype="numeric", input_name="y"), np.float64)
    others = labels[(labels != 0) & (labels != 1)]
    if len(others):
        how = "give 1 where a row has the label of the column and 0 where not, or one column of classes"
        raise InputError(f"y has {labels.shape[1]} columns and holds {others[0]:g}", how, "y")
    return labels
