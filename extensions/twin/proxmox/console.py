# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles: the bookkeeping of vncproxy; the socket itself is the door's."""

from __future__ import annotations

import itertools
import secrets
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_FIRST_PORT, _PORTS = 5900, 100
TICKET_LIFE_S = 40.0


@dataclass(slots=True, kw_only=True)
class Console:
    """One vncproxy that waits for, or serves, its websocket."""

    node: str
    vmid: int
    port: int
    ticket: str  # "PVEVNC:..."; it is the VNC password too, unless one was generated
    password: str
    upid: str = ""
    made_at_s: float
    is_connected: bool = False
    is_closed: bool = False


class Consoles:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter = datacenter
        self._ports: Iterator[int] = itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS))
        self.open: dict[tuple[str, int], Console] = {}  # (node, port)

    def proxy(self, guest: Guest, call: Call, *, has_password: bool) -> Console:
        """Start a vncproxy; it gives up when no websocket comes in time."""
        datacenter = self._datacenter
        port = next(p for p in self._ports if (guest.node, p) not in self.open)
        now_s = datacenter.now_s()
        ticket = f"PVEVNC:{int(now_s):08X}::{secrets.token_urlsafe(48)}"
        password = secrets.token_hex(4) if has_password else ticket
        console = Console(
            node=guest.node, vmid=guest.vmid, port=port, ticket=ticket, password=password, made_at_s=now_s
        )
        self.open[(guest.node, port)] = console

        def body(task: Task) -> Body:
            task.say(f"starting vnc proxy {task.upid}")
            while not console.is_closed:
                if not console.is_connected and datacenter.now_s() - now_s > datacenter.timing.vnc_wait_s:
                    self.closed(console)
                    raise TaskFailed("connection timed out")
                yield 0.5
            return 0

        console.upid = datacenter.tasks.start(guest.node, "vncproxy", guest.vmid, body, call)
        return console

    def find(self, node: str, vmid: int, port: int, ticket: str) -> Console:
        """The console that a websocket asks for; refuse a wrong port, guest or ticket."""
        console = self.open.get((node, port))
        is_fresh = console is not None and self._datacenter.now_s() - console.made_at_s <= TICKET_LIFE_S
        if console is None or not is_fresh or console.vmid != vmid:
            raise PveError(401, "permission denied - invalid PVEVNC ticket")
        if not secrets.compare_digest(console.ticket.encode(), ticket.encode()):
            raise PveError(401, "permission denied - invalid PVEVNC ticket")
        return console

    def connected(self, console: Console) -> None:
        console.is_connected = True

    def closed(self, console: Console) -> None:
        """The websocket is shut: the task ends."""
        console.is_closed = True
        self.open.pop((console.node, console.port), None)

    def tick(self) -> None:
        for console in list(self.open.values()):
            if not self._datacenter.node_is_up(console.node):
                self.closed(console)
