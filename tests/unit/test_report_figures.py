"""The figures of a column, each with a known answer."""

import math
from pathlib import Path

import numpy as np
import pytest

from controller.domain.instance_log import InstanceRow
from controller.domain.prices import ClusterPrices
from controller.domain.request_log import RequestLog, RequestRow
from controller.domain.slo import LatencySlo, violating_windows
from controller.reports.column import bill_of, late_requests, latency_quantile, live_column
from controller.reports.forecast import forecasts_of, median_p95_error
from controller.reports.journal import Decision, Prediction
from controller.reports.latency_plot import window_quantiles
from controller.reports.run_folder import RunFolder

PRICES = ClusterPrices(vcpu_second_usd=0.001, gb_second_usd=0.0001)
SLO = LatencySlo(0.95, 1.0)


def row(index: int, at_s: float, latency_s: float, name: str = "ok") -> RequestRow:
    return RequestRow(index, at_s, at_s, at_s + latency_s, 200, name, 10)


def run_of(rows, instances=(), decisions=(), document=None) -> RunFolder:
    document = {"duration_s": 10.0} if document is None else document
    log, no_cpu_s = RequestLog.of(rows), 0.0
    return RunFolder(Path("run"), document, {}, log, tuple(instances), tuple(decisions), (), no_cpu_s, None, "")


def test_an_unanswered_request_makes_its_quantile_infinite_and_interpolates_nothing():
    latency_s = np.array([0.1] * 94 + [math.inf] * 6)

    assert latency_quantile(latency_s, 0.50) == 0.1
    assert latency_quantile(latency_s, 0.95) == math.inf


def test_a_latency_that_is_not_a_number_counts_as_no_answer():
    assert latency_quantile(np.array([0.1, math.nan]), 0.99) == math.inf


def test_without_requests_there_is_no_latency_and_no_cost_per_million():
    column = live_column("tidegate", run_of([]), SLO, PRICES)

    assert math.isnan(column.figures.p95_s)
    assert math.isnan(column.figures.cost_per_million_usd)
    assert column.figures.attainment == 1.0


def test_rejected_expired_and_failed_requests_are_late():
    rows = [row(0, 0, 0.1), row(1, 1, 0.1, "rejected"), row(2, 2, 0.1, "expired"), row(3, 3, 0.1, "error")]

    assert late_requests(run_of(rows), SLO).tolist() == [False, True, True, True]


def test_a_run_whose_requests_were_all_rejected_violates_every_window():
    rows = [row(i, i / 100, 0.001, "rejected") for i in range(300)]

    figures = live_column("defaults", run_of(rows), SLO, PRICES).figures

    assert figures.window_violation_ratio == 1.0
    assert figures.p50_s == math.inf
    assert figures.by_class["rejected"] == figures.late == figures.unanswered == 300


def test_a_bill_splits_starting_from_ready_and_adds_up_to_the_shared_price():
    rows = [
        InstanceRow("a", "r", 0.0, 2.0, 6.0, 1.0, 1024),
        InstanceRow("b", "r", -3.0, -1.0, 4.0, 2.0, 512),
        InstanceRow("c", "r", 8.0, math.nan, math.nan, 1.0, 1024),
    ]

    bill = bill_of(rows, PRICES, 10.0)

    assert (bill.starting_s, bill.ready_s) == (pytest.approx(4.0), pytest.approx(8.0))
    assert bill.vcpu_s == pytest.approx(6 + 8 + 2)
    assert bill.gb_s == pytest.approx(6 + 2 + 2)
    assert bill.total_usd == pytest.approx(16 * 0.001 + 10 * 0.0001)


def test_cost_is_divided_by_all_requests_answered_or_not():
    rows = [row(0, 0, 0.1), row(1, 1, 0.1, "rejected")]
    instances = [InstanceRow("a", "r", 0.0, 0.5, 10.0, 1.0, 1024)]

    figures = live_column("run", run_of(rows, instances), SLO, PRICES).figures

    assert figures.cost_per_million_usd == pytest.approx(10 * 0.0011 / 2 * 1e6)
    assert figures.cold_starts == 1


def test_the_line_of_windows_is_above_the_bound_exactly_where_a_window_violates(rng):
    latency_s = rng.lognormal(-1.2, 0.7, 900)
    latency_s[300:340] = math.inf

    _, quantile_s = window_quantiles(np.arange(900.0), latency_s, 0.95)

    assert np.array_equal(quantile_s > 1.0, violating_windows(latency_s > 1.0, 0.95))


def test_fewer_requests_than_a_window_are_one_window():
    at_s, quantile_s = window_quantiles(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2]), 0.95)

    assert at_s.tolist() == [1.0, 3.0]
    assert quantile_s.tolist() == [0.3, 0.3]


def decision(at_s: float, prediction: Prediction | None) -> Decision:
    return Decision(at_s, "alarm", "apply", "", {}, prediction, math.nan, math.nan, "", {})


def test_a_forecast_is_compared_with_what_came_until_the_next_decision():
    rows = [row(0, 1.0, 0.2), row(1, 4.0, 0.4), row(2, 6.0, 0.9)]
    decisions = [
        decision(0.5, Prediction(0.1, 1.0, 5.0)),
        decision(3.0, None),
        decision(5.0, Prediction(0.9, 1.0, 5.0)),
    ]
    instances = [InstanceRow("a", "r", 0.0, 0.0, 10.0, 1.0, 0)]

    first, last = forecasts_of(run_of(rows, instances, decisions), SLO, PRICES)

    assert (first.until_s, first.requests, first.p95_s) == (3.0, 1, pytest.approx(0.2))
    assert first.cost_per_million_usd == pytest.approx(2.5 * 0.001 * 1e6)
    assert (last.until_s, last.p95_ratio) == (10.0, pytest.approx(1.0))
    assert median_p95_error((first, last)) == pytest.approx(math.sqrt(2))


def test_the_controllers_cpu_time_is_paid_like_that_of_an_instance():
    without, tuned = bill_of([], PRICES, 10.0), bill_of([], PRICES, 10.0, controller_cpu_s=3.0)
    assert tuned.total_usd - without.total_usd == pytest.approx(3.0 * PRICES.vcpu_second_usd)
