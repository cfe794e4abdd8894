"""Checks a folder's tokenizer against its configuration and returns it as the server wants it."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from inference_service.prepare.errors import ModelFolderError
from inference_service.prepare.model_config import ModelConfig

_REMEDY = "take tokenizer.json from the same model as the weights"
_LARGEST_BYTES = 64_000_000


def read_tokenizer(folder: Path, config: ModelConfig) -> Tokenizer:
    """Tokenizer of the folder, cutting at the model's maximum length and not padding: padding belongs to the batch.

    Raises:
        ModelFolderError: no tokenizer, a damaged one, one with ids that the model has no embedding for, or one that
            adds no special token in front.
    """
    path = folder / "tokenizer.json" if (folder / "tokenizer.json").exists() else folder / "vocab.txt"
    if not path.is_file():
        raise ModelFolderError(f"{folder} has neither tokenizer.json nor vocab.txt; {_REMEDY}")
    if path.stat().st_size > _LARGEST_BYTES:
        raise ModelFolderError(f"{path} is larger than {_LARGEST_BYTES} bytes, so it is no tokenizer; {_REMEDY}")
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.suffix == ".json" else _from_vocabulary(path)
        tokenizer.no_padding()
        tokenizer.enable_truncation(config.max_length)
        highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        special = len(tokenizer.encode("").ids)
    except Exception as error:  # the library has no narrower class
        reason = " ".join(str(error).split())[:200]
        raise ModelFolderError(f"{path} is not a tokenizer that can be read ({reason}); {_REMEDY}") from error
    if highest < 0 or highest >= config.vocab_size:
        message = f"{path} has token id {highest}, config.json has ids 0 to {config.vocab_size - 1}"
        raise ModelFolderError(f"{message}; {_REMEDY}")
    if not special:
        raise ModelFolderError(f"{path} adds no [CLS] token, whose vector the classifier reads; {_REMEDY}")
    return tokenizer


def _from_vocabulary(path: Path) -> Tokenizer:
    """WordPiece from a list of pieces, as BERT's own tokenizer does it."""
    settings = path.with_name("tokenizer_config.json")
    document: Any = json.loads(settings.read_text(encoding="utf-8")) if settings.exists() else {}
    lowercase = document.get("do_lower_case", True) if isinstance(document, dict) else True
    pieces = path.read_text(encoding="utf-8").splitlines()
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    wordpiece = BertWordPieceTokenizer(vocabulary, lowercase=bool(lowercase))
    return Tokenizer.from_str(wordpiece.to_str())
