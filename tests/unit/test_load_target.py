from __future__ import annotations

import socket

import pytest

from controller.errors import BadInputError
from loadtest.target import Target, parse_target


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080, tls=False, prefix=""), "127.0.0.1:8080"),
        ("http://svc.example/", Target("svc.example", 80, tls=False, prefix=""), "svc.example"),
        ("https://svc.example/a/b/", Target("svc.example", 443, tls=True, prefix="/a/b"), "svc.example"),
        ("http://[::1]:9", Target("::1", 9, tls=False, prefix=""), "[::1]:9"),
    ],
)
def test_a_base_url_is_taken_apart(url: str, target: Target, authority: str):
    assert parse_target(url) == target
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://x",
        "http://" + "a" * 64 + ".example",
        "http://a..b",
        "http://",
        "http://x:99999",
        "http://x:port",
        "http://[::1",
        "http://x/?q=1",
        "http://x/a b",
        "http://x/\r\nHost: y",
        "http://bücher.example",
    ],
)
def test_what_is_no_base_url_is_bad_input(url: str):
    with pytest.raises(BadInputError, match="--host: "):
        parse_target(url)


def test_the_check_connects_and_sends_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert Target("localhost", port, tls=False, prefix="").address() == "127.0.0.1"
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""


def test_nothing_listening_is_bad_input_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BadInputError, match=f"nothing answers at 127.0.0.1 port {port} .*start the service"):
        Target("127.0.0.1", port, tls=False, prefix="").address()
