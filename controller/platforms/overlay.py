"""Warm settings as an overlay on Revisions: what we want on top of the template, and what is somebody else's (pure).

A new Revision begins with the template's values, so ours are put on it again. A value that somebody else wrote, in the
template or on the Revision, is theirs: the knob is then held, that is, left alone until the tuning is changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controller.domain.serving_config import PRICE_OF_CHANGE
from controller.platforms.revision_annotations import ANNOTATION_OF

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_WRITTEN = 4
MOST_WORDS = 300


@dataclass(slots=True)
class Overlay:
    """What is laid over the Revisions of one service.

    Attributes:
        wanted: annotation values by knob; an empty one is to be absent.
        template: values of the template when a knob was first laid over; None where it had none.
        written: Revisions on which ours were written: what differs there is somebody else's.
        held: knobs that belong to somebody else, with the reason.
    """

    wanted: dict[str, str] = field(default_factory=dict[str, str])
    template: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    written: list[str] = field(default_factory=list[str])
    held: dict[str, str] = field(default_factory=dict[str, str])

    def want(self, values: Mapping[str, str], template: Mapping[str, str]) -> None:
        """Lay these values (by annotation) over what the template says; they are not written anywhere yet."""
        self.written.clear()
        for knob, annotation in ANNOTATION_OF.items():
            if annotation in values:
                self.wanted[knob] = values[annotation]
                self.template.setdefault(knob, template.get(annotation))

    def look(self, revision: str, annotations: Mapping[str, str], template: Mapping[str, str]) -> dict[str, str]:
        """Return the annotations to write on a Revision, after noticing what others did.

        Args:
            revision: its name.
            annotations: on it.
            template: annotations of the service's template.
        """
        missing: dict[str, str] = {}
        for knob, value in list(self.wanted.items()):
            annotation = ANNOTATION_OF[knob]
            found, begun_with = annotations.get(annotation, ""), self.template.get(knob)
            if template.get(annotation) != begun_with:
                self._hold(knob, f"the template says {template.get(annotation) or 'nothing'} now")
            elif found != value and revision in self.written:
                self._hold(knob, f"somebody set it to {found or 'nothing'} on {revision}")
            elif found != value:
                missing[annotation] = value
        return missing

    def refused(self, values: Mapping[str, str], why: str) -> None:
        """The cluster does not take these values (by annotation): those that it names are held, else all of them."""
        knobs = [knob for knob, annotation in ANNOTATION_OF.items() if annotation in values]
        for knob in [each for each in knobs if ANNOTATION_OF[each] in why] or knobs:
            self._hold(knob, f"{self.wanted.get(knob) or 'nothing'} was refused, {why}"[:MOST_WORDS])

    def wrote(self, revision: str) -> None:
        """Ours are on this Revision now."""
        self.written = [*(each for each in self.written if each != revision), revision][-MOST_WRITTEN:]

    def forget_written(self) -> None:
        """What differs from now on is nobody's drift: somebody with our leave has put other values there."""
        self.written.clear()

    def restoring(self) -> dict[str, str | None]:
        """Return what takes everything of ours off a Revision: the template's values, or nothing."""
        return {ANNOTATION_OF[knob]: self.template.get(knob) for knob in self.wanted}

    def release(self) -> None:
        """Take hold of everything again: the tuning was changed; what differs until then is nobody's drift."""
        self.held.clear()
        self.written.clear()

    def _hold(self, knob: str, why: str) -> None:
        self.held[knob] = why
        self.wanted.pop(knob, None)
        self.template.pop(knob, None)

    def to_document(self) -> dict[str, Any]:
        """Return the overlay as JSON."""
        return {"wanted": self.wanted, "template": self.template, "written": self.written, "held": self.held}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Overlay:
        """Read what `to_document` returned; what is no such document is no overlay."""

        def texts(name: str, knobs: Iterable[str] = ANNOTATION_OF) -> dict[str, str]:
            found = document.get(name)
            pairs = found.items() if isinstance(found, dict) else ()
            return {str(knob): str(value) for knob, value in pairs if knob in knobs and value is not None}

        wanted, template, written = texts("wanted"), texts("template"), document.get("written")
        return cls(
            wanted=wanted,
            template={knob: template.get(knob) for knob in wanted},
            written=[str(each) for each in written] if isinstance(written, list) else [],
            held=texts("held", PRICE_OF_CHANGE),  # slow knobs are held too
        )
