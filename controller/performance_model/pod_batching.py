"""Requests inside simulated pods: the queue, the batches that free workers take, and their ends.

Called plain or compiled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.performance_model.batch_choice import choose, is_full
from controller.performance_model.batch_durations import mean_batch_s
from controller.performance_model.pod_state import EXPIRED, NOBODY, REJECTED
from controller.performance_model.request_ledger import answer, refuse
from controller.performance_model.shared_cores import begin_job

if TYPE_CHECKING:
    from controller.performance_model.pod_state import Pod, State

REQUEST_TIMEOUT_S = 30.0
"""Deadline of a request, from its arrival; the server's default, and the activator hands on what is left of it."""


def join(state: State, pod_row: int, row: int) -> None:
    """Have a request join a pod's queue, or be rejected by it."""
    now, limits, pod, request = state.now[0], state.limits[0], state.pods[pod_row], state.requests[row]
    request.joined_s = now.now_s
    state.joined[now.joined] = row
    state.joined_pod[now.joined] = pod_row
    now.joined += 1
    pod.taken += 1
    if pod.queued >= limits.max_queue_length:
        pod.rejected += 1
        refuse(state, row, REJECTED)
        return
    request.following = NOBODY  # it may come out of the activator's queue
    if pod.queued == 0:
        pod.head = row
    else:
        state.requests[pod.tail].following = row
    pod.tail = row
    pod.queued += 1
    pod.held += 1
    if pod.busy < limits.workers:
        dispatch(state, pod_row)


def dispatch(state: State, pod_row: int) -> None:
    """Let free workers take what is due."""
    now, limits, pod = state.now[0], state.limits[0], state.pods[pod_row]
    while pod.queued > 0 and pod.busy < limits.workers:
        first = state.requests[pod.head]
        # The activator is first in, first out, so the oldest is first here too.
        if first.arrival_s + REQUEST_TIMEOUT_S <= now.now_s:
            row = _take_first(state, pod)
            refuse(state, row, EXPIRED)
            pod.held -= 1
            pod.expired += 1
            continue
        if limits.max_batch_size == 1 or (pod.queued == 1 and limits.max_queue_delay_s == 0):
            # Nothing to choose; this is most batches at low load.
            row = _take_first(state, pod)
            _begin(state, pod_row, row, 1)
            continue
        size = choose(pod, state.requests, limits)
        if limits.max_queue_delay_s > 0 and not is_full(size, pod.queued, limits):
            due_s = first.joined_s + limits.max_queue_delay_s
            if now.now_s < due_s:
                pod.due_s = due_s
                now.next_due_s = min(now.next_due_s, due_s)
                break
        if size == pod.queued:
            row = pod.head
            pod.head = pod.tail = NOBODY
            pod.queued = 0
        else:
            row = _take_chosen(state, pod)
        _begin(state, pod_row, row, size)


def finish(state: State, job_row: int) -> None:
    """Answer a batch and let the worker take the next one."""
    now, job = state.now[0], state.jobs[job_row]
    pod_row, size = job.pod, job.size
    pod = state.pods[pod_row]
    pod.busy -= 1
    pod.held -= size
    pod.answered += size
    batch = state.batches[now.batches]
    batch.size = size
    batch.padded_tokens = job.padded_tokens
    batch.seconds = now.now_s - job.began_s
    batch.pod = pod_row
    now.batches += 1
    answer(state, job.first, size)
    if pod.queued > 0:
        dispatch(state, pod_row)


def _take_first(state: State, pod: Pod) -> int:
    row = pod.head
    pod.head = state.requests[row].following
    pod.queued -= 1
    if pod.queued == 0:
        pod.tail = NOBODY
    return row


def _take_chosen(state: State, pod: Pod) -> int:
    """Part a queue into those chosen and the rest, both in order; return the first of the chosen."""
    requests = state.requests
    row = pod.head
    first_chosen = last_chosen = first_kept = last_kept = NOBODY
    chosen = 0
    for _ in range(pod.queued):
        request = requests[row]
        if request.is_chosen == 1:
            request.is_chosen = 0
            chosen += 1
            if last_chosen == NOBODY:
                first_chosen = row
            else:
                requests[last_chosen].following = row
            last_chosen = row
        else:
            if last_kept == NOBODY:
                first_kept = row
            else:
                requests[last_kept].following = row
            last_kept = row
        row = request.following
    requests[last_chosen].following = NOBODY
    requests[last_kept].following = NOBODY
    pod.head = first_kept
    pod.tail = last_kept
    pod.queued -= chosen
    return first_chosen


def _begin(state: State, pod_row: int, first: int, size: int) -> None:
    now, limits, pod = state.now[0], state.limits[0], state.pods[pod_row]
    longest = 0
    row = first
    for _ in range(size):
        request = state.requests[row]
        longest = max(longest, request.tokens)
        pod.queue_wait_s += now.now_s - request.joined_s
        row = request.following
    pod.busy += 1
    law = state.by_size[size - 1]
    work_s = mean_batch_s(limits, law.seconds, law.work_factor, size, longest)
    if math.isnan(work_s):
        now.unmeasured = size
        work_s = 0.0
    if limits.is_noisy == 1:
        work_s *= state.noise[now.begun]
    now.begun += 1
    job_row = begin_job(state, work_s)
    job = state.jobs[job_row]
    job.pod = pod_row
    job.first = first
    job.size = size
    job.padded_tokens = size * longest
    job.began_s = now.now_s
