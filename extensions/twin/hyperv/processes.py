# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The processes of a lab's hosts: PowerShell, run for whoever signed on; what its cmdlets were is counted."""

from __future__ import annotations

import base64
import threading
import typing as t
from dataclasses import dataclass
from pathlib import PureWindowsPath

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_every
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.console import run_powershell
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import Stopped
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Outcome, Request, Said, Terminated

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

WHAT_IF = " -WhatIf"
WSMAN = "wsman:"
PLAYED = cmdlets_every.MODULES  # their cmdlets are registered by being imported
_NOT_FOUND_EXIT = 1  # cmd.exe's for a command it does not find
_READING = ("Get-", "Measure-", "Test-")
# a screen is read by a method of WMI
_NOT_CHANGING = frozenset({"Invoke-CimMethod", "Start-Sleep"})
# of the language, not of the host
_CORE = ("ConvertFrom-", "ConvertTo-", "ForEach-", "New-Object", "Out-", "Select-", "Sort-", "Where-", "Write-")
_CORE_NAMES = frozenset({"Get-Date", "Measure-Object", "New-Object", "Start-Sleep"})


@dataclass(slots=True)
class Counted(Context):
    """A session whose cmdlets are counted in the world's calls."""

    def called(self, cmdlet: str, is_what_if: bool) -> None:
        """Note one call of a cmdlet, under its name; with -WhatIf under a name of its own."""
        if cmdlet not in _CORE_NAMES and not cmdlet.startswith(_CORE):
            self.fleet.world.count(f"{cmdlet}{WHAT_IF}" if is_what_if else cmdlet)


def is_changing(call: str) -> bool:
    """Tell whether a call that a lab counted may change a VM or a host: a cmdlet that does more than read."""
    if call.startswith((WSMAN, *_READING)) or call.endswith(WHAT_IF):
        return False
    return call not in _NOT_CHANGING


def run(fleet: Fleet, request: Request) -> Outcome:
    """Run what a WinRM client asked for, as cmd.exe or CreateProcess would; the twin's hosts know PowerShell alone."""
    program = PureWindowsPath(request.argv[0]).stem.casefold() if request.argv else ""
    if program != "powershell":
        text = f"'{request.argv[0]}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
        return Said(stderr=text.encode(), exit_code=_NOT_FOUND_EXIT)
    context = Counted(fleet, fleet.hosts[request.host], user=request.user, stop=request.stop)

    def stdin() -> bytes:
        try:
            return request.stdin
        except Terminated:
            raise Stopped from None

    return run_powershell(context, request.argv, stdin, stop=request.stop, code_page=request.codepage)


def by_hand(fleet: Fleet, host: str, user: str, script: str) -> str:
    """Run a person's script on a host, uncounted; returns what it printed. Raises ValueError with its error."""
    stop = threading.Event()
    context = Context(fleet, fleet.host(host), user=user, stop=stop)
    quiet = f"$ProgressPreference = 'SilentlyContinue'\n{script}"
    encoded = base64.b64encode(quiet.encode("utf-16-le")).decode()
    words = ["powershell.exe", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]
    outcome = run_powershell(context, words, b"", stop=stop)
    if outcome.exit_code or outcome.stderr:
        raise ValueError(f"{user} on {host}: {outcome.stderr.decode(errors='replace')}")
    return outcome.stdout.decode(errors="replace")
