# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interpreter: statements, and what an error does to the one it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import casts, members, operators, statics
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import (
    Broken,
    Continued,
    Exited,
    Flow,
    Frame,
    Returned,
    record_of,
    thrown,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import is_true, plain, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Assign,
    Command,
    Foreach,
    Function,
    If,
    Index,
    Member,
    Pipeline,
    Statement,
    Try,
    TypeName,
    Variable,
    While,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import Flow as FlowStatement
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.pipeline import Pipelines, emitted
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import NOTHING


class Interpreter(Pipelines):
    """Runs scripts in one process."""

    def execute(self, text: str) -> Iterator[object]:
        """Run a whole script: its output, as it comes. Raises what ends it, Exited included."""
        script = parse(text)
        self.process.assigned |= script.assigned
        frame = Frame(self.process.globals)
        if script.block.parameters:
            yield from self.invoke(script.block, frame)
        else:
            yield from self._body(script.block, frame)

    def statements(self, body: tuple[Statement, ...], frame: Frame) -> Iterator[object]:
        for statement in body:
            self.process.check()
            self.process.is_well = True
            try:
                yield from self.run(statement, frame)
            except SimulatorError as error:
                raise error.at(statement.place.line, statement.place.text) from None
            except PowerShellError as error:
                self.placed(error, statement.place)
                self._go_on_or_raise(error, frame)
                self.process.is_well = False

    def _go_on_or_raise(self, error: PowerShellError, frame: Frame) -> None:
        """A terminating error ends its statement; the script only where a try waits or the preference says Stop."""
        if frame.is_caught or error.ends_script:
            raise error
        preference = self.preference(frame)
        if preference == "Stop":
            error.ends_script = True
            raise error
        if preference == "Continue":
            self.process.errors.append(error)
        elif preference not in ("SilentlyContinue", "Ignore"):
            raise SimulatorError(f"the twin does not know $ErrorActionPreference = {preference!r}")

    def run(self, statement: Statement, frame: Frame) -> Iterator[object]:
        match statement:
            case Pipeline():
                yield from self._output(statement, frame)
            case Assign():
                self._assign(statement, frame)
            case If():
                yield from self._if(statement, frame)
            case Foreach():
                yield from self._foreach(statement, frame)
            case While():
                while self._holds(statement.condition, frame):
                    self.process.check()
                    try:
                        yield from self.statements(statement.body, frame)
                    except Continued:
                        continue
                    except Broken:
                        break
            case Try():
                yield from self._try(statement, frame)
            case FlowStatement():
                yield from self._leave(statement, frame)
            case Function():
                frame.scope.define(statement.name, statement.block)

    def _output(self, node: Pipeline, frame: Frame) -> Iterator[object]:
        element = node.elements[0]
        if len(node.elements) == 1 and not isinstance(element, Command):
            yield from emitted(self.value(element, frame))
        else:
            yield from self.pipeline(node, frame)

    def _holds(self, condition: Statement, frame: Frame) -> bool:
        return is_true(plain(self.captured(condition, frame)))

    def _if(self, node: If, frame: Frame) -> Iterator[object]:
        for condition, body in node.clauses:
            if self._holds(condition, frame):
                yield from self.statements(body, frame)
                return
        yield from self.statements(node.otherwise, frame)

    def _foreach(self, node: Foreach, frame: Frame) -> Iterator[object]:
        source = self.captured(node.source, frame)
        if source is None or source is NOTHING:
            return
        for item in list(source) if isinstance(source, list) else [source]:
            self.process.check()
            frame.scope.set(node.variable.name, item)
            try:
                yield from self.statements(node.body, frame)
            except Continued:
                continue
            except Broken:
                break

    def _try(self, node: Try, frame: Frame) -> Iterator[object]:
        try:
            try:
                yield from self.statements(node.body, replace(frame, is_caught=True))
            except PowerShellError as error:
                if node.catch is None:
                    raise
                yield from self.statements(node.catch, replace(frame, it=record_of(error)))
        except (PowerShellError, Flow):
            yield from self.statements(node.last or (), frame)
            raise
        except GeneratorExit:  # Select-Object -First has enough: finally runs, and nobody takes its output
            for dummy in self.statements(node.last or (), frame):
                continue
            raise
        else:
            yield from self.statements(node.last or (), frame)

    def _leave(self, node: FlowStatement, frame: Frame) -> Iterator[object]:
        match node.kind:
            case "break":
                raise Broken
            case "continue":
                raise Continued
            case "return":
                if node.value is not None:
                    yield from self.run(node.value, frame)
                raise Returned
            case "throw" if node.value is not None:
                value = plain(self.captured(node.value, frame))
                raise self.placed(thrown(value, text_of(value)), node.place)
            case "exit":
                code = 0 if node.value is None else casts.to_integer(plain(self.captured(node.value, frame)))
                raise Exited(code)
            case dummy:
                raise SimulatorError(f"the twin does not know {node.kind}")

    def _assign(self, node: Assign, frame: Frame) -> None:
        value = self.captured(node.value, frame)
        if node.operator == "+=":
            value = operators.add(plain(self.value(node.target, frame)), plain(value))
        try:
            self._store(node, value, frame)
        except PowerShellError as error:
            raise self.placed(error, node.place) from None

    def _store(self, node: Assign, value: object, frame: Frame) -> None:
        match node.target:
            case Variable(name=name):
                if name.casefold() != "null":
                    frame.scope.set(name, value)
            case Member(target=TypeName(name=type_word), name=name):
                statics.write(type_word, name, value, self.process)
            case Member(target=target, name=name):
                members.write(self.value(target, frame), name, value)
            case Index(target=target, index=index):
                members.set_element(self.value(target, frame), self.value(index, frame), value)
            case dummy:
                raise SimulatorError("the twin does not assign to this")
