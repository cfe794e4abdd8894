"""Laws of the merge: loss, repeats and disorder of heartbeats change nothing once the last one has come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from controller.telemetry.merge import HeartbeatMerge

SECONDS = 5
ARRIVALS = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).integers(0, 9, 10 * SECONDS).tolist())


def heartbeats(boot_id, arrivals):
    """All heartbeats of one life, one a second; the newest bin of each is still being filled."""
    beats = []
    for second in range(1, SECONDS + 1):
        counts = arrivals[: 10 * second]
        if second < SECONDS:
            counts = [*counts, arrivals[10 * second] // 2]
        total = sum(counts)
        beats.append(
            {
                "schema": 1,
                "service": "s",
                "instance": boot_id,
                "boot_id": boot_id,
                "seq": second,
                "ready": True,
                "draining": False,
                "generation": 1,
                "clock": {"monotonic_s": float(second), "wall_s": float(second)},
                "bins": {"width_s": 0.1, "first": 0, "counts": counts, "censored": [second % 3]},
                "counters": {"answered": total},
                "batches": [
                    {"batch_size": 1, "padded_tokens": 16, "count": total, "sum_s": total / 10, "sum_sq_s": total / 90}
                ],
                "lengths": {"16": total},
            }
        )
    return beats


def merged(beats, last):
    merge = HeartbeatMerge()
    for beat in [*beats, *last]:
        merge.accept(beat, float(beat["seq"]))
    return merge


@given(st.lists(ARRIVALS, min_size=1, max_size=3), st.data())
def test_the_last_heartbeat_of_each_boot_makes_good_for_all(lives, data):
    beats = [heartbeats(str(number), arrivals) for number, arrivals in enumerate(lives)]
    everything = [beat for life in beats for beat in life]
    delivered = data.draw(st.lists(st.sampled_from(everything), max_size=40))
    last = [life[-1] for life in beats]
    merge = merged(data.draw(st.permutations(delivered)), last)
    first, counts, _ = merge.counts(float(SECONDS), 0.1)
    total = np.sum(lives, axis=0)
    assert first == 0
    assert counts.tolist() == total.tolist()
    assert merge.profile()[1, 16].count == total.sum()
    assert merge.lengths() == {16: total.sum()}


@given(ARRIVALS, st.data())
def test_counts_never_exceed_what_arrived(arrivals, data):
    beats = heartbeats("a", arrivals)
    delivered = data.draw(st.lists(st.sampled_from(beats), min_size=1, max_size=20))
    first, counts, _ = merged(delivered, []).counts(float(SECONDS), 0.1)
    assert np.all(counts <= np.array(arrivals[first : first + counts.size]))


@given(ARRIVALS)
def test_accepting_a_heartbeat_twice_is_accepting_it_once(arrivals):
    beats = heartbeats("a", arrivals)
    once, twice = merged(beats, []), merged([beat for each in beats for beat in (each, each)], [])
    assert once.counts(5.0)[1].tolist() == twice.counts(5.0)[1].tolist()
    assert once.counts(5.0)[2].tolist() == twice.counts(5.0)[2].tolist()
    assert once.profile() == twice.profile()
