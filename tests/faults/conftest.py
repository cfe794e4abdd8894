"""Real server processes with the fake runtime, on sockets that the test opens first: no port is raced for."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil
import pytest

PATIENCE_S = 20.0


@dataclass
class RunningServer:
    process: subprocess.Popen[str]
    port: int

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None):
        """Status, headers and JSON of one call on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            data = body if isinstance(body, bytes | None) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            text = response.read()
            return response.status, response.headers, json.loads(text) if text[:1] in b"{[" else text.decode()

    def predict(self, *instances: object, headers: dict[str, str] | None = None):
        return self.request("POST", "/v1/models/distilbert:predict", {"instances": instances}, headers)

    def count(self, name: str) -> float:
        """One sample of /metrics; `name` is the series without our prefix."""
        lines = self.request("GET", "/metrics")[2].splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"tidegate_{name} "))

    def wait_until(self, holds) -> None:
        """Poll until `holds()`, or fail."""
        until_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < until_s, "what was waited for did not happen"
            assert self.process.poll() is None, "the server has ended"
            time.sleep(0.01)

    def is_ready(self) -> bool:
        return self.request("GET", "/v2/health/ready")[0] == 200

    def workers(self) -> list[psutil.Process]:
        """The workers are the children of the zygote, which is the server's only child."""
        (zygote,) = psutil.Process(self.process.pid).children()
        return zygote.children()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def start_server():
    """Starts servers; whatever still runs at the end of the test is killed."""
    running: list[RunningServer] = []

    def start(*, wait: bool = True, **settings: object) -> RunningServer:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            environ = {"TIDEGATE_MODEL": "fake"} | {f"TIDEGATE_{name.upper()}": str(v) for name, v in settings.items()}
            process = subprocess.Popen(
                [sys.executable, "-m", "inference_service", "--fd", str(listener.fileno())],
                env=os.environ | environ,
                pass_fds=[listener.fileno()],
                stderr=subprocess.PIPE,
                text=True,
            )
            server = RunningServer(process, listener.getsockname()[1])
        running.append(server)
        if wait:
            server.wait_until(server.is_ready)
        return server

    yield start
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
        server.process.stderr.close()
