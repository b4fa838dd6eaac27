"""The objective: gradient, products with the Hessian and Gauss-Newton matrix, weights, penalties, blocks, trace."""

import dataclasses

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import layers, losses
from axonic.errors import InputError
from axonic.losses.base import targets
from axonic.objective import Objective, clipped, from_function, from_residuals
from axonic.types import Batch
from tests.oracles import assert_close, central_gradient, random_like, to64

KEY = np.array([3, 4], np.uint32)
NETWORKS = {
    "tanh": layers.chain(layers.dense(4, "tanh"), layers.dense(3)),
    "relu-dropout": layers.chain(
        layers.dense(6, "relu"), layers.dropout(0.3), layers.dense(4, "gelu"), layers.dense(3)
    ),
    "linear": layers.chain(layers.dense(3)),
}
LOSSES = {
    "squared_error": losses.squared_error,
    "cross_entropy": losses.cross_entropy,
    "log_likelihood": losses.log_likelihood,
    "mse-softmax": losses.mse("softmax"),
    "matching-softplus": losses.matching("softplus"),
    "poisson": losses.poisson,
}


PAIRS = [
    ("tanh", "squared_error"),
    ("relu-dropout", "cross_entropy"),
    ("linear", "log_likelihood"),
    ("relu-dropout", "mse-softmax"),
    ("tanh", "matching-softplus"),
    ("linear", "poisson"),
]
"""Every loss and every network; neither knows of the other."""


def build(network, loss, n=7, l2=0.1, l1=0.05, key=KEY):
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: p + 0.2 * rng.standard_normal(p.shape), network.init(rng, 2))
    x, y = rng.standard_normal((n, 2)), rng.random((n, 3))
    weight = np.where(np.arange(n) == 2, 0.0, rng.uniform(0.5, 2.0, n))
    params, batch = to64((params, Batch(x, y / y.sum(axis=1, keepdims=True), weight)))
    return Objective(network, loss, batch, l2, l1, key), params


def flattened(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("network", "loss"), PAIRS)
class TestDerivatives:
    def test_gradient_equals_grad_and_central_differences(self, network, loss):
        objective, params = build(NETWORKS[network], LOSSES[loss])
        total = jax.jit(lambda p: Objective.value(objective, p).total)
        of_value = jax.grad(lambda p: objective.value_and_grad(p)[0].total)
        (value, grads), with_key = jax.jit(lambda p: (objective.value_and_grad(p), of_value(p)))(params)
        assert_close(grads, with_key)
        assert_close(value.total, total(params))
        assert_close(grads, central_gradient(total, params), rtol=1e-6, atol=1e-7)

    def test_jvp_of_the_gradient_equals_the_hessian(self, network, loss):
        objective, params = build(NETWORKS[network], LOSSES[loss], l1=0.0)
        flat, unflatten = jax.flatten_util.ravel_pytree(params)
        hessian = np.asarray(jax.jit(jax.hessian(lambda p: objective.value(unflatten(p)).total))(flat))
        v = random_like(np.random.default_rng(1), params)
        product, found = jax.jit(lambda p, v: (objective.hvp(p, v), objective.hessian(p)))(params, v)
        np.testing.assert_allclose(flattened(product), hessian @ flattened(v), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(found, hessian, rtol=1e-10, atol=1e-11)

    @pytest.mark.parametrize("key", [KEY, None], ids=["dropout", "predicting"])
    def test_gauss_newton_matrix_and_product_equal_those_of_jax(self, network, loss, key):
        objective, params = build(NETWORKS[network], LOSSES[loss], l1=0.0, key=key)
        flat, unflatten = jax.flatten_util.ravel_pytree(params)
        batch, n = objective.batch, float(np.sum(objective.batch.weight > 0))
        outputs = lambda p: objective.network.forward(unflatten(p), batch.x, key)[0]  # noqa: E731
        one = lambda z, y: objective.loss.value(z[None], y[None])[0]  # noqa: E731
        of_loss = jax.vmap(jax.hessian(one))
        jacobian, h = jax.jit(lambda p: (jax.jacobian(outputs)(p), of_loss(outputs(p), batch.y)))(flat)
        h = np.asarray(h) * (np.asarray(batch.weight) / n)[:, None, None]
        decay = jax.tree.map(lambda p, d: np.full(p.shape, 0.1 * d), params, objective.network.decayed(params))
        matrix = np.einsum("nip,nij,njq->pq", jacobian, h, jacobian) + np.diag(flattened(decay))
        v = random_like(np.random.default_rng(1), params)
        product, (found, grads, of_one_pass), plain = jax.jit(
            lambda p, v: (objective.gnvp(p, v), objective.value_grad_and_gauss_newton(p), objective.value_and_grad(p))
        )(params, v)
        np.testing.assert_allclose(flattened(product), matrix @ flattened(v), rtol=1e-10, atol=1e-11)
        np.testing.assert_allclose(of_one_pass, matrix, rtol=1e-10, atol=1e-11)
        assert_close((found, grads), plain)

    def test_trace_gives_the_gradients(self, network, loss):
        """dL/dw = a_before^T delta and dL/db = sum of delta, layer by layer, from the trace alone."""
        objective, params = build(NETWORKS[network], LOSSES[loss], l2=0.0, l1=0.0, key=None)
        _, grads = jax.jit(objective.value_and_grad)(params)
        before = objective.batch.x
        for trace, grad in zip(objective.trace(params), grads, strict=True):
            if trace is None:
                continue
            assert_close(grad.w, before.T @ trace.delta)
            assert_close(grad.b, trace.delta.sum(axis=0))
            before = trace.a


@pytest.mark.usefixtures("float64")
def test_value_by_hand():
    """One unit w = 2, b = 1 on x = 1, 3 with y = 2, 2 and weights 1, 3: errors 1 and 5, so (1/2 + 3 25/2) / 2 = 19;
    penalties .1/2 4 + .5 2 = 1.2 act on w alone."""
    network = layers.chain(layers.dense(1))
    params = (layers.DenseParams(jnp.array([[2.0]]), jnp.array([1.0])),)
    batch = Batch(jnp.array([[1.0], [3.0]]), jnp.array([[2.0], [2.0]]), jnp.array([1.0, 3.0]))
    objective = Objective(network, losses.squared_error, batch, 0.1, 0.5)
    value, grads = objective.value_and_grad(params)
    np.testing.assert_allclose([value.loss, value.penalty], [19.0, 1.2], rtol=1e-12)
    np.testing.assert_allclose(grads[0].w, [[(1 * 1 + 3 * 5 * 3) / 2 + 0.1 * 2 + 0.5]], rtol=1e-12)
    np.testing.assert_allclose(grads[0].b, [(1 + 15) / 2], rtol=1e-12)


@pytest.mark.usefixtures("float64")
def test_padding_counts_for_nothing_even_if_it_holds_nan():
    objective, params = build(NETWORKS["tanh"], losses.log_likelihood)
    x = jnp.concatenate([objective.batch.x, jnp.full((3, 2), 1e30)])
    y = jnp.concatenate([objective.batch.y, jnp.full((3, 3), jnp.nan)])
    padded = Objective(
        objective.network, objective.loss, Batch(x, y, jnp.pad(objective.batch.weight, (0, 3))), 0.1, 0.05, None
    )
    plain = Objective(objective.network, objective.loss, objective.batch, 0.1, 0.05, None)
    found, expected = (
        jax.jit(lambda p, one=one: (one.value_and_grad(p), one.value_grad_and_gauss_newton(p)))(params)
        for one in (padded, plain)
    )
    assert_close(found, expected)


@pytest.mark.usefixtures("float64")
def test_weight_two_is_the_row_twice():
    objective, params = build(NETWORKS["tanh"], losses.squared_error, key=None)
    x, y, _ = objective.batch
    twice = Batch(x[jnp.array([0, 0, 1])], y[jnp.array([0, 0, 1])], jnp.ones(3))
    weighted = Batch(x[:2], y[:2], jnp.array([2.0, 1.0]) / 1.5)
    args = (objective.network, objective.loss)
    of_weighted, of_twice = (
        jax.jit(Objective(*args, batch, 0.1).value_and_grad)(params) for batch in (weighted, twice)
    )
    assert_close(of_weighted, of_twice)


@pytest.mark.usefixtures("float64")
def test_blocks_are_one_batch():
    """Rows in blocks, the last ones partly or wholly empty, give what they give in one piece."""
    objective, params = build(NETWORKS["tanh"], losses.log_likelihood, key=None)
    v = random_like(np.random.default_rng(1), params)
    pad = lambda a: np.pad(a, [(0, 9), *[(0, 0)] * (a.ndim - 1)]).reshape(4, 4, *a.shape[1:])  # noqa: E731
    batch = Batch(*(jnp.asarray(pad(a)) for a in objective.batch))
    blocks = Objective(objective.network, objective.loss, batch, 0.1, 0.05)

    def all_of(objective):
        return {
            "value": objective.value(params),
            "value_and_grad": objective.value_and_grad(params),
            "hvp": objective.hvp(params, v),
            "gnvp": objective.gnvp(params, v),
            "hessian": objective.hessian(params),
            "value_grad_and_gauss_newton": objective.value_grad_and_gauss_newton(params),
        }

    assert_close(jax.jit(lambda: all_of(blocks))(), jax.jit(lambda: all_of(objective))())


@pytest.mark.usefixtures("float64")
def test_the_gauss_newton_matrix_is_summed_over_blocks_of_rows(monkeypatch):
    objective, params = build(NETWORKS["tanh"], losses.log_likelihood, key=None)
    whole = jax.jit(lambda p: objective.value_grad_and_gauss_newton(p))(params)
    monkeypatch.setattr("axonic.objective.ENTRIES", 3 * 3 * len(whole[2]))  # three rows a block, of seven rows
    assert_close(jax.jit(lambda p: objective.value_grad_and_gauss_newton(p))(params), whole)


@pytest.mark.usefixtures("float64")
def test_a_key_that_nothing_is_drawn_from_costs_no_products(monkeypatch):
    """A fit gives every network a key; without dropout the matrix is had from the Jacobian all the same."""
    objective, params = build(NETWORKS["tanh"], losses.log_likelihood, key=None)
    expected = objective.value_grad_and_gauss_newton(params)
    monkeypatch.setattr("axonic.objective._matrix", None)
    with_key = dataclasses.replace(objective, key=KEY)
    for one, other in zip(
        jax.tree.leaves(with_key.value_grad_and_gauss_newton(params)), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("float64")
def test_gauss_newton_of_residuals_and_of_a_function():
    residuals = lambda p: jnp.concatenate([p["a"] ** 2 - 1.0, jnp.sin(p["a"] * p["b"])])  # noqa: E731
    params = {"a": jnp.array([1.0, -0.5, 2.0]), "b": jnp.array(0.7)}
    w, unravel = jax.flatten_util.ravel_pytree(params)
    jacobian = jax.jacobian(lambda w: residuals(unravel(w)))(w)
    value, grads, matrix = from_residuals(residuals).value_grad_and_gauss_newton(params)
    assert_close((value, grads), from_residuals(residuals).value_and_grad(params))
    np.testing.assert_allclose(matrix, jacobian.T @ jacobian, rtol=1e-12)
    with pytest.raises(InputError, match="vector of residuals"):
        from_function(jnp.sum).value_grad_and_gauss_newton(w)


def test_types_are_kept():
    network = NETWORKS["relu-dropout"]
    params = jax.tree.map(jnp.asarray, network.init(np.random.default_rng(0), 2))
    batch = Batch(jnp.ones((4, 2)), jnp.array([0, 1, 2, 0]), jnp.ones(4))
    value, grads = Objective(network, losses.log_likelihood, batch, 0.1, 0.1, KEY).value_and_grad(params)
    assert {a.dtype for a in jax.tree.leaves((value, grads))} == {jnp.dtype("float32")}


@pytest.mark.parametrize("size", [1.0, 1e18, 1e30, 5e37])
def test_a_gradient_whose_square_overflows_is_clipped_to_the_norm(size):
    g = jnp.array([0.6, -0.8], jnp.float32) * size
    np.testing.assert_allclose(clipped((g,), 0.5)[0], [0.3, -0.4], rtol=1e-6)
    np.testing.assert_array_equal(clipped((jnp.zeros(2),), 0.5)[0], [0.0, 0.0])


def test_numbers_that_are_not_shaped_like_the_outputs_are_refused():
    z = jnp.zeros((3, 1))
    with pytest.raises(InputError, match=r"\(3,\) meet outputs of shape \(3, 1\)"):
        targets(jnp.array([1.0, 2.0, 3.0]), z)
    np.testing.assert_array_equal(targets(jnp.array([[1.0], [2.0], [3.0]]), z), [[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(targets(jnp.array([True, False, True]), z), [[1.0], [0.0], [1.0]])
