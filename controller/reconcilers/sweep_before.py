"""What the targets of a Sweep had before it, as the text of an annotation: whoever comes after us can put it back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Before:
    """What a service had before the sweep, as far as its own documents do not say it.

    Attributes:
        container_concurrency: of the template, where the sweep changes it.
        hot: what servers were told by a tuning; None where nothing was.
        owners: of the ConfigMap that told them.
    """

    container_concurrency: int | None = None
    hot: Mapping[str, Any] | None = None
    owners: Sequence[Mapping[str, Any]] = ()

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"containerConcurrency": self.container_concurrency, "hot": self.hot, "owners": list(self.owners)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Before:
        """Read what `to_document` returned."""
        return cls(document.get("containerConcurrency"), document.get("hot"), tuple(document.get("owners") or ()))


def before_text(settings: Iterable[str], targets: Mapping[str, Before]) -> str:
    """Return the text.

    Args:
        settings: that the Sweep varies, under the names of ServingConfig.
        targets: what each service had, by its name.
    """
    before = {name: each.to_document() for name, each in targets.items()}
    return json.dumps({"settings": sorted(settings), "targets": before}, separators=(",", ":"))


def read_before(text: str) -> tuple[frozenset[str], dict[str, Before]]:
    """Return the settings that are varied, and what each service had.

    Nothing for a text that somebody has spoilt: then nothing can be put back.
    """
    try:
        found = json.loads(text)
        before = {str(name): Before.from_document(each) for name, each in found["targets"].items()}
        return frozenset(str(each) for each in found["settings"]), before
    except (ValueError, AttributeError, KeyError, TypeError):
        return frozenset(), {}
