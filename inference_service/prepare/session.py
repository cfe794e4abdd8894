"""Runs a graph over many tokenised texts, in batches of similar length."""

import os
from collections.abc import Sequence
from pathlib import Path

# onnxruntime reports to its maker over the network unless told not to, before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

_TOKENS_PER_BATCH = 512


class GraphRunner:
    """A graph in onnxruntime on all cores that this process may use."""

    def __init__(self, model: Path | onnx.ModelProto) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = _cores()
        # A thread that spins while it waits takes the core from the one it waits for, on a busy machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # Already optimised; onnxruntime's own fusions would make it slower (see onnx_graph.py).
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        content = str(model) if isinstance(model, Path) else model.SerializeToString()
        self._session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """First output of each text, in the order given.

        Args:
            texts: token ids, at least one per text.

        Returns:
            [texts, n].
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        rows: dict[int, NDArray[np.float32]] = {}
        while order:
            # The shortest first: the last of a batch is its longest.
            count = 1
            while count < len(order) and (count + 1) * len(texts[order[count]]) <= _TOKENS_PER_BATCH:
                count += 1
            batch, order = order[:count], order[count:]
            rows |= zip(batch, self._run_batch([texts[index] for index in batch]), strict=True)
        return np.stack([rows[index] for index in range(len(texts))])

    def _run_batch(self, texts: list[Sequence[int]]) -> NDArray[np.float32]:
        shape = (len(texts), max(len(text) for text in texts))
        ids, mask = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        return np.asarray(self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
