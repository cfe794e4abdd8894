"""What a comparison of calls leaves out: the packager that every design needs, and whoever decides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controller.domain.cost import instance_second_usd
from controller.domain.prices import load_prices
from controller.reproduce.batch_facts import HOST_USD_A_DAY
from controller.reproduce.rows import Done, Row
from controller.reproduce.table import published_table

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_S = 86_400.0
GATEWAY_VCPU, GATEWAY_MB = 0.1, 256
"""What charts/inference-service requests for a gateway, the packager, which is always on."""
OPERATOR_VCPU, OPERATOR_MB = 0.05, 192
"""What charts/controller requests; one serves every service of a cluster, so a service's share of it is less."""


def overhead_rows(design: str, *, deciding_s_a_day: float = 0.0) -> Iterator[Row]:
    """Yield the daily cost of packager and controller, a design's beside ours.

    Args:
        design: a published system; it decides on a whole host of its own, at the price that BATCH was published with.
        deciding_s_a_day: CPU seconds that ours decides for; beyond what its pod requests they are paid besides.
    """
    prices = load_prices().cluster
    packager = DAY_S * instance_second_usd(prices, vcpu=GATEWAY_VCPU, memory_mb=GATEWAY_MB)
    busy_vcpu = max(OPERATOR_VCPU, deciding_s_a_day / DAY_S)
    ours = DAY_S * instance_second_usd(prices, vcpu=busy_vcpu, memory_mb=OPERATOR_MB)
    yield Row(quantity="packager always on, a day", unit="USD", design=design, reproduced=packager, ours=packager)
    yield Row(
        quantity="controller always on, a day",
        unit="USD",
        design=design,
        published=HOST_USD_A_DAY if design == "BATCH" else None,
        reproduced=HOST_USD_A_DAY[1],
        ours=ours,
    )


def with_overheads(done: Done, design: str) -> Done:
    """Return a reproduction with those rows at the end of its rows and of its text."""
    rows = list(overhead_rows(design))
    reproduction = replace(done.reproduction, rows=[*done.reproduction.rows, *rows])
    return Done(reproduction, f"{done.text}\n\n{published_table(rows)}")
