"""The only reader of the server's environment: TIDEGATE_* becomes one frozen Settings, or one clear error.

`__main__` calls `read_settings` once, with the command line's flags laid over the environment.
"""

import math
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference_service.errors import StartError

PREFIX = "TIDEGATE_"


def _default_cache(environ: Mapping[str, str]) -> str:
    """Where prepared models are kept when TIDEGATE_CACHE does not say."""
    return str(Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one server process is told at its start. Field `x_y` is read from TIDEGATE_X_Y."""

    model: str = "demo"
    """A prepared model folder, "demo" (prepared once into the cache) or "fake" (no files, for tests and rehearsals)."""
    model_name: str = "distilbert"
    """The name in the URLs of the prediction protocols."""
    precision: str = "int8"
    """Which graph of the folder is loaded: int8 (default: a third of the time) or fp32."""
    cache: str = ""
    """Folder of prepared models; default $XDG_CACHE_HOME/tidegate or ~/.cache/tidegate."""
    host: str = "127.0.0.1"
    """Address to listen on; loopback unless told otherwise."""
    port: int = 8080
    """TCP port; 0 takes a free one and logs it."""
    service: str = "local"
    """Name of the service in heartbeats."""
    instance: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    """Name of this process in heartbeats; default host name and process id."""
    max_batch_size: int = 8
    """Most requests in one batch (hot). Eight short texts fill the default token budget."""
    batch_tokens: int = 512
    """Most padded tokens in one batch (hot): beyond a few hundred a CPU gains nothing from batching."""
    max_queue_delay_s: float = 0.0
    """How long a batch may wait for company, s (hot). 0: a free worker takes what is queued at once."""
    max_queue_length: int = 1000
    """Most requests waiting (hot); beyond it the answer is 429."""
    workers: int = 1
    """Worker processes to start; fewer can be active (hot)."""
    request_timeout_s: float = 30.0
    """Deadline of a request that states none, s after its arrival."""
    drain_s: float = 10.0
    """How long SIGTERM may take to finish what is queued, s."""
    controller_url: str = ""
    """Heartbeats go to this URL + /v1/heartbeat, http or https; empty: none are sent."""
    controller_token: str = ""
    """Sent with heartbeats as a bearer token; for one machine, where it never changes."""
    controller_token_file: str = ""
    """File with that token instead, read anew for every heartbeat: a kubelet renews it long before it expires."""
    controller_ca_file: str = ""
    """Certificates (PEM) of which one must have signed the controller's; it may come or change later.
    Empty: an https URL is checked against the system's store."""
    hot_settings_file: str = ""
    """JSON file with hot settings, looked at once a second; it may be absent."""
    started_at_s: float = 0.0
    """Wall clock of the exec, s, where the platform knows it; otherwise the kernel's start time is used."""
    fake_fixed_s: float = 0.0
    """Fake runtime: seconds of each call."""
    fake_per_batch_s: float = 0.0
    """Fake runtime: further seconds of each batch (the part that scales with CPU)."""
    fake_per_token_s: float = 0.0
    """Fake runtime: seconds for each padded token."""
    fake_busy: int = 0
    """Fake runtime: 1 computes for that long, 0 sleeps."""

    def __post_init__(self) -> None:
        """Check every range.

        Raises:
            StartError: naming the variable, the rule and the value.
        """
        rules = [
            (self.precision in ("int8", "fp32"), "precision", "must be int8 or fp32"),
            (0 <= self.port <= 65535, "port", "must be 0 to 65535"),
            (1 <= self.max_batch_size <= 1024, "max_batch_size", "must be 1 to 1024"),
            (1 <= self.batch_tokens <= 1_048_576, "batch_tokens", "must be 1 to 1048576"),
            (0 <= self.max_queue_delay_s <= 60, "max_queue_delay_s", "must be 0 to 60 seconds"),
            (1 <= self.max_queue_length <= 1_000_000, "max_queue_length", "must be 1 to 1000000"),
            (1 <= self.workers <= 256, "workers", "must be 1 to 256"),
            (0 < self.request_timeout_s <= 3600, "request_timeout_s", "must be above 0, at most 3600 seconds"),
            (0 <= self.drain_s <= 3600, "drain_s", "must be 0 to 3600 seconds"),
            (self.fake_busy in (0, 1), "fake_busy", "must be 0 or 1"),
            (
                not self.controller_url or _is_http_url(self.controller_url),
                "controller_url",
                "must be http://host:port or https://host:port",
            ),
            (
                not self.controller_token or not self.controller_token_file,
                "controller_token",
                f"stands beside {PREFIX}CONTROLLER_TOKEN_FILE; remove {PREFIX}CONTROLLER_TOKEN, the file is kept fresh",
            ),
            (
                not self.controller_ca_file or not self.controller_url.startswith("http:"),
                "controller_ca_file",
                f"needs https in {PREFIX}CONTROLLER_URL; without TLS nothing is checked against it",
            ),
            (self.controller_token.isprintable(), "controller_token", "must be one line of printable characters"),
            (bool(self.model_name) and not set(self.model_name) & set("/:?#% "), "model_name", "must fit into a URL"),
        ]
        rules += [
            (0 <= getattr(self, name) <= 60, name, "must be 0 to 60 seconds")
            for name in ("fake_fixed_s", "fake_per_batch_s", "fake_per_token_s")
        ]
        for holds, name, rule in rules:
            if not holds:
                shown = "…" if name == "controller_token" else getattr(self, name)
                raise StartError(f"{PREFIX}{name.upper()}={shown} {rule}")


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        return is_address and text.isprintable() and " " not in text
    except ValueError:
        return False


def read_settings(environ: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, with flags (field name → text) laid over it.

    Raises:
        StartError: an unknown TIDEGATE_ name, a value of the wrong type or out of range.
    """
    kinds = {setting.name: str(getattr(setting.type, "__name__", setting.type)) for setting in fields(Settings)}
    texts = {name.removeprefix(PREFIX).lower(): text for name, text in environ.items() if name.startswith(PREFIX)}
    unknown = sorted(texts.keys() - kinds.keys())
    if unknown:
        known = ", ".join(PREFIX + name.upper() for name in kinds)
        raise StartError(f"unknown setting {PREFIX}{unknown[0].upper()} in the environment; known are {known}")
    texts.update(flags or {})
    texts = {"cache": _default_cache(environ)} | {name: text for name, text in texts.items() if text != ""}
    values: dict[str, Any] = {name: _parse(name, kinds[name], text) for name, text in texts.items()}
    return Settings(**values)


def _parse(name: str, kind: str, text: str) -> str | int | float:
    """One value of the environment as its type."""
    if kind == "str":
        return text
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "a whole number" if kind == "int" else "a finite number"
        raise StartError(f"{PREFIX}{name.upper()}={text} must be {what}")
    return value
