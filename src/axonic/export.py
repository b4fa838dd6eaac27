"""ONNX: a model as one file that runs without axonic, encoders included.

Raw columns go in and predictions come out:

    kind of column  input, shape (n, 1)   a missing value
    number          double                NaN
    boolean         double, 0 or 1        NaN
    date            double, days since    NaN
                    1970 (UTC)
    category        string, no blanks     "" (or any text of `axonic.data.values.MISSING`)
                    around it

    output          classification        regression
    prediction      (n,) class labels     (n, n_targets) double, in the units of the target
    probabilities   (n, n_classes) double

A model that was trained on an array has one input instead, `x` (n, n_columns) double. `inputs` makes them all from a
table. A level that training never saw counts as "other", as everywhere; an infinite number, which axonic refuses, is
cut off like any other that is too large.

The graph is written by hand: each layer has one small function in `LAYERS` that adds its nodes (Gemm, RNN, LSTM, GRU),
each activation one in `ACTIVATIONS`. Networks of an ensemble stand side by side and are averaged. A sequence is held
as (batch, time, n) with 0 at padded steps; how long each is comes in as `lengths` (batch,) int32.

The file is written only after onnxruntime has given the predictions of the model on up to 1,000 rows of its table,
where that is at hand, and on 1,000 rows made up from its encoders, with missing values and unseen levels: within
`TOLERANCE` of the largest probability of the row, or of the predicted number (of the target's scale where that is
larger). Radial basis functions, whose readout weights may be large and of either sign, are computed in float64 by the
model and by the file alike.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from axonic import layers
from axonic.data.encoding import FARTHEST, Coding, TableEncoder, TargetEncoder
from axonic.data.values import MISSING, as_booleans, as_dates, as_numbers, as_text
from axonic.errors import InputError
from axonic.layers import Chain, Layer, activations
from axonic.layers.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, Activation
from axonic.layers.rbf import TINY
from axonic.losses import Loss
from axonic.losses.counts import LARGEST
from axonic.model import Model
from axonic.storage import write
from axonic.types import Params

OPSET, ML_OPSET, IR_VERSION = 17, 2, 8
"""Versions that every onnxruntime since 1.12 (2022) reads."""
TOLERANCE = 1e-5
CHECKED_ROWS = 1000
PREDICTION, PROBABILITIES, ARRAY, LENGTHS = "prediction", "probabilities", "x", "lengths"
OWN = "axonic:"
"""What the names of inner values begin with."""


def export_onnx(model: Any, path: str | os.PathLike[str], rows: Any = None, *, framed: bool | None = None) -> None:
    """Write a trained model as an ONNX file, once onnxruntime has reproduced its predictions; see the module.

    Parameters
    ----------
    model : a fitted estimator or an `axonic.model.Model`.
    path : the file.
    rows : a table of raw rows to check with besides those that are made up; None takes these alone.
    framed : whether columns come by name; None sees it from the model.

    Raises
    ------
    InputError : onnx or onnxruntime is not installed, the network reads sequences, a layer or activation has no ONNX
        form, the outputs differ, or the file can't be written; no file is left then.

    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from axonic import FeedForwardClassifier, export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> model = FeedForwardClassifier((4,), epochs=30, learning_rate=0.1, monitor=False).fit(X, y)
    >>> import onnxruntime, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, folder + "/iris.onnx")
    ...     session = onnxruntime.InferenceSession(folder + "/iris.onnx")
    >>> labels, probabilities = session.run(None, {"x": X})
    >>> bool(np.allclose(probabilities, model.predict_proba(X), atol=1e-5))
    True
    """
    _require()
    path = Path(path)
    if path.is_dir():
        raise InputError("the output file is a folder", "name a file such as model.onnx", str(path))
    if framed is None:
        framed = getattr(model, "_framed", None)
    model = getattr(model, "model_", model)
    if model.recurrent:
        raise InputError(
            "a network that reads sequences can't be written together with its encoders",
            "write the network alone, from encoded sequences: axonic.export.onnx_network(..., sequences=True)",
        )
    if framed is None:
        framed = bool(model.info.get("framed", "schema" in model.info))
    content = onnx_model(model, framed=framed).SerializeToString()
    session = _session(content)
    tables = [made_up_rows(model.encoder, CHECKED_ROWS)] + ([] if rows is None else [rows[:CHECKED_ROWS]])
    for table in tables:
        _compare(model, table if framed or isinstance(table, np.ndarray) else _array(table), session)
    write(path, content)


def onnx_model(model: Model, *, framed: bool = True) -> Any:
    """The ONNX model (`onnx.ModelProto`), checked by onnx but not yet by its predictions; `framed` as above."""
    graph = _Graph()
    x = _encoder(graph, model.encoder, framed)
    _outputs(graph, _activations(graph, model.network, model.loss, model.members, x), model.target)
    about = {
        "columns": [
            {"name": c.name, "kind": c.kind, "input": _input_name(c.name) if framed else ARRAY}
            for c in model.encoder.columns
        ],
        "task": model.task,
        "classes": [str(label) for label in model.target.classes],
    }
    return graph.model("prediction from raw columns", {"axonic": json.dumps(about, ensure_ascii=False)})


def onnx_network(network: Chain, loss: Loss, members: Sequence[Params], n_in: int, *, sequences: bool = False) -> Any:
    """The networks alone as an ONNX model: from encoded inputs `x`, (batch, n_in) or with `sequences` (batch, time,
    n_in) and `lengths` (batch,) int32, to the mean of their output activations, `outputs`."""
    graph = _Graph()
    if sequences:
        x = graph.input(ARRAY, "FLOAT", ["batch", "time", n_in])
        graph.lengths = graph.input(LENGTHS, "INT32", ["batch"])
    else:
        x = graph.input(ARRAY, "FLOAT", ["batch", n_in])
    a = _activations(graph, network, loss, members, x)
    steps = ["time"] if network.layers and type(network.layers[-1]) is layers.EveryStep else []
    graph.output("outputs", "FLOAT", ["batch", *steps, network.n_out(n_in)], a)
    return graph.model("output activations from encoded inputs", {})


def inputs(encoder: TableEncoder, table: Any, *, framed: bool = True) -> dict[str, np.ndarray]:
    """What an exported model takes for a table (a polars frame, or an array (n, n_columns)), by input name.

    Raises
    ------
    InputError : a column is missing or holds what it did not hold in training.
    """
    if not framed:
        return {ARRAY: np.asarray(table, np.float64)}
    feeds = {}
    for coding in encoder.columns:
        if coding.name not in table.columns:
            raise InputError(f"column {coding.name!r} is missing", "add it; it may be empty", "columns")
        series = table[coding.name]
        if coding.kind == "category":
            column = np.array(as_text(series).fill_null("").to_list(), object)
        elif coding.kind == "date":
            column = (as_dates(series, coding.format).to_physical().cast(pl.Float64) / 86_400e6).to_numpy()
        else:
            column = (as_booleans if coding.kind == "boolean" else as_numbers)(series).to_numpy()
        feeds[_input_name(coding.name)] = column.reshape(-1, 1)
    return feeds


# --- the check ---


def made_up_rows(encoder: TableEncoder, n_rows: int) -> pl.DataFrame:
    """Rows as training might have seen them: numbers around their mean, levels at random, a tenth of all values
    missing and of the levels unseen."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {}
    for coding in encoder.columns:
        gaps = rng.random(n_rows) < 0.1
        if coding.kind == "category":
            known = [*coding.levels, *coding.rare[:10], "never seen before, 从未见过"]
            values = [None if gap else known[i] for gap, i in zip(gaps, rng.integers(len(known), size=n_rows))]  # noqa: B905
            columns[coding.name] = pl.Series(values, dtype=pl.String)
            continue
        if coding.kind == "boolean":
            numbers = rng.integers(2, size=n_rows).astype(float)
        else:
            numbers = coding.center + coding.scale * rng.standard_normal(n_rows)
        series = pl.Series(np.where(gaps, np.nan, numbers)).fill_nan(None)
        if coding.kind == "date":  # in the years that text can spell
            series = (series.clip(-350_000, 376_000) * 86_400e6).cast(pl.Int64).cast(pl.Datetime("us"))
        columns[coding.name] = series
    return pl.DataFrame(columns)


def _array(table: pl.DataFrame) -> np.ndarray:
    return table.select(pl.all().cast(pl.Float64)).to_numpy()


def _compare(model: Model, table: Any, session: Any) -> None:
    """Refuse a file whose outputs on a table are not those of the model."""
    given = session.run(None, inputs(model.encoder, table, framed=isinstance(table, pl.DataFrame)))
    x = model.encoder.transform(table)
    error, same = difference(model, x, given), True
    if model.task == "classification":
        ours = model.probabilities(x)
        tied = np.sort(ours, axis=1)[:, -2:] @ [-1, 1] < TOLERANCE
        same = np.all((given[0] == model.target.inverse(ours.argmax(axis=1))) | tied)
    if not (same and error <= TOLERANCE):
        raise InputError(
            f"onnxruntime does not reproduce the predictions (relative difference {error:.2g}); no file is written",
            "report it with the model file; weights or inputs may be extreme",
        )


def difference(model: Model, x: np.ndarray, given: Sequence[np.ndarray]) -> float:
    """The largest difference between our outputs for encoded rows and those of an exported file, over the largest
    probability of the row, or the predicted number (or the target's scale where that is larger)."""
    if model.task == "classification":
        ours, theirs = model.probabilities(x), given[1]
        scale = ours.max(axis=1, keepdims=True)
    else:
        ours, theirs = model.numbers(x).reshape(len(x), -1), given[0]
        scale = np.maximum(np.abs(ours), np.asarray(model.target.scale))
    return float(np.max(np.abs(ours - theirs) / scale, initial=0.0))


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise InputError("the export needs onnx and onnxruntime", "pip install 'axonic[onnx]'") from error


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


# --- the graph ---


class _Graph:
    """An ONNX graph under way. Values are known by their names.

    Attributes
    ----------
    lengths : the steps of each sequence, (batch,) int32; empty where rows are no sequences.
    n_out : outputs of the network.
    """

    def __init__(self) -> None:
        import onnx

        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.lengths = ""
        self.n_out = 0
        self._cached: dict[str, str] = {}

    def add(self, op: str, *inputs: str, n_outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """A node; the name of its output, or of its outputs."""
        names = [f"{OWN}{op}_{len(self.nodes)}_{i}" for i in range(n_outputs)]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, names, domain=domain, **attributes))
        return names[0] if n_outputs == 1 else names

    def constant(self, value: Any) -> str:
        """A constant array, text included."""
        array = np.asarray(value)
        name = f"{OWN}constant_{len(self.constants)}"
        if array.dtype.kind in "UO":
            text: Any = [str(item).encode() for item in array.ravel()]
            tensor = self.onnx.helper.make_tensor(name, self.onnx.TensorProto.STRING, array.shape, text)
        else:
            tensor = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants[name] = tensor
        return name

    def shared(self, key: str, make: Callable[[], str]) -> str:
        """A value that several layers read, made once."""
        if key not in self._cached:
            self._cached[key] = make()
        return self._cached[key]

    def cast(self, x: str, kind: str) -> str:
        return self.add("Cast", x, to=getattr(self.onnx.TensorProto, kind))

    def input(self, name: str, kind: str, shape: Sequence[Any]) -> str:
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, kind), shape))
        return name

    def output(self, name: str, kind: str, shape: Sequence[Any], value: str) -> None:
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, kind), shape))

    def model(self, text: str, about: dict[str, str]) -> Any:
        """The whole, checked."""
        helper = self.onnx.helper
        graph = helper.make_graph(
            self.nodes, "axonic", self.inputs, self.outputs, list(self.constants.values()), doc_string=text
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION, producer_name="axonic")
        helper.set_model_props(model, about)
        self.onnx.checker.check_model(model, full_check=True)
        return model


# --- encoders ---


def _input_name(column: str) -> str:
    """The input of a column: its name, unless the graph needs that for itself."""
    taken = column in ("", PREDICTION, PROBABILITIES) or column.startswith((OWN, "column "))
    return f"column {column}" if taken else column


def _encoder(graph: _Graph, encoder: TableEncoder, framed: bool) -> str:
    """The inputs and what `TableEncoder.encode` does to them: (n, n_features) float."""
    linear = [coding for coding in encoder.columns if coding.is_linear]
    others = [coding for coding in encoder.columns if coding.kind in ("category", "date")]
    names = {}
    for coding in encoder.columns if framed else ():
        kind = "STRING" if coding.kind == "category" else "DOUBLE"
        names[coding.name] = graph.input(_input_name(coding.name), kind, ["n", 1])
    blocks, slots = [], []
    first = dict(zip((coding.name for coding in encoder.columns), _first_slots(encoder), strict=True))
    if linear:
        raw = (
            _concat(graph, [names[coding.name] for coding in linear])
            if framed
            else graph.input(ARRAY, "DOUBLE", ["n", len(linear)])
        )
        blocks += _numbers(graph, linear, raw, FARTHEST if encoder.standardize else float(np.finfo(np.float32).max))
        slots += [first[coding.name] for coding in linear]
        slots += [first[coding.name] + 1 for coding in linear if coding.has_missing]
    for coding in others:
        start, width = first[coding.name], len(coding.feature_names)
        if coding.kind == "category":
            blocks.append(_levels(graph, coding, names[coding.name]))
            slots += range(start, start + width)
        elif coding.cycles:
            blocks.append(_cycles(graph, coding, names[coding.name]))
            slots += range(start + width - 2 * len(coding.cycles), start + width)
    matrix = _concat(graph, blocks)
    order = np.argsort(slots)
    if (order == np.arange(len(order))).all():
        return matrix
    return graph.add("Gather", matrix, graph.constant(order.astype(np.int64)), axis=1)


def _first_slots(encoder: TableEncoder) -> list[int]:
    widths = [len(coding.feature_names) for coding in encoder.columns]
    return np.cumsum([0, *widths])[:-1].tolist()


def _concat(graph: _Graph, parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _numbers(graph: _Graph, codings: Sequence[Coding], raw: str, limit: float) -> list[str]:
    """Standardised numbers, and a 1 for each missing value of the columns that have an indicator."""
    gaps = graph.add("IsNaN", raw)
    fill, center, scale = (
        graph.constant(np.array([[getattr(coding, name) for coding in codings]]))
        for name in ("fill", "center", "scale")
    )
    full = graph.add("Where", gaps, fill, raw)
    z = graph.add("Div", graph.add("Sub", full, center), scale)
    z = graph.add("Clip", z, graph.constant(-limit), graph.constant(limit))
    blocks = [graph.cast(z, "FLOAT")]
    flagged = [i for i, coding in enumerate(codings) if coding.has_missing]
    if flagged:
        blocks.append(graph.cast(graph.add("Gather", gaps, graph.constant(np.array(flagged)), axis=1), "FLOAT"))
    return blocks


def _levels(graph: _Graph, coding: Coding, raw: str) -> str:
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


def _cycles(graph: _Graph, coding: Coding, days: str) -> str:
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


def _scaled(graph: _Graph, x: str, shift: float, by: float) -> str:
    return graph.add("Div", graph.add("Add", x, graph.constant(shift)), graph.constant(by))


def _day_of_year(graph: _Graph, days: str) -> str:
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


def _divisible(graph: _Graph, year: str, by: int) -> str:
    """1 where a year (of 400, from 0) is divisible by a number, else 0."""
    quotient = graph.add("Div", year, graph.constant(float(by)))
    return graph.cast(graph.add("Equal", quotient, graph.add("Floor", quotient)), "DOUBLE")


def _outputs(graph: _Graph, a: str, target: TargetEncoder) -> None:
    """From output activations to labels and probabilities, or numbers in the units of the target."""
    a = graph.cast(a, "DOUBLE")
    if target.task == "regression":
        scaled = graph.add("Mul", a, graph.constant(np.array([target.scale])))
        shifted = graph.add("Add", scaled, graph.constant(np.array([target.center])))
        graph.output(PREDICTION, "DOUBLE", ["n", target.n_out], shifted)
        return
    if target.n_out == 2 and graph.n_out == 1:
        p = graph.add("Concat", graph.add("Sub", graph.constant(1.0), a), a, axis=1)
    else:
        p = graph.add("Div", a, graph.add("ReduceSum", a, graph.constant(np.array([1]))))
    labels = graph.constant(target.classes)
    kind = {"str": "STRING", "int": "INT64", "float": "DOUBLE", "bool": "BOOL"}[target.label_type]
    graph.output(PREDICTION, kind, ["n"], graph.add("Gather", labels, graph.add("ArgMax", p, axis=1, keepdims=0)))
    graph.output(PROBABILITIES, "DOUBLE", ["n", target.n_out], p)


# --- networks ---


def _activations(graph: _Graph, network: Chain, loss: Loss, members: Sequence[Params], x: str) -> str:
    """Output activations of each network, averaged."""
    graph.n_out = network.n_out(0)
    each = []
    exact = isinstance(network.layers[0], layers.RBF)  # in float64, as `Model` computes them
    x = graph.cast(x, "DOUBLE") if exact else x
    for params in members:
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64 if exact else np.float32), params)
        z = _chain(graph, network, params, x)
        each.append(_activate(graph, loss.activation, graph.cast(z, "FLOAT") if exact else z))
    return each[0] if len(each) == 1 else graph.add("Mean", *each)


def _layer(graph: _Graph, layer: Layer, params: Params, x: str) -> str:
    if type(layer) not in LAYERS:
        raise InputError(f"a {type(layer).__name__} layer has no ONNX form", "export a network of the package's layers")
    return LAYERS[type(layer)](graph, layer, params, x)


def _chain(graph: _Graph, layer: Chain, params: Params, x: str) -> str:
    for each, each_params in zip(layer.layers, params, strict=True):
        x = _layer(graph, each, each_params, x)
    return x


def _dense(graph: _Graph, layer: layers.Dense, params: layers.DenseParams, x: str) -> str:
    z = graph.add("Gemm", x, graph.constant(params.w), graph.constant(params.b))
    return _activate(graph, layer.activation, z)


def _rbf(graph: _Graph, layer: layers.RBF, params: layers.RBFParams, x: str) -> str:
    p = np.broadcast_to(np.exp(-2.0 * params.log_width), params.c.shape)
    squares = graph.add("Gemm", graph.add("Mul", x, x), graph.constant(p.T), graph.constant((p * params.c**2).sum(1)))
    products = graph.add("MatMul", x, graph.constant(2.0 * (p * params.c).T))
    number = p.dtype.type
    u = graph.add("Max", graph.add("Sub", squares, products), graph.constant(number(0)))
    if layer.radial == "gaussian":
        return graph.add("Exp", graph.add("Mul", u, graph.constant(number(-0.5))))
    if layer.radial == "thin_plate":
        log = graph.add("Log", graph.add("Max", u, graph.constant(number(TINY))))
        return graph.add("Mul", graph.add("Mul", u, log), graph.constant(number(0.5)))
    root = graph.add("Sqrt", graph.add("Add", u, graph.constant(number(1))))
    return root if layer.radial == "multiquadric" else graph.add("Reciprocal", root)


def _dropout(graph: _Graph, layer: layers.Dropout, params: tuple, x: str) -> str:
    return x


def _rnn(graph: _Graph, layer: layers.RNN, params: Any, x: str, back: Any = None) -> str:
    name = layer.activation.name
    if name not in _RNN_ACTIVATIONS or activations.ACTIVATIONS[name] is not layer.activation:
        how = f"use one of {', '.join(_RNN_ACTIVATIONS)}"
        raise InputError(f"ONNX has no recurrent layer with the activation {name!r}", how)
    kind, alpha, beta = _RNN_ACTIVATIONS[name]

    def arrays(p: layers.RNNParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return p.w.T, p.v.T, np.concatenate([p.b, np.zeros_like(p.b)])

    each = [arrays(p) for p in (params, back) if p is not None]
    extra = {}
    if alpha is not None:
        extra["activation_alpha"] = [alpha] * len(each)
    if beta is not None:
        extra["activation_beta"] = [beta] * len(each)
    return _recurrent(graph, "RNN", layer.n_hidden, each, x, activations=[kind] * len(each), **extra)


_RNN_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "tanh": ("Tanh", None, None),
    "relu": ("Relu", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "softplus": ("Softplus", None, None),
    "identity": ("Affine", 1.0, 0.0),
    "leaky_relu": ("LeakyRelu", LEAKY_SLOPE, None),
    "elu": ("Elu", 1.0, None),
}
"""The activations of ONNX's RNN, with their alpha and beta."""


def _lstm(graph: _Graph, layer: layers.LSTM, params: Any, x: str, back: Any = None) -> str:
    def arrays(p: layers.LSTMParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, v, b = (_gates(part, (0, 3, 1, 2)) for part in p)  # ONNX has i o f g
        return w.T, v.T, np.concatenate([b, np.zeros_like(b)])

    return _recurrent(graph, "LSTM", layer.n_hidden, [arrays(p) for p in (params, back) if p is not None], x)


def _gru(graph: _Graph, layer: layers.GRU, params: Any, x: str, back: Any = None) -> str:
    def arrays(p: layers.GRUParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, v, b = (_gates(part, (1, 0, 2)) for part in p[:3])  # ONNX has u r g
        return w.T, v.T, np.concatenate([b, np.zeros(2 * layer.n_hidden, np.float32), p.c])

    each = [arrays(p) for p in (params, back) if p is not None]
    return _recurrent(graph, "GRU", layer.n_hidden, each, x, linear_before_reset=1)


def _gates(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gates that stand side by side in the last axis, in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[i] for i in order], axis=-1)


def _recurrent(graph: _Graph, op: str, n_hidden: int, each: Sequence[Any], x: str, **attributes: Any) -> str:
    """A recurrent node in one direction or in both: (batch, time, n_in) to (batch, time, directions * n_hidden)."""
    w, v, b = (graph.constant(np.stack(part)) for part in zip(*each, strict=True))
    by_time = graph.add("Transpose", x, perm=[1, 0, 2])
    direction = "forward" if len(each) == 1 else "bidirectional"
    h, _ = graph.add(
        op, by_time, w, v, b, graph.lengths, n_outputs=2, hidden_size=n_hidden, direction=direction, **attributes
    )
    rows_first = graph.add("Transpose", h, perm=[2, 0, 1, 3])
    return graph.add("Reshape", rows_first, graph.constant(np.array([0, 0, len(each) * n_hidden])))


def _bidirectional(graph: _Graph, layer: layers.Bidirectional, params: layers.BidirectionalParams, x: str) -> str:
    both = {layers.RNN: _rnn, layers.LSTM: _lstm, layers.GRU: _gru}
    if type(layer.layer) not in both:
        name = type(layer.layer).__name__
        raise InputError(f"a {name} layer in both directions has no ONNX form", "use rnn, lstm or gru")
    return both[type(layer.layer)](graph, layer.layer, params.onward, x, params.back)


def _last_step(graph: _Graph, layer: layers.LastStep, params: tuple, x: str) -> str:
    last = graph.add("Sub", _column_of_lengths(graph), graph.constant(np.int64(1)))
    return _sum_over_time(graph, _where(graph, graph.add("Equal", _clock(graph, x), last), x))


def _both_ends(graph: _Graph, layer: layers.BothEnds, params: tuple, x: str) -> str:
    onward, _ = graph.add("Split", _last_step(graph, layers.LastStep(), (), x), n_outputs=2, axis=1)
    begins = graph.add("Equal", _clock(graph, x), graph.constant(np.zeros((1, 1), np.int64)))
    first = _sum_over_time(graph, _where(graph, begins, x))
    _, back = graph.add("Split", first, n_outputs=2, axis=1)
    return graph.add("Concat", onward, back, axis=1)


def _mean_over_time(graph: _Graph, layer: layers.MeanOverTime, params: tuple, x: str) -> str:
    count = graph.add("Max", _column_of_lengths(graph), graph.constant(np.int64(1)))
    return graph.add("Div", _sum_over_time(graph, _masked(graph, x)), graph.cast(count, "FLOAT"))


def _every_step(graph: _Graph, layer: layers.EveryStep, params: tuple, x: str) -> str:
    return _masked(graph, x)


def _each_step(graph: _Graph, layer: layers.EachStep, params: Params, x: str) -> str:
    flat = graph.add("Flatten", x, axis=2)
    a = _layer(graph, layer.layer, params, flat)
    places = graph.add("Shape", x, start=0, end=2)
    shape = graph.add("Concat", places, graph.constant(np.array([-1])), axis=0)
    return _masked(graph, graph.add("Reshape", a, shape))


def _column_of_lengths(graph: _Graph) -> str:
    """(batch, 1) int64."""

    def make() -> str:
        return graph.add("Reshape", graph.cast(graph.lengths, "INT64"), graph.constant(np.array([-1, 1])))

    return graph.shared("column of lengths", make)


def _clock(graph: _Graph, x: str) -> str:
    """(time,) 0, 1, 2, ..."""

    def make() -> str:
        n_time = graph.add("Squeeze", graph.add("Shape", x, start=1, end=2))
        return graph.add("Range", graph.constant(np.int64(0)), n_time, graph.constant(np.int64(1)))

    return graph.shared("clock", make)


def _masked(graph: _Graph, x: str) -> str:
    """The values with 0 at padded steps."""
    return _where(
        graph, graph.shared("mask", lambda: graph.add("Less", _clock(graph, x), _column_of_lengths(graph))), x
    )


def _where(graph: _Graph, mask: str, x: str) -> str:
    wide = graph.add("Unsqueeze", mask, graph.constant(np.array([2])))
    return graph.add("Where", wide, x, graph.constant(np.float32(0)))


def _sum_over_time(graph: _Graph, x: str) -> str:
    return graph.add("ReduceSum", x, graph.constant(np.array([1])), keepdims=0)


LAYERS: dict[type[Layer], Callable[[_Graph, Any, Any, str], str]] = {
    Chain: _chain,
    layers.Dense: _dense,
    layers.Dropout: _dropout,
    layers.RBF: _rbf,
    layers.RNN: _rnn,
    layers.LSTM: _lstm,
    layers.GRU: _gru,
    layers.Bidirectional: _bidirectional,
    layers.LastStep: _last_step,
    layers.BothEnds: _both_ends,
    layers.MeanOverTime: _mean_over_time,
    layers.EveryStep: _every_step,
    layers.EachStep: _each_step,
}
"""(graph, layer, params, name of its input) -> name of its output, for each kind of layer."""


# --- activations ---


def _activate(graph: _Graph, activation: Activation, z: str) -> str:
    known = activations.ACTIVATIONS.get(activation.name, activation)
    if activation.name not in ACTIVATIONS or known is not activation:
        raise InputError(f"the activation {activation.name!r} has no ONNX form", "use the package's activations")
    return ACTIVATIONS[activation.name](graph, z)


def _gelu(graph: _Graph, z: str) -> str:
    erf = graph.add("Erf", graph.add("Mul", z, graph.constant(np.float32(1 / np.sqrt(2)))))
    cdf = graph.add("Mul", graph.add("Add", erf, graph.constant(np.float32(1))), graph.constant(np.float32(0.5)))
    return graph.add("Mul", z, cdf)


ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "identity": lambda graph, z: z,
    "sigmoid": lambda graph, z: graph.add("Sigmoid", z),
    "tanh": lambda graph, z: graph.add("Tanh", z),
    "relu": lambda graph, z: graph.add("Relu", z),
    "leaky_relu": lambda graph, z: graph.add("LeakyRelu", z, alpha=LEAKY_SLOPE),
    "elu": lambda graph, z: graph.add("Elu", z),
    "selu": lambda graph, z: graph.add("Selu", z, alpha=SELU_ALPHA, gamma=SELU_SCALE),
    "gelu": _gelu,
    "silu": lambda graph, z: graph.add("Mul", z, graph.add("Sigmoid", z)),
    "softplus": lambda graph, z: graph.add("Softplus", z),
    "softmax": lambda graph, z: graph.add("Softmax", z, axis=-1),
    "exp": lambda graph, z: graph.add("Exp", graph.add("Min", z, graph.constant(np.float32(LARGEST)))),
}
"""(graph, name of z) -> name of a."""
