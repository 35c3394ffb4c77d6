# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote by restoring a backup into a new VM on the replica node. Original, replica and backup stay as they are.

What is restored bears our stamps from the call on that restores it, so that whoever continues finds it; and it never has the
original's id, or tonight's backup of it would be filed among the original's.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ways import COPIED
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import hardware, keepsake, tags, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, rows
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.clone import (
    COPY_WITHIN_S,
    machine_of,
    stand_in,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    RESTORE,
    live_config,
    original_config,
    storage_rows,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import BACKUP, Promotion
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.vmids import (
    new_vmids,
    outlast_unnamed,
    require_wished,
    until_free,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN


def promote(p: Promotion) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them."""
    p.refuse_foreign()
    begun = p.copy()
    config = _config(p) if begun is None or stamps.PHASE not in begun.stamps else {}
    require_wished(p)
    # Its replica is the newest good copy but for the backup: no run may overwrite it while this one is undecided.
    yield from p.hold_job(is_point_checked=lambda: False)
    if begun is None:
        # What a killed controller has just asked for bears its tags only once it is restored.
        outlast_unnamed(p, "qmrestore", within_s=COPY_WITHIN_S)
        begun = p.copy()
    vmid = begun.vmid if begun is not None else new_vmids(p, 1, _ids_at_home(p))[0]
    machine = machine_of(p, vmid)
    yield _restore(p, machine, config)
    if not config:  # the original cannot be read: it is what its backup says
        config = keepsake.untouched(machine.now().config)
    yield stand_in(p, machine, config)
    yield from p.serve(machine)


def volume_of(point_id: str) -> str:
    return point_id.removeprefix(BACKUP)


def target_storage(p: Promotion, config: hardware.Config) -> str | None:
    """Return the storage named in dr_site; else the original's where the replica node has it; else the roomiest."""
    return choose_storage(p, [disk.storage for disk in wire.disks_of(config)])


def choose_storage(p: Promotion, wanted: list[str]) -> str | None:
    named = p.ends.spec.replica.datastore
    if named:
        return named
    known = storage_rows(p.client, p.ends.away)
    for storage in wanted:
        if storage in known:
            return storage
    roomy = [row for row in known.values() if "images" in str(row.get("content") or "")]
    best = max(roomy, key=lambda row: int(row.get("maxdisk") or 0) - int(row.get("disk") or 0), default=None)
    return None if best is None else str(best["storage"])


def _config(p: Promotion) -> hardware.Config:
    """Return the original's configuration, or {}: the backup brings one of its own."""
    try:
        return keepsake.untouched(original_config(p.ends, p.pair, p.origin))
    except Refused:
        return {}


def _ids_at_home(p: Promotion) -> set[int]:
    """Return the ids in use at the other end, where that is a cluster of its own: backups of both may share a storage."""
    if p.ends.is_one_cluster() or live_config(p.ends, p.pair, p.origin) is None:
        return set()
    return {row.vmid for row in rows(p.ends.production)}


def _restore(p: Promotion, machine: Machine, config: hardware.Config) -> Step:
    marks = {stamps.RUN: p.run_id, stamps.MODE: RESTORE, stamps.POINT: p.point.id}
    down = keepsake.linked(keepsake.nets_of(config), is_up=False)

    def make() -> None:
        machine.run(
            "restore the backup",
            "POST",
            f"/nodes/{p.ends.away}/qemu",
            within_s=COPY_WITHIN_S,
            vmid=machine.vmid,
            archive=volume_of(p.point.id),
            storage=target_storage(p, config),
            unique=False,  # the NICs keep their MAC addresses: the original is fenced
            pool=p.ends.spec.replica.pool,
            tags=tags.with_stamps(config.get("tags"), marks),
            onboot=False,
            **down,
        )

    def choose_again() -> None:
        (machine.vmid,) = new_vmids(p, 1, _ids_at_home(p))

    return machine.step(
        "restore the backup",
        calls=[f"POST /nodes/{p.ends.away}/qemu vmid={machine.vmid} archive={volume_of(p.point.id)}"],
        is_done=lambda sheet: sheet.is_there and sheet.has_run(p.run_id) and not sheet.lock,
        act=lambda: until_free(p, make, choose_again),
        tasks=("qmrestore",),
        on_nodes=lambda: [p.ends.away],
        within_s=COPY_WITHIN_S,
        more=lambda sheet: {COPIED: hardware.size_bytes(sheet.config)} if sheet.is_there and not sheet.lock else {},
        next=f"read the task's log on {p.ends.away}: is the backup whole, is its storage online, has the target room? {AGAIN}",
    )
