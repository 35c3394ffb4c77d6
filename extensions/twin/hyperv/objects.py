# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet as objects of the real classes: VirtualMachine, VMReplication, VMSnapshot, VMNetworkAdapter and the rest.

An object shows the present at every reading, as the module's own objects do. A property that the class has and the twin
does not play is there, and reading it is a SimulatorError.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.health import health
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Host, Switch
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Adapter, Checkpoint, Disk, Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import metadata
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue, Int64, PSObject

HYPERV = "Microsoft.HyperV.PowerShell."


def enum(type_name: str, name: str) -> EnumValue:
    """One value of an enumeration of cmdlets.json; a bare type name is one of Hyper-V's."""
    whole = type_name if "." in type_name else HYPERV + type_name
    values = metadata.enum_values(whole)
    if values is None or name not in values:
        raise SimulatorError(f"[{whole}] has no value {name!r}")
    return EnumValue(whole, name, values[name])


def of_class(
    class_name: str,
    properties: Mapping[str, object],
    *,
    base: object = None,
    text: str | Callable[[], str] | None = None,
) -> PSObject:
    """Make an object of a class of cmdlets.json, held against the properties that it really has."""
    known = metadata.classes().get(class_name)
    if known is None:
        raise SimulatorError(f"cmdlets.json has no class {class_name}")
    wrong = [name for name in properties if name not in known.properties]
    if wrong:
        raise SimulatorError(f"{class_name} has no property {', '.join(wrong)}")
    shown = {**_unplayed_of(class_name), **properties}
    return PSObject(shown, (class_name, *known.bases), text=text or class_name, base=base)


@functools.cache
def _unplayed_of(class_name: str) -> Mapping[str, object]:
    return {name: _unplayed(class_name, name) for name in metadata.classes()[class_name].properties}


def _unplayed(class_name: str, name: str) -> Callable[[], object]:
    def read() -> object:
        raise SimulatorError(f"the twin does not play {class_name}.{name}")

    return read


def _common(host: Host) -> dict[str, object]:
    return {"ComputerName": host.computer_name, "IsDeleted": False}


def virtual_machine(context: Context, machine: Machine) -> PSObject:
    """Show a VM; ``base`` is the Machine."""
    fleet, host = context.fleet, context.fleet.hosts[machine.host]

    def operational(number: int) -> Callable[[], object]:
        def read() -> object:
            status = machine.operational_status
            return enum("VMOperationalStatus", status[number]) if number < len(status) else None

        return read

    def status_text() -> str:
        is_ok = machine.operational_status[:1] == ("Ok",)
        return messages.text("status_ok" if is_ok else "status_degraded", context.culture)

    def heartbeat() -> object:
        name = fleet.guests.heartbeat(machine)
        return None if name is None else enum("VMHeartbeatStatus", name)

    def end(name: str, default: str) -> str:
        return str(getattr(machine.endpoint, name)) if machine.endpoint else default

    return of_class(
        HYPERV + "VirtualMachine",
        {
            **_common(host),
            "Id": machine.id,
            "Name": lambda: machine.name,
            "State": lambda: enum("VMState", machine.shown_state),
            "Notes": lambda: machine.notes,
            "Generation": machine.generation,
            "Version": machine.version,
            "CreationTime": context.local(machine.created_at_s),
            "Uptime": lambda: dt.timedelta(seconds=fleet.guests.uptime_s(machine)),
            "Heartbeat": heartbeat,
            "OperationalStatus": lambda: [enum("VMOperationalStatus", name) for name in machine.operational_status],
            "PrimaryOperationalStatus": operational(0),
            "SecondaryOperationalStatus": operational(1),
            "Status": status_text,
            "PrimaryStatusDescription": status_text,
            "SecondaryStatusDescription": None,
            "StatusDescriptions": lambda: [status_text()],
            "IntegrationServicesState": "",
            "IntegrationServicesVersion": None,
            "AutomaticStartAction": lambda: enum("StartAction", machine.auto_start),
            "AutomaticStartDelay": lambda: machine.auto_start_delay_s,
            "AutomaticStopAction": lambda: enum("StopAction", machine.auto_stop),
            "CheckpointType": enum("CheckpointType", "Production"),
            "CPUUsage": lambda: 5 if machine.state == "Running" else 0,
            "ProcessorCount": Int64(machine.cpus),
            "MemoryStartup": Int64(machine.memory_bytes),
            "MemoryMinimum": Int64(machine.memory_bytes),
            "MemoryMaximum": Int64(machine.memory_bytes),
            "DynamicMemoryEnabled": False,
            "MemoryAssigned": lambda: Int64(machine.memory_bytes if machine.is_on else 0),
            "MemoryDemand": lambda: Int64(machine.memory_bytes * 3 // 5 if machine.is_on else 0),
            "MemoryStatus": "",
            "IsClustered": machine.is_clustered,
            "ParentSnapshotId": None,
            "ParentSnapshotName": None,
            "Path": rf"D:\Hyper-V\{machine.name}",
            "ConfigurationLocation": rf"D:\Hyper-V\{machine.name}",
            "SnapshotFileLocation": rf"D:\Hyper-V\{machine.name}",
            "ReplicationMode": lambda: enum("VMReplicationMode", end("mode", "None")),
            "ReplicationState": lambda: enum("VMReplicationState", end("state", "Disabled")),
            "ReplicationHealth": lambda: enum("VMReplicationHealthState", health(machine.endpoint, fleet.now_s())[0]),
            "NetworkAdapters": lambda: [network_adapter(context, machine, card) for card in machine.adapters],
            "HardDrives": lambda: [hard_disk_drive(context, machine, disk) for disk in machine.disks],
            "IsDeleted": lambda: machine not in fleet.machines,
        },
        base=machine,
        text=f"VirtualMachine (Name = '{machine.name}') [Id = '{machine.key}']",
    )


def network_adapter(context: Context, machine: Machine, card: Adapter) -> PSObject:
    """Show an adapter; ``base`` is the pair of Machine and Adapter."""
    fleet, host = context.fleet, context.fleet.hosts[machine.host]

    def switch_id() -> object:
        switch = host.switch(card.switch)
        return switch.id if switch else None

    return of_class(
        HYPERV + "VMNetworkAdapter",
        {
            **_common(host),
            "Id": card.id,
            "AdapterId": card.id.rpartition("\\")[2],
            "Name": card.name,
            "VMId": machine.id,
            "VMName": lambda: machine.name,
            "VMSnapshotId": uuid.UUID(int=0),
            "VMSnapshotName": "",
            "Connected": lambda: bool(card.switch),
            "SwitchName": lambda: card.switch,
            "SwitchId": switch_id,
            "TestReplicaSwitchName": lambda: card.test_switch,
            "MacAddress": card.mac,
            "DynamicMacAddressEnabled": True,
            "IPAddresses": lambda: list(card.addresses) if fleet.guests.addresses(machine) and card.switch else [],
            "IsLegacy": card.is_legacy,
            "IsSynthetic": not card.is_legacy,
            "IsManagementOs": False,
            "IsExternalAdapter": False,
            "Status": lambda: [enum("VMNetworkAdapterOperationalStatus", "Ok")] if machine.is_on else [],
        },
        base=(machine, card),
    )


def hard_disk_drive(context: Context, machine: Machine, disk: Disk) -> PSObject:
    host = context.fleet.hosts[machine.host]
    return of_class(
        HYPERV + "HardDiskDrive",
        {
            **_common(host),
            "Path": disk.path,
            "DiskNumber": None,
            "ControllerType": enum("ControllerType", disk.controller_type),
            "ControllerNumber": disk.controller_number,
            "ControllerLocation": disk.controller_location,
            "Name": f"Hard Drive on {disk.controller_type} controller number {disk.controller_number} at location "
            f"{disk.controller_location}",
            "Id": f"Microsoft:{machine.key.upper()}\\{disk.controller_number}\\{disk.controller_location}\\D",
            "VMId": machine.id,
            "VMName": machine.name,
            "VMSnapshotId": uuid.UUID(int=0),
            "VMSnapshotName": "",
        },
        base=(machine, disk),
    )


def snapshot(context: Context, machine: Machine, point: Checkpoint) -> PSObject:
    """Show a checkpoint or recovery point; ``base`` is the pair of Machine and Checkpoint."""
    return of_class(
        HYPERV + "VMSnapshot",
        {
            **_common(context.fleet.hosts[machine.host]),
            "Id": point.id,
            "Name": point.name,
            "SnapshotType": enum("SnapshotType", point.kind),
            "CreationTime": context.local(point.made_at_s),
            "VMId": machine.id,
            "VMName": machine.name,
            "State": enum("VMState", "Off"),
            "ParentSnapshotId": None,
            "ParentSnapshotName": None,
            "Notes": "",
            "Generation": machine.generation,
            "Version": machine.version,
            "IsAutomaticCheckpoint": False,
            "IsClustered": machine.is_clustered,
            "IsDeleted": lambda: point not in machine.checkpoints,
        },
        base=(machine, point),
    )


def vm_switch(host: Host, switch: Switch) -> PSObject:
    return of_class(
        HYPERV + "VMSwitch",
        {
            **_common(host),
            "Id": switch.id,
            "Name": switch.name,
            "SwitchType": enum("VMSwitchType", switch.kind),
            "Notes": "",
            "AllowManagementOS": switch.kind != "Private",
            "NetAdapterInterfaceDescription": "Intel(R) Ethernet" if switch.kind == "External" else "",
        },
        base=switch,
    )


def vm_host(host: Host) -> PSObject:
    return of_class(
        HYPERV + "VMHost",
        {
            **_common(host),
            "Name": host.computer_name,
            "FullyQualifiedDomainName": host.name,
            "LogicalProcessorCount": host.cpus,
            "MemoryCapacity": Int64(host.memory_bytes),
            "VirtualHardDiskPath": r"D:\Hyper-V",
            "VirtualMachinePath": r"D:\Hyper-V",
            "SupportedVmVersions": ["8.0", "9.0", "10.0"],
            "VirtualMachineMigrationEnabled": False,
            "VirtualMachineMigrationAuthenticationType": enum("MigrationAuthenticationType", "CredSSP"),
            "UseAnyNetworkForMigration": False,
            "MaximumVirtualMachineMigrations": 2,
            "MaximumStorageMigrations": 2,
            "NumaSpanningEnabled": True,
            "EnableEnhancedSessionMode": False,
        },
        base=host,
    )
