"""The losses over the epochs, as `history.csv` holds them."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from axonic.report.plots import Note, Series, axis, plot, short


def losses(result: Mapping[str, Any], history: str) -> list[Markup]:
    """Losses of each network against the epoch, with its plateau, the epoch that is kept and its branches."""
    run = next((stage for stage in result["stages"] if stage["stage"] == "run"), None)
    networks, figures = _tables(history), []
    for i, table in enumerate(networks):
        parts = {"training": "train_loss", "validation": "valid_loss", "test": "test_loss"}
        shown = {name: table[c] for name, c in parts.items() if c in table and np.isfinite(table[c]).any()}
        if not shown:
            continue
        epochs, notes = table["epoch"], []
        length = run["epochs"][i] if run and i < len(run["epochs"]) else len(epochs)
        if run and i < len(run["epochs"]):
            flat, kept = run["flat_from"][i], run["decision"][i]
            if flat < length:
                notes.append(Note(f"flat from {flat}", max(flat, 1), length))
            if kept >= 1:
                notes.append(Note(f"kept: {kept}", kept))
        rates = table.get("learning_rate", np.zeros(0))
        changed = [j for j in range(length, len(rates)) if j and rates[j] != rates[j - 1]]
        notes += [Note(f"branch at {short(float(rates[j]))}", float(epochs[j])) for j in changed]
        both = np.concatenate(list(shown.values()))
        ends = ", ".join(
            f"{name} from {short(first(values))} to {short(first(values[::-1]))}" for name, values in shown.items()
        )
        lowest = ""
        if "validation" in shown and np.isfinite(shown["validation"]).any():
            best = int(np.nanargmin(shown["validation"]))
            least = short(float(shown["validation"][best]))
            lowest = f" The validation loss is lowest at epoch {int(epochs[best])}: {least}."
        figures.append(
            plot(
                f"loss-{i + 1}",
                f"Loss of network {i + 1}" if len(networks) > 1 else "Loss",
                f"{len(epochs)} epochs; {ends}.{lowest} The test loss has decided nothing.",
                axis("epoch", [1, max(2, len(epochs))], whole=True, pad=0.0),
                axis("loss", _without_extremes(both), log=True),
                [Series(name, epochs.tolist(), v.tolist(), hue=h + 1) for h, (name, v) in enumerate(shown.items())],
                notes,
            )
        )
    return figures


def _tables(history: str) -> list[dict[str, np.ndarray]]:
    """The columns of history.csv, network by network; NaN where a value is empty."""
    return [
        {name: np.array([float(row[name] or "nan") for row in part]) for name in part[0] if name != "network"}
        for part in by_network(history)
    ]


def by_network(text: str) -> list[list[dict[str, str]]]:
    """The rows of history.csv or health.csv, network by network."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        found.setdefault(row["network"], []).append(row)
    return list(found.values())


def first(values: np.ndarray) -> float | None:
    """The first of the values that is finite, if one is."""
    finite = values[np.isfinite(values)]
    return float(finite[0]) if len(finite) else None


def _without_extremes(values: np.ndarray) -> np.ndarray:
    """Losses without what lies far above the first ones, so that a divergence does not flatten the picture."""
    finite = values[np.isfinite(values) & (values > 0)]
    return finite[finite <= 100 * np.median(finite)] if len(finite) else finite
