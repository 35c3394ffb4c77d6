# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bind a call to a parameter set as PowerShell does; what PowerShell could not bind is our bug, a SimulatorError."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import arguments, metadata, sets
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.metadata import Cmdlet, Parameter, Way
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, Session
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.sets import BindingError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import PSObject


class _Mark:
    def __init__(self, meaning: str) -> None:
        self._meaning = meaning

    def __repr__(self) -> str:
        return self._meaning


BARE: t.Final = _Mark("a parameter without a value")  # -Prepare, as against -Prepare:$false
NO_INPUT: t.Final = _Mark("no pipeline")
INPUT_TO_COME: t.Final = _Mark("input that the cmdlet takes as a whole")  # Sort-Object, Measure-Object: one call


def bind(
    name: str,
    named: Iterable[tuple[str, object]],
    positional: Sequence[object] = (),
    pipeline_input: object = NO_INPUT,
    session: Session | None = None,
) -> Bound:
    """Bind one call, or one input of it: a cmdlet in a pipeline is bound again for each object that comes.

    A parameter without a value comes as (name, BARE). Raises BindingError, a SimulatorError with a `rule`.
    """
    cmdlet = metadata.find(name)
    if cmdlet is None:
        raise BindingError(sets.UNKNOWN_CMDLET, f"there is no cmdlet {name} in cmdlets.json")
    call = _Call(cmdlet)
    for parameter_name, value in named:
        call.bind_named(parameter_name, value)
    for value in positional:
        call.bind_positional(value)
    if pipeline_input is INPUT_TO_COME:
        call.leave_room_for_input()
    elif pipeline_input is not NO_INPUT:
        call.bind_input(pipeline_input)
    return Bound(
        name=cmdlet.name,
        set_name=call.chosen(),
        arguments=call.arguments,
        session=t.cast(Session, session),
        common=call.common,
        supports_should_process=cmdlet.supports_should_process,
        confirm_impact=cmdlet.confirm_impact,
        error_class=cmdlet.error_class,
    )


class _Call:
    """A call on its way: the arguments bound so far, and the sets that are left."""

    def __init__(self, cmdlet: Cmdlet) -> None:
        self._cmdlet = cmdlet
        self._sets = cmdlet.set_names
        self._awaited: set[str] = set()
        self.arguments: dict[str, object] = {}
        self.common: dict[str, object] = {}

    def bind_named(self, name: str, value: object) -> None:
        canonical = sets.parameter_named(self._cmdlet, name)
        if canonical in self.arguments or canonical in self.common:
            raise BindingError(sets.TWICE, f"{self._cmdlet.name} -{canonical} is given twice")
        parameter = self._cmdlet.parameters.get(canonical)
        if parameter is None:
            self.common[canonical] = self._value(self._cmdlet.common[canonical], value)
        else:
            self._take(parameter, self._value(parameter, value))

    def bind_positional(self, value: object) -> None:
        """Take the parameter of the lowest position: the default set's first, and first without converting."""
        candidates = self._unbound("position")
        lowest = min((self._position(p) for p in candidates), default=None)
        at_lowest = [p for p in candidates if self._position(p) == lowest]
        parameter = self._first(at_lowest, value)
        if parameter is None:
            raise BindingError(sets.UNBOUND, f"{self._cmdlet.name} has no place for the positional argument {value!r}")
        self._take(parameter, self._value(parameter, value))

    def bind_input(self, value: object) -> None:
        """Bind one object of the pipeline: by value before by name, as it is before converted."""
        by_value = self._unbound("by_value")
        if value is None:
            raise BindingError(sets.UNBOUND, f"$null comes down the pipeline to {self._cmdlet.name}")
        if (parameter := self._first([p for p in by_value if arguments.fits(value, p.type)], value)) is not None:
            self._take(parameter, self._value(parameter, value))
            self._bind_properties(value)
            return
        if self._bind_properties(value):
            return
        if (parameter := self._first(by_value, value)) is None:
            raise BindingError(sets.UNBOUND, f"{self._cmdlet.name} cannot take {value!r} from the pipeline")
        self._take(parameter, self._value(parameter, value))

    def leave_room_for_input(self) -> None:
        self._awaited = {p.name for p in self._unbound("by_value")}
        if not self._awaited:
            raise BindingError(sets.UNBOUND, f"{self._cmdlet.name} takes no input from a pipeline")

    def chosen(self) -> str:
        return sets.chosen(self._cmdlet, self._sets, {*self.arguments, *self._awaited})

    def _bind_properties(self, value: object) -> bool:
        """Bind the object's properties to the parameters of these names or aliases; say whether any was."""
        if not isinstance(value, PSObject):
            return False
        is_any = False
        for parameter in self._default_first(self._unbound("by_name")):
            for name in (parameter.name, *parameter.aliases):
                if not value.has(name) or not any(parameter.place(s) for s in self._sets):
                    continue
                found = value.get(name)
                # A property that does not fit is no error to PowerShell, it is not this parameter's.
                if found is not None and _is_convertible(found, parameter):
                    self._take(parameter, self._value(parameter, found))
                    is_any = True
                    break
        return is_any

    def _take(self, parameter: Parameter, value: object) -> None:
        self._sets = sets.narrowed(self._cmdlet, self._sets, parameter)
        self.arguments[parameter.name] = value

    def _unbound(self, way: Way) -> list[Parameter]:
        """The parameters that may still be bound in this way, in a set that is left."""
        return [
            parameter
            for parameter, names in self._cmdlet.bound_by(way)
            if parameter.name not in self.arguments and not names.isdisjoint(self._sets)
        ]

    def _position(self, parameter: Parameter) -> int:
        places = (parameter.place(name) for name in self._sets)
        return min(place.position for place in places if place is not None and place.position is not None)

    def _default_first(self, candidates: Sequence[Parameter]) -> list[Parameter]:
        default = self._cmdlet.default_set
        if default is None or default not in self._sets:
            return list(candidates)
        return sorted(candidates, key=lambda p: p.place(default) is None)

    def _first(self, candidates: Sequence[Parameter], value: object) -> Parameter | None:
        ranked = self._default_first(candidates)
        fitting = (p for p in ranked if arguments.fits(value, p.type))
        return next(fitting, next((p for p in ranked if _is_convertible(value, p)), None))

    def _value(self, parameter: Parameter, value: object) -> object:
        where = f"{self._cmdlet.name} -{parameter.name}"
        if value is BARE:
            if not parameter.is_switch:
                raise BindingError(sets.BAD_VALUE, f"{where} has no value")
            return True
        try:
            converted = arguments.convert(value, parameter.type, is_nullable=parameter.is_nullable)
        except arguments.Unconvertible as refusal:
            raise BindingError(sets.BAD_VALUE, f"{where}: {refusal}") from None
        validate(where, parameter, value, converted)
        return converted


def _is_convertible(value: object, parameter: Parameter) -> bool:
    try:
        arguments.convert(value, parameter.type, is_nullable=parameter.is_nullable)
    except arguments.Unconvertible:
        return False
    return True


def validate(where: str, parameter: Parameter, given: object, converted: object) -> None:
    """Refuse what ValidateNotNull, ValidateNotNullOrEmpty, ValidateRange and ValidateSet refuse."""
    items = converted if isinstance(converted, list) else [converted]
    if parameter.must_not_be_null and (given is None or any(item is None for item in items)):
        raise BindingError(sets.BAD_VALUE, f"{where} is $null")
    if parameter.must_not_be_empty and (not items or any(item == "" for item in items)):
        raise BindingError(sets.BAD_VALUE, f"{where} is empty")
    if parameter.range is not None:
        low, high = parameter.range
        for item in items:
            if isinstance(item, int) and not low <= item <= high:
                raise BindingError(sets.BAD_VALUE, f"{where}: {item} is not within {low} and {high}")
    if parameter.words:
        known = {word.casefold() for word in parameter.words}
        for item in items:
            if str(item).casefold() not in known:
                raise BindingError(sets.BAD_VALUE, f"{where}: {item!r} is not one of {', '.join(parameter.words)}")
