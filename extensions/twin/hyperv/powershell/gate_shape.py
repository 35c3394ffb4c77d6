# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shape of a script: it gives back one object and nothing beside it, and leaves PowerShell's own variables alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import AUTOMATIC
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_text import Finding
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Assign,
    Block,
    Call,
    Command,
    Flow,
    Foreach,
    Function,
    If,
    Literal,
    Parameter,
    Pipeline,
    Script,
    Statement,
    Table,
    Try,
    Variable,
    While,
)

_GIVING = ("Get-", "Measure-", "Test-", "Invoke-", "ConvertTo-", "ConvertFrom-", "Select-", "Sort-", "Where-", "New-")
_GIVING_WITH = frozenset(["passthru", "astest"])
_VOID_METHODS = frozenset(["add"])  # of a hashtable, the one type with .Add() that scripts may make


def findings(script: Script, *, is_bootstrap: bool) -> Iterator[Finding]:
    """Read the whole tree for what is written to, then the script's own statements for what they put out."""
    for node in _nodes(script.block):
        yield from _of_node(node)
    if not is_bootstrap:
        functions = {node.name.casefold(): node for node in _nodes(script.block) if isinstance(node, Function)}
        yield from _Output(functions).one_object(script.block.body, line=script.block.place.line)


def _nodes(node: object) -> Iterator[object]:
    if dataclasses.is_dataclass(node):
        yield node
        for each in dataclasses.fields(node):
            yield from _nodes(getattr(node, each.name))
    elif isinstance(node, tuple):
        for one in node:
            yield from _nodes(one)


def _of_node(node: object) -> Iterator[Finding]:
    match node:
        case Assign(target=Variable(place=place, name=name)) | Foreach(variable=Variable(place=place, name=name)):
            yield from _written(place.line, name)
        case Parameter(place=place, name=name):
            yield from _written(place.line, name)
        case Table(place=place, entries=entries):
            keys = [str(key.value).casefold() for key, dummy in entries if isinstance(key, Literal)]
            for key in sorted({key for key in keys if keys.count(key) > 1}):
                yield Finding(place.line, "duplicate-key", f"the key {key} is there twice, which PowerShell refuses")


def _written(line: int, name: str) -> Iterator[Finding]:
    if name.casefold() in AUTOMATIC:
        yield Finding(line, "automatic-variable", f"${name} is PowerShell's own")


class _Output:
    """Follows what the statements of a body put into the pipeline."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._functions = functions
        self._asked: set[str] = set()
        self._inside: list[str] = []  # the functions being asked about, so that one that calls itself ends

    def one_object(self, body: Sequence[Statement], *, line: int) -> Iterator[Finding]:
        """Find output before the last statement, and a last statement that puts out nothing or one object per turn."""
        statements = [statement for statement in body if not isinstance(statement, Function)]
        for statement in statements[:-1]:
            yield from self._strays(statement)
        match statements[-1:]:
            case [Flow(kind="throw")] | [Flow(kind="return", value=Pipeline())]:
                pass
            case [Pipeline() as pipeline] if self._gives(pipeline):
                yield from self._of_function(pipeline)
            case [If(clauses=clauses, otherwise=otherwise, place=place)] if otherwise:
                for branch in (*(inner for dummy, inner in clauses), otherwise):
                    yield from self.one_object(branch, line=place.line)
            case [Try(body=inner, catch=catch, place=place)]:
                for branch in (inner, *(() if catch is None else (catch,))):
                    yield from self.one_object(branch, line=place.line)
            case [(Foreach() | While()) as loop] if any(self._strays(loop)):
                yield Finding(loop.place.line, "stray-output", "a loop at the end puts out one object for each turn")
            case [last]:
                yield Finding(last.place.line, "no-output", "the end of the script puts out no object")
            case dummy:
                yield Finding(line, "no-output", "nothing here puts out an object")

    def _of_function(self, pipeline: Pipeline) -> Iterator[Finding]:
        if len(pipeline.elements) == 1 and isinstance(command := pipeline.elements[0], Command):
            function = self._functions.get((command.name or "").casefold())
            if function is not None and function.name not in self._asked:
                self._asked.add(function.name)
                yield from self.one_object(function.block.body, line=function.place.line)

    def _strays(self, statement: Statement) -> Iterator[Finding]:
        if isinstance(statement, Pipeline) and self._gives(statement):
            yield Finding(statement.place.line, "stray-output", "this goes into the answer beside the one object")
        for body in _bodies(statement):
            for inner in body:
                yield from self._strays(inner)

    def _gives(self, pipeline: Pipeline) -> bool:
        match pipeline.elements[-1]:
            case Command() as command:
                return self._command_gives(command)
            case Call(name=name, is_static=False):
                return name.casefold() not in _VOID_METHODS
            case dummy:
                return True

    def _command_gives(self, command: Command) -> bool:
        if command.name is None:
            return True
        function = self._functions.get(command.name.casefold())
        if function is not None:
            return self._function_gives(function)
        cmdlet = metadata.find(command.name)
        if cmdlet is None or cmdlet.name == "ForEach-Object":
            blocks = [one.value for one in command.arguments if isinstance(one.value, Block)]
            return any(self._any_gives(block.body) for block in blocks)
        names = {one.name.casefold() for one in command.arguments if one.name is not None}
        return cmdlet.name.startswith(_GIVING) or bool(names & _GIVING_WITH)

    def _function_gives(self, function: Function) -> bool:
        if function.name in self._inside:
            return False
        self._inside.append(function.name)
        try:
            return self._any_gives(function.block.body)
        finally:
            self._inside.pop()

    def _any_gives(self, body: Iterable[Statement]) -> bool:
        return any(
            (isinstance(one, Pipeline) and self._gives(one))
            or (isinstance(one, Flow) and one.kind == "return" and one.value is not None)
            or any(self._any_gives(inner) for inner in _bodies(one))
            for one in body
        )


def _bodies(statement: Statement) -> list[Sequence[Statement]]:
    """The statements inside a statement that run where it stands."""
    match statement:
        case If(clauses=clauses, otherwise=otherwise):
            return [*(body for dummy, body in clauses), otherwise]
        case Foreach(body=body) | While(body=body):
            return [body]
        case Try(body=body, catch=catch, last=last):
            return [body, catch or (), last or ()]
        case dummy:
            return []
