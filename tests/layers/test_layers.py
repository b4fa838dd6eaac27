"""Every layer: its backward against automatic differentiation, central differences and a worked example."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import layers
from axonic.errors import InputError
from axonic.layers import ACTIVATIONS, INITS, RADIALS, WIDTHS, base, initializers
from tests.layers.test_recurrent import CASES as SEQUENCE_CASES
from tests.oracles import assert_close, central_gradient, dot, random_like, to64

KEY = np.array([1, 2], np.uint32)
CASES = {
    **{f"dense-{name}": layers.dense(4, name) for name in ACTIVATIONS},
    "dropout": layers.dropout(0.4),
    **{
        f"rbf-{radial}-{widths}": layers.rbf(4, radial, widths)
        for radial, widths in zip(RADIALS, (*WIDTHS, "shared"), strict=True)
    },
    "chain": layers.chain(layers.dense(5, "tanh"), layers.dropout(0.3), layers.dense(4, "gelu"), layers.dense(2)),
}


def test_the_table_holds_every_layer():
    kinds = {kind for _, kind in inspect.getmembers(layers, inspect.isclass) if issubclass(kind, layers.Layer)}
    assert kinds - {layers.Layer} == {type(layer) for layer in (CASES | SEQUENCE_CASES).values()}


def pieces(layer, batch=6, n_in=3):
    rng = np.random.default_rng(0)
    params = layer.init(rng, n_in)
    params = jax.tree.map(lambda p: p + 0.3 * rng.standard_normal(p.shape), params)
    x = 2 * rng.standard_normal((batch, n_in))
    error = rng.standard_normal((batch, layer.n_out(n_in)))
    return to64((params, x, error))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("key", "batch"), [(None, 1), (KEY, 6)], ids=["predict", "train"])
@pytest.mark.parametrize("name", CASES)
def test_backward_equals_vjp(name, key, batch):
    layer = CASES[name]

    @jax.jit
    def both(params, x, error):
        a, cache = layer.forward(params, x, key)
        _, vjp = jax.vjp(lambda p, x: layer.forward(p, x, key)[0], params, x)
        return a, layer.backward(params, cache, error), vjp(error)

    a, found, expected = both(*pieces(layer, batch))
    assert a.shape == (batch, layer.n_out(3))
    assert_close(found, expected)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_backward_equals_central_differences(name):
    layer = CASES[name]
    params, x, error = pieces(layer)
    f = jax.jit(lambda p, x: jnp.vdot(layer.forward(p, x, KEY)[0], error))
    _, cache = layer.forward(params, x, KEY)
    grads, error_in = layer.backward(params, cache, error)
    assert_close(grads, central_gradient(lambda p: f(p, x), params), rtol=1e-6, atol=1e-7)
    assert_close(error_in, central_gradient(lambda x: f(params, x), x), rtol=1e-6, atol=1e-7)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_backward_is_the_adjoint_of_the_forward_derivative(name):
    layer = CASES[name]
    params, x, error = pieces(layer)
    v = random_like(np.random.default_rng(1), (params, x))
    _, jv = jax.jvp(lambda p, x: layer.forward(p, x, KEY)[0], (params, x), v)
    _, cache = layer.forward(params, x, KEY)
    assert_close(dot(layer.backward(params, cache, error), v), dot(error, jv))


def test_dense_by_hand():
    """z = (1, 2) [[1, 0], [0, -1]] + (0.5, 0.5) = (1.5, -1.5), relu, error (1, 1): delta = (1, 0)."""
    layer = layers.dense(2, "relu")
    params = layers.DenseParams(jnp.array([[1.0, 0.0], [0.0, -1.0]]), jnp.array([0.5, 0.5]))
    a, cache = layer.forward(params, jnp.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(a, [[1.5, 0.0]])
    error = jnp.ones((1, 2))
    grads, error_in = layer.backward(params, cache, error)
    np.testing.assert_array_equal(grads.w, [[1.0, 0.0], [2.0, 0.0]])
    np.testing.assert_array_equal(grads.b, [1.0, 0.0])
    np.testing.assert_array_equal(error_in, [[1.0, 0.0]])
    trace = layer.trace(params, cache, error)
    np.testing.assert_array_equal(trace.z, [[1.5, -1.5]])
    np.testing.assert_array_equal(trace.delta, [[1.0, 0.0]])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_finite_and_has_the_right_slope_far_out(name):
    activation = ACTIVATIONS[name]
    z = jnp.array([[-1e4, -40.0, -1.0, 0.5, 40.0, 1e4]])
    a = activation.value(z)
    delta = activation.backward(z, a, jnp.ones_like(z))
    assert np.all(np.isfinite(a))
    _, vjp = jax.vjp(activation.value, z)
    np.testing.assert_allclose(delta, vjp(jnp.ones_like(z))[0], rtol=1e-12, atol=1e-12)


def test_activation_values():
    """Values at 1 from their definitions."""
    e = np.e
    expected = {
        "identity": 1.0,
        "sigmoid": 1 / (1 + 1 / e),
        "tanh": (e - 1 / e) / (e + 1 / e),
        "relu": 1.0,
        "leaky_relu": 1.0,
        "elu": 1.0,
        "selu": 1.0507009873554805,
        "gelu": 0.8413447460685429,
        "silu": 1 / (1 + 1 / e),
        "softplus": np.log(1 + e),
        "softmax": 1.0,
    }
    assert expected.keys() == ACTIVATIONS.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name].value(jnp.array([1.0]))[0], value, rtol=1e-6)


def test_dropout_drops_its_share_keeps_the_mean_and_does_nothing_at_prediction():
    layer = layers.dropout(0.3)
    x = jnp.ones((400, 500))
    a, _ = layer.forward((), x, KEY)
    assert abs(float((a == 0).mean()) - 0.3) < 0.005
    np.testing.assert_allclose(np.unique(a), [0, 1 / 0.7], rtol=1e-6)
    np.testing.assert_array_equal(layer.forward((), x, None)[0], x)
    np.testing.assert_array_equal(layers.dropout(0.0).forward((), x, KEY)[0], x)


def test_layers_of_a_chain_and_steps_drop_different_units():
    network = layers.chain(layers.dropout(0.5), layers.dropout(0.5))
    x = jnp.ones((20, 20))
    a, (first, second) = network.forward(((), ()), x, KEY)
    assert not np.array_equal(first, second)
    other, _ = network.forward(((), ()), x, base.fold(KEY, 1))
    assert not np.array_equal(a, other)


@pytest.mark.parametrize("init", [i for i in INITS if i not in ("zeros", "auto")])
def test_initial_weights_have_the_variance_of_their_scheme(init):
    n_in, n_out = 300, 500
    w = initializers.draw(np.random.default_rng(0), init, "he", n_in, n_out)
    variance = {"he": 2 / n_in, "glorot": 2 / (n_in + n_out), "lecun": 1 / n_in}[init.split("_")[0]]
    assert w.dtype == np.float32
    np.testing.assert_allclose(w.var(), variance, rtol=0.02)
    if init.endswith("uniform"):
        assert np.abs(w).max() <= np.sqrt(3 * variance) * 1.0001


@pytest.mark.parametrize(
    ("activation", "scheme"), [("relu", "he_normal"), ("tanh", "glorot_uniform"), ("selu", "lecun_normal")]
)
def test_auto_initialisation_follows_the_activation(activation, scheme):
    auto = layers.dense(7, activation).init(np.random.default_rng(5), 3)
    named = layers.dense(7, activation, scheme).init(np.random.default_rng(5), 3)
    np.testing.assert_array_equal(auto.w, named.w)
    np.testing.assert_array_equal(auto.b, np.zeros(7))


def test_shapes_are_those_of_init():
    network = CASES["chain"]
    drawn = network.init(np.random.default_rng(0), 3)
    assert jax.tree.map(np.shape, drawn) == jax.tree.map(lambda s: s.shape, network.shapes(3))


def test_weights_decay_and_biases_do_not():
    network = layers.chain(layers.dense(2), layers.dropout(0.1), layers.dense(1))
    decayed = network.decayed(network.init(np.random.default_rng(0), 3))
    assert decayed == (layers.DenseParams(True, False), (), layers.DenseParams(True, False))


@pytest.mark.parametrize("make", [layers.dense, layers.rnn, layers.lstm, layers.gru, layers.rbf])
@pytest.mark.parametrize("n", [0, -1, True])
def test_a_layer_has_a_whole_number_of_units(make, n):
    with pytest.raises(InputError, match="units is impossible: give a whole number of at least 1"):
        make(n)
    assert make(3).n_out(2) == 3


@pytest.mark.parametrize("rate", [1.0, -0.1, np.nan])
def test_an_impossible_rate_of_dropout_is_refused(rate):
    with pytest.raises(InputError, match="from 0 to below 1"):
        layers.dropout(rate)


@pytest.mark.parametrize("make", [lambda: layers.dense(3, "rleu"), lambda: layers.dense(3, init="best")])
def test_unknown_names_are_refused_with_the_known_ones(make):
    with pytest.raises(InputError, match="use one of"):
        make()
