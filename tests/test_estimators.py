"""scikit-learn's own checks, and what its users expect beyond them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from axonic import FeedForwardClassifier, FeedForwardRegressor


@parametrize_with_checks([FeedForwardClassifier(), FeedForwardRegressor()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
