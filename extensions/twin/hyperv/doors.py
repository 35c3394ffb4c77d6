# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WinRM doors of a lab's hosts: one by HTTPS for each, one by HTTP where it is asked for; shut while their host is away."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable

import trustme

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import ClientAuthority
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Executor
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.faults import Faults
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.server import Server
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Limits
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User
from ansible_collections.ferragosto.dr.extensions.twin.world.model import HostState
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing

Leaf = Callable[[str], trustme.LeafCert]
_ENDED_S = 5.0  # what a killed process may take to notice


class Doors:
    """The hosts keep their ports from the start until ``end``, whatever befalls them."""

    def __init__(
        self,
        hosts: Iterable[str],
        executor: Executor,
        users: Iterable[User],
        *,
        leaf: Leaf,
        clients: ClientAuthority,
        ways: Ways | None = None,
        schemes: Iterable[str] = ("https",),
        count: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self.faults = Faults()
        self._leaf, self._clients = leaf, clients
        self._lock = threading.RLock()
        self._fleet: Fleet | None = None
        self._is_shut = True  # the endpoints are down, whatever their hosts are
        self._good = self._certificate("good")
        accounts = tuple(users)
        self._servers: dict[tuple[str, str], Server] = {}
        for host in hosts:
            for scheme in schemes:
                tls, certificate = self._good if scheme == "https" else (None, b"")
                self._servers[host, scheme] = Server(
                    host,
                    executor,
                    accounts,
                    tls=tls,
                    certificate=certificate,
                    ways=ways,
                    limits=limits,
                    faults=self.faults,
                    count=count,
                )

    @property
    def hosts(self) -> list[str]:
        return list(dict.fromkeys(host for host, dummy in self._servers))

    def server(self, host: str, scheme: str = "https") -> Server:
        if (host, scheme) not in self._servers:
            there = ", ".join(f"{scheme} of {host}" for host, scheme in self._servers)
            raise UnknownThing(f"no door {scheme} of {host!r}; there are {there}")
        return self._servers[host, scheme]

    def endpoint(self, host: str, scheme: str = "https") -> tuple[str, int]:
        return "127.0.0.1", self.server(host, scheme).port

    @property
    def failures(self) -> list[BaseException]:
        """What a process of the twin broke down with: never an error of PowerShell's own."""
        return [failure for server in self._servers.values() for failure in server.failures]

    # --- open and shut -----------------------------------------------------------------------------------------------

    def open(self) -> None:
        with self._lock:
            self._is_shut = False
            self.refresh()

    def shut(self, *, kills: bool = False) -> None:
        """Refuse everybody: WinRM is down on every host, the hosts and what runs there live on.

        ``kills``: no shell and no process does.
        """
        with self._lock:
            self._is_shut = True
            self.refresh()
            if kills:
                self.end_shells()
                for server in self._servers.values():
                    server.shells.join(_ENDED_S)

    def move_to(self, fleet: Fleet) -> None:
        """Serve another fleet's hosts (a lab that was reset), shut: no shell, no fault, the first certificate."""
        with self._lock:
            self.shut(kills=True)
            self.faults.clear()
            self._fleet = fleet
            self.show("good")

    def refresh(self) -> None:
        """Shut the doors of hosts that are away, open those of hosts that are there."""
        with self._lock:
            for (host, dummy), server in self._servers.items():
                state = HostState.UP if self._fleet is None else self._fleet.world.hosts[host].state
                if state is HostState.UP and not self._is_shut:
                    if not server.is_open:
                        server.open()
                elif server.is_open or state is HostState.DEAD:
                    server.shut(kills=state is HostState.DEAD)

    def end_shells(self) -> int:
        """End every client's shell and its processes; returns how many there were."""
        found = 0
        for server in self._servers.values():
            found += len(server.shells.all())
            server.shells.clear()
        return found

    def end(self) -> None:
        for server in self._servers.values():
            server.end()

    # --- certificates ------------------------------------------------------------------------------------------------

    def show(self, kind: str, host: str = "") -> None:
        """Show a "good", "expired" or "foreign" certificate from now on, on one host or on all."""
        with self._lock:
            shown = self._good if kind == "good" else self._certificate(kind)
            named = (
                [self.server(host)] if host else [s for (h, scheme), s in self._servers.items() if scheme == "https"]
            )
            for server in named:
                server.show(*shown)

    def _certificate(self, kind: str) -> tuple[ssl.SSLContext, bytes]:
        leaf = self._leaf(kind)
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        self._clients.trust_in(context)
        return context, chain
