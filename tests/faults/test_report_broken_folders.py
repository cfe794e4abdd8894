"""A missing or half-written folder gives one line and exit code 2, and no report that could be mistaken for one."""

import shutil
from pathlib import Path

import pytest

from controller.cli import main
from controller.reports.journal import read_decisions
from controller.reports.sample import write_sample


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "demo-1"
    write_sample(folder)
    return folder


@pytest.fixture
def folder(sample_folder, tmp_path) -> Path:
    return Path(shutil.copytree(sample_folder, tmp_path / "demo-1"))


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 - 3])


def prepend(path, line):
    path.write_text(f"{line}\n{path.read_text()}")


BREAKS = {
    "no such folder": shutil.rmtree,
    "a file in its place": lambda folder: (shutil.rmtree(folder), folder.write_text("")),
    "an empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
    "a demo without a column": lambda folder: shutil.rmtree(folder / "defaults"),
    "no requests": lambda folder: (folder / "tidegate" / "requests.csv").unlink(),
    "no instances": lambda folder: (folder / "best_fixed" / "instances.csv").unlink(),
    "no run.json": lambda folder: (folder / "defaults" / "run.json").unlink(),
    "a run that was interrupted": lambda folder: (folder / "tidegate" / "run.json").write_text(
        '{"finished": false, "why": "interrupted"}'
    ),
    "half a run.json": lambda folder: cut(folder / "tidegate" / "run.json"),
    "half a demo.json": lambda folder: cut(folder / "demo.json"),
    "half a row": lambda folder: cut(folder / "tidegate" / "requests.csv"),
    "half a decision before others": lambda folder: prepend(folder / "tidegate" / "decisions.jsonl", '{"at_s": 1'),
    "a decision at no time": lambda folder: prepend(folder / "tidegate" / "decisions.jsonl", '{"at_s": NaN}'),
    "a decision beyond all time": lambda folder: prepend(
        folder / "tidegate" / "decisions.jsonl", f'{{"at_s": 1{"0" * 400}}}'
    ),
    "a decision of 5000 digits": lambda folder: prepend(
        folder / "tidegate" / "decisions.jsonl", f'{{"at_s": 1{"0" * 5000}}}'
    ),
    "a decision nested too deeply": lambda folder: prepend(folder / "tidegate" / "decisions.jsonl", "[" * 100_000),
    "bytes for requests": lambda folder: (folder / "tidegate" / "requests.csv").write_bytes(b"\xff\xfe\x00"),
    "a decision without a time": lambda folder: (folder / "tidegate" / "settings.jsonl").write_text("{}\n"),
    "a list for run.json": lambda folder: (folder / "tidegate" / "run.json").write_text("[]"),
    "bytes for run.json": lambda folder: (folder / "tidegate" / "run.json").write_bytes(b"\xff\xfe\x00"),
    "an unknown class": lambda folder: (folder / "tidegate" / "requests.csv").write_text(
        "index,intended_s,sent_s,done_s,status,class,tokens\n0,0,0,1,200,<b>,3\n"
    ),
    "an unknown price list": lambda folder: (folder / "demo.json").write_text('{"prices": "no such list"}'),
    "half a list of trials": lambda folder: ((folder / "sweep.json").write_text("{}"), cut(folder / "sweep.json")),
    "a sweep without an objective": lambda folder: (folder / "sweep.json").write_text('{"document": {"spec": {}}}'),
}


@pytest.mark.parametrize("damage", BREAKS.values(), ids=BREAKS)
def test_a_broken_folder_gives_one_line_and_no_report(folder, damage, capsys):
    damage(folder)

    assert main(["report", str(folder)]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tidegate report: ")
    assert not list(folder.glob("report*"))


def test_a_last_decision_that_was_cut_off_is_left_out(folder):
    path = folder / "tidegate" / "decisions.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[-1][:-3])

    assert len(read_decisions(path)) == len(whole.splitlines())
    assert main(["report", str(folder)]) == 0


def test_a_last_decision_that_only_lacks_its_line_end_counts(folder):
    path = folder / "tidegate" / "decisions.jsonl"
    whole = path.read_text()
    path.write_text(whole.rstrip("\n"))

    assert len(read_decisions(path)) == len(whole.splitlines())


def test_a_folder_without_an_objective_says_what_to_add(folder, capsys):
    for document in (folder / "demo.json", *folder.glob("*/run.json")):
        document.write_text("{}")

    assert main(["report", str(folder)]) == 2
    assert '"slo"' in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(folder, capsys, monkeypatch):
    whole = Path.write_text

    def full(path: Path, content: str, **options) -> int:
        whole(path, content[:100], **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)

    assert main(["report", str(folder)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list(folder.glob("report*"))
