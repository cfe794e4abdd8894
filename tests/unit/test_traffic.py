"""The present phase, the regime around it, and that an alarm is not a regime change."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.domain.arrival_map import Map, mmpp
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.errors import BadInputError
from controller.monitor.detection import confirm_regime, default_detection, fit_law
from controller.monitor.traffic import Traffic


def counts_of(process, duration_s, rng):
    return np.bincount(sample_arrivals(process, duration_s=duration_s, rng=rng).astype(int), minlength=int(duration_s))


def feed(counts, *, first=0, traffic=None):
    """Feed a second at a time, as the loop does; return the traffic and what changed."""
    traffic = traffic or Traffic(default_detection())
    changes = []
    for index in range(len(counts)):
        changes += traffic.update(first + index, np.array(counts[index : index + 1]), np.zeros(1, dtype=bool))
    return traffic, changes


def test_traffic_begins_with_the_first_arrival():
    traffic, _ = feed([0, 0, 0, 5, 7])
    assert (traffic.age_s, traffic.rate_rps) == (2, 6)


def test_bins_that_were_seen_are_skipped():
    traffic = Traffic(default_detection())
    for _ in range(3):
        traffic.update(0, np.array([4, 4, 4]), np.zeros(3, dtype=bool))
    assert traffic.age_s == 3


def test_a_gap_in_what_the_source_remembers_is_no_fall_of_the_rate(rng):
    traffic, _ = feed(rng.poisson(20, 40))
    _, changes = feed(rng.poisson(20, 40), first=60, traffic=traffic)
    assert traffic.age_s == 100
    assert [change for change in changes if change.kind == "rate"] == []


def test_a_step_raises_an_alarm_and_begins_a_phase(rng):
    traffic, changes = feed([*rng.poisson(10, 40), *rng.poisson(60, 10)])
    assert changes[0].kind == "rate"
    assert changes[0].after > 3 * changes[0].before
    assert 38 <= traffic.phase_bin <= 42
    assert traffic.rate_rps == pytest.approx(60, rel=0.2)


def test_little_seen_of_a_phase_means_a_higher_rate_to_plan_for():
    few, _ = feed([20] * 3)
    many, _ = feed([20] * 50)
    assert few.upper_rate_rps > many.upper_rate_rps > many.rate_rps


def test_silence_is_counted_from_the_last_arrival():
    traffic, _ = feed([5, 5, 0, 0, 0])
    assert traffic.silent_s == 3


def test_a_censored_count_does_not_look_like_a_fall():
    traffic, _ = feed([30] * 20)
    traffic.update(20, np.array([2]), np.array([True]))
    assert traffic.rate_rps == pytest.approx(30)


def test_the_peak_is_that_of_the_regime():
    traffic, _ = feed([3, 4, 90, 5])
    assert traffic.peak_rps == 90


@pytest.mark.parametrize("seed", range(4))
def test_a_stationary_law_with_phases_of_20_s_changes_no_regime(seed):
    bursty = mmpp([24, 120], [[0, 1 / 20], [1 / 20, 0]])
    _, changes = feed(counts_of(bursty, 600, np.random.default_rng(seed)))
    assert [change for change in changes if change.kind == "regime"] == []
    assert len(changes) > 5


def test_a_level_that_lasts_two_minutes_is_a_regime(rng):
    traffic, changes = feed([*rng.poisson(30, 200), *rng.poisson(60, 160)])
    regimes = [change for change in changes if change.kind == "regime"]
    assert len(regimes) == 1
    assert 320 <= regimes[0].at_s <= 345
    assert 190 <= traffic.regime_bin <= 210
    assert isinstance(traffic.law, PoissonProcess)
    assert traffic.law.rate_rps == pytest.approx(60, rel=0.05)


def test_a_regime_of_phases_is_replaced_by_another_of_phases(rng):
    quiet = counts_of(mmpp([10, 40], [[0, 1 / 6], [1 / 4, 0]]), 400, rng)
    busy = counts_of(mmpp([40, 140], [[0, 1 / 6], [1 / 4, 0]]), 200, rng)
    assert confirm_regime(np.concatenate([quiet, busy])) == pytest.approx(400, abs=15)
    assert confirm_regime(quiet) is None


def test_a_bursty_law_is_fitted_as_one(rng):
    assert isinstance(fit_law(counts_of(mmpp([10, 80], [[0, 1 / 10], [1 / 10, 0]]), 600, rng)), Map)
    assert isinstance(fit_law(rng.poisson(30, 300)), PoissonProcess)
    assert fit_law(np.zeros(50, dtype=np.int64)) == PoissonProcess(0.0)


def test_a_restart_goes_on_with_the_regime(rng):
    before, _ = feed(rng.poisson(30, 100))
    after = Traffic(default_detection())
    after.restore(before.to_document())
    feed(rng.poisson(30, 40), first=60, traffic=after)
    assert after.regime_bin == before.regime_bin
    assert after.law.rate_rps == pytest.approx(before.law.rate_rps)


def test_the_law_of_a_long_regime_is_fitted_anew_now_and_then(rng):
    fitted = []

    def fit(counts):
        fitted.append(len(counts))
        return PoissonProcess(float(counts.mean()))

    detection = replace(default_detection(), confirm=lambda _: None, fit=fit)
    feed(rng.poisson(5, 2400), traffic=Traffic(detection))
    late = [bins for bins in fitted if bins == 900]
    assert 4 <= len(late) <= 6


@pytest.mark.parametrize("number", [math.nan, math.inf, 10**400], ids=["nan", "inf", "huge"])
def test_a_state_with_a_number_that_is_none_is_refused(number):
    traffic = Traffic(default_detection())
    with pytest.raises(BadInputError, match="needs a finite number"):
        traffic.restore({"law": {"kind": "poisson", "rate_rps": 5.0}, "fitted_bins": number, "regime_bin": 0})
    assert traffic.law is None


def test_a_burst_is_seen_by_its_last_two_seconds_before_any_alarm():
    traffic, _ = feed([*[10] * 30, 60, 60])
    assert traffic.sure_rps > 40
    assert 60 <= traffic.burst_rps < 72


def test_the_first_second_of_a_phase_does_not_lower_the_rate_of_a_burst(rng):
    traffic, _ = feed([*rng.poisson(10, 40), 15, 60, 60, 60])
    assert 60 <= traffic.burst_rps < 72


def test_noise_of_two_seconds_does_not_raise_the_rate_of_a_steady_phase(rng):
    traffic, _ = feed([*rng.poisson(50, 60), 57, 57])
    assert 48 < traffic.burst_rps < 54


def test_before_the_first_arrival_there_is_no_burst():
    traffic, _ = feed([])
    assert (traffic.burst_rps, traffic.sure_rps) == (0, 0)
