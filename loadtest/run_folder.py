"""The folder a run writes to: files appear under their names only when they are whole, and no run replaces another."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RESULTS = ("requests.csv", "load.json", "requests.interrupted.csv")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder for the results of one run; `check` comes before `begin`.

    Attributes:
        path: of the folder; it may not exist yet.
        replayed: schedule that a replay reads, which may be the folder's own.
        overwrite: whether results of an earlier run give way.
    """

    path: Path
    replayed: Path | None
    overwrite: bool

    def check(self) -> None:
        """Look whether a run may go here, and change nothing.

        Raises:
            BadInputError: it is no folder, or holds a run that must not be replaced.
        """
        if self.path.exists() and not self.path.is_dir():
            raise BadInputError(f"--out: {self.path} is no folder; name a new one")
        taken = [name for name in (*RESULTS, "schedule.csv") if (self.path / name).exists()]
        if self.replayed is not None and _is_same(self.replayed, self.path / "schedule.csv"):
            taken.remove("schedule.csv")
        if taken and not self.overwrite:
            raise BadInputError(
                f"--out: {self.path} already holds a run ({', '.join(taken)}); name another folder or give --overwrite"
            )

    def begin(self) -> None:
        """Make the folder and take away what an earlier run left, so that it cannot be mistaken for this one's.

        Raises:
            BadInputError: the folder cannot be made or written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in RESULTS:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise BadInputError(
                f"--out: {self.path} cannot be written to ({error.strerror}); name another folder"
            ) from error

    def write(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a file aside and move it to its name; nothing is left of it when that fails.

        Raises:
            BadInputError: no space, no permission.
        """
        partial = self.path / f"{name}.partial"
        try:
            write(partial)
            partial.replace(self.path / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise BadInputError(
                f"{self.path / name}: cannot be written ({error.strerror}); free some space or name another --out"
            ) from error


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.resolve() == other.resolve()
