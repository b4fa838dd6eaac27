"""scikit-learn estimators: shells around `axonic.recipe`.

Data in, in the ways of scikit-learn: arrays or any data frame, NaN for a missing value. Numbers are standardised and
missing ones replaced by the median with an indicator column; data frames may also hold text, categories, booleans and
dates, which are encoded as the command line does.

Rows are put in an order of their own before anything random happens, and those that are equal in inputs and target are
merged into one that weighs as much: a row given twice is a row of weight two, to the last bit, the order of the rows
does not matter, and no row stands in training and validation at once. A table of few kinds of rows
(`axonic.data.duplicates`), each there more than `KINDS` times on average, keeps them apart, as many as their weights
say: there, whether a kind is held out says nothing of how well the others are known, and of a kind with several answers
all of one would be (`docs/decisions/014-duplicates.md`). With `shuffle=False` rows are taken as they come.
"""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from axonic import recipe as recipes
from axonic import storage
from axonic.checks import check_beside, check_rows
from axonic.data.batches import Rows, Split, split_rows
from axonic.data.columns import UNSUPPORTED, canonical, infer_columns
from axonic.data.duplicates import of_few_kinds
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import join
from axonic.data.schema import Schema, Task
from axonic.data.targets import TargetEncoder
from axonic.data.values import in_file
from axonic.diagnosis import diagnose, unwatched, with_cause_first
from axonic.errors import InputError
from axonic.estimators.frames import as_frame, as_polars, is_numeric
from axonic.estimators.progress import printer
from axonic.losses import Loss
from axonic.model import Model
from axonic.regularization import Regularization
from axonic.settings import Settings, pair
from axonic.types import Finding

MIN_ROWS_TO_HOLD_OUT = 10
HASHED_VALUES = 1 << 18
KINDS = 2
MOST_COPIES = 100_000
"""Weights that add up to more (and to more than there are rows) are no counts of rows."""


class Estimator(BaseEstimator):
    """What all estimators share; each sets the parameters, those of `axonic.estimators.documentation`, itself."""

    _task: Task
    _target: TargetEncoder
    _encoder: TableEncoder
    _columns: tuple[Any, ...]
    _ignored: tuple[Any, ...] = ()
    """Columns of a frame that are left out."""
    classes_: np.ndarray

    hidden_layer_sizes: Any
    activation: Any
    optimizer: Any
    learning_rate: Any
    batch_size: Any
    epochs: Any
    recipe: Any
    loss: Any
    init: Any
    l2: Any
    l1: Any
    dropout: Any
    regularization: Any
    ensemble: Any
    standardize: Any
    shuffle: Any
    early_stopping: Any
    feature_names_in_: np.ndarray
    validation_fraction: Any
    monitor: Any
    warm_start: Any
    random_state: Any
    verbose: Any

    def fit(self, X, y, sample_weight=None, validation_data=None):
        """Train the network.

        Parameters
        ----------
        X : (n, n_features) array, or a data frame; NaN is a missing value.
        y : (n,) classes or numbers; (n, n_targets) numbers; or for a classifier (n, n_labels), 1 where a row has a
            label and 0 where not.
        sample_weight : (n,) weights, not negative; None weighs all rows alike. Whole numbers say how often a row is
            there, unless they add up to more than 100,000 and than there are rows; of others the scale does not matter.
        validation_data : (X, y) or (X, y, sample_weight) to hold out instead of a share of X.

        Returns
        -------
        self

        Raises
        ------
        InputError (a ValueError) : a parameter or the data can't work; the message says how to mend it.
        """
        settings = self._settings()
        goes_on = bool(self.warm_start) and hasattr(self, "model_")
        X, y, weight, places = self._validated(X, y, sample_weight, reset=not goes_on)
        seen = X, y
        with in_file(rows=places):
            order, weight, n = self._ordered(X, y, weight)
            if not goes_on:
                self._encode_target(y[order], settings)
            y = self._target_codes(y)[order]
        factor = self._factor(y, weight)
        weighted = weight * factor(y)
        kept = np.flatnonzero(weighted)  # rows of weight 0 are as good as not there
        if len(kept) == 0:
            raise InputError("no row has a weight above 0", "give some a positive weight")
        n *= weight[kept].sum() / weight.sum()
        order = np.arange(len(places))[order][kept]
        X, y, weight, places = X[order], y[kept], weighted[kept], places[order]
        parts = self._split(y, settings.seed, held_out=validation_data is None)
        with in_file(rows=places):
            if not goes_on:
                self._encode_inputs(X, y, parts.train)
            rows = self._rows(X, y, weight, parts.train)
        if validation_data is not None:
            rows, parts = self._with_validation(rows, validation_data, factor)

        loss, n_out = self._pair(settings)
        if self._task == "multilabel":  # to a fit they are numbers, whose loss would be another one
            settings = dataclasses.replace(settings, loss=loss)
        start = None
        if goes_on:
            start = self.model_.members
            if hasattr(self, "_fitted"):  # a model that was loaded has its weights alone
                start = self._fitted.going_on(start)
        resplits = validation_data is None
        stands_for = n * len(parts.train) / len(y)
        task = recipes.Task(
            *(rows, parts, settings, settings.network(n_out), loss, resplits, start), stands_for=stands_for
        )
        fitted = recipes.fit(task, watcher=printer(self.verbose))
        self._take(fitted, (lambda: self._diagnosed(*seen, task, fitted)) if self.monitor else None)
        return self

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Go on training for one pass over these rows.

        The first call settles the encoders, the optimizer, the number of networks (one with `ensemble="auto"`) and,
        with `learning_rate="auto"`, the rate, from its rows alone; nothing is held out. After `fit` training goes on
        from the weights that are kept. Other parameters, a `learning_rate` and `l2` given by hand among them, hold as
        they are at each call.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`.
        classes : all classes that will ever be seen; needed in the first call of a classifier, and later the same or
            None. Where y has several labels a row its columns say it, and it is ignored, as by regressors.

        Returns
        -------
        self

        Raises
        ------
        InputError : as `fit`; another optimizer, number of networks or other classes are asked for than before; or the
            model was loaded from a file, which does not hold the rule's state, or trained by `fit_series`.
        """
        settings = self._settings()
        first = not hasattr(self, "model_")
        if not first and not hasattr(self, "_fitted"):
            raise InputError("a loaded model can't go on with partial_fit", "use fit with warm_start=True")
        X, y, weight, places = self._validated(X, y, sample_weight, reset=first)
        classes = self._foretold(classes, y, first=first)
        with in_file(rows=places):
            order, weight, _ = self._ordered(X, y, weight)
            if first:
                self._encode_target(y[order] if classes is None else classes, settings)
            y = self._target_codes(y)[order]
        X = X[order]
        parts = Split(np.arange(len(y)), np.empty(0, np.int64), np.empty(0, np.int64))
        with in_file(rows=places[order]):
            if first:
                self._encode_inputs(X, y, parts.train)
            rows = self._rows(X, y, weight * self._factor(y, weight)(y), parts.train)
        loss, n_out = self._pair(settings)
        network = settings.network(n_out)
        fitted = recipes.go_on(rows, parts, settings, network, loss, None if first else self._fitted)
        before = None if first else (self.history_, self.notebook_)
        self._take(fitted)
        if before is not None:
            self.history_ = {name: np.concatenate([before[0][name], column]) for name, column in self.history_.items()}
            self.history_["epoch"] = np.arange(1, len(self.history_["epoch"]) + 1)
            self.notebook_ = before[1] + self.notebook_
            self.n_iter_ = len(self.history_["epoch"])
        return self

    def save(self, path):
        """Write a model file that `axonic.load` reads back: weights, encoders, parameters and history, no pickle.

        A parameter that can't be kept in a file, such as an optax transformation, is left at its default, with a
        warning.

        Raises
        ------
        InputError : the file can't be written.
        """
        check_is_fitted(self)
        storage.network_to_json(self.model_.network)  # what it refuses is no parameter left out
        info = {
            "estimator": type(self).__name__,
            "params": self._params_to_json(),
            "framed": self._framed,
            "fitted": {
                "n_features_in_": getattr(self, "n_features_in_", None),
                "feature_names_in_": getattr(self, "feature_names_in_", None),
                "learning_rate_": self.learning_rate_,
                "l2_": self.l2_,
                "batch_size_": self.batch_size_,
                "n_iter_": self.n_iter_,
                "history_": self.history_,
                "health_": getattr(self, "health_", None),
                "findings_": [finding._asdict() for finding in self._findings],
                "notebook_": self.notebook_,
            },
        }
        storage.save_model(self.model_, Path(path), **info)

    def export_onnx(self, path, X=None):
        """Write an ONNX file that takes the raw columns; see `axonic.export`.

        Parameters
        ----------
        path : the file.
        X : rows or sequences as in `fit`, windows after `fit_series`, that onnxruntime must predict alike besides those
            that are made up.

        Raises
        ------
        InputError : as `axonic.export.export_onnx`.
        """
        from axonic.export import export_onnx

        check_is_fitted(self)
        export_onnx(self, path, None if X is None else self._inputs(X, reset=False))

    def _params_to_json(self) -> dict[str, Any]:
        params = {}
        for name, value in self.get_params().items():
            try:
                params[name] = storage.parameter_to_json(value)
            except InputError as error:
                warnings.warn(f"{name} is not kept in the file: {error}", UserWarning, stacklevel=3)
        return params

    def _settings(self) -> Settings:
        for name in ("standardize", "warm_start"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise InputError(f"{name} = {getattr(self, name)!r} is impossible", "give True or False")
        if not (self.recipe is None or self.recipe == "full"):
            raise InputError(f"recipe = {self.recipe!r} is impossible", "give None or 'full'")
        if not isinstance(self.verbose, int | np.integer | np.bool_) or self.verbose < 0:
            raise InputError(f"verbose = {self.verbose!r} is impossible", "give 0 or 1")
        fraction = self.validation_fraction
        if not (isinstance(fraction, int | float | np.number) and 0 < fraction < 1):
            raise InputError(f"validation_fraction = {fraction!r} is impossible", "give a number between 0 and 1")
        return Settings(
            **self._network_settings(),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=self.epochs,
            batch_stage=self.recipe == "full",
            branch_stage=self.recipe == "full",
            loss=self.loss,
            l2=self.l2,
            l1=self.l1,
            dropout=self.dropout,
            regularization=self.regularization,
            ensemble=self.ensemble,
            shuffle=self.shuffle,
            early_stopping=self.early_stopping,
            monitor=self.monitor,
            seed=_seed(self.random_state),
        )

    def _network_settings(self) -> dict[str, Any]:
        """The settings of this kind of network alone."""
        return {
            "hidden_layer_sizes": _as_tuple(self.hidden_layer_sizes),
            "activation": tuple(self.activation) if isinstance(self.activation, list) else self.activation,
            "init": self.init,
            **{name: getattr(self, name) for name in Regularization._fields if hasattr(self, name)},
        }

    def _pair(self, settings: Settings) -> tuple[Loss, int]:
        """The loss and the number of output units, for the target as it was encoded when training began."""
        loss, n_out = pair(settings, self._task, self._target.n_out)
        if self._task == "regression" and loss.scaling() != self._target.scaling:
            raise InputError(
                f"loss = {self.loss!r} needs the target on another scale than the loss before",
                "start afresh to change it",
            )
        return loss, n_out

    def _validated(self, X, y, sample_weight, *, reset):
        """Inputs as a frame (mixed columns) or an array of floats, targets as an array, weights that are not 0, and
        which of the rows given these are."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        X = self._inputs(X, reset=reset)
        y = self._targets(y)
        if len(y) != len(X):
            raise ValueError(f"X and y have different lengths: {len(X)} and {len(y)} rows; give one target a row")
        weight, places = np.ones(len(y)), np.arange(len(y))
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, y, ensure_non_negative=True)
            places = np.flatnonzero(weight > 0)
            if len(places) == 0:
                raise InputError("every sample_weight is 0", "give some rows a positive weight")
            X, y, weight = X[places], y[places], weight[places]
        least = 2 if reset else 1
        if len(y) < least:
            raise InputError(f"{len(y)} sample (n_samples={len(y)}) is too few", f"give at least {least} rows")
        return X, y, weight, places

    def _inputs(self, X, *, reset) -> Any:
        """The inputs as a frame, if they are a frame with other columns than numbers or the encoder was made from one,
        or else as an array of floats."""
        frame = as_frame(X)
        if frame is not None and (not is_numeric(frame) if reset else self._framed):
            if len(frame) == 0:
                raise InputError("found 0 samples: the table has no rows", "give at least one row")
            if reset or hasattr(self, "feature_names_in_"):
                _check_feature_names(self, X, reset=reset)
            table = as_polars(frame)
            if reset:
                self.n_features_in_ = table.width
                self._framed = True
                columns = infer_columns(table)
                self._columns = tuple(column for column in columns if column.kind != "ignored")
                self._ignored = tuple(column for column in columns if column.kind == "ignored")
                if not self._columns:
                    reasons = "; ".join(f"{column.name}: {column.reason}" for column in self._ignored)
                    raise InputError(f"no column is left to predict from ({reasons})", "add columns")
                _warn_of_unsupported(self._ignored)
            return table
        if reset:
            self._framed, self._columns, self._ignored = False, (), ()
        types = [np.float64, np.float32]
        return validate_data(self, X, reset=reset, dtype=types, order="C", ensure_all_finite="allow-nan")

    def _ordered(self, X, y, weight):
        """Which rows to take, in an order that depends on their content alone, equal ones as one unless there are few
        kinds of them, see the module; their weights; and how many they stand for: as many as their weights say, if
        these can be counts."""
        if not self.shuffle:
            return slice(None), weight, len(y)
        _, first, inverse = np.unique(self._hashes(X, y), return_index=True, return_inverse=True)
        n, weight = len(y), np.bincount(inverse, weights=weight)
        total = weight.sum()
        counts = total <= max(MOST_COPIES, n) and np.array_equal(weight, np.rint(weight))
        if counts and total > KINDS * len(first) and of_few_kinds(self._kinds(X, first), weight):
            first, weight = np.repeat(first, weight.astype(np.int64)), np.ones(int(total))
        return first, weight, int(total) if counts else n

    def _kinds(self, X, rows) -> pl.DataFrame:
        """What equal rows are alike in."""
        return _canonical(X[rows], self._columns) if self._framed else pl.from_numpy(X[rows])

    def _hashes(self, X, y) -> np.ndarray:
        """A number for each row, equal where inputs and target are."""
        keys = pl.from_numpy(self._target_keys(y).reshape(len(y), -1))
        return keys.with_columns(_row_hashes(X, self._columns)).hash_rows(seed=0).to_numpy()

    def _split(self, y, seed, *, held_out) -> Split:
        share = self.validation_fraction if held_out and self.early_stopping and len(y) >= MIN_ROWS_TO_HOLD_OUT else 0.0
        classes = y if self._task == "classification" and isinstance(y, np.ndarray) else None
        return split_rows(len(y), seed, valid=share, test=0.0, classes=classes, purpose="validation")

    def _encode_inputs(self, X, y, train):
        if self._framed:
            schema = Schema(self._columns, "", self._task)
            self._encoder = TableEncoder.fit(X, schema, train, self.standardize, y[train])
        else:
            names = [str(name) for name in self.feature_names_in_] if hasattr(self, "feature_names_in_") else None
            self._encoder = TableEncoder.from_array(X, train, self.standardize, names=names)

    def _factor(self, y, weight) -> Callable[[Any], Any]:
        """From encoded targets to what their weights are multiplied by, settled by those trained on."""
        del y, weight
        return lambda y: 1.0

    def _rows(self, X, y, weight, train) -> Rows:
        if not weight[train].any():
            raise InputError("no row that is trained on has a weight above 0", "give some a positive weight")
        return Rows(self._encoded(X), y, (weight / weight[train].mean()).astype(np.float32))

    def _encoded(self, X) -> Any:
        """The network's inputs."""
        return self._encoder.transform(X)

    def _with_validation(self, rows, validation_data, factor):
        if not (isinstance(validation_data, tuple | list) and len(validation_data) in (2, 3)):
            raise InputError("validation_data is not (X, y)", "give (X, y) or (X, y, sample_weight)")
        X, y, *weight = validation_data
        X, y, weight, places = self._validated(X, y, weight[0] if weight else None, reset=False)
        with in_file("validation_data", places):
            x, y = self._encoded(X), self._target_codes(y)
        weight = weight * factor(y)
        if not weight.any():
            raise InputError("no row of validation_data has a weight above 0", "give some a positive weight")
        held = Rows(x, y, (weight / weight.mean()).astype(np.float32))
        both = Rows(*(join(pair) for pair in zip(rows, held, strict=True)))
        n = len(rows.y)
        return both, Split(np.arange(n), np.arange(n, len(both.y)), np.empty(0, np.int64))

    def _check(self, X, y) -> list[Finding]:
        """What the rows show before they are encoded."""
        if self._framed:
            return check_beside(X, Schema(self._columns, "", self._task, self._ignored), y)
        names = list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None
        return check_rows(X, y, self._task, names)

    def _diagnosed(self, X, y, task: recipes.Task, fitted: recipes.Fit) -> list[Finding]:
        found = self._check(X, y)
        if not self.shuffle:
            found = [finding for finding in found if finding.code != "data.sorted"]  # said once the rows are split
        diagnosed = diagnose(task, fitted, target=self._target)
        return with_cause_first(found, diagnosed, weighted=getattr(self, "class_weight", None) is not None)

    @property
    def findings_(self) -> list[Finding]:
        """What is worth telling of the fit. Diagnosed when it is first asked for, since the network may be trained
        again to put a suspicion to the test; what needs no such test is known, and warned of, at once."""
        if not hasattr(self, "_findings"):
            raise AttributeError("findings_: not fitted yet")
        if self._diagnosis is not None:
            diagnosis, self._diagnosis = self._diagnosis, None
            self._findings = diagnosis()
        return self._findings

    @findings_.setter
    def findings_(self, findings: list[Finding]) -> None:
        self._findings, self._diagnosis = findings, None

    def _take(self, fitted: recipes.Fit, diagnosis: Callable[[], list[Finding]] | None = None) -> None:
        self.model_ = Model(fitted.network, fitted.loss, fitted.members, self._encoder, self._target, self._info())
        self.learning_rate_ = fitted.learning_rate
        self.l2_ = fitted.l2
        self.batch_size_ = fitted.batch_size
        self.n_iter_ = fitted.n_epochs
        self.history_ = fitted.history_columns()
        self.health_ = fitted.health_columns()
        self.notebook_ = fitted.stages
        self._findings, self._diagnosis = unwatched(fitted), diagnosis
        self._fitted = fitted
        for finding in self._findings:
            warnings.warn(f"{finding.cause} {finding.remedy}", ConvergenceWarning, stacklevel=3)

    def _info(self) -> dict[str, Any]:
        """What else the model should know."""
        return {}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = False
        return tags

    def __getstate__(self):
        state: Any = super().__getstate__()
        return {**state, "_diagnosis": None}

    # what differs between classes and numbers

    def _targets(self, y) -> np.ndarray:
        """The target checked, as an array."""
        raise NotImplementedError

    def _target_keys(self, y) -> np.ndarray:
        """Numbers that are equal where the target is."""
        raise NotImplementedError

    def _encode_target(self, y, settings: Settings) -> None:
        raise NotImplementedError

    def _foretold(self, classes, y, *, first: bool) -> np.ndarray | None:
        """The classes that `partial_fit` is told of, checked; None if the target says what there is."""
        del classes, y, first

    def _target_codes(self, y) -> np.ndarray:
        return self._target.transform(y)


def _as_tuple(sizes: Any) -> tuple:
    return tuple(sizes) if isinstance(sizes, tuple | list | range | np.ndarray) else (sizes,)


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def _warn_of_unsupported(ignored: tuple[Any, ...]) -> None:
    for column in ignored:
        if column.reason.startswith(UNSUPPORTED):
            said = f"column {column.name!r} is left out: {column.reason}; make it numbers, text or dates to use it"
            warnings.warn(said, UserWarning, stacklevel=5)


def _canonical(X: pl.DataFrame, columns: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame([canonical(X[column.name], column) for column in columns])


def _row_hashes(X: Any, columns: tuple[Any, ...]) -> pl.Series:
    """A number for each row, equal where the rows are, in whatever types their values are held."""
    if isinstance(X, pl.DataFrame):
        return _canonical(X, columns).hash_rows(seed=0).alias("row")
    step = max(1, HASHED_VALUES // X.shape[1])
    blocks = [X[start : start + step].astype(np.float64) for start in range(0, len(X), step)]
    return pl.concat([pl.Series("row", block).hash(seed=0) for block in blocks])
