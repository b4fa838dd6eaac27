"""Sequences of mixed lengths in memory, without padding: all steps one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """n sequences.

    Attributes
    ----------
    values : what each step holds, the steps of the first sequence, then those of the second, ...: an array (steps, ...)
        or a data frame.
    offsets : (n + 1,) int64; sequence i has the steps offsets[i] to before offsets[i + 1].
    """

    values: Any
    offsets: np.ndarray

    @classmethod
    def of(cls, values: Any, lengths: Any) -> "Ragged":
        """Sequences of these lengths."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Any) -> "Ragged":
        """The sequences with these numbers, or of a slice."""
        rows = np.arange(len(self))[rows]
        return Ragged.of(self.values[self.steps(rows)], self.lengths[rows])

    @property
    def lengths(self) -> np.ndarray:
        """(n,) steps of each sequence."""
        return np.diff(self.offsets)

    @property
    def longest(self) -> int:
        """Steps of the longest sequence."""
        return int(self.lengths.max(initial=0))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of sequences, and the shape of a step."""
        return (len(self), *self.values.shape[1:])

    def steps(self, rows: np.ndarray) -> np.ndarray:
        """The places in `values` of all steps of these sequences."""
        lengths = self.lengths[rows]
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        return np.repeat(self.offsets[rows], lengths) + within

    def fill(self, rows: np.ndarray, values: np.ndarray, mask: np.ndarray | None = None, nothing: Any = None) -> None:
        """Put sequences into padded arrays.

        Parameters
        ----------
        rows : their numbers, in any shape; negative for none.
        values : (*rows.shape, time, ...); the steps of each sequence are put at its beginning.
        mask : (*rows.shape, time), becomes True at the steps there are; None for none.
        nothing : what is put beyond the end of a sequence; None leaves it as it is.
        """
        flat = values.reshape(-1, *values.shape[rows.ndim :])
        rows = rows.reshape(-1)
        lengths = np.where(rows >= 0, self.lengths[rows], 0)
        if mask is not None:
            mask.reshape(len(rows), -1)[...] = np.arange(mask.shape[-1]) < lengths[:, None]
        if nothing is not None:
            flat[...] = nothing
        if len(self) and np.all(self.lengths == flat.shape[1]):
            each = self.values.reshape(len(self), *flat.shape[1:])
            if nothing is None:
                np.take(each, rows, axis=0, out=flat, mode="clip")
            else:
                flat[rows >= 0] = each[rows[rows >= 0]]
            return
        firsts = self.offsets[rows]
        for place, (first, length) in enumerate(zip(firsts.tolist(), lengths.tolist(), strict=True)):
            flat[place, :length] = self.values[first : first + length]

    def split(self) -> list[Any]:
        """The values of each sequence."""
        return [self.values[a:b] for a, b in zip(self.offsets[:-1].tolist(), self.offsets[1:].tolist(), strict=True)]


def join(parts: Sequence[Any]) -> Any:
    """Arrays, or sequences, one after the other."""
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    return Ragged.of(np.concatenate([p.values for p in parts]), np.concatenate([p.lengths for p in parts]))


def known(y: Ragged) -> np.ndarray:
    """(steps,) which steps have a target: neither -1 nor NaN."""
    if y.values.dtype.kind == "i":
        return y.values >= 0
    return ~np.isnan(y.values.reshape(len(y.values), -1)).any(axis=1)


def places(y: Ragged) -> np.ndarray:
    """Which step of its sequence each target is of, counted from 0, in the order of `known_steps`."""
    return (np.arange(len(y.values)) - np.repeat(y.offsets[:-1], y.lengths))[known(y)]


def known_steps(y: Ragged, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The targets there are, and their weights: those of a sequence share its weight."""
    there = known(y)
    counts = np.add.reduceat(there, y.offsets[:-1])
    each = np.repeat(weight / np.maximum(counts, 1), y.lengths)
    return y.values[there], each[there]
