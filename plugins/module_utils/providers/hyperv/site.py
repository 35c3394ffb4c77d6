# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hyper-V site: what is asked of single VMs, and all that acts on them, each on the host that has it."""

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
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import read
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.reader import HypervReader
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.acting_site import ActingSite, Hands
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import key_of

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends

SETTLE_S = 5.0  # the heartbeat of a guest that goes down may be good for some seconds more


class HypervSite(HypervReader, ActingSite[Client, "Ends"]):
    """Implements ``core.ports.Site``."""

    # --- reads --------------------------------------------------------------------------------------------------------

    def refresh(self, vm: Vm) -> Vm:
        client = self._client(vm)
        fresh = read.refresh(client, vm)
        self._owners[key_of(fresh)] = client
        return fresh

    def events(self, vm: Vm, since_s: float) -> tuple[Event, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events

        client = self._client(vm)
        # The caller may have read "since" off our clock or off the host's: the earlier one misses nothing
        return events.events(client, vm, min(since_s, since_s + client.clock_offset_s))

    def last_events(self, vm: Vm, limit: int = 10) -> tuple[Event, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import events

        return events.last_events(self._client(vm), vm, limit)

    def refusals(self) -> Mapping[str, str]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.edition import refusals

        return refusals()

    def replication(self, pair: Pair) -> Replication | None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.freshness import replication

        reachable = ((pair.is_production_reachable, self._production), (pair.is_replica_reachable, self._replica))
        return replication([client for is_up, client in reachable if is_up], pair)

    def screenshot(self, vm: Vm) -> bytes | None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.thumbnail import look

        seen = look(self._client(vm), vm)
        return seen.png if seen is not None else None

    def await_guest(self, vm: Vm, *, within_s: float, since_s: float) -> GuestWait:
        """``since_s`` is on the controller's clock."""
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.health import await_guest

        client = self._client(vm)
        return await_guest(client, vm, within_s=within_s, since_s=since_s + client.clock_offset_s, settle_s=SETTLE_S)

    def ways(self, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.promote import ways

        return ways(self._ends(), pair, point)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _hands(self) -> Hands[Client, Ends]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import hands

        return hands

    def _ends(self) -> Ends:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends

        return Ends(production=self._production, replica=self._replica, spec=self._spec)
