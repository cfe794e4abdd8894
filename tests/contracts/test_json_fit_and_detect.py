"""`tidegate fit` and `tidegate detect` as others build on them."""

import json

import numpy as np
import pytest

from controller.cli import main
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import read_arrivals


@pytest.fixture
def run(tmp_path, capsys):
    """Run a command on one file of lines; return exit code, stdout and stderr."""

    def run_on(command, lines, *flags):
        path = tmp_path / "lines.txt"
        path.write_text("\n".join(map(str, lines)))
        name = {"fit": "--times", "detect": "--counts"}[command]
        code = main([command, name, str(path), *map(str, flags)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run_on


def bursts(seed):
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.exponential(2.0, 200))
    return np.sort(np.concatenate([start + np.sort(rng.random(30) * 0.5) for start in starts])).tolist()


def test_a_fit_is_an_arrivals_document_that_readers_take(run, tmp_path):
    code, out, err = run("fit", bursts(1), "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["kind"] == "mmpp"
    assert set(document["diagnostics"]) == {
        "n",
        "duration_s",
        "rate_rps",
        "rate_error_rps",
        "scv",
        "lag1",
        "idc",
        "log_likelihood",
        "why",
        "insufficient_data",
        "rate_interval_rps",
        "scv_interval",
        "lag1_interval",
        "candidates",
    }
    (tmp_path / "fit.json").write_text(out)
    process = read_arrivals(tmp_path / "fit.json")
    assert isinstance(process, Map)
    assert process.rate_rps == pytest.approx(document["diagnostics"]["rate_rps"], rel=1e-6)


def test_a_fit_may_look_at_a_window(run):
    times = [i * 0.5 for i in range(400)]
    _, out, _ = run("fit", times, "--from-s", 50, "--until-s", 150, "--json")
    document = json.loads(out)
    assert document["kind"] == "poisson"
    assert document["rate_rps"] == pytest.approx(2, rel=0.02)
    assert document["diagnostics"]["duration_s"] == 100


@pytest.mark.parametrize(("kind", "document_kind"), [("poisson", "poisson"), ("mmpp", "mmpp"), ("map", "map")])
def test_a_fit_may_take_counts_and_one_kind(kind, document_kind, tmp_path, capsys):
    counts = np.repeat(np.random.default_rng(5).poisson([3, 30] * 30), 10)
    (tmp_path / "counts.txt").write_text("\n".join(map(str, counts)))
    flags = ["--counts", str(tmp_path / "counts.txt"), "--bin-s", "0.5", "--kind", kind, "--phases", "2", "--json"]
    assert main(["fit", *flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == document_kind
    low, high = document["diagnostics"]["rate_interval_rps"]
    assert low < counts.mean() / 0.5 < high
    assert document["diagnostics"]["scv_interval"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--counts",), "--bin-s: --counts needs a number of seconds"),
        (("--bin-s", "0", "--counts"), "got 0"),
        (("--bin-s", "1", "--from-s", "3", "--counts"), "belong to --times"),
        (("--bin-s", "1", "--times"), "belongs to --counts"),
    ],
)
def test_flags_that_do_not_go_together_are_named(flags, words, tmp_path, capsys):
    (tmp_path / "lines.txt").write_text("1\n2\n3\n")
    assert main(["fit", *flags, str(tmp_path / "lines.txt")]) == 2
    assert words in capsys.readouterr().err


def test_a_step_is_an_alarm_with_its_bins_and_rates(run):
    rng = np.random.default_rng(2)
    code, out, _ = run("detect", [*rng.poisson(10, 200), *rng.poisson(40, 50)], "--bin-s", 1, "--json")
    assert code == 0
    (alarm,) = json.loads(out)["alarms"]
    assert set(alarm) == {"alarm_bin", "change_bin", "kind", "before", "after"}
    assert alarm["kind"] == "rate"
    assert alarm["change_bin"] == 200
    assert 200 <= alarm["alarm_bin"] <= 203
    assert alarm["before"] == pytest.approx(10, rel=0.1)


def test_rates_are_per_second_whatever_the_bin(run):
    rng = np.random.default_rng(3)
    _, out, _ = run("detect", [*rng.poisson(10, 200), *rng.poisson(40, 50)], "--bin-s", 0.1, "--json")
    assert json.loads(out)["alarms"][0]["before"] == pytest.approx(100, rel=0.1)


def test_no_alarm_is_an_empty_list(run):
    code, out, _ = run("detect", [5] * 30, "--bin-s", 1, "--json")
    assert (code, json.loads(out)) == (0, {"alarms": []})


def test_changes_are_named_online_and_in_hindsight_on_request(run):
    rng = np.random.default_rng(2)
    code, out, _ = run("detect", [*rng.poisson(10, 200), *rng.poisson(40, 50)], "--bin-s", 1, "--changes", "--json")
    assert code == 0
    document = json.loads(out)
    assert set(document) == {"alarms", "changes", "stretches"}
    (change,) = document["changes"]
    assert set(change) == {
        "named_bin",
        "change_bin",
        "rate_before_rps",
        "rate_after_rps",
        "fano_before",
        "fano_after",
        "is_rate",
        "is_dispersion",
    }
    assert change["change_bin"] == 200
    assert [(each["first_bin"], each["end_bin"]) for each in document["stretches"]] == [(0, 200), (200, 250)]
    assert set(document["stretches"][0]) == {"first_bin", "end_bin", "rate_rps", "fano"}


@pytest.mark.parametrize(
    ("command", "flags"), [("fit", ()), ("detect", ("--bin-s", 1)), ("detect", ("--bin-s", 1, "--changes"))]
)
def test_without_json_a_table_fits_eighty_columns_and_says_why(run, command, flags):
    lines = bursts(4) if command == "fit" else [3] * 50 + [60] * 20
    code, out, _ = run(command, lines, *flags)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "why: " in out


@pytest.mark.parametrize(
    ("command", "lines", "flags", "words"),
    [
        ("fit", [], (), "is empty"),
        ("fit", [3, 2], (), "line 2: instants must ascend"),
        ("fit", [-1, 2], (), "must not be negative"),
        ("fit", [1, "nan"], (), "line 2: needs one arrival instant"),
        ("fit", [1], (), "at least three instants"),
        ("fit", [1, 2, 3, 4], ("--from-s", 10), "widen --from-s"),
        ("fit", [1, 2, 3, 4], ("--until-s", "nan"), "--until-s: needs a number"),
        ("detect", [], ("--bin-s", 1), "is empty"),
        ("detect", [1, -2], ("--bin-s", 1), "line 2: needs a whole number of at least 0 and at most 1e+09, got -2"),
        ("detect", [1, 2.5], ("--bin-s", 1), "got 2.5"),
        ("detect", [1, "inf"], ("--bin-s", 1), "line 2: needs one count"),
        ("detect", [1, "x"], ("--bin-s", 1), "line 2: needs one count, got 'x'"),
        ("detect", [1, 2], ("--bin-s", 0), "--bin-s: needs a positive number"),
    ],
)
def test_bad_input_is_one_line_and_exits_2(run, command, lines, flags, words):
    code, out, err = run(command, lines, *flags)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(("command", "name"), [("fit", "--times"), ("detect", "--counts")])
def test_an_absent_file_is_named(command, name, tmp_path, capsys):
    flags = ["--bin-s", "1"] if command == "detect" else []
    assert main([command, name, str(tmp_path / "absent.txt"), *flags]) == 2
    assert "absent.txt: cannot be read" in capsys.readouterr().err
