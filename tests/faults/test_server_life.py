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

ONE_BY_ONE = {"max_batch_size": 1}


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


@pytest.fixture
def start_held(start_server, pool):
    """A server whose workers are stopped after n requests were sent to it: nothing is answered until `release`."""

    def start(n, **settings):
        server = start_server(**(ONE_BY_ONE | settings))
        server.wait_until(lambda: len(server.workers()) == settings.get("workers", 1))
        workers = server.workers()
        for worker in workers:
            worker.suspend()
        answers = [pool.submit(server.predict, f"text {i}") for i in range(n)]
        server.wait_until(lambda: server.count("queue_length") + server.count("in_flight") == n)
        return server, answers, lambda: [worker.resume() for worker in workers]

    return start


def statuses(answers):
    return [each.result()[0] for each in answers]


def test_a_killed_worker_costs_no_request(start_held):
    server, answers, _ = start_held(9, max_batch_size=4)
    server.workers()[0].kill()
    assert statuses(answers) == [200] * 9
    assert server.count("worker_deaths_total") == 1


def test_a_worker_that_dies_twice_fails_only_what_it_held(start_server, pool):
    server = start_server(fake_per_batch_s=30, **ONE_BY_ONE)
    answer = pool.submit(server.predict, "text")
    for deaths in (1, 2):
        server.wait_until(lambda: server.count("in_flight") == 1)
        server.workers()[0].kill()
        server.wait_until(lambda deaths=deaths: server.count("worker_deaths_total") == deaths)
    status, headers, body = answer.result()
    assert (status, headers["X-Tidegate-Reason"]) == (500, "worker-died")
    assert "worker died" in body["error"]
    server.wait_until(server.is_ready)


def test_sigterm_finishes_what_is_queued(start_held):
    server, answers, release = start_held(6)
    server.process.send_signal(signal.SIGTERM)
    release()
    assert statuses(answers) == [200] * 6
    assert server.process.wait(10) == 0


def test_a_draining_server_closes_its_connections_and_takes_no_new_one(start_held):
    server, answers, release = start_held(2)
    kept = http.client.HTTPConnection("127.0.0.1", server.port)
    with contextlib.closing(kept):
        kept.request("POST", "/v1/models/distilbert:predict", json.dumps({"instances": ["x"]}))
        server.wait_until(lambda: server.count("queue_length") == 2)
        server.process.send_signal(signal.SIGTERM)
        server.process.stderr.readline()  # ready
        assert "draining" in server.process.stderr.readline()
        with pytest.raises(ConnectionError):
            server.predict("late")
        release()
        response = kept.getresponse()
        assert (response.status, response.headers["connection"]) == (200, "close")
    assert statuses(answers) == [200] * 2
    assert server.process.wait(10) == 0


def test_without_its_zygote_a_server_drains_and_asks_to_be_started_again(start_held):
    server, answers, release = start_held(3)
    psutil.Process(server.process.pid).children()[0].kill()
    release()
    assert statuses(answers) == [200] * 3
    assert server.process.wait(10) == 1


def test_an_interrupt_ends_with_130(start_server):
    server = start_server()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(10) == 130


def test_no_process_is_left_behind(start_server):
    server = start_server(workers=2)
    server.wait_until(lambda: len(server.workers()) == 2)
    family = psutil.Process(server.process.pid).children(recursive=True)
    assert len(family) == 3
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_drain_that_takes_too_long_is_cut(start_held):
    server, answers, _ = start_held(2, drain_s=0.1)
    assert server.terminate() == 1
    assert statuses(answers) == [503, 503]
    assert "stopped before" in answers[0].result()[2]["error"]


def test_a_full_queue_answers_429(start_held):
    server, answers, release = start_held(3, max_queue_length=2)
    status, headers, body = server.predict("one more")
    assert (status, headers["Retry-After"], headers["X-Tidegate-Reason"]) == (429, "1", "queue-full")
    assert "2 of 2" in body["error"]
    release()
    assert statuses(answers) == [200] * 3


def test_a_passed_deadline_answers_504(start_held):
    server, answers, release = start_held(1)
    status, headers, _ = server.predict("late", headers={"X-Tidegate-Timeout-S": "0.05"})
    assert (status, headers["X-Tidegate-Reason"]) == (504, "deadline")
    release()
    assert statuses(answers) == [200]


def test_a_client_that_leaves_takes_its_requests_out_of_the_queue(start_held):
    server, answers, release = start_held(1)
    body = b'{"instances": ["a", "b"]}'
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = f"POST /v1/models/distilbert:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        server.wait_until(lambda: server.count("queue_length") == 2)
    server.wait_until(lambda: server.count('requests_total{outcome="cancelled"}') == 2)
    assert server.count("queue_length") == 0
    release()
    assert statuses(answers) == [200]


def test_active_workers_follow_the_hot_settings_file(start_held, tmp_path):
    file = tmp_path / "hot.json"
    file.write_text('{"generation": 4, "workers": 1}')
    server, answers, release = start_held(2, workers=2, hot_settings_file=file)
    server.wait_until(lambda: server.count("hot_settings_generation") == 4)
    file.write_text('{"generation": 5, "workers": 2}')
    server.wait_until(lambda: server.count('hot_setting{name="workers"}') == 2)
    assert server.count("in_flight") == 2
    release()
    assert statuses(answers) == [200] * 2


def test_a_broken_hot_settings_file_changes_nothing(start_server, tmp_path):
    file = tmp_path / "hot.json"
    file.write_text('{"generation": 9, "max_batch_size": 0')
    server = start_server(hot_settings_file=file)
    server.wait_until(lambda: server.count('config_reloads_total{result="refused"}') == 1)
    assert server.count("hot_settings_generation") == 0


def test_requests_before_the_network_is_loaded_wait_for_it(start_server):
    server = start_server(wait=False)
    assert server.predict("early")[0] == 200


def test_cold_start_stages_are_told(start_server):
    server = start_server(started_at_s=time.time())
    server.predict("text")
    stages = ["python", "web", "runtime", "model", "ready", "first_answer"]
    assert all(server.count(f'cold_start_seconds{{stage="{stage}"}}') >= 0 for stage in stages)
    assert server.count('cold_start_seconds{stage="first_answer"}') < 20


def test_a_hung_worker_is_answered_for_at_the_deadline(start_server):
    server = start_server(request_timeout_s=1)
    (worker,) = server.workers()
    worker.suspend()
    status, _, answer = server.predict("a")
    worker.resume()
    assert (status, "its worker has not answered" in answer["error"]) == (504, True)
    assert server.predict("b")[0] == 200
