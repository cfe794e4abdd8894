"""`tidegate control` as a process beside a real activator: it comes, looks, goes, and the service goes on."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import sys

import pytest

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.platforms.local.activator_settings import ActivatorSettings
from controller.platforms.local.local_platform import LocalPlatform
from controller.telemetry.outbox import Outbox

PATIENCE_S = 60.0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def settings(tmp_path):
    reports = {"TIDEGATE_CONTROLLER_URL": f"http://127.0.0.1:{free_port()}", "TIDEGATE_CONTROLLER_TOKEN": "secret"}
    return ActivatorSettings(
        run_folder=tmp_path,
        listen=f"127.0.0.1:{free_port()}",
        service="distilbert",
        command=(sys.executable, "-m", "inference_service"),
        environment={"TIDEGATE_MODEL": "fake", **reports},
        autoscaler=AutoscalerSettings(window_s=30.0),
    )


def ask(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/models/distilbert:predict", json.dumps({"instances": ["a warm film"]}))
        return connection.getresponse().status


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_with_one_document_and_leaves_the_service_alone(settings, tmp_path, stop):
    platform = LocalPlatform(settings, Outbox(), outlives_us=False)
    await platform.start(ServingConfig())
    control = None
    try:
        control = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controller", "control", "--run-folder", str(tmp_path), "--json"),
            # A search runs only when nobody else wants the core; observing needs none, however busy the machine is.
            *("--mode", "observe"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        async with asyncio.timeout(PATIENCE_S):
            told = await control.stderr.readline()
            while not (tmp_path / "decisions.jsonl").exists():
                assert await asyncio.to_thread(ask, platform.url) == 200
                await asyncio.sleep(0.05)
            control.send_signal(stop)
            stdout, stderr = await control.communicate()
        document = json.loads(stdout)
        assert control.returncode == 130, stderr.decode()
        assert told.startswith(b"control: observe for http://127.0.0.1:")
        assert stderr.decode().rstrip().endswith("stopped; the service goes on with the setting it has")
        assert document["decisions"] >= 1
        assert document["last_decision"]["kind"] == "start"
        assert await asyncio.to_thread(ask, platform.url) == 200
    finally:
        if control is not None and control.returncode is None:
            control.kill()
            await control.wait()
        await platform.aclose()
