"""A worker process: read a batch, predict, answer, until the server closes its end of the socket."""

import os
import socket
import time

from inference_service.runtimes.protocol import Runtime
from inference_service.workers.messages import (
    FAILED,
    LENGTH,
    PREDICTED,
    READY,
    WorkerAnswer,
    decode_batch,
    encode_answer,
)


def serve_batches(channel: socket.socket, runtime: Runtime) -> None:
    """Answer batches in order until the other end is closed."""
    ready = WorkerAnswer(0, READY, 0.0, time.process_time(), str(os.getpid()).encode())
    channel.sendall(encode_answer(ready))
    with channel, channel.makefile("rb") as frames:
        while True:
            prefix = frames.read(LENGTH.size)
            if len(prefix) < LENGTH.size:
                return
            answer = _answer(frames.read(LENGTH.unpack(prefix)[0]), runtime)
            channel.sendall(encode_answer(answer))


def _answer(body: bytes, runtime: Runtime) -> WorkerAnswer:
    started_s = time.perf_counter()
    batch_id, lengths, token_ids = decode_batch(body)
    try:
        probabilities = runtime.predict(token_ids, lengths)
    except Exception as error:  # noqa: BLE001  the outermost loop of this process: the server retries and counts
        text = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:2000]
        return WorkerAnswer(batch_id, FAILED, time.perf_counter() - started_s, time.process_time(), text)
    service_s = time.perf_counter() - started_s
    return WorkerAnswer(batch_id, PREDICTED, service_s, time.process_time(), probabilities.tobytes())
