# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pipelines: objects go from command to command one by one, and an error stops as much as its preference says."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import (
    binder,
    casts,
    core_cmdlets,
    metadata,
    registry,
    sets,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.core_cmdlets import CallSite
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.expressions import Evaluator
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import (
    Broken,
    Continued,
    Frame,
    Returned,
    Scope,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import plain, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Argument,
    Block,
    Command,
    Parameter,
    Pipeline,
    Place,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Caller
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import NOTHING, ScriptBlock

_Source: t.TypeAlias = t.Union[Iterator[object], None]
_Stage: t.TypeAlias = Callable[[_Source], Iterator[object]]
_ACTIONS = ("Continue", "Stop", "SilentlyContinue", "Ignore")


def emitted(value: object) -> Iterator[object]:
    """What a value is in a pipeline: an array its elements, AutomationNull nothing, $null one $null."""
    if value is NOTHING:
        return
    if isinstance(value, bytes):
        raise SimulatorError("a [byte[]] in a pipeline")
    if isinstance(value, list):
        yield from list(value)
    else:
        yield value


class Pipelines(Evaluator):
    """Commands, functions and script blocks, and the objects between them."""

    def pipeline(self, node: Pipeline, frame: Frame) -> Iterator[object]:
        first = node.elements[0]
        source: _Source = None
        stages: list[_Stage] = []
        if not isinstance(first, Command):
            source = emitted(self.value(first, frame))
        for place, element in enumerate(node.elements):
            if isinstance(element, Command):
                stages.append(self._stage(element, frame, is_fed=place > 0))
            elif place:
                raise SimulatorError("an expression is only the first of a pipeline").at(
                    node.place.line, node.place.text
                )
        for stage in stages:
            source = stage(source)
        yield from source or ()

    def invoke(self, block: Block, frame: Frame, values: Iterable[tuple[Argument, object]] = ()) -> Iterator[object]:
        """Run a function or `& $block` in a scope of its own."""
        scope = Scope(frame.scope)
        _bind(block, list(values), scope, self)
        inner = replace(frame, scope=scope)
        yield from self._body(block, inner)

    def in_place(self, block: ScriptBlock, frame: Frame, item: object) -> Iterator[object]:
        """Run the script block of Where-Object or ForEach-Object: in the caller's own scope, $_ set."""
        if block.tree.parameters:
            raise SimulatorError("a script block with parameters in a pipeline")
        yield from self._body(block.tree, replace(frame, it=item))

    def _body(self, block: Block, frame: Frame) -> Iterator[object]:
        try:
            yield from self.statements(block.body, frame)
        except Returned:
            return
        except (Broken, Continued):
            raise SimulatorError("break or continue leaves a script block, and the loop around it or the script").at(
                block.place.line, block.place.text
            ) from None

    def report(self, error: PowerShellError, frame: Frame, action: str | None = None) -> None:
        """Write a non-terminating error: -ErrorAction says what it is, else the preference."""
        chosen = action or self.preference(frame)
        if chosen not in _ACTIONS:
            raise SimulatorError(f"the twin does not know the error action {chosen}")
        if chosen == "Stop":
            error.is_terminating = error.ends_script = True
            raise error
        self.process.is_well = False
        if chosen == "Continue":
            self.process.errors.append(error)

    def preference(self, frame: Frame) -> str:
        found = text_of(frame.scope.find("ErrorActionPreference")[1])
        return next((action for action in _ACTIONS if action.casefold() == found.casefold()), found)

    def _stage(self, node: Command, frame: Frame, *, is_fed: bool) -> _Stage:
        """Evaluate a command's arguments now, as PowerShell does before anything flows."""
        try:
            return self._bound_stage(node, frame, is_fed=is_fed)
        except SimulatorError as error:
            raise error.at(node.place.line, node.place.text) from None
        except PowerShellError as error:
            raise self.placed(error, node.place) from None

    def _bound_stage(self, node: Command, frame: Frame, *, is_fed: bool) -> _Stage:
        if node.name is None:
            return self._called(node, frame, is_fed=is_fed)
        function = frame.scope.function(node.name)
        if function is not None:
            if is_fed:
                raise SimulatorError(f"input for the function {node.name}")
            given = self._values(node, frame)
            return lambda dummy: self._placed(self.invoke(function, frame, given), node.place)
        named, positional = self._arguments(node.name, node.arguments, frame)
        caller = Caller(self.process, frame.scope)
        played = core_cmdlets.STAGES.get(node.name.casefold())
        if played is not None:
            coming = binder.INPUT_TO_COME if is_fed else binder.NO_INPUT
            bound = binder.bind(node.name, named, positional, coming, caller)
            site = CallSite(bound, caller, lambda block, item: self.in_place(block, frame, item))
            return lambda source: self._driven(played(site, source), bound, frame, node.place)
        run = registry.run_of(node.name)
        if not is_fed:
            bound = binder.bind(node.name, named, positional, binder.NO_INPUT, caller)
            return lambda dummy: self._driven(run(bound), bound, frame, node.place)
        name = node.name

        def fed(source: _Source) -> Iterator[object]:
            for item in source or ():
                try:
                    each = binder.bind(name, named, positional, plain(item), caller)
                except SimulatorError as error:
                    raise error.at(node.place.line, node.place.text) from None
                yield from self._driven(run(each), each, frame, node.place)

        return fed

    def _called(self, node: Command, frame: Frame, *, is_fed: bool) -> _Stage:
        block = None if node.block is None else self.value(node.block, frame)
        if is_fed or not isinstance(block, ScriptBlock):
            raise SimulatorError("& of what is no script block, or with input from a pipeline")
        tree, given = block.tree, self._values(node, frame)
        return lambda dummy: self._placed(self.invoke(tree, frame, given), node.place)

    def _placed(self, source: Iterator[object], place: Place) -> Iterator[object]:
        try:
            yield from source
        except SimulatorError as error:
            raise error.at(place.line, place.text) from None
        except PowerShellError as error:
            raise self.placed(error, place) from None

    def _driven(self, source: Iterator[object], bound: Bound, frame: Frame, place: Place) -> Iterator[object]:
        """The output of a cmdlet; each error of it takes the cmdlet's name and place, and goes where it must."""
        is_what_if = bool(bound.common.get("WhatIf", frame.scope.find("WhatIfPreference")[1]))
        self.process.called(bound.name, frame.scope, is_what_if)
        objects = iter(source)
        while True:
            self.process.check()
            try:
                item = next(objects)
            except StopIteration:
                return
            except SimulatorError as error:
                raise error.at(place.line, place.text) from None
            except PowerShellError as error:
                self._fail(error, bound, frame, place)
                return
            if isinstance(item, PowerShellError):
                self._fail(item, bound, frame, place)
            else:
                yield item

    def _fail(self, error: PowerShellError, bound: Bound, frame: Frame, place: Place) -> None:
        if error.line:  # it comes from a script block in the pipeline, or from the command before
            raise error
        error.activity = error.activity or bound.name
        self.placed(error, place)
        if error.is_terminating:
            raise error
        self.report(error, frame, bound.error_action)

    def _values(self, node: Command, frame: Frame) -> list[tuple[Argument, object]]:
        return [(one, None if one.value is None else plain(self.value(one.value, frame))) for one in node.arguments]

    def _arguments(
        self, name: str, arguments: tuple[Argument, ...], frame: Frame
    ) -> tuple[list[tuple[str, object]], list[object]]:
        """The named and the positional arguments: what follows a switch is not the switch's."""
        named: list[tuple[str, object]] = []
        positional: list[object] = []
        for one in arguments:
            value = None if one.value is None else plain(self.value(one.value, frame))
            if one.name is None:
                positional.append(value)
            elif one.value is None:
                named.append((one.name, binder.BARE))
            elif not one.is_joined and _is_switch(name, one.name):
                named.append((one.name, binder.BARE))
                positional.append(value)
            else:
                named.append((one.name, value))
        return named, positional


def _is_switch(cmdlet_name: str, parameter_name: str) -> bool:
    cmdlet = metadata.find(cmdlet_name)
    return cmdlet is not None and cmdlet.is_switch(sets.parameter_named(cmdlet, parameter_name))


def _bind(block: Block, values: list[tuple[Argument, object]], scope: Scope, evaluator: Evaluator) -> None:
    """Give a function's parameters their values: by name, by the start of a name, then by position."""
    waiting = list(block.parameters)
    positional: list[object] = []
    for argument, value in values:
        if argument.name is None:
            positional.append(value)
            continue
        parameter = _parameter(block.parameters, argument.name)
        if parameter not in waiting:
            raise SimulatorError(f"-{argument.name} is given twice")
        waiting.remove(parameter)
        is_switch = parameter.type_name is not None and casts.short_type(parameter.type_name.name) == "switch"
        if is_switch and not argument.is_joined:
            if argument.value is not None:
                positional.append(value)
            _give(scope, parameter, True, evaluator)
            continue
        if argument.value is None:
            raise SimulatorError(f"-{argument.name} has no value")
        _give(scope, parameter, value, evaluator)
    if len(positional) > len(waiting):
        raise SimulatorError("more values than parameters")
    for value in positional:
        _give(scope, waiting.pop(0), value, evaluator)
    for parameter in waiting:
        _default(scope, parameter, evaluator)


def _parameter(parameters: tuple[Parameter, ...], name: str) -> Parameter:
    wanted = name.casefold()
    found = [one for one in parameters if one.name.casefold() == wanted]
    found = found or [one for one in parameters if one.name.casefold().startswith(wanted)]
    if len(found) != 1:
        raise SimulatorError(f"the function has no parameter -{name}")
    return found[0]


def _give(scope: Scope, parameter: Parameter, value: object, evaluator: Evaluator) -> None:
    if parameter.type_name is not None:
        value = casts.cast(parameter.type_name.name, value, evaluator.process.zone)
    scope.set(parameter.name, value)


def _default(scope: Scope, parameter: Parameter, evaluator: Evaluator) -> None:
    """A parameter that is not given: its default, else what its type makes of nothing."""
    if parameter.default is not None:
        _give(scope, parameter, evaluator.value(parameter.default, Frame(scope)), evaluator)
        return
    empty: dict[str, object] = {"string": "", "int": 0, "long": 0, "double": 0.0, "bool": False, "switch": False}
    kind = None if parameter.type_name is None else casts.short_type(parameter.type_name.name)
    scope.set(parameter.name, empty.get(kind) if kind else None)
