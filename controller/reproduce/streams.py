"""Random streams of a reproduction: one for each seed, purpose and place, none of which is another's.

A seed and its numbers cannot just be put one after the other: numpy fills short sequences up with zeros, so that
(3, 1) and (3, 1, 0) are the same stream. Spawn keys are kept apart from the seed and from their own zeros.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is drawn for; numbers are never used again for something else."""

    REVIEW_LENGTHS = 1
    SAVING_FUNCTION = 2
    SAVING_NOISE = 3
    REGRET_FUNCTION = 4
    REGRET_NOISE = 5
    ONLINE_FUNCTION = 6
    ONLINE_NOISE = 7
    ONLINE_TRAFFIC = 8
    ONLINE_CALLS = 9
    ONLINE_SIMULATION = 10
    RATE_FUNCTION = 11
    RATE_NOISE = 12
    BATCH_TRAFFIC = 13
    BATCH_SIMULATION = 14
    BATCH_PODS = 15
    BATCH_LAWS = 16
    BATCH_INSTANCES = 17
    ABLATION_TRAFFIC = 18
    ABLATION_SIMULATION = 19


def stream(seed: int, purpose: Purpose, *place: int) -> np.random.Generator:
    """Return the stream of a purpose at a place, such as (family, function).

    Args:
        seed: of the reproduction.
        purpose: what is drawn.
        place: numbers that tell apart what is drawn for the purpose; as many wherever the purpose is named.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, *place)))


def luck(seed: int, purpose: Purpose, *place: int) -> int:
    """Return a seed from such a stream, for what makes several streams of the same noise itself."""
    return int(stream(seed, purpose, *place).integers(2**63))
