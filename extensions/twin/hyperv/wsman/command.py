# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One process of a WinRS shell: it runs in a thread of its own, is fed in chunks and read in pieces."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.errors import aborted, no_such_command, pipe_closed
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import (
    Executor,
    Outcome,
    Request,
    Said,
    Terminated,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.soap import new_id

EXIT_CTRL_C = 0xC000013A  # STATUS_CONTROL_C_EXIT, what a process ended by a signal leaves
EXIT_TWIN_BROKE = 70
_GLANCE_S = 0.1  # how soon a waiting Receive notices that its client has gone

Stream: t.TypeAlias = t.Literal["stdout", "stderr"]
Failed: t.TypeAlias = Callable[[BaseException], None]


@dataclass(frozen=True, slots=True)
class Reply:
    """A piece of the output; with the exit code when it is the last."""

    pieces: tuple[tuple[Stream, bytes], ...]
    exit_code: int | None = None


class Command:
    """A process from its start to its end. Its methods may be called from any thread."""

    def __init__(self, executor: Executor, request: Request, failed: Failed, command_id: str = "") -> None:
        self.id = command_id.upper() or new_id()
        self._executor, self._failed = executor, failed
        self.request = replace(request, read_stdin=self._read_stdin)
        self._turn = threading.Condition()
        self._stdin, self._has_all = bytearray(), False
        self._outcome: Outcome | None = None
        self._unread: list[tuple[Stream, bytes]] = []
        self._is_told = False  # the client knows the exit code
        self._is_aborted = False
        self._thread = threading.Thread(target=self._run, name=f"{request.host}-command", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._outcome is None

    @property
    def script(self) -> str:
        """The command line and what has come on stdin so far."""
        with self._turn:
            return f"{self.request.command_line}\n{self._stdin.decode(errors='replace')}"

    def feed(self, data: bytes, is_end: bool) -> None:
        with self._turn:
            if self._has_all or self._outcome is not None:
                raise pipe_closed()
            self._stdin += data
            self._has_all = is_end
            self._turn.notify_all()

    def receive(self, timeout_s: float, room: int, is_gone: Callable[[], bool]) -> Reply | None:
        """Wait for output, or the end; None when there is nothing to say in time, or nobody left to say it to."""
        with self._turn:
            if self._is_told:
                raise no_such_command()
            until_s = time.monotonic() + timeout_s
            while not self._unread and self._outcome is None:
                left_s = until_s - time.monotonic()
                if left_s <= 0 or is_gone():
                    return None
                self._turn.wait(min(_GLANCE_S, left_s))
            if self._is_aborted:
                raise aborted()
            pieces = self._take(room)
            if self._unread or self._outcome is None:
                return Reply(pieces)
            self._is_told = True
            return Reply(pieces, self._outcome.exit_code & 0xFFFFFFFF)

    def wait_end(self, is_gone: Callable[[], bool]) -> None:
        """Wait until the process has ended, without reading it."""
        with self._turn:
            while self._outcome is None and not is_gone():
                self._turn.wait(_GLANCE_S)

    def interrupt(self) -> None:
        """End the process, as ctrl+c does; what it has said can still be read."""
        with self._turn:
            self.request.stop.set()
            self._turn.notify_all()

    def terminate(self) -> None:
        """End the process and whoever is waiting for its output."""
        with self._turn:
            self.request.stop.set()
            self._is_aborted = True
            self._outcome = self._outcome or Said(exit_code=EXIT_CTRL_C)
            self._turn.notify_all()

    @property
    def is_alive(self) -> bool:
        """Whether its thread still works, whatever the client was told."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _take(self, room: int) -> tuple[tuple[Stream, bytes], ...]:
        taken: list[tuple[Stream, bytes]] = []
        while self._unread and room > 0:
            stream, said = self._unread.pop(0)
            taken.append((stream, said[:room]))
            if said[room:]:
                self._unread.insert(0, (stream, said[room:]))
            room -= len(said)
        return tuple(taken)

    def _read_stdin(self) -> bytes:
        with self._turn:
            while not self._has_all:
                if self.request.stop.is_set():
                    raise Terminated("the process was ended while it read its input")
                self._turn.wait(_GLANCE_S)
            return bytes(self._stdin)

    def _run(self) -> None:
        outcome: Outcome = Said(stderr=b"the twin broke down\r\n", exit_code=EXIT_TWIN_BROKE)
        try:
            outcome = self._executor(self.request)
        except Terminated:
            outcome = Said(exit_code=EXIT_CTRL_C)
        except Exception as broken:  # noqa: BLE001  (the lab keeps it, and the client sees a process that died of it)
            self._failed(broken)
            outcome = Said(stderr=f"the twin broke down: {broken}\r\n".encode(), exit_code=EXIT_TWIN_BROKE)
        finally:
            with self._turn:
                if self._outcome is None:
                    said: tuple[tuple[Stream, bytes], ...] = (("stdout", outcome.stdout), ("stderr", outcome.stderr))
                    self._unread += [(stream, content) for stream, content in said if content]
                    self._outcome = outcome
                self._turn.notify_all()
