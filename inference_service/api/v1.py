"""KServe's V1 protocol: {"instances": […]} in, {"predictions": […]} out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_service.api.http_io import Response, json_response, kind_of, parse_json
from inference_service.api.id_lists import check_count, check_ids
from inference_service.errors import InvalidInputError
from inference_service.inference import InferenceRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference_service.inference import ModelDescription, Prediction, TokenIds


def decode(body: bytes, model: ModelDescription) -> InferenceRequest:
    """The request in a body; each instance is a text, {"text": …} or {"input_ids": […]}.

    Raises:
        InvalidInputError: naming the field.
    """
    document = parse_json(body)
    if "instances" not in document:
        raise InvalidInputError('"instances" is missing: an array of texts, {"text": …} or {"input_ids": […]}')
    instances = document["instances"]
    if not isinstance(instances, list):
        raise InvalidInputError(f'"instances" must be an array, not {kind_of(instances)}')
    values: list[Any] = instances
    if not values:
        raise InvalidInputError('"instances" is empty; send at least one')
    check_count(len(values), '"instances"')
    return InferenceRequest([_decode_instance(value, i, model) for i, value in enumerate(values)])


def _decode_instance(value: object, position: int, model: ModelDescription) -> str | TokenIds:
    if isinstance(value, str):
        return value
    where = f"instances[{position}]"
    if not isinstance(value, dict):
        raise InvalidInputError(f'{where} must be a text, {{"text": …}} or {{"input_ids": […]}}, not {kind_of(value)}')
    instance: dict[str, Any] = value
    if "input_ids" in instance and "text" in instance:
        raise InvalidInputError(f"{where} has both text and input_ids; send one")
    if "input_ids" in instance:
        return check_ids(instance["input_ids"], f"{where}.input_ids", model)
    text = instance.get("text")
    if not isinstance(text, str):
        what = (
            "has neither text nor input_ids"
            if "text" not in instance
            else f"text must be a string, not {kind_of(text)}"
        )
        raise InvalidInputError(f"{where} {what}" if "text" not in instance else f"{where}.{what}")
    return text


def encode(predictions: Sequence[Prediction], request: InferenceRequest, model: ModelDescription) -> Response:
    """The answer: label and probabilities by label for each instance, in order."""
    del request
    rows = [
        {"label": each.label, "probabilities": dict(zip(model.labels, each.probabilities, strict=True))}
        for each in predictions
    ]
    return json_response({"predictions": rows})
