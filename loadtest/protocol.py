"""How a text becomes an HTTP request, and what a right answer to it is, in the two protocols of KServe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadtest.target import Target

Version = Literal["v1", "v2"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """One of the two protocols for one model.

    Attributes:
        path: of the prediction, from the root of the server.
        encode: text → body.
        is_right: body of a 200 → whether it answers exactly one text with a label.
    """

    path: str
    encode: Callable[[str], bytes]
    is_right: Callable[[bytes], bool]

    @classmethod
    def of(cls, version: Version, model_name: str) -> Protocol:
        """Return the protocol of that version."""
        if version == "v1":
            return cls(f"/v1/models/{model_name}:predict", _encode_v1, _is_right_v1)
        return cls(f"/v2/models/{model_name}/infer", _encode_v2, _is_right_v2)

    def requests(self, target: Target, texts: Sequence[str]) -> list[bytes]:
        """Every request as the bytes that go over the wire, so that nothing is encoded during the run."""
        head = (
            f"POST {target.prefix}{self.path} HTTP/1.1\r\nHost: {target.authority}\r\nUser-Agent: tidegate-load\r\n"
            "Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode("ascii")
        bodies = (self.encode(text) for text in texts)
        return [b"%b%d\r\n\r\n%b" % (head, len(body), body) for body in bodies]


def _encode_v1(text: str) -> bytes:
    return json.dumps({"instances": [text]}).encode()


def _encode_v2(text: str) -> bytes:
    return json.dumps({"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}).encode()


def _is_right_v1(body: bytes) -> bool:
    predictions = _list_under("predictions", body)
    return len(predictions) == 1 and isinstance(predictions[0], dict) and _is_label(predictions[0].get("label"))


def _is_right_v2(body: bytes) -> bool:
    for output in _list_under("outputs", body):
        if isinstance(output, dict) and output.get("name") == "label":
            data = output.get("data")
            return isinstance(data, list) and len(cast("list[object]", data)) == 1 and _is_label(data[0])
    return False


def _is_label(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _list_under(key: str, body: bytes) -> list[object]:
    """Return the list under a key of a JSON object, empty when there is none."""
    try:
        document = cast("object", json.loads(body))
    except (ValueError, RecursionError):
        return []
    value = cast("dict[str, object]", document).get(key) if isinstance(document, dict) else None
    return cast("list[object]", value) if isinstance(value, list) else []
