# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery points: which one to promote, and what promoting it would lose."""

from __future__ import annotations

import typing as t
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, NotReplicated
from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Loss
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import PointKind, RecoveryPoint, ReplicaKind, Vm

# "latest", {"before": seconds since the epoch} or {"id": a point's id}
Choice: t.TypeAlias = t.Union[str, Mapping[str, t.Union[float, str]]]

_CHOICES = "write 'latest', {before: seconds since 1970} or {id: the point's id}"
FOREIGN = {  # only their own product brings these up
    ReplicaKind.VSPHERE_REPLICATION: (
        "it is a target of vSphere Replication, whose disks must not be registered or powered on by hand",
        "recover it with vSphere Replication itself (Run Disaster Recovery), then adopt it here",
    ),
    ReplicaKind.CDP: (
        "it is a target of continuous data protection: its points are known to that product only",
        "fail over in that product's console, then adopt it here",
    ),
}


def require_promotable(replica: Vm) -> None:
    """Raise NotReplicated for a target that only its own product can bring up, or one that holds no recovery point."""
    if replica.replica_kind in FOREIGN:
        why, step = FOREIGN[replica.replica_kind]
        raise NotReplicated(what=f"promote {replica.name}", why=why, next=step)
    if not replica.vendor_points():
        raise _no_point(f"promote {replica.name}")


def choose_point(points: Iterable[RecoveryPoint], choice: Choice) -> RecoveryPoint:
    """Choose among the vendor's points, never ours: the newest, the newest before a time, or the one of an id."""
    vendor = sorted((p for p in points if p.kind is PointKind.VENDOR), key=lambda p: p.created_at_s)
    if not vendor:
        raise _no_point("choose a recovery point")
    if isinstance(choice, str):
        if choice == "latest":
            return vendor[-1]
        raise _bad(choice, "is not a known choice", _CHOICES)
    if len(choice) != 1 or next(iter(choice)) not in ("before", "id"):
        raise _bad(dict(choice), "is not a known choice", _CHOICES)
    ((kind, value),) = choice.items()
    if kind == "id":
        return _by_id(vendor, str(value))
    return _before(vendor, value)


def loss(point: RecoveryPoint, *, fault_at_s: float | None, now_s: float, rpo_s: float) -> Loss:
    """Tell what promoting the point would lose: all that was written between it and the fault (or now, if unknown)."""
    lost_s = max(0.0, (now_s if fault_at_s is None else fault_at_s) - point.created_at_s)
    return Loss(point=point, age_s=max(0.0, now_s - point.created_at_s), lost_s=lost_s, is_within_rpo=lost_s <= rpo_s)


def alarm_new_vendor_point(points: Iterable[RecoveryPoint], promoted_at_s: float) -> str | None:
    """Return the alarm when the vendor's job still runs: its next run could roll the promoted replica back."""
    newer = [p for p in points if p.kind is PointKind.VENDOR and p.created_at_s > promoted_at_s]
    if not newer:
        return None
    newest = max(newer, key=lambda p: p.created_at_s)
    return (
        f"the replication job still runs: it made the recovery point {newest.name!r} at {_when(newest.created_at_s)}, "
        "after the promotion; disable the job now, its next run could roll the promoted replica back"
    )


def _before(vendor: Sequence[RecoveryPoint], value: float | str) -> RecoveryPoint:
    # At the very second counts as after: whoever names a time wants what was before the damage.
    if isinstance(value, (bool, str)):
        raise _bad({"before": value}, "is not a time", _CHOICES)
    older = [p for p in vendor if p.created_at_s < value]
    if not older:
        raise _bad({"before": value}, f"is older than every point; the oldest is {_say(vendor[0])}", _listed(vendor))
    return older[-1]


def _by_id(vendor: Sequence[RecoveryPoint], wanted: str) -> RecoveryPoint:
    found = next((p for p in vendor if p.id == wanted), None)
    if found is None:
        raise _bad({"id": wanted}, "is not the id of a recovery point of this replica", _listed(vendor))
    return found


def _listed(vendor: Sequence[RecoveryPoint]) -> str:
    newest = [_say(p) for p in reversed(vendor[-5:])]
    return f"choose one of the {len(vendor)} there are, newest first: {', '.join(newest)}"


def _bad(choice: object, why: str, step: str) -> BadInput:
    return BadInput(what="choose a recovery point", why=f"{choice!r} {why}", next=step)


def _no_point(what: str) -> NotReplicated:
    return NotReplicated(
        what=what,
        why="the replica holds no recovery point of the replication product",
        next="let the replication job run once, or restore from a backup",
    )


def _say(point: RecoveryPoint) -> str:
    return f"{point.id} ({point.name!r}, {_when(point.created_at_s)})"


def _when(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
