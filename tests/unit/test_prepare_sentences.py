"""The demo's sentences and head."""

import numpy as np
import pytest

from inference_service.prepare.errors import SourceError
from inference_service.prepare.head import train_head
from inference_service.prepare.sentiment_data import ScoredWord, make_sentences, read_lexicon, split_families

WORDS = [
    ScoredWord(text=text, slot=slot, label=label)
    for label, texts in ((0, ("awful", "awfully", "horror", "hated")), (1, ("superb", "superbly", "charm", "loved")))
    for text, slot in zip(texts, ("adjective", "adverb", "noun", "verb"), strict=True)
]


def _lexicon(tmp_path, *lines):
    path = tmp_path / "lexicon.txt"
    path.write_text("\n".join("\t".join(line) for line in lines), encoding="utf-8")
    return path


def test_lexicon_keeps_clear_words_of_the_vocabulary_with_their_slot(tmp_path):
    path = _lexicon(
        tmp_path,
        ("terribly", "-2.6", "0.5", "[]"),
        ("kindness", "2.0", "0.9", "[]"),
        ("faint", "-0.3", "0.5", "[]"),
        ("hopeful", "2.3", "1.6", "[]"),
        ("mirthful", "2.7", "0.5", "[]"),
        (":)", "2.0", "0.5", "[]"),
    )

    words = read_lexicon(path, {"terribly", "kindness", "faint", "hopeful"})

    assert [(word.text, word.slot, word.label) for word in words] == [
        ("terribly", "adverb", 0),
        ("kindness", "noun", 1),
    ]


@pytest.mark.parametrize("line", [("good",), ("good", "much", "0.1", "[]")])
def test_file_that_is_no_lexicon_is_one_clear_error(tmp_path, line):
    with pytest.raises(SourceError, match="is not VADER's lexicon"):
        read_lexicon(_lexicon(tmp_path, line), {"good"})


def test_inflections_of_a_word_are_never_split():
    for seed in range(20):
        seen, unseen = split_families(WORDS, np.random.default_rng(seed))

        assert not {word.family for word in seen} & {word.family for word in unseen}
        assert sorted(word.text for word in seen + unseen) == sorted(word.text for word in WORDS)


def test_sentences_have_4_to_40_words_and_half_are_positive():
    sentences = make_sentences(WORDS, 300, np.random.default_rng(3))

    lengths = [len(text.split()) for text in sentences.texts]
    # A clause can be shorter than the 4 words asked for only when nothing was added to it.
    assert min(lengths) >= 3
    assert max(lengths) <= 40
    assert sum(sentences.labels) == 150
    assert len(set(sentences.texts)) == 300


def test_sentences_hold_no_negation_and_no_open_slot():
    text = " ".join(make_sentences(WORDS, 300, np.random.default_rng(4)).texts).lower()

    assert not {"not", "no", "never", "nobody", "without"} & set(text.split())
    assert "n't" not in text
    assert "{" not in text


def test_same_seed_gives_the_same_sentences():
    first, again = (make_sentences(WORDS, 50, np.random.default_rng(5)) for _ in range(2))

    assert first == again


def test_head_learns_what_no_straight_line_separates():
    rng = np.random.default_rng(6)
    features = rng.normal(size=(600, 32)).astype(np.float32) * 5 + 3
    labels = (np.abs(features[:, 0] - 3) > 3).astype(np.int64)

    head = train_head(features, labels, rng, epochs=300)

    assert (head.logits(features).argmax(axis=1) == labels).mean() > 0.9


def test_same_seed_gives_the_same_head():
    features = np.random.default_rng(7).normal(size=(100, 4)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(np.int64)

    first, again = (train_head(features, labels, np.random.default_rng(8), epochs=2) for _ in range(2))

    assert all((first.weights[name] == again.weights[name]).all() for name in first.weights)
