"""What is said of networks that read sequences; the loss of every step; gradients that are clipped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from axonic import layers, losses, optimizers
from axonic.data.batches import Rows, Split
from axonic.data.ragged import Ragged
from axonic.diagnosis.sequences import Examined, ThroughTime, examine, findings
from axonic.layers.rnn import RNNParams
from axonic.objective import Objective, clipped
from axonic.recipe import Fit, Task
from axonic.recipe.constant import by_the_clock, constant
from axonic.settings import Settings
from axonic.types import Batch

T = 12


def task_and_fit(factor, lengths, loss=losses.squared_error, head=layers.last_step):
    """One unit whose state is multiplied by `factor` each step, at 0, where tanh has slope 1."""
    network = layers.chain(layers.rnn(1, "tanh"), head(), layers.dense(1))
    rng = np.random.default_rng(0)
    start = network.init(rng, 1)
    unit = RNNParams(*(np.full_like(leaf, value) for leaf, value in zip(start[0], (0.0, factor, 0.0), strict=True)))
    params = (unit, *start[1:])
    x = Ragged.of(np.zeros((sum(lengths), 1), np.float32), np.array(lengths))
    rows = Rows(x, np.ones((len(lengths), 1), np.float32), np.ones(len(lengths), np.float32))
    every = np.arange(len(lengths))
    task = Task(rows, Split(every, every[:0], every[:0]), Settings(net="rnn", hidden_layer_sizes=(1,)), network, loss)
    none: tuple = ()
    fit = Fit(network, loss, (params,), (task.split,), none, None, 0.0, 1, none, none, [], none, {})
    return task, fit


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7])
def test_an_error_fades_and_grows_with_the_recurrent_weight(factor):
    (layer,) = examine(*task_and_fit(factor, [T] * 3)).layers
    np.testing.assert_allclose(layer.reach, factor ** np.arange(T), rtol=1e-5)


def test_sequences_count_from_their_own_ends_and_none_beyond_its_beginning():
    examined = examine(*task_and_fit(0.5, [4, T]))
    np.testing.assert_allclose(examined.layers[0].reach, 0.5 ** np.arange(T), rtol=1e-5)
    assert examined.lengths.tolist() == [4, T]
    np.testing.assert_array_equal(examined.felt, 0)  # no weight leads from the input


def said(reach, learned, felt=None, steps=40, where="layer 1 (RNN)", chrono=None):
    reach = np.asarray(reach, float)
    felt = np.ones(steps) if felt is None else felt
    layer = ThroughTime(where, reach, chrono=chrono)
    return findings(Examined([layer], felt, np.full(5, steps)), learned)


def test_what_fades_is_a_fault_only_where_little_was_learned():
    fading = 0.7 ** np.arange(40.0)
    assert [finding.code for finding in said(fading, 0.1)] == ["train.vanishing"]
    assert "LSTM or GRU" in said(fading, 0.1)[0].remedy
    (memory,) = said(fading, 0.9)
    assert memory.code == "train.short_memory"
    assert memory.severity == "info"
    assert memory.evidence["memory"] == int(np.floor(np.log(0.01) / np.log(0.7))) + 1
    assert said(np.ones(40), 0.1) == []
    assert said(fading[:5], 0.1, steps=5) == []  # too short to speak of memory


@pytest.mark.parametrize(
    ("kind", "chrono", "remedies"),
    [
        ("RNN", None, "use LSTM or GRU layers, or go both directions."),
        ("RNN back", None, "use LSTM or GRU layers."),
        ("LSTM", None, "add units, or begin with a longer memory (chrono), or go both directions."),
        ("GRU onward", None, "add units, or begin with a longer memory (chrono)."),
        ("GRU back", 40, "add units."),
    ],
)
def test_a_longer_memory_is_not_sought_by_what_is_in_force(kind, chrono, remedies):
    (memory,) = said(0.7 ** np.arange(40.0), 0.9, where=f"layer 1 ({kind})", chrono=chrono)
    assert memory.remedy.endswith(f"otherwise {remedies}")


def test_an_error_that_reaches_nearly_all_steps_is_no_short_memory():
    reach = np.ones(20)
    reach[18:] = 0.009
    assert said(reach, 0.9, steps=20) == []
    reach[17] = 0.009
    assert [finding.code for finding in said(reach, 0.9, steps=20)] == ["train.short_memory"]


def test_of_mixed_lengths_the_steps_are_those_of_the_middle_one():
    layer = ThroughTime("layer 1 (GRU)", 0.5 ** np.arange(19.0))
    (memory,) = findings(Examined([layer], np.ones(19), np.array([4, 13, 19])), 0.9)
    assert memory.cause.endswith("than 7 of 13 steps, the median length of the sequences.")
    (memory,) = findings(Examined([layer], np.ones(19), np.array([13, 13, 13])), 0.9)
    assert memory.cause.endswith("than 7 of 13 steps.")


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_a_layer_is_asked_for_its_first_memory(kind):
    task, fit = task_and_fit(0.5, [T] * 3)
    options = {} if kind == "rnn" else {"chrono": 5}
    layer = layers.bidirectional(getattr(layers, kind)(1, **options))
    network = layers.chain(layer, layers.last_step(), layers.dense(1))
    params = network.init(np.random.default_rng(0), 1)
    examined = examine(task._replace(network=network), fit._replace(members=(params,)))
    assert [one.chrono for one in examined.layers] == [options.get("chrono")] * 2


def test_what_grows_is_a_fault_and_steps_that_do_not_matter_are_named():
    assert [finding.code for finding in said(1.2 ** np.arange(40.0), 0.9)] == ["train.exploding"]
    felt = np.where(np.arange(40) < 10, 1.0, 1e-3)  # counted back from the end
    (idle,) = said(np.ones(40), 0.9, felt)
    assert idle.code == "data.idle_steps"
    assert idle.evidence["idle"] == 30


def test_an_answer_without_looking_may_tell_the_steps_apart():
    """Targets that hang on the number of the step alone, and sequences of unlike lengths: the mean of the training
    targets at each step, and the mean of all at a step that no training sequence has."""
    lengths, level = np.array([3, 5, 4, 6, 5]), np.array([0.0, 4.0, -4.0, 2.0, 1.0, 9.0])
    rng = np.random.default_rng(0)
    each = [level[:n] + rng.normal(0, 0.1, n) for n in lengths]
    each[1][2] = np.nan  # no target there
    train, valid = np.array([0, 1, 2]), np.array([3, 4])
    x = Ragged.of(np.zeros((lengths.sum(), 1), np.float32), lengths)
    y = Ragged.of(np.concatenate(each).astype(np.float32)[:, None], lengths)
    loss = losses.each_step(losses.squared_error)
    network = layers.chain(layers.rnn(1, "tanh"), layers.each_step(layers.dense(1)), layers.every_step())
    split = Split(train, valid, valid[:0])
    settings = Settings(net="rnn", hidden_layer_sizes=(1,), head="every")
    task = Task(Rows(x, y, np.ones(5, np.float32)), split, settings, network, loss)

    known = [(t, v, 1 / np.isfinite(each[i]).sum()) for i in train for t, v in enumerate(each[i]) if np.isfinite(v)]
    mean = lambda of: sum(v * w for _, v, w in of) / sum(w for _, _, w in of)  # noqa: E731  they share the weight of a row
    means = np.array([mean([one for one in known if one[0] == t]) for t in range(5)] + [mean(known)])
    expected = np.mean([np.mean((each[i] - means[: lengths[i]]) ** 2) / 2 for i in valid])
    member = task.member(optimizers.Momentum(0.1), 0, 0.0, 2)
    np.testing.assert_allclose(by_the_clock(member), expected, rtol=1e-5)
    assert by_the_clock(member) < 0.5 * constant(member)[1]


def test_of_one_target_a_sequence_no_step_is_told_apart():
    task, _ = task_and_fit(0.5, [4, T])
    assert by_the_clock(task.member(optimizers.Momentum(0.1), 0, 0.0, 2)) is None


def test_where_truncation_cuts_the_error_off_it_is_the_cause():
    """The last of 12 steps stands fourth in the third window of 4 steps, so its error reaches 4 steps."""
    task, fit = task_and_fit(0.9, [T] * 3)
    head = task.network.layers[1:]
    examined = examine(task._replace(network=layers.chain(layers.rnn(1, "tanh", truncate=4), *head)), fit)
    np.testing.assert_allclose(examined.layers[0].reach, [*0.9 ** np.arange(4), *[0] * 8], rtol=1e-5)
    (vanishing,) = findings(examined, 0.1)
    assert vanishing.code == "train.vanishing"
    assert vanishing.cause.startswith("truncate=4 cuts off")
    assert "truncate" in vanishing.remedy
    assert "LSTM" not in vanishing.remedy
    assert vanishing.evidence["truncate"] == 4
    (memory,) = findings(examined._replace(felt=np.r_[np.ones(4), np.zeros(8)]), 0.9)  # no idle steps
    assert memory.code == "train.short_memory"
    assert "raise truncate=4" in memory.remedy
    faded = np.r_[0.1 ** np.arange(4), np.zeros(8)]  # before it is cut off
    (vanishing,) = findings(examined._replace(layers=[ThroughTime("layer 1 (RNN)", faded, 4)]), 0.1)
    assert "LSTM" in vanishing.remedy


def test_clipping_is_proposed_only_where_it_is_not_in_force():
    layer = ThroughTime("layer 1 (RNN)", 1.2 ** np.arange(40.0))
    examined = Examined([layer], np.ones(40), np.full(5, 40))
    assert "Clip the gradient" in findings(examined, 0.9)[0].remedy
    (exploding,) = findings(examined, 0.9, clip_norm=1.0)
    assert "lip" not in exploding.remedy
    assert "only clip_norm=1 keeps" in exploding.cause


# --- the loss of every step ---


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_the_loss_of_every_step_is_the_mean_over_those_with_a_target(kind):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 5, 3))
    there = np.array([[True, True, False, True, False], [True] * 5])
    if kind == "numbers":
        loss, one = losses.each_step(losses.squared_error), losses.squared_error
        y = np.where(there[..., None], rng.standard_normal((2, 5, 3)), np.nan)
    else:
        loss, one = losses.each_step(losses.log_likelihood), losses.log_likelihood
        y = np.where(there, rng.integers(0, 3, (2, 5)), -1)
    z, y = jnp.asarray(z), jnp.asarray(y)
    expected = [np.mean(one.value(z[i][there[i]], y[i][there[i]])) for i in range(2)]
    np.testing.assert_allclose(loss.value(z, y), expected, rtol=1e-12)
    _, back = jax.vjp(lambda z: loss.value(z, y), z)
    np.testing.assert_allclose(loss.delta(z, y), back(jnp.ones(2))[0], rtol=1e-12, atol=1e-15)
    assert not np.any(np.asarray(loss.delta(z, y))[~there])


# --- clipping ---


@pytest.mark.usefixtures("float64")
def test_a_gradient_is_shortened_to_the_norm_and_no_longer_one_is_touched():
    rng = np.random.default_rng(0)
    network = layers.chain(layers.dense(4, "tanh"), layers.dense(1))
    params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), network.init(rng, 3))
    batch = Batch(*map(jnp.asarray, (rng.standard_normal((6, 3)), 10 * rng.standard_normal((6, 1)), np.ones(6))))
    value, grads = Objective(network, losses.squared_error, batch).value_and_grad(params)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads)))
    for limit in (0.1 * norm, 2 * norm):
        same, short = Objective(network, losses.squared_error, batch, clip_norm=limit).value_and_grad(params)
        assert float(same.total) == float(value.total)
        for g, c in zip(jax.tree.leaves(grads), jax.tree.leaves(short), strict=True):
            np.testing.assert_allclose(c, g * min(1.0, limit / norm), rtol=1e-12)
    assert not np.any(jax.tree.leaves(clipped(jax.tree.map(np.zeros_like, grads), 1.0))[0])
