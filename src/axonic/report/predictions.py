"""Pictures and tables of the predictions, from what was kept of them (`axonic.report.evidence`)."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from axonic.report.plots import Axis, Note, Series, axis, clipped, percent, plot, short
from axonic.report.scores import units


def evaluation(kept: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of them: confusion, calibration, forecasts, predicted against true, residuals, the worst errors."""
    shown: dict[str, Any] = {
        "unit": units(result),
        "confusion": None,
        "forecasts": "",
        "figures": [],
        "worst": kept.get("worst", []),
        "part": kept.get("part"),
    }
    if "confusion" in kept:
        counts = np.array(kept["confusion"])
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        shown["confusion"] = [
            (label, [(int(n), round(9 * float(s)), i == j) for j, (n, s) in enumerate(zip(row, shares, strict=True))])
            for i, (label, row, shares) in enumerate(zip(kept["labels"], counts, share, strict=True))
        ]
    if kept.get("reliability"):
        bins = kept["reliability"]
        n = sum(b["n"] for b in bins)
        gap = sum(b["n"] * abs(b["accuracy"] - b["confidence"]) for b in bins) / n
        shown["figures"].append(
            plot(
                "reliability",
                "Calibration",
                f"Of the rows to which the network gives its answer with probability p, a share p should be right "
                f"(the diagonal). The mean gap is {percent(gap)} over {n} rows, in groups of "
                f"{', '.join(str(b['n']) for b in bins)}.",
                Axis("probability given", -0.03, 1.03),
                Axis("share that is right", -0.03, 1.03),
                [
                    Series("perfect", [0, 1], [0, 1], "rule", 3),
                    Series("rows", [b["confidence"] for b in bins], [b["accuracy"] for b in bins], "blobs", 1),
                    Series("rows", [b["confidence"] for b in bins], [b["accuracy"] for b in bins], "rule", 1),
                ],
                square=True,
            )
        )
    if "series" in kept:
        shown["forecasts"] = _forecasts(kept["series"], result)
    if "points" in kept:
        true, predicted = kept["points"]["true"], kept["points"]["predicted"]
        along = axis(f"true {clipped(result['target'], 30)}", [*true, *predicted])
        shown["figures"] += [
            plot(
                "predicted",
                "Predicted against true",
                f"Each of {len(true)} {units(result)} is a dot; on the diagonal a prediction is exact. "
                f"Correlation {short(_correlation(true, predicted))}.",
                along,
                along._replace(title="predicted"),
                [
                    Series("exact", [along.low, along.high], [along.low, along.high], "rule", 3),
                    Series("rows", true, predicted, "dots", 1),
                ],
                square=True,
            ),
            _residuals(kept["residuals"]),
        ]
    return shown


def _forecasts(series: Mapping[str, Any], result: Mapping[str, Any]) -> Markup:
    """The forecasts one step ahead, with what came before."""
    past, true, forecast = series["past"], series["true"], series["forecast"]
    steps, values = [*past["step"], *true["step"]], [*past["value"], *true["value"]]
    errors = (t - f for t, f in zip(true["value"], forecast, strict=True))
    rmse = short(math.hypot(*errors) / math.sqrt(len(forecast)))
    return plot(
        "forecasts",
        "Forecasts one step ahead",
        f"{len(forecast)} steps, each forecast from the {result['window']} before it; root mean square error {rmse}.",
        axis("step", steps, whole=True, pad=0.0),
        axis(clipped(result["target"], 30), [*values, *forecast]),
        [Series("series", steps, values, hue=1), Series("forecast", true["step"], forecast, hue=2, dashed=True)],
        [Note("forecast from here", true["step"][0])],
    )


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 and np.std(a) > 0 and np.std(b) > 0 else None


def _residuals(residuals: Mapping[str, Any]) -> Markup:
    edges, counts = residuals["edges"], residuals["counts"]
    middle = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    mean = sum(m * n for m, n in zip(middle, counts, strict=True)) / max(1, sum(counts))
    return plot(
        "residuals",
        "Residuals",
        f"True minus predicted, {sum(counts)} rows; their mean is about {short(mean)}. They should lie around 0.",
        axis("true - predicted", [*edges, 0.0], pad=0.02),
        Axis("rows", 0.0, 1.05 * max(1, *counts)),
        [Series("rows", edges, counts, "bars", 1)],
        [Note("", 0.0)],
    )


def importance(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = kept.get("importance", [])[:25]
    most = max((column["rise"] for column in found), default=0.0)
    return [
        {**column, "share": max(0.0, column["rise"] / most) if most > 0 else 0.0, "text": short(column["rise"])}
        for column in found
    ]
