"""A tiny DistilBERT in plain numpy, written from the paper's description, against the graph: no torch needed."""

import math

import numpy as np
import pytest

from inference_service.prepare.demo_model import seeded_weights
from inference_service.prepare.model_config import ModelConfig
from inference_service.prepare.onnx_graph import FloatArithmetic, build_classifier, build_encoder
from inference_service.prepare.quantise import Int8Arithmetic, quantise_rows
from inference_service.prepare.session import GraphRunner

TINY = {"dim": 24, "hidden_dim": 40, "layers": 3, "heads": 4, "vocab_size": 50, "max_length": 20}


def _config(**changes):
    return ModelConfig(**({"layout": "distilbert", "labels": ("a", "b", "c")} | TINY | changes))


def _weights(config, seed=0):
    rng = np.random.default_rng(seed)
    weights = seeded_weights(config, rng)
    scale = {1: 1, 2: 8}
    noise = {name: rng.normal(scale=0.1, size=value.shape).astype(np.float32) for name, value in weights.items()}
    return {name: value * scale[value.ndim] + noise[name] for name, value in weights.items()}


def _normalised(value, weights, name):
    centred = value - value.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _linear(value, weights, name):
    return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _attention(hidden, weights, name, heads):
    length, dim = hidden.shape
    parts = (_linear(hidden, weights, f"{name}.{part}_lin").reshape(length, heads, -1) for part in "qkv")
    query, key, value = (part.transpose(1, 0, 2) for part in parts)
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(dim // heads)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    joined = (shares @ value).transpose(1, 0, 2).reshape(length, dim)
    return _linear(joined, weights, f"{name}.out_lin")


def _gelu(value):
    return 0.5 * value * (1 + np.vectorize(math.erf)(value / math.sqrt(2)))


def _reference_logits(config, weights, ids):
    embeddings = "distilbert.embeddings"
    words = weights[f"{embeddings}.word_embeddings.weight"][ids]
    positions = weights[f"{embeddings}.position_embeddings.weight"][: len(ids)]
    hidden = _normalised((words + positions).astype(np.float64), weights, f"{embeddings}.LayerNorm")
    for index in range(config.layers):
        layer = f"distilbert.transformer.layer.{index}"
        attended = _attention(hidden, weights, f"{layer}.attention", config.heads)
        hidden = _normalised(attended + hidden, weights, f"{layer}.sa_layer_norm")
        inner = _gelu(_linear(hidden, weights, f"{layer}.ffn.lin1"))
        hidden = _normalised(
            _linear(inner, weights, f"{layer}.ffn.lin2") + hidden, weights, f"{layer}.output_layer_norm"
        )
    return _linear(np.maximum(_linear(hidden[0], weights, "pre_classifier"), 0), weights, "classifier")


@pytest.mark.parametrize("changes", [{}, {"layers": 1}, {"heads": 1}, {"dim": 16, "heads": 16, "hidden_dim": 8}])
def test_float_graph_equals_a_plain_numpy_distilbert(changes):
    config = _config(**changes)
    weights = _weights(config)
    texts = [[1], [3, 4, 5], list(range(20)), [7] * 11]

    logits = GraphRunner(build_classifier(config, weights, FloatArithmetic())).run(texts)

    expected = [_reference_logits(config, weights, text) for text in texts]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_padding_and_neighbours_leave_an_answer_of_the_float_graph_as_it_is():
    config = _config()
    runner = GraphRunner(build_classifier(config, _weights(config), FloatArithmetic()))
    texts = [[1, 2], [3] * 20, [4]]

    together = runner.run(texts)

    np.testing.assert_allclose(together, np.concatenate([runner.run([text]) for text in texts]), atol=1e-5)


def test_encoder_gives_the_features_that_the_head_turns_into_logits():
    config = _config()
    weights = _weights(config)
    texts = [[1, 2, 3], [9]]

    features = GraphRunner(build_encoder(config, weights, FloatArithmetic())).run(texts)

    hidden = np.maximum(_linear(features, weights, "pre_classifier"), 0)
    logits = GraphRunner(build_classifier(config, weights, FloatArithmetic())).run(texts)
    np.testing.assert_allclose(_linear(hidden, weights, "classifier"), logits, atol=1e-4)


def test_int8_graph_stays_near_the_float_graph():
    config = _config(dim=64, hidden_dim=128)
    weights = _weights(config)
    texts = [[1, 2, 3, 4], [5] * 12]

    exact = GraphRunner(build_classifier(config, weights, FloatArithmetic())).run(texts)
    integer = GraphRunner(build_classifier(config, weights, Int8Arithmetic())).run(texts)

    assert np.abs(exact - integer).max() < 0.1 * np.abs(exact).max()


def test_int8_graph_survives_a_token_of_zeros():
    config = _config()
    weights = _weights(config)
    for name in weights:
        if name.startswith("distilbert.embeddings.LayerNorm"):
            weights[name] = np.zeros_like(weights[name])

    assert np.isfinite(GraphRunner(build_classifier(config, weights, Int8Arithmetic())).run([[1, 2]])).all()


def test_graph_runner_answers_in_the_order_of_the_texts():
    config = _config()
    runner = GraphRunner(build_classifier(config, _weights(config), FloatArithmetic()))
    texts = [[1] * length for length in (9, 1, 20, 4)]

    backwards = runner.run(texts[::-1])

    np.testing.assert_allclose(backwards[::-1], runner.run(texts), atol=1e-5)


def test_quantised_rows_are_within_half_a_step_of_the_table():
    table = np.random.default_rng(1).normal(size=(7, 30)).astype(np.float32)

    integers, scales = quantise_rows(table, 63)

    assert np.abs(integers).max() == 63
    assert (np.abs(integers * scales - table) <= scales * 0.5001).all()


@pytest.mark.parametrize("value", [0.0, 1e-45, 3e38])
def test_rows_of_extreme_numbers_are_quantised_without_a_warning(value):
    integers, scales = quantise_rows(np.full((1, 4), value, dtype=np.float32), 127)

    assert np.isfinite(integers * scales).all()
