"""The law of request lengths."""

from __future__ import annotations

import numpy as np
import pytest

from controller.domain.token_lengths import TokenLengths, read_token_lengths
from controller.errors import BadInputError


def test_lengths_above_512_count_as_512(rng):
    assert set(TokenLengths(np.array([600, 8])).sample(50, rng).tolist()) == {512, 8}


def test_a_histogram_keeps_its_shares_and_its_rare_lengths():
    law = TokenLengths.from_histogram({16: 9000, 32: 999, 512: 1})
    assert (law.tokens == 16).mean() == pytest.approx(0.9, abs=0.01)
    assert 512 in law.tokens


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "at least one"),
        ("8\n-1\n", "at least 1"),
        ("8\nx\n", "whole number"),
        ("9" * 20, r"below 2\^63"),
        ("9" * 5000, "whole number"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, named):
    path = tmp_path / "lengths.txt"
    path.write_text(text)
    with pytest.raises(BadInputError, match=named):
        read_token_lengths(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInputError, match="cannot be read"):
        read_token_lengths(tmp_path / "none.txt")
