# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vSphere's words end here: properties as the collector brings them become the core's model.

Every unset property is absent from the mapping, so each is asked for with ``get``.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Datastore,
    Guest,
    Heartbeat,
    Host,
    Nic,
    PointKind,
    Power,
    RecoveryPoint,
    ReplicaKind,
    Tools,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import PROMOTE_SNAPSHOT
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

Properties: t.TypeAlias = Mapping[str, t.Any]

OUR_STAMPS = "ferragosto.dr."
MEGABYTE = 1024 * 1024
INTERIM_DISK = "-interim.vmdk"  # the protective disk of a CDP replica

# config.hardware.device is the dear one (some 1.6 ms of our CPU per VM of 13 devices, the rest together 0.7): it is the only
# honest source of "is this NIC connected", and without that no read could say whether two copies are live.
VM_PATHS = (
    "name",
    "config.instanceUuid",
    "config.uuid",
    "config.template",
    "config.extraConfig",
    "config.repConfig",
    "config.hardware.memoryMB",
    "config.hardware.numCPU",
    "config.hardware.device",
    "summary.config.instanceUuid",  # vCenter remembers it of a VM whose files it cannot read, and whose config is unset
    "runtime.host",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.question",
    "runtime.bootTime",
    "summary.runtime.bootTime",
    "guestHeartbeatStatus",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
    "guest.ipAddress",
    "summary.storage.committed",
    "datastore",
    "snapshot",
)
HOST_PATHS = (
    "name",
    "parent",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "summary.hardware.memorySize",
    "summary.hardware.numCpuCores",
    "summary.hardware.cpuMhz",
    "summary.quickStats.overallMemoryUsage",
    "summary.quickStats.overallCpuUsage",
    "configManager.autoStartManager",
    "datastore",
    "network",
)
DATASTORE_PATHS = ("name", "summary.freeSpace", "summary.capacity", "summary.accessible")
NETWORK_PATHS = ("name",)

POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
VM_CONNECTION = {"connected": Connection.CONNECTED, "disconnected": Connection.DISCONNECTED}  # others: files unreadable
HEARTBEAT = {"green": Heartbeat.GREEN, "yellow": Heartbeat.YELLOW, "red": Heartbeat.RED, "gray": Heartbeat.GREY}
TOOLS = {
    "guestToolsRunning": Tools.RUNNING,
    "guestToolsExecutingScripts": Tools.RUNNING,
    "guestToolsNotRunning": Tools.NOT_RUNNING,
}


def to_vm(handle: str, shown: Properties, known: Mapping[str, Properties]) -> Vm:
    """``known`` holds hosts, datastores and networks by handle."""
    host = known.get(handle_of(shown.get("runtime.host")), {})
    connection = _vm_connection(shown, host)
    devices = shown.get("config.hardware.device") or ()
    extra = shown.get("config.extraConfig") or ()
    points, current = to_points(shown.get("snapshot"))
    return Vm(
        id=shown.get("config.instanceUuid")
        or shown.get("summary.config.instanceUuid")
        or shown.get("config.uuid")
        or handle,
        handle=handle,
        name=shown.get("name", handle),
        host=host.get("name", ""),
        # What a vCenter shows of a host that does not answer it is stale: "poweredOff" there would pass for a fence
        power=Power.UNKNOWN
        if connection is Connection.DISCONNECTED
        else POWER.get(shown.get("runtime.powerState", ""), Power.UNKNOWN),
        connection=connection,
        nics=tuple(_to_nic(device, known) for device in devices if isinstance(device, _nic_type())),
        guest=to_guest(shown),
        question=to_question(shown),
        memory_bytes=shown.get("config.hardware.memoryMB", 0) * MEGABYTE,
        cpu_count=shown.get("config.hardware.numCPU", 0),
        disk_bytes=shown.get("summary.storage.committed", 0),
        datastores=names_of(shown.get("datastore"), known),
        points=points,
        current_point=current,
        stamps={o.key: str(o.value) for o in extra if o.key.startswith(OUR_STAMPS) and o.value not in (None, "")},
        replica_kind=_replica_kind(shown, devices, extra),
    )


def to_host(shown: Properties, known: Mapping[str, Properties]) -> Host:
    cpu_mhz = shown.get("summary.hardware.numCpuCores", 0) * shown.get("summary.hardware.cpuMhz", 0)
    used_mhz = shown.get("summary.quickStats.overallCpuUsage", 0)
    return Host(
        name=shown.get("name", ""),
        connection=host_connection(shown),
        is_in_maintenance=bool(shown.get("runtime.inMaintenanceMode", False)),
        memory_bytes=shown.get("summary.hardware.memorySize", 0),
        memory_used_bytes=shown.get("summary.quickStats.overallMemoryUsage", 0) * MEGABYTE,
        cpu_count=shown.get("summary.hardware.numCpuCores", 0),
        cpu_used_share=min(1.0, used_mhz / cpu_mhz) if cpu_mhz else 0.0,
        datastores=tuple(
            _to_datastore(known[store._moId]) for store in shown.get("datastore") or () if store._moId in known
        ),
        networks=names_of(shown.get("network"), known),
    )


def host_connection(shown: Properties) -> Connection:
    state = shown.get("runtime.connectionState", "connected")
    return Connection.CONNECTED if state == "connected" else Connection.DISCONNECTED  # notResponding, disconnected


def to_guest(shown: Properties) -> Guest:
    tools = TOOLS.get(shown.get("guest.toolsRunningStatus", ""), Tools.UNKNOWN)
    if shown.get("guest.toolsVersionStatus2") == "guestToolsNotInstalled" and tools is not Tools.RUNNING:
        tools = Tools.NOT_INSTALLED
    # The same fact in two places; a simulator keeps only the second up to date
    boots = [shown[path].timestamp() for path in ("runtime.bootTime", "summary.runtime.bootTime") if path in shown]
    address = shown.get("guest.ipAddress")
    return Guest(
        heartbeat=HEARTBEAT.get(shown.get("guestHeartbeatStatus", ""), Heartbeat.GREY),
        tools=tools,
        boot_at_s=max(boots, default=None),
        addresses=(address,) if address else (),
    )


def to_question(shown: Properties) -> str | None:
    question = shown.get("runtime.question")
    return (question.text or str(question.id) or "a question without text") if question is not None else None


def to_points(snapshots: t.Any) -> tuple[tuple[RecoveryPoint, ...], str | None]:
    """Return the snapshot tree flat, oldest first, and the id of the point that the disks descend from."""
    if snapshots is None:
        return (), None
    points = sorted(_walk(snapshots.rootSnapshotList), key=lambda point: point.created_at_s)
    return tuple(points), handle_of(snapshots.currentSnapshot) or None


def names_of(references: Iterable[t.Any] | None, known: Mapping[str, Properties]) -> tuple[str, ...]:
    return tuple(known.get(one._moId, {}).get("name", one._moId) for one in references or ())


def handle_of(reference: t.Any) -> str:
    return "" if reference is None else str(reference._moId)


def _walk(trees: Iterable[t.Any]) -> Iterable[RecoveryPoint]:
    waiting = list(trees)
    while waiting:
        tree = waiting.pop()
        yield RecoveryPoint(
            id=handle_of(tree.snapshot),
            name=tree.name,
            created_at_s=tree.createTime.timestamp(),
            kind=PointKind.OURS if tree.name.startswith(PROMOTE_SNAPSHOT) else PointKind.VENDOR,
        )
        waiting.extend(tree.childSnapshotList)


def _vm_connection(shown: Properties, host: Properties) -> Connection:
    if host and host_connection(host) is Connection.DISCONNECTED:
        return Connection.DISCONNECTED  # not every server passes a lost host on to its VMs
    return VM_CONNECTION.get(shown.get("runtime.connectionState", "connected"), Connection.INACCESSIBLE)


def _to_nic(card: t.Any, known: Mapping[str, Properties]) -> Nic:
    plug = card.connectable
    return Nic(
        key=str(card.key),
        label=card.deviceInfo.label if card.deviceInfo is not None else f"NIC {card.key}",
        network=_network_of(card.backing, known),
        mac=card.macAddress or "",
        # A NIC without the connectable part cannot be disconnected: it counts as connected
        is_connected=plug is None or bool(plug.connected),
        starts_connected=plug is None or bool(plug.startConnected),
    )


def _network_of(backing: t.Any, known: Mapping[str, Properties]) -> str:
    port = getattr(backing, "port", None)  # a distributed switch; its port group's key is the group's handle
    if port is not None:
        return str(known.get(port.portgroupKey or "", {}).get("name", port.portgroupKey or ""))
    opaque = getattr(backing, "opaqueNetworkId", None)
    if opaque is not None:
        return str(opaque)
    network = handle_of(getattr(backing, "network", None))
    return str(known.get(network, {}).get("name") or getattr(backing, "deviceName", None) or "")


def _nic_type() -> type:
    return vim.vm.device.VirtualEthernetCard


def _to_datastore(shown: Properties) -> Datastore:
    return Datastore(
        name=shown.get("name", ""),
        free_bytes=shown.get("summary.freeSpace", 0),
        capacity_bytes=shown.get("summary.capacity", 0),
        is_accessible=bool(shown.get("summary.accessible", True)),
    )


def _replica_kind(shown: Properties, devices: Iterable[t.Any], extra: Iterable[t.Any]) -> ReplicaKind | None:
    if any(str(getattr(d.backing, "fileName", None) or "").endswith(INTERIM_DISK) for d in devices):
        return ReplicaKind.CDP
    if shown.get("config.repConfig") is not None or any(option.key.startswith("hbr_filter.") for option in extra):
        return ReplicaKind.VSPHERE_REPLICATION
    if shown.get("runtime.powerState") == "poweredOff" and shown.get("snapshot") is not None:
        return ReplicaKind.SNAPSHOT
    return None
