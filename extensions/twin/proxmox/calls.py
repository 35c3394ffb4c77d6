# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings all API calls into the route table."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.extensions.twin.proxmox import (
    calls_agent,
    calls_bulk,
    calls_cluster,
    calls_guests,
    calls_ha,
    calls_power,
    calls_replication,
    calls_snapshots,
    calls_storage,
    calls_tasks,
    cloning,
    migration,
)

PARTS = (
    calls_agent,
    calls_bulk,
    calls_cluster,
    calls_guests,
    calls_ha,
    calls_power,
    calls_replication,
    calls_snapshots,
    calls_storage,
    calls_tasks,
    cloning,
    migration,
)
