# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cmdlets of the language itself: those of a pipeline, JSON, the clock."""

from __future__ import annotations

import datetime as dt
import functools
import typing as t
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import json51, members, operators, statics
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import to_datetime, to_double
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import (
    is_number,
    is_true,
    plain,
    text_of,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Caller, Process
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    EnumValue,
    Hashtable,
    PSObject,
    ScriptBlock,
)


@dataclass(frozen=True, slots=True)
class CallSite:
    """One call of a cmdlet that takes its input as a whole, and how to run a script block at its place."""

    bound: Bound
    caller: Caller
    run_block: Callable[[ScriptBlock, object], Iterator[object]]


_Source: t.TypeAlias = "Iterator[object] | None"
Stage: t.TypeAlias = "Callable[[CallSite, _Source], Iterator[object]]"
STAGES: dict[str, Stage] = {}  # by the cmdlet's name in lower case


def _stage(name: str, *parameters: str) -> Callable[[Stage], Stage]:
    """Register a cmdlet that takes its input as a whole, with the parameters that the twin plays."""

    def register(play: Stage) -> Stage:
        known = {"InputObject", *parameters}

        @functools.wraps(play)
        def checked(site: CallSite, source: _Source) -> Iterator[object]:
            unknown = set(site.bound.arguments) - known
            if unknown:
                raise SimulatorError(f"the twin does not play {name} -{min(unknown)}")
            yield from play(site, source)

        STAGES[name.casefold()] = checked
        return play

    return register


def _input(site: CallSite, source: _Source) -> Iterator[object]:
    """What comes down the pipeline, else the one -InputObject."""
    if source is not None:
        return source
    return iter([site.bound.get("InputObject")] if site.bound.has("InputObject") else [])


@_stage("Where-Object", "FilterScript")
def _where(site: CallSite, source: _Source) -> Iterator[object]:
    block = _block(site.bound.get("FilterScript"))
    for item in _input(site, source):
        output = list(site.run_block(block, item))
        if is_true(output[0] if len(output) == 1 else output):
            yield item


@_stage("ForEach-Object", "Process", "Begin", "End")
def _for_each(site: CallSite, source: _Source) -> Iterator[object]:
    process = site.bound.get("Process")
    blocks = process if isinstance(process, list) else [process]
    if len(blocks) != 1:
        raise SimulatorError("ForEach-Object with several -Process blocks: name -Begin and -End")
    if site.bound.has("Begin"):
        yield from site.run_block(_block(site.bound.get("Begin")), None)
    for item in _input(site, source):
        yield from site.run_block(_block(blocks[0]), item)
    if site.bound.has("End"):
        yield from site.run_block(_block(site.bound.get("End")), None)


def _block(value: object) -> ScriptBlock:
    if not isinstance(value, ScriptBlock):
        raise SimulatorError("a script block is expected")
    return value


@_stage("Select-Object", "First", "Last", "Skip", "ExpandProperty", "Property", "Unique")
def _select(site: CallSite, source: _Source) -> Iterator[object]:
    bound = site.bound
    if bound.is_on("Unique") or (bound.has("Property") and bound.has("ExpandProperty")):
        raise SimulatorError("the twin does not play Select-Object -Unique, or -Property with -ExpandProperty")
    for item in _selected(bound, _input(site, source)):
        if bound.has("ExpandProperty"):
            yield from _expanded(item, text_of(bound.get("ExpandProperty")))
        elif bound.has("Property"):
            yield _projected(item, _names(bound))
        else:
            yield item


def _selected(bound: Bound, source: Iterator[object]) -> Iterator[object]:
    """First, Last and Skip of the input; First stops whatever comes before as soon as it has enough."""
    if bound.has("Last"):
        if bound.has("First") or bound.has("Skip"):
            raise SimulatorError("the twin does not play Select-Object -Last with -First or -Skip")
        count = _count(bound, "Last")
        yield from list(source)[-count:] if count else []
        return
    skip, first = _count(bound, "Skip"), _count(bound, "First") if bound.has("First") else None
    if first == 0:
        return
    given = 0
    for place, item in enumerate(source):
        if place < skip:
            continue
        yield item
        given += 1
        if given == first:
            if hasattr(source, "close"):
                source.close()
            return


def _count(bound: Bound, name: str, default: int = 0) -> int:
    value = bound.get(name, default)
    if not isinstance(value, int):
        raise SimulatorError(f"-{name} {value!r}")
    return value


def _expanded(item: object, name: str) -> Iterator[object]:
    if not _has(item, name):
        yield PowerShellError(
            f'Property "{name}" cannot be found.',
            "ExpandPropertyNotFound,Microsoft.PowerShell.Commands.SelectObjectCommand",
            "InvalidArgument",
            exception_type="System.ArgumentException",
        )
        return
    value = members.read(item, name)
    yield from value if isinstance(value, list) else [value]


def _has(item: object, name: str) -> bool:
    return isinstance(item, PSObject | Hashtable) and item.has(name)


def _projected(item: object, names: list[str]) -> PSObject:
    if not isinstance(item, PSObject) or any("*" in name for name in names):
        raise SimulatorError("Select-Object -Property of what is no object, or with a wildcard")
    return PSObject([(name, item.get(name)) for name in names])


def _names(bound: Bound) -> list[str]:
    given = bound.get("Property")
    names = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) for name in names):
        raise SimulatorError(f"{bound.name} -Property of what is no name")
    return [str(name) for name in names]


@_stage("Sort-Object", "Property", "Descending", "Unique")
def _sort(site: CallSite, source: _Source) -> Iterator[object]:
    names = _names(site.bound) if site.bound.has("Property") else []
    zone = site.caller.process.zone

    def compare(left: object, right: object) -> int:
        for one, other in zip(_keys(left, names), _keys(right, names), strict=True):
            found = operators.order(one, other, zone)
            if found:
                return found
        return 0

    items = sorted(_input(site, source), key=functools.cmp_to_key(compare), reverse=site.bound.is_on("Descending"))
    if site.bound.is_on("Unique"):
        items = [item for place, item in enumerate(items) if not place or compare(items[place - 1], item)]
    yield from items


def _keys(item: object, names: list[str]) -> list[object]:
    return [plain(members.read(item, name)) for name in names] if names else [item]


@_stage("Measure-Object", "Property", "Sum", "Average", "Maximum", "Minimum")
def _measure(site: CallSite, source: _Source) -> Iterator[object]:
    bound = site.bound
    names = _names(bound) if bound.has("Property") else []
    if len(names) > 1:
        raise SimulatorError("the twin does not measure several properties at once")
    items = [one for one in _input(site, source) if one is not None]
    values = [plain(members.read(one, names[0])) for one in items] if names else items
    values = [one for one in values if one is not None]
    wants_numbers = bound.is_on("Sum") or bound.is_on("Average")
    figures = [to_double(one) for one in values] if wants_numbers else []
    ranked = _ranked(values) if bound.is_on("Maximum") or bound.is_on("Minimum") else []
    yield PSObject(
        {
            "Count": len(values),
            "Average": sum(figures) / len(figures) if figures and bound.is_on("Average") else None,
            "Sum": sum(figures) if figures and bound.is_on("Sum") else None,
            "Maximum": ranked[-1] if ranked and bound.is_on("Maximum") else None,
            "Minimum": ranked[0] if ranked and bound.is_on("Minimum") else None,
            "Property": names[0] if names else None,
        },
        ["Microsoft.PowerShell.Commands.GenericMeasureInfo", "Microsoft.PowerShell.Commands.MeasureInfo"],
    )


def _ranked(values: Sequence[object]) -> Sequence[object]:
    """The values in order; 5.1 gives the greatest and the least number back as a [double]."""
    if all(is_number(one) for one in values):
        return sorted(to_double(one) for one in values)
    dates = [one for one in values if isinstance(one, dt.datetime)]
    if len(dates) == len(values):
        return sorted(dates, key=lambda one: one.replace(tzinfo=None))
    raise SimulatorError("the greatest or least of what are not all numbers or dates")


@_stage("Out-Null")
def _out_null(site: CallSite, source: _Source) -> Iterator[object]:
    for dummy in _input(site, source):
        continue
    yield from ()


@_stage("ConvertTo-Json", "Depth", "Compress")
def _to_json(site: CallSite, source: _Source) -> Iterator[object]:
    items = list(_input(site, source))
    if source is not None and any(isinstance(item, list) for item in items):
        raise SimulatorError(
            "an array as one object of the pipeline: 5.1 writes it as {value, Count}; use -InputObject"
        )
    # 5.1 writes nothing for $null and skips it in a pipeline; only 7 writes null (PowerShell#10942, #15590).
    items = [item for item in items if item is not None]
    if not items:
        return
    whole = items[0] if len(items) == 1 else items
    yield json51.written(whole, depth=_count(site.bound, "Depth", 2), is_compressed=site.bound.is_on("Compress"))


@_stage("ConvertFrom-Json")
def _from_json(site: CallSite, source: _Source) -> Iterator[object]:
    # An array leaves as one object in 5.1: what follows in the pipeline sees it whole.
    texts = [text_of(one) for one in _input(site, source)]
    yield json51.read("\r\n".join(texts))


@cmdlet("Get-Date")
def _get_date(bound: Bound) -> Iterator[object]:
    process = _process(bound)
    if set(bound.arguments) - {"Date"}:
        raise SimulatorError("the twin plays Get-Date without a format only")
    yield to_datetime(bound.get("Date"), process.zone) if bound.has("Date") else process.now().astimezone(process.zone)


@cmdlet("Start-Sleep")
def _start_sleep(bound: Bound) -> Iterator[object]:
    seconds = to_double(bound.get("Seconds", 0)) + to_double(bound.get("Milliseconds", 0)) / 1000
    if seconds < 0:
        raise SimulatorError(f"sleeps {seconds} s")
    _process(bound).sleep(seconds)
    yield from ()


@cmdlet("Write-Error")
def _write_error(bound: Bound) -> Iterator[object]:
    if set(bound.arguments) - {"Message", "ErrorId", "Category", "TargetObject"}:
        raise SimulatorError("the twin plays Write-Error -Message, -ErrorId, -Category and -TargetObject")
    word = bound.get("ErrorId")
    name = "Microsoft.PowerShell.Commands.WriteErrorException"
    category = bound.get("Category")
    yield PowerShellError(
        text_of(bound.get("Message")),
        text_of(word) or name,  # the cmdlet's class is not part of it: the script is who tells of the error
        category.name if isinstance(category, EnumValue) else text_of(category) or "NotSpecified",
        exception_type=name,
        target=bound.get("TargetObject"),
    )


@cmdlet("New-Object")
def _new_object(bound: Bound) -> Iterator[object]:
    if set(bound.arguments) - {"TypeName", "ArgumentList"}:
        raise SimulatorError("the twin plays New-Object -TypeName and -ArgumentList")
    arguments = bound.get("ArgumentList", [])
    given = arguments if isinstance(arguments, list) else [arguments]
    yield statics.create(text_of(bound.get("TypeName")), given)


def _process(bound: Bound) -> Process:
    if not isinstance(bound.session, Caller):
        raise SimulatorError(f"{bound.name} runs in a PowerShell process only")
    return bound.session.process
