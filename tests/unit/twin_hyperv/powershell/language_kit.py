# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A PowerShell process for tests: a context with a clock, and a script's output as values."""

from __future__ import annotations

import base64
import datetime as dt
import threading
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import Outcome, run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.interpreter import Interpreter
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Console, Process
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue, HostZone, PSObject

NOW_S = 1_800_000_000.25  # 2027-01-15T08:00:00.25Z


@dataclass
class Context:
    """What a session runs in, as far as the language asks."""

    culture: str = "en-US"
    host_name: str = "hv-a.example.net"
    zone: HostZone = field(default_factory=lambda: HostZone(dt.timedelta(hours=1)))
    mishaps: list[SimulatorError] = field(default_factory=list)

    def now_s(self) -> float:
        return NOW_S

    def report(self, error: SimulatorError) -> None:
        self.mishaps.append(error)


def off(name: str = "Off", value: int = 3) -> EnumValue:
    """A VM's state."""
    return EnumValue("Microsoft.HyperV.PowerShell.VMState", name, value)


def machine(name: str = "web", state: str = "Off") -> PSObject:
    """An object of a type that is not made by the script."""
    states = {"Off": 3, "Running": 2}
    kind = "Microsoft.HyperV.PowerShell.VirtualMachine"
    return PSObject({"Name": name, "State": off(state, states[state])}, [kind], text=f"VirtualMachine ({name})")


def output(script: str, context: Context | None = None, /, **variables: object) -> list[object]:
    """What a script outputs, with these variables set before."""
    process = Process(context or Context(), Console())
    for name, value in variables.items():
        process.globals.set(name, value)
    return list(Interpreter(process).execute(script))


def value(script: str, /, **variables: object) -> object:
    """The one value that a script outputs."""
    found = output(script, None, **variables)
    assert len(found) == 1, found
    return found[0]


def encoded(text: str) -> list[str]:
    """The command line that runs a script."""
    word = base64.b64encode(text.encode("utf-16-le")).decode("ascii")
    return ["powershell.exe", "-NoProfile", "-NonInteractive", "-InputFormat", "None", "-EncodedCommand", word]


def run(text: str, stdin: bytes = b"", context: Context | None = None, code_page: int = 437) -> Outcome:
    """Run a script in a process of its own."""
    return run_powershell(context or Context(), encoded(text), stdin, stop=threading.Event(), code_page=code_page)
