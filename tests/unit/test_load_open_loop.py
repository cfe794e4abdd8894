from __future__ import annotations

import math
import time

import gevent
import pytest

from loadtest.connections import Answer, NoAnswerError
from loadtest.open_loop import OpenLoop, Sending

RIGHT = Answer(200, is_cold_start=False, body=b"right")


class Server:
    """Answers after a delay; a request whose bytes are a key of `answers` gets that answer."""

    def __init__(self, delay_s: float = 0.0, answers: dict[bytes, Answer | NoAnswerError] | None = None) -> None:
        self.delay_s = delay_s
        self.answers = answers or {}
        self.at_once = self.most_at_once = 0

    def exchange(self, request: bytes) -> Answer:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        gevent.sleep(self.delay_s)
        self.at_once -= 1
        answer = self.answers.get(request, RIGHT)
        if isinstance(answer, NoAnswerError):
            raise answer
        return answer


def run(server: Server, intended_s: list[float], *, max_in_flight: int = 100, timeout_s: float = 5.0):
    heard: list[tuple[float, int, str | None]] = []
    requests = [b"%d" % index for index in range(len(intended_s))]
    sending = Sending(
        intended_s, requests, lambda body: body == b"right", max_in_flight=max_in_flight, timeout_s=timeout_s
    )
    loop = OpenLoop(sending, server.exchange, lambda *told: heard.append(told))
    loop.run(time.monotonic())
    return loop.outcomes, heard


def test_sends_do_not_wait_for_answers():
    server = Server(delay_s=0.1)
    outcomes, _ = run(server, [0.0, 0.01, 0.02, 0.03])
    assert server.most_at_once == 4
    assert outcomes.request_class == ["ok"] * 4


def test_nothing_is_sent_early():
    intended_s = [0.003, 0.0101, 0.0102, 0.02]
    outcomes, _ = run(Server(), intended_s)
    assert all(sent >= due for sent, due in zip(outcomes.sent_s, intended_s, strict=True))


def test_the_latency_that_locust_hears_counts_from_the_intended_instant():
    intended_s = [0.0, 0.005]
    outcomes, heard = run(Server(delay_s=0.01), intended_s)
    felt = [done - due for done, due in zip(outcomes.done_s, intended_s, strict=True)]
    assert [latency for latency, _, _ in heard] == pytest.approx(felt)


def test_above_the_bound_a_send_is_skipped_and_counted():
    outcomes, _ = run(Server(delay_s=0.05), [0.0] * 5, max_in_flight=3)
    assert outcomes.skipped == 2
    assert [math.isnan(sent) for sent in outcomes.sent_s] == [False] * 3 + [True] * 2
    assert outcomes.request_class == ["ok"] * 3 + ["error"] * 2


def test_every_answer_gets_its_class():
    answers: dict[bytes, Answer | NoAnswerError] = {
        b"1": Answer(200, is_cold_start=True, body=b"right"),
        b"2": Answer(429, is_cold_start=False, body=b""),
        b"3": Answer(504, is_cold_start=True, body=b""),
        b"4": Answer(302, is_cold_start=False, body=b"right"),
        b"5": Answer(200, is_cold_start=True, body=b"wrong"),
        b"6": NoAnswerError("timed out"),
    }
    outcomes, heard = run(Server(answers=answers), [0.0] * 7)
    assert outcomes.request_class == ["ok", "cold_start", "rejected", "expired", "error", "error", "error"]
    assert outcomes.status == [200, 200, 429, 504, 302, 200, 0]
    assert math.isnan(outcomes.done_s[6])
    assert outcomes.reasons == {
        "429: the queue is full": 1,
        "504: its deadline passed in the queue": 1,
        "HTTP status 302": 1,
        "200 without exactly one label": 1,
        "timed out": 1,
    }
    assert sum(reason is None for _, _, reason in heard) == 2


def test_the_run_ends_when_the_timeout_after_the_last_send_has_passed_and_a_later_answer_changes_nothing():
    outcomes, _ = run(Server(delay_s=0.1), [0.0], timeout_s=0.01)
    gevent.sleep(0.12)
    assert outcomes.request_class == ["error"]
    assert math.isnan(outcomes.done_s[0])
    assert outcomes.status == [0]


def test_a_schedule_whose_every_send_was_skipped_or_answered_ends_at_once():
    outcomes, heard = run(Server(), [0.0])
    assert (outcomes.sent, outcomes.in_flight, len(heard)) == (1, 0, 1)
