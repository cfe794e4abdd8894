from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

POISSON = '{"kind": "poisson", "rate_rps": 10}'
HOST = "--host=http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--host"),
        (["--host=nowhere", "--out=run"], "--host: needs a base URL"),
        ([HOST], "--out: is missing"),
        ([HOST, "--out=run"], "--arrivals: is missing"),
        ([HOST, "--out=run", "--arrivals", POISSON], "--duration: is missing"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=0"], "--duration: needs a positive number"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=nan"], "--duration: needs a positive number"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=inf"], "--duration: needs a positive number"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=soon"], "--duration: invalid float value: 'soon'"),
        ([HOST, "--out=run", "--arrivals", "{]", "--duration=1"], "--arrivals: no JSON"),
        ([HOST, "--out=run", "--arrivals", "[" * 9999, "--duration=1"], "cannot be read"),
        ([HOST, "--out=run", "--arrivals", "{" * 99999, "--duration=1"], "--arrivals: no JSON"),
        ([HOST, "--out=run", "--arrivals", '{"kind": "poisson", "rate_rps": -1}', "--duration=1"], "rate_rps"),
        ([HOST, "--out=run", "--arrivals", '{"kind": "poisson", "rate_rps": 0}', "--duration=1"], "rate_rps is 0"),
        ([HOST, "--out=run", "--arrivals", "none.json", "--duration=1"], "none.json: cannot be read"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--seed=-1"], "--seed: needs a whole number"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--warm-up-s=1"], "--warm-up-s: needs less than"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--warm-up-s=-1"], "--warm-up-s: needs a number"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--max-in-flight=0"], "--max-in-flight"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--timeout-s=0"], "--timeout-s"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--start-at-s=5"], "--start-at-s"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--model-name=a/b"], "--model-name"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--protocol=v3"], "--protocol"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=1", "--payloads=none"], "none: cannot be read"),
        ([HOST, "--out=run", "--schedule=s.csv", "--arrivals", POISSON], "--schedule: replaces --arrivals"),
        ([HOST, "--out=run", "--schedule=s.csv"], "s.csv: cannot be read"),
        ([HOST, "--out=run", "--user=5"], "unrecognized arguments"),
        ([HOST, "--out=run", "--arrivals", POISSON, "--duration=9", "--payloads=imdb"], "nothing answers at 127.0.0.1"),
    ],
    ids=str,
)
def test_bad_input_is_one_line_with_exit_code_2_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []
