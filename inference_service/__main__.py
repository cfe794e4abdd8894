"""`python -m inference_service`: flags and settings, the zygote first, then the server.

Start with the order of things in `main`; what the running server consists of is in `server.py`.
"""

import argparse
import os
import sys
import time

from inference_service.api.listener import open_listener
from inference_service.errors import StartError
from inference_service.process_start import seconds_since_exec
from inference_service.runtimes.loader import describe_model, find_model
from inference_service.settings import read_settings
from inference_service.workers.zygote import fork_zygote

_FLAGS = {
    "model": "a prepared model folder, demo or fake (TIDEGATE_MODEL, default demo)",
    "model-name": "name in the URLs (TIDEGATE_MODEL_NAME, default distilbert)",
    "host": "address to listen on (TIDEGATE_HOST, default 127.0.0.1)",
    "port": "TCP port, 0 for a free one (TIDEGATE_PORT, default 8080)",
}


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    began_s = time.monotonic()
    flags = vars(_parser().parse_args(arguments))
    inherited_fd = flags.pop("fd")
    try:
        settings = read_settings(os.environ, {name: text for name, text in flags.items() if text is not None})
        python_s = seconds_since_exec(settings.started_at_s, time.time()) - (time.monotonic() - began_s)
        settings = find_model(settings)
        model = describe_model(settings)
        listener = open_listener(settings, inherited_fd)
        # Before anything that starts threads is imported: see workers/zygote.py.
        zygote = fork_zygote(settings, listener)
        from inference_service.server import Start, run_server  # noqa: PLC0415  while the zygote loads the network

        return run_server(Start(settings, model, listener, zygote, python_s, began_s))
    except StartError as error:
        sys.stderr.write(f"inference_service: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference_service",
        description="Answers prediction requests for one model. Further settings: TIDEGATE_* in the environment.",
    )
    for name, meaning in _FLAGS.items():
        parser.add_argument(f"--{name}", help=meaning)
    parser.add_argument("--fd", type=int, help="an inherited listening socket, instead of host and port")
    return parser


if __name__ == "__main__":
    sys.exit(main())
