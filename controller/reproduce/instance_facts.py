"""What was published of instances: MArk's capacities and prices (Zhang et al., USENIX ATC 2019), and its Twitter run.

Requests a minute are those of its released code; of p2.xlarge they are batches of eight. Prices are of Amazon EC2 in US
East, on demand, at the time.
"""

from __future__ import annotations

from controller.performance_model.instance_group import InstanceType

PER_HOUR_USD = {"c5.large": 0.085, "c5.xlarge": 0.17, "c5.2xlarge": 0.34, "c5.4xlarge": 0.68, "p2.xlarge": 0.90}
BOOT_S = 180.0
"""Of an instance with its server; the released planner reckons a launch as 180 s of the price."""
HOSTING_PREMIUM_THEN, HOSTING_PREMIUM = 1.4, 1.2
"""Price of a SageMaker instance over the same one of EC2: in 2019, and today (ml.m5.xlarge: 0.23 to 0.27 USD an hour
beside 0.192; the lower)."""

INCEPTION_PER_MINUTE = {"c5.large": 284, "c5.xlarge": 490, "c5.2xlarge": 771, "c5.4xlarge": 1080, "p2.xlarge": 415 * 8}
INCEPTION_BOUND_S = 0.6
GPU_BATCH, GPU_DELAY_S = 8, 0.2
"""N and W of p2.xlarge for Inception-v3."""

VM_USD_A_MILLION = {"Inception-v3": 5.0, "Inception-ResNet": 9.3, "OpenNMT": 51.5}
FUNCTION_USD_A_MILLION = {"Inception-v3": 19.0, "Inception-ResNet": 39.3, "OpenNMT": 155.0}
VM_S, FUNCTION_S, FUNCTION_MB = 0.210, 0.380, 3072
"""One Inception-v3 request on c5.large, and on Lambda with 3 GB."""

FUNCTION_OVER_VM = (3.0, 4.2)
"""Of the three models above."""
SAGEMAKER_OVER_MARK = (2.41, 3.63)
"""SageMaker's cost over MArk's on demand, of four models on the Twitter trace, with two-fold over-provisioning; which
type of instance SageMaker had is not known here."""
MARK_LATE_PERCENT, SAGEMAKER_LATE_PERCENT = (0.88, 0.88), (3.89, 3.89)
"""Answers beyond the bound, Inception-v3, Twitter."""


def inception_types() -> tuple[InstanceType, ...]:
    """Return the types of the Inception-v3 run; a GPU takes as long for a smaller batch as for a full one."""
    found: list[InstanceType] = []
    for name, per_minute in INCEPTION_PER_MINUTE.items():
        is_gpu = name == "p2.xlarge"
        size = GPU_BATCH if is_gpu else 1
        seconds = (60.0 * size / per_minute,) * size
        found.append(InstanceType(name, PER_HOUR_USD[name], seconds, GPU_DELAY_S if is_gpu else 0.0, BOOT_S))
    return tuple(found)
