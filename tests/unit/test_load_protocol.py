from __future__ import annotations

import json
from typing import Literal

import pytest

from loadtest.protocol import Protocol
from loadtest.target import Target

TARGET = Target("models.example", 8080, tls=False, prefix="/base")


@pytest.mark.parametrize(
    ("version", "line", "body"),
    [
        ("v1", b"POST /base/v1/models/m:predict HTTP/1.1", {"instances": ["a “fine” film"]}),
        (
            "v2",
            b"POST /base/v2/models/m/infer HTTP/1.1",
            {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a “fine” film"]}]},
        ),
    ],
)
def test_a_text_becomes_a_whole_request(version: Literal["v1", "v2"], line: bytes, body: object):
    (request,) = Protocol.of(version, "m").requests(TARGET, ["a “fine” film"])
    head, _, sent = request.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    assert first == line
    assert b"Host: models.example:8080" in headers
    assert b"Content-Length: %d" % len(sent) in headers
    assert json.loads(sent) == body


def test_a_right_v1_answer_has_one_prediction_with_a_label():
    is_right = Protocol.of("v1", "m").is_right
    assert is_right(b'{"predictions": [{"label": "positive", "probabilities": {"positive": 1.0}}]}')


def test_a_right_v2_answer_has_one_label():
    is_right = Protocol.of("v2", "m").is_right
    assert is_right(b'{"outputs": [{"name": "probabilities", "data": [0, 1]}, {"name": "label", "data": ["x"]}]}')


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"predictions": [], "outputs": []}',
        b'{"predictions": {}, "outputs": {}}',
        b'{"predictions": ["x"], "outputs": ["x"]}',
        b'{"predictions": [{}], "outputs": [{"name": "label"}]}',
        b'{"predictions": [{"label": ""}], "outputs": [{"name": "label", "data": [""]}]}',
        b'{"predictions": [{"label": 1}], "outputs": [{"name": "label", "data": [1]}]}',
        b'{"predictions": [{"label": "a"}, {"label": "b"}], "outputs": [{"name": "label", "data": ["a", "b"]}]}',
    ],
)
def test_anything_else_is_no_right_answer(version: Literal["v1", "v2"], body: bytes):
    assert not Protocol.of(version, "m").is_right(body)
