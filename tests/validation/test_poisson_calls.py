"""The closed form for Poisson arrivals against the exact model for any Markovian process."""

import numpy as np
import pytest

from controller.domain.arrival_process import PoissonProcess
from controller.domain.function_grid import FunctionGrid, FunctionSetting
from controller.domain.prices import load_prices
from controller.performance_model.batch_queue import BatchQueue
from controller.performance_model.cost import request_cost_usd
from controller.performance_model.latency import LatencyLaw
from controller.performance_model.poisson_calls import CallLoad, CallTimes, predict_calls
from controller.performance_model.service_law import ServiceLaw

PRICES = load_prices()
GRID = FunctionGrid(most_per_process=8, most_processes=2, memories_mb=(512, 1024, 2048))
NOISE = np.array([0.8, 1.0, 1.2])


def call_s():
    b, c, memory_mb = GRID.axes
    return 0.02 + (0.06 + 0.045 * b) * c / np.minimum(1.0, memory_mb / 1769)


@pytest.mark.parametrize(("b", "c"), [(1, 1), (2, 1), (3, 1), (1, 2), (4, 2), (8, 2)])
@pytest.mark.parametrize("rate_rps", [1.0, 10.0, 40.0])
@pytest.mark.parametrize("delay_s", [0.05, 0.4, 1.0])
def test_cost_fill_and_lateness_agree_with_the_exact_model(b, c, rate_rps, delay_s):
    setting, seconds, bound_s = FunctionSetting(b, c, 1024), call_s(), 0.9
    calls = predict_calls(
        CallTimes(GRID, seconds, NOISE),
        CallLoad(rate_rps, bound_s),
        delay_s=np.full(GRID.shape, delay_s),
        prices=PRICES.lambda_x86,
    )
    n = setting.max_batch_size
    law = BatchQueue.solve(PoissonProcess(rate_rps), max_batch_size=n, max_queue_delay_s=delay_s)
    times = np.array([GRID.by_fill(seconds, fill)[b - 1, c - 1, 1] for fill in range(1, n + 1)])
    noisy = LatencyLaw(law, ServiceLaw(times[:, None] * NOISE, np.full((n, 3), 1 / 3)))
    plain = ServiceLaw(times[:, None], np.ones((n, 1)))
    place = GRID.place(setting)
    assert calls.mean_batch_size.flat[place] == pytest.approx(law.mean_batch_size)
    assert calls.late_share.flat[place] == pytest.approx(1 - noisy.cdf(bound_s), abs=2e-5)
    cost_usd = request_cost_usd(law.batch_size_pmf, plain, memory_mb=1024, prices=PRICES.lambda_x86)
    assert calls.cost_usd.flat[place] == pytest.approx(cost_usd)


def test_settings_that_fail_cost_infinitely_much_and_answer_nothing_in_time():
    seconds = call_s()
    seconds[4:, :, 0] = np.inf
    calls = predict_calls(
        CallTimes(GRID, seconds, NOISE), CallLoad(10.0, 2.0), delay_s=np.full(GRID.shape, 0.5), prices=PRICES.lambda_x86
    )
    assert np.isinf(calls.cost_usd[4:, :, 0]).all()
    assert np.isfinite(calls.cost_usd[:4]).all()
    assert (calls.late_share[4:, :, 0] > 0.05).all()
