"""BATCH's law and its solver, one setting and one search at a time, beside the exact law and the whole grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.batch_law import predict_sizes
from controller.baselines.batch_search import DELAY_STEP_S, MAX_BATCH_SIZE, MEMORIES_MB, N_DELAYS, search_batch
from controller.baselines.call_table import tabulate_calls
from controller.baselines.replay import replay
from controller.domain.arrival_process import sample_arrivals
from controller.domain.prices import LambdaPrices, load_prices
from controller.domain.slo import LatencySlo
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.exact_optimum import ExactProblem, find_exact_optimum
from controller.performance_model.grid_search import Grid
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.prediction import TimerSetting
from controller.performance_model.service_law import service_law
from controller.reproduce import batch_facts as facts
from controller.reproduce.rows import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.baselines.batch_search import BatchChoice
    from controller.domain.arrival_map import Map
    from controller.performance_model.prediction import Prediction
    from controller.reproduce.batch_facts import ReleasedSearch, Service

QUANTILES = np.arange(1, 100) / 100
SIMULATED_S = 4 * 3600.0
"""About a million arrivals: quantiles are then good to some tenths of a per cent where phases switch slowly."""
UNROUNDED = LambdaPrices(facts.GB_SECOND_USD, facts.REQUEST_USD, 0.0)
SETTINGS: tuple[tuple[str, Map, Service, TimerSetting], ...] = (
    ("W14", facts.W14, facts.RESNET, TimerSetting(max_batch_size=20, max_queue_delay_s=0.01, memory_mb=3008)),
    ("W14", facts.W14, facts.LIGHT, TimerSetting(max_batch_size=10, max_queue_delay_s=0.05, memory_mb=3008)),
    ("NYS 3", facts.NYS_3, facts.LIGHT, TimerSetting(max_batch_size=8, max_queue_delay_s=0.5, memory_mb=3008)),
)
"""The paper's own check, and two of a light service, where the uniform wait matters."""


def law_rows(rng: np.random.Generator) -> Iterator[Row]:
    """Yield how far BATCH's law and the exact law are from a simulation, in the mean over 99 quantiles."""
    for place, (trace, process, service, setting) in enumerate(SETTINGS):
        size, delay_s = setting.max_batch_size, setting.max_queue_delay_s
        law = service_law(service.times, size, memory_mb=setting.memory_mb)
        arrival_s = sample_arrivals(process, duration_s=SIMULATED_S, rng=rng)
        batches = replay(arrival_s, [(0.0, setting)])
        latency_s = np.repeat(batches.leaves_s + law.mean_s[batches.size - 1], batches.size) - arrival_s
        seen = np.quantile(latency_s, QUANTILES, method="inverted_cdf")
        sizes = predict_sizes(process, max_batch_size=size, delay_step_s=delay_s, n_delays=1, variant="released")
        theirs = np.array([sizes.quantile_s(float(q), law.mean_s)[0, -1] for q in QUANTILES])
        exact = LatencyLaw(BatchQueue.solve(process, max_batch_size=size, max_queue_delay_s=delay_s), law)
        ours = np.array([exact.quantile(float(q)) for q in QUANTILES])
        yield Row(
            quantity="error of latency quantiles",
            unit="%",
            design="BATCH's law",
            batch_size=size,
            published=facts.LAW_ERROR_PERCENT if place == 0 else None,
            reproduced=100 * float(np.abs(theirs / seen - 1).mean()),
            ours=100 * float(np.abs(ours / seen - 1).mean()),
            trace=trace,
            service=service.name,
        )


def search_rows() -> Iterator[Row]:
    """Yield what the released solver answers and finds, and what an exact search of the whole grid comes to."""
    for search in facts.RELEASED_SEARCHES:
        calls = tabulate_calls(search.service.times, MEMORIES_MB, max_batch_size=MAX_BATCH_SIZE, prices=UNROUNDED)
        choice = search_batch(search.process, calls, search.objective, "released")
        if choice is not None:
            yield from _search_rows(search, choice)


def _search_rows(search: ReleasedSearch, choice: BatchChoice) -> Iterator[Row]:
    ours = _optimum(search)
    bound = "5 s" if search.service is facts.RESNET else "6 s"
    goal = f"p95 inside {bound}" if isinstance(search.objective, LatencySlo) else "p95 inside 30 USD a million"
    million = "USD a million"
    true_usd = _true_cost_usd(search, choice.setting) * 1e6
    figures = (
        (f"{goal}, as expected", "s", search.p95_s, choice.predicted_quantile_s, ours.latency_quantiles_s["0.95"]),
        ("cost of it, as expected", million, search.usd_per_million, choice.predicted_cost_usd * 1e6, None),
        ("cost of it, exact", million, None, true_usd, ours.cost_per_request_usd * 1e6),
    )
    for quantity, unit, published, reproduced, exact in figures:
        yield Row(
            quantity=quantity,
            unit=unit,
            design="BATCH released",
            batch_size=choice.setting.max_batch_size,
            published=None if published is None else (published, published),
            reproduced=reproduced,
            ours=exact,
            trace=search.trace,
            service=search.service.name,
        )


def _optimum(search: ReleasedSearch) -> Prediction:
    """Return the exact optimum over the whole grid, by the stationary quantile, as theirs."""
    prices = replace(load_prices(), lambda_x86=UNROUNDED)
    grid = Grid(max_batch_size=MAX_BATCH_SIZE, max_queue_delay_s=N_DELAYS * DELAY_STEP_S, delay_step_s=DELAY_STEP_S)
    problem = ExactProblem(search.process, search.service.times, MEMORIES_MB, grid, prices)
    return find_exact_optimum(problem, search.objective, quantile="0.95").best.prediction


def _true_cost_usd(search: ReleasedSearch, setting: TimerSetting) -> float:
    size, delay_s = setting.max_batch_size, setting.max_queue_delay_s
    law = BatchQueue.solve(search.process, max_batch_size=size, max_queue_delay_s=delay_s)
    service = service_law(search.service.times, size, memory_mb=setting.memory_mb)
    return request_cost_usd(law.batch_size_pmf, service, memory_mb=setting.memory_mb, prices=UNROUNDED)
