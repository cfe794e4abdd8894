"""What the parts of the loop are taken out of, and on: designs, and scenes of a few minutes drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controller.domain.arrival_process import Phase, Phases, PoissonProcess
from controller.domain.prices import load_prices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import PRICE_OF_CHANGE, InstanceShape
from controller.domain.slo import LatencySlo
from controller.monitor.detection import default_detection
from controller.reproduce.rehearsal import Design, Scene, drawn_scene
from controller.reproduce.streams import Purpose, stream
from controller.settings import LoopSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from controller.domain.arrival_process import ArrivalProcess

SLO = LatencySlo(0.95, 1.0)
FULL = "tidegate"
RUPTURES, OPTUNA = "without ruptures", "without Optuna"
HOT, MARGIN = "without hot settings", "without the margin"
PARTS = (RUPTURES, OPTUNA, HOT, MARGIN)
BY_TOKENS = TokenServiceTimes(per_batch_s=0.02, per_token_s=0.0019, cv=0.1)
"""About twenty requests a second and instance, whatever the batch."""
BY_CALLS = TokenServiceTimes(per_batch_s=0.25, per_token_s=0.0002, cv=0.1)
"""A call costs a quarter of a second with whatever is in it."""


def designs() -> dict[str, Design]:
    """Return the whole loop, and the loop without each of its parts."""
    settings = LoopSettings(slo=SLO, prices=load_prices().cluster, trials=16)
    detection = default_detection()
    hot = frozenset(knob for knob, price in PRICE_OF_CHANGE.items() if price == "hot")
    return {
        FULL: Design(settings=settings),
        # Every law is then one regime, of which the last fifteen minutes are known.
        RUPTURES: Design(settings=settings, detection=replace(detection, confirm=_unconfirmed)),
        # The default, the last best and each knob at its ends and middle are tried, and nothing is proposed.
        OPTUNA: Design(settings=replace(settings, trials=0)),
        HOT: Design(settings=replace(settings, held=hot)),
        MARGIN: Design(settings=settings, lesson=_unlearned),
    }


def _unconfirmed(counts: NDArray[np.int64]) -> int | None:
    del counts


def _unlearned(margin: float, *, observed_s: float, simulated_s: float, bound_s: float) -> float:
    del observed_s, simulated_s, bound_s
    return margin


def levels(seed: int) -> Scene:
    """Return five busy minutes, and ten in which a fifth of the rate is left."""
    return _scene(seed, _in_turn((300.0, PoissonProcess(40.0)), (600.0, PoissonProcess(8.0))), 900.0, BY_TOKENS)


def calls(seed: int) -> Scene:
    """Return a rate that triples, for a network whose calls cost much whatever is in them."""
    return _scene(seed, _in_turn((150.0, PoissonProcess(30.0)), (150.0, PoissonProcess(90.0))), 300.0, BY_CALLS)


def crowded(seed: int) -> Scene:
    """Return a steady rate on a node whose instances were promised a core each and share four."""
    shape = InstanceShape(cold_start_s=2.0)
    return replace(_scene(seed, PoissonProcess(40.0), 400.0, BY_TOKENS), shape=replace(shape, cores=4.0), stated=shape)


def neighbour(seed: int) -> Scene:
    """Return a steady rate beside a neighbour that makes batches 2.5 times as long for 20 s of every two minutes."""
    disturbed = replace(BY_TOKENS, per_batch_s=2.5 * BY_TOKENS.per_batch_s, per_token_s=2.5 * BY_TOKENS.per_token_s)
    turn = ((100.0, disturbed), (120.0, BY_TOKENS))
    later = [(120.0 * number + at_s, each) for number in range(8) for at_s, each in turn]
    return replace(_scene(seed, PoissonProcess(40.0), 900.0, BY_TOKENS), later=tuple(later))


SCENES: dict[str, Callable[[int], Scene]] = {
    "levels": levels,
    "calls": calls,
    "crowded": crowded,
    "neighbour": neighbour,
}
TRIED: dict[str, tuple[str, ...]] = {
    "levels": (RUPTURES, OPTUNA),
    "calls": (HOT, OPTUNA),
    "crowded": (HOT,),
    "neighbour": (MARGIN,),
}
"""Parts that are taken out on each scene: those that its traffic or its service asks for."""


def _in_turn(*stretches: tuple[float, ArrivalProcess]) -> Phases:
    return Phases(tuple(Phase(length_s, process) for length_s, process in stretches))


def _scene(seed: int, process: ArrivalProcess, until_s: float, service: TokenServiceTimes) -> Scene:
    rng = stream(seed, Purpose.ABLATION_TRAFFIC, 1)
    return drawn_scene(process, service, until_s=until_s, rng=rng, shape=InstanceShape(cold_start_s=2.0), seed=seed)
