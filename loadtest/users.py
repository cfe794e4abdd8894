"""The one Locust user of each process: it sends the schedule and is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from locust import User, task
from locust.exception import StopUser

if TYPE_CHECKING:
    from loadtest.load_run import LoadRun


class OpenLoopUser(User):
    """A user in name only: Locust's users wait for answers, which hides the queue exactly when it grows."""

    load_run: ClassVar[LoadRun | None] = None
    """Set once the options are known."""

    @task
    def send_schedule(self) -> None:
        """Send this process' share of the schedule; returns when the last answer is in."""
        if self.load_run is not None:
            self.load_run.send()
        raise StopUser
