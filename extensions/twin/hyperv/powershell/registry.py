# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who carries a cmdlet out, what it is called with, and whether it may act (-WhatIf, -Confirm)."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue

# What powershell.exe -NonInteractive answers to any prompt (ConsoleHost's resources, Windows PowerShell 5.1).
NON_INTERACTIVE = "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available."

# A generator: what it yields goes down the pipeline, a PowerShellError that it yields is a non-terminating error.
Run: t.TypeAlias = Callable[["Bound"], Iterator[object]]


class Session(t.Protocol):
    """What a cmdlet, and the asking whether it may act, need of the PowerShell session."""

    @property
    def context(self) -> t.Any:
        """The fleet, the host, the user and the culture that this session runs in."""

    def variable(self, name: str) -> object:
        """The value of a variable such as ``ConfirmPreference``; None where it was never set."""

    def write_host(self, text: str) -> None:
        """Write one line to the console, past the pipeline."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One call of a cmdlet, bound: values have the parameter's type, names are the canonical ones.

    Switches that were given hold True or False. `common` holds the common parameters that were given
    (ErrorAction, Verbose, Debug, Confirm, WhatIf, ...).
    """

    name: str
    set_name: str
    arguments: Mapping[str, object]
    session: Session
    common: Mapping[str, object] = field(default_factory=dict)
    supports_should_process: bool = False
    confirm_impact: str = "Medium"
    error_class: str = ""

    def get(self, name: str, default: object = None) -> object:
        """The value of a parameter by its canonical name."""
        return self.arguments.get(name, default)

    def has(self, name: str) -> bool:
        return name in self.arguments

    def is_on(self, name: str) -> bool:
        """Whether a switch was given, and not as ``-Switch:$false``."""
        return bool(self.arguments.get(name, False))

    @property
    def error_action(self) -> str | None:
        """What -ErrorAction says, None where it was not given."""
        action = self.common.get("ErrorAction")
        return action.name if isinstance(action, EnumValue) else None

    def error_id(self, short: str) -> str:
        """A FullyQualifiedErrorId as Windows writes it: ``InvalidState,Microsoft.HyperV.PowerShell.Commands.StartVM``."""
        return f"{short},{self.error_class}"

    def should_process(self, target: str, action: str | None = None) -> bool:
        """Whether to act on the target; under -WhatIf say what would happen and answer False.

        A prompt is what nobody can answer here: raises what powershell.exe -NonInteractive raises.
        """
        if not self.supports_should_process:
            raise SimulatorError(f"{self.name} does not support ShouldProcess")
        if self._wants("WhatIf", bool(self.session.variable("WhatIfPreference"))):
            self.session.write_host(f'What if: Performing the operation "{action or self.name}" on target "{target}".')
            return False
        if self._wants("Confirm", self._is_confirmed_by_preference()):
            raise PowerShellError(
                NON_INTERACTIVE,
                self.error_id("InvalidOperation"),
                "InvalidOperation",
                exception_type="System.Management.Automation.PSInvalidOperationException",
                activity=self.name,
                is_terminating=True,
            )
        return True

    def _wants(self, name: str, default: bool) -> bool:
        return bool(self.common[name]) if name in self.common else default

    def _is_confirmed_by_preference(self) -> bool:
        preference = str(self.session.variable("ConfirmPreference") or "High")
        impacts = metadata.IMPACTS
        if preference not in impacts:
            raise SimulatorError(f"$ConfirmPreference is {preference!r}")
        return preference != "None" and impacts.index(self.confirm_impact) >= impacts.index(preference)


_RUNS: dict[str, Run] = {}


def cmdlet(name: str) -> Callable[[Run], Run]:
    """Register a generator function as what a cmdlet does with each bound input.

    The name must be in cmdlets.json, else nothing could be bound to it; two functions for one cmdlet are a mistake.
    """
    if metadata.find(name) is None:
        raise SimulatorError(f"cmdlets.json has no row for {name}")

    def register(run: Run) -> Run:
        if _RUNS.setdefault(name.casefold(), run) is not run:
            raise SimulatorError(f"{name} is registered twice")
        return run

    return register


def run_of(name: str) -> Run:
    """What carries a cmdlet out; raises SimulatorError for one that the twin does not play."""
    try:
        return _RUNS[name.casefold()]
    except KeyError:
        raise SimulatorError(f"the twin does not play the cmdlet {name}") from None
