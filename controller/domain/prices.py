"""Price lists: what a second of memory or CPU costs; versioned JSON files in `prices/`, or one's own file.

A list names the source of each price. `GB` is 1024 MB, as on the bills.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from controller.domain.documents import as_object, get_number, get_text, read_json

PRICE_LISTS = Path(__file__).parent / "prices"
DEFAULT_PRICE_LIST = "2026-09"


@dataclass(frozen=True, slots=True)
class LambdaPrices:
    """Prices of one architecture of AWS Lambda; a call is billed in whole steps of `granularity_s`."""

    gb_second_usd: float
    request_usd: float
    granularity_s: float


@dataclass(frozen=True, slots=True)
class ClusterPrices:
    """Prices of a cluster's own nodes."""

    vcpu_second_usd: float
    gb_second_usd: float


@dataclass(frozen=True, slots=True)
class StepFunctionsPrices:
    """Prices of AWS Step Functions, Standard workflows; a retry is a transition too."""

    transition_usd: float


@dataclass(frozen=True, slots=True)
class Prices:
    """One price list."""

    version: str
    lambda_x86: LambdaPrices
    lambda_arm: LambdaPrices
    cluster: ClusterPrices
    step_functions: StepFunctionsPrices | None = None
    """None in lists that were written before it was asked for."""


def load_prices(name: str = DEFAULT_PRICE_LIST) -> Prices:
    """Read a price list by its version, or from the path of one's own file.

    Raises:
        BadInputError: unreadable, no JSON, a price missing or negative.
    """
    lists = {file.stem: file for file in PRICE_LISTS.glob("*.json")}
    path = lists.get(name, Path(name))
    known = ", ".join(sorted(lists))
    document = as_object(read_json(path, remedy=f"give a file, or one of {known}"), str(path))
    return Prices(
        version=get_text(document, "version", str(path)),
        lambda_x86=_lambda_prices(document.get("lambda_x86"), f"{path}: lambda_x86"),
        lambda_arm=_lambda_prices(document.get("lambda_arm"), f"{path}: lambda_arm"),
        cluster=cluster_prices(document.get("cluster"), f"{path}: cluster"),
        step_functions=_step_functions_prices(document.get("step_functions"), f"{path}: step_functions"),
    )


def _lambda_prices(document: object, where: str) -> LambdaPrices:
    fields = as_object(document, where)
    return LambdaPrices(
        gb_second_usd=get_number(fields, "gb_second_usd", where, above=0),
        request_usd=get_number(fields, "request_usd", where, above=0),
        granularity_s=get_number(fields, "granularity_s", where, above=0),
    )


def _step_functions_prices(document: object, where: str) -> StepFunctionsPrices | None:
    if document is None:
        return None
    return StepFunctionsPrices(get_number(as_object(document, where), "transition_usd", where, above=0))


def cluster_prices(document: object, where: str) -> ClusterPrices:
    """Read the prices of a cluster's own nodes: `{"vcpu_second_usd": …, "gb_second_usd": …}`.

    Raises:
        BadInputError: a price is missing or negative.
    """
    fields = as_object(document, where)
    return ClusterPrices(
        vcpu_second_usd=get_number(fields, "vcpu_second_usd", where, above=0),
        gb_second_usd=get_number(fields, "gb_second_usd", where, above=0),
    )
