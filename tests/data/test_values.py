"""Values: columns as numbers and dates, what is missing, and how narrow a type may be."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from axonic.data.values import as_dates, as_numbers, missing, narrow
from axonic.errors import InputError


def test_missing_counts_null_nan_and_tokens():
    frame = pl.DataFrame({"x": [1.0, None, float("nan")], "s": ["a", " NA ", None], "n": [1, None, 3]})
    assert [missing(column).to_list() for column in frame] == [
        [False, True, True],
        [False, True, True],
        [False, True, False],
    ]


def test_values_that_do_not_fit_are_named_with_their_row():
    with pytest.raises(InputError, match=r"'tall' is not a number \(column 'h', row 3\)"):
        as_numbers(pl.Series("h", ["1", "?", "tall"]))
    with pytest.raises(InputError, match=r"'soon' is not a date as 1970-01-01 \(column 'd', row 12\)"):
        as_dates(pl.Series("d", ["2020-01-01", "soon"]), "%Y-%m-%d", rows=[10, 11])
    with pytest.raises(InputError, match="type Date where numbers should be"):
        as_numbers(pl.Series("h", [date(2020, 1, 1)]))
    with pytest.raises(InputError, match="where dates should be"):
        as_dates(pl.Series("d", [1]), "")


def test_narrowing_changes_a_value_by_at_most_a_hundred_thousandth_of_the_spread():
    rng = np.random.default_rng(0)
    for offset in (0.0, 1.0, 1e2, 1e4, 1e6, 1e12):
        for spread in (1e-6, 1.0, 1e6):
            values = offset + spread * rng.normal(size=500)
            narrowed = narrow(pl.Series(values)).cast(pl.Float64).to_numpy()
            assert np.abs(narrowed - values).max() <= 1e-5 * values.std()
