"""Estimators of recurrent networks.

X is an array (n, time, features) or a list of arrays (time, features) of different lengths. With `head="every"` y holds
one value for each step: an array (n, time), or a list of arrays as long as the sequences.
"""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted

from axonic import recipe as recipes
from axonic.correction import Series, settle
from axonic.data.encoding import TableEncoder
from axonic.data.ragged import Ragged
from axonic.data.sequences.arrays import as_sequences
from axonic.data.sequences.windows import cut_windows
from axonic.data.values import in_file
from axonic.diagnosis import diagnose
from axonic.errors import InputError
from axonic.estimators.base import Estimator
from axonic.estimators.documentation import document
from axonic.estimators.progress import printer
from axonic.estimators.tasks import Classifier, Regressor
from axonic.model import Model
from axonic.settings import CELLS, HEADS


class _Recurrent(Estimator):
    """What differs from tables: sequences in, and targets of each step."""

    cell: Any
    bidirectional: Any
    slicing: Any
    head: Any
    clip_norm: Any
    truncate: Any
    chrono: Any

    def _set(self, values: dict[str, Any]) -> None:
        """Keep the arguments of `__init__` as they are."""
        for name, value in values.items():
            if name != "self":
                setattr(self, name, value)

    def _network_settings(self):
        if self.cell not in CELLS:
            raise InputError(f"cell = {self.cell!r} is impossible", f"use {', '.join(CELLS)}")
        if self.head not in HEADS:
            raise InputError(f"head = {self.head!r} is impossible", f"use {', '.join(HEADS)}")
        return {
            **super()._network_settings(),
            "net": self.cell,
            "bidirectional": self.bidirectional,
            "head": self.head,
            "clip_norm": self.clip_norm,
            "truncate": self.truncate,
            "chrono": self.chrono,
        }

    @property
    def _by_step(self) -> bool:
        return self.head == "every"

    def _validated(self, X, y, sample_weight, *, reset):
        X, y, weight, places = super()._validated(X, y, sample_weight, reset=reset)
        if isinstance(y, Ragged) and not np.array_equal(X.lengths, y.lengths):
            place = int(np.flatnonzero(X.lengths != y.lengths)[0])
            what = f"sequence {places[place]} has {X.lengths[place]} steps and {y.lengths[place]} targets"
            raise InputError(what, 'give one for each step, or use head="last" or "mean"', "y")
        return X, y, weight, places

    def _inputs(self, X, *, reset) -> Any:
        x = as_sequences(X)
        width = x.shape[1]
        if reset:
            self._framed, self._columns, self.n_features_in_ = False, (), width
        elif width != self.n_features_in_:
            raise ValueError(
                f"X has {width} features, but {type(self).__name__} is expecting {self.n_features_in_} features as "
                "input: give the same features at every step"
            )
        return x

    def _check(self, X, y):
        """Sequences of numbers that can't be trained on are refused by `as_sequences`."""
        return []

    def _step_targets(self, y) -> Ragged:
        """Targets of each step, as they are."""
        if isinstance(y, np.ndarray) and y.dtype != object:
            if y.ndim < 2:
                raise InputError('head="every" takes a target for each step', "give y of shape (n, time)", "y")
            return Ragged.of(y.reshape(-1, *y.shape[2:]), np.full(len(y), y.shape[1]))
        each = [np.asarray(one) for one in y]
        if any(one.ndim == 0 for one in each):
            raise InputError('head="every" takes a target for each step', "give y as a list of arrays", "y")
        return Ragged.of(np.concatenate(each), [len(one) for one in each])

    def _kinds(self, X, rows):
        return pl.DataFrame({"sequence": np.array([_hash(x, 0) for x in X[rows].split()], np.uint64)})

    def _hashes(self, X, y):
        keys = y.split() if isinstance(y, Ragged) else self._target_keys(y)
        return np.array([_hash(x, key) for x, key in zip(X.split(), keys, strict=True)], np.uint64)

    def _encode_inputs(self, X, y, train):
        self._encoder = TableEncoder.from_array(X.values, X.steps(train), self.standardize)

    def _encoded(self, X):
        return Ragged(self._encoder.transform(X.values), X.offsets)

    def _encode_target(self, y, settings):
        super()._encode_target(y.values if isinstance(y, Ragged) else y, settings)

    def _target_codes(self, y):
        if not isinstance(y, Ragged):
            return super()._target_codes(y)
        with in_file(rows=np.repeat(np.arange(len(y)), y.lengths)):  # a row is a sequence
            return Ragged(self._target.transform(y.values), y.offsets)

    def _outputs(self, X, outputs) -> Any:
        """What a method of the model says of sequences, cut up where it says something of each step."""
        check_is_fitted(self)
        x = self._inputs(X, reset=False)
        found = outputs(self.model_.encode(x))
        if not self.model_.by_step:
            return found
        each = Ragged(found, x.offsets).split()
        return np.stack(each) if isinstance(X, np.ndarray) and X.dtype != object else each

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = False
        return tags


class RecurrentClassifier(_Recurrent, Classifier):
    """A recurrent network for classes of sequences, or of each of their steps, trained by its own backpropagation
    through time.

    >>> import numpy as np
    >>> from axonic import RecurrentClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.standard_normal((rng.integers(5, 9), 1)) for _ in range(60)]
    >>> y = np.array([x[0, 0] > 0 for x in X])  # the class is said at the first step
    >>> model = RecurrentClassifier("gru", (8,), learning_rate=0.03, epochs=40, ensemble=1).fit(X, y)
    >>> model.predict(X[:2]).shape
    (2,)
    """

    def __init__(
        self,
        cell="lstm",
        hidden_layer_sizes=(64,),
        bidirectional="auto",
        head="last",
        activation="tanh",
        optimizer="adam",
        learning_rate: Any = "auto",
        batch_size=16,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        init="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
        input_noise=0.0,
        scaling=0.0,
        slicing=0.0,
        weight_average=0.0,
        clip_norm: Any = "auto",
        truncate: Any = None,
        chrono: Any = None,
        regularization: Any = "auto",
        ensemble: Any = "auto",
        class_weight=None,
        standardize=True,
        shuffle=True,
        early_stopping=True,
        validation_fraction=0.15,
        monitor=True,
        warm_start=False,
        random_state=0,
        verbose=0,
    ):
        self._set(locals())

    def predict(self, X):
        """The most probable class of each sequence, (n,), or 1 for each label that is likelier than not, (n, n_labels);
        of each step with `head="every"`, (n, time, ...) or a list."""
        return self._outputs(X, lambda x: self._decided(self.model_.probabilities(x)))

    def predict_proba(self, X):
        """Probabilities of the classes in the order of `classes_`, (n, n_classes); of each step with `head="every"`,
        (n, time, n_classes) or a list."""
        return self._outputs(X, self.model_.probabilities if hasattr(self, "model_") else None)

    def score(self, X, y, sample_weight=None):
        """The accuracy, over all steps with `head="every"`."""
        if not self._by_step:
            return super().score(X, y, sample_weight)
        y, predicted, weight = _flat(self, X, y, sample_weight)
        return accuracy_score(y, predicted, sample_weight=weight)

    def _targets(self, y):
        if not self._by_step:
            return super()._targets(y)
        y = self._step_targets(y)
        return Ragged(super()._targets(y.values), y.offsets)

    def _factor(self, y, weight):
        if self.class_weight is not None and isinstance(y, Ragged):
            raise InputError("class_weight weighs sequences, not steps", 'leave it out with head="every"')
        return super()._factor(y, weight)


class RecurrentRegressor(_Recurrent, Regressor):
    """A recurrent network for numbers: one or several for each sequence, such as the next values of a series, or one
    for each step. Trained by its own backpropagation through time.

    >>> import numpy as np
    >>> from axonic import RecurrentRegressor
    >>> series = np.sin(np.arange(200) / 5)
    >>> model = RecurrentRegressor("gru", (8,), learning_rate=0.01, epochs=30).fit_series(series, window=20, horizon=3)
    >>> model.forecast(series, 5).shape  # the next five values
    (5,)
    """

    def __init__(
        self,
        cell="lstm",
        hidden_layer_sizes=(64,),
        bidirectional="auto",
        head="last",
        activation="tanh",
        optimizer="adam",
        learning_rate: Any = "auto",
        batch_size=16,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        init="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
        input_noise=0.0,
        scaling=0.0,
        slicing=0.0,
        weight_average=0.0,
        clip_norm: Any = "auto",
        truncate: Any = None,
        chrono: Any = None,
        regularization: Any = "auto",
        ensemble: Any = "auto",
        standardize=True,
        shuffle=True,
        early_stopping=True,
        validation_fraction=0.15,
        monitor=True,
        warm_start=False,
        random_state=0,
        verbose=0,
    ):
        self._set(locals())

    def fit_series(self, series, window, horizon=1, autoregression=True):
        """Train on one series to forecast what follows a window.

        The last share `validation_fraction` of it decides when to stop; windows are split by time, and scales come from
        what lies before. A series that drifts is forecast from the last value of each window
        (`axonic.data.sequences.windows.SeriesCoding`), unless the loss is one of targets within limits, such as counts.
        Every call starts afresh, so `warm_start=True` is refused, and neither it nor `partial_fit` goes on from here.

        Parameters
        ----------
        series : (steps,) numbers, or (steps, features), of which the first is forecast.
        window : steps that a forecast looks at.
        horizon : steps that are forecast at a time.
        autoregression : whether the network corrects a linear forecast from the window, fitted by ridge regression
            (`axonic.data.autoregression`), rather than forecasting by itself. Not with a loss of targets within limits.

        Returns
        -------
        self

        Raises
        ------
        InputError : the series is too short, has gaps, or a parameter can't work.
        """
        if not isinstance(autoregression, bool):
            raise InputError(f"autoregression = {autoregression!r} is impossible", "give True or False")
        settings = dataclasses.replace(self._settings().of_series(), autoregression=autoregression)
        if self._by_step:
            raise InputError('head = "every" gives no forecast', 'use head="last" or "mean"')
        if self.slicing:
            raise InputError(
                f"slicing = {self.slicing!r} is impossible", "leave it out: a forecast needs its last steps"
            )
        if self.warm_start:
            raise InputError("warm_start = True is impossible", "leave it out: fit_series starts afresh")
        for name, value in (("window", window), ("horizon", horizon)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name} = {value!r} is impossible", "give a whole number of at least 1")
        steps = self._series(series)
        held = self.validation_fraction if self.early_stopping else 0.0
        windows = cut_windows(len(steps), window, horizon, held, 0.0)
        self.n_features_in_, self._framed, self._columns = steps.shape[1], False, ()
        self._encoder = TableEncoder.from_array(steps, np.arange(windows.seen), self.standardize, bounded=False)
        made = Series.of(steps[:, 0], self._encoder.transform(steps), windows, window, horizon, settings)
        self._coding, self._target = made.coding, made.target
        loss, n_out = self._pair(settings)
        task = recipes.Task(made.rows, made.split, settings, settings.network(n_out), loss, resplits=False)
        fitted = recipes.fit(task, watcher=printer(self.verbose))
        model = Model(fitted.network, loss, fitted.members, self._encoder, self._target, self._info())
        kept = settle(fitted, model, made)
        self._coding = kept.coding
        self._take(kept.fit, (lambda: kept.said(diagnose(task, fitted, windows=True))) if self.monitor else None)
        return self

    def forecast(self, series, n_steps=None):
        """The values that follow a series, (n_steps,).

        Parameters
        ----------
        series : as in `fit_series`, at least a window long; what comes before its last window is not looked at.
        n_steps : how many; None is the horizon. Beyond it the series is continued with what was forecast, which takes
            a series without other features.

        Raises
        ------
        InputError : the model was not trained by `fit_series`, or the series is too short.
        """
        check_is_fitted(self)
        if not self._forecasts:
            raise InputError("the model was not trained to forecast a series", "train it with fit_series")
        return self.model_.forecast(self._series(series), n_steps)

    def fit(self, X, y, sample_weight=None, validation_data=None):
        if self.warm_start and self._forecasts:
            raise InputError("warm_start = True can't go on from fit_series", "leave it out to start afresh")
        self._coding = None
        return super().fit(X, y, sample_weight, validation_data)

    fit.__doc__ = Estimator.fit.__doc__

    def partial_fit(self, X, y, sample_weight=None, classes=None):
        if self._forecasts:
            raise InputError("partial_fit can't go on from fit_series", "call fit_series again with the whole series")
        return super().partial_fit(X, y, sample_weight, classes)

    partial_fit.__doc__ = Estimator.partial_fit.__doc__

    def predict(self, X):
        """Predicted numbers, (n,) or (n, n_targets) as the target was; of each step with `head="every"`, (n, time) or a
        list. After `fit_series` X holds windows, (n, window, features), and what follows them is predicted,
        (n, horizon)."""
        if self._forecasts:
            return self.model_.forecasts(self._inputs(X, reset=False))
        return self._outputs(X, lambda x: self.model_.numbers(x))

    def score(self, X, y, sample_weight=None):
        """The coefficient of determination, over all steps with `head="every"`."""
        if not self._by_step:
            return super().score(X, y, sample_weight)
        y, predicted, weight = _flat(self, X, y, sample_weight)
        return r2_score(y, predicted, sample_weight=weight)

    @property
    def _forecasts(self) -> bool:
        """Whether the model was trained by `fit_series`."""
        return hasattr(self, "model_") and "series" in self.model_.info

    def _info(self):
        coding = getattr(self, "_coding", None)
        return {} if coding is None else {"series": coding.to_json()}

    def _series(self, series) -> np.ndarray:
        values = np.asarray(series)
        if values.dtype.kind not in "fiub" or values.ndim not in (1, 2) or 0 in values.shape:
            raise InputError("this is no series of numbers", "give (steps,) or (steps, features)", "series")
        steps = values.astype(np.float64).reshape(len(values), -1)
        finite = np.isfinite(steps).all(axis=1)
        if not finite.all():
            how = "fill it in, for example by interpolation, or cut the series there"
            raise InputError(f"the series has a gap at step {int(finite.argmin())}", how, "series")
        return steps

    def _targets(self, y):
        if not self._by_step:
            return super()._targets(y)
        y = self._step_targets(y)
        return Ragged(super()._targets(y.values), y.offsets)


def _hash(x: np.ndarray, key: Any) -> int:
    key = np.ascontiguousarray(key)
    text = x.tobytes() + (str(key.tolist()).encode() if key.dtype.kind in "OUS" else key.tobytes())
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _flat(model: Any, X: Any, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """Targets, predictions and weights of all steps."""
    y = model._targets(y)
    predicted = np.concatenate(list(model.predict(X)))
    return y.values, predicted, None if sample_weight is None else np.repeat(sample_weight, y.lengths)


DOCUMENTATION = """
    Parameters
    ----------
    cell : "lstm", "gru" or "rnn", the kind of recurrent layers. Default "lstm".
    hidden_layer_sizes : units of each recurrent layer, one or more. Default (64,).
    bidirectional : whether each layer goes through the sequences in both directions, or "auto": unless each step is
        predicted, or a series is forecast. Default "auto".
    head : what is predicted from: "last", the state after the last step (of both directions the one that has seen the
        whole sequence); "mean", the mean of the states; "every", a prediction at every step from its state. Default
        "last".
    activation : of the units of cell="rnn", one name or one for each layer (see `axonic.layers.ACTIVATIONS`); the
        others have their own and take "tanh" alone. Default "tanh".
    optimizer : the learning rule: a name (`axonic.optimizers.names()`), a rule such as
        `axonic.optimizers.Momentum(momentum=0.95)`, an optax transformation, or "auto" to choose by validation. Default
        "adam".
    learning_rate : a positive number, or "auto" to find it by a sweep. Default "auto".
    batch_size : sequences of a batch, which are of similar lengths; rules such as "gd" take all at every step. Default
        16.
    epochs : passes over the data, at most; "auto" trains until the loss has been flat for a fifth of them. Default
        "auto".
    recipe : "full" runs every stage of `axonic.recipe`; None takes `batch_size` as it is and does not branch off with a
        tenth of the rate. Default None.
    loss : {losses}
    init : initial input weights: "auto" is "glorot_uniform"; "he_normal", "he_uniform", "glorot_normal",
        "glorot_uniform", "lecun_normal", "lecun_uniform", "zeros". Recurrent weights start orthogonal, the bias of a
        forget gate at 1, if `chrono` is not given. Default "auto".
    l2, l1 : penalties l2/2 sum w^2 and l1 sum |w| on weights, never on biases, added to the mean loss. Default 0.
    dropout : share of the units dropped behind each recurrent layer while training, from 0 to below 1. Default 0.
    input_noise : standard deviation of the noise that is added to every encoded value at each step of training. Default
        0.
    scaling : standard deviation of the factor around 1 that each feature of a sequence is multiplied with, drawn at
        each step of training. Default 0.
    slicing : share of the time steps of a sequence that is left out, before and after a stretch that begins anywhere,
        drawn at each step of training; from 0 to below 1. Not with head="every" nor `fit_series`. Default 0.
    weight_average : b of the mean of the weights of all steps, k steps ago with weight b^k, that is validated and kept;
        from 0 (the weights of the last step) to below 1. Default 0.
    clip_norm : the largest norm of a gradient; longer ones are shortened. None is no limit; "auto" (default) is 1, or
        none with a rule that compares the loss between steps.
    truncate : steps that an error is sent back at most (see `axonic.layers.recurrence`); None goes back to the first
        one. Default None.
    chrono : steps over which an LSTM or GRU is to remember from the start, at least 3: where what matters lies far
        back, and on some data a hindrance; see docs/recurrent.md. None (default) starts without.
    regularization : "auto" scales an L2 penalty by the number of training sequences, l2 = c / n, if `l2`, `l1` and
        `dropout` are 0; see `FeedForwardClassifier`. Default "auto".
    ensemble : number of networks that are averaged; "auto" is five, three of long sequences, and one if `epochs` is
        given by hand, nothing is held out, or data and network are large; see `FeedForwardClassifier`. Default "auto".
    standardize : whether features are brought to mean 0 and deviation 1 over all steps. Default True.
    shuffle : whether sequences are shuffled for every epoch. Default True.
    early_stopping : whether validation sequences are held out (of 10 or more), training ends when their loss is flat,
        and the weights of the best epoch are kept. Default True.
    validation_fraction : share of the sequences held out, between 0 and 1. Default 0.15.
    monitor : whether what goes on through time is looked at when training is done, with findings; see
        docs/recurrent.md. Default True.
    {specific}warm_start : whether `fit` goes on from the weights and encoders of the `fit` before. Not with
        `fit_series`. Default False.
    random_state : a whole number, a `numpy.random.RandomState` or None. Default 0.
    verbose : 1 prints progress. Default 0.

    Attributes
    ----------
    {attributes}n_features_in_ : features of a step.
    learning_rate_, l2_, batch_size_ : those of the long runs.
    n_iter_ : epochs run by the first network.
    history_ : dict of arrays, one value an epoch of the first network: epoch, train_loss, valid_loss, test_loss (NaN
        here), learning_rate.
    notebook_ : the stages of the fit with their evidence and decision.
    findings_ : what is worth telling, a list of `axonic.types.Finding`.
    model_ : the trained `axonic.model.Model`.
"""

document(
    RecurrentClassifier,
    DOCUMENTATION,
    losses='"auto"; "cross_entropy" (two classes, sigmoid), "log_likelihood" (softmax), "mse"; or a loss of\n'
    "        `axonic.losses`. Where each step has a class, the mean over the steps.",
    specific='class_weight : None, "balanced", or a dict from class to weight. Default None.\n    ',
    attributes="classes_ : the classes, sorted.\n    ",
)
document(
    RecurrentRegressor,
    DOCUMENTATION,
    losses='"auto" or "squared_error", "huber", "absolute", "quantile", "poisson"; or a loss of `axonic.losses`.\n'
    "        Where each step has a target, the mean over the steps.",
    specific="",
    attributes="",
)
