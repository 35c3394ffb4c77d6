# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a PowerShell session runs in: the fleet, the host, the person signed on, the language."""

from __future__ import annotations

import datetime as dt
import functools
import threading
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Host, Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError, Stopped
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import HostZone

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet


@functools.lru_cache(maxsize=64)  # every cast asks for it
def _zone(offset_s: float) -> HostZone:
    return HostZone(dt.timedelta(seconds=offset_s))


@dataclass(slots=True)
class Context:
    """One session on one host. ``stop`` is set when its process is to end; a cmdlet that waits looks at it."""

    fleet: Fleet
    host: Host
    user: str = "Administrator"
    culture: str = ""  # empty: the host's
    stop: threading.Event = field(default_factory=threading.Event)
    mishaps: list[SimulatorError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.culture = self.culture or self.host.culture

    @property
    def host_name(self) -> str:
        """What [Environment]::MachineName says."""
        return self.host.computer_name

    @property
    def rights(self) -> Rights:
        return self.host.rights_of(self.user)

    @property
    def zone(self) -> HostZone:
        return _zone(self.host.utc_offset_s)

    def now_s(self) -> float:
        """Seconds since the epoch, by the host's own clock, which may be wrong."""
        return self.fleet.now_s() + self.host.clock_skew_s

    def local(self, world_s: float | None) -> dt.datetime | None:
        """A moment of the world as this host writes it down: local time, by its own clock."""
        if world_s is None:
            return None
        return dt.datetime.fromtimestamp(world_s + self.host.clock_skew_s, self.zone)

    def sleep(self, seconds: float) -> None:
        """Let world time pass; raises Stopped when the session is ended meanwhile."""
        self.fleet.sleep(seconds, self.stop)
        if self.stop.is_set():
            raise Stopped

    def report(self, error: SimulatorError) -> None:
        """Note a mishap of the twin for this session and for the whole fleet."""
        self.mishaps.append(error)
        self.fleet.mishaps.append(error)
