# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a value is: the name of its type, its text, whether it counts as true."""

from __future__ import annotations

import datetime as dt
import math
import typing as t
import uuid

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    ArrayList,
    Char,
    EnumValue,
    Hashtable,
    Int64,
    PSObject,
    ScriptBlock,
)

_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "System.Boolean"),
    (float, "System.Double"),
    (Char, "System.Char"),
    (str, "System.String"),
    (dt.datetime, "System.DateTime"),
    (dt.timedelta, "System.TimeSpan"),
    (uuid.UUID, "System.Guid"),
    (bytes, "System.Byte[]"),
    (ArrayList, "System.Collections.ArrayList"),
    (list, "System.Object[]"),
    (ScriptBlock, "System.Management.Automation.ScriptBlock"),
)


def plain(value: object) -> object:
    """The value with AutomationNull read as $null."""
    return None if value is NOTHING else value


def is_number(value: object) -> t.TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_long(value: int) -> bool:
    return isinstance(value, Int64) or not -(2**31) <= value < 2**31


def type_name(value: object) -> str:
    """The whole .NET name of a value's type."""
    if isinstance(value, EnumValue):
        return value.type_name
    if isinstance(value, PSObject):
        return value.type_names[0]
    if isinstance(value, Hashtable):
        return (
            "System.Collections.Specialized.OrderedDictionary" if value.is_ordered else "System.Collections.Hashtable"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return "System.Int64" if is_long(value) else "System.Int32"
    for kind, name in _NAMES:
        if isinstance(value, kind):
            return name
    raise SimulatorError(f"the twin's PowerShell met a value it does not know: {value!r}")


def text_of(value: object) -> str:
    """[string]$value: culture-invariant, arrays joined by blanks."""
    if isinstance(value, (list, bytes)):
        return " ".join(text_of(one) for one in value)
    return _text(value, is_nested=False)


def _text(value: object, *, is_nested: bool) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "True" if value else "False"
        case int() | str():
            return str(value)
        case float():
            return number_text(value)
        case dt.datetime():
            return value.strftime("%m/%d/%Y %H:%M:%S")
        case dt.timedelta():
            return span_text(value)
        case uuid.UUID():
            return str(value)
        case EnumValue():
            return value.name
        case ScriptBlock():
            return value.text
        case PSObject():
            return _object_text(value, is_nested=is_nested)
        case dummy if value is NOTHING:
            return ""
        case dummy:
            return type_name(value)


def _object_text(value: PSObject, *, is_nested: bool) -> str:
    if value.text is not None:
        return value.text
    if value.is_closed:
        return value.type_names[0]
    if is_nested:  # 5.1 shows an object within an object's text as nothing at all
        return ""
    return "@{" + "; ".join(f"{name}={_text(one, is_nested=True)}" for name, one in value.items()) + "}"


def number_text(value: float) -> str:
    """A double as .NET Framework writes it: 15 digits, invariant."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return f"{value:.15g}".replace("e", "E")


def ticks_of(span: dt.timedelta) -> int:
    return (span.days * 86400 + span.seconds) * 10_000_000 + span.microseconds * 10


def span_text(span: dt.timedelta) -> str:
    """A TimeSpan in its constant format, [-][d.]hh:mm:ss[.fffffff]."""
    sign, span = ("-", -span) if span < dt.timedelta(0) else ("", span)
    hours, rest = divmod(span.seconds, 3600)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds * 10:07d}" if span.microseconds else ""
    return f"{sign}{days}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{fraction}"


def is_true(value: object) -> bool:
    """Whether `if` takes the value for true."""
    match value:
        case bool():
            return value
        case int() | float():
            return value != 0
        case str():
            return value not in ("", "\0") if isinstance(value, Char) else value != ""
        case EnumValue():
            return value.value != 0
        case list() if len(value) < 2:
            if not value:
                return False
            return len(value[0]) > 0 if isinstance(value[0], list) else is_true(value[0])
        case dummy:
            return value is not None and value is not NOTHING
