# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery points: the snapshots that a replica keeps, and the newest data that has arrived, which is no snapshot."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet

POINT = "point:"  # before the snapshot's GUID
NEWEST = "newest"
NEWER_BY_S = 1.0  # a snapshot made of the newest data bears nearly the time of its replication
WORDS = {
    "Replica": "recovery point",
    "AppConsistentReplica": "application-consistent recovery point",
    "SyncedReplica": "recovery point of a planned failover",
}


def snapshot_of(point_id: str) -> str:
    """Return the snapshot's GUID of a point; "" for the newest data."""
    return point_id.removeprefix(POINT) if point_id.startswith(POINT) else ""


def points_of(sheet: Sheet, *, offset_s: float = 0.0) -> tuple[RecoveryPoint, ...]:
    """Return what a failover of this VM could go to, oldest first, on our clock. A VM that is no replica has none."""
    relation = sheet.relation
    if relation is None or not relation.is_replica:
        return ()
    found = [
        RecoveryPoint(
            id=f"{POINT}{one.id}",
            name=f"{WORDS.get(one.type, 'recovery point')} {one.name}".strip(),
            created_at_s=one.created_at_s - offset_s,
        )
        for one in sheet.recovery_points()
    ]
    if relation.last_at_s is not None:
        newest_s = relation.last_at_s - offset_s
        if not found or newest_s - max(point.created_at_s for point in found) > NEWER_BY_S:
            found.append(RecoveryPoint(id=NEWEST, name="newest data received", created_at_s=newest_s))
    return tuple(sorted(found, key=lambda point: point.created_at_s))
