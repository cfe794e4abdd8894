"""The event simulator against this cluster, on the same schedules: cost and latency, and whether both are close enough.

Two Knative Services run the fake runtime, which sleeps. One is sent a stationary schedule, the other a bursty one, in
turn, each run from zero pods to zero pods, by the project's own open-loop generator. Two runs of other seeds calibrate:
how long a pod takes to start, how long to end, and one constant that the platform adds to each request. Run it as root
where the node's network is:

    python tests/e2e/bench_simulator.py --out runs/simulator-on-a-cluster

`--weights` serves the demo's model instead, whose pods compete for the machine's cores with all else that runs here;
what a batch takes is heard from the pods in the calibrating runs. This is reported and not judged. `--again` takes the
runs that the folder holds already, of whatever they are, without a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cluster_runs import PodWatch, kubectl, node_address, send
from heard_service import Listener, read_heard
from served_subjects import FAKE, WEIGHTS, WINDOW_S, Subject, pod_shape, read_subject, service, write_subject
from simulated_runs import Measured, World, figures_of, read_run, simulate

from controller.domain.instance_log import write_instance_log
from controller.domain.serving_config import AutoscalerSettings

if TYPE_CHECKING:
    from controller.domain.service_time import ServiceTimes

NAMESPACE = "simulated"
DURATION_S = 90.0
SCHEDULES: dict[str, dict[str, Any]] = {
    "steady": {"kind": "poisson", "rate_rps": 12},
    "bursty": {"kind": "mmpp", "rates_rps": [4, 20], "switching_per_s": [[0, 1 / 25], [1 / 12, 0]]},
}
CALIBRATING = (("steady", 101), ("bursty", 102))
JUDGED = tuple((kind, seed) for seed in range(1, 6) for kind in SCHEDULES)
COST_BOUND, P95_BOUND = 0.10, 0.15
# The test cluster's grace period; at Knative's burst capacity of 211 it has passed when the window ends.
AUTOSCALER = AutoscalerSettings(window_s=WINDOW_S, scale_to_zero_grace_period_s=6)
TEXTS = 64
TAIL_S = WINDOW_S + 45.0
"""After the last request: a window, a tick, and the 30 s that Knative's queue-proxy waits before it ends."""
ATTEMPTS = 3
HEARD = "heard.json"


def main() -> int:
    """Measure unless told not to, compare, print; the exit code says whether the bounds are kept, where they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and figures")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--again", action="store_true", help="judge the runs that the folder holds")
    which.add_argument("--weights", action="store_true", help="serve the demo's model; reported, not judged")
    options = parser.parse_args()
    if not options.again:
        measure(options.out, WEIGHTS if options.weights else FAKE)
    return judge(options.out, read_subject(options.out))


def measure(out: Path, subject: Subject) -> None:
    """Every run, calibrating ones first, each in a folder of its own."""
    out.mkdir(parents=True, exist_ok=True)
    write_subject(out, subject)
    texts = write_texts(out / "texts.txt", subject.words)
    kubectl("create", "namespace", NAMESPACE)
    watch, listener = PodWatch(NAMESPACE), None
    try:
        if subject.service is None:
            listener = Listener(node_address(), pod_shape(subject), watch.live)
        items = [service(kind, subject, listener) for kind in SCHEDULES]
        services = {"apiVersion": "v1", "kind": "List", "items": items}
        kubectl("-n", NAMESPACE, "apply", "-f", "-", text=json.dumps(services))
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", "ksvc", "--all", "--timeout=120s")
        pending: list[tuple[Path, dict[str, Any]]] = []
        for kind, seed in (*CALIBRATING, *JUDGED):
            watch.wait_for_zero(kind)
            keep(pending, watch, kind)
            pending.append(run_valid(kind, seed, out, texts))
            if listener and (kind, seed) == CALIBRATING[-1]:
                listener.write(out / HEARD)
        for kind in SCHEDULES:
            watch.wait_for_zero(kind)
            keep(pending, watch, kind)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        watch.close()
        if listener:
            listener.close()


def write_texts(path: Path, words: tuple[int, int]) -> Path:
    """Lines of words; the fake tokenizer and the model's make a token of each and add two."""
    lengths = np.random.default_rng(0).integers(words[0], words[1] + 1, TEXTS)
    path.write_text("".join(" ".join(["film"] * int(length)) + "\n" for length in lengths))
    return path


def run_valid(kind: str, seed: int, out: Path, texts: Path) -> tuple[Path, dict[str, Any]]:
    """One run whose sends were in time; on a busy machine it may take more than one try."""
    tokens = [len(line.split()) + 2 for line in texts.read_text().splitlines()]
    folder = out / f"{kind}-{seed}"
    for attempt in range(1, ATTEMPTS + 1):
        run = send(kind, NAMESPACE, folder, arrivals=SCHEDULES[kind], seed=seed, duration_s=DURATION_S, texts=texts)
        say(f"{kind} {seed}: {len(run.text_id)} requests, {run.load['why'] or 'valid'}, load {os.getloadavg()[0]:.1f}")
        if run.load["valid"] or attempt == ATTEMPTS:
            break
        time.sleep(TAIL_S)
    about = {
        "kind": kind,
        "seed": seed,
        "duration_s": DURATION_S,
        "zero_at": run.zero_at,
        "tokens": [tokens[each] for each in run.text_id],
        "load1": os.getloadavg()[0],
        "attempts": attempt,
        "why_invalid": run.load["why"],
    }
    return folder, about


def keep(pending: list[tuple[Path, dict[str, Any]]], watch: PodWatch, kind: str) -> None:
    """Write down the runs of a service whose pods are all gone."""
    for folder, about in [each for each in pending if each[1]["kind"] == kind]:
        pending.remove((folder, about))
        lives = watch.of(kind, from_at=about["zero_at"], until_at=about["zero_at"] + DURATION_S + TAIL_S)
        write_instance_log(folder / "instances.csv", [life.row(about["zero_at"]) for life in lives])
        about["ending_s"] = [life.gone_at - life.asked_to_end_at for life in lives]
        (folder / "run.json").write_text(json.dumps(about))


def judge(out: Path, subject: Subject) -> int:
    """Compare every run but the calibrating ones with its simulation, print the table and write figures.json."""
    calibrating = [read_run(out / f"{kind}-{seed}") for kind, seed in CALIBRATING]
    world = calibrated_world(out, calibrating, subject)
    overhead_s = calibrated_overhead_s(calibrating, world)
    rows = [compared(read_run(out / f"{kind}-{seed}"), world, overhead_s) for kind, seed in JUDGED]
    verdicts = {kind: verdict([row for row in rows if row["kind"] == kind]) for kind in SCHEDULES}
    sys.stdout.write(table(rows, verdicts, world, overhead_s, is_judged=subject.service is not None) + "\n")
    document = {
        "overhead_s": overhead_s,
        "shape": asdict(world.shape),
        "config": subject.config.to_document(),
        "autoscaler": asdict(world.autoscaler),
        "service": world.service.to_document(),
        "schedules": SCHEDULES,
        "runs": rows,
        "verdicts": verdicts,
    }
    (out / "figures.json").write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(each["kept"] for each in verdicts.values()) or subject.service is None else 1


def calibrated_world(out: Path, runs: list[Measured], subject: Subject) -> World:
    """Start and end of a pod as the calibrating runs saw them, and what their pods told of real weights."""
    starts = [row.ready_s - row.started_s for run in runs for row in run.instances if row.ready_s > row.started_s]
    abouts = [json.loads((out / f"{run.kind}-{run.seed}" / "run.json").read_text()) for run in runs]
    ends = [seconds for about in abouts for seconds in about["ending_s"] if seconds > 0]
    start_s, end_s = statistics.median(starts), statistics.median(ends)
    served: ServiceTimes | None = subject.service
    start_cpu_s = 0.0
    if served is None:
        served, start_cpu_s, about = read_heard(out / HEARD)
        sys.stdout.write(about + "\n")
    shape = replace(pod_shape(subject), cold_start_s=start_s, cold_start_cpu_s=start_cpu_s, drain_s=end_s)
    return World(subject.config, AUTOSCALER, served, shape, TAIL_S)


def calibrated_overhead_s(runs: list[Measured], world: World) -> float:
    """The constant by which the medians of the calibrating runs differ from their simulations'."""
    apart = [figures_of(run, world).quantiles_s[0] - simulate(run, world, overhead_s=0).quantiles_s[0] for run in runs]
    return statistics.mean(apart)


def compared(run: Measured, world: World, overhead_s: float) -> dict[str, Any]:
    measured, simulated = figures_of(run, world), simulate(run, world, overhead_s=overhead_s)
    names = ("p50", "p95", "p99")
    ratios = {
        name: ours / theirs
        for name, ours, theirs in zip(names, simulated.quantiles_s, measured.quantiles_s, strict=True)
    }
    ratios["cost"] = simulated.pod_s / measured.pod_s
    ratios["cost under load"] = simulated.pod_s_under_load / measured.pod_s_under_load
    return {
        "kind": run.kind,
        "seed": run.seed,
        "requests": int(run.latency_s.size),
        "load1": run.load1,
        "measured": asdict(measured),
        "simulated": asdict(simulated),
        "ratios": ratios,
    }


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the ratios, and whether they keep the bounds."""
    medians = {name: statistics.median(row["ratios"][name] for row in rows) for name in rows[0]["ratios"]}
    kept = abs(medians["cost"] - 1) <= COST_BOUND and abs(medians["p95"] - 1) <= P95_BOUND
    return {"medians": medians, "kept": kept}


def table(
    rows: list[dict[str, Any]], verdicts: dict[str, Any], world: World, overhead_s: float, *, is_judged: bool
) -> str:
    shape, seeds = world.shape, " and ".join(str(seed) for _, seed in CALIBRATING)
    lines = [f"calibrated on seeds {seeds}: a pod starts within {shape.cold_start_s:.2f} s, ends within"]
    lines[0] += f" {shape.drain_s:.1f} s, and the platform adds {1000 * overhead_s:.0f} ms to a request"
    lines.append(
        "schedule seed requests  pod-seconds sim/real  p50 sim/real      p95 sim/real      p99 sim/real   load"
    )
    for row in rows:
        measured, simulated = row["measured"], row["simulated"]
        words = [f"{row['kind']:8s} {row['seed']:4d} {row['requests']:8d}"]
        words.append(f"{simulated['pod_s']:9.0f}/{measured['pod_s']:.0f} {row['ratios']['cost']:.2f}")
        for place, name in enumerate(("p50", "p95", "p99")):
            ours, theirs = simulated["quantiles_s"][place], measured["quantiles_s"][place]
            words.append(f"{ours:7.2f}/{theirs:.2f} {row['ratios'][name]:.2f}")
        lines.append(" ".join(words) + f" {row['load1']:5.1f}")
    for kind, found in verdicts.items():
        medians = ", ".join(f"{name} {value:.3f}" for name, value in found["medians"].items())
        lines.append(f"{kind}: median ratios {medians}")
        if is_judged:
            bounds = f"cost within {COST_BOUND:.0%} and p95 within {P95_BOUND:.0%}"
            lines[-1] += f"; {bounds}: {'kept' if found['kept'] else 'MISSED'}"
    return "\n".join(lines)


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
