"""Text to token ids by the model's own tokenizer.json, in the server process: lengths are needed before batching."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from inference_service.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

    from inference_service.inference import TokenIds

LONGEST_TEXT = 8192
"""Characters of a text that are read: 512 tokens of prose are about 2500. These take 5 ms, or 30 ms if they are endless
words without a vowel, and neighbours wait for them."""


class TextTokenizer:
    """A WordPiece tokenizer that cuts after `max_length` tokens, [CLS] and [SEP] included."""

    def __init__(self, path: Path, max_length: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001  the library raises bare Exception
            raise StartError(f"{path}: cannot be read ({error}); prepare the model anew") from None
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()

    def encode(self, text: str) -> TokenIds:
        """Token ids of the text's first tokens."""
        # Lone surrogates are legal in JSON and in no UTF-8 library.
        clean = text[:LONGEST_TEXT].encode("utf-8", "replace").decode()
        return array("i", self._tokenizer.encode(clean).ids)
