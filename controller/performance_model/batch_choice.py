"""Which waiting requests a simulated server puts into its next batch: the server's own rule, written a second time.

The server's is inference_service/batching/policy.py; the planes share no code, so a contract test compares the two.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controller.domain.serving_config import ServingConfig

PADDING_WORTH_A_CALL = 8
"""Padding, in tokens, that a work-conserving batch admits for one more request; the server's default."""


def choose_batch(lengths: Sequence[int], config: ServingConfig) -> list[int]:
    """Return positions of the first request and of those nearest to it in length that fit.

    Args:
        lengths: tokens of each waiting request, the most urgent one first; at least one.
        config: gives batch size, token budget and, by its queue delay, whether padding is bounded.
    """
    size, most, budget = len(lengths), config.max_batch_size, config.batch_tokens
    if size == 1 or most == 1:
        return [0]
    bound = None if config.max_queue_delay_s > 0 else PADDING_WORTH_A_CALL
    longest = max(lengths)
    if size <= most and size * longest <= budget and (bound is None or size * longest - sum(lengths) <= bound):
        return list(range(size))
    return _fill(lengths, most=most, budget=budget, bound=bound)


def _fill(lengths: Sequence[int], *, most: int, budget: int, bound: int | None) -> list[int]:
    first = longest = lengths[0]
    near = range(1, len(lengths))
    if bound is not None:
        # What cannot join need not be sorted: a shorter one would be padded beyond the bound; a longer one lengthens
        # all, so the k-th may exceed its predecessor by bound / k, and bound (1 + 1/2 + …) < bound (1 + ln most).
        reach = bound * (1 + math.log(most))
        near = [i for i in near if -bound <= lengths[i] - first <= reach]
    chosen = [0]
    for index in sorted(near, key=lambda i: abs(lengths[i] - first)):
        size = len(chosen) + 1
        if size > most or size * longest > budget:
            break
        grown = max(longest, lengths[index])
        added_padding = size * grown - (size - 1) * longest - lengths[index]
        if size * grown > budget or (bound is not None and added_padding > bound):
            continue
        chosen.append(index)
        longest = grown
    return chosen


def is_full(chosen: int, waiting: int, config: ServingConfig) -> bool:
    """Whether a batch of `chosen` out of `waiting` requests leaves before its queue delay is over."""
    return chosen == config.max_batch_size or chosen < waiting
