"""`tidegate predict` as others build on it: names, nulls, exit codes, one line for bad input."""

import json
import math

import pytest

from controller.cli import main

POISSON = {"kind": "poisson", "rate_rps": 20}
BURSTY = {"kind": "mmpp", "rates_rps": [10, 120], "switching_per_s": [[0, 0.5], [0.5, 0]]}
AFFINE = {"kind": "affine", "fixed_s": 0.01, "per_item_s": 0.034}
TABLE = {"kind": "table", "memory_mb": [1024], "batch_size": [1, 2, 3, 4], "seconds": [[0.05, 0.06, 0.07, 0.08]]}
TOKENS = {"kind": "tokens", "fixed_s": 0.002, "per_batch_s": 0.004, "per_token_s": 1e-4, "per_token_pair_s": 1e-7}


@pytest.fixture
def predict(tmp_path, capsys):
    """Run the command on documents; return exit code, stdout and stderr."""

    def run(*flags, arrivals=POISSON, service=AFFINE):
        for name, document in (("a.json", arrivals), ("s.json", service)):
            (tmp_path / name).write_text(json.dumps(document))
        files = ["--arrivals", str(tmp_path / "a.json"), "--service-times", str(tmp_path / "s.json")]
        code = main(["predict", *files, *map(str, flags)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return run


SETTING = ("--max-batch-size", 4, "--max-queue-delay-s", 0.1)


def test_the_document_has_the_fixed_names_and_repeats_the_callers_quantiles(predict):
    code, out, err = predict(*SETTING, "--memory-mb", 1024, "--quantiles", "0.50, .9,0.99", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert set(document) == {
        "mean_batch_size",
        "batch_size_pmf",
        "latency_s",
        "cost_per_request_usd",
        "batches_per_s",
        "method",
        "server_law",
    }
    assert list(document["latency_s"]["quantiles"]) == ["0.50", ".9", "0.99"]
    assert (document["method"], document["server_law"]) == ("exact", "infinite_timer")
    assert len(document["batch_size_pmf"]) == 4
    assert sum(document["batch_size_pmf"]) == pytest.approx(1)
    assert document["batches_per_s"] * document["mean_batch_size"] == pytest.approx(20)


def test_one_request_a_batch_has_a_known_answer(predict):
    _, out, _ = predict("--max-batch-size", 1, "--max-queue-delay-s", 0, "--memory-mb", 2048, "--json")
    document = json.loads(out)
    assert document["latency_s"]["quantiles"] == pytest.approx({"0.5": 0.044, "0.95": 0.044, "0.99": 0.044})
    assert document["cost_per_request_usd"] == pytest.approx(0.044 * 2 * 1.66667e-5 + 2e-7)


def test_the_only_memory_of_a_table_is_the_default(predict):
    code, out, _ = predict(*SETTING, "--json", service=TABLE)
    assert code == 0
    assert json.loads(out)["cost_per_request_usd"] > 0


def test_simulation_agrees_with_the_exact_law(predict):
    flags = (*SETTING, "--memory-mb", 1024, "--json", "--method")
    exact, simulated = (json.loads(predict(*flags, method)[1]) for method in ("exact", "simulate"))
    assert simulated["method"] == "simulate"
    assert simulated["mean_batch_size"] == pytest.approx(exact["mean_batch_size"], rel=0.02)
    low, high = simulated["latency_s"]["intervals_95"]["0.95"]
    assert low <= simulated["latency_s"]["quantiles"]["0.95"] <= high
    assert "intervals_95" not in exact["latency_s"]
    assert simulated["latency_s"]["quantiles"]["0.95"] == pytest.approx(
        exact["latency_s"]["quantiles"]["0.95"], rel=0.02
    )
    assert simulated["cost_per_request_usd"] == pytest.approx(exact["cost_per_request_usd"], rel=0.02)


@pytest.mark.parametrize("law", ["finite_work_conserving", "knative_pods"])
def test_other_server_laws_are_simulated(predict, law, tmp_path):
    lengths = tmp_path / "lengths.txt"
    lengths.write_text("8\n16\n64\n")
    trace = {"kind": "trace", "times_s": [i / 50 for i in range(500)]}
    flags = ("--server-law", law, "--lengths", lengths, "--workers", 2, "--json")
    code, out, _ = predict(*SETTING, *flags, arrivals=trace, service=TOKENS)
    document = json.loads(out)
    assert code == 0
    assert (document["method"], document["server_law"]) == ("simulate", law)
    assert len(document["batch_size_pmf"]) == 4
    assert document["cost_per_request_usd"] > 0


def test_a_trace_is_simulated_under_the_timer_law_too(predict):
    trace = {"kind": "trace", "times_s": [0.0, 0.01, 1.0]}
    _, out, _ = predict(*SETTING, "--memory-mb", 1024, "--json", "--quantiles", "0.9", arrivals=trace)
    document = json.loads(out)
    assert document["method"] == "simulate"
    assert document["mean_batch_size"] == 1.5
    assert document["latency_s"]["quantiles"]["0.9"] == pytest.approx(0.1 + 0.078)


def test_without_json_a_table_fits_eighty_columns_and_says_why(predict):
    code, out, _ = predict(*SETTING, "--memory-mb", 1024, arrivals=BURSTY)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "why: " in out
    assert "latency quantile 0.95" in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((*SETTING, "--json"), "cost needs it; give --memory-mb"),
        (("--max-batch-size", 0, "--max-queue-delay-s", 0.1, "--memory-mb", 1), "at least 1, got 0"),
        (("--max-batch-size", 2, "--max-queue-delay-s", -1, "--memory-mb", 1), "at least 0, got -1"),
        (("--max-batch-size", 2, "--max-queue-delay-s", "nan", "--memory-mb", 1), "at least 0, got nan"),
        ((*SETTING, "--memory-mb", 0), "positive number of MB"),
        ((*SETTING, "--memory-mb", 1, "--quantiles", "0.5,95"), "between 0 and 1 such as 0.5,0.95, got '95'"),
        ((*SETTING, "--memory-mb", 1, "--quantiles", ""), "got ''"),
        ((*SETTING, "--server-law", "knative_pods", "--method", "exact"), "use --method simulate"),
        ((*SETTING, "--memory-mb", 1, "--prices", "1999"), "give a file, or one of"),
        ((*SETTING, "--server-law", "finite_work_conserving", "--workers", 0), "--workers: needs"),
    ],
)
def test_bad_flags_are_one_line_and_exit_2(predict, flags, words):
    code, out, err = predict(*flags)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert words in err


def test_exact_needs_a_stationary_process(predict):
    trace = {"kind": "trace", "times_s": [0.0, 1.0]}
    code, _, err = predict(*SETTING, "--memory-mb", 1, "--method", "exact", arrivals=trace)
    assert code == 2
    assert "stationary process, not trace" in err


def test_an_unstable_queue_names_its_capacity(predict):
    code, _, err = predict(*SETTING, "--server-law", "finite_work_conserving", arrivals=BURSTY)
    assert code == 2
    assert "unstable, 65 requests arrive per second and 1 worker(s) serve at most" in err


def test_documents_that_do_not_fit_are_refused(predict):
    code, _, err = predict("--max-batch-size", 9, "--max-queue-delay-s", 0.1, service=TABLE)
    assert code == 2
    assert "ends at batch size 4, 5 is needed" in err
    code, _, err = predict(*SETTING, "--memory-mb", 512, service=TABLE)
    assert code == 2
    assert "(1024), got 512" in err
    code, _, err = predict(*SETTING, "--memory-mb", 512, service=TOKENS)
    assert code == 2
    assert "give --lengths FILE" in err


def test_numbers_are_numbers(predict):
    _, out, _ = predict(*SETTING, "--memory-mb", 1024, "--json", arrivals=BURSTY)
    assert math.isfinite(json.loads(out)["latency_s"]["mean"])
