"""The rules of the simulators, compiled and as plain Python: one source, and one result to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.domain.service_time import AffineServiceTimes, TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.performance_model import compiled
from controller.performance_model.simulator import PodSimulator

pytestmark = pytest.mark.skipif(not compiled.is_installed(), reason="numba is not installed")

configs = st.builds(
    ServingConfig,
    max_batch_size=st.sampled_from([1, 2, 8, 40]),
    batch_tokens=st.sampled_from([16, 100, 512, 5000]),
    max_queue_delay_s=st.sampled_from([0.0, 0.013, 0.5]),
    max_queue_length=st.sampled_from([1, 5, 1000]),
    workers=st.integers(1, 3),
    min_scale=st.integers(0, 1),
    max_scale=st.sampled_from([0, 1, 4]),
    activation_scale=st.integers(0, 2),
    window_s=st.sampled_from([0.0, 6.0]),
    target=st.sampled_from([0.7, 3.0, 100.0]),
    container_concurrency=st.sampled_from([0, 1, 4]),
)
scalers = st.builds(
    AutoscalerSettings,
    window_s=st.sampled_from([6.0, 20.0]),
    scale_down_delay_s=st.sampled_from([0.0, 5.0]),
    scale_to_zero_grace_period_s=st.sampled_from([1.0, 7.0]),
    tick_s=st.sampled_from([0.3, 2.0]),
)
shapes = st.builds(
    InstanceShape,
    cores=st.sampled_from([0.5, 1.0, math.inf]),
    cold_start_s=st.sampled_from([0.0, 0.6, 3.0]),
    cold_start_cpu_s=st.sampled_from([0.0, 0.5]),
    routing=st.sampled_from(["least_loaded", "knative"]),
    drain_s=st.sampled_from([0.0, 4.0]),
    max_instances=st.integers(1, 6),
)
services = st.sampled_from(
    [
        TokenServiceTimes(fixed_s=0.001, per_batch_s=0.01, per_token_s=0.0002, per_token_pair_s=1e-6, cv=0.3),
        TokenServiceTimes(per_batch_s=0.05, size_factors=(1.0, 1.4, 0.9)),
        AffineServiceTimes(0.01, 0.02),
    ]
)


@st.composite
def traffic(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rates = draw(st.lists(st.sampled_from([0.3, 5.0, 60.0, 400.0]), min_size=1, max_size=3))
    arrivals = np.concatenate([10 * k + np.sort(rng.uniform(0, 3, rng.poisson(3 * x))) for k, x in enumerate(rates)])
    # Instants that coincide with one another and with ticks are where two orders of events could differ.
    arrivals = np.round(arrivals, draw(st.sampled_from([1, 9])))
    return arrivals, rng.integers(1, draw(st.sampled_from([2, 30, 300])), arrivals.size)


@settings(max_examples=80, deadline=None)
@given(
    config=configs,
    later=st.none() | configs,
    surroundings=st.tuples(scalers, shapes, services),
    traffic=traffic(),
    initial_scale=st.integers(0, 2),
)
def test_compiled_and_plain_python_see_the_same(config, later, surroundings, traffic, initial_scale):
    autoscaler, shape, service = surroundings
    arrivals, tokens = traffic
    half = arrivals.size // 2
    results = []
    for kernels in (compiled.PLAIN, compiled.load()):
        simulator = PodSimulator(
            config,
            service=service,
            rng=np.random.default_rng(1),
            autoscaler=autoscaler,
            shape=shape,
            initial_scale=initial_scale,
            kernels=kernels,
        )
        if later is not None and half:
            simulator.offer(arrivals[:half], tokens[:half])
            simulator.advance(float(arrivals[half - 1]))
            simulator.apply(later)
            arrivals_left, tokens_left = arrivals[half:], tokens[half:]
        else:
            arrivals_left, tokens_left = arrivals, tokens
        result = simulator.run(arrivals_left, tokens_left, until_s=30.0)
        results.append((result, simulator.pods(), simulator.joined_since(0), simulator.batches_since(0)))

    (plain, plain_pods, *plain_logs), (fast, fast_pods, *fast_logs) = results
    for name in ("arrival_s", "latency_s", "request_class", "batch_size", "padded_tokens", "batch_s"):
        assert np.array_equal(getattr(plain, name), getattr(fast, name)), name
    assert repr(list(plain.instances)) == repr(list(fast.instances))
    assert repr(list(plain_pods)) == repr(list(fast_pods))
    for ours, theirs in zip(plain_logs, fast_logs, strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert plain.until_s == fast.until_s


@settings(max_examples=30, deadline=None)
@given(traffic=traffic(), most=st.integers(1, 12), delay_s=st.sampled_from([0.0, 0.1, 0.25]))
def test_compiled_and_plain_python_cut_the_same_batches(traffic, most, delay_s):
    arrivals, _ = traffic
    cuts = []
    for kernels in (compiled.PLAIN, compiled.load()):
        room = kernels.tables.numbers(np.zeros(arrivals.size, dtype=np.int64))
        batches = kernels.cut(kernels.tables.numbers(arrivals), most, delay_s, room)
        cuts.append(list(room[:batches]))

    assert cuts[0] == cuts[1]
