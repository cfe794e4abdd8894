"""The seam to the network: token ids in, probabilities out. Each worker process holds one Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from inference_service.inference import TokenIds


class Runtime(Protocol):
    """A loaded network. Not called from two threads."""

    fork_safe: ClassVar[bool]
    """True: loaded once in the zygote and inherited by forked workers. False: each worker loads for itself."""

    def predict(self, token_ids: TokenIds, lengths: Sequence[int]) -> array[float]:
        """Probabilities of each label for each text, flat, shape (len(lengths) × n_labels).

        Args:
            token_ids: all texts one after the other, without padding.
            lengths: tokens of each text; they add up to len(token_ids).
        """
        ...


class Tokenizer(Protocol):
    """Text to token ids, special tokens included, never longer than the model takes."""

    def encode(self, text: str) -> TokenIds:
        """Token ids of one text."""
        ...
