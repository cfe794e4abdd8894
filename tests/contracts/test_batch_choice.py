"""The server's batch policy and the simulator's are written twice; they must choose the same batches."""

from dataclasses import dataclass

import pytest

from controller.domain.serving_config import ServingConfig
from controller.performance_model.batch_choice import PADDING_WORTH_A_CALL, choose_batch, is_full
from inference_service.batching import policy


@dataclass
class Waiting:
    tokens: int
    arrived_s: float
    deadline_s: float


def test_the_padding_bound_is_the_servers():
    assert PADDING_WORTH_A_CALL == policy.PADDING_WORTH_A_CALL


@pytest.mark.parametrize("delay_s", [0.0, 0.5])
def test_the_simulator_chooses_the_batches_that_the_server_chooses(delay_s, rng):
    for _ in range(300):
        config = ServingConfig(
            max_batch_size=int(rng.integers(1, 12)),
            batch_tokens=int(rng.integers(16, 800)),
            max_queue_delay_s=delay_s,
        )
        lengths = rng.integers(1, int(rng.integers(2, 200)), size=int(rng.integers(1, 30))).tolist()
        queue = [Waiting(tokens, float(i), 1000.0 + i) for i, tokens in enumerate(lengths)]
        limits = policy.BatchLimits(config.max_batch_size, config.batch_tokens, config.max_queue_delay_s)

        chosen = choose_batch(lengths, config)
        forced = policy.decide(queue, 900.0, limits, has_free_worker=True).batch
        early = policy.decide(queue, 0.1, limits, has_free_worker=True).batch

        assert sorted(chosen) == sorted(forced)
        if delay_s:
            assert bool(early) == is_full(len(chosen), len(lengths), config)
