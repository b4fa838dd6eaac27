"""What is shown: on a terminal, and as a page that opens offline."""

from collections.abc import Mapping
from typing import Any


def n_scored(result: Mapping[str, Any], part: str) -> int:
    """How many rows the scores of a part are of: those of training, of a table that is read in parts, of a sample."""
    return result.get("n_sampled", result["n_train"]) if part == "train" else result[f"n_{part}"]
