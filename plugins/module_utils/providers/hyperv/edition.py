# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this platform cannot do, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

LIVE = (
    "a live migration between hosts that are in no cluster needs delegation or CredSSP for the second hop, which nothing here has"
    " proven; replication brings the VM home with one shutdown"
)


def refusals() -> Mapping[str, str]:
    """Return what cannot be done, by operation: a VM goes home by replication, planned, and so with downtime."""
    return {"migrate_live": LIVE}
