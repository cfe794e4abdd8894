import json

import pytest

from controller.platforms.local.arrival_bins import ArrivalBins
from controller.platforms.local.client_connection import ClientConnection
from controller.platforms.local.front import BUFFER, Front
from controller.platforms.local.front_request import FrontRequest, plain_answer


class FakeBackend:
    def __init__(self, bound=0):
        self.bound = bound
        self.requests = []

    @property
    def in_flight(self):
        return len(self.requests)

    def has_room(self):
        return not self.bound or self.in_flight < self.bound

    def forward(self, request, now_s):
        self.requests.append(request)


class FakeTransport:
    def __init__(self):
        self.written = b""
        self.closed = self.paused = False

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


class Scene:
    """A front on a clock that the test moves."""

    def __init__(self):
        self.now_s = 100.0
        self.pokes = 0
        self.front = Front(now=lambda: self.now_s, poke=self.poke)
        self.answers = []

    def poke(self):
        self.pokes += 1

    def submit(self, timeout_s=30.0):
        request = FrontRequest(
            method=b"POST",
            target=b"/v1",
            headers=[],
            body=b"",
            arrived_s=self.now_s,
            deadline_s=self.now_s + timeout_s,
            has_own_timeout=False,
            answer=lambda head, body: self.answers.append((head, body)),
        )
        self.front.submit(request)
        return request

    def connect(self):
        connection, transport = ClientConnection(self.front), FakeTransport()
        connection.connection_made(transport)
        return connection, transport

    def add_backend(self, bound=0):
        backend = FakeBackend(bound)
        self.front.ready.append(backend)
        return backend


@pytest.fixture
def scene():
    return Scene()


def test_a_request_at_zero_waits_pokes_and_goes_to_the_first_that_is_ready(scene):
    request = scene.submit()
    backend = scene.add_backend()

    scene.front.release()

    assert scene.pokes == 1
    assert backend.requests == [request]
    assert request.has_met_cold_start


def test_the_least_loaded_instance_gets_the_request(scene):
    first, second = scene.add_backend(), scene.add_backend()

    for _ in range(3):
        scene.submit()

    assert (first.in_flight, second.in_flight) == (2, 1)


def test_requests_beyond_the_bound_wait_and_go_in_order(scene):
    backend = scene.add_backend(bound=1)
    requests = [scene.submit() for _ in range(3)]

    backend.requests.clear()
    scene.front.done()

    assert backend.requests == [requests[1]]
    assert scene.front.waiting == 1


def test_a_full_buffer_answers_503(scene):
    for _ in range(BUFFER + 1):
        scene.submit()

    assert scene.front.waiting == BUFFER
    assert scene.answers[0][0].startswith(b"HTTP/1.1 503")


def test_what_waits_beyond_its_deadline_is_answered_504(scene):
    scene.submit(timeout_s=5)
    scene.submit(timeout_s=50)

    scene.now_s += 10
    scene.front.expire()

    head, body = scene.answers[0]
    assert head.startswith(b"HTTP/1.1 504")
    assert b"X-Tidegate-Reason: deadline" in head
    assert "deadline" in json.loads(body)["error"]
    assert scene.front.waiting == scene.front.in_parallel == 1


def test_a_client_that_goes_away_leaves_the_buffer(scene):
    request = scene.submit()

    scene.front.forget(request)

    assert scene.front.waiting == scene.front.in_parallel == 0


def test_a_request_that_was_never_sent_goes_to_the_head_of_the_buffer(scene):
    backend = scene.add_backend()
    request = scene.submit()
    scene.front.ready.clear()
    later = scene.submit()
    scene.front.done()
    scene.front.retry(request)
    backend.requests.clear()

    scene.front.ready.append(backend)
    scene.front.release()

    assert backend.requests == [request, later]


def test_concurrency_is_averaged_over_time(scene):
    scene.add_backend()
    scene.front.mean_in_parallel(scene.now_s)
    scene.submit()
    scene.now_s += 1.0
    scene.front.done()
    scene.now_s += 3.0

    assert scene.front.mean_in_parallel(scene.now_s) == pytest.approx(0.25)
    assert scene.front.mean_in_parallel(scene.now_s) == 0.0


def test_a_request_is_forwarded_whole_without_what_belongs_to_the_connection(scene):
    backend = scene.add_backend()
    connection, _ = scene.connect()

    connection.data_received(
        b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
    )
    connection.data_received(b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    assert (
        backend.requests[0].wire(scene.now_s) == b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
    )


def test_the_time_a_request_waited_is_taken_off_its_timeout(scene):
    connection, _ = scene.connect()
    connection.data_received(b"GET / HTTP/1.1\r\nX-Tidegate-Timeout-S: 4\r\n\r\n")
    connection.data_received(b"")
    backend = scene.add_backend()
    scene.front.release()

    assert b"X-Tidegate-Timeout-S: 2.500\r\n" in backend.requests[0].wire(scene.now_s + 1.5)


def test_a_timeout_that_is_no_number_is_left_to_the_server(scene):
    backend = scene.add_backend()
    connection, _ = scene.connect()

    connection.data_received(b"GET / HTTP/1.1\r\nX-Tidegate-Timeout-S: soon\r\n\r\n")

    assert b"x-tidegate-timeout-s: soon\r\n" in backend.requests[0].wire(scene.now_s)


def test_an_activator_that_ends_refuses_what_waits_and_what_comes(scene):
    scene.submit()

    scene.front.close()
    scene.submit()

    assert [head.split()[1] for head, _ in scene.answers] == [b"503", b"503"]
    assert scene.front.in_parallel == 0


def test_pipelined_requests_are_answered_in_order(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
    backend.requests[0].answer(b"HTTP/1.1 200 OK", b"one")
    backend.requests[1].answer(b"HTTP/1.1 200 OK", b"two")

    assert transport.written == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"
    )


def test_thousands_of_pipelined_requests_are_refused_one_after_the_other(scene):
    connection, transport = scene.connect()
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n" * 5000)

    scene.front.close()

    assert transport.written.count(b"HTTP/1.1 503") == 5000
    assert scene.front.in_parallel == 0


def test_a_client_that_only_sends_is_read_no_further_until_its_requests_are_answered(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"GET / HTTP/1.1\r\n\r\n" * 70)
    was_paused = transport.paused
    for number in range(70):
        backend.requests[number].answer(b"HTTP/1.1 200 OK", b"")

    assert was_paused
    assert not transport.paused
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n%b" % (b"a" * 9_000_000) * 3)
    assert transport.paused


def test_what_comes_behind_a_good_request_is_refused_after_its_answer(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"GET / HTTP/1.1\r\n\r\nwhat is this\r\n\r\n")
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert transport.written == b""
    backend.requests[0].answer(b"HTTP/1.1 200 OK", b"")

    first, second = transport.written.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"200", b"400")
    assert transport.closed
    assert len(backend.requests) == 1


def test_a_request_to_upgrade_is_not_forwarded(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc")

    assert backend.requests == []
    assert transport.written.startswith(b"HTTP/1.1 501")
    assert b"send plain HTTP/1.1" in transport.written


def test_trailers_are_dropped_and_bounded(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()
    head = b"POST / HTTP/1.1\r\nX-Tidegate-Timeout-S: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"11170\r\n%b\r\n0\r\n" % (b"a" * 70_000)

    connection.data_received(head + body + b"X-Tidegate-Timeout-S: 3000\r\nX-B: c\r\n\r\n")
    backend.requests[0].answer(b"HTTP/1.1 200 OK", b"")
    connection.data_received(head + body + b"X-B: %b\r\n\r\n" % (b"c" * 9000))

    assert backend.requests[0].headers == []
    assert backend.requests[0].deadline_s == scene.now_s + 4
    assert transport.written.split(b"HTTP/1.1 ")[2].startswith(b"431")
    assert len(backend.requests) == 1


def test_an_answer_of_the_activators_own_is_json_whatever_it_says():
    message = 'no instance starts: \t"é"\x1b[31m \\'

    _, body = plain_answer(503, "Service Unavailable", message)

    assert json.loads(body) == {"error": message}


def test_a_request_that_was_never_sent_is_refused_once_the_activator_ends(scene):
    scene.add_backend()
    request = scene.submit()
    scene.front.close()
    scene.front.done()

    scene.front.retry(request)

    assert scene.answers[0][0].startswith(b"HTTP/1.1 503")
    assert scene.front.waiting == scene.front.in_parallel == 0


def test_the_answer_to_head_has_no_body(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"HEAD / HTTP/1.1\r\n\r\n")
    backend.requests[0].answer(b"HTTP/1.1 200 OK", b"body")

    assert backend.requests[0].method == b"GET"
    assert transport.written == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_a_client_that_wants_to_close_is_closed_after_its_answer(scene):
    backend = scene.add_backend()
    connection, transport = scene.connect()

    connection.data_received(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    backend.requests[0].answer(b"HTTP/1.1 200 OK", b"")

    assert b"Connection: close" in transport.written
    assert transport.closed


def test_a_client_that_asks_first_is_told_to_go_on(scene):
    connection, transport = scene.connect()

    connection.data_received(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")

    assert transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"what is this\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: %b\r\n\r\n" % (b"a" * 70_000), b"431"),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", b"501"),
        (b"POST / HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n" + b"a" * 17_000_000, b"413"),
    ],
)
def test_what_cannot_be_forwarded_is_refused_and_the_connection_closed(scene, data, status):
    connection, transport = scene.connect()

    connection.data_received(data)

    assert transport.written.split()[1] == status
    assert transport.closed


def test_a_client_that_went_away_gets_nothing_and_its_exchange_is_given_up(scene):
    given_up = []
    backend = scene.add_backend()
    connection, _ = scene.connect()
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    backend.requests[0].cancel = lambda: given_up.append(True)

    connection.connection_lost(None)

    assert backend.requests[0].is_gone
    assert given_up == [True]


def test_bins_hold_the_arrivals_of_the_last_two_minutes():
    bins = ArrivalBins(10.0)
    for instant in (10.01, 10.02, 10.35):
        bins.count(instant)

    assert bins.to_document(10.45) == {"width_s": 0.1, "first": 100, "counts": [2, 0, 0, 1, 0], "censored": []}
    assert len(bins.to_document(200.0)["counts"]) == 1
    assert sum(bins.to_document(110.0)["counts"]) == 0
