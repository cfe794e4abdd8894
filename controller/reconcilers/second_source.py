"""The second source of a tuning: arrivals and latency from Prometheus, where the spec asks for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.errors import BadInputError
from controller.monitor.prometheus import PrometheusArrivals
from controller.monitor.promql import ServiceRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.monitor.prometheus_api import PrometheusApi
    from controller.platforms.watched import Key


class SecondSource:
    """What Prometheus says of one service.

    Args:
        api: of the Prometheus; None where the operator was given none.
        key: of the service.
        started_at_s: Unix time at which the tuning's clock shows 0.
    """

    def __init__(self, api: PrometheusApi | None, key: Key, *, started_at_s: float) -> None:
        self._api, self._service, self._started_at_s = api, ServiceRef(*key), started_at_s
        self.arrivals: PrometheusArrivals | None = None
        """None while servers' heartbeats are the source."""
        self.latency: Mapping[float, int] = {}
        """Answers of the last minutes by upper edge of their latency in seconds."""

    async def follow(self, *, is_wanted: bool, is_activator_in_path: bool, now_s: float) -> float | None:
        """Ask for what is new; returns how fine the counts are in seconds, None where servers are the source.

        Raises:
            BadInputError: the operator was given no Prometheus.
            TemporaryError: it does not answer; nothing is decided on what is not known.
        """
        if not is_wanted:
            self.arrivals, self.latency = None, {}
            return None
        if self._api is None:
            raise BadInputError(
                "spec.source: the operator was given no Prometheus; set prometheus.url of its chart, or Heartbeat"
            )
        if self.arrivals is None or self.arrivals.is_activator_in_path != is_activator_in_path:
            self.arrivals = PrometheusArrivals(
                self._api,
                self._service,
                started_at_s=self._started_at_s,
                is_activator_in_path=is_activator_in_path,
            )
        await self.arrivals.refresh(now_s)
        self.latency = await self.arrivals.latency_counts(now_s)
        # Scrape intervals differ by a little each time; a new loop for each would never learn.
        return math.ceil(self.arrivals.resolution_s)
