"""Trains DistilBERT's classification head (a ReLU layer and a classifier) on fixed features, with numpy alone.

Adam (Kingma and Ba 2015, algorithm 1) with decoupled weight decay on the cross-entropy. The features are standardised
for training; the scaling then folds into the first layer. Noise on the features was tried and only cost accuracy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_STEP, _MEMORY, _MEMORY_OF_SQUARES, _SMALL = 2e-3, 0.9, 0.999, 1e-8
_DECAY = 0.1
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Head:
    """Weights under DistilBERT's names; a weight is [out, in]."""

    weights: dict[str, Array]

    def logits(self, features: Array) -> Array:
        """Scores [n, labels] of features [n, dim]."""
        hidden = features @ self.weights["pre_classifier.weight"].T + self.weights["pre_classifier.bias"]
        return np.maximum(hidden, 0) @ self.weights["classifier.weight"].T + self.weights["classifier.bias"]


def train_head(features: Array, labels: NDArray[np.int64], rng: np.random.Generator, *, epochs: int = 30) -> Head:
    """A head that tells the labels apart.

    Args:
        features: [n, dim], first-token vectors of the encoder.
        labels: [n], from 0.
        rng: for the first weights and the order; the same generator gives the same head.
        epochs: passes over the sentences; 30 take about a second for 3,000.
    """
    dim, classes = features.shape[1], int(labels.max()) + 1
    mean, deviation = features.mean(axis=0), features.std(axis=0) + np.float32(1e-6)
    inputs = (features - mean) / deviation
    parameters = [
        _random(rng, (dim, dim)),
        np.zeros(dim, dtype=np.float32),
        _random(rng, (dim, classes)),
        np.zeros(classes, dtype=np.float32),
    ]
    optimiser = _Adam(parameters)
    for _ in range(epochs):
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            optimiser.step(_gradients(parameters, inputs[rows], labels[rows]))
    first, first_bias, second, second_bias = parameters
    scaled = first / deviation[:, None]
    return Head(
        {
            "pre_classifier.weight": np.ascontiguousarray(scaled.T),
            "pre_classifier.bias": first_bias - mean @ scaled,
            "classifier.weight": np.ascontiguousarray(second.T),
            "classifier.bias": second_bias,
        }
    )


def _random(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / shape[0]))


def _gradients(parameters: list[Array], inputs: Array, labels: NDArray[np.int64]) -> list[Array]:
    first, first_bias, second, second_bias = parameters
    hidden = np.maximum(inputs @ first + first_bias, 0)
    logits = hidden @ second + second_bias
    error = np.exp(logits - logits.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= np.float32(len(labels))
    back = (error @ second.T) * (hidden > 0)
    return [inputs.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)]


class _Adam:
    """Changes the parameters in place."""

    def __init__(self, parameters: list[Array]) -> None:
        self._parameters = parameters
        self._means = [np.zeros_like(value) for value in parameters]
        self._squares = [np.zeros_like(value) for value in parameters]
        self._steps = 0

    def step(self, gradients: list[Array]) -> None:
        self._steps += 1
        for index, gradient in enumerate(gradients):
            self._means[index] += (1 - _MEMORY) * (gradient - self._means[index])
            self._squares[index] += (1 - _MEMORY_OF_SQUARES) * (gradient**2 - self._squares[index])
            unbiased = self._means[index] / (1 - _MEMORY**self._steps)
            spread = np.sqrt(self._squares[index] / (1 - _MEMORY_OF_SQUARES**self._steps)) + _SMALL
            change = unbiased / spread
            if gradient.ndim > 1:
                # Decoupled decay (Loshchilov and Hutter 2019), of the matrices only.
                change += _DECAY * self._parameters[index]
            self._parameters[index] -= _STEP * change
