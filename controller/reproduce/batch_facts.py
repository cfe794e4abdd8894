"""What was published with and about BATCH (Ali, Pinciroli, Yan, Smirni: SC 2020), as far as it is used here.

Service times and arrival processes are those of its repository (rickypinci/BATCH), which states no licence: numbers are
facts and are taken, code and traces are not. What the released solver answers was found by running it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_map import Map, mmpp
from controller.domain.service_time import AffineServiceTimes, PolynomialServiceTimes
from controller.domain.slo import LatencySlo
from controller.performance_model.exact_optimum import Budget

if TYPE_CHECKING:
    from controller.domain.service_time import ServiceTimes


@dataclass(frozen=True, slots=True)
class Service:
    """A service with the objective it is tried with; the paper prints no absolute bounds."""

    name: str
    times: ServiceTimes
    slo: LatencySlo


RESNET = Service(
    "ResNet-v2",
    PolynomialServiceTimes(
        (
            *(4.102873261, 2.442093484, -3.744827716e-3, 1.465789670e-3, -1.200716328e-3),
            *(1.541471570e-6, 1.697903886e-4, -1.694022382e-6, 1.930960972e-7, -2.143205613e-10),
        )
    ),
    LatencySlo(0.95, 5.0),
)
INCEPTION = Service(
    "Inception-v4",
    PolynomialServiceTimes(
        (
            *(4.987853739, 2.212906245, -6.302148425e-3, 1.220707315e-2, -1.078252967e-3),
            *(2.938420545e-6, -1.364398802e-4, -2.389444358e-6, 1.682682635e-7, -4.448215130e-10),
        )
    ),
    LatencySlo(0.95, 6.0),
)
LIGHT = Service("light", AffineServiceTimes(0.010, 0.034), LatencySlo(0.95, 0.3))
"""0.010 + 0.034 k seconds at any memory: the released solver's built-in example."""

NYS_3 = Map(np.diag([-9.193680, -10.032671]), np.array([[4.582001, 4.611679], [5.032529, 5.000142]]))
NYS_8 = Map(np.diag([-119.589878, -155.043616]), np.array([[31.901916, 87.687962], [38.799217, 116.244399]]))
TWITTER_1 = Map(np.diag([-14.625001, -35.171226]), np.array([[0.051020, 14.573981], [0.063796, 35.107429]]))
W14 = mmpp(np.array([10.0, 120.0]), np.array([[0.0, 0.05], [0.05, 0.0]]))

GB_SECOND_USD, REQUEST_USD = 1.66667e-5, 2e-7
"""Prices of the paper; its formulas do not round the billed time."""


@dataclass(frozen=True, slots=True)
class ReleasedSearch:
    """A search of the released solver, whose figures are known.

    Attributes:
        trace: name of the arrival process.
        process: the process.
        service: its times; the objective is another.
        objective: a bound of p95, or a budget.
        p95_s: what it printed or, of a budget, found; None where that is not known.
        usd_per_million: likewise.
    """

    trace: str
    process: Map
    service: Service
    objective: LatencySlo | Budget
    p95_s: float | None = None
    usd_per_million: float | None = None


RELEASED_SEARCHES = (
    ReleasedSearch("Twitter 1", TWITTER_1, INCEPTION, Budget(3e-5), p95_s=3.453),
    ReleasedSearch("NYS 8", NYS_8, RESNET, LatencySlo(0.95, 5.0), usd_per_million=33.43),
    ReleasedSearch("NYS 3", NYS_3, INCEPTION, LatencySlo(0.95, 6.0), usd_per_million=27.88),
    ReleasedSearch("NYS 3", NYS_3, RESNET, LatencySlo(0.95, 5.0), p95_s=4.944, usd_per_million=33.08),
)
DECISION_S = (0.0, 10.0)
"""Less than ten seconds a decision (section V)."""
HOST_USD_A_DAY = (0.0, 0.14)
"""Less than 0.14 USD a day for the host of the optimiser (section V)."""
SAVING_PERCENT = (50.0, 50.0)
""""Decreases the cost of maintaining the system by 50 %" (section VII); the paper does not say against what."""
LAW_ERROR_PERCENT = (8.26, 8.26)
"""Mean error over quantiles, ResNet-v2, B = 20, T = 10 ms, 3008 MB, an MMPP; against Lambda, with its noise."""
