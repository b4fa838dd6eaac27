"""An ONNX graph, node by node."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

OPSET, ML_OPSET, IR_VERSION = 17, 2, 8
"""Versions that every onnxruntime since 1.12 (2022) reads."""
OWN = "axonic:"
"""What the names of inner values begin with."""


class Graph:
    """An ONNX graph under way. Values are known by their names.

    Attributes
    ----------
    lengths : the steps of each sequence, (batch,) int32; empty where rows are no sequences, or all of them whole.
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
        self._n_nodes = 0
        self._cached: dict[str, str] = {}

    def add(self, op: str, *inputs: str, n_outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """A node; the name of its output, or of its outputs."""
        self._n_nodes += 1
        names = [f"{OWN}{op}_{self._n_nodes}_{i}" for i in range(n_outputs)]
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
            tensor = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name)
        self.constants[name] = tensor
        return name

    def shared(self, key: str, make: Callable[[], str]) -> str:
        """A value that several layers read, made once."""
        if key not in self._cached:
            self._cached[key] = make()
        return self._cached[key]

    def scan(
        self, step: Callable[[str, str, str], tuple[str, str]], state: str, x: str, real: str, *, back: bool = False
    ) -> str:
        """What a step keeps at each time, (time, batch, n) float.

        Parameters
        ----------
        step : adds the nodes of one step: of the names of the state (batch, n), x_t and real_t those of the next state
            and of what is kept.
        state : before the first step.
        x, real : (time, batch, n) float and (time, batch, 1) bool.
        back : whether it goes against time.
        """
        helper, outer, self.nodes = self.onnx.helper, self.nodes, []
        self._n_nodes += 1
        names = [f"{OWN}scan_{self._n_nodes}_{name}" for name in ("state", "x", "real")]
        kinds = (self.onnx.TensorProto.FLOAT, self.onnx.TensorProto.FLOAT, self.onnx.TensorProto.BOOL)
        given = [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(names, kinds, strict=True)]
        made = [helper.make_tensor_value_info(name, kinds[0], None) for name in step(*names)]
        body = helper.make_graph(self.nodes, f"{OWN}step_{self._n_nodes}", given, made)
        self.nodes = outer
        direction = int(back)
        _, kept = self.add(
            "Scan",
            state,
            x,
            real,
            n_outputs=2,
            body=body,
            num_scan_inputs=2,
            scan_input_directions=[direction, direction],
            scan_output_directions=[direction],
        )
        return kept

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
