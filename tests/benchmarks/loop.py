"""The whole loop in virtual time: an hour of one stationary law, and steps of the rate.

    python tests/benchmarks/loop.py stationary --seeds 1    # regimes, changes by price, windows violated
    python tests/benchmarks/loop.py step --seeds 3          # seconds from a tenfold step until p95 is inside again

A tenfold step has capacity to spare: forty instances may run, ten at most are needed.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np

from controller.domain.arrival_map import mmpp
from controller.domain.arrival_process import Phase, Phases, PoissonProcess, sample_arrivals
from controller.domain.prices import load_prices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import InstanceShape
from controller.domain.slo import LatencySlo
from controller.reproduce.rehearsal import Design, Scene, rehearse, settled_after_s
from controller.settings import LoopSettings

SLO = LatencySlo(0.95, 1.0)
TOKENS = 24
SERVICES = {
    "fixed": TokenServiceTimes(per_batch_s=0.2, cv=0.1),
    "linear": TokenServiceTimes(per_batch_s=0.02, per_token_s=0.045 / TOKENS, cv=0.1),
    "quick": TokenServiceTimes(per_batch_s=0.02, per_token_s=0.0009, cv=0.1),
}
BURSTY = {
    "10/120, 20 s": mmpp([10, 120], [[0, 1 / 20], [1 / 20, 0]]),
    "10/120, 60 s": mmpp([10, 120], [[0, 1 / 60], [1 / 60, 0]]),
    "2/11, 20 s": mmpp([2, 11], [[0, 1 / 20], [1 / 20, 0]]),
    "in turn": Phases((Phase(20, PoissonProcess(10)), Phase(20, PoissonProcess(120)))),
    "Poisson 5": PoissonProcess(5.0),
    "Poisson 40": PoissonProcess(40.0),
}
HOUR_S, BEFORE_S, AFTER_S = 3600.0, 60.0, 60.0
WARM_UP_S = 300.0


@dataclass(frozen=True)
class Case:
    law: str
    service: str
    seed: int
    cold_start_s: float


def play(process, duration_s, case):
    rng = np.random.default_rng((case.seed, 11))
    arrival_s = sample_arrivals(process, duration_s=duration_s, rng=rng)
    tokens = np.clip(np.rint(rng.lognormal(3.1, 0.3, arrival_s.size)), 4, 64).astype(np.int64)
    shape = InstanceShape(cold_start_s=case.cold_start_s, max_instances=40)
    scene = Scene(
        arrival_s=arrival_s,
        tokens=tokens,
        until_s=duration_s,
        service=SERVICES[case.service],
        shape=shape,
        seed=case.seed,
    )
    settings = LoopSettings(slo=SLO, prices=load_prices().cluster, trials=12, may_roll=True)
    return rehearse(scene, Design(settings=settings))


def stationary(case):
    process = BURSTY[case.law]
    if isinstance(process, Phases):
        process = Phases(process.phases * int(HOUR_S / 40))
    run = play(process, HOUR_S, case)
    late = [line for line in run.changes if line["at_s"] > WARM_UP_S]
    prices = {price: sum(line["price"] == price for line in late) for price in ("hot", "warm", "slow")}
    counts = ", ".join(f"{count} {price}" for price, count in prices.items())
    return f"{run.regimes} regimes; after {WARM_UP_S:.0f} s {counts}; {run.window_violation_ratio:.1%} of windows"


def step(case):
    low, high = (float(each) for each in case.law.split(" → "))
    process = Phases((Phase(BEFORE_S, PoissonProcess(low)), Phase(2 * AFTER_S, PoissonProcess(high))))
    return settled_after_s(play(process, BEFORE_S + AFTER_S, case), BEFORE_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("stationary", "step"))
    parser.add_argument("--seeds", type=int, default=1, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--laws", nargs="+", help="of stationary; default all")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        if options.what == "stationary":
            cases = [Case(law, "linear", seed, 2.0) for law, seed in product(options.laws or BURSTY, seeds)]
            for case, text in zip(cases, pool.map(stationary, cases), strict=True):
                sys.stdout.write(f"{case.law}, seed {case.seed}: {text}\n")
                sys.stdout.flush()
            return
        for law, service in product(("2 → 20", "10 → 100"), SERVICES):
            cases = [Case(law, service, seed, cold) for seed, cold in product(seeds, (0.6, 2.0, 5.0))]
            seconds = list(pool.map(step, cases))
            sys.stdout.write(f"{law}/s, {service}: {np.median(seconds):g} s median, {max(seconds):g} s worst\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
