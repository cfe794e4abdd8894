import json

import pytest

from controller.cli import main


@pytest.fixture
def documents(tmp_path):
    (tmp_path / "a.json").write_text('{"kind": "poisson", "rate_rps": 20}')
    (tmp_path / "s.json").write_text('{"kind": "affine", "fixed_s": 0.01, "per_item_s": 0.002}')
    (tmp_path / "c.json").write_text('{"max_batch_size": 2, "min_scale": 1}')
    return ["--arrivals", str(tmp_path / "a.json"), "--service-times", str(tmp_path / "s.json"), "--duration-s", "20"]


def simulate(capsys, *flags):
    assert main(["simulate", *flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_document_tells_latency_classes_cost_and_how_it_came_about(documents, capsys):
    document = simulate(capsys, *documents, "--slo-s", "0.1", "--seed", "3")

    assert document["requests"] == sum(document["by_class"].values()) > 300
    assert 0.01 < document["p50_s"] <= document["p95_s"] <= document["p99_s"] < 0.2
    assert document["intervals_95"]["p95_s"][0] <= document["p95_s"] <= document["intervals_95"]["p95_s"][1]
    assert document["intervals_95"]["p99_s"] is None  # of four requests beyond it, nothing is said
    assert document["window_violation_ratio"] == 0
    assert document["instance_seconds"] == pytest.approx(20, abs=0.5)
    assert document["cost_per_million_usd"] > 0
    assert (document["method"], document["server_law"]) == ("simulate", "knative_pods")


def test_the_table_shows_how_sure_a_quantile_is(documents, capsys):
    assert main(["simulate", *documents]) == 0

    printed = capsys.readouterr().out
    assert "ms (95 %: " in printed
    assert "(too few requests for an interval)" in printed


def test_the_same_seed_prints_the_same_document(documents, capsys):
    assert simulate(capsys, *documents) == simulate(capsys, *documents)


def test_flags_override_the_file_of_settings(documents, capsys, tmp_path):
    config = ["--config", str(tmp_path / "c.json")]

    one = simulate(capsys, *documents, *config, "--max-batch-size", "1", "--min-scale", "3")

    assert one["mean_batch_size"] == 1
    assert one["instance_seconds"] == pytest.approx(60, abs=1)


def test_a_start_from_zero_makes_cold_starts(documents, capsys):
    document = simulate(capsys, *documents, "--initial-scale", "0", "--cold-start-s", "1.0")

    assert document["cold_starts"] == 1
    assert document["by_class"]["cold_start"] > 5
    assert document["p99_s"] > 0.5


def test_calls_without_bound_are_paid_by_the_call(documents, capsys):
    law = ["--server-law", "infinite_timer", "--max-queue-delay-s", "0.1"]

    document = simulate(capsys, *documents, *law, "--memory-mb", "1769")
    unpriced = simulate(capsys, *documents, *law)

    assert document["server_law"] == "infinite_timer"
    assert document["cost_per_million_usd"] > 0
    assert unpriced["cost_per_million_usd"] is None


def test_functions_that_age_start_cold_and_pay_for_it(documents, capsys):
    law = ["--server-law", "infinite_timer", "--memory-mb", "1769", "--max-batch-size", "1"]

    plain = simulate(capsys, *documents, *law)
    kept = simulate(capsys, *documents, *law, "--keep-alive-s", "60", "--cold-start-s", "2")
    dropped = simulate(capsys, *documents, *law, "--keep-alive-s", "0", "--cold-start-s", "2")

    assert (plain["cold_starts"], plain["by_class"]["cold_start"]) == (0, 0)
    assert 0 < kept["cold_starts"] == kept["by_class"]["cold_start"] < dropped["cold_starts"]
    assert dropped["cold_starts"] == dropped["requests"]
    assert plain["cost_per_million_usd"] < kept["cost_per_million_usd"] < dropped["cost_per_million_usd"]


def test_functions_beyond_their_concurrency_reject(documents, capsys):
    document = simulate(capsys, *documents, "--server-law", "infinite_timer", "--concurrency", "1")

    assert document["by_class"]["rejected"] > 0
    assert document["cold_starts"] == 1


def test_limits_of_functions_are_refused_where_there_are_none(documents, capsys):
    assert main(["simulate", *documents, "--keep-alive-s", "60"]) == 2
    assert "--server-law infinite_timer" in capsys.readouterr().err


def test_without_json_it_prints_a_table(documents, capsys):
    assert main(["simulate", *documents]) == 0

    out = capsys.readouterr().out
    assert "p95" in out
    assert "why: " in out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--duration-s", "nan"], "--duration-s"),
        (["--duration-s", "inf"], "--duration-s"),
        (["--cores", "0"], "--cores"),
        (["--max-batch-size", "0"], "max_batch_size"),
        (["--min-scale", "3", "--max-scale", "2"], "min_scale"),
        (["--config", "/nowhere.json"], "/nowhere.json"),
        (["--lengths", "/nowhere.txt"], "/nowhere.txt"),
        (["--slo-s", "-1"], "slo"),
        (["--seed", "-1"], "--seed"),
        (["--duration-s", "1e9"], "--duration-s"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(documents, capsys, flags, message):
    assert main(["simulate", *documents, *flags]) == 2

    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.splitlines()) == 1
