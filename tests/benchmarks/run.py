"""`make bench`: figures that are reported and never asserted; medians, since a shared machine drifts.

Each line gives the figure, what it was taken over, and the gate or goal it belongs to.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from controller.arrivals.detector import Detector
from controller.domain.arrival_map import mmpp
from controller.domain.prices import load_prices
from controller.domain.service_time import AffineServiceTimes, TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, InstanceShape, ServingConfig
from controller.domain.slo import LatencySlo
from controller.performance_model.compiled import PLAIN, Kernels, load
from controller.performance_model.exact_optimum import ExactProblem, find_exact_optimum
from controller.performance_model.finite_servers import simulate
from controller.performance_model.grid_search import Grid
from controller.performance_model.simulator import PodSimulator

ROUNDS = 5
BODY = json.dumps({"instances": ["a wonderful film, warm and funny"]})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, body: str = BODY) -> dict | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/models/distilbert:predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return json.loads(answer.read()) if answer.status == 200 else None
    except OSError:
        return None
    finally:
        connection.close()


def first_right_answer_s(model: str) -> float:
    """From exec of the server to the first right answer, on a warm page cache."""
    port = free_port()
    started = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "inference_service", "--model", model, "--port", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        while True:
            answer = ask(port)
            if answer and answer["predictions"][0]["label"] == "positive":
                return time.perf_counter() - started
            if time.perf_counter() - started > 30:
                raise SystemExit("bench: the server gave no right answer within 30 s")
            time.sleep(0.002)
    finally:
        server.terminate()
        server.wait()


def cold_start() -> str:
    first_right_answer_s("demo")
    times = [first_right_answer_s("demo") for _ in range(ROUNDS)]
    return row("exec to first right answer", times, "s", "gate 0.6, stretch 0.5")


def detector() -> str:
    counts = np.random.default_rng(1).poisson(40, 20_000).tolist()
    times: list[float] = []
    for _ in range(ROUNDS):
        watch = Detector(bin_s=1.0)
        started = time.perf_counter()
        for count in counts:
            watch.update(count)
        times.append((time.perf_counter() - started) / len(counts) * 1e6)
    return row("detection, a bin", times, "µs", "below 100")


def grid_search() -> str:
    process = mmpp(np.array([10.0, 120.0]), np.array([[0.0, 0.05], [0.05, 0.0]]))
    service = AffineServiceTimes(0.010, 0.034)
    problem = ExactProblem(process, service, tuple(range(1280, 3009, 64)), Grid(max_queue_delay_s=0.49), load_prices())
    found = find_exact_optimum(problem, LatencySlo(0.95, 0.3), quantile="0.95")
    times: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        find_exact_optimum(problem, LatencySlo(0.95, 0.3), quantile="0.95")
        times.append(time.process_time() - started)
    return row(f"exact search, {found.evaluated} settings", times, "s of CPU", "gate 0.5")


def simulated_pods(kernels: Kernels, size: int) -> list[float]:
    rng = np.random.default_rng(1)
    arrivals = np.sort(rng.uniform(0, size / 100, size))
    tokens = rng.integers(8, 40, arrivals.size)
    service = TokenServiceTimes(per_batch_s=0.002, per_token_s=0.00008, cv=0.05)
    rates: list[float] = []
    for _ in range(ROUNDS):
        simulated = PodSimulator(
            ServingConfig(),
            autoscaler=AutoscalerSettings(window_s=6.0),
            shape=InstanceShape(cores=1),
            service=service,
            rng=np.random.default_rng(2),
            kernels=kernels,
        )
        started = time.process_time()
        simulated.run(arrivals, tokens)
        rates.append(arrivals.size / (time.process_time() - started) / 1e6)
    return rates


def simulator() -> str:
    return row("pod simulator, plain", simulated_pods(PLAIN, 30_000), "M requests/s", "where numba is absent")


def compiled_simulator() -> str:
    return row("pod simulator, compiled", simulated_pods(load(), 300_000), "M requests/s", "gate 1 on one core")


def compiled_buffer() -> str:
    load()
    arrivals = np.cumsum(np.random.default_rng(1).exponential(0.01, 1_000_000))
    config = ServingConfig(max_batch_size=8, max_queue_delay_s=0.05)
    rates: list[float] = []
    for _ in range(ROUNDS):
        started = time.process_time()
        service = AffineServiceTimes(0.02, 0.005)
        simulate("infinite_timer", arrivals, config=config, service=service, rng=np.random.default_rng(2))
        rates.append(arrivals.size / (time.process_time() - started) / 1e6)
    return row("plain buffer, compiled", rates, "M requests/s", "gate 5 on one core")


def row(name: str, values: list[float], unit: str, goal: str) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{name:<32} {middle:8.3g} {unit:<13} ({low:.3g} to {high:.3g}, {len(values)} rounds)  {goal}"


def main() -> None:
    cpus = len(os.sched_getaffinity(0))
    print(f"tidegate benchmarks: Python {sys.version.split()[0]}, {cpus} cores; medians (low to high)")  # noqa: T201
    os.chdir(Path(__file__).parents[2])
    for measure in (cold_start, detector, grid_search, simulator, compiled_simulator, compiled_buffer):
        print(measure(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
