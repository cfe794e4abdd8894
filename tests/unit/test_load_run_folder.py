from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from controller.errors import BadInputError
from loadtest.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["requests.csv", "load.json", "schedule.csv", "requests.interrupted.csv"])
def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path, name: str):
    (tmp_path / name).touch()
    with pytest.raises(BadInputError, match=f"already holds a run .{name}.*--overwrite"):
        RunFolder(tmp_path, None, overwrite=False).check()


def test_a_folder_with_other_files_may_be_used(tmp_path: Path):
    (tmp_path / "run.json").touch()
    RunFolder(tmp_path, None, overwrite=False).check()


def test_a_replay_may_go_into_the_folder_of_its_own_schedule(tmp_path: Path):
    (tmp_path / "schedule.csv").touch()
    RunFolder(tmp_path, tmp_path / "schedule.csv", overwrite=False).check()


def test_a_replay_of_a_schedule_elsewhere_may_not_replace_one(tmp_path: Path):
    (tmp_path / "schedule.csv").touch()
    with pytest.raises(BadInputError, match="already holds a run"):
        RunFolder(tmp_path, tmp_path / "other.csv", overwrite=False).check()


def test_overwriting_takes_old_results_away_before_the_run(tmp_path: Path):
    (tmp_path / "load.json").touch()
    folder = RunFolder(tmp_path, None, overwrite=True)
    folder.check()
    folder.begin()
    assert not (tmp_path / "load.json").exists()


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="is no folder"):
        RunFolder(tmp_path / "file", None, overwrite=False).check()


def test_a_folder_that_cannot_be_made_is_bad_input(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot be written to"):
        RunFolder(tmp_path / "file" / "run", None, overwrite=False).begin()


def test_a_file_that_fails_halfway_leaves_nothing(tmp_path: Path):
    def fill_the_disk(path: Path) -> None:
        path.write_text("half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BadInputError, match=r"requests.csv: cannot be written .No space left on device.; free some"):
        RunFolder(tmp_path, None, overwrite=False).write("requests.csv", fill_the_disk)
    assert list(tmp_path.iterdir()) == []
