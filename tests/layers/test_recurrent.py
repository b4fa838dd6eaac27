"""Recurrent layers and their heads: against automatic differentiation of a forward pass written step by step, central
differences, PyTorch's values, and worked examples; padding, truncation and both directions."""

import functools
from pathlib import Path

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from axonic import layers, losses, optimizers
from axonic.errors import InputError
from axonic.layers import activations, initializers, recurrence
from axonic.layers.base import fold, masked
from axonic.objective import Objective
from axonic.types import Batch, Sequence
from tests import plainly
from tests.oracles import assert_close, central_gradient, dot, random_like, to64

KEY = np.array([1, 2], np.uint32)
N_IN = 3
CELLS = {
    **{f"rnn-{name}": layers.rnn(4, name) for name in ("tanh", "softmax")},
    "rnn-truncated": layers.rnn(4, truncate=2),
    "lstm": layers.lstm(4),
    "lstm-truncated": layers.lstm(4, truncate=3),
    "gru": layers.gru(4),
    "gru-truncated": layers.gru(4, truncate=2),
}
WRAPPED = {
    "both-gru-truncated": layers.bidirectional(layers.gru(3, truncate=2)),
    "each_step": layers.each_step(layers.dense(4, "gelu")),
    "each_step-softmax": layers.each_step(layers.dense(4, "softmax")),
    "each_step-dropout": layers.each_step(layers.dropout(0.4)),
}
HEADS = {
    "last_step": layers.last_step(),
    "both_ends": layers.both_ends(),
    "mean_over_time": layers.mean_over_time(),
    "every_step": layers.every_step(),
}
CHAINS = {
    "deep": layers.chain(
        layers.bidirectional(layers.lstm(3)),
        layers.each_step(layers.dropout(0.3)),
        layers.gru(4),
        layers.rnn(3),
        layers.mean_over_time(),
        layers.dense(2),
    ),
    "every": layers.chain(layers.gru(4), layers.each_step(layers.dense(2)), layers.every_step()),
}
CASES = CELLS | WRAPPED | HEADS | CHAINS
MASKS = {  # (batch, time): lengths, then gaps, padding in front and a row of padding alone; the smallest batch
    "rows": np.array([[1] * 4, [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 1, 1], [0, 1, 1, 1], [0] * 4], bool),
    "one": np.ones((1, 1), bool),
}


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compiling takes longer than everything else here, most of it for speed that nothing here needs."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Blocks of time of two steps, so that sequences are several blocks long."""
    monkeypatch.setattr(recurrence, "BLOCK", 2)


def pieces(layer, mask):
    """Params, values and the error of the output, float64."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + 0.3 * rng.standard_normal(p.shape), layer.init(rng, N_IN))
    params, values = to64((params, rng.standard_normal((*mask.shape, N_IN))))
    a = jax.eval_shape(lambda *args: output(layer, *args), params, values, jnp.asarray(mask))
    return params, values, to64(rng.standard_normal(a.shape))


def values_of(a):
    return a.values if isinstance(a, Sequence) else a


def output(layer, params, values, mask, key=None):
    """The values of the output."""
    return values_of(layer.forward(params, Sequence(values, mask), key)[0])


@functools.partial(jax.jit, static_argnums=0)
def both(layer, params, values, mask, error, key=None):
    """(output, (grads, error_in)) by the layer."""
    a, cache = layer.forward(params, Sequence(values, mask), key)
    return values_of(a), layer.backward(params, cache, error)


@functools.partial(jax.jit, static_argnums=(0, 1))
def by_autodiff(forward, layer, params, values, mask, error, *key):
    """The same by automatic differentiation of forward(layer, params, values, mask)."""
    a, vjp = jax.vjp(lambda p, x: forward(layer, p, x, mask, *key), params, values)
    return a, vjp(error)


# --- a forward pass of each layer, written step by step and row by row ---


def naive(layer, params, values, mask, key=None):
    """The output of a layer; the gradient is cut by stop_gradient where truncation says. Layers that do not walk
    through time are their own."""
    if isinstance(layer, layers.Chain):
        for place, (one, one_params) in enumerate(zip(layer.layers, params, strict=True)):
            values = naive(one, one_params, values, mask, fold(key, place))
        return values
    if isinstance(layer, layers.Bidirectional):
        back = naive(layer.layer, params.back, values[:, ::-1], mask[:, ::-1])
        return jnp.concatenate([naive(layer.layer, params.onward, values, mask), back[:, ::-1]], axis=-1)
    if isinstance(layer, layers.EachStep):
        return naive_steps(layer.layer, params, values, mask, key)
    if type(layer) in STEPS:
        return jax.vmap(functools.partial(naive_row, layer, params))(values, mask)
    return values_of(layer.forward(params, values if values.ndim == 2 else Sequence(values, mask), key)[0])


def naive_steps(layer, params, values, mask, key):
    """The rows of a block of time are one batch, with a key of its own."""
    out, size = [], recurrence.BLOCK
    for j in range(0, mask.shape[1], size):
        block = jnp.swapaxes(masked(mask, values)[:, j : j + size], 0, 1)
        block = jnp.pad(block, ((0, size - len(block)), (0, 0), (0, 0)))
        a = layer.forward(params, block.reshape(-1, block.shape[-1]), fold(key, j // size))[0]
        out.append(jnp.swapaxes(a.reshape(*block.shape[:2], -1), 0, 1))
    return masked(mask, jnp.concatenate(out, axis=1)[:, : mask.shape[1]])


def naive_row(layer, params, x, mask):
    def step(before, at):
        (states, seen), (x_t, real) = before, at
        known = states
        if layer.truncate:
            cut = seen % layer.truncate == 0
            known = tuple(jnp.where(cut, jax.lax.stop_gradient(state), state) for state in states)
        after = STEPS[type(layer)](layer, params, known, x_t)
        states = tuple(jnp.where(real, new, old) for new, old in zip(after, states, strict=True))
        return (states, seen + real), jnp.where(real, states[0], 0)

    return jax.lax.scan(step, ((jnp.zeros(layer.n_hidden),) * 2, 0), (x, mask))[1]


def rnn_step(layer, p, state, x):
    return (layer.activation.value(x @ p.w + state[0] @ p.v + p.b),) * 2


def lstm_step(layer, p, state, x):
    h, a = state
    n = layer.n_hidden
    lin = [x @ p.w[:, k : k + n] + h @ p.v[:, k : k + n] + p.b[k : k + n] for k in range(0, 4 * n, n)]
    i, f, o = (1 / (1 + jnp.exp(-lin[k])) for k in (0, 1, 3))
    a = f * a + i * jnp.tanh(lin[2])
    return o * jnp.tanh(a), a


def gru_step(layer, p, state, x):
    h, _ = state
    n = layer.n_hidden
    from_x = [x @ p.w[:, k : k + n] + p.b[k : k + n] for k in range(0, 3 * n, n)]
    from_h = [h @ p.v[:, k : k + n] for k in range(0, 3 * n, n)]
    r, u = (1 / (1 + jnp.exp(-from_x[k] - from_h[k])) for k in (0, 1))
    h = (1 - u) * jnp.tanh(from_x[2] + r * (from_h[2] + p.c)) + u * h
    return h, h


STEPS = {layers.RNN: rnn_step, layers.LSTM: lstm_step, layers.GRU: gru_step}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward_equal_those_of_a_naive_forward(name):
    mask, key = jnp.asarray(MASKS["rows"]), KEY if "dropout" in repr(CASES[name]).lower() else None
    params, values, error = pieces(CASES[name], mask)
    args = (CASES[name], params, values, mask, error, key)
    assert_close(both(*args), by_autodiff(naive, *args))


@pytest.mark.usefixtures("float64")
def test_one_sequence_of_one_step():
    layer, mask = CASES["lstm"], jnp.asarray(MASKS["one"])
    params, values, error = pieces(layer, mask)
    args = (layer, params, values, mask, error)
    assert_close(both(*args), by_autodiff(naive, *args))


DIFFERENCES = ["lstm", "mean_over_time"]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_backward_equals_central_differences_and_is_the_adjoint_of_the_forward_derivative(name):
    layer, mask = CASES[name], jnp.asarray(MASKS["rows"][:3])
    params, values, error = pieces(layer, mask)
    f = jax.jit(lambda p, x: jnp.vdot(output(layer, p, x, mask, KEY), error))
    _, found = both(layer, params, values, mask, error, KEY)
    assert_close(found[0], central_gradient(lambda p: f(p, values), params), rtol=1e-6, atol=1e-7)
    assert_close(found[1], central_gradient(lambda x: f(params, x), values), rtol=1e-6, atol=1e-7)
    v = random_like(np.random.default_rng(1), (params, values))
    assert_close(dot(found, v), jax.jvp(f, (params, values), v)[1])


# --- padding ---


PADDED = ["lstm-truncated", "gru", "last_step", "both_ends"]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", PADDED)
def test_a_batch_of_mixed_lengths_is_each_sequence_alone(name):
    """Outputs, gradients and errors; the padding holds NaN and is handed an error."""
    layer, lengths = CASES[name], [4, 2]
    mask = np.arange(4) < np.array(lengths)[:, None]
    params, values, error = jax.tree.map(np.asarray, pieces(layer, mask))
    found = both(layer, params, np.where(mask[..., None], values, np.nan), mask, error)
    a, (grads, error_in) = jax.tree.map(np.asarray, found)
    total = jax.tree.map(np.zeros_like, params)
    by_step = error.ndim == 3
    for row, n in enumerate(lengths):
        part = (slice(row, row + 1), slice(0, n))
        of_output = part if by_step else part[0]
        alone, (one_grads, one_error_in) = both(layer, params, values[part], mask[part], error[of_output])
        total = jax.tree.map(np.add, total, one_grads)
        assert_close(a[of_output], alone)
        assert_close(error_in[part], one_error_in)
        np.testing.assert_array_equal(error_in[row, n:], 0)
        if by_step:
            np.testing.assert_array_equal(a[row, n:], 0)
    assert_close(grads, total)


def walked(layer, mask):
    """How often the body of a walk is run, forwards and backwards: a counter in place of the activation."""
    counts = []

    def count(z):
        jax.debug.callback(lambda: counts.append(1))
        return jnp.tanh(z)

    counting = activations.Activation("counting", count, lambda z, a: 1 - a * a)
    layer = layer(1, counting)
    params = layer.init(np.random.default_rng(0), 1)
    jax.block_until_ready(layer.forward(params, layers.sequence(jnp.ones((*mask.shape, 1)))._replace(mask=mask))[0])
    jax.effects_barrier()
    return len(counts)


@pytest.mark.parametrize(("first", "last"), [(0, 5), (3, 8), (0, 20), (7, 7)])
def test_no_step_is_walked_before_the_first_or_after_the_last_real_one(first, last):
    time = jnp.arange(20)
    mask = jnp.stack([(time >= first) & (time < last), time < 0, (time >= first) & (time < last - 1)])
    assert walked(layers.rnn, mask) == last - first


@pytest.mark.parametrize("name", ["rnn-tanh", "lstm", "gru-truncated", "each_step", *HEADS])
def test_a_row_of_padding_alone_gives_zeros(name):
    layer = CASES[name]
    params = layer.init(np.random.default_rng(0), N_IN)
    values, mask = jnp.full((2, 4, N_IN), jnp.nan), jnp.zeros((2, 4), bool)
    error = jnp.ones(jax.eval_shape(lambda *args: output(layer, *args), params, values, mask).shape)
    for array in jax.tree.leaves(both(layer, params, values, mask, error)):
        np.testing.assert_array_equal(array, 0)


def test_sequence_of_lengths():
    values = jnp.ones((3, 4, 2))
    mask = layers.sequence(values, jnp.array([4, 0, 2])).mask
    np.testing.assert_array_equal(mask, [[True] * 4, [False] * 4, [True, True, False, False]])
    assert layers.sequence(values).mask.all()


# --- truncation ---


@pytest.mark.usefixtures("float64")
def test_truncation_cuts_between_windows_and_changes_no_output():
    """The error of step 4 reaches back to step 3 in windows of 3 (0 1 2 | 3 4 5) and to step 4 in windows of 2."""
    values = to64(np.random.default_rng(0).standard_normal((1, 6, N_IN)))
    params = to64(layers.lstm(4).init(np.random.default_rng(1), N_IN))
    error = np.zeros((1, 6, 4))
    error[0, 4] = 1.0
    outputs = []
    for truncate, first in ((None, 0), (5, 0), (3, 3), (2, 4)):
        layer = layers.lstm(4, truncate=truncate)
        a, (_, error_in) = both(layer, params, values, np.ones((1, 6), bool), error)
        outputs.append(a)
        reached = np.abs(error_in[0]).max(axis=-1) > 0
        np.testing.assert_array_equal(reached, (np.arange(6) >= first) & (np.arange(6) <= 4))
    for a in outputs:
        np.testing.assert_array_equal(a, outputs[0])


# --- by hand ---


def test_rnn_by_hand():
    """w = 2, v = 1/2, b = -1, x = 1, 3: z = (1, 5 + 1/2), a = z. The error is 1 at step 2 alone: delta = (1/2, 1),
    dL/dw = 1/2 1 + 1 3, dL/dv = 1 1, dL/db = 1/2 + 1, dL/dx = (1, 2)."""
    layer = layers.rnn(1, "relu")
    params = layers.RNNParams(jnp.array([[2.0]]), jnp.array([[0.5]]), jnp.array([-1.0]))
    a, cache = layer.forward(params, layers.sequence(jnp.array([[[1.0], [3.0]]])))
    np.testing.assert_array_equal(a.values, [[[1.0], [5.5]]])
    grads, error_in = layer.backward(params, cache, jnp.array([[[0.0], [1.0]]]))
    assert [float(g.sum()) for g in grads] == [3.5, 1.0, 1.5]
    np.testing.assert_array_equal(error_in, [[[1.0], [2.0]]])


@pytest.mark.usefixtures("float64")
def test_lstm_by_hand():
    """One step from the state 0 with z = 0 but z^g = ln 3: every gate is 1/2 and g = (9 - 1) / (9 + 1) = .8, so a = .4
    and h = tanh(.4) / 2. Of an error 1: delta^o = tanh(.4) / 4, error_a = (1 - tanh(.4)^2) / 2, delta^g =
    error_a .36 / 2, delta^i = error_a .8 / 4, delta^f = 0."""
    layer = layers.lstm(1)
    params = layers.LSTMParams(jnp.array([[0.0, 0.0, np.log(3.0), 0.0]]), jnp.ones((1, 4)), jnp.zeros(4))
    a, cache = layer.forward(params, layers.sequence(jnp.ones((1, 1, 1))))
    t = np.tanh(0.4)
    np.testing.assert_allclose(a.values, [[[t / 2]]], rtol=1e-14)
    grads, error_in = layer.backward(params, cache, jnp.ones((1, 1, 1)))
    error_a = (1 - t * t) / 2
    delta = [error_a * 0.8 / 4, 0.0, error_a * 0.36 / 2, t / 4]
    np.testing.assert_allclose(grads.b, delta, rtol=1e-14)
    np.testing.assert_allclose(grads.w, [delta], rtol=1e-14)
    np.testing.assert_array_equal(grads.v, np.zeros((1, 4)))
    np.testing.assert_allclose(error_in, [[[delta[2] * np.log(3.0)]]], rtol=1e-14)


@pytest.mark.usefixtures("float64")
def test_gru_by_hand():
    """One step from the state 0 with r = u = 1/2, c = 2 ln 3 and z^g = 0: g = tanh(r c) = .8 and h = .4. Of an error 1:
    delta^g = .36 / 2 = .18, delta^u = -.8 / 4 = -.2, delta^m = .09, delta^r = .18 2 ln 3 / 4."""
    layer = layers.gru(1)
    c = 2 * np.log(3.0)
    params = layers.GRUParams(jnp.zeros((1, 3)), jnp.ones((1, 3)), jnp.zeros(3), jnp.array([c]))
    a, cache = layer.forward(params, layers.sequence(jnp.ones((1, 1, 1))))
    np.testing.assert_allclose(a.values, [[[0.4]]], rtol=1e-14)
    grads, _ = layer.backward(params, cache, jnp.ones((1, 1, 1)))
    np.testing.assert_allclose(grads.b, [0.18 * c / 4, -0.2, 0.18], rtol=1e-14)
    np.testing.assert_allclose(grads.w, [[0.18 * c / 4, -0.2, 0.18]], rtol=1e-14)
    np.testing.assert_allclose(grads.c, [0.09], rtol=1e-14)


def test_heads_by_hand():
    x = layers.sequence(jnp.arange(12.0).reshape(2, 3, 2), jnp.array([3, 2]))
    last, cache = layers.last_step().forward((), x)
    np.testing.assert_array_equal(last, [[4.0, 5.0], [8.0, 9.0]])
    _, error_in = layers.last_step().backward((), cache, jnp.ones((2, 2)))
    np.testing.assert_array_equal(error_in[..., 0], [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    mean, cache = layers.mean_over_time().forward((), x)
    np.testing.assert_array_equal(mean, [[2.0, 3.0], [7.0, 8.0]])
    _, error_in = layers.mean_over_time().backward((), cache, jnp.ones((2, 2)))
    np.testing.assert_allclose(error_in[..., 0], [[1 / 3] * 3, [0.5, 0.5, 0.0]], rtol=1e-6)


# --- PyTorch ---

TORCH = np.load(Path(__file__).parents[1] / "fixtures" / "recurrent.npz")


def from_torch(kind, name, suffix, grad=""):
    """The params (or their gradients) of one layer and direction of a PyTorch module."""
    w, v, b, c = (TORCH[f"{name}/{grad}{part}_{suffix}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    both = b if grad else b + c  # a sum has the gradient of either term
    if kind is not layers.GRUParams:
        return kind(w.T, v.T, both)
    n = v.shape[1]
    return kind(w.T, v.T, np.concatenate([both[: 2 * n], b[2 * n :]]), c[2 * n :])


def all_from_torch(name, grad=""):
    kind = {"rnn": layers.RNNParams, "lstm": layers.LSTMParams, "gru": layers.GRUParams}[
        name.split("-")[name[0] in "tb"]
    ]
    first = from_torch(kind, name, "l0", grad)
    if name.startswith("two"):
        return (first, from_torch(kind, name, "l1", grad))
    if name.startswith("both"):
        return layers.BidirectionalParams(first, from_torch(kind, name, "l0_reverse", grad))
    return first


SAME_AS_TORCH = {
    "rnn-tanh": layers.rnn(5, "tanh"),
    "rnn-relu": layers.rnn(5, "relu"),
    "lstm": layers.lstm(5),
    "gru": layers.gru(5),
    "two-lstm": layers.chain(layers.lstm(5), layers.lstm(5)),
    "both-gru": layers.bidirectional(layers.gru(5)),
}


def test_every_module_of_the_fixture_is_compared():
    assert {name.split("/")[0] for name in TORCH.files} == {"lengths", *SAME_AS_TORCH}


@pytest.mark.parametrize("name", SAME_AS_TORCH)
def test_outputs_and_gradients_are_those_of_pytorch(name):
    layer, params = SAME_AS_TORCH[name], all_from_torch(name)
    x, expected, error, error_in = (jnp.asarray(TORCH[f"{name}/{part}"]) for part in ("x", "a", "error", "error_in"))
    assert x.dtype == jnp.float32
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda s: s.shape, layer.shapes(3))
    params = jax.tree.map(jnp.asarray, params)
    a, found = both(layer, params, *layers.sequence(x, jnp.asarray(TORCH["lengths"])), error)
    assert_close(a, expected, rtol=1e-5, atol=1e-5)
    assert_close(found, (all_from_torch(name, "grad/"), error_in), rtol=1e-5, atol=1e-5)


# --- through the objective ---

NETWORKS = {
    "lstm": layers.chain(layers.lstm(2), layers.last_step(), layers.dense(2)),
    "gru": layers.chain(layers.bidirectional(layers.gru(2)), layers.mean_over_time(), layers.dense(2)),
    "rnn": layers.chain(layers.rnn(2), layers.rnn(2), layers.last_step(), layers.dense(2)),
}


def build(network, l2=0.1):
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + 0.2 * rng.standard_normal(p.shape), network.init(rng, N_IN))
    mask = MASKS["rows"][:4]
    params, values, y = to64((params, rng.standard_normal((*mask.shape, N_IN)), rng.random((len(mask), 2))))
    batch = Batch(Sequence(values, jnp.asarray(mask)), y, to64(np.array([1.0, 0.5, 1.5, 1.0])))
    return Objective(network, losses.cross_entropy, batch, l2), params


@pytest.mark.long
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", NETWORKS)
def test_products_with_the_hessian_are_those_of_central_differences(name):
    objective, params = build(NETWORKS[name])
    v = random_like(np.random.default_rng(1), params)
    ask = jax.jit(lambda p: (objective.value_and_grad(p)[1], objective.hvp(p, v)))
    step = 1e-5
    after, before = (ask(jax.tree.map(lambda p, v: p + s * step * v, params, v))[0] for s in (1, -1))  # noqa: B023
    expected = jax.tree.map(lambda a, b: (a - b) / (2 * step), after, before)
    assert_close(ask(params)[1], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.usefixtures("float64")
def test_the_hessian_is_that_of_autodiff():
    """Of the loss of a naive forward."""
    objective, params = build(NETWORKS["lstm"], l2=0.0)
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    batch = objective.batch

    def total(w):
        z = naive(objective.network, unflatten(w), batch.x.values, batch.x.mask)
        return jnp.mean(batch.weight * objective.loss.value(z, batch.y))

    assert_close(jax.jit(objective.hessian)(params), jax.jit(jax.hessian(total))(flat), rtol=1e-10, atol=1e-11)


@pytest.mark.usefixtures("float64")
def test_gauss_newton_products_are_those_of_the_matrix():
    objective, params = build(NETWORKS["lstm"])
    v = random_like(np.random.default_rng(1), params)

    @jax.jit
    def ask(p):
        return objective.value_grad_and_gauss_newton(p), objective.gnvp(p, v), objective.value_and_grad(p)

    (value, grads, matrix), product, expected = ask(params)
    along, product = (jax.flatten_util.ravel_pytree(tree)[0] for tree in (v, product))
    assert_close(product, matrix @ along, rtol=1e-10, atol=1e-11)
    assert_close((value, grads), expected)


@pytest.mark.usefixtures("float64")
def test_blocks_of_sequences_are_one_batch():
    objective, params = build(NETWORKS["lstm"])
    pad = lambda a: jnp.pad(a, [(0, 5), *[(0, 0)] * (a.ndim - 1)]).reshape(3, 3, *a.shape[1:])  # noqa: E731
    blocks = Objective(objective.network, objective.loss, jax.tree.map(pad, objective.batch), 0.1)
    ask = jax.jit(Objective.value_and_grad)
    assert_close(ask(blocks, params), ask(objective, params))


@pytest.mark.usefixtures("float64")
def test_lanes_under_vmap_are_each_alone():
    objective, params = build(NETWORKS["rnn"])
    ask = lambda p: objective.value_and_grad(p)  # noqa: E731
    lanes = jax.tree.map(lambda p: jnp.stack([p, 0.5 * p, -p]), params)
    together, alone = jax.jit(jax.vmap(ask))(lanes), jax.jit(ask)
    for i in range(3):
        take = lambda a, i=i: a[i]  # noqa: E731
        assert_close(jax.tree.map(take, together), alone(jax.tree.map(take, lanes)))


def test_types_are_kept():
    network = CHAINS["deep"]
    params = jax.tree.map(jnp.asarray, network.init(np.random.default_rng(0), N_IN))
    x = layers.sequence(jnp.ones((4, 5, N_IN)), jnp.array([5, 1, 0, 2]))
    batch = Batch(x, jnp.array([0, 1, 1, 0]), jnp.ones(4))
    objective = Objective(network, losses.log_likelihood, batch, 0.1, 0.1, KEY)
    value, grads = jax.jit(lambda p: objective.value_and_grad(p))(params)
    assert {a.dtype for a in jax.tree.leaves((value, grads))} == {jnp.dtype("float32")}
    assert jax.tree.map(np.shape, grads) == jax.tree.map(lambda s: s.shape, network.shapes(N_IN))


@pytest.mark.long
@pytest.mark.parametrize("make", [layers.rnn, layers.lstm, layers.gru])
def test_learns_to_remember_the_first_of_ten_steps(make):
    """The class is the sign of the first value; what comes after is noise, and lengths are mixed."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((128, 10, 1)).astype(np.float32)
    y = jnp.asarray((values[:, 0, 0] > 0).astype(np.int32))
    x = layers.sequence(jnp.asarray(values), jnp.asarray(rng.integers(5, 11, 128)))
    network = layers.chain(make(8), layers.last_step(), layers.dense(2))
    objective = Objective(network, losses.log_likelihood, Batch(x, y, jnp.ones(128)))
    rule = optimizers.Adam(0.02)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state, _ = rule.step(objective, *carry)
            return (params, state), None

        return jax.lax.scan(step, (params, rule.init(params)), None, length=200)[0][0]

    params = jax.tree.map(jnp.asarray, network.init(rng, 1))
    assert objective.value(params).loss > 0.5
    assert objective.value(train(params)).loss < 0.05


# --- initial weights and options ---


@pytest.mark.parametrize("n", [1, 2, 33])
def test_orthogonal_weights_are_orthogonal(n):
    v = initializers.orthogonal(np.random.default_rng(0), n)
    assert v.dtype == np.float32
    np.testing.assert_allclose(v.T @ v, np.eye(n), atol=1e-6)


def test_orthogonal_weights_favour_no_direction():
    """The mean over many is 0, and each entry has the variance 1/n."""
    rng = np.random.default_rng(0)
    v = np.stack([initializers.orthogonal(rng, 3) for _ in range(4000)])
    np.testing.assert_allclose(v.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(v.var(axis=0), 1 / 3, rtol=0.08)


@pytest.mark.parametrize(("make", "n_gates"), [(layers.rnn, 1), (layers.lstm, 4), (layers.gru, 3)])
def test_initial_weights(make, n_gates):
    params = make(30).init(np.random.default_rng(0), 50)
    for gate in range(n_gates):
        part = slice(30 * gate, 30 * (gate + 1))
        np.testing.assert_allclose(params.v[:, part].T @ params.v[:, part], np.eye(30), atol=1e-5)
        np.testing.assert_allclose(params.w[:, part].var(), 2 / 80, rtol=0.1)
        np.testing.assert_array_equal(params.b[part], float(make is layers.lstm and gate == 1))
    if make is layers.gru:
        np.testing.assert_array_equal(params.c, np.zeros(30))


@pytest.mark.parametrize("name", CASES)
def test_shapes_are_those_of_init(name):
    drawn = CASES[name].init(np.random.default_rng(0), N_IN)
    assert jax.tree.map(np.shape, drawn) == jax.tree.map(lambda s: s.shape, CASES[name].shapes(N_IN))
    assert {leaf.dtype for leaf in jax.tree.leaves(drawn)} <= {np.dtype("float32")}


def test_weights_decay_and_biases_do_not():
    network = layers.chain(
        layers.bidirectional(layers.lstm(2)),
        layers.gru(2),
        layers.each_step(layers.dense(2)),
        layers.chain(layers.rnn(2), layers.last_step()),
    )
    decayed = network.decayed(network.init(np.random.default_rng(0), 3))
    assert decayed == (
        layers.BidirectionalParams(*[layers.LSTMParams(True, True, False)] * 2),
        layers.GRUParams(True, True, False, False),
        layers.DenseParams(True, False),
        (layers.RNNParams(True, True, False), ()),
    )


def test_the_two_directions_start_differently():
    params = layers.bidirectional(layers.gru(4)).init(np.random.default_rng(0), 3)
    assert not np.array_equal(params.onward.w, params.back.w)


def test_the_two_directions_drop_units_of_their_own():
    layer = layers.bidirectional(layers.each_step(layers.dropout(0.5)))
    assert layer.draws
    x = layers.sequence(jnp.ones((4, 6, 8)))
    onward, back = jnp.split(layer.forward(layer.init(np.random.default_rng(0), 8), x, KEY)[0].values, 2, axis=-1)
    assert not np.array_equal(onward, back[:, ::-1])


def test_auto_follows_the_activation_of_an_rnn():
    drawn = layers.rnn(200, "relu", init="auto").init(np.random.default_rng(0), 100).w
    np.testing.assert_allclose(drawn.var(), 2 / 100, rtol=0.05)  # He et al. 2015


def test_what_reads_sequences():
    network = layers.chain(layers.each_step(layers.dense(3)), layers.chain(layers.rnn(2), layers.last_step()))
    assert network.of_sequences
    assert layers.chain(network, layers.dense(2)).of_sequences
    assert not layers.chain(layers.dense(2)).of_sequences
    assert all(head.of_sequences for head in HEADS.values())


@pytest.mark.parametrize("make", [layers.rnn, layers.lstm, layers.gru])
def test_options_that_are_none_are_refused(make):
    with pytest.raises(InputError, match="use one of"):
        make(3, init="best")
    with pytest.raises(InputError, match="truncate = 0 is impossible: give None or a whole number of at least 1"):
        make(3, truncate=0)
    with pytest.raises(InputError, match="use one of"):
        layers.rnn(3, "rleu")


@pytest.mark.parametrize("cell", [layers.lstm, layers.gru])
def test_chrono_biases_remember_over_so_many_steps(cell):
    """A constant gate sigmoid(b) has a time constant of 1 + e^b steps, which is to be uniform from 2 to T."""
    n, longest = 500, 50
    b = cell(n, chrono=longest).init(np.random.default_rng(0), 1).b.reshape(-1, n)
    steps = 1 + np.exp(b[1])
    assert 2 <= steps.min() < 2.5
    assert longest - 0.5 < steps.max() <= longest
    assert stats.kstest(steps, stats.uniform(2, longest - 2).cdf).pvalue > 0.01
    others = np.delete(b, 1, axis=0)
    np.testing.assert_array_equal(others[0], -b[1] if cell is layers.lstm else 0)
    np.testing.assert_array_equal(others[1:], 0)


@pytest.mark.parametrize("cell", [layers.lstm, layers.gru])
def test_a_memory_of_two_steps_is_refused(cell):
    with pytest.raises(InputError, match="chrono = 2 is impossible: give None or a whole number of at least 3"):
        cell(3, chrono=2)


CELLS = {"truncate": (layers.rnn, layers.lstm, layers.gru), "chrono": (layers.lstm, layers.gru)}
NO_STEPS = (4.0, 5.5, True, "5", np.float32(5))


def told_of_steps():
    """Whether what is no whole number of steps is refused, and NumPy's whole numbers are taken."""
    said = []
    for name, makes in CELLS.items():
        for make in makes:
            for steps in NO_STEPS:
                try:
                    make(3, **{name: steps})
                except InputError as error:
                    said.append(str(error).startswith(f"{name} = {steps!r} is impossible: give None or a whole number"))
            said.append(bool(getattr(make(3, **{name: np.int64(5)}), name) == 5))
    return said


def test_a_number_of_steps_is_whole():
    assert plainly.call(told_of_steps) == [True] * sum(map(len, CELLS.values())) * (len(NO_STEPS) + 1)
