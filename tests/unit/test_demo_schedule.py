"""The demo's schedule: what it promises of its rates, and that a seed fixes it."""

from __future__ import annotations

import numpy as np
import pytest

from controller.demo import BURST_SHARE, CROWD_SHARE, PEAK_SHARE, demo_arrivals
from controller.domain.arrival_process import arrival_process_from_document, sample_arrivals


def rates(phase):
    arrivals = phase["arrivals"]
    return arrivals.get("rates_rps", [arrivals.get("rate_rps")])


@pytest.mark.parametrize("seed", range(8))
def test_only_the_burst_goes_above_the_peak_share(seed):
    phases = demo_arrivals(200.0, np.random.default_rng(seed))["phases"]
    above = [max(rates(phase)) for phase in phases if max(rates(phase)) > PEAK_SHARE * 200.0]
    assert above == [BURST_SHARE * 200.0, CROWD_SHARE * 200.0]


@pytest.mark.parametrize("seed", range(8))
def test_it_lasts_about_90_s_and_falls_silent_once(seed):
    phases = demo_arrivals(200.0, np.random.default_rng(seed))["phases"]
    assert 79 <= sum(phase["duration_s"] for phase in phases) <= 90
    assert [phase["duration_s"] >= 16 for phase in phases if max(rates(phase)) == 0] == [True]


def test_a_seed_fixes_the_schedule():
    assert demo_arrivals(200.0, np.random.default_rng(4)) == demo_arrivals(200.0, np.random.default_rng(4))


def test_it_is_an_arrivals_document(tmp_path, rng):
    document = demo_arrivals(100.0, rng)
    process = arrival_process_from_document(document, where="demo", base=tmp_path)
    times = sample_arrivals(process, duration_s=85.0, rng=rng)
    assert times.size > 1000
    assert times.max() < 85.0
