"""The batcher in virtual time, over a sink whose answers the test gives."""

import asyncio
from array import array

import pytest

from inference_service.batching.batcher import Batcher
from inference_service.counters import Counters
from inference_service.errors import DeadlineError, QueueFullError, RuntimeFailedError, TooLargeError, WorkerDiedError
from inference_service.hot_settings import HotSettings
from inference_service.inference import BatchAnswer

pytestmark = pytest.mark.looptime


class ScriptedSink:
    """Slots that stay taken until the test answers."""

    def __init__(self, slots=1):
        self.slots = slots
        self.sent = []
        self.open = []
        self.callbacks = []

    def has_free_slot(self):
        return len(self.open) < self.slots

    def on_free_slot(self, callback):
        self.callbacks.append(callback)

    def send(self, inputs):
        self.sent.append([list(ids) for ids in inputs])
        self.open.append(asyncio.get_running_loop().create_future())
        return self.open[-1]

    async def answer(self, error=None):
        future = self.open.pop(0)
        if error is None:
            flat = [value for ids in self.sent[-1] for value in ((0.25, 0.75) if sum(ids) % 2 else (0.75, 0.25))]
            future.set_result(BatchAnswer(array("f", flat), 0.01))
        else:
            future.set_exception(error)
        for callback in self.callbacks:
            callback()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
def sink():
    return ScriptedSink()


@pytest.fixture
async def batcher(sink):
    return make_batcher(sink)


def make_batcher(sink, **settings):
    values = {"max_batch_size": 4, "batch_tokens": 512, "max_queue_delay_s": 0.0, "max_queue_length": 6} | settings
    hot = HotSettings(generation=0, workers=1, **values)
    return Batcher(sink, hot, Counters(), ("negative", "positive"), asyncio.get_running_loop().time)


def ids(*values):
    return array("i", values)


async def test_a_request_at_an_idle_server_leaves_at_once(batcher, sink):
    (request,) = batcher.submit([ids(1)], 30)
    await sink.answer()
    assert (await request.answer).label == "positive"


async def test_what_arrives_while_the_worker_is_busy_shares_the_next_batch(batcher, sink):
    batcher.submit([ids(1)], 30)
    waiting = [batcher.submit([ids(value)], 30)[0] for value in (2, 3, 4)]
    await sink.answer()
    await sink.answer()
    assert sink.sent[1] == [[2], [3], [4]]
    assert [(await each.answer).label for each in waiting] == ["negative", "positive", "negative"]


async def test_a_full_queue_refuses_all_instances_of_a_request(batcher, sink):
    batcher.submit([ids(1)], 30)
    batcher.submit([ids(2)] * 4, 30)
    with pytest.raises(QueueFullError, match="4 of 6"):
        batcher.submit([ids(3)] * 3, 30)
    assert batcher._counters.queue_length == 4
    assert batcher._counters.rejected == {"queue-full": 3}


async def test_a_refused_arrival_is_counted_and_its_bin_is_censored(batcher):
    batcher.submit([ids(1)], 30)
    batcher.submit([ids(2)] * 4, 30)
    with pytest.raises(QueueFullError):
        batcher.submit([ids(3)] * 3, 30)
    assert sum(batcher._counters.bins.counts.values()) == 8
    assert len(batcher._counters.bins.censored) == 1


async def test_a_request_past_its_deadline_is_answered_on_time_and_never_sent(batcher, sink):
    batcher.submit([ids(1)], 30)
    (late,) = batcher.submit([ids(2)], 0.5)
    with pytest.raises(DeadlineError, match="nothing was computed"):
        await late.answer
    assert asyncio.get_running_loop().time() == pytest.approx(0.5, abs=0.01)
    await sink.answer()
    assert sink.sent == [[[1]]]
    assert batcher._counters.expired == 1


async def test_an_earlier_deadline_overtakes(batcher, sink):
    batcher.apply(HotSettings(1, 1, 512, 0.0, 6, 1))
    batcher.submit([ids(1)], 30)
    batcher.submit([ids(2)], 30)
    batcher.submit([ids(3)], 5)
    await sink.answer()
    await sink.answer()
    assert sink.sent == [[[1]], [[3]], [[2]]]


async def test_a_cancelled_request_leaves_the_queue(batcher, sink):
    batcher.submit([ids(1)], 30)
    gone = batcher.submit([ids(2)], 30)
    batcher.cancel(gone)
    await sink.answer()
    assert sink.sent == [[[1]]]
    assert batcher._counters.cancelled == 1
    assert batcher.is_idle()


async def test_a_request_cancelled_in_its_batch_does_not_disturb_its_neighbour(batcher, sink):
    batcher.submit([ids(1)], 30)
    gone = batcher.submit([ids(2)], 30)
    (stays,) = batcher.submit([ids(3)], 30)
    await sink.answer()
    batcher.cancel(gone)
    await sink.answer()
    assert (await stays.answer).label == "positive"
    assert batcher._counters.answered == 2


async def test_the_requests_of_a_dead_worker_are_tried_once_more_each_alone(batcher, sink):
    pair = batcher.submit([ids(1), ids(2)], 30)
    await sink.answer(WorkerDiedError("died"))
    await sink.answer()
    await sink.answer()
    assert sink.sent == [[[1], [2]], [[1]], [[2]]]
    assert [(await each.answer).label for each in pair] == ["positive", "negative"]


async def test_a_request_whose_worker_dies_twice_fails_alone(batcher, sink):
    killer, neighbour = batcher.submit([ids(1), ids(2)], 30)
    await sink.answer(WorkerDiedError("died"))
    await sink.answer(WorkerDiedError("died"))
    await sink.answer()
    with pytest.raises(WorkerDiedError):
        await killer.answer
    assert (await neighbour.answer).label == "negative"
    assert batcher._counters.failed == 1


async def test_a_call_that_could_never_fit_is_told_so_and_counts_as_no_arrival(batcher):
    with pytest.raises(TooLargeError, match="7 instances, the queue takes 6 at most"):
        batcher.submit([ids(1)] * 7, 30)
    assert not batcher._counters.bins.counts


async def test_a_request_that_waits_for_its_second_try_is_answered_at_its_deadline(batcher, sink):
    (request,) = batcher.submit([ids(1)], 2)
    sink.slots = 0  # the worker has died and no successor comes
    await sink.answer(WorkerDiedError("died"))
    with pytest.raises(DeadlineError, match="nothing was computed"):
        await request.answer
    assert asyncio.get_running_loop().time() == pytest.approx(2, abs=0.01)
    assert batcher.is_idle()


async def test_a_worker_that_hangs_keeps_nobody_waiting_and_is_given_up(batcher, sink):
    (request,) = batcher.submit([ids(1)], 2)
    with pytest.raises(DeadlineError, match="its worker has not answered"):
        await request.answer
    assert asyncio.get_running_loop().time() == pytest.approx(3, abs=0.01)
    assert not batcher.is_idle()
    (hung,) = sink.open
    await asyncio.wait([hung])
    assert hung.cancelled()
    await asyncio.sleep(0)
    assert batcher.is_idle()


async def test_an_answer_that_comes_a_little_late_is_an_answer(batcher, sink):
    (request,) = batcher.submit([ids(1)], 2)
    await asyncio.sleep(2.5)
    await sink.answer()
    assert (await request.answer).label == "positive"


async def test_a_text_that_the_network_refuses_is_not_tried_again(batcher, sink):
    (request,) = batcher.submit([ids(1)], 30)
    await sink.answer(RuntimeFailedError("no"))
    with pytest.raises(RuntimeFailedError):
        await request.answer
    assert len(sink.sent) == 1


async def test_with_a_delay_a_batch_leaves_when_the_delay_is_over(sink):
    batcher = make_batcher(sink, max_queue_delay_s=0.2)
    batcher.submit([ids(1)], 30)
    await asyncio.sleep(0.15)
    batcher.submit([ids(2)], 30)
    assert sink.sent == []
    await asyncio.sleep(0.06)
    assert sink.sent == [[[1], [2]]]


async def test_with_a_delay_a_full_batch_leaves_at_once(sink):
    batcher = make_batcher(sink, max_queue_delay_s=9.0, max_batch_size=2)
    batcher.submit([ids(1)], 30)
    batcher.submit([ids(2)], 30)
    assert sink.sent == [[[1], [2]]]


async def test_new_hot_settings_free_what_waited_for_the_old_ones(sink):
    batcher = make_batcher(sink, max_queue_delay_s=9.0)
    batcher.submit([ids(1)], 30)
    batcher.apply(HotSettings(1, 4, 512, 0.0, 6, 1))
    assert sink.sent == [[[1]]]


async def test_every_batch_is_counted_by_size_and_rounded_tokens(batcher, sink):
    batcher.submit([ids(*range(20))], 30)
    await sink.answer()
    ((key, times),) = batcher._counters.batches.items()
    assert key == (1, 32)
    assert (times.count, times.sum_s) == (1, 0.01)


async def test_two_slots_take_two_batches():
    sink = ScriptedSink(slots=2)
    batcher = make_batcher(sink)
    batcher.submit([ids(1)], 30)
    batcher.submit([ids(2)], 30)
    assert sink.sent == [[[1]], [[2]]]
