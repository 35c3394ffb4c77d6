# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the static gate can say of a value: the type of an expression where it is plain, and what the type has."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import CONSTANTS
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    ArrayOf,
    Cast,
    Command,
    Expression,
    Items,
    Literal,
    Paren,
    Pipeline,
    Variable,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Int64

# The type of a value: a name as in cmdlets.json (a list goes by its items), EMPTY for $null or no item, None unknown.
Type: t.TypeAlias = "str | None"
EMPTY = ""
_OF_ANY_LIST: Mapping[str, str] = {"count": "int", "length": "int"}
_OF_TIMESPAN = frozenset(
    """days hours minutes seconds milliseconds ticks totaldays totalhours totalminutes totalseconds
    totalmilliseconds""".split()
)
_ACCELERATORS = frozenset(
    "string int long double bool datetime guid timespan hashtable scriptblock byte uint16 uint32 uint64".split()
)


@dataclass
class Scope:
    """What is known of the variables; a name that takes values of two types is unknown from then on."""

    types: dict[str, Type] = field(default_factory=dict)

    def get(self, name: str) -> Type:
        constants: Mapping[str, Type] = {"true": "bool", "false": "bool", "null": EMPTY}
        key = name.casefold()
        return constants[key] if key in constants else self.types.get(key)

    def set(self, name: str, type_name: Type) -> None:
        key = name.casefold()
        self.types[key] = merged((self.types[key], type_name)) if key in self.types else type_name

    def inner(self, known: Mapping[str, Type]) -> Scope:
        """What a function sees that is called here: these variables, and its own parameters over them."""
        return Scope({**self.types, **known})


def merged(types: Iterable[Type]) -> Type:
    """The one type of all, None where they differ."""
    found: Type = EMPTY
    for one in types:
        if one == EMPTY:
            continue
        if one is None or found not in (EMPTY, one):
            return None
        found = one
    return found


def item(type_name: str) -> Type:
    """The type of one item of a property's value: without ``[]`` and ``?``; None for an object of any kind."""
    plain = type_name.rstrip("?")
    while plain.endswith("[]"):
        plain = plain.removesuffix("[]").rstrip("?")
    return None if plain == "object" else plain


def cast_type(name: str) -> Type:
    """What a cast gives: its own name for a simple type, unknown for the rest."""
    plain = name.casefold().removeprefix("system.").removesuffix("[]")
    return plain if plain in _ACCELERATORS else None


def property_type(target: str, name: str) -> tuple[bool, Type]:
    """Whether a value of this type has the property, and the property's type."""
    wanted = name.casefold()
    if wanted in _OF_ANY_LIST:
        return True, _OF_ANY_LIST[wanted]
    if (known := metadata.classes().get(target)) is not None:
        for written, type_name in known.properties.items():
            if written.casefold() == wanted:
                return True, item(type_name)
        return False, None
    if target == "timespan":
        return wanted in _OF_TIMESPAN, None
    return metadata.enum_values(target) is None and target not in ("bool", "int", "long", "guid"), None


def is_fitting(given: Type, wanted: str) -> bool:
    """Whether a value of one type may be an argument of another; what is unknown may."""
    plain = wanted.removesuffix("[]")
    if given in (None, EMPTY, plain) or plain in ("object", "psobject"):
        return True
    if (known := metadata.classes().get(given)) is not None:
        return plain in known.bases
    if metadata.enum_values(given) is not None:
        return metadata.enum_values(plain) is None and "." not in plain
    # A simple value is no object of a class; whether it converts to a simple type is for the binder to say.
    return "." not in plain or metadata.enum_values(plain) is not None


def enum_of(type_name: Type) -> Mapping[str, int] | None:
    return metadata.enum_values(type_name) if type_name else None


def literal_type(value: object) -> Type:
    if isinstance(value, str):
        return "string"
    return "long" if isinstance(value, Int64) else "int"


NOT_LITERAL: t.Final = object()


def literal(expression: Expression) -> object:
    """The value that stands in the text, a list for several; NOT_LITERAL where it is only known when it runs."""
    match expression:
        case Literal(value=value):
            return value
        case Variable(name=name) if name.casefold() in CONSTANTS:
            return CONSTANTS[name.casefold()]
        case Items(items=items):
            found = [literal(one) for one in items]
            return NOT_LITERAL if NOT_LITERAL in found else found
        case ArrayOf(body=(Pipeline(elements=(only,)),)) if not isinstance(only, Command):
            value = literal(only)
            return value if value is NOT_LITERAL or isinstance(value, list) else [value]
        case Paren(inner=Pipeline(elements=(only,))) if not isinstance(only, Command):
            return literal(only)
        case dummy:
            return NOT_LITERAL


def words(expression: Expression) -> Iterator[str]:
    """The texts that are spelt out in an expression, alone or in a list."""
    value = literal(expression)
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield one


def compared_enum(expression: Expression) -> Expression:
    """The value below a cast to [string] and brackets: a name is compared with it all the same."""
    while True:
        match expression:
            case Cast(type_name=kind, operand=inner) if kind.name.casefold() == "string":
                expression = inner
            case Paren(inner=Pipeline(elements=(only,))) if not isinstance(only, Command):
                expression = only
            case dummy:
                return expression
