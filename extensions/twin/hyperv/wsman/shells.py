# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WinRS shells of one host, with the limits that Windows puts on them."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman import errors
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.command import Command, Failed
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import (
    Executor,
    Outcome,
    Request,
    Said,
    split_command_line,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.soap import NAMESPACES, new_id, seconds_of

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.soap import Envelope

CREATE_PROCESS_CHARS = 32767
CMD_CHARS = 8191


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What Windows Server 2016 and later start with (winrm get winrm/config)."""

    max_envelope_kb: int = 500
    max_timeout_s: float = 60.0
    max_shells_per_user: int = 30
    max_processes_per_shell: int = 25
    # a shell gives its commands' operations back only when it is deleted, which is what long-lived clients run into
    max_operations_per_user: int = 1500
    idle_s: float = 7200.0


@dataclass(slots=True, kw_only=True)
class Shell:
    """What a client created, its commands, and when it was last asked for."""

    id: str
    owner: str
    idle_s: float
    created_s: float
    used_s: float
    codepage: int = 437
    has_profile: bool = True
    working_directory: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    input_streams: str = "stdin"
    output_streams: str = "stdout stderr"
    commands: dict[str, Command] = field(default_factory=dict)
    operations: int = 0


class Shells:
    """All shells of a host. Its methods may be called from any thread."""

    def __init__(
        self,
        host: str,
        executor: Executor,
        limits: Limits,
        failed: Failed,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host, self.executor, self.limits, self._failed, self.now_s = host, executor, limits, failed, now_s
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}
        self._ended: list[Command] = []

    def all(self) -> list[Shell]:
        self._drop_idle()
        with self._lock:
            return list(self._shells.values())

    def create(self, owner: str, call: Envelope) -> Shell:
        self._drop_idle()
        wanted, codepage = call.text("rsp:Shell/rsp:IdleTimeOut"), call.options.get("WINRS_CODEPAGE", "437")
        shell_node = call.find("rsp:Shell")
        now_s = self.now_s()
        shell = Shell(
            id=(shell_node.get("ShellId", "") if shell_node is not None else "").upper() or new_id(),
            owner=owner,
            idle_s=_seconds(wanted) if wanted else self.limits.idle_s,
            created_s=now_s,
            used_s=now_s,
            codepage=int(codepage) if codepage.isdigit() else 437,
            has_profile=not call.is_on("WINRS_NOPROFILE"),
            working_directory=call.text("rsp:Shell/rsp:WorkingDirectory"),
            environment={
                node.get("Name", ""): node.text or ""
                for node in call.body.iterfind("rsp:Shell/rsp:Environment/rsp:Variable", NAMESPACES)
            },
            input_streams=call.text("rsp:Shell/rsp:InputStreams", "stdin"),
            output_streams=call.text("rsp:Shell/rsp:OutputStreams", "stdout stderr"),
        )
        with self._lock:
            if sum(s.owner == owner for s in self._shells.values()) >= self.limits.max_shells_per_user:
                raise errors.too_many_shells(self.limits.max_shells_per_user)
            self._shells[shell.id] = shell
        return shell

    def of(self, owner: str, shell_id: str) -> Shell:
        """The user's own shell; another's is there, and denied."""
        self._drop_idle()
        with self._lock:
            shell = self._shells.get(shell_id)
            if shell is None:
                raise errors.no_such_shell(shell_id)
            if shell.owner != owner:
                raise errors.access_denied()
            shell.used_s = self.now_s()
            return shell

    def start(self, shell: Shell, call: Envelope) -> Command:
        """Start a process in a shell, through cmd.exe unless the client skips it."""
        arguments = call.texts("rsp:CommandLine/rsp:Arguments")
        line = " ".join([call.text("rsp:CommandLine/rsp:Command"), *arguments]).strip()
        if not line:
            raise errors.bad_parameter()
        is_under_cmd = not call.is_on("WINRS_SKIP_CMD_SHELL")
        executor = self.executor
        if is_under_cmd and len(line) > CMD_CHARS:
            executor = _cmd_refuses
        elif len(line) > CREATE_PROCESS_CHARS:
            raise errors.too_long()
        request = Request(
            host=self.host,
            user=shell.owner,
            argv=split_command_line(line),
            stop=threading.Event(),
            read_stdin=bytes,
            command_line=line,
            codepage=shell.codepage,
            has_profile=shell.has_profile,
            is_under_cmd=is_under_cmd,
            working_directory=shell.working_directory,
            environment=shell.environment,
        )
        node = call.find("rsp:CommandLine")
        command = Command(executor, request, self._failed, node.get("CommandId", "") if node is not None else "")
        with self._lock:
            if sum(c.is_running for c in shell.commands.values()) >= self.limits.max_processes_per_shell:
                raise errors.too_many_processes(self.limits.max_processes_per_shell)
            used = sum(s.operations for s in self._shells.values() if s.owner == shell.owner)
            if used >= self.limits.max_operations_per_user:
                raise errors.too_many_operations()
            shell.operations += 1
            shell.commands[command.id] = command
        command.start()
        return command

    def command(self, shell: Shell, command_id: str) -> Command:
        with self._lock:
            command = shell.commands.get(command_id.upper())
        if command is None:
            raise errors.no_such_command()
        return command

    def terminate(self, shell: Shell, command: Command) -> None:
        with self._lock:
            shell.commands.pop(command.id, None)
            self._ended = [*(c for c in self._ended if c.is_alive), command]
        command.terminate()

    def delete(self, shell: Shell) -> None:
        with self._lock:
            self._shells.pop(shell.id, None)
            commands = list(shell.commands.values())
            self._ended = [*(c for c in self._ended if c.is_alive), *commands]
        for command in commands:
            command.terminate()

    def clear(self) -> None:
        """End every process and forget every shell, as a host without power does."""
        for shell in self.all():
            self.delete(shell)

    def join(self, timeout_s: float) -> bool:
        """Wait for processes that were told to end; False when one goes on."""
        deadline_s = time.monotonic() + timeout_s
        for command in self._ended:
            command.join(max(0.0, deadline_s - time.monotonic()))
        return not any(command.is_alive for command in self._ended)

    def _drop_idle(self) -> None:
        now_s = self.now_s()
        with self._lock:
            idle = [shell for shell in self._shells.values() if now_s - shell.used_s > shell.idle_s]
        for shell in idle:
            self.delete(shell)


def _cmd_refuses(request: Request) -> Outcome:
    """Say what cmd.exe says: the shell starts, its line is refused, and the client sees an exit code."""
    return Said(stderr=b"The command line is too long.\r\n", exit_code=1)


def _seconds(duration: str) -> float:
    """Read an idle time-out: a duration from pypsrp, bare seconds from pywinrm's callers."""
    return float(duration) if duration.replace(".", "", 1).isdigit() else seconds_of(duration)
