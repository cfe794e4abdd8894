from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from controller.domain.arrival_process import Phase, Phases, PoissonProcess, Trace
from controller.errors import BadInputError
from loadtest.payloads import Payloads, load_payloads
from loadtest.schedule import make_schedule, read_schedule, write_schedule

if TYPE_CHECKING:
    from pathlib import Path

PAYLOADS = Payloads("two", ("good", "not very good"), (3, 6))
HEAD = "index,intended_s,tokens,text_id\n"


def test_one_seed_gives_one_file(tmp_path: Path):
    for name in ("a", "b"):
        schedule = make_schedule(PoissonProcess(50), duration_s=5, seed=7, payloads=PAYLOADS)
        write_schedule(tmp_path / name, schedule)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_replayed_schedule_is_the_saved_one_bit_for_bit(tmp_path: Path):
    schedule = make_schedule(PoissonProcess(50), duration_s=5, seed=7, payloads=PAYLOADS)
    write_schedule(tmp_path / "saved", schedule)
    replayed = read_schedule(tmp_path / "saved", PAYLOADS)
    write_schedule(tmp_path / "again", replayed)
    assert (tmp_path / "saved").read_bytes() == (tmp_path / "again").read_bytes()
    assert replayed.intended_s.tolist() == schedule.intended_s.tolist()


def test_another_seed_gives_other_arrivals_and_texts():
    one, two = (make_schedule(PoissonProcess(50), duration_s=5, seed=s, payloads=PAYLOADS) for s in (1, 2))
    assert one.intended_s.tolist() != two.intended_s.tolist()
    assert one.text_id[:20].tolist() != two.text_id[:20].tolist()


def test_arrivals_stay_the_same_when_the_payloads_change():
    short, long = (
        make_schedule(PoissonProcess(50), duration_s=5, seed=1, payloads=load_payloads(kind))
        for kind in ("short", "imdb")
    )
    assert short.intended_s.tolist() == long.intended_s.tolist()


def test_a_trace_is_replayed_as_recorded():
    schedule = make_schedule(Trace(np.array([0.5, 0.25 + 0.5, 9])), duration_s=5, seed=1, payloads=PAYLOADS)
    assert schedule.intended_s.tolist() == [0.5, 0.75]


@pytest.mark.parametrize("process", [Trace(np.array([10.0])), PoissonProcess(1e-9)], ids=["later", "hardly ever"])
def test_a_schedule_without_requests_is_bad_input(process: Trace | PoissonProcess):
    with pytest.raises(BadInputError, match="nothing arrives within 5 s"):
        make_schedule(process, duration_s=5, seed=1, payloads=PAYLOADS)


@pytest.mark.parametrize(
    "process",
    [PoissonProcess(1e7), Phases((Phase(1, PoissonProcess(0)), Phase(1, PoissonProcess(1e8))))],
    ids=["poisson", "phases"],
)
def test_a_schedule_that_no_run_can_hold_is_refused_before_it_is_drawn(process: PoissonProcess | Phases):
    with pytest.raises(BadInputError, match="more than 5000000"):
        make_schedule(process, duration_s=10, seed=1, payloads=PAYLOADS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1 needs the columns"),
        ("0,1,2,3\n", "line 1 needs the columns"),
        (HEAD, "holds no request"),
        (HEAD + "0,0.5,3\n", "line 2: needs four numbers"),
        (HEAD + "0,soon,3,0\n", "line 2: needs four numbers"),
        (HEAD + "0,0.5,3,0\n2,0.6,3,0\n", "line 3: rows need rising index"),
        (HEAD + "0,0.5,3,0\n1,0.4,3,0\n", "line 3: rows need rising index and intended_s"),
        (HEAD + "0,-0.5,3,0\n", "line 2: rows need rising"),
        (HEAD + "0,nan,3,0\n", "line 2: rows need rising"),
        (HEAD + "0,0.5,3,2\n", "text 2 with 3 tokens is not in --payloads two"),
        (HEAD + "0,0.5,9,1\n", "text 1 with 9 tokens is not in --payloads two"),
    ],
)
def test_a_broken_schedule_is_named_with_its_line(tmp_path: Path, content: str, message: str):
    file = tmp_path / "schedule.csv"
    file.write_text(content)
    with pytest.raises(BadInputError, match=message):
        read_schedule(file, PAYLOADS)


def test_a_schedule_that_is_no_text_is_bad_input(tmp_path: Path):
    file = tmp_path / "schedule.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInputError, match="is no table of text"):
        read_schedule(file, PAYLOADS)


def test_a_missing_schedule_is_bad_input(tmp_path: Path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_schedule(tmp_path / "none.csv", PAYLOADS)
