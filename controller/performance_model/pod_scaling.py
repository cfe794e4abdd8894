"""The life of simulated instances: the autoscaler's ticks, starts that burn CPU, readiness, draining, revisions.

Called plain or compiled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.autoscaler_rule import decide, observe, poke
from controller.performance_model.fleet import mark_unwanted
from controller.performance_model.pod_state import DRAINING, NOBODY, READY, STARTING, STOPPED
from controller.performance_model.request_ledger import mean_inside
from controller.performance_model.shared_cores import begin_job, give_up_start

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from controller.performance_model.pod_state import Pod, State

_TOLERANCE_S = 1e-9
"""Adding up instants may miss the end of a start by an error of the last binary digit."""


def observe_concurrency(state: State) -> None:
    """Tell the autoscaler how many requests were inside since it last looked."""
    now = state.now[0]
    now.is_room_known = 0
    observe(state.scaler[0], state.buckets, now.now_s, mean_inside(now))


def tick(state: State) -> None:
    """Have the autoscaler decide, and follow it."""
    now = state.now[0]
    observe_concurrency(state)
    now.desired = decide(state.scaler[0], state.buckets, state.wishes, now.now_s, now.ready)
    reconcile(state)


def poke_autoscaler(state: State) -> None:
    """Start a pod for a request that met none."""
    now = state.now[0]
    observe_concurrency(state)
    now.desired = poke(state.scaler[0], state.buckets, state.wishes, now.now_s, now.ready)
    reconcile(state)


def reconcile(state: State) -> None:
    """Start and drain pods so that there are as many as are wished for."""
    now, limits = state.now[0], state.limits[0]
    now.is_room_known = 0
    wanted = min(now.desired, limits.max_instances)
    start = mark_unwanted(state.pods, state.members, now.members, now.revision, wanted)
    for _ in range(start):
        row = add_pod(state)
        job_row = begin_job(state, limits.cold_start_cpu_s)
        job = state.jobs[job_row]
        job.pod = row
        job.first = NOBODY
        job.size = 0
        job.began_s = now.now_s
        state.pods[row].start_due_s = now.now_s + limits.cold_start_s
        now.next_start_s = min(now.next_start_s, now.now_s + limits.cold_start_s)
    k = 0
    while k < now.members:
        row = state.members[k]
        if state.pods[row].is_unwanted == 1:
            _drain(state, row)
        else:
            k += 1


def add_pod(state: State) -> int:
    """Begin the life of a pod and return its row."""
    now = state.now[0]
    row = now.pods
    now.revision_pods += 1
    pod = state.pods[row]
    pod.revision = now.revision
    pod.serial = now.revision_pods
    pod.bound = state.limits[0].container_concurrency
    pod.started_s = now.now_s
    now.pods += 1
    state.members[now.members] = row
    now.members += 1
    state.living[now.living] = row
    now.living += 1
    return row


def become_ready(state: State, row: int) -> None:
    """Let a pod take requests."""
    now, pod = state.now[0], state.pods[row]
    pod.state = READY
    pod.ready_s = now.now_s
    pod.start_due_s = math.inf
    state.ready[now.ready] = row
    now.ready += 1


def is_ready_now(state: State, row: int) -> bool:
    """Let a pod take requests if its start is over in every respect, and return whether it is."""
    now, pod = state.now[0], state.pods[row]
    due_s = pod.started_s + state.limits[0].cold_start_s - _TOLERANCE_S
    if pod.state != STARTING or pod.has_cpu_done == 0 or now.now_s < due_s:
        return False
    become_ready(state, row)
    reconcile(state)
    return True


def take_due_start(state: State) -> int:
    """Return a pod whose start has to be looked at now, or nobody; then the next such instant is known."""
    now = state.now[0]
    found = NOBODY
    next_s = math.inf
    for k in range(now.members):
        pod = state.pods[state.members[k]]
        if found == NOBODY and pod.start_due_s <= now.now_s:
            pod.start_due_s = math.inf
            found = state.members[k]
        next_s = min(next_s, pod.start_due_s)
    now.next_start_s = next_s
    return found


def stop_if_empty(state: State, row: int) -> None:
    """End a draining pod that holds nothing any more and has drained for as long as it must."""
    now, pod = state.now[0], state.pods[row]
    if pod.state == DRAINING and pod.held == 0 and now.now_s >= pod.drained_s:
        pod.state = STOPPED
        pod.stopped_s = now.now_s
        now.living = _without(state.living, now.living, row)


def has_room(pod: Pod) -> bool:
    """Whether a pod may be sent another request."""
    return pod.bound == 0 or pod.held < pod.bound


def _drain(state: State, row: int) -> None:
    now, pod = state.now[0], state.pods[row]
    pod.is_unwanted = 0
    now.members = _without(state.members, now.members, row)
    if pod.state == READY:
        now.ready = _without(state.ready, now.ready, row)
    else:
        give_up_start(state, row)
    pod.start_due_s = math.inf
    pod.state = DRAINING
    pod.drained_s = now.now_s + state.limits[0].drain_s
    now.next_drained_s = min(now.next_drained_s, pod.drained_s)
    stop_if_empty(state, row)


def end_drains(state: State) -> None:
    """End the pods whose drain is over, and find the next one."""
    now = state.now[0]
    next_s = math.inf
    k = 0
    while k < now.living:
        row = state.living[k]
        pod = state.pods[row]
        stop_if_empty(state, row)
        if pod.state != STOPPED:
            k += 1
            if pod.state == DRAINING and pod.drained_s > now.now_s:
                next_s = min(next_s, pod.drained_s)
    now.next_drained_s = next_s


def _without(rows: MutableSequence[int], count: int, row: int) -> int:
    """Take a row out of the first `count`, which stay in order, and return how many are left."""
    left = 0
    for k in range(count):
        each = rows[k]
        if each != row:
            rows[left] = each
            left += 1
    return left
