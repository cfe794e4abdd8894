from array import array

from hypothesis import given
from hypothesis import strategies as st

from inference_service.workers.messages import (
    PREDICTED,
    WorkerAnswer,
    decode_answer,
    decode_batch,
    encode_answer,
    encode_batch,
    take_frames,
)

TEXTS = st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20), min_size=1, max_size=8)


@given(st.integers(0, 2**32 - 1), TEXTS)
def test_a_batch_survives_the_pipe(batch_id, texts):
    received = bytearray(encode_batch(batch_id, [array("i", text) for text in texts]))
    (body,) = take_frames(received)
    got_id, lengths, token_ids = decode_batch(body)
    assert (got_id, list(lengths)) == (batch_id, [len(text) for text in texts])
    assert list(token_ids) == [token for text in texts for token in text]


def test_an_answer_survives_the_pipe():
    answer = WorkerAnswer(7, PREDICTED, 0.125, 2.5, array("f", [0.25, 0.75]).tobytes())
    (body,) = take_frames(bytearray(encode_answer(answer)))
    assert decode_answer(body) == answer
    assert list(decode_answer(body).probabilities()) == [0.25, 0.75]


@given(TEXTS, st.integers(1, 50))
def test_frames_are_found_however_the_bytes_arrive(texts, piece):
    stream = b"".join(encode_batch(i, [array("i", text)]) for i, text in enumerate(texts))
    received, found = bytearray(), []
    for begin in range(0, len(stream), piece):
        received += stream[begin : begin + piece]
        found += [decode_batch(body)[0] for body in take_frames(received)]
    assert found == list(range(len(texts)))
    assert received == b""
