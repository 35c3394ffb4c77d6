# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and replies against the machine-readable schema of Proxmox VE."""

from __future__ import annotations

import typing as t


class Schema:
    """One version of the schema."""

    def request(self, method: str, template: str, params: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the parameters with their types; raises PveError 400 as PVE does."""
        return params

    def reply(self, method: str, template: str, data: t.Any) -> None:
        """Note what does not fit."""
