# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""powershell.exe: its command line, its streams, its exit code."""

from __future__ import annotations

import base64
import binascii
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import clixml
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import (
    PowerShellError,
    SimulatorError,
    Stopped,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.frames import Exited, Flow
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.interpreter import Interpreter
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.nature import is_number, text_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.process import Console, Process
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.streams import Input
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Clocked

SIMULATOR_EXIT_CODE = 70
STOPPED_EXIT_CODE = 0xC000013A  # STATUS_CONTROL_C_EXIT: what a process ends with that was ended from outside

# The shortest start of each option that powershell.exe takes, and how many values follow it.
_OPTIONS = {
    "noprofile": ("nop", 0),
    "noninteractive": ("noni", 0),
    "nologo": ("nol", 0),
    "executionpolicy": ("ex", 1),
    "inputformat": ("inp", 1),
    "encodedcommand": ("e", 1),
    "command": ("c", -1),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a process leaves behind."""

    stdout: bytes
    stderr: bytes
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Start:
    text: str
    is_encoded: bool
    reads_input: bool = True  # powershell.exe hands its standard input to the command as $input


def run_powershell(
    context: Clocked, argv: Sequence[str], stdin: Input = b"", *, stop: threading.Event, code_page: int = 437
) -> Outcome:
    """Run powershell.exe to its end in a context: the fleet, the host, the user, the culture, the clock.

    `stdin` may be a function that waits for the input's end; `code_page` is the console's, as the shell was opened with.
    A SimulatorError ends the process and goes to `context.report`; it is raised where the context has no such hook, so
    that it is never overlooked.
    """
    console = Console(stdin, code_page)
    process = Process(context, console, stop)
    is_encoded = True
    try:
        start = _start(argv)
        is_encoded = start.is_encoded
        console.is_read_by_host = start.reads_input
        exit_code = _run(process, start.text)
    except Stopped:
        exit_code = STOPPED_EXIT_CODE
    except SimulatorError as refusal:
        return _reported(context, console, refusal)
    except Exception as bug:  # noqa: BLE001 - whatever breaks in the twin is the twin's failure, not the script's
        if stop.is_set():  # what waited for a client that has gone
            return Outcome(console.out, console.err, STOPPED_EXIT_CODE)
        error = SimulatorError(f"the twin broke: {type(bug).__name__}: {bug}")
        error.__cause__ = bug
        return _reported(context, console, error)
    if is_encoded:
        console.write_error(clixml.stream(process.errors, shows_progress=process.shows_progress))
    else:
        console.write_error(clixml.plain(process.errors))
    return Outcome(console.out, console.err, exit_code)


def _reported(context: Clocked, console: Console, error: SimulatorError) -> Outcome:
    report = getattr(context, "report", None)
    if not callable(report):
        raise error
    report(error)
    return Outcome(console.out, f"SIMULATOR ERROR: {error}\r\n".encode(), SIMULATOR_EXIT_CODE)


def _run(process: Process, text: str) -> int:
    try:
        for item in Interpreter(process).execute(text):
            _show(process.console, item)
    except PowerShellError as error:
        process.errors.append(error)
        return 1
    except Exited as left:
        return left.code
    except Flow:
        return 0
    return 0 if process.is_well else 1


def _show(console: Console, item: object) -> None:
    """The default output: texts and numbers are lines; how an object would be laid out is nothing to rely on."""
    if item is None:
        return
    if not isinstance(item, str) and not is_number(item):
        raise SimulatorError(f"an object reaches the console: {text_of(item)[:60]}")
    console.write(text_of(item) + "\r\n")


def _start(argv: Sequence[str]) -> _Start:
    if not argv or not re.fullmatch(r"(.*[\\/])?powershell(\.exe)?", argv[0], re.IGNORECASE):
        raise SimulatorError(f"the twin starts powershell.exe only: {list(argv[:1])}")
    rest, reads_input = list(argv[1:]), True
    while rest:
        word = rest.pop(0)
        name, values = _option(word)
        if name == "encodedcommand" and rest:
            encoded = rest.pop(0)
            if rest:
                raise SimulatorError("arguments after -EncodedCommand's value")
            return _Start(_decoded(encoded), is_encoded=True, reads_input=reads_input)
        if name == "command" and rest and rest != ["-"]:
            return _Start(" ".join(rest), is_encoded=False, reads_input=reads_input)
        if values != len(rest[:values]):
            break
        if name == "inputformat":
            reads_input = rest[0].casefold() != "none"
        del rest[:values]
    raise SimulatorError("powershell.exe without -EncodedCommand or -Command: it would wait for somebody to type")


def _option(word: str) -> tuple[str, int]:
    typed = word.casefold()[1:] if word[:1] in "-/" else ""
    if typed == "ec":
        return "encodedcommand", 1
    for name, (shortest, values) in _OPTIONS.items():
        if typed and name.startswith(typed) and typed.startswith(shortest):
            return name, values
    raise SimulatorError(f"the twin does not know powershell.exe {word}")


def _decoded(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-16-le")
    except (binascii.Error, UnicodeDecodeError):
        raise SimulatorError("-EncodedCommand is no base64 of UTF-16LE") from None
