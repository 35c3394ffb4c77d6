# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HA manager."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter


class HaManager:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter = datacenter
        self.resources: dict[str, t.Any] = {}

    def manages(self, vmid: int) -> bool:
        return f"vm:{vmid}" in self.resources

    def has_services_on(self, node: str) -> bool:
        return False

    def tick(self) -> None:
        """Nothing is managed yet."""

    def next_due_s(self) -> float | None:
        return None
