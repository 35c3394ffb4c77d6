# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ids for new VMs, while others may be making VMs too: a whole site that fails over asks for them all at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    active_tasks,
    await_running,
    rows,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import shells_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import Promotion

CANDIDATES = 1000
COLLISIONS = 20  # so many others may be quicker than we are
_ARCHIVE = re.compile(r"(?:\bvm/|vzdump-qemu-)(\d+)[/-]")


def new_vmids(p: Promotion, count: int, taken: Iterable[int] = ()) -> list[int]:
    """Return ids that no VM has, the wished one first; never the protected VM's own, under which its backups are filed."""
    client = p.client
    used = {*taken, p.origin}
    for row in rows(client):
        used.add(row.vmid)
        used.add(wire.whole(row.stamps.get(tags.SHELL)))  # the clone that another's shell is for
    start = wire.whole(client.get("/cluster/nextid"))
    found = _wished(p, used)
    for vmid in range(start, start + CANDIDATES):
        if len(found) == count:
            return found
        if vmid not in used and vmid not in found and _is_free(client, vmid):
            found.append(vmid)
    raise Refused(
        what="find free ids for new VMs",
        why=f"none is free from {start} on",
        next="widen the range of ids (Datacenter > Options > Next Free VMID Range)",
    )


def require_wished(p: Promotion) -> None:
    """Raise for a wished id that cannot be had, before anything is touched."""
    if p.promoted_id and p.copy() is None and not shells_of(p.found()):
        _wished(p, {p.origin, *(row.vmid for row in rows(p.client))})


def until_free(p: Promotion, make: Callable[[], None], choose_again: Callable[[], None]) -> None:
    """Make a VM; where its id was taken since it was chosen, choose again. An id that a person wished is not given up."""
    for left in reversed(range(COLLISIONS)):
        try:
            make()
            return
        except VendorFault as fault:
            if fault.kind is not Kind.EXISTS or p.promoted_id or not left:
                raise
        choose_again()


def outlast_unnamed(p: Promotion, kind: str, *, within_s: float) -> None:
    """Wait for tasks that may be ours, asked for by a controller that was killed: what they make bears no tag yet.

    Those of other VMs, which may fail over at the same time, are told by what they make or by their log.
    """
    node = p.ends.away
    for upid in active_tasks(p.client, node, (kind,)):
        if not _is_of_another(p, node, upid):
            await_running(p.client, node, upid, (kind,), within_s=within_s)


def _is_of_another(p: Promotion, node: str, upid: str) -> bool:
    vmid = wire.whole(upid.split(":")[6])
    row = next((row for row in rows(p.client) if row.vmid == vmid), None)
    if row is not None and row.stamps.get(stamps.RUN, p.run_id) != p.run_id:
        return True
    try:
        log = p.client.get(f"/nodes/{node}/tasks/{upid}/log", limit=50)
    except DrError:
        return False
    named = {int(found) for line in wire.rows_of(log) for found in _ARCHIVE.findall(str(line.get("t")))}
    return bool(named) and p.origin not in named


def _wished(p: Promotion, used: set[int]) -> list[int]:
    if not p.promoted_id:
        return []
    is_number = p.promoted_id.isdecimal() and 100 <= int(p.promoted_id) <= 999_999_999
    if is_number and int(p.promoted_id) not in used and _is_free(p.client, int(p.promoted_id)):
        return [int(p.promoted_id)]
    raise BadInput(
        what=f"{p.what} as VM {p.promoted_id}",
        why="a guest has this id already" if is_number else "it is not the id of a VM: a number from 100 on",
        next="choose a free number for dr_promoted_id, or leave it to Proxmox VE",
    )


def _is_free(client: Client, vmid: int) -> bool:
    try:
        client.get("/cluster/nextid", vmid=vmid)
    except VendorFault as fault:
        if fault.kind not in (Kind.BAD_PARAMETER, Kind.EXISTS):
            raise
        return False  # a container's, or a guest's that this account may not see
    return True
