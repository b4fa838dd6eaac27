"""What is seen inside a step against NumPy in float64, row by row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import layers, losses
from axonic.health import COLUMNS, QUANTITIES, examine, look, nothing, traced
from axonic.objective import Objective
from axonic.types import Batch


def case(activation="tanh", loss=losses.log_likelihood, n_out=3, padded=4, seed=0):
    """An objective with padding, weights before and after a step."""
    rng = np.random.default_rng(seed)
    network = layers.chain(layers.dense(5, activation), layers.dropout(0.0), layers.dense(n_out))
    params = network.init(rng, 4)
    after = jax.tree.map(lambda p: p + 0.01 * rng.standard_normal(p.shape).astype(np.float32), params)
    x = rng.standard_normal((12, 4)).astype(np.float32)
    y = rng.integers(0, max(n_out, 2), 12).astype(np.int32)
    weight = np.where(np.arange(12) < 12 - padded, 1.0, 0.0).astype(np.float32)
    x[weight == 0] = 1e6  # must never count
    batch = Batch(jnp.asarray(x), jnp.asarray(y), jnp.asarray(weight))
    return Objective(network, loss, batch, np.float32(0), np.float32(0), None), params, after


def rms(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.parametrize("padded", [0, 4])
def test_every_quantity_of_a_hidden_layer_is_what_numpy_has(padded):
    objective, params, after = case(padded=padded)
    loss, seen = look(objective, params, after)
    real = slice(0, 12 - padded)
    x = np.asarray(objective.batch.x, np.float64)[real]
    y = np.eye(3)[np.asarray(objective.batch.y)[real]]
    (w, b), (v, c) = (tuple(np.asarray(p, np.float64) for p in params[i]) for i in (0, 2))
    z = x @ w + b
    a = np.tanh(z)
    out = a @ v + c
    p = np.exp(out - out.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    rows = -np.log(p[y == 1])
    error = (p - y) @ v.T  # of each row
    delta = error * (1 - a * a)
    each = np.einsum("ri,rj->rij", x, delta)  # gradients of single rows
    g = each.mean(axis=0)
    step = np.asarray(after[0].w, np.float64) - w
    asked = np.abs(error)
    expected = {
        "z_rms": rms(z),
        "a_rms": rms(a),
        "delta_rms": rms(delta),
        "weight_rms": rms(w),
        "gradient_rms": rms(g),
        "update_ratio": rms(step) / rms(w),
        "saturated": asked[1 - a * a < 0.1].sum() / asked.sum(),
        "dead": 0.0,
        "sign_flips": np.mean(g * step > 0),
        "gradient_noise": (np.mean(np.sum(each**2, axis=(1, 2))) - np.sum(g**2)) / np.sum(g**2),
    }
    assert float(loss) == pytest.approx(rows.mean(), rel=1e-5)
    np.testing.assert_allclose(seen[0], [expected[name] for name in QUANTITIES], rtol=2e-4, atol=1e-6)


def test_dead_units_are_those_that_pass_nothing_on_at_any_row():
    objective, params, after = case("relu", padded=0)
    b = np.array([-1e3, 0, -1e3, 0, 1e3], np.float32)
    _, seen = look(objective, (params[0]._replace(b=b), *params[1:]), after)
    assert seen[0, QUANTITIES.index("dead")] == pytest.approx(0.4)
    assert np.isnan(seen[1, QUANTITIES.index("dead")])
    assert np.isnan(seen[0, QUANTITIES.index("saturated")])


def test_a_saturated_sigmoid_loses_the_change_that_is_asked_of_it():
    objective, params, after = case("sigmoid", padded=0)
    _, calm = look(objective, params, after)
    _, wild = look(objective, (params[0]._replace(w=params[0].w * 100), *params[1:]), after)
    saturated = QUANTITIES.index("saturated")
    assert calm[0, saturated] < 0.05
    assert wild[0, saturated] > 0.9


@pytest.mark.parametrize(("loss", "unheard"), [(losses.mse("sigmoid"), 1.0), (losses.cross_entropy, 0.0)])
def test_squared_error_does_not_hear_answers_that_are_wrong_and_sure(loss, unheard):
    """Bias 20 answers 1 everywhere: behind a sigmoid the squared error has a delta of (a - y) a (1 - a), about 0."""
    objective, params, after = case(loss=loss, n_out=1, padded=0)
    sure = (*params[:-1], params[-1]._replace(b=np.array([20.0], np.float32)))
    _, seen = look(objective, sure, after)
    assert seen[-1, QUANTITIES.index("saturated")] == unheard


def test_layers_without_weights_have_no_row_and_a_network_not_looked_at_has_none():
    objective, params, _ = case()
    assert traced(objective.network) == (0, 2)
    assert nothing(objective.network).shape == (0, 2, len(COLUMNS))
    _, seen = examine(objective, params)
    assert seen.shape == (2, len(QUANTITIES))
    assert np.all(seen[:, QUANTITIES.index("update_ratio")] == 0)
