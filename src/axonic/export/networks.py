"""Networks as ONNX nodes: each layer has a function in `LAYERS` that adds its nodes, each activation one in
`ACTIVATIONS`.

A sequence is held as (batch, time, n) with 0 at padded steps; how long each is, is `Graph.lengths`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from axonic import layers
from axonic.errors import InputError
from axonic.export.graph import Graph
from axonic.layers import Chain, Layer, activations
from axonic.layers.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE, Activation
from axonic.layers.rbf import TINY
from axonic.losses import Loss
from axonic.losses.counts import LARGEST
from axonic.types import Params


def output_activations(graph: Graph, network: Chain, loss: Loss, members: Sequence[Params], x: str) -> str:
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


def _layer(graph: Graph, layer: Layer, params: Params, x: str) -> str:
    if type(layer) not in LAYERS:
        raise InputError(f"a {type(layer).__name__} layer has no ONNX form", "export a network of the package's layers")
    return LAYERS[type(layer)](graph, layer, params, x)


def _chain(graph: Graph, layer: Chain, params: Params, x: str) -> str:
    for each, each_params in zip(layer.layers, params, strict=True):
        x = _layer(graph, each, each_params, x)
    return x


def _dense(graph: Graph, layer: layers.Dense, params: layers.DenseParams, x: str) -> str:
    z = graph.add("Gemm", x, graph.constant(params.w), graph.constant(params.b))
    return _activate(graph, layer.activation, z)


def _rbf(graph: Graph, layer: layers.RBF, params: layers.RBFParams, x: str) -> str:
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


def _dropout(graph: Graph, layer: layers.Dropout, params: tuple, x: str) -> str:
    return x


def _rnn(graph: Graph, layer: layers.RNN, params: Any, x: str, back: Any = None) -> str:
    both = [p for p in (params, back) if p is not None]
    name = layer.activation.name
    if name not in _RNN_ACTIVATIONS or activations.ACTIVATIONS[name] is not layer.activation:
        states = [_step_by_step(graph, layer, p, x, back=i == 1) for i, p in enumerate(both)]
        return states[0] if len(states) == 1 else graph.add("Concat", *states, axis=2)
    kind, alpha, beta = _RNN_ACTIVATIONS[name]

    def arrays(p: layers.RNNParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return p.w.T, p.v.T, np.concatenate([p.b, np.zeros_like(p.b)])

    extra = {}
    if alpha is not None:
        extra["activation_alpha"] = [alpha] * len(both)
    if beta is not None:
        extra["activation_beta"] = [beta] * len(both)
    each = [arrays(p) for p in both]
    return _recurrent(graph, "RNN", layer.n_hidden, each, x, activations=[kind] * len(each), **extra)


def _step_by_step(graph: Graph, layer: layers.RNN, params: layers.RNNParams, x: str, *, back: bool) -> str:
    """A simple recurrent layer with an activation that ONNX's RNN does not know."""
    v = graph.constant(params.v)
    z = graph.add("Add", graph.add("MatMul", x, graph.constant(params.w)), graph.constant(params.b))
    rows = graph.add("Shape", x, start=0, end=1)
    shape = graph.add("Concat", rows, graph.constant(np.array([layer.n_hidden])), axis=0)
    none = graph.add("Expand", graph.constant(np.float32(0)), shape)
    real = graph.add("Unsqueeze", graph.add("Transpose", _mask(graph, x), perm=[1, 0]), graph.constant(np.array([2])))

    def step(state: str, z_t: str, real_t: str) -> tuple[str, str]:
        a = _activate(graph, layer.activation, graph.add("Add", graph.add("MatMul", state, v), z_t))
        return graph.add("Where", real_t, a, state), graph.add("Where", real_t, a, graph.constant(np.float32(0)))

    kept = graph.scan(step, none, graph.add("Transpose", z, perm=[1, 0, 2]), real, back=back)
    return graph.add("Transpose", kept, perm=[1, 0, 2])


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


def _lstm(graph: Graph, layer: layers.LSTM, params: Any, x: str, back: Any = None) -> str:
    def arrays(p: layers.LSTMParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, v, b = (_gates(part, (0, 3, 1, 2)) for part in p)  # ONNX has i o f g
        return w.T, v.T, np.concatenate([b, np.zeros_like(b)])

    return _recurrent(graph, "LSTM", layer.n_hidden, [arrays(p) for p in (params, back) if p is not None], x)


def _gru(graph: Graph, layer: layers.GRU, params: Any, x: str, back: Any = None) -> str:
    def arrays(p: layers.GRUParams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, v, b = (_gates(part, (1, 0, 2)) for part in p[:3])  # ONNX has u r g
        return w.T, v.T, np.concatenate([b, np.zeros(2 * layer.n_hidden, np.float32), p.c])

    each = [arrays(p) for p in (params, back) if p is not None]
    return _recurrent(graph, "GRU", layer.n_hidden, each, x, linear_before_reset=1)


def _gates(array: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gates that stand side by side in the last axis, in another order."""
    parts = np.split(array, len(order), axis=-1)
    return np.concatenate([parts[i] for i in order], axis=-1)


def _recurrent(graph: Graph, op: str, n_hidden: int, each: Sequence[Any], x: str, **attributes: Any) -> str:
    """A recurrent node in one direction or in both: (batch, time, n_in) to (batch, time, directions * n_hidden)."""
    w, v, b = (graph.constant(np.stack(part)) for part in zip(*each, strict=True))
    by_time = graph.add("Transpose", x, perm=[1, 0, 2])
    direction = "forward" if len(each) == 1 else "bidirectional"
    h, _ = graph.add(
        op, by_time, w, v, b, graph.lengths, n_outputs=2, hidden_size=n_hidden, direction=direction, **attributes
    )
    rows_first = graph.add("Transpose", h, perm=[2, 0, 1, 3])
    return graph.add("Reshape", rows_first, graph.constant(np.array([0, 0, len(each) * n_hidden])))


def _bidirectional(graph: Graph, layer: layers.Bidirectional, params: layers.BidirectionalParams, x: str) -> str:
    both = {layers.RNN: _rnn, layers.LSTM: _lstm, layers.GRU: _gru}
    if type(layer.layer) not in both:
        name = type(layer.layer).__name__
        raise InputError(f"a {name} layer in both directions has no ONNX form", "use rnn, lstm or gru")
    return both[type(layer.layer)](graph, layer.layer, params.onward, x, params.back)


def _last_step(graph: Graph, layer: layers.LastStep, params: tuple, x: str) -> str:
    last = graph.add("Sub", _column_of_lengths(graph), graph.constant(np.int64(1)))
    return _sum_over_time(graph, _where(graph, graph.add("Equal", _clock(graph, x), last), x))


def _both_ends(graph: Graph, layer: layers.BothEnds, params: tuple, x: str) -> str:
    onward, _ = graph.add("Split", _last_step(graph, layers.LastStep(), (), x), n_outputs=2, axis=1)
    begins = graph.add("Equal", _clock(graph, x), graph.constant(np.zeros((1, 1), np.int64)))
    first = _sum_over_time(graph, _where(graph, begins, x))
    _, back = graph.add("Split", first, n_outputs=2, axis=1)
    return graph.add("Concat", onward, back, axis=1)


def _mean_over_time(graph: Graph, layer: layers.MeanOverTime, params: tuple, x: str) -> str:
    count = graph.add("Max", _column_of_lengths(graph), graph.constant(np.int64(1)))
    return graph.add("Div", _sum_over_time(graph, _masked(graph, x)), graph.cast(count, "FLOAT"))


def _every_step(graph: Graph, layer: layers.EveryStep, params: tuple, x: str) -> str:
    return _masked(graph, x)


def _each_step(graph: Graph, layer: layers.EachStep, params: Params, x: str) -> str:
    flat = graph.add("Flatten", x, axis=2)
    a = _layer(graph, layer.layer, params, flat)
    places = graph.add("Shape", x, start=0, end=2)
    shape = graph.add("Concat", places, graph.constant(np.array([-1])), axis=0)
    return _masked(graph, graph.add("Reshape", a, shape))


def _column_of_lengths(graph: Graph) -> str:
    """(batch, 1) int64."""

    def make() -> str:
        return graph.add("Reshape", graph.cast(graph.lengths, "INT64"), graph.constant(np.array([-1, 1])))

    return graph.shared("column of lengths", make)


def _clock(graph: Graph, x: str) -> str:
    """(time,) 0, 1, 2, ..."""

    def make() -> str:
        n_time = graph.add("Squeeze", graph.add("Shape", x, start=1, end=2))
        return graph.add("Range", graph.constant(np.int64(0)), n_time, graph.constant(np.int64(1)))

    return graph.shared("clock", make)


def _mask(graph: Graph, x: str) -> str:
    """(batch, time) which steps are real."""
    return graph.shared("mask", lambda: graph.add("Less", _clock(graph, x), _column_of_lengths(graph)))


def _masked(graph: Graph, x: str) -> str:
    """The values with 0 at padded steps."""
    return _where(graph, _mask(graph, x), x)


def _where(graph: Graph, mask: str, x: str) -> str:
    wide = graph.add("Unsqueeze", mask, graph.constant(np.array([2])))
    return graph.add("Where", wide, x, graph.constant(np.float32(0)))


def _sum_over_time(graph: Graph, x: str) -> str:
    return graph.add("ReduceSum", x, graph.constant(np.array([1])), keepdims=0)


LAYERS: dict[type[Layer], Callable[[Graph, Any, Any, str], str]] = {
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


def _activate(graph: Graph, activation: Activation, z: str) -> str:
    known = activations.ACTIVATIONS.get(activation.name, activation)
    if activation.name not in ACTIVATIONS or known is not activation:
        raise InputError(f"the activation {activation.name!r} has no ONNX form", "use the package's activations")
    return ACTIVATIONS[activation.name](graph, z)


def _gelu(graph: Graph, z: str) -> str:
    erf = graph.add("Erf", graph.add("Mul", z, graph.constant(np.float32(1 / np.sqrt(2)))))
    cdf = graph.add("Mul", graph.add("Add", erf, graph.constant(np.float32(1))), graph.constant(np.float32(0.5)))
    return graph.add("Mul", z, cdf)


ACTIVATIONS: dict[str, Callable[[Graph, str], str]] = {
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
