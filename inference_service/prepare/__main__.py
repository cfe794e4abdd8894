"""`python -m inference_service.prepare SOURCE`: a DistilBERT classifier becomes the folder that the server loads."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Before numpy is imported: the head's products are small, and threads that wait for each other cost ten times the work.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from inference_service.errors import StartError
from inference_service.prepare import demo_model
from inference_service.prepare.errors import PrepareError, SourceError
from inference_service.prepare.manifest import read_manifest
from inference_service.prepare.model_config import read_config
from inference_service.prepare.model_folder import Classifier, write_model
from inference_service.prepare.source import Download, default_name, download_from_hub, local_folder
from inference_service.prepare.tokenizer_file import read_tokenizer
from inference_service.prepare.weights import read_classifier
from inference_service.settings import read_settings


def main(arguments: Sequence[str], environ: Mapping[str, str], download: Download = download_from_hub) -> int:
    """Run the command and return its exit code: 0 done, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        out, manifest = _run(options, Path(read_settings(environ).cache), download)
    except (PrepareError, StartError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(
            f"{error.filename or 'the model'}: {error.strerror or error}; make room there or give another --out"
        )
    except KeyboardInterrupt:
        _say("interrupted; nothing was left behind")
        return 130
    _say(f"{out} is ready; serve it with: python -m inference_service --model {out}")
    if options.json:
        print(json.dumps({"folder": str(out), "manifest": manifest}))  # noqa: T201  the command's answer
    return 0


def _run(options: argparse.Namespace, cache: Path, download: Download) -> tuple[Path, dict[str, object]]:
    """The folder that was written, and its manifest."""
    source: str = options.source
    name: str = options.name or default_name(source)
    if Path(name).name != name or name.startswith("."):
        raise SourceError(f"--name {name!r} must be a plain name, without slashes or a leading dot")
    out = Path(options.out) if options.out else cache / name
    if source in demo_model.NAMES:
        return _run_demo(out, cache, full_size=source == demo_model.NAMES[1])
    return out, _convert(source, name, out, download)


def _run_demo(out: Path, cache: Path, *, full_size: bool) -> tuple[Path, dict[str, object]]:
    if out.parent == cache and out.name in demo_model.NAMES:
        # Servers started at the same moment all come here: the first prepares, the others wait for it.
        folder = demo_model.ensure_demo_model(cache, full_size=full_size)
        return folder, read_manifest(folder)
    return out, demo_model.write_demo_model(out, full_size=full_size, report=_say)


def _convert(source: str, name: str, out: Path, download: Download) -> dict[str, object]:
    folder = local_folder(source, download)
    config = read_config(folder)
    tokenizer = read_tokenizer(folder, config)
    weights = read_classifier(folder, config)
    return write_model(out, Classifier(name=name, source=source, config=config, weights=weights, tokenizer=tokenizer))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference_service.prepare", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="a folder, a Hugging Face id, demo or demo-full")
    parser.add_argument("--out", metavar="DIR", help="folder to write; default: NAME in the cache of prepared models")
    parser.add_argument("--name", help="name in the manifest and in the cache; default: the last part of SOURCE")
    parser.add_argument("--json", action="store_true", help="print the folder and its manifest as one JSON document")
    return parser


def _fail(message: str) -> int:
    _say(f"error: {message}")
    return 2


def _say(line: str) -> None:
    print(f"prepare: {line}", file=sys.stderr, flush=True)  # noqa: T201  progress of a command


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
