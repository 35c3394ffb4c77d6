# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a script's text with tree-sitter-powershell; whatever the twin does not understand is refused before it runs."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Callable

import tree_sitter
import tree_sitter_powershell

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Assign,
    Block,
    Command,
    Expression,
    Flow,
    Foreach,
    Function,
    If,
    Index,
    Member,
    Parameter,
    Pipeline,
    Script,
    Statement,
    Try,
    Variable,
    While,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse_expressions import (
    FUNCTION_NAME,
    ExpressionReader,
)

_ASSIGNMENTS = ("=", "+=")
_FLOWS = ("return", "throw", "break", "continue", "exit")
_LANGUAGE = tree_sitter.Language(tree_sitter_powershell.language())
_Node: t.TypeAlias = tree_sitter.Node


@functools.lru_cache(maxsize=256)
def parse(text: str) -> Script:
    """Return the tree of a script; raises SimulatorError naming line and text of what the twin does not know."""
    source = text.encode("utf-8")
    return _Reader(source).script(root_of(source))


def root_of(source: bytes) -> _Node:
    """The root of the parser's own tree, whatever it makes of the text."""
    return tree_sitter.Parser(_LANGUAGE).parse(source).root_node


def is_broken(node: _Node) -> bool:
    """Whether the parser itself did not understand this place."""
    return node.is_missing or node.type == "ERROR"


class _Reader(ExpressionReader):
    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        self._assigned: set[str] = set()

    def script(self, root: _Node) -> Script:
        self._refuse_broken(root)
        block = self.block(root)
        return Script(block, frozenset(self._assigned))

    def _refuse_broken(self, root: _Node) -> None:
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if is_broken(node):
                raise self.error(node, "the parser does not understand this")
            if node.has_error:
                waiting.extend(reversed(node.children))

    def block(self, node: _Node) -> Block:
        """A program, a script_block or the braces around one; `param()` may stand in the braces or in the block."""
        parameters: tuple[Parameter, ...] = ()
        body: tuple[Statement, ...] = ()
        for child in self.children(node):
            match child.type:
                case "{" | "}":
                    continue
                case "param_block":
                    parameters = self._parameters(child)
                case "statement_list":
                    body = self.statements(child)
                case "script_block" | "script_block_body":
                    inner = self.block(child)
                    parameters, body = parameters or inner.parameters, inner.body
                case dummy:
                    raise self.unknown(child)
        return Block(self.place(node), parameters, body, self.text(node))

    def _parameters(self, node: _Node) -> tuple[Parameter, ...]:
        found = []
        for child in self.children(node):
            if child.type == "parameter_list":
                found += [self._parameter(one) for one in self.children(child) if one.type != ","]
            elif child.type not in ("param", "(", ")"):
                raise self.unknown(child)
        return tuple(found)

    def _parameter(self, node: _Node) -> Parameter:
        name, type_name, default = "", None, None
        for child in self.children(node):
            match child.type:
                case "variable":
                    name = self.variable(child).name
                case "attribute_list":
                    attribute = self.only(self.only(child, "attribute"), "type_literal")
                    type_name = self.type_name(attribute)
                case "script_parameter_default":
                    default = self.expression(self.children(child)[-1])
                case dummy:
                    raise self.unknown(child)
        self._assigned.add(name.casefold())
        return Parameter(self.place(node), name, type_name, default)

    def statements(self, node: _Node) -> tuple[Statement, ...]:
        """The statements of a statement_list, or of a statement_block in its braces."""
        found: list[Statement] = []
        for child in self.children(node):
            if child.type in ("{", "}", ";", "empty_statement"):
                continue
            if child.type == "statement_list":
                found += self.statements(child)
            else:
                found.append(self.statement(child))
        return tuple(found)

    def statement(self, node: _Node) -> Statement:
        read: Callable[[_Node], Statement] | None = {
            "pipeline": self._pipeline,
            "if_statement": self._if,
            "foreach_statement": self._foreach,
            "while_statement": self._while,
            "try_statement": self._try,
            "flow_control_statement": self._flow,
            "function_statement": self._function,
        }.get(node.type)
        if read is None:
            raise self.unknown(node)
        return read(node)

    def _pipeline(self, node: _Node) -> Statement:
        children = self.children(node)
        if len(children) != 1:
            raise self.unknown(children[1])
        child = children[0]
        if child.type == "assignment_expression":
            return self._assign(child)
        if child.type != "pipeline_chain":
            raise self.unknown(child)
        elements: list[Command | Expression] = []
        for place, one in enumerate(self.children(child)):
            if place % 2:
                if one.type != "|":
                    raise self.unknown(one)
            else:
                elements.append(self.command(one) if one.type == "command" else self.expression(one))
        return Pipeline(self.place(node), tuple(elements))

    def _assign(self, node: _Node) -> Statement:
        left, sign, value = self.children(node)
        target = self.expression(self.children(left)[0])
        operator = self.text(sign)
        if operator not in _ASSIGNMENTS:
            raise self.error(node, f"the twin does not know the assignment {operator}")
        if not isinstance(target, (Variable, Member, Index)):
            raise self.error(node, "only a variable, a property or an element can be assigned to")
        if isinstance(target, Variable):
            if target.name.casefold() in ("true", "false", "_", "psitem"):
                raise self.error(node, f"${target.name} cannot be assigned to")
            self._assigned.add(target.name.casefold())
        return Assign(self.place(node), target, operator, self.statement(value))

    def _if(self, node: _Node) -> Statement:
        clauses: list[tuple[Statement, tuple[Statement, ...]]] = []
        otherwise: tuple[Statement, ...] = ()
        condition: Statement | None = None
        for child in self.children(node):
            match child.type:
                case "pipeline":
                    condition = self.statement(child)
                case "statement_block" if condition is not None:
                    clauses.append((condition, self.statements(child)))
                case "elseif_clauses":
                    for clause in self.children(child):
                        parts = {one.type: one for one in self.children(clause)}
                        clauses.append((self.statement(parts["pipeline"]), self.statements(parts["statement_block"])))
                case "else_clause":
                    otherwise = self.statements(self._last(child, "statement_block"))
                case "if" | "(" | ")":
                    continue
                case dummy:
                    raise self.unknown(child)
        return If(self.place(node), tuple(clauses), otherwise)

    def _foreach(self, node: _Node) -> Statement:
        kinds = [child.type for child in self.children(node)]
        if kinds != ["foreach", "(", "variable", "in", "pipeline", ")", "statement_block"]:
            raise self.error(node, "the twin does not know this form of foreach")
        children = self.children(node)
        variable = self.variable(children[2])
        self._assigned.add(variable.name.casefold())
        return Foreach(self.place(node), variable, self.statement(children[4]), self.statements(children[6]))

    def _while(self, node: _Node) -> Statement:
        children = self.children(node)
        if [child.type for child in children] != ["while", "(", "while_condition", ")", "statement_block"]:
            raise self.error(node, "the twin does not know this form of while")
        condition = self.statement(self.children(children[2])[0])
        return While(self.place(node), condition, self.statements(children[4]))

    def _try(self, node: _Node) -> Statement:
        body: tuple[Statement, ...] = ()
        catch: tuple[Statement, ...] | None = None
        last: tuple[Statement, ...] | None = None
        for child in self.children(node):
            match child.type:
                case "try":
                    continue
                case "statement_block":
                    body = self.statements(child)
                case "catch_clauses":
                    clause = self.only(child, "catch_clause")
                    catch = self.statements(self._last(clause, "statement_block"))
                case "finally_clause":
                    last = self.statements(self._last(child, "statement_block"))
                case dummy:
                    raise self.unknown(child)
        if catch is None and last is None:
            raise self.error(node, "a try without catch or finally")
        return Try(self.place(node), body, catch, last)

    def _flow(self, node: _Node) -> Statement:
        children = self.children(node)
        kind = self.text(children[0]).casefold()
        if kind not in _FLOWS or len(children) > 2:
            raise self.unknown(node)
        value = self.statement(children[1]) if len(children) == 2 else None
        if kind in ("break", "continue") and value is not None:
            raise self.error(node, "the twin does not know labels")
        if kind == "throw" and value is None:
            raise self.error(node, "the twin does not know throw without a value")
        return Flow(self.place(node), kind, value)

    def _function(self, node: _Node) -> Statement:
        kinds = {child.type: child for child in self.children(node)}
        if not set(kinds) <= {"function", "function_name", "{", "script_block", "}"}:
            raise self.error(node, "the twin does not know this form of function")
        name = self.text(kinds["function_name"])
        if not FUNCTION_NAME.fullmatch(name):
            raise self.error(node, f"a function is called Verb-Noun, not {name}")
        empty = Block(self.place(node), (), ())
        return Function(self.place(node), name, self.block(kinds["script_block"]) if "script_block" in kinds else empty)

    def _last(self, node: _Node, kind: str) -> _Node:
        """The last child, with nothing but one keyword before it (no types on catch)."""
        children = self.children(node)
        if len(children) != 2 or children[-1].type != kind:
            raise self.unknown(children[1] if len(children) > 2 else node)
        return children[-1]
