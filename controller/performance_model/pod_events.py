"""The events of a simulation of pods in order of time: arrivals, ends on the cores, timers. Called plain or compiled.

A request joins the activator's queue or a pod with room, a free worker takes a batch by the server's
own rule, an end frees the worker. Of what happens at one instant, ends come first, then timers, then arrivals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.pod_batching import REQUEST_TIMEOUT_S, dispatch, finish, join
from controller.performance_model.pod_routing import choose_pod
from controller.performance_model.pod_scaling import (
    add_pod,
    become_ready,
    end_drains,
    is_ready_now,
    observe_concurrency,
    poke_autoscaler,
    reconcile,
    stop_if_empty,
    take_due_start,
    tick,
)
from controller.performance_model.pod_state import COLD_START, ERROR, EXPIRED, NO_CHANGE, NOBODY, SLOW, START, STOPPED
from controller.performance_model.request_ledger import count_inside, refuse
from controller.performance_model.shared_cores import end_job

if TYPE_CHECKING:
    from controller.performance_model.pod_state import State

ACTIVATOR_BUFFER = 10_000
"""Requests that the activator holds while no instance has room; the next one is answered 503."""
DONE, NEEDS_ROOM, UNMEASURED = range(3)


def advance(state: State, until_s: float, is_to_end: bool) -> int:  # noqa: FBT001  compiled code has no keywords
    """Let everything happen up to and including `until_s`, and beyond until all are answered if `is_to_end`.

    Returns:
        DONE; or NEEDS_ROOM when a table has to be enlarged first, or UNMEASURED when a batch has no service time.
    """
    now = state.now[0]
    while True:
        if now.is_room_known == 0 and needs_room(state):
            return NEEDS_ROOM
        now.is_room_known = 1
        if now.change != NO_CHANGE:
            _take_over(state)
        timer_s = min(now.next_start_s, now.next_drained_s, now.next_due_s, now.next_tick_s, now.next_observation_s)
        event_s = min(now.next_end_s, timer_s)
        is_arrival = now.arrived < now.offered and state.requests[now.arrived].arrival_s < event_s
        if is_arrival:
            event_s = state.requests[now.arrived].arrival_s
        if event_s > until_s and not (is_to_end and now.inside > 0):
            break
        until_s = max(until_s, event_s)
        now.now_s = event_s
        if is_arrival:
            _arrive(state)
        elif now.next_end_s <= timer_s:
            _end(state)
        else:
            _fire(state)
        if now.unmeasured > 0:
            return UNMEASURED
    now.now_s = until_s
    return DONE


def needs_room(state: State) -> bool:
    """Whether a single event might find a table full."""
    now, limits, scaler = state.now[0], state.limits[0], state.scaler[0]
    return (
        now.pods + limits.max_instances > len(state.pods)
        or (now.living + limits.max_instances) * (limits.most_workers + 1) > len(state.jobs)
        or scaler.n_buckets + 1 >= len(state.buckets)
        or scaler.n_wishes + 1 >= len(state.wishes)
    )


def _take_over(state: State) -> None:
    """Take over a change from outside, whose values are in the tables already."""
    now = state.now[0]
    change = now.change
    now.change = NO_CHANGE
    if change == START:
        for _ in range(now.desired):
            become_ready(state, add_pod(state))
        return
    if change == SLOW:
        reconcile(state)
    for k in range(now.ready):
        dispatch(state, state.ready[k])
    release_waiting(state)


def _arrive(state: State) -> None:
    now = state.now[0]
    row = now.arrived
    now.arrived += 1
    count_inside(now, 1)
    request = state.requests[row]
    request.joined_s = math.nan
    request.latency_s = math.nan
    request.following = NOBODY
    request.status = COLD_START if now.ready == 0 else ERROR
    pod_row = NOBODY if now.waiting > 0 else choose_pod(state)
    if pod_row != NOBODY:
        join(state, pod_row, row)
    elif now.waiting >= ACTIVATOR_BUFFER:
        refuse(state, row, ERROR)
    else:
        if now.waiting == 0:
            now.waiting_head = row
        else:
            state.requests[now.waiting_tail].following = row
        now.waiting_tail = row
        now.waiting += 1
        if now.members == 0:
            poke_autoscaler(state)


def release_waiting(state: State) -> None:
    """Send on what waits in the activator, as far as there is room."""
    now = state.now[0]
    while now.waiting > 0:
        row = now.waiting_head
        is_late = state.requests[row].arrival_s + REQUEST_TIMEOUT_S <= now.now_s
        pod_row = NOBODY if is_late else choose_pod(state)
        if pod_row == NOBODY and not is_late:
            return
        now.waiting_head = state.requests[row].following
        now.waiting -= 1
        if is_late:
            refuse(state, row, EXPIRED)
        else:
            join(state, pod_row, row)


def _wake_due(state: State) -> None:
    """Look at the pods whose queue delay is over, and find the next one."""
    now = state.now[0]
    k = 0
    while k < now.living:
        row = state.living[k]
        pod = state.pods[row]
        if pod.due_s <= now.now_s:
            pod.due_s = math.inf
            dispatch(state, row)
            stop_if_empty(state, row)
        if pod.state != STOPPED:
            k += 1
    now.next_due_s = math.inf
    for k in range(now.living):
        now.next_due_s = min(now.next_due_s, state.pods[state.living[k]].due_s)


def _end(state: State) -> None:
    job_row = end_job(state)
    job = state.jobs[job_row]
    pod_row = job.pod
    if job.size == 0:
        state.pods[pod_row].has_cpu_done = 1
        if is_ready_now(state, pod_row):
            release_waiting(state)
        return
    # The server's own queue first: the activator learns of the free place only from the answer.
    finish(state, job_row)
    release_waiting(state)
    stop_if_empty(state, pod_row)


def _fire(state: State) -> None:
    """Make the call of the earliest timer; of those due together, a start goes before a tick as it came before it."""
    now, limits = state.now[0], state.limits[0]
    if now.next_start_s <= now.now_s:
        row = take_due_start(state)
        if row != NOBODY and is_ready_now(state, row):
            release_waiting(state)
    elif now.next_drained_s <= now.now_s:
        end_drains(state)
    elif now.next_due_s <= now.now_s:
        _wake_due(state)
        release_waiting(state)  # one that expired in its pod's queue has left room
    elif now.next_tick_s <= now.now_s:
        tick(state)
        now.next_tick_s = now.now_s + limits.tick_s
    else:
        observe_concurrency(state)
        now.next_observation_s = now.now_s + limits.observe_s
