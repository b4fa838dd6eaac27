"""The stages decide as they say, and nothing of one stage leaks into the next."""

import jax
import numpy as np
import pytest

from axonic import recipe
from axonic.data.batches import Rows, Split, resplit, split_rows
from axonic.errors import InputError
from axonic.recipe import RATES, Task, candidate_penalties, choose_rate, networks, oscillation
from axonic.settings import Settings, pair

FALLING = np.linspace(1.0, 0.1, 20)
FLAT = np.ones(20)


def rows(n=80, seed=0):
    """Two classes that a line separates but for some noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)).astype(np.float32)
    y = (x[:, 0] + 0.5 * rng.standard_normal(n) > 0).astype(np.int32)
    return Rows(x, y, np.ones(n, np.float32))


def fitted(data=None, watcher=None, **settings):
    """A small fit; few epochs, and the same rate, unless said otherwise."""
    data = data or rows()
    settings = Settings(hidden_layer_sizes=(4,), **{"learning_rate": 0.3, "epochs": 5, **settings})
    split = split_rows(len(data.y), settings.seed, valid=0.2, test=0.1, classes=data.y)
    loss, n_out = pair(settings, "classification", 2)
    return recipe.fit(data, split, settings, settings.network(n_out), loss, watcher=watcher)


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
        ({rate: np.full(20, np.nan) for rate in RATES}, RATES[-1]),  # all have
    ],
)
def test_the_lowest_rate_that_learns_nearly_as_much_as_the_best_is_taken(curves, expected):
    table = np.stack([curves.get(rate, FLAT) for rate in RATES])
    choice, reason = choose_rate(RATES, table)
    assert RATES[choice] == expected
    assert reason


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
        ({"ensemble": 3, "epochs": 10}, 10**10, False, 0, 3),
        ({}, 1000, True, 2, 2),
        ({"ensemble": 2}, 1000, True, 2, 2),
    ],
)
def test_number_of_networks(settings, work, held_out, given, expected):
    assert task(work, held_out, given=given, **settings).n_networks() == expected


def test_another_number_of_networks_than_there_are_weights_for_is_refused():
    with pytest.raises(InputError, match="ensemble = 3"):
        task(1000, given=2, ensemble=3).n_networks()


@pytest.mark.parametrize(
    ("settings", "work", "choose", "expected"),
    [
        ({}, 1000, True, (0.01, 0.0025)),
        ({}, 1000, False, (0.01,)),
        ({}, 10**9, True, (0.01,)),
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
    monkeypatch.setattr(networks.os, "cpu_count", lambda: 1)
    one = fitted(ensemble=3, learning_rate="auto")
    monkeypatch.setattr(networks.os, "cpu_count", lambda: 4)
    assert_same_weights(one.members, fitted(ensemble=3, learning_rate="auto").members)


def test_the_penalty_with_the_lowest_mean_validation_loss_is_kept():
    """A target of pure noise asks for the strongest penalty there is."""
    noise = rows()._replace(y=np.random.default_rng(1).integers(0, 2, 80, dtype=np.int32))
    fit = fitted(noise, ensemble=3, epochs=60)
    stage = next(stage for stage in fit.stages if stage["stage"] == "regularization")
    means = [np.mean(losses) for losses in stage["valid"]]
    assert stage["decision"] == fit.l2 == stage["l2"][int(np.argmin(means))]
    assert stage["valid"][stage["l2"].index(fit.l2)] == [float(state.best_loss) for state in fit.states]


def test_a_run_that_diverges_says_so_and_keeps_finite_weights():
    fit = fitted(learning_rate=1e30)
    assert [finding.code for finding in fit.findings] == ["train.diverged"]
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
