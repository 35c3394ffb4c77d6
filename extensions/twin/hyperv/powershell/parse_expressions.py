# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The expressions and commands of a parse tree: a closed list of node kinds, names, operators and literals."""

from __future__ import annotations

import itertools
import re
import typing as t
from abc import ABC, abstractmethod

import tree_sitter

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    Argument,
    ArrayOf,
    Binary,
    Block,
    Call,
    Cast,
    Command,
    Expression,
    Index,
    Items,
    Literal,
    Member,
    Paren,
    Place,
    Statement,
    Table,
    TypeName,
    Unary,
    Variable,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Int64

_Node: t.TypeAlias = tree_sitter.Node
# In the tree's own order of precedence; the forms with `_argument` are the same inside a method's brackets.
_LEVELS = ("logical", "bitwise", "comparison", "additive", "multiplicative", "format", "range")
_CHAINS = {f"{level}{middle}_expression" for level in _LEVELS for middle in ("", "_argument")}
BINARY_OPERATORS = frozenset(
    "-eq -ne -ceq -cne -gt -ge -lt -le -in -notin -contains -notcontains -and -or -is -like -notlike -match -band"
    " + - * / %".split()
)
_UNARY_OPERATORS = frozenset(["-not", "-", ","])
FUNCTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*-[A-Za-z0-9]+")
_BARE_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# What PowerShell takes for a quotation mark beside ' itself: such a letter would end a string that the parser goes on with.
_CURLY_QUOTES = frozenset("\u2018\u2019\u201a\u201b\u201c\u201d\u201e")


class ExpressionReader(ABC):
    """Turns the parser's nodes into the twin's; refuses every node that is not on the list."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines = source.decode("utf-8").splitlines()

    @abstractmethod
    def block(self, node: _Node) -> Block: ...

    @abstractmethod
    def statement(self, node: _Node) -> Statement: ...

    @abstractmethod
    def statements(self, node: _Node) -> tuple[Statement, ...]: ...

    def text(self, node: _Node) -> str:
        return self._source[node.start_byte : node.end_byte].decode("utf-8").strip()

    def place(self, node: _Node) -> Place:
        # A node may begin with the line break before it.
        blank = self._source[node.start_byte : node.end_byte]
        skipped = blank[: len(blank) - len(blank.lstrip())].count(b"\n")
        line = node.start_point[0] + 1 + skipped
        return Place(line, self._lines[line - 1].strip() if line <= len(self._lines) else "")

    def error(self, node: _Node, what: str) -> SimulatorError:
        place = self.place(node)
        return SimulatorError(what, line=place.line, text=place.text)

    def unknown(self, node: _Node) -> SimulatorError:
        return self.error(node, f"the twin does not know `{self.text(node)[:60]}` ({node.type})")

    def children(self, node: _Node) -> list[_Node]:
        return [child for child in node.children if child.type != "comment"]

    def only(self, node: _Node, kind: str) -> _Node:
        children = self.children(node)
        if len(children) != 1 or children[0].type != kind:
            raise self.unknown(children[-1] if children else node)
        return children[0]

    def expression(self, node: _Node) -> Expression:
        children = self.children(node)
        if node.type in _CHAINS:
            return self._chain(node, children)
        match node.type:
            case "array_literal_expression" if len(children) > 1:
                return Items(self.place(node), tuple(self.expression(one) for one in children if one.type != ","))
            case "unary_expression" | "array_literal_expression" | "argument_expression" | "integer_literal":
                if len(children) != 1:
                    raise self.unknown(node)
                return self.expression(children[0])
            case "expression_with_unary_operator":
                return self._unary(node, children)
            case "variable":
                return self.variable(node)
            case "string_literal":
                return self._string(node)
            case "decimal_integer_literal":
                return self._integer(node)
            case "type_literal":
                return self.type_name(node)
            case "parenthesized_expression":
                return Paren(self.place(node), self.statement(self._inside(node, "(", ")")))
            case "array_expression":
                body = [self.statements(one) for one in children if one.type not in ("@(", ")")]
                return ArrayOf(self.place(node), body[0] if body else ())
            case "hash_literal_expression":
                return self._table(node)
            case "script_block_expression":
                return self.block(node)
            case "member_access" if _is_unbroken(children):
                target, name, is_static = self._member(children[:3], node)
                return Member(self.place(node), target, name, is_static)
            case "invokation_expression" if len(children) == 4 and _is_unbroken(children):
                target, name, is_static = self._member(children[:3], node)
                return Call(self.place(node), target, name, is_static, self.arguments(children[3]))
            case "element_access" if len(children) == 4 and _is_unbroken(children[:2]):
                return Index(self.place(node), self.expression(children[0]), self.expression(children[2]))
            case dummy:
                raise self.unknown(node)

    def _chain(self, node: _Node, children: list[_Node]) -> Expression:
        if len(children) == 1:
            return self.expression(children[0])
        if len(children) != 3:
            raise self.unknown(node)
        operator = self.text(children[1]).casefold()
        if operator not in BINARY_OPERATORS:
            raise self.error(node, f"the twin does not know the operator {operator}")
        return Binary(self.place(node), operator, self.expression(children[0]), self.expression(children[2]))

    def _unary(self, node: _Node, children: list[_Node]) -> Expression:
        if len(children) == 1 and children[0].type == "cast_expression":
            kind, operand = self.children(children[0])
            return Cast(self.place(node), self.type_name(kind), self.expression(operand))
        operator = self.text(children[0]).casefold()
        if len(children) != 2 or operator not in _UNARY_OPERATORS:
            raise self.error(node, f"the twin does not know the operator {operator}")
        return Unary(self.place(node), operator, self.expression(children[1]))

    def variable(self, node: _Node) -> Variable:
        text = self.text(node)
        if not re.fullmatch(r"\$[A-Za-z0-9_]+", text):
            raise self.error(node, f"the twin does not know the variable {text}")
        return Variable(self.place(node), text[1:])

    def _string(self, node: _Node) -> Literal:
        inner = self.only(node, "verbatim_string_characters")
        text = self._source[inner.start_byte : inner.end_byte].decode("utf-8").strip()
        if len(text) < 2 or text[0] != "'" or text[-1] != "'" or _CURLY_QUOTES & set(text):
            raise self.unknown(node)
        return Literal(self.place(node), text[1:-1].replace("''", "'"))

    def _integer(self, node: _Node) -> Literal:
        text = self.text(node)
        if not text.isdecimal() or int(text) >= 2**63:
            raise self.unknown(node)
        value = int(text)
        return Literal(self.place(node), value if value < 2**31 else Int64(value))

    def type_name(self, node: _Node) -> TypeName:
        return TypeName(self.place(node), "".join(self.text(node).split())[1:-1])

    def _inside(self, node: _Node, opening: str, closing: str) -> _Node:
        children = self.children(node)
        if [self.text(one) for one in (children[0], children[-1])] != [opening, closing] or len(children) != 3:
            raise self.unknown(node)
        return children[1]

    def _table(self, node: _Node) -> Table:
        entries: list[tuple[Expression, Statement]] = []
        for body in self.children(node):
            if body.type in ("@{", "}"):
                continue
            for entry in self.children(body):
                if entry.type == ";":
                    continue
                key, dummy, value = self._entry(entry)
                entries.append((self._key(key), self.statement(value)))
        return Table(self.place(node), tuple(entries))

    def _entry(self, node: _Node) -> tuple[_Node, _Node, _Node]:
        children = [child for child in self.children(node) if child.type != ";"]
        if node.type != "hash_entry" or len(children) != 3 or self.text(children[1]) != "=":
            raise self.unknown(node)
        return children[0], children[1], children[2]

    def _key(self, node: _Node) -> Expression:
        inner = self.children(node)[0]
        if inner.type == "simple_name":
            return Literal(self.place(node), self.text(inner))
        return self.expression(inner)

    def _member(self, parts: list[_Node], node: _Node) -> tuple[Expression, str, bool]:
        target, sign, name = parts
        inner = self.children(name)[0] if name.type == "member_name" else name
        if inner.type == "simple_name":
            word = self.text(inner)
        elif inner.type == "string_literal":
            word = str(self._string(inner).value)
        else:
            raise self.unknown(name)
        if self.text(sign) not in (".", "::"):
            raise self.unknown(node)
        is_static = self.text(sign) == "::"
        reached = self.expression(target)
        if is_static and not isinstance(reached, TypeName):
            raise self.error(node, "a static member is reached through a type")
        return reached, word, is_static

    def arguments(self, node: _Node) -> tuple[Expression, ...]:
        """The arguments of a method, in their brackets."""
        found: list[Expression] = []
        for child in self.children(node):
            if child.type == "argument_expression_list":
                found += [self.expression(one) for one in self.children(child) if one.type != ","]
            elif child.type not in ("(", ")"):
                raise self.unknown(child)
        return tuple(found)

    def command(self, node: _Node) -> Command:
        name: str | None = None
        block: Expression | None = None
        is_called = False
        arguments: tuple[Argument, ...] = ()
        for child in self.children(node):
            match child.type:
                case "command_invokation_operator" if self.text(child) == "&":
                    is_called = True
                case "command_name" if not is_called:
                    name = self.text(child)
                case "command_name_expr" if is_called:
                    inner = self.children(child)[0]
                    if inner.type != "path_command_name" or self.children(inner)[0].type != "variable":
                        raise self.unknown(child)
                    block = self.variable(self.only(inner, "variable"))
                case "command_elements":
                    arguments = self._elements(child)
                case dummy:
                    raise self.unknown(child)
        if name is not None and not FUNCTION_NAME.fullmatch(name):  # no keyword has a dash
            raise self.error(node, f"the twin does not know the command {name}")
        return Command(self.place(node), name, block, arguments)

    def _elements(self, node: _Node) -> tuple[Argument, ...]:
        found: list[Argument] = []
        is_joined = False
        before = ""
        for child in self.children(node):
            kind, previous, before = child.type, before, child.type
            if kind == "command_argument_sep":
                is_joined = is_joined or self.text(child) == ":"
                continue
            # The parser cuts `$a.B()` in two where it is an argument; to PowerShell it is one.
            if kind == "argument_list" and previous == "member_access":
                found[-1] = self._called(found[-1], child)
                continue
            if previous != "command_argument_sep":  # a line break, or two words in one
                raise self.unknown(child)
            if kind == "command_parameter":
                found.append(Argument(self.place(child), self.text(child)[1:], None))
                is_joined = False
                continue
            value = self._value(child)
            before = "member_access" if isinstance(value, Member) else kind
            if found and found[-1].name is not None and found[-1].value is None:
                found[-1] = Argument(found[-1].place, found[-1].name, value, is_joined)
            else:
                found.append(Argument(self.place(child), None, value))
            is_joined = False
        return tuple(found)

    def _called(self, argument: Argument, node: _Node) -> Argument:
        member = argument.value
        if not isinstance(member, Member):
            raise self.unknown(node)
        call = Call(member.place, member.target, member.name, member.is_static, self.arguments(node))
        return Argument(argument.place, argument.name, call, argument.is_joined)

    def _value(self, node: _Node) -> Expression:
        if node.type == "generic_token":
            if not _BARE_WORD.fullmatch(self.text(node)):
                raise self.unknown(node)
            return Literal(self.place(node), self.text(node))
        if self.text(node).startswith("["):
            raise self.error(node, "an argument that begins with [ is a text to PowerShell: put brackets around it")
        value = self.expression(node)
        root = value
        while isinstance(root, (Member, Call, Index)):
            root = root.target
        if root is not value and not isinstance(root, (Variable, Paren)):
            raise self.error(
                node, "what follows a literal is an argument of its own to PowerShell: put brackets around it"
            )
        return value


def _is_unbroken(nodes: list[_Node]) -> bool:
    """Whether nothing stands between the parts: `$a.B ()` and `$a [0]` are two things to PowerShell."""
    return all(left.end_byte == right.start_byte for left, right in itertools.pairwise(nodes))
