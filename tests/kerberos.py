# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine has what the Kerberos tests need: `make pytest` says it in DR_KERBEROS, a folder or the reason for none."""

from __future__ import annotations

import os
from pathlib import Path

_SAID = os.environ.get("DR_KERBEROS", "")
HOME = Path(_SAID or "/nonexistent")


def why_not() -> str:
    """Say why there is no Kerberos here; the empty string where there is."""
    if (HOME / "root").is_dir() and (HOME / "python").is_dir():
        return ""
    return _SAID or "DR_KERBEROS names no folder made by tools/get_kerberos.py: run `make pytest`"
