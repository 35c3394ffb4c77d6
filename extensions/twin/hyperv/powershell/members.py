# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties and elements of values: a closed list for each type."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import to_integer
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import (
    is_number,
    plain,
    ticks_of,
    type_name,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    Char,
    EnumValue,
    Hashtable,
    HostZone,
    Int64,
    PSObject,
)

_EPOCH_OF_TICKS = dt.datetime(1, 1, 1)
_KINDS = ("Unspecified", "Utc", "Local")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def read(value: object, name: str) -> object:
    """$value.Name"""
    value = plain(value)
    key = name.casefold()
    match value:
        case None:
            return 0 if key in ("count", "length") else None
        case PSObject():
            return _of_object(value, name)
        case Hashtable():
            return _of_table(value, name)
        case list():
            return (
                Int64(len(value))
                if key == "longlength"
                else len(value)
                if key in ("count", "length")
                else _of_each(value, name)
            )
        case str() if key == "length" and not isinstance(value, Char):
            return len(value)
        case bytes() if key in ("length", "count"):
            return len(value)
        case dt.datetime():
            found = _of_date(value).get(key)
        case dt.timedelta():
            found = _of_span(value).get(key)
        case EnumValue() if key == "value__":
            return value.value
        case uuid.UUID() if key == "guid":
            return str(value)
        case dummy:
            found = None
    if found is not None:
        return found
    if key in ("count", "length"):
        return 1
    raise SimulatorError(f"{type_name(value)} has no property {name} that the twin knows")


def _of_object(value: PSObject, name: str) -> object:
    if value.has(name):
        return value.get(name)
    if name.casefold() in ("count", "length"):
        if not value.is_closed:
            raise SimulatorError(f".{name} of a [pscustomobject] is $null in PowerShell 5.1: write @($x).{name}")
        if value.is_a("CimInstance"):
            raise SimulatorError(f".{name} of a CIM instance is $null in PowerShell 5.1: write @($x).{name}")
        return 1
    if value.is_closed:
        raise SimulatorError(f"{value.type_names[0]} has no property {name}")
    return None


def _of_table(value: Hashtable, name: str) -> object:
    if value.has(name):
        return value.get(name)
    match name.casefold():
        case "count":
            return len(value)
        case "keys":
            return value.keys()
        case "values":
            return value.values()
        case dummy:
            return None


def _of_each(values: list[object], name: str) -> object:
    """The property of every element, as PowerShell reads it from an array: none, one, or an array."""
    if not values:
        # Nothing that was read says whether this is $null or no output, and a pipeline makes a difference.
        raise SimulatorError(f"property {name} of an empty array: loop over it instead")
    found: list[object] = []
    for one in values:
        # A [pscustomobject] without the property gives $null all the same (PowerShell#13752), a table nothing.
        if one is None or (isinstance(one, Hashtable) and not one.has(name)):
            continue
        got = read(one, name)
        found += got if isinstance(got, list) else [got]
    return NOTHING if not found else found[0] if len(found) == 1 else found


def _of_date(value: dt.datetime) -> Mapping[str, object]:
    kind = 0 if value.tzinfo is None else 2 if isinstance(value.tzinfo, HostZone) else 1
    day = (value.weekday() + 1) % 7
    return {
        "year": value.year,
        "month": value.month,
        "day": value.day,
        "hour": value.hour,
        "minute": value.minute,
        "second": value.second,
        "millisecond": value.microsecond // 1000,
        "ticks": Int64(ticks_of(value.replace(tzinfo=None) - _EPOCH_OF_TICKS)),
        "date": value.replace(hour=0, minute=0, second=0, microsecond=0),
        "kind": EnumValue("System.DateTimeKind", _KINDS[kind], kind),
        "dayofweek": EnumValue("System.DayOfWeek", _DAYS[value.weekday()], day),
    }


def _of_span(value: dt.timedelta) -> Mapping[str, object]:
    whole = abs(value)
    sign = -1 if value < dt.timedelta(0) else 1
    seconds = value.total_seconds()
    return {
        "days": sign * whole.days,
        "hours": sign * (whole.seconds // 3600),
        "minutes": sign * (whole.seconds % 3600 // 60),
        "seconds": sign * (whole.seconds % 60),
        "milliseconds": sign * (whole.microseconds // 1000),
        "ticks": Int64(ticks_of(value)),
        "totaldays": seconds / 86400,
        "totalhours": seconds / 3600,
        "totalminutes": seconds / 60,
        "totalseconds": seconds,
        "totalmilliseconds": seconds * 1000,
    }


def write(target: object, name: str, value: object) -> None:
    """$target.Name = $value"""
    if isinstance(target, Hashtable):
        target.set(name, value)
        return
    if isinstance(target, PSObject) and not target.is_closed and target.has(name):
        target.set(name, value)
        return
    raise SimulatorError(
        f"property {name} of a {type_name(plain(target)) if plain(target) is not None else '$null'} cannot be set"
    )


def element(value: object, index: object) -> object:
    """$value[$index]"""
    value, index = plain(value), plain(index)
    if value is None:
        raise PowerShellError("Cannot index into a null array.", "NullArray", "InvalidOperation", is_terminating=True)
    if isinstance(value, Hashtable):
        if value.is_ordered and is_number(index):
            raise SimulatorError("an [ordered] table by the number of an entry")
        return value.get(index)
    if isinstance(index, list):
        return [element(value, one) for one in index]
    if not isinstance(value, (list, str, bytes)):
        raise SimulatorError(f"indexes a {type_name(value)}: write @($x)[...]")
    place = to_integer(index)
    if not -len(value) <= place < len(value):
        return None
    found = value[place]
    return Char(found) if isinstance(value, str) else found


def set_element(target: object, index: object, value: object) -> None:
    """$target[$index] = $value"""
    if isinstance(target, Hashtable):
        target.set(plain(index), value)
    elif isinstance(target, list):
        place = to_integer(plain(index))
        if not -len(target) <= place < len(target):
            raise PowerShellError(
                "Index was outside the bounds of the array.",
                "System.IndexOutOfRangeException",
                "OperationStopped",
                exception_type="System.IndexOutOfRangeException",
                is_terminating=True,
            )
        target[place] = value
    else:
        raise SimulatorError(f"sets an element of a {type_name(plain(target))}")
