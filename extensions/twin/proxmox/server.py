# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doors of a Proxmox twin: every node's HTTPS address (and SSH), for clients that know nothing of a twin."""

from __future__ import annotations

import asyncio
import contextlib
import typing as t
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path

import trustme

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Access, Keys
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.certificates import Certificates
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.door import Listener
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.faults import Faults
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.gate import Gate, Place
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.loop import DoorLoop
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.ssh import Guards, SshClient, SshListener

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

T = t.TypeVar("T")


class Doors:
    """The addresses are fixed from the start; clients are let in from ``open`` on, until ``end``.

    ``pace`` multiplies every delay that PVE itself makes (3 s for a failed login, 10 s for a lock); ``latency_s`` is added
    to every call, in real seconds. Without a ``schema`` only the engine itself refuses parameters. Many ``Doors`` may
    share one ``loop`` and one ``certificates``.
    """

    def __init__(
        self,
        datacenters: Sequence[Datacenter],
        *,
        ca: trustme.CA | Certificates | None = None,
        loop: DoorLoop | None = None,
        keys: Keys | None = None,
        schema: Schema | t.Literal["installed"] | None = "installed",
        has_ssh: bool = True,
        pace: float = 1.0,
        latency_s: float = 0.0,
    ) -> None:
        self.certificates = ca if isinstance(ca, Certificates) else Certificates(ca)
        self.keys = keys or Keys()
        self.faults = Faults(datacenters)
        self.faults.changed = self.settle
        self.schema = Schema.installed() if schema == "installed" else schema
        self._owns_loop, self.loop = loop is None, loop or DoorLoop()
        self.guards = Guards()
        self._listeners: dict[str, Listener] = {}
        self._ssh: dict[str, SshListener] = {}
        self._is_open = False
        self._settling = asyncio.Lock()
        self.gate = Gate(faults=self.faults, schema=self.schema, pace=pace, latency_s=latency_s, settle=self._settle)
        self._take(datacenters)
        for node in self.gate.places:
            self._listeners[node] = Listener(self.gate.handler(node), self.certificates.context())
            if has_ssh:
                self._ssh[node] = SshListener(node, self.gate, self.guards)

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[str]:
        return list(self._listeners)

    def endpoint(self, node: str) -> tuple[str, int]:
        """Where this node's API listens; ``https://host:port/api2/json``."""
        return "127.0.0.1", self._listener(node).port

    def ssh_endpoint(self, node: str) -> tuple[str, int]:
        self._listener(node)
        if node not in self._ssh:
            raise ValueError(f"{node} has no SSH door: this twin was made without")
        return "127.0.0.1", self._ssh[node].port

    @property
    def known_hosts(self) -> str:
        """The nodes' SSH host keys, as a known_hosts file has them."""
        return "".join(listener.known_host for listener in self._ssh.values())

    def write_ssh_client(self, folder: Path) -> SshClient:
        """Make a key that is let in on every node; writes it and the known hosts into the folder."""
        return self.guards.write_client(folder, self.known_hosts)

    def fingerprint(self, node: str) -> str:
        """SHA-256 of the certificate that the node shows now, as Proxmox VE prints it."""
        self._listener(node)
        return self._certificate(node)

    @property
    def auth(self) -> Access:
        """The users of the first cluster or node."""
        return next(iter(self.gate.places.values())).access

    def access(self, node: str) -> Access:
        """The users of the cluster that this node is in."""
        return self._place(node).access

    # --- life --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Let clients in, wherever a node is up."""
        self._is_open = True
        self._run(self._settle())

    def shut(self) -> None:
        """Let nobody in any more; addresses stay ours."""
        self._is_open = False
        self._run(self._settle())

    def settle(self) -> None:
        """Shut the doors of nodes that are gone and open those of nodes that are back; returns when it is so.

        Not to be called with the world's lock held: the doors' own thread may be waiting for it."""
        if self.loop.is_alive:
            self._run(self._settle())

    def refresh(self) -> None:
        """Do as ``settle``, soon; any thread may ask, and none waits."""
        self.loop.soon(lambda: asyncio.ensure_future(self._settle()))

    def move_to(self, datacenters: Sequence[Datacenter]) -> None:
        """Serve another site with the same nodes from now on: sessions and faults are new, addresses and keys stay."""
        self._run(self._move_to(datacenters))

    def end(self) -> None:
        self._is_open = False
        if not self.loop.is_alive:
            return
        with contextlib.suppress(TimeoutError):
            self._run(self._release())
        if self._owns_loop:
            self.loop.end()

    def set_certificate(self, kind: str = "good", node: str = "") -> None:
        """Show a "good", "expired" or "foreign" certificate from now on, on one node or on all."""
        certificate = self.certificates.of(kind)
        for name in [node] if node else self.nodes:
            self._listener(name)
            self.gate.places[name].certificate = kind
            self._run(self._load(name, certificate.load_into))
        self._run(self._cut(*([node] if node else self.nodes)))

    def cut(self) -> None:
        """Cut every open connection."""
        self._run(self._cut(*self.nodes))

    # --- inner -------------------------------------------------------------------------------------------------------

    def _take(self, datacenters: Sequence[Datacenter]) -> None:
        for datacenter in datacenters:
            access = Access(datacenter.now_s, self.keys, partial(pool_of, datacenter))
            access.skews = self.faults.site.skews
            access.cluster_name = datacenter.name if datacenter.is_cluster else ""
            for node in datacenter.nodes:
                if node in self.gate.places:
                    raise ValueError(f"two nodes are named {node}: the doors of one twin tell nodes by their names")
                self.gate.places[node] = Place(node, datacenter, access)

    async def _move_to(self, datacenters: Sequence[Datacenter]) -> None:
        wanted = {node for datacenter in datacenters for node in datacenter.nodes}
        if wanted != set(self._listeners):
            raise ValueError(f"the doors serve {', '.join(self.nodes)}; not {', '.join(sorted(wanted))}")
        self.faults.move_to(datacenters)
        self.gate.places.clear()
        self._take(datacenters)
        for listener in self._listeners.values():
            if listener.tls is not None:
                self.certificates.of("good").load_into(listener.tls)
        await self._cut(*self.nodes)
        await self._settle()

    async def _settle(self) -> None:
        """Let each door be open if and only if its node can be reached."""
        async with self._settling:
            for node, place in self.gate.places.items():
                should_be_open = self._is_open and place.is_online
                for listener in self._listeners_of(node):
                    if should_be_open and not listener.is_open:
                        await listener.open()
                    elif listener.is_open and not should_be_open:
                        await listener.shut()

    async def _release(self) -> None:
        for node in self.nodes:
            for listener in self._listeners_of(node):
                await listener.release()

    async def _cut(self, *nodes: str) -> None:
        for node in nodes:
            for listener in self._listeners_of(node):
                listener.cut()

    def _listeners_of(self, node: str) -> list[Listener | SshListener]:
        both: list[Listener | SshListener] = [self._listener(node)]
        return both + [self._ssh[node]] if node in self._ssh else both

    async def _load(self, node: str, load: t.Callable[[t.Any], None]) -> None:
        load(self._listeners[node].tls)

    def _certificate(self, node: str) -> str:
        return self.certificates.of(self.gate.places[node].certificate).fingerprint

    def _run(self, work: Coroutine[t.Any, t.Any, T]) -> T:
        return self.loop.run(work)

    def _listener(self, node: str) -> Listener:
        if node not in self._listeners:
            raise ValueError(f"no node {node!r}; there are {', '.join(self.nodes)}")
        return self._listeners[node]

    def _place(self, node: str) -> Place:
        self._listener(node)
        return self.gate.places[node]


def pool_of(datacenter: Datacenter, path: str) -> str:
    """The pool that holds ``/vms/<id>`` or ``/storage/<id>``; its rights count there too."""
    dummy, kind, member = path.split("/", 2)
    wanted = {"vms": "vms", "storage": "storage"}[kind]
    return next((name for name, pool in datacenter.pools.items() if member in map(str, pool.get(wanted, ()))), "")
