from dataclasses import replace

import numpy as np
import pytest

from controller.domain.service_time import AffineServiceTimes, TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.errors import BadInputError
from controller.performance_model.finite_servers import simulate
from controller.performance_model.simulator import PodSimulator

ONE_SECOND = AffineServiceTimes(1.0, 0.0)
QUICK = AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=5)


def simulator(config=None, *, service=ONE_SECOND, initial_scale=1, **shape):
    settings = config or ServingConfig()
    return PodSimulator(
        settings,
        service=service,
        rng=np.random.default_rng(1),
        autoscaler=QUICK,
        shape=InstanceShape(**shape),
        initial_scale=initial_scale,
    )


def test_one_request_takes_the_service_time():
    result = simulator().run([0.5])

    assert result.latency_s.tolist() == [1.0]
    assert result.request_class.tolist() == ["ok"]


def test_a_free_worker_takes_what_is_queued_at_once():
    # The first leaves alone at 0; the three that came meanwhile leave together at 1.
    result = simulator().run([0.0, 0.1, 0.2, 0.3])

    assert result.batch_size.tolist() == [1, 3]
    assert result.latency_s == pytest.approx([1.0, 1.9, 1.8, 1.7])


def test_a_queue_delay_holds_a_batch_until_it_is_full_or_the_delay_is_over():
    config = ServingConfig(max_batch_size=3, max_queue_delay_s=0.5, workers=2)

    result = simulator(config).run([0.0, 0.1, 0.2, 1.0])

    assert result.batch_size.tolist() == [3, 1]
    assert result.latency_s == pytest.approx([1.2, 1.1, 1.0, 1.5])


def test_batches_that_begin_later_take_what_the_service_takes_by_then():
    made = simulator()
    made.offer([0.5, 4.0])
    made.advance(1.0)
    made.serve(AffineServiceTimes(2.0, 0.0))
    made.advance(10.0)

    assert made.result().latency_s.tolist() == [1.0, 2.0]


def test_workers_of_one_instance_serve_side_by_side():
    config = ServingConfig(max_batch_size=1, workers=2)

    result = simulator(config).run([0.0, 0.0, 0.0])

    assert result.latency_s.tolist() == [1.0, 1.0, 2.0]


def test_busy_workers_share_the_cores():
    config = ServingConfig(max_batch_size=1, workers=2)

    result = simulator(config, cores=1.0).run([0.0, 0.5])

    # Alone until 0.5, at half speed until the first is done at 1.5; then the second has half its work left.
    assert result.latency_s == pytest.approx([1.5, 1.5])
    assert result.batch_s == pytest.approx([1.5, 1.5])


def test_requests_of_similar_length_share_a_batch():
    service = TokenServiceTimes(per_batch_s=1.0)
    config = ServingConfig(max_batch_size=2)

    # While the first is served, 100, 10 and 98 tokens come; 98 joins 100 and 10 waits.
    result = simulator(config, service=service).run([0.0, 0.1, 0.2, 0.3], [5, 100, 10, 98])

    assert result.latency_s == pytest.approx([1.0, 1.9, 2.8, 1.7])
    assert result.padded_tokens.tolist() == [5, 200, 10]


def test_a_full_queue_rejects():
    config = ServingConfig(max_batch_size=1, max_queue_length=2)

    result = simulator(config).run([0.0, 0.1, 0.2, 0.3])

    assert result.request_class.tolist() == ["ok", "ok", "ok", "rejected"]
    assert result.latency_s[-1] == np.inf


def test_a_request_whose_deadline_passed_in_the_queue_expires():
    config = ServingConfig(max_batch_size=1)

    result = simulator(config, service=AffineServiceTimes(20.0, 0.0)).run([0.0, 0.0, 0.0])

    assert result.request_class.tolist() == ["ok", "ok", "expired"]


def test_a_request_that_meets_no_instance_starts_one_and_waits_for_it():
    result = simulator(initial_scale=0, cold_start_s=0.6, cold_start_cpu_s=0.5).run([1.0, 1.3])

    assert result.request_class.tolist() == ["cold_start", "cold_start"]
    assert result.latency_s == pytest.approx([1.6, 2.3])
    assert [(row.started_s, row.ready_s) for row in result.instances] == [(1.0, 1.6)]


def test_a_start_competes_with_batches_for_the_cores():
    quiet = simulator(ServingConfig(min_scale=1), cores=1.0, cold_start_s=0.6, cold_start_cpu_s=0.5)
    quiet.offer([0.5])
    quiet.advance(0.1)

    quiet.apply(ServingConfig(min_scale=2))
    quiet.advance(10.0)

    row = quiet.result().instances[1]
    # Started by the tick at 2 s on an idle core.
    assert row.started_s == 2.0
    assert row.ready_s == pytest.approx(2.6)
    busy = simulator(ServingConfig(min_scale=1), cores=1.0, cold_start_s=0.6, cold_start_cpu_s=0.5)
    busy.offer([1.9])
    busy.advance(0.1)
    busy.apply(ServingConfig(min_scale=2))
    busy.advance(10.0)
    assert busy.result().instances[1].ready_s == pytest.approx(3.0)


@pytest.mark.parametrize(("burst", "zero_s"), [(211.0, 8), (0.0, 14)])
def test_an_idle_service_goes_to_zero_after_its_window_and_the_grace_period_that_is_left(burst, zero_s):
    autoscaler = replace(QUICK, target_burst_capacity=burst)
    service = PodSimulator(
        ServingConfig(), service=ONE_SECOND, rng=np.random.default_rng(1), autoscaler=autoscaler, initial_scale=1
    )

    result = service.run([0.5], until_s=60.0)

    # The request leaves the window of 6 s at 7.5 s, and ticks are 2 s apart.
    assert result.instances[0].stopped_s == zero_s


def test_an_instance_that_drains_is_paid_for_as_long_as_it_must_and_takes_nothing():
    result = simulator(cold_start_s=1, drain_s=7).run([0.0, 10.0], until_s=60.0)

    # The window leaves it at 8; the request that comes while it drains meets none.
    first, second = result.instances
    assert first.stopped_s == 8 + 7
    assert second.started_s == 10
    assert result.latency_s.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("routing", "answered"), [("least_loaded", [3, 0]), ("knative", [2, 1])])
def test_routing_is_what_it_is_told(routing, answered):
    config = ServingConfig(container_concurrency=4, min_scale=2)
    going = simulator(config, initial_scale=2, routing=routing)

    going.run([0.0, 1.5, 3.0])

    assert [pod.answered for pod in going.pods()] == answered


def test_a_bound_on_concurrency_keeps_requests_in_the_activator():
    config = ServingConfig(max_batch_size=8, container_concurrency=2, max_scale=1)

    result = simulator(config).run([0.0, 0.1, 0.2, 0.3])

    # At most two are inside, so no batch is larger than what the bound lets in.
    assert result.batch_size.tolist() == [1, 1, 1, 1]


def test_a_burst_adds_instances_within_the_panic_window():
    config = ServingConfig(target=2, max_batch_size=1)

    result = simulator(config).run(np.linspace(0, 10, 40))

    assert len(result.instances) > 3
    assert result.instances[1].started_s <= 4.0


def test_a_slow_change_replaces_instances_and_loses_nothing():
    service = simulator()
    service.offer(np.linspace(0, 10, 50))
    service.advance(3.0)

    service.apply(ServingConfig(container_concurrency=20))
    service.advance(12.0)

    result = service.result()
    old, new = result.instances[:2]
    assert set(result.request_class) == {"ok"}
    assert (old.revision, new.revision) == ("simulated-00001", "simulated-00002")
    assert old.stopped_s >= new.ready_s


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    service = TokenServiceTimes(per_batch_s=0.01, cv=0.5)
    arrivals = np.linspace(0, 5, 400)

    runs = [
        simulate("knative_pods", arrivals, config=ServingConfig(), service=service, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]

    assert (runs[0].latency_s == runs[1].latency_s).all()
    assert (runs[0].latency_s != runs[2].latency_s).any()


def test_running_in_steps_gives_what_running_at_once_gives():
    service = TokenServiceTimes(per_batch_s=0.05, cv=0.3)
    arrivals = np.sort(np.random.default_rng(3).uniform(0, 30, 500))
    at_once = simulator(service=service).run(arrivals, until_s=40.0)

    stepped = simulator(service=service)
    for start in range(40):
        stepped.offer(arrivals[(arrivals >= start) & (arrivals < start + 1)])
        stepped.advance(start + 1.0)

    assert (stepped.result().latency_s == at_once.latency_s).all()
    assert stepped.result().instances == at_once.instances


def test_calls_without_bound_leave_by_the_timer_or_when_full():
    config = ServingConfig(max_batch_size=3, max_queue_delay_s=1.0)
    arrivals = np.array([0.0, 0.5, 0.6, 0.7, 1.7])

    result = simulate("infinite_timer", arrivals, config=config, service=ONE_SECOND, rng=np.random.default_rng(1))

    # Three at 0.6; then two, where the second comes at the very end of the delay.
    assert result.batch_size.tolist() == [3, 2]
    assert result.latency_s == pytest.approx([1.6, 1.1, 1.0, 2.0, 1.0])


def test_no_request_is_no_result_and_no_error():
    for law in ("knative_pods", "finite_work_conserving", "infinite_timer"):
        result = simulate(law, np.zeros(0), config=ServingConfig(), service=ONE_SECOND, rng=np.random.default_rng(1))
        assert result.latency_s.size == 0


def test_arrivals_out_of_order_are_refused():
    with pytest.raises(BadInputError, match="must ascend"):
        simulator().offer([1.0, 0.5])


def test_instance_counts_tell_ready_and_starting_at_each_second():
    result = simulator(initial_scale=0, cold_start_s=1.5, cold_start_cpu_s=0.0).run([1.0], until_s=4.0)

    ready, starting = result.instance_counts()

    assert ready.tolist() == [0, 0, 0, 1]
    assert starting.tolist() == [0, 1, 1, 0]
