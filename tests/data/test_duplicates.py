"""Few kinds of rows: observations that are alike by chance, told from copies."""

import numpy as np
import polars as pl
import pytest

from axonic.data.duplicates import of_few_kinds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 4))
THREES = RNG.integers(0, 3, (1500, 3))
XOR = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (100, 1))
WEIGHT = np.where(X[:, 0] > 1, 9, 1)


def kinds(x, y, weight=None) -> bool:
    pairs, place = np.unique(np.column_stack([x, y]), axis=0, return_inverse=True)
    return of_few_kinds(pl.from_numpy(pairs[:, :-1]), np.bincount(place.ravel(), weights=weight))


@pytest.mark.parametrize(
    ("x", "y"),
    {
        "chance": (THREES, RNG.integers(0, 2, 1500)),
        "counts": (RNG.integers(0, 10, (1500, 2)), RNG.poisson(3, 1500)),
        "one column": (RNG.integers(0, 5, (200, 1)), RNG.integers(0, 2, 200)),
        "a rule": (THREES, THREES.sum(axis=1) > 3),
        "a table of truth": (XOR, XOR[:, 0] != XOR[:, 1]),
    }.values(),
)
def test_rows_of_coarse_columns_meet_by_chance(x, y):
    assert kinds(x, y)


@pytest.mark.parametrize(
    "x", [X, X.round(1), X[:, :1], np.column_stack([X[:, 0], X[:, 1] > 0]), np.repeat(X[:300], 3, axis=0)]
)
@pytest.mark.parametrize("weight", [None, WEIGHT, np.full(900, 3)], ids=["once", "by class", "three times"])
def test_measurements_that_are_there_several_times_are_copies(x, weight):
    assert not kinds(x, x[:, 0] > 1, weight)


def test_text_and_missing_values_are_kinds_too():
    frame = pl.DataFrame({"s": ["a", "a", None, None], "x": [1.0, 1.0, None, None]})
    assert of_few_kinds(frame, np.ones(4))
    assert not of_few_kinds(pl.DataFrame({"s": ["a", "b", None], "x": [1.0, None, 2.0]}), np.full(3, 3.0))
    assert of_few_kinds(pl.DataFrame({"s": ["a", "b", None]}), np.full(3, 30.0))
