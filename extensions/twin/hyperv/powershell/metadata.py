# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cmdlets, enumerations and classes of cmdlets.json, as values."""

from __future__ import annotations

import functools
import json
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Json: t.TypeAlias = "dict[str, t.Any]"
Way: t.TypeAlias = t.Literal["position", "by_value", "by_name"]
ALL_SETS = "__all__"  # a parameter of every set, as the reflection of a cmdlet shows it
ONLY_SET = "__AllParameterSets"  # what a cmdlet without sets of its own is bound by
IMPACTS = ("None", "Low", "Medium", "High")


@dataclass(frozen=True, kw_only=True)
class Place:
    """How a parameter belongs to one set."""

    position: int | None = None
    is_mandatory: bool = False
    by_value: bool = False
    by_name: bool = False

    def is_bound(self, way: Way) -> bool:
        match way:
            case "position":
                return self.position is not None
            case "by_value":
                return self.by_value
            case "by_name":
                return self.by_name


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter; `sets` may hold ALL_SETS, and then a set of its own overrides it."""

    name: str
    type: str
    sets: Mapping[str, Place]
    aliases: tuple[str, ...] = ()
    is_nullable: bool = False
    must_not_be_null: bool = False
    must_not_be_empty: bool = False
    range: tuple[int, int] | None = None
    words: tuple[str, ...] = ()  # ValidateSet
    absent_from: tuple[str, ...] = ()  # the releases of Windows Server whose documentation does not list it

    @property
    def is_switch(self) -> bool:
        return self.type == "switch"

    @property
    def item_type(self) -> str:
        """The type without its brackets."""
        return self.type.removesuffix("[]")

    def place(self, set_name: str) -> Place | None:
        """How it belongs to a set, None where it does not."""
        return self.sets.get(set_name) or self.sets.get(ALL_SETS)


def _common(**types: str) -> Mapping[str, Parameter]:
    return {name: Parameter(name=name, type=type_name, sets={ALL_SETS: Place()}) for name, type_name in types.items()}


# The common parameters that a script may meet; the last two only where ShouldProcess is supported.
COMMON = _common(
    ErrorAction="System.Management.Automation.ActionPreference",
    WarningAction="System.Management.Automation.ActionPreference",
    Verbose="switch",
    Debug="switch",
    OutVariable="string",
    ErrorVariable="string",
)
CONFIRMING = _common(WhatIf="switch", Confirm="switch")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cmdlet:
    """One cmdlet: its parameters by their names, its sets, and what it may ask."""

    name: str
    source: str
    parameters: Mapping[str, Parameter]
    set_names: tuple[str, ...]
    default_set: str | None
    supports_should_process: bool
    confirm_impact: str
    outputs: tuple[str, ...]
    error_class: str  # what a FullyQualifiedErrorId ends with

    def parameter(self, name: str) -> Parameter | None:
        """Find a parameter by its full name or an alias, whatever the case."""
        return self._named.get(name.casefold())

    def is_switch(self, name: str) -> bool:
        """Whether a parameter, its own or a common one, is a switch; by the canonical name."""
        return (self.parameters.get(name) or self.common[name]).is_switch

    @functools.cached_property
    def _named(self) -> Mapping[str, Parameter]:
        found: dict[str, Parameter] = {}
        for parameter in self.parameters.values():
            for name in (parameter.name, *parameter.aliases):
                found.setdefault(name.casefold(), parameter)
        return found

    def bound_by(self, way: Way) -> tuple[tuple[Parameter, frozenset[str]], ...]:
        """The parameters that are bound by position or by input, with the sets in which they are."""
        return self._bound[way]

    @functools.cached_property
    def _bound(self) -> Mapping[Way, tuple[tuple[Parameter, frozenset[str]], ...]]:
        found: dict[Way, list[tuple[Parameter, frozenset[str]]]] = {way: [] for way in t.get_args(Way)}
        for parameter in self.parameters.values():
            for way, bound in found.items():
                places = {name: place for name in self.set_names if (place := parameter.place(name)) is not None}
                names = frozenset(name for name, place in places.items() if place.is_bound(way))
                if names:
                    bound.append((parameter, names))
        return {way: tuple(bound) for way, bound in found.items()}

    def mandatory(self, set_name: str) -> tuple[str, ...]:
        """The names of the parameters that a set cannot do without."""
        return self._mandatory[set_name]

    @functools.cached_property
    def _mandatory(self) -> Mapping[str, tuple[str, ...]]:
        return {
            name: tuple(
                p.name for p in self.parameters.values() if (place := p.place(name)) is not None and place.is_mandatory
            )
            for name in self.set_names
        }

    def starting_with(self, start: str) -> tuple[str, ...]:
        """The canonical names, common ones too, that a shortened name could mean."""
        wanted = start.casefold()
        own = [p.name for p in self.parameters.values() if _is_start(wanted, p.name, *p.aliases)]
        return (*own, *(name for name in self.common if _is_start(wanted, name)))

    @functools.cached_property
    def common(self) -> Mapping[str, Parameter]:
        """The common parameters that it takes."""
        return {**COMMON, **CONFIRMING} if self.supports_should_process else COMMON


def _is_start(wanted: str, *names: str) -> bool:
    return any(name.casefold().startswith(wanted) for name in names)


@dataclass(frozen=True, kw_only=True)
class OutputClass:
    """A .NET class that scripts read: its bases, and its properties with their types (``?`` nullable, ``[]`` list)."""

    name: str
    bases: tuple[str, ...]
    properties: Mapping[str, str]


def find(name: str) -> Cmdlet | None:
    """The cmdlet of this name, whatever its case."""
    return cmdlets().get(name.casefold())


def enum_values(type_name: str) -> Mapping[str, int] | None:
    """The names and numbers of an enumeration, None for any other type."""
    return enums().get(type_name)


@functools.cache
def cmdlets() -> Mapping[str, Cmdlet]:
    """Every cmdlet by its name in lower case."""
    return {name.casefold(): _cmdlet(name, row) for name, row in _table()["cmdlets"].items()}


@functools.cache
def enums() -> Mapping[str, Mapping[str, int]]:
    """Every enumeration by its whole name."""
    return t.cast("dict[str, dict[str, int]]", _table()["enums"])


@functools.cache
def classes() -> Mapping[str, OutputClass]:
    """Every output class by its whole name."""
    return {
        name: OutputClass(name=name, bases=tuple(row.get("bases", ())), properties=row["properties"])
        for name, row in _table()["classes"].items()
    }


@functools.cache
def _table() -> Json:
    return t.cast(Json, json.loads((Path(__file__).parent / "cmdlets.json").read_text(encoding="utf-8")))


def _cmdlet(name: str, row: Json) -> Cmdlet:
    parameters = {key: _parameter(key, value) for key, value in row["parameters"].items()}
    named = dict.fromkeys(s for p in parameters.values() for s in p.sets if s != ALL_SETS)
    if row.get("default_set") is not None:
        named.setdefault(row["default_set"])
    return Cmdlet(
        name=name,
        source=row["source"],
        parameters=parameters,
        set_names=tuple(named) or (ONLY_SET,),
        default_set=row.get("default_set"),
        supports_should_process=row.get("should_process", False),
        confirm_impact=row.get("impact", "Medium"),
        outputs=tuple(row.get("outputs", ())),
        error_class=row["class"],
    )


def _parameter(name: str, row: Json) -> Parameter:
    return Parameter(
        name=name,
        type=row["type"],
        sets={key: _place(value) for key, value in row["sets"].items()},
        aliases=tuple(row.get("aliases", ())),
        is_nullable=row.get("nullable", False),
        must_not_be_null=row.get("not_null", False) or row.get("not_empty", False),
        must_not_be_empty=row.get("not_empty", False),
        range=tuple(row["range"]) if "range" in row else None,
        words=tuple(row.get("words", ())),
        absent_from=tuple(row.get("absent_from", ())),
    )


def _place(row: Json) -> Place:
    return Place(
        position=row.get("position"),
        is_mandatory=row.get("mandatory", False),
        by_value=row.get("by_value", False),
        by_name=row.get("by_name", False),
    )
