# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Failover and replication in motion: the cmdlets that the state table stands behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import (
    act,
    machines,
    objects_of,
    refuse,
    require_sight,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Checkpoint, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import virtual_machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects_replication import vm_replication
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.situation import Call
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.states import Row

_STEERING = ("VM", "VMName", "VMReplication", "Reverse", "AsReplica", "Passthru", "AsJob")
_UNPLAYED = (
    "Continue",
    "DestinationPath",
    "InitialReplicationStartTime",
    "ReplicationRelationshipType",
    "ResynchronizeStartTime",
    "UseBackup",
)


def _targets(bound: Bound) -> Iterator[Machine | PowerShellError]:
    if bound.has("VMReplication"):
        yield from objects_of(bound, "VMReplication", Machine)
    else:
        yield from machines(bound)


def _each(
    bound: Bound, calls: Iterable[Call | PowerShellError], *, is_checked_first: bool = False
) -> Iterator[tuple[Call, Row] | PowerShellError]:
    """Meet the state table once per VM; a refusal is one VM's own."""
    require_sight(bound)
    refuse(bound, *_UNPLAYED)
    for call in calls:
        if isinstance(call, PowerShellError):
            yield call
            continue
        try:
            row = act(bound, call, is_checked_first=is_checked_first)
        except PowerShellError as refused:
            if refused.is_terminating:
                raise
            yield refused
            continue
        if row is not None:
            yield call, row


def _calls(bound: Bound, switch: str = "") -> Iterator[Call | PowerShellError]:
    settings = {}
    if bound.name == "Set-VMReplication":
        settings = {name: value for name, value in bound.arguments.items() if name not in _STEERING}
    for machine in _targets(bound):
        if isinstance(machine, PowerShellError):
            yield machine
        else:
            yield Call(cmdlet=bound.name, switch=switch, machine=machine, settings=settings)


def _machines_out(bound: Bound, done: Iterable[tuple[Call, Row] | PowerShellError]) -> Iterator[object]:
    context = require_sight(bound)
    for result in done:
        if isinstance(result, PowerShellError):
            yield result
        elif bound.is_on("Passthru"):
            yield virtual_machine(context, result[0].machine)


def _relations_out(bound: Bound, done: Iterable[tuple[Call, Row] | PowerShellError]) -> Iterator[object]:
    context = require_sight(bound)
    for result in done:
        if isinstance(result, PowerShellError):
            yield result
        elif bound.is_on("Passthru") and (end := result[0].machine.endpoint) is not None:
            yield vm_replication(context, result[0].machine, end)


def _from_points(bound: Bound, switch: str) -> Iterator[Call]:
    """A recovery point names its VM; what is no VM of this host any more is a foreign point."""
    context = require_sight(bound)
    for pair in objects_of(bound, "VMRecoverySnapshot", tuple):
        machine, point = pair
        if not isinstance(machine, Machine) or not isinstance(point, Checkpoint):
            raise SimulatorError(f"{bound.name} -VMRecoverySnapshot: {pair!r} is no recovery point")
        context.fleet.machine(context.host.name, machine.id)
        yield Call(cmdlet=bound.name, switch=switch, machine=machine, point=point, point_vm=machine.id)


@cmdlet("Start-VMFailover")
def start_vm_failover(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    switch = "Prepare" if bound.is_on("Prepare") else "AsTest" if bound.is_on("AsTest") else ""
    calls = _from_points(bound, switch) if bound.has("VMRecoverySnapshot") else _calls(bound, switch)
    done = _each(bound, calls, is_checked_first=True)
    if switch != "AsTest":
        yield from _machines_out(bound, done)
        return
    for result in done:
        if isinstance(result, PowerShellError):
            yield result
        elif (end := result[0].machine.endpoint) is not None and end.test is not None:
            yield virtual_machine(context, end.test)  # with or without -Passthru


@cmdlet("Stop-VMFailover")
def stop_vm_failover(bound: Bound) -> Iterator[object]:
    yield from _machines_out(bound, _each(bound, _calls(bound), is_checked_first=True))


@cmdlet("Complete-VMFailover")
def complete_vm_failover(bound: Bound) -> Iterator[object]:
    """Complete a failover; alone of the four it asks ShouldProcess before it looks at the state."""
    yield from _machines_out(bound, _each(bound, _calls(bound)))


@cmdlet("Set-VMReplication")
def set_vm_replication(bound: Bound) -> Iterator[object]:
    if bound.is_on("Reverse") and bound.is_on("AsReplica"):
        raise SimulatorError("Set-VMReplication -Reverse -AsReplica: one of the two, never both")
    switch = "Reverse" if bound.is_on("Reverse") else "AsReplica" if bound.is_on("AsReplica") else ""
    yield from _relations_out(bound, _each(bound, _calls(bound, switch), is_checked_first=True))


@cmdlet("Start-VMInitialReplication")
def start_vm_initial_replication(bound: Bound) -> Iterator[object]:
    yield from _relations_out(bound, _each(bound, _calls(bound)))


@cmdlet("Suspend-VMReplication")
def suspend_vm_replication(bound: Bound) -> Iterator[object]:
    yield from _relations_out(bound, _each(bound, _calls(bound)))


@cmdlet("Resume-VMReplication")
def resume_vm_replication(bound: Bound) -> Iterator[object]:
    switch = "Resynchronize" if bound.is_on("Resynchronize") else ""
    yield from _relations_out(bound, _each(bound, _calls(bound, switch)))
