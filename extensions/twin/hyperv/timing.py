# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long Hyper-V takes for what it does, in seconds of the world."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervTiming:
    start_s: float = 1.0  # Start-VM, before the guest boots
    failover_s: float = 3.0  # Start- and Stop-VMFailover
    prepare_s: float = 2.0  # the last log
    reverse_s: float = 2.0
    initial_s: float = 20.0  # the initial replication, when only differences are sent
    resynchronize_s: float = 15.0
    shutdown_limit_s: float = 300.0  # how long Stop-VM waits for a guest

    @classmethod
    def fast(cls) -> HypervTiming:
        return cls(
            start_s=0.05,
            failover_s=0.05,
            prepare_s=0.05,
            reverse_s=0.05,
            initial_s=0.3,
            resynchronize_s=0.3,
            shutdown_limit_s=5.0,
        )
