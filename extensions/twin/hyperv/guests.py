# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guests let their hosts see: heartbeat, addresses, screen, worker events."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.world.model import GuestChange, Phase

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

_BLUE, _WHITE, _BLACK, _LOGIN, _GREY = 0x03DA, 0xFFFF, 0x0000, 0x1B6E, 0x8410  # RGB565


class Guests:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def changed(self, change: GuestChange) -> None:
        """Take over one change of the world's guests."""
        machine = self._fleet.machine_of(change.copy)
        if machine is None:
            return
        if change.phase is Phase.BOOTING and machine.is_on:
            if change.before is Phase.CRASHED:
                machine.started_at_s = change.at_s
                self._fleet.events.write(machine, 18514, at_s=change.at_s)
            if machine.generation == 2:
                self._fleet.events.write(machine, 18601, at_s=change.at_s)
        elif change.phase is Phase.CRASHED and machine.is_on:
            self._fleet.events.crash(machine, at_s=change.at_s)
        elif change.phase is Phase.OFF and change.before is Phase.SHUTTING_DOWN and machine.is_on:
            self._fleet.powers.halted(machine)

    def heartbeat(self, machine: Machine) -> str | None:
        """Give the name of a VMHeartbeatStatus; None while the VM is off."""
        copy = self._fleet.copy(machine)
        if machine.state == "Paused":
            return "Paused"
        if not machine.is_on:
            return None
        if not machine.has_heartbeat:
            return "Disabled"
        if not copy.has_tools or copy.phase is Phase.BOOTING:
            return "NoContact"
        if copy.phase in (Phase.RUNNING, Phase.SHUTTING_DOWN):
            # A Linux guest's heartbeat never tells of applications.
            return "OkApplicationsHealthy" if machine.is_windows else "OkApplicationsUnknown"
        return "LostCommunication"

    def addresses(self, machine: Machine) -> bool:
        """Whether the guest reports its addresses now."""
        copy = self._fleet.copy(machine)
        return machine.is_on and copy.has_tools and copy.phase is Phase.RUNNING

    def uptime_s(self, machine: Machine) -> float:
        return 0.0 if machine.started_at_s is None else max(0.0, self._fleet.now_s() - machine.started_at_s)

    def frame(self, machine: Machine, width: int, height: int) -> bytes | None:
        """Draw the guest's screen as RGB565, little endian; None where there is none."""
        if not machine.is_on:
            return None
        phase = self._fleet.copy(machine).phase
        if phase is Phase.CRASHED:
            return _blue_screen(width, height) if machine.is_windows else _console(width, height, 14)
        if phase is Phase.BOOTING:
            return _console(width, height, 1)
        if phase is Phase.HUNG and machine.is_windows:
            return _login(width, height)
        if phase in (Phase.RUNNING, Phase.SHUTTING_DOWN, Phase.HUNG):
            return _login(width, height) if machine.is_windows else _console(width, height, 4)
        return _rows(width, height, lambda x, y: _BLACK)


def _rows(width: int, height: int, colour: t.Callable[[int, int], int]) -> bytes:
    return b"".join(colour(x, y).to_bytes(2, "little") for y in range(height) for x in range(width))


@functools.cache
def _blue_screen(width: int, height: int) -> bytes:
    """A face and four lines of text on blue, as Windows draws them since 2012."""
    text = {int(height * share) for share in (0.2, 0.45, 0.52, 0.7)}
    return _rows(
        width, height, lambda x, y: _WHITE if y in text and width // 10 < x < width * 2 // 3 and x % 3 else _BLUE
    )


@functools.cache
def _console(width: int, height: int, lines: int) -> bytes:
    step = max(2, height // 20)
    return _rows(
        width,
        height,
        lambda x, y: _GREY if y % step == 1 and y // step < lines and x < width // 2 and x % 3 else _BLACK,
    )


@functools.cache
def _login(width: int, height: int) -> bytes:
    def colour(x: int, y: int) -> int:
        if abs(x - width // 2) < width // 12 and abs(y - height // 2) < height // 8:
            return _GREY
        return _LOGIN + ((x * 31 // max(width, 1)) // 4) + (((y * 31 // max(height, 1)) // 4) << 11)

    return _rows(width, height, colour)
