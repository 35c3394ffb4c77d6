# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restoring a guest from an archive, as a new one or over a stopped one; live restore starts it while its disks still come."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import drives, lifecycle, options
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.backups import Backup
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import (
    DRIVE,
    NET,
    UNUSED,
    Config,
    Guest,
    drive_text,
    is_cdrom,
    new_uuid,
    nics_of,
    options_of,
    size_bytes,
    size_text,
    volume_of,
    with_mac,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_DEFAULT_SIZE = 32 * 2**30


def restore(datacenter: Datacenter, call: Call) -> str:
    """POST /nodes/{node}/qemu with an archive; returns the UPID of the qmrestore task."""
    vmid, node = int(call.params["vmid"]), call.node
    old = datacenter.guests.get(vmid)
    if old is None:
        lifecycle.require_allocation(call, vmid)
    else:
        call.require(f"/vms/{vmid}", "VM.Backup")
    backup = _backup(datacenter, call)
    storage = call.params.get("storage")
    for where in sorted(
        {str(storage)} if storage else {volume_of(v).partition(":")[0] for v in _drives(backup).values()}
    ):
        call.require(f"/storage/{where}", "Datastore.AllocateSpace")
        datacenter.shelf.storage(where, node)
    changed = {k: options.normal(k, v) for k, v in options.given(call).items()}
    options.require_rights(call, vmid, changed)
    datacenter.require_quorum(node)
    if old is not None:
        _require_replaceable(datacenter, old, call)
    guest = Guest(vmid=vmid, node=node, vm=backup.vm, config={"lock": "create"})
    if old is not None:
        drives.free_own(datacenter, old, with_unreferenced=False)
    datacenter.guests[vmid] = guest
    lifecycle.join_pool(datacenter, vmid, call.params.get("pool"))

    def body(task: Task) -> Body:
        try:
            yield from _restoring(datacenter, task, guest, backup, storage, changed, call)
        except BaseException:
            if datacenter.machines.of(guest) is None:
                drives.free_own(datacenter, guest, with_unreferenced=True)
                datacenter.guests.pop(vmid, None)
            raise
        return 0

    return datacenter.tasks.start(node, "qmrestore", vmid, body, call)


def _backup(datacenter: Datacenter, call: Call) -> Backup:
    archive = str(call.params["archive"])
    storage = archive.partition(":")[0]
    datacenter.shelf.storage(storage, call.node)
    if not call.may(f"/storage/{storage}", "Datastore.Allocate"):
        call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
        match = re.search(r"(?:/vm/|-qemu-)(\d+)", archive)
        call.require(f"/vms/{match.group(1) if match else 0}", "VM.Backup")
    return datacenter.backups.find(archive, call.node)


def _require_replaceable(datacenter: Datacenter, old: Guest, call: Call) -> None:
    attempt = f"unable to restore VM {old.vmid} -"
    if old.node != call.node or not call.flag("force"):
        raise PveError(500, f"{attempt} VM {old.vmid} already exists on node '{old.node}'")
    old.require_unprotected(f"{attempt} unable to restore vm {old.vmid}")
    if datacenter.machines.of(old) is not None:
        raise PveError(500, f"{attempt} VM {old.vmid} is running")
    old.require_unlocked()


def _drives(backup: Backup) -> Config:
    return {k: v for k, v in backup.config.items() if DRIVE.match(k) and not is_cdrom(v)}


def _restoring(
    datacenter: Datacenter,
    task: Task,
    guest: Guest,
    backup: Backup,
    storage: str | None,
    changed: Config,
    call: Call,
) -> t.Generator[float, None, None]:
    timing, config, size = datacenter.timing, _settled(backup, is_unique=call.flag("unique")), 0
    yield timing.config_s
    for key, value in _drives(backup).items():
        drive_options = options_of(value)
        wanted = size_bytes(drive_options.get("size", "")) if drive_options.get("size") else _DEFAULT_SIZE
        volume = drives.make(datacenter, guest.node, storage or volume_of(value).partition(":")[0], guest.vmid, wanted)
        size += volume.size_bytes
        config[key] = drive_text(volume.id, {**drive_options, "size": size_text(wanted)})
        task.say(f"new volume ID is '{volume.id}'")
    data = datacenter.backups.data_of(backup)
    guest.config = {**config, **changed, "lock": "create"}
    disks = datacenter.disk_set(guest.vmid, guest.node, vm=guest.vm, name=guest.name, data=data)
    datacenter.world.overwritten(disks.copy_id, data, f"restored from {backup.id}")
    datacenter.world.observe(disks.copy_id, nics=nics_of(guest.config))
    copying_s = timing.copying_s(size / 2, timing.restore_bytes_s)
    if call.flag("live-restore"):
        yield timing.live_restore_start_s
        task.say("starting VM for live-restore")
        datacenter.machines.start(guest)
        yield copying_s
    else:
        yield copying_s
    guest.config.pop("lock", None)
    if call.flag("start") and not call.flag("live-restore"):
        yield timing.start_s
        datacenter.machines.start(guest)


def _settled(backup: Backup, *, is_unique: bool) -> Config:
    """The archived configuration; its generation id is new in any case, its hardware addresses when asked for."""
    config = {
        key: with_mac(value, is_new=True) if is_unique and NET.match(key) else value
        for key, value in backup.config.items()
        if not UNUSED.match(key) and key not in ("parent", "template")
    }
    config["vmgenid"] = new_uuid()
    if is_unique:
        config["smbios1"] = f"uuid={new_uuid()}"
    return config
