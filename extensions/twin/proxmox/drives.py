# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drives: new volumes, volumes that exist already (another guest's too), and imports."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import (
    Config,
    Guest,
    disks_of,
    drive_text,
    is_cdrom,
    options_of,
    size_bytes,
    size_text,
    volume_of,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import Volume
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_NEW = re.compile(r"^([A-Za-z][\w.-]*):(\d+(?:\.\d+)?)$")


def require_access(datacenter: Datacenter, call: Call, vmid: int, config: t.Mapping[str, str]) -> None:
    """Raise unless the caller may make, or take over, the volumes of these drives."""
    for volume_id in disks_of(config).values():
        storage = volume_id.partition(":")[0]
        if storage.startswith("/"):
            raise PveError(500, "Only root can pass arbitrary filesystem paths.")
        if _NEW.match(volume_id):
            call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
            continue
        require_volume(datacenter, call, vmid, volume_id)


def require_volume(datacenter: Datacenter, call: Call, vmid: int, volume_id: str) -> None:
    """Another guest's volume wants Datastore.Allocate, or the right to that guest's disks. [RUN]"""
    storage, dummy, name = volume_id.partition(":")
    owner = Volume(storage=storage, node="", name=name, size_bytes=0, made_at_s=0.0).owner
    if owner == vmid or call.may(f"/storage/{storage}", "Datastore.Allocate"):
        return
    may_owner = owner and call.may(f"/vms/{owner}", "VM.Config.Disk")
    if not may_owner or not call.may(f"/storage/{storage}", "Datastore.Audit"):
        raise PveError(403, f"Permission check failed (/storage/{storage}, Datastore.Allocate)")


def settle(datacenter: Datacenter, guest: Guest, key: str, value: str, call: Call) -> str:
    """Make the volume that a drive asks for, or find the one that it names; returns the drive as PVE writes it."""
    if is_cdrom(value):
        return value
    volume_id, options = volume_of(value), options_of(value)
    require_access(datacenter, call, guest.vmid, {key: value})
    source_id = options.pop("import-from", "")
    new = _NEW.match(volume_id)
    if source_id:
        return _import(datacenter, guest, volume_id, source_id, options)
    if new is not None:
        size = size_bytes(f"{new.group(2)}G")
        volume = make(datacenter, guest.node, new.group(1), guest.vmid, size)
    else:
        volume = datacenter.shelf.volume(guest.node, volume_id)
    return drive_text(volume.id, {**options, "size": size_text(volume.size_bytes)})


def make(datacenter: Datacenter, node: str, storage: str, vmid: int, size: int) -> Volume:
    """A new, empty volume."""
    shelf = datacenter.shelf
    if "images" not in shelf.storage(storage, node).content:
        raise PveError(500, f"storage '{storage}' does not support content-type 'images'")
    return shelf.add(node, storage, shelf.next_name(node, storage, vmid), size, datacenter.now_s())


def _import(datacenter: Datacenter, guest: Guest, target: str, source_id: str, options: t.Mapping[str, str]) -> str:
    volume = datacenter.shelf.volume(guest.node, source_id)
    owner = datacenter.guests.get(volume.owner)
    if owner is not None and owner.node != guest.node:
        # so a replica's volume cannot be imported where it lies [RUN]
        raise PveError(500, f"owner VM {volume.owner} not on local node")
    copied = make(datacenter, guest.node, target.partition(":")[0], guest.vmid, volume.size_bytes)
    source = datacenter.disk_set(volume.owner, guest.node, vm=guest.vm, name=guest.name)
    data = datacenter.world.data_of(datacenter.world.copy(source.copy_id))
    datacenter.disk_set(guest.vmid, guest.node, vm=guest.vm, name=guest.name, data=data)
    return drive_text(copied.id, {**options, "size": size_text(copied.size_bytes)})


def copy_all(
    datacenter: Datacenter, source: Config, node: str, vmid: int, storage: str | None, target_node: str | None = None
) -> Config:
    """Allocate a volume of the same size for every disk; returns the drives that name the new ones."""
    found: Config = {}
    for key, volume_id in disks_of(source).items():
        volume = datacenter.shelf.volume(node, volume_id)
        copied = make(datacenter, target_node or node, storage or volume.storage, vmid, volume.size_bytes)
        copied.used_bytes = volume.used_bytes
        options = {k: v for k, v in options_of(source[key]).items() if k != "size"}
        found[key] = drive_text(copied.id, {**options, "size": size_text(copied.size_bytes)})
    return found


def free_own(datacenter: Datacenter, guest: Guest, *, with_unreferenced: bool) -> None:
    """Remove a destroyed guest's volumes: its own alone, on its node; a volume of another vmid stays. [RUN]"""
    shelf = datacenter.shelf
    named = set(disks_of(guest.config, with_unused=True).values())
    for volume in shelf.on(guest.node, guest.vmid):
        if with_unreferenced or volume.id in named:
            shelf.remove(volume)
    datacenter.drop_disk_set(guest.vmid, guest.node)
