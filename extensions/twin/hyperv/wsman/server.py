# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WinRM door of one host: it opens, is shut like a dead host's, and opens again on the same port."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import typing as t
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import end_point_binding
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.connection import (
    Connection,
    Host,
    hold,
    pause,
    reset,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import CutConnection, Faults, Seen
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.service import Service
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Limits, Shells
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User, Users
from ansible_collections.ferragosto.dr.extensions.twin.loopback import Listener

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Executor

HANDSHAKE_S = 30.0
END_S = 5.0


class Server:
    """Serves one host, named as its computer is, on 127.0.0.1. The port is its own from the start until ``end``.

    ``tls`` makes it HTTPS; ``certificate`` (PEM, the leaf first) is what that context shows, and without it the channel
    binding of NTLM is not checked. ``count`` hears of every HTTP request by its kind: Authenticate, Refused (by its HTTP status),
    Unreadable, or the call (Create, Command, Send, Receive, Signal, Delete, Get). ``faults`` may be shared by many hosts.
    ``stops_on_cut``: a client that leaves while it waits for output ends its process; Windows lets it run on.
    """

    def __init__(
        self,
        name: str,
        executor: Executor,
        users: Iterable[User],
        *,
        tls: ssl.SSLContext | None = None,
        certificate: bytes = b"",
        ways: Ways | None = None,
        limits: Limits | None = None,
        faults: Faults | None = None,
        count: Callable[[str], None] | None = None,
        keytab: Path | None = None,
        port: int = 0,
        latency_s: float = 0.0,
        allows_unencrypted: bool = False,
        stops_on_cut: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.faults, self.limits = name, faults or Faults(), limits or Limits()
        self.users = Users(name, users, keytab)
        self.calls: Counter[str] = Counter()
        self.failures: list[
            BaseException
        ] = []  # what broke: an executor's exception is a bug of the twin, or of a script
        self._tell, self._lock = count, threading.Lock()
        self._tls = tls
        self.shells = Shells(name, executor, self.limits, self.failures.append, now_s)
        self._host = Host(
            name=name,
            service=Service(self.shells, lambda: self.url, stops_on_cut),
            users=self.users,
            ways=ways or Ways(),
            faults=self.faults,
            binding=end_point_binding(certificate) if certificate else b"",
            max_bytes=self.limits.max_envelope_kb * 1024,
            allows_unencrypted=allows_unencrypted,
            latency_s=latency_s,
            is_open=lambda: self.is_open,
            count=self._count,
        )
        self._connections: list[threading.Thread] = []
        self._listener = Listener(self._serve, name=f"{name}-winrm", port=port, wrap=self._wrapped)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/wsman"

    @property
    def is_open(self) -> bool:
        return self._listener.is_open()

    @property
    def ways(self) -> Ways:
        return self._host.ways

    @ways.setter
    def ways(self, ways: Ways) -> None:
        self._host.ways = ways

    def open(self) -> None:
        """Let clients in."""
        self._listener.open()

    def shut(self, *, kills: bool = False) -> None:
        """Refuse connections and cut the open ones; ``kills``: the host lost its power, processes and shells are gone."""
        self._listener.shut()
        if kills:
            self.shells.clear()

    def show(self, tls: ssl.SSLContext, certificate: bytes = b"") -> None:
        """Show another certificate from now on; open connections are cut."""
        if self._tls is None:
            raise ValueError(f"{self.name} speaks HTTP: it has no certificate to show")
        self._tls = tls
        self._host.binding = end_point_binding(certificate) if certificate else b""
        self._listener.cut()

    def cut(self) -> None:
        """Cut the open connections; new ones are let in."""
        self._listener.cut()

    def end(self) -> None:
        """Give the port back, end every process, and wait for the threads. Raises RuntimeError when one does not end."""
        self.shut(kills=True)
        self._listener.end()
        left = [] if self.shells.join(END_S) else ["a process that was told to stop"]
        with self._lock:
            connections = list(self._connections)
        for thread in connections:
            thread.join(END_S)
            if thread.is_alive():
                left.append(thread.name)
        self.users.end()
        if left:
            raise RuntimeError(f"{self.name} did not come to its end: {', '.join(left)}")

    def _count(self, kind: str) -> None:
        with self._lock:
            self.calls[kind] += 1
        if self._tell is not None:
            self._tell(kind)

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        """Begin a connection, in its own thread."""
        with self._lock:
            self._connections = [
                *(thread for thread in self._connections if thread.is_alive()),
                threading.current_thread(),
            ]
        for fault in self.faults.strike(Seen("Connect", self.name)):
            match fault.action:
                case "latency":
                    pause(fault.seconds, lambda: not self.is_open)
                case "hold_before":
                    hold(self.faults, fault, lambda: not self.is_open)
                case _:
                    # not before its first byte: a client must see the same thing every time, a connection made and lost
                    plain.settimeout(HANDSHAKE_S)
                    plain.recv(1, socket.MSG_PEEK)
                    reset(plain)
                    raise CutConnection("reset at the door")
        if self._tls is None:
            return plain
        plain.settimeout(HANDSHAKE_S)
        return self._tls.wrap_socket(plain, server_side=True)

    def _serve(self, connection: socket.socket) -> None:
        try:
            Connection(connection, self._host)
        except (OSError, EOFError):
            raise  # the client left, or the line was cut
        except Exception as broken:  # noqa: BLE001  (kept for the lab; the client sees its connection end)
            self.failures.append(broken)
