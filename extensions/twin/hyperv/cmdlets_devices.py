# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checkpoints, adapters, switches and disks of the VMs on a host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import (
    INVALID,
    NOT_FOUND,
    failure,
    is_pattern,
    machines,
    objects_of,
    play_only,
    refuse,
    require_change,
    require_sight,
    visible,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Switch
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Adapter, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects import (
    enum,
    hard_disk_drive,
    network_adapter,
    of_class,
    snapshot,
    vm_switch,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.operators import wildcard
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue

_VHD = "Microsoft.Vhd.PowerShell."


# --- checkpoints -----------------------------------------------------------------------------------------------------


@cmdlet("Get-VMSnapshot")
def get_vm_snapshot(bound: Bound) -> Iterator[object]:
    """Show checkpoints and recovery points; -SnapshotType Replica alone misses types 7 and 8."""
    context = require_sight(bound)
    refuse(bound, "ParentOf", "ChildOf")
    context.fleet.tick()
    wanted, pattern = bound.get("SnapshotType"), str(bound.get("Name") or "*")
    if bound.has("Id"):
        found = [(m, c) for m in visible(context) for c in m.checkpoints if c.id == bound.get("Id")]
        if not found:
            yield failure(bound, NOT_FOUND, "no_snapshot", target=bound.get("Id"))
        yield from (snapshot(context, machine, point) for machine, point in found)
        return
    for machine in machines(bound):
        if isinstance(machine, PowerShellError):
            yield machine
            continue
        points = [
            c
            for c in machine.checkpoints
            if wildcard(pattern).fullmatch(c.name) and (not isinstance(wanted, EnumValue) or wanted.name == c.kind)
        ]
        if not points and bound.has("Name") and not is_pattern(pattern):
            yield failure(bound, NOT_FOUND, "no_snapshot", target=pattern)
        yield from (snapshot(context, machine, point) for point in points)


# --- adapters --------------------------------------------------------------------------------------------------------


def _adapters(bound: Bound, name: str) -> Iterator[tuple[Machine, Adapter] | PowerShellError]:
    """Give the adapters of a call: by object, or by VM and perhaps a name."""
    context = require_sight(bound)
    if bound.has("VMNetworkAdapter"):
        for machine, card in objects_of(bound, "VMNetworkAdapter", tuple):
            if machine in context.fleet.machines and card in machine.adapters:
                yield machine, card
            else:
                yield failure(bound, NOT_FOUND, "not_found_object", target=card.name)
        return
    names = bound.get(name)
    patterns = [str(item) for item in names] if isinstance(names, list) else [str(names)] if names else []
    for machine in machines(bound):
        if isinstance(machine, PowerShellError):
            yield machine
            continue
        for pattern in patterns or ["*"]:
            found = [card for card in machine.adapters if wildcard(pattern).fullmatch(card.name)]
            yield from ((machine, card) for card in found)
            if not found and not is_pattern(pattern):
                yield failure(bound, INVALID, "no_adapter", target=pattern, name=pattern, vm=machine.name)


@cmdlet("Get-VMNetworkAdapter")
def get_vm_network_adapter(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    refuse(bound, "ManagementOS", "VMSnapshot", "SwitchName")
    if bound.is_on("All"):
        for machine in visible(context):
            yield from (network_adapter(context, machine, card) for card in machine.adapters)
        return
    for found in _adapters(bound, "Name"):
        if isinstance(found, PowerShellError):
            yield found
        elif not bound.has("IsLegacy") or found[1].is_legacy == bound.get("IsLegacy"):
            yield network_adapter(context, *found)


def _connect(bound: Bound, switch: str) -> Iterator[object]:
    context = require_change(bound)
    for found in _adapters(bound, "Name"):
        if isinstance(found, PowerShellError):
            yield found
            continue
        machine, card = found
        if not bound.should_process(machine.name):
            continue
        with context.fleet.lock:
            card.switch = switch
            context.fleet.powers.rewired(machine)
        if bound.is_on("Passthru"):
            yield network_adapter(context, machine, card)


@cmdlet("Connect-VMNetworkAdapter")
def connect_vm_network_adapter(bound: Bound) -> Iterator[object]:
    context = require_change(bound)
    refuse(bound, "UseAutomaticConnection")
    given = [s.name for s in objects_of(bound, "VMSwitch", Switch)] if bound.has("VMSwitch") else []
    wanted = given[0] if given else str(bound.get("SwitchName"))
    switch = context.host.switch(wanted)
    if switch is None:
        raise failure(bound, INVALID, "no_switch", target=wanted, name=wanted)
    yield from _connect(bound, switch.name)


@cmdlet("Disconnect-VMNetworkAdapter")
def disconnect_vm_network_adapter(bound: Bound) -> Iterator[object]:
    yield from _connect(bound, "")


@cmdlet("Set-VMNetworkAdapter")
def set_vm_network_adapter(bound: Bound) -> Iterator[object]:
    """Set the switch that a test failover connects to; nothing else is played."""
    context = require_change(bound)
    play_only(bound, "VM", "VMName", "VMNetworkAdapter", "Name", "TestReplicaSwitchName", "Passthru")
    for found in _adapters(bound, "Name"):
        if isinstance(found, PowerShellError):
            yield found
            continue
        machine, card = found
        if bound.should_process(machine.name) and bound.has("TestReplicaSwitchName"):
            with context.fleet.lock:
                card.test_switch = str(bound.get("TestReplicaSwitchName") or "")
        if bound.is_on("Passthru"):
            yield network_adapter(context, machine, card)


# --- switches and disks ----------------------------------------------------------------------------------------------


@cmdlet("Get-VMSwitch")
def get_vm_switch(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    refuse(bound, "ResourcePoolName")
    kinds, ids, names = bound.get("SwitchType"), bound.get("Id"), bound.get("Name")
    switches = list(context.host.switches.values())
    if isinstance(kinds, list):
        switches = [s for s in switches if s.kind in [getattr(kind, "name", kind) for kind in kinds]]
    if isinstance(ids, list):
        switches = [s for s in switches if s.id in ids]
    patterns = names if isinstance(names, list) else [names] if names else ["*"]
    for pattern in patterns:
        found = [s for s in switches if wildcard(str(pattern)).fullmatch(s.name)]
        if not found and not is_pattern(str(pattern)):
            yield failure(bound, INVALID, "no_switch", target=pattern, name=pattern)
        yield from (vm_switch(context.host, switch) for switch in found)


@cmdlet("Get-VMHardDiskDrive")
def get_vm_hard_disk_drive(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    refuse(bound, "VMSnapshot", "VMDriveController")
    wanted = {"ControllerNumber": "controller_number", "ControllerLocation": "controller_location"}
    for machine in machines(bound):
        if isinstance(machine, PowerShellError):
            yield machine
            continue
        for disk in machine.disks:
            kind = bound.get("ControllerType")
            is_kind = not isinstance(kind, EnumValue) or kind.name == disk.controller_type
            if is_kind and all(
                bound.get(name, getattr(disk, own)) == getattr(disk, own) for name, own in wanted.items()
            ):
                yield hard_disk_drive(context, machine, disk)


@cmdlet("Get-VHD")
def get_vhd(bound: Bound) -> Iterator[object]:
    """Show virtual disks by path, or all of a VM."""
    context = require_sight(bound)
    refuse(bound, "DiskNumber")
    disks = [(m, d) for m in visible(context) for d in m.disks]
    if bound.has("VMId"):
        ids = bound.get("VMId")
        chosen = [(m, d) for m, d in disks if m.id in (ids if isinstance(ids, list) else [ids])]
    else:
        chosen, paths = [], bound.get("Path")
        for path in paths if isinstance(paths, list) else [paths]:
            found = [(m, d) for m, d in disks if d.path.casefold() == str(path).casefold()]
            if not found:
                yield failure(bound, NOT_FOUND, "no_file", target=path, name=path)
            chosen += found[:1]
    for machine, disk in chosen:
        yield of_class(
            _VHD + "VirtualHardDisk",
            {
                "ComputerName": context.host.computer_name,
                "Path": disk.path,
                "VhdFormat": enum(_VHD + "VhdFormat", "VHDX"),
                "VhdType": enum(_VHD + "VhdType", "Dynamic"),
                "FileSize": disk.size_bytes // 3,
                "Size": disk.size_bytes,
                "MinimumSize": None,
                "LogicalSectorSize": 512,
                "PhysicalSectorSize": 4096,
                "BlockSize": 32 * 2**20,
                "ParentPath": "",
                "DiskIdentifier": str(uuid.uuid5(machine.id, disk.path)).upper(),
                "FragmentationPercentage": None,
                "Alignment": 1,
                "Attached": machine.is_on,
                "DiskNumber": None,
            },
            base=(machine, disk),
        )
