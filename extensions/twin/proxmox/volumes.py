# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storages and volumes: what lies on which node, whose it is, and which copy of the world it holds the content of."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Config, disks_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState

_OWNER = re.compile(r"^(?:vm|base|subvol)-(\d+)-")


@dataclass(slots=True, kw_only=True)
class Storage:
    id: str
    kind: str  # zfspool | dir | lvmthin | pbs
    content: str  # "images,rootdir"
    total_bytes: dict[str, int] = field(default_factory=dict)  # node -> size; "" when shared
    nodes: tuple[str, ...] = ()  # () = all
    options: dict[str, str] = field(default_factory=dict)
    is_shared: bool = False
    full_on: set[str] = field(default_factory=set)  # a fault: nodes where it is full

    @property
    def can_replicate(self) -> bool:
        return self.kind == "zfspool"

    def is_on(self, node: str) -> bool:
        return not self.nodes or node in self.nodes


@dataclass(slots=True, kw_only=True)
class Volume:
    storage: str
    node: str
    name: str
    size_bytes: int
    made_at_s: float
    used_bytes: int = 0

    @property
    def id(self) -> str:
        return f"{self.storage}:{self.name}"

    @property
    def owner(self) -> int:
        match = _OWNER.match(self.name.rpartition("/")[2])
        return int(match.group(1)) if match else 0


@dataclass(slots=True, kw_only=True)
class DiskSet:
    """The disks of one vmid on one node: one copy of the world, and its replication snapshots."""

    vmid: int
    node: str
    copy_id: str
    came: DataState | None = None  # what the last replication run brought; anything newer was written here
    replication_snapshots: dict[str, tuple[float, DataState]] = field(default_factory=dict)
    readers: set[str] = field(default_factory=set)  # UPIDs of the clones being copied from it
    torn: set[str] = field(default_factory=set)  # those under which it was changed


class Shelf:
    """All storages and volumes of a datacenter."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self.volumes: dict[tuple[str, str], Volume] = {}  # (node, volume id)
        self.disk_sets: dict[tuple[int, str], DiskSet] = {}  # (owner, node)

    def storage(self, storage_id: str, node: str | None = None) -> Storage:
        storage = self.storages.get(storage_id)
        if storage is None:
            raise PveError(500, f"storage '{storage_id}' does not exist")
        if node is not None and not storage.is_on(node):
            raise PveError(500, f"storage '{storage_id}' is not available on node '{node}'")
        return storage

    def volume(self, node: str, volume_id: str) -> Volume:
        storage_id, has_name, dummy = volume_id.partition(":")
        if not has_name:
            raise PveError(500, f"unable to parse volume ID '{volume_id}'")
        self.storage(storage_id, node)
        volume = self.volumes.get((node, volume_id))
        if volume is None:
            raise PveError(500, f"volume '{volume_id}' does not exist")
        return volume

    def add(self, node: str, storage_id: str, name: str, size_bytes: int, now_s: float) -> Volume:
        storage = self.storage(storage_id, node)
        if node in storage.full_on:
            raise PveError(500, f"zfs error: cannot create '{name}': out of space")
        volume = Volume(
            storage=storage_id, node=node, name=name, size_bytes=size_bytes, made_at_s=now_s, used_bytes=size_bytes // 2
        )
        self.volumes[(node, volume.id)] = volume
        return volume

    def next_name(self, node: str, storage_id: str, vmid: int) -> str:
        taken = {v.name for v in self.on(node) if v.storage == storage_id}
        number = 0
        while f"vm-{vmid}-disk-{number}" in taken:
            number += 1
        return f"vm-{vmid}-disk-{number}"

    def on(self, node: str, vmid: int | None = None) -> list[Volume]:
        return [v for (where, dummy), v in self.volumes.items() if where == node and vmid in (None, v.owner)]

    def used_bytes(self, storage_id: str, node: str) -> int:
        return sum(v.used_bytes for v in self.on(node) if v.storage == storage_id)

    def owner_of(self, guest: Config, vmid: int, node: str) -> int:
        """Whose disks a configuration runs on: the first one's owner, itself when it has none."""
        for volume_id in disks_of(guest).values():
            volume = self.volumes.get((node, volume_id))
            if volume is not None:
                return volume.owner or vmid
            match = _OWNER.match(volume_id.partition(":")[2].rpartition("/")[2])
            if match:
                return int(match.group(1))
        return vmid

    def remove(self, volume: Volume) -> None:
        del self.volumes[(volume.node, volume.id)]

    def sizes(self, config: t.Mapping[str, str], node: str) -> int:
        return sum(v.size_bytes for d in disks_of(config).values() if (v := self.volumes.get((node, d))) is not None)
