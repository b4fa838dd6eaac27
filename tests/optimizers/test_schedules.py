"""Schedules against closed forms and optax's, and the rule that follows one."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from axonic import optimizers
from axonic.errors import InputError
from axonic.objective import from_function
from axonic.optimizers import GD, SGD, Adam, Momentum, Rprop, scheduled, schedules
from tests import plainly
from tests.optimizers.test_rules import run
from tests.problems import network_objective, quadratic

T = np.arange(0, 130)
N = 100

# name -> (schedule, closed form of t)
CLOSED = {
    "constant": (schedules.Constant(), lambda t: 1.0),
    "step": (schedules.Step(30, 0.5), lambda t: 0.5 ** (t // 30)),
    "exponential": (schedules.Exponential(30, 0.5), lambda t: 0.5 ** (t / 30)),
    "cosine": (schedules.Cosine(N, 0.1), lambda t: 0.1 + 0.9 * (1 + np.cos(np.pi * min(t / N, 1))) / 2),
    "warm_up": (schedules.WarmUp(10), lambda t: min((t + 1) / 10, 1.0)),
    "warm_up-then": (
        schedules.WarmUp(10, schedules.Cosine(N)),
        lambda t: (t + 1) / 10 if t < 10 else (1 + np.cos(np.pi * min((t - 10) / N, 1))) / 2,
    ),
}

# name -> (schedule, optax's)
OPTAX = {
    "exponential": (
        schedules.Exponential(30, 0.5),
        optax.schedules.exponential_decay(1.0, transition_steps=30, decay_rate=0.5),
    ),
    "step": (
        schedules.Step(30, 0.5),
        optax.schedules.exponential_decay(1.0, transition_steps=30, decay_rate=0.5, staircase=True),
    ),
    "cosine": (schedules.Cosine(N, 0.1), optax.schedules.cosine_decay_schedule(1.0, N, alpha=0.1)),
    "one_cycle": (schedules.OneCycle(N), optax.schedules.cosine_onecycle_schedule(N, 1.0, 0.3, 25.0, 1e4)),
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CLOSED)
def test_factors_equal_the_closed_form(name):
    schedule, closed = CLOSED[name]
    expected = [closed(t) for t in T]
    np.testing.assert_allclose(schedule(T), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose([schedule(int(t)) for t in T], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", OPTAX)
def test_factors_equal_those_of_optax(name):
    schedule, theirs = OPTAX[name]
    np.testing.assert_allclose(schedule(T), [theirs(t) for t in T], rtol=1e-5, atol=1e-6)


def test_lengths_are_values():
    compiled = []

    @jax.jit
    def factor(schedule, t):
        compiled.append(None)
        return schedule(t)

    assert factor(schedules.Cosine(10), 5).dtype == jnp.float32
    factor(schedules.Cosine(20, 0.5), 5)
    assert len(compiled) == 1
    lanes = jax.vmap(lambda n: schedules.Cosine(n)(5))(jnp.array([10.0, 20.0]))
    np.testing.assert_allclose(lanes, [0.5, (1 + np.cos(np.pi / 4)) / 2], rtol=1e-6)


@pytest.mark.usefixtures("float64")
def test_a_scheduled_rule_steps_at_the_rate_times_the_factor():
    start = jnp.array([2.0, -1.0])
    rule = scheduled(SGD(0.1), schedules.Step(3))
    points = np.vstack([start, run(rule, from_function(quadratic), start, 8)])
    for t in range(8):
        gradient = jax.grad(quadratic)(jnp.asarray(points[t]))
        np.testing.assert_allclose(points[t + 1], points[t] - 0.1 * 0.1 ** (t // 3) * gradient, rtol=1e-12)


def test_a_scheduled_adam_equals_optax():
    objective, params = network_objective()
    theirs = optax.adam(optax.schedules.cosine_decay_schedule(0.01, 20))
    np.testing.assert_allclose(
        run(scheduled(Adam(0.01), schedules.Cosine(20)), objective, params, 15),
        run(optimizers.from_optax(theirs), objective, params, 15),
        rtol=1e-4,
        atol=1e-6,
    )


def test_a_scheduled_rule_is_a_rule():
    rule = scheduled(GD(0.1), schedules.Cosine(10))
    assert rule.full_batch
    assert rule.rate == 0.1
    assert rule.replace(learning_rate=0.5) == scheduled(GD(0.5), schedules.Cosine(10))
    assert rule.replace(schedule=schedules.Constant()) == scheduled(GD(0.1), schedules.Constant())
    assert rule.replace(rule=SGD(0.2), learning_rate=0.3) == scheduled(SGD(0.3), schedules.Cosine(10))
    assert optimizers.get(rule) is rule
    objective, params = network_objective()
    compiled = []

    @jax.jit
    def step(rule, params, state):
        compiled.append(None)
        return rule.step(objective, params, state)[:2]

    for rule in (scheduled(Momentum(0.1), schedules.Cosine(10)), scheduled(Momentum(0.2), schedules.Cosine(20))):
        new = step(rule, params, rule.init(params))
        assert jax.tree.map(lambda a: a.dtype, new) == jax.tree.map(lambda a: a.dtype, (params, rule.init(params)))
    assert len(compiled) == 1


def test_a_rule_without_a_rate_has_nothing_to_schedule():
    with pytest.raises(InputError, match="Rprop has no rate"):
        scheduled(Rprop(), schedules.Cosine(10))


def test_every_schedule_has_a_name_to_be_stored_by():
    assert set(schedules.SCHEDULES.values()) == set(schedules.Schedule.__subclasses__())


@pytest.mark.parametrize(
    ("schedule", "values", "interval"),
    [
        ("step", {"every": 0}, "(0, inf)"),
        ("exponential", {"every": 0}, "(0, inf)"),
        ("step", {"every": -5}, "(0, inf)"),
        ("step", {"every": "30"}, "(0, inf)"),
        ("exponential", {"every": 10, "drop": -0.1}, "[0, inf)"),
        ("cosine", {"n_steps": np.nan}, "[0, inf)"),
        ("cosine", {"n_steps": 10, "end": -1}, "[0, inf)"),
        ("warm_up", {"n_steps": np.inf}, "[0, inf)"),
        ("one_cycle", {"n_steps": 10, "rise": 1.5}, "[0, 1]"),
        ("one_cycle", {"n_steps": 10, "start": -1.0}, "[0, inf)"),
    ],
)
def test_a_number_out_of_its_range_is_refused(schedule, values, interval):
    kind, (name, value) = schedules.SCHEDULES[schedule], list(values.items())[-1]
    message = re.escape(f"{name} = {value!r} is impossible ({kind.__name__}): give a number in {interval}")
    with pytest.raises(InputError, match=message):
        kind(**values)


@pytest.mark.parametrize("kind", schedules.SCHEDULES.values())
def test_every_number_of_a_schedule_has_a_range(kind):
    assert {field.name for field in dataclasses.fields(kind)} <= {*kind.ranges, "then"}


def told_of_a_name():
    """What is said where a schedule is given by its name."""
    try:
        return repr(schedules.WarmUp(10, "cosine"))
    except InputError as error:
        return str(error)


def test_what_comes_after_the_warm_up_is_a_schedule():
    said = plainly.call(told_of_a_name)
    assert said == "then = 'cosine' is impossible (WarmUp): give a schedule, such as Cosine(1000)"


@pytest.mark.parametrize("pair", [("adam", schedules.Cosine(10)), (GD(), "cosine")])
def test_names_are_neither_rules_nor_schedules(pair):
    with pytest.raises(InputError, match="such as"):
        scheduled(*pair)


def test_a_schedule_whose_part_has_no_steps_is_finite():
    assert np.isfinite(schedules.OneCycle(10, rise=1.0)(np.arange(15))).all()
    assert np.isfinite(schedules.OneCycle(10, rise=0.0)(np.arange(15))).all()
    np.testing.assert_allclose(schedules.Cosine(0, end=0.1)(np.arange(1, 3)), 0.1)
    assert np.isfinite(schedules.Cosine(0)(0))
