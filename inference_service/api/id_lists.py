"""What V1 and V2 check alike: how many instances a call has, and token ids inside the vocabulary, 1 to max_length."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from inference_service.api.http_io import kind_of
from inference_service.errors import InvalidInputError, TooLargeError

if TYPE_CHECKING:
    from inference_service.inference import ModelDescription, TokenIds


MOST_INSTANCES = 1024
"""Instances of one call, as many as in the largest batch. They are decoded at once, and neighbours wait meanwhile."""


def check_count(count: int, where: str) -> None:
    """Refuse a call with too many instances, before any of them is looked at.

    Raises:
        TooLargeError: naming `where`, the number and the bound.
    """
    if count > MOST_INSTANCES:
        raise TooLargeError(f"{where} has {count} instances, a call takes {MOST_INSTANCES}; send several calls")


def shown(value: object) -> str:
    """A value as a message shows it: scalars themselves, all else by kind, since it may be as large as the body."""
    return repr(value)[:40] if isinstance(value, str | int | float | None) else kind_of(value)


def check_ids(value: object, where: str, model: ModelDescription) -> TokenIds:
    """The ids of one text.

    Raises:
        InvalidInputError: naming `where`, the rule and what came instead.
    """
    if not isinstance(value, list):
        raise InvalidInputError(f"{where} must be an array of token ids, not {kind_of(value)}")
    ids: list[Any] = value
    if not 1 <= len(ids) <= model.max_length:
        raise InvalidInputError(f"{where} has {len(ids)} token ids, the model takes 1 to {model.max_length}")
    if set(map(type, ids)) != {int}:  # bool is an int to isinstance
        position, wrong = next((i, each) for i, each in enumerate(ids) if type(each) is not int)
        raise InvalidInputError(f"{where}[{position}] must be a whole number, not {shown(wrong)}")
    if min(ids) < 0 or max(ids) >= model.vocab_size:
        position, wrong = next((i, each) for i, each in enumerate(ids) if not 0 <= each < model.vocab_size)
        raise InvalidInputError(f"{where}[{position}] is {wrong}, token ids are 0 to {model.vocab_size - 1}")
    return array("i", ids)
