"""Nouns of serving: the model as clients see it, a request, its items and what comes back for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

TokenIds: TypeAlias = "array[int]"
"""Token ids of one text as 32-bit integers (array type code "i"), special tokens included."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the server knows of its model without loading it."""

    name: str
    """The name in the URLs."""
    platform: str
    """What runs it: "onnxruntime" or "fake"."""
    precision: str
    """int8, fp32, or "none" for the fake."""
    labels: tuple[str, ...]
    """Classes, in the order of the network's outputs."""
    vocab_size: int
    """Token ids are 0 to vocab_size - 1."""
    max_length: int
    """Longest input in tokens; longer texts are cut, longer id lists are refused."""
    folder: str
    """Where its files lie; empty for the fake."""


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One decoded API request: texts or token ids, one for each instance."""

    inputs: Sequence[str | TokenIds]
    request_id: str | None = None
    outputs: tuple[str, ...] = ()
    """Names of the wanted outputs (V2); empty: all."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one instance."""

    label: str
    probabilities: Sequence[float]
    """One for each label, in the order of the labels."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What a sink returns for a batch."""

    probabilities: Sequence[float]
    """Flat, shape (batch_size × n_labels)."""
    service_s: float
    """Service time as the worker measured it."""
