# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The health of a relationship: a statistic of the past, while its state is the present."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint

# MicrosoftDocs and the product team's blog name: paused, failover pending, initial replication pending, more than a fifth
# of the cycles missed, more than an hour behind. The rest is inferred.
_CRITICAL = ("Error", "WaitingForStartResynchronize", "ResynchronizeSuspended", "UpdateError")
_WARNING = (
    "ReadyForInitialReplication",
    "InitialReplicationInProgress",
    "WaitingForInitialReplication",
    "FailedOverWaitingCompletion",
    "FailedOver",
    "Suspended",
    "Resynchronizing",
    "RecoveryInProgress",
)
_MISSED_SHARE, _BEHIND_S = 0.2, 3600.0


def missed(end: Endpoint, now_s: float) -> int:
    """Count the cycles missed in the window, those that should have come since the last one too."""
    if end.last_replication_s is None:
        return end.misses
    overdue = int((now_s - end.last_replication_s) // end.frequency_s) - 1
    return max(end.misses, overdue, 0)


def health(end: Endpoint | None, now_s: float) -> tuple[str, list[str]]:
    """Give the VMReplicationHealthState, and the message keys of its details."""
    if end is None or end.mode in ("None", "TestReplica"):
        return "NotApplicable", []
    if end.state in _CRITICAL:
        return "Critical", ["health_stopped"]
    if end.state in _WARNING:
        return "Warning", ["health_waiting"]
    if end.state == "PreparedForFailover":
        return "Normal", []
    if end.last_replication_s is None or now_s - end.last_replication_s > _BEHIND_S:
        return "Warning", ["health_behind"]
    gone = missed(end, now_s)
    if gone > _MISSED_SHARE * max(1, gone + end.successes):
        return "Warning", ["health_missed"]
    return "Normal", []
