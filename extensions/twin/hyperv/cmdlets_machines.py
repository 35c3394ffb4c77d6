# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs, their power, checkpoints, adapters, disks, and what the host itself shows."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import (
    FAILED,
    INVALID,
    NOT_FOUND,
    act,
    failure,
    is_pattern,
    machines,
    named,
    play_only,
    refuse,
    require_change,
    require_sight,
    visible,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import virtual_machine, vm_host
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.situation import Call

_SETTINGS = {
    "Notes": "notes",
    "NewVMName": "name",
    "AutomaticStartDelay": "auto_start_delay_s",
    "AutomaticStartAction": "auto_start",
    "AutomaticStopAction": "auto_stop",
}
_NEUTRAL = ("Name", "VM", "Passthru")


@cmdlet("Get-VM")
def get_vm(bound: Bound) -> Iterator[object]:
    """Show VMs by id, by name (wildcards, names twice), or all."""
    context = require_sight(bound)
    context.fleet.tick()
    if bound.has("Id"):
        wanted = bound.get("Id")
        found = [m for m in visible(context) if m.id == wanted]
        if not found:
            yield failure(bound, NOT_FOUND, "no_vm_id", target=wanted, name=wanted)
        yield from (virtual_machine(context, machine) for machine in found)
        return
    names = bound.get("Name")
    for name in names if isinstance(names, list) else ["*"]:
        found = named(context, str(name))
        if not found and not is_pattern(str(name)):
            yield failure(bound, INVALID, "no_vm_name", target=name, name=name)
        yield from (virtual_machine(context, machine) for machine in found)


@cmdlet("Get-VMHost")
def get_vm_host(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    yield vm_host(context.host)


@cmdlet("Set-VM")
def set_vm(bound: Bound) -> Iterator[object]:
    context = require_change(bound)
    changes = {name: value for name, value in bound.arguments.items() if name not in _NEUTRAL}
    play_only(bound, *_NEUTRAL, *_SETTINGS)
    for machine in machines(bound, "Name"):
        if isinstance(machine, PowerShellError):
            yield machine
            continue
        if not bound.should_process(machine.name):
            continue
        with context.fleet.lock:
            for name, value in changes.items():
                setattr(machine, _SETTINGS[name], value.name if isinstance(value, EnumValue) else value)
            machine.configured_at_s = context.fleet.now_s()
        if bound.is_on("Passthru"):
            yield virtual_machine(context, machine)


def _powered(bound: Bound, switch: str = "") -> Iterator[object]:
    """Meet the state table for a power cmdlet."""
    context = require_change(bound)
    for machine in machines(bound, "VMName" if bound.name == "Remove-VMSavedState" else "Name"):
        if isinstance(machine, PowerShellError):
            yield machine
            continue
        try:
            row = act(bound, Call(cmdlet=bound.name, switch=switch, machine=machine))
            if row is not None and row.effect == "shut_down":
                _await_halt(bound, machine)
        except PowerShellError as refused:
            if refused.is_terminating:
                raise
            yield refused
            continue
        if row is not None and bound.is_on("Passthru"):
            yield virtual_machine(context, machine)


def _await_halt(bound: Bound, machine: Machine) -> None:
    context = require_sight(bound)
    limit_s = context.fleet.timing.shutdown_limit_s
    if not context.fleet.wait(lambda: machine.state == "Off", limit_s, context.stop):
        context.sleep(0.0)  # an ended session says nothing any more
        raise failure(bound, FAILED, "no_shutdown", target=machine.name, vm=machine.name, id=machine.key.upper())


@cmdlet("Start-VM")
def start_vm(bound: Bound) -> Iterator[object]:
    yield from _powered(bound)


@cmdlet("Stop-VM")
def stop_vm(bound: Bound) -> Iterator[object]:
    """Ask the guest to shut down and wait for it, save it, or pull the plug."""
    if bound.is_on("Save") and bound.is_on("TurnOff"):
        raise SimulatorError("Stop-VM -Save -TurnOff: one of the two, never both")
    yield from _powered(bound, "TurnOff" if bound.is_on("TurnOff") else "Save" if bound.is_on("Save") else "")


@cmdlet("Restart-VM")
def restart_vm(bound: Bound) -> Iterator[object]:
    refuse(bound, "Wait", "For", "Delay", "Timeout", "Type")
    yield from _powered(bound)


@cmdlet("Suspend-VM")
def suspend_vm(bound: Bound) -> Iterator[object]:
    yield from _powered(bound)


@cmdlet("Resume-VM")
def resume_vm(bound: Bound) -> Iterator[object]:
    yield from _powered(bound)


@cmdlet("Remove-VMSavedState")
def remove_vm_saved_state(bound: Bound) -> Iterator[object]:
    refuse(bound, "VMSnapshot")
    yield from _powered(bound)
