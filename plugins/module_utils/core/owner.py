# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who controls a run. A room of its own: every task of a play loads it, on the controller, before its module starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A controlling process. ``host`` holds the host name and, on Linux, its PID namespace, where a pid has a meaning.

    ``worker_pid`` is the module's own process: it may outlive its controller for a moment (Ctrl-C), and while it lives the
    lease is not free.
    """

    host: str
    boot_id: str
    pid: int
    started: str  # start time of the process as the kernel tells it: pids are reused
    worker_pid: int = 0
    worker_started: str = ""
