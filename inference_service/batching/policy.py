"""BatchPolicy: given what waits and the time, which requests form the next batch, or until when to wait (pure).

With a queue delay of 0 the policy is work-conserving: a free worker takes what is queued at once, so there is no timer
to pay for at low load. With a positive delay the rule of BATCH (Ali et al. 2020) holds: a batch leaves when it is
full, B requests or its token budget, or T after the first of its requests arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference_service.batching.length_groups import group_by_length

if TYPE_CHECKING:
    from collections.abc import Sequence

PADDING_WORTH_A_CALL = 8
"""Padding, in tokens, that costs about as much as a call of its own; a work-conserving batch admits no more for one
request. Measured with ONNX Runtime int8 on one core: a call 1.0 to 1.3 ms, a token 0.17 to 0.22 ms, both with the
demo's network and with one three times as large, so six tokens; a little more keeps the number of calls down."""


class Waiting(Protocol):
    """What the policy sees of a queued request. Times are seconds on one monotonic clock."""

    @property
    def tokens(self) -> int:
        """Length."""
        ...

    @property
    def arrived_s(self) -> float:
        """When it joined the queue."""
        ...

    @property
    def deadline_s(self) -> float:
        """From when on it is not worth computing."""
        ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The hot settings that the policy obeys."""

    max_batch_size: int
    batch_tokens: int
    max_queue_delay_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Positions in the queue that was given."""

    expired: tuple[int, ...] = ()
    """Requests whose deadline has passed: answer them with an error, whatever else is said."""
    batch: tuple[int, ...] = ()
    """Requests to send to the free worker now; empty: none."""
    wake_s: float | None = None
    """When to ask again if nothing else happens before; None: when something happens."""


def decide(queue: Sequence[Waiting], now_s: float, limits: BatchLimits, *, has_free_worker: bool) -> Verdict:
    """What to do with the queue at `now_s`.

    The batch always holds the request with the earliest deadline. Deadlines are fixed when a request arrives and those
    of later ones lie later, so every request becomes the most urgent one: nobody starves.
    """
    expired = tuple(i for i, request in enumerate(queue) if request.deadline_s <= now_s)
    by_deadline = sorted(
        (i for i, request in enumerate(queue) if request.deadline_s > now_s), key=lambda i: queue[i].deadline_s
    )
    if not by_deadline:
        return Verdict(expired)
    first_deadline_s = queue[by_deadline[0]].deadline_s
    if not has_free_worker:
        return Verdict(expired, wake_s=first_deadline_s)
    delay_s = limits.max_queue_delay_s
    chosen = group_by_length(
        [queue[i].tokens for i in by_deadline],
        max_batch_size=limits.max_batch_size,
        batch_tokens=limits.batch_tokens,
        max_added_padding=None if delay_s > 0 else PADDING_WORTH_A_CALL,
    )
    batch = tuple(by_deadline[i] for i in chosen)
    if delay_s > 0:
        due_s = min(queue[i].arrived_s for i in by_deadline) + delay_s
        is_full = len(batch) == limits.max_batch_size or len(batch) < len(by_deadline)
        if not is_full and now_s < due_s:
            return Verdict(expired, wake_s=min(due_s, first_deadline_s))
    return Verdict(expired, batch)
