"""From what the user names to a local folder: a folder is taken as it is, a hub id is downloaded once."""

import re
from collections.abc import Callable
from pathlib import Path

from inference_service.prepare.errors import SourceError

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors")
"""All that is read of a model; nothing else is downloaded, no code and no pickles."""

# As the hub spells it: owner/name, or a name alone for its oldest models.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")

Download = Callable[[str, tuple[str, ...]], str]


def local_folder(source: str, download: Download) -> Path:
    """The folder with the model's files.

    Args:
        source: a folder, or an id on the Hugging Face hub such as `owner/name`.
        download: fetches the named files of an id and returns their folder.

    Raises:
        SourceError: neither a folder nor an id, or the hub did not give the files.
    """
    path = Path(source)
    if source and path.is_dir():
        return path
    if source and path.exists():
        raise SourceError(f"{source} is a file; give the folder with config.json, tokenizer.json and model.safetensors")
    if not _HUB_ID.fullmatch(source):
        raise SourceError(f"{source!r} is no existing folder and no hub id such as owner/name; check the spelling")
    try:
        return Path(download(source, FILES))
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        remedy = "or download its files elsewhere into a folder and give that folder"
        message = f"{source} is no existing folder, and the hub did not give it ({reason})"
        raise SourceError(f"{message}; check the name and the network, {remedy}") from error


def download_from_hub(model_id: str, files: tuple[str, ...]) -> str:
    """Folder in the hub's own cache; downloads what is not there yet."""
    # Imported here because it costs a quarter of a second and most calls need no hub.
    from huggingface_hub import snapshot_download  # noqa: PLC0415  see above

    return snapshot_download(model_id, allow_patterns=list(files))


def default_name(source: str) -> str:
    """Name of the prepared model: the last part of the id or path, in letters that fit a URL and a file name."""
    name = Path(source).resolve().name if Path(source).exists() else Path(source).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-") or "model"
