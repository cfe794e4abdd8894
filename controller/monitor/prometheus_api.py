"""The edge to Prometheus' HTTP API: a query goes out, typed series come back, and whatever else comes is one error."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import aiohttp
from yarl import URL

from controller.errors import BadInputError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 5.0
LARGEST_ANSWER_BYTES = 8 * 1024 * 1024
"""About 250 000 samples: an hour of 15 s scrapes of a thousand counters."""


class AnswerTooLargeError(TemporaryError):
    """Less history must be asked for."""


@dataclass(frozen=True, slots=True)
class RawSeries:
    """The samples of one series, oldest first; times are Prometheus' clock, in Unix seconds."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


class PrometheusApi:
    """Asks one Prometheus, or what speaks its language.

    Args:
        session: whose headers, if any, carry the credentials.
        base_url: without /api/v1, such as http://prometheus.monitoring.svc:9090.

    Raises:
        BadInputError: no http or https URL.
    """

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        try:
            url = URL(base_url)
        except ValueError as error:
            raise BadInputError(_no_url(base_url)) from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise BadInputError(_no_url(base_url))
        self._url = url.with_query(None).with_fragment(None) / "api/v1/query"
        self._shown = str(self._url.with_user(None))

    async def matrix(self, query: str, *, at_s: float, kind: str) -> list[RawSeries]:
        """Return the raw samples that a range selector takes up to a time.

        Args:
            query: PromQL.
            at_s: Unix time.
            kind: what is asked for, in the words of a message.

        Raises:
            TemporaryError: no usable answer.
        """
        found: list[RawSeries] = []
        for each in await self._ask(query, at_s, kind, "matrix"):
            values = each.get("values")
            if not isinstance(values, list):
                raise self._error(kind, "a series without values")
            samples = tuple(self._sample(value, kind) for value in cast("list[object]", values))
            found.append(RawSeries(self._labels(each, kind), samples))
        return found

    async def vector(
        self, query: str, *, at_s: float, kind: str, is_nan_fine: bool = False
    ) -> list[tuple[Mapping[str, str], float]]:
        """Return the labels and values of an instant.

        Args:
            query: PromQL.
            at_s: Unix time.
            kind: what is asked for, in the words of a message.
            is_nan_fine: whether NaN means that there was nothing to compute from.

        Raises:
            TemporaryError: no usable answer.
        """
        return [
            (self._labels(each, kind), self._sample(each.get("value"), kind, is_nan_fine=is_nan_fine)[1])
            for each in await self._ask(query, at_s, kind, "vector")
        ]

    async def _ask(self, query: str, at_s: float, kind: str, expected: str) -> list[dict[str, object]]:
        form = {"query": query, "time": f"{at_s:.3f}", "timeout": f"{TIMEOUT_S:g}s"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.post(self._url, data=form, timeout=timeout, allow_redirects=False) as response:
                status, body = response.status, await self._read(response, kind)
        except TimeoutError as error:
            raise self._error(kind, f"no answer within {TIMEOUT_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(kind, f"it cannot be reached ({error or type(error).__name__})") from error
        document = _parsed(body)
        if status != 200:
            reason = document.get("error") if document is not None else None
            raise self._error(kind, f"status {status}" + (f" ({reason!s:.200})" if reason else ""))
        if document is None:
            raise self._error(kind, "an answer that is no JSON object; is this the URL of a Prometheus?")
        if document.get("status") != "success":
            raise self._error(kind, f"no success ({document.get('error')!s:.200})")
        data = document.get("data")
        typed = cast("dict[str, object]", data) if isinstance(data, dict) else {}
        result = typed.get("result")
        if typed.get("resultType") != expected or not isinstance(result, list):
            raise self._error(kind, f"a result of type {typed.get('resultType')!r:.40} instead of a {expected}")
        entries = cast("list[object]", result)
        if not all(isinstance(each, dict) for each in entries):
            raise self._error(kind, "a result whose entries are no objects")
        return cast("list[dict[str, object]]", entries)

    async def _read(self, response: aiohttp.ClientResponse, kind: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > LARGEST_ANSWER_BYTES:
                raise AnswerTooLargeError(
                    f"{self._shown}: {kind}: the answer is larger than {LARGEST_ANSWER_BYTES} bytes; "
                    "less history is asked for next time"
                )
        return bytes(body)

    def _labels(self, entry: Mapping[str, object], kind: str) -> Mapping[str, str]:
        labels = entry.get("metric")
        if not isinstance(labels, dict):
            raise self._error(kind, "a series without labels")
        return {str(name): str(value) for name, value in cast("dict[object, object]", labels).items()}

    def _sample(self, pair: object, kind: str, *, is_nan_fine: bool = False) -> tuple[float, float]:
        parts = cast("list[object]", pair) if isinstance(pair, list) else []
        try:
            at_s, value = (float(cast("str", part)) for part in parts)
        except (TypeError, ValueError, OverflowError) as error:
            raise self._error(kind, f"the sample {pair!r:.60} instead of a time and a number") from error
        if not math.isfinite(at_s) or not (math.isfinite(value) or (is_nan_fine and math.isnan(value))):
            raise self._error(kind, f"the sample {pair!r:.60}, which is no finite number")
        return at_s, value

    def _error(self, kind: str, what: str) -> TemporaryError:
        return TemporaryError(f"{self._shown}: {kind}: {what}")


def _parsed(body: bytes) -> dict[str, object] | None:
    try:
        document = cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", document) if isinstance(document, dict) else None


def _no_url(text: str) -> str:
    shown = text.rpartition("@")[2]  # not what may be a password before it
    return f"Prometheus: needs an http or https URL such as http://prometheus.monitoring.svc:9090, got {shown!r:.80}"
