"""`tidegate predict`: latency and cost of one setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.commands.model_inputs import (
    add_model_arguments,
    check_memory,
    check_seed,
    check_stable,
    choose_memory,
    choose_workers,
    parse_quantiles,
    simulated_duration_s,
)
from controller.commands.output import format_interval, format_s, print_json, print_table
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import (
    ArrivalProcess,
    PoissonProcess,
    read_arrivals,
    sample_arrivals,
)
from controller.domain.prices import Prices, load_prices
from controller.domain.service_time import ServiceTimes, TokenServiceTimes, read_service_times
from controller.domain.serving_config import NO_TOKEN_BOUND, InstanceShape, ServingConfig
from controller.domain.token_lengths import TokenLengths, read_token_lengths
from controller.errors import BadInputError
from controller.performance_model.batch_queue import check_setting
from controller.performance_model.prediction import (
    Prediction,
    TimerSetting,
    predict_exact,
    predict_from_simulation,
)
from controller.performance_model.service_law import service_law

if TYPE_CHECKING:
    import argparse

    from controller.domain.serving_config import ServerLaw

SIMULATED_REQUESTS = 100_000
"""Requests of a simulation of a process: a p99 then rests on a thousand of them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `predict`."""
    add_model_arguments(parser)
    parser.add_argument("--max-batch-size", type=int, required=True, metavar="B")
    parser.add_argument("--max-queue-delay-s", type=float, required=True, metavar="T")
    parser.add_argument("--memory-mb", type=int, metavar="M", help="memory of one instance")
    parser.add_argument("--quantiles", default="0.5,0.95,0.99", help="of latency; default 0.5,0.95,0.99")
    parser.add_argument(
        "--method", choices=("exact", "simulate"), help="default: exact where it applies, else simulate"
    )
    parser.add_argument("--seed", type=int, default=1, help="of a simulation; default 1")


def run(arguments: argparse.Namespace) -> int:
    """Read the documents, predict, print; return the exit code.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    check_setting(arguments.max_batch_size, arguments.max_queue_delay_s)
    check_seed(arguments.seed)
    check_memory(arguments.memory_mb)
    quantiles = parse_quantiles(arguments.quantiles)
    service = choose_workers(read_service_times(arguments.service_times), arguments.workers)
    process = read_arrivals(arguments.arrivals)
    lengths = None if arguments.lengths is None else read_token_lengths(arguments.lengths)
    prices = load_prices(arguments.prices)
    law: ServerLaw = arguments.server_law
    obstacle = _obstacle_to_exact(law, process)
    if arguments.method == "exact" and obstacle:
        raise BadInputError(f"--method exact: {obstacle}; use --method simulate")
    if arguments.method != "simulate" and not obstacle and isinstance(process, PoissonProcess | Map):
        prediction = _solve(arguments, process, service, lengths, prices)
    else:
        prediction = _simulate(arguments, process, service, lengths, prices)
    if arguments.json:
        print_json(prediction.to_document())
    else:
        _print(prediction, quantiles)
    return 0


def _obstacle_to_exact(law: ServerLaw, process: ArrivalProcess) -> str:
    """Return why the exact model does not apply, or nothing."""
    if law != "infinite_timer":
        return f"the exact model holds for the server law infinite_timer only, not for {law}"
    if not isinstance(process, PoissonProcess | Map):
        return f"the exact model needs a stationary process, not {type(process).__name__.lower()}"
    return ""


def _solve(
    arguments: argparse.Namespace,
    process: PoissonProcess | Map,
    service: ServiceTimes,
    lengths: TokenLengths | None,
    prices: Prices,
) -> Prediction:
    memory = choose_memory(service, arguments.memory_mb)
    law = service_law(service, arguments.max_batch_size, memory_mb=memory, lengths=lengths)
    setting = TimerSetting(
        max_batch_size=arguments.max_batch_size, max_queue_delay_s=arguments.max_queue_delay_s, memory_mb=memory
    )
    return predict_exact(process, law, setting, quantiles=parse_quantiles(arguments.quantiles), prices=prices)


def _simulate(
    arguments: argparse.Namespace,
    process: ArrivalProcess,
    service: ServiceTimes,
    lengths: TokenLengths | None,
    prices: Prices,
) -> Prediction:
    from controller.performance_model.finite_servers import simulate  # noqa: PLC0415  only this method needs it

    law: ServerLaw = arguments.server_law
    priced_by_call = law == "infinite_timer"
    memory = choose_memory(service, arguments.memory_mb) if priced_by_call else arguments.memory_mb
    mean_service_s = service_law(service, arguments.max_batch_size, memory_mb=memory, lengths=lengths).mean_s
    workers = arguments.workers or (service.workers if isinstance(service, TokenServiceTimes) else 1)
    if law == "finite_work_conserving":
        check_stable(process, mean_service_s, workers)
    rng = np.random.default_rng(arguments.seed)
    arrivals = sample_arrivals(process, duration_s=simulated_duration_s(process, SIMULATED_REQUESTS), rng=rng)
    config = ServingConfig(
        max_batch_size=arguments.max_batch_size,
        max_queue_delay_s=arguments.max_queue_delay_s,
        batch_tokens=NO_TOKEN_BOUND,
        workers=workers,
        memory_mb=memory,
    )
    shape = InstanceShape(vcpu=float(workers), memory_mb=memory or InstanceShape().memory_mb)
    tokens = None if lengths is None else lengths.sample(arrivals.size, rng)
    result = simulate(law, arrivals, tokens, config=config, service=service, rng=rng, shape=shape)
    return predict_from_simulation(
        result,
        max_batch_size=arguments.max_batch_size,
        quantiles=parse_quantiles(arguments.quantiles),
        prices=prices,
        memory_mb=memory,
    )


def _print(prediction: Prediction, quantiles: tuple[str, ...]) -> None:
    rows = [
        ("mean batch size", f"{prediction.mean_batch_size:.4g}"),
        ("batches per second", f"{prediction.batches_per_s:.4g}"),
        ("mean latency", format_s(prediction.mean_latency_s)),
        *((f"latency quantile {q}", _with_interval(prediction, q)) for q in quantiles),
        ("cost per million requests", f"{prediction.cost_per_request_usd * 1e6:.4g} USD"),
    ]
    how = {
        "exact": "the exact law of the buffer, because the platform starts a call for every batch at once",
        "simulate": "a simulation, because the exact law holds for a stationary process and calls without bound only",
    }
    print_table("prediction", rows, why=f"{how[prediction.method]} (server law {prediction.server_law}).")


def _with_interval(prediction: Prediction, quantile: str) -> str:
    intervals = prediction.quantile_intervals_s
    value = format_s(prediction.latency_quantiles_s[quantile])
    return value if intervals is None else f"{value} {format_interval(intervals[quantile])}"
