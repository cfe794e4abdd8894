import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.performance_model.simulator import PodSimulator

configs = st.builds(
    ServingConfig,
    max_batch_size=st.integers(1, 8),
    batch_tokens=st.integers(16, 256),
    max_queue_delay_s=st.sampled_from([0.0, 0.05]),
    max_queue_length=st.sampled_from([1, 5, 1000]),
    workers=st.integers(1, 3),
    min_scale=st.integers(0, 1),
    max_scale=st.integers(1, 4),
    target=st.sampled_from([1.0, 3.0, 100.0]),
    container_concurrency=st.sampled_from([0, 1, 4]),
)
gaps = st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.3, 9.0]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(config=configs, later=configs, gaps=gaps, seed=st.integers(0, 5), cores=st.sampled_from([1.0, 2.0, math.inf]))
def test_every_request_gets_one_answer_and_no_limit_is_exceeded(config, later, gaps, seed, cores):
    simulator = PodSimulator(
        config,
        service=TokenServiceTimes(per_batch_s=0.02, per_token_s=0.001, cv=0.2),
        rng=np.random.default_rng(seed),
        autoscaler=AutoscalerSettings(window_s=6, scale_to_zero_grace_period_s=2),
        shape=InstanceShape(cores=cores, max_instances=5),
        initial_scale=0,
    )
    arrivals = np.cumsum(gaps)
    tokens = np.random.default_rng(seed).integers(1, 60, arrivals.size)
    half = arrivals.size // 2
    simulator.offer(arrivals[:half], tokens[:half])
    simulator.advance(float(arrivals[half - 1]) if half else 0.0)
    simulator.apply(later)

    result = simulator.run(arrivals[half:], tokens[half:])

    assert result.latency_s.size == arrivals.size
    assert not np.isnan(result.latency_s).any()
    answered = np.isin(result.request_class, ("ok", "cold_start"))
    assert (np.isfinite(result.latency_s) == answered).all()
    assert result.batch_size.sum() == answered.sum()
    assert result.batch_size.max(initial=0) <= max(config.max_batch_size, later.max_batch_size)
    most_tokens = max(config.batch_tokens, later.batch_tokens)
    assert ((result.padded_tokens <= most_tokens) | (result.batch_size == 1)).all()
    for row in result.instances:
        assert not row.ready_s < row.started_s
        assert not row.stopped_s < row.started_s
    assert simulator.inside == 0
    assert all(pod.held == pod.busy == pod.queued == 0 for pod in simulator.pods())


@settings(max_examples=40, deadline=None)
@given(gaps=gaps, workers=st.integers(1, 3))
def test_one_at_a_time_answers_in_order_of_arrival(gaps, workers):
    config = ServingConfig(max_batch_size=1, workers=workers, max_scale=1)
    simulator = PodSimulator(
        config, service=TokenServiceTimes(per_batch_s=0.05), rng=np.random.default_rng(1), initial_scale=1
    )
    arrivals = np.cumsum(gaps)

    result = simulator.run(arrivals)

    assert (np.diff(result.arrival_s + result.latency_s) >= -1e-9).all()
