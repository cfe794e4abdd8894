"""The manifest of a prepared model: what it is, where it came from, and the digest of every file."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from inference_service.prepare.model_config import ModelConfig

_SCHEMA = 1
_RECIPE = 1
"""Raised with every change of what `prepare` writes for the same source, so that a cached model is made anew."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What the two precisions reach on sentences with a known label; shares in [0, 1]."""

    fp32: float
    int8: float
    agreement: float
    """Share of sentences to which both give the same label."""
    sentences: int
    what: str


def write_manifest(
    folder: Path, config: ModelConfig, *, name: str, source: str, accuracy: Accuracy | None
) -> dict[str, object]:
    """Write `manifest.json` over the files that lie in the folder, and return its content."""
    document: dict[str, object] = {
        "schema": _SCHEMA,
        "recipe": _RECIPE,
        "name": name,
        "architecture": "distilbert",
        "source": source,
        "dim": config.dim,
        "layers": config.layers,
        "heads": config.heads,
        "vocab_size": config.vocab_size,
        "max_length": config.max_length,
        "labels": list(config.labels),
        "files": {path.name: _describe(path) for path in sorted(folder.iterdir())},
        "accuracy": asdict(accuracy) if accuracy else None,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    (folder / "manifest.json").write_text(f"{text}\n", encoding="utf-8")
    return document


def is_current(folder: Path) -> bool:
    """Whether the folder holds a complete model as this version would write it."""
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        complete = all((folder / name).stat().st_size == entry["bytes"] for name, entry in document["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return complete and (document.get("schema"), document.get("recipe")) == (_SCHEMA, _RECIPE)


def read_manifest(folder: Path) -> dict[str, object]:
    """The manifest of a folder that `is_current`."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def _describe(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
