"""What the layers were like over the epochs: heat maps of `health.csv` (see `axonic.health`)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from axonic.health import noise_scale
from axonic.report.curves import by_network
from axonic.report.plots import heat, short

HEALTH_COLUMNS = 100
QUANTITIES = {
    "delta_rms": ("Deltas", "Root mean square of delta: how strongly the loss asks a layer to change.", True),
    "saturated": ("Saturation", "Share of the change asked for that is lost where an activation is flat.", False),
    "dead": ("Dead units", "Share of the units whose slope is 0 at every row.", False),
    "update_ratio": ("Update ratio", "Size of a step over the size of the weights.", True),
    "z_rms": ("Pre-activations", "Root mean square of z.", True),
    "a_rms": ("Activations", "Root mean square of a.", True),
    "weight_rms": ("Weights", "Root mean square of w.", True),
    "gradient_rms": ("Gradients", "Root mean square of dL/dw.", True),
    "sign_flips": ("Moves against the gradient", "Share of the weights that a step has moved against it.", False),
    "noise_scale": (
        "Gradient noise",
        "The batch size at which noise and signal of the gradient balance: the moving average of gradient_noise over "
        "that of gradient_signal.",
        True,
    ),
}
"""Of the columns of health.csv, in the order in which they are shown: title, words, and whether the shades are
logarithmic."""
RECENT = 0.9
"""What a column of the picture of the noise scale keeps of the sums of the one before it."""


def healths(text: str) -> list[list[dict[str, Any]]]:
    """The heat maps of health.csv, network by network."""
    return [_health(rows, f"health-{i}" if i else "health") for i, rows in enumerate(by_network(text))]


def _health(rows: Sequence[Mapping[str, str]], key: str) -> list[dict[str, Any]]:
    """A heat map for each quantity of the rows of a network."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    epochs = sorted({int(float(row["epoch"])) for row in rows})
    place = {epoch: min(j * HEALTH_COLUMNS // max(len(epochs), HEALTH_COLUMNS), j) for j, epoch in enumerate(epochs)}
    n_columns = max(place.values()) + 1
    starts = [next(epoch for epoch in epochs if place[epoch] == j) for j in range(n_columns)]
    cells, means = {}, {}
    for name in (name for name in rows[0] if name not in ("network", "epoch", "layer")):
        sums, counts = np.zeros((len(layers), n_columns)), np.zeros((len(layers), n_columns))
        for row in rows:
            try:
                value = float(row[name] or "nan")
            except ValueError:
                value = math.nan
            if math.isfinite(value):
                cell = layers.index(row["layer"]), place[int(float(row["epoch"]))]
                sums[cell] += value
                counts[cell] += 1
        cells[name] = sums
        means[name] = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    if {"gradient_noise", "gradient_signal"} <= means.keys():
        noise, signal = cells["gradient_noise"], cells["gradient_signal"]
        for j in range(1, n_columns):
            noise[:, j] += RECENT * noise[:, j - 1]
            signal[:, j] += RECENT * signal[:, j - 1]
        means["noise_scale"] = noise_scale(noise, signal)
        del means["gradient_noise"], means["gradient_signal"]
    maps = []
    known = [name for name in QUANTITIES if name in means]
    for name in [*known, *(name for name in means if name not in known)]:
        values = means[name]
        if not np.isfinite(values).any():
            continue
        title, words, log = QUANTITIES.get(name, (name.replace("_", " "), "", False))
        if np.nanmin(values) == np.nanmax(values):
            maps.append(
                {"figure": "", "name": title, "words": f"{words} {short(float(np.nanmax(values)))} throughout."}
            )
            continue
        mean = {layer: np.nanmean(v) for layer, v in zip(layers, values, strict=True) if np.isfinite(v).any()}
        high = max(mean, key=lambda layer: mean[layer])
        words += f" Highest on average in layer {high}: {short(float(mean[high]))}."
        names = [f"layer {layer}" for layer in layers]
        figure = heat(f"{key}-{name}", title, words.strip(), names, starts, values, log=log)
        maps.append({"figure": figure, "name": title, "words": ""})
    return maps
