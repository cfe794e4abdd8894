"""What `bench_simulator.py` serves: the fake runtime, or real weights, whose times the pods have to tell."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster_runs import MEMORY_MB, VCPU, knative_service

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import InstanceShape, ServingConfig

if TYPE_CHECKING:
    from pathlib import Path

    from heard_service import Listener

FILE = "subject.json"
WINDOW_S = 30.0


@dataclass(frozen=True, slots=True)
class Subject:
    """What is served, and how.

    Attributes:
        name: in files.
        model: as the server is told.
        config: settings of server and autoscaler.
        words: least and most of a text.
        cores: that all pods share.
        service: what a batch takes; None where pods have to tell, and then nothing is judged.
    """

    name: str
    model: str
    config: ServingConfig
    words: tuple[int, int]
    cores: float
    service: TokenServiceTimes | None


FAKE = Subject(
    "fake runtime",
    "fake",
    ServingConfig(max_batch_size=4, target=4, container_concurrency=6, window_s=WINDOW_S, max_scale=5),
    words=(4, 30),
    cores=math.inf,
    service=TokenServiceTimes(fixed_s=0.3, per_token_s=0.0005),
)
# Long texts, so that the model's work outweighs the network's, and no more pods than the cores can feed.
WEIGHTS = Subject(
    "real weights",
    "/mnt/models",
    ServingConfig(
        max_batch_size=4, batch_tokens=2048, target=1, container_concurrency=6, window_s=WINDOW_S, max_scale=3
    ),
    words=(150, 350),
    cores=os.cpu_count() or 1,
    service=None,
)


def pod_shape(subject: Subject) -> InstanceShape:
    """A pod, but for its start and end, which runs calibrate."""
    return InstanceShape(vcpu=VCPU, memory_mb=MEMORY_MB, cores=subject.cores, routing="knative")


def write_subject(out: Path, subject: Subject) -> None:
    """Write down what is served, for `read_subject`."""
    (out / FILE).write_text(json.dumps({"name": subject.name, "cores": subject.cores}) + "\n")


def read_subject(out: Path) -> Subject:
    """What was served, and how many cores the machine had then."""
    if not (out / FILE).exists():
        raise SystemExit(f"bench: {out} has no {FILE}; measure first, without --again")
    about = json.loads((out / FILE).read_text())
    return replace(next(each for each in (FAKE, WEIGHTS) if each.name == about["name"]), cores=about["cores"])


def service(kind: str, subject: Subject, listener: Listener | None) -> dict[str, Any]:
    """The Knative Service of one schedule; a listener is told to its pods."""
    config = subject.config
    environment = {
        "TIDEGATE_MODEL": subject.model,
        "TIDEGATE_MAX_BATCH_SIZE": str(config.max_batch_size),
        "TIDEGATE_BATCH_TOKENS": str(config.batch_tokens),
    }
    if listener:
        environment |= listener.environment()
    if subject.service:
        environment |= {
            "TIDEGATE_FAKE_FIXED_S": str(subject.service.fixed_s),
            "TIDEGATE_FAKE_PER_TOKEN_S": str(subject.service.per_token_s),
            "TIDEGATE_FAKE_BUSY": "0",
        }
    annotations = {
        "window": f"{config.window_s:.0f}s",
        "target": f"{config.target:g}",
        "min-scale": str(config.min_scale),
        "max-scale": str(config.max_scale),
    }
    return knative_service(
        kind,
        environment=environment,
        annotations=annotations,
        container_concurrency=config.container_concurrency,
    )
