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

A network that reads sequences has columns of shape (n, time), or one `x` (n, time, n_columns), and besides them
`lengths` (n,) int32; what stands beyond the end of a sequence does not matter. Where each step is predicted, the
outputs are (n, time, ...), and mean nothing at padded steps. One that forecasts a series takes windows, (n, window) or
(n, window, n_columns), without `lengths`, and gives what follows each, (n, horizon); the linear forecast that it
corrects is in the file.

The graph is written by hand: `networks` holds a small function for each layer (Gemm, RNN, LSTM, GRU) and activation,
`columns` what stands before and behind them. Networks of an ensemble stand side by side and are averaged.

The file is written only after onnxruntime has given the predictions of the model on up to 1,000 rows of its table (or
sequences, or windows), where that is at hand, and on 1,000 made up from its encoders, with missing values and unseen
levels: within `TOLERANCE` of the largest probability of the row, or of the predicted number (of the target's scale
where that is larger). Radial basis functions, whose readout weights may be large and of either sign, are computed in
float64 by the model and by the file alike.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axonic.data.ragged import Ragged
from axonic.data.sequences.arrays import as_sequences
from axonic.data.sequences.windows import SeriesCoding
from axonic.errors import InputError
from axonic.export import agreement
from axonic.export.agreement import CHECKED_ROWS, TOLERANCE, difference, inputs
from axonic.export.columns import ARRAY, LENGTHS, decoded, encoded, from_windows, input_name
from axonic.export.graph import Graph
from axonic.export.networks import ACTIVATIONS, LAYERS, output_activations
from axonic.layers import Chain, EveryStep
from axonic.losses import Loss
from axonic.model import Model
from axonic.storage import write
from axonic.types import Params

__all__ = [
    "ACTIVATIONS",
    "CHECKED_ROWS",
    "LAYERS",
    "TOLERANCE",
    "difference",
    "export_onnx",
    "inputs",
    "onnx_model",
    "onnx_network",
]


def export_onnx(model: Any, path: str | os.PathLike[str], data: Any = None, *, framed: bool | None = None) -> None:
    """Write a trained model as an ONNX file, once onnxruntime has reproduced its predictions; see the module.

    Parameters
    ----------
    model : a fitted estimator or an `axonic.model.Model`.
    path : the file, which ends in .onnx.
    data : raw rows or sequences (windows of a series) to check with besides those that are made up, as `inputs` takes
        them; None takes these alone.
    framed : whether columns come by name; None sees it from the model.

    Raises
    ------
    InputError : onnx or onnxruntime is not installed, a layer or activation has no ONNX form, the outputs differ, or
        the file has another ending or can't be written; no file is left then.

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
    if path.suffix.lower() != ".onnx":
        raise InputError("an ONNX file needs the ending .onnx", f"use {path.stem}.onnx", str(path))
    framed = agreement.is_framed(model) if framed is None else framed
    model = getattr(model, "model_", model)
    content = onnx_model(model, framed=framed).SerializeToString()
    session = _session(content)
    if data is not None and model.recurrent and not isinstance(data, Ragged):
        data = as_sequences(data)
    for checked in (agreement.made_up(model, framed), *(() if data is None else (data,))):
        for part in agreement.blocks(checked):
            agreement.compare(model, part, session.run(None, inputs(model, part, framed=framed)))
    write(path, content)


def onnx_model(model: Model, *, framed: bool | None = None) -> Any:
    """The ONNX model (`onnx.ModelProto`), checked by onnx but not yet by its predictions; `framed` as above."""
    framed = agreement.is_framed(model) if framed is None else framed
    graph = Graph()
    reads, origin = "rows", ""
    if "series" in model.info:
        coding = SeriesCoding.from_json(model.info["series"])
        x, origin = from_windows(graph, coding, model.encoder, framed)
        reads = f"windows of {coding.window}"
    elif model.recurrent:
        x = encoded(graph, model.encoder, framed, "time")
        graph.lengths = graph.input(LENGTHS, "INT32", ["n"])
        reads = "sequences"
    else:
        x = encoded(graph, model.encoder, framed)
    a = output_activations(graph, model.network, model.loss, model.members, x)
    decoded(graph, a, model.target, model.by_step, origin)
    about = {
        "columns": [
            {"name": c.name, "kind": c.kind, "input": input_name(c.name) if framed else ARRAY}
            for c in model.encoder.columns
        ],
        "reads": reads,
        "task": model.task,
        "classes": [str(label) for label in model.target.classes],
    }
    return graph.model("prediction from raw columns", {"axonic": json.dumps(about, ensure_ascii=False)})


def onnx_network(network: Chain, loss: Loss, members: Sequence[Params], n_in: int, *, sequences: bool = False) -> Any:
    """The networks alone as an ONNX model: from encoded inputs `x`, (batch, n_in) or with `sequences` (batch, time,
    n_in) and `lengths` (batch,) int32, to the mean of their output activations, `outputs`."""
    graph = Graph()
    if sequences:
        x = graph.input(ARRAY, "FLOAT", ["batch", "time", n_in])
        graph.lengths = graph.input(LENGTHS, "INT32", ["batch"])
    else:
        x = graph.input(ARRAY, "FLOAT", ["batch", n_in])
    a = output_activations(graph, network, loss, members, x)
    steps = ["time"] if network.layers and type(network.layers[-1]) is EveryStep else []
    graph.output("outputs", "FLOAT", ["batch", *steps, network.n_out(n_in)], a)
    return graph.model("output activations from encoded inputs", {})


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
