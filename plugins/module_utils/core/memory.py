# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is noted in the journal while a host lives, because a dead one takes it along: names, recovery points, configuration.

On Proxmox VE only the node that owns a guest knows when it was last replicated and how it is configured.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import iso
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Pair,
    PointKind,
    RecoveryPoint,
    ReplicaKind,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Journal
from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve
from ansible_collections.ferragosto.dr.plugins.module_utils.core.runs import Run

PRODUCTION = "production"  # observations, under the VM's key
POINTS = "replica_points"


def find_pair(
    journal: Journal,
    vm_key: str,
    reading: SiteReading,
    run: Run | None,
    *,
    vm: str,
    replica: Mapping[str, object] | None,
    isolated: Iterable[str],
    noted_at_s: float | None = None,
) -> tuple[SiteReading, Pair]:
    """Find both copies of a VM in a reading, with what the journal knows of the VM and of its open run.

    Return the reading as well: a VM of a dead host has got its name in it. ``noted_at_s`` set: what is seen now is noted.
    """
    reading = name_unnamed(journal, vm_key, reading)
    pair = resolve(
        reading,
        vm=vm,
        replica=replica,
        known_ids=run.ids if run is not None else None,
        known_runs=run.stamped_as if run is not None else (),
        isolated=isolated,
    )
    if noted_at_s is not None:
        remember(journal, vm_key, pair, at_s=noted_at_s)
    return reading, recall(journal, vm_key, pair)


def remember(journal: Journal, vm_key: str, pair: Pair, *, at_s: float) -> None:
    """Note what is seen now and could not be read from a dead host."""
    production, replica = pair.production, pair.replica
    if production is not None and _is_itself(production):
        value = {"id": production.id, "name": production.name, "remembered": dict(production.remembered)}
        journal.observe(vm_key, PRODUCTION, value, at_s=at_s)
    if replica is not None and replica.replica_kind is ReplicaKind.VOLUMES and not replica.points_note:
        points = [{"id": p.id, "name": p.name, "created_at_s": p.created_at_s} for p in replica.points]
        journal.observe(vm_key, POINTS, points, at_s=at_s)


def name_unnamed(journal: Journal, vm_key: str, reading: SiteReading) -> SiteReading:
    """Give a VM whose host is dead, and which is therefore shown without a name, the name it was last seen with."""
    if not any(not vm.name for end in reading.endpoints() for vm in end.vms):
        return reading
    noted = journal.observation(vm_key, PRODUCTION)
    if noted is None:
        return reading
    known = {str(noted.value["id"]): str(noted.value["name"])}
    return replace(reading, production=_named(reading.production, known), replica=_named(reading.replica, known))


def recall(journal: Journal, vm_key: str, pair: Pair) -> Pair:
    """Put in what was last known of the pair where it cannot be read now, with its age."""
    production, replica = pair.production, pair.replica
    if production is not None and not production.remembered:
        noted = journal.observation(vm_key, PRODUCTION)
        if noted is not None and noted.value["id"] == production.id:
            production = replace(production, remembered=dict(noted.value["remembered"]))
    if replica is not None and replica.points_note:
        points = journal.observation(vm_key, POINTS)
        if points is not None:
            note = f"{replica.points_note}; known as of {iso(points.last_at_s)}"
            seen = {p.id for p in replica.points}
            kept = [_point(one) for one in points.value if one["id"] not in seen]
            every = sorted([*replica.points, *kept], key=lambda p: p.created_at_s)
            replica = replace(replica, points=tuple(every), points_note=note)
    return replace(pair, production=production, replica=replica)


def _is_itself(vm: Vm) -> bool:
    """Tell whether this is a VM that its own host shows, not one of last known values nor the leftover of a promotion."""
    return bool(
        vm.handle
        and vm.name
        and vm.remembered
        and vm.connection is Connection.CONNECTED
        and stamps.RUN not in vm.stamps
    )


def _named(end: EndpointReading, known: Mapping[str, str]) -> EndpointReading:
    return replace(end, vms=tuple(vm if vm.name else replace(vm, name=_name(vm, known)) for vm in end.vms))


def _name(vm: Vm, known: Mapping[str, str]) -> str:
    # The disks of a replica bear the id of their VM: replica:<id>.
    return known.get(vm.id) or known.get(vm.id.partition(":")[2], "")


def _point(noted: Mapping[str, t.Any]) -> RecoveryPoint:
    return RecoveryPoint(
        id=str(noted["id"]),
        name=str(noted["name"]),
        created_at_s=float(noted["created_at_s"]),
        kind=PointKind.VENDOR,
    )
