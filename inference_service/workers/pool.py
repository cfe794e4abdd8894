"""The server's side of its workers: sends a batch to a free one, notices deaths, has the zygote fork successors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, cast

from inference_service.errors import RuntimeFailedError, WorkerDiedError
from inference_service.event_log import log_event
from inference_service.inference import BatchAnswer
from inference_service.workers.messages import (
    FAILED,
    READY,
    WorkerAnswer,
    decode_answer,
    encode_batch,
    take_frames,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference_service.counters import Counters
    from inference_service.inference import TokenIds
    from inference_service.workers.zygote import ZygoteHandle

_LONGEST_PAUSE_S = 5.0


class WorkerLink(asyncio.Protocol):
    """One worker as the server sees it: free, busy with one batch, or gone."""

    def __init__(self, pool: WorkerPool, slot: int) -> None:
        self._pool = pool
        self._received = bytearray()
        self._batch_id = 0
        self.slot = slot
        self.pid = 0
        self.cpu_s = 0.0
        self.is_ready = False
        self.pending: asyncio.Future[BatchAnswer] | None = None
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected; the worker announces itself when it is ready."""
        self.transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a frame is complete."""
        self._received += data
        for body in take_frames(self._received):
            self._take(decode_answer(body))

    def connection_lost(self, exc: Exception | None) -> None:
        """The worker has ended, whatever the reason."""
        del exc
        self.is_ready = False
        if self.pending is not None and not self.pending.done():
            self.pending.set_exception(WorkerDiedError("the worker died twice while it computed this request"))
        self.pending = None
        self._pool.bury(self)

    def send(self, inputs: Sequence[TokenIds], pending: asyncio.Future[BatchAnswer]) -> None:
        """Give the worker its next batch."""
        self.pending = pending
        pending.add_done_callback(self._end_if_given_up)
        self._batch_id = (self._batch_id + 1) % 2**32
        if self.transport is not None:
            self.transport.write(encode_batch(self._batch_id, inputs))

    def _end_if_given_up(self, pending: asyncio.Future[BatchAnswer]) -> None:
        if pending.cancelled() and self.pid:
            log_event("worker_hung", slot=self.slot, pid=self.pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # its successor is ordered when the connection is lost

    def _take(self, answer: WorkerAnswer) -> None:
        self.cpu_s = answer.cpu_s
        if answer.kind == READY:
            self.pid = int(answer.payload)
            self.is_ready = True
        elif self.pending is not None:
            pending, self.pending = self.pending, None
            if pending.done():
                pass
            elif answer.kind == FAILED:
                pending.set_exception(RuntimeFailedError(answer.payload.decode("utf-8", "replace")))
            else:
                pending.set_result(BatchAnswer(answer.probabilities(), answer.service_s))
        self._pool.announce_free_slot()


class ZygoteReports(asyncio.Protocol):
    """JSON lines from the zygote; the end of the connection is its death."""

    def __init__(self, on_loaded: Callable[[dict[str, float]], None], on_death: Callable[[str | None], None]) -> None:
        self._on_loaded = on_loaded
        self._on_death = on_death
        self._received = b""
        self._error: str | None = None
        self.cpu_s = 0.0

    def data_received(self, data: bytes) -> None:
        """Act on complete lines."""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            report: dict[str, Any] = json.loads(line)
            if "warning" in report:
                log_event("zygote_warning", reason=report["warning"])
            if "stages_s" in report:
                self.cpu_s = report["cpu_s"]
                self._on_loaded(report["stages_s"])
            self._error = report.get("error", self._error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The zygote has ended, with the error that it reported or without a word."""
        del exc
        self._on_death(self._error)


class WorkerPool:
    """`started` workers, of which the first `active` are given batches. Satisfies the Sink protocol."""

    def __init__(self, zygote: ZygoteHandle, started: int, counters: Counters) -> None:
        self._loop = asyncio.get_running_loop()
        self._zygote = zygote
        self._links: list[WorkerLink | None] = [None] * started
        self._counters = counters
        self._reports: ZygoteReports | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._is_closing = False
        self._buried_cpu_s = 0.0
        self._pauses_s = [0.0] * started
        self.active = started

    async def start(
        self, on_loaded: Callable[[dict[str, float]], None], on_zygote_death: Callable[[str | None], None]
    ) -> None:
        """Order every worker; each announces itself when it is ready.

        Args:
            on_loaded: told the stages of loading, in seconds, when the zygote has the network.
            on_zygote_death: told the error that it reported, or None, unless the pool was closed.
        """

        def mourn(error: str | None) -> None:
            if not self._is_closing:
                on_zygote_death(error)

        _, self._reports = await self._loop.create_unix_connection(
            lambda: ZygoteReports(on_loaded, mourn), sock=self._zygote.reports
        )
        for slot in range(len(self._links)):
            await self._order(slot)

    def has_free_slot(self) -> bool:
        """Whether an active worker is ready and idle."""
        return self._free_link() is not None

    def on_free_slot(self, callback: Callable[[], None]) -> None:
        """Call back when a worker becomes free."""
        self._callbacks.append(callback)

    def send(self, inputs: Sequence[TokenIds]) -> asyncio.Future[BatchAnswer]:
        """Give a batch to a free worker."""
        pending: asyncio.Future[BatchAnswer] = self._loop.create_future()
        link = self._free_link()
        if link is None:
            pending.set_exception(WorkerDiedError("no worker was free"))
        else:
            link.send(inputs, pending)
        return pending

    def resize(self, active: int) -> None:
        """Give batches to the first `active` workers only."""
        self.active = min(active, len(self._links))
        self.announce_free_slot()

    def count_ready(self) -> int:
        """Workers that have loaded the network."""
        return sum(1 for link in self._links if link is not None and link.is_ready)

    def cpu_s(self) -> float:
        """CPU time of all workers, dead ones included, as of their last answers."""
        zygote_s = 0.0 if self._reports is None else self._reports.cpu_s
        return zygote_s + self._buried_cpu_s + sum(link.cpu_s for link in self._links if link is not None)

    def announce_free_slot(self) -> None:
        """Tell whoever sends batches, if there is a free slot."""
        if self._free_link() is not None:
            for callback in self._callbacks:
                callback()

    def bury(self, link: WorkerLink) -> None:
        """A worker has ended: order its successor, unless the server is closing."""
        self._links[link.slot] = None
        self._buried_cpu_s += link.cpu_s
        if link.pid != 0:
            self._pauses_s[link.slot] = 0.0
            self._succeed(link)
            return
        # One that dies before it is ready would be forked again and again: double the pause each time. When it is the
        # zygote that has died, its reports say so meanwhile.
        pause_s = self._pauses_s[link.slot] = min(_LONGEST_PAUSE_S, max(0.1, 2 * self._pauses_s[link.slot]))
        self._loop.call_later(pause_s, self._succeed, link)

    def _succeed(self, link: WorkerLink) -> None:
        if self._is_closing:
            return
        log_event("worker_died", slot=link.slot, pid=link.pid)
        self._counters.worker_deaths += 1
        self._loop.create_task(self._order(link.slot))

    def close(self) -> None:
        """Close all channels; workers and zygote end when they see it."""
        self._is_closing = True
        for link in self._links:
            if link is None or link.transport is None:
                continue
            if link.pending is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(link.pid, signal.SIGKILL)  # or it would go on computing for nobody
            link.transport.close()
        self._zygote.orders.close()

    async def _order(self, slot: int) -> None:
        """Send the zygote one end of a new socket pair, and listen at the other."""
        if self._is_closing:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._zygote.orders, [b"f"], [theirs.fileno()])
            except OSError:
                ours.close()
                return  # the zygote is gone; its reports say so too
        # Known before it is connected: its first message can arrive before this coroutine goes on.
        link = self._links[slot] = WorkerLink(self, slot)
        await self._loop.create_unix_connection(lambda: link, sock=ours)

    def _free_link(self) -> WorkerLink | None:
        for link in self._links[: self.active]:
            if link is not None and link.is_ready and link.pending is None:
                return link
        return None
