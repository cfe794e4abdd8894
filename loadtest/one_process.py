"""A run in this process, with Locust as a library: no web page, no tables of its own, signals end it cleanly."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import gevent
from locust import events
from locust.env import Environment

from loadtest.load_run import LoadRun
from loadtest.users import OpenLoopUser

if TYPE_CHECKING:
    from loadtest.options import LoadOptions


def run_load(options: LoadOptions) -> LoadRun:
    """Run a load test from its first request to its files.

    Raises:
        BadInputError: --out cannot be written to.
    """
    environment = Environment(user_classes=[OpenLoopUser], events=events)
    runner = environment.create_local_runner()
    run = OpenLoopUser.load_run = LoadRun(options, environment)
    run.attach()
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, run.interrupt)
    runner.start(1, spawn_rate=1)
    run.over.wait()
    runner.greenlet.join()
    return run
