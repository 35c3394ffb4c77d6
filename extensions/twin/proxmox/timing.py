# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a Proxmox VE site takes for what it does, in seconds of the world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PveTiming:
    start_s: float = 1.5  # from the call until QEMU runs; the guest's boot comes after
    stop_s: float = 0.5
    config_s: float = 0.2  # creating, deleting and the like
    shutdown_timeout_s: float = 60.0
    clone_bytes_s: float = 400 * 2**20
    restore_bytes_s: float = 120 * 2**20
    live_restore_start_s: float = 3.0
    backup_bytes_s: float = 300 * 2**20
    replicate_s: float = 3.0  # one incremental run
    migrate_s: float = 6.0  # to a replica target, last sync included
    snapshot_s: float = 0.5
    copy_s_at_most: float = 1e9  # cuts the time of every full copy, for labs in a hurry
    lock_wait_s: float = 10.0  # cfs-lock without quorum
    no_route_s: float = 1.5  # a proxied call to a dead node
    agent_timeout_s: float = 3.0  # guest-ping to a silent agent
    scheduler_s: float = 60.0  # pvescheduler looks for due replication jobs
    ha_round_s: float = 10.0  # CRM and LRM
    ha_fence_s: float = 60.0  # a lost node's lock runs out; its watchdog has fired by then
    vnc_wait_s: float = 10.0  # vncproxy waits so long for its websocket
    boot_of_node_s: float = 0.0  # from power to the start of the onboot guests

    @classmethod
    def fast(cls) -> PveTiming:
        return cls(
            start_s=0.1,
            stop_s=0.05,
            config_s=0.02,
            shutdown_timeout_s=5.0,
            live_restore_start_s=0.1,
            replicate_s=0.2,
            migrate_s=0.4,
            snapshot_s=0.05,
            copy_s_at_most=0.5,
            lock_wait_s=1.0,
            no_route_s=0.1,
            agent_timeout_s=0.2,
            scheduler_s=0.3,
            ha_round_s=0.2,
            ha_fence_s=1.0,
        )

    def copying_s(self, size_bytes: float, bytes_s: float) -> float:
        return min(size_bytes / bytes_s, self.copy_s_at_most)
