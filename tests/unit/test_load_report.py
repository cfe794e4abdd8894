from __future__ import annotations

import argparse
import dataclasses
import json
import math
from typing import TYPE_CHECKING

import pytest

from controller.domain.request_log import RequestRow
from controller.domain.slo import LatencySlo
from loadtest.options import FLAGS, check_options
from loadtest.report import exit_code, load_document, table
from loadtest.validity import GeneratorFigures, why_invalid

if TYPE_CHECKING:
    from pathlib import Path

    from controller.domain.request_log import RequestClass
    from loadtest.options import LoadOptions
    from loadtest.report import LoadDocument

GOOD = GeneratorFigures(cpu_s=1.0, cpu_share=0.1, skipped=0, elapsed_s=10.0, workers=1, priority="ordinary", reasons={})


@pytest.fixture
def options(tmp_path: Path) -> LoadOptions:
    given = {flag[2:].replace("-", "_"): details.get("default") for flag, details in FLAGS.items()}
    given |= {"host": "http://127.0.0.1:1", "arrivals": '{"kind": "poisson", "rate_rps": 10}', "duration": 10.0}
    return check_options(argparse.Namespace(**given | {"out": str(tmp_path / "run"), "overwrite": False}))


def row(index: int, name: RequestClass, latency_s: float = 0.1, lag_s: float = 0.0) -> RequestRow:
    return RequestRow(index, float(index), index + lag_s, index + latency_s, 200, name, 10)


def document(rows: list[RequestRow], options: LoadOptions, figures: GeneratorFigures = GOOD) -> LoadDocument:
    return load_document(rows, figures, options, started_at=1.79e9)


def test_percentiles_are_observed_values(options: LoadOptions):
    found = document([row(i, "ok", latency_s=(i + 1) / 1000, lag_s=0.0005) for i in range(200)], options)
    assert found["latency_s"]["from_intended"] == {"p50": 0.1, "p95": 0.19, "p99": 0.198}
    assert found["latency_s"]["from_sent"] == {"p50": 0.0995, "p95": 0.1895, "p99": 0.1975}


def test_failures_count_as_infinitely_late_and_warm_up_not_at_all(options: LoadOptions):
    rows = [
        row(0, "warm_up", 9.0),
        *(row(i, "ok") for i in range(1, 97)),
        *(row(i, "rejected") for i in range(97, 101)),
    ]
    with_failures = document(rows, options)["latency_with_failures_s"]["from_intended"]
    assert with_failures == {"p50": 0.1, "p95": 0.1, "p99": None}


def test_an_objective_is_judged_by_windows_with_failures_as_late(options: LoadOptions):
    rows = [*(row(i, "ok") for i in range(90)), *(row(i, "rejected") for i in range(90, 100))]
    judged = dataclasses.replace(options, slo=LatencySlo(0.95, 0.5))
    assert document(rows, judged)["objective"] == {
        "quantile": 0.95,
        "bound_s": 0.5,
        "latency_s": None,
        "late": 10,
        "window_violation_ratio": 1.0,
    }
    assert document(rows, options)["objective"] is None


def test_classes_have_counts_shares_and_latencies_of_their_own(options: LoadOptions):
    rows = [row(0, "cold_start", 2.0), row(1, "ok"), row(2, "ok"), row(3, "error", math.nan)]
    classes = document(rows, options)["classes"]
    assert [classes[name]["count"] for name in classes] == [2, 0, 1, 0, 0, 1]
    assert classes["cold_start"] == {"count": 1, "share": 0.25, "latency_s": {"p50": 2.0, "p95": 2.0, "p99": 2.0}}
    assert classes["error"]["latency_s"]["p50"] is None


def test_the_document_is_plain_json(options: LoadOptions):
    found = document([row(0, "error", math.nan)], options)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_table_shows_the_classes_that_occurred_and_why_answers_failed(options: LoadOptions):
    figures = GeneratorFigures(1.0, 0.1, 0, 10.0, 1, "ordinary", {"timed out": 1})
    text = table(document([row(0, "ok", 0.0123), row(1, "error", math.nan)], options, figures))
    assert text.splitlines() == [
        "class         count   share    p50 ms    p95 ms    p99 ms",
        "ok                1   50.0%      12.3      12.3      12.3",
        "error             1   50.0%         -         -         -",
        "1 x timed out",
    ]


def test_a_late_generator_makes_the_run_invalid(options: LoadOptions):
    found = document([row(i, "ok", lag_s=0.011 if i < 2 else 0.009) for i in range(100)], options)
    assert found["why"] == (
        "2.0% of the sends were more than 10 ms late (bound 1%); give the generator more of a core or lower the load"
    )
    assert (found["valid"], exit_code(found)) == (False, 4)


def test_one_late_send_in_a_hundred_is_forgiven():
    assert why_invalid(1, 100, GOOD) is None
    assert why_invalid(1, 20, GOOD) is None
    assert why_invalid(2, 100, GOOD)


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (GeneratorFigures(1, 0.1, 3, 10, 1, "ordinary", {}), "3 sends were skipped at --max-in-flight"),
        (GeneratorFigures(1, 0.81, 0, 10, 1, "ordinary", {}), "the generator used 81% of a core"),
        (GeneratorFigures(1, 0.1, 0, 10, 1, "ordinary", {}, trouble="interrupted"), "interrupted"),
    ],
    ids=["skipped", "busy", "interrupted"],
)
def test_what_else_makes_a_run_invalid(figures: GeneratorFigures, why: str):
    assert (why_invalid(0, 100, figures) or "").startswith(why)


@pytest.mark.parametrize(
    ("classes", "code"),
    [(["ok", "error"], 0), (["rejected", "expired"], 0), (["error", "error"], 1), (["warm_up", "error"], 1)],
)
def test_a_run_with_nothing_but_errors_has_failed(options: LoadOptions, classes: list[RequestClass], code: int):
    assert exit_code(document([row(i, name) for i, name in enumerate(classes)], options)) == code
