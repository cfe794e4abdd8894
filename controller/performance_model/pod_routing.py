"""Which ready instance a request goes to: the least loaded, as the activator of one machine does it, or Knative's way.

Source: Knative Serving 1.21, pkg/activator/net/throttler.go and lb_policy.go. Its activator takes the first instance
with room where containerConcurrency is 1 to 3, the next one in turn with room above that, and where there is no bound
the less loaded of two drawn at random. Called plain or compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from controller.domain.serving_config import Routing
from controller.performance_model.pod_scaling import has_room
from controller.performance_model.pod_state import NOBODY

if TYPE_CHECKING:
    from controller.performance_model.pod_state import Now, State

ROUTINGS: tuple[Routing, ...] = get_args(Routing)
LEAST_LOADED, KNATIVE = range(2)
MOST_FOR_FIRST = 3
"""Largest containerConcurrency at which Knative fills the first instance before the second."""
_MODULUS, _MULTIPLIER = 2**31 - 1, 48_271
"""Random numbers of Park and Miller (1993): products fit 64 bits, so plain Python and machine code draw the same."""
MOST_CHANCE = _MODULUS - 1


def choose_pod(state: State) -> int:
    """Return a ready pod with room, or nobody."""
    if state.limits[0].routing == LEAST_LOADED:
        return _least_loaded(state)
    if state.now[0].ready == 0:
        return NOBODY
    bound = state.pods[state.ready[0]].bound
    return _in_turn(state, bound) if bound > 0 else _of_two(state)


def _least_loaded(state: State) -> int:
    """Return the one with the fewest requests, of equals the one that is ready longest."""
    best = NOBODY
    least = 0
    for k in range(state.now[0].ready):
        row = state.ready[k]
        pod = state.pods[row]
        if (best == NOBODY or pod.held < least) and has_room(pod):
            best = row
            least = pod.held
    return best


def _in_turn(state: State, bound: int) -> int:
    now = state.now[0]
    first = now.next_in_turn if now.next_in_turn < now.ready and bound > MOST_FOR_FIRST else 0
    for step in range(now.ready):
        place = (first + step) % now.ready
        row = state.ready[place]
        if has_room(state.pods[row]):
            now.next_in_turn = place + 1
            return row
    return NOBODY


def _of_two(state: State) -> int:
    now = state.now[0]
    one = _draw(now, now.ready)
    other = _draw(now, now.ready - 1) if now.ready > 1 else one
    if other >= one and now.ready > 1:
        other += 1
    row, other_row = state.ready[one], state.ready[other]
    is_less = state.pods[other_row].held < state.pods[row].held
    return other_row if is_less else row


def _draw(now: Now, count: int) -> int:
    """Return a place from 0 to before `count`."""
    now.chance = now.chance * _MULTIPLIER % _MODULUS
    return now.chance % count
