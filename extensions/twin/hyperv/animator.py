# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator: lets a fleet go on by the world's clock, replication included, and its pages and doors follow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError

_LOG = logging.getLogger(__name__)
_LONGEST_S = 0.5
_SHORTEST_S = 0.005  # what is due and cannot go on must not take a whole processor


class Animator:
    """One per fleet. It sleeps until something is due or has changed."""

    def __init__(self, fleet: Fleet, pages_changed: Callable[[], None], hosts_changed: Callable[[], None]) -> None:
        self._fleet, self._world = fleet, fleet.world
        self._pages_changed, self._hosts_changed = pages_changed, hosts_changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="animator", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        with self._world.lock:
            self._world.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        hosts = self._hosts()
        while not self._stop.is_set():
            try:
                with self._world.lock:
                    self._fleet.tick()
                    seen = self._newest()
                self._pages_changed()
                if (now := self._hosts()) != hosts:
                    hosts = now
                    self._hosts_changed()
                self._sleep(seen)
            except SimulatorError as mishap:
                # no session was at fault, and a test must still be able to fail on it
                self._fleet.mishaps.append(mishap)
                self._stop.wait(_LONGEST_S)
            except (ArithmeticError, AttributeError, LookupError, PowerShellError, RuntimeError, TypeError, ValueError):
                # a fault of the twin must stay visible in the lab's log, and the other guests must live on
                _LOG.exception("the animator stumbled")
                self._stop.wait(_LONGEST_S)

    def _sleep(self, seen: object) -> None:
        """Wait for the next thing to happen, unless something happened since ``seen``."""
        with self._world.lock:
            if self._stop.is_set() or self._newest() is not seen:
                return
            due_s, clock = self._fleet.next_due_s(), self._world.clock
            left_s = _LONGEST_S if due_s is None else clock.real_s(due_s - clock.now_s())
            self._world.changed.wait(min(max(left_s, _SHORTEST_S), _LONGEST_S))

    def _newest(self) -> object:
        """Every change of the world writes a line of its log."""
        return self._world.log[-1] if self._world.log else None

    def _hosts(self) -> list[bool]:
        return [self._fleet.is_up(name) for name in self._fleet.hosts]
