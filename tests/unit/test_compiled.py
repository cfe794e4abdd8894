import os
import subprocess
import sys

import numpy as np
import pytest

from controller.domain.service_time import TokenServiceTimes
from controller.domain.serving_config import AutoscalerSettings, ServingConfig
from controller.performance_model import compiled, pod_state
from controller.performance_model.simulation_result import CLASSES
from controller.performance_model.simulator import PodSimulator

needs_numba = pytest.mark.skipif(not compiled.is_installed(), reason="numba is not installed")


@pytest.fixture
def not_loaded(monkeypatch):
    """As in a process that has not loaded compiled code."""
    loads = []
    fake = lambda: loads.append(True) or compiled.PLAIN  # noqa: E731
    fake.cache_info = lambda: type("Info", (), {"currsize": 0})
    monkeypatch.setattr(compiled, "_compile", fake)
    return loads


def test_the_codes_of_request_classes_are_their_places():
    codes = (pod_state.OK, pod_state.WARM_UP, pod_state.COLD_START)
    codes += (pod_state.REJECTED, pod_state.EXPIRED, pod_state.ERROR)

    assert [CLASSES[code] for code in codes] == ["ok", "warm_up", "cold_start", "rejected", "expired", "error"]


def test_a_short_simulation_does_not_wait_for_numba(not_loaded, monkeypatch):
    monkeypatch.setattr(compiled, "is_compiled_ahead", lambda: True)

    assert compiled.kernels_for(compiled.WORTH_LOADING - 1) is compiled.PLAIN
    assert not not_loaded


def test_a_longer_one_loads_what_was_compiled_ahead_and_the_longest_compiles(not_loaded, monkeypatch):
    monkeypatch.setattr(compiled, "is_installed", lambda: True)
    monkeypatch.setattr(compiled, "is_compiled_ahead", lambda: False)
    compiled.kernels_for(compiled.WORTH_LOADING)
    assert not not_loaded

    compiled.kernels_for(compiled.WORTH_COMPILING)
    assert len(not_loaded) == 1

    monkeypatch.setattr(compiled, "is_compiled_ahead", lambda: True)
    compiled.kernels_for(compiled.WORTH_LOADING)
    assert len(not_loaded) == 2


def test_without_numba_everything_runs_plain(not_loaded, monkeypatch):
    monkeypatch.setattr(compiled, "is_installed", lambda: False)

    assert compiled.kernels_for(10**9) is compiled.PLAIN
    assert not compiled.load_if_compiled_ahead()
    assert not not_loaded


@needs_numba
def test_a_search_never_compiles(not_loaded, monkeypatch):
    monkeypatch.setattr(compiled, "is_compiled_ahead", lambda: False)

    compiled.load_if_compiled_ahead()

    assert not not_loaded


@needs_numba
def test_the_cache_is_where_it_is_told_to_be_and_never_in_the_tree(monkeypatch, tmp_path):
    compiled.cache_folder.cache_clear()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))
    told = compiled.cache_folder()
    compiled.cache_folder.cache_clear()
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    untold = compiled.cache_folder()
    compiled.cache_folder.cache_clear()

    assert told.parent == tmp_path / "kernels"
    assert untold.parent == tmp_path / "caches" / "tidegate" / "kernels"
    assert told.name == untold.name


SMALL = """
import os, numba
from controller.performance_model import compiled, kernels, kernel_cache
import pathlib, sys
with kernel_cache.cached_in(pathlib.Path(sys.argv[1])):
    cut = numba.njit(kernels.cut, cache=True)
import numpy as np
try:
    cut(np.zeros(1), 1, 0.0, np.zeros(1, dtype=np.int64))
except OSError:
    print("unwritable", end=" ")
print(sum(cut.stats.cache_hits.values()), sum(cut.stats.cache_misses.values()))
"""


def run_small(folder):
    command = [sys.executable, "-c", SMALL, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=dict(os.environ)).stdout


@needs_numba
def test_machine_code_is_read_from_a_folder_that_cannot_be_written(tmp_path):
    folder = tmp_path / "kernels"
    assert run_small(folder).split() == ["0", "1"]
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    before = sorted(path.name for path in folder.iterdir())

    assert run_small(folder).split() == ["1", "0"]
    assert sorted(path.name for path in folder.iterdir()) == before


@needs_numba
def test_a_cache_that_cannot_be_used_never_fails_a_run(monkeypatch):
    specialised = []

    def specialise(*entries):
        specialised.append(entries)
        if len(specialised) == 1:
            raise OSError("no space left")
        return "ok"

    monkeypatch.setattr(compiled, "_specialise", specialise)

    assert compiled._compile.__wrapped__() == "ok"
    assert len(specialised) == 2


@needs_numba
def test_enlarging_tables_changes_nothing():
    service = TokenServiceTimes(per_batch_s=0.02, cv=0.2)
    rng = np.random.default_rng(5)
    arrivals = np.sort(20 * rng.integers(0, 20, 6000) + rng.uniform(0, 3, 6000))
    quick = AutoscalerSettings(scale_to_zero_grace_period_s=1)
    config = ServingConfig(target=1.0, window_s=6.0)
    results = []
    for kernels in (compiled.PLAIN, compiled.load()):
        simulator = PodSimulator(
            config, service=service, rng=np.random.default_rng(1), autoscaler=quick, kernels=kernels
        )
        for start in range(0, 400, 20):
            simulator.offer(arrivals[(arrivals >= start) & (arrivals < start + 20)])
            simulator.advance(start + 20.0)
        results.append(simulator.result())

    assert len(results[0].instances) > 40
    assert np.array_equal(results[0].latency_s, results[1].latency_s)
