"""From the setting `model` to a description (server process), a tokenizer (server) and a loaded runtime (workers).

Engines are imported here on demand, so the server process never holds one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_service.errors import StartError
from inference_service.inference import ModelDescription
from inference_service.runtimes import fake_runtime

if TYPE_CHECKING:
    from inference_service.runtimes.protocol import Runtime, Tokenizer
    from inference_service.settings import Settings

FAKE, DEMO = "fake", "demo"


def find_model(settings: Settings) -> Settings:
    """The same settings with the demo model's name replaced by its folder, prepared now if it is not there.

    Raises:
        StartError: the demo model could not be prepared.
    """
    if settings.model != DEMO:
        return settings
    folder = Path(settings.cache) / DEMO
    if not (folder / "manifest.json").exists():
        # A child process: what prepares a model (onnx, safetensors) has no place in a server's memory.
        command = [sys.executable, "-m", "inference_service.prepare", DEMO]
        if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
            raise StartError(f"the demo model could not be prepared into {folder}; the reason is above")
    return replace(settings, model=str(folder))


def describe_model(settings: Settings) -> ModelDescription:
    """Read the manifest (or know the fake).

    Raises:
        StartError: a missing or broken manifest, or a file that it names is missing.
    """
    if settings.model == FAKE:
        return ModelDescription(
            name=settings.model_name,
            platform=FAKE,
            precision="none",
            labels=fake_runtime.LABELS,
            vocab_size=fake_runtime.VOCAB_SIZE,
            max_length=fake_runtime.MAX_LENGTH,
            folder="",
        )
    folder = Path(settings.model)
    manifest = _read_manifest(folder)
    for name, size in _files(folder, manifest, settings.precision).items():
        _check_file(folder / name, size)
    return _description(settings, folder, manifest)


def _files(folder: Path, manifest: dict[str, Any], precision: str) -> dict[str, object]:
    """Name and size of the files that this precision needs; a graph's weights lie beside it."""
    try:
        sizes: dict[str, object] = {str(name): entry["bytes"] for name, entry in manifest["files"].items()}
        graph = graph_name(precision)
        return {
            name: sizes[name]
            for name in (graph, f"{graph}.data", "tokenizer.json")
            if name in sizes or "data" not in name
        }
    except (AttributeError, KeyError, TypeError) as error:
        message = f"{folder / 'manifest.json'}: must list its files with their sizes ({error!r})"
        raise StartError(f"{message}; prepare the model anew") from None


def _check_file(path: Path, expected: object) -> None:
    """Its size only: reading tens of megabytes for a digest would double the cold start."""
    if not path.is_file():
        raise StartError(f"{path}: is missing; make the folder anew with python -m inference_service.prepare")
    found = path.stat().st_size
    if expected != found:
        raise StartError(f"{path}: has {found} bytes, its manifest says {expected}; prepare the model anew")


def graph_name(precision: str) -> str:
    """File name of the graph of one precision."""
    return f"model.{precision}.onnx"


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        remedy = "give a folder made by python -m inference_service.prepare, or demo, or fake"
        raise StartError(f"{folder}: is no prepared model, it has no manifest.json; {remedy}") from None
    except (OSError, ValueError) as error:
        raise StartError(f"{path}: cannot be read ({error}); prepare the model anew") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != 1:
        raise StartError(f"{path}: schema must be 1; prepare the model anew with this version")
    return manifest


def _description(settings: Settings, folder: Path, manifest: dict[str, Any]) -> ModelDescription:
    try:
        labels = tuple(str(label) for label in manifest["labels"])
        vocab_size, max_length = int(manifest["vocab_size"]), int(manifest["max_length"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{folder / 'manifest.json'}: labels, vocab_size and max_length are needed ({error!r})"
        raise StartError(f"{message}; prepare the model anew") from None
    if len(labels) < 2 or vocab_size < 1 or max_length < 1:
        raise StartError(f"{folder / 'manifest.json'}: needs two labels, a vocabulary and a length; prepare it anew")
    return ModelDescription(
        name=settings.model_name,
        platform="onnxruntime",
        precision=settings.precision,
        labels=labels,
        vocab_size=vocab_size,
        max_length=max_length,
        folder=str(folder),
    )


def runtime_class(settings: Settings) -> type[Runtime]:
    """The class that runs this model, its engine imported."""
    if settings.model == FAKE:
        return fake_runtime.FakeRuntime
    from inference_service.runtimes.onnx_runtime import OnnxRuntime  # noqa: PLC0415  imported by the zygote only

    return OnnxRuntime


def load_runtime(settings: Settings) -> Runtime:
    """A loaded runtime that has answered once.

    Raises:
        StartError: the graph cannot be loaded or does not fit the manifest.
    """
    if settings.model == FAKE:
        return fake_runtime.FakeRuntime(settings)
    from inference_service.runtimes.onnx_runtime import OnnxRuntime  # noqa: PLC0415  imported by the zygote only

    description = describe_model(settings)
    return OnnxRuntime(Path(description.folder) / graph_name(settings.precision), len(description.labels))


def load_tokenizer(description: ModelDescription) -> Tokenizer:
    """The model's tokenizer.

    Raises:
        StartError: tokenizer.json cannot be read.
    """
    if description.platform == FAKE:
        return fake_runtime.FakeTokenizer()
    from inference_service.runtimes.text_tokens import TextTokenizer  # noqa: PLC0415  the fake needs no Rust library

    return TextTokenizer(Path(description.folder) / "tokenizer.json", description.max_length)
