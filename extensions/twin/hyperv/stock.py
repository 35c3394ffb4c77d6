# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a fleet holds, and how it is built: hosts that stand alone, VMs, replicas and their recovery points."""

from __future__ import annotations

import hashlib
import threading
import typing as t
import uuid
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import (
    AuthorizationEntry,
    Host,
    ReplicaServer,
    Rights,
    Switch,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Adapter, Checkpoint, Disk, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint, Relation
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.replicating import point_name
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, DataState, HostState, Role
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing, World

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.power import Powers

_UPTIME_OF_HOSTS_S = 90 * 86400.0
_GIB = 2**30
_WINDOW_S = 12 * 3600.0  # of the replication's health, which the hosts keep by default


def thumbprint_of(host: str) -> str:
    """Make up the thumbprint of a host's replication certificate: always the same for one name."""
    return hashlib.sha1(f"replication certificate of {host}".encode(), usedforsecurity=False).hexdigest().upper()


class Stock:
    """The hosts, VMs and relationships of a fleet, and the world that is told of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts: dict[str, Host] = {}
        self.machines: list[Machine] = []
        self.relations: dict[uuid.UUID, Relation] = {}
        self.powers: Powers
        self._macs = 0

    @property
    def lock(self) -> threading.RLock:
        return self.world.lock

    def now_s(self) -> float:
        return self.world.clock.now_s()

    # --- building ----------------------------------------------------------------------------------------------------

    def add_host(
        self,
        name: str,
        *,
        switches: Iterable[str] = (),
        memory_bytes: int = 64 * _GIB,
        cpus: int = 16,
        is_replica_server: bool = True,
        authentication: str = "Certificate",
        allowed_servers: Iterable[str] = ("*",),
        open_listeners: Iterable[str] = ("Certificate", "Kerberos"),
        thumbprint: str | None = None,
        is_domain_joined: bool = False,
        rights: Mapping[str, Rights] | None = None,
        culture: str = "en-US",
        clock_skew_s: float = 0.0,
        utc_offset_s: int = 7200,
    ) -> Host:
        """Add a host by its FQDN; without a ``thumbprint`` it gets ``thumbprint_of(name)``, with "" no certificate."""
        own = thumbprint_of(name) if thumbprint is None else thumbprint
        server = ReplicaServer(
            is_enabled=is_replica_server,
            authentication=authentication,
            thumbprint=own if "Certificate" in authentication else "",
            entries=[AuthorizationEntry(allowed) for allowed in allowed_servers],
            open_listeners=set(open_listeners),
        )
        host = Host(
            name=name,
            memory_bytes=memory_bytes,
            booted_at_s=self.now_s() - _UPTIME_OF_HOSTS_S,
            cpus=cpus,
            switches={switch: Switch(switch) for switch in switches},
            server=server,
            thumbprints={own} if own else set(),
            is_domain_joined=is_domain_joined,
            rights={user.casefold(): right for user, right in (rights or {}).items()},
            culture=culture,
            clock_skew_s=clock_skew_s,
            utc_offset_s=utc_offset_s,
        )
        with self.lock:
            self.hosts[name] = host
            self.world.add_host(name, memory_bytes)
        return host

    def add_vm(
        self,
        host: str,
        name: str,
        *,
        vm: str | None = None,
        id: uuid.UUID | None = None,
        switch: str = "",
        adapters: int = 1,
        is_windows: bool = True,
        has_integration: bool = True,
        memory_bytes: int = 4 * _GIB,
        cpus: int = 2,
        disk_bytes: Sequence[int] = (60 * _GIB,),
        unreplicated_disk_bytes: Sequence[int] = (),
        generation: int = 2,
        uptime_s: float | None = None,
        data: DataState | None = None,
        auto_start: str = "StartIfRunning",
        reboots_after_crash_s: float | None = None,
        addresses: Sequence[str] = (),
        role: Role = Role.PRODUCTION,
        is_clustered: bool = False,
        notes: str = "",
    ) -> Machine:
        """Add a VM, off, or running for ``uptime_s`` already; ``vm`` is the protected VM that it is a copy of."""
        with self.lock:
            machine = Machine(
                id=id or uuid.uuid4(),
                name=name,
                host=self.host(host).name,
                vm=vm or name,
                notes=notes,
                auto_start=auto_start,
                generation=generation,
                memory_bytes=memory_bytes,
                cpus=cpus,
                is_windows=is_windows,
                has_heartbeat=True,
                is_clustered=is_clustered,
                created_at_s=self.now_s() - _UPTIME_OF_HOSTS_S,
            )
            machine.adapters = [self._new_adapter(machine, switch, addresses) for dummy in range(adapters)]
            sizes = [(size, True) for size in disk_bytes] + [(size, False) for size in unreplicated_disk_bytes]
            for size, is_replicated in sizes:
                self.add_disk(machine, size, is_replicated=is_replicated)
            self._take_in(machine, role, data or DataState(1, self.now_s()), has_integration, reboots_after_crash_s)
            if uptime_s is not None:
                self.powers.was_running(machine, uptime_s)
            return machine

    def relate(
        self,
        machine: Machine,
        replica_host: str,
        *,
        data: DataState | None = None,
        log_age_s: float = 0.0,
        frequency_s: int = 300,
        recovery_history: int = 24,
        vss_hours: int = 0,
        authentication: str = "Certificate",
        runs_by_itself: bool = True,
    ) -> Relation:
        """Replicate a VM to another host, where its replica VM is made: same id, off, no adapter connected.

        ``data`` is what the replica has applied, ``log_age_s`` how old the newest applied log is; without
        ``runs_by_itself`` no cycle runs but by ``replicate``.
        """
        with self.lock:
            source, target = self.host(machine.host), self.host(replica_host)
            at_s = self.now_s() - log_age_s
            replica = _alike(machine, id=machine.id, name=machine.name, host=target.name)
            replica.created_at_s = machine.created_at_s
            replica.adapters = [self._new_adapter(replica, "", card.addresses) for card in machine.adapters]
            folder = rf"{target.server.storage_location}\Hyper-V Replica\Virtual hard disks\{machine.key.upper()}"
            for disk in (d for d in machine.disks if d.is_replicated):
                path = folder + "\\" + disk.path.rpartition("\\")[2]
                replica.disks.append(Disk(path, disk.size_bytes, controller_location=disk.controller_location))
            original = self.world.copy(machine.copy_id)
            applied = data or self.world.data_of(original)
            self._take_in(replica, Role.REPLICA, applied, original.has_tools, original.reboots_after_crash_s)
            for end, mode in ((machine, "Primary"), (replica, "Replica")):
                end.endpoint = Endpoint(
                    mode=mode,
                    state="Replicating",
                    primary_server=source.name,
                    replica_server=target.name,
                    authentication=authentication,
                    thumbprint=self.own_thumbprint(end, authentication),
                    port=target.server.port(authentication),
                    frequency_s=frequency_s,
                    recovery_history=recovery_history,
                    vss_hours=vss_hours,
                    last_replication_s=at_s,
                    last_applied_s=at_s if mode == "Replica" else None,
                    last_type="Regular",
                    monitoring_since_s=at_s - _WINDOW_S,
                    successes=int(_WINDOW_S / frequency_s),
                    next_cycle_s=max(self.now_s(), at_s + frequency_s),
                )
            relation = Relation(machine, replica, runs_by_itself=runs_by_itself, base=applied)
            self.relations[machine.id] = relation
            return relation

    def add_point(
        self, replica: Machine, *, age_s: float, data: DataState, kind: str = "Replica", name: str = ""
    ) -> Checkpoint:
        """Give a VM a checkpoint of the past: a recovery point on a replica, or kind Standard on any VM."""
        with self.lock:
            at_s = self.now_s() - age_s
            point = Checkpoint(uuid.uuid4(), name or point_name(replica, at_s), kind, at_s)
            replica.checkpoints.append(point)
            self.world.copy(replica.copy_id).points[point.key] = data
            return point

    def add_disk(self, machine: Machine, size_bytes: int, *, is_replicated: bool = True) -> Disk:
        """Add a disk to a VM; one that is added after replication began is not in the replicated set."""
        with self.lock:
            number = len(machine.disks)
            path = rf"D:\Hyper-V\{machine.name}\{machine.name}-{number}.vhdx"
            disk = Disk(path, size_bytes, controller_location=number, is_replicated=is_replicated)
            machine.disks.append(disk)
            return disk

    def own_thumbprint(self, machine: Machine, authentication: str) -> str:
        return self.host(machine.host).server.thumbprint if authentication == "Certificate" else ""

    # --- questions ---------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """Find a host by its FQDN or its NetBIOS name."""
        for host in self.hosts.values():
            if host.is_called(name):
                return host
        raise UnknownThing(f"no host {name!r}; there are {', '.join(sorted(self.hosts))}")

    def find_host(self, name: str) -> Host | None:
        return next((h for h in self.hosts.values() if h.is_called(name)), None)

    def machines_on(self, host: str) -> list[Machine]:
        return [m for m in self.machines if m.host == host]

    def machine(self, host: str, id: uuid.UUID | str) -> Machine:
        """Find a VM on a host by its id, or where only one is called so by its name."""
        name = self.host(host).name
        found = [m for m in self.machines_on(name) if str(id).lower() == m.key or id == m.name]
        if len(found) != 1:
            raise UnknownThing(
                f"{len(found)} VMs {id!s} on {name}; there are {[m.name for m in self.machines_on(name)]}"
            )
        return found[0]

    def machine_of(self, copy_id: str) -> Machine | None:
        return next((m for m in self.machines if m.copy_id == copy_id), None)

    def copy(self, machine: Machine) -> Copy:
        return self.world.copy(machine.copy_id)

    def peer(self, machine: Machine) -> Machine | None:
        """The VM at the other end of its relationship."""
        relation = self.relations.get(machine.id)
        return None if relation is None or machine not in relation.ends else relation.other(machine)

    def is_up(self, host: str) -> bool:
        """Whether a host can be reached by its neighbours."""
        return self.world.hosts[host].state is HostState.UP

    # --- for the parts of the fleet ----------------------------------------------------------------------------------

    def forget(self, machine: Machine) -> None:
        """Remove a VM, a test VM for one."""
        self.machines.remove(machine)
        self.world.remove_copy(machine.copy_id)

    def add_test_vm(self, replica: Machine, data: DataState) -> Machine:
        """Make the test VM of a replica, beside it, off."""
        test = _alike(replica, id=uuid.uuid4(), name=f"{replica.name} - Test", host=replica.host)
        test.created_at_s = self.now_s()
        test.disks = [Disk(d.path.replace(".vhdx", "_test.avhdx"), d.size_bytes) for d in replica.disks]
        test.adapters = [self._new_adapter(test, card.test_switch, card.addresses) for card in replica.adapters]
        copy = self.world.copy(replica.copy_id)
        self._take_in(test, Role.CLONE, data, copy.has_tools, copy.reboots_after_crash_s)
        return test

    def _take_in(
        self, machine: Machine, role: Role, data: DataState, has_tools: bool, reboots_after_crash_s: float | None
    ) -> None:
        self.machines.append(machine)
        self.world.add_copy(
            Copy(
                id=machine.copy_id,
                vm=machine.vm,
                name=machine.name,
                role=role,
                host=machine.host,
                data=data,
                nics=self.powers.nics(machine),
                has_tools=has_tools,
                reboots_after_crash_s=reboots_after_crash_s,
            )
        )

    def _new_adapter(self, machine: Machine, switch: str, addresses: Sequence[str]) -> Adapter:
        self._macs += 1
        return Adapter(
            id=f"Microsoft:{machine.key.upper()}\\{str(uuid.uuid4()).upper()}",
            switch=switch,
            mac=f"00155D{self._macs:06X}",
            addresses=tuple(addresses),
        )


def _alike(machine: Machine, *, id: uuid.UUID, name: str, host: str) -> Machine:
    """Make a VM of the same build, off, that nothing starts and with nothing attached yet."""
    return Machine(
        id=id,
        name=name,
        host=host,
        vm=machine.vm,
        auto_start="Nothing",
        generation=machine.generation,
        memory_bytes=machine.memory_bytes,
        cpus=machine.cpus,
        is_windows=machine.is_windows,
    )
