# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Walk through a parsed script as it would run, both ways of every fork, with types where values would be."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import gate_calls, metadata, sets
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import CONSTANTS
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_calls import Given
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_text import Finding
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.gate_types import (
    EMPTY,
    Scope,
    Type,
    cast_type,
    compared_enum,
    enum_of,
    literal,
    literal_type,
    merged,
    property_type,
    words,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.metadata import Cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    ArrayOf,
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Command,
    Expression,
    Flow,
    Foreach,
    Function,
    If,
    Index,
    Items,
    Literal,
    Member,
    Paren,
    Pipeline,
    Place,
    Script,
    Statement,
    Table,
    Try,
    TypeName,
    Unary,
    Variable,
    While,
)

# The types and methods of the agreed subset; the bootstrap has a few more, which read its input and write its answer.
_TYPES = frozenset(
    """string int long double bool datetime guid array pscustomobject ordered hashtable timespan uint16 object[]
    string[] int[]""".split()
)
_STATICS = frozenset(
    """datetime.utcnow convert.tobase64string convert.frombase64string guid.newguid guid.parse guid.empty math.abs
    math.ceiling math.floor math.max math.min math.round math.truncate environment.machinename
    management.automation.wildcardpattern.escape""".split()
)
_METHODS = frozenset(
    """add contains containskey endswith indexof replace split startswith substring toarray tolower tolowerinvariant
    tostring touniversaltime toupper toupperinvariant trim trimend trimstart""".split()
)
_BOOTSTRAP_STATICS = frozenset(
    """console.openstandardinput console.outputencoding console.in console.out scriptblock.create text.encoding.utf8
    text.utf8encoding.new io.streamreader.new""".split()
)
_BOOTSTRAP_METHODS = frozenset("readtoend getbytes getstring write writeline flush".split())
_COMPARING = frozenset(["-eq", "-ne", "-ceq", "-cne", "-in", "-notin", "-contains", "-notcontains"])
_PASSING_ON = frozenset(["Where-Object", "Sort-Object"])
_WITH_BLOCKS = frozenset(["Where-Object", "ForEach-Object"])
_RESHAPING = frozenset(["Property", "ExcludeProperty"])  # of Select-Object: another object comes out


class Walk:
    """One script's walk; `findings` fills as it goes."""

    def __init__(self, script: Script, *, is_bootstrap: bool) -> None:
        self._script = script
        self._known = script.assigned.union(CONSTANTS, ["_"])  # the names of variables that have a value
        self._statics = _STATICS | _BOOTSTRAP_STATICS if is_bootstrap else _STATICS
        self._methods = _METHODS | _BOOTSTRAP_METHODS if is_bootstrap else _METHODS
        self._functions: dict[str, Function] = {}
        self._walked: dict[tuple[str, tuple[Type, ...]], Type] = {}
        self._returns: list[list[Type]] = []
        self.findings: set[Finding] = set()

    def whole(self) -> set[Finding]:
        """Walk through the script, then through the functions that it does not call."""
        self._returns.append([])
        self._body(self._script.block.body, Scope())
        called = {name for name, dummy in self._walked}
        for name, function in self._functions.items():
            if name not in called:
                self._call_function(function, {}, Scope())
        return self.findings

    def _find(self, place: Place, rule: str, message: str) -> None:
        self.findings.add(Finding(place.line, rule, message))

    # --- statements --------------------------------------------------------------------------------------------------

    def _body(self, body: Sequence[Statement], scope: Scope) -> Type:
        for statement in body:
            if isinstance(statement, Function):
                self._functions[statement.name.casefold()] = statement
        return merged([self._statement(statement, scope) for statement in body])

    def _statement(self, statement: Statement, scope: Scope) -> Type:
        """Walk through a statement; the type of what it outputs."""
        match statement:
            case Pipeline():
                return self._pipeline(statement, scope)
            case Assign():
                self._assign(statement, scope)
            case If(clauses=clauses, otherwise=otherwise):
                outputs = []
                for condition, body in clauses:
                    self._statement(condition, scope)
                    outputs.append(self._body(body, scope))
                return merged([*outputs, self._body(otherwise, scope)])
            case Foreach(variable=variable, source=source, body=body):
                scope.set(variable.name, self._statement(source, scope))
                return self._body(body, scope)
            case While(condition=condition, body=body):
                self._statement(condition, scope)
                return self._body(body, scope)
            case Try(body=body, catch=catch, last=last):
                outputs = [self._body(body, scope)]
                with _item(scope, None):
                    outputs.append(self._body(catch or (), scope))
                return merged([*outputs, self._body(last or (), scope)])
            case Flow(kind=kind, value=value):
                type_name = self._statement(value, scope) if value is not None else EMPTY
                if kind == "return":
                    self._returns[-1].append(type_name)
            case Function():
                pass
            case dummy:
                t.assert_never(dummy)
        return EMPTY

    def _assign(self, statement: Assign, scope: Scope) -> None:
        type_name = self._statement(statement.value, scope)
        if isinstance(statement.target, Variable):
            scope.set(statement.target.name, type_name)
        else:
            self._value(statement.target, scope)

    def _pipeline(self, statement: Pipeline, scope: Scope) -> Type:
        piped: Type = EMPTY
        for place, element in enumerate(statement.elements):
            match element:
                case Command():
                    piped = self._command(element, piped, place > 0, scope)
                case dummy:
                    piped = self._value(dummy, scope)
        return piped

    # --- values ------------------------------------------------------------------------------------------------------

    def _value(self, expression: Expression, scope: Scope) -> Type:
        match expression:
            case Literal(value=value):
                return literal_type(value)
            case Variable(place=place, name=name):
                if name.casefold() not in self._known:
                    self._find(place, "unknown-variable", f"${name} never gets a value")
                return scope.get(name)
            case TypeName():
                self._type(expression)
                return None
            case Items(items=items):
                return merged([self._value(one, scope) for one in items])
            case ArrayOf(body=body):
                return self._body(body, scope)
            case Paren(inner=inner):
                return self._statement(inner, scope)
            case Table(entries=entries):
                for key, value in entries:
                    self._value(key, scope)
                    self._statement(value, scope)
                return "hashtable"
            case Block(body=body):
                with _item(scope, None):
                    self._body(body, scope)
                return "scriptblock"
            case Unary(operator=operator, operand=operand):
                type_name = self._value(operand, scope)
                return None if operator == "-not" else type_name
            case Binary():
                return self._binary(expression, scope)
            case Cast(type_name=kind, operand=operand):
                self._value(operand, scope)
                self._type(kind)
                return cast_type(kind.name)
            case Member():
                return self._member(expression, scope)
            case Call():
                return self._call(expression, scope)
            case Index(target=target, index=index):
                self._value(index, scope)
                type_name = self._value(target, scope)
                return None if type_name in ("hashtable", "string") else type_name
            case dummy:
                t.assert_never(dummy)

    def _binary(self, expression: Binary, scope: Scope) -> Type:
        sides = (expression.left, expression.right)
        types = [self._value(side, scope) for side in sides]
        if expression.operator in _COMPARING:
            for side, other in (sides, sides[::-1]):
                # A second walk of the same place finds the same things, which a set keeps once.
                names = enum_of(self._value(compared_enum(side), scope))
                for word in words(other) if names is not None else ():
                    # The name of a nullable value may be '' as well.
                    if word and word.casefold() not in {name.casefold() for name in names or ()}:
                        self._find(expression.place, "bad-enum", f"{word!r} is not one of {', '.join(names or ())}")
        return merged(types) if expression.operator == "+" else None

    def _type(self, kind: TypeName) -> None:
        if _short(kind.name) not in _TYPES:
            self._find(kind.place, "type", f"[{kind.name}] is not among the types that scripts keep to")

    def _static(self, kind: Expression, name: str) -> None:
        if isinstance(kind, TypeName) and f"{_short(kind.name)}.{name.casefold()}" not in self._statics:
            self._find(kind.place, "type", f"[{kind.name}]::{name} is not among the members that scripts keep to")

    def _call(self, expression: Call, scope: Scope) -> Type:
        for argument in expression.arguments:
            self._value(argument, scope)
        if expression.is_static:
            self._static(expression.target, expression.name)
            return None
        self._value(expression.target, scope)
        if expression.name.casefold() not in self._methods:
            self._find(
                expression.place, "method", f".{expression.name}() is not among the methods that scripts keep to"
            )
        return None

    def _member(self, expression: Member, scope: Scope) -> Type:
        if expression.is_static:
            self._static(expression.target, expression.name)
            return None
        target = self._value(expression.target, scope)
        if not target:
            return None
        is_there, type_name = property_type(target, expression.name)
        if not is_there:
            self._find(expression.place, "unknown-property", f"a {target} has no property {expression.name}")
        return type_name

    # --- commands ----------------------------------------------------------------------------------------------------

    def _command(self, command: Command, piped: Type, is_piped: bool, scope: Scope) -> Type:
        name = command.name or ""
        cmdlet = metadata.find(name)
        block_item = piped if cmdlet is not None and cmdlet.name in _WITH_BLOCKS else None
        block_output: Type = EMPTY
        given = []
        for argument in command.arguments:
            type_name: Type = None
            if isinstance(argument.value, Block):
                with _item(scope, block_item):
                    block_output = self._body(argument.value.body, scope)
                type_name = "scriptblock"
            elif argument.value is not None:
                type_name = self._value(argument.value, scope)
            given.append(Given(argument, type_name))
        if command.block is not None:
            self._value(command.block, scope)
            return None
        if cmdlet is not None:
            for rule, message in gate_calls.reasons(cmdlet, given, piped, is_piped=is_piped):
                self._find(command.place, rule, message)
            return self._output(cmdlet, command, piped, block_output)
        function = self._functions.get(name.casefold())
        if function is None:
            self._find(command.place, sets.UNKNOWN_CMDLET, f"{name} is neither in cmdlets.json nor a function above")
            return None
        if is_piped:
            self._find(command.place, sets.UNBOUND, f"the function {function.name} takes no input from a pipeline")
        return self._call_function(function, self._arguments(function, given), scope)

    def _arguments(self, function: Function, given: Sequence[Given]) -> dict[str, Type]:
        known = {parameter.name.casefold() for parameter in function.block.parameters}
        types: dict[str, Type] = {}
        for one in given:
            place, name = one.argument.place, one.argument.name
            if name is None:
                self._find(place, "positional", f"{function.name}: every argument is given by its parameter's name")
            elif name.casefold() not in known:
                self._find(place, sets.UNKNOWN_PARAMETER, f"the function {function.name} has no parameter -{name}")
            else:
                types[name.casefold()] = one.type
        return types

    def _call_function(self, function: Function, types: Mapping[str, Type], scope: Scope) -> Type:
        """Walk through a function with the types of one call; the type of what it outputs."""
        names = [parameter.name.casefold() for parameter in function.block.parameters]
        key = function.name.casefold(), tuple(types.get(name) for name in names)
        if key in self._walked:
            return self._walked[key]
        self._walked[key] = None  # what it gives to a call of itself
        self._returns.append([])
        output = self._body(function.block.body, scope.inner({name: types.get(name) for name in names}))
        self._walked[key] = merged([output, *self._returns.pop()])
        return self._walked[key]

    def _output(self, cmdlet: Cmdlet, command: Command, piped: Type, block_output: Type) -> Type:
        given = {argument.name.casefold(): argument for argument in command.arguments if argument.name is not None}
        if cmdlet.name in _PASSING_ON:
            return piped
        if cmdlet.name == "ForEach-Object":
            return block_output
        if cmdlet.name == "Select-Object":
            if (expanded := given.get("expandproperty")) is not None and expanded.value is not None:
                return self._expanded(piped, literal(expanded.value), command.place)
            return None if any(name.casefold() in given for name in _RESHAPING) else piped
        if cmdlet.name == "Out-Null":
            return EMPTY
        return cmdlet.outputs[0] if len(cmdlet.outputs) == 1 else None

    def _expanded(self, piped: Type, name: object, place: Place) -> Type:
        if not piped or not isinstance(name, str):
            return None
        is_there, type_name = property_type(piped, name)
        if not is_there:
            self._find(place, "unknown-property", f"a {piped} has no property {name}")
        return type_name


def _short(name: str) -> str:
    return name.casefold().removeprefix("system.")


@contextmanager
def _item(scope: Scope, type_name: Type) -> Iterator[None]:
    """Let ``$_`` be of this type for a while; every other variable stays the scope's own."""
    before = scope.types.get("_")
    scope.types["_"] = type_name
    try:
        yield
    finally:
        scope.types["_"] = before
