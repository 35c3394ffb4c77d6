# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bind a command of a script statically: its names and sets exactly, its values as far as the text shows them."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import arguments, binder, sets
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_types import (
    EMPTY,
    NOT_LITERAL,
    Type,
    is_fitting,
    literal,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.metadata import (
    Cmdlet,
    Parameter,
    enum_values,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Argument,
    Block,
    Call,
    Expression,
    Paren,
    Pipeline,
    Variable,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.sets import BindingError

Reason: t.TypeAlias = "tuple[str, str]"  # rule, message
# A second hop has no credentials, and a job dies with powershell.exe.
_ELSEWHERE = frozenset(["ComputerName", "CimSession", "Credential", "AsJob", "ThrottleLimit"])
_ERROR_ACTIONS = ("Stop", "SilentlyContinue", "Ignore")
# These take their script block without a name, as everybody writes it.
_BLOCK_FIRST = {"Where-Object": "FilterScript", "ForEach-Object": "Process"}
# What changes which copy of a VM is the true one goes by the object that was read by its Id.
_BY_OBJECT = {
    "Start-VMFailover": {"VM", "VMRecoverySnapshot"},
    "Stop-VMFailover": {"VM"},
    "Complete-VMFailover": {"VM"},
    "Set-VMReplication": {"VM"},
}


# Each of these is a small language of its own, so a value must not become a part of it.
_QUERIES = frozenset(["Filter", "Query", "FilterXPath", "FilterXml"])
# These take a name for a pattern: the VM's switch "LAN [2]" would not be found, or another one would.
_PATTERNS = {"Get-VMSwitch": "Name", "Get-VMSnapshot": "Name", "Get-VMNetworkAdapter": "Name"}


@dataclass(frozen=True, slots=True)
class Given:
    """One argument with the type of its value, where that is known."""

    argument: Argument
    type: Type


def reasons(cmdlet: Cmdlet, given: Sequence[Given], piped: Type, *, is_piped: bool) -> Iterator[Reason]:
    """Say everything that is wrong with one call; `piped` is the type of what comes down the pipeline."""
    bound: dict[str, Given] = {}
    for one in given:
        try:
            name = _name(cmdlet, one)
        except BindingError as refusal:
            yield refusal.rule, refusal.what
            continue
        if name is None:
            yield "positional", f"{cmdlet.name}: every argument is given by the name of its parameter"
            continue
        if one.argument.name is not None and one.argument.name.casefold() != name.casefold():
            yield "parameter-in-full", f"{cmdlet.name} -{one.argument.name} is short for -{name}, or its alias"
        if name in bound:
            yield sets.TWICE, f"{cmdlet.name} -{name} is given twice"
        bound[name] = one
        yield from _value_reasons(cmdlet, name, one)
    yield from _set_reasons(cmdlet, set(bound), piped, is_piped)
    yield from _habit_reasons(cmdlet, bound, is_piped)


def _name(cmdlet: Cmdlet, one: Given) -> str | None:
    if one.argument.name is not None:
        return sets.parameter_named(cmdlet, one.argument.name)
    return _BLOCK_FIRST.get(cmdlet.name) if isinstance(one.argument.value, Block) else None


def _value_reasons(cmdlet: Cmdlet, name: str, one: Given) -> Iterator[Reason]:
    argument, parameter = one.argument, cmdlet.parameters.get(name)
    where = f"{cmdlet.name} -{name}"
    is_switch = cmdlet.is_switch(name)
    if name in _ELSEWHERE:
        yield "second-hop", f"{where}: every command is local to its host and ends within the call"
    if parameter is not None and parameter.absent_from:
        yield "not-everywhere", f"{where} is not documented for Windows Server {', '.join(parameter.absent_from)}"
    if argument.value is None:
        if not is_switch:
            yield sets.BAD_VALUE, f"{where} has no value"
        return
    if is_switch and not argument.is_joined:
        yield "positional", f"{where} is a switch: a value stands behind a colon"
    value = literal(argument.value)
    if name == "ErrorAction" and value not in _ERROR_ACTIONS:
        yield "error-action", f"{where} is one of {', '.join(_ERROR_ACTIONS)}"
    if parameter is None:
        return
    is_enum = enum_values(parameter.item_type) is not None
    if value is not NOT_LITERAL:
        try:
            converted = arguments.convert(value, parameter.type, is_nullable=parameter.is_nullable)
            binder.validate(where, parameter, value, converted)
        except arguments.Unconvertible as refusal:
            yield ("bad-enum" if is_enum else sets.BAD_VALUE), f"{where}: {refusal}"
        except BindingError as refusal:
            yield refusal.rule, refusal.what
        return
    if name in _QUERIES:
        yield "query-from-value", f"{where} is spelt out in the script, or the objects are sifted afterwards"
    if _PATTERNS.get(cmdlet.name) == name and not _is_escaped(argument.value):
        yield "wildcard", f"{where} takes wildcards: sift the objects, or [WildcardPattern]::Escape the name"
    if not is_fitting(one.type, parameter.type):
        yield sets.BAD_VALUE, f"{where} takes a {parameter.type}, not a {one.type}"


def _is_escaped(value: Expression) -> bool:
    """Whether this is `([Management.Automation.WildcardPattern]::Escape(...))`."""
    match value:
        case Paren(inner=Pipeline(elements=(Call(name=name, is_static=True),))):
            return name.casefold() == "escape"
        case dummy:
            return False


def _set_reasons(cmdlet: Cmdlet, bound: set[str], piped: Type, is_piped: bool) -> Iterator[Reason]:
    names = [name for name in cmdlet.parameters if name in bound]
    try:
        left: tuple[str, ...] = cmdlet.set_names
        for name in names:
            left = sets.narrowed(cmdlet, left, cmdlet.parameters[name])
        if not is_piped:
            sets.chosen(cmdlet, left, bound)
            return
    except BindingError as refusal:
        yield refusal.rule, refusal.what
        return
    candidates = [p for p in cmdlet.parameters.values() if p.name not in bound and _takes(p, left, piped)]
    if not candidates:
        shown = piped or "what the pipeline brings"
        yield sets.UNBOUND, f"{cmdlet.name} has no parameter that takes {shown} from a pipeline"
        return
    refusals = []
    for parameter in candidates:
        try:
            sets.chosen(cmdlet, sets.narrowed(cmdlet, left, parameter), {*bound, parameter.name})
        except BindingError as refusal:
            refusals.append((refusal.rule, refusal.what))
        else:
            return
    yield refusals[0]


def _takes(parameter: Parameter, left: Sequence[str], piped: Type) -> bool:
    is_by_value = any((place := parameter.place(name)) is not None and place.by_value for name in left)
    # An object of a class is not bound as its text: the binder refuses that as well.
    return is_by_value and (piped == EMPTY or is_fitting(piped, parameter.type))


def _habit_reasons(cmdlet: Cmdlet, bound: dict[str, Given], is_piped: bool) -> Iterator[Reason]:
    if cmdlet.confirm_impact == "High":
        given = bound.get("Confirm")
        value = given.argument.value if given is not None else None
        if not (isinstance(value, Variable) and value.name.casefold() == "false"):
            yield "confirm", f"{cmdlet.name} asks before it acts: it needs -Confirm:$false"
    if cmdlet.name == "Get-VM":
        if others := sorted(set(bound) & set(cmdlet.parameters) - {"Id"}):
            yield "get-vm-by-id", f"Get-VM goes by -Id or brings all, not by -{others[0]}"
        if is_piped:
            yield "get-vm-by-id", "Get-VM goes by -Id or brings all, not by what is piped"
        return
    named = [p.name for p in map(cmdlet.parameters.get, bound) if p is not None and "VMName" in (p.name, *p.aliases)]
    wanted = _BY_OBJECT.get(cmdlet.name, set())
    if named:
        yield "by-object", f"{cmdlet.name} -{named[0]}: a VM's name is not unique and takes wildcards; use -VM"
    elif wanted and not is_piped and not wanted & set(bound):
        yield "by-object", f"{cmdlet.name} goes by {' or '.join(f'-{name}' for name in sorted(wanted))}"
    elif is_piped and wanted and "VMRecoverySnapshot" not in wanted:
        yield "by-object", f"{cmdlet.name} goes by -VM"
