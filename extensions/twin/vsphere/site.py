# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building one client's site in an empty vcsim, and the same site in the world."""

from __future__ import annotations

import datetime as dt
import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from pyVmomi import vim

from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, SiteWish, VmWish
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import Session
from ansible_collections.ferragosto.dr.extensions.twin.world.model import (
    Copy,
    DataState,
    Nic,
    Phase,
    Power,
    ReplicationJob,
    Role,
)
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_FIRST_GENERATION = 1_000_000
BACKDATE = "lab-at:"  # in an event's changeTag: "<time>|<user>", which the proxy puts into createdTime and userName

GUEST = {
    Phase.OFF: ("gray", "guestToolsNotRunning", "notRunning"),
    Phase.BOOTING: ("gray", "guestToolsNotRunning", "notRunning"),
    Phase.RUNNING: ("green", "guestToolsRunning", "running"),
    Phase.HUNG: ("red", "guestToolsRunning", "running"),
    Phase.CRASHED: ("red", "guestToolsNotRunning", "notRunning"),
    Phase.SHUTTING_DOWN: ("green", "guestToolsRunning", "shuttingDown"),
}


@dataclass(slots=True)
class Built:
    """What stands in vcsim now: names and ids in both directions."""

    hosts: dict[str, str] = field(default_factory=dict)  # node name -> moid
    host_names: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)  # VM moid -> copy id (instance UUID)
    moids: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)  # dr_vm -> IP
    networks: dict[str, str] = field(default_factory=dict)  # network moid -> name
    cluster: str | None = None
    memory_mb: dict[str, int] = field(default_factory=dict)  # copy id -> its memory
    datastores: dict[str, str] = field(default_factory=dict)  # node name -> datastore moid
    folders: dict[str, Path] = field(default_factory=dict)  # datastore name -> where vcsim keeps its files


def guest_properties(phase: Phase, *, has_tools: bool, address: str) -> dict[str, t.Any]:
    """What vSphere measures of a guest in this phase."""
    heartbeat, running, state = GUEST[phase]
    if not has_tools:
        heartbeat, running = "gray", "guestToolsNotRunning"
    shows_address = has_tools and phase in (Phase.RUNNING, Phase.HUNG, Phase.SHUTTING_DOWN)
    return {
        "guestHeartbeatStatus": vim.ManagedEntity.Status(heartbeat),
        "guest.toolsRunningStatus": running,
        "guest.toolsVersionStatus2": "guestToolsCurrent" if has_tools else "guestToolsNotInstalled",
        "guest.guestState": state,
        "guest.ipAddress": address if shows_address else "",
    }


def nics_of(devices: t.Iterable[t.Any], networks: dict[str, str]) -> tuple[Nic, ...]:
    """The network cards among a VM's devices."""
    found = []
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualEthernetCard):
            backing: t.Any = device.backing
            name = getattr(backing, "deviceName", None)
            if name is None and getattr(backing, "port", None) is not None:
                name = networks.get(backing.port.portgroupKey, backing.port.portgroupKey)
            connectable = device.connectable
            found.append(Nic(str(device.key), name or "", bool(connectable and connectable.connected)))
    return tuple(found)


class Builder:
    def __init__(self, session: Session, wish: SiteWish, world: World, scratch: Path) -> None:
        self._session, self._wish, self._world, self._scratch = session, wish, world, scratch
        self._now_s = world.clock.now_s()
        self.built = Built()
        self._datacenter: t.Any = None
        self._pools: dict[str, t.Any] = {}
        self._stores: dict[str, str] = {}  # node name -> datastore name

    def build(self, *, with_vms: bool = True) -> Built:
        self._build_infrastructure()
        if with_vms:
            for vm in self._wish.vms:
                self._protected(vm)
            for namesake in self._wish.namesakes:
                self._namesake(namesake.name, namesake.folder, namesake.node, is_on=namesake.power == "on")
            self._past()
        return self.built

    # --- hosts, datastores, networks ---------------------------------------------------------------------------------

    def _build_infrastructure(self) -> None:
        session, wish = self._session, self._wish
        self._datacenter = session.datacenter
        session.finish(self._datacenter.Rename_Task(wish.datacenter))
        cluster = None
        if wish.cluster:
            cluster = self._datacenter.hostFolder.CreateClusterEx(wish.cluster, vim.cluster.ConfigSpecEx())
            das = vim.cluster.ConfigSpecEx(dasConfig=vim.cluster.DasConfigInfo(enabled=wish.has_ha))
            session.finish(cluster.ReconfigureComputeResource_Task(das, True))
            self.built.cluster = cluster._moId
        for end in dict.fromkeys((wish.production, wish.replica)):
            if end.node not in self.built.hosts:
                self._host(end, cluster)
        self._lend_datastores()
        first = session.object("HostSystem", next(iter(self.built.hosts.values())))
        network_system = session.read([first], ["configManager.networkSystem"])[first._moId][
            "configManager.networkSystem"
        ]
        for name in {*wish.isolated_networks, wish.production.network, wish.replica.network} - {"VM Network"}:
            network_system.AddPortGroup(
                vim.host.PortGroup.Specification(
                    name=name, vlanId=0, vswitchName="vSwitch0", policy=vim.host.NetworkPolicy()
                )
            )
        for network in self._datacenter.network:
            self.built.networks[network._moId] = network.name

    def _host(self, end: End, cluster: t.Any) -> None:
        session = self._session
        spec = vim.host.ConnectSpec(hostName=end.node, userName="root", password="lab", force=False)
        if cluster is not None:
            host = session.finish(cluster.AddHost_Task(spec, True))
            pool = cluster.resourcePool
        else:
            # vcsim's task brings the host, real vCenter's its compute resource
            host = session.finish(self._datacenter.hostFolder.AddStandaloneHost_Task(spec, None, True))
            pool = session.read([host], ["parent"])[host._moId]["parent"].resourcePool
        folder = self._scratch / f"datastore-{host._moId}"
        folder.mkdir()
        row = session.read([host], ["configManager.datastoreSystem"])[host._moId]
        store = row["configManager.datastoreSystem"].CreateLocalDatastore(end.datastore, str(folder))
        self.built.datastores[end.node] = store._moId
        self._stores[end.node] = end.datastore
        self.built.folders[end.datastore] = folder
        self.built.hosts[end.node], self.built.host_names[host._moId] = host._moId, end.node
        self._pools[end.node] = pool
        shape = self._wish.hosts.get(end.node)
        self._world.add_host(end.node, int((shape.memory_gb if shape else 64) * 2**30))

    def _lend_datastores(self) -> None:
        """Let vcsim find every datastore from every host; the proxy shows each host its own alone.

        vcsim dies when it touches a VM whose files, snapshots included, lie on a datastore that its host does not know, and
        after a relocate they do: it moves no files.
        """
        for node, moid in self.built.hosts.items():
            host = self._session.object("HostSystem", moid)
            system = self._session.read([host], ["configManager.datastoreSystem"])[moid][
                "configManager.datastoreSystem"
            ]
            for owner, name in self._stores.items():
                if owner != node:
                    system.CreateLocalDatastore(name, str(self._scratch / f"datastore-{self.built.hosts[owner]}"))

    # --- VMs ---------------------------------------------------------------------------------------------------------

    def _protected(self, vm: VmWish) -> None:
        wish = self._wish
        self.built.addresses[vm.vm] = vm.address
        now = DataState(_FIRST_GENERATION, self._now_s)
        production = self._create(vm, vm.vm, wish.production, Role.PRODUCTION, now)
        self._power_on(production, vm, uptime_s=vm.uptime_s)
        if vm.replica == "missing":
            return
        names = [vm.replica_name, f"{vm.replica_name}-old"] if vm.replica == "several" else [vm.replica_name]
        for number, name in enumerate(names):
            newest = self._data_at(vm.point_ages_s[-1] if vm.point_ages_s else 0.0)
            replica = self._create(vm, name, wish.replica, Role.REPLICA if number == 0 else Role.CLONE, newest)
            self._points(replica, vm)
            if number == 0:
                self._world.add_job(ReplicationJob(vm.vm, self._id(production), self._id(replica)))
        if vm.replica == "running":
            # As a technician leaves it who powered it on by hand: production is off by then.
            self._session.finish(production.PowerOffVM_Task())
            self._world.observe(self._id(production), power=Power.OFF, nics=self._nics(production))
            self._show(production, vm, Phase.OFF)
            self._power_on(self._object(self._world.copy_of(vm.vm, Role.REPLICA).id), vm, uptime_s=900.0)

    def _create(self, vm: VmWish, name: str, end: End, role: Role, data: DataState) -> t.Any:
        moid = self._create_vm(
            name, end, memory_mb=vm.memory_mb, cpus=vm.cpus, disk_gb=vm.disk_gb, has_tools=vm.has_tools
        )
        self._world.add_copy(
            Copy(
                id=self._id(moid),
                vm=vm.vm,
                name=name,
                role=role,
                host=end.node,
                data=data,
                nics=self._nics(moid),
                reboots_after_crash_s=vm.reboots_after_crash_s,
                has_tools=vm.has_tools,
            )
        )
        return moid

    def _create_vm(
        self,
        name: str,
        end: End,
        *,
        memory_mb: int,
        cpus: int,
        disk_gb: int,
        has_tools: bool = True,
        folder: t.Any = None,
    ) -> t.Any:
        session = self._session
        slug = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-.') or 'vm'}-{len(self.built.copies)}"
        controller = vim.vm.device.ParaVirtualSCSIController(key=1000, busNumber=0, sharedBus="noSharing")
        disk = vim.vm.device.VirtualDisk(
            key=-2,
            controllerKey=1000,
            unitNumber=0,
            capacityInKB=disk_gb * 1024 * 1024,
            backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
                fileName=f"[{end.datastore}] {slug}/{slug}.vmdk", diskMode="persistent", thinProvisioned=True
            ),
        )
        card = vim.vm.device.VirtualVmxnet3(
            key=-3,
            deviceInfo=vim.Description(label="Network adapter 1", summary=end.network),
            backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName=end.network),
            connectable=vim.vm.device.VirtualDevice.ConnectInfo(
                startConnected=True, connected=True, allowGuestControl=True
            ),
            addressType="generated",
        )
        shown = guest_properties(Phase.OFF, has_tools=has_tools, address="")
        change: t.Any = vim.vm.device.VirtualDeviceSpec
        spec = vim.vm.ConfigSpec(
            name=name,
            memoryMB=memory_mb,
            numCPUs=cpus,
            guestId="windows2019srv_64Guest",
            files=vim.vm.FileInfo(vmPathName=f"[{end.datastore}] {slug}/{slug}.vmx"),
            deviceChange=[
                change(operation="add", device=controller),
                change(operation="add", fileOperation="create", device=disk),
                change(operation="add", device=card),
            ],
            extraConfig=[
                vim.option.OptionValue(key=f"SET.{path}", value=value) for path, value in shown.items() if value
            ],
        )
        parent = folder or self._datacenter.vmFolder
        host = session.object("HostSystem", self.built.hosts[end.node])
        vm = session.finish(parent.CreateVM_Task(spec, self._pools[end.node], host))
        # half full, as a sparse file: vcsim reads the size of what a disk has committed from it
        os.truncate(self.built.folders[end.datastore] / slug / f"{slug}-flat.vmdk", disk_gb * 2**29)
        uuid = session.read([vm], ["config.instanceUuid"])[vm._moId]["config.instanceUuid"]
        self.built.copies[vm._moId], self.built.moids[uuid] = uuid, vm._moId
        self.built.memory_mb[uuid] = memory_mb
        return vm

    def _power_on(self, moid: t.Any, vm: VmWish, *, uptime_s: float) -> None:
        """Power on a VM that has been up for long."""
        session, world = self._session, self._world
        session.finish(moid.PowerOnVM_Task())
        copy = world.copy(self._id(moid))
        world.observe(copy.id, power=Power.ON, nics=self._nics(moid))
        with world.lock:
            copy.phase, copy.booted_at_s, copy.phase_since_s = Phase.RUNNING, self._now_s - uptime_s, self._now_s
            copy.data = DataState(copy.data.generation, self._now_s)
            world.tick()
        self._show(moid, vm, Phase.RUNNING, booted_at_s=self._now_s - uptime_s)
        self._post("VmPoweredOnEvent", moid, vm.vm, "dr-lab", uptime_s)

    def _show(self, moid: t.Any, vm: VmWish, phase: Phase, booted_at_s: float | None = None) -> None:
        shown = guest_properties(phase, has_tools=vm.has_tools, address=vm.address)
        if booted_at_s is not None:
            shown["runtime.bootTime"] = shown["summary.runtime.bootTime"] = utc(booted_at_s)
        self._session.set(moid, shown)

    def _points(self, replica: t.Any, vm: VmWish) -> None:
        """Give the replica its nightly snapshots, created as long ago as wished."""
        session = self._session
        for age_s in vm.point_ages_s:
            made = utc(self._now_s - age_s)
            name = f"Restore Point {made:%Y-%m-%d %H:%M:%S}"
            point = session.finish(
                replica.CreateSnapshot_Task(name, "made by the nightly replication job", False, False)
            )
            copy = self._world.copy(self._id(replica))
            with self._world.lock:
                copy.points[point._moId] = self._data_at(age_s)
                copy.vendor_points.append(point._moId)
        if vm.point_ages_s:
            tree = session.read([replica], ["snapshot"])[replica._moId]["snapshot"]
            backdate(tree, {p: self._world.copy(self._id(replica)).points[p].as_of_s for p in copy.vendor_points})
            session.set(replica, {"snapshot": tree})

    def _namesake(self, name: str, folder: str, node: str, *, is_on: bool) -> None:
        parent = next((f for f in self._datacenter.vmFolder.childEntity if f.name == folder), None)
        parent = parent or self._datacenter.vmFolder.CreateFolder(folder)
        end = next(e for e in (self._wish.production, self._wish.replica) if e.node == node)
        vm = self._create_vm(name, end, memory_mb=1024, cpus=1, disk_gb=10, folder=parent)
        if is_on:
            self._session.finish(vm.PowerOnVM_Task())
        # It protects nothing: a VM of its own in the world, so that it never counts as a second copy.
        uuid = self._id(vm)
        power = Power.ON if is_on else Power.OFF
        data = DataState(_FIRST_GENERATION, self._now_s)
        self._world.add_copy(
            Copy(id=uuid, vm=f"{name} in {folder}", name=name, role=Role.PRODUCTION, host=node, data=data)
        )
        self._world.observe(uuid, power=power, nics=self._nics(vm))

    def _past(self) -> None:
        for event in self._wish.events:
            production = self._object(self._world.copy_of(event.vm, Role.PRODUCTION).id)
            self._post(event.kind, production, event.vm, event.user, event.age_s)

    def _post(self, kind: str, vm: t.Any, name: str, user: str, age_s: float) -> None:
        post_event(self._session, kind, vm, name, user=user, at_s=self._now_s - age_s)

    # --- small things ------------------------------------------------------------------------------------------------

    def _id(self, vm: t.Any) -> str:
        return self.built.copies[vm._moId]

    def _object(self, copy_id: str) -> t.Any:
        return self._session.object("VirtualMachine", self.built.moids[copy_id])

    def _nics(self, vm: t.Any) -> tuple[Nic, ...]:
        devices = self._session.read([vm], ["config.hardware.device"])[vm._moId]["config.hardware.device"]
        return nics_of(devices, self.built.networks)

    def _data_at(self, age_s: float) -> DataState:
        writes = int(age_s / self._world.timing.write_interval_s)
        return DataState(_FIRST_GENERATION - writes, self._now_s - age_s)


def backdate(tree: t.Any, made_at_s: dict[str, float]) -> None:
    """Set createTime of the named snapshots in a SnapshotInfo, children included."""
    waiting = list(tree.rootSnapshotList)
    while waiting:
        node = waiting.pop()
        waiting.extend(node.childSnapshotList or [])
        if node.snapshot._moId in made_at_s:
            node.createTime = utc(made_at_s[node.snapshot._moId])


def post_event(session: Session, kind: str, vm: t.Any, name: str, *, user: str = "", at_s: float | None = None) -> None:
    """Write one line into vcsim's event log; ``user`` and ``at_s`` are put in by the proxy when a client reads it."""
    now = dt.datetime.now(dt.UTC)
    host = session.read([vm], ["runtime.host"])[vm._moId]["runtime.host"]
    host_row = session.read([host], ["name", "parent"])[host._moId]
    datacenter = session.datacenter
    names = session.read([datacenter], ["name"])
    extra = {"configSpec": vim.vm.ConfigSpec(changeVersion="")} if kind == "VmReconfiguredEvent" else {}
    event = getattr(vim.event, kind)(
        key=0,
        chainId=0,
        createdTime=now,
        userName=user,
        vm=vim.event.VmEventArgument(vm=vm, name=name),
        host=vim.event.HostEventArgument(host=host, name=host_row["name"]),
        template=False,
        datacenter=vim.event.DatacenterEventArgument(datacenter=datacenter, name=names[datacenter._moId]["name"]),
        computeResource=vim.event.ComputeResourceEventArgument(computeResource=host_row["parent"], name=""),
        changeTag=f"{BACKDATE}{'' if at_s is None else utc(at_s).isoformat()}|{user}",
        **extra,
    )
    session.content.eventManager.PostEvent(event, None)


def utc(at_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_s, dt.UTC)
