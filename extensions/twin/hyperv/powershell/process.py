# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PowerShell process is: its context, its console, what stops it; and what a cmdlet sees of it."""

from __future__ import annotations

import datetime as dt
import threading
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.casts import local_zone
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import (
    PowerShellError,
    SimulatorError,
    Stopped,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import Scope
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.streams import (
    ByteStream,
    Encoding,
    Input,
    TextReader,
    TextWriter,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Clocked, HostZone

_PREFERENCES = {
    "ErrorActionPreference": "Continue",
    "ProgressPreference": "Continue",
    "WarningPreference": "Continue",
    "VerbosePreference": "SilentlyContinue",
    "DebugPreference": "SilentlyContinue",
    "InformationPreference": "SilentlyContinue",
    "ConfirmPreference": "High",
    "WhatIfPreference": False,
}


# Of Microsoft.PowerShell.Core, which is there from the start.
_WITHOUT_MODULE = frozenset(["Where-Object", "ForEach-Object", "Out-Null"])


class Console:
    """The three standard streams of a process and their code pages."""

    def __init__(self, stdin: Input = b"", code_page: int = 437) -> None:
        self.stdin = ByteStream(stdin)
        self.is_read_by_host = False
        self.input_encoding = Encoding(code_page)
        self.output_encoding = Encoding(code_page)
        self._out = bytearray()
        self._err = bytearray()

    @property
    def out(self) -> bytes:
        return bytes(self._out)

    @property
    def err(self) -> bytes:
        return bytes(self._err)

    def own_input(self) -> ByteStream:
        """Standard input as the script itself may open it."""
        if self.is_read_by_host:
            raise SimulatorError(
                "powershell.exe reads standard input itself, for $input: a script that opens it too gets what is left, so it"
                " must be started with -InputFormat None"
            )
        return self.stdin

    def reader(self) -> TextReader:
        return TextReader(self.own_input(), self.input_encoding)

    def writer(self) -> TextWriter:
        return TextWriter(self.write)

    def error_writer(self) -> TextWriter:
        return TextWriter(self.write_error)

    def write(self, text: str) -> None:
        self._out += self.output_encoding.encode(text)

    def write_error(self, text: str) -> None:
        self._err += self.output_encoding.encode(text)


class Process:
    """One powershell.exe: everything in it that all scopes share."""

    def __init__(self, context: Clocked, console: Console | None = None, stop: threading.Event | None = None) -> None:
        self.context = context
        self.zone: HostZone = local_zone(context)  # as it was when the process began
        self.console = console or Console()
        self.stop = stop or threading.Event()
        self.errors: list[PowerShellError] = []  # what went to the error stream
        self.shows_progress = False
        self.has_loaded = False  # a module, which shows its progress once
        self.is_well = True  # $? of the last statement, which becomes the exit code
        self.assigned: set[str] = {name.casefold() for name in (*_PREFERENCES, "Matches")}
        self.globals = Scope()
        for name, value in _PREFERENCES.items():
            self.globals.set(name, value)

    def now(self) -> dt.datetime:
        """The host's clock, in UTC."""
        return dt.datetime.fromtimestamp(self.context.now_s(), dt.UTC)

    @property
    def host_name(self) -> str:
        """The computer name, as [Environment]::MachineName gives it."""
        name = getattr(self.context, "host_name", None) or getattr(getattr(self.context, "host", None), "name", None)
        if not isinstance(name, str):
            raise SimulatorError("the context does not know the host's name")
        return name.partition(".")[0].upper()

    def check(self) -> None:
        """Raise Stopped once the process was ended from outside."""
        if self.stop.is_set():
            raise Stopped("the process was ended")

    def sleep(self, seconds: float) -> None:
        """Let this time pass, the context's where it has a `sleep` of its own, but no longer than the process lives."""
        own = getattr(self.context, "sleep", None)
        if callable(own):
            own(seconds)
        else:
            self.stop.wait(seconds)
        self.check()

    def called(self, cmdlet: str, scope: Scope, is_what_if: bool) -> None:
        """Load the cmdlet's module at the first of its calls, and tell a context that counts them."""
        if cmdlet not in _WITHOUT_MODULE and not self.has_loaded:
            preference = scope.find("ProgressPreference")[1]
            self.has_loaded = True
            self.shows_progress = str(preference).casefold() != "silentlycontinue"
        count = getattr(self.context, "called", None)
        if callable(count):
            count(cmdlet, is_what_if)


class Caller:
    """What one call of a cmdlet sees of the session: registry.Session, and the process behind it."""

    def __init__(self, process: Process, scope: Scope) -> None:
        self.process = process
        self._scope = scope

    @property
    def context(self) -> t.Any:
        return self.process.context

    @property
    def stop(self) -> threading.Event:
        return self.process.stop

    def variable(self, name: str) -> object:
        return self._scope.find(name)[1]

    def write_host(self, text: str) -> None:
        self.process.console.write(text + "\r\n")

    def sleep(self, seconds: float) -> None:
        self.process.sleep(seconds)
