"""`tidegate optimize` as others build on it: names, nulls, exit codes, one line for bad input."""

import json

import pytest

from controller.cli import main

POISSON = {"kind": "poisson", "rate_rps": 20}
AFFINE = {"kind": "affine", "fixed_s": 0.04, "per_item_s": 0.01}
TABLE = {
    "kind": "table",
    "memory_mb": [1024, 2048],
    "batch_size": [1, 2, 3, 4],
    "seconds": [[0.1, 0.12, 0.14, 0.16], [0.06, 0.07, 0.08, 0.09]],
}
CONFIG_KEYS = {
    "max_batch_size", "max_queue_delay_s", "memory_mb", "batch_tokens", "workers", "container_concurrency",
    "min_scale", "max_scale", "target",
}  # fmt: skip


@pytest.fixture
def optimize(tmp_path, capsys):
    """Run the command on documents; return exit code, stdout and stderr."""

    def run(*flags, arrivals=POISSON, service=AFFINE):
        for name, document in (("a.json", arrivals), ("s.json", service)):
            (tmp_path / name).write_text(json.dumps(document))
        files = ["--arrivals", str(tmp_path / "a.json"), "--service-times", str(tmp_path / "s.json")]
        code = main(["optimize", *files, *map(str, flags)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


SLO = ("--slo-quantile", "0.90", "--slo-s", 0.2, "--memory-mb", 1024)


def test_the_cheapest_setting_inside_an_objective(optimize):
    code, out, err = optimize(*SLO, "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert set(document) == {"config", "prediction", "evaluated", "feasible", "closest"}
    assert set(document["config"]) == CONFIG_KEYS
    assert document["feasible"] is True
    assert document["closest"] is None
    assert document["evaluated"] == 1 + 19 * 50
    assert document["config"]["memory_mb"] == 1024
    assert document["config"]["workers"] is None
    assert document["prediction"]["latency_s"]["quantiles"]["0.90"] <= 0.2
    assert document["prediction"]["method"] == "exact"


def test_a_table_brings_its_memories_and_its_largest_batch(optimize):
    code, out, _ = optimize("--slo-quantile", 0.95, "--slo-s", 0.3, "--json", service=TABLE)
    document = json.loads(out)
    assert code == 0
    assert document["evaluated"] == 2 * (1 + 3 * 50)
    assert document["config"]["memory_mb"] in {1024, 2048}


def test_the_fastest_setting_inside_a_budget(optimize):
    code, out, _ = optimize("--budget-usd-per-million", 0.6, "--memory-mb", "1024,2048", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["prediction"]["cost_per_request_usd"] <= 0.6e-6
    assert "0.95" in document["prediction"]["latency_s"]["quantiles"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--slo-quantile", 0.95, "--slo-s", 0.01, "--memory-mb", 1024),
        ("--budget-usd-per-million", 1e-6, "--memory-mb", 1024),
    ],
)
def test_nothing_feasible_exits_3_with_the_closest(optimize, flags):
    code, out, err = optimize(*flags, "--json")
    document = json.loads(out)
    assert code == 3
    assert document["feasible"] is False
    assert document["config"] is None
    assert document["prediction"] is None
    assert set(document["closest"]["config"]) == CONFIG_KEYS
    assert "nothing feasible" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("law", ["finite_work_conserving", "knative_pods"])
def test_other_server_laws_are_searched_by_simulation(optimize, law):
    trace = {"kind": "trace", "times_s": [i / 40 for i in range(300)]}
    flags = ("--server-law", law, "--slo-quantile", 0.95, "--slo-s", 2, "--trials", 6, "--json")
    code, out, _ = optimize(*flags, arrivals=trace)
    document = json.loads(out)
    assert code == 0
    assert document["prediction"]["server_law"] == law
    assert document["prediction"]["method"] == "simulate"
    assert 1 <= document["evaluated"] <= 6
    assert (document["config"]["min_scale"] is None) == (law == "finite_work_conserving")
    assert document["config"]["batch_tokens"] is None


def test_the_same_seed_finds_the_same_setting(optimize):
    flags = ("--server-law", "knative_pods", "--slo-quantile", 0.95, "--slo-s", 2, "--trials", 12, "--json")
    trace = {"kind": "trace", "times_s": [i / 40 for i in range(200)]}
    first, second = (optimize(*flags, "--seed", 3, arrivals=trace)[1] for _ in range(2))
    assert first == second


def test_without_json_a_table_fits_eighty_columns_and_says_why(optimize):
    code, out, _ = optimize(*SLO)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "why: the cheapest inside the objective" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((*SLO, "--budget-usd-per-million", 1), "either --slo-quantile and --slo-s, or --budget"),
        (("--memory-mb", 1), "either --slo-quantile and --slo-s, or --budget"),
        (("--slo-s", 1, "--memory-mb", 1), "--slo-s needs --slo-quantile"),
        (("--slo-quantile", 95, "--slo-s", 1, "--memory-mb", 1), "between 0 and 1"),
        (("--slo-quantile", 0.9, "--slo-s", -1, "--memory-mb", 1), "positive number of seconds"),
        (("--slo-quantile", 0.9, "--slo-s", 1), "cost needs it; give --memory-mb"),
        (("--slo-quantile", 0.9, "--slo-s", 1, "--memory-mb", "1:2"), "needs MB such as"),
        ((*SLO, "--delay-step-s", 0), "positive number of seconds"),
        ((*SLO, "--delay-step-s", 1e-9), "widen the step"),
        ((*SLO, "--max-batch-size", 0), "at least 1, got 0"),
        (("--budget-usd-per-million", "nan", "--memory-mb", 1), "positive number of USD"),
        ((*SLO, "--server-law", "knative_pods", "--trials", 0), "--trials: needs"),
    ],
)
def test_bad_flags_are_one_line_and_exit_2(optimize, flags, words):
    code, out, err = optimize(*flags)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


def test_a_trace_is_to_be_fitted_first(optimize):
    code, _, err = optimize(*SLO, arrivals={"kind": "trace", "times_s": [0, 1]})
    assert code == 2
    assert "fit one first with tidegate fit" in err
