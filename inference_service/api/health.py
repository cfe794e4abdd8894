"""Health and metadata of both protocols, and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference_service.api.http_io import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference_service.api.http_io import Receive, Scope
    from inference_service.inference import ModelDescription

VERSION = "0.1.0"


class HealthEndpoints:
    """Answers that need no body. Each method is an endpoint."""

    def __init__(
        self, model: ModelDescription, is_ready: Callable[[], bool], metrics_text: Callable[[], bytes]
    ) -> None:
        self._model = model
        self._is_ready = is_ready
        self._metrics_text = metrics_text

    async def live(self, scope: Scope, receive: Receive) -> Response:
        """The process answers."""
        del scope, receive
        return json_response({"live": True})

    async def ready(self, scope: Scope, receive: Receive) -> Response:
        """A worker has loaded the network, and the server is not draining."""
        del scope, receive
        return json_response({"ready": self._is_ready()}, 200 if self._is_ready() else 503)

    async def server(self, scope: Scope, receive: Receive) -> Response:
        """V2 server metadata."""
        del scope, receive
        return json_response({"name": "tidegate", "version": VERSION, "extensions": []})

    async def model_v2(self, scope: Scope, receive: Receive) -> Response:
        """V2 model metadata."""
        del scope, receive
        labels = len(self._model.labels)
        return json_response(
            {
                "name": self._model.name,
                "versions": [],
                "platform": self._model.platform,
                "inputs": [
                    {"name": "text", "datatype": "BYTES", "shape": [-1]},
                    {"name": "input_ids", "datatype": "INT32", "shape": [-1, -1]},
                    {"name": "attention_mask", "datatype": "INT32", "shape": [-1, -1]},
                ],
                "outputs": [
                    {"name": "label", "datatype": "BYTES", "shape": [-1]},
                    {"name": "probabilities", "datatype": "FP32", "shape": [-1, labels]},
                ],
                "parameters": {
                    "labels": list(self._model.labels),
                    "precision": self._model.precision,
                    "max_length": self._model.max_length,
                    "vocab_size": self._model.vocab_size,
                },
            }
        )

    async def models_v1(self, scope: Scope, receive: Receive) -> Response:
        """V1 list of models."""
        del scope, receive
        return json_response({"models": [self._model.name]})

    async def model_v1(self, scope: Scope, receive: Receive) -> Response:
        """V1 readiness of the model."""
        del scope, receive
        ready = self._is_ready()
        return json_response({"name": self._model.name, "ready": ready}, 200 if ready else 503)

    async def metrics(self, scope: Scope, receive: Receive) -> Response:
        """Prometheus text."""
        del scope, receive
        return Response(200, self._metrics_text(), ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),))
