# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building one client's site: two Hyper-V hosts that stand alone, and between them a replication per protected VM."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import BEFORE_FAILOVER, Relation
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wish import HypervWish, hyperv_wish
from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, HostWish, Namesake, SiteWish, VmWish
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, Role, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_FIRST_GENERATION = 1_000_000
_FOUND_RUNNING_S = 900.0
_VSS_HOURS = 4
# What the worker's log holds of a past event; it names no person. Anything else was a change of the configuration.
_EVENTS = {"VmPoweredOnEvent": 18500, "VmPoweredOffEvent": 18502, "VmResettingEvent": 18512}


def hyperv_timing(timing: Timing) -> HypervTiming:
    """Tell how long Hyper-V takes where guests take so long; the initial replication lasts as long as a relocation."""
    if timing.boot_s < 1.0:
        quick = HypervTiming.fast()
        start_s, failover_s, limit_s = quick.start_s, quick.failover_s, quick.shutdown_limit_s
    else:
        start_s, failover_s, limit_s = 0.3, 0.5, 60.0
    return HypervTiming(
        start_s=start_s,
        failover_s=failover_s,
        prepare_s=failover_s,
        reverse_s=failover_s,
        initial_s=timing.relocate_s,
        resynchronize_s=timing.relocate_s,
        shutdown_limit_s=limit_s,
    )


def build(
    wish: SiteWish, world: World, timing: HypervTiming | None = None, rights: Mapping[str, Rights] | None = None
) -> Fleet:
    """Build the site in an empty world; ``rights`` are those of the accounts that have not all."""
    shaped = wish if isinstance(wish, HypervWish) else hyperv_wish(wish)
    return _Builder(shaped, Fleet(world, timing or hyperv_timing(world.timing)), rights or {}).build()


class _Builder:
    def __init__(self, wish: HypervWish, fleet: Fleet, rights: Mapping[str, Rights]) -> None:
        self._wish, self._fleet, self._rights = wish, fleet, rights
        self._now_s = fleet.now_s()

    def build(self) -> Fleet:
        for end in (self._wish.production, self._wish.replica):
            self._host(end)
        for vm in self._wish.vms:
            self._protected(vm)
        for namesake in self._wish.namesakes:
            self._namesake(namesake)
        self._past()
        self._fleet.tick()
        return self._fleet

    # --- hosts -------------------------------------------------------------------------------------------------------

    def _host(self, end: End) -> None:
        wish, shape = self._wish, self._wish.hosts.get(end.node, HostWish())
        is_by_certificate = wish.auth == "certificate"
        host = self._fleet.add_host(
            end.node,
            switches=dict.fromkeys([end.network, *wish.isolated_networks]),
            memory_bytes=int(shape.memory_gb * 2**30),
            cpus=shape.cpus,
            authentication="Certificate" if is_by_certificate else "Kerberos",
            thumbprint=None if is_by_certificate else "",
            is_domain_joined=not is_by_certificate,
            rights=self._rights,
            culture=wish.culture,
        )
        host.disk_bytes = shape.disk_gb * 2**30
        for name in wish.isolated_networks:
            host.switches[name].kind = "Private"

    # --- guests ------------------------------------------------------------------------------------------------------

    def _protected(self, vm: VmWish) -> None:
        place = self._wish.production
        original = self._add(vm, place.node, vm.vm, switch=place.network, data=self._data_at(0.0), uptime_s=vm.uptime_s)
        original.configured_at_s = original.created_at_s
        if vm.replica == "missing":
            return
        relation = self._replicated(original, vm)
        if vm.replica == "several":
            oldest = self._data_at(max(vm.point_ages_s, default=0.0))
            self._add(vm, self._wish.replica.node, f"{vm.vm}-old", data=oldest, role=Role.CLONE)
        if vm.replica == "running":
            self._found_running(relation)

    def _add(
        self,
        vm: VmWish,
        node: str,
        name: str,
        *,
        data: DataState,
        switch: str = "",
        uptime_s: float | None = None,
        role: Role = Role.PRODUCTION,
        vm_key: str = "",
    ) -> Machine:
        is_windows = self._wish.system_of(vm.vm) == "windows"
        return self._fleet.add_vm(
            node,
            name,
            vm=vm_key or vm.vm,
            switch=switch,
            is_windows=is_windows,
            has_integration=vm.has_tools,
            memory_bytes=vm.memory_mb * 2**20,
            cpus=vm.cpus,
            disk_bytes=(vm.disk_gb * 2**30,),
            uptime_s=uptime_s,
            data=data,
            auto_start="StartIfRunning" if vm.has_autostart and role is Role.PRODUCTION else "Nothing",
            reboots_after_crash_s=vm.reboots_after_crash_s,
            addresses=(vm.address,) if vm.address else (),
            role=role,
        )

    def _replicated(self, original: Machine, vm: VmWish) -> Relation:
        wish = self._wish
        log_age_s = wish.log_age_s(vm)
        relation = self._fleet.relate(
            original,
            wish.replica.node,
            data=self._data_at(log_age_s),
            log_age_s=log_age_s,
            frequency_s=wish.frequency_s,
            recovery_history=wish.recovery_history,
            vss_hours=_VSS_HOURS if wish.has_app_consistent_points else 0,
            authentication="Certificate" if wish.auth == "certificate" else "Kerberos",
            runs_by_itself=wish.is_replicating,
        )
        kind = "AppConsistentReplica" if wish.has_app_consistent_points else "Replica"
        for age_s in vm.point_ages_s:  # the oldest first
            self._fleet.add_point(relation.second, age_s=age_s, data=self._data_at(age_s), kind=kind)
        return relation

    def _found_running(self, relation: Relation) -> None:
        """As a technician leaves it who failed over by hand to the newest log, and connected it; production is off by then."""
        fleet, original, replica = self._fleet, relation.first, relation.second
        fleet.powers.turn_off(original)
        copy = fleet.copy(replica)
        copy.points[BEFORE_FAILOVER] = copy.data
        if replica.endpoint is not None:
            replica.endpoint.state, replica.endpoint.failed_over_type = "FailedOverWaitingCompletion", "Regular"
        for adapter in replica.adapters:
            adapter.switch = self._wish.replica.network
        fleet.powers.rewired(replica)
        fleet.powers.was_running(replica, _FOUND_RUNNING_S)

    def _namesake(self, namesake: Namesake) -> None:
        """It protects nothing: a VM of its own in the world, so that it never counts as a second copy."""
        place = next(e for e in (self._wish.production, self._wish.replica) if e.node == namesake.node)
        vm = VmWish(host="", vm=namesake.name, replica_name="", memory_mb=1024, disk_gb=10)
        self._add(
            vm,
            namesake.node,
            namesake.name,
            switch=place.network,
            data=self._data_at(0.0),
            uptime_s=vm.uptime_s if namesake.power == "on" else None,
            vm_key=f"{namesake.name} in {namesake.folder}",
        )

    # --- the past ----------------------------------------------------------------------------------------------------

    def _past(self) -> None:
        home = self._wish.production.node
        for event in self._wish.events:
            found = [m for m in self._fleet.machines_on(home) if m.vm == event.vm]
            for machine in found:
                at_s = self._now_s - event.age_s
                number = _EVENTS.get(event.kind)
                if number is None:
                    machine.configured_at_s = at_s
                else:
                    self._fleet.events.write(machine, number, at_s=at_s)

    def _data_at(self, age_s: float) -> DataState:
        writes = int(age_s / self._fleet.world.timing.write_interval_s)
        return DataState(_FIRST_GENERATION - writes, self._now_s - age_s)
