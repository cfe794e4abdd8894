"""Runs the rules of the simulators compiled by numba, where it is installed, and as plain Python where it is not.

The rules are ordinary functions. numba compiles the two entries and whatever they call; the machine code is kept in
`NUMBA_CACHE_DIR`, else in the user's cache folder, under a name that changes with every source that went into it.
Importing numba takes about a second and compiling twenty, so neither happens for a short simulation.
`python -m controller.performance_model.compiled` compiles ahead, as the controller's image and `make setup` do.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from controller.performance_model import (
    autoscaler_rule,
    batch_choice,
    batch_durations,
    fleet,
    kernels,
    pod_batching,
    pod_events,
    pod_routing,
    pod_scaling,
    pod_state,
    request_ledger,
    shared_cores,
)
from controller.performance_model.tables import CompiledTables, PlainTables

if TYPE_CHECKING:
    from collections.abc import Callable

    from controller.performance_model.pod_state import State
    from controller.performance_model.tables import Tables

WORTH_LOADING = 100_000
"""Requests that take plain Python as long as importing numba takes."""
WORTH_COMPILING = 2_000_000
"""Requests that take plain Python as long as compiling takes."""
SOURCES = (
    autoscaler_rule,
    batch_choice,
    batch_durations,
    fleet,
    kernels,
    pod_batching,
    pod_events,
    pod_routing,
    pod_scaling,
    pod_state,
    request_ledger,
    shared_cores,
)
OWN_SOURCES = ("compiled_entries.py", "tables.py")


@dataclass(frozen=True, slots=True)
class Kernels:
    """The entries into the rules, with the tables that they work on."""

    tables: Tables
    advance: Callable[[State, float, bool], int]
    """See `pod_events.advance`."""
    cut: Callable[[Any, int, float, Any], int]
    """See `kernels.cut`."""


PLAIN = Kernels(PlainTables(), pod_events.advance, kernels.cut)


def kernels_for(requests: int) -> Kernels:
    """Return what simulates so many requests soonest; results are the same either way."""
    if _compile.cache_info().currsize:
        return _compile()
    if not is_installed() or requests < WORTH_LOADING or (requests < WORTH_COMPILING and not is_compiled_ahead()):
        return PLAIN
    return _compile()


def load_if_compiled_ahead() -> bool:
    """Have all simulations from now on run compiled, if that takes a second only; return whether they do."""
    if is_installed() and is_compiled_ahead():
        _compile()
    return bool(_compile.cache_info().currsize)


def load() -> Kernels:
    """Return the compiled kernels, and compile them if need be.

    Raises:
        ImportError: numba is not installed.
    """
    return _compile()


def is_installed() -> bool:
    """Whether numba can be imported."""
    return importlib.util.find_spec("numba") is not None


def is_compiled_ahead() -> bool:
    """Whether machine code of these very sources is in the cache."""
    return any(cache_folder().glob("*.nbi"))


@functools.cache
def cache_folder() -> Path:
    """Return where the machine code of these sources is kept, whether it exists or not."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    digest = hashlib.sha256(usedforsecurity=False)
    folder = Path(__file__).parent
    for path in (*(Path(inspect.getfile(module)) for module in SOURCES), *(folder / name for name in OWN_SOURCES)):
        digest.update(path.read_bytes())
    for fact in (metadata.version("numba"), sys.version, platform.machine(), os.environ.get("NUMBA_CPU_NAME", "")):
        digest.update(fact.encode())
    return (Path(chosen) if chosen else caches / "tidegate" / "kernels") / digest.hexdigest()[:16]


@functools.cache
def _compile() -> Kernels:
    import numba  # noqa: PLC0415  takes a second

    from controller.performance_model import compiled_entries  # noqa: PLC0415  needs numba
    from controller.performance_model.kernel_cache import cached_in  # noqa: PLC0415  needs numba

    _declare_rules()
    entries = (compiled_entries.advance_compiled, kernels.cut)
    with cached_in(cache_folder()):
        advance, cut = (numba.njit(entry, cache=True) for entry in entries)
    try:
        return _specialise(advance, cut)
    except OSError:  # a cache that can neither be used nor written; numba knows no other way to go on
        return _specialise(*(numba.njit(entry) for entry in entries))


def _declare_rules() -> None:
    """Let compiled code call our functions; each stays an ordinary function for everybody else."""
    from numba.extending import register_jitable  # noqa: PLC0415

    for module in SOURCES:
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                register_jitable(function)


def _specialise(advance: Any, cut: Any) -> Kernels:
    """Compile the entries for the one kind of tables there is, or load them."""
    import numpy as np  # noqa: PLC0415

    from controller.domain.serving_config import AutoscalerSettings, InstanceShape  # noqa: PLC0415
    from controller.performance_model.pod_tables import PodTables  # noqa: PLC0415

    tables = CompiledTables()
    advance(PodTables(tables, InstanceShape(), AutoscalerSettings()).state, 0.0, False)  # noqa: FBT003
    cut(np.zeros(1), 1, 0.0, np.zeros(1, dtype=np.int64))
    # One signature each, so the look-up of types at every call can be left out.
    entries = (each.get_overload(each.signatures[0]) for each in (advance, cut))
    return Kernels(tables, *cast("tuple[Any, Any]", tuple(entries)))


def main() -> None:
    """Compile ahead and say where to; the exit code is 1 if the code cannot be kept."""
    if not is_installed():
        print("simulation kernels: numba is not installed, so simulations run as plain Python")  # noqa: T201
        return
    load()
    if not is_compiled_ahead():
        raise SystemExit(f"simulation kernels: {cache_folder()} cannot be written; set NUMBA_CACHE_DIR")
    print(f"simulation kernels: compiled into {cache_folder()}")  # noqa: T201


if __name__ == "__main__":
    main()
