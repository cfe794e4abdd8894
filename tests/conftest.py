"""What every test shares: seeds, and which tests this machine can run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

# A test without a loop leaves none behind: otherwise looptime keeps one open, which warnings-as-errors rightly minds.
asyncio.set_event_loop(None)
# ONNX Runtime reports to its maker unless told not to before its first import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

CLUSTER_HOME = Path(os.environ.get("TIDEGATE_CLUSTER_HOME") or Path.home() / ".cache" / "tidegate" / "cluster")
NEEDS = {
    "torch": lambda: (
        importlib.util.find_spec("torch") is not None and importlib.util.find_spec("transformers") is not None
    ),
    "chromium": lambda: shutil.which("chromium") is not None,
    "root": lambda: os.geteuid() == 0,
    "prometheus": lambda: shutil.which("prometheus") is not None,
    "cluster": lambda: Path("/run/netns/tidegate-node").exists(),
    "helm": lambda: shutil.which("helm") is not None or (CLUSTER_HOME / "bin" / "helm").exists(),
    "kind": (CLUSTER_HOME / "bin" / "kind").exists,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    has = {name: probe() for name, probe in NEEDS.items()}
    for item in items:
        for mark in item.iter_markers("needs"):
            missing = [name for name in mark.args if not has[name]]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"this machine has no {', '.join(missing)}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: this machine lacks what they need (listed above)")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261122)


@pytest.fixture(autouse=True)
def _no_tidegate_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TIDEGATE_"):
            monkeypatch.delenv(name)
