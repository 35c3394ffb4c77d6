# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery points: the one that storage replication keeps, backups, and the one that a promoted copy bears as its stamp."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.survey import Job
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.wire import Row, number, whole

JOB_POINT = "pvesr:"
BACKUP_POINT = "backup:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    vmid: int
    volume: str  # "pbs:backup/vm/100/2026-08-15T02:00:00Z"
    made_at_s: float
    size_bytes: int
    notes: str
    is_sound: bool  # false: its storage verified it, and it failed


def job_point(job: Job) -> tuple[RecoveryPoint, ...]:
    """Return the one point in time that storage replication keeps, if it ever ran."""
    if job.last_sync_at_s is None:
        return ()
    return (
        RecoveryPoint(
            id=f"{JOB_POINT}{job.id}@{job.last_sync_at_s:.0f}",
            name=f"replication {job.id}",
            created_at_s=job.last_sync_at_s,
        ),
    )


def to_backups(rows: Iterable[Row]) -> list[Backup]:
    """Return the backups of VMs in a storage's content."""
    found = []
    for row in rows:
        volume = str(row.get("volid") or "")
        is_vm = "/vm/" in volume or "vzdump-qemu-" in volume or row.get("subtype") == "qemu"
        if not is_vm or row.get("content", "backup") != "backup":
            continue
        verified = row.get("verification")
        found.append(
            Backup(
                vmid=whole(row.get("vmid")) or vmid_of_point(f"{BACKUP_POINT}{volume}"),
                volume=volume,
                made_at_s=number(row.get("ctime")),
                size_bytes=whole(row.get("size")),
                notes=str(row.get("notes") or ""),
                is_sound=not (isinstance(verified, dict) and verified.get("state") == "failed"),
            )
        )
    return found


def backup_points(backups: Iterable[Backup]) -> tuple[RecoveryPoint, ...]:
    return tuple(
        RecoveryPoint(id=f"{BACKUP_POINT}{b.volume}", name=b.volume, created_at_s=b.made_at_s)
        for b in backups
        if b.is_sound
    )


def vmid_of_point(point_id: str) -> int:
    """Return which VM a recovery point is of: its id bears the VM's; 0 when it does not."""
    found = re.match(r"pvesr:(\d+)-", point_id) or re.search(r"/vm/(\d+)/|vzdump-qemu-(\d+)-", point_id)
    return int(next(group for group in found.groups() if group)) if found else 0


def stamped_point(point_id: str) -> RecoveryPoint | None:
    """Return the point that an id names, as far as the id tells: its own storage may have forgotten it meanwhile."""
    if job := re.fullmatch(r"pvesr:(.+)@(\d+)", point_id):
        return RecoveryPoint(id=point_id, name=f"replication {job[1]}", created_at_s=float(job[2]))
    made = re.search(r"(\d{4})[-_](\d\d)[-_](\d\d)[T-](\d\d)[:_](\d\d)[:_](\d\d)", point_id)
    if not point_id.startswith(BACKUP_POINT) or made is None:
        return None
    # Of a vzdump file the time is its node's own, whose zone is not told: within a day is what there is
    year, month, day, hour, minute, second = (int(group) for group in made.groups())
    at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return RecoveryPoint(id=point_id, name=point_id.removeprefix(BACKUP_POINT), created_at_s=at.timestamp())
