# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power of the fleet's VMs, as VMMS carries it out; the world is told of every step."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Host
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Nic, Phase, Power

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

# A VM in these states of its relationship is locked from start: 'Start is disabled as it is prepared for failover', or
# it is a replica that nobody failed over.
_STARTABLE_REPLICA = ("FailedOverWaitingCompletion", "FailedOver")
_LOCKED_PRIMARY = ("PreparedForFailover",)


def is_locked(machine: Machine) -> bool:
    """Whether replication keeps a VM from being started."""
    end = machine.endpoint
    if end is None or end.mode in ("None", "TestReplica"):
        return False
    return end.state in _LOCKED_PRIMARY if end.mode == "Primary" else end.state not in _STARTABLE_REPLICA


class Powers:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def nics(self, machine: Machine) -> tuple[Nic, ...]:
        return tuple(Nic(card.id, card.switch, bool(card.switch)) for card in machine.adapters)

    def rewired(self, machine: Machine) -> None:
        """Tell the world of changed connections."""
        machine.configured_at_s = self._fleet.now_s()
        self._fleet.world.observe(machine.copy_id, nics=self.nics(machine))

    def free_memory_bytes(self, host: Host) -> int:
        used = sum(m.memory_bytes for m in self._fleet.machines_on(host.name) if m.is_on)
        return host.memory_bytes - 2 * 2**30 - used  # what the parent partition keeps

    def start(self, machine: Machine) -> None:
        """Start a VM that is off or saved; a saved guest boots anew, the world keeps no memory."""
        fleet = self._fleet
        self._turn(machine, "Running")
        machine.started_at_s, machine.is_shutdown_asked = fleet.now_s(), False
        fleet.events.write(machine, 18500)
        fleet.world.observe(machine.copy_id, power=Power.ON, nics=self.nics(machine))
        fleet.tick()

    def was_running(self, machine: Machine, uptime_s: float) -> None:
        """Let a VM be up for so long already, as when a lab begins."""
        fleet, since_s = self._fleet, self._fleet.now_s() - uptime_s
        machine.state, machine.started_at_s, machine.changed_at_s = "Running", since_s, since_s
        for number in (18500, 18601):
            fleet.events.write(machine, number, at_s=since_s)
        fleet.world.observe(machine.copy_id, power=Power.ON, nics=self.nics(machine))
        fleet.world.tick()  # the boot of long ago is no news
        copy = fleet.copy(machine)
        copy.phase, copy.booted_at_s, copy.phase_since_s = Phase.RUNNING, since_s, fleet.now_s()

    def turn_off(self, machine: Machine) -> None:
        """Pull the plug."""
        if machine.state == "Off":
            return
        self._turn(machine, "Off")
        self._fleet.events.write(machine, 18502)
        self._down(machine)

    def halted(self, machine: Machine) -> None:
        """The guest has shut itself down, asked by its host or not."""
        self._fleet.events.write(machine, 18504 if machine.is_shutdown_asked else 18508)
        self._turn(machine, "Off")
        self._down(machine)

    def ask_shutdown(self, machine: Machine) -> bool:
        machine.is_shutdown_asked = self._fleet.world.shutdown_asked(machine.copy_id)
        return machine.is_shutdown_asked

    def save(self, machine: Machine) -> None:
        self._turn(machine, "Saved")
        self._fleet.events.write(machine, 18510)
        machine.started_at_s = None
        self._fleet.world.observe(machine.copy_id, power=Power.SUSPENDED)
        self._fleet.tick()

    def drop_saved_state(self, machine: Machine) -> None:
        self._turn(machine, "Off")
        self._fleet.world.observe(machine.copy_id, power=Power.OFF)
        self._fleet.tick()

    def pause(self, machine: Machine) -> None:
        self._turn(machine, "Paused")
        self._fleet.events.write(machine, 18516)
        self._fleet.world.hang(machine.copy_id)
        self._fleet.tick()

    def resume(self, machine: Machine) -> None:
        self._turn(machine, "Running")
        self._fleet.events.write(machine, 18518)
        self._fleet.world.woken(machine.copy_id)
        self._fleet.tick()

    def reset(self, machine: Machine) -> None:
        self._fleet.tick()
        machine.started_at_s = self._fleet.now_s()
        self._turn(machine, "Running")
        self._fleet.events.write(machine, 18512)
        self._fleet.world.observe(machine.copy_id, power=Power.ON, was_restarted=True)
        self._fleet.tick()

    def host_died(self, host: Host) -> None:
        for machine in self._fleet.machines_on(host.name):
            machine.was_running = machine.is_on
            if machine.is_on:
                self._turn(machine, "Off")
                machine.started_at_s = None
        self._fleet.tick()

    def host_booted(self, host: Host) -> None:
        """Start what was set to start by itself."""
        host.booted_at_s = self._fleet.now_s()
        for machine in self._fleet.machines_on(host.name):
            wanted = machine.auto_start == "Start" or (machine.auto_start == "StartIfRunning" and machine.was_running)
            is_room = machine.memory_bytes <= self.free_memory_bytes(host)
            if wanted and machine.state == "Off" and not is_locked(machine) and is_room:
                self.start(machine)

    def _turn(self, machine: Machine, state: str) -> None:
        machine.state, machine.changed_at_s = state, self._fleet.now_s()

    def _down(self, machine: Machine) -> None:
        machine.started_at_s = None
        self._fleet.world.observe(machine.copy_id, power=Power.OFF)
        self._fleet.tick()
