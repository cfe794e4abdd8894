"""Writes a prepared model: both graphs, tokenizer and manifest, all or nothing."""

import contextlib
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from tokenizers import Tokenizer

from inference_service.prepare.errors import ModelFolderError, SourceError
from inference_service.prepare.manifest import Accuracy, write_manifest
from inference_service.prepare.model_config import ModelConfig
from inference_service.prepare.onnx_graph import FloatArithmetic, build_classifier
from inference_service.prepare.quantise import Int8Arithmetic
from inference_service.prepare.session import GraphRunner
from inference_service.prepare.weights import Weights

_ARITHMETIC = {"fp32": FloatArithmetic(), "int8": Int8Arithmetic()}
_LEAST_MAPPED_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Classifier:
    """All that a prepared model is made from."""

    name: str
    source: str
    config: ModelConfig
    weights: Weights
    """Encoder and head under DistilBERT's names."""
    tokenizer: Tokenizer


Runners = dict[str, GraphRunner]
"""The written graphs by precision."""


def write_model(
    target: Path, classifier: Classifier, measure: Callable[[Runners], Accuracy] | None = None
) -> dict[str, object]:
    """Write the folder under a temporary name, try both graphs, and rename it to `target`.

    Args:
        target: folder to create; an older prepared model there is replaced.
        classifier: what to write.
        measure: what the written graphs reach on labelled sentences, if there are any.

    Returns:
        The manifest.

    Raises:
        ModelFolderError: a graph cannot be run or gives no finite answer.
        SourceError: `target` is something else than a prepared model.
        OSError: the disk is full, or the folder cannot be written.
    """
    with new_folder(target) as folder:
        for precision, arithmetic in _ARITHMETIC.items():
            _save(
                build_classifier(classifier.config, classifier.weights, arithmetic), folder / f"model.{precision}.onnx"
            )
        classifier.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        runners = {precision: GraphRunner(folder / f"model.{precision}.onnx") for precision in _ARITHMETIC}
        for precision, runner in runners.items():
            _try(precision, runner, classifier)
        accuracy = measure(runners) if measure else None
        return write_manifest(
            folder, classifier.config, name=classifier.name, source=classifier.source, accuracy=accuracy
        )


@contextlib.contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A hidden folder beside `target` that becomes `target` at the end, or disappears when the block fails.

    Raises:
        SourceError: `target` exists, is not empty and is no prepared model: it is not ours to replace.
    """
    if target.exists() and not (target / "manifest.json").exists() and not _is_empty_folder(target):
        raise SourceError(f"{target} exists and is no prepared model, so it is not replaced; give another --out")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", ignore_cleanup_errors=True
    ) as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        yield folder
        if target.exists():
            # The old model leaves in one step and the new one comes in one step; the old one goes with `scratch`.
            target.rename(Path(scratch) / "old")
        folder.rename(target)


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph and, beside it, its weights.

    Weights in a file of their own are mapped into memory and not copied: the small model opens in 26 ms instead of 60,
    and processes share the pages.
    """
    weights = path.with_name(f"{path.name}.data")
    onnx.save_model(model, path, save_as_external_data=True, location=weights.name, size_threshold=_LEAST_MAPPED_BYTES)
    if weights.exists():
        # onnx makes this one file readable for its owner only; in a container the server is somebody else.
        weights.chmod(path.stat().st_mode)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _try(precision: str, runner: GraphRunner, classifier: Classifier) -> None:
    """Weights can be finite each and still overflow together."""
    logits = runner.run([classifier.tokenizer.encode("one text to try the model with").ids, [0]])
    if not np.isfinite(logits).all():
        message = f"the {precision} graph of {classifier.source} gives answers that are not finite"
        raise ModelFolderError(f"{message}; its weights are damaged, download them again")
