"""`tidegate demo`: a slip in a flag is told before an earlier run gives way."""

import argparse

import pytest

from controller.commands.demo import add_arguments, run
from controller.errors import BadInputError


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--slo-s", "nan", "slo bound: needs a positive number"),
        ("--slo-quantile", "2", "slo quantile: needs a number between 0 and 1"),
        ("--seed", "-1", "--seed: needs a whole number of at least 0"),
        ("--model", "nope", "model nope: has no manifest.json"),
        ("--model", "x" * 300, "has no manifest.json"),
        ("--payloads", "nope", "--payloads: 'nope' is neither short, imdb nor a file"),
        ("--payloads", "a\0b", "neither short, imdb nor a file"),
    ],
)
def test_a_flag_that_cannot_be_used_leaves_the_earlier_run_alone(tmp_path, flag, value, message):
    earlier = tmp_path / "report.html"
    earlier.write_text("earlier")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args(["--out", str(tmp_path), "--overwrite", "--model", "fake", flag, value])

    with pytest.raises(BadInputError, match=message):
        run(arguments)

    assert earlier.read_text() == "earlier"
