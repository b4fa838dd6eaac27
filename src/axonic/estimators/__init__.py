"""scikit-learn estimators: a kind of network and a task each.

    base.py            what all share: data in, a fit, attributes out
    tasks.py           what differs between classes and numbers
    feedforward.py     of feed-forward networks
    recurrent.py       of recurrent networks, for sequences
    rbf.py             of radial basis functions
    loading.py         estimators from files
    documentation.py   the parameters that they share
    frames.py          data frames of any library
    progress.py        what is printed of a fit

What they do with rows is said in `axonic.estimators.base`.
"""

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
