# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups: what PBS and the vzdump folders keep, the nightly jobs, and making new ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Config, Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import Call, PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter


@dataclass(slots=True, kw_only=True)
class Backup:
    id: str  # "pbs:backup/vm/100/2026-08-15T01:00:00Z"
    storage: str
    node: str  # "" on a storage that all nodes see
    vmid: int
    vm: str  # the protected VM it is of
    made_at_s: float
    size_bytes: int
    config: Config
    is_protected: bool = False
    notes: str = ""
    verified: str = "ok"  # ok | failed | "" = not verified; PBS alone verifies


@dataclass(slots=True)
class Vault:
    """The content of the backup storages; standalone nodes share one, as they share their PBS."""

    backups: dict[str, Backup] = field(default_factory=dict)


class Backups:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter = datacenter
        self.vault = Vault()
        self.jobs: dict[str, dict[str, t.Any]] = {}

    # --- what there is -----------------------------------------------------------------------------------------------

    def on(self, storage: str, node: str) -> list[Backup]:
        return [b for b in self.vault.backups.values() if b.storage == storage and b.node in ("", node)]

    def find(self, volume_id: str, node: str) -> Backup:
        backup = self.vault.backups.get(volume_id)
        if backup is None or backup.node not in ("", node):
            raise PveError(500, f"volume '{volume_id}' does not exist")
        return backup

    def row(self, backup: Backup) -> dict[str, t.Any]:
        """One line of a storage's content."""
        storage = self._datacenter.shelf.storages[backup.storage]
        row: dict[str, t.Any] = {
            "volid": backup.id,
            "content": "backup",
            "vmid": backup.vmid,
            "ctime": int(backup.made_at_s),
            "size": backup.size_bytes,
            "subtype": "qemu",
            "format": "pbs-vm" if storage.kind == "pbs" else "vma.zst",
            "notes": backup.notes or backup.config.get("name", ""),
        }
        if backup.is_protected:
            row["protected"] = 1
        if storage.kind == "pbs" and backup.verified:
            row["verification"] = {
                "state": backup.verified,
                "upid": "UPID:pbs:00000001:00000001:00000001:00000001:verify:pbs:root@pam:",
            }
        return row

    def data_of(self, backup: Backup) -> DataState:
        return self._datacenter.world.archives[backup.vm][backup.id]

    def keep(
        self,
        guest: Guest,
        storage_id: str,
        data: DataState,
        *,
        at_s: float,
        size_bytes: int,
        is_protected: bool = False,
        notes: str = "",
        verified: str = "ok",
    ) -> Backup:
        """Put a backup on a storage, as it is at ``at_s``."""
        storage = self._datacenter.shelf.storage(storage_id)
        moment = dt.datetime.fromtimestamp(int(at_s), dt.UTC)
        if storage.kind == "pbs":
            volume_id = f"{storage_id}:backup/vm/{guest.vmid}/{moment:%Y-%m-%dT%H:%M:%SZ}"
        else:
            volume_id = f"{storage_id}:backup/vzdump-qemu-{guest.vmid}-{moment:%Y_%m_%d-%H_%M_%S}.vma.zst"
        config = {k: v for k, v in guest.config.items() if k != "lock"}
        backup = Backup(
            id=volume_id,
            storage=storage_id,
            node="" if storage.is_shared else guest.node,
            vmid=guest.vmid,
            vm=guest.vm,
            made_at_s=int(at_s),
            size_bytes=size_bytes,
            config=config,
            is_protected=is_protected,
            notes=notes,
            verified=verified if storage.kind == "pbs" else "",
        )
        self.vault.backups[volume_id] = backup
        self._datacenter.world.archives.setdefault(guest.vm, {})[volume_id] = data
        return backup

    def delete(self, backup: Backup) -> None:
        if backup.is_protected:
            raise PveError(500, f"can't remove protected archive '{backup.id}'")
        del self.vault.backups[backup.id]
        del self._datacenter.world.archives[backup.vm][backup.id]

    def forget_guest(self, vmid: int) -> None:
        """A purged guest leaves the backup jobs; its backups stay."""
        for job in self.jobs.values():
            ids = [i for i in str(job.get("vmid", "")).split(",") if i]
            if str(vmid) in ids:
                ids.remove(str(vmid))
                job["vmid"] = ",".join(ids)

    def covered(self) -> set[int]:
        """The guests that some enabled job takes."""
        found: set[int] = set()
        for job in self.jobs.values():
            if str(job.get("enabled", 1)) not in ("1", "True"):
                continue
            if str(job.get("all", 0)) in ("1", "True"):
                excluded = {int(i) for i in str(job.get("exclude", "")).split(",") if i}
                found |= set(self._datacenter.guests) - excluded
            elif job.get("pool"):
                found |= {int(i) for i in self._datacenter.pools.get(str(job["pool"]), {}).get("vms", ())}
            else:
                found |= {int(i) for i in str(job.get("vmid", "")).split(",") if i}
        return found

    def digest(self) -> str:
        return hashlib.sha1(repr(self.jobs).encode(), usedforsecurity=False).hexdigest()

    # --- vzdump ------------------------------------------------------------------------------------------------------

    def vzdump(self, call: Call) -> str:
        """Back up the chosen guests of one node; returns the UPID, or "OK" when none of them lies there."""
        datacenter, wanted = self._datacenter, call.params
        storage_id = str(wanted.get("storage", "local"))
        storage = datacenter.shelf.storage(storage_id, call.node)
        if "backup" not in storage.content:
            raise PveError(500, f"storage '{storage_id}' does not support backups")
        ids, is_all = self._chosen(call), call.flag("all")
        if any(name in wanted for name in ("bwlimit", "ionice", "performance")):
            call.require("/", "Sys.Modify")
        if "prune-backups" in wanted:
            call.require(f"/storage/{storage_id}", "Datastore.Allocate")
        guests = [
            datacenter.guests[i] for i in ids if i in datacenter.guests and datacenter.guests[i].node == call.node
        ]
        unknown = [i for i in ids if i not in datacenter.guests]
        if not guests and not unknown and not is_all:
            return "OK"
        call.require(f"/storage/{storage_id}", "Datastore.AllocateSpace")

        def body(task: Task) -> Body:
            allowed = [guest for guest in guests if call.may(f"/vms/{guest.vmid}", "VM.Backup")]
            if len(allowed) < len(guests) and not is_all:
                refused = next(guest.vmid for guest in guests if guest not in allowed)
                raise TaskFailed(f"Permission check failed (/vms/{refused}, VM.Backup)")
            failed = len(unknown)
            for vmid in unknown:
                task.say(f"ERROR: Backup of VM {vmid} failed - unable to find VM '{vmid}'")
            for guest in allowed:
                failed += not (yield from self._one(task, guest, storage_id, call))
            if failed:
                raise TaskFailed("job errors")
            return 0

        return datacenter.tasks.start(call.node, "vzdump", ids[0] if len(ids) == 1 else "", body, call)

    def _chosen(self, call: Call) -> list[int]:
        if call.flag("all"):
            excluded = {int(i) for i in str(call.params.get("exclude", "")).split(",") if i}
            return sorted(set(self._datacenter.guests) - excluded)
        if pool := call.params.get("pool"):
            return sorted(int(i) for i in self._datacenter.pools.get(str(pool), {}).get("vms", ()))
        ids = [int(i) for i in str(call.params.get("vmid", "")).replace(";", ",").split(",") if i]
        if not ids:
            raise PveError(
                400, "Parameter verification failed.", {"vmid": "property is missing and it is not optional"}
            )
        return ids

    def _one(self, task: Task, guest: Guest, storage_id: str, call: Call) -> t.Generator[float, None, bool]:
        datacenter = self._datacenter
        task.say(f"INFO: Starting Backup of VM {guest.vmid} (qemu)")
        if guest.lock:
            task.say(f"ERROR: Backup of VM {guest.vmid} failed - VM is locked ({guest.lock})")
            return False
        if not datacenter.is_quorate(call.node):
            task.say(
                f"ERROR: Backup of VM {guest.vmid} failed - unable to open file '/etc/pve/{guest.path}' - Permission denied"
            )
            return False
        if call.node in datacenter.shelf.storage(storage_id).full_on:
            task.say(f"ERROR: Backup of VM {guest.vmid} failed - job failed with err -28 - No space left on device")
            return False
        guest.config["lock"] = "backup"
        size = datacenter.shelf.sizes(guest.config, guest.node)
        at_s, data = datacenter.now_s(), datacenter.world.data_of(datacenter.copy_of(guest))
        try:
            yield datacenter.timing.config_s + datacenter.timing.copying_s(size / 2, datacenter.timing.backup_bytes_s)
        finally:
            guest.config.pop("lock", None)
        notes = str(call.params.get("notes-template", "")).replace("{{guestname}}", guest.name)
        notes = notes.replace("{{vmid}}", str(guest.vmid)).replace("{{node}}", guest.node)
        protected = call.flag("protected")
        self.keep(guest, storage_id, data, at_s=at_s, size_bytes=size, is_protected=protected, notes=notes, verified="")
        task.say(f"INFO: Finished Backup of VM {guest.vmid} (00:00:10)")
        return True
