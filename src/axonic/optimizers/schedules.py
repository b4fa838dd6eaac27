"""Learning-rate schedules: factors on the rate, as functions of the number of steps taken before, t = 0, 1, ...

    constant       1
    step           drop^floor(t / every)
    exponential    drop^(t / every)
    cosine         end + (1 - end) (1 + cos(pi t / n)) / 2, and end from t = n on; Loshchilov and Hutter 2017, eq. 5
    warm_up        (t + 1) / n while that is below 1, then the schedule after it, from its own beginning
    one_cycle      start -> 1 over the first `rise` of n steps, then 1 -> end, both by half a cosine; Smith 2018

A schedule is a spec, so its numbers are values: another length or drop compiles nothing and runs under `jax.vmap`. It
takes t as a number or an array and gives float32, or float64 where that is enabled. `axonic.optimizers.scheduled`
joins it to a rule. An impossible number raises `InputError`, as it does for a rule.

The notes' own schedule, a tenth of the rate once the loss is flat, is no function of t: the recipe does it by training
on from chosen checkpoints with a tenth of the rate (branches), and keeps it only where the validation loss gains.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from axonic.errors import InputError
from axonic.specs import Number, Ranged, spec

Factor = Float[Array, "*steps"]


TINY = 1e-9
"""Steps of a part that has none."""


class Schedule(Ranged):
    """The protocol: a spec that gives the factor of step t. Its numbers are checked as those of a rule are."""

    ranges: ClassVar[Mapping[str, str]] = {
        "every": "(0, inf)",
        "n_steps": "[0, inf)",
        "drop": "[0, inf)",
        "rise": "[0, 1]",
        "start": "[0, inf)",
        "end": "[0, inf)",
    }

    def __call__(self, t: Any) -> Factor:
        raise NotImplementedError


@spec
class Constant(Schedule):
    """1 at every step."""

    def __call__(self, t: Any) -> Factor:
        return jnp.ones_like(_number(t))


@spec
class Step(Schedule):
    """`drop` times the factor before at every `every` steps."""

    every: Number
    drop: Number = 0.1

    def __call__(self, t: Any) -> Factor:
        return self.drop ** jnp.floor(_number(t) / self.every)


@spec
class Exponential(Schedule):
    """A smooth fall, by `drop` over every `every` steps."""

    every: Number
    drop: Number = 0.1

    def __call__(self, t: Any) -> Factor:
        return self.drop ** (_number(t) / self.every)


@spec
class Cosine(Schedule):
    """Half a cosine from 1 to `end` over `n_steps`."""

    n_steps: Number
    end: Number = 0.0

    def __call__(self, t: Any) -> Factor:
        return _between(1.0, self.end, _number(t) / jnp.maximum(self.n_steps, TINY))


@spec
class WarmUp(Schedule):
    """A line up to 1 over `n_steps`, then another schedule. The first step has a factor above 0, so it isn't wasted."""

    n_steps: Number
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.then, Schedule):
            raise InputError(f"then = {self.then!r} is impossible", "give a schedule, such as Cosine(1000)", "WarmUp")

    def __call__(self, t: Any) -> Factor:
        t = _number(t)
        rising = (t + 1) / self.n_steps
        return jnp.where(rising < 1, rising, self.then(jnp.maximum(t - self.n_steps, 0)))


@spec
class OneCycle(Schedule):
    """Up from `start` to 1 over the share `rise` of `n_steps`, then down to `end`.

    With `Momentum` the rate alone is cycled; Smith also lowers the momentum while the rate is high.
    """

    n_steps: Number
    rise: Number = 0.3
    start: Number = 0.04
    end: Number = 4e-6

    def __call__(self, t: Any) -> Factor:
        t, top = _number(t), self.rise * self.n_steps
        return jnp.where(
            t < top,
            _between(self.start, 1.0, t / jnp.maximum(top, TINY)),
            _between(1.0, self.end, (t - top) / jnp.maximum(self.n_steps - top, TINY)),
        )


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "exponential": Exponential,
    "cosine": Cosine,
    "warm_up": WarmUp,
    "one_cycle": OneCycle,
}


def _between(first: Any, last: Any, share: Any) -> Array:
    """From `first` to `last` by half a cosine, staying there once `share` is 1."""
    return last + (first - last) * (1 + jnp.cos(jnp.pi * jnp.clip(share, 0, 1))) / 2


def _number(t: Any) -> Array:
    return jnp.asarray(t, float)
