"""report.json keeps the keys that others build on, and `tidegate report` its exit codes and streams."""

import json
import shutil
from pathlib import Path

import pytest

from controller.cli import main
from controller.reports.sample import write_sample

FIGURES = {
    "requests": int,
    "errors": int,
    "rejected": int,
    "expired": int,
    "window_violation_ratio": float,
    "p50_s": float,
    "p95_s": float,
    "p99_s": float,
    "cost_per_million_usd": float,
    "cost_usd": float,
    "instance_seconds": float,
    "cold_starts": int,
    "kind": str,
    "by_class": dict,
}


@pytest.fixture(scope="module")
def sample_folder(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("runs") / "demo-1"
    write_sample(folder)
    return folder


@pytest.fixture
def folder(sample_folder, tmp_path) -> Path:
    return Path(shutil.copytree(sample_folder, tmp_path / "demo-1"))


def test_a_demo_has_three_columns_with_the_same_keys(folder):
    assert main(["report", str(folder)]) == 0
    document = json.loads((folder / "report.json").read_text())

    assert list(document["columns"]) == ["tidegate", "defaults", "best_fixed"]
    for column in document["columns"].values():
        assert {name: type(column[name]) for name in FIGURES} == FIGURES
        assert column["kind"] in ("live", "simulated")
    assert document["valid"] is True
    assert document["why_invalid"] == []


def test_changes_decisions_and_predictions_are_listed(folder):
    main(["report", str(folder)])
    document = json.loads((folder / "report.json").read_text())

    assert [change["kind"] for change in document["changes"]].count("regime") == 1
    assert {"at_s", "kind", "action", "reason", "setting", "changes"} <= set(document["decisions"][0])
    compared = document["predicted_against_observed"][0]
    assert set(compared["p95_s"]) == set(compared["cost_per_million_usd"]) == {"predicted", "observed"}


def test_json_goes_to_stdout_as_one_document_and_the_page_to_stderr(folder, capsys):
    assert main(["report", str(folder), "--json"]) == 0
    out, err = capsys.readouterr()

    assert json.loads(out) == json.loads((folder / "report.json").read_text())
    assert err.strip() == str(folder / "report.html")


def test_without_json_the_table_goes_to_stdout(folder, capsys):
    main(["report", str(folder)])

    assert "cost per million requests" in capsys.readouterr().out


def test_no_answer_is_null_and_never_nan(folder):
    log = folder / "tidegate" / "requests.csv"
    log.write_text(log.read_text().replace(",ok,", ",error,").replace(",cold_start,", ",error,"))

    main(["report", str(folder / "tidegate")])

    text = (folder / "tidegate" / "report.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["columns"]["tidegate"]["p95_s"] is None


def test_an_invalid_run_exits_4_and_its_report_says_why(folder):
    (folder / "tidegate" / "load.json").write_text('{"valid": false, "why": "late"}')

    assert main(["report", str(folder)]) == 4
    document = json.loads((folder / "report.json").read_text())
    assert (document["valid"], document["why_invalid"]) == (False, ["tidegate: late"])
