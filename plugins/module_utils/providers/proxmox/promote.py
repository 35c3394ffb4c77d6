# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways to promote a replica on Proxmox VE: which are possible now, what each costs, and the one that was chosen."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, RecoveryPoint, Way
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import hardware, keepsake, ssh, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Votes, votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    CLONE,
    HA,
    IN_PLACE,
    MOVED,
    RESTORE,
    Ends,
    origin_of,
    original_config,
    storage_rows,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import BACKUP, PVESR, Promotion

SPARE_BYTES = 2 * 2**30  # a pool that is full to the last byte stops every VM on it
# A VM is made with the original's hardware: each kind of setting has its privilege.
_MAKE = (
    "VM.Allocate",
    "VM.Clone",
    "VM.PowerMgmt",
    *(f"VM.Config.{kind}" for kind in ("CDROM", "CPU", "Disk", "HWType", "Memory", "Network", "Options")),
)
_NO_QUORUM = (
    "the cluster has no quorum, so nothing can be made or changed; bring the other node or the QDevice back, or run"
    " `pvecm expected 1` on the replica node once the other one is proven off"
)


def promote(
    ends: Ends,
    pair: Pair,
    point: RecoveryPoint,
    *,
    way: str,
    run_id: str,
    guest_within_s: float,
    clock: Clock,
    promoted_id: str = "",
) -> Iterator[Step]:
    """Yield the steps that make the replica serve at ``point`` by the way chosen. Refuses before the first of them.

    The job is disabled before anything else, whatever the way.
    """
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import clone, ha, inplace, restore

    known = {CLONE: clone.promote, IN_PLACE: inplace.promote, RESTORE: restore.promote, HA: ha.promote}
    if way not in known or (way == RESTORE) != point.id.startswith(BACKUP):
        raise BadInput(
            what=f"promote the replica of {pair.name} at {point.name} by {way!r}",
            why="this recovery point does not know that way",
            next=f"set dr_policy.promotion to auto or one of: {', '.join(known)}",
        )
    if promoted_id and way in MOVED:
        raise BadInput(
            what=f"promote the replica of {pair.name} as {promoted_id}",
            why=f"by {way} the VM keeps its id: no new VM is made",
            next="remove dr_promoted_id, or promote by clone",
        )
    promotion = Promotion(
        ends,
        pair,
        point,
        way=way,
        run_id=run_id,
        guest_within_s=guest_within_s,
        clock=clock,
        promoted_id=promoted_id,
    )
    return known[way](promotion)


def ways(ends: Ends, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
    """Return the ways for this point, the one that touches least first. Reads only, and changes nothing."""
    shown = votes(ends.replica)
    if point.id.startswith(BACKUP):
        return (_restore(ends, pair, shown),)
    if not point.id.startswith(PVESR):
        return ()
    return (_clone(ends, pair, shown), _in_place(ends, shown), _ha(ends, shown))


def _clone(ends: Ends, pair: Pair, shown: Votes) -> Way:
    try:
        config = keepsake.untouched(original_config(ends, pair, origin_of(pair)))
    except DrError as error:
        return Way(name=CLONE, is_possible=False, reason=error.why)
    size = hardware.size_bytes(config)
    storages = {ends.spec.replica.datastore or disk.storage for disk in wire.disks_of(config)}
    reasons = [
        *([] if shown.is_quorate else [_NO_QUORUM]),
        *hardware.obstacles(config),
        *_missing(ends, pair, config),
        *_room(ends, storages, size),
        *_rights(ends, [*storages, *{disk.storage for disk in wire.disks_of(config)}], is_shell=True),
    ]
    if reasons:
        return Way(name=CLONE, is_possible=False, reason="; ".join(reasons), copied_bytes=size)
    return Way(
        name=CLONE,
        is_possible=True,
        reason="a full clone of the replica's disks; original and replica stay as they are",
        copied_bytes=size,
    )


def _restore(ends: Ends, pair: Pair, shown: Votes) -> Way:
    try:
        config: dict[str, t.Any] = keepsake.untouched(original_config(ends, pair, origin_of(pair)))
    except DrError:
        config = {}
    size = hardware.size_bytes(config) or (pair.replica.disk_bytes if pair.replica is not None else 0)
    storages = {ends.spec.replica.datastore} if ends.spec.replica.datastore else set()
    known = storage_rows(ends.replica, ends.away)
    storages = storages or {disk.storage for disk in wire.disks_of(config) if disk.storage in known}
    reasons = [
        *([] if shown.is_quorate else [_NO_QUORUM]),
        *_room(ends, {s for s in storages if s}, size),
        *_rights(ends, [s for s in storages if s], is_shell=False),
    ]
    if reasons:
        return Way(name=RESTORE, is_possible=False, reason="; ".join(reasons), copied_bytes=size)
    return Way(
        name=RESTORE,
        is_possible=True,
        reason="the backup is restored into a new VM; original and replica stay as they are",
        copied_bytes=size,
    )


def _in_place(ends: Ends, shown: Votes) -> Way:
    spec = ends.spec.replica
    if ends.home not in shown.known:
        why = f"{ends.home} and {ends.away} are not nodes of one cluster"
    elif not ssh.is_configured(spec):
        why = "a configuration can be moved over SSH only, and ssh_user, ssh_key_path and ssh_known_hosts_path are not set"
    elif not shown.is_quorate and not shown.is_dead(ends.home):
        why = "the cluster has no quorum, though it sees both nodes"
    else:
        return Way(
            name=IN_PLACE,
            is_possible=True,
            reason="the VM's configuration moves to the replica's disks; the original's stay as they are until"
            " replication runs in the other direction",
        )
    return Way(name=IN_PLACE, is_possible=False, reason=why)


def _ha(ends: Ends, shown: Votes) -> Way:
    if ends.home not in shown.known:
        why = f"{ends.home} and {ends.away} are not nodes of one cluster"
    elif not shown.is_dead(ends.home):
        why = f"HA takes a VM from a dead node only, and {ends.home} lives"
    elif not shown.is_quorate:
        why = "without the dead node the cluster has no quorum (a QDevice would give it one)"
    elif _lacks(ends, "/", ("Sys.Console",)):
        why = "HA needs Sys.Console on /, which this account lacks"
    else:
        return Way(
            name=HA,
            is_possible=True,
            is_opt_in=True,
            reason="Proxmox VE's HA starts it on the replica node, with its network; the dead node must be proven off",
        )
    return Way(name=HA, is_possible=False, is_opt_in=True, reason=why)


# --- what may hinder a copy ------------------------------------------------------------------------------------------


def _missing(ends: Ends, pair: Pair, config: hardware.Config) -> list[str]:
    """Return the disks that are not on the replica node. A storage that cannot be listed counts as complete."""
    found = []
    origin = origin_of(pair)
    for storage in sorted({disk.storage for disk in wire.disks_of(config)}):
        try:
            shown = ends.replica.get(f"/nodes/{ends.away}/storage/{storage}/content", vmid=origin)
        except DrError as error:
            found.append(f"storage {storage} of {ends.away} cannot be listed ({error.why})")
            continue
        there = {str(row.get("volid")) for row in wire.rows_of(shown)}
        found += [
            f"disk {disk.key} ({disk.volume}) is not on {ends.away}"
            for disk in wire.disks_of(config)
            if disk.storage == storage and disk.volume not in there
        ]
    return found


def _room(ends: Ends, storages: set[str], size_bytes: int) -> list[str]:
    known = storage_rows(ends.replica, ends.away)
    found = []
    for storage in sorted(storages):
        row = known.get(storage)
        if row is None:
            found.append(f"{ends.away} has no storage {storage}")
            continue
        free = wire.whole(row.get("maxdisk")) - wire.whole(row.get("disk"))
        if row.get("maxdisk") is not None and free < size_bytes + SPARE_BYTES:
            found.append(
                f"storage {storage} of {ends.away} has {free / 2**30:.1f} GiB free, a full copy needs"
                f" {(size_bytes + SPARE_BYTES) / 2**30:.1f} GiB"
            )
    return found


def _rights(ends: Ends, storages: Sequence[str], *, is_shell: bool) -> list[str]:
    """Return which privileges the account lacks for making VMs. What cannot be asked is not held against it."""
    pool = ends.spec.replica.pool
    places = ["/vms", *([f"/pool/{pool}"] if pool else [])]
    lacks = min((_lacks(ends, place, _MAKE) for place in places), key=len)
    found = [f"the account lacks {', '.join(lacks)} on {' or '.join(places)}"] if lacks else []
    for storage in sorted(set(storages)):
        path = f"/storage/{storage}"
        needed = ("Datastore.AllocateSpace", "Datastore.Allocate") if is_shell else ("Datastore.AllocateSpace",)
        lacks = _lacks(ends, path, needed)
        if lacks:
            found.append(f"the account lacks {', '.join(lacks)} on {path}")
    return found


def _lacks(ends: Ends, path: str, privileges: Sequence[str]) -> list[str]:
    try:
        shown = ends.replica.get("/access/permissions", path=path)
    except DrError:
        return []
    held = shown.get(path) if isinstance(shown, dict) else None
    if not isinstance(held, dict):
        return []
    # The value tells whether it reaches what lies below: of /vms that matters, for the new VM lies there.
    is_above = path == "/vms"
    return [one for one in privileges if one not in held or (is_above and not wire.truth(held[one]))]
