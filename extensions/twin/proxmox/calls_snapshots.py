# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on snapshots of a guest."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, Snapshot, new_uuid, nics_of, typed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_ALL = "/nodes/{node}/qemu/{vmid}/snapshot"
_ONE = f"{_ALL}/{{snapname}}"
_NAME = re.compile(r"^[A-Za-z][\w-]{1,39}$")


def _point(guest: Guest, name: str) -> str:
    """How the world's copy knows the snapshot."""
    return f"{guest.vmid}:{name}"


@ROUTES.add("GET", _ALL)
def list_snapshots(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """The last row is "current": the present state, no snapshot."""
    call.require(f"/vms/{call.vmid}", "VM.Audit")
    guest = datacenter.guest(call.vmid, call.node)
    rows: list[dict[str, t.Any]] = []
    for snapshot in guest.snapshots.values():
        row = {"name": snapshot.name, "snaptime": int(snapshot.taken_at_s), "description": snapshot.description}
        rows.append(
            {**row, "vmstate": int(snapshot.has_memory), **({"parent": snapshot.parent} if snapshot.parent else {})}
        )
    current: dict[str, t.Any] = {"name": "current", "description": "You are here!", "digest": guest.digest}
    current["running"] = int(datacenter.machines.of(guest) is not None)
    if guest.parent:
        current["parent"] = guest.parent
    return [*rows, current]


@ROUTES.add("POST", _ALL)
def take(datacenter: Datacenter, call: Call) -> str:
    call.require(f"/vms/{call.vmid}", "VM.Snapshot")
    guest, name = datacenter.guest(call.vmid, call.node), str(call.params["snapname"])
    if name == "current" or name.lower() == "pending":
        raise PveError(500, f"unable to use snapshot name '{name.lower()}' (reserved name)")
    if _NAME.match(name) is None:
        raise PveError(400, "Parameter verification failed.", {"snapname": f"invalid configuration ID '{name}'"})
    has_memory = call.flag("vmstate")

    def body(task: Task) -> Body:
        if guest.config.get("template") == "1":
            raise TaskFailed("you can't take a snapshot if it's a template")
        guest.require_unlocked()
        datacenter.require_writable(call.node, guest)
        if name in guest.snapshots:
            raise TaskFailed(f"snapshot name '{name}' already used")
        guest.config["lock"] = "snapshot"
        try:
            yield datacenter.timing.snapshot_s
        finally:
            guest.config.pop("lock", None)
        guest.snapshots[name] = Snapshot(
            name=name,
            taken_at_s=datacenter.now_s(),
            config=dict(guest.config),
            description=str(call.params.get("description", "")),
            parent=guest.parent,
            has_memory=has_memory and datacenter.machines.of(guest) is not None,
        )
        guest.parent = name
        datacenter.world.point_made(datacenter.copy_id_of(guest), _point(guest, name))
        return 0

    return datacenter.tasks.start(call.node, "qmsnapshot", guest.vmid, body, call)


def _snapshot(guest: Guest, name: str) -> Snapshot:
    if name not in guest.snapshots:
        raise PveError(500, f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


@ROUTES.add("DELETE", _ONE)
def delete(datacenter: Datacenter, call: Call) -> str:
    call.require(f"/vms/{call.vmid}", "VM.Snapshot")
    guest, name = datacenter.guest(call.vmid, call.node), call.args["snapname"]

    def body(task: Task) -> Body:
        guest.require_unlocked()
        datacenter.require_writable(call.node, guest)
        snapshot = _snapshot(guest, name)
        guest.config["lock"] = "snapshot-delete"
        try:
            yield datacenter.timing.snapshot_s
        finally:
            guest.config.pop("lock", None)
        del guest.snapshots[name]
        for other in guest.snapshots.values():
            other.parent = snapshot.parent if other.parent == name else other.parent
        guest.parent = snapshot.parent if guest.parent == name else guest.parent
        copy = datacenter.copy_of(guest)
        datacenter.world.points_seen(copy.id, [p for p in copy.points if p != _point(guest, name)])
        return 0

    return datacenter.tasks.start(call.node, "qmdelsnapshot", guest.vmid, body, call)


@ROUTES.add("GET", _ONE)
def index(datacenter: Datacenter, call: Call) -> list[dict[str, str]]:
    return [{"cmd": "rollback"}, {"cmd": "config"}]


@ROUTES.add("GET", f"{_ONE}/config")
def read(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require_any(f"/vms/{call.vmid}", "VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit")
    snapshot = _snapshot(datacenter.guest(call.vmid, call.node), call.args["snapname"])
    row = {**typed(snapshot.config), "snaptime": int(snapshot.taken_at_s)}
    return {**row, "description": snapshot.description} if snapshot.description else row


@ROUTES.add("PUT", f"{_ONE}/config")
def describe(datacenter: Datacenter, call: Call) -> None:
    call.require(f"/vms/{call.vmid}", "VM.Snapshot")
    guest = datacenter.guest(call.vmid, call.node)
    datacenter.require_writable(call.node, guest)
    _snapshot(guest, call.args["snapname"]).description = str(call.params.get("description", ""))


@ROUTES.add("POST", f"{_ONE}/rollback")
def roll_back(datacenter: Datacenter, call: Call) -> str:
    call.require_any(f"/vms/{call.vmid}", "VM.Snapshot", "VM.Snapshot.Rollback")
    if call.flag("start"):
        call.require(f"/vms/{call.vmid}", "VM.PowerMgmt")
    guest, name = datacenter.guest(call.vmid, call.node), call.args["snapname"]

    def body(task: Task) -> Body:
        guest.require_unlocked()
        datacenter.require_writable(call.node, guest)
        snapshot = _snapshot(guest, name)
        newest = max(guest.snapshots.values(), key=lambda s: s.taken_at_s)
        if newest is not snapshot:
            # a ZFS rollback destroys what is newer, so the storage refuses
            volume_id = next(iter(datacenter.disk_ids(snapshot.config)), "")
            raise TaskFailed(f"can't rollback, '{name}' is not most recent snapshot on '{volume_id}'")
        if _point(guest, name) not in datacenter.copy_of(guest).points:
            # the configuration was moved to disks that were replicated before the snapshot was taken
            raise TaskFailed("zfs error: could not find any snapshots to destroy; check snapshot names.")
        process = datacenter.machines.of(guest)
        guest.config["lock"] = "rollback"
        try:
            if process is not None:
                datacenter.machines.stop(process)
            yield datacenter.timing.snapshot_s
        finally:
            guest.config.pop("lock", None)
        guest.config, guest.pending, guest.parent = dict(snapshot.config), {}, name
        if "vmgenid" in guest.config and not snapshot.has_memory:
            guest.config["vmgenid"] = new_uuid()  # the guest must be able to see that time went backwards
        copy_id = datacenter.copy_id_of(guest)
        datacenter.world.reverted(copy_id, _point(guest, name))
        datacenter.world.observe(copy_id, nics=nics_of(guest.config))
        if snapshot.has_memory or call.flag("start"):
            yield datacenter.timing.start_s
            datacenter.machines.start(guest)
        return 0

    return datacenter.tasks.start(call.node, "qmrollback", guest.vmid, body, call)
