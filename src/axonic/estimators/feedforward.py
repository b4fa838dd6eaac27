"""Estimators of feed-forward networks."""

from typing import Any

from axonic.estimators.base import Estimator
from axonic.estimators.documentation import document
from axonic.estimators.tasks import Classifier, Regressor


class _FeedForward(Estimator):
    """The parameters of the regressor."""

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        activation="relu",
        optimizer="momentum",
        learning_rate: Any = "auto",
        batch_size=32,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        init="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
        input_noise=0.0,
        mixup=0.0,
        max_norm: Any = None,
        weight_average=0.0,
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.recipe = recipe
        self.loss = loss
        self.init = init
        self.l2 = l2
        self.l1 = l1
        self.dropout = dropout
        self.input_noise = input_noise
        self.mixup = mixup
        self.max_norm = max_norm
        self.weight_average = weight_average
        self.regularization = regularization
        self.ensemble = ensemble
        self.standardize = standardize
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose


class FeedForwardClassifier(_FeedForward, Classifier):
    """A feed-forward network for classes, trained by its own backpropagation in one compiled loop.

    Two classes take one sigmoid output with cross-entropy, more take a softmax with the log-likelihood.

    >>> from sklearn.datasets import load_iris
    >>> from axonic import FeedForwardClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> FeedForwardClassifier().fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        hidden_layer_sizes=(64, 64),
        activation="relu",
        optimizer="momentum",
        learning_rate: Any = "auto",
        batch_size=32,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        init="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
        input_noise=0.0,
        mixup=0.0,
        max_norm: Any = None,
        weight_average=0.0,
        regularization: Any = "auto",
        ensemble: Any = "auto",
        label_smoothing=0.0,
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
        super().__init__(
            hidden_layer_sizes,
            activation,
            optimizer,
            learning_rate,
            batch_size,
            epochs,
            recipe,
            loss,
            init,
            l2,
            l1,
            dropout,
            input_noise,
            mixup,
            max_norm,
            weight_average,
            regularization,
            ensemble,
            standardize,
            shuffle,
            early_stopping,
            validation_fraction,
            monitor,
            warm_start,
            random_state,
            verbose,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight


class FeedForwardRegressor(_FeedForward, Regressor):
    """A feed-forward network for numbers, one or several targets, trained by its own backpropagation in one compiled
    loop: on the squared error of the standardised target, or on another loss.

    >>> from sklearn.datasets import load_diabetes
    >>> from axonic import FeedForwardRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> FeedForwardRegressor().fit(X, y).score(X, y) > 0.4
    True
    """


document(
    FeedForwardClassifier,
    losses='"auto"; "cross_entropy" (two classes, sigmoid), "log_likelihood" (softmax), "mse" (squared error behind\n'
    "        the same output, for comparison: it learns slowly from saturated units); or a loss of `axonic.losses`.",
    specific="label_smoothing : share of each target that is spread over all classes, from 0 to below 1. Default 0."
    "\n    "
    'class_weight : None, "balanced", or a dict from class to weight. Default None.\n    ',
    attributes="classes_ : the classes, sorted.\n    ",
)
document(
    FeedForwardRegressor,
    losses='"auto" or "squared_error" (half the squared error; predicts the mean), "huber" (outliers held back),\n'
    '        "absolute" (the median), "quantile" (tau = 0.5), "poisson" (counts, predicted by exp); or a loss of\n'
    '        `axonic.losses`, such as `losses.quantile(0.9)` or `losses.huber(2.0)`, or of your own. Default "auto".',
    specific="",
    attributes="",
)
