# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An argument's value as the type of its parameter; what is doubtful is not converted, so that scripts cast."""

from __future__ import annotations

import datetime as dt
import typing as t
import uuid
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import is_long, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    EnumValue,
    Hashtable,
    Int64,
    PSObject,
    ScriptBlock,
)

_RANGES: dict[str, tuple[int, int]] = {
    "byte": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "int": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "long": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_PLAIN: dict[str, type] = {
    "string": str,
    "double": float,
    "bool": bool,
    "guid": uuid.UUID,
    "datetime": dt.datetime,
    "timespan": dt.timedelta,
    "hashtable": Hashtable,
    "System.Collections.IDictionary": Hashtable,
    "scriptblock": ScriptBlock,
}
_ANYTHING = ("object", "psobject")


class Unconvertible(Exception):
    """PowerShell would refuse the value, or it would turn it into something that nobody meant."""


def fits(value: object, type_name: str) -> bool:
    """Whether a value has the type already; one item fits a list of such items."""
    if type_name in _ANYTHING:
        return value is not None
    if type_name.endswith("[]"):
        item = type_name.removesuffix("[]")
        if isinstance(value, bytes):
            return item == "byte"
        items = value if isinstance(value, list) else [value]
        return all(fits(each, item) for each in items)
    if type_name in _RANGES:
        return _is_whole(value) and type_name == ("long" if is_long(value) else "int")
    if type_name in _PLAIN:
        return value.__class__ is _PLAIN[type_name]  # a subclass is a type of its own here
    if isinstance(value, EnumValue):
        return value.type_name == type_name
    return isinstance(value, PSObject) and value.is_a(type_name)


def convert(value: object, type_name: str, *, is_nullable: bool = False) -> object:
    """The value as this type. Raises Unconvertible with the reason."""
    if type_name == "switch":
        return _boolean(value, "a switch")
    if type_name in _ANYTHING:
        return value
    if value is None:
        return _null(type_name, is_nullable)
    if type_name.endswith("[]"):
        item = type_name.removesuffix("[]")
        if isinstance(value, bytes) and item == "byte":
            return value
        return [convert(each, item) for each in (value if isinstance(value, list) else [value])]
    if isinstance(value, list):
        raise Unconvertible(f"a list of {len(value)} is not one {type_name}")
    if (names := metadata.enum_values(type_name)) is not None:
        return _enumeration(value, type_name, names)
    if type_name in _RANGES:
        return _number(value, type_name)
    if type_name == "string":
        return _text(value)
    if type_name == "bool":
        return _boolean(value, "a [bool]")
    if type_name == "guid" and isinstance(value, str):
        return _guid(value)
    if type_name == "double" and _is_whole(value):
        return float(value)
    if fits(value, type_name):
        return value
    raise Unconvertible(f"{_shown(value)} is not a {type_name}")


def _null(type_name: str, is_nullable: bool) -> object:
    if type_name == "string":
        return ""
    is_reference = type_name.endswith("[]") or metadata.enum_values(type_name) is None
    if is_nullable or (is_reference and type_name not in _RANGES and type_name not in ("bool", "guid", "double")):
        return None
    raise Unconvertible(f"$null is not a {type_name}")


def _is_whole(value: object) -> t.TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_decimal(value: object) -> t.TypeGuard[str]:
    return isinstance(value, str) and value.strip().removeprefix("-").isdecimal()


def _boolean(value: object, wanted: str) -> bool:
    # A text is not a [bool] to a parameter, not even 'false': PowerShell refuses it.
    if isinstance(value, bool | int):
        return bool(value)
    raise Unconvertible(f"{_shown(value)} is not {wanted}")


def _number(value: object, type_name: str) -> int:
    if isinstance(value, EnumValue):
        number = value.value
    elif isinstance(value, int) or (isinstance(value, float) and value.is_integer()) or _is_decimal(value):
        number = int(value)
    else:
        raise Unconvertible(f"{_shown(value)} is not a {type_name}")
    low, high = _RANGES[type_name]
    if not low <= number <= high:
        raise Unconvertible(f"{number} does not fit into a {type_name}")
    return Int64(number) if type_name == "long" else number


def _text(value: object) -> str:
    """Only what has one obvious text: an object's ToString() as an argument is hardly what the script meant."""
    if isinstance(value, str | int | uuid.UUID | EnumValue):
        return text_of(value)
    raise Unconvertible(f"{_shown(value)} is not a text; cast it")


def _guid(value: str) -> uuid.UUID:
    try:
        return uuid.UUID(value.strip())
    except ValueError:
        raise Unconvertible(f"{value!r} is not a guid") from None


def _enumeration(value: object, type_name: str, names: Mapping[str, int]) -> EnumValue:
    if isinstance(value, EnumValue) and value.type_name == type_name:
        return value
    if isinstance(value, str):
        for name, number in names.items():
            if value.strip().casefold() == name.casefold() or value.strip() == str(number):
                return EnumValue(type_name, name, number)
    elif _is_whole(value):
        for name, number in names.items():
            if value == number:
                return EnumValue(type_name, name, number)
    raise Unconvertible(f"{_shown(value)} is not one of {', '.join(names)}")


def _shown(value: object) -> str:
    if isinstance(value, EnumValue):
        return f"[{value.type_name}]::{value.name}"
    if isinstance(value, PSObject):
        return f"an object of type {value.type_names[0]}"
    return repr(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
