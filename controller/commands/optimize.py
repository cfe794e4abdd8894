"""`tidegate optimize`: the cheapest setting inside a latency objective, or the fastest inside a budget."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.commands.model_inputs import add_model_arguments, parse_memories, parse_quantiles
from controller.commands.output import format_s, print_json, print_table
from controller.domain.arrival_map import Map
from controller.domain.arrival_process import PoissonProcess, read_arrivals
from controller.domain.prices import load_prices
from controller.domain.service_table import TableServiceTimes
from controller.domain.service_time import read_service_times
from controller.domain.slo import LatencySlo
from controller.domain.token_lengths import read_token_lengths
from controller.errors import BadInputError
from controller.performance_model.exact_optimum import Budget, ExactOptimum, ExactProblem, find_exact_optimum
from controller.performance_model.grid_search import Grid

if TYPE_CHECKING:
    import argparse

    from controller.domain.service_time import ServiceTimes
    from controller.performance_model.exact_optimum import Choice

DEFAULT_MAX_BATCH_SIZE = 20
CONFIG_KEYS = (
    "max_batch_size",
    "max_queue_delay_s",
    "memory_mb",
    "batch_tokens",
    "workers",
    "container_concurrency",
    "min_scale",
    "max_scale",
    "target",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `optimize`."""
    add_model_arguments(parser)
    parser.add_argument(
        "--slo-quantile", metavar="q", help="of latency, such as 0.95; with a budget the one made small"
    )
    parser.add_argument("--slo-s", type=float, metavar="L", help="bound of that quantile in seconds")
    parser.add_argument("--budget-usd-per-million", type=float, metavar="X", help="most a million requests may cost")
    parser.add_argument("--max-batch-size", type=int, help="largest batch tried; default 20, or what was measured")
    parser.add_argument("--max-queue-delay-s", type=float, default=0.5, help="longest delay tried; default 0.5")
    parser.add_argument("--delay-step-s", type=float, default=0.01, help="step between delays; default 0.01")
    parser.add_argument("--memory-mb", metavar="M", help="memories tried: 2048, 1024,2048 or 1280:3008:64")


@dataclass(frozen=True, slots=True)
class _Goal:
    quantile: str
    objective: LatencySlo | Budget


def run(arguments: argparse.Namespace) -> int:
    """Read the documents, search, print; return 0, or 3 when nothing is feasible.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    goal = _read_goal(arguments)
    if arguments.server_law != "infinite_timer":
        raise BadInputError(
            f"--server-law {arguments.server_law}: the exhaustive search holds for infinite_timer only; "
            "use tidegate tune, which measures, or tidegate predict for one setting"
        )
    optimum = find_exact_optimum(_read_problem(arguments), goal.objective, quantile=goal.quantile)
    if arguments.json:
        print_json(_document(optimum))
    else:
        _print(optimum, goal)
    if optimum.chosen is None:
        sys.stderr.write(f"tidegate optimize: nothing feasible among {optimum.evaluated} settings; see closest\n")
        return 3
    return 0


def _read_goal(arguments: argparse.Namespace) -> _Goal:
    has_slo, has_budget = arguments.slo_s is not None, arguments.budget_usd_per_million is not None
    if has_slo == has_budget:
        raise BadInputError("objective: give either --slo-quantile and --slo-s, or --budget-usd-per-million")
    if has_slo and arguments.slo_quantile is None:
        raise BadInputError("objective: --slo-s needs --slo-quantile, such as 0.95")
    texts = parse_quantiles("0.95" if arguments.slo_quantile is None else arguments.slo_quantile)
    if len(texts) != 1:
        raise BadInputError(f"--slo-quantile: needs one number, got {arguments.slo_quantile!r}")
    objective = (
        LatencySlo(float(texts[0]), arguments.slo_s) if has_slo else Budget(arguments.budget_usd_per_million / 1e6)
    )
    return _Goal(texts[0], objective)


def _read_problem(arguments: argparse.Namespace) -> ExactProblem:
    service = read_service_times(arguments.service_times)
    process = read_arrivals(arguments.arrivals)
    if not isinstance(process, PoissonProcess | Map):
        raise BadInputError(
            f"{arguments.arrivals}: needs a stationary process, got {type(process).__name__.lower()}; "
            "fit one first with tidegate fit"
        )
    grid = Grid(
        max_batch_size=_max_batch_size(arguments.max_batch_size, service),
        max_queue_delay_s=arguments.max_queue_delay_s,
        delay_step_s=arguments.delay_step_s,
    )
    lengths = None if arguments.lengths is None else read_token_lengths(arguments.lengths)
    return ExactProblem(
        process, service, _memories(arguments.memory_mb, service), grid, load_prices(arguments.prices), lengths
    )


def _max_batch_size(asked: int | None, service: ServiceTimes) -> int:
    if asked is not None or not isinstance(service, TableServiceTimes):
        return DEFAULT_MAX_BATCH_SIZE if asked is None else asked
    return min(DEFAULT_MAX_BATCH_SIZE, service.table_s.shape[1])


def _memories(asked: str | None, service: ServiceTimes) -> tuple[int, ...]:
    if asked is not None:
        return parse_memories(asked)
    if not service.memories_mb:
        raise BadInputError("memory: cost needs it; give --memory-mb, such as 2048 or 1280:3008:64")
    return service.memories_mb


def _document(optimum: ExactOptimum) -> dict[str, object]:
    chosen = optimum.chosen
    return {
        "config": None if chosen is None else _config(chosen),
        "prediction": None if chosen is None else chosen.prediction.to_document(),
        "evaluated": optimum.evaluated,
        "feasible": chosen is not None,
        "closest": None
        if optimum.closest is None
        else {"config": _config(optimum.closest), "prediction": optimum.closest.prediction.to_document()},
    }


def _config(choice: Choice) -> dict[str, object]:
    setting = choice.setting
    known: dict[str, object] = {
        "max_batch_size": setting.max_batch_size,
        "max_queue_delay_s": setting.max_queue_delay_s,
        "memory_mb": setting.memory_mb,
    }
    return {key: known.get(key) for key in CONFIG_KEYS}


def _print(optimum: ExactOptimum, goal: _Goal) -> None:
    choice = optimum.chosen or optimum.closest
    if choice is None:  # a grid always has a closest setting
        return
    setting, prediction = choice.setting, choice.prediction
    rows = [
        ("max batch size", str(setting.max_batch_size)),
        ("max queue delay", format_s(setting.max_queue_delay_s)),
        ("memory", f"{setting.memory_mb} MB"),
        (f"latency quantile {goal.quantile}", format_s(prediction.latency_quantiles_s[goal.quantile])),
        ("mean batch size", f"{prediction.mean_batch_size:.4g}"),
        ("cost per million requests", f"{prediction.cost_per_request_usd * 1e6:.4g} USD"),
    ]
    by_cost = isinstance(goal.objective, LatencySlo)
    wish = "the cheapest inside the objective" if by_cost else "the fastest inside the budget"
    if optimum.chosen is None:
        wish = f"nothing is feasible; this is the {'fastest' if by_cost else 'cheapest'} there is"
    print_table(
        "setting" if optimum.chosen else "nothing feasible; closest setting",
        rows,
        why=f"{wish} of {optimum.evaluated} settings, each computed exactly (server law infinite_timer).",
    )
