"""One simulated instance: its queue, its busy workers, and what its heartbeats would say."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from controller.domain.instance_log import InstanceRow

if TYPE_CHECKING:
    from controller.domain.serving_config import InstanceShape

PodState = Literal["starting", "ready", "draining", "stopped"]


@dataclass(slots=True, eq=False)
class Pod:
    """Mutable: the record of one life, not a value. Requests are named by their place in order of arrival."""

    name: str
    revision: int
    bound: int
    """Requests it may hold (containerConcurrency); 0 is no bound."""
    started_s: float
    state: PodState = "starting"
    ready_s: float = math.nan
    stopped_s: float = math.nan
    drained_s: float = math.nan
    """When its drain may end at the earliest, once it has begun."""
    queue: list[int] = field(default_factory=list[int])
    busy: int = 0
    """Workers that compute a batch."""
    held: int = 0
    """Requests in queue and in batches."""
    due_s: float = math.inf
    """When the queue delay of the waiting batch is over, if a timer is set."""
    has_cpu_done: bool = False
    """Whether the CPU work of its start is over."""
    taken: list[int] = field(default_factory=list[int])
    """Requests that reached it, in order; with the simulator's joining times they are its arrival bins."""
    batches: list[tuple[int, int, float]] = field(default_factory=list[tuple[int, int, float]])
    """Size, padded tokens and seconds of each finished batch."""
    answered: int = 0
    rejected: int = 0
    expired: int = 0
    queue_wait_s: float = 0.0

    def has_room(self) -> bool:
        """Whether it may be sent another request."""
        return not self.bound or self.held < self.bound

    def row(self, revision: str, shape: InstanceShape) -> InstanceRow:
        """Return its row of instances.csv."""
        times = (self.started_s, self.ready_s, self.stopped_s)
        return InstanceRow(self.name, revision, *times, shape.vcpu, shape.memory_mb)
