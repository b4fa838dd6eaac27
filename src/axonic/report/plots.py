"""Pictures as SVG, drawn by hand: they are there without a script, in print and for a screen reader, and follow the
colours of the page. A small script (`templates/script.js`) adds a legend that filters, a readout, zoom and the width of
the window.

What is drawn lies in a nested `<svg>` with coordinates from 0 to `SPAN` in both directions, so that another size or a
zoom is another size or viewBox of that one element, and a picture of any size is some kilobytes.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from markupsafe import Markup

SPAN = 1000
WIDTH, HEIGHT = 680, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 44
LINE_POINTS = 400


class Axis(NamedTuple):
    """From values to places: "linear" or "log", from `low` to `high`."""

    title: str
    low: float
    high: float
    kind: Literal["linear", "log"] = "linear"
    whole: bool = False

    def place(self, values: Any) -> np.ndarray:
        """From 0 at `low` to `SPAN` at `high`."""
        v, low, high = np.asarray(values, float), self.low, self.high
        if self.kind == "log":
            v, low, high = np.log10(np.maximum(v, 1e-300)), math.log10(low), math.log10(high)
        return np.asarray(SPAN * (v - low) / (high - low))

    def ticks(self, most: int) -> list[float]:
        """Round values, about `most` of them."""
        if self.kind == "log":
            decades = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
            if len(decades) >= 2:
                return [10.0**d for d in decades[:: math.ceil(len(decades) / most)]]
        step = _round_up((self.high - self.low) / most)
        if self.whole:
            step = max(1.0, step)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_up(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def axis(title: str, values: Any, *, log: bool = False, whole: bool = False, pad: float = 0.04) -> Axis:
    """An axis that holds these values, of which those that are not finite (or on a log axis not positive) count for
    nothing."""
    v = np.asarray(values, float).ravel()
    v = v[np.isfinite(v)]
    if log:
        v = v[v > 0]
        if len(v) == 0:
            return Axis(title, 0.1, 1.0, "log")
        low, high = math.log10(v.min()), math.log10(v.max())
        room = max(pad * (high - low), 0.05)
        return Axis(title, 10 ** max(low - room, -307.0), 10 ** min(high + room, 307.0), "log")
    if len(v) == 0:
        return Axis(title, 0.0, 1.0, whole=whole)
    low, high = float(v.min()), float(v.max())
    room = pad * (high - low) if high > low else max(abs(high) * 0.05, 0.5)
    return Axis(title, low - room, high + room, whole=whole)


class Series(NamedTuple):
    """One thing drawn: a "line", "dots", large ones as "blobs", "bars" (x holds one edge more than y), or a thin "rule"
    that has no legend."""

    name: str
    x: Sequence[Any]
    y: Sequence[Any]
    form: Literal["line", "dots", "blobs", "bars", "rule"] = "line"
    hue: int = 1
    dashed: bool = False


class Note(NamedTuple):
    """A line across the picture at a value of x, with words; or a band from x to `to`."""

    text: str
    x: float
    to: float | None = None


def plot(
    name: str,
    title: str,
    text: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    notes: Sequence[Note] = (),
    *,
    square: bool = False,
) -> Markup:
    """A figure.

    Parameters
    ----------
    name : an identifier, unique on the page.
    title, text : the heading, and what the picture shows in words, for those who don't see it.
    x, y, series, notes : what is drawn.
    square : whether both directions have the same length.
    """
    width, height = (420, 420) if square else (WIDTH, HEIGHT)
    inner = width - LEFT - RIGHT, height - TOP - BOTTOM
    paths = [_note_path(note, x) for note in notes]
    paths += [_path(i, one, x, y) for i, one in enumerate(series)]
    about = {
        "x": [x.kind, x.low, x.high, x.whole, x.title],
        "y": [y.kind, y.low, y.high, y.whole, y.title],
        "names": [one.name for one in series],
        "forms": [one.form for one in series],
        "ratio": 1 if square else round(height / width, 4),
    }
    words = [
        Markup('<text data-at="{}" x="{:.1f}" y="{}">{}</text>').format(
            round(place, 2), LEFT + (place / SPAN) * inner[0] + 4, TOP + 12 + 15 * i, note.text
        )
        for i, note in enumerate(notes)
        for place in (float(x.place(note.x)),)
        if note.text
    ]
    svg = Markup(
        '<svg class="plot" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d" tabindex="0" '
        'data-plot="{about}"><title id="{n}-t">{title}</title><desc id="{n}-d">{text}</desc>'
        '<g class="grid">{grid}</g><svg class="inner" x="{l}" y="{t}" width="{iw}" height="{ih}" '
        'viewBox="0 0 {s} {s}" preserveAspectRatio="none">{paths}</svg><g class="words">{words}</g>'
        '<text class="axis" x="{xx}" y="{xy}" text-anchor="middle">{xt}</text>'
        '<text class="axis y" transform="translate(13 {yy}) rotate(-90)" text-anchor="middle">{yt}</text></svg>'
    ).format(
        w=width, h=height, n=name, about=json.dumps(about), title=title, text=text,
        grid=_grid(x, y, inner), l=LEFT, t=TOP, iw=inner[0], ih=inner[1], s=SPAN, paths=Markup("").join(paths),
        words=Markup("").join(words), xx=LEFT + inner[0] / 2, xy=height - 6, xt=x.title, yy=TOP + inner[1] / 2,
        yt=y.title,
    )  # fmt: skip
    return _figure(name, title, text, svg, series, square)


ALONE = (
    "svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#333}.grid path{stroke:#e3e6ea;fill:none}"
    ".inner path{vector-effect:non-scaling-stroke;fill:none;stroke-linejoin:round}.line{stroke-width:1.8}"
    ".dots{stroke-width:5.5;stroke-linecap:round;opacity:.7}.blobs{stroke-width:10;stroke-linecap:round}"
    ".inner .dashed{stroke-dasharray:6 3}"
)
"""The style of a picture that stands alone."""
HUES = ("#3b6fd4", "#d9622b", "#2f9e6e", "#b0429c", "#8a6d1d", "#5b5bd6", "#c23b4b", "#2a8ca8", "#6b7280", "#7a9b22")


def picture(title: str, text: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """The same as a file of its own, with a legend and no script; see `plot`."""
    inner = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    named = list({one.name: one for one in series if one.form != "rule"}.values())
    paths = Markup("").join(_path(i, one, x, y) for i, one in enumerate(series))
    keys, at = [], LEFT
    for one in named:
        colour = HUES[(one.hue - 1) % len(HUES)]
        keys.append(
            Markup('<path d="M{},{}h18" stroke="{}" stroke-width="3"/><text x="{}" y="{}">{}</text>').format(
                at, HEIGHT + 12, colour, at + 24, HEIGHT + 16, one.name
            )
        )
        at += 40 + 7 * len(one.name)
    style = ALONE + "".join(f".h{i}{{stroke:{colour};color:{colour}}}" for i, colour in enumerate(HUES, 1))
    return str(
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" role="img" aria-labelledby="t d">'
            '<title id="t">{title}</title><desc id="d">{text}</desc><style>{style}</style>'
            '<rect width="{w}" height="{h}" fill="#fff"/><g class="grid">{grid}</g>'
            '<svg class="inner" x="{l}" y="{t}" width="{iw}" height="{ih}" viewBox="0 0 {s} {s}" '
            'preserveAspectRatio="none">{paths}</svg><text x="{xx}" y="{xy}" text-anchor="middle">{xt}</text>'
            '<text transform="translate(13 {yy}) rotate(-90)" text-anchor="middle">{yt}</text>{keys}</svg>\n'
        ).format(
            w=WIDTH, h=HEIGHT + 26, title=title, text=text, style=Markup(style), grid=_grid(x, y, inner), l=LEFT, t=TOP,
            iw=inner[0], ih=inner[1], s=SPAN, paths=paths,
            xx=LEFT + inner[0] / 2, xy=HEIGHT - 6, xt=x.title, yy=TOP + inner[1] / 2, yt=y.title,
            keys=Markup("").join(keys),
        )
    )  # fmt: skip


def _figure(name: str, title: str, text: str, svg: Markup, series: Sequence[Series], square: bool) -> Markup:
    named = [(i, one) for i, one in enumerate(series) if one.form != "rule"]
    keys = Markup("").join(
        Markup('<button type="button" aria-pressed="true" data-series="{}"><i class="h{}{}"></i>{}</button>').format(
            i, one.hue, " dashed" if one.dashed else "", one.name
        )
        for i, one in named
    )
    legend = Markup('<div class="legend" role="group" aria-label="Legend">{}</div>').format(keys)
    return Markup(
        '<figure id="{n}" class="chart{sq}"><figcaption><h3>{title}</h3><p>{text}</p></figcaption>{legend}{svg}'
        '<div class="tools"><output aria-live="polite"></output><span><button type="button" data-zoom="in" '
        'aria-label="zoom in">+</button><button type="button" data-zoom="out" aria-label="zoom out">−</button>'
        '<button type="button" data-zoom="all">all</button></span></div></figure>'
    ).format(
        n=name, sq=" square" if square else "", title=title, text=text,
        legend=legend if len(named) > 1 else "", svg=svg,
    )  # fmt: skip


def _grid(x: Axis, y: Axis, inner: tuple[int, int]) -> Markup:
    parts = []
    for value in x.ticks(7):
        at = LEFT + float(x.place(value)) / SPAN * inner[0]
        parts.append(
            Markup('<path d="M{0:.1f},{1}V{2}"/><text x="{0:.1f}" y="{3}" text-anchor="middle">{4}</text>').format(
                at, TOP, TOP + inner[1], TOP + inner[1] + 16, short(value)
            )
        )
    for value in y.ticks(5):
        at = TOP + (1 - float(y.place(value)) / SPAN) * inner[1]
        parts.append(
            Markup('<path d="M{0},{1:.1f}H{2}"/><text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>').format(
                LEFT, at, LEFT + inner[0], LEFT - 6, at + 4, short(value)
            )
        )
    return Markup("").join(parts)


def _path(index: int, one: Series, x: Axis, y: Axis) -> Markup:
    classes = f"{one.form} h{one.hue}" + (" dashed" if one.dashed else "")
    return Markup('<path class="{}" data-series="{}" d="{}"/>').format(classes, index, _drawn(one, x, y))


def _drawn(one: Series, x: Axis, y: Axis) -> str:
    """The path of a series: what is not finite, or can't be on a log axis, is a gap."""
    if one.form == "bars":
        edges, heights = x.place(one.x), SPAN - y.place(one.y)
        return "".join(
            f"M{a:.1f},{SPAN}V{h:.1f}H{b:.1f}V{SPAN}" for a, b, h in zip(edges[:-1], edges[1:], heights, strict=True)
        )
    xs, ys = np.asarray(one.x, float), np.asarray(one.y, float)
    if one.form == "line" and len(xs) > LINE_POINTS:
        xs, ys = thinned(xs, ys, LINE_POINTS)
    shown = np.isfinite(xs) & np.isfinite(ys)
    for v, along in ((xs, x), (ys, y)):
        shown &= (v > 0) | (along.kind == "linear")
    px, py = x.place(np.where(shown, xs, 1)), SPAN - y.place(np.where(shown, ys, 1))
    if one.form in ("dots", "blobs"):
        return "".join(f"M{a:.1f},{b:.1f}h0" for a, b in zip(px[shown], py[shown], strict=True))
    parts, drawing = [], False
    for a, b, ok in zip(px, py, shown, strict=True):
        if ok:
            parts.append(f"{'L' if drawing else 'M'}{a:.1f},{b:.1f}")
        drawing = bool(ok)
    return "".join(parts)


def thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a curve: the lowest and the highest of each stretch, so that no peak is lost."""
    keep = [0, len(x) - 1]
    for part in np.array_split(np.arange(len(x)), most // 2):
        values = np.where(np.isfinite(y[part]), y[part], -np.inf)
        keep += [part[values.argmax()], part[np.where(np.isfinite(y[part]), y[part], np.inf).argmin()]]
    index = np.unique(keep)
    return x[index], y[index]


def _note_path(note: Note, x: Axis) -> Markup:
    at = float(x.place(note.x))
    if note.to is None:
        return Markup('<path class="note" d="M{:.1f},0V{}"/>').format(at, SPAN)
    return Markup('<path class="band" d="M{0:.1f},0H{1:.1f}V{2}H{0:.1f}Z"/>').format(at, float(x.place(note.to)), SPAN)


HEAT = 10
"""Shades of a heat map."""


def heat(
    name: str, title: str, text: str, rows: Sequence[str], x: Sequence[Any], values: np.ndarray, *, log: bool
) -> Markup:
    """A heat map: a row for each name, a column for each x, darker where the value is larger (logarithmically if
    `log`); values that are not finite are left out."""
    height = 24 * len(rows) + BOTTOM + TOP
    inner = WIDTH - 2 * LEFT - RIGHT, height - TOP - BOTTOM
    shades = np.log10(np.maximum(values, 1e-300)) if log else np.asarray(values, float)
    shades = np.where(np.isfinite(values) & ((values > 0) | (not log)), shades, np.nan)
    low, high = (np.nanmin(shades), np.nanmax(shades)) if np.isfinite(shades).any() else (0.0, 1.0)
    level = np.clip((shades - low) / (high - low if high > low else 1.0) * (HEAT - 1), 0, HEAT - 1)
    edges = np.linspace(0, SPAN, len(x) + 1)
    parts = []
    for shade in range(HEAT):
        cells = np.argwhere(np.round(level) == shade)
        if len(cells):
            d = "".join(
                f"M{edges[j]:.1f},{SPAN * i / len(rows):.1f}H{edges[j + 1]:.1f}"
                f"V{SPAN * (i + 1) / len(rows):.1f}H{edges[j]:.1f}Z"
                for i, j in cells
            )
            parts.append(Markup('<path class="s{}" d="{}"/>').format(shade, d))
    left = 2 * LEFT
    labels = [
        Markup('<text class="row" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            left - 6, TOP + (i + 0.5) / len(rows) * inner[1] + 4, clipped(row, 16)
        )
        for i, row in enumerate(rows)
    ]
    labels += [
        Markup('<text data-at="{:.4f}" x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            (j + 0.5) / len(x), left + (j + 0.5) / len(x) * inner[0], TOP + inner[1] + 16, short(float(x[j]))
        )
        for j in range(0, len(x), -(-len(x) // 8))
    ]
    about = {
        "rows": [clipped(row, 40) for row in rows],
        "x": [round(float(v), 2) for v in x],
        "values": [[float(f"{v:.3g}") if np.isfinite(v) else None for v in row] for row in values],
    }
    svg = Markup(
        '<svg class="heat" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-t {n}-d" tabindex="0" '
        'data-heat="{about}"><title id="{n}-t">{title}</title><desc id="{n}-d">{text}</desc>'
        '<svg class="inner" x="{l}" y="{t}" width="{iw}" height="{ih}" viewBox="0 0 {s} {s}" '
        'preserveAspectRatio="none">{parts}</svg><g class="grid">{labels}</g>'
        '<text class="axis" x="{xx}" y="{xy}" text-anchor="middle">epoch</text></svg>'
    ).format(
        w=WIDTH, h=height, n=name, about=json.dumps(about), title=title, text=text, l=left, t=TOP, iw=inner[0],
        ih=inner[1], s=SPAN, parts=Markup("").join(parts), labels=Markup("").join(labels),
        xx=left + inner[0] / 2, xy=height - 6,
    )  # fmt: skip
    scale = Markup('<span class="ramp" aria-hidden="true"></span>')
    ends = (10**low, 10**high) if log else (low, high)
    return Markup(
        '<figure id="{}" class="chart"><figcaption><h3>{}</h3><p>{}</p></figcaption>{}<div class="tools">'
        '<output aria-live="polite"></output><span class="scale">{} {} {}</span></div></figure>'
    ).format(name, title, text, svg, short(float(ends[0])), scale, short(float(ends[1])))


def spark(values: Sequence[Any], low: float, high: float) -> Markup:
    """A curve the size of a word on a log axis, the same for all of a column: decoration beside its figures."""
    v = np.array([math.nan if value is None else value for value in values], float)
    along, up = Axis("", 0.0, max(1.0, len(v) - 1.0)), Axis("", low, max(high, low * 1.01), "log")
    d = _drawn(Series("", np.arange(len(v)).tolist(), np.clip(v, low, high).tolist()), along, up)
    return Markup(
        '<svg class="spark" viewBox="-20 -60 1040 1120" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="line h1" d="{}"/></svg>'
    ).format(d)


def short(value: Any) -> str:
    """A number in few characters."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 999.5 <= abs(value) < 999_999.5:
        return f"{value:.0f}"
    if 1e-3 <= abs(value) < 999.5:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.{2 if abs(value) > 1 else 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def clipped(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"
