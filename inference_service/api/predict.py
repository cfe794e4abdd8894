"""One prediction call, from body to answer: decode, tokenize, queue, wait, encode. V1 and V2 differ in their codec."""

from __future__ import annotations

import asyncio
import math
import time
from copy import copy
from typing import TYPE_CHECKING, Protocol

from inference_service.api.http_io import (
    ClientGoneError,
    Response,
    error_response,
    find_header,
    read_body,
)
from inference_service.errors import (
    InvalidInputError,
    QueueFullError,
    ServingError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference_service.api.http_io import Header, Receive, Scope
    from inference_service.batching.batch import QueuedRequest
    from inference_service.batching.batcher import Batcher
    from inference_service.counters import Counters
    from inference_service.inference import InferenceRequest, ModelDescription, Prediction, TokenIds
    from inference_service.runtimes.protocol import Tokenizer

_TIMEOUT_HEADER = b"x-tidegate-timeout-s"
_LONGEST_TIMEOUT_S = 3600.0
_CHARACTERS_AT_ONCE = 8192
"""Texts are tokenized in pieces of about this size, some milliseconds, and other requests get their turn in between."""


class Codec(Protocol):
    """A wire format: the modules v1 and v2 are codecs."""

    def decode(self, body: bytes, model: ModelDescription) -> InferenceRequest:
        """The request in a body."""
        ...

    def encode(self, predictions: Sequence[Prediction], request: InferenceRequest, model: ModelDescription) -> Response:
        """The answer to it."""
        ...


class PredictEndpoint:
    """Answers prediction calls of one protocol."""

    def __init__(  # noqa: PLR0913  one collaborator for each step of a call
        self,
        codec: Codec,
        *,
        model: ModelDescription,
        tokenizer: Tokenizer,
        batcher: Batcher,
        counters: Counters,
        request_timeout_s: float,
    ) -> None:
        self._codec = codec
        self._model = model
        self._tokenizer = tokenizer
        self._batcher = batcher
        self._counters = counters
        self._request_timeout_s = request_timeout_s

    async def __call__(self, scope: Scope, receive: Receive) -> Response:
        """Predictions, or the error that the call earned; both are counted with their duration.

        Raises:
            ClientGoneError: nobody waits for the answer any more.
        """
        began_s = time.perf_counter()
        try:
            response = await self._predict(scope, receive)
        except ServingError as error:
            response = _refusal(error)
            if error.status != QueueFullError.status and error.status < 500:
                self._counters.count_rejected(error.reason)
        self._counters.count_call(response.status, time.perf_counter() - began_s)
        return response

    async def _predict(self, scope: Scope, receive: Receive) -> Response:
        headers: list[Header] = scope["headers"]
        timeout_s = self._read_timeout(headers)
        request = self._codec.decode(await read_body(receive, headers), self._model)
        self._batcher.check_room(len(request.inputs))
        queued = self._batcher.submit(await self._tokenize(request.inputs), timeout_s)
        watch = asyncio.ensure_future(self._cancel_when_gone(receive, queued))
        try:
            predictions = await _join(queued)
        except asyncio.CancelledError:
            self._batcher.cancel(queued)
            if watch.done():
                raise ClientGoneError from None
            raise
        finally:
            watch.cancel()
        return self._codec.encode(predictions, request, self._model)

    async def _tokenize(self, inputs: Sequence[str | TokenIds]) -> list[TokenIds]:
        encoded: list[TokenIds] = []
        characters = 0
        for each in inputs:
            if not isinstance(each, str):
                encoded.append(each)
                continue
            characters += min(len(each), _CHARACTERS_AT_ONCE)
            if characters > _CHARACTERS_AT_ONCE:
                characters = 0
                await asyncio.sleep(0)
            encoded.append(self._tokenizer.encode(each))
        return encoded

    async def _cancel_when_gone(self, receive: Receive, queued: Sequence[QueuedRequest]) -> None:
        """After the body, the next message is the end of the connection."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._batcher.cancel(queued)

    def _read_timeout(self, headers: list[Header]) -> float:
        text = find_header(headers, _TIMEOUT_HEADER)
        if text is None:
            return self._request_timeout_s
        try:
            timeout_s = float(text)
        except ValueError:
            timeout_s = math.nan
        if not 0 < timeout_s <= _LONGEST_TIMEOUT_S:  # NaN fails too
            shown = text[:40].decode("latin-1")
            raise InvalidInputError(f"header X-Tidegate-Timeout-S must be above 0, at most 3600 seconds, not {shown!r}")
        return timeout_s


async def _join(queued: Sequence[QueuedRequest]) -> list[Prediction]:
    """All predictions in order, or the first instance's error with its position."""
    if len(queued) == 1:
        return [await queued[0].answer]
    outcomes = await asyncio.gather(*[each.answer for each in queued], return_exceptions=True)
    predictions: list[Prediction] = []
    for position, outcome in enumerate(outcomes):
        if isinstance(outcome, BaseException):
            if isinstance(outcome, ServingError):
                named = copy(outcome)  # the error may be shared by many instances
                named.args = (f"instance {position}: {outcome}",)
                raise named
            raise outcome
        predictions.append(outcome)
    return predictions


def _refusal(error: ServingError) -> Response:
    headers: tuple[Header, ...] = ((b"x-tidegate-reason", error.reason.encode()),)
    if isinstance(error, QueueFullError):
        headers += ((b"retry-after", str(error.retry_after_s).encode()),)
    return error_response(error, headers)
