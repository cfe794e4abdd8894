"""Which waiting requests a simulated server puts into its next batch: the server's own rule, written a second time.

The server's is inference_service/batching/policy.py; the planes share no code, so a contract test compares the two.
Called plain or compiled.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop
from typing import TYPE_CHECKING

from controller.performance_model.pod_state import Limits, Pod, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.serving_config import ServingConfig

PADDING_WORTH_A_CALL = 8
"""Padding, in tokens, that a work-conserving batch admits for one more request; the server's default."""


def choose(pod: Pod, requests: Sequence[Request], limits: Limits) -> int:
    """Return how many of a pod's queue form the next batch: its first and those nearest to it in length that fit.

    They are marked as chosen, unless it is all of them. The queue holds at least one request, the most urgent first.
    """
    most, budget, size = limits.max_batch_size, limits.batch_tokens, pod.queued
    if size == 1:
        return 1
    if size <= most:
        total = 0
        longest = 0
        row = pod.head
        for _ in range(size):
            request = requests[row]
            total += request.tokens
            longest = max(longest, request.tokens)
            row = request.following
        padding = size * longest - total
        if size * longest <= budget and (limits.max_queue_delay_s > 0 or padding <= PADDING_WORTH_A_CALL):
            return size
    return _fill(pod, requests, limits)


def is_full(chosen: int, waiting: int, limits: Limits) -> bool:
    """Whether a batch of `chosen` out of `waiting` requests leaves before its queue delay is over."""
    return chosen == limits.max_batch_size or chosen < waiting


def _fill(pod: Pod, requests: Sequence[Request], limits: Limits) -> int:
    most, budget, is_bounded = limits.max_batch_size, limits.batch_tokens, limits.max_queue_delay_s <= 0
    longest = requests[pod.head].tokens
    requests[pod.head].is_chosen = 1
    size = 1
    near = _nearest(pod, requests, limits)
    while size < most and len(near) > 0:
        row = heappop(near)[2]
        tokens = requests[row].tokens
        if (size + 1) * longest > budget:
            break
        grown = max(longest, tokens)
        added_padding = (size + 1) * grown - size * longest - tokens
        if (size + 1) * grown > budget or (is_bounded and added_padding > PADDING_WORTH_A_CALL):
            continue
        requests[row].is_chosen = 1
        size += 1
        longest = grown
    return size


def _nearest(pod: Pod, requests: Sequence[Request], limits: Limits) -> list[tuple[int, int, int]]:
    """Return a heap of (distance in length from the first, place, row) of the others in a queue."""
    first = requests[pod.head].tokens
    # What cannot join need not be sorted: a shorter one would be padded beyond the bound; a longer one lengthens
    # all, so the k-th may exceed its predecessor by bound / k, and bound (1 + 1/2 + …) < bound (1 + ln most).
    is_bounded = limits.max_queue_delay_s <= 0
    reach = PADDING_WORTH_A_CALL * (1 + math.log(limits.max_batch_size))
    near: list[tuple[int, int, int]] = []
    row = requests[pod.head].following
    for place in range(1, pod.queued):
        request = requests[row]
        excess = request.tokens - first
        if not is_bounded or -PADDING_WORTH_A_CALL <= excess <= reach:
            near.append((abs(excess), place, row))
        row = request.following
    heapify(near)
    return near


def choose_batch(lengths: Sequence[int], config: ServingConfig) -> list[int]:
    """Return positions of the requests that form the next batch, of some that wait.

    Args:
        lengths: tokens of each waiting request, the most urgent one first; at least one.
        config: gives batch size, token budget and, by its queue delay, whether padding is bounded.
    """
    requests = [Request(tokens=tokens, following=place) for place, tokens in enumerate(lengths, start=1)]
    limits = Limits(
        max_batch_size=config.max_batch_size,
        batch_tokens=config.batch_tokens,
        max_queue_delay_s=config.max_queue_delay_s,
    )
    chosen = choose(Pod(head=0, queued=len(requests)), requests, limits)
    return [k for k, request in enumerate(requests) if request.is_chosen or chosen == len(requests)]
