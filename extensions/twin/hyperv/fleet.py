# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet: hosts that stand alone, their VMs, and the relationships between them, going on by the world's clock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.events import EventLog
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.guests import Guests
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.power import Powers
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.replicating import Replicating
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.stock import Stock, thumbprint_of
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import GuestChange, HostState
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

__all__ = ["Fleet", "thumbprint_of"]

_LONGEST_S = 0.2  # of one wait by the wall clock: a session that is stopped must end soon


class Fleet(Stock):
    """Build it with ``add_host``, ``add_vm``, ``relate`` and ``add_point``; then let ``tick`` run by the world's clock.

    ``state_after_crash``: what a primary's relationship shows when its host returns from a loss of power
    (WaitingForStartResynchronize or Error; a real host must settle which). ``state_after_rejection``: what it shows
    when the replica takes no logs any more.
    """

    def __init__(
        self,
        world: World,
        timing: HypervTiming | None = None,
        *,
        state_after_crash: str = "WaitingForStartResynchronize",
        state_after_rejection: str = "Error",
    ) -> None:
        super().__init__(world)
        self.timing = timing or HypervTiming()
        self.state_after_crash, self.state_after_rejection = state_after_crash, state_after_rejection
        self.mishaps: list[SimulatorError] = []  # any of these fails a test
        self.events = EventLog(self)
        self.powers = Powers(self)
        self.replication = Replicating(self)
        self.guests = Guests(self)

    # --- what goes on ------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let all that is due happen: guests (the world's tick is called here), replication, tasks. For the animator."""
        with self.lock:
            for change in self.world.tick():
                self.guest_changed(change)
            self.replication.tick()

    def next_due_s(self) -> float | None:
        """World time of the next thing that happens by itself."""
        with self.lock:
            due = [at_s for at_s in (self.world.next_due_s(), self.replication.next_due_s()) if at_s is not None]
            return min(due, default=None)

    def guest_changed(self, change: GuestChange) -> None:
        """Show a guest's change on its VM and in the worker's log."""
        with self.lock:
            self.guests.changed(change)

    def wait(self, is_done: Callable[[], bool], limit_s: float, stop: threading.Event | None = None) -> bool:
        """Wait until something is so, for so many seconds of the world; a clock that is turned by hand is turned here."""
        clock, end_s = self.world.clock, self.now_s() + limit_s
        while True:
            self.tick()
            with self.lock:
                now_s = self.now_s()
                if is_done():
                    return True
                if now_s >= end_s - 1e-6 or (stop is not None and stop.is_set()):
                    return False
                due_s = self.next_due_s()
                until_s = end_s if due_s is None else min(end_s, max(due_s, now_s + 0.001))
                if isinstance(clock, TurnedClock):
                    clock.turn(until_s - now_s)
                else:
                    self.world.changed.wait(min(clock.real_s(until_s - now_s), _LONGEST_S))

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        self.wait(lambda: False, seconds, stop)

    def replicate(self, machine: Machine) -> bool:
        """Send the log of a VM's relationship now; False where nothing was applied."""
        with self.lock:
            return self.replication.cycle(self.relations[machine.id])

    def host_lost(self, name: str, *, is_dead: bool = True) -> None:
        """Cut a host's power, or only its network."""
        with self.lock:
            host = self.host(name)
            self.tick()
            self.world.host_lost(host.name, is_dead=is_dead)
            if is_dead:
                self.powers.host_died(host)

    def host_back(self, name: str) -> None:
        """Bring a host back; what ran there starts again as its AutomaticStartAction says."""
        with self.lock:
            host = self.host(name)
            was_dead = self.world.hosts[host.name].state is HostState.DEAD
            self.world.host_back(host.name)
            if was_dead:
                self.replication.host_booted(host)
                self.powers.host_booted(host)
            self.tick()
