"""Radial basis functions: the layer, and networks of it in closed form, against independent float64 references."""

import itertools
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.cluster import KMeans
from sklearn.linear_model import Ridge

from axonic import layers
from axonic import rbf_closed_form as closed_form
from axonic.errors import InputError
from axonic.layers import RADIALS, WIDTHS, RBFParams
from axonic.layers.rbf import distances, radial_value
from tests.oracles import assert_close, to64

# --- the layer ---


def pieces(layer, batch=5, n_in=3):
    rng = np.random.default_rng(1)
    c = rng.standard_normal((layer.n_centers, n_in))
    log_width = 0.5 * rng.standard_normal(layer.shapes(n_in).log_width.shape)
    x, error = rng.standard_normal((batch, n_in)), rng.standard_normal((batch, layer.n_centers))
    return to64((RBFParams(c, log_width), x, error))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "widths"), list(itertools.product(RADIALS, WIDTHS)))
def test_network_with_readout_equals_vjp(name, widths):
    """Centres, widths and readout."""
    rng = np.random.default_rng(0)
    network = layers.chain(layers.rbf(4, name, widths), layers.dense(2))
    params, x, _ = pieces(network.layers[0])
    readout = to64(layers.DenseParams(rng.standard_normal((4, 2)), rng.standard_normal(2)))
    error = to64(rng.standard_normal((5, 2)))
    _, cache = network.forward((params, readout), x)
    _, vjp = jax.vjp(lambda p, x: network.forward(p, x)[0], (params, readout), x)
    assert_close(network.backward((params, readout), cache, error), vjp(error))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("name", "widths"), list(itertools.product(RADIALS, WIDTHS)))
def test_forward_is_the_definition(name, widths):
    layer = layers.rbf(4, name, widths)
    params, x, _ = pieces(layer)
    width = np.broadcast_to(np.exp(params.log_width), params.c.shape)
    r = np.sqrt((((np.asarray(x)[:, None] - params.c) / width) ** 2).sum(axis=2))
    expected = {
        "gaussian": np.exp(-(r**2) / 2),
        "multiquadric": np.sqrt(1 + r**2),
        "inverse_multiquadric": 1 / np.sqrt(1 + r**2),
        "thin_plate": r**2 * np.log(r),
    }
    np.testing.assert_allclose(layer.forward(params, x)[0], expected[name], rtol=1e-12, atol=1e-12)


def test_by_hand():
    """One centre at (1, 0) of width 1, x = (1, 2): u = 4, a = e^-2; with error 1, delta = -a/2, dL/dc = (0, 2a),
    dL/dlog_width = 4a, dL/dx = (0, -2a)."""
    layer = layers.rbf(1)
    params = RBFParams(jnp.array([[1.0, 0.0]]), jnp.zeros((1, 1)))
    a, cache = layer.forward(params, jnp.array([[1.0, 2.0]]))
    grads, error_in = layer.backward(params, cache, jnp.ones((1, 1)))
    e = np.exp(-2.0)
    np.testing.assert_allclose(a, [[e]], rtol=1e-6)
    np.testing.assert_allclose(grads.c, [[0.0, 2 * e]], rtol=1e-6)
    np.testing.assert_allclose(grads.log_width, [[4 * e]], rtol=1e-6)
    np.testing.assert_allclose(error_in, [[0.0, -2 * e]], rtol=1e-6)


@pytest.mark.parametrize("name", RADIALS)
def test_on_a_centre_and_far_from_it_everything_is_finite(name):
    layer = layers.rbf(2, name)
    params = RBFParams(jnp.array([[0.1, 0.7], [3e3, 0.0]]), jnp.zeros((1, 1)))
    a, cache = layer.forward(params, jnp.array([[0.1, 0.7]]))
    grads, error_in = layer.backward(params, cache, jnp.ones((1, 2)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((a, grads, error_in)))
    at_the_centre = {"gaussian": 1.0, "multiquadric": 1.0, "inverse_multiquadric": 1.0, "thin_plate": 0.0}
    np.testing.assert_allclose(a[0, 0], at_the_centre[name], atol=1e-5)


def test_no_array_has_a_number_for_each_row_centre_and_dimension():
    rng = np.random.default_rng(0)
    c, x = rng.standard_normal((100, 50)), rng.standard_normal((200, 50))
    tracemalloc.start()
    distances(c, np.zeros((1, 1)), x, np)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 100 * 50 * 8 / 5


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match="use one of gaussian"):
        layers.rbf(3, "cubic")
    with pytest.raises(InputError, match="use one of shared"):
        layers.rbf(3, widths="own")


# --- the readout ---


def problem(n=40, m=9, n_out=2):
    rng = np.random.default_rng(3)
    phi = np.exp(-(rng.standard_normal((n, m)) ** 2)) @ rng.standard_normal((m, m))
    return phi, rng.standard_normal((n, n_out)) + 3.0, rng.uniform(0.2, 3.0, n)


@pytest.mark.parametrize("ridge", [1e-6, 0.3, 50.0])
def test_readout_equals_ridge_regression(ridge):
    phi, y, weight = problem()
    ours = closed_form.readout(closed_form.whole(phi), y, weight, ridge)
    theirs = Ridge(ridge, solver="cholesky").fit(phi, y, sample_weight=weight)
    np.testing.assert_allclose(ours.w, theirs.coef_.T, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(ours.b, theirs.intercept_, rtol=1e-8)


@pytest.mark.parametrize("ridge", [1e-6, 0.3, 50.0])
def test_leave_one_out_by_formula_equals_refitting(ridge):
    phi, y, weight = problem()
    ours = closed_form.readout(closed_form.whole(phi), y, weight, ridge)
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        left = Ridge(ridge, solver="cholesky").fit(phi[rest], y[rest], sample_weight=weight[rest])
        np.testing.assert_allclose(ours.loo[i], left.predict(phi[i : i + 1])[0], rtol=1e-8)


def test_the_ridge_taken_has_the_least_leave_one_out_error():
    phi, y, weight = problem()
    ours = closed_form.readout(closed_form.whole(phi), y, weight)
    scale = np.linalg.svd(np.sqrt(weight)[:, None] * (phi - weight @ phi / weight.sum()), compute_uv=False)[0] ** 2
    errors = []
    for ridge in closed_form.RIDGES:
        each = closed_form.readout(closed_form.whole(phi), y, weight, ridge * scale)
        errors.append(np.average(((y - each.loo) ** 2).sum(axis=1), weights=weight))
    np.testing.assert_allclose(ours.errors, errors, rtol=1e-8)
    np.testing.assert_allclose(ours.ridge, closed_form.RIDGES[int(np.argmin(errors))] * scale, rtol=1e-10)


def test_readout_in_blocks_is_the_readout(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 3)).astype(np.float32)
    y, weight = rng.standard_normal((50, 1)), np.ones(50)
    params = RBFParams(x[:6], np.zeros((1, 1), np.float32))
    one = closed_form.readout(closed_form.features("gaussian", params, x), y, weight)
    monkeypatch.setattr(closed_form, "BLOCK", 6 * 7)
    several = closed_form.readout(closed_form.features("gaussian", params, x), y, weight)
    np.testing.assert_allclose(several.w, one.w, rtol=1e-5)
    np.testing.assert_allclose(several.loo, one.loo, rtol=1e-5)


@pytest.mark.parametrize("same", [slice(0, 6), slice(0, 1)], ids=["each twice", "all equal"])
def test_features_that_depend_on_each_other_are_no_obstacle(same):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 2)).astype(np.float32)
    c = np.resize(x[same], (12, 2))
    params = RBFParams(c, np.zeros((1, 1), np.float32))
    ours = closed_form.readout(closed_form.features("gaussian", params, x), x[:, :1], np.ones(30))
    assert np.isfinite(ours.w).all()
    assert np.isfinite(ours.loo).all()


def test_a_row_of_weight_two_is_a_row_given_twice():
    phi, y, _ = problem()
    twice = np.ones(len(y))
    twice[:5] = 2.0
    rows = np.r_[np.arange(len(y)), np.arange(5)]
    one = closed_form.readout(closed_form.whole(phi), y, twice, 0.5)
    other = closed_form.readout(closed_form.whole(phi[rows]), y[rows], np.ones(len(rows)), 0.5)
    np.testing.assert_allclose(one.w, other.w, rtol=1e-9)
    np.testing.assert_allclose(one.b, other.b, rtol=1e-9)


# --- probabilities ---


def test_calibration_is_the_likeliest():
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 3, 80)
    scores = closed_form.indicators(codes, 3) * 0.4 + 0.4 * rng.standard_normal((80, 3))
    weight = rng.uniform(0.5, 2.0, 80)
    counts = np.bincount(codes, weights=weight)
    target = np.full((80, 3), closed_form.PRIOR / 3)
    target[np.arange(80), codes] += counts[codes]
    target /= (counts[codes] + closed_form.PRIOR)[:, None]

    def value(theta):
        z = theta[0] * scores + theta[1:]
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -np.average((target * log_p).sum(axis=1), weights=weight)

    t, b, loss = closed_form.calibrate(scores, codes, weight)
    found = minimize(value, np.zeros(4), options={"gtol": 1e-8})
    np.testing.assert_allclose(t, found.x[0], rtol=1e-4)
    np.testing.assert_allclose(b - b.mean(), found.x[1:] - found.x[1:].mean(), atol=1e-4)
    z = t * scores + b
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(loss, -np.average(log_p[np.arange(80), codes], weights=weight), rtol=1e-12)


def test_calibration_of_scores_that_tell_everything_or_nothing():
    codes = np.repeat([0, 1], 30)
    t, b, loss = closed_form.calibrate(closed_form.indicators(codes, 2), codes, np.ones(60))
    assert np.isfinite([t, *b]).all()
    assert 0 < loss < 0.02
    t, b, loss = closed_form.calibrate(-closed_form.indicators(codes, 2), codes, np.ones(60))  # worse than nothing
    assert t == 0
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


# --- centres and widths ---


def blobs(n=60, n_in=2):
    rng = np.random.default_rng(7)
    return (rng.standard_normal((n, n_in)) + 4 * rng.integers(0, 2, (n, 1))).astype(np.float32)


def plan(**values):
    given = {"n_centers": 5, "centers": "kmeans", "radial": "gaussian", "widths": "shared"}
    return closed_form.Plan(**{**given, "width": None, "ridge": None, "goal": 0.0, **values})


def test_k_means_are_scikit_learns_and_random_rows_are_rows():
    x, weight = blobs(), np.linspace(0.5, 2.0, 60)
    c, labels = closed_form.k_means(x, weight, 4, seed=3)
    theirs = KMeans(4, n_init=1, random_state=3).fit(x, sample_weight=weight)
    np.testing.assert_allclose(c, theirs.cluster_centers_, rtol=1e-5)
    np.testing.assert_array_equal(labels, theirs.labels_)
    rows = closed_form.random_rows(np.concatenate([x, x]), 7, seed=0)
    assert len(np.unique(rows, axis=0)) == 7
    assert all((x == row).all(axis=1).any() for row in rows)


def test_widths_are_distances_to_the_nearest_centres():
    x = np.repeat(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], np.float32), 3, axis=0)
    weight = np.ones(9)
    expected = {0.0: (9 + 16) / 2, 3.0: (9 + 25) / 2, 4.0: (16 + 25) / 2}
    c, log_width = closed_form.place(x, weight, plan(n_centers=3, widths="per_center"), 3, seed=0)
    np.testing.assert_allclose(np.exp(2 * log_width[:, 0]), [expected[float(row.sum())] for row in c], rtol=1e-6)
    _, shared = closed_form.place(x, weight, plan(n_centers=3), 3, seed=0)
    np.testing.assert_allclose(np.exp(shared), [[np.exp(log_width).mean()]], rtol=1e-6)
    _, given = closed_form.place(x, weight, plan(n_centers=3, width=0.7), 3, seed=0)
    np.testing.assert_allclose(np.exp(given), [[0.7]], rtol=1e-6)


def test_a_dimension_in_which_a_cluster_is_wide_has_a_wide_unit():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((200, 2)) * [2.0, 0.5], rng.standard_normal((200, 2)) * [0.5, 2.0] + 20])
    c, log_width = closed_form.place(
        x.astype(np.float32), np.ones(400), plan(n_centers=2, widths="per_dimension"), 2, seed=0
    )
    ratio = np.exp(log_width[:, 0] - log_width[:, 1])[np.argsort(c[:, 0])]
    np.testing.assert_allclose(ratio, [4.0, 0.25], rtol=0.25)


def test_what_is_chosen_has_the_least_leave_one_out_loss():
    x = blobs(80)
    y = np.sin(x[:, :1].astype(float))
    solved, tried = closed_form.solve(x, y, np.ones(80), plan(), seed=0)
    assert solved.loss == min(each.loss for each in tried)
    assert solved.factor == min(tried, key=lambda each: each.loss).factor
    np.testing.assert_allclose(solved.loss, 0.5 * np.mean((y - solved.readout.loo) ** 2), rtol=1e-12)
    auto, tried = closed_form.solve(x, y, np.ones(80), plan(n_centers=None), seed=0)
    best = {n: min(each.loss for each in tried if each.n_centers == n) for n in {each.n_centers for each in tried}}
    counts = sorted(best)
    for before, after in itertools.pairwise(counts[: counts.index(len(auto.params.c)) + 1]):
        assert best[after] <= closed_form.WORTH * best[before]
    beyond = [n for n in counts if n > len(auto.params.c)]
    assert all(best[n] > closed_form.WORTH * auto.loss for n in beyond)


def test_many_rows_are_chosen_by_some_and_solved_by_all(monkeypatch):
    x = blobs(300)
    y = np.sin(x[:, :1].astype(float))
    monkeypatch.setattr(closed_form, "CLUSTER_ROWS", 100)
    solved, _ = closed_form.solve(x, y, np.ones(300), plan(), seed=0)
    assert solved.readout.loo.shape == (300, 1)
    direct = closed_form.readout(closed_form.features("gaussian", solved.params, x), y, np.ones(300))
    np.testing.assert_array_equal(solved.readout.w, direct.w)


# --- growing ---


def newrb(x, y, spread_width, goal, limit):
    """The procedure of newrb's documentation in plain NumPy: find the input with the greatest error, add a unit there,
    solve the linear layer again by least squares, until the goal or the limit."""
    n = len(x)
    centers, error = [], y - y.mean(axis=0)
    while len(centers) < limit:
        errors = (error**2).sum(axis=1)
        errors[centers] = -1
        worst = int(np.argmax(errors))
        centers.append(worst)
        squares = ((x[:, None] - x[centers][None]) ** 2).sum(axis=2)
        design = np.column_stack([np.exp(-squares / (2 * spread_width**2)), np.ones(n)])
        solution, *_ = np.linalg.lstsq(design, y, rcond=None)
        error = y - design @ solution
        if np.mean(error**2) <= goal:
            break
    return centers, np.mean(error**2)


GROWING = {
    "sine": lambda rng: ((x := np.sort(rng.uniform(-3, 3, (50, 1)), axis=0)), np.sin(2 * x)),
    "two outputs in the plane": lambda rng: (
        (x := rng.standard_normal((70, 2))),
        np.stack([x[:, 0] * x[:, 1], np.cos(x[:, 0])], axis=1),
    ),
    "noise": lambda rng: (rng.standard_normal((60, 4)), rng.standard_normal((60, 1))),
}


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("goal", [0.0, 0.02])
def test_growing_is_the_procedure_of_newrb(name, goal):
    x, y = GROWING[name](np.random.default_rng(2))
    x = x.astype(np.float32)
    picked = closed_form.grow(x, y, np.ones(len(x)), np.log(0.8), plan(centers="grow", goal=goal), 12)
    expected, mse = newrb(x.astype(float), y, 0.8, goal, 12)
    np.testing.assert_array_equal(picked, expected)
    assert len(picked) == 12 or mse <= goal


def test_growing_by_itself_stops_at_the_least_leave_one_out_error():
    x = np.linspace(-3, 3, 80, dtype=np.float32)[:, None]
    y = np.sin(2 * x) + 0.3 * np.random.default_rng(0).standard_normal((80, 1))
    args = (x, y, np.ones(80), 0.0, plan(centers="grow"))
    auto = closed_form.grow(*args, 40, auto=True)
    every = closed_form.grow(*args, 40)
    np.testing.assert_array_equal(auto, every[: len(auto)])
    errors = []
    for count in range(1, len(every) + 1):
        u = distances(x[every[:count]], np.zeros((1, 1), np.float32), x, np)
        phi = radial_value("gaussian", u, np).astype(float)
        errors.append(np.mean((y - closed_form.readout(closed_form.whole(phi), y, np.ones(80), 1e-13).loo) ** 2))
    assert errors[len(auto) - 1] <= 1.02 * min(errors[: 2 * len(auto) + 30])
    assert 4 <= len(auto) <= 25
