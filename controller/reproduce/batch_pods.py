"""Knative beside ours: a pod of one vCPU for requests one at a time, scaled by the autoscaler's defaults.

A pod computes as a function of 1769 MB does, which has one vCPU, and is paid at the cluster's prices from its start to
its stop, idle time too. It is paid what it asks for, as if other work filled the nodes. Twice: the defaults as they
are, where 70 requests in parallel are the target of a pod; and with a containerConcurrency of 1, the one setting that
everybody makes for such a service. Pods are simulated one by one, so that only the end of a trace is judged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from controller.baselines.judge import FORGIVEN_S, Answer, Trial, Verdict, judge
from controller.baselines.tidegate import Tidegate
from controller.domain.cost import MB_PER_VCPU, instances_cost_usd
from controller.domain.prices import load_prices
from controller.domain.serving_config import InstanceShape, ServingConfig
from controller.domain.slo import window_violation_ratio
from controller.performance_model.finite_servers import simulate
from controller.reproduce.batch_contest import OURS
from controller.reproduce.streams import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.domain.service_time import ServiceTimes
    from controller.reproduce.batch_contest import Bout, Outcome

DEFAULTS, ONE_A_POD = "Knative defaults", "Knative, one a pod"
MEMORY_MB = round(MB_PER_VCPU)
SHAPE = InstanceShape(vcpu=1.0, memory_mb=MEMORY_MB, max_instances=10_000)
KNATIVE = {
    DEFAULTS: ServingConfig(max_batch_size=1, memory_mb=MEMORY_MB),
    ONE_A_POD: ServingConfig(max_batch_size=1, memory_mb=MEMORY_MB, container_concurrency=1),
}
POD_DESIGNS = (OURS, *KNATIVE)
STRETCH_S = 600.0
"""Judged at the end of a trace."""
WARM_UP_S = 300.0
"""Served before, from one pod on: five windows of the autoscaler."""


def pod_outcomes(bout: Bout, tell: Callable[[str], None]) -> Iterator[Outcome]:
    """Yield ours and both on the end of a trace; `tell` is called with the name of each before it runs."""
    short = replace(bout, trial=stretch_of(bout.trial))
    tell(OURS)
    yield short.outcome(OURS, judge(Tidegate(bout.table, stream(bout.seed, Purpose.BATCH_SIMULATION)), short.trial))
    for design, config in KNATIVE.items():
        tell(design)
        rng = stream(bout.seed, Purpose.BATCH_PODS)
        yield short.outcome(design, judge_knative(config, short.trial, bout.service.times, rng))


def stretch_of(trial: Trial) -> Trial:
    """Return the end of a trial; what comes before is history."""
    return replace(trial, from_s=max(trial.from_s, trial.until_s - STRETCH_S))


def judge_knative(config: ServingConfig, trial: Trial, service: ServiceTimes, rng: np.random.Generator) -> Verdict:
    """Serve a trial with pods; a request that is not answered in 30 s is never.

    Args:
        config: of the service; it is kept, the autoscaler does the rest.
        trial: what is judged.
        service: seconds by memory.
        rng: not drawn from where service times do not vary.
    """
    began_s = max(0.0, trial.from_s - WARM_UP_S)
    low, high = np.searchsorted(trial.arrival_s, [began_s, trial.until_s])
    length_s = trial.until_s - began_s
    result = simulate(
        "knative_pods",
        trial.arrival_s[low:high] - began_s,
        config=config,
        service=service,
        rng=rng,
        shape=SHAPE,
        until_s=length_s,
    )
    judged = trial.judged
    latency_s = result.latency_s[-judged.size :]
    usd = instances_cost_usd(result.instances, load_prices().cluster, trial.from_s - began_s, length_s)
    late = ~(latency_s <= trial.slo.bound_s + FORGIVEN_S)
    return Verdict(
        latency_s=latency_s,
        cost_per_request_usd=usd / judged.size,
        mean_batch_size=1.0,
        window_violation_ratio=window_violation_ratio(late, trial.slo.quantile),
        answers=(Answer(trial.from_s, config, 0.0, is_decision=False),),
    )
