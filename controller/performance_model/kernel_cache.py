"""Tells numba where the machine code of the simulators is kept: a folder that need not be writable."""

# numba's types say too little of what its documentation lets one override.
# pyright: reportPrivateUsage=false, reportIncompatibleMethodOverride=false, reportAttributeAccessIssue=false
from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Any

from numba.core import config
from numba.core.caching import _CacheLocator

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_chosen: list[Path] = []


class FolderLocator(_CacheLocator):
    """Uses one folder, named after its sources; numba's own locators refuse a folder that cannot be written."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> FolderLocator:
        """Return the locator of one function."""
        del py_file
        return cls(_chosen[-1], py_func.__name__)

    def get_cache_path(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def get_source_stamp(self) -> str:
        """Return what must be equal for the code to be used; the folder's name says it already."""
        return self._folder.name

    def get_disambiguator(self) -> str:
        """Return nothing to tell apart: each function is there once."""
        return ""

    def ensure_cache_path(self) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=self._folder).close()


@contextlib.contextmanager
def cached_in(folder: Path) -> Generator[None]:
    """Keep what is declared inside in this folder."""
    before = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = f"{__name__}.{FolderLocator.__name__}"
    _chosen.append(folder)
    try:
        yield
    finally:
        _chosen.pop()
        config.CACHE_LOCATOR_CLASSES = before
