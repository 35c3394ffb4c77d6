# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reading half of a Proxmox VE site: two nodes of one cluster, read through whichever answers, or two that stand alone."""

from __future__ import annotations

import typing as t
from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    BadInput,
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading, SiteReading, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, Progress, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import read, survey
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.read import View
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import TwoEnds, key_of, no_reading

HEDGE_S = 1.5  # so long the first endpoint may be silent before the second one is asked as well
_MISSING = (SiteUnreachable, ProviderFault)


class ProxmoxReader(TwoEnds[Client]):
    """Implements ``core.ports.Reader``."""

    provider = "proxmox"
    host_word = "nodes"

    def __init__(self, spec: SiteSpec, *, clock: Clock, progress: Progress) -> None:
        super().__init__(spec, lambda end: Client(end, clock=clock, progress=progress), clock=clock)
        self._views: dict[Client, View] = {}

    def read(self, deep: Container[str] = ()) -> SiteReading:
        self._views.clear()
        if self._production is self._replica:
            production, replica = self._through(self._production, deep)
        else:
            production, replica = self._both(deep)
        if deep:
            production = self._aged(production)
            is_one = replica.address == production.address
            replica = replace(production, node=replica.node) if is_one else self._aged(replica)
        self._owners = {}
        for end, client in ((replica, self._speaker(replica)), (production, self._speaker(production))):
            self._owners.update((key_of(vm), client) for vm in end.vms)
        return SiteReading(name=self.name, provider=self.provider, production=production, replica=replica)

    def _aged(self, end: EndpointReading) -> EndpointReading:
        """Ask the replica node itself how old a dead node's replicas are, where its shell may be used."""
        if not self._spec.replica.ssh_user or not any(vm.points_note for vm in end.vms):
            return end
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.snapshots import with_snapshots

        return with_snapshots(end, self._spec.replica)

    # --- reading both ends --------------------------------------------------------------------------------------------

    def _both(self, deep: Container[str]) -> tuple[EndpointReading, EndpointReading]:
        """Read two endpoints: one of them alone where they are of one cluster, for both show all of it."""
        home, away = self._spec.production.node, self._spec.replica.node
        pool = ThreadPoolExecutor(max_workers=2)
        try:
            asked = pool.submit(self._production.get, "/cluster/status")
            try:
                status: t.Any = asked.result(timeout=HEDGE_S)
            except TimeoutError:
                status = None
            except _MISSING:
                status = None
            if survey.is_member(status, away):
                found = self._through(self._production, deep, status=status)
                if found[0].is_reachable:
                    return found
            other = self._status_of(self._replica)
            if survey.is_member(other, home):
                note = f"{self._production.address} does not answer: read through {self._replica.address}"
                production, replica = self._through(self._replica, deep, status=other)
                return replace(production, notes=(note, *production.notes)), replica
            later = pool.submit(self._alone, self._replica, deep, status=other)
            mine = self._alone(self._production, deep, status=status)
            theirs = later.result()
            return self._apart(mine, theirs)
        finally:
            pool.shutdown(wait=False)

    def _through(
        self, client: Client, deep: Container[str], *, status: object = None
    ) -> tuple[EndpointReading, EndpointReading]:
        """Read one endpoint that stands for both."""
        home, away = self._spec.production.node, self._spec.replica.node
        found = self._alone(client, deep, status=status)
        if isinstance(found, EndpointReading):
            return replace(found, node=home), replace(found, node=away)
        seen, calls = found
        _require_nodes(client, seen, home, away)
        one = read.reading(client, seen, node=home, replica_node=away, calls=calls)
        return one, replace(one, node=away)

    def _alone(
        self, client: Client, deep: Container[str], *, status: object = None
    ) -> EndpointReading | tuple[View, int]:
        """Raises BadInput for what a person must correct first: a wrong token is no sign of a dead host."""
        started_s, calls = self.clock.now_s(), client.calls
        node = self._spec.production.node if client is self._production else self._spec.replica.node
        try:
            seen = read.view(client, status=status, deep=deep, replica_node=self._spec.replica.node)
        except _MISSING as cause:
            made = client.calls - calls
            return no_reading(client.address, node=node, clock=self.clock, started_s=started_s, calls=made, error=cause)
        self._views[client] = seen
        # The status was read before, by one call
        return seen, client.calls - calls + (status is not None)

    def _apart(
        self, mine: EndpointReading | tuple[View, int], theirs: EndpointReading | tuple[View, int]
    ) -> tuple[EndpointReading, EndpointReading]:
        """Make the readings of two nodes that stand alone: the replica's end shows the backups of the other's VMs."""
        home, away = self._spec.production.node, self._spec.replica.node
        production_vms: Sequence[Vm] = ()
        if isinstance(mine, EndpointReading):
            production = mine
        else:
            seen, calls = mine
            _require_nodes(self._production, seen, home)
            production_vms = seen.vms
            production = read.reading(self._production, seen, node=home, replica_node=away, calls=calls)
        if isinstance(theirs, EndpointReading):
            return production, theirs
        seen, calls = theirs
        _require_nodes(self._replica, seen, away)
        replica = read.reading(
            self._replica, seen, node=away, replica_node=away, calls=calls, production=production_vms
        )
        return production, replica

    def _status_of(self, client: Client) -> object:
        try:
            return client.get("/cluster/status")
        except _MISSING:
            return None

    def _speaker(self, end: EndpointReading) -> Client:
        return self._replica if end.address == self._replica.address else self._production


def _require_nodes(client: Client, seen: View, *nodes: str) -> None:
    """Refuse a node that the endpoint does not know: every path of the API goes by its name."""
    known = list(seen.survey.nodes)
    for node in nodes:
        if node and node not in known:
            raise BadInput(
                what=f"find the node {node!r}",
                why=f"{client.address} shows {'the nodes ' if len(known) > 1 else ''}{', '.join(known)}",
                next="correct 'node' in dr_site: it is the name that the web interface shows under Datacenter",
            )
