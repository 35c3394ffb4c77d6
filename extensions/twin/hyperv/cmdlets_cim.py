# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CIM: the guests' screens, the VMs' last changes, the host's memory and volumes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import context_of, play_only, visible
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import Hashtable, PSObject

_CIM = "Microsoft.Management.Infrastructure.CimInstance"
_VIRTUALIZATION, _CIMV2 = "root/virtualization/v2", "root/cimv2"
_REALIZED, _SNAPSHOT = "Microsoft:Hyper-V:System:Realized", "Microsoft:Hyper-V:Snapshot:Realized"
_ENABLED_STATES = {"Running": 2, "Off": 3, "Stopping": 4, "Saved": 6, "Paused": 9, "Starting": 10}
_COMPLETED, _INVALID_STATE = 0, 32775
_LARGEST = 4096
_WQL = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(\d+))\s*", re.ASCII)
_SYSTEM_SHARE = 0.3  # of a volume that is in use


def _instance(space: str, name: str, properties: Mapping[str, object], base: object = None) -> PSObject:
    types = (f"{_CIM}#{space}/{name}", _CIM, "System.Object")
    shown = {**properties, "CreationClassName": name, "PSComputerName": None}
    return PSObject(shown, types, text=name, base=base)


def _error(bound: Bound, code: str, category: str, key: str) -> PowerShellError:
    return PowerShellError(
        messages.text(key, context_of(bound).culture),
        bound.error_id(f"HRESULT {code}"),
        category,
        exception_type="Microsoft.Management.Infrastructure.CimException",
        activity=bound.name,
    )


# --- classes ---------------------------------------------------------------------------------------------------------


def _computer_systems(context: Context) -> Iterator[PSObject]:
    host = context.host
    yield _instance(
        _VIRTUALIZATION,
        "Msvm_ComputerSystem",
        {
            "Name": host.computer_name,
            "ElementName": host.computer_name,
            "Caption": "Hosting Computer System",
            "EnabledState": 2,
            "TimeOfLastStateChange": None,
            "TimeOfLastConfigurationChange": None,
            "OnTimeInMilliseconds": None,
        },
        host,
    )
    yield from (_computer_system(context, machine) for machine in visible(context))


def _computer_system(context: Context, machine: Machine) -> PSObject:
    return _instance(
        _VIRTUALIZATION,
        "Msvm_ComputerSystem",
        {
            "Name": machine.key.upper(),
            "ElementName": machine.name,
            "Caption": "Virtual Machine" if context.host.culture == "en-US" else "Virtueller Computer",
            "EnabledState": _ENABLED_STATES[machine.state],
            "TimeOfLastStateChange": context.local(machine.changed_at_s or machine.created_at_s),
            "TimeOfLastConfigurationChange": context.local(machine.configured_at_s or machine.created_at_s),
            "OnTimeInMilliseconds": int(context.fleet.guests.uptime_s(machine) * 1000),
        },
        machine,
    )


def _settings(context: Context) -> Iterator[PSObject]:
    for machine in visible(context):
        yield _setting(context, machine)
        for point in machine.checkpoints:
            yield _instance(
                _VIRTUALIZATION,
                "Msvm_VirtualSystemSettingData",
                {
                    "InstanceID": f"Microsoft:{str(point.id).upper()}",
                    "ElementName": point.name,
                    "VirtualSystemIdentifier": machine.key.upper(),
                    "VirtualSystemType": _SNAPSHOT,
                    "CreationTime": context.local(point.made_at_s),
                    "Notes": [],
                },
                point,
            )


def _setting(context: Context, machine: Machine) -> PSObject:
    return _instance(
        _VIRTUALIZATION,
        "Msvm_VirtualSystemSettingData",
        {
            "InstanceID": f"Microsoft:{machine.key.upper()}",
            "ElementName": machine.name,
            "VirtualSystemIdentifier": machine.key.upper(),
            "VirtualSystemType": _REALIZED,
            "CreationTime": context.local(machine.created_at_s),
            "Notes": [machine.notes],
        },
        machine,
    )


def _service(context: Context) -> Iterator[PSObject]:
    yield _instance(
        _VIRTUALIZATION,
        "Msvm_VirtualSystemManagementService",
        {"Name": "vmms", "ElementName": "Hyper-V Virtual System Management Service", "Started": True},
        context.host,
    )


def _operating_system(context: Context) -> Iterator[PSObject]:
    host = context.host
    is_german = host.culture == "de-DE"
    yield _instance(
        _CIMV2,
        "Win32_OperatingSystem",
        {
            "Caption": f"Microsoft Windows Server 2022 {'Standard' if is_german else 'Datacenter'}",
            "Version": "10.0.20348",
            "BuildNumber": "20348",
            "CSName": host.computer_name,
            "OSLanguage": 1031 if is_german else 1033,
            "TotalVisibleMemorySize": host.memory_bytes // 1024,
            "FreePhysicalMemory": max(0, context.fleet.powers.free_memory_bytes(host)) // 1024,
            "LastBootUpTime": context.local(host.booted_at_s),
            "LocalDateTime": dt.datetime.fromtimestamp(context.now_s(), context.zone),
        },
    )


def _logical_disks(context: Context) -> Iterator[PSObject]:
    used = sum(d.size_bytes for m in context.fleet.machines_on(context.host.name) for d in m.disks)
    for name, kind, size, free in (
        ("C:", 3, 200 * 2**30, int(200 * 2**30 * _SYSTEM_SHARE)),
        ("D:", 3, context.host.disk_bytes, max(0, context.host.disk_bytes - used)),
        ("E:", 5, None, None),
    ):
        properties = {"DeviceID": name, "DriveType": kind, "Size": size, "FreeSpace": free, "VolumeName": ""}
        yield _instance(_CIMV2, "Win32_LogicalDisk", properties)


_CLASSES: dict[tuple[str, str], Callable[[Context], Iterator[PSObject]]] = {
    (_VIRTUALIZATION, "msvm_computersystem"): _computer_systems,
    (_VIRTUALIZATION, "msvm_virtualsystemsettingdata"): _settings,
    (_VIRTUALIZATION, "msvm_virtualsystemmanagementservice"): _service,
    (_CIMV2, "win32_operatingsystem"): _operating_system,
    (_CIMV2, "win32_logicaldisk"): _logical_disks,
}


# --- cmdlets ---------------------------------------------------------------------------------------------------------


def _space(bound: Bound, default: str) -> str:
    return str(bound.get("Namespace") or default).replace("\\", "/").casefold()


@cmdlet("Get-CimInstance")
def get_cim_instance(bound: Bound) -> Iterator[object]:
    """Show the instances of a class, perhaps of those with certain values."""
    context = context_of(bound)
    play_only(bound, "ClassName", "Namespace", "Filter", "Property", "OperationTimeoutSec")
    space, name = _space(bound, _CIMV2), str(bound.get("ClassName")).casefold()
    if space == _VIRTUALIZATION and context.rights is Rights.DENIED:
        raise _error(bound, "0x80041003", "PermissionDenied", "no_cim_rights")
    instances = _CLASSES.get((space, name))
    if instances is None:
        raise SimulatorError(f"the twin has no class {name} in {space}")
    context.fleet.tick()
    wanted = _conditions(str(bound.get("Filter") or ""))
    with context.fleet.lock:
        for found in instances(context):
            if all(str(_value(found, key)).casefold() == value.casefold() for key, value in wanted):
                yield found


def _conditions(text: str) -> list[tuple[str, str]]:
    """Read a WQL condition: names that equal values, joined by AND."""
    found = []
    for part in re.split(r"\band\b", text, flags=re.IGNORECASE) if text.strip() else []:
        match = _WQL.fullmatch(part)
        if match is None:
            raise SimulatorError(f"the twin does not read the WQL condition {text!r}")
        value = next(group for group in match.groups()[1:] if group is not None)
        found.append((match[1], re.sub(r"\\(.)", r"\1", value)))
    return found


def _value(instance: PSObject, name: str) -> object:
    if not instance.has(name):
        raise SimulatorError(f"{instance.type_names[0]} has no property {name}")
    return instance.get(name)


@cmdlet("Get-CimAssociatedInstance")
def get_cim_associated_instance(bound: Bound) -> Iterator[object]:
    """Show the settings of a VM."""
    context = context_of(bound)
    play_only(bound, "InputObject", "ResultClassName", "Association", "Namespace", "OperationTimeoutSec")
    source = bound.get("InputObject")
    result = str(bound.get("ResultClassName") or "").casefold()
    association = str(bound.get("Association") or "Msvm_SettingsDefineState").casefold()
    is_known = result == "msvm_virtualsystemsettingdata" and association == "msvm_settingsdefinestate"
    if not isinstance(source, PSObject) or not isinstance(source.base, Machine) or not is_known:
        raise SimulatorError(f"the twin does not play the association of {source!r} with {result}")
    yield _setting(context, source.base)


@cmdlet("Invoke-CimMethod")
def invoke_cim_method(bound: Bound) -> Iterator[object]:
    """Draw a guest's screen: GetVirtualSystemThumbnailImage of the management service."""
    context = context_of(bound)
    play_only(bound, "InputObject", "MethodName", "Arguments", "OperationTimeoutSec")
    service, arguments = bound.get("InputObject"), bound.get("Arguments")
    method = str(bound.get("MethodName")).casefold()
    is_service = isinstance(service, PSObject) and service.is_a(
        f"{_CIM}#{_VIRTUALIZATION}/Msvm_VirtualSystemManagementService"
    )
    if not is_service or method != "getvirtualsystemthumbnailimage" or not isinstance(arguments, Hashtable):
        raise SimulatorError(f"the twin does not play {bound.name} {method} of {service!r}")
    unknown = {str(k).casefold() for k, dummy in arguments.items()} - {"targetsystem", "widthpixels", "heightpixels"}
    target = arguments.get("TargetSystem")
    if unknown or not isinstance(target, PSObject) or not isinstance(target.base, Machine):
        raise SimulatorError(f"{bound.name} {method}: TargetSystem is no realized Msvm_VirtualSystemSettingData")
    width, height = arguments.get("WidthPixels"), arguments.get("HeightPixels")
    if not isinstance(width, int) or not isinstance(height, int) or not 0 < width * height <= _LARGEST**2:
        raise SimulatorError(f"{bound.name} {method}: {width!r} x {height!r} pixels")
    if not bound.should_process("Msvm_VirtualSystemManagementService"):
        return
    context.fleet.tick()
    with context.fleet.lock:
        frame = context.fleet.guests.frame(target.base, width, height)
    yield PSObject(
        {
            "ReturnValue": _INVALID_STATE if frame is None else _COMPLETED,
            "ImageData": frame,
            "PSComputerName": None,
        },
        ("Microsoft.Management.Infrastructure.CimMethodResult", "System.Object"),
    )
