"""Every path that the server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inference_service.api.app import Endpoint
    from inference_service.api.health import HealthEndpoints


def build_routes(
    model_name: str, *, predict_v1: Endpoint, predict_v2: Endpoint, health: HealthEndpoints
) -> Mapping[str, Mapping[str, Endpoint]]:
    """Path → method → endpoint. The model's name is fixed, so a dictionary does and no pattern is matched."""
    v1, v2 = f"/v1/models/{model_name}", f"/v2/models/{model_name}"
    return {
        f"{v1}:predict": {"POST": predict_v1},
        f"{v2}/infer": {"POST": predict_v2},
        "/v1/models": {"GET": health.models_v1},
        v1: {"GET": health.model_v1},
        "/v2": {"GET": health.server},
        "/v2/health/live": {"GET": health.live},
        "/v2/health/ready": {"GET": health.ready},
        v2: {"GET": health.model_v2},
        f"{v2}/ready": {"GET": health.ready},
        "/metrics": {"GET": health.metrics},
    }
