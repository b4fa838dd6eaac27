"""RBF networks as estimators and from the command line."""

import inspect
import json
import pickle
import re

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

from axonic import FeedForwardClassifier, RBFClassifier, RBFRegressor, load, losses
from axonic.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*did no better on their validation rows")
"""scikit-learn's checks have rows that tell nothing."""


@parametrize_with_checks([RBFClassifier(), RBFRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
