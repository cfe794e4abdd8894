import json
import math

import numpy as np
import pytest

from controller.domain.cost import call_cost_usd, cost_per_request_usd, instances_cost_usd
from controller.domain.instance_log import InstanceRow
from controller.domain.prices import ClusterPrices, LambdaPrices, load_prices
from controller.errors import BadInputError

LAMBDA = LambdaPrices(gb_second_usd=1e-5, request_usd=2e-7, granularity_s=0.001)


def test_the_default_list_has_lambda_and_cluster_prices():
    prices = load_prices()
    assert prices.lambda_x86.gb_second_usd == pytest.approx(1.66667e-5)
    assert prices.lambda_arm.gb_second_usd < prices.lambda_x86.gb_second_usd
    assert prices.cluster.vcpu_second_usd == pytest.approx(1.33e-5)
    assert prices.step_functions.transition_usd == pytest.approx(2.5e-5)


def test_ones_own_price_list_is_a_file(tmp_path):
    document = json.loads((load_prices.__globals__["PRICE_LISTS"] / "2026-09.json").read_text())
    document["cluster"]["vcpu_second_usd"] = 1.0
    path = tmp_path / "mine.json"
    del document["step_functions"]
    path.write_text(json.dumps(document))
    assert load_prices(str(path)).cluster.vcpu_second_usd == 1.0
    assert load_prices(str(path)).step_functions is None


def test_a_list_with_a_missing_price_is_refused(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text('{"version": "x", "lambda_x86": {"gb_second_usd": 1}}')
    with pytest.raises(BadInputError, match="lambda_x86: the key 'request_usd' is missing"):
        load_prices(str(path))
    with pytest.raises(BadInputError, match="2026-09"):
        load_prices("1999")


def test_a_call_is_billed_in_whole_milliseconds():
    times = np.array([0.0441, 0.1 + 0.2, 0.045])
    billed = (call_cost_usd(times, memory_mb=1024, prices=LAMBDA) - 2e-7) / 1e-5
    assert billed == pytest.approx([0.045, 0.3, 0.045])


def test_a_request_costs_the_mean_call_over_the_mean_batch():
    cost = cost_per_request_usd(np.array([0.5, 0.5]), np.array([0.1, 0.2]), memory_mb=2048, prices=LAMBDA)
    assert cost == pytest.approx((0.15 * 2 * 1e-5 + 2e-7) / 1.5)


def test_instances_are_billed_from_start_to_stop_inside_the_window():
    rows = [
        InstanceRow("a", "r1", 5.0, 6.0, 30.0, 2.0, 1024),
        InstanceRow("b", "r1", 15.0, math.nan, math.nan, 1.0, 512),
    ]
    cost = instances_cost_usd(rows, ClusterPrices(1.0, 0.1), 10.0, 20.0)
    assert cost == pytest.approx(10 * 2.1 + 5 * 1.05)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800"])
def test_a_name_that_no_price_list_can_have_is_refused(name):
    with pytest.raises(BadInputError, match="give a file, or one of 2026-09"):
        load_prices(name)
