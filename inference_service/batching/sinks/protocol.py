"""The seam behind the batcher: something that takes a batch when it has a free slot and answers it later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from inference_service.inference import BatchAnswer, TokenIds


class Sink(Protocol):
    """Local workers, or another service."""

    def has_free_slot(self) -> bool:
        """Whether `send` may be called now."""
        ...

    def on_free_slot(self, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever a slot becomes free."""
        ...

    def send(self, inputs: Sequence[TokenIds]) -> asyncio.Future[BatchAnswer]:
        """Take a free slot at once and compute one batch in it.

        Whoever cancels the future has given up on the slot's owner, which is then replaced.
        The future fails with WorkerDiedError when the worker ended before it answered, and with RuntimeFailedError
        when the network raised an error.
        """
        ...
