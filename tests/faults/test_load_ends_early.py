"""What a load test leaves behind when the disk is full or someone stops it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


FULL_DISK = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "


def start(folder: Path, port: int, rate_rps: float, before: str = "import runpy; ") -> subprocess.Popen[str]:
    arrivals = f'{{"kind": "poisson", "rate_rps": {rate_rps}}}'
    flags = ["--host", f"http://127.0.0.1:{port}", "--arrivals", arrivals, "--duration", "60", "--out", str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", before + "runpy.run_module('loadtest', run_name='__main__', alter_sys=True)", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_a_full_disk_is_one_line_with_exit_code_2_and_leaves_no_file(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start(tmp_path / "run", silent.getsockname()[1], 100, before=FULL_DISK)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out == ""
    assert (
        err
        == f"{tmp_path}/run/schedule.csv: cannot be written (File too large); free some space or name another --out\n"
    )
    assert list((tmp_path / "run").iterdir()) == []


def test_an_interrupt_leaves_an_invalid_run_that_says_so(tmp_path: Path):
    folder = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0), backlog=500) as silent:
        process = start(folder, silent.getsockname()[1], 40)
        silent.settimeout(20)
        silent.accept()[0].close()  # the check before the run
        silent.accept()[0].close()  # the look-up of the generator
        first, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        first.close()
    assert process.returncode == 130
    assert err == f"interrupted; what was seen lies in {folder}\n"
    assert "error" in out
    document = json.loads((folder / "load.json").read_text())
    assert (document["valid"], document["why"]) == (False, "interrupted")
    assert not (folder / "requests.csv").exists()
    assert time.time() - document["started_at"] < 20
