# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building one client's site: a two-node cluster with replication, or two standalone nodes that share their backups."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, HostWish, Namesake, SiteWish, VmWish
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.backups import Vault
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Config, Guest, new_mac, new_uuid, nics_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.nodes import Node
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.replication import Job
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import Storage
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wish import ProxmoxWish, proxmox_wish
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, DataState
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_FIRST_GENERATION = 1_000_000
_UPTIME_OF_NODES_S = 90 * 86400.0
_TASKS = {
    "VmReconfiguredEvent": "qmconfig",
    "VmPoweredOnEvent": "qmstart",
    "VmPoweredOffEvent": "qmstop",
    "VmResettingEvent": "qmreset",
    "VmRelocatedEvent": "qmigrate",
}


def build(wish: SiteWish, world: World, timing: PveTiming | None = None) -> list[Datacenter]:
    """Build the site in an empty world: one datacenter for a cluster, one for each standalone node."""
    shaped = wish if isinstance(wish, ProxmoxWish) else proxmox_wish(wish)
    return _Builder(shaped, world, timing or shaped.pve_timing or PveTiming()).build()


@dataclass(slots=True)
class _Place:
    datacenter: Datacenter
    end: End


class _Builder:
    def __init__(self, wish: ProxmoxWish, world: World, timing: PveTiming) -> None:
        self._wish, self._world, self._timing, self._now_s = wish, world, timing, world.clock.now_s()
        ends = (wish.production, wish.replica)
        nodes = [self._node(end, number) for number, end in enumerate(ends, start=1)]
        if wish.layout == "cluster":
            cluster = Datacenter(
                wish.cluster_name, world, nodes=nodes, is_cluster=True, has_qdevice=wish.has_qdevice, timing=timing
            )
            self._places = [_Place(cluster, end) for end in ends]
        else:
            self._places = [
                _Place(Datacenter(end.node, world, nodes=[node], is_cluster=False, timing=timing), end)
                for end, node in zip(ends, nodes, strict=True)
            ]
        self._production, self._replica = self._places

    @property
    def _datacenters(self) -> list[Datacenter]:
        return list(dict.fromkeys(place.datacenter for place in self._places))

    def build(self) -> list[Datacenter]:
        vault = Vault()
        for datacenter in self._datacenters:
            datacenter.backups.vault = vault
            datacenter.bridges |= {"vmbr0", *self._wish.isolated_networks}
        for place in self._places:
            self._storages(place)
        for vm in self._wish.vms:
            self._protected(vm)
        for number, namesake in enumerate(self._wish.namesakes):
            self._namesake(namesake, 900 + number)
        self._nightly_job()
        self._past()
        self._world.tick()
        return self._datacenters

    # --- nodes and storages ------------------------------------------------------------------------------------------

    def _node(self, end: End, number: int) -> Node:
        shape = self._wish.hosts.get(end.node, HostWish())
        return Node(
            name=end.node,
            address=f"10.99.0.{number}",
            number=number,
            cpus=shape.cpus,
            memory_bytes=int(shape.memory_gb * 2**30),
            booted_at_s=self._now_s - _UPTIME_OF_NODES_S,
        )

    def _storage_id(self, place: _Place) -> str:
        """In a cluster a storage has one name on all nodes, or nothing can be replicated."""
        return (self._production if self._wish.layout == "cluster" else place).end.datastore

    def _storages(self, place: _Place) -> None:
        shelf, node = place.datacenter.shelf, place.end.node
        place.datacenter.bridges.add(place.end.network)
        shape = self._wish.hosts.get(node, HostWish())
        name = self._storage_id(place)
        zfs = shelf.storages.setdefault(
            name,
            Storage(id=name, kind="zfspool", content="images,rootdir", options={"pool": "rpool/data", "sparse": "1"}),
        )
        zfs.total_bytes[node] = shape.disk_gb * 2**30
        local = shelf.storages.setdefault(
            "local", Storage(id="local", kind="dir", content="iso,vztmpl,backup", options={"path": "/var/lib/vz"})
        )
        local.total_bytes[node] = 96 * 2**30
        if self._wish.backup_storage:
            shelf.storages[self._wish.backup_storage] = Storage(
                id=self._wish.backup_storage,
                kind="pbs",
                content="backup",
                is_shared=True,
                total_bytes={"": 16 * 2**40},
                options={"server": "pbs.example", "datastore": "main", "username": "pve@pbs"},
            )

    # --- guests ------------------------------------------------------------------------------------------------------

    def _protected(self, vm: VmWish) -> None:
        vmid = self._wish.vmids[vm.vm]
        datacenter = self._production.datacenter
        datacenter.addresses[vm.vm] = self._replica.datacenter.addresses[vm.vm] = vm.address
        guest = self._guest(vmid, vm, self._production)
        self._lay_disks(guest, vm, self._production, DataState(_FIRST_GENERATION, self._now_s))
        datacenter.machines.start(guest, uptime_s=vm.uptime_s)
        node = self._production.end.node
        datacenter.tasks.past(node, "qmstart", vmid, user="root@pam", age_s=vm.uptime_s)
        if vm.replica == "missing":
            return
        self._backups(guest, vm)
        if self._wish.layout == "cluster":
            self._replicated(guest, vm)
        if vm.replica == "several":
            self._second(vm)
        if vm.replica == "running":
            self._found_running(guest, vm)

    def _guest(self, vmid: int, vm: VmWish, place: _Place, name: str = "") -> Guest:
        story = self._wish.story
        config: Config = {
            "name": name or vm.vm,
            "memory": str(vm.memory_mb),
            "cores": str(vm.cpus),
            "sockets": "1",
            "cpu": "x86-64-v2-AES",
            "ostype": "win11" if story is not None and story.vm == vm.vm else "l26",
            "scsihw": "virtio-scsi-single",
            "scsi0": f"{self._storage_id(place)}:vm-{vmid}-disk-0,discard=on,size={vm.disk_gb}G",
            "net0": f"virtio={new_mac()},bridge={place.end.network},firewall=1",
            "boot": "order=scsi0",
            "smbios1": f"uuid={new_uuid()}",
            "vmgenid": new_uuid(),
            "meta": f"creation-qemu=9.0.2,ctime={int(self._now_s - _UPTIME_OF_NODES_S)}",
        }
        if vm.has_tools:
            config["agent"] = "1"
        if vm.has_autostart:
            config["onboot"] = "1"
        guest = Guest(vmid=vmid, node=place.end.node, vm=vm.vm, config=config)
        place.datacenter.guests[vmid] = guest
        return guest

    def _lay_disks(self, guest: Guest, vm: VmWish, place: _Place, data: DataState) -> Copy:
        storage, node = self._storage_id(place), place.end.node
        made_at_s = self._now_s - _UPTIME_OF_NODES_S
        place.datacenter.shelf.add(node, storage, f"vm-{guest.vmid}-disk-0", vm.disk_gb * 2**30, made_at_s)
        disks = place.datacenter.disk_set(guest.vmid, node, vm=vm.vm, name=guest.name, data=data)
        copy = self._world.copy(disks.copy_id)
        copy.has_tools, copy.reboots_after_crash_s = vm.has_tools, vm.reboots_after_crash_s
        if guest.node == node:
            copy.guest_id = guest.config["vmgenid"]
            self._world.observe(copy.id, nics=nics_of(guest.config))
        return copy

    def _replicated(self, guest: Guest, vm: VmWish) -> None:
        """The nightly job's replica: the volumes alone, as old as the last run."""
        datacenter, target = self._production.datacenter, self._replica.end.node
        age_s = self._wish.last_sync_age_s(vm.point_ages_s)
        synced_s = int(self._now_s - age_s)
        data = self._data_at(age_s)
        replica = self._lay_disks(guest, vm, self._replica, data)
        replica.name = f"{vm.vm} (replica)"
        job = Job(
            id=f"{guest.vmid}-0",
            guest=guest.vmid,
            target=target,
            source=guest.node,
            schedule=self._wish.schedule(synced_s, age_s),
        )
        datacenter.replication.jobs[job.id] = job
        state = datacenter.replication.state(guest.node, job.id)
        state.last_sync = state.last_try = synced_s
        state.has_run, state.duration = True, 12.345
        state.log = [f"{job.id}: start replication job", f"{job.id}: end replication job"]
        for node in (guest.node, target):
            disks = datacenter.shelf.disk_sets[(guest.vmid, node)]
            disks.came = data
            disks.replication_snapshots = {f"__replicate_{job.id}_{synced_s}__": (synced_s, data)}

    def _backups(self, guest: Guest, vm: VmWish) -> None:
        storage, datacenter = self._wish.backup_storage, self._production.datacenter
        for age_s in vm.point_ages_s if storage else ():
            data, at_s = self._data_at(age_s), self._now_s - age_s
            datacenter.backups.keep(guest, str(storage), data, at_s=at_s, size_bytes=vm.disk_gb * 2**30)
            datacenter.tasks.past(guest.node, "vzdump", guest.vmid, user="root@pam", age_s=age_s, lasted_s=600.0)

    def _second(self, vm: VmWish) -> None:
        """A forgotten restored copy on the recovery node."""
        datacenter = self._replica.datacenter
        vmid = next(n for n in range(800, 900) if n not in datacenter.guests)
        guest = self._guest(vmid, vm, self._replica, name=f"{vm.vm}-old")
        guest.config.pop("onboot", None)
        self._lay_disks(guest, vm, self._replica, self._data_at(max(vm.point_ages_s, default=0.0)))

    def _found_running(self, guest: Guest, vm: VmWish) -> None:
        """As a technician leaves it who brought it up on the second node by hand; production is off by then."""
        datacenter = self._production.datacenter
        process = datacenter.machines.of(guest)
        if process is not None:
            datacenter.machines.stop(process)
        if self._wish.layout == "cluster":
            datacenter.replication.jobs[f"{guest.vmid}-0"].is_disabled = True
            guest.node = self._replica.end.node
            datacenter.machines.start(guest, uptime_s=900.0)
            return
        guest.config["onboot"] = "0"
        restored = self._guest(guest.vmid, vm, self._replica)
        self._lay_disks(restored, vm, self._replica, self._data_at(min(vm.point_ages_s, default=0.0)))
        self._replica.datacenter.machines.start(restored, uptime_s=900.0)

    def _namesake(self, namesake: Namesake, vmid: int) -> None:
        """It protects nothing: a guest of its own in the world, so that it never counts as a second copy."""
        place = next(p for p in self._places if p.end.node == namesake.node)
        vm = VmWish(host="", vm=f"{namesake.name} in {namesake.folder}", replica_name="", memory_mb=1024, disk_gb=10)
        guest = self._guest(vmid, vm, place, name=namesake.name)
        pool = place.datacenter.pools.setdefault(namesake.folder, {"vms": [], "storage": [], "comment": ""})
        pool["vms"].append(vmid)
        self._lay_disks(guest, vm, place, DataState(_FIRST_GENERATION, self._now_s))
        if namesake.power == "on":
            place.datacenter.machines.start(guest, uptime_s=vm.uptime_s)

    # --- the past ----------------------------------------------------------------------------------------------------

    def _nightly_job(self) -> None:
        if not self._wish.backup_storage:
            return
        ids = [str(self._wish.vmids[vm.vm]) for vm in self._wish.vms if vm.replica != "missing"]
        self._production.datacenter.backups.jobs["backup-nightly"] = {
            "type": "vzdump",
            "enabled": 1,
            "schedule": "01:00",
            "storage": self._wish.backup_storage,
            "mode": "snapshot",
            "vmid": ",".join(ids),
        }

    def _past(self) -> None:
        for event in self._wish.events:
            vmid = self._wish.vmids.get(event.vm)
            if vmid is not None:
                user = event.user if "@" in event.user else f"{event.user}@pve"
                kind = _TASKS.get(event.kind, event.kind)
                node = self._production.end.node
                self._production.datacenter.tasks.past(node, kind, vmid, user=user, age_s=event.age_s)

    def _data_at(self, age_s: float) -> DataState:
        writes = int(age_s / self._world.timing.write_interval_s)
        return DataState(_FIRST_GENERATION - writes, self._now_s - age_s)
