"""What the server and a worker say to each other: length-prefixed frames over a socket pair, little endian.

Batch  → `uint32 length | uint32 batch_id | uint32 n | int32 lengths[n] | int32 token_ids[…]`
Answer ← `uint32 length | uint32 batch_id | uint32 kind | float64 service_s | float64 cpu_s | payload`
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inference_service.inference import TokenIds

PREDICTED, FAILED, READY = 0, 1, 2
"""Kinds of answer: float32 probabilities; an error text; the worker has started and waits."""

LENGTH = struct.Struct("<I")
_BATCH = struct.Struct("<II")
_ANSWER = struct.Struct("<IIdd")

if sys.byteorder != "little" or array("i").itemsize != 4:  # pragma: no cover  every platform with onnxruntime is both
    raise ImportError("tidegate needs a little-endian machine with 32-bit integers")


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A decoded answer frame."""

    batch_id: int
    kind: Literal[0, 1, 2]
    service_s: float
    """From the batch read to the answer packed."""
    cpu_s: float
    """CPU time of the worker process so far."""
    payload: bytes

    def probabilities(self) -> array[float]:
        """The payload of a PREDICTED answer, flat."""
        return array("f", self.payload)


def encode_batch(batch_id: int, inputs: Sequence[TokenIds]) -> bytes:
    """One frame with all texts of a batch, unpadded."""
    lengths = array("i", [len(ids) for ids in inputs])
    body = b"".join([_BATCH.pack(batch_id, len(inputs)), lengths.tobytes(), *[ids.tobytes() for ids in inputs]])
    return LENGTH.pack(len(body)) + body


def decode_batch(body: bytes) -> tuple[int, array[int], TokenIds]:
    """Batch id, lengths and all token ids of a frame's body."""
    batch_id, n = _BATCH.unpack_from(body)
    begin = _BATCH.size
    lengths = array("i", body[begin : begin + 4 * n])
    return batch_id, lengths, array("i", body[begin + 4 * n :])


def encode_answer(answer: WorkerAnswer) -> bytes:
    """One frame."""
    header = _ANSWER.pack(answer.batch_id, answer.kind, answer.service_s, answer.cpu_s)
    return LENGTH.pack(len(header) + len(answer.payload)) + header + answer.payload


def decode_answer(body: bytes) -> WorkerAnswer:
    """The answer in a frame's body."""
    batch_id, kind, service_s, cpu_s = _ANSWER.unpack_from(body)
    return WorkerAnswer(batch_id, kind, service_s, cpu_s, bytes(body[_ANSWER.size :]))


def take_frames(received: bytearray) -> Iterator[bytes]:
    """The bodies of all complete frames at the front of `received`, which keeps only the rest."""
    while len(received) >= LENGTH.size:
        end = LENGTH.size + LENGTH.unpack_from(received)[0]
        if len(received) < end:
            return
        body = bytes(received[LENGTH.size : end])
        del received[:end]
        yield body
