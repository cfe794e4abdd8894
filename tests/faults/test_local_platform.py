"""What the platform on one machine does when its parts die, hang or are told nonsense. The server is a stub."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.errors import BadInputError, TemporaryError
from controller.platforms.local.activator import main
from controller.platforms.local.activator_settings import ActivatorSettings
from controller.platforms.local.front import Front
from controller.platforms.local.instance_keeper import InstanceKeeper, Service
from controller.platforms.local.instances import Launch
from controller.platforms.local.local_platform import LocalPlatform
from controller.telemetry.outbox import Outbox

STUB = """
import os, socket, sys, threading, time
listener = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
def serve(connection):
    with connection, connection.makefile("rb") as lines:
        while line := lines.readline():
            while lines.readline() not in (b"\\r\\n", b""):
                pass
            if b"slow" in line:
                time.sleep(30)
            if b"die" in line:
                os._exit(9)
            body = str(os.getpid()).encode()
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%b" % (len(body), body))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.fixture
def settings(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return ActivatorSettings(
        run_folder=tmp_path,
        listen=f"127.0.0.1:{port}",
        service="fault",
        command=(sys.executable, "-S", "-c", STUB),
        autoscaler=AutoscalerSettings(window_s=1.0, tick_s=0.1, scale_to_zero_grace_period_s=60),
        initial_scale=0,
    )


@pytest.fixture
async def platform(settings):
    made = LocalPlatform(settings, Outbox(), outlives_us=False)
    yield made
    await made.aclose()


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


async def get(client, platform, path="/"):
    async with client.get(platform.url + path) as response:
        return response.status, await response.text()


async def until(holds):
    for _ in range(250):
        if await holds():
            return
        await asyncio.sleep(0.02)
    pytest.fail("not within 5 s")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


async def test_an_instance_that_is_killed_is_replaced(platform, client):
    await platform.start(ServingConfig(min_scale=1))
    _, first = await get(client, platform)

    os.kill(int(first), signal.SIGKILL)
    status, second = await get(client, platform)

    assert status in (200, 502)
    await until(lambda: _differs(client, platform, first))
    rows = await platform.instances()
    assert len(rows) == 2
    assert rows[0].stopped_s > rows[0].ready_s
    assert second != first


async def _differs(client, platform, pid):
    status, text = await get(client, platform)
    return status == 200 and text != pid


async def test_requests_inside_a_dying_instance_get_502_and_a_reason(platform, client):
    await platform.start(ServingConfig(min_scale=1))

    status, text = await get(client, platform, "/die")

    assert status == 502
    assert "fault-00001-1 went away before it answered" in json.loads(text)["error"]


async def test_a_client_that_hangs_up_frees_its_place(platform, client):
    await platform.start(ServingConfig(min_scale=1, max_scale=1, container_concurrency=1))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get(client, platform, "/slow"), 0.3)

    status, _ = await asyncio.wait_for(get(client, platform), 5)
    assert status == 200


async def test_no_instance_outlives_an_activator_that_is_killed(platform, client):
    await platform.start(ServingConfig(min_scale=1))
    _, pid = await get(client, platform)

    os.kill(platform._activator.pid, signal.SIGKILL)

    async def is_gone():
        return not is_alive(int(pid))

    await until(is_gone)


async def test_an_activator_that_is_told_to_end_ends_its_instances_and_writes_their_rows(platform, client, settings):
    await platform.start(ServingConfig(min_scale=1))
    _, pid = await get(client, platform)

    os.kill(platform._activator.pid, signal.SIGTERM)
    code = await asyncio.wait_for(platform._activator.wait(), 10)

    assert code == 0
    assert not is_alive(int(pid))
    lines = (settings.run_folder / "instances.csv").read_text().splitlines()
    assert lines[1].startswith("fault-00001-1,fault-00001,")
    assert not (settings.run_folder / "activator.json").exists()


async def test_an_activator_outlives_its_tuner_and_the_next_one_joins_it(platform, settings):
    await platform.start(ServingConfig(min_scale=1))
    await platform.apply(ServingConfig(min_scale=1, max_batch_size=5))

    outbox = Outbox()
    joined = LocalPlatform(replace(settings, started_at_s=0.0), outbox)
    await joined.start(ServingConfig(min_scale=1, max_batch_size=6))
    state = await joined.state()
    await joined.aclose()

    assert state.ready == 1
    assert state.config.max_batch_size == 6
    assert outbox.generation == 3
    assert (await platform.state()).ready == 1


async def test_servers_that_do_not_start_are_a_temporary_error_with_their_last_words(settings):
    command = (sys.executable, "-c", "raise SystemExit('no such model')")
    platform = LocalPlatform(replace(settings, command=command, initial_scale=1), Outbox(), outlives_us=False)

    with pytest.raises(TemporaryError, match="no such model"):
        await platform.start(ServingConfig())


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("no\0file",), "embedded null byte"),
        (("/nowhere",), "No such file"),
        ((sys.executable, "-S", "-c", "import time; time.sleep(60)"), r"not ready within 0\.3 s and killed"),
    ],
)
async def test_a_start_that_fails_in_any_way_is_counted_and_tried_again(settings, command, why):
    launch = Launch(command, {}, frozenset(), settings.run_folder, ready_within_s=0.3)
    service = Service("fault", ServingConfig(min_scale=1), settings.autoscaler, settings.shape, 1)
    front = Front(now=monotonic, poke=lambda: None)
    keeper = InstanceKeeper(service, launch, front)
    running = asyncio.create_task(keeper.run())

    async def has_tried_twice():
        return len(keeper.instances) >= 2

    await until(has_tried_twice)
    pids = [each.pid for each in keeper.instances if each.pid is not None]
    failure, n_living = keeper.failure, len(keeper.living)
    running.cancel()
    await keeper.aclose()

    assert re.search(why, failure)
    assert n_living <= 1
    assert keeper.living == []
    assert not any(is_alive(pid) for pid in pids)


async def test_requests_that_wait_for_servers_that_do_not_start_are_told_so(settings, client):
    command = (sys.executable, "-S", "-c", "raise SystemExit('no such model')")
    platform = LocalPlatform(replace(settings, command=command), Outbox(), outlives_us=False)
    await platform.start(ServingConfig())

    status, text = await get(client, platform)
    await platform.aclose()

    assert status == 503
    assert "no such model" in text


async def test_a_port_in_use_is_bad_input_in_one_line(settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        platform = LocalPlatform(replace(settings, listen=address), Outbox(), outlives_us=False)

        with pytest.raises(BadInputError, match=rf"{address}: cannot listen there \(Address already in use\)"):
            await platform.start(ServingConfig())
        await platform.aclose()


async def test_the_admin_interface_wants_its_secret_and_whole_settings(platform, client, settings):
    await platform.start(ServingConfig())
    document = json.loads((settings.run_folder / "activator.json").read_text())
    url, headers = f"http://{document['admin']}", {"Authorization": f"Bearer {document['token']}"}

    async with client.get(f"{url}/state") as response:
        assert response.status == 401
    bodies = [
        b"{",
        b"\xff\xfe{",
        b"[]",
        b'{"config": {"max_batch_size": "many"}}',
        b'{"config": {}, "generation": true}',
        b'{"config": {}, "generation": -1}',
        b'{"config": {}, "generation": 9007199254740992}',
    ]
    kinds = [{}] * len(bodies) + [{"Content-Type": "application/json; charset=klingon"}]
    for body, kind in zip([*bodies, b"{}"], kinds, strict=True):
        async with client.put(f"{url}/config", data=body, headers=headers | kind) as response:
            assert response.status == 400
            assert (await response.json())["error"]
    assert (settings.run_folder / "activator.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "/nowhere"], "--model /nowhere: no manifest.json there"),
        (["--listen", "here"], "needs HOST:PORT"),
        (["--server-cpus", "first"], "--server-cpus: needs core numbers"),
        (["--settings", "/nowhere.json"], "/nowhere.json: cannot be read"),
    ],
)
def test_bad_flags_of_the_activator_are_one_line_and_exit_2(tmp_path, capsys, flags, message):
    code = main(["--run-folder", str(tmp_path), *flags])

    errors = capsys.readouterr().err
    assert code == 2
    assert message in errors
    assert len(errors.splitlines()) == 1
