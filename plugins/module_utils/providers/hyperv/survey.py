# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host shows of itself and of its VMs, typed, still in Hyper-V's order of things."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import reading
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.wire import Row, words

NO_AUTOSTART = "Nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    id: str
    name: str
    switch: str  # "" is connected to none
    mac: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A snapshot; ``type`` is SnapshotType's name."""

    id: str
    name: str
    type: str
    created_at_s: float

    @property
    def is_recovery_point(self) -> bool:
        return self.type in wire.POINT_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """This side's view of a replication: ``mode`` and ``state`` by their English names, the other side may see another."""

    mode: str
    state: str
    health: str
    primary: str
    replica: str
    current: str = ""
    port: int = 0
    authentication: str = ""
    thumbprint: str = ""
    allowed_primary: str = ""
    frequency_s: int = 0
    last_at_s: float | None = None
    applied_at_s: float | None = None
    disks: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    has_extended: bool = False
    details: tuple[str, ...] = ()
    errors: int = 0
    pending_bytes: int = 0

    @property
    def is_primary(self) -> bool:
        return self.mode == "Primary"

    @property
    def is_replica(self) -> bool:
        return self.mode in ("Replica", "ExtendedReplica")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that a host shows of one VM at one moment."""

    id: str  # GUID, lower case
    name: str
    state: str  # VMState's name
    status: tuple[str, ...] = ()  # VMOperationalStatus, by name
    heartbeat: str = ""
    uptime_s: float = 0.0
    notes: str = ""
    autostart: str = NO_AUTOSTART
    is_clustered: bool = False
    generation: int = 0
    cpu_count: int = 0
    memory_bytes: int = 0
    memory_assigned_bytes: int = 0
    path: str = ""
    parent: str = ""  # the snapshot that the running state descends from
    nics: tuple[Adapter, ...] = ()
    disks: Mapping[str, int] = field(default_factory=dict)  # path -> bytes
    points: tuple[Point, ...] = ()  # oldest first
    relation: Relation | None = None
    read_at_s: float = 0.0  # the host's own clock
    unread: str = ""  # why the host showed no more of it than its list of VMs holds

    @property
    def power(self) -> Power:
        return wire.to_power(self.state)

    @property
    def stamps(self) -> dict[str, str]:
        return notes.stamps_of(self.notes)

    @property
    def kept(self) -> dict[str, t.Any]:
        return notes.kept_of(self.notes)

    @property
    def mode(self) -> str:
        """The replication mode, "None" where there is no replication."""
        return self.relation.mode if self.relation is not None else "None"

    @property
    def replication_state(self) -> str:
        return self.relation.state if self.relation is not None else "Disabled"

    def switches(self) -> dict[str, str]:
        """Return adapter id -> switch."""
        return {nic.id: nic.switch for nic in self.nics}

    def recovery_points(self) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.is_recovery_point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the host takes as a replica server. A rule of the firewall is "True", "False", or why it was not read."""

    is_enabled: bool
    authentication: str  # RecoveryAuthenticationType's name
    kerberos_port: int = 0
    certificate_port: int = 0
    thumbprint: str = ""
    allows_any: bool = False
    entries: tuple[str, ...] = ()  # DNS names, with wildcards
    http_rule: str = ""
    https_rule: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    name: str
    free_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A whole host. ``name`` is what the inventory calls it, or what it calls itself."""

    name: str
    computer: str
    fqdn: str
    system: str
    cpu_count: int
    memory_bytes: int
    memory_free_bytes: int | None
    volumes: tuple[Volume, ...]
    switches: tuple[str, ...]
    server: Server
    sheets: tuple[Sheet, ...]
    offset_s: float  # how far its clock runs ahead of ours

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one for one in (self.name, self.fqdn, self.computer) if one))

    def sheet(self, guid: str) -> Sheet | None:
        return next((one for one in self.sheets if one.id == guid), None)


def take_survey(client: Client) -> Survey:
    """Read a host in one process on it."""
    row = client.run(reading.SITE)
    server: Row = row.get("server") or {}
    computer, fqdn = str(row.get("computer") or ""), str(row.get("fqdn") or "")
    read_at_s = client.clock.now_s() + client.clock_offset_s
    free = wire.whole(row.get("memory_free"))
    return Survey(
        name=client.spec.node or fqdn or computer,
        computer=computer,
        fqdn=fqdn,
        system=str(row.get("system") or ""),
        cpu_count=wire.whole(row.get("cpus")),
        memory_bytes=wire.whole(row.get("memory")),
        memory_free_bytes=free if free >= 0 else None,
        volumes=tuple(
            Volume(
                name=str(one.get("name")),
                free_bytes=wire.whole(one.get("free")),
                size_bytes=wire.whole(one.get("size")),
            )
            for one in wire.rows(row.get("volumes"))
        ),
        switches=words(row.get("switches")),
        server=Server(
            is_enabled=bool(server.get("is_enabled")),
            authentication=str(server.get("authentication") or ""),
            kerberos_port=wire.whole(server.get("kerberos_port")),
            certificate_port=wire.whole(server.get("certificate_port")),
            thumbprint=str(server.get("thumbprint") or ""),
            allows_any=bool(server.get("allows_any")),
            entries=words(server.get("entries")),
            http_rule=str(server.get("http_rule") or ""),
            https_rule=str(server.get("https_rule") or ""),
        ),
        sheets=tuple(to_sheet(one, read_at_s=read_at_s) for one in wire.rows(row.get("vms"))),
        offset_s=client.clock_offset_s,
    )


def look(client: Client, guid: str) -> Sheet:
    """Read one VM; raises faults.NoSuchVm where this host has none of this id."""
    row = client.run(reading.MACHINE, id=guid)
    return to_sheet(row, read_at_s=client.clock.now_s() + client.clock_offset_s)


def to_sheet(row: Row, *, read_at_s: float) -> Sheet:
    relation = row.get("relation")
    disks = {str(disk.get("path")): wire.whole(disk.get("size")) for disk in wire.rows(row.get("disks"))}
    return Sheet(
        id=wire.to_guid(row.get("id")),
        name=str(row.get("name") or ""),
        state=str(row.get("state") or ""),
        status=words(row.get("status")),
        heartbeat=str(row.get("heartbeat") or ""),
        uptime_s=float(wire.whole(row.get("uptime_s"))),
        notes=str(row.get("notes") or ""),
        autostart=str(row.get("autostart") or NO_AUTOSTART),
        is_clustered=bool(row.get("is_clustered")),
        generation=wire.whole(row.get("generation")),
        cpu_count=wire.whole(row.get("cpus")),
        memory_bytes=wire.whole(row.get("memory")),
        memory_assigned_bytes=wire.whole(row.get("memory_assigned")),
        path=str(row.get("path") or ""),
        parent=wire.to_guid(row.get("parent")),
        nics=tuple(_adapter(nic) for nic in wire.rows(row.get("nics"))),
        disks=disks,
        points=_points(row),
        relation=_relation(relation) if isinstance(relation, dict) and relation.get("mode", "None") != "None" else None,
        read_at_s=read_at_s,
        unread=" ".join(str(row.get("unread") or "").split()),
    )


def _adapter(row: Row) -> Adapter:
    return Adapter(
        id=str(row.get("id") or ""),
        name=str(row.get("name") or ""),
        switch=str(row.get("switch") or ""),
        mac=str(row.get("mac") or ""),
        addresses=words(row.get("addresses")),
    )


def _points(row: Row) -> tuple[Point, ...]:
    found = [
        Point(
            id=wire.to_guid(one.get("id")),
            name=str(one.get("name") or ""),
            type=str(one.get("type") or ""),
            created_at_s=wire.to_instant(one.get("at")) or 0.0,
        )
        for one in wire.rows(row.get("points"))
    ]
    return tuple(sorted(found, key=lambda point: point.created_at_s))


def _relation(row: Row) -> Relation:
    return Relation(
        mode=str(row.get("mode") or "None"),
        state=str(row.get("state") or "Disabled"),
        health=str(row.get("health") or ""),
        primary=str(row.get("primary") or ""),
        replica=str(row.get("replica") or ""),
        current=str(row.get("current") or ""),
        port=wire.whole(row.get("port")),
        authentication=str(row.get("authentication") or ""),
        thumbprint=str(row.get("thumbprint") or ""),
        allowed_primary=str(row.get("allowed_primary") or ""),
        frequency_s=wire.whole(row.get("frequency_s")),
        last_at_s=wire.to_instant(row.get("last_at")),
        applied_at_s=wire.to_instant(row.get("applied_at")),
        disks=words(row.get("disks")),
        excluded=words(row.get("excluded")),
        has_extended=bool(row.get("has_extended")),
        details=words(row.get("details")),
        errors=wire.whole(row.get("errors")),
        pending_bytes=wire.whole(row.get("pending")),
    )
