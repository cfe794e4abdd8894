"""Watching goes on: kopf is begun anew where it has missed that one of our kinds is served again."""

import asyncio
from typing import NamedTuple

import kopf
import pytest

from controller.errors import TemporaryError
from controller.reconcilers.resources import GROUP
from controller.reconcilers.watches import watch

pytestmark = pytest.mark.looptime

BOTH = frozenset({"inferencetunings", "sweeps"})


class Resource(NamedTuple):
    group: str
    plural: str


class Runs:
    """Stands for kopf: each run watches what it is told to, until it is stopped or fails."""

    def __init__(self, *watched, error=None):
        self.watched, self.error, self.began_s = list(watched), error, []

    async def operator(self, *, insights, stop_flag, **_):
        self.began_s.append(asyncio.get_running_loop().time())
        found = self.watched.pop(0) if self.watched else BOTH
        insights.watched_resources.update(Resource(GROUP, each) for each in found)
        insights.ready_resources.set()
        if self.error is not None:
            raise self.error
        await stop_flag.wait()


async def watched_for(seconds, runs, monkeypatch, unserved):
    monkeypatch.setattr(kopf, "operator", runs.operator)
    stop = asyncio.Event()
    task = asyncio.create_task(watch(None, None, (), unserved=unserved, stop=stop))
    await asyncio.sleep(seconds)
    stop.set()
    await task
    return runs.began_s


async def nothing():
    return set()


async def test_what_is_watched_is_left_alone(monkeypatch):
    assert await watched_for(60, Runs(), monkeypatch, nothing) == [0]


async def test_a_kind_that_is_served_and_not_watched_begins_the_watches_anew(monkeypatch):
    assert await watched_for(60, Runs({"sweeps"}), monkeypatch, nothing) == [0, 5]


async def test_a_kind_that_is_not_served_is_waited_for(monkeypatch):
    async def until_30():
        if asyncio.get_running_loop().time() < 20:
            raise TemporaryError("cluster: no answer")
        return {"inferencetunings"} if asyncio.get_running_loop().time() < 30 else set()

    assert await watched_for(60, Runs({"sweeps"}), monkeypatch, until_30) == [0, 30]


async def test_what_ends_kopf_ends_the_watching(monkeypatch):
    with pytest.raises(ValueError, match="not found"):
        await watched_for(1, Runs(error=ValueError("not found")), monkeypatch, nothing)
