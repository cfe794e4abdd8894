"""A real server process through load, signals, kills and impatient clients."""

import contextlib
import http.client
import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

SLOW = {"fake_per_batch_s": 0.15, "max_batch_size": 1}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_a_killed_worker_costs_no_request(start_server, pool):
    server = start_server(fake_per_batch_s=0.03, max_batch_size=2)
    answers = [pool.submit(server.predict, f"text {i}") for i in range(20)]
    server.wait_until(lambda: server.series("tidegate_in_flight") > 0)
    server.workers()[0].kill()
    assert [each.result()[0] for each in answers] == [200] * 20
    assert server.series("tidegate_worker_deaths_total") == 1


def test_a_worker_that_dies_twice_fails_only_what_it_held(start_server, pool):
    server = start_server(fake_per_batch_s=1.0, max_batch_size=1)
    answer = pool.submit(server.predict, "text")
    for deaths in (1, 2):
        server.wait_until(lambda: server.series("tidegate_in_flight") == 1)
        server.workers()[0].kill()
        server.wait_until(lambda deaths=deaths: server.series("tidegate_worker_deaths_total") == deaths)
    status, headers, body = answer.result()
    assert (status, headers["X-Tidegate-Reason"]) == (500, "worker-died")
    assert "worker died" in body["error"]
    server.wait_until(server.is_ready)


def test_sigterm_finishes_what_is_queued(start_server, pool):
    server = start_server(**SLOW)
    answers = [pool.submit(server.predict, f"text {i}") for i in range(6)]
    server.wait_until(lambda: server.series("tidegate_queue_length") == 5)
    assert server.terminate() == 0
    assert [each.result()[0] for each in answers] == [200] * 6


def test_a_draining_server_is_not_ready_and_takes_nothing_new(start_server, pool):
    server = start_server(**SLOW)
    kept = http.client.HTTPConnection("127.0.0.1", server.port)
    with contextlib.closing(kept):
        kept.request("POST", "/v1/models/distilbert:predict", json.dumps({"instances": ["x", "y", "z"]}))
        server.wait_until(lambda: server.series("tidegate_queue_length") == 2)
        server.process.send_signal(signal.SIGTERM)
        response = kept.getresponse()
        assert response.status == 200
        assert response.headers["connection"] == "close"
    with pytest.raises(ConnectionError):
        server.predict("late")
    assert server.process.wait(5) == 0


def test_no_process_is_left_behind(start_server):
    server = start_server(workers=2)
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert len(family) == 3
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_drain_that_takes_too_long_is_cut(start_server, pool):
    server = start_server(fake_per_batch_s=30, drain_s=0.1)
    cut = pool.submit(server.predict, "text")
    server.wait_until(lambda: server.series("tidegate_in_flight") == 1)
    assert server.terminate() == 1
    status, _, body = cut.result()
    assert status == 503
    assert "stopped before" in body["error"]


def test_a_full_queue_answers_429(start_server, pool):
    server = start_server(**SLOW, max_queue_length=2)
    answers = [pool.submit(server.predict, f"text {i}") for i in range(3)]
    server.wait_until(lambda: server.series("tidegate_queue_length") == 2)
    status, headers, body = server.predict("one more")
    assert (status, headers["Retry-After"], headers["X-Tidegate-Reason"]) == (429, "1", "queue-full")
    assert "2 of 2" in body["error"]
    assert [each.result()[0] for each in answers] == [200] * 3


def test_a_passed_deadline_answers_504(start_server, pool):
    server = start_server(fake_per_batch_s=0.4, max_batch_size=1)
    first = pool.submit(server.predict, "text")
    server.wait_until(lambda: server.series("tidegate_in_flight") == 1)
    status, headers, _ = server.predict("late", headers={"X-Tidegate-Timeout-S": "0.05"})
    assert (status, headers["X-Tidegate-Reason"]) == (504, "deadline")
    assert first.result()[0] == 200


def test_a_client_that_leaves_takes_its_requests_out_of_the_queue(start_server, pool):
    server = start_server(fake_per_batch_s=0.5, max_batch_size=1)
    first = pool.submit(server.predict, "text")
    server.wait_until(lambda: server.series("tidegate_in_flight") == 1)
    body = b'{"instances": ["a", "b"]}'
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = f"POST /v1/models/distilbert:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        server.wait_until(lambda: server.series("tidegate_queue_length") == 2)
    server.wait_until(lambda: server.series('tidegate_requests_total{outcome="cancelled"}') == 2)
    assert server.series("tidegate_queue_length") == 0
    assert first.result()[0] == 200


def test_active_workers_follow_the_hot_settings_file(start_server, pool, tmp_path):
    file = tmp_path / "hot.json"
    file.write_text('{"generation": 4, "workers": 1, "max_batch_size": 1}')
    server = start_server(workers=2, fake_per_batch_s=0.2, hot_settings_file=file)
    server.wait_until(lambda: server.series("tidegate_hot_settings_generation") == 4)
    answers = [pool.submit(server.predict, f"text {i}") for i in range(2)]
    server.wait_until(lambda: server.series("tidegate_in_flight") + server.series("tidegate_queue_length") == 2)
    assert server.series("tidegate_in_flight") == 1
    file.write_text('{"generation": 5, "workers": 2}')
    server.wait_until(lambda: server.series('tidegate_hot_setting{name="workers"}') == 2)
    assert [each.result()[0] for each in answers] == [200] * 2


def test_a_broken_hot_settings_file_changes_nothing(start_server, tmp_path):
    file = tmp_path / "hot.json"
    file.write_text('{"generation": 9, "max_batch_size": 0')
    server = start_server(hot_settings_file=file)
    server.wait_until(lambda: server.series('tidegate_config_reloads_total{result="refused"}') == 1)
    assert server.series("tidegate_hot_settings_generation") == 0


def test_requests_before_the_network_is_loaded_wait_for_it(start_server):
    server = start_server(wait=False)
    assert server.predict("early")[0] == 200


def test_cold_start_stages_are_told(start_server):
    server = start_server(started_at_s=time.time())
    server.predict("text")
    stages = ["python", "web", "runtime", "model", "ready", "first_answer"]
    assert all(server.series(f'tidegate_cold_start_seconds{{stage="{stage}"}}') >= 0 for stage in stages)
    assert server.series('tidegate_cold_start_seconds{stage="first_answer"}') < 20
