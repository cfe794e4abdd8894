"""Reads model.safetensors into numpy arrays under DistilBERT's names, every shape checked before it is loaded.

A BERT encoder without a head (MiniLM, for instance) becomes DistilBERT exactly: the sequence is one segment, so row 0
of the token-type embeddings is a constant that folds into the position embeddings, and the pooler is not used.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from inference_service.prepare.errors import ModelFolderError
from inference_service.prepare.model_config import ModelConfig

Weights = Mapping[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]

_REMEDY = "save the model again with save_pretrained, or download it again"
_BERT_LAYER = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}


def encoder_shapes(config: ModelConfig) -> Shapes:
    """Names and shapes of DistilBERT's encoder; a linear layer's weight is [out, in]."""
    dim, hidden = config.dim, config.hidden_dim
    linear = {"attention.q_lin": (dim, dim), "attention.k_lin": (dim, dim), "attention.v_lin": (dim, dim)}
    linear |= {"attention.out_lin": (dim, dim), "ffn.lin1": (hidden, dim), "ffn.lin2": (dim, hidden)}
    shapes: Shapes = {
        "distilbert.embeddings.word_embeddings.weight": (config.vocab_size, dim),
        "distilbert.embeddings.position_embeddings.weight": (config.max_length, dim),
        "distilbert.embeddings.LayerNorm.weight": (dim,),
        "distilbert.embeddings.LayerNorm.bias": (dim,),
    }
    for index in range(config.layers):
        prefix = f"distilbert.transformer.layer.{index}"
        for part, shape in linear.items():
            shapes |= {f"{prefix}.{part}.weight": shape, f"{prefix}.{part}.bias": shape[:1]}
        for part in ("sa_layer_norm", "output_layer_norm"):
            shapes |= {f"{prefix}.{part}.weight": (dim,), f"{prefix}.{part}.bias": (dim,)}
    return shapes


def head_shapes(config: ModelConfig) -> Shapes:
    """Names and shapes of DistilBERT's classification head."""
    dim, labels = config.dim, len(config.labels)
    return {
        "pre_classifier.weight": (dim, dim),
        "pre_classifier.bias": (dim,),
        "classifier.weight": (labels, dim),
        "classifier.bias": (labels,),
    }


def read_classifier(folder: Path, config: ModelConfig) -> Weights:
    """All weights of a DistilBERT classifier.

    Raises:
        ModelFolderError: file missing or damaged, a tensor missing, of wrong shape or type, or not finite.
    """
    if config.layout != "distilbert":
        message = f"{folder}: a {config.layout!r} model is an encoder without DistilBERT's classification head"
        raise ModelFolderError(f"{message}; give the folder of a DistilBERT sequence classifier")
    return _read(folder, encoder_shapes(config) | head_shapes(config))


def read_bert_encoder(folder: Path, config: ModelConfig) -> Weights:
    """The encoder of a BERT-layout model under DistilBERT's names.

    Raises:
        ModelFolderError: file missing or damaged, a tensor missing, of wrong shape or type, or not finite.
    """
    names = {name: _bert_name(name) for name in encoder_shapes(config)}
    shapes = {names[name]: shape for name, shape in encoder_shapes(config).items()}
    segments = "embeddings.token_type_embeddings.weight"
    stored = _read(folder, {**shapes, segments: (2, config.dim)})
    weights = {name: stored[names[name]] for name in names}
    positions = "distilbert.embeddings.position_embeddings.weight"
    weights[positions] = weights[positions] + stored[segments][0]
    return weights


def _bert_name(name: str) -> str:
    layer = re.fullmatch(r"distilbert\.transformer\.layer\.(\d+)\.(.+)\.(weight|bias)", name)
    if layer is None:
        return name.removeprefix("distilbert.")
    return f"encoder.layer.{layer[1]}.{_BERT_LAYER[layer[2]]}.{layer[3]}"


def _read(folder: Path, shapes: Shapes) -> dict[str, NDArray[np.float32]]:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise ModelFolderError(_missing_file(folder))
    try:
        with safe_open(path, framework="np") as file:
            stored = set(file.keys())
            _check_layers(path, stored, shapes)
            return {name: _tensor(path, file, name, shape) for name, shape in shapes.items()}
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path} is damaged ({_one_line(error)}); {_REMEDY}") from error


def _missing_file(folder: Path) -> str:
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in folder.glob(pattern))
    if pickles:
        message = f"{folder} has {pickles[0]} but no model.safetensors; pickle files can run code and are not read"
        return f"{message}; save the model again with save_pretrained(..., safe_serialization=True)"
    if (folder / "model.safetensors.index.json").exists():
        return f"{folder}: weights split over several files are not supported; save them as one model.safetensors"
    return f"{folder / 'model.safetensors'} does not exist; {_REMEDY}"


def _check_layers(path: Path, stored: set[str], shapes: Shapes) -> None:
    """More layers in the file than in the configuration would be cut off silently otherwise."""
    numbered = re.compile(r"(.*\.layer\.)(\d+)\.")
    known = {found[0] for name in shapes if (found := numbered.match(name))}
    prefixes = {found[1] for name in shapes if (found := numbered.match(name))}
    for name in sorted(stored):
        found = numbered.match(name)
        if found and found[1] in prefixes and found[0] not in known:
            raise ModelFolderError(f"{path} has {name}, a layer that config.json does not count; {_REMEDY}")


def _tensor(path: Path, file: safe_open, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        view = file.get_slice(name)
    except SafetensorError as error:
        raise ModelFolderError(f"{path} has no tensor {name}; is it a sequence classifier? {_REMEDY}") from error
    found = tuple(view.get_shape())
    if found != shape:
        raise ModelFolderError(f"{path}: {name} has shape {list(found)}, config.json says {list(shape)}; {_REMEDY}")
    if view.get_dtype() not in {"F32", "F16", "BF16"}:
        raise ModelFolderError(f"{path}: {name} is {view.get_dtype()}, not F32, F16 or BF16; {_REMEDY}")
    tensor = np.asarray(file.get_tensor(name)).astype(np.float32)
    if not np.isfinite(tensor).all():
        raise ModelFolderError(f"{path}: {name} has values that are not finite; {_REMEDY}")
    return tensor


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
