"""What the examples share: where their pictures go, and lines in a chart."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from axonic.report.plots import Series, axis, picture

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
Curves = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def folder() -> Path:
    """The folder that the command line names, docs/pictures by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=PICTURES)
    return parser.parse_args().out


def lines(
    path: Path, curves: Curves, x: str, y: str, *, log: bool = False, points: bool = False, dots: Curves | None = None
) -> None:
    """Write curves, x and y values by their name, and dots as an SVG file."""
    dots = dots or {}
    drawn = [Series(name, xs, ys, hue=i) for i, (name, (xs, ys)) in enumerate(curves.items(), 1)]
    if points:
        drawn += [one._replace(form="dots") for one in drawn]
    drawn += [Series(name, xs, ys, "blobs", hue=i) for i, (name, (xs, ys)) in enumerate(dots.items(), len(curves) + 1)]
    across, up = (np.concatenate([np.asarray(one[i], float) for one in drawn]) for i in (1, 2))
    text = f"{y} against {x}: {', '.join([*curves, *dots])}."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture(path.stem, text, axis(x, across), axis(y, up, log=log), drawn))
