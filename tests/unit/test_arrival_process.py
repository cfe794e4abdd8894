import json
from pathlib import Path

import numpy as np
import pytest

from controller.domain.arrival_map import Map, mmpp, on_off
from controller.domain.arrival_process import (
    Phase,
    Phases,
    PoissonProcess,
    Trace,
    arrival_process_from_document,
    arrival_process_to_document,
    as_map,
    read_arrivals,
    read_times,
    sample_arrivals,
)
from controller.errors import BadInputError

BURSTY = {"kind": "mmpp", "rates_rps": [10, 120], "switching_per_s": [[0, 0.05], [0.05, 7]]}


def parse(document, base=Path()):
    return arrival_process_from_document(document, where="arrivals", base=base)


def test_mmpp_document_gives_a_map_with_its_mean_rate_and_ignores_the_diagonal():
    process = parse(BURSTY)
    assert isinstance(process, Map)
    assert process.rate_rps == pytest.approx(65)
    assert process.D0.tolist() == [[-10.05, 0.05], [0.05, -120.05]]


def test_readers_ignore_diagnostics():
    assert parse({"kind": "poisson", "rate_rps": 3, "diagnostics": {"n": 7}}) == PoissonProcess(3.0)


@pytest.mark.parametrize(
    "process",
    [
        PoissonProcess(2.5),
        mmpp(np.array([1.0, 9.0]), np.array([[0, 0.1], [0.2, 0]])),
        Map(np.array([[-11.0, 0], [0, -202.0]]), np.array([[1.0, 10], [200, 2]])),
        Trace(np.array([0.5, 0.5, 2.0])),
        Phases((Phase(2.0, PoissonProcess(0)), Phase(1.0, PoissonProcess(9)))),
    ],
)
def test_a_process_survives_its_document(process):
    document = json.loads(json.dumps(arrival_process_to_document(process)))
    again = parse(document)
    assert type(again) is type(process)
    assert arrival_process_to_document(again) == document


@pytest.mark.parametrize(
    ("process", "rate"),
    [
        (PoissonProcess(50), 50),
        (on_off(on_rps=100, on_s=1, off_s=3), 25),
        (Map(np.array([[-11.0, 0], [0, -202.0]]), np.array([[1.0, 10], [200, 2]])), 20.10),
        (Phases((Phase(3.0, PoissonProcess(0)), Phase(1.0, PoissonProcess(80)))), 20),
    ],
)
def test_sampled_arrivals_are_sorted_inside_the_duration_and_have_the_rate(process, rate):
    times = sample_arrivals(process, duration_s=2000, rng=np.random.default_rng(3))
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < 2000
    assert times.size / 2000 == pytest.approx(rate, rel=0.1)


def test_the_same_seed_gives_the_same_arrivals():
    process = parse(BURSTY)
    first, second = (sample_arrivals(process, duration_s=60, rng=np.random.default_rng(5)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_phases_follow_each_other_and_begin_again():
    process = Phases((Phase(10.0, PoissonProcess(0)), Phase(10.0, PoissonProcess(100))))
    times = sample_arrivals(process, duration_s=35, rng=np.random.default_rng(1))
    counts, _ = np.histogram(times, bins=[0, 10, 20, 30, 35])
    assert counts[0] == counts[2] == 0
    assert counts[1] > 900
    assert counts[3] > 400


def test_a_trace_is_replayed_up_to_the_duration():
    times = sample_arrivals(Trace(np.array([0.0, 1.0, 5.0])), duration_s=5, rng=np.random.default_rng(0))
    assert times.tolist() == [0.0, 1.0]


def test_poisson_as_a_map_has_one_phase():
    assert as_map(PoissonProcess(4)).D1.tolist() == [[4.0]]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (3, "needs a JSON object"),
        ({}, "'kind' is missing"),
        ({"kind": "pareto"}, "unknown kind 'pareto'; known are poisson"),
        ({"kind": "poisson"}, "'rate_rps' is missing"),
        ({"kind": "poisson", "rate_rps": "10"}, "needs a number, got the text '10'"),
        ({"kind": "poisson", "rate_rps": True}, "needs a number"),
        ({"kind": "poisson", "rate_rps": float("nan")}, "finite"),
        ({"kind": "poisson", "rate_rps": -1}, "from 1e-09 to 1e+09"),
        ({"kind": "poisson", "rate_rps": 0}, "positive rate"),
        ({"kind": "mmpp", "rates_rps": [1, 2], "switching_per_s": [[0, 1]]}, "2 x 2 matrix"),
        ({"kind": "mmpp", "rates_rps": [1, 2], "switching_per_s": [[0, 1], [2]]}, "needs 2 numbers"),
        ({"kind": "mmpp", "rates_rps": [1, -2], "switching_per_s": [[0, 1], [2, 0]]}, "must not be negative"),
        ({"kind": "mmpp", "rates_rps": [1, 2], "switching_per_s": [[0, 0], [2, 0]]}, "reachable"),
        ({"kind": "mmpp", "rates_rps": [0, 0], "switching_per_s": [[0, 1], [2, 0]]}, "no arrivals"),
        ({"kind": "map", "D0": [[-1, 0], [0, -2]], "D1": [[0, 1], [1, 0]]}, "row 1 sums to -1"),
        ({"kind": "map", "D0": [[-1]], "D1": [[0, 1], [1, 0]]}, "same square shape"),
        ({"kind": "on_off", "on_rps": 5, "on_s": 0, "off_s": 1}, "must be positive"),
        ({"kind": "phases", "phases": []}, "empty list"),
        ({"kind": "phases", "phases": [{"duration_s": -1, "arrivals": BURSTY}]}, "positive number of seconds"),
        ({"kind": "trace", "file": "absent.txt"}, "cannot be read"),
        ({"kind": "trace", "times_s": [2, 1]}, "ascending"),
    ],
)
def test_a_bad_document_is_one_line_naming_place_and_rule(document, words, tmp_path):
    with pytest.raises(BadInputError) as caught:
        parse(document, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(("arrivals", str(tmp_path)))
    assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("1\nx\n", "line 2: needs one arrival instant"),
        ("1\nnan\n", "line 2"),
        ("-1\n2\n", "line 1: instants must not be negative"),
        ("1\n\n3\n2\n", "line 4: instants must ascend, got 2 after 3"),
    ],
)
def test_a_bad_trace_names_its_line(text, words, tmp_path):
    path = tmp_path / "times.txt"
    path.write_text(text)
    with pytest.raises(BadInputError, match=words):
        read_times(path)


def test_a_trace_is_relative_to_its_document(tmp_path):
    (tmp_path / "times.txt").write_text("0.5\n1.5\n")
    (tmp_path / "a.json").write_text('{"kind": "trace", "file": "times.txt"}')
    process = read_arrivals(tmp_path / "a.json")
    assert isinstance(process, Trace)
    assert process.times_s.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_without_json_is_one_line(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="give an arrivals document"):
        read_arrivals(path)
