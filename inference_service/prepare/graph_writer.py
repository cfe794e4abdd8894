"""Collects nodes and constants of an ONNX graph under unique names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"
# 18: Split with num_outputs, ReduceSum with axes as input. IR version 10 is read by every onnxruntime since 1.18.
_OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1))
_IR_VERSION = 10


class GraphWriter:
    """A graph under construction; values are known by name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Store an array in the file and return its name; a name that is there already is kept."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name

    def node(self, operator: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        """Append an operator with one output and return the output's name."""
        return self.nodes(operator, inputs, 1, domain=domain, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], outputs: int, *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Append an operator and return the names of its outputs."""
        name = f"{operator}_{len(self._nodes)}"
        names = [f"{name}_out{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name=name, domain=domain, **attributes))
        return names

    def model(self, inputs: Mapping[str, list[str | int]], output: tuple[str, str, list[str | int]]) -> onnx.ModelProto:
        """Close the graph.

        Args:
            inputs: shape by name; all are int32.
            output: value to give out, its public name, its shape; float32.

        Returns:
            The model, already optimised: a session needs no graph optimisation of its own.
        """
        value, public, shape = output
        self._nodes.append(helper.make_node("Identity", [value], [public], name="output"))
        graph = helper.make_graph(
            self._nodes,
            "tidegate",
            [helper.make_tensor_value_info(name, TensorProto.INT32, dims) for name, dims in inputs.items()],
            [helper.make_tensor_value_info(public, TensorProto.FLOAT, shape)],
            list(self._constants.values()),
        )
        return helper.make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION, producer_name="tidegate")
