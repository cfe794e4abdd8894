"""The designs that BATCH is compared with and that serve from rented instances: MArk, and endpoints as SageMaker's.

No capacity of ResNet-v2 or of the light service on an instance was published. A c5.large is taken to answer in 0.553 of
the time of a function with the most memory, which is the published pair for Inception-v3 (210 ms and, with 3 GB,
380 ms; Inception-ResNet and OpenNMT: 0.50 and 0.70). Larger c5 are dearer per request, so MArk would never choose them;
once it is given c5.4xlarge alone, as BATCH ran it. GPUs are left out, as BATCH left them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.baselines.fleet_judge import judge_fleet, overflow_of
from controller.baselines.mark import Mark
from controller.baselines.mark_plan import batching_rule
from controller.baselines.sagemaker import BOOT_S as ENDPOINT_BOOT_S
from controller.baselines.sagemaker import SageMaker
from controller.performance_model.instance_group import InstanceType
from controller.reproduce import instance_facts as facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.baselines.judge import Trial, Verdict

MARK, LARGE, SAGEMAKER = "MArk", "MArk on c5.4xlarge", "SageMaker-like"
FLEETS = (MARK, LARGE, SAGEMAKER)


def fleet_verdicts(trial: Trial, tell: Callable[[str], None]) -> Iterator[tuple[str, Verdict]]:
    """Yield what comes of each fleet; `tell` is called with its name before it runs."""
    small, large = batching(trial, "c5.large"), batching(trial, "c5.4xlarge")
    for design, kind in ((MARK, small), (LARGE, large)):
        tell(design)
        yield design, judge_fleet(Mark((kind,), trial.slo), trial, (kind,), overflow=overflow_of(trial))
    tell(SAGEMAKER)
    price = small.usd_per_hour * facts.HOSTING_PREMIUM
    endpoint = InstanceType("ml.c5.large", price, small.seconds[:1], boot_s=ENDPOINT_BOOT_S)
    yield SAGEMAKER, judge_fleet(SageMaker(endpoint), trial, (endpoint,))


def batching(trial: Trial, name: str) -> InstanceType:
    """Return a type of instance with MArk's batches for the service of a trial."""
    faster = facts.INCEPTION_PER_MINUTE[name] / facts.INCEPTION_PER_MINUTE["c5.large"]
    seconds = tuple((trial.calls.seconds[-1] * facts.VM_S / facts.FUNCTION_S / faster).tolist())
    rule = batching_rule(seconds, trial.slo.bound_s)
    return InstanceType(
        name, facts.PER_HOUR_USD[name], seconds[: rule.max_batch_size], rule.max_queue_delay_s, facts.BOOT_S
    )
