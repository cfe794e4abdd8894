"""Writes a demo folder that looks like a real one, in a blink: for tests, and to see a report without a run.

The figures are invented by a toy queue and prove nothing. `python -m controller.reports.sample FOLDER` writes one.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.instance_log import InstanceRow, write_instance_log
from controller.domain.request_log import RequestRow, write_request_log
from controller.domain.serving_config import ServingConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.request_log import RequestClass

PHASES = ((15.0, 12.0), (13.0, 70.0), (2.0, 190.0), (11.0, 75.0), (10.0, 35.0), (18.0, 0.0), (4.0, 10.0), (8.0, 50.0))
"""(duration in s, requests per second) of each phase of the schedule."""
SLO = {"quantile": 0.95, "bound_s": 1.0}
WINDOW_S = 11.0
"""Silence after which the toy scales to zero."""


@dataclass(frozen=True, slots=True)
class Server:
    """How one column of the toy serves: its speed, its cold start, and the instances it adds in a burst."""

    service_s: float
    cold_start_s: float
    burst_instances: int
    batching: float = 1.0
    """How much faster than one by one it serves a queue."""
    queue_limit_s: float = math.inf
    """A request that would wait longer is rejected."""


SERVERS = {
    "tidegate": Server(0.0071, 0.55, 0),
    "defaults": Server(0.0112, 0.6, 3, batching=0.3, queue_limit_s=2.5),
    "best_fixed": Server(0.0073, 0.55, 0),
}


def write_sample(folder: Path, *, seed: int = 1) -> None:
    """Write demo.json and the folders of three runs."""
    rng = np.random.default_rng(seed)
    arrivals_s = _arrivals(rng)
    tokens = np.clip(np.round(np.exp(rng.normal(2.9, 0.35, arrivals_s.size))), 4, 96).astype(int)
    for name, server in SERVERS.items():
        run = folder / name
        run.mkdir(parents=True)
        done_s, classes, starts = _serve(arrivals_s, tokens, server, rng)
        sent_s = arrivals_s + rng.exponential(0.0004, arrivals_s.size)
        rows = zip(arrivals_s.tolist(), sent_s.tolist(), done_s.tolist(), classes, tokens.tolist(), strict=True)
        status = {"rejected": 429}
        write_request_log(
            run / "requests.csv",
            [
                RequestRow(i, at, sent, done, status.get(kind, 200), kind, n)
                for i, (at, sent, done, kind, n) in enumerate(rows)
            ],  # type: ignore[arg-type]
        )
        write_instance_log(run / "instances.csv", _instances(starts, done_s, server))
        schedule = "".join(
            f"{i},{at:.6f},{n},{i % 997}\n" for i, (at, n) in enumerate(zip(arrivals_s, tokens, strict=True))
        )
        (run / "schedule.csv").write_text("index,intended_s,tokens,text_id\n" + schedule)
        _write_json(run / "run.json", _run_document(seed))
        _write_json(run / "load.json", {"valid": True, "why": None, "generator": {"cpu_share": 0.31}})
    decisions = (files("controller.reports") / "sample_decisions.jsonl").read_text(encoding="utf-8")
    (folder / "tidegate" / "decisions.jsonl").write_text(decisions)
    (folder / "tidegate" / "settings.jsonl").write_text(_applied(decisions))
    best = {
        "config": {"max_batch_size": 16},
        "p95_s": 0.21,
        "window_violation_ratio": 0.01,
        "cost_per_million_usd": 0.36,
    }
    _write_json(folder / "demo.json", {"seed": seed, "capacity_rps": 121.4, "slo": SLO, "best_fixed": best})


def _arrivals(rng: np.random.Generator) -> NDArray[np.float64]:
    starts = np.cumsum([0.0, *(duration_s for duration_s, _ in PHASES)])
    drawn = [
        start + rng.uniform(0, duration_s, rng.poisson(duration_s * rate_rps))
        for start, (duration_s, rate_rps) in zip(starts[:-1], PHASES, strict=True)
    ]
    return np.sort(np.concatenate(drawn)).round(6)


def _serve(
    arrivals_s: NDArray[np.float64], tokens: NDArray[np.int_], server: Server, rng: np.random.Generator
) -> tuple[NDArray[np.float64], list[RequestClass], list[float]]:
    """Return (answers, classes, instants of starts from zero) of one core, first come, first served."""
    done_s, starts = np.full(arrivals_s.size, math.nan), list[float]()
    classes: list[RequestClass] = ["ok"] * arrivals_s.size
    free_s, ready_s = -math.inf, -math.inf
    noise = rng.lognormal(0.0, 0.25, arrivals_s.size)
    for i, at_s in enumerate(arrivals_s):
        if at_s - free_s > WINDOW_S:
            starts.append(float(at_s))
            ready_s = at_s + server.cold_start_s * noise[i]
        begin_s = max(at_s, free_s, ready_s)
        if begin_s - at_s > server.queue_limit_s:
            done_s[i], classes[i] = at_s + 0.004, "rejected"
            continue
        if at_s < ready_s:
            classes[i] = "cold_start"
        backlog = min(max(begin_s - at_s, 0.0), 0.3)
        free_s = begin_s + server.service_s * noise[i] * (0.7 + 0.3 * tokens[i] / 20) * (1 - server.batching * backlog)
        done_s[i] = free_s + 0.004
    return done_s, classes, starts


def _instances(starts: list[float], done_s: NDArray[np.float64], server: Server) -> list[InstanceRow]:
    rows: list[InstanceRow] = []
    ends = [*starts[1:], math.inf]
    for start_s, next_s in zip(starts, ends, strict=True):
        last_s = float(np.nanmax(done_s[done_s < next_s]))
        stop_s = last_s + WINDOW_S if math.isfinite(next_s) else math.nan
        rows.append(_instance(len(rows), start_s, start_s + server.cold_start_s, stop_s))
        burst_s = PHASES[0][0] + PHASES[1][0]
        if start_s < burst_s < next_s:
            rows += [
                _instance(
                    len(rows) + extra, burst_s + 0.4 * extra, burst_s + 2.2 + 0.5 * extra, burst_s + 24 + 2 * extra
                )
                for extra in range(server.burst_instances)
            ]
    return rows


def _instance(number: int, started_s: float, ready_s: float, stopped_s: float) -> InstanceRow:
    return InstanceRow(f"demo-00001-{number}", "demo-00001", started_s, ready_s, stopped_s, 1.0, 512)


def _run_document(seed: int) -> dict[str, object]:
    phases = [{"duration_s": s, "arrivals": {"kind": "poisson", "rate_rps": rate}} for s, rate in PHASES]
    return {
        "command": "tidegate demo",
        "finished": True,
        "model": "demo",
        "payloads": "short",
        "machine": {"cores": 2, "system": "Linux", "architecture": "x86_64"},
        "server_cpus": [0],
        "seed": seed,
        "started_at": "2026-11-22T19:00:00Z",
        "duration_s": sum(duration_s for duration_s, _ in PHASES),
        "slo": SLO,
        "arrivals": {"kind": "phases", "phases": phases},
        "config": ServingConfig().to_document(),
        "autoscaler": {"window_s": 6.0, "scale_to_zero_grace_period_s": 5.0},
        "versions": {"tidegate": "0.1.0", "python": "3.11.9", "onnxruntime": "1.31.0"},
    }


def _applied(decisions: str) -> str:
    """Return the settings.jsonl that goes with a decisions.jsonl."""
    rows = [row for row in map(json.loads, decisions.splitlines()) if row["action"] == "apply"]
    return "".join(
        json.dumps(
            {
                "at_s": row["at_s"],
                "price": "warm" if "max_scale" in row["changes"] else "hot",
                "changes": row["changes"],
                "generation": generation,
            }
        )
        + "\n"
        for generation, row in enumerate(rows, start=1)
    )


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    write_sample(Path(sys.argv[1]))
