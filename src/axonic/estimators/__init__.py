"""scikit-learn estimators; see `axonic.estimators.base`."""

from axonic.estimators.feedforward import FeedForwardClassifier, FeedForwardRegressor
from axonic.estimators.loading import load
from axonic.estimators.rbf import RBFClassifier, RBFRegressor
from axonic.estimators.recurrent import RecurrentClassifier, RecurrentRegressor

__all__ = [
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "RBFClassifier",
    "RBFRegressor",
    "RecurrentClassifier",
    "RecurrentRegressor",
    "load",
]
