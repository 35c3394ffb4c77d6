# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replica is worth: its points and what each loses, where it drifted from production, and what must alarm a person."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.plugins.module_utils.core import points, runs, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.clock import Mark
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Loss
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, ReplicaKind
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import State
from ansible_collections.ferragosto.dr.plugins.module_utils.uses.examine import PROMOTED, Subject


def losses(one: Subject, *, now_s: float) -> list[Loss]:
    """Return the vendor's points, newest first, each with what promoting it would lose."""
    if one.pair.replica is None:
        return []
    fault_at_s, rpo_s = one.diagnosis.fault_at_s, one.item.contract.rpo_s
    return [
        points.loss(point, fault_at_s=fault_at_s, now_s=now_s, rpo_s=rpo_s)
        for point in reversed(one.pair.replica.vendor_points())
    ]


def alarms(one: Subject) -> list[str]:
    """Return what a person must look at although nobody asked."""
    found: list[str] = []
    production, replica = one.pair.production, one.pair.replica
    promoted_at_s = _promoted_at_s(one)
    if replica is not None and promoted_at_s is not None:
        alarm = points.alarm_new_vendor_point(replica.points, promoted_at_s)
        found += [alarm] if alarm else []
    if one.state.state in PROMOTED and production is not None:
        if production.power is Power.ON:
            found.append(f"the production copy came back powered on at {production.host}: fence it")
        elif not production.stamps.get(stamps.FENCED):
            found.append(
                "the production copy is not fenced yet: fence it (module vm_fence), so that it cannot start by itself"
            )
    if one.state.state is State.SPLIT_BRAIN:
        found.append(f"SPLIT BRAIN: {one.state.reason}")
    return found


def facts(one: Subject, *, now_s: float) -> dict[str, t.Any]:
    """Return the replica as ``replica_info`` shows it."""
    replica = one.pair.replica
    return {
        "state": one.state.state.value,
        "reason": one.state.reason,
        "legal": list(one.state.legal()),
        "id": replica.id if replica is not None else None,
        "name": replica.name if replica is not None else None,
        "host": replica.host if replica is not None else None,
        "power": replica.power.value if replica is not None else None,
        "recovery_points": [
            {
                "id": loss.point.id,
                "name": loss.point.name,
                "created_at_s": loss.point.created_at_s,
                "age_s": round(loss.age_s, 3),
                "lost_s": round(loss.lost_s, 3),
                "is_within_rpo": loss.is_within_rpo,
            }
            for loss in losses(one, now_s=now_s)
        ],
        "drift": _drift(one),
        "alarms": alarms(one),
        "read_at_s": one.reading.replica.read_at_s,
    }


def _drift(one: Subject) -> list[dict[str, t.Any]]:
    """Return where the shape of the replica differs from the production copy: it was replicated before a change."""
    production, replica = one.pair.production, one.pair.replica
    if production is None or replica is None or replica.replica_kind is ReplicaKind.VOLUMES:
        return []  # disks alone have no shape of their own: they run in the production copy's
    shapes: list[tuple[str, t.Any, t.Any]] = [
        ("memory_bytes", production.memory_bytes, replica.memory_bytes),
        ("cpu_count", production.cpu_count, replica.cpu_count),
        ("nics", len(production.nics), len(replica.nics)),
    ]
    if replica.replica_kind is not ReplicaKind.PAIRED:  # whose NICs wait unconnected for its promotion, as they should
        here, there = (sorted(n.network for n in vm.nics) for vm in (production, replica))
        shapes.append(("networks", here, there))
    return [{"what": what, "production": here, "replica": there} for what, here, there in shapes if here != there]


def _promoted_at_s(one: Subject) -> float | None:
    replica = one.pair.replica
    if replica is None or one.state.state not in PROMOTED:
        return None
    run = runs.read_run(one.records, replica.stamps.get(stamps.RUN, ""))
    return run.marks.get(Mark.REPLICA_ON) if run is not None else None
