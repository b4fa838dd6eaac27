"""A process may fit networks of any number of shapes."""

import jax
import numpy as np
import pytest

from axonic import FeedForwardRegressor, programs

pytestmark = pytest.mark.filterwarnings("ignore:.*networks did no better")
"""Two epochs need not learn anything."""


def fitted(width):
    x = np.random.default_rng(width).standard_normal((40, width))
    model = FeedForwardRegressor((3,), learning_rate=0.1, epochs=2, ensemble=1, regularization=None, monitor=False)
    return model.fit(x, x[:, 0]), x


def test_programs_are_let_go_when_there_are_many_and_change_nothing(monkeypatch):
    model, x = fitted(2)
    before = model.predict(x)
    monkeypatch.setattr(programs, "MOST", 6)
    most = 0
    for width in range(2, 9):
        fitted(width)[0].predict(np.zeros((3, width)))
        most = max(most, programs.held())
    assert most < 12  # seven fits hold some twenty
    np.testing.assert_array_equal(model.predict(x), before)
    np.testing.assert_array_equal(fitted(2)[0].predict(x), before)


def test_an_option_that_the_compiler_does_not_know_is_left_out(monkeypatch):
    """XLA gives options up from one version to the next."""
    monkeypatch.setattr(programs, "QUICKLY", {"xla_backend_optimization_level": 0, "xla_cpu_given_up": 1})
    assert programs.options_for("cpu", quickly=True) == {"xla_backend_optimization_level": 0}
    double = programs.compiled(lambda x: 2 * x, quickly=True)
    assert double(np.float32(3)) == 6


def test_other_mistakes_of_options_are_heard():
    with pytest.raises(jax.errors.JaxRuntimeError):
        programs.known("xla_backend_optimization_level", "no number")
