# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Import this to have every cmdlet of the fleet registered."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import (
    cmdlets_cim,
    cmdlets_devices,
    cmdlets_failover,
    cmdlets_machines,
    cmdlets_replication,
    cmdlets_windows,
)

MODULES = (
    cmdlets_machines,
    cmdlets_devices,
    cmdlets_replication,
    cmdlets_failover,
    cmdlets_windows,
    cmdlets_cim,
)
