"""Makes an image of one layer from single files, as the archive that containerd imports. No daemon, no base image."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOBODY = "65532"


def write_image(archive: Path, name: str, *, entrypoint: list[str], files: Mapping[str, Path]) -> None:
    """Write an image.

    Args:
        archive: a docker-archive to write; it appears whole or not at all.
        name: such as `dev.local/activator:1`.
        entrypoint: program and arguments.
        files: path in the image → file here.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for inside, file in files.items():
            tar.add(file, inside.lstrip("/"), filter=_owned_by_root)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": entrypoint,
            "User": NOBODY,
            "Env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin:/", "SSL_CERT_FILE=/ca.crt"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as tar:
        for each, content in ((config_name, text), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(each)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    partial.replace(archive)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o555
    return entry
