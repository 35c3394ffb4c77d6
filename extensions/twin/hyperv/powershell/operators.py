# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PowerShell's binary operators: the left side decides how the right side is read, an array on the left filters."""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
import typing as t
import uuid
from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import (
    cannot_convert,
    guid_of,
    number_of,
    to_datetime,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import (
    is_long,
    is_number,
    is_true,
    plain,
    text_of,
    type_name,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    Char,
    EnumValue,
    Hashtable,
    HostZone,
    Int64,
)

_Ordered = t.TypeVar("_Ordered", float, str, dt.datetime, dt.timedelta)


def binary(operator: str, left: object, right: object, zone: HostZone) -> object:
    """Apply an operator other than -and, -or, -is and -match."""
    left, right = plain(left), plain(right)
    if operator in _COMPARISONS:
        judge = functools.partial(_COMPARISONS[operator], right=right, zone=zone)
        return [one for one in left if judge(plain(one))] if isinstance(left, list) else judge(left)
    match operator:
        case "-contains" | "-notcontains":
            return _holds(left, right, zone) is (operator == "-contains")
        case "-in" | "-notin":
            return _holds(right, left, zone) is (operator == "-in")
        case "+":
            return add(left, right)
        case "-":
            return _subtract(left, right)
        case "*":
            return _multiply(left, right)
        case "/":
            return _divide(left, right)
        case "%":
            return _remainder(left, right)
        case "-band":
            one, other = _whole(left), _whole(right)
            return _result(one, other, one & other)
        case dummy:
            raise SimulatorError(f"the twin does not know the operator {operator}")


def equal(left: object, right: object, zone: HostZone) -> bool:
    """`-eq` of a scalar."""
    if left is None or right is None:
        return left is right
    match left:
        case bool():
            return left == is_true(right)
        case str():
            return left.casefold() == text_of(right).casefold()
        case int() | float():
            number = _number_beside(right)
            return number is not None and left == number
        case EnumValue():
            return _enum_equal(left, right)
        case uuid.UUID():
            return left == (guid_of(right) if isinstance(right, str) else right)
        case dt.datetime() | dt.timedelta():
            return order(left, right, zone) == 0
        case dummy:
            raise SimulatorError(f"-eq of a {type_name(left)}: compare its properties")


def _equal_to_the_letter(left: object, right: object, zone: HostZone) -> bool:
    """`-ceq` of a scalar: as `-eq`, but for the case of letters."""
    return left == text_of(right) if isinstance(left, str) and right is not None else equal(left, right, zone)


def _enum_equal(left: EnumValue, right: object) -> bool:
    if isinstance(right, EnumValue):
        if right.type_name != left.type_name:
            raise SimulatorError(f"compares {left!r} with {right!r}")
        return left.value == right.value
    if is_number(right):
        return left.value == right
    if not isinstance(right, str):
        raise SimulatorError(f"compares {left!r} with a {type_name(right)}")
    known = metadata.enum_values(left.type_name)
    if known is not None and right.casefold() not in {name.casefold() for name in known}:
        # Windows would answer $false without a word: a misspelt name is our bug.
        raise SimulatorError(f"{left.type_name} has no value {right!r}")
    return left.name.casefold() == right.casefold()


def _number_beside(right: object) -> int | float | None:
    if isinstance(right, str):
        return number_of(right)
    if isinstance(right, EnumValue):
        return right.value
    if isinstance(right, (bool, int, float)):
        return right
    raise SimulatorError(f"compares a number with a {type_name(right)}")


def order(left: object, right: object, zone: HostZone) -> int:
    """-1, 0 or 1: the left before, as, or after the right."""
    if left is None or right is None:
        return _order_of_null(left, right)
    match left:
        case bool():
            raise SimulatorError("orders a [bool]")
        case str():
            return _sign(left.casefold(), text_of(right).casefold())
        case int() | float():
            number = _number_beside(right)
            if number is None:
                raise _not_comparable(left, right)
            return _sign(left, number)
        case EnumValue() if is_number(right) or isinstance(right, EnumValue):
            return _sign(left.value, right.value if isinstance(right, EnumValue) else right)
        case dt.datetime():
            # .NET compares the figures on the dial, whatever the Kind: local against UTC is a bug that must show.
            other = to_datetime(right, zone)
            return _sign(left.replace(tzinfo=None), other.replace(tzinfo=None))
        case dt.timedelta() if isinstance(right, dt.timedelta):
            return _sign(left, right)
        case dummy:
            raise SimulatorError(f"orders a {type_name(left)} and a {type_name(right)}")


def _order_of_null(left: object, right: object) -> int:
    if left is None and right is None:
        return 0
    other = left if right is None else right
    is_other_greater = not (isinstance(other, (int, float)) and other < 0)
    return (1 if is_other_greater else -1) * (1 if right is None else -1)


def _sign(left: _Ordered, right: _Ordered) -> int:
    return int(left > right) - int(left < right)


def _not_comparable(left: object, right: object) -> PowerShellError:
    return PowerShellError(
        f'Could not compare "{text_of(left)}" to "{text_of(right)}". Error: "Cannot convert value "{text_of(right)}" to type '
        f'"{type_name(left)}". Error: "Input string was not in a correct format.""',
        "ComparisonFailure",
        "NotSpecified",
        is_terminating=True,
    )


def _like(left: object, right: object, zone: HostZone) -> bool:
    return wildcard(text_of(right)).fullmatch(text_of(left)) is not None


@functools.lru_cache(maxsize=256)
def wildcard(pattern: str) -> re.Pattern[str]:
    """A PowerShell wildcard as a regular expression: *, ?, [a-z], and ` before a letter that means itself."""
    found, rest = "", pattern
    while rest:
        letter, rest = rest[0], rest[1:]
        if letter == "`" and rest:
            found, rest = found + re.escape(rest[0]), rest[1:]
        elif letter == "[" and "]" in rest[1:]:
            first, (inside, dummy, rest) = rest[0], rest[1:].partition("]")
            found += "[" + re.sub(r"([\\^\[])", r"\\\1", first + inside) + "]"
        elif letter == "[":
            raise PowerShellError(
                f"The specified wildcard character pattern is not valid: {pattern}",
                "RuntimeException",
                "NotSpecified",
                exception_type="System.Management.Automation.WildcardPatternException",
                is_terminating=True,
            )
        else:
            found += {"*": ".*", "?": "."}.get(letter, re.escape(letter))
    return re.compile(found, re.IGNORECASE | re.DOTALL)


def regex(pattern: str) -> re.Pattern[str]:
    """A .NET regular expression of the part of its language that Python reads alike."""
    if re.search(r"\(\?|\\[pPGzZkK]|\[[^\]]*-\[", pattern):
        raise SimulatorError(f"the twin does not know the regular expression {pattern!r}")
    return re.compile(pattern, re.IGNORECASE)


def _holds(collection: object, value: object, zone: HostZone) -> bool:
    items = collection if isinstance(collection, list) else [collection]
    return any(equal(plain(item), value, zone) for item in items)


def add(left: object, right: object) -> object:
    if isinstance(left, list):
        return list(left) + (list(right) if isinstance(right, list) else [right])
    match left:
        case None:
            return right
        case Char():
            raise SimulatorError("adds to a [char]: cast it to [string]")
        case str():
            return left + text_of(right)
        case Hashtable() if isinstance(right, Hashtable):
            return _merged(left, right)
        case dt.datetime() if isinstance(right, dt.timedelta):
            return left + right
        case dt.timedelta() if isinstance(right, dt.timedelta):
            return left + right
        case dummy:
            one, other = _operand(left), _operand(right)
            return _result(one, other, one + other)


def _merged(left: Hashtable, right: Hashtable) -> Hashtable:
    for key, dummy in right.items():
        if left.has(key):
            raise SimulatorError(f"adds two hashtables that both have the key {key!r}")
    return Hashtable([*left.items(), *right.items()], is_ordered=left.is_ordered)


def _subtract(left: object, right: object) -> object:
    if isinstance(left, dt.datetime) and isinstance(right, dt.datetime):
        return left.replace(tzinfo=None) - right.replace(tzinfo=None)  # the dial again, see order
    if isinstance(left, dt.datetime) and isinstance(right, dt.timedelta):
        return left - right
    if isinstance(left, dt.timedelta) and isinstance(right, dt.timedelta):
        return left - right
    one, other = _operand(left), _operand(right)
    return _result(one, other, one - other)


def _multiply(left: object, right: object) -> object:
    if isinstance(left, str) and not isinstance(left, Char) and isinstance(right, int):
        return left * right
    if isinstance(left, list) and isinstance(right, int):
        return list(left) * right
    one, other = _operand(left), _operand(right)
    return _result(one, other, one * other)


def _divide(left: object, right: object) -> object:
    over, under = _operand(left), _operand(right)
    if isinstance(over, int) and isinstance(under, int):
        if under == 0:
            raise _divided_by_zero()
        if over % under == 0:
            return _result(over, under, over // under)
    return _float_ratio(float(over), float(under))


def _float_ratio(over: float, under: float) -> float:
    if under:
        return over / under
    return math.nan if not over or math.isnan(over) else math.copysign(math.inf, over)


def _remainder(left: object, right: object) -> object:
    over, under = _operand(left), _operand(right)
    if isinstance(over, int) and isinstance(under, int):
        if under == 0:
            raise _divided_by_zero()
        return _result(over, under, abs(over) % abs(under) * (-1 if over < 0 else 1))
    return math.fmod(over, under) if under else math.nan


def _divided_by_zero() -> PowerShellError:
    return PowerShellError("Attempted to divide by zero.", "RuntimeException", is_terminating=True)


def _operand(value: object) -> int | float:
    """A side of an arithmetic operator: numbers, texts that are numbers, truth values and $null."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and not isinstance(value, Char):
        found = number_of(value)
        if found is None:
            why = "Input string was not in a correct format."
            raise cannot_convert(value, "System.Int32", why, "InvalidCastFromStringToInteger")
        return found
    raise SimulatorError(f"calculates with a {type_name(value)}")


def _whole(value: object) -> int:
    if isinstance(value, EnumValue):
        return value.value
    found = _operand(value)
    if isinstance(found, float):
        raise SimulatorError("-band of a [double]")
    return found


def _result(left: int | float, right: int | float, result: int | float) -> int | float:
    """What two numbers make; what leaves the range of the wider of two integers becomes a double."""
    if isinstance(left, float) or isinstance(right, float):
        return float(result)
    whole = int(result)
    if is_long(left) or is_long(right):
        return Int64(whole) if -(2**63) <= whole < 2**63 else float(whole)
    return whole if -(2**31) <= whole < 2**31 else float(whole)


def negative(value: object) -> int | float:
    number = _operand(plain(value))
    return _result(0, number, 0 - number)


_COMPARISONS: dict[str, Callable[..., bool]] = {
    "-eq": equal,
    "-ne": lambda left, right, zone: not equal(left, right, zone),
    "-gt": lambda left, right, zone: order(left, right, zone) > 0,
    "-ge": lambda left, right, zone: order(left, right, zone) >= 0,
    "-lt": lambda left, right, zone: order(left, right, zone) < 0,
    "-le": lambda left, right, zone: order(left, right, zone) <= 0,
    "-ceq": _equal_to_the_letter,
    "-cne": lambda left, right, zone: not _equal_to_the_letter(left, right, zone),
    "-like": _like,
    "-notlike": lambda left, right, zone: not _like(left, right, zone),
}
