# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of cmdlets: whole, without contradictions, and with the sources that it must name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_every
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell import core_cmdlets, metadata, registry

TABLE = json.loads(
    (Path(__file__).parents[4] / "extensions/twin/hyperv/powershell/cmdlets.json").read_text(encoding="utf-8")
)
CMDLETS = sorted(metadata.cmdlets().values(), key=lambda cmdlet: cmdlet.name)
PRIMITIVES = frozenset(
    """bool byte datetime double guid hashtable int long object psobject scriptblock string switch timespan uint16 uint32
    uint64 version""".split()
)
# Types that no script may give a value of, so that nothing more need be known of them.
OPAQUE = frozenset("CimSession pscredential Uri XmlDocument ErrorRecord Exception".split())
HYPERV = frozenset(
    """Get-VM Get-VMHost Get-VMReplication Measure-VMReplication Get-VMReplicationServer
    Get-VMReplicationAuthorizationEntry Get-VMSnapshot Get-VMNetworkAdapter Connect-VMNetworkAdapter
    Disconnect-VMNetworkAdapter Get-VMSwitch Get-VMHardDiskDrive Get-VHD Set-VM Start-VM Stop-VM Restart-VM Suspend-VM
    Resume-VM Remove-VMSavedState Start-VMFailover Stop-VMFailover Complete-VMFailover Set-VMReplication
    Start-VMInitialReplication Suspend-VMReplication Resume-VMReplication Test-VMReplicationConnection
    Set-VMNetworkAdapter""".split()
)
WINDOWS = frozenset(
    "Get-WinEvent Get-CimInstance Get-CimAssociatedInstance Invoke-CimMethod Get-NetFirewallRule Get-Host".split()
)
CORE = frozenset(
    """Where-Object ForEach-Object Select-Object Sort-Object Measure-Object ConvertTo-Json ConvertFrom-Json Get-Date
    Start-Sleep Out-Null Write-Error New-Object""".split()
)

each_cmdlet = pytest.mark.parametrize("cmdlet", CMDLETS, ids=lambda cmdlet: cmdlet.name)


def test_the_table_holds_the_cmdlets_that_scripts_may_use_and_no_other():
    assert {cmdlet.name for cmdlet in CMDLETS} == HYPERV | WINDOWS | CORE


def test_only_the_two_failover_cmdlets_are_of_high_impact():
    assert {c.name for c in CMDLETS if c.confirm_impact == "High"} == {"Start-VMFailover", "Complete-VMFailover"}


def test_what_changes_a_vm_or_its_replication_can_be_asked_what_it_would_do():
    acts = {c.name for c in CMDLETS if c.name in HYPERV and c.name.split("-")[0] not in ("Get", "Measure", "Test")}

    assert acts == {c.name for c in CMDLETS if c.name in HYPERV and c.supports_should_process}


def test_every_source_says_what_it_is_and_under_which_licence():
    assert {c.source for c in CMDLETS} == set(TABLE["sources"])
    for source in TABLE["sources"].values():
        assert source["what"]
        assert source["copyright"].startswith("Copyright (c) ")
        assert source["licence"] in ("MIT", "CC-BY-4.0")


@each_cmdlet
def test_a_hyperv_row_comes_from_the_stubs_and_any_other_says_that_it_was_made_by_hand(cmdlet):
    if cmdlet.name in HYPERV:
        assert TABLE["sources"][cmdlet.source]["licence"] == "MIT"
        assert "DSC Community" in TABLE["sources"][cmdlet.source]["copyright"]
    else:
        assert TABLE["sources"][cmdlet.source]["what"].startswith("hand-")


@each_cmdlet
def test_the_default_set_and_every_parameter_belong_to_the_sets(cmdlet):
    assert cmdlet.default_set is None or cmdlet.default_set in cmdlet.set_names
    for parameter in cmdlet.parameters.values():
        assert parameter.sets, parameter.name
        assert set(parameter.sets) <= {*cmdlet.set_names, metadata.ALL_SETS}, parameter.name


@each_cmdlet
def test_a_cmdlet_of_several_sets_names_its_default(cmdlet):
    assert cmdlet.default_set is not None or len(cmdlet.set_names) == 1


@each_cmdlet
def test_a_position_is_taken_once_in_each_set(cmdlet):
    for name in cmdlet.set_names:
        taken = [place.position for p in cmdlet.parameters.values() if (place := p.place(name)) is not None]
        positions = [position for position in taken if position is not None]
        assert len(positions) == len(set(positions)), name


@each_cmdlet
def test_a_name_or_alias_means_one_parameter(cmdlet):
    names = [name.casefold() for p in cmdlet.parameters.values() for name in (p.name, *p.aliases)]

    assert len(names) == len(set(names))
    assert not set(names) & {name.casefold() for name in cmdlet.common}


@each_cmdlet
def test_the_impact_is_one_that_powershell_knows(cmdlet):
    assert cmdlet.confirm_impact in metadata.IMPACTS


@each_cmdlet
def test_a_switch_is_never_positional_and_never_a_list(cmdlet):
    for parameter in cmdlet.parameters.values():
        if parameter.is_switch:
            assert all(place.position is None for place in parameter.sets.values()), parameter.name
        assert parameter.item_type != "switch" or parameter.is_switch


@each_cmdlet
def test_every_type_of_a_parameter_is_a_simple_one_an_enumeration_or_a_class(cmdlet):
    for parameter in cmdlet.parameters.values():
        kind = parameter.item_type
        is_class = kind.startswith(("Microsoft.", "System."))
        assert kind in PRIMITIVES or kind in OPAQUE or is_class, f"{parameter.name}: {kind}"


@pytest.mark.parametrize("type_name", sorted(metadata.enums()))
def test_the_numbers_of_an_enumeration_are_told_apart(type_name):
    values = metadata.enums()[type_name]

    assert values
    assert len(set(values.values())) == len(values)
    assert len({name.casefold() for name in values}) == len(values)


@pytest.mark.parametrize(
    ("type_name", "name", "number"),
    [
        ("VMReplicationState", "PreparedForFailover", 5),
        ("VMReplicationState", "FailedOverWaitingCompletion", 6),
        ("VMReplicationState", "FiredrillInProgress", 21),
        ("VMReplicationMode", "Replica", 2),
        ("SnapshotType", "Replica", 6),
        ("SnapshotType", "AppConsistentReplica", 7),
        ("SnapshotType", "SyncedReplica", 8),
        ("VMState", "Off", 3),
        ("VMState", "PausedCritical", 32789),
        ("StartAction", "Nothing", 2),
        ("ReplicationAuthenticationType", "Certificate", 2),
        ("VMHeartbeatStatus", "LostCommunication", 4),
    ],
)
def test_the_numbers_are_those_of_the_powershell_enumerations_not_of_wmi(type_name, name, number):
    assert metadata.enums()[f"Microsoft.HyperV.PowerShell.{type_name}"][name] == number


@pytest.mark.parametrize("name", sorted(metadata.classes()))
def test_a_property_of_an_output_class_that_is_an_enumeration_is_described(name):
    for written, kind in metadata.classes()[name].properties.items():
        assert kind, written
        if kind.rstrip("[]?").startswith("Microsoft.HyperV.PowerShell.VM") and "State" in kind:
            assert metadata.enum_values(kind.rstrip("[]?")), f"{written}: {kind}"


def test_what_hyperv_cmdlets_put_out_is_described_so_that_the_gate_can_check_its_properties():
    described = set(metadata.classes())
    outputs = {output for c in CMDLETS if c.name in HYPERV for output in c.outputs}

    assert outputs - described == {
        "Microsoft.HyperV.PowerShell.VMNetworkAdapterBase",  # of Set-VMNetworkAdapter, which nobody reads
        "System.String",
    }


def test_the_twin_plays_every_cmdlet_of_the_table():
    assert cmdlets_every.MODULES  # importing them is what registers their cmdlets
    for cmdlet in CMDLETS:
        if cmdlet.name.casefold() not in core_cmdlets.STAGES:
            assert callable(registry.run_of(cmdlet.name)), cmdlet.name


def test_a_cmdlet_is_found_whatever_its_case_and_an_unknown_one_is_not():
    assert metadata.find("gET-vm") is metadata.find("Get-VM")
    assert metadata.find("Remove-VM") is None
