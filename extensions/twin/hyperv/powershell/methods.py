# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Methods of values: a closed list for each type."""

from __future__ import annotations

import datetime as dt
import functools
import typing as t
import uuid
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import to_integer
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import (
    PowerShellError,
    SimulatorError,
    call_failed,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import (
    is_long,
    is_number,
    number_text,
    plain,
    span_text,
    text_of,
    type_name,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.streams import (
    ByteStream,
    Encoding,
    TextReader,
    TextWriter,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    ArrayList,
    Char,
    EnumValue,
    Hashtable,
    HostZone,
    PSObject,
)

_Method: t.TypeAlias = Callable[..., object]


def call(value: object, name: str, arguments: Sequence[object], zone: HostZone) -> object:
    """$value.Name(...)"""
    value = plain(value)
    if value is None:
        raise PowerShellError(
            "You cannot call a method on a null-valued expression.",
            "InvokeMethodOnNull",
            "InvalidOperation",
            is_terminating=True,
        )
    method = _methods(value, zone).get(name.casefold())
    if method is None:
        raise SimulatorError(f"{type_name(value)} has no method {name} that the twin knows")
    try:
        return method(*(plain(one) for one in arguments))
    except TypeError as wrong:
        raise SimulatorError(f"{type_name(value)}.{name} with {len(arguments)} arguments: {wrong}") from None


def _methods(value: object, zone: HostZone) -> Mapping[str, _Method]:
    if isinstance(value, (ByteStream, Encoding, TextReader, TextWriter)):
        return value.methods()
    match value:
        case Char():
            return {"tostring": lambda: str(value)}
        case str():
            return _text_methods(value)
        case dt.datetime():
            return _date_methods(value, zone)
        case dt.timedelta():
            return {"tostring": lambda: span_text(value)}
        case uuid.UUID():
            return {"tostring": lambda: str(value), "equals": lambda other: value == other}
        case bool() | EnumValue():
            return {"tostring": lambda: text_of(value)}
        case int():
            return {"tostring": lambda form="": _whole_text(value, form)}
        case float():
            return {"tostring": lambda: number_text(value)}
        case ArrayList():
            return _growing_methods(value)
        case list():
            return {"contains": functools.partial(_contains, value), "add": _fixed}
        case Hashtable():
            return _table_methods(value)
        case PSObject():
            return {"tostring": lambda: text_of(value)}
        case dummy:
            return {}


def _text_methods(value: str) -> Mapping[str, _Method]:
    return {
        "tostring": lambda: value,
        "split": lambda *by: _split(value, *by),
        "trim": lambda *cut: value.strip(_letters(cut)),
        "trimstart": lambda *cut: value.lstrip(_letters(cut)),
        "trimend": lambda *cut: value.rstrip(_letters(cut)),
        "tolower": value.lower,
        "toupper": value.upper,
        "tolowerinvariant": value.lower,
        "toupperinvariant": value.upper,
        "contains": lambda part: text_of(part) in value,
        "startswith": lambda part: value.startswith(text_of(part)),
        "endswith": lambda part: value.endswith(text_of(part)),
        "replace": lambda old, new: value.replace(text_of(old), text_of(new)),
        "indexof": lambda part: value.find(text_of(part)),
        "substring": lambda start, length=None: _substring(value, start, length),
    }


def _letters(cut: Sequence[object]) -> str | None:
    return "".join(text_of(one) for one in cut) or None


def _split(value: str, separators: object = None, count: object = None) -> list[object]:
    """.NET Framework's String.Split: every letter of the separator parts, a text of two letters is no separator."""
    letters = text_of(separators) or " \t\r\n\v\f\u00a0\u2028\u2029"
    parts: list[object] = []
    rest = value
    limit = None if count is None else to_integer(count)
    while limit is None or len(parts) + 1 < limit:
        cuts = [place for place in map(rest.find, letters) if place >= 0]
        if not cuts:
            break
        parts.append(rest[: min(cuts)])
        rest = rest[min(cuts) + 1 :]
    return [*parts, rest]


def _substring(value: str, start: object, length: object) -> str:
    first = to_integer(start)
    last = len(value) if length is None else first + to_integer(length)
    if not 0 <= first <= last <= len(value):
        count = 1 if length is None else 2
        why = "Index and length must refer to a location within the string."
        raise call_failed("Substring", count, why, "ArgumentOutOfRangeException")
    return value[first:last]


def _whole_text(value: int, form: object) -> str:
    word = text_of(form)
    if not word:
        return str(int(value))
    kind, digits = word[0], word[1:]
    if kind not in "xXdD" or (digits and not digits.isdecimal()):
        raise SimulatorError(f"the twin does not know the number format {word!r}")
    if kind in "dD":
        return f"{int(value):0{int(digits or 0) + (value < 0)}d}"
    bits = 64 if is_long(value) else 32
    return f"{int(value) % 2**bits:0{digits or 1}{kind}}"


def _date_methods(value: dt.datetime, zone: HostZone) -> Mapping[str, _Method]:
    def to_universal() -> dt.datetime:
        # A date of Kind Unspecified is taken for local time.
        return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(dt.UTC)

    def to_local() -> dt.datetime:
        # And here for universal time.
        return (value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value).astimezone(zone)

    def adding(unit: str) -> _Method:
        def add(count: object) -> dt.datetime:
            if not is_number(count):
                raise SimulatorError(f"adds {count!r} to a [datetime]")
            return value + dt.timedelta(**{unit: float(count)})

        return add

    return {
        "touniversaltime": to_universal,
        "tolocaltime": to_local,
        "tostring": lambda form="": _date_text(value, form),
        **{f"add{unit}": adding(unit) for unit in ("days", "hours", "minutes", "seconds", "milliseconds")},
    }


def _date_text(value: dt.datetime, form: object) -> str:
    match text_of(form):
        case "o" | "O":
            zone = "" if value.tzinfo is None else value.strftime("%z")
            offset = "Z" if value.tzinfo is dt.UTC else zone and f"{zone[:3]}:{zone[3:5]}"
            return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond * 10:07d}{offset}"
        case "s":
            return f"{value:%Y-%m-%dT%H:%M:%S}"
        case "u":
            return f"{value:%Y-%m-%d %H:%M:%S}Z"
        case dummy:
            raise SimulatorError(f"the twin does not know the date format {text_of(form)!r}: use 'o'")


def _contains(value: list[object], wanted: object) -> bool:
    # Object.Equals: case matters, and a number is not a text.
    return any(type(one) is type(wanted) and one == wanted for one in value)


def _fixed(dummy: object) -> object:
    raise call_failed("Add", 1, "Collection was of a fixed size.", "NotSupportedException")


def _growing_methods(value: ArrayList) -> Mapping[str, _Method]:
    def add(one: object) -> int:
        value.append(one)
        return len(value) - 1  # ArrayList.Add outputs this: [void] before it, or it is output

    return {"contains": functools.partial(_contains, value), "toarray": lambda: list(value), "add": add}


def _table_methods(value: Hashtable) -> Mapping[str, _Method]:
    def add(key: object, one: object) -> object:
        if value.has(key):
            shown = f"'{text_of(key)}'"
            why = f"Item has already been added. Key in dictionary: {shown}  Key being added: {shown}"
            raise call_failed("Add", 2, why, "ArgumentException")
        value.set(key, one)
        return NOTHING

    def remove(key: object) -> object:
        value.remove(key)
        return NOTHING

    return {"add": add, "remove": remove, "containskey": value.has, "contains": value.has}
