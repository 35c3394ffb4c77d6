# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of a promoted guest that does not come up."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome, GuestWait
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN


def not_alive(target: str, wait: GuestWait, *, older: str, who: str, unblock: str) -> ProviderFault:
    """Return the error. ``older`` is how to take another point, ``who`` where it is told who turned a VM off."""
    moves = {
        GuestOutcome.CRASHED: older,
        GuestOutcome.POWERED_OFF: f"{who}; if it was the guest, {older}",
        GuestOutcome.BLOCKED: f"{unblock}, {AGAIN}",
        GuestOutcome.TIMED_OUT: f"look at its console: if it still boots, {RUN_AGAIN}; if it hangs, {older}",
    }
    return ProviderFault(
        what=f"see the guest of {target} alive",
        why=f"{wait.outcome} after {wait.took_s:.0f} s: {wait.evidence}",
        next=moves[wait.outcome],
    )
