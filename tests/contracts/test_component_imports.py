"""Each entry point loads only what its image has: heavy libraries of another plane never slip in."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "optuna",
    "locust",
    "gevent",
    "matplotlib",
    "ruptures",
    "scipy",
    "kopf",
    "kubernetes",
    "boto3",
    "numba",
    "llvmlite",
}
ALLOWED = {
    "inference_service.__main__": set(),
    "inference_service.runtimes.onnx_runtime": {"onnxruntime"},
    "controller.cli": set(),
    "controller.commands.predict": {"scipy"},
    "controller.commands.detect": {"scipy"},
    "controller.control_loop": {"scipy", "optuna", "ruptures"},
    "controller.commands.operate": {"scipy", "optuna", "ruptures", "kopf", "kubernetes"},
    "controller.performance_model.simulator": set(),
    "controller.platforms.local.activator": set(),
    "loadtest.locustfile": {"locust", "gevent"},
}


@pytest.mark.parametrize("module", ALLOWED)
def test_entry_point_loads_nothing_of_another_image(module):
    loaded = subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; print(*{{name.split('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert (HEAVY & set(loaded)) <= ALLOWED[module]


def test_the_server_starts_without_numpy_in_its_front_process():
    loaded = subprocess.run(
        [sys.executable, "-c", "import inference_service.__main__, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    assert not {"numpy", "prometheus_client", "asyncio"} & set(loaded)
