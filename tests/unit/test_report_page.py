"""The page of a run: whole, in order, self-contained, and safe with hostile names."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli import main
from controller.reports.decision_tables import MOST_ROWS, shown_decisions
from controller.reports.page import run_page
from controller.reports.readme_picture import readme_picture
from controller.reports.report import build_report, write_report
from controller.reports.sample import write_sample

SECTIONS = ("verdict", "arrivals", "latency", "instances", "decisions", "forecasts", "cost", "measured", "words")
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "demo-1"
    write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def page(sample_folder) -> str:
    return run_page(build_report(sample_folder))


@pytest.fixture
def folder(sample_folder, tmp_path) -> Path:
    return Path(shutil.copytree(sample_folder, tmp_path / "demo-1"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sections_come_in_reading_order(page):
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == SECTIONS


def test_the_page_is_one_small_file_that_fetches_nothing(page):
    assert len(page.encode()) < 1_500_000
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=|url\(|@import", page)


def test_every_figure_says_in_words_what_it_shows(page):
    figures = re.findall(r"<svg [^>]*>", page)

    assert len(figures) == 10
    assert all('role="img"' in figure and re.search(r'aria-label="[^"]{20,}"', figure) for figure in figures)


def test_tables_name_their_rows_and_columns(page):
    assert '<html lang="en">' in page
    assert page.count("<caption>") == page.count("<table") == 4
    assert '<th scope="col"' in page
    assert '<th scope="row"' in page


def test_hostile_names_and_reasons_are_escaped(folder):
    decisions = folder / "tidegate" / "decisions.jsonl"
    lines = [json.loads(line) for line in decisions.read_text().splitlines()]
    lines[0] |= {"reason": HOSTILE, "kind": f'regime" {HOSTILE}', "changes": {HOSTILE: [HOSTILE, HOSTILE]}}
    decisions.write_text("\n".join(map(json.dumps, lines)))
    line = {"at_s": 5, "price": HOSTILE, "changes": {HOSTILE: [HOSTILE, 3]}}
    (folder / "tidegate" / "settings.jsonl").write_text(json.dumps(line))
    edit(
        folder / "tidegate" / "run.json",
        versions={HOSTILE: HOSTILE},
        config={HOSTILE: HOSTILE},
        valid=False,
        why=HOSTILE,
    )

    page = run_page(build_report(folder))

    assert HOSTILE not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_an_invalid_run_says_so_above_the_headline(folder):
    edit(folder / "defaults" / "load.json", valid=False, why="2.0% of the sends were late")

    page = run_page(build_report(folder))

    assert page.index("This run is invalid") < page.index("<h1>")
    assert "defaults: 2.0% of the sends were late" in page.replace("\u00a0", " ")


def test_columns_that_ran_different_schedules_are_invalid(folder):
    other = folder / "defaults" / "requests.csv"
    other.write_text(other.read_text().replace("\n1,", "\n1,9", 1))

    report = build_report(folder)

    assert report.why_invalid == ("defaults: ran another schedule than tidegate, so the columns cannot be compared",)


def test_lost_requests_make_a_run_invalid(folder):
    log = folder / "tidegate" / "requests.csv"
    log.write_text("\n".join(log.read_text().splitlines()[:-5]) + "\n")

    assert "5 of 2990 scheduled requests are missing" in build_report(folder / "tidegate").why_invalid[0]


def test_one_run_alone_is_one_column(folder):
    report = build_report(folder / "defaults")

    assert [column.name for column in report.columns] == ["defaults"]
    assert "No controller decided here" in run_page(report)


def test_a_run_without_requests_still_has_a_page(folder):
    run = folder / "tidegate"
    for name in ("requests.csv", "schedule.csv", "instances.csv"):
        (run / name).write_text((run / name).read_text().splitlines()[0] + "\n")

    page = run_page(build_report(run))

    assert "nothing to judge" in page
    assert "NaN" not in page


def test_a_run_of_rejections_and_lost_answers_still_has_a_page(folder):
    log = folder / "tidegate" / "requests.csv"
    head, *rows = log.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    log.write_text("\n".join([head, *(",".join([*c[:3], "nan", "0", "error", c[6]]) for c in cells)]) + "\n")

    page = run_page(build_report(folder / "tidegate"))

    assert "missed the objective: 0 % of windows" in page.replace("\u00a0", " ")
    assert "no answer" in page


def test_a_simulated_column_shows_its_figures_only(folder):
    shutil.rmtree(folder / "best_fixed")

    column = build_report(folder).column("best_fixed")

    assert column is not None
    assert (column.kind, column.figures.p95_s, column.run) == ("simulated", 0.21, None)


def test_a_long_list_of_decisions_keeps_those_that_changed_something(sample_folder):
    kept, applied = (
        replace(build_report(sample_folder).decisions[0], at_s=float(i), action=action)
        for i, action in enumerate(("keep", "apply"))
    )
    every = [kept] * 500 + [applied] * 20

    shown = shown_decisions([replace(each, at_s=float(i)) for i, each in enumerate(every)])

    assert len(shown) == MOST_ROWS
    assert sum(each.action == "apply" for each in shown) == 20


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(folder):
    before = {path.name for path in folder.iterdir()}
    _, page = write_report(folder)
    first = page.read_bytes()

    write_report(folder)

    assert page.read_bytes() == first
    assert {path.name for path in folder.iterdir()} == before | {"report.json", "report.html"}


def test_the_picture_for_the_readme_is_small_complete_and_the_same_each_time(sample_folder):
    report = build_report(sample_folder)

    picture = readme_picture(report)

    assert picture == readme_picture(report)
    assert len(picture.encode()) < 200_000
    assert picture.startswith("<svg xmlns=")
    assert "prefers-color-scheme: dark" in picture


def test_the_picture_is_written_by_the_command(folder, tmp_path, capsys):
    picture = tmp_path / "picture.svg"

    assert main(["report", str(folder), "--picture", str(picture)]) == 0

    assert picture.read_text() == readme_picture(build_report(folder))
    assert str(folder / "report.html") in capsys.readouterr().err


def test_a_sweep_has_no_such_picture(tmp_path, capsys):
    (tmp_path / "sweep.json").write_text("{}")

    assert main(["report", str(tmp_path), "--picture", str(tmp_path / "picture.svg")]) == 2

    assert "--picture:" in capsys.readouterr().err


def test_a_promise_of_nothing_is_compared_with_nothing(folder):
    decisions = folder / "tidegate" / "decisions.jsonl"
    decisions.write_text(json.dumps({"at_s": 1, "kind": "alarm", "action": "keep", "prediction": {"p95_s": None}}))

    report = build_report(folder / "tidegate")

    assert report.forecasts == ()
    assert "Nothing was predicted" in run_page(report)
