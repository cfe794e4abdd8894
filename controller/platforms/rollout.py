"""A slow change, step by step: a new revision, traffic to it by and by, back again when the objective burns (pure).

What is decided here is done by `roller.py`. A step ends when the new revision has answered enough inside the objective;
without traffic it ends by itself after some minutes, since then nothing can burn either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

Stage = Literal["creating", "shifting", "undoing"]
SHARES = (10, 50, 100)
"""Percent of the traffic that the new revision takes, one after the other."""
CREATING_S = 180.0
"""A revision that is not ready after so long will not be."""
STEP_S = 30.0
LONGEST_STEP_S = 300.0
LEAST_ANSWERED = 50
"""Answers of the new revision before a step may end early, or be judged at all."""
WORSE = 0.02
"""The new revision must be worse than the old one by this share of requests: a burst makes both late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A change on its way.

    Attributes:
        from_revision: that took the traffic before.
        fence: containerConcurrency that is wanted.
        fence_before: what the object said before; None where it said nothing.
        share_before: share of requests inside the objective before; None where too few were seen.
        began_s: when it began.
        stage: where it is.
        percent: of the traffic that the new revision is to take.
        to_revision: the new revision; empty until there is one.
        step_s: when the present step began.
        why: reason of the way back.
    """

    from_revision: str
    fence: int
    fence_before: int | None
    share_before: float | None
    began_s: float
    stage: Stage = "creating"
    percent: int = 0
    to_revision: str = ""
    step_s: float = 0.0
    why: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Rollout | None:
        """Read what `to_document` returned; None where it is no such document."""
        known = {each.name for each in fields(cls)}
        try:
            found = cls(**{name: value for name, value in document.items() if name in known})
        except TypeError:
            return None
        return found if _is_sound(found) else None


def _is_sound(rollout: Rollout) -> bool:
    """Return whether each field is of its kind, as a document need not be."""
    texts: list[object] = [rollout.from_revision, rollout.to_revision, rollout.why]
    wholes: list[object] = [rollout.fence, rollout.fence_before or 0]
    reals: list[object] = [rollout.began_s, rollout.step_s, rollout.share_before or 0.0]
    return (
        all(isinstance(each, str) for each in texts)
        and all(isinstance(each, int) for each in wholes)
        and all(isinstance(each, int | float) for each in reals)
        and rollout.stage in get_args(Stage)
        and rollout.percent in (0, *SHARES)
    )


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of a rollout now.

    Attributes:
        now_s: now.
        newest: revision made last.
        is_serving: whether the newest is ready and carries the fence that the present stage wants.
        refused: why it cannot become ready; empty while it may.
        answered: requests that the new revision has taken.
        share: of them inside the objective; None without any.
        share_old: the same of the old revision in the last minutes.
    """

    now_s: float
    newest: str
    is_serving: bool
    refused: str
    answered: int
    share: float | None
    share_old: float | None


Ending = Literal["finished", "rolled back"]


def advance(rollout: Rollout, sight: Sight, *, quantile: float, is_gradual: bool) -> tuple[Rollout, Ending | None]:
    """Return the rollout after this look, and how it ended where it did.

    Args:
        rollout: so far.
        sight: what is seen.
        quantile: of the objective.
        is_gradual: whether traffic is ours to shift.
    """
    match rollout.stage:
        case "creating":
            return _create(rollout, sight, is_gradual=is_gradual), None
        case "shifting":
            return _shift(rollout, sight, quantile)
        case "undoing":
            # A way back that does not come is not waited for: the old revision has the traffic all the while.
            is_over = sight.is_serving or sight.now_s - rollout.step_s > CREATING_S
            return rollout, "rolled back" if is_over else None


def _create(rollout: Rollout, sight: Sight, *, is_gradual: bool) -> Rollout:
    if sight.refused:
        return _undo(rollout, sight, f"the new revision cannot serve: {sight.refused}")
    if sight.is_serving and sight.newest != rollout.from_revision:
        return replace(
            rollout,
            stage="shifting",
            percent=SHARES[0] if is_gradual else 100,
            to_revision=sight.newest,
            step_s=sight.now_s,
        )
    if sight.now_s - rollout.began_s > CREATING_S:
        return _undo(rollout, sight, f"no new revision was ready in {CREATING_S:.0f} s")
    return rollout


def _shift(rollout: Rollout, sight: Sight, quantile: float) -> tuple[Rollout, Ending | None]:
    if sight.newest != rollout.to_revision:
        # Somebody else has changed the service meanwhile: theirs is the newest now, and ours is in it.
        return rollout, "finished"
    if (why := _burning(rollout, sight, quantile)) is not None:
        return _undo(rollout, sight, why), None
    stayed_s = sight.now_s - rollout.step_s
    if stayed_s < STEP_S or (sight.answered < LEAST_ANSWERED and stayed_s < LONGEST_STEP_S):
        return rollout, None
    if rollout.percent >= 100:
        return rollout, "finished"
    following = next(share for share in SHARES if share > rollout.percent)
    return replace(rollout, percent=following, step_s=sight.now_s), None


def _burning(rollout: Rollout, sight: Sight, quantile: float) -> str | None:
    """Return why the objective burns on the new revision, where it does."""
    if sight.share is None or sight.answered < LEAST_ANSWERED or sight.share >= quantile:
        return None
    before = sight.share_old if sight.share_old is not None else rollout.share_before
    if before is not None and sight.share >= before - WORSE:
        return None
    words = "" if before is None else f", {before:.1%} before"
    return f"{sight.share:.1%} of {sight.answered} requests inside the objective{words}, {quantile:.1%} wanted"


def _undo(rollout: Rollout, sight: Sight, why: str) -> Rollout:
    return replace(rollout, stage="undoing", percent=0, step_s=sight.now_s, why=why)


def traffic_of(rollout: Rollout) -> list[dict[str, Any]]:
    """Return the traffic of a Knative Service at this stage."""
    old = {"revisionName": rollout.from_revision, "latestRevision": False}
    if rollout.stage != "shifting" or not rollout.to_revision:
        return [{**old, "percent": 100}]
    if rollout.percent >= 100:
        return [{"latestRevision": True, "percent": 100}]
    new = {"revisionName": rollout.to_revision, "latestRevision": False}
    return [{**old, "percent": 100 - rollout.percent}, {**new, "percent": rollout.percent}]
