"""The rules that judge a run: train.*, net.cannot_fit_batch and data.no_signal.

A rule looks at the curves and the looks inside first, which costs nothing. Where they are suspicious it trains again
with the change that the remedy proposes (see `axonic.diagnosis.evidence`), and speaks only if that has helped.
`CAUSES` lists the rules in the order in which one explains the others: the first that speaks is the cause.
"""

from collections.abc import Callable, Iterator

from axonic.diagnosis import capacity, loss, rivals, steps
from axonic.diagnosis.evidence import Evidence
from axonic.types import Finding

CAUSES: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    loss.check_nonfinite,
    steps.check_rate_too_high,
    steps.check_rate_too_low,
    steps.check_batch_too_large,
    steps.check_stopped_early,
    capacity.check_underfit,
    capacity.check_cannot_fit,
    capacity.check_overfit,
    steps.check_plateau,
    loss.check_skewed_target,
    steps.check_cut,
    rivals.check_worse_than_linear,
    rivals.check_no_signal,
)
