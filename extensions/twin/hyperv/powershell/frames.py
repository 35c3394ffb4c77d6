# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a statement runs: its variables and functions, its $_, and whether a catch waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nodes import Block
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    NOTHING,
    EnumValue,
    Hashtable,
    PSObject,
)

CONSTANTS: Mapping[str, object] = {"null": None, "true": True, "false": False}
# Some cannot be written to (about_Automatic_Variables), the others change under the script's hands.
AUTOMATIC = frozenset(
    """_ args consolefilename enabledexperimentalfeatures error event eventargs eventsubscriber executioncontext false
    foreach home host input lastexitcode matches myinvocation nestedpromptlevel null pid profile psboundparameters
    pscmdlet pscommandpath psculture psdebugcontext psedition pshome psitem psscriptroot pssenderinfo psuiculture
    psversiontable pwd sender shellid stacktrace switch this true""".split()
)
ERROR_RECORD = "System.Management.Automation.ErrorRecord"
_CATEGORY = "System.Management.Automation.ErrorCategory"


class Scope:
    """Variables and functions by their names; what is not here is looked for in the caller's scope, as PowerShell does."""

    def __init__(self, parent: Scope | None = None) -> None:
        self._parent = parent
        self._variables: dict[str, object] = {}
        self._functions: dict[str, Block] = {}

    def find(self, name: str) -> tuple[bool, object]:
        """Whether any scope has the variable, and its value."""
        key = name.casefold()
        scope: Scope | None = self
        while scope is not None:
            if key in scope._variables:
                return True, scope._variables[key]
            scope = scope._parent
        return False, None

    def set(self, name: str, value: object) -> None:
        """Give a variable its value in this scope; those that are PowerShell's own are no script's to write."""
        key = name.casefold()
        if key in AUTOMATIC:
            raise SimulatorError(f"${name} is PowerShell's own variable")
        self._variables[key] = value

    def set_matches(self, groups: Hashtable) -> None:
        """What -match leaves behind."""
        self._variables["matches"] = groups

    def function(self, name: str) -> Block | None:
        key = name.casefold()
        scope: Scope | None = self
        while scope is not None:
            if key in scope._functions:
                return scope._functions[key]
            scope = scope._parent
        return None

    def define(self, name: str, block: Block) -> None:
        self._functions[name.casefold()] = block


@dataclass(frozen=True, slots=True)
class Frame:
    """What a statement sees around it."""

    scope: Scope
    it: object = NOTHING  # $_
    is_caught: bool = False  # a try with a catch is around it, here or at a caller's


class Flow(Exception):
    """A statement that leaves where it stands; never an error."""


class Returned(Flow):
    """return: what it gives was output before."""


class Broken(Flow):
    """break"""


class Continued(Flow):
    """continue"""


class Exited(Flow):
    """exit: the process ends."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def category(name: str) -> EnumValue:
    number = (metadata.enum_values(_CATEGORY) or {}).get(name)
    if number is None:
        raise SimulatorError(f"there is no error category {name}")
    return EnumValue(_CATEGORY, name, number)


def record_of(error: PowerShellError) -> PSObject:
    """The ErrorRecord that $_ is in a catch."""
    reason = error.exception_type.rpartition(".")[2]
    inner = None if error.inner is None else _exception(error.inner)
    return PSObject(
        {
            "Exception": _exception(error, inner),
            "FullyQualifiedErrorId": error.error_id,
            "CategoryInfo": PSObject(
                {"Category": category(error.category), "Activity": error.activity, "Reason": reason},
                ["System.Management.Automation.ErrorCategoryInfo"],
            ),
            "InvocationInfo": PSObject(
                {"ScriptLineNumber": error.line, "Line": error.text},
                ["System.Management.Automation.InvocationInfo"],
            ),
            "TargetObject": error.target,
        },
        [ERROR_RECORD],
        text=error.message,
        base=error,
    )


def _exception(error: PowerShellError, inner: PSObject | None = None) -> PSObject:
    names = [error.exception_type, "System.Exception"]
    return PSObject(
        {"Message": error.message, "InnerException": inner}, names, text=f"{error.exception_type}: {error.message}"
    )


def thrown(value: object, text: str) -> PowerShellError:
    """What throw raises: an ErrorRecord goes on as it is, anything else becomes the message."""
    error = value.base if isinstance(value, PSObject) else None
    if not isinstance(error, PowerShellError):
        error = PowerShellError(text, text, "OperationStopped")
    error.is_terminating = error.ends_script = True
    return error
