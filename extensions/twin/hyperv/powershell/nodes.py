# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tree of a script: the few constructs that the twin understands, each with its line."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: its line, counted from 1, and its text on that line."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Literal:
    place: Place
    value: object


@dataclass(frozen=True, slots=True)
class Variable:
    place: Place
    name: str


@dataclass(frozen=True, slots=True)
class TypeName:
    place: Place
    name: str  # as written, without blanks: "System.Collections.Generic.List[object]", "string[]"


@dataclass(frozen=True, slots=True)
class Items:
    """`a, b`: an array of as many elements as there are commas, and one."""

    place: Place
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """`@( ... )`: an array of whatever the statements output."""

    place: Place
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Table:
    place: Place
    entries: tuple[tuple[Expression, Statement], ...]


@dataclass(frozen=True, slots=True)
class Paren:
    place: Place
    inner: Statement


@dataclass(frozen=True, slots=True)
class Block:
    """A script block, or a whole script: its parameters and its statements."""

    place: Place
    parameters: tuple[Parameter, ...]
    body: tuple[Statement, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unary:
    place: Place
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    place: Place
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Cast:
    place: Place
    type_name: TypeName
    operand: Expression


@dataclass(frozen=True, slots=True)
class Member:
    place: Place
    target: Expression
    name: str
    is_static: bool


@dataclass(frozen=True, slots=True)
class Call:
    place: Place
    target: Expression
    name: str
    is_static: bool
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Index:
    place: Place
    target: Expression
    index: Expression


Expression: t.TypeAlias = (
    "Literal | Variable | TypeName | Items | ArrayOf | Table | Paren | Block | Unary | Binary | Cast"
    "| Member | Call | Index"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    place: Place
    name: str
    type_name: TypeName | None
    default: Expression | None


@dataclass(frozen=True, slots=True)
class Argument:
    """One element of a command: `-Name value`, `-Switch`, `-Switch:value`, or a value alone."""

    place: Place
    name: str | None
    value: Expression | None
    is_joined: bool = False  # -Name:value; without, a switch leaves the value to the next parameter


@dataclass(frozen=True, slots=True)
class Command:
    """A call of a cmdlet or function by name, or of a script block (`&`)."""

    place: Place
    name: str | None
    block: Expression | None
    arguments: tuple[Argument, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    place: Place
    elements: tuple[Command | Expression, ...]


@dataclass(frozen=True, slots=True)
class Assign:
    place: Place
    target: Expression
    operator: str
    value: Statement


@dataclass(frozen=True, slots=True)
class If:
    place: Place
    clauses: tuple[tuple[Statement, tuple[Statement, ...]], ...]
    otherwise: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Foreach:
    place: Place
    variable: Variable
    source: Statement
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class While:
    place: Place
    condition: Statement
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Try:
    place: Place
    body: tuple[Statement, ...]
    catch: tuple[Statement, ...] | None
    last: tuple[Statement, ...] | None


@dataclass(frozen=True, slots=True)
class Flow:
    """`return`, `throw`, `break`, `continue` or `exit`."""

    place: Place
    kind: str
    value: Statement | None


@dataclass(frozen=True, slots=True)
class Function:
    place: Place
    name: str
    block: Block


Statement: t.TypeAlias = "Pipeline | Assign | If | Foreach | While | Try | Flow | Function"


@dataclass(frozen=True, slots=True)
class Script:
    """A parsed text: its block, and the names of all variables that it gives a value to anywhere."""

    block: Block
    assigned: frozenset[str] = field(default_factory=frozenset)
