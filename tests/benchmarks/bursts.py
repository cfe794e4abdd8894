"""Bursts in virtual time: Knative's autoscaler alone, and the same with the reflex, on the schedules of bursts/.

    python tests/benchmarks/bursts.py                # the table of docs/bursts.md
    python tests/benchmarks/bursts.py --mode loop    # with the searches of the loop as well

Each schedule is run with several seeds, starts of a pod and laws of service. Per burst: seconds from its begin until
ready pods x capacity cover its rate. Per run: pod-seconds above what Little's law needs at each moment, windows of 256
requests that miss the objective, USD. The settings of the reflex were chosen on the seeds 100 to 103.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from controller.control_loop import control
from controller.domain.arrival_process import PoissonProcess, sample_arrivals
from controller.domain.cost import instances_cost_usd
from controller.domain.prices import load_prices
from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.monitor.journal import Journal, StateFile
from controller.optimizer.search_process import InlineSearch
from controller.platforms.simulated import SimulatedPlatform
from controller.settings import LoopSettings
from controller.telemetry.merge import HeartbeatMerge
from controller.telemetry.outbox import Outbox

FOLDER = Path(__file__).parent / "bursts"
SLO = LatencySlo(0.95, 1.0)
BATCH, TOKENS = 4, 24
CAPACITY_RPS = 20.0
LAWS = {
    "fixed": TokenServiceTimes(per_batch_s=0.2, cv=0.1),
    "linear": TokenServiceTimes(per_batch_s=0.02, per_token_s=0.045 / TOKENS, cv=0.1),
}
"""Both serve a full batch in 0.2 s; the one whatever is in it, the other in proportion."""
DRAWN_S = 600.0
SHORTEST_S = 5.0
"""A burst whose top is shorter is over before any pod could start."""
RAMP_S = 6.0
"""A rise in steps shorter than this is one burst."""
STEP_S = 0.1


@dataclass(frozen=True)
class Case:
    schedule: str
    mode: str
    seed: int
    window_s: float
    cold_start_s: float
    target: float
    law: str


@dataclass(frozen=True)
class Stretch:
    from_s: float
    until_s: float
    rate_rps: float

    @property
    def need(self) -> int:
        return math.ceil(self.rate_rps / CAPACITY_RPS - 1e-9)


class NoSearch:
    """Never answers, so that what is seen is the reflex alone."""

    is_busy = True

    def begin(self, problem, now_s):
        raise AssertionError

    def take(self, now_s):
        return None

    def close(self):
        pass


def path_of(document, rng):
    """The rate's path: phases as they stand, the phases of an MMPP drawn."""
    found, now_s = [], 0.0
    if document["kind"] == "phases":
        for phase in document["phases"]:
            found.append(Stretch(now_s, now_s + phase["duration_s"], phase["arrivals"]["rate_rps"]))
            now_s = found[-1].until_s
        return found
    rates, switching, phase = document["rates_rps"], np.array(document["switching_per_s"]), 0
    while now_s < DRAWN_S:
        leave = switching[phase].sum()
        found.append(Stretch(now_s, min(DRAWN_S, now_s + rng.exponential(1 / leave)), rates[phase]))
        now_s, phase = found[-1].until_s, int(rng.choice(len(rates), p=switching[phase] / leave))
    return found


def bursts_of(path):
    """Begin, end of its top and pods needed there, of each rise that needs further pods."""
    found, at = [], 1
    while at < len(path):
        top = at
        while top + 1 < len(path) and path[top].rate_rps < path[top + 1].rate_rps and _length(path[top]) < RAMP_S:
            top += 1
        is_more = path[top].need > max(1, path[at - 1].need) and path[at].rate_rps > path[at - 1].rate_rps
        if is_more and _length(path[top]) >= SHORTEST_S:
            found.append((path[at].from_s, path[top].until_s, path[top].need))
        at = top + 1
    return found


def _length(stretch):
    return stretch.until_s - stretch.from_s


def figures(rows, result, path):
    until_s = path[-1].until_s
    at_s = np.arange(0, until_s, STEP_S)
    paid, ready, need = np.zeros(at_s.size), np.zeros(at_s.size), np.zeros(at_s.size)
    for row in rows:
        stop_s = until_s if math.isnan(row.stopped_s) else row.stopped_s
        ready_s = stop_s if math.isnan(row.ready_s) else row.ready_s
        paid += (at_s >= row.started_s) & (at_s < stop_s)
        ready += (at_s >= ready_s) & (at_s < stop_s)
    for each in path:
        need[(at_s >= each.from_s) & (at_s < each.until_s)] = each.need
    times_s = []
    for begin_s, end_s, wanted in bursts_of(path):
        enough = np.flatnonzero(ready[(at_s >= begin_s) & (at_s < end_s)] >= wanted)
        times_s.append(float(enough[0]) * STEP_S if enough.size else end_s - begin_s)
    return {
        "times_s": times_s,
        "excess_s": float(np.maximum(0, paid - need).sum()) * STEP_S,
        "needed_s": float(need.sum()) * STEP_S,
        "late": result.window_violation_ratio(SLO),
        "usd": instances_cost_usd(rows, load_prices().cluster, 0.0, until_s),
    }


async def rehearse(case, folder):
    document = json.loads((FOLDER / f"{case.schedule}.json").read_text())
    rng = np.random.default_rng((case.seed, 7))
    path = path_of(document, rng)
    pieces = [
        each.from_s + sample_arrivals(PoissonProcess(each.rate_rps), duration_s=_length(each), rng=rng) for each in path
    ]
    arrivals_s = np.concatenate(pieces)
    merge = HeartbeatMerge()
    platform = SimulatedPlatform(
        service=LAWS[case.law],
        merge=merge,
        outbox=Outbox(),
        rng=rng,
        autoscaler=AutoscalerSettings(window_s=case.window_s),
        shape=InstanceShape(cold_start_s=case.cold_start_s, cold_start_cpu_s=0.5, max_instances=40),
    )
    platform.offer(arrivals_s, np.full(arrivals_s.size, TOKENS))
    settings = LoopSettings(
        slo=SLO,
        prices=load_prices().cluster,
        mode="observe" if case.mode == "alone" else "apply",
        bounds={"max_batch_size": (BATCH, BATCH)},
        trials=12,
        silence_s=60.0,
    )
    search = InlineSearch(takes_s=2.0) if case.mode == "loop" else NoSearch()
    await platform.start(ServingConfig(max_batch_size=BATCH, target=case.target))
    state = StateFile(folder / "state.json")
    await control(platform, merge, settings, Journal(folder), state, search=search, until_s=path[-1].until_s)
    changes = folder / "settings.jsonl"
    count = len(changes.read_text().splitlines()) if changes.exists() else 0
    return figures(await platform.instances(), platform.result(), path) | {"changes": count}


def run_case(case):
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(rehearse(case, Path(folder)))


def row_of(label, alone, other):
    def mean(runs, name):
        return float(np.mean([each[name] for each in runs]))

    times = [[time_s for each in runs for time_s in each["times_s"]] for runs in (alone, other)]
    excess = [mean(runs, "excess_s") for runs in (alone, other)]
    usd = [mean(runs, "usd") for runs in (alone, other)]
    return (
        f"| {label} | {len(times[0])} | {np.mean(times[0]):.2f} → {np.mean(times[1]):.2f} "
        f"| {np.median(times[0]):.1f} → {np.median(times[1]):.1f} "
        f"| {excess[0]:.0f} → {excess[1]:.0f} | {100 * (excess[1] / excess[0] - 1):+.0f} % "
        f"| {100 * mean(alone, 'late'):.0f} → {100 * mean(other, 'late'):.0f} % "
        f"| {100 * (usd[1] / usd[0] - 1):+.0f} % | {mean(other, 'changes'):.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("reflex", "loop"), default="reflex")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--windows", type=float, nargs="+", default=[60.0, 6.0])
    parser.add_argument("--cold-starts", type=float, nargs="+", default=[0.6, 2.0, 5.0])
    parser.add_argument("--targets", type=float, nargs="+", default=[8.0])
    parser.add_argument("--laws", nargs="+", default=list(LAWS), choices=list(LAWS))
    parser.add_argument("--schedules", nargs="+", default=sorted(each.stem for each in FOLDER.glob("*.json")))
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    with ProcessPoolExecutor(options.processes) as pool:
        for window_s, target in product(options.windows, options.targets):
            sys.stdout.write(
                f"\nwindow {window_s:g} s, target {target:g}: autoscaler alone → with the {options.mode}\n\n"
            )
            sys.stdout.write(
                "| schedule | bursts | mean s | median s | excess pod-s | | late windows | USD | changes |\n"
            )
            sys.stdout.write("|---|---|---|---|---|---|---|---|---|\n")
            every = {"alone": [], options.mode: []}
            for schedule in options.schedules:
                found = {}
                for mode in every:
                    inner = product(seeds, options.cold_starts, options.laws)
                    cases = [Case(schedule, mode, seed, window_s, cold, target, law) for seed, cold, law in inner]
                    found[mode] = list(pool.map(run_case, cases))
                    every[mode] += found[mode]
                sys.stdout.write(row_of(schedule.replace("_", " "), found["alone"], found[options.mode]) + "\n")
                sys.stdout.flush()
            sys.stdout.write(row_of("all", every["alone"], every[options.mode]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
