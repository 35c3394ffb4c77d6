# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Proxmox VE site: what is asked of single VMs, and all that acts on them, through the endpoints of its reading half."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Event,
    Pair,
    RecoveryPoint,
    Replication,
    Vm,
    Way,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import read
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.reader import ProxmoxReader
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.acting_site import ActingSite, Hands
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import key_of

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import Ends

SETTLE_S = 5.0  # the agent of a guest that goes down may answer for some seconds more


class ProxmoxSite(ProxmoxReader, ActingSite[Client, "Ends"]):
    """Implements ``core.ports.Site``."""

    # --- reads --------------------------------------------------------------------------------------------------------

    def refresh(self, vm: Vm) -> Vm:
        if not vm.handle:
            seen = self.read(deep=(vm.name, vm.id))
            found = (v for end in seen.endpoints() for v in end.vms if v.id == vm.id)
            return next(found, vm)
        client = self._client(vm)
        fresh = read.refresh(client, vm)
        self._owners[key_of(fresh)] = client
        return fresh

    def events(self, vm: Vm, since_s: float) -> tuple[Event, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import events

        client = self._client(vm)
        # The caller may have read "since" off our clock or off the server's: the earlier one misses nothing
        since_there_s = min(since_s, since_s + client.clock_offset_s)
        return events.events(client, vm, since_there_s, nodes=self._nodes(client, vm))

    def last_events(self, vm: Vm, limit: int = 10) -> tuple[Event, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import events

        client = self._client(vm)
        return events.last_events(client, vm, limit, nodes=self._nodes(client, vm))

    def refusals(self) -> Mapping[str, str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.edition import refusals

        return refusals(list(self._views), [seen.survey for seen in self._views.values()], self._spec)

    def replication(self, pair: Pair) -> Replication | None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.freshness import replication

        return replication(self._any_client(), pair)

    def await_guest(self, vm: Vm, *, within_s: float, since_s: float) -> GuestWait:
        """``since_s`` is on the controller's clock."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.health import await_guest

        return await_guest(self._client(vm), vm, within_s=within_s, since_s=since_s, settle_s=SETTLE_S)

    def screenshot(self, vm: Vm) -> bytes | None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.screen import look

        return look(self._client(vm), vm).png

    def ways(self, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import ways

        return ways(self._ends(), pair, point)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _hands(self) -> Hands[Client, Ends]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import hands

        return hands

    def _ends(self) -> Ends:
        """Return the clients to act through: of one cluster, the one that answered speaks for both nodes."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import Ends

        if len(self._views) == 1 and next(iter(self._views.values())).survey.cluster:
            only = next(iter(self._views))
            return Ends(production=only, replica=only, spec=self._spec)
        return Ends(production=self._production, replica=self._replica, spec=self._spec)

    def _any_client(self) -> Client:
        """Return an endpoint that answered the last read; the replica's, for the other may be dead."""
        return next((c for c in (self._replica, self._production) if c in self._views), self._replica)

    def _nodes(self, client: Client, vm: Vm) -> tuple[str, ...]:
        """Return the nodes that may have done something to this VM and can be asked."""
        seen = self._views.get(client)
        online = [name for name, is_up in seen.survey.nodes.items() if is_up] if seen is not None else []
        return tuple(dict.fromkeys([*([vm.host] if not online or vm.host in online else []), *online]))
