"""Laws that every schedule obeys, whatever the arrivals."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from controller.domain.arrival_process import ArrivalProcess, Phase, Phases, PoissonProcess, Trace
from controller.domain.request_log import RequestRow, read_request_log, write_request_log
from loadtest.outcomes import Outcomes, request_rows
from loadtest.payloads import Payloads
from loadtest.schedule import Schedule, make_schedule, read_schedule, write_schedule

PAYLOADS = Payloads("three", ("a", "b c", "d e f"), (3, 4, 6))

traces = st.lists(st.floats(0, 3.99), min_size=1, max_size=50).map(lambda times: Trace(np.sort(np.array(times))))
poisson = st.floats(20, 200).map(PoissonProcess)
phases = st.lists(st.builds(Phase, st.floats(0.1, 3), poisson), min_size=1, max_size=3).map(
    lambda parts: Phases(tuple(parts))
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    process: ArrivalProcess = draw(st.one_of(traces, poisson, phases))
    return make_schedule(process, duration_s=4.0, seed=draw(st.integers(0, 2**64)), payloads=PAYLOADS)


@given(schedules())
def test_requests_are_in_order_of_time_inside_the_run_and_carry_known_texts(schedule: Schedule):
    assert (np.diff(schedule.intended_s) >= 0).all()
    assert (schedule.intended_s >= 0).all()
    assert (schedule.intended_s <= 4.0).all()
    assert [PAYLOADS.tokens[text] for text in schedule.text_id] == schedule.tokens.tolist()


@given(schedules())
def test_a_saved_schedule_comes_back_bit_for_bit(schedule: Schedule):
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "first.csv"), Path(folder, "second.csv")
        write_schedule(first, schedule)
        again = read_schedule(first, PAYLOADS)
        write_schedule(second, again)
        assert first.read_bytes() == second.read_bytes()
    assert again.intended_s.tobytes() == schedule.intended_s.tobytes()
    assert again.text_id.tolist() == schedule.text_id.tolist()


@given(schedules(), st.floats(0, 4))
def test_each_request_of_the_schedule_has_one_row_and_warm_up_ones_are_not_measured(
    schedule: Schedule, warm_up_s: float
):
    rows = list(request_rows(schedule, Outcomes.none_yet(len(schedule)), warm_up_s=warm_up_s))
    assert [row.index for row in rows] == list(range(len(schedule)))
    assert all((row.request_class == "warm_up") == (row.intended_s < warm_up_s) for row in rows)
    assert len(measured(rows)) == int((schedule.intended_s >= warm_up_s).sum())


def measured(rows: list[RequestRow]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        write_request_log(Path(folder, "requests.csv"), rows)
        return read_request_log(Path(folder, "requests.csv")).intended_s
