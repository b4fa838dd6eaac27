"""Charts, as Altair specifications and as SVG without a browser."""

from collections.abc import Mapping, Sequence
from typing import Any


def race_svg(result: Mapping[str, Any]) -> str:
    """The curves of a race (see `axonic.race.race`): training and validation loss against seconds, on a log scale, one
    line a rule, the best rules first in the legend."""
    import altair as alt  # takes longer to import than everything else

    rules: Sequence[Mapping[str, Any]] = result["rules"]
    names = [rule["name"] for rule in rules]
    points = [
        {"rule": rule["name"], "seconds": seconds, "loss": loss, "part": part}
        for rule in rules
        for part, column in (("training", "train"), ("validation", "valid"))
        for seconds, loss in zip(rule["curve"]["seconds"], rule["curve"][column], strict=True)
        if loss is not None and loss > 0
    ]
    scheme = "tableau10" if len(names) <= 10 else "tableau20"  # the latter puts two shades of a colour side by side
    highest = 3 * max((rule["curve"]["valid"][0] for rule in rules if rule["curve"]["valid"]), default=1.0)
    points = [point for point in points if point["loss"] <= highest]
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("seconds:Q", title="seconds", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("loss:Q", title="loss", scale=alt.Scale(type="log", nice=False)),
            color=alt.Color("rule:N", title="rule", scale=alt.Scale(domain=names, scheme=scheme)),
        )
        .properties(width=420, height=320)
        .facet(column=alt.Column("part:N", title=None))
    )
    return svg(chart)


def svg(chart: Any) -> str:
    """A chart as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.to_json())
