"""Quantities as Kubernetes documents write them, as numbers: durations, decimals, CPU and memory are texts there."""

from __future__ import annotations

import re

from controller.errors import BadInputError

LARGEST = 10**12
"""No setting and no duration comes near it; floats below it are exact to a tenth of a millisecond."""
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(?:[eE]([-+]?\d{1,2}))?([A-Za-z]*)")
_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def duration_s(value: object, where: str) -> float:
    """Return the seconds of a Go-style duration such as "10ms", "1.5s" or "1m30s".

    Raises:
        BadInputError: anything else, a bare number included.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise BadInputError(f'{where}: needs a duration with its unit, such as "10ms" or "1m30s"; got {_cut(value)}')
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(value))
    if not seconds <= LARGEST:
        raise BadInputError(f"{where}: needs a duration of at most {LARGEST} s, got {_cut(value)}")
    # Nine digits: a nanosecond is the smallest unit, and 3 * 0.1 s must read as 0.3 s.
    return round(seconds, 9)


def decimal(value: object, where: str) -> float:
    """Return the number of a decimal text such as "0.95"; a whole number may stand without quotes.

    Raises:
        BadInputError: anything else, a float without quotes included.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return float(whole(value, where))
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        example = f'"{value}"' if isinstance(value, float) else '"0.95"'
        raise BadInputError(f"{where}: needs a decimal in quotes, such as {example}; got {_cut(value)}")
    return float(value)


def whole(value: object, where: str) -> int:
    """Return a whole number from 0 to `LARGEST`.

    Raises:
        BadInputError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInputError(f"{where}: needs a whole number of at least 0, got {_cut(value)}")
    if value > LARGEST:
        raise BadInputError(f"{where}: needs a whole number of at most {LARGEST}, got {_cut(value)}")
    return value


def quantity(text: object) -> float | None:
    """Return the number behind a resource quantity such as "100m", "1.5" or "256Mi"; None for what is none."""
    found = _QUANTITY.fullmatch(str(text).strip())
    if not found or found[3] not in _SUFFIXES:
        return None
    return float(found[1]) * 10.0 ** int(found[2] or 0) * _SUFFIXES[found[3]]


def memory_mb(text: object) -> int | None:
    """Return a memory quantity in MB of 1024 x 1024 bytes, at least 1; None for what is none."""
    size = quantity(text)
    return None if size is None else max(1, round(size / 2**20))


def _cut(value: object) -> str:
    """Return the value for a message; Python refuses to print an integer of more than 4300 digits."""
    is_huge = isinstance(value, int) and abs(value) > LARGEST**10
    return "a number of very many digits" if is_huge else f"{value!r:.80}"


def duration_text(seconds: float) -> str:
    """Return the shortest duration that `duration_s` reads back, such as "500ms" or "2s"."""
    for unit in ("s", "ms", "us"):
        count = seconds / _UNIT_S[unit]
        if abs(count - round(count)) < 1e-6 * max(count, 1e-3):
            return f"{round(count)}{unit}"
    return f"{round(seconds / _UNIT_S['ns'])}ns"


def decimal_text(value: float) -> str:
    """Return a decimal that `decimal` reads back, with nine digits at most."""
    return f"{value:.9f}".rstrip("0").rstrip(".")
