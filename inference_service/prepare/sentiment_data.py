"""Sentences with a known sentiment, to train the demo's head and to test it on words it has never seen.

A sentence is a clause with a word of the VADER lexicon, surrounded by neutral context until it has 4 to 40 words. Words
are split by family (their first five letters), so that not even an inflection of a test word is seen in training.
No sentence has a negation: the lexicon scores words, and what "not" does to them is nothing this data could teach.

Lexicon: Hutto and Gilbert 2014, package vaderSentiment (MIT), read as a file.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference_service.prepare.errors import SourceError
from inference_service.prepare.sentence_parts import CLAUSES, ENDINGS, FILLERS, OPENINGS, PLAIN_WORDS, TAILS

# Words rated clearly and by agreement: mean of ten raters from -4 to 4, and their standard deviation.
_LEAST_SCORE = 1.3
_LARGEST_DEVIATION = 1.3
_FAMILY_LETTERS = 5
_TEST_SHARE = 0.25
_SHORTEST, _LONGEST = 4, 40
_LEFT_OUT = {"fucked", "raped", "pissed", "screwed", "damned"}
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Sentences:
    """Texts and their labels, 0 negative and 1 positive, of equal number."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScoredWord:
    """A word that fits one slot of the clauses."""

    text: str
    slot: str
    label: int

    @property
    def family(self) -> str:
        """What inflections have in common."""
        return self.text[:_FAMILY_LETTERS]


def read_lexicon(path: Path, vocabulary: Collection[str]) -> list[ScoredWord]:
    """Clearly scored words that the model's vocabulary has in one piece, by slot.

    Args:
        path: VADER's table: word, mean score, standard deviation, single ratings; separated by tabs.
        vocabulary: pieces the tokenizer knows; leaves out rarities such as "beautifuler".

    Raises:
        SourceError: the file is missing or is not that table.
    """
    words: list[ScoredWord] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            text, mean, deviation, _ = line.split("\t")
            clear = abs(float(mean)) >= _LEAST_SCORE and float(deviation) <= _LARGEST_DEVIATION
            slot = _slot(text)
            if clear and slot and text in vocabulary:
                words.append(ScoredWord(text=text, slot=slot, label=int(float(mean) > 0)))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not VADER's lexicon ({error}); install vaderSentiment again") from error
    return words


def split_families(words: Sequence[ScoredWord], rng: np.random.Generator) -> tuple[list[ScoredWord], list[ScoredWord]]:
    """Words to train on and words to test with; no family is on both sides."""
    families = sorted({word.family for word in words})
    rng.shuffle(families)
    held_out = set(families[: round(_TEST_SHARE * len(families))])
    return [w for w in words if w.family not in held_out], [w for w in words if w.family in held_out]


def make_sentences(words: Sequence[ScoredWord], count: int, rng: np.random.Generator) -> Sentences:
    """Different sentences of 4 to 40 words, half of them positive; short ones are the more frequent."""
    by_slot = {
        label: {slot: [w.text for w in words if (w.slot, w.label) == (slot, label)] for slot in CLAUSES}
        for label in (0, 1)
    }
    # Logarithmically uniform lengths: most messages are short, a few are long.
    lengths = np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST + 1), size=count)).astype(int)
    texts: dict[str, int] = {}
    while len(texts) < count:
        label = len(texts) % 2
        text = _sentence(by_slot[label], int(lengths[len(texts)]), rng)
        texts.setdefault(text, label)
    return Sentences(texts=tuple(texts), labels=tuple(texts.values()))


def _slot(text: str) -> str | None:
    if text in _LEFT_OUT or not re.fullmatch(r"[a-z]{3,14}", text):
        return None
    for slot, plain in PLAIN_WORDS.items():
        if text in plain:
            return slot
    return next((slot for slot, ending in ENDINGS.items() if re.search(ending, text)), None)


def _sentence(words: dict[str, list[str]], length: int, rng: np.random.Generator) -> str:
    parts = [_clause(words, rng)]
    while sum(len(part.split()) for part in parts) < length:
        missing = length - sum(len(part.split()) for part in parts)
        kind = rng.integers(3)
        if kind == 0 and len(parts) > 1 and missing > 6:
            parts.append(f"and {_clause(words, rng)}")
        elif kind == 1 and parts[0] not in OPENINGS and missing > 2 and not parts[0].endswith(","):
            parts.insert(0, _fill(_one(OPENINGS, rng), {}, rng))
        else:
            parts.append(_fill(_one(TAILS, rng), {}, rng))
    text = " ".join(" ".join(parts).split()[:_LONGEST])
    return text[0].upper() + text[1:] + _one([".", ".", ".", "!", ""], rng)


def _clause(words: dict[str, list[str]], rng: np.random.Generator) -> str:
    # A slot is drawn by its number of words, so that every word of the lexicon is about equally likely.
    sizes = np.array([len(words[slot]) for slot in CLAUSES], dtype=float)
    slot = list(CLAUSES)[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
    return _fill(_one(CLAUSES[slot], rng), words, rng)


def _fill(template: str, words: dict[str, list[str]], rng: np.random.Generator) -> str:
    text = _SLOT.sub(lambda slot: _one(words.get(slot[1]) or FILLERS[slot[1]], rng), template)
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
