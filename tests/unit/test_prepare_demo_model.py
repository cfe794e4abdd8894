"""The demo's model from beginning to end, with fewer sentences: what it reaches, and that it is made once."""

import json
import threading

import numpy as np
import pytest

from inference_service.prepare import demo_model
from inference_service.prepare.demo_model import ensure_demo_model, minilm_folder, seeded_weights
from inference_service.prepare.model_config import ModelConfig, read_config
from inference_service.prepare.session import GraphRunner
from inference_service.prepare.tokenizer_file import read_tokenizer


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_model, "_TRAINING_SENTENCES", 300)
        patch.setattr(demo_model, "_TEST_SENTENCES", 300)
        return ensure_demo_model(tmp_path_factory.mktemp("cache"), quiet=True)


def test_int8_is_within_one_and_a_half_points_of_fp32_on_unseen_words(demo):
    accuracy = json.loads((demo / "manifest.json").read_text())["accuracy"]

    assert accuracy["sentences"] == 300
    assert accuracy["fp32"] > 0.8
    assert abs(accuracy["fp32"] - accuracy["int8"]) <= 0.015
    assert accuracy["agreement"] >= 0.96


def test_manifest_describes_distilbert_with_two_labels(demo):
    manifest = json.loads((demo / "manifest.json").read_text())

    assert manifest["architecture"] == "distilbert"
    assert manifest["labels"] == ["negative", "positive"]
    assert (manifest["layers"], manifest["dim"], manifest["heads"], manifest["max_length"]) == (6, 384, 12, 512)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_plain_sentences_get_the_label_that_anyone_would_give(demo, precision):
    tokenizer = read_tokenizer(demo, read_config(minilm_folder()))
    runner = GraphRunner(demo / f"model.{precision}.onnx")
    texts = ["This was a terrible experience.", "Worst hotel ever", "I love this movie", "The staff were very friendly"]

    labels = runner.run([tokenizer.encode(text).ids for text in texts]).argmax(axis=1)

    assert labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_neighbours_in_a_batch_do_not_change_an_answer(demo, precision):
    tokenizer = read_tokenizer(demo, read_config(minilm_folder()))
    runner = GraphRunner(demo / f"model.{precision}.onnx")
    texts = ["a wonderful garden", "the soup was horrible and cold when we arrived at the hotel in the evening"]
    ids = [tokenizer.encode(text).ids for text in texts]

    together = _probabilities(runner.run(ids))

    np.testing.assert_allclose(together, _probabilities(np.concatenate([runner.run([one]) for one in ids])), atol=1e-5)


def _probabilities(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_prepared_model_is_taken_as_it_is(demo, monkeypatch):
    monkeypatch.setattr(demo_model, "write_demo_model", pytest.fail)

    assert ensure_demo_model(demo.parent, quiet=True) == demo


def test_two_at_once_prepare_once(tmp_path, monkeypatch):
    written = []

    def write(target, **_):
        written.append(target)
        target.mkdir()

    monkeypatch.setattr(demo_model, "write_demo_model", write)
    monkeypatch.setattr(demo_model, "is_current", lambda folder: folder.exists())
    callers = [threading.Thread(target=ensure_demo_model, args=(tmp_path,), kwargs={"quiet": True}) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert written == [tmp_path / "demo"]


def test_full_size_has_the_parameters_of_distilbert():
    shape = {"dim": 768, "hidden_dim": 3072, "layers": 6, "heads": 12, "vocab_size": 30_522, "max_length": 512}
    config = ModelConfig(layout="distilbert", labels=("negative", "positive"), **shape)

    weights = seeded_weights(config, np.random.default_rng(0))

    assert sum(value.size for value in weights.values()) == 66_955_010
