# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that acts on Proxmox VE, as ``shared.acting_site.Hands`` wants it."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.fence import fence, unfence
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.migrate import end_migration, migrate
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.power import power_off, power_on, reset
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promote import promote
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.replication import set_replication
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.settle import commit, undo_promotion

__all__ = (
    "commit",
    "end_migration",
    "fence",
    "migrate",
    "power_off",
    "power_on",
    "promote",
    "reset",
    "set_replication",
    "undo_promotion",
    "unfence",
)
