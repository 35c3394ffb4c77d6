# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the door asks of a host: run this command line for this user, and say what came of it."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class Terminated(Exception):
    """The process was ended before it had read its input."""


class Outcome(t.Protocol):
    """What a process leaves behind; any object with these three will do."""

    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...
    @property
    def exit_code(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Said:
    """An outcome, as simple as it gets."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One process to run. ``stop`` is set when it must end: terminated, its shell deleted, its host without power."""

    host: str
    user: str  # DOMAIN\\name, or the bare name of a local account
    argv: tuple[str, ...]  # split as CommandLineToArgvW splits
    stop: threading.Event
    read_stdin: Callable[[], bytes]
    command_line: str = ""
    codepage: int = 437
    has_profile: bool = True
    is_under_cmd: bool = False  # started through cmd.exe
    working_directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def stdin(self) -> bytes:
        """All of the input, to its end; waits until the client has sent it. Raises Terminated when ``stop`` comes first."""
        return self.read_stdin()


Executor: t.TypeAlias = Callable[[Request], Outcome]


def split_command_line(line: str) -> tuple[str, ...]:
    """Split as CommandLineToArgvW does: quotes group, a backslash counts only before a quote."""
    words: list[str] = []
    word, is_open, is_quoted, slashes = "", False, False, 0
    for char in line:
        if char == "\\":
            slashes, is_open = slashes + 1, True
            continue
        if char == '"':
            word += "\\" * (slashes // 2)
            if slashes % 2:
                word += '"'
            else:
                is_quoted = not is_quoted
            slashes, is_open = 0, True
            continue
        word, slashes = word + "\\" * slashes, 0
        if char in " \t" and not is_quoted:
            if is_open:
                words.append(word)
            word, is_open = "", False
        else:
            word, is_open = word + char, True
    if is_open:
        words.append(word + "\\" * slashes)
    return tuple(words)
