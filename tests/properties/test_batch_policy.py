"""Laws of the batch policy, for any queue."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_service.batching.length_groups import group_by_length
from inference_service.batching.policy import BatchLimits, decide


@dataclass(frozen=True, slots=True)
class Request:
    tokens: int
    arrived_s: float
    deadline_s: float


NOW_S = 100.0
requests = st.builds(
    lambda tokens, age_s, left_s: Request(tokens, NOW_S - age_s, NOW_S + left_s),
    st.integers(1, 512),
    st.floats(0, 10),
    st.floats(-1, 10),
)
queues = st.lists(requests, max_size=40)
limits = st.builds(BatchLimits, st.integers(1, 16), st.integers(1, 2048), st.sampled_from([0.0, 0.05, 5.0]))


def decide_now(queue, limits, *, has_free_worker=True):
    return decide(queue, NOW_S, limits, has_free_worker=has_free_worker)


@given(queues, limits, st.booleans())
def test_no_request_is_named_twice_and_none_that_does_not_exist(queue, limits, has_free_worker):
    verdict = decide_now(queue, limits, has_free_worker=has_free_worker)
    named = [*verdict.expired, *verdict.batch]
    assert len(set(named)) == len(named)
    assert set(named) <= set(range(len(queue)))


@given(queues, limits)
def test_a_batch_stays_inside_its_bounds(queue, limits):
    lengths = [queue[i].tokens for i in decide_now(queue, limits).batch]
    assert len(lengths) <= limits.max_batch_size
    assert len(lengths) <= 1 or len(lengths) * max(lengths) <= limits.batch_tokens


@given(queues, limits)
def test_exactly_the_requests_past_their_deadline_expire(queue, limits):
    expected = [i for i, request in enumerate(queue) if request.deadline_s <= NOW_S]
    assert list(decide_now(queue, limits).expired) == expected


@given(queues, limits)
def test_the_most_urgent_request_is_in_the_batch(queue, limits):
    verdict = decide_now(queue, limits)
    alive = [request.deadline_s for request in queue if request.deadline_s > NOW_S]
    assert not verdict.batch or min(alive) in [queue[i].deadline_s for i in verdict.batch]


@given(queues, limits)
def test_without_a_delay_a_free_worker_never_waits(queue, limits):
    verdict = decide_now(queue, BatchLimits(limits.max_batch_size, limits.batch_tokens, 0.0))
    assert bool(verdict.batch) == (len(verdict.expired) < len(queue))


@given(queues, limits)
def test_with_a_free_worker_nobody_waits_longer_than_the_delay(queue, limits):
    verdict = decide_now(queue, limits)
    ages_s = [NOW_S - request.arrived_s for request in queue if request.deadline_s > NOW_S]
    assert verdict.batch or all(age_s < limits.max_queue_delay_s for age_s in ages_s)


@given(queues, limits, st.booleans())
def test_something_wakes_the_batcher_when_requests_are_left_waiting(queue, limits, has_free_worker):
    verdict = decide_now(queue, limits, has_free_worker=has_free_worker)
    is_waiting = len(verdict.expired) < len(queue) and not verdict.batch
    assert (verdict.wake_s is not None) == is_waiting
    assert verdict.wake_s is None or verdict.wake_s > NOW_S


@given(queues, limits)
def test_a_busy_worker_gets_nothing(queue, limits):
    assert decide_now(queue, limits, has_free_worker=False).batch == ()


@given(queues, limits)
def test_repeated_decisions_serve_everybody_once(queue, limits):
    left = [request for request in queue if request.deadline_s > NOW_S]
    expected = sorted(map(id, left))
    served = []
    while left:
        batch = decide(
            left, NOW_S + 0.0, BatchLimits(limits.max_batch_size, limits.batch_tokens, 0.0), has_free_worker=True
        )
        served += [id(left[i]) for i in batch.batch]
        left = [request for i, request in enumerate(left) if i not in batch.batch]
    assert sorted(served) == expected


@given(
    st.lists(st.integers(1, 512), min_size=1, max_size=40), st.integers(1, 16), st.integers(1, 2048), st.integers(0, 64)
)
def test_added_padding_is_bounded(lengths, max_batch_size, batch_tokens, allowed):
    chosen = group_by_length(
        lengths, max_batch_size=max_batch_size, batch_tokens=batch_tokens, max_added_padding=allowed
    )
    sizes = [lengths[i] for i in chosen]
    padding = len(sizes) * max(sizes) - sum(sizes)
    assert padding <= allowed * (len(sizes) - 1)


def queue_of(*lengths, age_s=0.0, left_s=30.0):
    return [Request(tokens, NOW_S - age_s, NOW_S + left_s + i) for i, tokens in enumerate(lengths)]


def test_a_text_over_the_budget_goes_alone():
    verdict = decide_now(queue_of(500, 20, 20), BatchLimits(8, 128, 0.0))
    assert verdict.batch == (0,)


def test_a_batch_is_filled_with_the_nearest_lengths():
    verdict = decide_now(queue_of(30, 300, 31, 200, 29), BatchLimits(3, 512, 0.0))
    assert verdict.batch == (0, 2, 4)


@pytest.mark.parametrize(("age_s", "expected"), [(0.0, ()), (0.099, ()), (0.1, (0, 1)), (3.0, (0, 1))])
def test_with_a_delay_a_partial_batch_leaves_when_the_delay_is_over(age_s, expected):
    verdict = decide_now(queue_of(10, 400, age_s=age_s), BatchLimits(8, 4096, 0.1))
    assert verdict.batch == expected


def test_with_a_delay_a_full_batch_leaves_at_once():
    assert decide_now(queue_of(10, 400, 20), BatchLimits(3, 4096, 5.0)).batch == (0, 2, 1)


def test_with_a_delay_a_full_token_budget_leaves_at_once():
    assert decide_now(queue_of(100, 100, 100), BatchLimits(8, 250, 5.0)).batch == (0, 1)


def test_a_partial_batch_says_when_it_is_due():
    assert decide_now(queue_of(10, age_s=0.04), BatchLimits(8, 512, 0.1)).wake_s == pytest.approx(NOW_S + 0.06)
