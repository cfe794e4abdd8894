"""The running server: built once from its parts, told to stop by a signal, ended when its last answer is out.

Settings → workers → batcher → endpoints → HTTP, and beside them the heartbeat and the hot settings' file.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import orjson
import uvloop

from inference_service.api import v1, v2
from inference_service.api.app import Application
from inference_service.api.health import HealthEndpoints
from inference_service.api.http_server import HttpServer
from inference_service.api.predict import PredictEndpoint
from inference_service.api.routes import build_routes
from inference_service.batching.batcher import Batcher
from inference_service.counters import Counters
from inference_service.errors import StartError
from inference_service.event_log import log_event
from inference_service.heartbeat import HeartbeatSender
from inference_service.heartbeat_body import Moment, Sender, heartbeat_body
from inference_service.hot_settings import HotSettingsHolder, initial_hot_settings
from inference_service.hot_settings_file import follow_file
from inference_service.runtimes.loader import load_tokenizer
from inference_service.workers.pool import WorkerPool

if TYPE_CHECKING:
    import socket

    from inference_service.inference import ModelDescription
    from inference_service.runtimes.protocol import Tokenizer
    from inference_service.settings import Settings
    from inference_service.workers.zygote import ZygoteHandle

_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Start:
    """What `__main__` has made before the event loop exists."""

    settings: Settings
    model: ModelDescription
    listener: socket.socket
    zygote: ZygoteHandle
    python_s: float
    """From the exec to `began_s`."""
    began_s: float
    """Monotonic clock when our first line ran."""


def run_server(start: Start) -> int:
    """Serve on the listener until a signal; returns the exit code.

    Raises:
        StartError: the network or the tokenizer cannot be loaded.
    """
    imported_s = time.monotonic()
    tokenizer = load_tokenizer(start.model)
    stages_s = {
        "python": start.python_s,
        "web": imported_s - start.began_s,
        "tokenizer": time.monotonic() - imported_s,
    }

    async def serve() -> int:
        return await Server(start, tokenizer, Counters(cold_start_s=stages_s)).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve())


class Server:
    """The parts, wired. Its constructor needs a running loop and does no input or output."""

    def __init__(self, start: Start, tokenizer: Tokenizer, counters: Counters) -> None:
        settings, model = start.settings, start.model
        self._start = start
        self._counters = counters
        self._stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._sender = Sender(settings.service, settings.instance, os.urandom(8).hex(), settings.workers)
        self._seq = 0
        self._hot = HotSettingsHolder(initial_hot_settings(settings), counters)
        self._pool = WorkerPool(start.zygote, settings.workers, counters)
        self._batcher = Batcher(self._pool, self._hot.present, counters, model.labels)
        self._hot.follow(lambda hot: self._pool.resize(hot.workers))
        self._hot.follow(self._batcher.apply)
        endpoint = partial(
            PredictEndpoint,
            model=model,
            tokenizer=tokenizer,
            batcher=self._batcher,
            counters=counters,
            request_timeout_s=settings.request_timeout_s,
        )
        health = HealthEndpoints(model, self._is_ready, self._metrics_text)
        routes = build_routes(model.name, predict_v1=endpoint(v1), predict_v2=endpoint(v2), health=health)
        self._app = Application(routes, model.name, on_first_answer=self._note_first_answer)
        self._http = HttpServer(self._app)
        offer = partial(self._hot.offer, source="heartbeat")
        self._heartbeats = HeartbeatSender(settings, counters, self._heartbeat, offer)

    async def run(self) -> int:
        """Start everything, wait for a signal, drain; returns the exit code.

        Raises:
            StartError: the zygote could not load the network.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, 0)
        loop.add_signal_handler(signal.SIGINT, self._stop, 130)
        settings = self._start.settings
        beside = [asyncio.create_task(self._heartbeats.run())] if settings.controller_url else []
        if settings.hot_settings_file:
            offer = partial(self._hot.offer, source="file")
            beside.append(asyncio.create_task(follow_file(settings.hot_settings_file, offer)))
        self._pool.on_free_slot(self._note_ready)
        await self._pool.start(self._note_loaded, self._note_zygote_death)
        await self._http.listen(self._start.listener)
        try:
            code = await self._stopped
            return code if await self._drain() else max(code, 1)
        finally:
            for task in beside:
                task.cancel()
            self._pool.close()

    async def _drain(self) -> bool:
        """Take nothing new, finish what is queued, tell the controller; False when time ran out."""
        until_s = time.monotonic() + self._start.settings.drain_s
        self._app.is_draining = True
        self._http.stop_listening()
        log_event("draining", queued=self._counters.queue_length, in_flight=self._counters.in_flight)
        # Polled: "nothing is left" has four sources, and a process that ends may take 20 ms longer.
        while not self._is_idle() and time.monotonic() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        if self._start.settings.controller_url:
            await self._heartbeats.send()
        unfinished = self._batcher.count_unfinished()
        self._batcher.give_up()
        await asyncio.sleep(_POLL_S if unfinished else 0)  # for the errors to be written
        log_event("stopped", answered=self._counters.answered, unfinished=unfinished)
        return unfinished == 0

    def _is_idle(self) -> bool:
        return self._batcher.is_idle() and not self._http.has_open_requests()

    def _stop(self, code: int) -> None:
        if not self._stopped.done():
            self._stopped.set_result(code)

    def _is_ready(self) -> bool:
        return self._pool.count_ready() > 0 and not self._app.is_draining

    def _seconds_since_exec(self) -> float:
        return self._start.python_s + time.monotonic() - self._start.began_s

    def _note_loaded(self, stages_s: dict[str, float]) -> None:
        self._counters.cold_start_s |= stages_s

    def _note_zygote_death(self, error: str | None) -> None:
        """A reported error ends the start; else we drain: a dead worker could not be replaced."""
        if error is not None and not self._stopped.done():
            self._stopped.set_exception(StartError(error))
            return
        log_event("zygote_died")
        self._stop(1)

    def _note_ready(self) -> None:
        if "ready" in self._counters.cold_start_s:
            return
        self._counters.cold_start_s["ready"] = self._seconds_since_exec()
        host, port = self._start.listener.getsockname()[:2]
        stages = {name: round(value, 4) for name, value in self._counters.cold_start_s.items()}
        model = self._start.model
        log_event(
            "ready", url=f"http://{host}:{port}", model=model.name, precision=model.precision, cold_start_s=stages
        )

    def _note_first_answer(self) -> None:
        self._counters.cold_start_s["first_answer"] = self._seconds_since_exec()

    def _metrics_text(self) -> bytes:
        # Imported at the first scrape: 30 ms that no cold start should pay.
        from inference_service.metrics import render_metrics  # noqa: PLC0415

        return render_metrics(self._counters, self._hot.present, cpu_s=self._cpu_s())

    def _cpu_s(self) -> float:
        return time.process_time() + self._pool.cpu_s()

    def _heartbeat(self) -> bytes:
        self._seq += 1
        moment = Moment(
            monotonic_s=time.monotonic(),
            wall_s=time.time(),
            ready=self._is_ready(),
            draining=self._app.is_draining,
            generation=self._hot.present.generation,
            active_workers=self._pool.active,
            cpu_s=self._cpu_s(),
        )
        return orjson.dumps(heartbeat_body(self._sender, moment, self._seq, self._counters))
