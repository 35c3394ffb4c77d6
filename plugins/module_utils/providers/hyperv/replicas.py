# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both copies of every VM in our words. Hyper-V gives both one GUID, so an id of ours names a line of data.

At rest the production copy is ``<guid>`` and its replica ``replica:<guid>``. The stamp of a way (MODE) stays with the line that was
promoted: the VM that bears it is ``replica:<guid>`` on whichever host it is, whatever the roles of its replication are by then, and the
one that was left behind is ``<guid>``, fenced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Guest,
    Heartbeat,
    Nic,
    Power,
    ReplicaKind,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import points, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet, Survey


def is_line(sheet: Sheet, other: Sheet | None) -> bool:
    """Tell whether this VM is the replica's line of data; ``other`` is the VM of the same GUID on the other host, where seen."""
    mine, its = stamps.MODE in sheet.stamps, other is not None and stamps.MODE in other.stamps
    if mine and its and other is not None:
        # Killed on the way home: both bear it, and one of them serves
        if (sheet.replication_state in wire.FAILED_OVER) != (other.replication_state in wire.FAILED_OVER):
            return sheet.replication_state in wire.FAILED_OVER
        return sheet.mode == "Primary" and other.mode != "Primary"
    if mine or its:
        return mine
    if stamps.FENCED in sheet.stamps:
        return False  # its promoted counterpart is on a host that does not answer
    if _is_failed_over_replica(other) and sheet.replication_state not in wire.FAILED_OVER:
        return False  # made a replica by a person (-AsReplica), on the way to a reversal
    return sheet.relation is not None and sheet.relation.is_replica


def _is_failed_over_replica(other: Sheet | None) -> bool:
    return (
        other is not None
        and other.relation is not None
        and other.relation.is_replica
        and other.replication_state in wire.FAILED_OVER
    )


def id_of(sheet: Sheet, other: Sheet | None) -> str:
    return f"{wire.REPLICA_ID}{sheet.id}" if is_line(sheet, other) else sheet.id


def to_vm(sheet: Sheet, *, vm_id: str, host: str, names: tuple[str, ...], offset_s: float) -> Vm:
    """Return one VM as the core sees it. ``names`` are all that its host is called; recovery points are on our clock."""
    heartbeat, tools = wire.to_heartbeat(sheet.heartbeat)
    if heartbeat is Heartbeat.GREEN and "Degraded" in sheet.status:
        heartbeat = Heartbeat.YELLOW
    power, marks = sheet.power, sheet.stamps
    is_on = power is Power.ON
    point = marks.get(stamps.POINT)
    return Vm(
        id=vm_id,
        handle=sheet.id,
        name=sheet.name,
        host=host,
        power=power,
        # What was not read proves nothing: least of all a VM without NICs
        connection=Connection.INACCESSIBLE if sheet.unread else wire.to_connection(sheet.state, sheet.status),
        nics=tuple(
            Nic(
                key=nic.id,
                label=nic.name,
                network=nic.switch,
                mac=nic.mac,
                is_connected=bool(nic.switch),
                starts_connected=bool(nic.switch),
            )
            for nic in sheet.nics
        ),
        guest=Guest(
            heartbeat=heartbeat if is_on else Heartbeat.GREY,
            tools=tools,
            boot_at_s=sheet.read_at_s - sheet.uptime_s if is_on and sheet.uptime_s > 0 else None,
            addresses=tuple(address for nic in sheet.nics for address in nic.addresses),
        ),
        memory_bytes=sheet.memory_bytes,
        cpu_count=sheet.cpu_count,
        disk_bytes=sum(sheet.disks.values()),
        datastores=tuple(dict.fromkeys(volume for path in (*sheet.disks, sheet.path) if (volume := volume_of(path)))),
        points=points.points_of(sheet, offset_s=offset_s),
        current_point=point,
        stamps=marks,
        replica_kind=ReplicaKind.PAIRED if vm_id.startswith(wire.REPLICA_ID) else None,
        has_autostart=sheet.autostart != NO_AUTOSTART,
        has_ha=sheet.is_clustered,
        guest_ids=tuple(f"{sheet.id}@{name}" for name in names),
    )


def vms_of(here: Survey, there: Survey | None) -> tuple[Vm, ...]:
    """Return the VMs of one host; the other host's, where it was read, tell what a line of data is."""
    others: Mapping[str, Sheet] = {sheet.id: sheet for sheet in there.sheets} if there is not None else {}
    return tuple(
        to_vm(
            sheet,
            vm_id=id_of(sheet, others.get(sheet.id)),
            host=here.name,
            names=here.names,
            offset_s=skew_s(here.offset_s),
        )
        for sheet in here.sheets
    )


def again(sheet: Sheet, vm: Vm, *, names: tuple[str, ...], offset_s: float) -> Vm:
    """Return one VM that was read by itself: stamps tell its line, without any it keeps the one it was read with."""
    marked = stamps.MODE in sheet.stamps or stamps.FENCED in sheet.stamps
    vm_id = id_of(sheet, None) if marked and vm.id.removeprefix(wire.REPLICA_ID) == sheet.id else vm.id
    known = tuple(one.partition("@")[2] for one in vm.guest_ids) or names
    fresh = to_vm(sheet, vm_id=vm_id, host=vm.host, names=known, offset_s=skew_s(offset_s))
    return replace(fresh, remembered=vm.remembered)


def skew_s(offset_s: float) -> float:
    """Return how far a clock is off; less than two seconds is the call's own duration."""
    return offset_s if abs(offset_s) > 2.0 else 0.0


def volume_of(path: str) -> str:
    """Return the volume that a path lies on: C:, or the share of a file server."""
    if path.startswith("\\\\"):
        parts = path.lstrip("\\").split("\\")
        return f"\\\\{parts[0]}\\{parts[1]}" if len(parts) > 1 else ""
    return path[:2].upper() if path[1:2] == ":" else ""
