"""Every loss: delta against automatic differentiation, values by hand, extremes, targets as indices or rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import losses
from axonic.layers import ACTIVATIONS
from tests.oracles import assert_close

CASES = {
    "squared_error": losses.squared_error,
    "cross_entropy": losses.cross_entropy,
    "log_likelihood": losses.log_likelihood,
    **{f"mse-{name}": losses.mse(name) for name in ACTIVATIONS},
}


def test_the_table_holds_every_loss():
    assert set(losses.LOSSES.values()) == {type(loss) for loss in CASES.values()}


def example(n=5, k=3):
    rng = np.random.default_rng(0)
    z = jnp.asarray(3 * rng.standard_normal((n, k)))
    y = rng.random((n, k))
    return z, jnp.asarray(y / y.sum(axis=1, keepdims=True))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_delta_equals_grad(name):
    loss = CASES[name]
    z, y = example()
    assert_close(loss.delta(z, y), jax.grad(lambda z: loss.value(z, y).sum())(z))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["squared_error", "cross_entropy", "log_likelihood"])
def test_matching_pairs_have_delta_a_minus_y(name):
    loss = CASES[name]
    z, y = example()
    assert_close(loss.delta(z, y), loss.activation.value(z) - y)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_extreme_pre_activations_are_finite(name):
    loss = CASES[name]
    z = jnp.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4]])
    y = jnp.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert np.all(np.isfinite(loss.value(z, y)))
    assert np.all(np.isfinite(loss.delta(z, y)))


def test_values_by_hand():
    """ln 2 for a coin, ln 3 for a die of three, half of 1 + 4 for errors of 1 and 2, (1 - 1/2)^2 / 2 for a sigmoid."""
    z = jnp.zeros((1, 1))
    np.testing.assert_allclose(losses.cross_entropy.value(z, jnp.ones((1, 1))), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(losses.log_likelihood.value(jnp.zeros((1, 3)), jnp.array([2])), np.log(3), rtol=1e-6)
    np.testing.assert_allclose(losses.squared_error.value(jnp.array([[1.0, 2.0]]), jnp.zeros((1, 2))), 2.5)
    np.testing.assert_allclose(losses.mse("sigmoid").value(z, jnp.ones((1, 1))), 0.125)


@pytest.mark.parametrize("name", CASES)
def test_class_indices_are_rows_with_a_single_one(name):
    loss = CASES[name]
    z, _ = example()
    indices = jnp.array([0, 2, 1, 1, 0])
    rows = jnp.eye(3)[indices]
    np.testing.assert_array_equal(loss.value(z, indices), loss.value(z, rows))
    np.testing.assert_array_equal(loss.delta(z, indices), loss.delta(z, rows))


def test_one_output_takes_indices_as_zero_and_one():
    z = jnp.array([[2.0], [-1.0]])
    np.testing.assert_array_equal(
        losses.cross_entropy.value(z, jnp.array([1, 0])), losses.cross_entropy.value(z, jnp.array([[1.0], [0.0]]))
    )


def test_a_saturated_sigmoid_learns_from_cross_entropy_and_not_from_squared_error():
    """The notes' reason for the pairing: at z = 20 and y = 0 one delta is 1, the other vanishes."""
    z, y = jnp.array([[20.0]]), jnp.array([[0.0]])
    np.testing.assert_allclose(losses.cross_entropy.delta(z, y), 1.0, rtol=1e-6)
    assert abs(float(losses.mse("sigmoid").delta(z, y)[0, 0])) < 1e-6
