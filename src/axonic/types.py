"""Shared nouns of the package: plain containers, no logic."""

from typing import Any, Literal, NamedTuple

from jaxtyping import Array, Bool, Float, Int

Params = Any
"""A tree (nested tuples) of weight arrays; gradients have the same tree."""

Scaling = Literal["deviation", "quartiles", "mean", "none"]
"""How numbers to predict are brought to the scale of a network; see `axonic.data.targets.TargetEncoder`."""


class Sequence(NamedTuple):
    """Sequences of mixed lengths, padded to one shape; what recurrent layers take and give.

    Attributes
    ----------
    values : (batch, time, n); what stands at a padded step is never read.
    mask : (batch, time), True at the real steps.
    """

    values: Float[Array, "batch time n"]
    mask: Bool[Array, "batch time"]


class Batch(NamedTuple):
    """Rows that an objective averages over.

    Attributes
    ----------
    x : (batch, n_in) inputs, or a `Sequence` of them.
    y : (batch,) class indices, or (batch, n_out) numbers or probabilities.
    weight : (batch,) weight of each row, mean 1 over the training rows; 0 marks padding, which counts for nothing.
    """

    x: Float[Array, "batch ..."] | Sequence
    y: Float[Array, "batch n_out"] | Int[Array, " batch"]
    weight: Float[Array, " batch"]


class Value(NamedTuple):
    """Value of an objective: `loss` is the part of the data, `penalty` that of L1 and L2. Scalars."""

    loss: Float[Array, ""]
    penalty: Float[Array, ""]

    @property
    def total(self) -> Float[Array, ""]:
        """What is minimised."""
        return self.loss + self.penalty


Severity = Literal["info", "warning", "error"]


class Finding(NamedTuple):
    """Something worth telling the user, with its evidence.

    Attributes
    ----------
    code : stable name such as ``data.missing`` (listed in the documentation).
    severity : ``info``, ``warning`` or ``error``.
    where : the column, layer or row it concerns; empty for the whole.
    evidence : the numbers it rests on, ready for JSON.
    cause, remedy : one or two plain sentences each.
    """

    code: str
    severity: Severity
    where: str
    evidence: dict[str, Any]
    cause: str
    remedy: str
