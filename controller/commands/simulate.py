"""`tidegate simulate`: replay arrivals through a simulated platform."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controller.commands.model_inputs import LONGEST_SIMULATED_S
from controller.commands.output import format_interval, format_s, print_json, print_table
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import (
    ArrivalProcess,
    Phases,
    PoissonProcess,
    Trace,
    read_arrivals,
    sample_arrivals,
)
from controller.domain.cost import call_cost_usd, instances_cost_usd
from controller.domain.prices import DEFAULT_PRICE_LIST, load_prices
from controller.domain.service_time import read_service_times
from controller.domain.serving_config import REAL, AutoscalerSettings, InstanceShape, ServerLaw, ServingConfig
from controller.domain.slo import LatencySlo
from controller.domain.token_lengths import read_token_lengths
from controller.errors import BadInputError
from controller.performance_model.batch_queue import check_setting
from controller.performance_model.finite_servers import simulate
from controller.performance_model.function_environments import FunctionLimits, with_environments

if TYPE_CHECKING:
    import argparse

    from controller.domain.prices import Prices
    from controller.performance_model.simulation_result import SimulationResult

MOST_REQUESTS = 5_000_000
MOST_TICKS = 5_000_000
SHORTEST_TICK_S = 1e-3
QUANTILES = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
FEWEST_CORES = 1e-3
"""Of all instances together; with less a single request would last for hours."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `simulate`."""
    parser.add_argument("--arrivals", type=Path, required=True, metavar="FILE", help="an arrivals document")
    parser.add_argument("--service-times", type=Path, required=True, metavar="FILE", help="a service-times document")
    parser.add_argument("--duration-s", type=float, required=True, metavar="D", help="how long requests arrive")
    laws = ("knative_pods", "finite_work_conserving", "infinite_timer")
    parser.add_argument("--server-law", choices=laws, default="knative_pods", help="default knative_pods")
    parser.add_argument("--lengths", type=Path, metavar="FILE", help="tokens of one request a line; default 1 each")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a JSON object of settings; flags below override")
    for setting in fields(ServingConfig):
        kind = float if setting.name in REAL else int
        parser.add_argument(f"--{setting.name.replace('_', '-')}", type=kind, help=f"default {setting.default}")
    parser.add_argument("--cores", type=float, default=math.inf, help="that all instances share; default one each")
    parser.add_argument("--cold-start-s", type=float, default=InstanceShape().cold_start_s, help="default 0.6")
    parser.add_argument("--keep-alive-s", type=float, help="of idle environments, infinite_timer; default for ever")
    parser.add_argument("--concurrency", type=int, help="calls in parallel, infinite_timer; default no limits at all")
    grace_s = AutoscalerSettings().scale_to_zero_grace_period_s
    parser.add_argument(
        "--grace-period-s", type=float, default=grace_s, help="of the activator in the path, before zero; default 30"
    )
    parser.add_argument("--tick-s", type=float, default=AutoscalerSettings().tick_s, help="autoscaler's; default 2")
    parser.add_argument("--initial-scale", type=int, default=1, help="instances at the start; default 1")
    parser.add_argument("--slo-quantile", type=float, default=0.95, help="default 0.95")
    parser.add_argument("--slo-s", type=float, help="latency bound; gives window_violation_ratio")
    parser.add_argument("--prices", default=DEFAULT_PRICE_LIST, help=f"price list; default {DEFAULT_PRICE_LIST}")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Read the documents, simulate, print; return the exit code.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    slo = None if arguments.slo_s is None else LatencySlo(arguments.slo_quantile, arguments.slo_s)
    prices = load_prices(arguments.prices)
    config = _config(arguments)
    result = _simulate(arguments, config)
    document = _document(result, slo, prices, memory_mb=config.memory_mb)
    if arguments.json:
        print_json(document)
    else:
        _print(document, result, arguments.server_law)
    return 0


def _simulate(arguments: argparse.Namespace, config: ServingConfig) -> SimulationResult:
    _require(arguments, "duration_s", "cores", "tick_s", positive=True)
    _require(arguments, "grace_period_s", "cold_start_s", "initial_scale", "seed", positive=False)
    _check_work(arguments, config)
    service = read_service_times(arguments.service_times)
    lengths = None if arguments.lengths is None else read_token_lengths(arguments.lengths)
    rng = np.random.default_rng(arguments.seed)
    process = read_arrivals(arguments.arrivals)
    expected = _highest_rate_rps(process) * arguments.duration_s
    if expected > MOST_REQUESTS:
        raise BadInputError(f"--duration-s: {expected:.3g} requests could arrive, at most {MOST_REQUESTS}; lower it")
    arrivals = sample_arrivals(process, duration_s=arguments.duration_s, rng=rng)
    autoscaler = AutoscalerSettings(tick_s=arguments.tick_s, scale_to_zero_grace_period_s=arguments.grace_period_s)
    shape = InstanceShape()
    cold_start_cpu_s = min(shape.cold_start_cpu_s, arguments.cold_start_s)
    shape = replace(
        shape, cores=arguments.cores, cold_start_s=arguments.cold_start_s, cold_start_cpu_s=cold_start_cpu_s
    )
    law: ServerLaw = arguments.server_law
    tokens = None if lengths is None else lengths.sample(arrivals.size, rng)
    result = simulate(
        law,
        arrivals,
        tokens,
        config=config,
        service=service,
        rng=rng,
        autoscaler=autoscaler,
        shape=shape,
        initial_scale=arguments.initial_scale,
        until_s=arguments.duration_s,
    )
    limits = _limits(arguments)
    return result if limits is None else with_environments(result, limits, memory_mb=config.memory_mb)


def _limits(arguments: argparse.Namespace) -> FunctionLimits | None:
    """Return the limits of a function, None where calls start at once; either flag turns all of them on."""
    keep_alive_s, concurrency = arguments.keep_alive_s, arguments.concurrency
    if keep_alive_s is None and concurrency is None:
        return None
    if arguments.server_law != "infinite_timer":
        raise BadInputError(
            "--keep-alive-s, --concurrency: are of functions; give --server-law infinite_timer or leave them out"
        )
    return FunctionLimits(
        init_s=arguments.cold_start_s,
        keep_alive_s=math.inf if keep_alive_s is None else keep_alive_s,
        concurrency=FunctionLimits().concurrency if concurrency is None else concurrency,
    )


def _highest_rate_rps(process: ArrivalProcess) -> float:
    """Return the largest mean rate of any part; 0 for a trace, which has as many arrivals as it has."""
    match process:
        case PoissonProcess() | Map():
            return process.rate_rps
        case Phases():
            return max((_highest_rate_rps(phase.arrivals) for phase in process.phases), default=0.0)
        case Trace():
            return 0.0


def _config(arguments: argparse.Namespace) -> ServingConfig:
    config = ServingConfig()
    if arguments.config is not None:
        try:
            document: object = json.loads(arguments.config.read_text())
        except (OSError, ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else error
            raise BadInputError(f"{arguments.config}: cannot be read ({reason}); give a JSON object") from error
        config = ServingConfig.from_document(document, where=str(arguments.config))
    given = {setting.name: getattr(arguments, setting.name) for setting in fields(ServingConfig)}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def _require(arguments: argparse.Namespace, *names: str, positive: bool) -> None:
    for name in names:
        value: float = getattr(arguments, name)
        fits = value > 0 if positive else value >= 0
        if not fits or (math.isinf(value) and name != "cores"):
            rule = "above 0" if positive else "of at least 0"
            raise BadInputError(f"--{name.replace('_', '-')}: needs a number {rule}, got {value:g}")


def _check_work(arguments: argparse.Namespace, config: ServingConfig) -> None:
    """Refuse what would be simulated for ever."""
    check_setting(config.max_batch_size, config.max_queue_delay_s)
    for flag, least in (("tick_s", SHORTEST_TICK_S), ("cores", FEWEST_CORES)):
        if getattr(arguments, flag) < least:
            name = flag.replace("_", "-")
            raise BadInputError(f"--{name}: needs at least {least:g}, got {getattr(arguments, flag):g}; raise it")
    for flag in ("duration_s", "cold_start_s"):
        if getattr(arguments, flag) > LONGEST_SIMULATED_S:
            raise BadInputError(
                f"--{flag.replace('_', '-')}: at most {LONGEST_SIMULATED_S:g} s (a week) are simulated, "
                f"got {getattr(arguments, flag):g}; lower it"
            )
    ticks = arguments.duration_s / arguments.tick_s
    if ticks > MOST_TICKS:
        raise BadInputError(f"--tick-s: {ticks:.3g} decisions of the autoscaler, at most {MOST_TICKS}; raise it")


def _document(
    result: SimulationResult, slo: LatencySlo | None, prices: Prices, *, memory_mb: int | None
) -> dict[str, object]:
    requests = result.arrival_s.size
    classes = ("ok", "cold_start", "rejected", "expired", "error")
    quantiles = {name: result.quantile_s(value) for name, value in QUANTILES.items()}
    intervals = {name: result.quantile_interval_s(value) for name, value in QUANTILES.items()}
    cost_usd = _cost_usd(result, prices, memory_mb)
    return {
        "requests": requests,
        "by_class": {name: result.count(name) for name in classes},
        # JSON has no infinity: null says that more than the rest got no right answer.
        **{name: _finite(value) for name, value in quantiles.items()},
        "intervals_95": {name: interval and [_finite(end) for end in interval] for name, interval in intervals.items()},
        "window_violation_ratio": None if slo is None else result.window_violation_ratio(slo),
        "cost_per_million_usd": cost_usd / requests * 1e6 if cost_usd is not None and requests else None,
        "cold_starts": len(result.instances) - sum(row.ready_s == 0 for row in result.instances),
        "instance_seconds": result.instance_seconds,
        "mean_batch_size": float(result.batch_size.mean()) if result.batch_size.size else None,
        "method": "simulate",
        "server_law": result.server_law,
    }


def _cost_usd(result: SimulationResult, prices: Prices, memory_mb: int | None) -> float | None:
    """Return what calls cost under `infinite_timer` (None without a memory), else what instances cost."""
    if result.server_law != "infinite_timer":
        return instances_cost_usd(result.instances, prices.cluster, 0.0, result.until_s)
    if memory_mb is None:
        return None
    return float(call_cost_usd(result.batch_s, memory_mb=memory_mb, prices=prices.lambda_x86).sum())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _print(document: dict[str, object], result: SimulationResult, law: str) -> None:
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        if name != "intervals_95":
            interval = format_interval(result.quantile_interval_s(QUANTILES[name])) if name in QUANTILES else ""
            rows.append((name.replace("_", " "), f"{_shown(name, value)} {interval}".rstrip()))
    print_table("simulation", rows, why=f"one seeded run of the event simulator (server law {law}).")


def _shown(name: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{each} {count}" for each, count in value.items())
    if isinstance(value, float):
        return format_s(value) if name.endswith("_s") else f"{value:.4g}"
    return "-" if value is None else str(value)
