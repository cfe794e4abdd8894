from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from controller.errors import BadInputError
from loadtest.payloads import estimate_tokens, imdb_words, load_payloads
from loadtest.words import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from pathlib import Path


def test_short_reviews_have_4_to_30_words_and_an_opinion_each():
    payloads = load_payloads("short")
    words = [text.rstrip(".").replace(",", "").split() for text in payloads.texts]
    assert {len(each) for each in words} == set(range(4, 31))
    assert all(set(each) & {*POSITIVE, *NEGATIVE} for each in words)
    assert (min(payloads.tokens), max(payloads.tokens)) == (7, 39)


def test_half_of_the_reviews_praise_the_film():
    words = [set(text.replace(",", "").rstrip(".").split()) for text in load_payloads("short").texts]
    assert sum(bool(each & {*POSITIVE}) for each in words) == len(words) / 2


def test_imdb_like_reviews_have_the_word_and_token_counts_of_the_corpus():
    payloads = load_payloads("imdb")
    words = np.array([len(text.split()) for text in payloads.texts])
    # research on the corpus: mean 231, median 173, quartiles 126 and 280; 261 tokens on average after truncation
    assert words.mean() == pytest.approx(231, rel=0.03)
    assert np.quantile(words, (0.25, 0.5, 0.75)) == pytest.approx((126, 173, 280), rel=0.02)
    assert np.mean(payloads.tokens) == pytest.approx(261, rel=0.02)


def test_imdb_like_reviews_carry_break_tags_and_opinions():
    long = next(text for text in load_payloads("imdb").texts if len(text.split()) > 300)
    assert "<br /><br />" in long
    assert {*POSITIVE, *NEGATIVE} & set(long.split())


@pytest.mark.parametrize(("u", "words"), [(0.0, 4), (0.5, 173), (0.95, 592), (1.0, 2470)])
def test_the_length_law_passes_through_its_quantiles(u: float, words: int):
    assert imdb_words(u) == words


def test_a_text_has_at_most_512_tokens():
    assert estimate_tokens(10) == 14
    assert estimate_tokens(2470) == 512


def test_generated_texts_are_always_the_same():
    assert load_payloads("imdb") == load_payloads("imdb")


def test_a_file_gives_one_text_a_line(tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_text("a fine film\nnot good, déjà vu\n", encoding="utf-8")
    payloads = load_payloads(str(file))
    assert payloads.texts == ("a fine film", "not good, déjà vu")
    assert payloads.tokens == (6, 7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"good\n\nbad\n", "line 2 is empty"),
        (b"good\n   \n", "line 2 is empty"),
        (b"caf\xe9\n", "byte 3 is not UTF-8"),
        (b"x" * 1_000_001, "line 1 is longer than 1000000 bytes"),
    ],
    ids=["empty", "empty line", "blank line", "not UTF-8", "too long"],
)
def test_an_unusable_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str):
    file = tmp_path / "texts.txt"
    file.write_bytes(content)
    with pytest.raises(BadInputError, match=message) as caught:
        load_payloads(str(file))
    assert str(file) in str(caught.value)


def test_an_unknown_kind_of_payload_is_taken_for_a_file_and_the_kinds_are_named():
    with pytest.raises(BadInputError, match=r"longish: cannot be read .*--payloads takes short, imdb or a file"):
        load_payloads("longish")
