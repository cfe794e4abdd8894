"""A queued request, and the batch that some of them form: merged for the worker, split again afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference_service.inference import Prediction

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from inference_service.inference import BatchAnswer, TokenIds


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One instance that waits for its answer. Mutable: it is the record of one life, not a value."""

    token_ids: TokenIds
    arrived_s: float
    """Monotonic clock of the server."""
    deadline_s: float
    """Same clock; from here on it is not worth computing."""
    answer: asyncio.Future[Prediction]
    tokens: int = field(init=False)
    is_retried: bool = False
    """True after its first batch was lost."""

    def __post_init__(self) -> None:
        self.tokens = len(self.token_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Requests that are computed together."""

    requests: Sequence[QueuedRequest]

    @property
    def size(self) -> int:
        """Number of requests."""
        return len(self.requests)

    @property
    def tokens(self) -> int:
        """Useful tokens."""
        return sum(request.tokens for request in self.requests)

    @property
    def padded_tokens(self) -> int:
        """Tokens that are computed: the size times the longest text."""
        return len(self.requests) * max(request.tokens for request in self.requests)

    def split(self, answer: BatchAnswer, labels: Sequence[str]) -> list[Prediction]:
        """One prediction for each request, in order."""
        width = len(labels)
        flat = answer.probabilities
        rows = [flat[begin : begin + width] for begin in range(0, width * len(self.requests), width)]
        return [Prediction(labels[_argmax(row)], row) for row in rows]


def _argmax(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)
