"""Numbers are written in units that suit them."""

import math

import pytest

from controller.reports import formats
from controller.reports.prose import prose


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0083, "8.3 ms"),
        (0.21, "210 ms"),
        (0.99996, "1.00 s"),
        (12.34, "12 s"),
        (math.inf, "no answer"),
        (math.nan, "–"),
    ],
)
def test_latencies_have_two_or_three_digits(value, words):
    assert formats.seconds(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.41249, "$0.412"), (13.9, "$13.90"), (0.0000663, "$0.0000663"), (0.0, "$0.00"), (math.nan, "–")],
)
def test_money_has_no_exponent(value, words):
    assert formats.usd(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.0, "100 %"), (0.9999, "99.9 %"), (0.987, "98.7 %"), (0.0, "0 %"), (0.0001, "0.1 %"), (0.5, "50 %")],
)
def test_all_and_none_are_said_only_when_they_are(value, words):
    assert formats.share(value) == words


@pytest.mark.parametrize(("value", "words"), [(12.34, "12.3 s"), (754, "12:34"), (3723, "1:02:03")])
def test_moments_of_long_runs_are_written_as_clocks(value, words):
    assert formats.instant(value) == words


def test_no_bound_is_said_in_words():
    assert formats.changes({"max_scale": (0, 1), "target": (None, 8.0)}) == ["max_scale unbounded → 1", "target 8"]


def test_no_line_breaks_between_a_number_and_its_unit():
    assert prose("p95 21 ms & 4 sheep") == "p95 21\u00a0ms &amp; 4 sheep"
