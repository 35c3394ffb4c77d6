# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making and destroying guests, and the shell VM: a configuration on another guest's disks."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import drives, options
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import DRIVE, Guest, new_uuid, nics_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter


def require_allocation(call: Call, vmid: int) -> None:
    """Raise unless the caller may bring a guest of that id into being, by its path or by its pool."""
    pool = call.params.get("pool")
    if pool and call.may(f"/pool/{pool}", "VM.Allocate"):
        return
    call.require(f"/vms/{vmid}", "VM.Allocate")


def require_free_id(datacenter: Datacenter, vmid: int, attempt: str) -> None:
    known = datacenter.guests.get(vmid)
    if known is not None:
        raise PveError(500, f"{attempt}VM {vmid} already exists on node '{known.node}'")


def join_pool(datacenter: Datacenter, vmid: int, pool: str | None) -> None:
    if pool:
        if pool not in datacenter.pools:
            raise PveError(500, f"no such pool '{pool}'")
        datacenter.pools[pool]["vms"].append(vmid)


def leave_pools(datacenter: Datacenter, vmid: int) -> None:
    for pool in datacenter.pools.values():
        if vmid in pool["vms"]:
            pool["vms"].remove(vmid)


def create(datacenter: Datacenter, call: Call) -> str:
    """POST /nodes/{node}/qemu without an archive; returns the UPID."""
    vmid, node = int(call.params["vmid"]), call.node
    wanted = options.given(call)
    require_allocation(call, vmid)
    options.require_rights(call, vmid, wanted)
    drives.require_access(datacenter, call, vmid, wanted)
    datacenter.require_quorum(node)
    require_free_id(datacenter, vmid, f"unable to create VM {vmid} - ")
    name = wanted.get("name", f"VM {vmid}")
    guest = Guest(vmid=vmid, node=node, vm=f"{name} ({datacenter.name}/{vmid})", config={"lock": "create"})
    datacenter.guests[vmid] = guest
    join_pool(datacenter, vmid, call.params.get("pool"))

    def body(task: Task) -> Body:
        try:
            yield datacenter.timing.config_s
            config = {
                key: drives.settle(datacenter, guest, key, value, call)
                if DRIVE.match(key)
                else options.normal(key, value)
                for key, value in wanted.items()
            }
        except BaseException:
            datacenter.guests.pop(vmid, None)
            leave_pools(datacenter, vmid)
            raise
        config.setdefault("smbios1", f"uuid={new_uuid()}")
        config.setdefault("vmgenid", new_uuid())
        config["meta"] = f"creation-qemu=10.1.2,ctime={int(datacenter.now_s())}"
        if "boot" not in config:
            first = next((key for key in sorted(config) if DRIVE.match(key)), "")
            config["boot"] = f"order={first}" if first else " "
        guest.config = config
        _know(datacenter, guest)
        if call.flag("start"):
            yield datacenter.timing.start_s
            datacenter.machines.start(guest)
        return 0

    return datacenter.tasks.start(node, "qmcreate", vmid, body, call)


def _know(datacenter: Datacenter, guest: Guest) -> None:
    """Tell the world which disks the new configuration stands on."""
    owner = datacenter.shelf.owner_of(guest.config, guest.vmid, guest.node)
    if owner != guest.vmid:
        known = datacenter.shelf.disk_sets.get((owner, guest.node))
        if known is not None:
            guest.vm = datacenter.world.copy(known.copy_id).vm
            return  # a shell: it has no disks of its own, so it is no copy
    disks = datacenter.disk_set_of(guest)
    datacenter.world.observe(disks.copy_id, nics=nics_of(guest.config))


def destroy(datacenter: Datacenter, call: Call) -> str:
    """DELETE /nodes/{node}/qemu/{vmid}; returns the UPID."""
    vmid, node = call.vmid, call.node
    call.require(f"/vms/{vmid}", "VM.Allocate")
    guest = datacenter.guest(vmid, node)
    is_purging = call.flag("purge")

    def check() -> None:
        guest.require_unprotected(f"can't remove VM {vmid}")
        if datacenter.ha.manages(vmid) and not is_purging:
            raise PveError(500, f"cannot remove VM {vmid} - it's used in HA resources and purge parameter not set.")
        jobs = datacenter.replication.jobs_of(vmid)
        if jobs and not is_purging:
            raise PveError(
                500, f"There is a replication job '{jobs[0].id}' for guest '{vmid}' - Please remove that first."
            )
        if datacenter.machines.of(guest) is not None:
            raise PveError(500, f"VM {vmid} is running - destroy failed")

    check()
    datacenter.require_quorum(node)

    def body(task: Task) -> Body:
        guest.require_unlocked()
        check()
        if datacenter.guests.get(vmid) is not guest:
            raise TaskFailed(f"Configuration file '{guest.path}' does not exist")
        guest.config["lock"] = "destroyed"
        yield datacenter.timing.config_s
        task.say(f"VM {vmid}: remove disks")
        if is_purging:
            datacenter.ha.remove(f"vm:{vmid}")
            for job in datacenter.replication.jobs_of(vmid):
                datacenter.replication.forget(job)
            datacenter.backups.forget_guest(vmid)
        drives.free_own(datacenter, guest, with_unreferenced=call.flag("destroy-unreferenced-disks"))
        datacenter.guests.pop(vmid, None)
        leave_pools(datacenter, vmid)
        return 0

    return datacenter.tasks.start(node, "qmdestroy", vmid, body, call)
