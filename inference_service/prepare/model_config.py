"""Reads config.json of a DistilBERT classifier or of a BERT encoder into one frozen value, checking every number."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inference_service.prepare.errors import ModelFolderError

Layout = Literal["distilbert", "bert"]

_REMEDY = "give the folder of a DistilBERT sequence classifier as transformers saves it"
_LARGEST_CONFIG_BYTES = 1_000_000
# A wrong number must fail here and not when gigabytes are allocated for it.
_LARGEST = {"dim": 4096, "hidden_dim": 16384, "layers": 48, "heads": 64, "vocab_size": 1_000_000, "max_length": 8192}
_KEYS: dict[Layout, dict[str, str]] = {
    "distilbert": {
        "dim": "dim",
        "hidden_dim": "hidden_dim",
        "layers": "n_layers",
        "heads": "n_heads",
        "vocab_size": "vocab_size",
        "max_length": "max_position_embeddings",
        "activation": "activation",
    },
    "bert": {
        "dim": "hidden_size",
        "hidden_dim": "intermediate_size",
        "layers": "num_hidden_layers",
        "heads": "num_attention_heads",
        "vocab_size": "vocab_size",
        "max_length": "max_position_embeddings",
        "activation": "hidden_act",
    },
}
_LARGEST_LABELS = 1000


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The shape of an encoder with a classification head."""

    layout: Layout
    """Names of the weights in the source; both become the same DistilBERT graph."""
    dim: int
    """Width of a token's vector."""
    hidden_dim: int
    """Width inside the feed-forward block."""
    layers: int
    heads: int
    vocab_size: int
    max_length: int
    """Rows of the position embeddings: the longest input in tokens."""
    labels: tuple[str, ...]
    """Names of the classes in the order of the logits."""
    layer_norm_eps: float = 1e-12
    """DistilBERT fixes 1e-12; BERT states it in its configuration."""

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            message = f"config.json: the width {self.dim} is not divisible by the number of heads {self.heads}"
            raise ModelFolderError(f"{message}; {_REMEDY}")


def read_config(folder: Path) -> ModelConfig:
    """Read and check `config.json`.

    Raises:
        ModelFolderError: missing, not JSON, of another architecture, or a number of wrong type or out of range.
    """
    return parse_config(_read_json_object(folder / "config.json"))


def parse_config(document: Mapping[str, Any]) -> ModelConfig:
    """Turn the content of a `config.json` into a ModelConfig.

    Raises:
        ModelFolderError: another architecture, or a number of wrong type or out of range.
    """
    layout = document.get("model_type")
    if not isinstance(layout, str) or layout not in _KEYS:
        raise ModelFolderError(f"config.json: model_type {layout!r} is not supported; {_REMEDY}")
    keys = _KEYS[layout]
    activation = document.get(keys["activation"], "gelu")
    if activation != "gelu":
        message = f"config.json: {keys['activation']} {activation!r} is not supported, only the exact 'gelu'"
        raise ModelFolderError(f"{message}; {_REMEDY}")
    positions = document.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise ModelFolderError(f"config.json: position_embedding_type {positions!r} is not 'absolute'; {_REMEDY}")
    numbers = {name: _integer(document, keys[name], _LARGEST[name]) for name in _LARGEST}
    eps = 1e-12 if layout == "distilbert" else _epsilon(document)
    return ModelConfig(layout=layout, labels=_labels(document), layer_norm_eps=eps, **numbers)


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ModelFolderError(
                f"{path} is larger than {_LARGEST_CONFIG_BYTES} bytes, so it is no config; {_REMEDY}"
            )
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFolderError(f"{path}: {error.strerror or error}; {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFolderError(f"{path} is not valid JSON ({type(error).__name__}); {_REMEDY}") from error
    if not isinstance(document, dict):
        raise ModelFolderError(f"{path} must hold a JSON object, not {type(document).__name__}; {_REMEDY}")
    return document


def _integer(document: Mapping[str, Any], key: str, largest: int) -> int:
    value = document.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise ModelFolderError(f"config.json: {key} must be an integer from 1 to {largest}, not {value!r}; {_REMEDY}")
    return value


def _epsilon(document: Mapping[str, Any]) -> float:
    value = document.get("layer_norm_eps", 1e-12)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise ModelFolderError(f"config.json: layer_norm_eps must lie in (0, 1), not {value!r}; {_REMEDY}")
    return float(value)


def _labels(document: Mapping[str, Any]) -> tuple[str, ...]:
    kind = document.get("problem_type") or "single_label_classification"
    if kind != "single_label_classification":
        message = f"config.json: problem_type {kind!r} is not supported: probabilities come from one softmax"
        raise ModelFolderError(f"{message}; {_REMEDY}")
    # transformers leaves id2label out when there are two classes without names.
    names = document.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    expected = {str(index) for index in range(len(names))}
    if not isinstance(names, dict) or set(names) != expected or not 2 <= len(names) <= _LARGEST_LABELS:
        message = f"config.json: id2label must name 2 to {_LARGEST_LABELS} classes with the keys 0, 1, 2 and so on"
        raise ModelFolderError(f"{message}; {_REMEDY}")
    labels = tuple(names[str(index)] for index in range(len(names)))
    if not all(isinstance(label, str) and label for label in labels) or len(set(labels)) != len(labels):
        raise ModelFolderError(f"config.json: the labels in id2label must be different, non-empty texts; {_REMEDY}")
    return labels
