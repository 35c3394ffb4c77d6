# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PowerShell's conversions: what a value is as a number, a date, a Guid, an array; and casts to every type it knows."""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import (
    is_number,
    is_true,
    plain,
    text_of,
    type_name,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    ArrayList,
    Char,
    Clocked,
    EnumValue,
    Hashtable,
    HostZone,
    Int64,
    PSObject,
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ISO = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7})\d*)?)?)?\s*(Z|[+-]\d{2}:\d{2})?",
    re.I,
)
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: (\d{1,2}):(\d{2})(?::(\d{2}))?)?")


def cannot_convert(value: object, wanted: str, why: str, error_id: str) -> PowerShellError:
    detail = f' Error: "{why}"' if why else ""
    shown = f'Cannot convert value "{text_of(value)}" to type "{wanted}".'
    if value is None:
        shown = f'Cannot convert null to type "{wanted}".'
    return PowerShellError(shown + detail, error_id, "InvalidArgument", is_terminating=True)


def number_of(text: str) -> int | float | None:
    """The number that a text is, None for none; blanks around it do not matter, nothing at all is 0."""
    word = text.strip()
    if not word:
        return 0
    if re.fullmatch(r"[+-]?0x[0-9a-f]+", word, re.IGNORECASE):
        return narrowed(int(word, 16))
    if re.fullmatch(r"[+-]?\d+", word):
        return narrowed(int(word))
    return float(word) if _NUMBER.fullmatch(word) else None


def narrowed(value: int) -> int | float:
    """A whole number as the first of [int], [long] and [double] that it fits into."""
    if -(2**31) <= value < 2**31:
        return value
    return Int64(value) if -(2**63) <= value < 2**63 else float(value)


def to_integer(value: object, *, bits: int = 32) -> int:
    """[int] or [long]: halves go to the even neighbour, an overflow is an error."""
    wanted = "System.Int64" if bits == 64 else "System.Int32"
    found = _as_number(value, wanted, "InvalidCastFromStringToInteger")
    if isinstance(found, float) and not math.isfinite(found):
        raise _overflow(value, wanted)
    whole = round(found)
    if not -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1):
        raise _overflow(value, wanted)
    return Int64(whole) if bits == 64 else int(whole)


def _overflow(value: object, wanted: str) -> PowerShellError:
    kind = {"System.Int64": "an Int64", "System.UInt16": "a UInt16"}.get(wanted, "an Int32")
    return cannot_convert(
        value, wanted, f"Value was either too large or too small for {kind}.", "InvalidCastIConvertible"
    )


def _as_number(value: object, wanted: str, error_id: str) -> int | float:
    match value:
        case None:
            return 0
        case bool() | int():
            return int(value)
        case float():
            return value
        case Char():
            return ord(value)
        case str():
            found = number_of(value)
            if found is None:
                raise cannot_convert(value, wanted, "Input string was not in a correct format.", error_id)
            return found
        case EnumValue():
            return value.value
        case dummy:
            raise _wrong_type(value, wanted)


def _wrong_type(value: object, wanted: str) -> PowerShellError:
    return PowerShellError(
        f'Cannot convert the "{text_of(value)}" value of type "{type_name(value)}" to type "{wanted}".',
        "ConvertToFinalInvalidCastException",
        "InvalidArgument",
        is_terminating=True,
    )


def to_uint16(value: object) -> int:
    """[uint16], which WMI asks for; it is an [int] to everything else here."""
    number = to_integer(value)
    if not 0 <= number < 2**16:
        raise _overflow(value, "System.UInt16")
    return number


def to_double(value: object) -> float:
    return float(_as_number(value, "System.Double", "InvalidCastFromStringToDoubleOrSingle"))


def to_datetime(value: object, zone: HostZone) -> dt.datetime:
    """[datetime]: a text with Z or an offset becomes the host's local time, as DateTime.Parse does."""
    if isinstance(value, dt.datetime):
        return value
    if value is None:
        raise cannot_convert(value, "System.DateTime", "", "NullToDateTime")
    if is_number(value):
        raise SimulatorError("a number as [datetime]")
    if not isinstance(value, str):
        raise _wrong_type(value, "System.DateTime")
    found = _parsed_date(value.strip(), zone)
    if found is None:
        why = "String was not recognized as a valid DateTime."
        raise cannot_convert(value, "System.DateTime", why, "InvalidCastParseTargetInvocationWithFormatProvider")
    return found


def _parsed_date(text: str, zone: HostZone) -> dt.datetime | None:
    iso, american = _ISO.fullmatch(text), _AMERICAN.fullmatch(text)
    try:
        if iso:
            year, month, day, hour, minute, second = (int(part or 0) for part in iso.groups()[:6])
            micros = int((iso[7] or "0").ljust(7, "0")) // 10
            when = dt.datetime(year, month, day, hour, minute, second, micros)
            if not iso[8]:
                return when
            return dt.datetime.fromisoformat(when.isoformat() + iso[8].upper().replace("Z", "+00:00")).astimezone(zone)
        if american:
            month, day, year, hour, minute, second = (int(part or 0) for part in american.groups())
            return dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return None


def to_guid(value: object) -> uuid.UUID:
    if isinstance(value, uuid.UUID):
        return value
    if value is None:
        raise cannot_convert(value, "System.Guid", "", "InvalidCastFromNull")
    found = guid_of(value) if isinstance(value, str) else None
    if found is None:
        why = "Guid should contain 32 digits with 4 dashes (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx)."
        raise cannot_convert(value, "System.Guid", why, "InvalidCastParseTargetInvocation")
    return found


def guid_of(text: str) -> uuid.UUID | None:
    word = text.strip()
    if not re.fullmatch(r"[{(]?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}[)}]?|[0-9a-fA-F]{32}", word):
        return None
    return uuid.UUID(word.strip("{}()"))


def to_array(value: object) -> object:
    """[array]: a scalar becomes one element, $null stays $null."""
    if value is None or isinstance(value, list):
        return list(value) if isinstance(value, list) else None
    return list(value) if isinstance(value, bytes) else [value]


def to_object(value: object) -> object:
    """[pscustomobject]: a hashtable becomes an object of its own, anything else stays as it is."""
    if isinstance(value, Hashtable):
        return PSObject([(text_of(key), one) for key, one in value.items()])
    return value


def _ordered(value: object) -> Hashtable:
    if not isinstance(value, Hashtable):
        raise SimulatorError("[ordered] stands before a literal @{} only")
    return Hashtable(value.items(), is_ordered=True)


def _to_list_of(convert: Callable[[object], object]) -> Callable[[object], object]:
    def to_list(value: object) -> object:
        if value is None:
            return None
        return [convert(one) for one in (value if isinstance(value, list) else [value])]

    return to_list


_CASTS: Mapping[str, Callable[[object], object]] = {
    "string": text_of,
    "int": to_integer,
    "long": lambda value: to_integer(value, bits=64),
    "uint16": to_uint16,
    "double": to_double,
    "bool": is_true,
    "guid": to_guid,
    "array": to_array,
    "object[]": to_array,
    "string[]": _to_list_of(text_of),
    "int[]": _to_list_of(to_integer),
    "pscustomobject": to_object,
    "ordered": _ordered,
    "void": lambda dummy: NOTHING,
    "switch": is_true,
    "object": lambda value: value,
}


def cast(type_word: str, value: object, zone: HostZone) -> object:
    """`[type]$value` for the closed list of types."""
    word = short_type(type_word)
    if word == "datetime":
        return to_datetime(plain(value), zone)
    found = _CASTS.get(word)
    if found is None:
        raise SimulatorError(f"the twin does not know the type [{type_word}]")
    return found(plain(value))


_LONG_NAMES = {"int32": "int", "int64": "long", "boolean": "bool"}


def short_type(word: str) -> str:
    """A type's name as PowerShell's accelerators have it, in lower case."""
    name = word.casefold().removeprefix("system.")
    return _LONG_NAMES.get(name, name)


def is_of_type(value: object, type_word: str) -> bool:
    """`-is`, for the types that scripts ask about."""
    wanted = short_type(type_word)
    value = plain(value)
    if value is None:
        return False
    if wanted in ("array", "object[]"):
        return isinstance(value, list) and not isinstance(value, ArrayList)
    if wanted == "pscustomobject":
        return isinstance(value, PSObject)
    known = ("string", "int", "long", "double", "bool", "datetime", "timespan", "guid")
    if wanted in known:
        return short_type(type_name(value)) == wanted
    if wanted == "collections.hashtable" or wanted == "hashtable":
        return isinstance(value, Hashtable) and not value.is_ordered
    raise SimulatorError(f"the twin does not know -is [{type_word}]")


def local_zone(context: Clocked) -> HostZone:
    """The time zone of the host that the context stands for; UTC where it says nothing."""
    zone = getattr(context, "zone", None)
    return zone if isinstance(zone, HostZone) else HostZone()
