"""The compiled loop against a plain NumPy one; lanes, stopping, histories, checkpoints, recompilation."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from axonic import layers, losses, optimizers, training
from axonic.data.batches import Batches, Rows, Split, padded
from axonic.specs import spec
from axonic.training import StopRule, Trial
from tests.oracles import compilations

KEY = np.array([1, 2], np.uint32)
NEVER = 10**6


def data(n=50, n_in=4, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n_in)).astype(np.float32)
    y = (np.argmax(x[:, :n_classes], axis=1)).astype(np.int32)
    return Rows(x, y, np.ones(n, np.float32))


def split(n, n_valid=10, n_test=5):
    cut = np.split(np.arange(n), [n - n_valid - n_test, n - n_test])
    return Split(*cut)


NETWORK = layers.chain(layers.dense(8, "tanh"), layers.dense(3))


def trial(rule=None, network=NETWORK, **values):
    values = {"l2": 0.0, "l1": 0.0, "key": KEY, **values}
    return Trial(network, losses.log_likelihood, rule or optimizers.Momentum(0.1), **values)


def start(one, seed=0, n_in=4):
    return training.start(one, one.network.init(np.random.default_rng(seed), n_in))


def reference(rows, parts, batches, rate, alpha, n_epochs):
    """Momentum on a tanh network with a softmax, in float64 NumPy, on the batches of the tapes."""
    (w1, b1), (w2, b2) = [[np.float64(p) for p in layer] for layer in NETWORK.init(np.random.default_rng(0), 4)]
    params = [w1, b1, w2, b2]
    velocity = [np.zeros_like(p) for p in params]
    onehot = np.eye(3)[rows.y]
    history = []

    def forward(x):
        h = np.tanh(x @ params[0] + params[1])
        z = h @ params[2] + params[3]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return h, p / p.sum(axis=1, keepdims=True)

    def loss(part):
        return -np.mean(np.log((forward(rows.x[part])[1] * onehot[part]).sum(axis=1)))

    for epoch in range(n_epochs):
        order, total = batches._pass(epoch), 0.0
        for batch in order:
            batch = batch[batch >= 0]
            x, y = rows.x[batch].astype(float), onehot[batch]
            total += loss(batch) * len(batch)
            h, p = forward(x)
            delta2 = (p - y) / len(batch)
            delta1 = delta2 @ params[2].T * (1 - h**2)
            grads = [x.T @ delta1, delta1.sum(axis=0), h.T @ delta2, delta2.sum(axis=0)]
            for i, g in enumerate(grads):
                velocity[i] = alpha * velocity[i] + (1 - alpha) * g
                params[i] = params[i] - rate * velocity[i]
        history.append([total / len(parts.train), loss(parts.valid), loss(parts.test)])
    return params, np.array(history)


def test_the_loop_equals_a_plain_one():
    rows, parts = data(), split(50)
    batches = Batches(rows, parts, 8, seed=3)
    one = trial()
    (state,), history, _ = training.train([one], [start(one)], batches, StopRule(12, NEVER))
    params, expected = reference(rows, parts, batches, 0.1, 0.9, 12)
    assert history.shape == (12, 1, 4)
    np.testing.assert_allclose(history[:, 0, :3], expected, rtol=2e-5)
    np.testing.assert_allclose(history[:, 0, 3], 0.1, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(state.params), params, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert int(state.step) == 12 * 5
    best = int(np.argmin(history[:, 0, 1]))
    assert int(state.best_epoch) == best + 1
    assert state.best_loss == history[best, 0, 1]


def test_gd_takes_one_step_an_epoch_on_all_rows():
    rows, parts = data(), split(50)
    one = trial(optimizers.GD(0.5))
    (state,), history, _ = training.train([one], [start(one)], Batches(rows, parts, 16), StopRule(70, NEVER))
    assert int(state.step) == 70 == len(history)
    gentle, expected = reference(rows, parts, Batches(rows, parts, 35, shuffle=False), 0.5, 0.0, 70)
    np.testing.assert_allclose(history[:, 0, :3], expected, rtol=1e-4)
    np.testing.assert_allclose(state.params[0].w, gentle[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", [optimizers.GD(0.5), optimizers.LBFGS(), optimizers.Rprop()])
def test_what_takes_long_is_done_in_short_pieces_with_the_same_bits(rule, monkeypatch):
    """Of a rule that takes the whole training set an epoch is a step, and no tape can be ended before it is done."""
    rows, parts = data(), split(50)
    one, found = trial(rule), []
    for seconds, most in ((0.0, 1), (1e9, 64)):
        monkeypatch.setattr(training, "TAPE_SECONDS", seconds)
        pieces = []

        def watch(progress, pieces=pieces):
            pieces.append(len(progress.history))
            return False

        found.append(training.train([one], [start(one)], Batches(rows, parts, 16), StopRule(90, NEVER), watch=watch))
        assert (pieces[0], max(pieces), sum(pieces)) == (1, most, 90)
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_that_lie_on_the_device_give_the_same_bits():
    rows, parts = data(), split(50)
    one = trial(network=layers.chain(layers.dense(8, "tanh"), layers.dropout(0.2), layers.dense(3)))
    own = Batches(rows, parts, 8, looks=16)
    there = dataclasses.replace(own, on_device=jax.device_put(padded(rows)))
    found = [training.train([one], [start(one)], batches, StopRule(30, NEVER)) for batches in (own, there)]
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_lie_on_an_accelerator_as_long_as_they_are_used(monkeypatch):
    rows = data()
    assert training.on_device(rows) is None  # on a processor
    memory = 64 * 24 / training.DEVICE_SHARE  # 50 rows of four numbers, a target and a weight, padded to 64
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for limit, fits in ((memory - 1, False), (memory, True)):
        device = SimpleNamespace(memory_stats=lambda limit=limit: {"bytes_limit": limit})
        monkeypatch.setattr(jax, "local_devices", lambda device=device: [device])
        assert (training.on_device(rows) is not None) == fits
    there = training.on_device(rows)
    assert training.on_device(rows) is there
    np.testing.assert_array_equal(there.x[:50], rows.x)
    assert training.on_device(rows._replace(weight=2 * rows.weight)) is not there
    del rows, there
    assert training._on_device == {}


def test_where_a_tape_ends_changes_no_bit():
    rows, parts = data(), split(50)
    one, found = trial(optimizers.Momentum(0.1)), []
    for slots in (1024, 8, 11):  # all epochs on one; parts of one on each
        batches = Batches(rows, parts, 2, looks=16)
        batches.__dict__["n_slots"] = slots
        found.append(training.train([one], [start(one)], batches, StopRule(12, NEVER)))
    for other in found[1:]:
        for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_batches_that_are_padded_to_a_larger_size_train_alike():
    rows, parts = data(), split(50)
    own = Batches(rows, parts, 4, looks=16)
    found = []
    for batches in (own, dataclasses.replace(own, padded_to=16)):
        one = trial()
        found.append(training.train([one], [start(one)], batches, StopRule(20, NEVER)))
    for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(found[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_lanes_equal_runs_of_their_own():
    rows, parts = data(), split(50)
    batches = Batches(rows, parts, 8)
    trials = [trial(optimizers.Adam(rate), l2=l2) for rate, l2 in ((0.1, 0.0), (0.01, 0.1), (0.001, 0.0))]
    together, history, _ = training.train(
        trials, [start(t, i) for i, t in enumerate(trials)], batches, StopRule(5, NEVER)
    )
    for i, one in enumerate(trials):
        (alone,), own, _ = training.train([one], [start(one, i)], batches, StopRule(5, NEVER))
        np.testing.assert_allclose(history[:, i], own[:, 0], rtol=1e-4)
        for a, b in zip(jax.tree.leaves(together[i].params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_lane_that_blows_up_stops_and_leaves_the_others_alone():
    rows, parts = data(), split(50)
    batches = Batches(rows, parts, 8)
    trials = [trial(optimizers.SGD(rate), network=layers.chain(layers.dense(8, "relu"), layers.dense(3)))
              for rate in (1e30, 0.05)]  # fmt: skip
    (wild, calm), history, _ = training.train(trials, [start(t) for t in trials], batches, StopRule(6, NEVER))
    assert wild.diverged
    assert wild.stopped
    assert not calm.diverged
    assert np.all(np.isfinite(history[:, 1, :3]))
    assert np.all(np.isnan(history[int(wild.epoch) :, 0]))
    assert all(np.all(np.isfinite(p)) for p in jax.tree.leaves(wild.best))


def test_it_stops_when_the_validation_loss_has_been_flat_for_a_fifth_of_the_run():
    """Noise targets: the validation loss has its minimum early, and the run ends with a fifth of it flat."""
    rows = data(120)
    noise = rows._replace(y=np.random.default_rng(5).integers(0, 3, 120).astype(np.int32))
    one = trial(optimizers.Momentum(0.05))
    (state,), history, _ = training.train([one], [start(one)], Batches(noise, split(120, 40), 16), StopRule(5000, 10))
    n = len(history)
    flat = n - int(state.reference_epoch)
    assert flat >= 10
    assert flat >= 0.2 * n
    assert flat - 1 < max(10, 0.2 * (n - 1))
    assert n < 5000
    valid = history[:, 0, 1]
    assert state.best_loss == valid.min()
    reference_loss = valid[int(state.reference_epoch) - 1]
    assert np.all(valid[int(state.reference_epoch) :] >= reference_loss * 0.99 - 1e-4)


@spec
class Lowered(type(losses.log_likelihood)):
    """A loss that is below zero."""

    def value(self, z, y):
        return super().value(z, y) - 5.0


def test_a_loss_below_zero_is_flat_as_well():
    noise = data(120)._replace(y=np.random.default_rng(5).integers(0, 3, 120).astype(np.int32))
    one = dataclasses.replace(trial(optimizers.Momentum(0.05)), loss=Lowered())
    (state,), history, _ = training.train([one], [start(one)], Batches(noise, split(120, 40), 16), StopRule(3000, 10))
    assert history[-1, 0, 1] < 0
    assert len(history) < 3000
    assert len(history) - int(state.reference_epoch) >= 0.2 * len(history)


def test_the_recorded_rate_is_that_of_the_schedule():
    rule = optimizers.scheduled(optimizers.Momentum(0.1), optimizers.schedules.Cosine(60))
    one, batches = trial(rule), Batches(data(50), split(50), 8)
    _, history, _ = training.train([one], [start(one)], batches, StopRule(5, NEVER))
    last = 5 * np.arange(1, 6) - 1  # 35 rows in batches of 8
    np.testing.assert_allclose(history[:, 0, 3], 0.1 * (1 + np.cos(np.pi * np.minimum(last / 60, 1))) / 2, rtol=1e-5)


def test_the_best_weights_are_those_of_the_best_epoch():
    rows, parts = data(60), split(60)
    batches = Batches(rows, parts, 8)
    one = trial(optimizers.Momentum(3.0))
    (state,), _, _ = training.train([one], [start(one)], batches, StopRule(30, NEVER))
    best = int(state.best_epoch)
    assert 1 <= best < 30
    (short,), _, _ = training.train([one], [start(one)], batches, StopRule(best, NEVER))
    for a, b in zip(jax.tree.leaves(state.best), jax.tree.leaves(short.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_held_out_rows_the_training_loss_decides():
    rows = data(30)
    one = trial()
    (state,), history, _ = training.train([one], [start(one)], Batches(rows, split(30, 0, 0), 8), StopRule(20, NEVER))
    assert state.best_loss == history[:, 0, 0].min()
    assert np.all(np.isnan(history[:, 0, 1:3]))


def test_test_rows_decide_nothing():
    rows, parts = data(), split(50)
    mutated = rows._replace(y=np.where(np.arange(50) >= 45, 0, rows.y).astype(np.int32))
    runs = [
        training.train([trial()], [start(trial())], Batches(r, parts, 8), StopRule(300, 20)) for r in (rows, mutated)
    ]
    for a, b in zip(jax.tree.leaves(runs[0][0]), jax.tree.leaves(runs[1][0]), strict=True):
        if a.shape != (2,):  # the sums of the epoch under way hold the test loss
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(runs[0][1][:, 0, 2], runs[1][1][:, 0, 2])


@pytest.mark.parametrize("n", [50, 3000])
def test_a_run_taken_up_from_a_checkpoint_ends_bit_identical(n):
    """Also in the middle of an epoch, where a tape ended."""
    rows, parts = data(n), split(n)
    batches = Batches(rows, parts, 1 if n > 50 else 8)
    network = layers.chain(layers.dense(8, "relu"), layers.dropout(0.3), layers.dense(3))
    one = trial(optimizers.Adam(0.01), network=network)
    saved = []

    def watch(progress):
        saved.append((jax.tree.map(np.array, progress.state), progress.cursor))
        return False

    n_epochs = 300 if n == 50 else 3
    (whole,), history, _ = training.train([one], [start(one)], batches, StopRule(n_epochs, NEVER), watch=watch)
    assert len(saved) > 1
    state, cursor = saved[0]
    assert n == 50 or cursor.batch > 0
    (resumed,), rest, _ = training.train(
        [one], [training.lane(state, 0)], batches, StopRule(n_epochs, NEVER), cursor=cursor
    )
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(history[len(history) - len(rest) :], rest)


def test_the_same_seed_gives_the_same_bits():
    rows, parts = data(200), split(200)
    one = trial(optimizers.Adam(0.01), network=layers.chain(layers.dense(32, "relu"), layers.dense(3)))
    results = [training.train([one], [start(one)], Batches(rows, parts, 16), StopRule(20, NEVER)) for _ in range(5)]
    for states, history, _ in results[1:]:
        np.testing.assert_array_equal(history, results[0][1])
        for a, b in zip(jax.tree.leaves(states), jax.tree.leaves(results[0][0]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_other_rows_rates_penalties_and_stops_compile_nothing():
    with compilations() as first:
        network = layers.chain(layers.dense(7, "tanh"), layers.dense(3))
        one = trial(optimizers.Momentum(0.1), network=network)
        training.train([one], [start(one)], Batches(data(50), split(50), 8), StopRule(3, NEVER))
    assert "run" in str(first)
    with compilations() as others:
        for n, rate, l2 in ((51, 0.2, 0.0), (30_000, 1e-3, 0.1), (20, 0.5, 1.0)):
            other = trial(optimizers.Momentum(rate), network=network, l2=l2)
            training.train([other], [start(other, 1)], Batches(data(n), split(n), 8, seed=7), StopRule(4, 9))
    assert others == []


def test_watching_can_end_a_run():
    rows, parts = data(), split(50)
    (state,), history, _ = training.train(
        [trial()], [start(trial())], Batches(rows, parts, 8), StopRule(NEVER, NEVER), watch=lambda _: True
    )
    assert 0 < len(history) == int(state.epoch)
