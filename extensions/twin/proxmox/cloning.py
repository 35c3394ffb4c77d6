# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cloning: an independent copy of what the source's disks hold, under a new id."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import drives, lifecycle
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import (
    DRIVE,
    NET,
    UNUSED,
    Config,
    Guest,
    disks_of,
    is_cdrom,
    new_uuid,
    nics_of,
    with_mac,
)
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_NOT_COPIED = frozenset(("lock", "template", "vmgenid", "smbios1", "parent", "vmstate", "runningmachine", "meta"))


@ROUTES.add("POST", "/nodes/{node}/qemu/{vmid}/clone")
def clone(datacenter: Datacenter, call: Call) -> str:
    newid = int(call.params["newid"])
    call.require(f"/vms/{call.vmid}", "VM.Clone")
    lifecycle.require_allocation(call, newid)
    guest = datacenter.guest(call.vmid, call.node)
    storage = call.params.get("storage")
    for where in {storage} if storage else {v.partition(":")[0] for v in disks_of(guest.config).values()}:
        call.require(f"/storage/{where}", "Datastore.AllocateSpace")
        datacenter.shelf.storage(str(where), call.node)
    datacenter.require_quorum(call.node)
    _check(datacenter, guest, call)
    lifecycle.require_free_id(datacenter, newid, "")
    guest.require_unlocked()
    copy = Guest(vmid=newid, node=call.node, vm=guest.vm, config={"lock": "clone"})
    datacenter.guests[newid] = copy
    lifecycle.join_pool(datacenter, newid, call.params.get("pool"))
    settled = _settled(guest, call)

    def body(task: Task) -> Body:
        try:
            yield from _copying(datacenter, task, guest, copy, settled, storage)
        except BaseException:
            drives.free_own(datacenter, copy, with_unreferenced=True)
            datacenter.guests.pop(newid, None)
            lifecycle.leave_pools(datacenter, newid)
            raise
        return 0

    return datacenter.tasks.start(call.node, "qmclone", call.vmid, body, call)


def _check(datacenter: Datacenter, guest: Guest, call: Call) -> None:
    target, is_template = call.params.get("target"), guest.config.get("template") == "1"
    if target and target != call.node:
        datacenter.node(str(target))
        raise PveError(500, f"Can't clone VM to node '{target}' (VM uses local storage)")
    if not call.flag("full", default=not is_template) and not is_template:
        raise PveError(500, "Linked clone feature is only supported for templates")
    snapshot = call.params.get("snapname")
    if snapshot:
        if snapshot not in guest.snapshots:
            raise PveError(500, f"snapshot '{snapshot}' does not exist")
        for key, volume_id in disks_of(guest.config).items():
            if datacenter.shelf.storage(volume_id.partition(":")[0]).kind == "zfspool":
                # a zvol's snapshot cannot be copied from
                raise PveError(500, f"Full clone feature is not supported for drive '{key}'")


def _settled(guest: Guest, call: Call) -> Config:
    """The new configuration without its disks: everything is copied, but who it is on the network and in itself."""
    config = {
        key: with_mac(value, is_new=True) if NET.match(key) else value
        for key, value in guest.config.items()
        if key not in _NOT_COPIED and not UNUSED.match(key) and (not DRIVE.match(key) or is_cdrom(value))
    }
    config["name"] = str(call.params.get("name") or f"Copy-of-VM-{guest.name}")
    if "description" in call.params:
        config["description"] = str(call.params["description"]).rstrip()
    config["vmgenid"] = new_uuid()
    config["smbios1"] = f"uuid={new_uuid()}"
    config["lock"] = "clone"
    return config


def _copying(
    datacenter: Datacenter, task: Task, guest: Guest, copy: Guest, settled: Config, storage: str | None
) -> t.Generator[float, None, None]:
    world, timing = datacenter.world, datacenter.timing
    source = datacenter.disk_set_of(guest)
    data = world.data_of(world.copy(source.copy_id))
    copy.config = {"lock": "clone", **drives.copy_all(datacenter, guest.config, guest.node, copy.vmid, storage)}
    for key, volume_id in disks_of(guest.config).items():
        task.say(f"create full clone of drive {key} ({volume_id})")
    source.readers.add(task.upid)
    try:
        yield timing.config_s + timing.copying_s(datacenter.shelf.sizes(guest.config, guest.node), timing.clone_bytes_s)
        if task.upid in source.torn:
            data = type(data)(data.generation, data.as_of_s, is_corrupted=True)
    finally:
        source.readers.discard(task.upid)
        source.torn.discard(task.upid)
    copy.config = {**settled, **{k: v for k, v in copy.config.items() if k != "lock"}}
    disks = datacenter.disk_set(copy.vmid, copy.node, vm=copy.vm, name=copy.name, data=data)
    world.observe(disks.copy_id, nics=nics_of(copy.config))
    del copy.config["lock"]
    task.say("transferred 100%")
