# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote a snapshot replica at a recovery point.

The vendor's snapshots are never removed, never consolidated: our own point is made first, of the state as it is, and everything
after it is a branch that ``undo`` throws away. What a revert does to NICs and extraConfig differs: vSphere brings back those of
the snapshot (our stamps gone), vcsim leaves them. So both are looked at and set again after it; neither behaviour is relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Pair,
    Power,
    RecoveryPoint,
    ReplicaKind,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.guest import not_alive
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import keepsake, power, reconfigure
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.health import await_guest
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.points import (
    REVERT_WITHIN_S,
    SNAPSHOT_WITHIN_S,
    create_snapshot,
    protective_name,
    protective_point,
    revert_to,
)


def promote(
    client: Client, pair: Pair, point: RecoveryPoint, *, run_id: str, guest_within_s: float, clock: Clock
) -> Iterator[Step]:
    """Yield the steps that make the replica serve at ``point``. Refuses before the first of them.

    After a guest that crashed, the same run may come again with an older point: a copy that never got its NICs is then
    stopped and reverted once more.
    """
    promotion = _Promotion(client, pair, point, run_id=run_id, clock=clock)
    promotion.refuse()
    yield promotion.claim()
    yield promotion.protect()
    if promotion.is_second_choice():
        yield promotion.stop_first_choice()
    yield promotion.revert()
    yield promotion.stamp_again()
    yield promotion.isolate()
    yield from power.power_on(client, promotion.vm, unless=promotion.is_past)
    yield promotion.see_guest(guest_within_s)
    yield promotion.connect()
    yield reconfigure.stamp(
        promotion.copy,
        "stamp as failed over",
        {stamps.RUN: run_id, stamps.PHASE: Phase.FAILOVER},
        unless=promotion.is_past,
        next=f"it serves already; {AGAIN}, which sets the stamp",
    )


class _Promotion:
    def __init__(self, client: Client, pair: Pair, point: RecoveryPoint, *, run_id: str, clock: Clock) -> None:
        if pair.replica is None:
            raise NotReplicated(
                what=f"promote the replica of {pair.name}",
                why="no replica was found",
                next="check dr_replica and dr_site.replica",
            )
        self.client, self.pair, self.point, self.run_id, self.clock = client, pair, point, run_id, clock
        self.start = self.vm = Copy(client, pair.replica).now()
        self.copy = Copy(client, self.start)
        # Held here too: on vSphere the stamp goes with the revert, and comes again right after it.
        self.kept = self.start.stamps.get(keepsake.KEY) or keepsake.encode(
            keepsake.Keepsake(plugs=keepsake.plugs_of(self.start.nics))
        )

    # --- before anything ----------------------------------------------------------------------------------------------

    def refuse(self) -> None:
        """Raise where a promotion may not even begin. One that this run began may always go on."""
        vm, what = self.start, f"promote {self.vm.name} at {self.point.name!r}"
        if vm.replica_kind in (ReplicaKind.VSPHERE_REPLICATION, ReplicaKind.CDP):
            raise Refused(
                what=what,
                why=f"it is the target of {vm.replica_kind}, whose chain breaks when it is powered on by hand",
                next="recover it with its own product, then use the adopt playbook",
            )
        owner = vm.stamps.get(stamps.RUN, "")
        if owner and owner != self.run_id:
            raise Refused(
                what=what,
                why=f"run {owner} holds it (phase {vm.stamps.get(stamps.PHASE, 'unknown')})",
                next=f"continue or undo run {owner} first",
            )
        if all(p.id != self.point.id for p in vm.points):
            raise NotReplicated(
                what=what,
                why=f"the recovery point {self.point.id} is not on the replica any more",
                next="read the recovery points again with the assess playbook and choose another",
            )
        if self.is_second_choice() and vm.power is Power.ON and not reconfigure.is_unplugged(vm):
            raise Refused(
                what=what,
                why="it runs at another point with its NICs connected: it may have served, and a revert would lose that",
                next="undo this run, then recover again with the point you want",
            )
        if self.is_mine(vm):
            return
        if vm.power is not Power.OFF:
            raise Refused(
                what=what,
                why=f"the replica is {vm.power}, and no run of ours powered it on",
                next="use the adopt playbook if it serves already, else power it off after seeing what it runs",
            )
        if vm.question:
            raise Refused(
                what=what,
                why=f"it waits for the answer to a question: {vm.question}",
                next=f"answer it in the vSphere client, {AGAIN}",
            )
        if self.copy.is_busy():
            raise Refused(
                what=what,
                why="a task works on the replica just now: its replication job may be running",
                next=f"disable the replication job, wait for the end of its task, {AGAIN}",
            )

    def is_mine(self, vm: Vm) -> bool:
        """Tell whether this run has begun here: by its stamp, or by its point where a revert took the stamp away."""
        return vm.stamps.get(stamps.RUN) == self.run_id or self._is_protected(vm)

    def is_past(self, vm: Vm) -> bool:
        """Tell whether the promotion was completed: from then on nothing here may touch the copy again."""
        return vm.stamps.get(stamps.RUN) == self.run_id and vm.stamps.get(stamps.PHASE) in (
            Phase.FAILOVER,
            Phase.MIGRATING,
            Phase.FAILBACK,
            Phase.COMMITTED,
        )

    # --- the steps ----------------------------------------------------------------------------------------------------

    def claim(self) -> Step:
        marks = {stamps.RUN: self.run_id, stamps.PHASE: Phase.PROMOTING, keepsake.KEY: self.kept}
        return reconfigure.stamp(
            self.copy,
            "stamp as being promoted",
            marks,
            # A revert took the stamps away: they are set again after it, with the point.
            unless=lambda vm: self.is_past(vm) or self._is_protected(vm),
            next=f"read the task's error in the vSphere client, {AGAIN}",
        )

    def protect(self) -> Step:
        name = protective_name(self.run_id)
        return self.copy.step(
            "protect the present state",
            calls=[f"CreateSnapshot_Task({self.copy.handle}, name={name!r}, memory=False, quiesce=False)"],
            is_done=lambda vm: self.is_past(vm) or self._is_protected(vm),
            act=lambda: create_snapshot(self.copy, name, "state before the promotion, kept by ferragosto.dr for undo"),
            task="createsnapshot",
            within_s=SNAPSHOT_WITHIN_S,
            next=f"free space on {', '.join(self.vm.datastores) or 'its datastore'} (a replica with 31 snapshots in one "
            f"chain takes no more), {AGAIN}",
        )

    def is_second_choice(self) -> bool:
        """Tell whether this run has tried another point before, whose guest did not come up."""
        stamped = self.start.stamps.get(stamps.POINT, "")
        return bool(stamped) and stamped != self.point.id and not self.is_past(self.start)

    def stop_first_choice(self) -> Step:
        return power.power_off(self.client, self.vm, guest_within_s=0, unless=self.is_at_point)[0]

    def is_at_point(self, vm: Vm) -> bool:
        """Tell whether the disks are those of the chosen point (or what it became since it was powered on)."""
        if self.is_past(vm):
            return True
        if not self._is_protected(vm) or vm.current_point != self.point.id:
            return False
        # Off and not yet stamped: reverted, and the controller died before it could say so on the VM.
        return vm.power is Power.OFF or vm.stamps.get(stamps.POINT) == self.point.id

    def _is_protected(self, vm: Vm) -> bool:
        return protective_point(vm, self.run_id) is not None

    def revert(self) -> Step:
        return self.copy.step(
            "go to the recovery point",
            calls=[f"RevertToSnapshot_Task({self.point.id}, suppressPowerOn=True)"],
            is_done=self.is_at_point,
            act=lambda: revert_to(self.copy, self.point.id, f"go to recovery point {self.point.name!r}"),
            task="revert",
            within_s=REVERT_WITHIN_S,
            next=f"read the task's error in the vSphere client; choose another recovery point, or {RUN_AGAIN}",
            more=lambda vm: {"point": self.point.id},
        )

    def stamp_again(self) -> Step:
        marks = {
            stamps.RUN: self.run_id,
            stamps.PHASE: Phase.PROMOTING,
            stamps.POINT: self.point.id,
            keepsake.KEY: self.kept,
        }
        return reconfigure.stamp(
            self.copy,
            "stamp with the recovery point",
            marks,
            unless=self.is_past,
            next=f"read the task's error in the vSphere client, {AGAIN}",
        )

    def isolate(self) -> Step:
        return reconfigure.plug_nics(
            self.copy,
            "isolate before power on",
            lambda vm: {n.key: keepsake.UNPLUGGED for n in vm.nics},
            # One that is on was isolated before that; NICs that are connected by now serve.
            unless=lambda vm: self.is_past(vm) or vm.power is Power.ON,
            next=f"disconnect every NIC of {self.vm.name} in the vSphere client, {AGAIN}",
        )

    def see_guest(self, within_s: float) -> Step:
        return self.copy.step(
            marks.GUEST_ALIVE,
            calls=[f"WaitForUpdatesEx({self.copy.handle}: guestHeartbeatStatus, up to {within_s:.0f} s)"],
            is_done=lambda vm: self.is_past(vm) or self._is_alive(vm),
            act=lambda: self._await_guest(within_s),
            next=f"look at its console; give it more time and {RUN_AGAIN}, or choose an older recovery point",
        )

    def _is_alive(self, vm: Vm) -> bool:
        if vm.power is not Power.ON:
            return False
        if vm.guest.tools is Tools.NOT_INSTALLED:
            # Nothing inside can speak for this guest: the checks of the service will have to.
            return True
        wait = await_guest(self.client, vm, within_s=0, since_s=self._since_s(vm), clock=self.clock)
        return wait.outcome is GuestOutcome.ALIVE

    def _await_guest(self, within_s: float) -> None:
        vm = self.copy.now()
        wait = await_guest(self.client, vm, within_s=within_s, since_s=self._since_s(vm), clock=self.clock)
        if wait.outcome is GuestOutcome.ALIVE:
            return
        raise not_alive(
            self.copy.target,
            wait,
            older=f"choose an older recovery point than {self.point.name!r}: -e recover_point=..., {AGAIN}",
            who="see in its events who powered it off",
            unblock="answer its question in the vSphere client",
        )

    def _since_s(self, vm: Vm) -> float:
        """Return the server's time of this boot: crashes before it are another guest's."""
        return vm.guest.boot_at_s or self.clock.now_s() + self.client.clock_offset_s

    def connect(self) -> Step:
        return reconfigure.plug_nics(
            self.copy,
            "connect the NICs",
            self._plugs_to_serve,
            unless=self.is_past,
            is_live=True,
            next=f"connect the NICs of {self.vm.name} in the vSphere client (does their network exist on "
            f"{self.vm.host}?), {AGAIN}",
        )

    def _plugs_to_serve(self, vm: Vm) -> Mapping[str, keepsake.Plug]:
        """Choose the NICs to connect: those that started connected before we isolated them.

        Some leave all NICs of a replica unplugged so that nobody powers it on into production by mistake: then all are
        meant. A NIC that only the recovery point has is one of its own and is connected too.
        """
        kept = keepsake.decode(self.kept) or keepsake.Keepsake()
        wanted = [n.key for n in vm.nics if n.key not in kept.plugs or kept.plugs[n.key].starts_connected]
        return dict.fromkeys(wanted or [n.key for n in vm.nics], keepsake.PLUGGED)
