"""`tidegate optimize`: the cheapest setting inside a latency objective, or the fastest inside a budget."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.commands import optimize_exact
from controller.commands.model_inputs import add_model_arguments, parse_quantiles
from controller.commands.output import format_s, print_json, print_table
from controller.domain.slo import LatencySlo
from controller.errors import BadInputError
from controller.performance_model.exact_optimum import Budget

if TYPE_CHECKING:
    import argparse

    from controller.commands.optimize_exact import Answer, Found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `optimize`."""
    add_model_arguments(parser)
    parser.add_argument("--slo-quantile", metavar="q", help="of latency, such as 0.95; with a budget the one minimised")
    parser.add_argument("--slo-s", type=float, metavar="L", help="bound of that quantile in seconds")
    parser.add_argument("--budget-usd-per-million", type=float, metavar="X", help="most a million requests may cost")
    parser.add_argument("--max-batch-size", type=int, help="largest batch tried; default 20, or what was measured")
    parser.add_argument("--max-queue-delay-s", type=float, default=0.5, help="longest delay tried; default 0.5")
    parser.add_argument("--delay-step-s", type=float, default=0.01, help="step between delays; default 0.01")
    parser.add_argument("--memory-mb", metavar="M", help="memories tried: 2048, 1024,2048 or 1280:3008:64")
    parser.add_argument(
        "--trials", type=int, default=64, help="settings simulated where no exact law holds; default 64"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulations and their sampler; default 1")


@dataclass(frozen=True, slots=True)
class Goal:
    """What is asked for."""

    quantile: str
    objective: LatencySlo | Budget


def run(arguments: argparse.Namespace) -> int:
    """Read the documents, search, print; return 0, or 3 when nothing is feasible.

    Raises:
        BadInputError: a flag or document that cannot be used.
    """
    goal = read_goal(arguments)
    if arguments.server_law == "infinite_timer":
        found = optimize_exact.search(arguments, goal.objective, goal.quantile)
    else:
        # Optuna takes a third of a second to import, which the exact search need not wait for.
        from controller.commands import optimize_simulated  # noqa: PLC0415

        found = optimize_simulated.search(arguments, goal.objective, goal.quantile)
    if arguments.json:
        print_json(_document(found))
    else:
        _print(found, goal, arguments.server_law)
    if not found.is_feasible:
        sys.stderr.write(f"tidegate optimize: nothing feasible among {found.evaluated} settings; see closest\n")
        return 3
    return 0


def read_goal(arguments: argparse.Namespace) -> Goal:
    """Return the objective of the flags.

    Raises:
        BadInputError: none, both, or one that makes no sense.
    """
    has_slo, has_budget = arguments.slo_s is not None, arguments.budget_usd_per_million is not None
    if has_slo == has_budget:
        raise BadInputError("objective: give either --slo-quantile and --slo-s, or --budget-usd-per-million")
    if has_slo and arguments.slo_quantile is None:
        raise BadInputError("objective: --slo-s needs --slo-quantile, such as 0.95")
    texts = parse_quantiles("0.95" if arguments.slo_quantile is None else arguments.slo_quantile)
    if len(texts) != 1:
        raise BadInputError(f"--slo-quantile: needs one number, got {arguments.slo_quantile!r}")
    if has_slo:
        return Goal(texts[0], LatencySlo(float(texts[0]), arguments.slo_s))
    return Goal(texts[0], Budget(arguments.budget_usd_per_million / 1e6))


def _document(found: Found) -> dict[str, object]:
    best = _answer_document(found.best)
    return {
        "config": best["config"] if found.is_feasible else None,
        "prediction": best["prediction"] if found.is_feasible else None,
        "evaluated": found.evaluated,
        "feasible": found.is_feasible,
        "closest": None if found.is_feasible else best,
    }


def _answer_document(answer: Answer) -> dict[str, object]:
    return {"config": answer.config, "prediction": answer.prediction.to_document()}


def _print(found: Found, goal: Goal, server_law: str) -> None:
    config, prediction = found.best.config, found.best.prediction
    rows = [(name.replace("_", " "), f"{value:g}") for name, value in config.items() if value is not None]
    rows += [
        (f"latency quantile {goal.quantile}", format_s(prediction.latency_quantiles_s[goal.quantile])),
        ("mean batch size", f"{prediction.mean_batch_size:.4g}"),
        ("cost per million requests", f"{prediction.cost_per_request_usd * 1e6:.4g} USD"),
    ]
    by_cost = isinstance(goal.objective, LatencySlo)
    wish = "the cheapest inside the objective" if by_cost else "the fastest inside the budget"
    if not found.is_feasible:
        wish = f"nothing is feasible; this is the {'fastest' if by_cost else 'cheapest'} there is"
    how = {"exact": "each computed exactly", "simulate": "each simulated on the same arrivals"}[prediction.method]
    print_table(
        "setting" if found.is_feasible else "nothing feasible; closest setting",
        rows,
        why=f"{wish} of {found.evaluated} settings, {how} (server law {server_law}).",
    )
