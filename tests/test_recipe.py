"""The stages decide as they say, and nothing of one stage leaks into the next."""

import json

import jax
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from axonic import distributed, losses, optimizers, recipe
from axonic.data.batches import Rows, Split, resplit, split_rows
from axonic.data.ragged import Ragged
from axonic.diagnosis import unwatched
from axonic.errors import InputError
from axonic.health import nothing
from axonic.layers.activations import Activation
from axonic.recipe import (
    RATES,
    Task,
    Trained,
    batch_stage,
    candidate_penalties,
    choose_rate,
    fitting,
    networks,
    oscillation,
    rate_stage,
    with_rate,
)
from axonic.recipe.batch_size import saves, seconds_to, step_seconds
from axonic.recipe.branches import branch_stage
from axonic.recipe.constant import bias, constant, no_worse
from axonic.recipe.networks import train_side_by_side
from axonic.recipe.penalty import worth_lowering
from axonic.recipe.rate import corrected
from axonic.settings import Settings, pair
from tests.oracles import compilations

FALLING = np.linspace(1.0, 0.1, 20)
FLAT = np.ones(20)


def rows(n=80, seed=0):
    """Two classes that a line separates but for some noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)).astype(np.float32)
    y = (x[:, 0] + 0.5 * rng.standard_normal(n) > 0).astype(np.int32)
    return Rows(x, y, np.ones(n, np.float32))


def fitted(data=None, watcher=None, journal=None, **settings):
    """A small fit; few epochs, and the same rate, unless said otherwise."""
    data = data or rows()
    settings = Settings(**{"hidden_layer_sizes": (4,), "learning_rate": 0.3, "epochs": 5, **settings})
    split = split_rows(len(data.y), settings.seed, valid=0.2, test=0.1, classes=data.y)
    loss, n_out = pair(settings, "classification", 2)
    task = recipe.Task(data, split, settings, settings.network(n_out), loss)
    return recipe.fit(task, watcher=watcher, journal=journal)


def task(work, held_out=True, n_train=100, given=0, **settings):
    """A task of that many weights times rows, as far as the stages look at it."""

    class Sized(Task):
        work = property(lambda self: amount)

    amount = work
    nothing = np.empty(0, np.int64)
    split = Split(np.arange(n_train), np.arange(10) if held_out else nothing, nothing)
    settings = Settings(**settings)
    start = [()] * given or None
    return Sized(rows(), split, settings, settings.network(1), None, start=start)


def assert_same_weights(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ({0.1: FALLING}, 0.1),
        ({1.0: FALLING, 0.1: FALLING + 0.05 * FLAT}, 0.1),  # nearly as much, and lower
        ({1.0: FALLING, 0.1: FALLING / 2 + 0.5}, 1.0),  # only half as much
        ({10.0: np.full(20, np.nan), 0.01: FALLING}, 0.01),  # one has diverged
        ({10.0: np.r_[FALLING[:15], np.full(5, np.inf)], 0.01: FALLING}, 0.01),  # at the end
        ({10.0: np.r_[np.full(16, 1e6), 0, 0, 0, 1e5], 0.01: FALLING}, 0.01),  # sure of most rows, wrong at others
        ({10.0: np.r_[np.full(12, 5.0), np.zeros(8)], 0.01: FALLING}, 0.01),  # thrown about, and lucky at last
        ({rate: np.full(20, np.nan) for rate in RATES}, RATES[-1]),  # all have
    ],
)
def test_the_lowest_rate_that_learns_nearly_as_much_as_the_best_is_taken(curves, expected):
    table = np.stack([curves.get(rate, FLAT) for rate in RATES])
    choice, reason = choose_rate(RATES, table)
    assert RATES[choice] == expected
    assert reason


def test_what_the_batches_of_a_window_do_to_any_network_is_taken_out_of_the_curves():
    noise = np.r_[0.0, 50.0, 0.0, 0.0, -3.0]
    curves = np.array([[1.0, 0.5, 0.4, 0.3, 0.2], [1.0, np.nan, np.nan, np.nan, np.nan]])
    np.testing.assert_allclose(corrected(curves + noise, 1.0 + noise), curves)
    assert corrected(curves, None) is curves
    np.testing.assert_array_equal(corrected(curves, 1.0 + noise * np.nan), curves)


def test_a_row_that_is_far_out_does_not_hide_what_the_rates_do():
    """Its loss is thousands of times that of the others, in the windows that have it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((510, 2)).astype(np.float32)
    y = np.sin(2 * x[:, :1]).astype(np.float32)
    decisions = []
    for far in (0.0, 1e6):
        y[0] = far
        settings = Settings(hidden_layer_sizes=(16,), loss="absolute", epochs=1, ensemble=1)
        loss, n_out = pair(settings, "regression", 1)
        split = split_rows(len(y), 0, valid=0.2, test=0.0)
        split = split._replace(train=np.union1d(split.train, [0]), valid=np.setdiff1d(split.valid, [0]))
        data = Rows(x, y.copy(), np.ones(len(y), np.float32))
        fit = recipe.fit(recipe.Task(data, split, settings, settings.network(n_out), loss))
        decisions.append(fit.stages[0]["decision"])
    assert decisions[0] == decisions[1] > 1e-4


def test_when_no_rate_learns_the_choice_is_one_that_does_no_harm():
    table = np.stack([FLAT + rate for rate in RATES])
    assert RATES[choose_rate(RATES, table)[0]] == RATES[-1]


@pytest.mark.parametrize(
    ("settings", "work", "held_out", "given", "expected"),
    [
        ({}, 1000, True, 0, 5),
        ({"epochs": 10}, 1000, True, 0, 1),
        ({}, 1000, False, 0, 1),
        ({}, 10**10, True, 0, 1),
        ({}, 3 * 10**8, True, 0, 5),
        ({"net": "lstm", "activation": "tanh"}, 2 * 10**8, True, 0, 5),
        ({"net": "lstm", "activation": "tanh"}, 3 * 10**8, True, 0, 3),
        ({"net": "lstm", "activation": "tanh"}, 10**10, True, 0, 1),
        ({"ensemble": 3, "epochs": 10}, 10**10, False, 0, 3),
        ({}, 1000, True, 2, 2),
        ({"ensemble": 2}, 1000, True, 2, 2),
    ],
)
def test_number_of_networks(settings, work, held_out, given, expected):
    assert task(work, held_out, given=given, **settings).n_networks() == expected


def test_the_work_of_sequences_is_that_of_their_steps():
    settings = Settings(net="rnn", hidden_layer_sizes=(8,), activation="tanh", bidirectional=False)
    n, steps = 40, np.arange(40) + 10_000
    x = Ragged.of(np.zeros((steps.sum(), 3), np.float32), steps)
    nothing = np.empty(0, np.int64)
    data = Rows(x, np.zeros(n, np.int32), np.ones(n, np.float32))
    split = Split(np.arange(30), np.arange(30, 40), nothing)
    task = Task(data, split, settings, settings.network(1), None)
    assert task.work == (8 * (3 + 8 + 1) + 8 + 1) * steps[:30].sum()
    assert task.n_networks() == 5
    for times, many in ((10, 3), (40, 1)):
        assert task._replace(split=Split(np.tile(np.arange(30), times), *split[1:])).n_networks() == many


def test_another_number_of_networks_than_there_are_weights_for_is_refused():
    with pytest.raises(InputError, match="ensemble = 3"):
        task(1000, given=2, ensemble=3).n_networks()


@pytest.mark.parametrize(
    ("settings", "work", "choose", "expected"),
    [
        ({}, 1000, True, (0.01, 0.0025)),
        ({}, 1000, False, (0.01,)),
        ({}, 10**9, True, (0.01,)),
        ({"net": "lstm", "activation": "tanh"}, 2 * 10**8, True, (0.01, 0.0025)),
        ({"net": "lstm", "activation": "tanh"}, 10**9, True, (0.01,)),
        ({"regularization": None}, 1000, True, (0.0,)),
        ({"l2": 0.5}, 1000, True, (0.5,)),
        ({"l1": 0.5}, 1000, True, (0.0,)),
        ({"dropout": 0.5}, 1000, True, (0.0,)),
    ],
)
def test_penalties_are_scaled_by_rows_and_what_is_given_by_hand_stays(settings, work, choose, expected):
    np.testing.assert_allclose(candidate_penalties(task(work, **settings), choose=choose), expected)


def test_the_sweep_leaves_no_trace_in_the_run_that_follows():
    swept = fitted(learning_rate="auto")
    given = fitted(learning_rate=float(swept.optimizer.learning_rate))
    assert [stage["stage"] for stage in swept.stages] == ["rate", "run"]
    assert_same_weights(swept.members, given.members)
    np.testing.assert_array_equal(swept.histories[0], given.histories[0])


def test_the_first_network_of_several_is_the_one_trained_alone():
    alone, three = fitted(), fitted(ensemble=3, regularization=None, l2=fitted().l2)
    assert len(three.members) == 3
    assert_same_weights(alone.members[0], three.members[0])
    assert not np.array_equal(three.members[0][0].w, three.members[1][0].w)
    assert set(three.splits[0].valid) != set(three.splits[1].valid)


def test_the_number_of_processors_does_not_change_the_weights(monkeypatch):
    monkeypatch.setattr(distributed.os, "cpu_count", lambda: 1)
    one = fitted(ensemble=3, learning_rate="auto")
    monkeypatch.setattr(distributed.os, "cpu_count", lambda: 4)
    assert_same_weights(one.members, fitted(ensemble=3, learning_rate="auto").members)


def test_the_penalty_with_the_lowest_mean_validation_loss_is_kept():
    """A target of pure noise asks for the strongest penalty there is."""
    noise = rows(120)._replace(y=np.random.default_rng(1).integers(0, 2, 120, dtype=np.int32))
    fit = fitted(noise, ensemble=3, epochs=60)
    stage = next(stage for stage in fit.stages if stage["stage"] == "regularization")
    means = [np.mean(losses) for losses in stage["valid"]]
    assert stage["decision"] == fit.l2 == stage["l2"][int(np.argmin(means))]
    run = next(stage for stage in fit.stages if stage["stage"] == "run")
    for loss, kept, params in zip(
        stage["valid"][stage["l2"].index(fit.l2)], run["best_loss"], fit.members, strict=True
    ):
        assert loss == kept or (kept < loss and np.all(params[0].w == 0))  # or the constant answer was better


@pytest.mark.parametrize(
    ("losses", "worth"),
    [
        (([1.0, 1.0], [0.9, 0.95]), True),
        (([1.0, 1.0], [0.94, 1.0]), False),
        (([0.9, 0.9], [1.0, 1.0]), False),
        (([-1.0, -1.0], [-1.02, -1.02]), False),
        (([-1.0, -1.0], [-1.2, -1.2]), True),
        (([0.0, 0.0], [0.0, 0.0]), False),
        (([1.0, np.nan], [0.5, 0.5]), False),
    ],
)
def test_a_lower_penalty_is_worth_a_try_where_the_lowest_is_clearly_the_best(losses, worth):
    assert worth_lowering(losses) == worth


def smooth(n=120, noise=0.01):
    """A smooth function of one number, and its noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    y = np.sin(2 * x) + noise * rng.standard_normal((n, 1))
    return Rows(x, y.astype(np.float32), np.ones(n, np.float32))


def fitted_numbers(data, journal=None, **settings):
    quick = {"hidden_layer_sizes": (16,), "learning_rate": 0.1, "ensemble": 2, "monitor": False}
    settings = Settings(**{**quick, **settings})
    split = split_rows(len(data.y), 0, valid=0.2, test=0.0)
    loss, n_out = pair(settings, "regression", 1)
    task = recipe.Task(data, split, settings, settings.network(n_out), loss, resplits=False)
    return recipe.fit(task, journal=journal)


def test_a_target_with_little_noise_is_tried_with_a_lower_penalty_which_is_replayed():
    data = smooth()
    fit = fitted_numbers(data)
    stage = next(stage for stage in fit.stages if stage["stage"] == "regularization")
    np.testing.assert_allclose(np.multiply(stage["l2"], 96), [1, 0.25, 0.0625])
    means = [np.mean(losses) for losses in stage["valid"]]
    assert stage["decision"] == stage["l2"][2]
    assert means[2] < means[1] < means[0]

    class Remembering(recipe.Journal):
        stages = tuple(fit.stages)

    assert_same_weights(fitted_numbers(data, Remembering()).members, fit.members)


def test_numbers_with_little_noise_are_learned_until_their_own_loss_is_flat(monkeypatch):
    """By a twentieth of it: a loss as small as that is flat long before by what is asked of larger ones."""
    data = smooth()
    valid = fitted_numbers(data, regularization=None).histories[0][:, 1]
    monkeypatch.setattr(networks, "NUMBERS_GAIN", 1.0)
    as_others = fitted_numbers(data, regularization=None).histories[0][:, 1]
    np.testing.assert_array_equal(valid[: len(as_others)], as_others)
    assert valid.min() < as_others.min() / 2


def test_a_network_that_has_learned_nothing_yet_is_given_longer():
    """Deep sigmoids stay long at the constant answer before they learn."""
    data = rows(300)
    settings = {"hidden_layer_sizes": (16, 16), "activation": "sigmoid", "epochs": "auto", "learning_rate": 0.1}
    settings |= {"ensemble": 1, "regularization": None, "batch_size": 32}
    nothing = data._replace(y=np.random.default_rng(3).integers(0, 2, 300).astype(np.int32))
    steps = [next(stage for stage in fitted(each, **settings).stages if stage["stage"] == "run")["steps"][0]
             for each in (data, nothing)]  # fmt: skip
    assert steps[1] >= 1500
    assert fitted(data, **settings).histories[0][:, 1].min() < 0.9 * np.log(2)


def test_a_run_that_diverges_says_so_and_keeps_finite_weights():
    fit = fitted(learning_rate=1e30)
    assert [finding.code for finding in unwatched(fit)] == ["train.diverged"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.members))


def test_ending_the_training_keeps_the_networks_that_had_begun():
    class Impatient(recipe.Watcher):
        def ended(self):
            return True

    fit = fitted(ensemble=8, epochs=10_000, early_stopping=False, watcher=Impatient())
    assert 1 <= len(fit.members) == len(fit.states) == len(fit.splits) < 8
    assert "interrupted" in fit.stages[-1]["reason"]


def test_a_new_split_holds_out_other_rows_of_each_class_and_leaves_the_test_rows():
    classes = np.repeat([0, 1], [60, 20])
    split = split_rows(80, 0, valid=0.25, test=0.1, classes=classes)
    other = resplit(split, 1, classes)
    np.testing.assert_array_equal(other.test, split.test)
    assert sorted([*other.train, *other.valid]) == sorted([*split.train, *split.valid])
    assert len(other.valid) == len(split.valid)
    assert set(other.valid) != set(split.valid)
    np.testing.assert_allclose(np.bincount(classes[other.valid]), np.bincount(classes[split.valid]), atol=1)


# --- the sweep ---


@pytest.mark.parametrize(
    ("curve", "index"),
    [
        ([4.0, 3.0, 2.0, 1.0], 0.0),  # only falls
        ([1.0, 2.0, 3.0], 1.0),  # only rises
        ([1.0, 2.0, 1.0, 2.0, 1.0], 0.5),  # goes nowhere
        ([3.0, 1.0, 2.0, 0.0], 0.2),  # up 1 of 5
        ([1.0, 1.0, 1.0], 0.0),
        ([1.0, np.nan], 1.0),
    ],
)
def test_the_oscillation_index_is_the_share_of_the_way_that_goes_up(curve, index):
    curve = np.array(curve)
    assert oscillation(curve) == pytest.approx(index)
    assert oscillation(1e6 * curve - 5e5) == pytest.approx(index)


def test_noise_that_goes_nowhere_oscillates_and_a_fall_far_above_the_noise_does_not():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((200, 20))
    indices = np.array([oscillation(curve) for curve in noise])
    assert indices.mean() == pytest.approx(0.5, abs=0.02)
    falling = np.linspace(200, 0, 20) + noise
    assert max(oscillation(curve) for curve in falling) < 0.05


def member(data=None, rate=0.1, **settings):
    """The first network of a task."""
    data = data or rows()
    settings = Settings(**{"hidden_layer_sizes": (4,), "batch_size": 8, **settings})
    split = split_rows(len(data.y), 0, valid=0.2, test=0.0, classes=data.y)
    loss, n_out = pair(settings, "classification", 2)
    task = Task(data, split, settings, settings.network(n_out), loss)
    return with_rate(task.member(optimizers.get("momentum"), 0, 0.0), rate)


def sharp(scale):
    """Rows whose inputs are so large that high rates diverge."""
    data = rows()
    return data._replace(x=data.x * np.float32(scale))


def test_a_grid_that_is_too_narrow_is_widened():
    stage = rate_stage(member(), recipe.Watcher(), rates=(1e-3, 1e-4))
    assert max(stage["rates"]) >= 0.1
    assert stage["rates"] == sorted(stage["rates"], reverse=True)
    assert len(stage["train"]) == len(stage["oscillation"]) == len(stage["verdict"]) == len(stage["rates"])
    np.testing.assert_allclose(np.divide(stage["rates"][:-1], stage["rates"][1:]), 10)
    assert 1e-4 < stage["decision"] < stage["rates"][0]
    assert [verdict for verdict in stage["verdict"] if "taken" in verdict] == [
        stage["verdict"][stage["rates"].index(stage["decision"])]
    ]

    stage = rate_stage(member(sharp(3e3)), recipe.Watcher(), rates=(10.0, 1.0))
    assert stage["decision"] < 1
    assert stage["verdict"][0] == "diverged" or stage["oscillation"][0] > 0.25


def test_a_rate_that_diverges_is_stopped_and_called_so():
    stage = rate_stage(member(sharp(1e6)), recipe.Watcher(), rates=(1e4, 1e-9))
    assert stage["verdict"][0] == "diverged"
    assert stage["oscillation"][0] == 1.0
    assert not np.isfinite(stage["train"][0][-1])


@pytest.mark.parametrize(
    ("rule", "epochs", "steps"),
    [("momentum", "auto", 300), ("momentum", 2, 2 * 10 + 1), ("momentum", 1000, 300), ("gd", 2, 3), ("gd", 1000, 300)],
)
def test_a_sweep_looks_no_further_than_a_run_of_given_epochs(rule, epochs, steps):
    data, settings = rows(100), Settings(hidden_layer_sizes=(4,), batch_size=8, epochs=epochs)
    split = split_rows(100, 0, valid=0.2, test=0.0, classes=data.y)
    loss, n_out = pair(settings, "classification", 2)
    task = Task(data, split, settings, settings.network(n_out), loss)
    one = task.member(optimizers.get(rule), 0, 0.0)
    assert recipe.sweep_steps(task, one) == steps
    stage = rate_stage(one, recipe.Watcher(), n_steps=recipe.sweep_steps(task, one))
    windows = steps if rule == "gd" else min(steps, 20)
    assert {len(curve) for curve in stage["train"]} == {windows}


def test_the_sweep_and_the_look_at_batch_sizes_are_pure():
    one = member()
    before = jax.tree.map(np.copy, (one.params, one.batches.split))
    stages = [(rate_stage(one, recipe.Watcher()), batch_stage(one, recipe.Watcher())) for _ in range(2)]
    assert stages[0] == stages[1]
    assert_same_weights(before, (one.params, one.batches.split))


def test_a_sweep_that_is_ended_still_gives_a_rate():
    class Impatient(recipe.Watcher):
        def ended(self):
            return True

    stage = rate_stage(member(), Impatient())
    assert stage["decision"] in stage["rates"]


# --- batch size ---


def test_the_time_of_a_step_grows_with_rows_and_weights_from_an_overhead():
    assert step_seconds(100, 8) < step_seconds(100, 32) < step_seconds(10_000, 32)
    assert step_seconds(100, 32) < 4 * step_seconds(100, 8)


@pytest.mark.parametrize(
    ("curve", "loss", "seconds"),
    [
        ([4.0, 3.0, 2.0, 1.0], 2.5, 2.0),  # half way between the middles of the second and the third window
        ([4.0, 2.0, 0.0], 1.0, 2.0),
        ([1.0, 1.0], 2.0, 0.5),  # in the first window
        ([4.0, 3.0], 2.0, np.inf),
    ],
)
def test_the_time_to_a_loss_is_interpolated_between_windows_of_a_second(curve, loss, seconds):
    assert seconds_to(np.array(curve), loss, float(len(curve))) == pytest.approx(seconds)


def test_a_rate_that_is_too_low_makes_smaller_batches_pay():
    """With the rate far below what would do, more steps are all that helps."""
    stage = batch_stage(member(rows(600), rate=3e-4, batch_size=32), recipe.Watcher())
    assert stage["batch_sizes"][0] == 32
    assert 128 not in stage["batch_sizes"] or stage["decision"] != 32
    assert set(stage["batch_sizes"]) <= {8, 32, 64, 128}
    assert stage["decision"] in stage["batch_sizes"]
    position = stage["batch_sizes"].index(stage["decision"])
    assert stage["learning_rate"] == stage["learning_rates"][position]
    if stage["decision"] != 32:
        assert stage["seconds"][position] * 1.2 <= stage["seconds"][0]


def test_sizes_are_only_tried_where_an_epoch_has_eight_batches():
    alone = batch_stage(member(rows(80), batch_size=8), recipe.Watcher())
    assert (alone["batch_sizes"], alone["loss"], alone["seconds"]) == ([8], None, [None])
    assert max(batch_stage(member(rows(400), batch_size=32), recipe.Watcher())["batch_sizes"]) == 32


def test_a_larger_size_is_tried_where_it_could_save_what_its_program_takes_to_compile():
    weights = 1000
    assert saves(weights, 32, 128, 1e6) == pytest.approx(
        1e6 / 128 * (4 * step_seconds(weights, 32) - step_seconds(weights, 128))
    )
    one = member(rows(2000), batch_size=32)
    few, many = (batch_stage(one, recipe.Watcher(), rows=n) for n in (1e6, 1e9))
    assert max(few["batch_sizes"]) == 32
    assert "larger ones would save less" in few["reason"]
    assert max(many["batch_sizes"]) == 128
    assert "larger ones" not in many["reason"]


def test_a_batch_size_that_is_chosen_is_what_trains():
    fit = fitted(rows(600), learning_rate=3e-4, batch_size=32, batch_stage=True, ensemble=1)
    stage = next(stage for stage in fit.stages if stage["stage"] == "batch_size")
    given = fitted(rows(600), learning_rate=stage["learning_rate"], batch_size=stage["decision"], ensemble=1)
    assert fit.batch_size == stage["decision"]
    assert_same_weights(fit.members, given.members)


# --- the constant answer ---


@pytest.mark.parametrize("loss", ["auto", "mse", "log_likelihood"])
def test_the_constant_answer_is_the_frequencies_of_the_training_rows(loss):
    one = member()
    settings = Settings(hidden_layer_sizes=(4,), loss=loss)
    made, n_out = pair(settings, "classification", 2)
    data, split = one.batches.rows, one.batches.split
    one = Task(data, split, settings, settings.network(n_out), made).member(optimizers.get("momentum"), 0, 0.0)
    params, value = constant(one)
    z, _ = one.trial.network.forward(params, jax.numpy.asarray(data.x))
    a = np.asarray(made.activation.value(z))
    share = data.y[split.train].mean()
    np.testing.assert_allclose(a[:, -1], share, rtol=1e-5)
    np.testing.assert_allclose(np.mean(made.value(z, jax.numpy.asarray(data.y))[split.valid]), value, rtol=1e-5)


ARCTAN = Activation("arctan", jax.numpy.arctan, lambda z, a: 1 / (1 + z * z))
CONSTANTS = {
    "squared error": losses.squared_error,
    "cross-entropy": losses.cross_entropy,
    "softmax": losses.log_likelihood,
    "huber": losses.huber(),
    "huber 0.1": losses.huber(0.1),
    "absolute": losses.absolute,
    "quantile 0.9": losses.quantile(0.9),
    "poisson": losses.poisson,
    **{f"matching {name}": losses.matching(name) for name in ("sigmoid", "tanh", "softplus", "elu", "softmax")},
    "matching arctan": losses.matching(ARCTAN),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_constant_answer_is_the_lowest_there_is(name):
    """No other constant has a lower weighted loss."""
    loss = CONSTANTS[name]
    rng = np.random.default_rng(3)
    y = rng.random((41, 2)) ** 2 * 0.9 + 0.01
    if "softmax" in name:
        y = y / y.sum(axis=1, keepdims=True)
    weight = rng.uniform(0.2, 3.0, 41)
    b = bias(loss, y, weight)

    def total(z):
        values = loss.value(jax.numpy.broadcast_to(jax.numpy.asarray(z, "float32"), y.shape), jax.numpy.asarray(y))
        return np.average(values, weights=weight)

    least = total(b)
    for step in (0.3, 0.05, 0.01):
        for direction in ([1, 0], [0, 1], [-1, 0], [0, -1]):
            assert least <= total(b + step * np.array(direction)) + 1e-6


def test_no_constant_answer_for_a_loss_of_ones_own():
    class Own(losses.SquaredError):
        pass

    assert bias(Own(), np.zeros((3, 1)), np.ones(3)) is None
    assert bias(losses.mse("tanh"), np.zeros((3, 1)), np.ones(3)) is None


def test_a_network_that_learned_nothing_gives_way_to_the_constant_answer_and_one_that_did_stays():
    one = member()
    begun = one.begin()
    for loss in (0.0, np.inf):
        history, health = np.zeros((3, 4), np.float32), nothing(one.trial.network)
        run, replaced = no_worse(one, Trained(begun._replace(best_loss=np.float32(loss)), history, health))
        assert replaced == (loss > 0)
        assert (run.state.best is begun.best) == (loss == 0)
    assert run.best_loss == pytest.approx(constant(one)[1])
    assert all(np.all(layer.w == 0) for layer in run.kept(best=True)[0])


# --- the epochs of networks with few validation rows ---


@pytest.mark.parametrize("n", [80, 120])
def test_networks_with_few_validation_rows_have_a_say_in_the_epochs_of_others(n):
    """The lowest (n own + 20 mean) / (n + 20) of n < 20 rows; the weights are those of training up to there alone."""
    data = rows(n)
    options = {"ensemble": 3, "regularization": None, "hidden_layer_sizes": (16,), "learning_rate": 1.0}
    fit = fitted(data, epochs=250, **options)
    n_valid = round(0.2 * n)
    assert all(len(split.valid) == n_valid for split in fit.splits)
    length = max(map(len, fit.histories))
    own = [history[:, 1] for history in fit.histories]
    assert len({len(losses) for losses in own}) > 1
    mean = np.mean([np.r_[losses, np.full(length - len(losses), losses[-1])] for losses in own], axis=0)
    weighed = [n_valid * losses + (20 if n_valid < 20 else 0) * mean[: len(losses)] for losses in own]
    epochs = [int(np.argmin(losses)) + 1 for losses in weighed]
    run = next(stage for stage in fit.stages if stage["stage"] == "run")
    assert run["decision"] == epochs
    assert ("of all networks together" in run["reason"]) == (n_valid < 20)
    np.testing.assert_allclose(run["best_loss"], [losses[e - 1] for losses, e in zip(own, epochs, strict=True)])
    assert (epochs != [int(np.argmin(losses)) + 1 for losses in own]) == (n_valid < 20)
    for index, epoch in enumerate(epochs):
        alone = fitted(data, epochs=epoch, early_stopping=False, **options)
        assert_same_weights(alone.members[index], fit.members[index])


@pytest.mark.parametrize(
    ("choice", "key"), [({"optimizer": "auto"}, "names"), ({"regularization": "auto"}, "l2")], ids=["rule", "penalty"]
)
def test_rules_and_penalties_are_chosen_by_the_losses_of_the_weights_that_would_be_kept(choice, key):
    """Those that the run of whichever is chosen ends with: the networks of 16 validation rows share their epochs."""
    settings = {"optimizer": "momentum", "regularization": None, **choice}
    fit = fitted(rows(80), ensemble=3, hidden_layer_sizes=(16,), learning_rate="auto", epochs=250, **settings)
    run = next(stage for stage in fit.stages if stage["stage"] == "run")
    stage = next(stage for stage in fit.stages if stage["stage"] in ("optimizer", "regularization"))
    assert stage["valid"][stage[key].index(stage["decision"])] == pytest.approx(run["best_loss"])
    assert run["best_loss"] != pytest.approx([history[:, 1].min() for history in fit.histories])


def test_a_fit_that_is_ended_while_networks_are_trained_once_more_keeps_their_own_best_weights():
    options = {"ensemble": 3, "regularization": None, "hidden_layer_sizes": (16,), "learning_rate": 1.0, "epochs": 250}
    whole = fitted(**options)

    class Impatient(recipe.Watcher):
        done = 0

        def progress(self, network, n_networks, history, n_epochs, stop):
            self.done += stop.max_epochs < 250

        def ended(self):
            return self.done >= 1

    ended = fitted(watcher=Impatient(), **options)
    run = next(stage for stage in ended.stages if stage["stage"] == "run")
    assert run["interrupted"]
    assert run["decision"] == [int(np.argmin(history[:, 1])) + 1 for history in whole.histories]


# --- branches ---


def test_branches_go_on_from_the_best_weights_with_a_tenth_and_are_kept_if_they_are_better():
    plain = fitted(rows(300), learning_rate=20.0, epochs="auto", ensemble=3, regularization=None)
    full = fitted(rows(300), learning_rate=20.0, epochs="auto", ensemble=3, regularization=None, branch_stage=True)
    stage = next(stage for stage in full.stages if stage["stage"] == "branch")
    assert stage["learning_rate"] == pytest.approx(2.0)
    assert stage["from_epoch"] == next(s for s in full.stages if s["stage"] == "run")["decision"]
    for index in range(3):
        was, now = stage["before"][index], stage["after"][index]
        assert now <= was
        assert (index in stage["decision"]) == (now < was)
        if index not in stage["decision"]:
            assert_same_weights(plain.members[index], full.members[index])
    assert stage["decision"], "none of three networks at far too high a rate gained from a tenth of it"
    first = stage["decision"][0]
    length = len(plain.histories[first])
    np.testing.assert_array_equal(full.histories[first][:length], plain.histories[first])
    np.testing.assert_allclose(full.histories[first][length:][:, 3].max(), 2.0, rtol=1e-6)


def test_branches_of_networks_with_few_validation_rows_are_judged_by_the_losses_of_all(monkeypatch):
    """By the lowest (n own + 20 mean) / (n + 20) too, the start among the epochs; the weights are those of training up
    to there."""
    trained = {}

    def spy(*arguments):
        runs = train_side_by_side(*arguments)
        trained.update(runs)
        return runs

    monkeypatch.setattr(fitting, "train_side_by_side", spy)
    data = rows(80)
    fit = fitted(data, learning_rate=3.0, epochs=250, ensemble=3, regularization=None, branch_stage=True)
    n_valid = len(fit.splits[0].valid)
    assert n_valid < 20
    stage = next(stage for stage in fit.stages if stage["stage"] == "branch")
    ran = [trained[f"branch-{stage['learning_rate']:g}-{index}"].history[:, 1] for index in range(3)]
    own = [np.append(before, losses) for before, losses in zip(stage["before"], ran, strict=True)]
    longest = max(map(len, own))
    mean = np.mean([np.r_[losses, np.full(longest - len(losses), losses[-1])] for losses in own], axis=0)
    epochs = [int(np.argmin(n_valid * losses + 20 * mean[: len(losses)])) for losses in own]
    assert stage["after"] == pytest.approx([losses[epoch] for losses, epoch in zip(own, epochs, strict=True)])
    assert stage["decision"] == [index for index, epoch in enumerate(epochs) if epoch > 0]
    assert epochs != [int(np.argmin(losses)) for losses in own]


def test_a_branch_that_takes_up_a_network_that_had_diverged_says_so():
    fit = fitted(ensemble=1)

    def run(best_loss, *, epoch=5, diverged=False):
        kept = {"best_loss": np.float32(best_loss), "best_epoch": np.int32(epoch), "diverged": np.bool_(diverged)}
        return Trained(fit.states[0]._replace(**kept), fit.histories[0], fit.healths[0])

    stage = branch_stage(0.1, {0: run(0.5, diverged=True), 2: run(0.4)}, {0: run(0.3), 2: run(0.3)})
    assert stage["reason"].endswith("; 1 of them had diverged, and went on from their best weights")
    not_kept = branch_stage(0.1, {0: run(0.5, diverged=True)}, {0: run(0.5, epoch=0)})
    assert not_kept["decision"] == []
    assert "diverged" not in not_kept["reason"]


def test_without_validation_rows_or_a_rate_there_are_no_branches():
    for settings in ({"early_stopping": False}, {"optimizer": "lbfgs", "learning_rate": "auto"}):
        stages = [stage["stage"] for stage in fitted(branch_stage=True, **settings).stages]
        assert "branch" not in stages


# --- the notebook ---


def test_the_same_seed_gives_the_same_notebook_and_another_one_another():
    settings = {"learning_rate": "auto", "epochs": "auto", "ensemble": 2, "batch_stage": True, "branch_stage": True}
    one, same = (fitted(rows(200), **settings).stages for _ in range(2))
    assert json.dumps(one) == json.dumps(same)
    assert json.dumps(fitted(rows(200), seed=1, **settings).stages) != json.dumps(one)


def test_stages_are_replayed_and_not_decided_again():
    class Remembering(recipe.Journal):
        stages = ({"stage": "rate", "decision": 0.125, "reason": "it was said"},)

    fit = fitted(learning_rate="auto", journal=Remembering())
    assert float(fit.optimizer.learning_rate) == 0.125
    assert_same_weights(fit.members, fitted(learning_rate=0.125).members)

    class Wrong(recipe.Journal):
        stages = ({"stage": "branch", "decision": [], "reason": ""},)

    with pytest.raises(InputError, match="does not go on"):
        fitted(learning_rate="auto", journal=Wrong())


def test_a_fit_of_a_small_table_compiles_one_training_program_and_one_more_if_it_takes_another_batch_size():
    def programs(n_rows):
        """Programs that a fit with all stages compiles, and the batch size that it takes of those it looks at."""
        settings = {"hidden_layer_sizes": (5, 3), "learning_rate": "auto", "epochs": "auto", "batch_size": 32}
        data = rows(n_rows)
        split = split_rows(n_rows, 0, valid=0.2, test=0.1, classes=data.y)
        made = Settings(**settings, ensemble=2, batch_stage=True, branch_stage=True)
        loss, n_out = pair(made, "classification", 2)
        with compilations() as compiled:
            fit = recipe.fit(recipe.Task(data, split, made, made.network(n_out), loss))
        assert [stage["stage"] for stage in fit.stages][:3] == ["rate", "batch_size", "regularization"]
        stage = next(stage for stage in fit.stages if stage["stage"] == "batch_size")
        assert stage["batch_sizes"] == [32, 8]
        return compiled, stage["decision"]

    compiled, size = programs(300)
    assert compiled.count("jit(run)") == 1 + (size != 32)
    assert programs(350)[0] == []


def test_networks_side_by_side_leave_the_threads_of_linear_algebra_as_they_were():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = threads()
    fitted(ensemble=4, optimizer="levenberg_marquardt", learning_rate="auto", epochs=3)
    assert threads() == before
