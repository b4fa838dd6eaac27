"""Pictures of what goes on through time in a recurrent network: as a file of its own, and on the page of a fit."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from markupsafe import Markup

from axonic.report.curves import first
from axonic.report.plots import HUES, Series, axis, plot, short

WIDTH, HEIGHT, MARGIN = 560, 360, 60
COLOURS = ("#1f6fb4", "#d1702a", "#3b8f4a", "#8a5bb0", "#a04040", "#607080")


def through_time_svg(layers: Sequence[Any]) -> str:
    """How an error at the last step fades or grows on its way back through time: the size of delta, relative to that at
    the last step, against the steps before it, on a log scale, one line a layer
    (`axonic.diagnosis.sequences.ThroughTime`)."""
    curves = [(layer.where, np.flatnonzero(np.nan_to_num(layer.reach) > 0), layer.reach) for layer in layers]
    values = np.concatenate([np.log10(reach[steps]) for _, steps, reach in curves] or [np.zeros(0)])
    low, high = np.floor(min(values.min(initial=0), -1)), np.ceil(max(values.max(initial=0), 0))
    longest = max((int(steps.max(initial=1)) for _, steps, _ in curves), default=1)

    def place(step: Any, power: Any) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / longest
        y = MARGIN + (HEIGHT - 2 * MARGIN) * (high - power) / (high - low)
        return f"{x:.1f},{y:.1f}"

    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {box}>']
    parts.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    for power in np.arange(low, high + 1, max(1, (high - low) // 8)):
        x, y = place(0, power).split(",")
        parts.append(f'<line x1="{x}" x2="{WIDTH - MARGIN}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y}" text-anchor="end" dy="4">1e{power:.0f}</text>')
    for step in np.unique(np.linspace(0, longest, 6).round()):
        x, y = place(step, low).split(",")
        parts.append(f'<text x="{x}" y="{y}" text-anchor="middle" dy="16">{step:.0f}</text>')
    middle = WIDTH / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 16}" text-anchor="middle">steps before the last</text>')
    parts.append(f'<text x="{MARGIN}" y="{MARGIN - 16}">size of delta, 1 at the last step</text>')
    for number, (where, steps, reach) in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(place(step, float(np.log10(reach[step]))) for step in steps.tolist())
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = MARGIN + 16 * (number + 1)
        parts.append(f'<text x="{WIDTH - MARGIN}" y="{y}" text-anchor="end" fill="{colour}">{escape(where)}</text>')
    return "\n".join([*parts, "</svg>"])


def through_time(kept: Mapping[str, Any]) -> Markup | str:
    """How an error at the last step fades or grows on its way back, by layer."""
    layers = kept.get("through_time", [])
    values = [v for layer in layers for v in layer["reach"]]
    if not any(v > 0 for v in values):
        return ""
    longest = max(len(layer["reach"]) for layer in layers)
    told = "; ".join(f"{layer['where']} {short(first(np.array(layer['reach'][::-1])))}" for layer in layers)
    return plot(
        "through-time",
        "An error on its way back through time",
        f"The size of delta, 1 at the last step. At the first step of {longest}: {told}.",
        axis("steps before the last", [0, max(1, longest - 1)], whole=True, pad=0.0),
        axis("size of delta", values, log=True),
        [
            Series(
                layer["where"],
                list(range(len(layer["reach"]))),
                [v or math.nan for v in layer["reach"]],
                hue=i % len(HUES) + 1,
            )
            for i, layer in enumerate(layers)
        ],
    )
