"""The state of a simulation of pods: rows with named fields in tables that plain Python and compiled code both index.

Requests, pods and jobs are named by their row. Queues and batches are chains of requests through `following`, so
nothing is allocated while time passes; tables are enlarged between two calls of `pod_events.advance`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from controller.performance_model.autoscaler_rule import Bucket, Scaler, Wish

NOBODY = -1
"""End of a chain of requests."""
STARTING, READY, DRAINING, STOPPED = range(4)
NO_CHANGE, START, HOT, SLOW = range(4)
"""Changes from outside: the pods of the beginning, settings inside running pods, and what needs new pods."""
OK, WARM_UP, COLD_START, REJECTED, EXPIRED, ERROR = range(6)
"""Places in `simulation_result.CLASSES`."""


@dataclass(slots=True)
class Request:
    """One request; rows are in order of arrival. All but its arrival and its tokens is set when it arrives."""

    arrival_s: float = 0.0
    joined_s: float = 0.0
    """When it reached a pod; NaN before."""
    latency_s: float = 0.0
    """NaN while inside, infinite without a right answer."""
    tokens: int = 0
    following: int = 0
    """The next one in the same queue or batch."""
    status: int = 0
    """ERROR until answered, but COLD_START already tells what an answer would be."""
    is_chosen: int = 0
    """Whether it leaves its queue with the batch that is being formed."""


@dataclass(slots=True)
class Pod:
    """One instance; rows are in order of start."""

    revision: int = 1
    serial: int = 1
    """Among the pods of its revision, from 1."""
    bound: int = 0
    """Requests it may hold (containerConcurrency); 0 is no bound."""
    state: int = STARTING
    started_s: float = 0.0
    ready_s: float = math.nan
    stopped_s: float = math.nan
    drained_s: float = math.inf
    """When its drain may end at the earliest, once it has begun."""
    start_due_s: float = math.inf
    """When its start is over, CPU work aside, if it has to be looked at then."""
    has_cpu_done: int = 0
    """Whether the CPU work of its start is over."""
    is_unwanted: int = 0
    """Whether it is to be drained."""
    head: int = NOBODY
    """The oldest request of its queue."""
    tail: int = NOBODY
    queued: int = 0
    busy: int = 0
    """Workers that compute a batch."""
    held: int = 0
    """Requests in queue and in batches."""
    due_s: float = math.inf
    """When the queue delay of the waiting batch is over, if it has to be looked at then."""
    taken: int = 0
    """Requests that reached it, those it rejected included."""
    answered: int = 0
    rejected: int = 0
    expired: int = 0
    queue_wait_s: float = 0.0


@dataclass(slots=True)
class Job:
    """What runs on the cores: a batch, or the CPU work of a pod's start (size 0)."""

    ends_at: float = 0.0
    """In virtual time."""
    order: int = 0
    """Of two that end at once, the one begun earlier goes first."""
    pod: int = 0
    first: int = NOBODY
    """First request of the batch."""
    size: int = 0
    padded_tokens: int = 0
    began_s: float = 0.0


@dataclass(slots=True)
class Batch:
    """One finished batch; rows are in order of its end."""

    size: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0
    pod: int = 0


@dataclass(slots=True)
class Now:
    """The clock, counts, and what is due next."""

    now_s: float = 0.0
    offered: int = 0
    arrived: int = 0
    inside: int = 0
    """Requests that wait or are computed."""
    area: float = 0.0
    """Integral of `inside` since it was last read."""
    area_at_s: float = 0.0
    read_at_s: float = 0.0
    waiting_head: int = NOBODY
    """The activator's queue."""
    waiting_tail: int = NOBODY
    waiting: int = 0
    joined: int = 0
    """Requests that have reached a pod."""
    begun: int = 0
    """Batches that were begun: so much of the noise is used."""
    batches: int = 0
    change: int = 0
    """What has to be taken over before anything else happens."""
    is_room_known: int = 0
    """Whether the next event finds room in every table."""
    unmeasured: int = 0
    """Size of a batch for which no service time is known; the simulation cannot go on."""
    pods: int = 0
    living: int = 0
    """Pods that have not stopped."""
    members: int = 0
    """Pods that start or are ready."""
    ready: int = 0
    revision: int = 1
    revision_pods: int = 0
    desired: int = 0
    next_in_turn: int = 0
    """Place among the ready pods at which Knative's activator looks first."""
    chance: int = 1
    """State of the random numbers that routing draws."""
    jobs: int = 0
    jobs_ever: int = 0
    virtual_s: float = 0.0
    """Virtual time of the shared cores, when and how fast it was last set on its way."""
    virtual_at_s: float = 0.0
    speed: float = 1.0
    next_end_s: float = math.inf
    next_start_s: float = math.inf
    next_drained_s: float = math.inf
    next_due_s: float = math.inf
    next_tick_s: float = 0.0
    next_observation_s: float = 0.0


@dataclass(slots=True)
class Limits:
    """The settings, the platform, and the law of service times apart from its seconds by size."""

    max_batch_size: int = 8
    batch_tokens: int = 512
    max_queue_delay_s: float = 0.0
    max_queue_length: int = 1000
    workers: int = 1
    most_workers: int = 1
    """The most there have been; changes of settings let running batches end."""
    container_concurrency: int = 0
    max_instances: int = 20
    cores: float = math.inf
    cold_start_s: float = 0.6
    cold_start_cpu_s: float = 0.5
    drain_s: float = 0.0
    routing: int = 0
    """LEAST_LOADED or KNATIVE of `pod_routing`."""
    tick_s: float = 2.0
    observe_s: float = 1.0
    per_batch_s: float = 0.0
    per_token_s: float = 0.0
    per_token_pair_s: float = 0.0
    cpu_share: float = 1.0
    is_noisy: int = 0


@dataclass(slots=True)
class SizeLaw:
    """What the service time of a batch has from its size alone; rows are batches of 1, 2, ..."""

    seconds: float = math.nan
    """Before its tokens are counted; NaN where no time is known."""
    work_factor: float = 1.0
    """On the part by tokens."""


class State(NamedTuple):
    """All tables. What exists once is a table of one row; `jobs_order` is a heap of rows of `jobs`, free ones last."""

    now: Sequence[Now]
    limits: Sequence[Limits]
    scaler: Sequence[Scaler]
    buckets: Sequence[Bucket]
    wishes: Sequence[Wish]
    requests: Sequence[Request]
    joined: MutableSequence[int]
    """Requests in the order in which they reached a pod ..."""
    joined_pod: MutableSequence[int]
    """... and which one."""
    batches: Sequence[Batch]
    pods: Sequence[Pod]
    living: MutableSequence[int]
    members: MutableSequence[int]
    ready: MutableSequence[int]
    jobs: Sequence[Job]
    jobs_order: MutableSequence[int]
    by_size: Sequence[SizeLaw]
    noise: Sequence[float]
