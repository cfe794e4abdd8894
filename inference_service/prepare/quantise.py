"""Eight-bit arithmetic for the graph: integer weights stored, activations quantised while running.

Weights of a multiplication: symmetric, one scale for each output, integers -63..63. Seven bits, because AVX2 without
VNNI adds pairs of unsigned-by-signed products in 16 bits and saturates beyond; so every CPU gives the same answer, and
the eighth bit was measured to bring nothing (activations carry nearly all of the error).
Word embeddings: one scale for each row, -127..127; a quarter of the file, and so of the time to load it.
Activations: each token's vector is divided by its own largest magnitude and then quantised with a fixed step. The usual
DynamicQuantizeMatMul takes the range of the whole batch instead; it is 5 to 10 % faster, but then 2 % of the demo's
answers changed with what else was in the batch. Here an answer is the same alone and in company.
Kept in float32: positions, normalisation, softmax, GELU and the head.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from inference_service.prepare.graph_writer import MICROSOFT, GraphWriter

Array = NDArray[np.float32]

_WEIGHT_LEVELS = 63
_EMBEDDING_LEVELS = 127


def quantise_rows(table: Array, levels: int) -> tuple[NDArray[np.int8], Array]:
    """Symmetric integers and their scales.

    Args:
        table: [rows, columns], finite.
        levels: largest magnitude of an integer, at most 127.

    Returns:
        Integers [rows, columns] and scales [rows, 1]; their product is within half a scale of the table.
    """
    largest = np.abs(table).max(axis=1, keepdims=True)
    # A row of zeros, or of numbers too small to divide by, keeps the scale 1 and becomes zeros.
    scales = np.where(largest > np.finfo(np.float32).tiny * levels, largest / levels, 1.0).astype(np.float32)
    return np.rint(table / scales).clip(-levels, levels).astype(np.int8), scales


class Int8Arithmetic:
    """Integer weights; see the module for what stays in floating point."""

    def rows(self, graph: GraphWriter, name: str, table: Array, indices: str) -> str:
        """Lookup of integers, then of their scales."""
        integers, scales = quantise_rows(table, _EMBEDDING_LEVELS)
        row = graph.node("Gather", [graph.constant(name, integers), indices])
        row = graph.node("Cast", [row], to=TensorProto.FLOAT)
        return graph.node("Mul", [row, graph.node("Gather", [graph.constant(f"{name}.scale", scales), indices])])

    def linear(self, graph: GraphWriter, name: str, weight: Array, value: str) -> str:
        """Integer multiplication, each token's vector quantised by its own range."""
        integers, scales = quantise_rows(weight, _WEIGHT_LEVELS)
        largest = graph.node("ReduceMax", [graph.node("Abs", [value]), _constant(graph, "last_axis")], keepdims=1)
        largest = graph.node("Max", [largest, _constant(graph, "tiny")])
        step, middle = _constant(graph, "activation.scale"), _constant(graph, "activation.zero")
        quantised = graph.node("QuantizeLinear", [graph.node("Div", [value, largest]), step, middle])
        stored = [graph.constant(name, integers.T), graph.constant(f"{name}.scale", scales[:, 0])]
        zeros = graph.constant(f"{name}.zero", np.zeros(len(scales), dtype=np.int8))
        inputs = [quantised, stored[0], step, stored[1], middle, zeros]
        return graph.node("Mul", [graph.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT), largest])


_CONSTANTS = {
    "last_axis": np.array([-1], dtype=np.int64),
    # So that a vector of zeros is not divided by zero.
    "tiny": np.array(1e-30, dtype=np.float32),
    # Quotients from -1 to 1 become 1 to 255.
    "activation.scale": np.array(1 / 127, dtype=np.float32),
    "activation.zero": np.array(128, dtype=np.uint8),
}


def _constant(graph: GraphWriter, name: str) -> str:
    return graph.constant(name, _CONSTANTS[name])
