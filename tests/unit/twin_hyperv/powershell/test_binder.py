# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binding as PowerShell binds: sets, positions, pipeline, conversion; and the prompts that nobody can answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import registry, sets
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.binder import (
    BARE,
    INPUT_TO_COME,
    NO_INPUT,
    bind,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError, SimulatorError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.metadata import (
    ALL_SETS,
    Cmdlet,
    Parameter,
    Place,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.parse import parse
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.sets import BindingError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import (
    EnumValue,
    Hashtable,
    Int64,
    PSObject,
    ScriptBlock,
)

HYPERV = "Microsoft.HyperV.PowerShell."
GUID = "6f1c1d1e-3c5e-4f5e-9b1e-0a1b2c3d4e5f"
VM = PSObject({"Id": uuid.UUID(GUID), "Name": "web[1]"}, [f"{HYPERV}VirtualMachine", f"{HYPERV}VirtualMachineBase"])
POINT = PSObject({"Id": uuid.UUID(GUID), "Name": "web"}, [f"{HYPERV}VMSnapshot", f"{HYPERV}VirtualMachineBase"])
NIC = PSObject({"Name": "Network Adapter"}, [f"{HYPERV}VMNetworkAdapter", f"{HYPERV}VMNetworkAdapterBase"])
SWITCH = PSObject({"Name": "LAN"}, [f"{HYPERV}VMSwitch"])
REPLICATION = PSObject({"VMName": "web", "ReplicaServerName": "b"}, [f"{HYPERV}VMReplication"])
INSTANCE = PSObject(
    {"Name": "x"},
    [
        "Microsoft.Management.Infrastructure.CimInstance#root/virtualization/v2/Msvm_ComputerSystem",
        "Microsoft.Management.Infrastructure.CimInstance",
    ],
)
BLOCK = ScriptBlock("$true", parse("$true").block)


class FakeSession:
    """A session that remembers what was written to its console."""

    context = None

    def __init__(self, **variables: object) -> None:
        self.variables = variables
        self.said: list[str] = []

    def variable(self, name: str) -> object:
        return self.variables.get(name)

    def write_host(self, text: str) -> None:
        self.said.append(text)


# --- sets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "named", "piped", "set_name"),
    [
        ("Start-VMFailover", [("VM", VM)], NO_INPUT, "VMObject"),
        ("Start-VMFailover", [("VM", VM), ("Prepare", BARE)], NO_INPUT, "VMObject"),
        ("Start-VMFailover", [("VM", VM), ("AsTest", BARE)], NO_INPUT, "VMObject_Test"),
        ("Start-VMFailover", [("VMName", "web"), ("Prepare", BARE)], NO_INPUT, "VMName"),
        ("Start-VMFailover", [], POINT, "VMSnapshot"),
        ("Start-VMFailover", [("AsTest", BARE)], POINT, "VMSnapshot_Test"),
        ("Start-VMFailover", [], VM, "VMObject"),
        ("Start-VMFailover", [("VMRecoverySnapshot", POINT)], NO_INPUT, "VMSnapshot"),
        ("Get-VM", [], NO_INPUT, "Name"),
        ("Get-VM", [("Id", GUID)], NO_INPUT, "Id"),
        ("Get-VM", [], "web", "Name"),
        ("Get-VM", [], uuid.UUID(GUID), "Id"),
        ("Get-VMReplication", [], VM, "VMObject"),
        ("Set-VMReplication", [("Reverse", BARE)], REPLICATION, "VMReplication"),
        ("Connect-VMNetworkAdapter", [("SwitchName", "LAN")], NIC, "Object_SwitchName"),
        (
            "Connect-VMNetworkAdapter",
            [("VMNetworkAdapter", NIC), ("VMSwitch", SWITCH)],
            NO_INPUT,
            "Object_SwitchObject",
        ),
        ("Get-CimInstance", [("ClassName", "Win32_OperatingSystem")], NO_INPUT, "ClassNameComputerSet"),
        ("Invoke-CimMethod", [("MethodName", "Reset")], INSTANCE, "CimInstanceComputerSet"),
        ("Get-WinEvent", [("FilterHashtable", Hashtable())], NO_INPUT, "HashQuerySet"),
        ("Get-NetFirewallRule", [("Name", "VIRT-HVRHTTPL-In-TCP-NoScope")], NO_INPUT, "ByName"),
        ("Where-Object", [("FilterScript", BLOCK)], VM, "ScriptBlockSet"),
        ("Measure-Object", [], INPUT_TO_COME, "GenericMeasure"),
        ("Out-Null", [], 5, "__AllParameterSets"),
    ],
)
def test_a_call_falls_into_the_set_that_powershell_takes(name, named, piped, set_name):
    assert bind(name, named, pipeline_input=piped).set_name == set_name


@pytest.mark.parametrize(
    ("rule", "name", "named", "piped"),
    [
        (sets.UNKNOWN_CMDLET, "Get-VMs", [], NO_INPUT),
        (sets.UNKNOWN_PARAMETER, "Start-VMFailover", [("Foo", BARE)], NO_INPUT),
        (sets.UNKNOWN_PARAMETER, "Get-VMReplication", [("Re", "a")], NO_INPUT),  # ReplicaServerName, ReplicationState
        (sets.UNKNOWN_PARAMETER, "Get-VM", [("Confirm", False)], NO_INPUT),  # it supports no ShouldProcess
        (sets.NO_SET, "Start-VMFailover", [("VM", VM), ("AsTest", BARE), ("Prepare", BARE)], NO_INPUT),
        (sets.NO_SET, "Start-VMFailover", [("VM", VM), ("VMName", "web")], NO_INPUT),
        (sets.NO_SET, "Get-VM", [("Id", GUID), ("Name", "web")], NO_INPUT),
        (sets.MISSING, "Start-VM", [], NO_INPUT),
        (sets.MISSING, "Start-VMFailover", [("AsTest", BARE)], NO_INPUT),
        (sets.MISSING, "Connect-VMNetworkAdapter", [("VMNetworkAdapter", NIC)], NO_INPUT),
        (sets.MISSING, "Test-VMReplicationConnection", [("ReplicaServerName", "b")], NO_INPUT),
        (sets.TWICE, "Get-VM", [("Id", GUID), ("Id", GUID)], NO_INPUT),
        (sets.TWICE, "Start-VM", [("VMName", "a"), ("Name", "a")], NO_INPUT),
        (sets.UNBOUND, "Start-VMFailover", [], REPLICATION),
        (sets.UNBOUND, "Start-VMFailover", [], 5.5),
        (sets.UNBOUND, "Start-VMFailover", [], None),
        (sets.UNBOUND, "Get-VMSwitch", [("Name", "LAN")], NIC),
        (sets.UNBOUND, "Test-VMReplicationConnection", [], INPUT_TO_COME),
    ],
)
def test_a_call_that_powershell_would_refuse_is_a_simulator_error(rule, name, named, piped):
    with pytest.raises(BindingError) as caught:
        bind(name, named, pipeline_input=piped)

    assert caught.value.rule == rule
    assert isinstance(caught.value, SimulatorError)


def test_two_sets_that_both_fit_are_ambiguous_unless_one_is_the_default():
    both = Parameter(name="Force", type="switch", sets={ALL_SETS: Place()})
    marks = [Parameter(name=name, type="string", sets={name: Place()}) for name in ("Left", "Right")]
    cmdlet = Cmdlet(
        name="Get-Way",
        source="this test",
        parameters={parameter.name: parameter for parameter in (both, *marks)},
        set_names=("Left", "Right"),
        default_set=None,
        supports_should_process=False,
        confirm_impact="Medium",
        outputs=(),
        error_class="GetWay",
    )

    with pytest.raises(BindingError) as caught:
        sets.chosen(cmdlet, cmdlet.set_names, {"Force"})

    assert caught.value.rule == sets.AMBIGUOUS
    assert sets.chosen(cmdlet, sets.narrowed(cmdlet, cmdlet.set_names, marks[1]), {"Force", "Right"}) == "Right"
    assert sets.chosen(dataclasses.replace(cmdlet, default_set="Left"), cmdlet.set_names, {"Force"}) == "Left"


def test_a_cmdlet_that_takes_its_input_as_a_whole_is_bound_before_it_comes():
    assert dict(bind("Sort-Object", [("Property", "Id")], pipeline_input=INPUT_TO_COME).arguments) == {
        "Property": ["Id"]
    }


# --- names and positions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ReplicaServerName", "replicaservername", "ReplicaServer", "ReplicaServerN"])
def test_a_parameter_answers_to_its_name_its_alias_and_a_beginning_that_is_its_own(name):
    bound = bind("Set-VMReplication", [("VM", VM), ("Reverse", BARE), (name, "a.example")])

    assert bound.get("ReplicaServerName") == "a.example"


def test_positional_arguments_go_by_their_place_and_their_type():
    named_first = bind("Get-VMSnapshot", [("VM", VM)], ["Before the patch"])
    by_object = bind("Get-VMSnapshot", [], [VM, "Before the patch"])
    block = bind("Where-Object", [], [BLOCK], VM)

    assert dict(named_first.arguments) == {"VM": [VM], "Name": "Before the patch"}
    assert dict(by_object.arguments) == {"VM": [VM], "Name": "Before the patch"}
    assert (block.set_name, block.get("FilterScript")) == ("ScriptBlockSet", BLOCK)


def test_an_argument_too_many_has_no_place():
    with pytest.raises(BindingError) as caught:
        bind("Get-VM", [], ["web", "mail"])

    assert caught.value.rule == sets.UNBOUND


# --- the pipeline ----------------------------------------------------------------------------------------------------


def test_a_property_is_bound_by_its_name_where_the_object_itself_is_not():
    bound = bind("Get-VHD", [], pipeline_input=PSObject({"Path": "C:\\a.vhdx", "Number": 3}))

    assert (bound.set_name, bound.get("Path")) == ("Path", ["C:\\a.vhdx"])


def test_an_object_is_not_bound_as_its_own_text():
    with pytest.raises(BindingError):
        bind("Start-VM", [], pipeline_input=POINT)


def test_a_parameter_given_by_name_is_not_bound_from_the_pipeline_again():
    bound = bind("ConvertTo-Json", [("Depth", 6), ("Compress", BARE)], pipeline_input=VM)

    assert dict(bound.arguments) == {"Depth": 6, "Compress": True, "InputObject": VM}


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameter", "value", "bound_as"),
    [
        ("Get-VM", "Id", GUID, uuid.UUID(GUID)),
        ("Get-VM", "Id", uuid.UUID(GUID), uuid.UUID(GUID)),
        ("Set-VM", "AutomaticStartAction", "nothing", EnumValue(f"{HYPERV}StartAction", "Nothing", 2)),
        ("Set-VM", "AutomaticStartAction", 4, EnumValue(f"{HYPERV}StartAction", "Start", 4)),
        ("Set-VM", "AutomaticStartAction", "3", EnumValue(f"{HYPERV}StartAction", "StartIfRunning", 3)),
        ("Set-VM", "Notes", "", ""),
        ("Set-VM", "Notes", 5, "5"),
        ("Set-VM", "ProcessorCount", Int64(4), Int64(4)),
        ("Set-VM", "MemoryStartupBytes", 512, Int64(512)),
        ("Set-VM", "AutomaticStartDelay", "30", 30),
        ("Set-VM", "AutomaticCheckpointsEnabled", 0, False),
        ("Stop-VM", "TurnOff", BARE, True),
        ("Stop-VM", "TurnOff", False, False),
        ("Get-VMSnapshot", "SnapshotType", "SyncedReplica", EnumValue(f"{HYPERV}SnapshotType", "SyncedReplica", 8)),
        ("Get-WinEvent", "MaxEvents", 100, Int64(100)),
        ("Write-Error", "Category", "ObjectNotFound", EnumValue("System.Management.Automation.ErrorCategory", "x", 13)),
        ("Get-Date", "Date", dt.datetime(2026, 8, 15), dt.datetime(2026, 8, 15)),
        ("Start-VM", "VM", [VM, VM], [VM, VM]),
    ],
)
def test_a_value_takes_the_type_of_its_parameter(name, parameter, value, bound_as):
    others: list[tuple[str, object]] = [("VM", VM)] if name in ("Set-VM", "Stop-VM", "Get-VMSnapshot") else []
    others += [("LogName", "x")] if name == "Get-WinEvent" else []

    bound = bind(name, [*others, (parameter, value)]).get(parameter)

    assert bound == bound_as
    assert type(bound) is type(bound_as)


@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        ("Get-VM", "Id", "web"),
        ("Get-VM", "Id", None),
        ("Get-VM", "Id", BARE),
        ("Set-VM", "AutomaticStartAction", "Never"),
        ("Set-VM", "AutomaticStartAction", 1),
        ("Set-VM", "AutomaticStartAction", EnumValue(f"{HYPERV}StopAction", "Save", 3)),
        ("Set-VM", "Notes", None),
        ("Set-VM", "Notes", VM),
        ("Set-VM", "AutomaticCheckpointsEnabled", "false"),
        ("Set-VM", "ProcessorCount", "four"),
        ("Stop-VM", "TurnOff", "yes"),
        ("Stop-VM", "TurnOff", None),
        ("Stop-VM", "ErrorAction", "Give up"),
        ("Stop-VM", "VM", POINT),
        ("Stop-VM", "VM", []),
        ("Stop-VM", "Name", ""),
        ("Get-VMSnapshot", "SnapshotType", "Replicated"),
        ("Get-VMSnapshot", "Name", ["a", "b"]),
        ("Set-VMReplication", "ReplicationFrequencySec", 10),
        ("Set-VMReplication", "ReplicaServerPort", 70000),
        ("Get-Date", "Date", "2026-08-15"),
        ("Get-WinEvent", "FilterHashtable", VM),
        ("Where-Object", "FilterScript", "$true"),
    ],
)
def test_a_value_that_does_not_fit_is_a_simulator_error(name, parameter, value):
    others = [("VM", VM)] if name.split("-")[0] in ("Set", "Stop") and parameter not in ("VM", "Name") else []

    with pytest.raises(BindingError) as caught:
        bind(name, [*others, (parameter, value)])

    assert caught.value.rule == sets.BAD_VALUE
    assert f"-{parameter}" in str(caught.value)


# --- what a cmdlet may ask -------------------------------------------------------------------------------------------


def failover(*named, **variables):
    session = FakeSession(**variables)
    return bind("Start-VMFailover", [("VM", VM), *named], session=session), session


def test_a_high_impact_cmdlet_without_confirm_false_fails_as_powershell_fails_without_a_console():
    bound, dummy = failover()

    with pytest.raises(PowerShellError) as caught:
        bound.should_process("web[1]")

    error = caught.value
    assert error.message == (
        "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available."
    )
    assert error.error_id == "InvalidOperation,Microsoft.HyperV.PowerShell.Commands.StartVMFailover"
    assert (error.category, error.activity) == ("InvalidOperation", "Start-VMFailover")
    assert error.is_terminating


@pytest.mark.parametrize(
    ("name", "named", "variables", "outcome"),
    [
        ("Start-VMFailover", [("Confirm", False)], {}, "acts"),
        ("Start-VMFailover", [], {"ConfirmPreference": "None"}, "acts"),
        ("Start-VMFailover", [("Confirm", BARE)], {"ConfirmPreference": "None"}, "asks"),
        ("Start-VMFailover", [("WhatIf", BARE)], {}, "says"),
        ("Start-VMFailover", [("WhatIf", False), ("Confirm", False)], {}, "acts"),
        ("Start-VMFailover", [("Confirm", False)], {"WhatIfPreference": True}, "says"),
        ("Stop-VMFailover", [], {}, "acts"),
        ("Stop-VMFailover", [], {"ConfirmPreference": "High"}, "acts"),
        ("Stop-VMFailover", [], {"ConfirmPreference": "Medium"}, "asks"),
        ("Stop-VMFailover", [("Confirm", BARE)], {}, "asks"),
    ],
)
def test_whether_a_cmdlet_acts_asks_or_says_what_it_would_do(name, named, variables, outcome):
    session = FakeSession(**variables)
    bound = bind(name, [("VM", VM), *named], session=session)

    try:
        done = "acts" if bound.should_process("web[1]") else "says"
    except PowerShellError:
        done = "asks"

    assert done == outcome
    assert session.said == (
        [f'What if: Performing the operation "{name}" on target "web[1]".'] if outcome == "says" else []
    )


def test_a_cmdlet_that_never_asks_must_not_be_made_to():
    with pytest.raises(SimulatorError):
        bind("Get-VM", [], session=FakeSession()).should_process("web[1]")


def test_the_common_parameters_are_kept_apart_from_the_cmdlets_own():
    bound = bind("Stop-VM", [("VM", VM), ("ErrorAction", "stop"), ("Verbose", BARE), ("Confirm", False)])

    assert dict(bound.arguments) == {"VM": [VM]}
    assert bound.error_action == "Stop"
    assert (bound.common["Verbose"], bound.common["Confirm"]) == (True, False)
    assert bind("Stop-VM", [("VM", VM)]).error_action is None
    assert not bound.has("Force")
    assert not bound.is_on("Force")
    assert bound.get("Force", "absent") == "absent"


# --- who plays a cmdlet ----------------------------------------------------------------------------------------------


def test_a_cmdlet_that_nobody_plays_or_that_has_no_row_is_a_simulator_error(monkeypatch):
    monkeypatch.setattr(registry, "_RUNS", {})

    with pytest.raises(SimulatorError):
        registry.run_of("Get-VM")
    with pytest.raises(SimulatorError):
        registry.cmdlet("Get-VMs")


def test_a_cmdlet_is_played_by_one_function(monkeypatch):
    monkeypatch.setattr(registry, "_RUNS", {})

    @registry.cmdlet("Get-VM")
    def one(bound):
        yield bound

    assert registry.run_of("get-vm") is one
    with pytest.raises(SimulatorError):
        registry.cmdlet("Get-VM")(lambda bound: iter(()))
