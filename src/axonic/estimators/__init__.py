"""scikit-learn estimators; see `axonic.estimators.base`."""

from axonic.estimators.feedforward import FeedForwardClassifier, FeedForwardRegressor
from axonic.estimators.loading import load

__all__ = ["FeedForwardClassifier", "FeedForwardRegressor", "load"]
