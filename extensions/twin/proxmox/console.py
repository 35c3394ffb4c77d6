# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles: the bookkeeping of vncproxy; the socket itself is the door's."""

from __future__ import annotations

import itertools
import re
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
_PRINTABLE = [chr(code) for code in range(ord("!"), ord("`") + 1)]
_PASSWORD = re.compile(r"^.{8}:(?=PVEVNC:)")  # for clients that know no password of its own


@dataclass(slots=True, kw_only=True)
class Console:
    """One vncproxy that waits for, or serves, its websocket."""

    node: str  # where it was asked for and listens; the guest may be on another one, which it reaches by SSH
    guest_node: str
    vmid: int
    who: str  # the user or token that may come
    port: int
    ticket: str  # "PVEVNC:..."
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

    def proxy(self, guest: Guest, call: Call) -> Console:
        """Start a vncproxy on the node that is asked; it gives up when no websocket comes in time."""
        datacenter, node = self._datacenter, call.door_node
        port = next(p for p in self._ports if (node, p) not in self.open)
        now_s = datacenter.now_s()
        ticket = f"PVEVNC:{int(now_s):08X}::{secrets.token_urlsafe(48)}"
        console = Console(
            node=node,
            guest_node=guest.node,
            vmid=guest.vmid,
            who=_who(call),
            port=port,
            ticket=ticket,
            password="".join(secrets.choice(_PRINTABLE) for dummy in range(8)),
            made_at_s=now_s,
        )
        self.open[(node, port)] = console

        def body(task: Task) -> Body:
            task.say(f"starting vnc proxy {task.upid}")
            while not console.is_closed:
                if not console.is_connected and datacenter.now_s() - now_s > datacenter.timing.vnc_wait_s:
                    self.closed(console)
                    raise TaskFailed("connection timed out")
                yield 0.5
            return 0

        console.upid = datacenter.tasks.start(node, "vncproxy", guest.vmid, body, call)
        return console

    def find(self, node: str, vmid: int, port: int, ticket: str, call: Call | None = None) -> Console:
        """The console that a websocket asks for; refuse a wrong port, guest, ticket or caller."""
        console = self.open.get((node, port))
        is_fresh = console is not None and self._datacenter.now_s() - console.made_at_s <= TICKET_LIFE_S
        if console is None or not is_fresh or console.vmid != vmid:
            raise PveError(401, "permission denied - invalid PVEVNC ticket")
        is_known = secrets.compare_digest(console.ticket.encode(), _PASSWORD.sub("", ticket).encode())
        if not is_known or (call is not None and _who(call) != console.who):
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
            if not (self._datacenter.node_is_up(console.node) and self._datacenter.node_is_up(console.guest_node)):
                self.closed(console)


def _who(call: Call) -> str:
    return f"{call.user}!{call.token_id}" if call.token_id else call.user
