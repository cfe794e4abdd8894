"""Eight-bit arithmetic for the graph: integer weights stored, activations quantised while running.

Weights of a multiplication: symmetric, one scale for each output, integers -63..63. Seven bits, because AVX2 without
VNNI adds pairs of unsigned-by-signed products in 16 bits and saturates beyond; so every CPU gives the same answer, and
the eighth bit was measured to bring nothing (activations carry nearly all of the error).
Word embeddings: one scale for each row, -127..127; a quarter of the file, and so of the time to load it.
Activations: DynamicQuantizeMatMul takes the range of the whole tensor, so an answer depends in its last digits on what
else is in the batch. Kept in float32: positions, normalisation, softmax, GELU and the head.
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
        """Integer multiplication of the activations, quantised as they come."""
        integers, scales = quantise_rows(weight, _WEIGHT_LEVELS)
        inputs = [
            value,
            graph.constant(name, integers.T),
            graph.constant(f"{name}.scale", scales[:, 0]),
            graph.constant(f"{name}.zero", np.zeros(len(scales), dtype=np.int8)),
        ]
        return graph.node("DynamicQuantizeMatMul", inputs, domain=MICROSOFT)
