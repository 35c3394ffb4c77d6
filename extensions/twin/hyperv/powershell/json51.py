# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON as PowerShell 5.1 writes and reads it (JavaScriptSerializer under two cmdlets), oddities included."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import typing as t
import uuid

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import members
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import narrowed
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import number_text, text_of, ticks_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    EnumValue,
    Hashtable,
    HostZone,
    PSObject,
)

_EPOCH = dt.datetime(1970, 1, 1)
_DEEPEST = 100
_NAMED = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
_ESCAPED = re.compile("[\x00-\x1f\"\\\\'<>&\x85\u2028\u2029]")
_DATE = re.compile(r'(?<!\\)"\\/Date\((-?\d+)\)\\/"')
_DATE_KEY = "\0date"


def written(value: object, *, depth: int = 2, is_compressed: bool = False) -> str:
    """ConvertTo-Json: enums as numbers, dates as "\\/Date(ms)\\/", what lies deeper than `depth` as its text."""
    if not 1 <= depth <= _DEEPEST:
        raise SimulatorError(f"ConvertTo-Json -Depth {depth}")
    tree = _processed(value, 0, depth)
    return _compact(tree) if is_compressed or not isinstance(tree, (dict, list)) else _pretty(tree, 0)


class _Raw(str):
    """JSON that is ready."""

    __slots__ = ()


def _processed(value: object, level: int, depth: int) -> object:
    match value:
        case None | bool() | float() | str():
            return value
        case int():
            return int(value)
        case uuid.UUID():
            return str(value)
        case EnumValue():
            return value.value
        case dt.datetime() if isinstance(value.tzinfo, HostZone):
            # Get-Date's carries two properties more, and then 5.1 writes an object of three.
            raise SimulatorError("ConvertTo-Json of a local date: write .ToUniversalTime().ToString('o')")
        case dt.datetime():
            return _Raw(f'"\\/Date({_milliseconds(value)})\\/"')
        case dummy if value is NOTHING:
            raise SimulatorError(
                "ConvertTo-Json of a command that output nothing: 5.1 writes {}; cast it, or use @(...)"
            )
        case dummy if level > depth:
            return text_of(value)
        case Hashtable():
            return {_key(key): _processed(one, level + 1, depth) for key, one in value.items()}
        case list() | bytes():
            return [_processed(one, level + 1, depth) for one in value]
        case dt.timedelta():
            return _processed(_span(value), level, depth)
        case PSObject():
            return {name: _processed(one, level + 1, depth) for name, one in value.items()}
        case dummy:
            raise SimulatorError(f"ConvertTo-Json of {value!r}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise PowerShellError(
            "The type 'System.Collections.Hashtable' is not supported for serialization or deserialization of a dictionary. "
            "Keys must be strings.",
            "NonStringKeyInDictionary,Microsoft.PowerShell.Commands.ConvertToJsonCommand",
            "InvalidOperation",
            exception_type="System.InvalidOperationException",
            is_terminating=True,
        )
    return key


def _milliseconds(value: dt.datetime) -> int:
    naive = value.replace(tzinfo=None) - (value.utcoffset() or dt.timedelta(0))
    return ticks_of(naive - _EPOCH) // 10_000


def _span(value: dt.timedelta) -> Hashtable:
    names = (
        "Ticks Days Hours Milliseconds Minutes Seconds TotalDays TotalHours TotalMilliseconds TotalMinutes TotalSeconds"
    )
    return Hashtable([(name, members.read(value, name)) for name in names.split()])


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda found: _NAMED.get(found[0], f"\\u{ord(found[0]):04x}"), text) + '"'


def _scalar(value: object) -> str:
    match value:
        case _Raw():
            return str(value)
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value) if not math.isfinite(value) else _round_trip(value)
        case str():
            return _quoted(value)
        case dummy:
            return str(value)


def _round_trip(value: float) -> str:
    """A double in format R: no more digits than it takes to read it back."""
    short = number_text(value)
    return short if float(short) == value else repr(value).replace("e", "E")


def _compact(tree: object) -> str:
    if isinstance(tree, dict):
        return "{" + ",".join(f"{_quoted(key)}:{_compact(one)}" for key, one in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(_compact(one) for one in tree) + "]"
    return _scalar(tree)


def _pretty(tree: object, column: int) -> str:
    """5.1's own layout: what is inside a value is indented from the column where the value begins."""
    if not isinstance(tree, (dict, list)):
        return _scalar(tree)
    inner = column + 4
    if isinstance(tree, dict):
        lines = []
        for key, one in tree.items():
            start = f"{_quoted(key)}:  "
            lines.append(" " * inner + start + _pretty(one, inner + len(start)))
        opening, closing = "{", "}"
    else:
        lines = [" " * inner + _pretty(one, inner) for one in tree]
        opening, closing = "[", "]"
    return f"{opening}\r\n" + ",\r\n".join(lines) + f"\r\n{' ' * column}{closing}"


def read(text: str) -> object:
    """ConvertFrom-Json: objects as [pscustomobject], "\\/Date(ms)\\/" as UTC; other dates stay texts."""
    marked = _DATE.sub(lambda found: json.dumps({_DATE_KEY: int(found[1])}), text)
    try:
        found = json.loads(
            marked, object_pairs_hook=_object, parse_constant=_refused, parse_int=lambda digits: narrowed(int(digits))
        )
    except ValueError as wrong:
        raise _invalid(f"Invalid JSON primitive: {text.strip()[:40]}.") from wrong
    if _depth(found) > _DEEPEST:
        raise _invalid("The JSON string is nested too deeply.")
    return found


def _refused(word: str) -> t.NoReturn:
    raise ValueError(word)


def _object(pairs: list[tuple[str, object]]) -> object:
    if len(pairs) == 1 and pairs[0][0] == _DATE_KEY:
        return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=int(t.cast(int, pairs[0][1])))
    found = PSObject()
    for name, value in pairs:
        if not name:
            raise SimulatorError("ConvertFrom-Json of an empty name: 5.1 cannot make a property of it")
        if found.has(name):
            raise PowerShellError(
                "Cannot convert the JSON string because a dictionary that was converted from the string contains the duplicated "
                f"keys '{next(one for one in found.names() if one.casefold() == name.casefold())}' and '{name}'.",
                "DuplicateKeysInJsonString,Microsoft.PowerShell.Commands.ConvertFromJsonCommand",
                "InvalidOperation",
                exception_type="System.InvalidOperationException",
                is_terminating=True,
            )
        found.set(name, value)
    return found


def _depth(value: object) -> int:
    if isinstance(value, PSObject):
        return 1 + max((_depth(one) for dummy, one in value.items()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(one) for one in value), default=0)
    return 0


def _invalid(message: str) -> PowerShellError:
    return PowerShellError(
        message,
        "System.ArgumentException,Microsoft.PowerShell.Commands.ConvertFromJsonCommand",
        "NotSpecified",
        exception_type="System.ArgumentException",
        is_terminating=True,
    )
