from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import gevent
import pytest

from loadtest.connections import Connections, NoAnswerError, _is_established
from loadtest.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@contextmanager
def a_server(answers: list[list[bytes]]) -> Iterator[tuple[Connections, list[int]]]:
    """One inner list per connection: an answer to each request, then the server closes that connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests_seen: list[int] = []

    def serve() -> None:
        for number, replies in enumerate(answers):
            connection, _ = listener.accept()
            with connection:
                for reply in replies:
                    if not connection.recv(65536):
                        break
                    requests_seen.append(number)
                    connection.sendall(reply)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    connections = Connections(Target("localhost", port, tls=False, prefix=""), "127.0.0.1", timeout_s=0.2)
    try:
        yield connections, requests_seen
    finally:
        connections.close()
        listener.close()
        thread.join(timeout=2)


def test_a_connection_is_used_again_while_the_server_keeps_it_open():
    with a_server([[WHOLE, WHOLE, WHOLE]]) as (connections, requests_seen):
        answers = [connections.exchange(REQUEST) for _ in range(3)]
    assert [answer.body for answer in answers] == [b"{}"] * 3
    assert requests_seen == [0, 0, 0]


def test_a_connection_closed_by_the_server_is_replaced_before_use_and_nothing_is_sent_twice():
    with a_server([[WHOLE], [WHOLE]]) as (connections, requests_seen):
        connections.exchange(REQUEST)
        while _is_established(connections._idle[0][0]):  # until the server's goodbye has arrived
            gevent.sleep(0.001)
        assert connections.exchange(REQUEST).status == 200
    assert requests_seen == [0, 1]


def test_connection_close_is_obeyed():
    last = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"
    with a_server([[last, WHOLE], [WHOLE]]) as (connections, requests_seen):
        connections.exchange(REQUEST)
        connections.exchange(REQUEST)
    assert requests_seen == [0, 1]


def test_a_chunked_answer_is_put_together():
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with a_server([[chunked]]) as (connections, _):
        assert connections.exchange(REQUEST).body == b"{}"


def test_a_cold_start_is_read_from_its_header():
    cold = b"HTTP/1.1 200 OK\r\nX-Tidegate-Cold-Start: 1\r\ncontent-length: 2\r\n\r\n{}"
    with a_server([[cold, WHOLE]]) as (connections, _):
        assert [connections.exchange(REQUEST).is_cold_start for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}", "answer is no complete HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "answer is no complete HTTP"),
        (b"SSH-2.0-server\r\n", "answer is no complete HTTP"),
        (b"", "answer is no complete HTTP"),
    ],
    ids=["body cut off", "headers cut off", "another protocol", "nothing at all"],
)
def test_an_incomplete_answer_is_no_answer_and_its_connection_is_gone(reply: bytes, reason: str):
    with a_server([[reply], [WHOLE]]) as (connections, _):
        with pytest.raises(NoAnswerError, match=reason):
            connections.exchange(REQUEST)
        assert connections.exchange(REQUEST).status == 200


def test_a_server_that_says_nothing_times_out():
    with a_server([[b"", b""]]) as (connections, _), pytest.raises(NoAnswerError, match="timed out"):
        connections.exchange(REQUEST)


def test_a_refused_connection_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    connections = Connections(Target("localhost", port, tls=False, prefix=""), "127.0.0.1", timeout_s=0.2)
    with pytest.raises(NoAnswerError, match="refused"):
        connections.exchange(REQUEST)
