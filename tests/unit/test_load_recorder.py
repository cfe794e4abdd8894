from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING

import pytest

from controller.domain.request_log import read_request_log
from controller.errors import BadInputError
from loadtest.options import FLAGS, check_options
from loadtest.recorder import record

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.generator import Share
    from loadtest.options import LoadOptions


@pytest.fixture
def options(tmp_path: Path) -> LoadOptions:
    """Five requests, one a second, measured from 1 s on."""
    given = {flag[2:].replace("-", "_"): details.get("default") for flag, details in FLAGS.items()}
    given |= {
        "host": "http://127.0.0.1:1",
        "arrivals": '{"kind": "trace", "times_s": [0, 1, 2, 3, 4]}',
        "duration": 5.0,
    }
    options = check_options(
        argparse.Namespace(**given | {"out": str(tmp_path / "run"), "overwrite": False, "warm_up_s": 0.5})
    )
    options.folder.begin()
    return options


def share(worker: int, sent_s: list[float], *, cpu_s: float = 1.0, elapsed_s: float = 5.0) -> Share:
    return {
        "worker": worker,
        "sent_s": sent_s,
        "done_s": [sent + 0.25 for sent in sent_s],
        "status": [200 if math.isfinite(sent) else 0 for sent in sent_s],
        "request_class": ["ok" if math.isfinite(sent) else "error" for sent in sent_s],
        "reasons": {"timed out": worker},
        "skipped": 0,
        "priority": "ordinary",
        "cpu_s": cpu_s,
        "elapsed_s": elapsed_s,
    }


def test_the_shares_of_two_workers_interleave(options: LoadOptions, tmp_path: Path):
    shares = [share(1, [1.0, 3.0], cpu_s=3.0), share(0, [0.0, 2.0, 4.0])]
    document = record(options, shares, started_at=0.0, workers=2)
    log = read_request_log(tmp_path / "run" / "requests.csv")
    assert log.sent_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert document is not None
    assert document["generator"]["cpu_share"] == 0.6
    assert document["generator"]["cpu_ms_per_request"] == 800
    assert document["failures"] == {"timed out": 1}
    assert document["classes"]["warm_up"]["count"] == 1
    assert json.loads((tmp_path / "run" / "load.json").read_text()) == document


def test_an_interrupted_run_keeps_what_was_due_under_another_name_and_is_invalid(options: LoadOptions, tmp_path: Path):
    shares = [share(0, [0.0, 1.0, math.nan, math.nan, math.nan], elapsed_s=1.5)]
    document = record(options, shares, started_at=0.0, workers=1, trouble="interrupted")
    assert document is not None
    assert (document["valid"], document["why"], document["requests"]) == (False, "interrupted", 2)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["load.json", "requests.interrupted.csv"]


def test_a_run_interrupted_before_anything_was_due_leaves_nothing(options: LoadOptions, tmp_path: Path):
    shares = [share(0, [math.nan] * 5, elapsed_s=-0.2)]
    assert record(options, shares, started_at=0.0, workers=1, trouble="interrupted") is None
    assert list((tmp_path / "run").iterdir()) == []


def test_rows_do_not_stay_without_a_word_on_their_validity(options: LoadOptions, tmp_path: Path):
    (tmp_path / "run" / "load.json.partial").mkdir()
    with pytest.raises(BadInputError, match=r"load.json: cannot be written"):
        record(options, [share(0, [0.0, 1.0, 2.0, 3.0, 4.0])], started_at=0.0, workers=1)
    assert not (tmp_path / "run" / "requests.csv").exists()
