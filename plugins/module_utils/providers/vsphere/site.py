# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vSphere site: what is asked of single VMs, and all that acts on them, through the sessions of its reading half."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, Refused, SiteUnreachable
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
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import key_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import edition, health
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.read import refresh
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.reader import VsphereReader

_USUAL = Deadlines()
SETTLE_S = 5.0  # a heartbeat can stay green for some seconds after a reset


class VsphereSite(VsphereReader):
    """Implements ``core.ports.Site``."""

    drives_replication = False

    # --- reads --------------------------------------------------------------------------------------------------------

    def refresh(self, vm: Vm) -> Vm:
        client = self._client(vm)
        fresh = refresh(client, vm)
        self._owners[key_of(fresh)] = client
        return fresh

    def events(self, vm: Vm, since_s: float) -> tuple[Event, ...]:
        client = self._client(vm)
        # The caller may have read "since" off our clock or off the server's: the earlier one misses nothing
        return health.events(client, vm, min(since_s, since_s + client.clock_offset_s))

    def last_events(self, vm: Vm, limit: int = 10) -> tuple[Event, ...]:
        return health.last_events(self._client(vm), vm, limit)

    def refusals(self) -> Mapping[str, str]:
        try:
            return edition.refusals(self._production, self._replica)
        except SiteUnreachable:  # the reading says so already; what a dead end could do is unknown
            return {}

    def ways(self, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
        why = "a protective point is made first, then the replica goes to the recovery point: nothing is copied"
        return (Way(name="revert", is_possible=True, reason=why),)

    def replication(self, pair: Pair) -> Replication | None:
        return None

    def screenshot(self, vm: Vm) -> bytes | None:
        return None

    def await_guest(self, vm: Vm, *, within_s: float, since_s: float) -> GuestWait:
        """``since_s`` is on the controller's clock."""
        client = self._client(vm)
        since_there_s = since_s + client.clock_offset_s
        return health.await_guest(
            client, vm, within_s=within_s, since_s=since_there_s, clock=self.clock, settle_s=SETTLE_S
        )

    # --- acts ---------------------------------------------------------------------------------------------------------

    def power_on(self, vm: Vm) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.power import power_on

        return power_on(self._client(vm), vm)

    def power_off(self, vm: Vm, *, guest_within_s: float) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.power import power_off

        return power_off(self._client(vm), vm, guest_within_s=guest_within_s)

    def reset(self, vm: Vm, *, attempt: int, run_id: str) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.power import reset

        return reset(self._client(vm), vm, attempt=attempt, run_id=run_id)

    def fence(
        self,
        vm: Vm,
        *,
        run_id: str,
        guest_within_s: float = _USUAL.shutdown_s,
        off_within_s: float = _USUAL.fence_s,
    ) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.fence import fence

        client = self._client(vm)
        return fence(client, vm, run_id=run_id, guest_within_s=guest_within_s, off_within_s=off_within_s)

    def unfence(self, vm: Vm, former: Former) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.fence import unfence

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
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.promote import promote

        if promoted_id:
            raise BadInput(
                what=f"promote the replica of {pair.name} as {promoted_id}",
                why="on vSphere the replica itself is powered on: no new VM is made",
                next="remove dr_promoted_id",
            )
        client = self._client(_replica_of(pair))
        return promote(client, pair, point, run_id=run_id, guest_within_s=guest_within_s, clock=self.clock)

    def undo_promotion(self, pair: Pair, former: Former, *, run_id: str) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.settle import undo_promotion

        return undo_promotion(self._client(_replica_of(pair)), pair, former, run_id=run_id)

    def commit(self, pair: Pair, *, run_id: str) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.settle import commit

        return commit(self._client(_replica_of(pair)), pair, run_id=run_id)

    def migrate(self, vm: Vm, *, to: str, mode: str, run_id: str, within_s: float = _USUAL.migrate_s) -> Iterable[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.migrate import migrate

        return migrate(self._client(vm), vm, to=self._end(to), mode=mode, run_id=run_id, within_s=within_s)

    def end_migration(self, vm: Vm, *, run_id: str, phase: str) -> Sequence[Step]:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.migrate import end_migration

        return end_migration(self._client(vm), vm, run_id=run_id, phase=phase)

    def set_replication(
        self, pair: Pair, *, state: str, run_id: str, is_loss_accepted: bool, within_s: float = 0.0
    ) -> Iterable[Step]:
        raise Refused(
            what=f"set the replication of {pair.name} to {state}",
            why="vSphere does not run it: it is a job of the replication product",
            next="use that product's console, or dr_policy.job_hook to disable the job before a promotion",
        )


def _replica_of(pair: Pair) -> Vm:
    if pair.replica is None:
        raise BadInput(
            what=f"act on the replica of {pair.name}",
            why="no replica was found",
            next="check dr_replica of this VM and dr_site.replica",
        )
    return pair.replica
