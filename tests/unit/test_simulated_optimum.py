"""The best setting by simulation: what it searches beside the batch, and what an instance then costs."""

import numpy as np
import pytest

from controller.domain.prices import load_prices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import NO_TOKEN_BOUND, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.optimizer.simulated_optimum import SimulatedProblem, find_simulated_optimum
from controller.performance_model.exact_optimum import Budget

# One vCPU per 2000 MB: a request takes 40 ms at 2000 MB and more, 80 ms at 1000 MB, 160 ms at 500 MB.
SERVICE = TokenServiceTimes(per_batch_s=0.04, vcpu_per_mb=1 / 2000)


def problem(memories_mb=(500, 1000, 2000, 4000), law="finite_work_conserving"):
    return SimulatedProblem(
        law=law,
        arrivals_s=np.sort(np.random.default_rng(3).uniform(0, 400, 800)),
        tokens=None,
        service=SERVICE,
        present=ServingConfig(batch_tokens=NO_TOKEN_BOUND, memory_mb=memories_mb[-1]),
        shape=InstanceShape(),
        memories_mb=memories_mb,
        bounds={"max_batch_size": (1, 4), "max_queue_delay_s": (0, 0.05)},
        prices=load_prices(),
        quantiles=("0.95",),
        trials=30,
        seed=1,
    )


@pytest.mark.parametrize(("bound_s", "memory_mb"), [(0.07, 2000), (0.15, 1000), (0.5, 500)])
def test_the_cheapest_memory_inside_the_objective_is_found(bound_s, memory_mb):
    found = find_simulated_optimum(problem(), LatencySlo(0.95, bound_s))
    assert found.is_feasible
    assert found.best.config.memory_mb == memory_mb
    assert found.best.prediction.latency_quantiles_s["0.95"] <= bound_s


def test_a_budget_buys_the_memory_that_it_can_pay():
    cost = {
        memory: find_simulated_optimum(problem((memory,)), LatencySlo(0.95, 5)).best.prediction.cost_per_request_usd
        for memory in (1000, 2000, 4000)
    }
    found = find_simulated_optimum(problem(), Budget(cost[1000] * 1.05))
    assert found.is_feasible
    assert found.best.config.memory_mb == 1000
    # Beyond a whole core more memory costs and gives nothing.
    assert cost[1000] < cost[2000] < cost[4000]


def test_an_instance_is_billed_for_the_cpu_that_its_memory_buys():
    half, whole = (
        find_simulated_optimum(problem((memory,)), LatencySlo(0.95, 5)).best.prediction.cost_per_request_usd
        for memory in (1000, 2000)
    )
    assert half == pytest.approx(whole / 2, rel=0.01)


def test_pods_are_given_memory_too():
    found = find_simulated_optimum(problem((500, 2000), law="knative_pods"), LatencySlo(0.95, 0.12))
    assert found.best.config.memory_mb == 2000
