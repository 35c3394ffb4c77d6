# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator of a fleet: it goes on by the world's clock, replication included."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin import animator
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError


class Animator(animator.Animator):
    """One per fleet."""

    own_errors = (PowerShellError, SimulatorError)

    def __init__(self, fleet: Fleet, pages_changed: Callable[[], None], hosts_changed: Callable[[], None]) -> None:
        super().__init__(fleet.world, pages_changed, hosts_changed)
        self._fleet = fleet

    def _tick(self) -> None:
        self._fleet.tick()

    def _next_due_s(self) -> float | None:
        return self._fleet.next_due_s()

    def _hosts(self) -> list[bool]:
        return [self._fleet.is_up(name) for name in self._fleet.hosts]

    def _stumbled(self, error: Exception) -> None:
        if isinstance(error, SimulatorError):
            # no session was at fault, and a test must still be able to fail on it
            self._fleet.mishaps.append(error)
        else:
            super()._stumbled(error)
