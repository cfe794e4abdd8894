"""A run inside Locust: who starts it, who sends, who records.

With one process, that is all the same one: Locust's local runner delivers messages to itself. With several, the
master starts the run with one message that names time zero and the order of the workers, and records what they send
back.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust.runners import MasterRunner, WorkerRunner

from controller.errors import BadInputError
from loadtest.generator import Generator
from loadtest.recorder import record
from loadtest.report import exit_code
from loadtest.schedule import write_schedule

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.generator import Share
    from loadtest.options import LoadOptions
    from loadtest.report import LoadDocument

START, SHARE = "tidegate_start", "tidegate_share"
"""Names of the two messages between processes."""
ONE_PROCESS_LEAD_S = 0.5
SEVERAL_PROCESSES_LEAD_S = 3.0
"""From the start message to time zero: until every worker runs its user and has encoded its requests."""
SLOWEST_REPORT_S = 30.0
"""How long after the last possible answer the recorder waits for the workers' shares."""
LOST = "the rows of a worker are missing; look at its log"
INTERRUPTED = "interrupted"


class LoadRun:
    """One run in one Locust process.

    Attributes:
        document: load.json, once it is written.
        exit_code: of the command, once the run is over.
        over: set then.
    """

    def __init__(self, options: LoadOptions, environment: Environment) -> None:
        self.document: LoadDocument | None = None
        self.exit_code: int | None = None
        self.over = Event()
        self._options = options
        self._environment = environment
        self._runner: Any = environment.runner
        self._begun = Event()
        self._is_taken = False
        self._order: list[str] = []
        self._started_at = 0.0
        self._generator: Generator | None = None
        self._shares: list[Share] = []

    def attach(self) -> None:
        """Listen to Locust and write the schedule.

        Raises:
            BadInputError: --out cannot be written to.
        """
        # First of all, and without letting other greenlets run: a master may have sent it already.
        self._runner.register_message(START, self._on_start)
        if isinstance(self._runner, WorkerRunner):
            return
        self._runner.register_message(SHARE, self._on_share)
        self._environment.events.test_start.add_listener(self._on_test_start)
        self._environment.events.quitting.add_listener(self._on_quitting)
        folder, schedule = self._options.folder, self._options.schedule
        folder.begin()
        folder.write("schedule.csv", lambda path: write_schedule(path, schedule))

    def send(self) -> None:
        """Send this process' share of the schedule and report it; the one user of each process calls this."""
        if self._is_taken:
            return
        self._is_taken = True
        self._begun.wait()
        worker, workers = self._order.index(self._runner.client_id), len(self._order)
        address = self._options.target.address()
        self._generator = Generator(self._options, address, self._tell_locust, worker=worker, workers=workers)
        share = self._generator.run(time.monotonic() + self._started_at - time.time())
        self._runner.send_message(SHARE, share)

    def interrupt(self) -> None:
        """End a run that is not over: keep what was seen under a name of its own, and call it invalid."""
        if not self.over.is_set():
            if self._generator is not None:
                self._shares.append(self._generator.share())
            self._finish(INTERRUPTED)

    def _on_test_start(self, **_: Any) -> None:
        is_master = isinstance(self._runner, MasterRunner)
        lead_s = SEVERAL_PROCESSES_LEAD_S if is_master else ONE_PROCESS_LEAD_S
        self._order = list(self._runner.clients.keys()) if is_master else [self._runner.client_id]
        self._started_at = self._options.start_at_s or time.time() + lead_s
        if is_master:
            last_s = self._started_at - time.time() + self._options.duration_s + self._options.timeout_s
            gevent.spawn_later(last_s + SLOWEST_REPORT_S, self._finish, LOST)
        self._runner.send_message(START, {"order": self._order, "started_at": self._started_at})

    def _on_start(self, msg: Any, **_: Any) -> None:
        self._order, self._started_at = msg.data["order"], msg.data["started_at"]
        self._begun.set()

    def _on_share(self, msg: Any, **_: Any) -> None:
        self._shares.append(msg.data)
        if len(self._shares) == len(self._order):
            self._finish(None)

    def _on_quitting(self, **_: Any) -> None:
        self.interrupt()

    def _finish(self, trouble: str | None) -> None:
        if self.over.is_set():
            return
        try:
            self.document = record(
                self._options, self._shares, started_at=self._started_at, workers=len(self._order), trouble=trouble
            )
            self.exit_code = 130 if trouble == INTERRUPTED else exit_code(self.document) if self.document else 4
        except BadInputError as error:
            self.exit_code = error.exit_code
            # The disk that did not take the run may not take this line either; the run must end all the same.
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{error}\n")
        self._environment.process_exit_code = self.exit_code
        self.over.set()
        gevent.spawn(self._runner.quit)

    def _tell_locust(self, latency_s: float, answer_bytes: int, reason: str | None) -> None:
        self._environment.events.request.fire(
            request_type="POST",
            name=self._options.protocol.path,
            response_time=1000 * latency_s,
            response_length=answer_bytes,
            exception=reason,
            context={},
        )
