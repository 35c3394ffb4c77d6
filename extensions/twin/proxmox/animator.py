# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator: lets a site go on by the world's clock, and its pages and doors follow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_LOG = logging.getLogger(__name__)
_LONGEST_S = 0.5
_SHORTEST_S = 0.005  # what is due and cannot go on must not take a whole processor


class Animator:
    """One per world. It sleeps until something is due or has changed."""

    def __init__(
        self,
        world: World,
        datacenters: Sequence[Datacenter],
        pages_changed: Callable[[], None],
        nodes_changed: Callable[[], None],
    ) -> None:
        self._world, self._datacenters = world, tuple(datacenters)
        self._pages_changed, self._nodes_changed = pages_changed, nodes_changed
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
        nodes = self._nodes()
        while not self._stop.is_set():
            try:
                with self._world.lock:
                    for datacenter in self._datacenters:
                        datacenter.tick()
                    seen = self._newest()
                self._pages_changed()
                if (now := self._nodes()) != nodes:
                    nodes = now
                    self._nodes_changed()
                self._sleep(seen)
            except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, PveError):
                # a fault of the twin must stay visible in the lab's log, and the other guests must live on
                _LOG.exception("the animator stumbled")
                self._stop.wait(_LONGEST_S)

    def _sleep(self, seen: object) -> None:
        """Wait for the next thing to happen, unless something happened since ``seen``."""
        with self._world.lock:
            if self._stop.is_set() or self._newest() is not seen:
                return
            due = [at_s for datacenter in self._datacenters if (at_s := datacenter.next_due_s()) is not None]
            clock = self._world.clock
            left_s = clock.real_s(min(due) - clock.now_s()) if due else _LONGEST_S
            self._world.changed.wait(min(max(left_s, _SHORTEST_S), _LONGEST_S))

    def _newest(self) -> object:
        """Every change of the world writes a line of its log."""
        return self._world.log[-1] if self._world.log else None

    def _nodes(self) -> list[bool]:
        return [datacenter.node_is_up(node) for datacenter in self._datacenters for node in datacenter.nodes]
