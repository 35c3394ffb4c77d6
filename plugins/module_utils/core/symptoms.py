# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known of one VM at the moment of its diagnosis, and the small questions that every rule asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import ServiceReading
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Event,
    EventKind,
    Host,
    Power,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Observation

STARTS = (EventKind.POWERED_ON, EventKind.RESET)
STOPS = (EventKind.POWERED_OFF, EventKind.GUEST_SHUTDOWN)

_CLOCKS_AGREE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    vm: Vm | None
    endpoint: EndpointReading
    host: Host | None
    neighbours: Sequence[Vm]
    events: tuple[Event, ...]  # oldest first, on our clock
    observations: Mapping[str, Observation]
    service: ServiceReading | None
    now_s: float
    skew_s: float
    others: Sequence[EndpointReading]
    boot_grace_s: float
    hung_after_s: float
    loop_window_s: float

    @property
    def seen(self) -> Vm:
        if self.vm is None:
            raise ValueError("the rules after lost contact need a VM")
        return self.vm

    def since_s(self, name: str, value: str | bool) -> float | None:
        """Return when this value, which still holds, was first seen."""
        found = self.observations.get(name)
        return found.first_at_s if found is not None and found.value == value else None

    def newest(self, *kinds: EventKind) -> Event | None:
        return next((e for e in reversed(self.events) if e.kind in kinds), None)

    @property
    def boot_at_s(self) -> float | None:
        """The platform's boot time, or a newer start that its events tell (some platforms keep the first boot time)."""
        shown = self.vm.guest.boot_at_s if self.vm is not None else None
        start = self.newest(*STARTS)
        times = [*([shown - self.skew_s] if shown is not None else []), *([start.at_s] if start else [])]
        return max(times, default=None)

    @property
    def uptime_s(self) -> float | None:
        return None if self.boot_at_s is None else self.now_s - self.boot_at_s

    @property
    def is_booting(self) -> bool:
        return self.uptime_s is not None and self.uptime_s < self.boot_grace_s

    @property
    def is_vouched(self) -> bool:
        """Tell whether the service answers, and no other copy is known to answer in this one's place."""
        if self.service is None or self.service.answers is not True:
            return False
        own = {word.casefold() for word in (self.seen.id, self.seen.name, *self.seen.guest_ids)}
        return all(c.copy is None or c.copy.casefold() in own for c in self.service.checks)

    @property
    def is_failing(self) -> bool:
        return self.service is not None and self.service.answers is False

    def crashes(self) -> list[Event]:
        return [e for e in self.events if e.kind is EventKind.CRASHED]


def clock_skew_s(endpoint: EndpointReading) -> float:
    """Tell how far the endpoint's clock runs ahead of ours; less than a second is the call's own duration."""
    if endpoint.clock_at_s is None:
        return 0.0
    skew_s = endpoint.clock_at_s - endpoint.read_at_s
    return skew_s if abs(skew_s) > _CLOCKS_AGREE_S else 0.0


def lost_contact(vm: Vm | None, endpoint: EndpointReading, host: Host | None) -> str:
    """Say why the hypervisor's word on this VM does not count; "" when it does."""
    if not endpoint.is_reachable:
        return f"{endpoint.address} does not answer: {endpoint.error}"
    if vm is None:
        return (
            f"{endpoint.address} answers, but does not show this VM: deleted, unregistered, or the account lacks rights"
        )
    if host is not None and host.connection is not Connection.CONNECTED:
        return f"its host {host.name} does not answer {endpoint.address}"
    if vm.connection is Connection.DISCONNECTED:
        return f"its host {vm.host} does not answer {endpoint.address}"
    if vm.power is Power.UNKNOWN:
        return f"{endpoint.address} does not know its power state"
    return ""


def span(seconds: float) -> str:
    """Say a duration in the unit a person would use."""
    if seconds < 120:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
