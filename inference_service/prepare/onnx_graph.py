"""Builds DistilBERT with its classification head as an ONNX graph, without torch.

Inputs, both int32 [batch, length]: `input_ids`, and `attention_mask` with 1 for a token and 0 for padding, which must
be on the right (the fused attention takes one length per row). Output: `logits` float32 [batch, labels].

Three choices were measured (one thread, AVX2, 384 wide, 128 tokens):
- Queries, keys and values come from one multiplication, then MultiHeadAttention of onnxruntime. Its Attention operator
  does the multiplication itself but head by head, and is no faster.
- Two Adds and LayerNormalization take 49 us, the fused SkipLayerNormalization 282 us. onnxruntime's own optimiser would
  fuse them back, so sessions must be opened with graph optimisation switched off (it has nothing left to do, and the
  session opens faster).
- The head reads the first token only, so the last layer computes queries, output and feed-forward for that token only:
  the same logits, an eighth of the work less.
"""

from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from inference_service.prepare.graph_writer import MICROSOFT, GraphWriter
from inference_service.prepare.model_config import ModelConfig
from inference_service.prepare.weights import Weights

Array = NDArray[np.float32]


class Arithmetic(Protocol):
    """What differs between precisions: looking up a row, and multiplying by a weight."""

    def rows(self, graph: GraphWriter, name: str, table: Array, indices: str) -> str:
        """Rows of `table` [n, dim] at `indices` [batch, length], as float32 [batch, length, dim]."""
        ...

    def linear(self, graph: GraphWriter, name: str, weight: Array, value: str) -> str:
        """`value` [.., in] times the transpose of `weight` [out, in], as float32 [.., out]; no bias."""
        ...


class FloatArithmetic:
    """32-bit floating point throughout."""

    def rows(self, graph: GraphWriter, name: str, table: Array, indices: str) -> str:
        """Plain lookup."""
        return graph.node("Gather", [graph.constant(name, table), indices])

    def linear(self, graph: GraphWriter, name: str, weight: Array, value: str) -> str:
        """Plain matrix multiplication."""
        return graph.node("MatMul", [value, graph.constant(name, weight.T)])


def build_classifier(config: ModelConfig, weights: Weights, arithmetic: Arithmetic) -> onnx.ModelProto:
    """The whole classifier; weights under DistilBERT's names, shapes as `weights.py` checks them."""
    builder = _Builder(config, weights, arithmetic)
    logits = builder.head(builder.features())
    return builder.graph.model(_INPUTS, (logits, "logits", ["batch", len(config.labels)]))


def build_encoder(config: ModelConfig, weights: Weights, arithmetic: Arithmetic) -> onnx.ModelProto:
    """The encoder alone; output `features` float32 [batch, dim], the first token's vector, to train a head on."""
    builder = _Builder(config, weights, arithmetic)
    return builder.graph.model(_INPUTS, (builder.features(), "features", ["batch", config.dim]))


class _Builder:
    """Emits the parts of one model into one graph."""

    def __init__(self, config: ModelConfig, weights: Weights, arithmetic: Arithmetic) -> None:
        self.graph = GraphWriter()
        self._config = config
        self._weights = weights
        self._arithmetic = arithmetic

    def features(self) -> str:
        """Vector of token 0 after all layers: [batch, dim]."""
        hidden = self._embeddings()
        lengths = self.graph.node("ReduceSum", ["attention_mask", self._indices("axis_length", [1])], keepdims=0)
        for index in range(self._config.layers):
            hidden = self._layer(index, hidden, lengths)
        return self.graph.node("Gather", [hidden, self._indices("first", 0)], axis=1)

    def head(self, value: str) -> str:
        """Hidden ReLU layer and classifier, in float32: [batch, labels]. They cost next to nothing."""
        for name in ("pre_classifier", "classifier"):
            weight, bias = self._constant(f"{name}.weight"), self._constant(f"{name}.bias")
            value = self.graph.node("Gemm", [value, weight, bias], transB=1)
            value = self.graph.node("Relu", [value]) if name == "pre_classifier" else value
        return value

    def _embeddings(self) -> str:
        """Words plus positions 0, 1, 2 and so on, normalised: [batch, length, dim]."""
        prefix = "distilbert.embeddings"
        words = f"{prefix}.word_embeddings.weight"
        word = self._arithmetic.rows(self.graph, words, self._weights[words], "input_ids")
        length = self.graph.node("Shape", ["input_ids"], start=1, end=2)
        table = self._constant(f"{prefix}.position_embeddings.weight")
        position = self.graph.node("Slice", [table, self._indices("position_start", [0]), length])
        return self._normalise(f"{prefix}.LayerNorm", self.graph.node("Add", [word, position]))

    def _layer(self, index: int, hidden: str, lengths: str) -> str:
        """Attention and feed-forward, each added to its input and normalised; the last layer for token 0 only."""
        prefix = f"distilbert.transformer.layer.{index}"
        if index == self._config.layers - 1:
            # A range of one keeps the rank: [batch, 1, dim].
            kept = self.graph.node("Slice", [hidden, *(self._indices(f"first_{n}", [v]) for n, v in _FIRST_TOKEN)])
            attended = self._attention(prefix, kept, hidden, lengths)
        else:
            kept = hidden
            attended = self._self_attention(prefix, hidden, lengths)
        attended = self._linear(f"{prefix}.attention.out_lin", attended)
        hidden = self._normalise(f"{prefix}.sa_layer_norm", self.graph.node("Add", [attended, kept]))
        inner = self._product(f"{prefix}.ffn.lin1.weight", hidden)
        inner = self.graph.node("BiasGelu", [inner, self._constant(f"{prefix}.ffn.lin1.bias")], domain=MICROSOFT)
        outer = self._linear(f"{prefix}.ffn.lin2", inner)
        return self._normalise(f"{prefix}.output_layer_norm", self.graph.node("Add", [outer, hidden]))

    def _self_attention(self, prefix: str, hidden: str, lengths: str) -> str:
        merged = self._merged(prefix, "qkv")
        product = self._arithmetic.linear(self.graph, f"{prefix}.attention.qkv", merged, hidden)
        parts = self.graph.nodes("Split", [product], 3, axis=2, num_outputs=3)
        return self._heads(prefix, parts, lengths)

    def _attention(self, prefix: str, queried: str, hidden: str, lengths: str) -> str:
        """Queries for some tokens, keys and values for all."""
        query = self._product(f"{prefix}.attention.q_lin.weight", queried)
        merged = self._merged(prefix, "kv")
        product = self._arithmetic.linear(self.graph, f"{prefix}.attention.kv", merged, hidden)
        parts = self.graph.nodes("Split", [product], 2, axis=2, num_outputs=2)
        return self._heads(prefix, [query, *parts], lengths)

    def _merged(self, prefix: str, parts: str) -> Array:
        return np.concatenate([self._weights[f"{prefix}.attention.{part}_lin.weight"] for part in parts])

    def _heads(self, prefix: str, parts: list[str], lengths: str) -> str:
        biases = np.concatenate([self._weights[f"{prefix}.attention.{part}_lin.bias"] for part in "qkv"])
        bias = self.graph.constant(f"{prefix}.attention.bias", biases)
        heads = self._config.heads
        return self.graph.node("MultiHeadAttention", [*parts, bias, lengths], domain=MICROSOFT, num_heads=heads)

    def _linear(self, name: str, value: str) -> str:
        product = self._product(f"{name}.weight", value)
        return self.graph.node("Add", [product, self._constant(f"{name}.bias")])

    def _product(self, name: str, value: str) -> str:
        return self._arithmetic.linear(self.graph, name, self._weights[name], value)

    def _normalise(self, name: str, value: str) -> str:
        inputs = [value, self._constant(f"{name}.weight"), self._constant(f"{name}.bias")]
        return self.graph.node("LayerNormalization", inputs, axis=-1, epsilon=self._config.layer_norm_eps)

    def _indices(self, name: str, values: list[int] | int) -> str:
        return self.graph.constant(name, np.array(values, dtype=np.int64))

    def _constant(self, name: str) -> str:
        return self.graph.constant(name, self._weights[name])


_INPUTS: dict[str, list[str | int]] = {"input_ids": ["batch", "length"], "attention_mask": ["batch", "length"]}
# Names and values of Slice's inputs starts, ends and axes.
_FIRST_TOKEN = (("start", 0), ("end", 1), ("axis", 1))
