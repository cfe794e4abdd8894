"""The texts a run sends: short reviews, IMDb-like reviews, or the lines of a file.

A text is named by its index (`text_id` in schedule.csv). Generated texts depend on nothing but their kind, so a saved
schedule means the same requests everywhere; only `random.Random.random` is used, which Python keeps stable.
"""

from __future__ import annotations

import random
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from controller.errors import BadInputError
from loadtest.words import ADVERBS, COMMON, JOINERS, NEGATIVE, POSITIVE, RARE, SUBJECTS

Chosen = TypeVar("Chosen")

if TYPE_CHECKING:
    from collections.abc import Sequence

GENERATED_TEXTS = 500
"""How many different texts are generated; each 1/500 slice of the length law is present once."""
TOKENS_PER_WORD = 1.24
"""WordPiece tokens for each word of a review, on average; two more mark start and end."""
MAX_TOKENS = 512
"""Where DistilBERT cuts a text off."""
MAX_TEXT_BYTES = 1_000_000
"""A longer line is taken for a mistake: no server accepts such a body."""
SHORT_WORDS = (4, 30)
"""Fewest and most words of a short review; uniform between, which gives 7 to 39 tokens."""
IMDB_QUANTILES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99, 0.999, 1.0)
IMDB_WORDS = (4, 40, 68, 92, 126, 173, 280, 450, 592, 905, 1300, 2470)
"""Words of a review of the IMDb corpus (Maas et al. 2011) at these quantiles; between them, linear on the log scale."""


@dataclass(frozen=True, slots=True)
class Payloads:
    """Texts with an estimate of their length in tokens; `name` is what --payloads was."""

    name: str
    texts: tuple[str, ...]
    tokens: tuple[int, ...]


def estimate_tokens(words: int) -> int:
    """Tokens a text of so many words is likely to have after truncation."""
    return min(round(TOKENS_PER_WORD * words + 2), MAX_TOKENS)


def load_payloads(name: str) -> Payloads:
    """Return the payloads called `short` or `imdb`, or the lines of the file of that name.

    Raises:
        BadInputError: the file cannot be read, is empty, or has an empty or over-long line.
    """
    if name == "short":
        texts = short_reviews(GENERATED_TEXTS)
    elif name == "imdb":
        texts = imdb_like_reviews(GENERATED_TEXTS)
    else:
        texts = _lines(Path(name))
    return Payloads(name, tuple(texts), tuple(estimate_tokens(len(text.split())) for text in texts))


def imdb_words(u: float) -> int:
    """Words of the review at quantile `u` of the IMDb-like law (generator A)."""
    return round(float(np.exp(np.interp(u, IMDB_QUANTILES, np.log(IMDB_WORDS)))))


def short_reviews(count: int) -> list[str]:
    """Short sentences about a film, half of them in praise of it."""
    rng = random.Random("short reviews")
    fewest, most = SHORT_WORDS
    lengths = range(fewest, most + 1)
    return [
        _short_review(rng, words=_pick(rng, lengths), opinions=POSITIVE if index % 2 else NEGATIVE)
        for index in range(count)
    ]


def imdb_like_reviews(count: int) -> list[str]:
    """Reviews with the IMDb corpus' word counts, in random order: Zipf words, opinions, full stops and break tags."""
    rng = random.Random("imdb-like reviews")
    slices = sorted(range(count), key=lambda _: rng.random())
    return [
        _long_review(rng, words=imdb_words((place + 0.5) / count), opinions=POSITIVE if index % 2 else NEGATIVE)
        for index, place in enumerate(slices)
    ]


def _pick(rng: random.Random, choices: Sequence[Chosen]) -> Chosen:
    return choices[int(rng.random() * len(choices))]


def _short_review(rng: random.Random, *, words: int, opinions: Sequence[str]) -> str:
    sentence: list[str] = []
    while len(sentence) < words:
        if sentence:
            sentence[-1] += ","
            sentence += _pick(rng, JOINERS).split()
        sentence += [_pick(rng, SUBJECTS), "was", _pick(rng, ADVERBS), _pick(rng, opinions)]
    return " ".join(sentence[:words]).rstrip(",") + "."


_VOCABULARY = COMMON + RARE
_ZIPF = tuple(accumulate(1.0 / (rank + 2.7) for rank in range(1, len(_VOCABULARY) + 1)))
"""Running sums of Zipf's law with Mandelbrot's shift: rank r in proportion to 1 / (r + 2.7)."""


def _long_review(rng: random.Random, *, words: int, opinions: Sequence[str]) -> str:
    review: list[str] = []
    until_break = 60 + int(rng.random() * 40)
    while len(review) < words:
        draw = rng.random()
        if len(review) >= until_break:
            review += ["<br", "/><br", "/>"]
            until_break += 60 + int(rng.random() * 40)
        elif draw < 0.04:
            review.append(_pick(rng, opinions))
        else:
            stop = "." if draw > 0.93 else "," if draw > 0.87 else ""
            review.append(_VOCABULARY[bisect(_ZIPF, rng.random() * _ZIPF[-1])] + stop)
    return " ".join(review[:words])


def _lines(path: Path) -> list[str]:
    known = "--payloads takes short, imdb or a file with one text a line"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}); {known}") from error
    if not lines:
        raise BadInputError(f"{path}: is empty; {known}")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise BadInputError(f"{path}: line {number} is empty; {known}")
        if len(line.encode()) > MAX_TEXT_BYTES:
            raise BadInputError(f"{path}: line {number} is longer than {MAX_TEXT_BYTES} bytes; {known}")
    return lines
