# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hypervisors show, in our own words: frozen facts, no behaviour beyond small questions.

Times are seconds since the epoch (UTC) and end in ``_at_s``; durations end in ``_s``; sizes in ``_bytes``.
"""

from __future__ import annotations

import typing as t
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Power(StrEnum):
    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"
    UNKNOWN = "unknown"


class Connection(StrEnum):
    """Whether the hypervisor itself still sees the VM or the host."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # the host does not answer its vCenter: last known values are stale
    INACCESSIBLE = "inaccessible"  # storage lost: the files of the VM cannot be read


class Heartbeat(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    GREY = "grey"  # guest tools absent, not running, or VM off


class Tools(StrEnum):
    RUNNING = "running"
    NOT_RUNNING = "not_running"
    NOT_INSTALLED = "not_installed"
    UNKNOWN = "unknown"


class PointKind(StrEnum):
    VENDOR = "vendor"  # a recovery point made by the replication product
    OURS = "ours"  # our protective point, named dr-promote-<run id>


class ReplicaKind(StrEnum):
    SNAPSHOT = "snapshot"  # a powered-off VM whose snapshots are recovery points
    VSPHERE_REPLICATION = "vsphere_replication"
    CDP = "cdp"
    PAIRED = "paired"  # a VM that the platform itself keeps in step with the original on another host
    VOLUMES = "volumes"  # disks without a VM of their own: a target of storage replication, or backups


class EventKind(StrEnum):
    CRASHED = "crashed"  # the guest told its hypervisor: blue screen or panic
    POWERED_ON = "powered_on"
    POWERED_OFF = "powered_off"
    GUEST_SHUTDOWN = "guest_shutdown"
    RESET = "reset"
    RECONFIGURED = "reconfigured"
    SNAPSHOT = "snapshot"
    MIGRATED = "migrated"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nic:
    key: str  # the platform's key of the device inside its VM
    label: str
    network: str
    mac: str
    is_connected: bool
    starts_connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryPoint:
    id: str
    name: str
    created_at_s: float
    kind: PointKind = PointKind.VENDOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    heartbeat: Heartbeat = Heartbeat.GREY
    tools: Tools = Tools.UNKNOWN
    boot_at_s: float | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """One copy of a protected VM, as one hypervisor shows it.

    ``id`` is the platform's unique id and never changes; ``name`` is for people. ``stamps`` are our own marks on the VM
    (see ``stamps.py``). ``has_autostart`` and ``has_ha`` are None where a bulk read does not bring them.
    """

    id: str
    handle: str  # the provider's own address of the object, e.g. a managed object id
    name: str
    host: str
    power: Power
    connection: Connection = Connection.CONNECTED
    nics: tuple[Nic, ...] = ()
    guest: Guest = Guest()
    question: str | None = None  # a pending question blocks the VM
    memory_bytes: int = 0
    cpu_count: int = 0
    disk_bytes: int = 0
    datastores: tuple[str, ...] = ()
    points: tuple[RecoveryPoint, ...] = ()  # oldest first
    current_point: str | None = None  # the point the running disk state descends from
    stamps: Mapping[str, str] = field(default_factory=dict)
    replica_kind: ReplicaKind | None = None  # None: nothing marks it as another product's target
    has_autostart: bool | None = None
    has_ha: bool | None = None
    guest_ids: tuple[str, ...] = ()  # by which the guest itself can name this copy, where ``id`` is unknown to it
    points_note: str = ""  # why ``points`` may be incomplete, e.g. the node that knows them is dead
    remembered: Mapping[str, str] = field(default_factory=dict)  # the provider's facts for the time it cannot be read

    def is_live(self, isolated: frozenset[str] = frozenset()) -> bool:
        """Tell whether it is powered on with a NIC connected to a production network."""
        return self.power is Power.ON and any(n.is_connected and n.network not in isolated for n in self.nics)

    @property
    def replica_of(self) -> str:
        """Return the id of the VM that this replica belongs to, where the platform itself replicates and its id says so; else ""."""
        is_own = self.replica_kind in (ReplicaKind.VOLUMES, ReplicaKind.PAIRED)
        return self.id.partition(":")[2] if is_own else ""

    def vendor_points(self) -> tuple[RecoveryPoint, ...]:
        return tuple(p for p in self.points if p.kind is PointKind.VENDOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Datastore:
    name: str
    free_bytes: int
    capacity_bytes: int
    is_accessible: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    name: str
    connection: Connection
    is_in_maintenance: bool = False
    memory_bytes: int = 0
    memory_used_bytes: int = 0
    cpu_count: int = 0
    cpu_used_share: float = 0.0  # 0..1
    datastores: tuple[Datastore, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointReading:
    """All that one endpoint showed in one read; ``error`` set means it showed nothing and everything is unknown."""

    address: str
    node: str  # the physical host this endpoint stands for in the site ("" = any)
    read_at_s: float  # controller's clock
    clock_at_s: float | None = None  # the endpoint's own clock at that moment
    took_s: float = 0.0
    calls: int = 0
    hosts: tuple[Host, ...] = ()
    vms: tuple[Vm, ...] = ()
    api: str = ""  # e.g. "VirtualCenter 8.0.3", "HostAgent 7.0.3"
    notes: tuple[str, ...] = ()  # what makes this end less ready than it looks, in words
    concerns: Mapping[str, str] = field(default_factory=dict)  # note -> the id of the one VM that it is about
    right: str = ""  # what lets the account see VMs here, as a technician is told where it sees none
    error: str | None = None

    @property
    def is_reachable(self) -> bool:
        return self.error is None

    def host(self, name: str) -> Host | None:
        return next((h for h in self.hosts if h.name == name), None)

    def notes_for(self, ids: Container[str]) -> list[str]:
        """List the notes that are about one of these VMs, or about no single one."""
        return [note for note in self.notes if note not in self.concerns or self.concerns[note] in ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReading:
    """Both ends of a site. With one endpoint used twice (vCenter, cluster) both hold the same hosts and VMs."""

    name: str
    provider: str
    production: EndpointReading
    replica: EndpointReading

    def endpoints(self) -> tuple[EndpointReading, ...]:
        same = self.production.address == self.replica.address
        return (self.production,) if same else (self.production, self.replica)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    at_s: float
    kind: EventKind
    user: str = ""
    text: str = ""
    is_hint: bool = False  # read off a picture: it supports other evidence, and makes nothing certain by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two copies of one protected VM. A copy is None when it was not found or its endpoint did not answer."""

    name: str  # the inventory's word (dr_vm)
    production: Vm | None
    replica: Vm | None
    production_node: str
    replica_node: str
    is_production_reachable: bool = True
    is_replica_reachable: bool = True
    isolated: frozenset[str] = frozenset()  # networks on which a copy is harmless
    replica_note: str = ""  # why ``replica`` is None, in words

    def copies(self) -> tuple[Vm, ...]:
        return tuple(v for v in (self.production, self.replica) if v is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to make a replica serve. ``copied_bytes`` are copied before it can be powered on."""

    name: str
    is_possible: bool
    reason: str  # what it does, or why it cannot be gone
    copied_bytes: int = 0
    is_opt_in: bool = False  # only when a person names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """The replication of one VM where the platform runs it itself; a time is None when it was never."""

    job: str
    source: str
    target: str
    is_enabled: bool
    is_running: bool = False
    schedule: str = ""
    last_sync_at_s: float | None = None
    last_try_at_s: float | None = None
    next_sync_at_s: float | None = None
    failures: int = 0
    error: str = ""


Json: t.TypeAlias = "dict[str, t.Any]"
