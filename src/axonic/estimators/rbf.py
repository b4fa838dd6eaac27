"""Estimators of networks of radial basis functions."""

import inspect
from typing import Any

from sklearn.utils.metaestimators import available_if

from axonic.errors import InputError
from axonic.estimators.base import Estimator
from axonic.estimators.documentation import document
from axonic.estimators.tasks import Classifier, Regressor

OF_GRADIENT = ("recipe", "early_stopping", "validation_fraction", "warm_start")
"""Parameters of the estimators alone that the closed form has no use for; `axonic.settings` has the others."""


class _RBF(Estimator):
    """The parameters of the regressor."""

    n_centers: Any
    centers: Any
    radial: Any
    width: Any
    widths: Any
    training: Any
    ridge: Any
    goal: Any

    def __init__(
        self,
        n_centers: Any = "auto",
        centers="kmeans",
        radial="gaussian",
        width: Any = "auto",
        widths="shared",
        training="closed_form",
        ridge: Any = "auto",
        goal=0.0,
        optimizer="momentum",
        learning_rate: Any = "auto",
        batch_size=32,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
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
        self.n_centers = n_centers
        self.centers = centers
        self.radial = radial
        self.width = width
        self.widths = widths
        self.training = training
        self.ridge = ridge
        self.goal = goal
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.recipe = recipe
        self.loss = loss
        self.l2 = l2
        self.l1 = l1
        self.dropout = dropout
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

    @available_if(lambda self: False)
    def partial_fit(self, X, y, sample_weight=None, classes=None):
        """Not there: the centres are placed by all rows."""

    def _settings(self):
        settings = super()._settings()
        if settings.training == "closed_form":
            defaults = inspect.signature(type(self)).parameters
            for name in OF_GRADIENT:
                if getattr(self, name) != defaults[name].default:
                    how = "leave it out, or use training='gradient': the closed form takes no steps"
                    raise InputError(f"{name} = {getattr(self, name)!r} is impossible", how)
        return settings

    def _network_settings(self):
        names = ("n_centers", "centers", "radial", "width", "widths", "training", "ridge", "goal")
        return {"net": "rbf", **{name: getattr(self, name) for name in names}}

    def _split(self, y, seed, *, held_out):
        return super()._split(y, seed, held_out=held_out and self.training == "gradient")

    def _with_validation(self, rows, validation_data, factor):
        if self.training == "closed_form":
            how = "leave it out, or use training='gradient'"
            raise InputError("validation_data has no part in the closed form, which leaves each row out once", how)
        return super()._with_validation(rows, validation_data, factor)

    def _take(self, fitted, diagnosis=None):
        super()._take(fitted, diagnosis)
        first = fitted.members[0][0]
        self.centers_, self.log_width_ = first.c, first.log_width


class RBFClassifier(_RBF, Classifier):
    """A network of radial basis functions for classes: centres, widths and readout in closed form, with probabilities,
    or all of it trained by gradient from there.

    >>> from sklearn.datasets import load_iris
    >>> from axonic import RBFClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> RBFClassifier().fit(X, y).score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        n_centers: Any = "auto",
        centers="kmeans",
        radial="gaussian",
        width: Any = "auto",
        widths="shared",
        training="closed_form",
        ridge: Any = "auto",
        goal=0.0,
        optimizer="momentum",
        learning_rate: Any = "auto",
        batch_size=32,
        epochs: Any = "auto",
        recipe=None,
        loss="auto",
        l2=0.0,
        l1=0.0,
        dropout=0.0,
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
        super().__init__(
            n_centers,
            centers,
            radial,
            width,
            widths,
            training,
            ridge,
            goal,
            optimizer,
            learning_rate,
            batch_size,
            epochs,
            recipe,
            loss,
            l2,
            l1,
            dropout,
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
        self.class_weight = class_weight


class RBFRegressor(_RBF, Regressor):
    """A network of radial basis functions for numbers, one or several targets: centres, widths and readout in closed
    form, or all of it trained by gradient from there.

    >>> from sklearn.datasets import load_diabetes
    >>> from axonic import RBFRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> RBFRegressor().fit(X, y).score(X, y) > 0.4
    True
    """


NETWORK = """n_centers : number of radial basis functions; "auto" takes from 8, 16, ... 256 the one after which twice as
        many lower the leave-one-out loss by less than 1 %, at most half the rows. Default "auto".
    centers : where they stand: "kmeans" at the means of clusters, "random" at rows, "grow" at rows, one at a time where
        the error is greatest (up to `n_centers`, or to the least leave-one-out error). Default "kmeans".
    radial : "gaussian", "multiquadric", "inverse_multiquadric" or "thin_plate". Default "gaussian".
    width : a positive number, in standard deviations of the inputs; "auto" is the distance to the two nearest centres
        (root mean square) times the factor of 1/4, 1/2, 1, 2, 4, 8 with the least leave-one-out loss. Default "auto".
    widths : "shared" by all centres, "per_center", or "per_dimension" of each centre. Default "shared".
    training : "closed_form" solves for the readout by ridge regression and leaves the centres where they are;
        "gradient" goes on from there and trains centres, widths and readout. The parameters from `optimizer` to
        `regularization`, but for `loss`, and `early_stopping`, `validation_fraction`, `warm_start` belong to it.
        Default "closed_form".
    ridge : penalty ridge |w|^2 of the readout, on the sum of squares over the rows; "auto" takes the one with the least
        leave-one-out error. Default "auto".
    goal : mean squared error (of standardised targets or indicators) at which growing ends. Default 0.
    """
ATTRIBUTES = "centers_, log_width_ : centres of the first network, and the logarithm of their widths.\n    "

document(
    RBFClassifier,
    network=NETWORK,
    regularizers="",
    losses='"auto"; with training="gradient" also those of `FeedForwardClassifier`. Default "auto".',
    specific='class_weight : None, "balanced", or a dict from class to weight. Default None.\n    ',
    attributes="classes_ : the classes, sorted.\n    " + ATTRIBUTES,
)
document(
    RBFRegressor,
    network=NETWORK,
    regularizers="",
    losses='"auto" or "squared_error"; with training="gradient" also those of `FeedForwardRegressor`. Default "auto".',
    specific="",
    attributes=ATTRIBUTES,
)
