"""ONNX Runtime on one thread: the default engine. Imported by the zygote and its workers only."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, ClassVar

# One thread each, set before the libraries start their own: a process with threads must not be forked.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
# Since 1.29 the engine reports to its maker over the network, from a thread of its own, unless told not to.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np  # noqa: E402  see above
import onnxruntime as ort  # noqa: E402

from inference_service.errors import StartError  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from inference_service.inference import TokenIds

_DTYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class OnnxRuntime:
    """A session with one intra-op and one inter-op thread: workers, not threads, use more cores."""

    fork_safe: ClassVar[bool] = True

    def __init__(self, path: Path, n_labels: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The prepared graph is already fused; optimising it again costs start-up time and makes it no faster.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001  the engine has its own families of errors
            raise StartError(f"{path}: cannot be loaded ({error}); prepare the model anew") from None
        inputs = {tensor.name: tensor.type for tensor in self._session.get_inputs()}
        if set(inputs) != {"input_ids", "attention_mask"} or not set(inputs.values()) <= _DTYPES.keys():
            raise StartError(f"{path}: inputs must be integer input_ids and attention_mask, they are {inputs}")
        self._ids_dtype = _DTYPES[inputs["input_ids"]]
        self._mask_dtype = _DTYPES[inputs["attention_mask"]]
        self._output = self._session.get_outputs()[0].name
        warm = self.predict(array("i", [0, 0]), [2])  # the first call allocates; no client should wait for it
        if len(warm) != n_labels:
            raise StartError(f"{path}: answers {len(warm)} numbers for {n_labels} labels of the manifest")

    def predict(self, token_ids: TokenIds, lengths: Sequence[int]) -> array[float]:
        """Softmax of the logits, flat, shape (len(lengths) × n_labels). Texts are padded to the longest one."""
        flat = np.frombuffer(token_ids, dtype=np.int32)
        mask = np.arange(max(lengths)) < np.asarray(lengths)[:, None]
        ids = np.zeros(mask.shape, self._ids_dtype)
        ids[mask] = flat
        inputs = {"input_ids": ids, "attention_mask": mask.astype(self._mask_dtype)}
        logits = np.asarray(self._session.run([self._output], inputs)[0], dtype=np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        return array("f", probabilities.astype(np.float32).tobytes())
