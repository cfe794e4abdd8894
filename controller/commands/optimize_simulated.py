"""`tidegate optimize` where no exact law holds: settings proposed by Optuna, each simulated on the same arrivals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.commands.model_inputs import (
    check_seed,
    check_stable,
    choose_workers,
    parse_memories,
    simulated_duration_s,
)
from controller.commands.optimize_exact import CONFIG_KEYS, Answer, Found, largest_batch
from controller.domain.arrival_process import read_arrivals, sample_arrivals
from controller.domain.prices import load_prices
from controller.domain.service_time import TokenServiceTimes, read_service_times
from controller.domain.serving_config import NO_TOKEN_BOUND, InstanceShape, ServingConfig
from controller.domain.token_lengths import read_token_lengths
from controller.errors import BadInputError
from controller.optimizer.simulated_optimum import SCALE_KNOBS, SimulatedProblem, find_simulated_optimum
from controller.performance_model.batch_queue import check_setting
from controller.performance_model.exact_optimum import REPORTED_QUANTILES
from controller.performance_model.service_law import service_law

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from controller.domain.service_time import ServiceTimes
    from controller.domain.serving_config import ServerLaw
    from controller.domain.slo import LatencySlo
    from controller.domain.token_lengths import TokenLengths
    from controller.performance_model.exact_optimum import Budget

SIMULATED_REQUESTS = 20_000
"""Requests a setting is tried on: a p95 then rests on a thousand, and 64 settings take some ten seconds."""


def search(arguments: argparse.Namespace, objective: LatencySlo | Budget, quantile: str) -> Found:
    """Read the documents and search.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    problem = _read_problem(arguments, quantile)
    optimum = find_simulated_optimum(problem, objective)
    known = optimum.best.config.to_document()
    absent = {"container_concurrency"} if problem.law == "knative_pods" else {"container_concurrency", *SCALE_KNOBS}
    absent |= {"batch_tokens"} if problem.tokens is None else set()
    config = {key: None if key in absent else known[key] for key in CONFIG_KEYS}
    return Found(Answer(config, optimum.best.prediction), is_feasible=optimum.is_feasible, evaluated=optimum.evaluated)


def _read_problem(arguments: argparse.Namespace, quantile: str) -> SimulatedProblem:
    law: ServerLaw = arguments.server_law
    if arguments.trials < 1:
        raise BadInputError(f"--trials: needs a whole number of at least 1, got {arguments.trials}")
    check_seed(arguments.seed)
    service = choose_workers(read_service_times(arguments.service_times), arguments.workers)
    process = read_arrivals(arguments.arrivals)
    lengths = None if arguments.lengths is None else read_token_lengths(arguments.lengths)
    most = largest_batch(arguments.max_batch_size, service)
    check_setting(most, arguments.max_queue_delay_s)
    memories = service.memories_mb if arguments.memory_mb is None else parse_memories(arguments.memory_mb)
    largest = memories[-1] if memories else None
    workers = arguments.workers or (service.workers if isinstance(service, TokenServiceTimes) else 1)
    if law == "finite_work_conserving":
        check_stable(process, _fastest_s(service, most, memories or (None,), lengths), workers)
    rng = np.random.default_rng(arguments.seed)
    arrivals = sample_arrivals(process, duration_s=simulated_duration_s(process, SIMULATED_REQUESTS), rng=rng)
    untuned = ServingConfig()
    return SimulatedProblem(
        law=law,
        arrivals_s=arrivals,
        tokens=None if lengths is None else lengths.sample(arrivals.size, rng),
        service=service,
        present=ServingConfig(
            max_batch_size=min(untuned.max_batch_size, most),
            batch_tokens=untuned.batch_tokens if lengths is not None else NO_TOKEN_BOUND,
            workers=workers,
            memory_mb=largest,
        ),
        shape=InstanceShape(vcpu=float(workers)),
        memories_mb=memories,
        bounds={"max_batch_size": (1, most), "max_queue_delay_s": (0, arguments.max_queue_delay_s)},
        prices=load_prices(arguments.prices),
        quantiles=(quantile, *(text for text in REPORTED_QUANTILES if float(text) != float(quantile))),
        trials=arguments.trials,
        seed=arguments.seed,
    )


def _fastest_s(
    service: ServiceTimes, most: int, memories_mb: Sequence[int | None], lengths: TokenLengths | None
) -> NDArray[np.float64]:
    """Return the mean seconds of batches of 1 to `most` at whichever memory is the fastest for each, shape (most,)."""
    laws = [service_law(service, most, memory_mb=each, lengths=lengths).mean_s for each in memories_mb]
    return np.min(laws, axis=0)
