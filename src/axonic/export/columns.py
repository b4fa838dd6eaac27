"""What stands around the networks: raw columns to encoded inputs, and output activations to predictions.

Steps of sequences are encoded as rows are, all of them one after the other.
"""

from collections.abc import Sequence

import numpy as np

from axonic.data.encoding import FARTHEST, Coding, TableEncoder
from axonic.data.sequences.windows import SeriesCoding
from axonic.data.targets import TargetEncoder
from axonic.data.values import MISSING
from axonic.errors import InputError
from axonic.export.graph import OWN, Graph

PREDICTION, PROBABILITIES, ARRAY, LENGTHS = "prediction", "probabilities", "x", "lengths"


def input_name(column: str) -> str:
    """The input of a column: its name, unless the graph needs that for itself."""
    taken = column in ("", PREDICTION, PROBABILITIES, LENGTHS) or column.startswith((OWN, "column "))
    return f"column {column}" if taken else column


def encoded(graph: Graph, encoder: TableEncoder, framed: bool, time: str | int | None = None) -> str:
    """The inputs and what `TableEncoder.encode` does to them.

    Parameters
    ----------
    graph : gets the inputs and nodes.
    encoder : of the model.
    framed : whether there is an input for each column, or one array for all.
    time : steps of the sequences, a number or a name for any number; None for rows.

    Returns
    -------
    (n, n_features) float, of sequences (n, time, n_features).
    """
    linear = [coding for coding in encoder.columns if coding.is_linear]
    others = [coding for coding in encoder.columns if coding.kind in ("category", "date")]
    names, raw = {}, ""
    if framed:
        for coding in encoder.columns:
            kind = "STRING" if coding.kind == "category" else "DOUBLE"
            whole = graph.input(input_name(coding.name), kind, ["n", 1 if time is None else time])
            names[coding.name] = whole if time is None else _in_one_column(graph, whole)
        if linear:
            raw = _concat(graph, [names[coding.name] for coding in linear])
    else:
        if others:
            what = f"one array can't hold the column {others[0].name!r} of the kind {others[0].kind!r}"
            raise InputError(what, "export with framed=True, an input for each column")
        steps = [] if time is None else [time]
        whole = raw = graph.input(ARRAY, "DOUBLE", ["n", *steps, len(linear)])
        if time is not None:
            raw = graph.add("Reshape", whole, graph.constant(np.array([-1, len(linear)])))
    blocks, slots = [], []
    places = dict(zip((coding.name for coding in encoder.columns), encoder.slots, strict=True))
    if linear:
        blocks += _numbers(graph, linear, raw, FARTHEST if encoder.standardize else float(np.finfo(np.float32).max))
        slots += [places[coding.name].start for coding in linear]
        slots += [places[coding.name].start + 1 for coding in linear if coding.has_missing]
    for coding in others:
        place = places[coding.name]
        if coding.kind == "category":
            blocks.append(_levels(graph, coding, names[coding.name]))
            slots += range(place.start, place.stop)
        elif coding.cycles:
            blocks.append(_cycles(graph, coding, names[coding.name]))
            slots += range(place.stop - 2 * len(coding.cycles), place.stop)
    matrix = _concat(graph, blocks)
    order = np.argsort(slots)
    if (order != np.arange(len(order))).any():
        matrix = graph.add("Gather", matrix, graph.constant(order.astype(np.int64)), axis=1)
    if time is None:
        return matrix
    steps = graph.add("Shape", whole, start=0, end=2)
    shape = graph.add("Concat", steps, graph.constant(np.array([encoder.n_features])), axis=0)
    return graph.add("Reshape", matrix, shape)


def _in_one_column(graph: Graph, x: str) -> str:
    return graph.add("Reshape", x, graph.constant(np.array([-1, 1])))


def from_windows(graph: Graph, coding: SeriesCoding, encoder: TableEncoder, framed: bool) -> tuple[str, str]:
    """Windows of a series as inputs, and what `SeriesCoding` makes of them: the network's inputs, (n, window,
    n_features) float, and what its numbers are added to, (n, horizon) or (n, 1) double."""
    x = encoded(graph, encoder, framed, coding.window)
    whole = graph.constant(np.array([coding.window], np.int32))
    graph.lengths = graph.add("Expand", whole, graph.add("Shape", x, start=0, end=1))
    if coding.relative:
        own = _cut(graph, x, 2, 0, 1)
        changes = graph.add("Sub", own, _cut(graph, own, 1, -1, None))
        changes = graph.add("Div", changes, graph.constant(np.float32(coding.scale)))
        rest = _cut(graph, x, 2, 1, None)
        x = graph.add("Concat", changes, rest, axis=2)
    values = input_name(encoder.columns[0].name)
    if not framed:
        values = graph.add("Gather", ARRAY, graph.constant(np.int64(0)), axis=2)
    last = _cut(graph, values, 1, -1, None)
    base = last if coding.relative else graph.constant(np.array([[coding.center]]))
    if not coding.linear:
        return x, base
    weights = np.array(coding.linear)
    products = graph.add("MatMul", graph.add("Sub", values, base), graph.constant(weights[:-1]))
    return x, graph.add("Add", graph.add("Add", base, products), graph.constant(weights[-1:]))


def _cut(graph: Graph, x: str, axis: int, begin: int, end: int | None) -> str:
    """x[begin:end] along an axis."""
    places = (begin, np.iinfo(np.int64).max if end is None else end, axis)
    return graph.add("Slice", x, *(graph.constant(np.array([place])) for place in places))


def _concat(graph: Graph, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _numbers(graph: Graph, codings: Sequence[Coding], raw: str, limit: float) -> list[str]:
    """Standardised numbers, and a 1 for each missing value of the columns that have an indicator."""
    gaps = graph.add("IsNaN", raw)
    fill, low, high, center, scale = (
        graph.constant(np.array([[getattr(coding, name) for coding in codings]]))
        for name in ("fill", "low", "high", "center", "scale")
    )
    full = graph.add("Where", gaps, fill, raw)
    full = graph.add("Max", graph.add("Min", full, high), low)
    z = graph.add("Div", graph.add("Sub", full, center), scale)
    z = graph.add("Clip", z, graph.constant(-limit), graph.constant(limit))
    blocks = [graph.cast(z, "FLOAT")]
    flagged = [i for i, coding in enumerate(codings) if coding.has_missing]
    if flagged:
        blocks.append(graph.cast(graph.add("Gather", gaps, graph.constant(np.array(flagged)), axis=1), "FLOAT"))
    return blocks


def _levels(graph: Graph, coding: Coding, raw: str) -> str:
    """A 1 in the slot of each row's level."""
    other = len(coding.levels) + coding.has_missing
    place = {text: len(coding.levels) if coding.has_missing else other for text in MISSING}
    place |= {level: i for i, level in enumerate(coding.levels)}
    codes = graph.add(
        "LabelEncoder",
        raw,
        domain="ai.onnx.ml",
        keys_strings=list(place),
        values_int64s=list(place.values()),
        default_int64=other,
    )
    flat = graph.add("Reshape", codes, graph.constant(np.array([-1])))
    zero_one = graph.constant(np.array([0, 1], np.float32))
    return graph.add("OneHot", flat, graph.constant(np.array([other + 1])), zero_one, axis=1)


def _cycles(graph: Graph, coding: Coding, days: str) -> str:
    """Sine and cosine of the place in each cycle; 0 and 0 where the date is missing."""
    gaps = graph.add("IsNaN", days)
    days = graph.add("Where", gaps, graph.constant(np.zeros((1, 1))), days)
    whole = graph.add("Floor", days)
    parts = []
    for cycle in coding.cycles:
        if cycle == "day":
            turn = days
        elif cycle == "week":
            turn = _scaled(graph, days, 3.0, 7.0)  # 1970 began on a Thursday
        else:
            within = graph.add("Add", _day_of_year(graph, whole), graph.add("Sub", days, whole))
            turn = graph.add("Div", within, graph.constant(365.25))
        angle = graph.add("Mul", graph.add("Sub", turn, graph.add("Floor", turn)), graph.constant(2 * np.pi))
        parts += [graph.add(wave, angle) for wave in ("Sin", "Cos")]
    waves = graph.add("Where", gaps, graph.constant(np.zeros((1, 1))), _concat(graph, parts))
    return graph.cast(waves, "FLOAT")


def _scaled(graph: Graph, x: str, shift: float, by: float) -> str:
    return graph.add("Div", graph.add("Add", x, graph.constant(shift)), graph.constant(by))


def _day_of_year(graph: Graph, days: str) -> str:
    """The day of the year from 0, of whole days since 1970, in the Gregorian calendar.

    Years are taken to begin in March, so that a leap day is a year's last: 400 years from March have 146,097 days
    (Howard Hinnant, "chrono-compatible low-level date algorithms", 2013, civil_from_days).
    """

    def constant(value: int) -> str:
        return graph.constant(float(value))

    def floors(x: str, by: int) -> str:
        return graph.add("Floor", graph.add("Div", x, constant(by)))

    shifted = graph.add("Add", days, constant(719_468))
    era = floors(shifted, 146_097)
    day = graph.add("Sub", shifted, graph.add("Mul", era, constant(146_097)))
    year = graph.add("Sub", day, floors(day, 1460))
    year = graph.add("Sub", graph.add("Add", year, floors(day, 36_524)), floors(day, 146_096))
    year = floors(year, 365)
    before = graph.add("Add", graph.add("Mul", year, constant(365)), floors(year, 4))
    march = graph.add("Sub", day, graph.add("Sub", before, floors(year, 100)))
    is_leap = graph.add("Sub", _divisible(graph, year, 4), _divisible(graph, year, 100))
    is_leap = graph.add("Add", is_leap, _divisible(graph, year, 400))
    from_march = graph.add("Add", graph.add("Add", march, constant(59)), is_leap)
    in_winter = graph.add("Less", march, constant(306))
    return graph.add("Where", in_winter, from_march, graph.add("Sub", march, constant(306)))


def _divisible(graph: Graph, year: str, by: int) -> str:
    """1 where a year (of 400, from 0) is divisible by a number, else 0."""
    quotient = graph.add("Div", year, graph.constant(float(by)))
    return graph.cast(graph.add("Equal", quotient, graph.add("Floor", quotient)), "DOUBLE")


def decoded(graph: Graph, a: str, target: TargetEncoder, by_step: bool, origin: str = "") -> None:
    """From output activations to the outputs: labels and probabilities, or numbers in the units of the target.

    Parameters
    ----------
    graph : gets the nodes and outputs.
    a : output activations, (n, n_out) or (n, time, n_out).
    target : of the model.
    by_step : whether there is one for each step of a sequence.
    origin : what numbers are added to; "" for nothing.
    """
    a = graph.cast(a, "DOUBLE")
    rows = ["n", "time"] if by_step else ["n"]
    if target.task == "regression":
        scaled = graph.add("Mul", a, graph.constant(np.array([target.scale])))
        numbers = graph.add("Add", scaled, graph.constant(np.array([target.center])))
        numbers = graph.add("Add", numbers, origin) if origin else numbers
        graph.output(PREDICTION, "DOUBLE", [*rows, target.n_out], numbers)
        return
    if target.task == "multilabel":
        likely = graph.add("Greater", a, graph.constant(0.5))
        graph.output(PREDICTION, "INT64", [*rows, target.n_out], graph.cast(likely, "INT64"))
        graph.output(PROBABILITIES, "DOUBLE", [*rows, target.n_out], a)
        return
    if target.n_out == 2 and graph.n_out == 1:
        p = graph.add("Concat", graph.add("Sub", graph.constant(1.0), a), a, axis=-1)
    else:
        p = graph.add("Div", a, graph.add("ReduceSum", a, graph.constant(np.array([-1]))))
    labels = graph.constant(target.classes)
    kind = {"str": "STRING", "int": "INT64", "float": "DOUBLE", "bool": "BOOL"}[target.label_type]
    graph.output(PREDICTION, kind, rows, graph.add("Gather", labels, graph.add("ArgMax", p, axis=-1, keepdims=0)))
    graph.output(PROBABILITIES, "DOUBLE", [*rows, target.n_out], p)
