# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log Microsoft-Windows-Hyper-V-Worker-Admin of every host."""

from __future__ import annotations

import itertools
import typing as t
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine

LOG_NAME = "Microsoft-Windows-Hyper-V-Worker-Admin"
PROVIDER = "Microsoft-Windows-Hyper-V-Worker"
CRITICAL, ERROR, WARNING, INFORMATION = 1, 2, 3, 4
LEVELS = {
    18539: CRITICAL,
    18540: CRITICAL,
    18550: CRITICAL,
    18560: CRITICAL,
    18590: CRITICAL,
    18600: ERROR,
    18602: CRITICAL,
    18603: ERROR,
    18604: CRITICAL,
    18605: ERROR,
    18617: ERROR,
}
WITH_ERROR_CODES = 18590


@dataclass(frozen=True, slots=True)
class Event:
    id: int
    record: int
    host: str
    vm_id: uuid.UUID
    vm_name: str
    at_s: float
    data: tuple[str, ...] = ()  # what stands after the VM's name and id

    @property
    def level(self) -> int:
        return LEVELS.get(self.id, INFORMATION)


class EventLog:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._numbers = itertools.count(1000)
        self._rows: list[Event] = []

    def write(self, machine: Machine, id: int, *, at_s: float | None = None, data: Iterable[str] = ()) -> None:
        moment = self._fleet.now_s() if at_s is None else at_s
        with self._fleet.lock:
            self._rows.append(
                Event(id, next(self._numbers), machine.host, machine.id, machine.name, moment, tuple(data))
            )

    def crash(self, machine: Machine, *, at_s: float | None = None) -> None:
        """Write what the worker process writes when a guest tells of its death."""
        codes = (machine.bugcheck, "0x0", "0x0", "0x0", "0x0") if machine.is_windows else ("0x0",) * 5
        for id in machine.crash_events:
            self.write(machine, id, at_s=at_s, data=(*codes, "0") if id == WITH_ERROR_CODES else ())

    def on(self, host: str) -> list[Event]:
        """List a host's events, the newest first."""
        with self._fleet.lock:
            return sorted((e for e in self._rows if e.host == host), key=lambda e: (e.at_s, e.record), reverse=True)
