# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The animator: lets a site that the twin plays itself go on by the world's clock, and its pages and doors follow."""

from __future__ import annotations

import logging
import threading
import typing as t
from abc import ABC, abstractmethod
from collections.abc import Callable

from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_LOG = logging.getLogger(__name__)
_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_LONGEST_S = 0.5
_SHORTEST_S = 0.005  # what is due and cannot go on must not take a whole processor


class Animator(ABC):
    """One per world. It sleeps until something is due or has changed."""

    own_errors: t.ClassVar[tuple[type[Exception], ...]] = ()  # what the platform's own code raises besides Python's

    def __init__(self, world: World, pages_changed: Callable[[], None], hosts_changed: Callable[[], None]) -> None:
        self._world = world
        self._pages_changed, self._hosts_changed = pages_changed, hosts_changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="animator", daemon=True)

    @abstractmethod
    def _tick(self) -> None:
        """Let all that is due happen. The world's lock is held."""

    @abstractmethod
    def _next_due_s(self) -> float | None:
        """World time of the next thing that happens by itself."""

    @abstractmethod
    def _hosts(self) -> list[bool]:
        """Which hosts are up."""

    def _stumbled(self, error: Exception) -> None:
        """Note a fault of the twin: it must stay visible in the lab's log, and the other guests must live on."""
        _LOG.error("the animator stumbled", exc_info=error)

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
        errors: tuple[type[Exception], ...] = (*_ERRORS, *self.own_errors)
        while not self._stop.is_set():
            try:
                with self._world.lock:
                    self._tick()
                    seen = self._newest()
                self._pages_changed()
                if (now := self._hosts()) != hosts:
                    hosts = now
                    self._hosts_changed()
                self._sleep(seen)
            except errors as error:
                self._stumbled(error)
                self._stop.wait(_LONGEST_S)

    def _sleep(self, seen: object) -> None:
        """Wait for the next thing to happen, unless something happened since ``seen``."""
        with self._world.lock:
            if self._stop.is_set() or self._newest() is not seen:
                return
            due_s, clock = self._next_due_s(), self._world.clock
            left_s = _LONGEST_S if due_s is None else clock.real_s(due_s - clock.now_s())
            self._world.changed.wait(min(max(left_s, _SHORTEST_S), _LONGEST_S))

    def _newest(self) -> object:
        """Every change of the world writes a line of its log."""
        return self._world.log[-1] if self._world.log else None
