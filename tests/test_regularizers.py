"""What keeps a network from overfitting: the exact effect of each on one step, worked out in plain NumPy, and that it
is reached from the estimators and the command line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import beta, kstest

from axonic import FeedForwardClassifier, FeedForwardRegressor, layers, losses, optimizers, training
from axonic.cli import main
from axonic.data.batches import Batches, Rows, Split
from axonic.layers.base import fold
from axonic.regularization import (
    MIX,
    NOISE,
    SCALE,
    Regularization,
    averaged,
    changed,
    drawn,
    mixed,
    quantiles,
    within_norm,
)
from axonic.settings import Settings
from axonic.training import StopRule, Trial
from axonic.types import Batch, Sequence
from tests.oracles import compilations

pytestmark = pytest.mark.filterwarnings("ignore:.*networks did no better")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 2)).astype(np.float32)
Y = np.array([0, 2, 1, 2, 0, 1], np.int32)
W1, B1 = (RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 4), 4))
W2, B2 = (RNG.standard_normal(shape).astype(np.float32) for shape in ((4, 3), 3))
NETWORK = layers.chain(layers.dense(4, "tanh"), layers.dense(3))
PARAMS = (layers.DenseParams(W1, B1), layers.DenseParams(W2, B2))
KEY = np.array([3, 7], np.uint32)
RATE = 0.5


def one_epoch(values=Regularization(), *, batch_size=6, l2=0.0, l1=0.0, weight=None, epochs=1):  # noqa: B008
    """The state after one epoch of gradient descent on the rows in their order."""
    rows = Rows(X, Y, np.ones(6, np.float32) if weight is None else weight)
    split = Split(np.arange(6), np.arange(6), np.empty(0, np.int64))
    batches = Batches(rows, split, batch_size, shuffle=False)
    trial = Trial(NETWORK, losses.log_likelihood, optimizers.get("sgd").replace(learning_rate=RATE), l2, l1, KEY)
    trial = dataclasses.replace(trial, regularization=values)
    (state,), history, _ = training.train([trial], [training.start(trial, PARAMS)], batches, StopRule(epochs, 99))
    return state, history[:, 0]


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def step(x, y, weight=1.0, params=PARAMS, rows=None):
    """One step of gradient descent by the formulas of the notes, float64; y holds a row of probabilities each."""
    (w1, b1), (w2, b2) = (tuple(np.asarray(p, np.float64) for p in layer) for layer in params)
    a = np.tanh(x @ w1 + b1)
    delta2 = np.broadcast_to(np.reshape(weight, (-1, 1)), y.shape) * (softmax(a @ w2 + b2) - y) / (rows or len(x))
    delta1 = (delta2 @ w2.T) * (1 - a**2)
    return (
        layers.DenseParams(w1 - RATE * x.T @ delta1, b1 - RATE * delta1.sum(axis=0)),
        layers.DenseParams(w2 - RATE * a.T @ delta2, b2 - RATE * delta2.sum(axis=0)),
    )


def assert_same(actual, expected, rtol=2e-5):
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=rtol, atol=2e-6)


ONE_HOT = np.eye(3)[Y]


def key_of_step(purpose, number=0):
    return fold(fold(KEY, number), purpose)


def test_without_any_of_them_a_step_is_the_step_of_the_notes():
    assert_same(one_epoch()[0].params, step(X, ONE_HOT))


def test_l2_and_l1_shrink_w_and_leave_b_alone():
    plain = step(X, ONE_HOT)
    expected = tuple(
        after._replace(w=after.w - RATE * (0.3 * before.w + 0.02 * np.sign(before.w)))
        for before, after in zip(PARAMS, plain, strict=True)
    )
    assert_same(one_epoch(l2=0.3, l1=0.02)[0].params, expected)


def test_label_smoothing_spreads_the_target():
    state, history = one_epoch(Regularization(label_smoothing=0.2))
    y = 0.8 * ONE_HOT + 0.2 / 3
    assert_same(state.params, step(X, y))
    p = softmax(np.tanh(X @ W1 + B1) @ W2 + B2)
    np.testing.assert_allclose(history[0, 0], -np.mean(np.sum(y * np.log(p), axis=1)), rtol=1e-5)
    after = softmax(np.tanh(X @ state.params[0].w + state.params[0].b) @ state.params[1].w + state.params[1].b)
    np.testing.assert_allclose(history[0, 1], -np.mean(np.log(after[np.arange(6), Y])), rtol=1e-5)  # validation: not


def test_label_smoothing_of_a_sigmoid():
    batch = Batch(X, jnp.array([0, 1, 1, 0, 1, 0]), jnp.ones(6))
    y = changed(batch, Regularization(label_smoothing=0.2), 1, KEY).y
    np.testing.assert_allclose(y[:, 0], [0.1, 0.9, 0.9, 0.1, 0.9, 0.1], rtol=1e-6)


def test_input_noise_is_added_to_the_inputs_of_a_step():
    state, _ = one_epoch(Regularization(input_noise=0.3))
    noise = np.asarray(jax.random.normal(key_of_step(NOISE), X.shape))
    assert_same(state.params, step(X + 0.3 * noise, ONE_HOT))


def sequences(lengths, n_time=12, n_in=2):
    """A batch of sequences of these lengths, NaN where they are padded."""
    mask = np.arange(n_time) < np.array(lengths)[:, None]
    values = np.where(mask[..., None], np.random.default_rng(1).standard_normal((*mask.shape, n_in)), np.nan)
    x = Sequence(jnp.asarray(values, np.float32), jnp.asarray(mask))
    return Batch(x, jnp.zeros(len(mask), int), jnp.ones(len(mask)))


def test_noise_is_added_to_each_step_of_a_sequence():
    batch = sequences([12, 3, 1])
    x = changed(batch, Regularization(input_noise=0.3), 2, KEY).x
    noise = np.asarray(jax.random.normal(fold(KEY, NOISE), batch.x.values.shape))
    np.testing.assert_allclose(x.values, batch.x.values + 0.3 * noise, rtol=1e-6)
    np.testing.assert_array_equal(x.mask, batch.x.mask)


def test_scaling_multiplies_each_feature_of_a_sequence_by_one_factor():
    batch = sequences([12, 3, 1])
    x = changed(batch, Regularization(scaling=0.2), 2, KEY).x
    factor = 1 + 0.2 * np.asarray(jax.random.normal(fold(KEY, SCALE), (3, 1, 2)))
    np.testing.assert_allclose(x.values, batch.x.values * factor, rtol=1e-6)
    np.testing.assert_array_equal(x.mask, batch.x.mask)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_slicing_leaves_a_stretch_of_the_real_steps_that_begins_anywhere(share):
    lengths = np.array([10, 4, 1])
    firsts = [set(), set(), set()]
    for step_number in range(60):
        batch = changed(sequences(lengths), Regularization(slicing=share), 2, fold(KEY, step_number))
        for row, length in enumerate(lengths):
            (kept,) = np.nonzero(np.asarray(batch.x.mask[row]))
            assert len(kept) == np.ceil(round((1 - share) * length, 6))
            assert np.ptp(kept) == len(kept) - 1
            firsts[row].add(int(kept[0]))
    assert firsts == [set(range(int(n - np.ceil(round((1 - share) * n, 6))) + 1)) for n in lengths]


def test_what_is_sliced_off_has_no_part_in_the_answer():
    batch = sequences([10, 4, 2])
    network = layers.chain(layers.gru(3), layers.last_step(), layers.dense(2))
    params = network.init(np.random.default_rng(0), 2)
    sliced = changed(batch, Regularization(slicing=0.5), 2, KEY)
    forward = jax.jit(network.forward)
    z, _ = forward(params, sliced.x)
    for row, mask in enumerate(np.asarray(sliced.x.mask)):
        alone = Sequence(batch.x.values[row, mask][None], jnp.ones((1, int(mask.sum())), bool))
        np.testing.assert_allclose(z[row], forward(params, alone)[0][0], rtol=1e-5, atol=1e-6)


def test_mixup_mixes_each_row_with_the_next():
    state, history = one_epoch(Regularization(mixup=quantiles(0.4)))
    share = float(drawn(quantiles(0.4), key_of_step(MIX)))
    x = share * X + (1 - share) * np.roll(X, -1, axis=0)
    y = share * ONE_HOT + (1 - share) * np.roll(ONE_HOT, -1, axis=0)
    assert_same(state.params, step(x, y))
    p = softmax(np.tanh(x @ W1 + B1) @ W2 + B2)
    np.testing.assert_allclose(history[0, 0], -np.mean(np.sum(y * np.log(p), axis=1)), rtol=1e-5)


def test_mixup_with_weights_is_the_mean_of_two_losses():
    weight = np.array([1.0, 2.0, 0.5, 0.5, 1.5, 0.5], np.float32)
    state, _ = one_epoch(Regularization(mixup=quantiles(0.4)), weight=weight)
    share = float(drawn(quantiles(0.4), key_of_step(MIX)))
    x = share * X + (1 - share) * np.roll(X, -1, axis=0)
    own = step(x, ONE_HOT, share * weight)
    other = step(x, np.roll(ONE_HOT, -1, axis=0), (1 - share) * np.roll(weight, -1))
    expected = jax.tree.map(lambda a, b, start: a + b - start, own, other, PARAMS)
    assert_same(state.params, expected)


@pytest.mark.parametrize("a", [0.2, 1.0, 4.0])
def test_shares_are_drawn_from_the_beta_distribution(a):
    shares = jax.vmap(lambda i: drawn(jnp.asarray(quantiles(a)), fold(KEY, i)))(jnp.arange(2000))
    assert kstest(np.asarray(shares), beta(a, a).cdf).pvalue > 0.05


def test_mixup_never_mixes_padding():
    x, y, weight = np.full((4, 2), np.nan, np.float32), np.zeros((4, 3), np.float32), np.zeros(4, np.float32)
    x[:3], y[:3], weight[:3] = X[:3], ONE_HOT[:3], 1.0
    batch = Batch(*map(jnp.asarray, (x, y, weight)))
    x, y, weight = jax.jit(mixed)(batch, 0.75)
    np.testing.assert_allclose(x[:3], 0.75 * X[:3] + 0.25 * X[[1, 2, 0]], rtol=1e-6)
    np.testing.assert_allclose(y[:3], 0.75 * ONE_HOT[:3] + 0.25 * ONE_HOT[[1, 2, 0]], rtol=1e-6)
    np.testing.assert_array_equal(weight, [1, 1, 1, 0])
    np.testing.assert_array_equal(y[3], 0)
    blocks = jax.tree.map(lambda a: jnp.stack([a, a[np.array([0, 1, 3, 3])]]), batch)
    x, _, weight = jax.jit(mixed)(blocks, 0.75)
    np.testing.assert_allclose(x[1, :2], 0.75 * X[:2] + 0.25 * X[[1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(weight[1], [1, 1, 0, 0])


def test_max_norm_shortens_the_weights_into_hidden_units_that_are_too_long():
    state, _ = one_epoch(Regularization(max_norm=0.9))
    first, last = step(X, ONE_HOT)
    length = np.linalg.norm(first.w, axis=0)
    assert 0 < np.sum(length > 0.9) < 4
    expected = (first._replace(w=first.w * np.minimum(1, 0.9 / length)), last)
    assert_same(state.params, expected)
    zero = jax.tree.map(jnp.asarray, (layers.DenseParams(0 * W1, B1), PARAMS[1]))
    assert_same(within_norm(NETWORK, zero, 0.9), zero)


def test_weight_average_is_what_is_validated_and_kept():
    """Three steps: avg = (b^2 w_1 + b w_2 + w_3) / (b^2 + b + 1)."""
    state, history = one_epoch(Regularization(weight_average=0.8), batch_size=2)
    weights, params = [], PARAMS
    for rows in ([0, 1], [2, 3], [4, 5]):
        params = step(X[rows], ONE_HOT[rows], params=params)
        weights.append(params)
    total = 0.64 + 0.8 + 1
    expected = jax.tree.map(lambda a, b, c: (0.64 * a + 0.8 * b + c) / total, *weights)
    assert_same(state.params, weights[-1])
    assert_same(state.average, expected)
    assert_same(state.best, expected)
    (w1, b1), (w2, b2) = expected
    p = softmax(np.tanh(X @ w1 + b1) @ w2 + b2)
    np.testing.assert_allclose(history[0, 1], -np.mean(np.log(p[np.arange(6), Y])), rtol=1e-5)


def test_the_first_average_is_the_first_weights():
    assert_same(averaged(jax.tree.map(np.zeros_like, PARAMS), PARAMS, 0.99, 0), PARAMS)


def test_several_at_once():
    state, _ = one_epoch(Regularization(input_noise=0.3, mixup=quantiles(0.4), label_smoothing=0.2, max_norm=0.9))
    share = float(drawn(quantiles(0.4), key_of_step(MIX)))
    noise = np.asarray(jax.random.normal(key_of_step(NOISE), X.shape))
    x = share * X + (1 - share) * np.roll(X, -1, axis=0) + 0.3 * noise
    y = 0.8 * (share * ONE_HOT + (1 - share) * np.roll(ONE_HOT, -1, axis=0)) + 0.2 / 3
    first, last = step(x, y)
    length = np.linalg.norm(first.w, axis=0)
    assert_same(state.params, (first._replace(w=first.w * np.minimum(1, 0.9 / length)), last))


def test_strengths_are_values_and_what_is_not_used_is_not_in_the_program():
    def strong(s):
        return Regularization(input_noise=s, mixup=quantiles(s), label_smoothing=s, max_norm=s, weight_average=s)

    one_epoch(), one_epoch(strong(0.1))
    with compilations() as compiled:
        one_epoch(l2=0.1)
        one_epoch(strong(0.2))
        one_epoch(Settings().values)
    assert compiled == []


# --- estimators and command line ---

N = 60
TABLE = RNG.standard_normal((N, 3))
LABELS = np.array(["ant", "bee", "cat"])[np.argmax(TABLE + [0.8, 0, -0.4] + 0.3 * RNG.gumbel(size=(N, 3)), axis=1)]
NUMBERS = TABLE[:, 0] ** 2 + TABLE[:, 1]
QUICK = {
    "hidden_layer_sizes": (4,),
    "learning_rate": 0.1,
    "epochs": 3,
    "batch_size": 16,
    "early_stopping": False,
    "regularization": None,
    "monitor": False,
}
BRIEF = ["--regularization", "none", "--no-monitor", "--quiet"]
STRENGTHS = {
    "l2": 0.1,
    "l1": 0.01,
    "dropout": 0.3,
    "input_noise": 0.3,
    "mixup": 0.5,
    "label_smoothing": 0.1,
    "max_norm": 0.5,
    "weight_average": 0.9,
    "class_weight": "balanced",
}


@pytest.fixture(scope="module")
def plain():
    return FeedForwardClassifier(**QUICK).fit(TABLE, LABELS).predict_proba(TABLE)


@pytest.mark.parametrize("name", STRENGTHS)
def test_each_is_reached_from_the_estimators(name, plain):
    model = FeedForwardClassifier(**{**QUICK, name: STRENGTHS[name]}).fit(TABLE, LABELS)
    p = model.predict_proba(TABLE)
    assert np.abs(p - plain).max() > 1e-5


def test_all_together_for_numbers_and_the_same_seed_again():
    strengths = {name: value for name, value in STRENGTHS.items() if name not in ("label_smoothing", "class_weight")}
    one, again = (FeedForwardRegressor(**QUICK, **strengths).fit(TABLE, NUMBERS).predict(TABLE) for _ in range(2))
    np.testing.assert_array_equal(again, one)


@pytest.fixture(scope="module")
def csv(tmp_path_factory):
    path = tmp_path_factory.mktemp("regularizers") / "table.csv"
    rows = (f"{a},{b},{c},{label}" for (a, b, c), label in zip(TABLE, LABELS, strict=True))
    path.write_text("\n".join(["a,b,c,kind", *rows]))
    return path


@pytest.mark.parametrize("together", [list(STRENGTHS)[:3], list(STRENGTHS)[3:]])
def test_all_are_reached_from_the_command_line(together, csv, tmp_path):
    given = ["--hidden", "4", "--learning-rate", "0.1", "--epochs", "2", "--batch-size", "16", *BRIEF, "--json"]
    options = [word for name in together for word in (f"--{name.replace('_', '-')}", str(STRENGTHS[name]))]
    assert main(["fit", str(csv), "--target", "kind", "--out", str(tmp_path), *given, *options]) == 0
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert {name: settings[name] for name in together} == {name: STRENGTHS[name] for name in together}


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({"input_noise": -0.1}, "not negative"),
        ({"mixup": float("nan")}, "not negative"),
        ({"label_smoothing": 1.0}, "below 1"),
        ({"weight_average": 1.0}, "below 1"),
        ({"max_norm": 0.0}, "positive"),
        ({"class_weight": "often"}, "'balanced'"),
        ({"input_noise": 0.1, "optimizer": "lbfgs"}, "same loss at every step"),
        ({"max_norm": 1.0, "optimizer": "lbfgs"}, "same loss at every step"),
    ],
)
def test_what_can_not_work_is_refused(options, how):
    with pytest.raises(ValueError, match=how):
        FeedForwardClassifier(**{**QUICK, "learning_rate": "auto", **options}).fit(TABLE, LABELS)


def test_what_is_for_classes_is_refused_for_numbers(csv, tmp_path, capsys):
    for option in (["--label-smoothing", "0.1"], ["--class-weight", "balanced"]):
        command = ["fit", str(csv), "--target", "a", "--out", str(tmp_path / "none"), "--quiet", *option]
        assert main(command) == 2
        assert "it is for classes" in capsys.readouterr().err


def test_class_weights_of_the_command_line_are_the_estimators(csv, tmp_path, capsys):
    """The scores in the result are of the rows as they are."""
    given = ["--hidden", "none", "--learning-rate", "0.1", "--epochs", "200", *BRIEF]
    lines = csv.read_text().splitlines()
    skewed = [*lines, *[line for line in lines if line.endswith("ant")] * 5]
    table = tmp_path / "skewed.csv"
    table.write_text("\n".join(skewed))
    ants = {}
    for weight in ([], ["--class-weight", "balanced"]):
        run = tmp_path / f"run{len(weight)}"
        assert main(["fit", str(table), "--target", "kind", "--out", str(run), *given, *weight]) == 0
        assert main(["predict", str(run), str(csv)]) == 0
        ants[len(weight)] = capsys.readouterr().out.count("\nant")
    assert ants[2] < ants[0]


def test_class_weights_are_those_of_the_training_rows(csv, tmp_path):
    """Labels of test rows have no part in training."""
    given = ["--hidden", "4", "--learning-rate", "0.1", "--epochs", "3", "--class-weight", "balanced", *BRIEF]
    lines = csv.read_text().splitlines()
    weights = []
    for name in ("ant", "cat"):
        test, run = tmp_path / f"{name}.csv", tmp_path / name
        test.write_text("\n".join([lines[0], *[line for line in lines if line.endswith(name)] * 5]))
        assert main(["fit", str(csv), "--target", "kind", "--test", str(test), "--out", str(run), *given]) == 0
        weights.append(load_file(run / "model.safetensors"))
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])


def test_training_goes_on_with_an_average():
    model = FeedForwardClassifier(**QUICK, weight_average=0.9).partial_fit(TABLE, LABELS, classes=np.unique(LABELS))
    before = model.predict_proba(TABLE)
    model.partial_fit(TABLE, LABELS)
    assert not np.array_equal(model.predict_proba(TABLE), before)
    state = model._fitted.states[0]
    assert_same(model.model_.members[0], state.average)


# --- the spread of several networks ---


def test_spread_is_the_standard_deviation_over_the_networks():
    model = FeedForwardRegressor(**QUICK, ensemble=3).fit(TABLE, NUMBERS)
    numbers, std = model.predict(TABLE, return_std=True)
    alone = np.stack([model.model_.alone(i).predict(TABLE) for i in range(3)])
    np.testing.assert_array_equal(numbers, model.predict(TABLE))
    np.testing.assert_allclose(std, alone.std(axis=0, ddof=1), rtol=1e-6)
    classes = FeedForwardClassifier(**QUICK, ensemble=3).fit(TABLE, LABELS)
    p, std = classes.predict_proba(TABLE, return_std=True)
    assert std.shape == p.shape
    assert np.all(std > 0)
    one = FeedForwardRegressor(**QUICK).fit(TABLE, NUMBERS)
    with pytest.raises(ValueError, match="ensemble=5"):
        one.predict(TABLE, return_std=True)


def test_spread_is_large_where_there_were_no_rows():
    x = np.random.default_rng(2).uniform(-1, 1, (200, 1))
    model = FeedForwardRegressor((16,), ensemble=5, regularization=None, monitor=False, random_state=1)
    model.fit(x, np.sin(3 * x[:, 0]))
    inside, outside = (model.predict(np.array([[at]]), return_std=True)[1].item() for at in (0.0, 4.0))
    assert outside > 5 * inside


def test_spread_from_the_command_line(csv, tmp_path, capsys):
    given = ["--hidden", "4", "--learning-rate", "0.1", "--epochs", "2", *BRIEF, "--json"]
    for target, count in (("kind", "2"), ("a", "2"), ("a", "1")):
        out = tmp_path / f"{target}{count}"
        assert main(["fit", str(csv), "--target", target, "--out", str(out), *given, "--ensemble", count]) == 0
        capsys.readouterr()
        code = main(["predict", str(out), str(csv), "--std"])
        captured = capsys.readouterr()
        assert code == (0 if count == "2" else 2)
        if count == "2":
            lines = captured.out.splitlines()
            assert lines[0] == "prediction,std"
            assert all(float(line.split(",")[1]) >= 0 for line in lines[1:])
        else:
            assert captured.err.count("\n") == 1
