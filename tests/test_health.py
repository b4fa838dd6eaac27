"""What is seen inside a step against NumPy in float64, row by row."""

import html
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import layers, losses
from axonic.health import COLUMNS, QUANTITIES, examine, look, noise_scale, nothing, traced
from axonic.objective import Objective
from axonic.report.layers import healths
from axonic.specs import spec, static
from axonic.types import Batch

PARTS = "gradient_noise", "gradient_signal"


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
        "gradient_noise": np.var(each, axis=0, ddof=1).sum(),
        "gradient_signal": np.mean([np.sum(a * b) for i, a in enumerate(each) for j, b in enumerate(each) if i != j]),
    }
    assert float(loss) == pytest.approx(rows.mean(), rel=1e-5)
    np.testing.assert_allclose(seen[0], [expected[name] for name in QUANTITIES], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("n", [8, 32, 512])
def test_the_noise_scale_is_the_true_one_whatever_the_number_of_rows(n):
    """A linear unit at w = 0, where y = x_1 / 2 + noise: the gradient of a row is -y x, that of all (-1/2, 0, ...)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32_768 // n, n, 5)).astype(np.float32)
    y = (x[..., :1] / 2 + rng.standard_normal((*x.shape[:2], 1))).astype(np.float32)
    network = layers.chain(layers.dense(1))
    params = (layers.DenseParams(jnp.zeros((5, 1)), jnp.zeros(1)),)

    def one(x, y):
        return look(Objective(network, losses.squared_error, Batch(x, y, jnp.ones(n))), params, params)[1][0]

    noise, signal = np.asarray(jax.vmap(one)(x, y))[:, [QUANTITIES.index(name) for name in PARTS]].T
    variance, square = 6 / 4 + 5, 1 / 4  # E y^2 |x|^2 = (5 + 2) / 4 + 5
    assert noise.mean() == pytest.approx(variance, rel=0.05)
    assert signal.mean() == pytest.approx(square, rel=0.1)
    assert noise_scale(noise.sum(), signal.sum()) == pytest.approx(variance / square, rel=0.1)


def test_the_noise_of_one_row_and_the_scale_where_no_signal_is_left_are_not_known():
    objective, params, _ = case(padded=11)
    _, seen = examine(objective, params)
    assert np.isnan(seen[:, [QUANTITIES.index(name) for name in PARTS]]).all()
    np.testing.assert_array_equal(noise_scale([6, 6, 6, np.nan], [3, 0, -1, np.nan]), [2, np.nan, np.nan, np.nan])


def test_the_page_takes_the_noise_scale_of_averages():
    table = "network,epoch,layer,gradient_noise,gradient_signal\n1,0,1,4,-1\n1,1,1,4,3\n1,2,1,,\n1,4,1,4,1\n"
    ((shown,),) = healths(table)
    values = json.loads(html.unescape(re.search('data-heat="(.*?)"', shown["figure"])[1]))["values"]
    noise, signal = 4 * 0.9 + 4, -0.9 + 3
    last = (0.9**2 * noise + 4) / (0.9**2 * signal + 1)
    assert values == [[None, *(pytest.approx(v, rel=5e-3) for v in (noise / signal, noise / signal, last))]]


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


@spec
class Scale(layers.Layer):
    """A layer with an activation whose weights are not those of a dense one."""

    activation: object = static(default=layers.ACTIVATIONS["tanh"])

    def trace(self, params, cache, error):
        raise AssertionError


@spec
class Silent(layers.Dense):
    """A dense layer that shows no trace."""

    trace = layers.Layer.trace


def test_layers_that_cannot_be_looked_at_have_no_row():
    assert traced(layers.chain(layers.dense(2), Scale(), Silent(3), layers.dense(1))) == (0, 3)


def test_layers_without_weights_have_no_row_and_a_network_not_looked_at_has_none():
    objective, params, _ = case()
    assert traced(objective.network) == (0, 2)
    assert nothing(objective.network).shape == (0, 2, len(COLUMNS))
    _, seen = examine(objective, params)
    assert seen.shape == (2, len(QUANTITIES))
    assert np.all(seen[:, QUANTITIES.index("update_ratio")] == 0)
