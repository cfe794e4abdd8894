"""`python -m loadtest` and `locust -f loadtest/locustfile.py`, each as a process of its own against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from controller.domain.request_log import read_request_log

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ARRIVALS = '{"kind": "mmpp", "rates_rps": [20, 120], "switching_per_s": [[0, 4], [4, 0]]}'
OUTPUTS = [{"name": "label", "datatype": "BYTES", "shape": [1], "data": ["positive"]}]
PREDICTIONS = [{"label": "positive", "probabilities": {"negative": 0.1, "positive": 0.9}}]


class Stub(BaseHTTPRequestHandler):
    """Answers right but for its 2nd to 5th request; says that its first was a cold start."""

    protocol_version = "HTTP/1.1"
    paths: list[str]
    lock = threading.Lock()

    def do_POST(self) -> None:
        with self.lock:
            self.paths.append(self.path)
            number = len(self.paths)
        texts = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert texts
        status = {2: 429, 3: 504, 4: 500}.get(number, 200)
        body = json.dumps({} if number == 5 else {"outputs": OUTPUTS, "predictions": PREDICTIONS}).encode()
        self.send_response(status)
        if number == 1:
            self.send_header("X-Tidegate-Cold-Start", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Finished(NamedTuple):
    process: subprocess.CompletedProcess[str]
    folder: Path
    paths: list[str]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    Stub.paths = []
    stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    stub.daemon_threads = True
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{stub.server_port}", Stub.paths
    stub.shutdown()
    thread.join()
    stub.server_close()


@pytest.fixture(scope="module")
def drawn(server: tuple[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Requests of one second, drawn from a seed, by our own command, with a time zero of our choice."""
    url, paths = server
    folder = tmp_path_factory.mktemp("load") / "drawn"
    flags = ["--host", url, "--arrivals", ARRIVALS, "--seed", "5", "--duration", "1", "--out", str(folder), "--json"]
    flags += ["--start-at-s", f"{time.time() + 2.5:.3f}"]
    process = subprocess.run(
        [sys.executable, "-m", "loadtest", *flags], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    return Finished(process, folder, list(paths))


@pytest.fixture(scope="module")
def replayed(server: tuple[str, list[str]], drawn: Finished) -> Finished:
    """The same schedule again, by Locust's command, in the other protocol."""
    url, paths = server
    folder, before = drawn.folder.parent / "replayed", len(paths)
    flags = ["--host", url, "--schedule", str(drawn.folder / "schedule.csv"), "--protocol", "v1", "--out", str(folder)]
    locust = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--headless"]
    process = subprocess.run(
        [*locust, *flags], capture_output=True, text=True, timeout=60, cwd=drawn.folder.parent, check=False
    )
    return Finished(process, folder, paths[before:])


def test_the_exit_code_and_the_document_agree_on_validity(drawn: Finished, replayed: Finished):
    # A busy machine may make the generator late: then the run has to say so.
    for run in (drawn, replayed):
        document = json.loads((run.folder / "load.json").read_text())
        assert run.process.returncode == (0 if document["valid"] else 4), run.process.stderr
        assert document["valid"] or f"run invalid: {document['why']}" in run.process.stderr


def test_json_is_the_only_thing_on_stdout_and_equals_the_file(drawn: Finished):
    assert json.loads(drawn.process.stdout) == json.loads((drawn.folder / "load.json").read_text())


def test_every_request_of_the_schedule_was_sent_once_and_has_a_row(drawn: Finished):
    scheduled = (drawn.folder / "schedule.csv").read_text().splitlines()[1:]
    log = read_request_log(drawn.folder / "requests.csv")
    assert [f"{due:.6f}" for due in log.intended_s] == [line.split(",")[1] for line in scheduled]
    assert drawn.paths == ["/v2/models/distilbert/infer"] * len(scheduled)
    assert (log.sent_s >= log.intended_s).all()
    assert (log.done_s >= log.sent_s).all()


def test_answers_are_sorted_into_classes(drawn: Finished):
    document = json.loads(drawn.process.stdout)
    counts = {name: figures["count"] for name, figures in document["classes"].items()}
    right = document["requests"] - 5
    assert counts == {"ok": right, "warm_up": 0, "cold_start": 1, "rejected": 1, "expired": 1, "error": 2}


def test_time_zero_is_the_one_that_was_asked_for(drawn: Finished):
    asked = float(drawn.process.args[-1])
    assert json.loads(drawn.process.stdout)["started_at"] == asked


def test_the_document_names_seed_versions_and_options(drawn: Finished):
    document = json.loads(drawn.process.stdout)
    assert document["seeds"] == {"schedule": 5}
    assert set(document["versions"]) == {"python", "tidegate", "locust", "gevent", "geventhttpclient", "numpy"}
    assert document["options"]["arrivals"] == ARRIVALS


def test_nothing_but_the_results_is_left(drawn: Finished):
    assert sorted(path.name for path in drawn.folder.iterdir()) == ["load.json", "requests.csv", "schedule.csv"]


def test_a_replay_by_locust_sends_the_same_schedule_bit_for_bit(drawn: Finished, replayed: Finished):
    saved, again = (run.folder / "schedule.csv" for run in (drawn, replayed))
    assert saved.read_bytes() == again.read_bytes()
    assert replayed.paths == ["/v1/models/distilbert:predict"] * len(drawn.paths)


def test_locust_counts_the_same_requests_as_we_do(replayed: Finished):
    requests = json.loads((replayed.folder / "load.json").read_text())["requests"]
    aggregated = next(line for line in replayed.process.stderr.splitlines()[::-1] if "Aggregated" in line)
    assert str(requests) in aggregated.split()


def test_bad_input_ends_locust_with_one_line_of_ours_and_exit_code_2(tmp_path: Path):
    locust = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--headless"]
    process = subprocess.run(
        [*locust, "--loglevel", "ERROR", "--host", "http://127.0.0.1:1", "--out", "run"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.splitlines() == [
        "--arrivals: is missing; give an arrivals document, or --schedule with a saved schedule"
    ]
