"""Whether equal rows of a table are observations of a few kinds, or copies of one another."""

import numpy as np
import polars as pl

DIVIDED = 0.1
"""Share of the rows whose inputs come with several targets, from which on rows are observations."""
EXPECTED = 0.1
"""Share of other rows that would be of a kind that is there, were the columns independent, from which on equal rows are
to be expected."""


def of_few_kinds(inputs: pl.DataFrame, weight: np.ndarray) -> bool:
    """Whether equal rows are separate observations, as in a table of class, sex and age, where what happened to one
    says nothing about another. They are if inputs come with several targets, or if the columns are so coarse that their
    values meet by chance; a measured number that is there three times is a copy.

    Parameters
    ----------
    inputs : a row for each pair of inputs and target that is there.
    weight : (n,) how often it is there.
    """
    kind = inputs.hash_rows(seed=0).rank("dense").to_numpy() - 1
    total = weight.sum()
    if weight[np.bincount(kind)[kind] > 1].sum() >= DIVIDED * total:
        return True
    numbers = [column.n_unique() for column in inputs if column.dtype.is_numeric()]
    if numbers and 2 * max(numbers) > kind.max() + 1:  # one of measurements tells most kinds apart
        return False
    codes = [column.rank("dense").fill_null(0).to_numpy().astype(np.int64) for column in inputs]
    share = np.ones(len(weight))
    for code in codes:
        share *= (np.bincount(code, weights=weight) / total)[code]
    _, first = np.unique(kind, return_index=True)
    return bool(share[first].sum() >= EXPECTED)
