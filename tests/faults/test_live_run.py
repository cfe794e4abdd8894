"""One real run with fake servers: what it leaves behind, and that nothing survives it, however it ends."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from controller.domain.instance_log import read_instance_log
from controller.domain.request_log import read_request_log
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError, TemporaryError
from controller.sweeps.live_run import LiveRun, run_live
from controller.sweeps.live_trials import split_cores

POISSON = Path(__file__).parents[2] / "docs" / "examples" / "poisson.json"


@pytest.fixture
def run(tmp_path):
    servers, others = split_cores()
    return LiveRun(
        folder=tmp_path / "run",
        config=ServingConfig(max_batch_size=4),
        autoscaler=AutoscalerSettings(window_s=6.0),
        shape=InstanceShape(cores=1, max_instances=2),
        model="fake",
        arrivals={"kind": "poisson", "rate_rps": 20},
        seed=1,
        duration_s=1.0,
        slo=LatencySlo(0.95, 0.5),
        server_cpus=servers,
        other_cpus=others,
    )


@pytest.fixture
def mark(monkeypatch):
    """What every process of this test carries in its environment."""
    value = uuid4().hex
    monkeypatch.setenv("LIVE_RUN_TEST", value)
    return value


def survivors(mark):
    """Processes with the mark, but for the one that runs this test."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("LIVE_RUN_TEST") == mark:
                found.append(process.cmdline())
        except (psutil.Error, OSError):
            continue
    return found


def run_document(run):
    return json.loads((run.folder / "run.json").read_text())


async def test_a_run_leaves_every_file_of_its_folder_and_no_process(run, mark):
    seen = {}

    async def loop(platform, merge, outbox, folder):
        seen["ready"] = (await platform.state()).ready
        await platform.advance(0.9)
        seen["applied"] = await platform.apply(replace(run.config, max_batch_size=2))
        await asyncio.Event().wait()

    cores = os.sched_getaffinity(0)
    result = await run_live(run, loop=loop, progress=lambda _line: None)

    document = run_document(run)
    assert document["finished"] is True
    assert (document["valid"], document["why"]) == (result.valid, result.why)
    assert document["config"]["max_batch_size"] == 4
    assert not {"host", "hostname"} & document.keys()
    assert seen["ready"] == 1
    assert seen["applied"].changes == {"max_batch_size": (4, 2)}
    log = read_request_log(run.folder / "requests.csv")
    assert log.answered.all()
    with (run.folder / "schedule.csv").open() as file:
        assert len(list(csv.reader(file))) - 1 == log.intended_s.size
    (instance, *_) = read_instance_log(run.folder / "instances.csv")
    assert instance.started_s < instance.ready_s < 0  # the clock's zero is the start of the schedule
    assert (run.folder / "decisions.jsonl").read_text() == ""
    assert not (run.folder / "platform" / "activator-settings.json").exists()
    assert os.sched_getaffinity(0) == cores
    assert survivors(mark) == []


async def test_a_trace_longer_than_a_flag_can_be_is_replayed(run, mark):
    times_s = [0.1, 0.5, *(2 + index / 3 for index in range(10_000))]
    long = replace(run, arrivals={"kind": "trace", "times_s": times_s})

    await run_live(long, loop=None, progress=lambda _line: None)

    assert read_request_log(run.folder / "requests.csv").intended_s.tolist() == [0.1, 0.5]
    assert survivors(mark) == []


async def test_a_loop_that_fails_ends_the_run_and_marks_its_folder(run, mark):
    async def loop(platform, merge, outbox, folder):
        raise TemporaryError("the loop has lost its way")

    with pytest.raises(TemporaryError, match="lost its way"):
        await run_live(run, loop=loop, progress=lambda _line: None)

    assert run_document(run)["finished"] is False
    assert run_document(run)["why"] == "the loop has lost its way"
    assert survivors(mark) == []


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.5, 1.5])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_run_that_is_cancelled_leaves_no_process(run, mark, after_s, times):
    task = asyncio.ensure_future(run_live(run, loop=None, progress=lambda _line: None))
    await asyncio.sleep(after_s)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.01)

    with pytest.raises(asyncio.CancelledError):
        await task

    assert survivors(mark) == []
    assert not (run.folder / "run.json").exists() or run_document(run)["finished"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_killed_leaves_no_process(tmp_path, mark, number):
    command = subprocess.Popen(
        [
            *(sys.executable, "-m", "controller", "tune", "--arrivals", str(POISSON), "--model", "fake"),
            *("--slo-quantile", "0.95", "--slo-s", "0.5", "--out", str(tmp_path / "tune")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    run_json = tmp_path / "tune" / "trials" / "000" / "platform" / "activator.json"
    wait_until(run_json.exists)

    command.send_signal(number)
    _, said = command.communicate(timeout=30)

    wait_until(lambda: not survivors(mark))
    assert number == signal.SIGKILL or (command.returncode == 130 and "0 finished trials lie in" in said)
    assert "Traceback" not in said
    assert json.loads((tmp_path / "tune" / "trials" / "000" / "run.json").read_text())["finished"] is False


def wait_until(is_true):
    patience_ends_s = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < patience_ends_s
        time.sleep(0.02)


async def test_a_folder_with_files_is_refused_and_left_alone(run):
    run.folder.mkdir()
    (run.folder / "thesis.tex").write_text("precious")

    with pytest.raises(BadInputError, match="holds files already"):
        await run_live(run, loop=None, progress=lambda _line: None)

    assert [each.name for each in run.folder.iterdir()] == ["thesis.tex"]


async def test_a_folder_that_cannot_be_made_is_bad_input(run, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BadInputError, match="cannot be made"):
        await run_live(replace(run, folder=tmp_path / "file" / "run"), loop=None, progress=lambda _line: None)


async def test_a_model_that_is_missing_is_told_in_one_line(run, mark, tmp_path):
    wrong = replace(run, model=str(tmp_path / "nothing"))

    with pytest.raises(BadInputError, match=r"nothing: has no manifest.json") as caught:
        await run_live(wrong, loop=None, progress=lambda _line: None)

    assert "\n" not in str(caught.value)
    assert survivors(mark) == []


async def test_arrivals_that_the_generator_refuses_are_bad_input(run, mark):
    with pytest.raises(BadInputError, match=r"load generator: .*rate_rps is 0"):
        await run_live(
            replace(run, arrivals={"kind": "poisson", "rate_rps": 0}), loop=None, progress=lambda _line: None
        )

    assert run_document(run)["finished"] is False
    assert survivors(mark) == []
