"""A runtime without a network: known service times and known answers, no files.

Tests, load tests and rehearsals use it. The label is 1 when the sum of the token ids is odd, with probability 0.75.
"""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, ClassVar
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference_service.inference import TokenIds
    from inference_service.settings import Settings

LABELS = ("negative", "positive")
VOCAB_SIZE = 30_522
MAX_LENGTH = 512
_CLS, _SEP, _FIRST_WORD = 101, 102, 1000


class FakeRuntime:
    """Takes `fixed_s + per_batch_s + per_token_s × padded tokens` for a batch, by sleeping or by computing."""

    fork_safe: ClassVar[bool] = True

    def __init__(self, settings: Settings) -> None:
        self._per_batch_s = settings.fake_fixed_s + settings.fake_per_batch_s
        self._per_token_s = settings.fake_per_token_s
        self._busy = bool(settings.fake_busy)

    def predict(self, token_ids: TokenIds, lengths: Sequence[int]) -> array[float]:
        """Flat probabilities, shape (len(lengths) × 2): 0.75 for the label that the ids' sum is odd or even to."""
        self._spend(self._per_batch_s + self._per_token_s * len(lengths) * max(lengths))
        flat = array("f")
        begin = 0
        for length in lengths:
            is_odd = sum(token_ids[begin : begin + length]) % 2
            flat.extend((0.25, 0.75) if is_odd else (0.75, 0.25))
            begin += length
        return flat

    def _spend(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if not self._busy:
            time.sleep(seconds)
            return
        until_s = time.process_time() + seconds
        while time.process_time() < until_s:
            pass


class FakeTokenizer:
    """One token a word between [CLS] and [SEP]; the id is a hash of the word, so the same text gives the same ids."""

    def encode(self, text: str) -> TokenIds:
        """Token ids, at most 512."""
        words = text.split(maxsplit=MAX_LENGTH - 2)[: MAX_LENGTH - 2]
        span = VOCAB_SIZE - _FIRST_WORD
        # surrogatepass: JSON may carry a lone surrogate, which is no reason to fail.
        ids = [_FIRST_WORD + crc32(word.encode("utf-8", "surrogatepass")) % span for word in words]
        return array("i", [_CLS, *ids, _SEP])
