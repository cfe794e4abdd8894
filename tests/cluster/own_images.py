"""Images of the project from its real Dockerfiles, built by buildah without a daemon.

The base image that the Dockerfiles name is made here from Debian's own packages, since no registry of images is needed
for a test of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from node import import_image
from places import HERE, HOME, STORE, ClusterError, run

ROOT = HERE.parent.parent
ARCHIVES = HOME / "own-images"
BASE = "localhost/python:3.11-slim-bookworm"
INFERENCE = "dev.local/tidegate-inference:1"
DEMO = "dev.local/tidegate-demo:1"
"""The server with the demo's model inside, as a user would make it."""
LOADTEST = "dev.local/tidegate-loadtest:1"
CONTROLLER = "dev.local/tidegate-controller:1"
SUITE = "bookworm"
_COMMANDS = {"buildah": "buildah", "debootstrap": "debootstrap"}
_TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
_ENVIRONMENT = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "overlay"}


def build_own(say) -> None:
    """Build the images of this checkout and give them to the node.

    Raises:
        ClusterError: a tool is missing, or a step failed.
    """
    missing = [package for command, package in _COMMANDS.items() if shutil.which(command) is None]
    if missing:
        raise ClusterError(f"missing programs; get them with: apt-get install -y {' '.join(missing)}")
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    if not _has(BASE):
        say("base image: from Debian's packages (a minute, once)")
        _make_base()
    say("image of the server: from its Dockerfile")
    _from_dockerfile(INFERENCE, ROOT / "inference_service" / "Dockerfile", ROOT, "--target=onnx")
    with tempfile.TemporaryDirectory() as folder:
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(f"FROM {INFERENCE}\nCOPY . /mnt/models\n")
        _from_dockerfile(DEMO, dockerfile, _demo_model())
    say("image of the load generator: from its Dockerfile")
    _from_dockerfile(LOADTEST, ROOT / "loadtest" / "Dockerfile", ROOT)
    say("image of the controller: from its Dockerfile")
    _from_dockerfile(CONTROLLER, ROOT / "controller" / "Dockerfile", ROOT)
    for name in (INFERENCE, DEMO, LOADTEST, CONTROLLER):
        _give_to_node(name)


def _from_dockerfile(name: str, dockerfile: Path, context: Path, *flags: str) -> None:
    build = ("bud", "--quiet", "--layers", "--pull=never", "--network=host", f"--build-arg=BASE={BASE}")
    _buildah(*build, *flags, "--file", str(dockerfile), "--tag", name, str(context))


def _demo_model() -> Path:
    """Return the folder that a user puts into an image."""
    model = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "demo"
    if not (model / "manifest.json").exists():
        raise ClusterError(f"{model}: the demo's model is not prepared; run: tidegate prepare demo")
    return model


def _give_to_node(name: str) -> None:
    archive = ARCHIVES / f"{name.rpartition('/')[2].partition(':')[0]}.tar"
    archive.unlink(missing_ok=True)
    _buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
    import_image(archive)


def _make_base() -> None:
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        root = Path(folder) / "root"
        packages = "--include=ca-certificates,python3,python3-venv"
        run("debootstrap", "--variant=minbase", packages, SUITE, root, *_mirror())
        shutil.rmtree(root / "var" / "cache" / "apt", ignore_errors=True)
        shutil.rmtree(root / "var" / "lib" / "apt" / "lists", ignore_errors=True)
        if _TRUSTED.exists():
            shutil.copy(_TRUSTED, root / _TRUSTED.relative_to("/"))
        container = _buildah("from", "scratch").strip()
        _buildah("copy", "--quiet", container, str(root), "/")
        _buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        _buildah("commit", "--quiet", container, BASE)
        _buildah("rm", container)


def _mirror() -> list[str]:
    """Return the mirror of Debian that this machine's apt uses; debootstrap's default where none is named."""
    files = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    found = re.search(r"^(?:URIs:|deb)\s+(?:\[[^]]*\]\s*)?(https?://\S+/debian/?)(?:\s|$)", text, flags=re.MULTILINE)
    return [found[1]] if found else []


def _has(name: str) -> bool:
    return bool(_buildah("images", "--quiet", "--filter", f"reference={name}").strip())


def _buildah(*arguments: str) -> str:
    store = ("--root", STORE / "root", "--runroot", STORE / "run")
    return run("buildah", *store, *arguments, env=_ENVIRONMENT)
