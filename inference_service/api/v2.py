"""The Open Inference Protocol (KServe V2) in JSON: named tensors in, `label` and `probabilities` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference_service.api.http_io import Response, json_response, kind_of, parse_json
from inference_service.api.id_lists import check_count, check_ids, shown
from inference_service.errors import InvalidInputError
from inference_service.inference import InferenceRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference_service.inference import ModelDescription, Prediction, TokenIds

OUTPUTS = ("label", "probabilities")
_ID_TYPES = ("INT32", "INT64")


def decode(body: bytes, model: ModelDescription) -> InferenceRequest:
    """The request in a body: tensor `text`, or `input_ids` with an optional `attention_mask`.

    Raises:
        InvalidInputError: naming the field.
    """
    document = parse_json(body)
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidInputError(f'"id" must be a string, not {kind_of(request_id)}')
    tensors = _tensors(document)
    outputs = _wanted_outputs(document)
    if "text" in tensors:
        if "input_ids" in tensors:
            raise InvalidInputError('"inputs" has both text and input_ids; send one')
        return InferenceRequest(_texts(tensors["text"]), request_id, outputs)
    if "input_ids" not in tensors:
        raise InvalidInputError('"inputs" has neither a tensor "text" nor one "input_ids"')
    return InferenceRequest(_id_rows(tensors, model), request_id, outputs)


def _tensors(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InvalidInputError('"inputs" must be an array of tensors with name, shape, datatype and data')
    tensors: dict[str, dict[str, Any]] = {}
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, dict):
            raise InvalidInputError(f"inputs[{position}] must be an object, not {kind_of(tensor)}")
        name = tensor.get("name")
        if name not in ("text", "input_ids", "attention_mask"):
            raise InvalidInputError(
                f"inputs[{position}].name must be text, input_ids or attention_mask, not {shown(name)}"
            )
        if name in tensors:
            raise InvalidInputError(f"inputs has {name} twice")
        tensors[name] = tensor
    return tensors


def _wanted_outputs(document: dict[str, Any]) -> tuple[str, ...]:
    outputs = document.get("outputs", [])
    if not isinstance(outputs, list):
        raise InvalidInputError(f'"outputs" must be an array, not {kind_of(outputs)}')
    names: list[str] = []
    for position, output in enumerate(outputs):
        name = output.get("name") if isinstance(output, dict) else None
        if name not in OUTPUTS:
            raise InvalidInputError(f"outputs[{position}].name must be label or probabilities")
        names.append(name)
    return tuple(names)


def _shape(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    name = tensor["name"]
    if not isinstance(shape, list) or len(shape) not in (1, 2):
        what = f"{len(shape)} of them" if isinstance(shape, list) else shown(shape)
        raise InvalidInputError(f"{name}.shape must be an array of one or two whole numbers, not {what}")
    for edge in shape:
        if type(edge) is not int or edge < 1:
            raise InvalidInputError(f"{name}.shape must hold whole numbers of at least 1, not {shown(edge)}")
    check_count(shape[0], name)
    return shape


def _data(tensor: dict[str, Any]) -> list[Any]:
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidInputError(f"{tensor['name']}.data must be an array, not {kind_of(data)}")
    return data


def _texts(tensor: dict[str, Any]) -> list[str]:
    if tensor.get("datatype") != "BYTES":
        raise InvalidInputError(f"text.datatype must be BYTES, not {shown(tensor.get('datatype'))}")
    shape, data = _shape(tensor), _data(tensor)
    if len(shape) == 2 and shape[1] != 1:
        raise InvalidInputError(f"text.shape must be [n] or [n, 1], not {shape}")
    if len(shape) == 2 and len(data) == shape[0] and all(isinstance(row, list) and len(row) == 1 for row in data):
        data = [row[0] for row in data]
    if len(data) != shape[0]:
        raise InvalidInputError(f"text.data has {len(data)} elements, its shape {shape} says {shape[0]}")
    for position, text in enumerate(data):
        if not isinstance(text, str):
            raise InvalidInputError(f"text.data[{position}] must be a string, not {kind_of(text)}")
    return data


def _id_rows(tensors: dict[str, dict[str, Any]], model: ModelDescription) -> list[TokenIds]:
    rows = _rows(tensors["input_ids"])
    masks = _rows(tensors["attention_mask"]) if "attention_mask" in tensors else None
    if masks is not None and (len(masks) != len(rows) or len(masks[0]) != len(rows[0])):
        raise InvalidInputError("attention_mask.shape must equal input_ids.shape")
    if masks is not None:
        rows = [row[: _mask_length(mask, i)] for i, (row, mask) in enumerate(zip(rows, masks, strict=True))]
    return [check_ids(row, f"input_ids.data[{i}]", model) for i, row in enumerate(rows)]


def _rows(tensor: dict[str, Any]) -> list[list[Any]]:
    """The n rows of a tensor of shape [n, L], whose data may be flat or nested."""
    name = tensor["name"]
    if tensor.get("datatype") not in _ID_TYPES:
        raise InvalidInputError(f"{name}.datatype must be INT32 or INT64, not {shown(tensor.get('datatype'))}")
    shape, data = _shape(tensor), _data(tensor)
    if len(shape) != 2:
        raise InvalidInputError(f"{name}.shape must be [n, length], not {shape}")
    count, length = shape
    if len(data) == count and all(isinstance(row, list) and len(row) == length for row in data):
        return data
    if len(data) != count * length:
        raise InvalidInputError(f"{name}.data has {len(data)} elements, its shape {shape} says {count * length}")
    return [data[begin : begin + length] for begin in range(0, count * length, length)]


def _mask_length(mask: list[Any], position: int) -> int:
    """Tokens that count; the padding is on the right, as the network takes it."""
    length = sum(1 for value in mask if type(value) is int and value == 1)
    if mask != [1] * length + [0] * (len(mask) - length) or any(type(value) is not int for value in mask):
        raise InvalidInputError(f"attention_mask.data[{position}] must be ones followed by zeros")
    if length == 0:
        raise InvalidInputError(f"attention_mask.data[{position}] has no ones: the text would be empty")
    return length


def encode(predictions: Sequence[Prediction], request: InferenceRequest, model: ModelDescription) -> Response:
    """The answer with the wanted outputs, all of them when none were named."""
    count, width = len(predictions), len(model.labels)
    wanted = request.outputs or OUTPUTS
    outputs: list[dict[str, object]] = []
    if "label" in wanted:
        labels = [each.label for each in predictions]
        outputs.append({"name": "label", "datatype": "BYTES", "shape": [count], "data": labels})
    if "probabilities" in wanted:
        flat = [value for each in predictions for value in each.probabilities]
        outputs.append({"name": "probabilities", "datatype": "FP32", "shape": [count, width], "data": flat})
    answer: dict[str, object] = {"model_name": model.name, "outputs": outputs}
    if request.request_id is not None:
        answer["id"] = request.request_id
    return json_response(answer)
