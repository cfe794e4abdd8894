"""run.json of a live run: what was run, with what, where and when, and whether its figures may be trusted.

It is written first with `"finished": false`; only a run that came to its end says true.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from controller.domain.documents import read_json
from controller.errors import TemporaryError

if TYPE_CHECKING:
    from controller.sweeps.live_run import LiveRun

SCHEMA = 1
PACKAGES = ("tidegate", "numpy", "onnxruntime", "tokenizers", "uvicorn", "aiohttp", "locust", "optuna")


@dataclass(slots=True)
class RunRecord:
    """Writes run.json of one folder."""

    folder: Path
    document: dict[str, object] = field(default_factory=dict[str, object])

    def begin(self, run: LiveRun, started_at_s: float) -> None:
        """Write down what is about to be run."""
        self.document = {
            "schema": SCHEMA,
            "finished": False,
            "valid": False,
            "why": "the run is not finished",
            "kind": "live",
            "command": " ".join((Path(sys.argv[0]).name, *sys.argv[1:])),
            "started_at": datetime.fromtimestamp(started_at_s, UTC).isoformat(timespec="milliseconds"),
            "seed": run.seed,
            "duration_s": run.duration_s,
            "tail_s": run.tail_s,
            "slo": {"quantile": run.slo.quantile, "bound_s": run.slo.bound_s},
            "model": run.model,
            "arrivals": run.arrivals,
            "payloads": run.payloads,
            "protocol": run.protocol,
            "config": run.config.to_document(),
            "autoscaler": asdict(run.autoscaler),
            "shape": {name: _in_json(value) for name, value in asdict(run.shape).items()},
            "server_cpus": sorted(run.server_cpus),
            "other_cpus": sorted(run.other_cpus),
            "machine": machine_facts(),
            "versions": versions(),
        }
        self._write()

    def fail(self, why: str) -> None:
        """Say why there is no result; a disk that is full must not hide that reason, so this one may fail."""
        self.document["why"] = why
        try:
            self._write()
        except OSError:
            return

    def finish(self) -> tuple[bool, str]:
        """Mark the run as finished and return whether it is valid, and why not.

        Raises:
            TemporaryError: the load generator left no judgement.
        """
        path = self.folder / "load.json"
        if not path.exists():
            self.fail("the load generator left no load.json")
            raise TemporaryError(f"{path}: the load generator left none; look into load.log beside it")
        load = cast("dict[str, Any]", read_json(path, remedy="run again"))
        valid, why = load.get("valid") is True, str(load.get("why") or "")
        self.document |= {"finished": True, "valid": valid, "why": why}
        self._write()
        return valid, why

    def _write(self) -> None:
        partial = self.folder / "run.json.partial"
        partial.write_text(json.dumps(self.document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        partial.replace(self.folder / "run.json")


def machine_facts() -> dict[str, object]:
    """Return what decides speed; nothing that names the machine."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def versions() -> dict[str, str]:
    """Return versions of Python and of the packages that a run depends on, and the commit of our own source."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    commit = _commit(Path(__file__).parents[2])
    return {**found, "commit": commit} if commit else found


def _commit(source: Path) -> str:
    if not (source / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _in_json(value: float | str) -> float | str | None:
    """JSON has no infinity."""
    return None if value == float("inf") else value
