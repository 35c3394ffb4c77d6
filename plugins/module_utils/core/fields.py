# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading what a person wrote: every refusal names the variable, the value and the fix."""

from __future__ import annotations

import difflib
import math
import re
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput

_TRUE = frozenset({"true", "yes", "on", "1", "y"})
_FALSE = frozenset({"false", "no", "off", "0", "n"})
_UNIT_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_DURATION = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)\s*d)?\s*(?:(?P<h>\d+(?:\.\d+)?)\s*h)?\s*"
    r"(?:(?P<m>\d+(?:\.\d+)?)\s*m(?:in)?)?\s*(?:(?P<s>\d+(?:\.\d+)?)\s*s)?"
)
_SHOWN = 80


def bad(variable: str, value: object, why: str, fix: str) -> BadInput:
    """Make the error for one wrong value; ``why`` continues the sentence that the value begins."""
    return BadInput(what=f"read {variable}", why=f"{shown(value)} {why}", next=fix)


def shown(value: object) -> str:
    """Show a value as it was written, bounded: an error is one line at 4 a.m."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like the given one, or ''."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def mapping(value: object, variable: str, known: Sequence[str]) -> Mapping[str, t.Any]:
    """Take a mapping with no key but the known ones; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise bad(variable, value, "is not a mapping", f"write it as keys and values out of: {', '.join(known)}")
    for key in value:
        if key not in known:
            like = nearest(str(key), known)
            hint = f"did you mean {variable}.{like}? " if like else ""
            raise bad(
                f"{variable}.{key}", value[key], "stands under an unknown key", f"{hint}known: {', '.join(known)}"
            )
    return t.cast("Mapping[str, t.Any]", value)


def listing(value: object, variable: str, fix: str) -> Sequence[object]:
    """Take a list; None is an empty one, and a lone mapping or string is the usual slip, so it is refused."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise bad(variable, value, "is not a list", fix)
    return value


def text(value: object, variable: str, fix: str) -> str:
    """Take words that are not empty; the outer blanks go."""
    if not isinstance(value, str) or not value.strip():
        raise bad(variable, value, "is not a text", fix)
    return value.strip()


def boolean(value: object, variable: str) -> bool:
    """Take a boolean, also in the words that ``-e key=value`` leaves as strings."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if isinstance(value, (str, int)) and word in _TRUE | _FALSE:
        return word in _TRUE
    raise bad(variable, value, "is neither true nor false", "write true or false")


def whole(value: object, variable: str, *, least: int, most: int) -> int:
    """Take a whole number within bounds."""
    fix = f"write a whole number from {least} to {most}"
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise bad(variable, value, "is not a whole number", fix)
    try:
        number = int(str(value).strip())
    except ValueError:
        raise bad(variable, value, "is not a whole number", fix) from None
    if not least <= number <= most:
        raise bad(variable, value, "is out of bounds", fix)
    return number


def choice(value: object, variable: str, known: Sequence[str]) -> str:
    """Take one of the known words."""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in known:
        return word
    like = nearest(word, known)
    hint = f"did you mean {like}? " if like else ""
    raise bad(variable, value, "is not one of the known words", f"{hint}write one of: {', '.join(known)}")


def duration(value: object, variable: str, *, least_s: float = 0.0) -> float:
    """Take a duration in seconds: "30m", "24h", "90s", "1h30m", "2d", or a bare number of seconds."""
    fix = "write it like 30m, 24h, 90s or 1h30m (a bare number is seconds)"
    seconds = _seconds(value)
    if seconds is None:
        raise bad(variable, value, "is not a duration", fix)
    if seconds < least_s:
        raise bad(variable, value, "is too short", f"{fix}, at least {least_s:g}s")
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value) if math.isfinite(value) and value >= 0 else None
    if not isinstance(value, str) or not value.strip():
        return None
    word = value.strip().lower()
    if re.fullmatch(r"\d+(?:\.\d+)?", word):
        return float(word)
    found = _DURATION.fullmatch(word)
    if found is None or not any(found.groupdict().values()):
        return None
    return sum(float(number) * _UNIT_S[unit] for unit, number in found.groupdict().items() if number)
