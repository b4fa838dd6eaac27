"""What the examples share: where their pictures go, and lines in a chart."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt

from axonic.report.charts import svg

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def folder() -> Path:
    """The folder that the command line names, docs/pictures by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=PICTURES)
    return parser.parse_args().out


def lines(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    *,
    log: bool = False,
    points: bool = False,
    dots: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {},
) -> None:
    """Write curves, x and y values by their name, and dots as an SVG file."""

    def drawn(kind: alt.Chart, named: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> alt.Chart:
        rows = [
            {"curve": name, "x": float(a), "y": float(b), "order": i}
            for name, (xs, ys) in named.items()
            for i, (a, b) in enumerate(zip(xs, ys, strict=True))
        ]
        names = alt.Scale(domain=[*curves, *dots], scheme="tableau10")
        return kind.properties(data=alt.Data(values=rows)).encode(
            x=alt.X("x:Q", title=x),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(type="log" if log else "linear", zero=False)),
            color=alt.Color("curve:N", title=None, scale=names),
            order="order:Q",
        )

    chart = drawn(alt.Chart().mark_line(point=points), curves)
    if dots:
        chart = chart + drawn(alt.Chart().mark_point(filled=True), dots)
    chart = chart.properties(width=460, height=300)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(chart) + "\n")
