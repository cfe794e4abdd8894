"""What the loop leaves behind: lines that are whole, a state that appears whole or not at all."""

import json
import resource

import pytest

from controller.errors import TemporaryError
from controller.monitor.journal import LARGEST_STATE_BYTES, Journal, StateFile


def test_decisions_and_changes_are_lines_of_json(tmp_path):
    told = []
    journal = Journal(tmp_path, tell=told.append)
    journal.decided({"at_s": 1.5, "reason": "keep: so"})
    journal.decided({"at_s": 2.5, "reason": "apply: so"})
    journal.changed({"at_s": 2.5, "price": "hot"})
    lines = (tmp_path / "decisions.jsonl").read_text().splitlines()
    assert [json.loads(line)["at_s"] for line in lines] == [1.5, 2.5]
    assert json.loads((tmp_path / "settings.jsonl").read_text()) == {"at_s": 2.5, "price": "hot"}
    assert told == ["     1.5 s  keep: so", "     2.5 s  apply: so"]


def test_a_summary_counts_what_was_recorded_and_names_the_last_decision(tmp_path):
    journal = Journal(tmp_path)
    journal.decided({"at_s": 1.5, "reason": "keep: so"})
    journal.decided({"at_s": 2.5, "reason": "apply: so"})
    journal.changed({"at_s": 2.5, "price": "hot"})
    journal.spent(cpu_s=0.25)
    last = {"at_s": 2.5, "reason": "apply: so"}
    expected = {"folder": str(tmp_path), "decisions": 2, "changes": 1, "last_decision": last, "cpu_s": 0.25}
    assert journal.summary() == expected


def test_a_disk_that_refuses_is_a_trouble_that_may_pass(tmp_path):
    with pytest.raises(TemporaryError, match=r"decisions\.jsonl: cannot be written"):
        Journal(tmp_path / "gone").decided({"at_s": 1.0, "reason": ""})


def test_a_state_is_read_as_it_was_written(tmp_path):
    file = StateFile(tmp_path / "state.json")
    assert file.read() is None
    file.write({"schema": 1})
    file.write({"schema": 1, "margin": 1.25})
    assert file.read() == {"schema": 1, "margin": 1.25}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", "[" * 100_000])
def test_a_broken_state_is_no_state(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    assert StateFile(tmp_path / "state.json").read() is None


def test_a_state_that_is_too_large_leaves_the_old_one(tmp_path):
    file = StateFile(tmp_path / "state.json")
    file.write({"old": True})
    with pytest.raises(TemporaryError, match="above 32768"):
        file.write({"new": "x" * LARGEST_STATE_BYTES})
    assert file.read() == {"old": True}


def test_a_line_that_the_disk_cuts_off_is_taken_back(tmp_path):
    journal = Journal(tmp_path)
    journal.changed({"at_s": 1.0})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        with pytest.raises(TemporaryError, match=r"settings\.jsonl: cannot be written"):
            journal.changed({"at_s": 2.0, "why": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.changed({"at_s": 3.0})
    assert [json.loads(line)["at_s"] for line in (tmp_path / "settings.jsonl").read_text().splitlines()] == [1.0, 3.0]


def test_what_a_restarted_loop_spends_is_added_to_what_was_spent(tmp_path):
    Journal(tmp_path).spent(cpu_s=1.5)
    again = Journal(tmp_path)
    again.spent(cpu_s=0.2)
    again.spent(cpu_s=0.25)
    assert json.loads((tmp_path / "controller.json").read_text()) == {"cpu_s": 1.75}
    assert again.summary()["cpu_s"] == 0.25


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cpu_s": NaN}', '{"cpu_s": "x"}', "[" * 100_000])
def test_a_broken_account_of_what_was_spent_counts_as_none(tmp_path, text):
    (tmp_path / "controller.json").write_text(text)
    Journal(tmp_path).spent(cpu_s=1.5)
    assert json.loads((tmp_path / "controller.json").read_text()) == {"cpu_s": 1.5}
