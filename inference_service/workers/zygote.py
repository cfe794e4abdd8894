"""The zygote: a single-threaded process that loads the network once and forks a worker for every socket it is sent.

The server forks it before it imports anything with threads; a fork of a process with threads can inherit a lock that
nobody releases. A forked worker shares the weights' memory and is ready in about a millisecond, also after a death.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from inference_service.errors import StartError
from inference_service.event_log import log_event
from inference_service.runtimes.loader import load_runtime, runtime_class
from inference_service.runtimes.protocol import Runtime
from inference_service.settings import Settings
from inference_service.workers.process import serve_batches


@dataclass(frozen=True, slots=True)
class ZygoteHandle:
    """The server's ends of the two channels to its zygote."""

    pid: int
    orders: socket.socket
    """Each byte sent carries a file descriptor: fork a worker that answers there."""
    reports: socket.socket
    """One JSON line comes back: stages of the start, or the error that ended it."""


def fork_zygote(settings: Settings, listener: socket.socket) -> ZygoteHandle:
    """Fork the zygote; only the server returns from here.

    The listening socket is closed in the zygote: a copy there would keep the port open after the server's end.
    """
    orders, zygote_orders = socket.socketpair()
    reports, zygote_reports = socket.socketpair()
    pid = os.fork()
    if pid:
        zygote_orders.close()
        zygote_reports.close()
        return ZygoteHandle(pid, orders, reports)
    for other in (orders, reports, listener):
        other.close()
    return _run(settings, zygote_orders, zygote_reports)


def _run(settings: Settings, orders: socket.socket, reports: socket.socket) -> NoReturn:
    """The zygote's life; the process ends here whatever happens, so no caller's clean-up runs twice."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server ends us by closing
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # dead workers leave no zombies
        runtime = _load(settings, reports)
        if runtime is not None:
            _fork_workers(settings, runtime, orders, reports)
        status = 0
    except Exception as error:  # noqa: BLE001  the outermost loop of this process: its end is noticed, the reason told
        log_event("zygote_failed", error=f"{type(error).__name__}: {error}")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _load(settings: Settings, reports: socket.socket) -> Runtime | None:
    """Load the network and report the stages, or report the error and return None."""
    try:
        began_s = time.monotonic()
        kind = runtime_class(settings)
        imported_s = time.monotonic()
        runtime = load_runtime(settings)
        loaded_s = time.monotonic()
    except StartError as error:
        _report(reports, {"error": str(error)})
        return None
    except Exception as error:  # noqa: BLE001  a damaged file makes the engine raise whatever it likes
        _report(reports, {"error": f"{settings.model}: cannot be loaded ({type(error).__name__}: {error})"})
        return None
    if kind.fork_safe and _count_threads() > 1:
        _report(reports, {"warning": f"{_count_threads()} threads in the zygote: forked workers may hang"})
    gc.collect()
    gc.freeze()  # the collector would otherwise touch, and so copy, every inherited page
    stages = {"runtime": imported_s - began_s, "model": loaded_s - imported_s}
    _report(reports, {"stages_s": stages, "cpu_s": time.process_time()})
    return runtime


def _fork_workers(settings: Settings, runtime: Runtime, orders: socket.socket, reports: socket.socket) -> None:
    """Fork one worker for each descriptor received, until the server closes its end."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 1)
        if not message:
            return
        with socket.socket(fileno=descriptors[0]) as channel:
            if os.fork() == 0:
                _be_worker(settings, runtime, channel, (orders, reports))


def _be_worker(
    settings: Settings, runtime: Runtime, channel: socket.socket, inherited: tuple[socket.socket, ...]
) -> NoReturn:
    status = 1
    try:
        for other in inherited:
            other.close()  # or the server's death would not be seen by the zygote
        own = runtime if runtime.fork_safe else load_runtime(settings)
        with contextlib.suppress(ConnectionError, BrokenPipeError):  # the server is gone: so is our work
            serve_batches(channel, own)
        status = 0
    except Exception as error:  # noqa: BLE001  the outermost loop of this process: its end is noticed, the reason told
        log_event("worker_failed", error=f"{type(error).__name__}: {error}")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _report(reports: socket.socket, document: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        reports.sendall(json.dumps(document).encode() + b"\n")


def _count_threads() -> int:
    """Threads of this process; 1 where the kernel does not tell."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 1
