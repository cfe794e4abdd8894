"""Clients that speak HTTP badly or too much, against a real server; none of them disturbs the next one."""

import json
import socket

import pytest

PATH = "/v1/models/distilbert:predict"


def speak(server, text):
    """Send bytes, return what comes back until the server closes or falls silent."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as client:
        client.sendall(text)
        try:
            while chunk := client.recv(65536):
                received += chunk
                if b"\r\n\r\n" in received and b"connection: close" not in received:
                    break
        except (ConnectionResetError, TimeoutError):
            pass
    return received


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n", b"HTTP/1.1 413"),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404"),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"HTTP/1.1 "),
        (b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"2\r\n{}\r\n0\r\n\r\n", b"HTTP/1.1 400"),
    ],
)  # fmt: skip
def test_bad_http_is_refused_and_the_next_client_is_served(start_server, text, expected):
    server = start_server()
    assert speak(server, text).startswith(expected)
    assert server.predict("next")[0] == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(start_server):
    server = start_server()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert server.predict("next")[0] == 200


def test_requests_in_one_packet_are_answered_in_order(start_server):
    server = start_server()
    bodies = [json.dumps({"instances": [{"input_ids": [i]}]}).encode() for i in (1, 2)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as client:
        client.sendall(
            b"".join(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
                for body in bodies
            )
        )
        received = b""
        while received.count(b"predictions") < 2:
            received += client.recv(65536)
    assert received.index(b'"label":"positive"') < received.index(b'"label":"negative"')


def test_an_eight_megabyte_text_is_cut_and_answered(start_server):
    server = start_server()
    status, _, _ = server.predict("word " * 1_600_000)
    assert status == 200


def test_what_follows_a_request_to_upgrade_is_no_request_of_its_own(start_server):
    server = start_server()
    head = (
        b"POST /v1/models/distilbert:predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nContent-Length: 24\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(head)
        client.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as stream:
            answers = stream.read()
    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answers.lower()
