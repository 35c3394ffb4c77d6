# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The split-brain watch: sees every change of the world, and forgets nothing."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Phase, Power, Violation

ON_NETWORK = "two_on_production_network"
SERVING = "two_guests_serving"


def is_on_production_network(copy: Copy, isolated: frozenset[str]) -> bool:
    return copy.power is Power.ON and any(n.is_connected and n.network not in isolated for n in copy.nics)


def is_serving(copy: Copy, isolated: frozenset[str]) -> bool:
    return copy.phase is Phase.RUNNING and is_on_production_network(copy, isolated)


class Watch:
    """Keeps the violations, open and past. The world calls ``look`` after every single change, under its lock."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self._open: dict[tuple[str, str], Violation] = {}

    def look(self, copies: Iterable[Copy], isolated: frozenset[str], now_s: float) -> None:
        on_network: dict[str, list[str]] = {}
        serving: dict[str, list[str]] = {}
        for copy in copies:
            if is_on_production_network(copy, isolated):
                on_network.setdefault(copy.vm, []).append(copy.id)
            if is_serving(copy, isolated):
                serving.setdefault(copy.vm, []).append(copy.id)
        self._compare(ON_NETWORK, on_network, now_s)
        self._compare(SERVING, serving, now_s)

    def _compare(self, kind: str, seen: dict[str, list[str]], now_s: float) -> None:
        double = {vm: tuple(sorted(ids)) for vm, ids in seen.items() if len(ids) > 1}
        for (known_kind, vm), violation in list(self._open.items()):
            if known_kind == kind and double.get(vm) != violation.copies:
                violation.ended_at_s = now_s
                del self._open[(known_kind, vm)]
        for vm, ids in double.items():
            if (kind, vm) not in self._open:
                violation = Violation(kind, vm, ids, now_s)
                self._open[(kind, vm)] = violation
                self.violations.append(violation)
