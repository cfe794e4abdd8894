"""Inputs that nobody means: each is one line with exit code 2, without a traceback and without endless work."""

import json

import pytest

from controller.cli import main

POISSON = '{"kind": "poisson", "rate_rps": 20}'
MODEL = ("--arrivals", "{a}", "--service-times", "{s}")
PREDICT = ("predict", *MODEL, "--max-queue-delay-s", "0.1", "--max-batch-size", "4", "--memory-mb", "1024")
OPTIMIZE = ("optimize", *MODEL, "--slo-quantile", "0.95", "--slo-s", "0.2", "--memory-mb", "1024")
SIMULATE = ("simulate", *MODEL, "--duration-s", "10")
DETECT = ("detect", "--counts", "{c}", "--bin-s", "1")
MANY = "1" + "0" * 400


@pytest.fixture
def call(tmp_path, capsys):
    """Return a function that runs a command on small documents and gives its code and what it said."""
    files = {"a": POISSON, "s": '{"kind": "affine", "fixed_s": 0.01, "per_item_s": 0.005}', "c": "1\n2\n3\n"}

    def run(arguments, **changed):
        for name, text in {**files, **changed}.items():
            (tmp_path / name).write_text(text)
        code = main([str(tmp_path / each[1:-1]) if each.startswith("{") else each for each in arguments])
        return code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*PREDICT, "--seed", "-1"), "--seed: needs"),
        ((*PREDICT, "--workers", MANY), "--workers: needs"),
        ((*PREDICT, "--memory-mb", MANY), "memory: needs"),
        ((*PREDICT, "--max-batch-size", "1000000000"), "max batch size: needs at most"),
        ((*PREDICT, "--max-queue-delay-s", "1e9", "--server-law", "knative_pods"), "max_queue_delay_s"),
        ((*OPTIMIZE, "--seed", "-1", "--server-law", "knative_pods"), "--seed: needs"),
        ((*OPTIMIZE, "--max-batch-size", "1000000000"), "max batch size: needs at most"),
        ((*OPTIMIZE, "--memory-mb", "1:100000000000:1"), "memory: at most 10000 are tried"),
        ((*OPTIMIZE, "--memory-mb", f"1:{MANY}:1"), "memory: at most 10000 are tried"),
        ((*SIMULATE, "--max-batch-size", "1000000000"), "max_batch_size"),
        ((*SIMULATE, "--tick-s", "1e-12"), "--tick-s: needs at least"),
        ((*SIMULATE, "--window-s", "1e-300"), "setting window_s: needs 0 or at least 1"),
        ((*SIMULATE, "--cores", "1e-300"), "--cores: needs at least"),
        ((*SIMULATE, "--cold-start-s", "1e300"), "--cold-start-s: at most"),
        ((*DETECT, "--bin-s", "1e-310"), "--bin-s: needs"),
    ],
)
def test_a_flag_beyond_all_bounds_is_refused(call, arguments, words):
    code, said = call(arguments)
    assert (code, said.count("\n")) == (2, 1)
    assert words in said


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        ('{"kind": "poisson", "rate_rps": 1' + "0" * 5000 + "}", "too many digits"),
        (json.dumps({"kind": "trace", "file": "a\0b"}), "no name of a file"),
        (json.dumps({"kind": "trace", "file": "\ud800"}), "no name of a file"),
        (
            json.dumps({"kind": "phases", "phases": [{"duration_s": 1e-9, "arrivals": json.loads(POISSON)}]}),
            "at least 0.001",
        ),
    ],
)
def test_arrivals_that_python_itself_chokes_on_are_refused(call, arrivals, words):
    code, said = call(PREDICT, a=arrivals)
    assert (code, said.count("\n")) == (2, 1)
    assert words in said


def test_a_trace_is_not_simulated_for_longer_than_a_week(call):
    code, said = call((*SIMULATE, "--duration-s", "1e15"), a='{"kind": "trace", "times_s": [1]}')
    assert (code, said.count("\n")) == (2, 1)
    assert "--duration-s: at most 604800 s" in said


def test_a_setting_nested_too_deeply_is_refused(call):
    code, said = call((*SIMULATE, "--config", "{d}"), d="[" * 100_000)
    assert (code, said.count("\n")) == (2, 1)
    assert "nested too deeply" in said
