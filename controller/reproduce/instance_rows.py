"""MArk's and SageMaker's published figures for Inception-v3, reproduced: what a million requests cost, and one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.call_table import CallTable
from controller.baselines.fleet_judge import judge_fleet, overflow_of
from controller.baselines.judge import Trial
from controller.baselines.mark import Foresight, Mark
from controller.baselines.sagemaker import BOOT_S, SageMaker
from controller.domain.cost import call_cost_usd
from controller.domain.prices import load_prices
from controller.domain.slo import LatencySlo
from controller.performance_model.instance_fleet import InstanceFleet
from controller.performance_model.instance_group import InstanceType
from controller.reproduce import instance_facts as facts
from controller.reproduce.rows import Row
from controller.reproduce.traces import HOUR_S, twitter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.baselines.judge import Verdict
    from controller.reproduce.traces import Traffic

SERVICE, TRACE = "Inception-v3", "Twitter-like, 8 hours"
RUN_HOURS = 8
SLO = LatencySlo(0.98, facts.INCEPTION_BOUND_S)
ENDPOINTS = ("c5.large", "c5.xlarge", "c5.2xlarge", "c5.4xlarge")
SATURATING = 10_000


@dataclass(frozen=True, slots=True)
class InceptionRun:
    """MArk with the released forecast and with the future known, and an endpoint on each type of instance."""

    mark: Verdict
    foreseeing: Verdict
    endpoints: dict[str, Verdict]


def instance_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Yield prices of a million requests, and SageMaker beside MArk on one trace."""
    vm_usd, function_usd = saturated_usd(), function_call_usd() * 1e6
    for design, published, reproduced in (
        ("c5.large, always busy", facts.VM_USD_A_MILLION[SERVICE], vm_usd),
        ("function of 3 GB, unbatched", facts.FUNCTION_USD_A_MILLION[SERVICE], function_usd),
    ):
        yield Row(
            quantity="cost",
            unit="USD a million",
            design=design,
            published=(published, published),
            reproduced=reproduced,
            service=SERVICE,
        )
    yield Row(
        quantity="cost over c5.large, always busy",
        unit="1",
        design="function of 3 GB, unbatched",
        published=facts.FUNCTION_OVER_VM,
        reproduced=function_usd / vm_usd,
        service=SERVICE,
    )
    yield from _run_rows(run_inception(twitter(rng, RUN_HOURS + 1)))


def saturated_usd() -> float:
    """Return what a million requests cost on a c5.large that never idles."""
    (kind, *_) = facts.inception_types()
    fleet = InstanceFleet((kind,), (1,), np.zeros(SATURATING), now_s=0.0)
    fleet.advance(1.0)
    return fleet.close().instances_usd / SATURATING * 1e6


def function_call_usd() -> float:
    """Return what a call of the published function costs."""
    seconds = np.array([facts.FUNCTION_S])
    return float(call_cost_usd(seconds, memory_mb=facts.FUNCTION_MB, prices=load_prices().lambda_x86)[0])


def run_inception(traffic: Traffic) -> InceptionRun:
    """Serve a trace, its first hour history, with the published capacities and prices."""
    calls = CallTable((facts.FUNCTION_MB,), np.array([[facts.FUNCTION_S]]), np.array([[function_call_usd()]]))
    trial = Trial(traffic.arrival_s, HOUR_S, traffic.until_s, calls, SLO)
    types, overflow = facts.inception_types(), overflow_of(trial)
    foreseeing = Mark(types, SLO, Foresight(trial.arrival_s, trial.until_s))
    endpoints: dict[str, Verdict] = {}
    for name in ENDPOINTS:
        (same,) = (each for each in types if each.name == name)
        price = same.usd_per_hour * facts.HOSTING_PREMIUM_THEN
        endpoint = InstanceType(f"ml.{name}", price, same.seconds, boot_s=BOOT_S)
        endpoints[name] = judge_fleet(SageMaker(endpoint), trial, (endpoint,))
    return InceptionRun(
        judge_fleet(Mark(types, SLO), trial, types, overflow=overflow),
        judge_fleet(foreseeing, trial, types, overflow=overflow),
        endpoints,
    )


def _run_rows(run: InceptionRun) -> Iterator[Row]:
    for words, mark in (("MArk's", run.mark), ("MArk's, future known", run.foreseeing)):
        for name, endpoint in run.endpoints.items():
            yield Row(
                quantity=f"cost over {words}",
                unit="1",
                design=f"SageMaker-like, ml.{name}",
                published=facts.SAGEMAKER_OVER_MARK,
                reproduced=endpoint.cost_per_request_usd / mark.cost_per_request_usd,
                trace=TRACE,
                service=SERVICE,
            )
    late = (
        ("MArk", facts.MARK_LATE_PERCENT, run.mark),
        ("SageMaker-like, ml.c5.large", facts.SAGEMAKER_LATE_PERCENT, run.endpoints["c5.large"]),
    )
    for design, published, verdict in late:
        yield Row(
            quantity="answers beyond the bound",
            unit="%",
            design=design,
            published=published,
            reproduced=100 * float(np.mean(verdict.latency_s > SLO.bound_s)),
            trace=TRACE,
            service=SERVICE,
        )
