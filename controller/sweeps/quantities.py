"""Quantities as Kubernetes documents write them: durations and decimals are texts, so no float is ever rounded."""

from __future__ import annotations

import re

from controller.errors import BadInputError

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


def duration_s(value: object, where: str) -> float:
    """Return the seconds of a Go-style duration such as "10ms", "1.5s" or "1m30s".

    Raises:
        BadInputError: anything else, a bare number included.
    """
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise BadInputError(f'{where}: needs a duration with its unit, such as "10ms" or "1m30s"; got {value!r}')
    # Nine digits: a nanosecond is the smallest unit, and 3 * 0.1 s must read as 0.3 s.
    return round(sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(value)), 9)


def decimal(value: object, where: str) -> float:
    """Return the number of a decimal text such as "0.95"; a whole number may stand without quotes.

    Raises:
        BadInputError: anything else, a float without quotes included.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        example = f'"{value}"' if isinstance(value, float) else '"0.95"'
        raise BadInputError(f"{where}: needs a decimal in quotes, such as {example}; got {value!r}")
    return float(value)


def whole(value: object, where: str) -> int:
    """Return a whole number of at least 0.

    Raises:
        BadInputError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadInputError(f"{where}: needs a whole number of at least 0, got {value!r}")
    return value


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
