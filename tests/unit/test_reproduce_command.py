"""`tidegate reproduce`: one paper or all, one document, bad input in one line."""

import json

import pytest

from controller.baselines.jbmp_surfaces import SurfaceKind
from controller.cli import main
from controller.performance_model.poisson_calls import CallLoad
from controller.reproduce.jbmp_contest import Effort
from controller.reproduce.papers import PAPERS
from controller.reproduce.rows import Done, Reproduction, Requirement, Row

QUICK = Effort(
    networks=("resnet",),
    functions=1,
    families=(SurfaceKind("resnet", loads_model=False),),
    regret_functions=1,
    loads=(CallLoad(10.0, 2.0),),
    rates_rps=(10.0,),
    rate_functions=1,
    online_networks=(),
)


def stub(paper):
    """A paper that is done at once, with a requirement that is missed."""

    def done(order, tell):
        tell("step")
        (order.folder / f"{paper}.svg").write_text("<svg />")
        row = Row(quantity="cost", unit="USD", design=paper, reproduced=float(order.hours), ours=float(order.seed))
        required = [Requirement("cost", 2.0, 1.0, "here", holds=False)]
        return Done(Reproduction(paper, [row], required, [f"{paper}.svg"]), f"table of {paper}")

    return done


@pytest.fixture
def stubs(monkeypatch):
    for name, paper in PAPERS.items():
        monkeypatch.setitem(PAPERS, name, type(paper)(paper.title, 1, stub(name)))


@pytest.mark.usefixtures("stubs")
def test_all_writes_papers_and_ablations_in_one_document_and_ends_well_whatever_is_missed(tmp_path, capsys):
    assert main(["reproduce", "all", "--out", str(tmp_path / "new"), "--seed", "5", "--hours", "2"]) == 0
    document = json.loads((tmp_path / "new" / "reproduce.json").read_text())
    assert [each["paper"] for each in document["papers"]] == ["batch", "parallel", "jbmp", "ablations"]
    assert document["seed"] == 5
    assert document["papers"][0]["rows"][0]["reproduced"] == 2
    shown = capsys.readouterr()
    assert (
        shown.out.index("batch: Ali et al.") < shown.out.index("table of parallel") < shown.out.index("table of jbmp")
    )
    assert shown.err == f"written: {tmp_path / 'new' / 'reproduce.json'} and 4 figures beside it\n"


@pytest.mark.usefixtures("stubs")
def test_json_is_the_document_alone(tmp_path, capsys):
    assert main(["reproduce", "batch", "--out", str(tmp_path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((tmp_path / "reproduce.json").read_text())
    assert shown["papers"][0]["rows"][0]["reproduced"] == 24


def test_jbmp_is_run_for_real(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("controller.reproduce.papers.EFFORT", QUICK)
    assert main(["reproduce", "jbmp", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "JBMP repaired, warm workers, resnet" in shown.out
    assert "1 figure beside it" in shown.err


@pytest.mark.parametrize(
    ("paper", "flags", "words"),
    [
        ("batch", ("--hours", "0"), "--hours: needs a whole number from 1 to 48, got 0"),
        ("all", ("--hours", "49"), "--hours: needs a whole number from 1 to 48, got 49"),
        ("jbmp", ("--hours", "3"), "--hours: jbmp judges no hours of traffic, got 3; leave it out"),
        ("parallel", ("--seed", "-1"), "--seed: needs a whole number"),
    ],
)
def test_flags_that_make_no_sense_are_one_line(paper, flags, words, tmp_path, capsys):
    assert main(["reproduce", paper, "--out", str(tmp_path), *flags]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "all", "--out", str(tmp_path / "file")]) == 2
    shown = capsys.readouterr().err
    assert f"--out: {tmp_path / 'file'} cannot be made" in shown
    assert "name another folder" in shown


def test_a_folder_that_takes_no_file_is_refused_before_any_work(capsys):
    assert main(["reproduce", "all", "--out", "/proc"]) == 2
    shown = capsys.readouterr().err
    assert "--out: /proc cannot be written to" in shown
    assert shown.count("\n") == 1


def test_an_unknown_paper_is_refused_with_those_that_are_known(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "other", "--out", str(tmp_path)])
    assert stop.value.code == 2
    shown = capsys.readouterr().err
    assert "'other'" in shown
    assert all(name in shown for name in (*PAPERS, "all"))


def test_an_interrupt_ends_with_130_and_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(PAPERS, "parallel", type(PAPERS["parallel"])("title", 1, interrupted))
    assert main(["reproduce", "parallel", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "tidegate reproduce: interrupted\n"
    assert list(tmp_path.iterdir()) == []
