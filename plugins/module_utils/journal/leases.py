# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may work on a VM (semantics.md, invariant 9): the rule, without the database."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from ansible_collections.ferragosto.dr.plugins.module_utils.core.owner import Owner

IsRunning = Callable[[int, str], bool]


class Claim(StrEnum):
    """How a lease stands towards the one who asks."""

    FREE = "free"
    OURS = "ours"
    GONE = "its process is gone"
    REBOOTED = "its host was rebooted"
    EXPIRED = "it expired"
    HELD = "held"

    @property
    def is_takeover(self) -> bool:
        return self in (Claim.GONE, Claim.REBOOTED, Claim.EXPIRED)


def judge(held_by: Owner | None, asker: Owner, *, expires_at_s: float, now_s: float, is_running: IsRunning) -> Claim:
    """Decide what ``asker`` may do with a lease; times are of one clock."""
    if held_by is None:
        return Claim.FREE
    if is_same_controller(held_by, asker):
        return Claim.OURS
    if held_by.host == asker.host:
        if held_by.boot_id != asker.boot_id:
            return Claim.REBOOTED
        # Ctrl-C: the controller dies first, its module may be in the middle of a call for a moment longer.
        if not _lives(held_by, is_running):
            return Claim.GONE
    return Claim.EXPIRED if now_s >= expires_at_s else Claim.HELD


def is_same_controller(one: Owner, other: Owner) -> bool:
    """Compare all but the worker, which is another process in every task."""
    return _controller(one) == _controller(other)


def owner_dict(owner: Owner) -> dict[str, str | int]:
    return {
        "host": owner.host,
        "boot_id": owner.boot_id,
        "pid": owner.pid,
        "started": owner.started,
        "worker_pid": owner.worker_pid,
        "worker_started": owner.worker_started,
    }


def _controller(owner: Owner) -> tuple[str, str, int, str]:
    return (owner.host, owner.boot_id, owner.pid, owner.started)


def _lives(owner: Owner, is_running: IsRunning) -> bool:
    if is_running(owner.pid, owner.started):
        return True
    return owner.worker_pid > 0 and is_running(owner.worker_pid, owner.worker_started)
