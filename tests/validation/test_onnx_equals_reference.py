"""The float graph against the reference implementation in transformers and torch: 1e-4 on logits.

Two independent ways to the same numbers: transformers reads the same weights and computes with torch; and, for the
demo's encoder, transformers reads the original BERT layout, which we fold into DistilBERT's.
"""

from dataclasses import replace

import numpy as np
import pytest

from inference_service.prepare.demo_model import LABELS, minilm_folder
from inference_service.prepare.model_config import read_config
from inference_service.prepare.onnx_graph import FloatArithmetic, build_classifier, build_encoder
from inference_service.prepare.session import GraphRunner
from inference_service.prepare.weights import head_shapes, read_bert_encoder, read_classifier

pytestmark = [
    pytest.mark.needs("torch"),
    # Warnings of torch and transformers about themselves are not ours to fix.
    pytest.mark.filterwarnings("default"),
]

LENGTHS = (1, 2, 7, 16, 33, 128, 511, 512)
TOLERANCE = 1e-4
SHAPES = {
    "narrow": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "vocab_size": 300},
    "one head, one layer": {"dim": 48, "hidden_dim": 20, "n_layers": 1, "n_heads": 1, "vocab_size": 90},
    "deep, five labels": {
        "dim": 64,
        "hidden_dim": 256,
        "n_layers": 7,
        "n_heads": 8,
        "vocab_size": 777,
        "num_labels": 5,
    },
    "DistilBERT's width": {"dim": 768, "hidden_dim": 3072, "n_layers": 2, "n_heads": 12, "vocab_size": 1000},
}


@pytest.fixture(scope="module")
def demo():
    """Configuration and weights of the demo's encoder, with a seeded head."""
    folder = minilm_folder()
    config = replace(read_config(folder), labels=LABELS)
    rng = np.random.default_rng(0)
    head = {name: rng.normal(scale=0.1, size=shape).astype(np.float32) for name, shape in head_shapes(config).items()}
    return config, {**read_bert_encoder(folder, config), **head}


@pytest.fixture(scope="module")
def demo_graph(demo):
    return GraphRunner(build_classifier(*demo, FloatArithmetic()))


@pytest.fixture(scope="module")
def demo_reference(demo):
    """The same weights in transformers' DistilBERT."""
    import torch  # noqa: PLC0415  skipped without it
    from transformers import DistilBertConfig, DistilBertForSequenceClassification  # noqa: PLC0415  skipped without it

    config, weights = demo
    document = {"dim": config.dim, "hidden_dim": config.hidden_dim, "n_layers": config.layers, "n_heads": config.heads}
    reference = DistilBertForSequenceClassification(DistilBertConfig(vocab_size=config.vocab_size, **document)).eval()
    reference.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()}, strict=True)
    return reference


def _logits(reference, texts):
    import torch  # noqa: PLC0415  skipped without it

    mask = np.zeros((len(texts), max(map(len, texts))), dtype=np.int64)
    ids = np.zeros_like(mask)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    with torch.no_grad():
        return reference(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.numpy()


def _texts(lengths, vocab_size, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(vocab_size, size=length).tolist() for length in lengths]


@pytest.mark.parametrize("length", LENGTHS)
def test_demo_graph_equals_the_reference_at_every_length(demo, demo_graph, demo_reference, length):
    texts = _texts([length], demo[0].vocab_size, seed=length)

    np.testing.assert_allclose(demo_graph.run(texts), _logits(demo_reference, texts), atol=TOLERANCE, rtol=0)


def test_demo_graph_equals_the_reference_on_a_padded_batch(demo, demo_graph, demo_reference):
    texts = _texts([60, 1, 2, 33, 17, 60, 45, 5], demo[0].vocab_size)

    np.testing.assert_allclose(demo_graph.run(texts), _logits(demo_reference, texts), atol=TOLERANCE, rtol=0)


def test_folded_minilm_equals_the_original_bert_layout(demo):
    import torch  # noqa: PLC0415  skipped without it
    from transformers import BertModel  # noqa: PLC0415  skipped without it

    bert = BertModel.from_pretrained(minilm_folder(), add_pooling_layer=False, local_files_only=True).eval()
    texts = _texts([24], demo[0].vocab_size)

    features = GraphRunner(build_encoder(*demo, FloatArithmetic())).run(texts)

    with torch.no_grad():
        expected = bert(torch.tensor(texts)).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(features, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_saved_classifiers_of_other_shapes_equal_the_reference(tmp_path, shape):
    import torch  # noqa: PLC0415  skipped without it
    from transformers import DistilBertConfig, DistilBertForSequenceClassification  # noqa: PLC0415  skipped without it

    torch.manual_seed(3)
    # Larger than the usual start, so that the logits differ visibly between texts.
    deviation = 1.5 / np.sqrt(SHAPES[shape]["dim"])
    settings = DistilBertConfig(initializer_range=deviation, **SHAPES[shape])
    reference = DistilBertForSequenceClassification(settings).eval()
    for name, value in reference.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(value, std=0.1)
    reference.save_pretrained(tmp_path)
    config = read_config(tmp_path)
    graph = GraphRunner(build_classifier(config, read_classifier(tmp_path, config), FloatArithmetic()))

    for lengths in ([1], [512], [40, 3, 21]):
        texts = _texts(lengths, config.vocab_size)
        np.testing.assert_allclose(graph.run(texts), _logits(reference, texts), atol=TOLERANCE, rtol=0)
