"""Cores shared by busy workers and starting instances: n jobs on c cores each run at min(1, c / n).

Processor sharing in virtual time: V grows at the common speed, a job of w CPU seconds that begins at V ends at V + w,
so one heap orders all ends and no remaining work is updated. O(log n) per job. Called plain or compiled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence

    from controller.performance_model.pod_state import Job, Now, State


def begin_job(state: State, work_s: float) -> int:
    """Begin a job that needs `work_s` seconds of a whole core; return its row, whose other fields the caller sets."""
    now, jobs, order = state.now[0], state.jobs, state.jobs_order
    _catch_up(now)
    row = order[now.jobs]
    job = jobs[row]
    job.ends_at = now.virtual_s + work_s
    job.order = now.jobs_ever
    now.jobs_ever += 1
    now.jobs += 1
    _sift_up(jobs, order, now.jobs - 1)
    _resume(state)
    return row


def end_job(state: State) -> int:
    """Take the job that ends first, now; return its row, which the next job may take over."""
    now, order = state.now[0], state.jobs_order
    row = order[0]
    now.virtual_s = state.jobs[row].ends_at
    now.virtual_at_s = now.now_s
    _remove(now, state.jobs, order, 0)
    _resume(state)
    return row


def give_up_start(state: State, pod: int) -> None:
    """Drop the CPU work of a pod's start, if it is not over."""
    now, jobs, order = state.now[0], state.jobs, state.jobs_order
    _catch_up(now)
    for place in range(now.jobs):
        job = jobs[order[place]]
        if job.pod == pod and job.size == 0:
            _remove(now, jobs, order, place)
            break
    _resume(state)


def _catch_up(now: Now) -> None:
    now.virtual_s += (now.now_s - now.virtual_at_s) * now.speed
    now.virtual_at_s = now.now_s


def _resume(state: State) -> None:
    now, cores = state.now[0], state.limits[0].cores
    if now.jobs == 0:
        now.next_end_s = math.inf
        return
    now.speed = 1.0 if now.jobs <= cores else cores / now.jobs
    first = state.jobs[state.jobs_order[0]]
    now.next_end_s = now.now_s + max(0.0, first.ends_at - now.virtual_s) / now.speed


def _is_before(one: Job, other: Job) -> bool:
    return one.ends_at < other.ends_at or (one.ends_at == other.ends_at and one.order < other.order)


def _remove(now: Now, jobs: Sequence[Job], order: MutableSequence[int], place: int) -> None:
    now.jobs -= 1
    last = now.jobs
    row = order[place]
    order[place] = order[last]
    order[last] = row
    if place < last:
        _sift_up(jobs, order, place)
        _sift_down(jobs, order, place, last)


def _sift_up(jobs: Sequence[Job], order: MutableSequence[int], place: int) -> None:
    row = order[place]
    while place > 0:
        above = (place - 1) // 2
        if not _is_before(jobs[row], jobs[order[above]]):
            break
        order[place] = order[above]
        place = above
    order[place] = row


def _sift_down(jobs: Sequence[Job], order: MutableSequence[int], place: int, size: int) -> None:
    row = order[place]
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and _is_before(jobs[order[below + 1]], jobs[order[below]]):
            below += 1
        if not _is_before(jobs[order[below]], jobs[row]):
            break
        order[place] = order[below]
        place = below
    order[place] = row
