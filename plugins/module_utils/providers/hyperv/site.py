# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hyper-V site: what is asked of single VMs, and all that acts on them, each on the host that has it."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Event,
    Pair,
    RecoveryPoint,
    Replication,
    Vm,
    Way,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import Deadlines
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import read
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.reader import HypervReader
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import key_of

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends

_USUAL = Deadlines()
SETTLE_S = 5.0  # the heartbeat of a guest that goes down may be good for some seconds more


class HypervSite(HypervReader):
    """Implements ``core.ports.Site``."""

    drives_replication = True

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

    # --- acts ---------------------------------------------------------------------------------------------------------

    def power_on(self, vm: Vm) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.power import power_on

        return power_on(self._client(vm), vm)

    def power_off(self, vm: Vm, *, guest_within_s: float) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.power import power_off

        return power_off(self._client(vm), vm, guest_within_s=guest_within_s)

    def reset(self, vm: Vm, *, attempt: int, run_id: str) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.power import reset

        return reset(self._client(vm), vm, attempt=attempt, run_id=run_id)

    def fence(
        self,
        vm: Vm,
        *,
        run_id: str,
        guest_within_s: float = _USUAL.shutdown_s,
        off_within_s: float = _USUAL.fence_s,
    ) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.fence import fence

        client = self._client(vm)
        return fence(client, vm, run_id=run_id, guest_within_s=guest_within_s, off_within_s=off_within_s)

    def unfence(self, vm: Vm, former: Former) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.fence import unfence

        return unfence(self._client(vm), vm, former)

    def promote(
        self,
        pair: Pair,
        point: RecoveryPoint,
        *,
        way: str,
        run_id: str,
        guest_within_s: float,
        promoted_id: str = "",
    ) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.promote import promote

        return promote(
            self._ends(),
            pair,
            point,
            way=way,
            run_id=run_id,
            guest_within_s=guest_within_s,
            clock=self.clock,
            promoted_id=promoted_id,
        )

    def undo_promotion(self, pair: Pair, former: Former, *, run_id: str) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.settle import undo_promotion

        return undo_promotion(self._ends(), pair, former, run_id=run_id)

    def commit(self, pair: Pair, *, run_id: str) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.settle import commit

        return commit(self._ends(), pair, run_id=run_id)

    def migrate(self, vm: Vm, *, to: str, mode: str, run_id: str, within_s: float = _USUAL.migrate_s) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.migrate import migrate

        return migrate(self._ends(), vm, to=to, mode=mode, run_id=run_id, within_s=within_s)

    def end_migration(self, vm: Vm, *, run_id: str, phase: str) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.migrate import end_migration

        return end_migration(self._ends(), vm, run_id=run_id, phase=phase)

    def set_replication(
        self,
        pair: Pair,
        *,
        state: str,
        run_id: str,
        is_loss_accepted: bool,
        within_s: float = _USUAL.migrate_s,
    ) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.replication import set_replication

        return set_replication(
            self._ends(), pair, state=state, run_id=run_id, is_loss_accepted=is_loss_accepted, within_s=within_s
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _ends(self) -> Ends:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends

        return Ends(production=self._production, replica=self._replica, spec=self._spec)
