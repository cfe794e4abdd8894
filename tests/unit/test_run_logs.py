"""requests.csv and instances.csv: what is written comes back, and what is broken is named."""

from __future__ import annotations

import math

import numpy as np
import pytest

from controller.domain.instance_log import InstanceRow, read_instance_log, write_instance_log
from controller.domain.request_log import RequestRow, read_request_log, write_request_log
from controller.errors import BadInputError

OK = RequestRow(0, 1.0, 1.001, 1.25, 200, "ok", 12)
LOST = RequestRow(1, 2.0, 2.0, math.nan, 0, "error", 30)
REQUESTS = b"index,intended_s,sent_s,done_s,status,class,tokens\n"
INSTANCES = b"instance,revision,started_s,ready_s,stopped_s,vcpu,memory_mb\n"
WARM_UP = RequestRow(2, 0.5, 0.5, 0.6, 200, "warm_up", 9)


def test_requests_come_back_without_the_warm_up(tmp_path):
    path = tmp_path / "requests.csv"
    write_request_log(path, [LOST, OK, WARM_UP])
    log = read_request_log(path)
    assert log.intended_s.tolist() == [1.0, 2.0]
    assert log.answered.tolist() == [True, False]


def test_latency_runs_from_the_intended_instant_and_is_infinite_without_an_answer(tmp_path):
    path = tmp_path / "requests.csv"
    write_request_log(path, [OK, LOST])
    np.testing.assert_allclose(read_request_log(path).latency_s, [0.25, math.inf])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "line 1"),
        ("index,when\n", "line 1"),
        ("index,intended_s,sent_s,done_s,status,class,tokens\n0,1,1,1,200,fine,3\n", "line 2: class 'fine'"),
        ("index,intended_s,sent_s,done_s,status,class,tokens\n0,1,x,1,200,ok,3\n", "line 2"),
    ],
)
def test_a_broken_request_log_names_the_line(tmp_path, text, named):
    path = tmp_path / "requests.csv"
    path.write_text(text)
    with pytest.raises(BadInputError, match=named):
        read_request_log(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\xff\xfe\x00", "is no table of text"),
        (REQUESTS + b"0,1,1,1,200,ok," + b"x" * 200_000, "is no table of text"),
        (REQUESTS + b"0,1,1,1,200,ok,99999999999999999999\n", "line 2: needs whole numbers up to"),
        (REQUESTS + b"0,1,1,1,200,ok,1" + b"0" * 5000 + b"\n", "line 2: needs 7 cells with numbers"),
    ],
)
def test_a_request_log_that_is_no_table_or_holds_a_huge_number_is_refused_in_one_line(tmp_path, content, named):
    path = tmp_path / "requests.csv"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=named) as caught:
        read_request_log(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\xff\xfe\x00", "is no table of text"),
        (INSTANCES + b"a," + b"x" * 200_000, "is no table of text"),
        (INSTANCES + b"a,1,0,0,1,1,1" + b"0" * 400 + b"\n", "line 2: needs a memory_mb up to"),
    ],
)
def test_an_instance_log_that_is_no_table_or_holds_a_huge_number_is_refused_in_one_line(tmp_path, content, named):
    path = tmp_path / "instances.csv"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=named):
        read_instance_log(path)


def test_a_missing_log_names_the_file_and_the_remedy(tmp_path):
    with pytest.raises(BadInputError, match="give the folder of a finished run"):
        read_request_log(tmp_path / "requests.csv")


def test_instances_come_back_with_their_open_ends(tmp_path):
    path = tmp_path / "instances.csv"
    row = InstanceRow("a-1", "00001", -0.5, math.nan, math.nan, 1.0, 512)
    write_instance_log(path, [row])
    (read,) = read_instance_log(path)
    assert (read.instance, read.started_s, read.memory_mb) == ("a-1", -0.5, 512)
    assert math.isnan(read.ready_s)
    assert math.isnan(read.stopped_s)


def test_an_instance_is_billed_from_start_to_stop_inside_the_run():
    row = InstanceRow("a-1", "00001", -2.0, 0.0, 30.0, 1.0, 512)
    assert row.billed_s(0.0, 90.0) == 30.0
    assert row.billed_s(0.0, 20.0) == 20.0
    assert row.billed_s(40.0, 90.0) == 0.0
    assert InstanceRow("a-2", "00001", 10.0, 11.0, math.nan, 1.0, 512).billed_s(0.0, 90.0) == 80.0


def test_nothing_half_written_is_left_under_the_name(tmp_path):
    def rows():
        yield OK
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_request_log(tmp_path / "requests.csv", rows())
    assert not (tmp_path / "requests.csv").exists()
