"""A rule whose learning rate follows a schedule.

    step t (from 0)     the rule's own step, with learning_rate f(t) in place of learning_rate

f is one of `axonic.optimizers.schedules`. `learning_rate` stays the rule's hyperparameter, the rate where f is 1, and
sweeps replace it as they do for the rule itself. t is counted in the rule's state, so the schedule begins anew wherever
that does, as in a branch of `recipe="full"`. A velocity made of steps (nesterov, adaptive_gain) keeps what it has
from the rates before; one made of gradients (momentum, adam, rmsprop) is scaled as a whole.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from axonic.errors import InputError
from axonic.optimizers.base import ObjectiveLike, Optimizer, State, StepInfo
from axonic.optimizers.schedules import Schedule
from axonic.specs import spec
from axonic.types import Params


class ScheduledState(NamedTuple):
    """rule: the rule's own state; t: steps taken."""

    rule: State
    t: Int[Any, ""]


@spec
class Scheduled(Optimizer):
    """See `scheduled`."""

    rule: Optimizer
    schedule: Schedule

    full_batch = property(lambda self: self.rule.full_batch)  # pyright: ignore[reportAssignmentType]
    patience = property(lambda self: self.rule.patience)  # pyright: ignore[reportAssignmentType]
    same_objective = property(lambda self: self.rule.same_objective)  # pyright: ignore[reportAssignmentType]
    looks_ahead = property(lambda self: self.rule.looks_ahead)  # pyright: ignore[reportAssignmentType]

    @property
    def learning_rate(self) -> Any:
        """The rule's rate, where the factor is 1."""
        return self.rule.rate

    def rate_at(self, step: Any) -> Any:
        return self.rule.rate * self.schedule(step)

    def replace(self, **values: Any) -> "Scheduled":
        """The same with another rule or schedule, or with other hyperparameters of the rule."""
        own = {name: value for name, value in values.items() if name in ("rule", "schedule")}
        rule = own.pop("rule", self.rule).replace(**{n: v for n, v in values.items() if n not in ("rule", "schedule")})
        return Scheduled(rule, own.pop("schedule", self.schedule))

    def init(self, params: Params) -> ScheduledState:
        return ScheduledState(self.rule.init(params), np.zeros((), np.int32))

    def step(
        self, objective: ObjectiveLike, params: Params, state: ScheduledState
    ) -> tuple[Params, ScheduledState, StepInfo]:
        rule = self.rule.replace(learning_rate=self.rate_at(state.t))
        params, rule_state, info = rule.step(objective, params, state.rule)
        return params, ScheduledState(rule_state, state.t + 1), info


def scheduled(rule: Any, schedule: Any) -> Scheduled:
    """The rule with its learning rate multiplied by the schedule's factor.

    Parameters
    ----------
    rule : any rule that has a learning rate.
    schedule : for example `schedules.Cosine(1000)`.

    Raises
    ------
    InputError : the rule has no learning rate, or one of the two is something else.

    >>> from axonic.optimizers import Momentum, scheduled, schedules
    >>> rule = scheduled(Momentum(0.1), schedules.WarmUp(100, then=schedules.Cosine(1000)))
    >>> rule.learning_rate
    0.1
    """
    for what, value, kind, example in (
        ("rule", rule, Optimizer, "optimizers.Momentum()"),
        ("schedule", schedule, Schedule, "schedules.Cosine(1000)"),
    ):
        if not isinstance(value, kind):
            raise InputError(f"{value!r} is no {what}", f"give one of axonic.optimizers, such as {example}")
    if not rule.has_rate:
        raise InputError(
            f"{type(rule).__name__} has no rate to schedule", "give a rule that has one, such as Momentum()"
        )
    return Scheduled(rule, schedule)
