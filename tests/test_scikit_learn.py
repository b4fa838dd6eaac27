"""All of scikit-learn's checks of all estimators, none expected to fail."""

import warnings

import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import estimator_checks_generator

from axonic import (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RBFClassifier,
    RBFRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*networks did no better"),
    pytest.mark.filterwarnings("ignore:.*sequences tell nothing"),
]
"""scikit-learn's rows need not tell anything."""

BRIEF = {"hidden_layer_sizes": (6,), "learning_rate": 0.03, "epochs": 25, "ensemble": 1, "regularization": None}
KINDS = (
    FeedForwardClassifier,
    FeedForwardRegressor,
    RBFClassifier,
    RBFRegressor,
    RecurrentClassifier,
    RecurrentRegressor,
)


def checks():
    """Networks that train briefly; with their defaults they take ten times as long, and say the same. So do the checks
    of the second estimator of a kind that the first has passed in its place: what they are about is in the base that
    both share."""
    seen = set()
    for kind in KINDS:
        name, module = kind.__name__, kind.__module__
        radial, recurrent = "rbf" in module, "recurrent" in module
        brief = kind() if radial else kind(**BRIEF, monitor=not recurrent)
        for estimator in (brief,) if radial or recurrent else (brief, kind()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SkipTestWarning)  # of input in three dimensions there are few
                for number, (_, check) in enumerate(estimator_checks_generator(estimator)):
                    what = getattr(check, "func", check).__name__
                    arguments = tuple(sorted(getattr(check, "keywords", {}).items()))
                    known = (module, what, arguments) in seen
                    seen.add((module, what, arguments))
                    label = name if estimator is brief else f"{name} with its defaults"
                    marks = [pytest.mark.long] if known or radial else []
                    yield pytest.param(estimator, check, id=f"{label}-{what}-{number}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_estimator(estimator, check):
    check(estimator)
