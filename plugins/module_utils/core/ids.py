# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names that we give: keys of VMs in the journal, ids of runs."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def vm_key(site: str, vm: str) -> str:
    """Return the journal's key of a protected VM: the site's and the inventory's own words."""
    return f"{site}/{vm}"


def new_run_id(now_s: float) -> str:
    """Return an id that sorts by time and is unique: ``20260815T021400Z-1f3a9c``."""
    return f"{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
