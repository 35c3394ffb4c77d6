# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sequences of Hyper-V Replica from their first command to their last, as scripts on two hosts; the world is the judge."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.world.model import Power, Role
from ansible_collections.ferragosto.dr.extensions.twin.world.watch import SERVING
from ansible_collections.ferragosto.dr.tests.unit.twin_hyperv.fleet.fleet_kit import (
    GENERATION,
    HOUR_S,
    A,
    B,
    Pair,
    about,
)

REVERSE = about(
    """$server = Get-VMReplicationServer
    Set-VMReplication -VM $vm -Reverse -ReplicaServerName '%s' -CertificateThumbprint $server.CertificateThumbprint"""
)
CONNECT = about(
    """foreach ($card in @(Get-VMNetworkAdapter -VM $vm)) {
        Connect-VMNetworkAdapter -VMNetworkAdapter $card -SwitchName 'LAN'
    }
    Start-VM -VM $vm"""
)
TURN_OFF = about("Stop-VM -VM $vm -TurnOff -Force -Confirm:$false")
SHUT_DOWN = about("Stop-VM -VM $vm -Force")
PREPARE = about("Start-VMFailover -VM $vm -Prepare -Confirm:$false")
FAIL_OVER = about("Start-VMFailover -VM $vm -Confirm:$false")
CANCEL = about("Stop-VMFailover -VM $vm")
COMPLETE = about("Complete-VMFailover -VM $vm -Confirm:$false")
AS_REPLICA = about("Set-VMReplication -VM $vm -AsReplica")
INITIAL = about("Start-VMInitialReplication -VM $vm")
SEEN = about("""$end = Get-VMReplication -VM $vm
    [string]$end.ReplicationMode
    [string]$end.ReplicationState""")


def failed_over_to(pair: Pair, number: int) -> None:
    """Fail over at B to one of the recovery points, the oldest first."""
    point = pair.points[number]
    pair.does(
        B,
        about(
            "Get-VMSnapshot -VM $vm | Where-Object { [string]$_.Id -eq '"
            + point.key
            + "' } | Start-VMFailover -Confirm:$false"
        ),
    )


# --- planned ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("completes_first", [False, True], ids=["reversed directly", "completed first"])
def test_planned_failover_and_failback_lose_nothing(completes_first: bool) -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    written = pair.data(pair.a).generation
    pair.does(A, PREPARE)
    assert pair.does(B, SEEN) == ["Replica", "Replicating"]  # B cannot see that A is prepared
    assert pair.does(A, SEEN) == ["Primary", "PreparedForFailover"]
    pair.does(B, FAIL_OVER)
    if completes_first:
        pair.does(B, COMPLETE)
    pair.does(B, REVERSE % A)
    assert (pair.modes(), pair.states()) == (("Replica", "Primary"), ("Replicating", "Replicating"))
    assert pair.data(pair.b).generation == written
    pair.does(B, CONNECT)
    pair.turn(600.0)
    assert pair.data(pair.b).generation > written
    assert pair.data(pair.a).generation > written  # the log flows home

    pair.does(B, SHUT_DOWN)
    written = pair.data(pair.b).generation
    pair.does(B, PREPARE)
    pair.does(A, FAIL_OVER)
    pair.does(A, REVERSE % B)
    assert pair.data(pair.a).generation == written
    pair.does(A, CONNECT)
    pair.turn(600.0)
    assert (pair.modes(), pair.states()) == (("Primary", "Replica"), ("Replicating", "Replicating"))
    assert pair.world.violations == ()
    assert pair.world.accidents == []


def test_a_prepared_primary_is_locked_until_the_failover_is_cancelled() -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    assert pair.refuses(A, about("Start-VM -VM $vm")).short == "OperationFailed"
    pair.does(A, CANCEL)
    assert pair.states() == ("Replicating", "Replicating")
    pair.does(A, about("Start-VM -VM $vm"))
    assert pair.a.state == "Running"


def test_a_failover_that_was_prepared_is_known_as_planned_and_can_be_taken_back_on_both_sides() -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    pair.does(B, FAIL_OVER)
    measured = about("[string](Measure-VMReplication -VM $vm).FailedOverReplicationType")
    assert pair.does(B, measured) == ["Planned"]
    pair.does(B, CANCEL)
    pair.does(A, CANCEL)
    assert pair.states() == ("Replicating", "Replicating")
    assert pair.does(B, measured) == ["None"]


# --- unplanned -------------------------------------------------------------------------------------------------------


def test_a_dead_primary_changes_nothing_at_the_replica_but_its_age_and_health() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    pair.turn(2 * HOUR_S)
    assert pair.does(B, SEEN) == ["Replica", "Replicating"]
    health = about("[string](Get-VMReplication -VM $vm).ReplicationHealth")
    assert pair.does(B, health) == ["Warning"]
    details = pair.does(B, about("@((Measure-VMReplication -VM $vm).ReplicationHealthDetails).Count"))
    assert details == [1]


def test_unplanned_failover_to_a_chosen_point_loses_the_writes_after_it() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    failed_over_to(pair, 0)
    assert pair.end(pair.b).state == "FailedOverWaitingCompletion"
    assert pair.data(pair.b).generation == GENERATION - int(9 * HOUR_S)
    pair.does(B, CONNECT)
    pair.turn(30.0)
    serving = pair.world.serving_copy("gestionale")
    assert serving is not None
    assert serving.id == f"{pair.b.key}@{B}"


def test_cancelling_a_failover_turns_the_vm_off_and_brings_back_exactly_what_was() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    before, points = pair.data(pair.b), dict(pair.fleet.copy(pair.b).points)
    failed_over_to(pair, 0)
    pair.does(B, CONNECT)
    pair.turn(120.0)
    pair.does(B, CANCEL)
    assert pair.b.state == "Off"
    assert pair.fleet.copy(pair.b).power is Power.OFF
    assert pair.data(pair.b) == before
    assert pair.fleet.copy(pair.b).points == points
    assert pair.end(pair.b).state == "Replicating"
    failed_over_to(pair, 2)  # another point, after the first was a bad one
    assert pair.data(pair.b).generation == GENERATION - int(HOUR_S)


def test_completing_a_failover_deletes_the_points_and_cannot_be_taken_back() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    failed_over_to(pair, 1)
    pair.does(B, COMPLETE)
    assert pair.b.recovery_points() == []
    assert pair.fleet.copy(pair.b).points == {}
    assert pair.refuses(B, CANCEL).short == "InvalidState"
    assert pair.does(B, about("[string](Get-VMReplication -VM $vm).ReplicationHealth")) == ["Warning"]


@pytest.mark.parametrize("completes", [True, False], ids=["completed", "not completed"])
def test_reprotection_after_an_unplanned_failover_and_the_way_home(completes: bool) -> None:
    pair = Pair()
    pair.a.auto_start = "Nothing"
    pair.fleet.host_lost(A)
    failed_over_to(pair, 0)
    pair.does(B, CONNECT)
    pair.turn(60.0)
    if completes:
        pair.does(B, COMPLETE)
    refused = pair.refuses(B, REVERSE % A)
    assert refused.short == "OperationFailed"  # A is dead
    pair.fleet.host_back(A)
    assert pair.states()[0] == "WaitingForStartResynchronize"
    assert pair.refuses(B, REVERSE % A).short == "OperationFailed"  # A still takes itself for the primary
    pair.does(A, AS_REPLICA)
    assert pair.does(A, SEEN) == ["Replica", "WaitingForInitialReplication"]
    pair.does(B, REVERSE % A)
    assert pair.does(B, SEEN) == ["Primary", "ReadyForInitialReplication"]
    pair.does(B, INITIAL)
    assert pair.states() == ("WaitingForInitialReplication", "InitialReplicationInProgress")
    assert pair.refuses(A, about("Start-VM -VM $vm")).short == "OperationFailed"
    pair.turn(pair.fleet.timing.initial_s + 1)
    assert pair.states() == ("Replicating", "Replicating")
    assert pair.data(pair.a).generation == pair.relation.log[-1].data.generation

    pair.does(B, SHUT_DOWN)
    pair.does(B, PREPARE)
    pair.does(A, FAIL_OVER)
    pair.does(A, REVERSE % B)
    pair.does(A, CONNECT)
    pair.turn(60.0)
    assert pair.data(pair.a).generation >= pair.data(pair.b).generation
    assert pair.modes() == ("Primary", "Replica")
    assert pair.world.violations == ()
    # what the original held beyond the point is gone, which a person must have wanted
    assert [accident.kind for accident in pair.world.accidents] == ["original_overwritten"]


def test_corruption_since_midnight_leaves_older_points_sound() -> None:
    pair = Pair()
    pair.world.corrupt("gestionale", since_s=pair.fleet.now_s() - 3 * HOUR_S)
    pair.turn(10.0)
    pair.does(A, TURN_OFF)
    failed_over_to(pair, 2)
    pair.does(B, CONNECT)
    pair.turn(30.0)
    events = "Get-WinEvent -FilterHashtable @{ LogName = 'Microsoft-Windows-Hyper-V-Worker-Admin'; Id = 18590 }"
    assert pair.does(B, f"    @({events}).Count") == [1]
    pair.does(B, CANCEL)
    failed_over_to(pair, 1)
    pair.does(B, CONNECT)
    pair.turn(30.0)
    serving = pair.world.serving_copy("gestionale")
    assert serving is not None
    assert (serving.host, serving.data.is_corrupted) == (B, False)


def test_both_sides_running_is_split_brain_and_hyper_v_does_not_stop_it() -> None:
    pair = Pair()
    failed_over_to(pair, 2)
    pair.does(B, CONNECT)
    pair.turn(30.0)
    assert SERVING in {violation.kind for violation in pair.world.violations}


def test_a_host_that_returns_and_starts_its_vm_beside_the_promoted_one_is_split_brain_too() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    pair.does(B, FAIL_OVER)
    pair.does(B, CONNECT)
    pair.turn(30.0)
    assert not pair.world.violations
    pair.fleet.host_back(A)  # its AutomaticStartAction is StartIfRunning
    pair.turn(30.0)
    assert pair.a.state == "Running"
    assert SERVING in {violation.kind for violation in pair.world.violations}


def test_a_planned_failover_to_an_older_point_needs_an_initial_replication() -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    failed_over_to(pair, 1)
    pair.does(B, REVERSE % A)
    assert pair.states() == ("WaitingForInitialReplication", "ReadyForInitialReplication")


def test_an_initial_replication_whose_target_dies_is_an_error_and_can_be_resumed() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    pair.does(B, FAIL_OVER)
    pair.fleet.host_back(A)
    pair.does(A, TURN_OFF)
    pair.does(A, AS_REPLICA)
    pair.does(B, REVERSE % A)
    pair.does(B, INITIAL)
    pair.fleet.host_lost(A)
    pair.turn(pair.fleet.timing.initial_s + 1)
    assert pair.end(pair.b).state == "Error"
    pair.fleet.host_back(A)
    pair.does(B, about("Resume-VMReplication -VM $vm"))
    assert pair.end(pair.b).state == "InitialReplicationInProgress"
    pair.turn(pair.fleet.timing.initial_s + 1)
    assert pair.states() == ("Replicating", "Replicating")


def test_a_resynchronisation_never_overwrites_a_replica_that_was_failed_over_meanwhile() -> None:
    pair = Pair()
    pair.end(pair.a).state = "WaitingForStartResynchronize"
    pair.does(A, about("Resume-VMReplication -VM $vm -Resynchronize"))
    pair.does(A, TURN_OFF)
    pair.does(B, FAIL_OVER)
    pair.does(B, CONNECT)
    pair.turn(pair.fleet.timing.resynchronize_s + 1)
    assert pair.states() == ("WaitingForStartResynchronize", "FailedOverWaitingCompletion")
    assert pair.data(pair.b).generation < pair.data(pair.a).generation


def test_a_living_primary_meets_error_when_its_replica_was_failed_over() -> None:
    pair = Pair()
    failed_over_to(pair, 2)
    pair.turn(400.0)
    assert pair.states() == ("Error", "FailedOverWaitingCompletion")
    pair.does(B, CANCEL)
    pair.does(A, about("Resume-VMReplication -VM $vm -Resynchronize"))
    assert pair.states() == ("Resynchronizing", "Resynchronizing")
    pair.turn(pair.fleet.timing.resynchronize_s + 1)
    assert pair.states() == ("Replicating", "Replicating")


# --- test failover ---------------------------------------------------------------------------------------------------


def test_a_test_failover_makes_a_machine_apart_and_stopping_it_on_the_replica_removes_it() -> None:
    pair = Pair()
    pair.does(B, about("Get-VMNetworkAdapter -VM $vm | Set-VMNetworkAdapter -TestReplicaSwitchName 'isolated'"))
    made = pair.does(
        B,
        about(
            """$test = Start-VMFailover -VM $vm -AsTest -Confirm:$false
    Start-VM -VM $test
    $test.Name
    [string]$test.ReplicationMode
    @(Get-VMNetworkAdapter -VM $test)[0].SwitchName
    (Get-VMReplication -VM $vm).TestVirtualMachine.Name"""
        ),
    )
    assert made == ["gestionale - Test", "TestReplica", "isolated", "gestionale - Test"]
    assert pair.refuses(B, about("Start-VMFailover -VM $vm -AsTest -Confirm:$false")).short == "InvalidState"
    pair.turn(30.0)
    assert pair.world.violations == ()
    assert pair.world.copy_of("gestionale", Role.CLONE).power is Power.ON
    assert pair.states() == ("Replicating", "Replicating")
    wrong = "    $test = Get-VM -Name 'gestionale - Test'\n    Stop-VMFailover -VM $test"
    assert pair.refuses(B, wrong).short == "InvalidState"
    pair.does(B, CANCEL)
    assert [m.name for m in pair.fleet.machines_on(B)] == ["gestionale"]
    assert len(pair.world.copies_of("gestionale")) == 2
    assert pair.states() == ("Replicating", "Replicating")


def test_a_test_of_a_point_holds_the_points_data_and_leaves_the_replica_as_it_is() -> None:
    pair = Pair()
    before = pair.data(pair.b)
    pair.does(
        B,
        about(
            "Get-VMSnapshot -VM $vm -SnapshotType AppConsistentReplica | Start-VMFailover -AsTest -Confirm:$false | Out-Null"
        ),
    )
    test = pair.world.copy_of("gestionale", Role.CLONE)
    assert test.data.generation == GENERATION - int(8 * HOUR_S)
    assert pair.data(pair.b) == before


# --- replication by itself -------------------------------------------------------------------------------------------


def test_cycles_bring_the_primarys_writes_to_the_replica_and_make_points_hourly() -> None:
    pair = Pair(frequency_s=300)
    pair.turn(3 * HOUR_S)
    end = pair.end(pair.b)
    assert end.last_replication_s is not None
    assert pair.fleet.now_s() - end.last_replication_s <= 300
    assert pair.data(pair.b).generation > GENERATION
    assert len(pair.b.recovery_points()) in (5, 6)
    newest = pair.b.recovery_points()[-1]
    assert pair.fleet.copy(pair.b).points[newest.key].generation > GENERATION


def test_no_more_points_are_kept_than_the_history_allows() -> None:
    pair = Pair()
    pair.end(pair.b).recovery_history = 4
    pair.turn(6 * HOUR_S)
    assert len(pair.b.recovery_points()) == 4
    assert set(pair.fleet.copy(pair.b).points) == {p.key for p in pair.b.recovery_points()}


def test_a_cut_network_makes_cycles_missed_and_nothing_else() -> None:
    pair = Pair()
    pair.fleet.host_lost(B, is_dead=False)
    before = pair.data(pair.b)
    pair.turn(1000.0)
    assert (pair.states(), pair.data(pair.b)) == (("Replicating", "Replicating"), before)
    assert pair.end(pair.a).misses >= 3
    pair.fleet.host_back(B)
    pair.turn(400.0)
    assert pair.data(pair.b).generation > before.generation


def test_a_suspended_relationship_moves_nothing_until_it_is_resumed() -> None:
    pair = Pair()
    pair.does(A, about("Suspend-VMReplication -VM $vm"))
    before = pair.data(pair.b)
    pair.turn(1000.0)
    assert pair.data(pair.b) == before
    pair.does(A, about("Resume-VMReplication -VM $vm"))
    assert pair.data(pair.b).generation > before.generation


def test_starting_a_failover_from_suspended_brings_it_back_to_replicating_when_cancelled() -> None:
    pair = Pair()
    pair.does(B, about("Suspend-VMReplication -VM $vm"))
    failed_over_to(pair, 2)
    pair.does(B, CANCEL)
    assert pair.end(pair.b).state == "Replicating"


# --- the other host --------------------------------------------------------------------------------------------------


def broken(pair: Pair, how: str) -> str:
    """Break A as a replica server; returns the name that B would use."""
    server = pair.fleet.host(A).server
    if how == "dead":
        pair.fleet.host_lost(A)
    elif how == "isolated":
        pair.fleet.host_lost(A, is_dead=False)
    elif how == "not configured":
        server.is_enabled = False
    elif how == "no entry":
        server.entries.clear()
    elif how == "firewall":
        server.open_listeners.clear()
    elif how == "unknown name":
        return "nobody.example"
    elif how == "an address":
        return "192.0.2.7"
    return A


@pytest.mark.parametrize(
    ("how", "short", "category"),
    [
        ("dead", "OperationFailed", "NotSpecified"),
        ("isolated", "OperationFailed", "NotSpecified"),
        ("not configured", "OperationFailed", "NotSpecified"),
        ("no entry", "OperationFailed", "NotSpecified"),
        ("firewall", "OperationFailed", "NotSpecified"),
        ("unknown name", "OperationFailed", "NotSpecified"),
        ("an address", "InvalidParameter", "InvalidArgument"),
    ],
)
def test_reversing_fails_where_the_other_host_is_not_ready_for_it(how: str, short: str, category: str) -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    pair.does(B, FAIL_OVER)
    refused = pair.refuses(B, REVERSE % broken(pair, how))
    assert (refused.id, refused.category) == (
        f"{short},Microsoft.HyperV.PowerShell.Commands.SetVMReplication",
        category,
    )
    assert pair.modes() == ("Primary", "Replica")


def test_a_foreign_thumbprint_and_none_at_all_are_refused_apart() -> None:
    pair = Pair()
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    pair.does(B, FAIL_OVER)
    bare = about(f"Set-VMReplication -VM $vm -Reverse -ReplicaServerName '{A}'")
    assert pair.refuses(B, bare).short == "InvalidParameter"  # although one is stored
    foreign = about(f"Set-VMReplication -VM $vm -Reverse -ReplicaServerName '{A}' -CertificateThumbprint 'AB12'")
    assert pair.refuses(B, foreign).short == "OperationFailed"


def test_kerberos_needs_a_domain_and_no_thumbprint() -> None:
    pair = Pair(authentication="Kerberos", is_domain_joined=True)
    for host in (A, B):
        pair.fleet.host(host).server.authentication = "Kerberos"
    pair.does(A, SHUT_DOWN)
    pair.does(A, PREPARE)
    pair.does(B, FAIL_OVER)
    bare = about(f"Set-VMReplication -VM $vm -Reverse -ReplicaServerName '{A}'")
    pair.fleet.host(B).is_domain_joined = False
    assert pair.refuses(B, bare).short == "OperationFailed"
    pair.fleet.host(B).is_domain_joined = True
    pair.does(B, bare)
    assert pair.modes() == ("Replica", "Primary")


def test_as_replica_needs_an_entry_that_fits() -> None:
    pair = Pair()
    pair.does(A, TURN_OFF)
    entry = pair.fleet.host(A).server.entries[0]
    entry.allowed_primary_server = B
    assert pair.refuses(A, AS_REPLICA).short == "InvalidParameter"
    pair.does(A, about(f"Set-VMReplication -VM $vm -AsReplica -AllowedPrimaryServer '{B}'"))
    assert pair.modes()[0] == "Replica"


# --- asking before acting --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        PREPARE,  # running
        about("Start-VMFailover -VM $vm -Confirm:$false"),  # a primary
        CANCEL,
        about("Set-VMReplication -VM $vm -Reverse"),
    ],
)
def test_what_if_is_a_real_check_where_the_state_is_looked_at_first(script: str) -> None:
    pair = Pair()
    assert pair.refuses(A, script + " -WhatIf").id


def test_what_if_is_no_check_on_completing_a_failover() -> None:
    pair = Pair()
    pair.does(B, about("Complete-VMFailover -VM $vm -WhatIf"))
    assert pair.refuses(B, COMPLETE).short == "InvalidState"


def test_what_if_changes_nothing() -> None:
    pair = Pair()
    pair.does(B, about("Start-VMFailover -VM $vm -WhatIf"))
    pair.does(A, about("Stop-VM -VM $vm -TurnOff -WhatIf"))
    assert pair.states() == ("Replicating", "Replicating")
    assert pair.a.state == "Running"


@pytest.mark.parametrize("script", ["Start-VMFailover -VM $vm", "Complete-VMFailover -VM $vm"])
def test_an_unconfirmed_failover_cannot_prompt(script: str) -> None:
    pair = Pair()
    if script.startswith("Complete"):
        pair.does(B, FAIL_OVER)
    refused = pair.refuses(B, about(script))
    assert "NonInteractive" in refused.message


def test_a_failover_to_the_newest_log_holds_what_was_applied_last() -> None:
    pair = Pair()
    pair.fleet.host_lost(A)
    pair.does(B, FAIL_OVER)
    assert pair.data(pair.b).generation == GENERATION - 100
