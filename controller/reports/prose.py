"""Turns words into HTML: escaped, and with numbers bound to their units so that no line breaks between them."""

from __future__ import annotations

import re
from html import escape

_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|s|min|/s|×)(?![\w]))")
_AROUND_SIGN = re.compile(r" ([→≤]) ")
NO_BREAK = "\u00a0"


def bound_units(words: str) -> str:
    """Put no-break spaces between a number and its unit, and around arrows."""
    return _AROUND_SIGN.sub(f"{NO_BREAK}\\1{NO_BREAK}", _BEFORE_UNIT.sub(NO_BREAK, words))


def prose(words: str) -> str:
    """Return words as HTML text; every word that comes from a run passes here or through the pen of a drawing."""
    return escape(bound_units(words))
