"""Locust's shape of the load: one user in each process until the run is over. When to send is in the schedule."""

from __future__ import annotations

from locust import LoadTestShape
from locust.runners import MasterRunner


class OneUserPerProcess(LoadTestShape):
    """Keeps the test alive; --users, --spawn-rate and --run-time have no say."""

    def tick(self) -> tuple[int, float]:
        """Return users and spawn rate; the run ends by itself, so never None."""
        processes = self.runner.worker_count if isinstance(self.runner, MasterRunner) else 1
        return processes, float(processes)
