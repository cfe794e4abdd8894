"""Settings of the control loop, with the reason for each default."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from controller.domain.prices import ClusterPrices
    from controller.domain.slo import LatencySlo

Mode = Literal["observe", "recommend", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How one service is tuned."""

    slo: LatencySlo
    """The latency objective."""
    prices: ClusterPrices
    """What an instance costs."""
    mode: Mode = "apply"
    """observe: tell what changes; recommend: tell also what should be done; apply: do it."""
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Lowest and highest value by knob, inside the grid."""
    held: frozenset[str] = frozenset()
    """Knobs that belong to somebody else; they keep their present value."""
    own_activation_scale: int = 0
    """What the service starts from zero by itself: its own document says so, and it is left alone at rest."""
    may_roll: bool = False
    """Whether a change of regime may also raise the bound of requests in parallel, which takes a new revision."""
    burst_usd_per_million: float = math.inf
    """What the instances that a burst is met with may cost, per million requests at the rate of the burst: the reflex
    raises `min_scale` no further than that. It never keeps the autoscaler from starting more."""
    tick_s: float = 1.0
    """Time between two looks; arrivals are counted in bins of a second."""
    first_batches: int = 50
    """Batches after which the first search begins ..."""
    first_after_s: float = 3.0
    """... or seconds of traffic, whichever is first."""
    periodic_s: float = 30.0
    """A search is made this often even if nothing changed: the profile and the law become better known."""
    silence_s: float = 15.0
    """Without a request for so long nothing is searched, and instances are no longer kept for traffic."""
    trials: int = 32
    """Settings that one search simulates at most, beyond the neighbours of the present one."""
    budget_s: float = 1.0
    """Time of one search; it is CPU time that someone pays, and an answer that comes late answers an old question."""
    dwell_s: float = 60.0
    """How long conditions are expected to last when nothing is known; twice the default stable window would be slow."""
    seed: int = 0
    """Of scenarios, noise and sampler."""
