# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on storages, their content, and backups."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.backups import Backup
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schedule import next_event_s
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import Storage
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_STORAGE, _CONTENT = "/nodes/{node}/storage", "/nodes/{node}/storage/{storage}/content"
_EITHER = ("Datastore.Audit", "Datastore.AllocateSpace")


def _config(storage: Storage) -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"storage": storage.id, "type": storage.kind, "content": storage.content, **storage.options}
    if storage.nodes:
        row["nodes"] = ",".join(storage.nodes)
    if storage.is_shared:
        row["shared"] = 1
    return row


@ROUTES.add("GET", "/storage")
def list_configs(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    wanted = call.params.get("type")
    return [
        {**_config(storage), "digest": "0" * 40}
        for storage in datacenter.shelf.storages.values()
        if wanted in (None, storage.kind) and any(call.may(f"/storage/{storage.id}", p) for p in _EITHER)
    ]


@ROUTES.add("GET", "/storage/{storage}")
def read_config(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/storage/{call.args['storage']}", "Datastore.Allocate")
    return {**_config(datacenter.shelf.storage(call.args["storage"])), "digest": "0" * 40}


def sizes(datacenter: Datacenter, storage: Storage, node: str) -> tuple[int, int]:
    """Total and used bytes of a storage as one node sees it."""
    total = storage.total_bytes.get("" if storage.is_shared else node, 2**40)
    if node in storage.full_on:
        return total, total
    kept = sum(b.size_bytes // 3 for b in datacenter.backups.on(storage.id, node))
    return total, min(total, datacenter.shelf.used_bytes(storage.id, node) + kept)


def _status(datacenter: Datacenter, storage: Storage, node: str) -> dict[str, t.Any]:
    total, used = sizes(datacenter, storage, node)
    return {
        "type": storage.kind,
        "content": storage.content,
        "active": 1,
        "enabled": 1,
        "shared": int(storage.is_shared),
        "total": total,
        "used": used,
        "avail": total - used,
    }


@ROUTES.add("GET", _STORAGE)
def list_status(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    content, named = call.params.get("content"), call.params.get("storage")
    rows = []
    for storage in datacenter.shelf.storages.values():
        is_wanted = storage.is_on(call.node) and named in (None, storage.id)
        if content and not set(str(content).split(",")) & set(storage.content.split(",")):
            is_wanted = False
        if is_wanted and any(call.may(f"/storage/{storage.id}", p) for p in _EITHER):
            row = _status(datacenter, storage, call.node)
            rows.append({"storage": storage.id, **row, "used_fraction": row["used"] / row["total"]})
    return rows


@ROUTES.add("GET", f"{_STORAGE}/{{storage}}/status")
def read_status(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    return _status(datacenter, _storage(datacenter, call), call.node)


def _storage(datacenter: Datacenter, call: Call) -> Storage:
    call.require_any(f"/storage/{call.args['storage']}", *_EITHER)
    return datacenter.shelf.storage(call.args["storage"], call.node)


@ROUTES.add("GET", _CONTENT)
def list_content(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Volumes and backups. A replica's volumes are among them, its snapshots are not: they tell no age here."""
    storage = _storage(datacenter, call)
    content, vmid = call.params.get("content"), call.params.get("vmid")
    rows: list[dict[str, t.Any]] = []
    if content in (None, "images") and "images" in storage.content:
        for volume in datacenter.shelf.on(call.node):
            if volume.storage == storage.id:
                rows.append(
                    {
                        "volid": volume.id,
                        "content": "images",
                        "vmid": volume.owner,
                        "size": volume.size_bytes,
                        "format": "raw",
                        "name": volume.name,
                    }
                )
    if content in (None, "backup") and "backup" in storage.content:
        rows += [datacenter.backups.row(b) for b in datacenter.backups.on(storage.id, call.node)]
    return [
        row
        for row in sorted(rows, key=lambda r: str(r["volid"]))
        if (vmid is None or int(vmid) == row["vmid"]) and _may_see(call, storage.id, row["content"], row["vmid"])
    ]


_WANTED = {"backup": ("Datastore.AllocateSpace", "VM.Backup"), "images": ("Datastore.Audit", "VM.Config.Disk")}


def _may_see(call: Call, storage: str, content: str, owner: int) -> bool:
    try:
        _require_access(call, storage, content, owner)
    except PveError:
        return False
    return True


def _require_access(call: Call, storage: str, content: str, owner: int) -> None:
    """check_volume_access: who may not back a guest up does not see its backups, nor its disks who may not change them."""
    if not call.may(f"/storage/{storage}", "Datastore.Allocate"):
        of_storage, of_guest = _WANTED[content]
        call.require(f"/storage/{storage}", of_storage)
        call.require(f"/vms/{owner}", of_guest)


def _backup(datacenter: Datacenter, call: Call) -> Backup:
    name = call.args["volume"]
    return datacenter.backups.find(name if ":" in name else f"{call.args['storage']}:{name}", call.node)


@ROUTES.add("GET", f"{_CONTENT}/{{volume}}")
def read_volume(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    storage, name = _storage(datacenter, call), call.args["volume"]
    volume_id = name if ":" in name else f"{storage.id}:{name}"
    if volume_id in datacenter.backups.vault.backups:
        backup = _backup(datacenter, call)
        _require_access(call, storage.id, "backup", backup.vmid)
        row = datacenter.backups.row(backup)
        return {"path": row["volid"], "used": row["size"], **{k: row[k] for k in ("size", "format", "notes")}}
    volume = datacenter.shelf.volume(call.node, volume_id)
    _require_access(call, storage.id, "images", volume.owner)
    pool = storage.options.get("pool", storage.id)
    return {
        "path": f"/dev/zvol/{pool}/{volume.name}",
        "size": volume.size_bytes,
        "used": volume.used_bytes,
        "format": "raw",
    }


@ROUTES.add("PUT", f"{_CONTENT}/{{volume}}")
def change_volume(datacenter: Datacenter, call: Call) -> None:
    backup = _backup(datacenter, call)
    if not call.may(f"/storage/{backup.storage}", "Datastore.Allocate"):
        call.require(f"/storage/{backup.storage}", "Datastore.AllocateSpace")
        call.require(f"/vms/{backup.vmid}", "VM.Backup")
    if "protected" in call.params:
        backup.is_protected = call.flag("protected")
    if "notes" in call.params:
        backup.notes = str(call.params["notes"])


@ROUTES.add("DELETE", f"{_CONTENT}/{{volume}}")
def delete_volume(datacenter: Datacenter, call: Call) -> str:
    """Remove a backup, or a volume that no guest of this node names any more."""
    name = call.args["volume"]
    volume_id = name if ":" in name else f"{call.args['storage']}:{name}"
    storage = volume_id.partition(":")[0]
    backup = datacenter.backups.vault.backups.get(volume_id)
    if backup is not None:
        if not call.may(f"/storage/{storage}", "Datastore.Allocate"):
            call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
            call.require(f"/vms/{backup.vmid}", "VM.Backup")
    else:
        call.require(f"/storage/{storage}", "Datastore.Allocate")
        volume = datacenter.shelf.volume(call.node, volume_id)
        owner = datacenter.guests.get(volume.owner)
        if owner is not None and owner.node == call.node:
            raise PveError(403, f"cannot remove volume '{volume_id}': it belongs to guest '{volume.owner}'")

    def body(task: Task) -> Body:
        yield datacenter.timing.config_s
        if backup is not None:
            datacenter.backups.delete(backup)
        else:
            volume = datacenter.shelf.volume(call.node, volume_id)
            datacenter.shelf.remove(volume)
            datacenter.drop_disk_set(volume.owner, call.node)
        return 0

    return datacenter.tasks.start(call.node, "imgdel", f"{storage}@{call.node}", body, call)


@ROUTES.add("POST", "/nodes/{node}/vzdump")
def vzdump(datacenter: Datacenter, call: Call) -> str:
    return datacenter.backups.vzdump(call)


@ROUTES.add("GET", "/cluster/backup")
def list_jobs(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """A cluster-wide job may have run on no node yet: its next run is reckoned from now."""
    call.require("/", "Sys.Audit")
    return [
        {"id": name, **job, "next-run": int(next_event_s(str(job["schedule"]), datacenter.now_s() // 60 * 60))}
        for name, job in datacenter.backups.jobs.items()
    ]


@ROUTES.add("GET", "/cluster/backup/{id}")
def read_job(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require("/", "Sys.Audit")
    if call.args["id"] not in datacenter.backups.jobs:
        raise PveError(400, "Parameter verification failed.", {"id": f"No such job '{call.args['id']}'"})
    return {"id": call.args["id"], **datacenter.backups.jobs[call.args["id"]]}


@ROUTES.add("GET", "/cluster/backup-info/not-backed-up")
def not_backed_up(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """The guests that no backup job takes."""
    call.require("/", "Sys.Audit")
    covered = datacenter.backups.covered()
    return [
        {"vmid": guest.vmid, "type": "qemu", "name": guest.name}
        for guest in sorted(datacenter.guests.values(), key=lambda g: g.vmid)
        if guest.vmid not in covered and call.may(f"/vms/{guest.vmid}", "VM.Audit")
    ]
