# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How old the replica of a dead node's VM is: no API tells, but the name of its snapshot on the replica node does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import EndpointReading, RecoveryPoint, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.points import JOB_POINT
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.replicas import vmid_of
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ssh import NodeShell

# Made by each run and kept until the next has succeeded: __replicate_<vmid>-<number>_<seconds since the epoch>__
_REPLICATED = re.compile(r"@__replicate_((\d+)-\d+)_(\d+)__$")


def with_snapshots(end: EndpointReading, spec: EndpointSpec) -> EndpointReading:
    """Put in the points of replicas whose own node cannot tell them, by one command on the replica node.

    What fails is said in the note: the journal may know older ones.
    """
    try:
        seen = _points(name for name, _made_at_s in NodeShell(spec).snapshots())
    except DrError as error:
        vms = [replace(vm, points_note=f"{vm.points_note}; {error.why}") if vm.points_note else vm for vm in end.vms]
        return replace(end, vms=tuple(vms))
    return replace(end, vms=tuple(_aged(vm, seen) for vm in end.vms))


def _points(names: Iterable[str]) -> dict[int, RecoveryPoint]:
    """Return the newest point of each VM."""
    found: dict[int, RecoveryPoint] = {}
    for name in names:
        match = _REPLICATED.search(name)
        if match is None:
            continue
        job, vmid, made_at_s = match[1], int(match[2]), float(match[3])
        if vmid not in found or found[vmid].created_at_s < made_at_s:
            point_id = f"{JOB_POINT}{job}@{made_at_s:.0f}"
            found[vmid] = RecoveryPoint(id=point_id, name=f"replication {job}", created_at_s=made_at_s)
    return found


def _aged(vm: Vm, seen: dict[int, RecoveryPoint]) -> Vm:
    point = seen.get(vmid_of(vm)) if vm.points_note else None
    if point is None:
        return vm
    every = sorted({p.id: p for p in (*vm.points, point)}.values(), key=lambda p: p.created_at_s)
    return replace(vm, points=tuple(every), points_note="")
