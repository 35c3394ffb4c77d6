# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The value of an expression, where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import (
    casts,
    members,
    methods,
    operators,
    statics,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import CONSTANTS, Frame
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import is_true, plain, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import (
    ArrayOf,
    Assign,
    Binary,
    Block,
    Call,
    Cast,
    Command,
    Expression,
    Function,
    Index,
    Items,
    Literal,
    Member,
    Paren,
    Pipeline,
    Place,
    Statement,
    Table,
    TypeName,
    Unary,
    Variable,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Process
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.texts import localised
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    Hashtable,
    ScriptBlock,
)


class Evaluator(ABC):
    """Expressions; what statements output is the heir's business."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @abstractmethod
    def run(self, statement: Statement, frame: Frame) -> Iterator[object]:
        """Run a statement: its output, as it comes."""

    @abstractmethod
    def statements(self, body: tuple[Statement, ...], frame: Frame) -> Iterator[object]:
        """Run statements one after the other."""

    def value(self, node: Expression, frame: Frame) -> object:
        """The value of an expression; an error of it names the place."""
        try:
            return self._value(node, frame)
        except SimulatorError as error:
            raise error.at(node.place.line, node.place.text) from None
        except PowerShellError as error:
            raise self.placed(error, node.place) from None

    def placed(self, error: PowerShellError, place: Place) -> PowerShellError:
        if not error.line:
            localised(error, str(getattr(self.process.context, "culture", "en-US")))
        return error.at(place.line, place.text)

    def captured(self, statement: Statement, frame: Frame) -> object:
        """What an assignment keeps: an expression's value as it is, of other output none, the one, or an array."""
        if isinstance(statement, Pipeline) and len(statement.elements) == 1:
            element = statement.elements[0]
            if not isinstance(element, Command):
                return self.value(element, frame)
        if isinstance(statement, (Assign, Function)):
            raise SimulatorError("an assignment as a value").at(statement.place.line, statement.place.text)
        output = list(self.run(statement, frame))
        return NOTHING if not output else output[0] if len(output) == 1 else output

    def _value(self, node: Expression, frame: Frame) -> object:
        match node:
            case Variable():
                return self._variable(node, frame)
            case Member():
                if isinstance(node.target, TypeName):
                    return statics.read(self._static(node), node.name, self.process)
                return members.read(self.value(node.target, frame), node.name)
            case Cast():
                return casts.cast(node.type_name.name, self.value(node.operand, frame), self.process.zone)
            case Literal():
                return node.value
            case Items():
                return [plain(self.value(one, frame)) for one in node.items]
            case ArrayOf():
                return list(self.statements(node.body, frame))
            case Table():
                return self._table(node, frame)
            case Paren():
                return self.captured(node.inner, frame)
            case Block():
                return ScriptBlock(node.text, node)
            case Unary():
                return self._unary(node, frame)
            case Binary():
                return self._binary(node, frame)
            case Call():
                return self._call(node, frame)
            case Index():
                return members.element(self.value(node.target, frame), self.value(node.index, frame))
            case TypeName():
                raise SimulatorError(f"the type [{node.name}] as a value")

    def _variable(self, node: Variable, frame: Frame) -> object:
        key = node.name.casefold()
        if key in CONSTANTS:
            return CONSTANTS[key]
        if key in ("_", "psitem"):
            if frame.it is NOTHING:
                raise SimulatorError("$_ where nothing gives it a value")
            return frame.it
        is_set, found = frame.scope.find(key)
        if not is_set and key not in self.process.assigned:
            # PowerShell reads it as $null; a name that nothing ever gives a value to is a misspelt one.
            raise SimulatorError(f"${node.name} is never given a value")
        return found

    def _table(self, node: Table, frame: Frame) -> Hashtable:
        table = Hashtable()
        for key_node, statement in node.entries:
            key = plain(self.value(key_node, frame))
            if key is None or table.has(key):
                raise SimulatorError(f"a hashtable has the key {key!r} twice, or it is $null")
            table.set(key, self.captured(statement, frame))
        return table

    def _unary(self, node: Unary, frame: Frame) -> object:
        value = self.value(node.operand, frame)
        match node.operator:
            case "-not":
                return not is_true(plain(value))
            case "-":
                return operators.negative(value)
            case ",":
                return [plain(value)]
            case dummy:
                raise SimulatorError(f"the twin does not know the operator {node.operator}")

    def _binary(self, node: Binary, frame: Frame) -> object:
        left = self.value(node.left, frame)
        if node.operator in ("-and", "-or"):
            is_left = is_true(plain(left))
            if is_left is (node.operator == "-or"):
                return is_left
            return is_true(plain(self.value(node.right, frame)))
        if node.operator == "-is":
            if not isinstance(node.right, TypeName):
                raise SimulatorError("-is of what is no type")
            return casts.is_of_type(left, node.right.name)
        right = self.value(node.right, frame)
        if node.operator == "-match":
            return self._match(plain(left), text_of(plain(right)), frame)
        return operators.binary(node.operator, left, right, self.process.zone)

    def _match(self, left: object, pattern: str, frame: Frame) -> object:
        rule = operators.regex(pattern)
        if isinstance(left, list):
            return [one for one in left if rule.search(text_of(one))]
        found = rule.search(text_of(left))
        if found is not None:
            groups = [(0, found[0]), *((n, text) for n, text in enumerate(found.groups(), 1) if text is not None)]
            frame.scope.set_matches(Hashtable(groups))
        return found is not None

    def _call(self, node: Call, frame: Frame) -> object:
        if isinstance(node.target, TypeName):
            arguments = [self.value(one, frame) for one in node.arguments]
            return statics.call(self._static(node), node.name, arguments, self.process)
        target = self.value(node.target, frame)
        arguments = [self.value(one, frame) for one in node.arguments]
        return methods.call(target, node.name, arguments, self.process.zone)

    @staticmethod
    def _static(node: Member | Call) -> str:
        if not node.is_static or not isinstance(node.target, TypeName):
            raise SimulatorError(f"a property {node.name} of a type itself")
        return node.target.name
