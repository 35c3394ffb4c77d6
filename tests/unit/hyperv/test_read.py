# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a site of two Hyper-V hosts shows, read through the twin's PowerShell."""

from __future__ import annotations

import json

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import cmdlets_devices
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import FAILED, failure, machines
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import AuthorizationEntry, Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Disk
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState
from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, SplitBrainRisk
from ansible_collections.ferragosto.dr.plugins.module_utils.core.fencing import prove_fenced
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Heartbeat,
    Power,
    ReplicaKind,
    Tools,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.resolve import resolve
from ansible_collections.ferragosto.dr.plugins.module_utils.core.states import State, Trail, derive
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import notes
from ansible_collections.ferragosto.dr.tests.unit.hyperv.fleet_kit import LAN, A, B, Bench

ODD = "ge'sti\"onale [1]* $(Stop-VM *) `n Бухгалтерия 山 {{ è }}"
RUN = "20260815-1403-a1"


@pytest.fixture
def bench():
    made = Bench()
    yield made
    assert not made.fleet.mishaps


def stamped(machine, **marks):
    machine.notes = notes.written(machine.notes, {getattr(stamps, key.upper()): value for key, value in marks.items()})


def ids(bench):
    shown = bench.read()
    return {
        "a": [vm.id for vm in shown.production.vms if vm.name == "gestionale"],
        "b": [vm.id for vm in shown.replica.vms if vm.name == "gestionale"],
    }


# --- one process per host ---------------------------------------------------------------------------------------------


def test_two_hosts_of_twenty_vms_are_read_by_two_processes(bench):
    for number in range(20):
        bench.protect(f"vm{number:02}")
    shown = bench.read()
    assert [len(end.vms) for end in shown.endpoints()] == [20, 20]
    assert {host: wire.calls for host, wire in bench.wires.items()} == {A: 1, B: 1}
    assert [end.calls for end in shown.endpoints()] == [1, 1]


def test_a_host_is_shown_with_what_it_can_carry(bench):
    bench.protect()
    host = bench.read().production.hosts[0]
    assert (host.name, host.networks, host.cpu_count, host.memory_bytes) == (A, (LAN,), 16, 64 * 2**30)
    assert 0 < host.memory_used_bytes < host.memory_bytes
    assert all(0 < store.free_bytes <= store.capacity_bytes for store in host.datastores)


@pytest.mark.parametrize("name", [ODD, "web[1]", "a'; Stop-VM * #", "山田", "*"])
def test_a_vm_is_shown_by_its_name_whatever_it_holds(bench, name):
    bench.protect(name)
    shown = bench.read()
    assert [end.vms[0].name for end in shown.endpoints()] == [name, name]


def test_vms_of_one_name_are_told_apart_by_their_ids(bench):
    twins = [bench.fleet.add_vm(A, "web", switch=LAN) for dummy in range(2)]
    assert {vm.id for vm in bench.read().production.vms} == {vm.key for vm in twins}


def test_a_running_vm_is_shown_with_its_guest_and_its_nics(bench):
    machine = bench.protect(addresses=["192.0.2.7"], memory_bytes=8 * 2**30, cpus=4)
    vm = bench.read().production.vms[0]
    assert (vm.id, vm.handle, vm.host, vm.power) == (machine.key, machine.key, A, Power.ON)
    assert (vm.guest.heartbeat, vm.guest.tools, vm.guest.addresses) == (Heartbeat.GREEN, Tools.RUNNING, ("192.0.2.7",))
    assert vm.guest.boot_at_s == pytest.approx(bench.fleet.now_s() - 86400, abs=1)
    assert [(nic.network, nic.is_connected, nic.starts_connected) for nic in vm.nics] == [(LAN, True, True)]
    assert (vm.memory_bytes, vm.cpu_count, vm.disk_bytes, vm.has_autostart) == (8 * 2**30, 4, 60 * 2**30, True)
    assert f"{machine.key}@{A}" in vm.guest_ids
    assert vm.replica_kind is None


def test_a_guest_without_a_heartbeat_is_not_called_unhealthy(bench):
    bench.protect().has_heartbeat = False
    guest = bench.read().production.vms[0].guest
    assert (guest.heartbeat, guest.tools) == (Heartbeat.GREY, Tools.NOT_INSTALLED)


@pytest.mark.parametrize(
    ("state", "power"),
    [("Off", Power.OFF), ("Saved", Power.SUSPENDED), ("Paused", Power.SUSPENDED), ("Stopping", Power.ON)],
)
def test_a_state_of_hyperv_is_a_power_state_of_ours(bench, state, power):
    bench.protect().state = state
    assert bench.read().production.vms[0].power is power


@pytest.mark.parametrize("trouble", [{"state": "RunningCritical"}, {"operational_status": ("CriticalIoError",)}])
def test_a_vm_whose_storage_is_gone_is_inaccessible(bench, trouble):
    machine = bench.protect()
    for name, value in trouble.items():
        setattr(machine, name, value)
    assert bench.read().production.vms[0].connection is Connection.INACCESSIBLE


def _unreadable(monkeypatch, machine, kind=FAILED):
    """Its files cannot be opened: the host lists it, and refuses whoever asks for more."""

    def readable(bound):
        for one in machines(bound):
            yield failure(bound, kind, "not_accessible", vm=machine.name) if one is machine else one

    monkeypatch.setattr(cmdlets_devices, "machines", readable)


@pytest.mark.parametrize("is_replica", [False, True])
def test_one_vm_that_cannot_be_read_hides_no_other(bench, monkeypatch, is_replica):
    machine, other = bench.protect(), bench.protect("posta")
    stamped(machine, fenced=RUN)
    sick = bench.replica_of(machine) if is_replica else machine
    _unreadable(monkeypatch, sick)
    site = bench.read()
    end = site.replica if is_replica else site.production
    assert sorted(vm.id for vm in site.production.vms) == sorted([machine.key, other.key])
    assert sorted(vm.id for vm in site.replica.vms) == sorted(f"replica:{one.key}" for one in (machine, other))
    found = bench.vm(f"replica:{machine.key}" if is_replica else machine.key)
    assert found.connection is Connection.INACCESSIBLE
    assert found.points == ()
    assert bool(found.stamps) is not is_replica
    assert [one.connection for one in end.vms if one.name == "posta"] == [Connection.CONNECTED]
    told = [note for note in end.notes if "was not accessible" in note]
    assert told
    assert all(end.concerns[note] == found.id for note in told)
    assert not [
        note for note in (*site.production.notes, *site.replica.notes) if "configuration is not replicated" in note
    ]


def test_a_vm_that_cannot_be_read_proves_no_fence(bench, monkeypatch):
    machine = bench.protect()
    _unreadable(monkeypatch, machine)
    site = bench.read()
    with pytest.raises(SplitBrainRisk):
        prove_fenced(resolve(site, vm="gestionale"), site.production, site.production.hosts[0])


def test_rights_that_are_missing_for_one_vm_are_still_missing_rights(bench, monkeypatch):
    _unreadable(monkeypatch, bench.protect(), ("AccessDenied", "PermissionDenied"))
    with pytest.raises(BadInput, match="Hyper-V Administrators"):
        bench.read()


# --- recovery points --------------------------------------------------------------------------------------------------


def test_an_original_that_a_person_made_a_replica_stays_the_original_while_the_other_is_failed_over(bench):
    machine = bench.protect()
    bench.replica_of(machine).endpoint.state = "FailedOver"
    machine.endpoint.mode, machine.endpoint.state = "Replica", "WaitingForInitialReplication"
    site = bench.read()
    assert [end.vms[0].id for end in site.endpoints()] == [machine.key, f"replica:{machine.key}"]


def test_a_replica_at_rest_shows_its_points_of_every_type_and_the_newest_data(bench):
    machine = bench.protect()
    replica = bench.replica_of(machine)
    now_s = bench.fleet.now_s()
    made = [
        bench.fleet.add_point(replica, age_s=age_s, data=DataState(1, now_s - age_s), kind=kind)
        for age_s, kind in ((9 * 3600, "Replica"), (3600, "AppConsistentReplica"), (1800, "SyncedReplica"))
    ]
    vm = bench.read().replica.vms[0]
    assert vm.replica_kind is ReplicaKind.PAIRED
    assert (vm.power, vm.replica_of, vm.id) == (Power.OFF, machine.key, f"replica:{machine.key}")
    assert [point.id for point in vm.points] == [*(f"point:{one.key}" for one in made), "newest"]
    ages = [round(now_s - point.created_at_s) for point in vm.points]
    assert ages == [9 * 3600, 3600, 1800, 120]


def test_the_newest_data_is_no_point_beside_a_snapshot_of_it(bench):
    machine = bench.protect(log_age_s=3600.5)
    point = bench.fleet.add_point(bench.replica_of(machine), age_s=3600, data=DataState(1, 0))
    assert [one.id for one in bench.read().replica.vms[0].points] == [f"point:{point.key}"]


def test_a_checkpoint_of_a_person_is_no_recovery_point(bench):
    machine = bench.protect()
    bench.fleet.add_point(bench.replica_of(machine), age_s=60, data=DataState(1, 0), kind="Standard")
    assert [one.id for one in bench.read().replica.vms[0].points] == ["newest"]


def test_a_replica_that_has_received_nothing_has_no_point(bench):
    machine = bench.protect()
    bench.replica_of(machine).endpoint.last_replication_s = None
    bench.replica_of(machine).endpoint.state = "WaitingForInitialReplication"
    assert bench.read().replica.vms[0].points == ()


@pytest.mark.parametrize("skew_s", [0.0, 1.0, -7200.0, 86400.0])
def test_the_age_of_a_replica_is_told_by_its_hosts_own_clock(bench, skew_s):
    bench.fleet.hosts[B].clock_skew_s = skew_s
    machine = bench.protect(log_age_s=600)
    end = bench.read().replica
    assert end.clock_at_s - end.read_at_s == pytest.approx(skew_s, abs=0.1)
    assert bench.fleet.now_s() - end.vms[0].points[-1].created_at_s == pytest.approx(600, abs=1.5)
    assert end.vms[0].id == f"replica:{machine.key}"


# --- lines of data ----------------------------------------------------------------------------------------------------


def test_without_stamps_the_replication_tells_which_is_the_replica(bench):
    key = bench.protect().key
    assert ids(bench) == {"a": [key], "b": [f"replica:{key}"]}


def test_a_promoted_replica_stays_the_replicas_line_whatever_its_role_is_by_then(bench):
    machine = bench.protect()
    replica, key = bench.replica_of(machine), machine.key
    stamped(replica, run=RUN, phase="failover", mode="failover", point="newest")
    stamped(machine, fenced=RUN)
    for home, away in (("Primary", "Replica"), ("Replica", "Primary")):
        machine.endpoint.mode, replica.endpoint.mode = home, away
        assert ids(bench) == {"a": [key], "b": [f"replica:{key}"]}


def test_a_promoted_line_keeps_its_id_at_home(bench):
    machine = bench.protect()
    replica, key = bench.replica_of(machine), machine.key
    stamped(machine, run=RUN, phase="migrating", mode="failover")
    stamped(replica, fenced=RUN)
    assert ids(bench) == {"a": [f"replica:{key}"], "b": [key]}


@pytest.mark.parametrize(
    ("home", "away", "line"),
    [
        (("Primary", "PreparedForFailover"), ("Replica", "FailedOverWaitingCompletion"), "b"),
        (("Replica", "FailedOverWaitingCompletion"), ("Primary", "PreparedForFailover"), "a"),
        (("Primary", "Replicating"), ("Replica", "Replicating"), "a"),
        (("Replica", "Replicating"), ("Primary", "Replicating"), "b"),
    ],
)
def test_of_two_that_bear_the_stamps_the_one_that_serves_is_the_line(bench, home, away, line):
    machine = bench.protect()
    replica, key = bench.replica_of(machine), machine.key
    for one, (mode, state) in ((machine, home), (replica, away)):
        stamped(one, run=RUN, phase="migrating", mode="failover")
        one.endpoint.mode, one.endpoint.state = mode, state
    assert ids(bench) == {
        "a": [f"replica:{key}" if line == "a" else key],
        "b": [f"replica:{key}" if line == "b" else key],
    }


@pytest.mark.parametrize(("dead", "shown"), [(A, {"a": [], "b": ["replica:"]}), (B, {"a": [""], "b": []})])
def test_one_host_alone_still_tells_the_line(bench, dead, shown):
    machine = bench.protect()
    replica, key = bench.replica_of(machine), machine.key
    stamped(replica, run=RUN, phase="failover", mode="failover")
    stamped(machine, fenced=RUN)
    machine.endpoint.mode, replica.endpoint.mode = "Replica", "Primary"
    bench.fleet.host_lost(dead)
    assert ids(bench) == {end: [f"{word}{key}" for word in words] for end, words in shown.items()}


@pytest.mark.parametrize("is_home", [False, True])
def test_the_core_finds_both_copies_of_a_promoted_vm_without_an_open_run(bench, is_home):
    machine = bench.protect()
    replica, key = bench.replica_of(machine), machine.key
    promoted, fenced = (machine, replica) if is_home else (replica, machine)
    stamped(promoted, run=RUN, phase="failback" if is_home else "failover", mode="failover", point="newest")
    stamped(fenced, fenced=RUN)
    promoted.endpoint.mode, fenced.endpoint.mode = "Primary", "Replica"
    pair = resolve(bench.read(), vm="gestionale")
    assert (pair.production.id, pair.replica.id) == (key, f"replica:{key}")
    assert (pair.replica.host, pair.production.host) == ((A, B) if is_home else (B, A))
    trail = Trail(known_runs=frozenset({RUN}))
    state = derive(pair, trail, now_s=bench.fleet.now_s(), rpo_s=86400).state
    assert state is (State.FAILBACK if is_home else State.FAILOVER)


def test_a_pair_at_rest_is_ready(bench):
    bench.protect()
    pair = resolve(bench.read(), vm="gestionale")
    assert derive(pair, Trail(), now_s=bench.fleet.now_s(), rpo_s=86400).state is State.READY


def test_a_vm_read_again_keeps_its_line(bench):
    machine = bench.protect()
    stamped(bench.replica_of(machine), run=RUN, phase="promoting", mode="failover")
    for end in bench.read().endpoints():
        again = bench.site.refresh(end.vms[0])
        assert (again.id, again.host, again.stamps, again.nics) == (
            end.vms[0].id,
            end.vms[0].host,
            end.vms[0].stamps,
            end.vms[0].nics,
        )


# --- ends that do not answer, or are not who they should be -----------------------------------------------------------


def test_a_dead_host_is_a_reading_with_an_error_and_the_other_is_read(bench):
    bench.protect()
    bench.fleet.host_lost(A)
    shown = bench.read()
    assert "refuses the connection" in shown.production.error
    assert shown.replica.is_reachable
    assert shown.replica.vms[0].power is Power.OFF


@pytest.mark.parametrize("node", [A, "HV1", "hv1", "HV1.LUCA.LAN"])
def test_a_host_answers_to_its_computer_name_and_to_its_dns_name(bench, node):
    bench.protect()
    bench.says(A, node=node)
    shown = bench.read().production
    assert (shown.node, shown.hosts[0].name, shown.vms[0].host) == (node, node, node)


@pytest.mark.parametrize("node", [B, "hv3", "hv1.other.lan"])
def test_a_node_that_the_host_is_not_is_refused(bench, node):
    bench.says(A, node=node)
    with pytest.raises(BadInput, match=r"is the host hv1\.luca\.lan"):
        bench.read()


def test_an_account_without_rights_is_never_a_host_without_vms(bench):
    bench.protect()
    bench.fleet.hosts[A].rights["administrator"] = Rights.DENIED
    with pytest.raises(BadInput, match="Hyper-V Administrators"):
        bench.read()


def test_an_account_that_sees_nothing_is_refused_by_the_core(bench):
    bench.protect()
    bench.fleet.hosts[A].rights["administrator"] = Rights.UNSEEN
    with pytest.raises(BadInput, match=r"0 VMs.*Next: make .* a member of the host's group Hyper-V Administrators"):
        resolve(bench.read(), vm="gestionale")


def test_a_host_that_speaks_german_reads_the_same(bench):
    bench.protect()
    english = bench.read()
    for host in bench.fleet.hosts.values():
        host.culture = "de-DE"
    assert [end.vms for end in bench.read().endpoints()] == [end.vms for end in english.endpoints()]


# --- findings ---------------------------------------------------------------------------------------------------------


def test_a_sound_pair_has_no_findings(bench):
    bench.protect()
    assert [end.notes for end in bench.read().endpoints()] == [(), ()]


def no_replica_server(bench, machine):
    bench.fleet.hosts[A].server.is_enabled = False


def no_entry(bench, machine):
    bench.fleet.hosts[A].server.entries = [AuthorizationEntry("hv9.luca.lan")]


def firewall(bench, machine):
    bench.fleet.hosts[A].server.open_listeners = {"Kerberos"}


def no_certificate(bench, machine):
    bench.fleet.hosts[A].server.thumbprint = ""


def other_certificate(bench, machine):
    bench.says(A, replica_thumbprint="AB " * 20)


def other_authentication(bench, machine):
    bench.fleet.hosts[A].server.authentication = "Kerberos"


def more_cpus(bench, machine):
    machine.cpus = 8


def more_memory(bench, machine):
    machine.memory_bytes *= 2


def disk_added(bench, machine):
    machine.disks.append(Disk(path=r"E:\data\new.vhdx", size_bytes=2**30, is_replicated=False))


def no_switch(bench, machine):
    bench.fleet.hosts[B].switches.clear()


def wrong_network(bench, machine):
    bench.says(B, network="Produzione")


def suspended(bench, machine):
    machine.endpoint.state = "Suspended"


def resync(bench, machine):
    machine.endpoint.state = "WaitingForStartResynchronize"


def in_error(bench, machine):
    bench.replica_of(machine).endpoint.state = "Error"


def late(bench, machine):
    bench.replica_of(machine).endpoint.last_replication_s -= 2000


def prepared(bench, machine):
    machine.endpoint.state = "PreparedForFailover"


def clustered(bench, machine):
    machine.is_clustered = True


@pytest.mark.parametrize(
    ("trouble", "end", "words"),
    [
        (no_replica_server, "production", "not set up as a replica server"),
        (no_entry, "production", "no authorization entry for hv2.luca.lan"),
        (firewall, "production", "firewall rule 'Hyper-V Replica HTTPS Listener (TCP-In)' is off"),
        (no_certificate, "production", "no certificate chosen for replication"),
        (other_certificate, "production", "replica_thumbprint of hv1.luca.lan"),
        (other_authentication, "production", "takes replications by Kerberos only"),
        (more_cpus, "production", "it has 8 CPUs, its replica 2"),
        (more_memory, "production", "8192 MiB of memory, its replica 4096 MiB"),
        (disk_added, "production", r"disk E:\data\new.vhdx is not replicated"),
        (no_switch, "production", "hv2.luca.lan has no switch 'LAN'"),
        (wrong_network, "production", "hv2.luca.lan has no switch 'Produzione'"),
        (suspended, "production", "suspended"),
        (resync, "production", "waits to be resynchronised"),
        (in_error, "replica", "a failover from this state is refused"),
        (late, "replica", "last replicated 35 min ago by the clock of hv2.luca.lan"),
        (prepared, "production", "hv2.luca.lan cannot see that and shows Replicating"),
        (clustered, "production", "role of a failover cluster"),
    ],
)
def test_what_would_bite_on_the_day_is_said_in_time(bench, trouble, end, words):
    machine = bench.protect()
    trouble(bench, machine)
    told = getattr(bench.read(), end).notes
    assert [note for note in told if words in note], told


def test_a_vm_is_not_told_what_is_wrong_with_another(bench):
    bench.protect("gestionale")
    suspended(bench, bench.protect("archivio"))
    bench.fleet.hosts[A].server.is_enabled = False
    seen = bench.read().production
    ids = {vm.name: vm.id for vm in seen.vms}
    mine, others = seen.notes_for({ids["gestionale"]}), seen.notes_for({ids["archivio"]})
    assert [note for note in mine if "not set up as a replica server" in note] == mine
    assert [note for note in others if note not in mine]
    assert {*mine, *others} == {*seen.notes}


def test_a_prepared_original_is_known_though_its_replica_host_is_dead(bench):
    prepared(bench, bench.protect())
    bench.fleet.host_lost(B)
    assert [note for note in bench.read().production.notes if "prepared for failover on hv1.luca.lan" in note]


@pytest.mark.parametrize("entry", ["hv2.luca.lan", "HV2.luca.lan", "*.luca.lan", "*"])
def test_an_authorization_entry_holds_for_the_full_name_of_a_host_that_the_inventory_calls_shortly(bench, entry):
    bench.protect()
    bench.says(B, node="hv2")
    bench.fleet.hosts[A].server.entries = [AuthorizationEntry(entry)]
    assert bench.read().production.notes == ()


def test_a_vm_in_the_hands_of_a_run_is_not_nagged_about(bench):
    machine = bench.protect()
    stamped(machine, fenced=RUN)
    stamped(bench.replica_of(machine), run=RUN, phase="failover", mode="failover")
    machine.endpoint.state = "Error"
    bench.replica_of(machine).endpoint.state = "FailedOverWaitingCompletion"
    assert [end.notes for end in bench.read().endpoints()] == [(), ()]


def test_nics_of_a_replica_on_no_switch_are_no_finding(bench):
    bench.protect()
    assert not bench.read().replica.vms[0].nics[0].is_connected
    assert not [note for note in bench.read().replica.notes if "NIC" in note]


# --- the replication of one VM ----------------------------------------------------------------------------------------


def pair_of(bench):
    return resolve(bench.read(), vm="gestionale")


def test_a_replication_is_told_from_both_hosts(bench):
    machine = bench.protect(log_age_s=120)
    found = bench.site.replication(pair_of(bench))
    assert (found.source, found.target, found.is_enabled, found.schedule) == (A, B, True, "every 300 s")
    assert machine.key in found.job
    assert bench.fleet.now_s() - found.last_sync_at_s == pytest.approx(120, abs=1)


def test_a_suspended_replication_is_not_enabled(bench):
    bench.protect().endpoint.state = "Suspended"
    found = bench.site.replication(pair_of(bench))
    assert (found.is_enabled, found.next_sync_at_s) == (False, None)


def test_a_replication_is_told_while_the_primary_is_dead(bench):
    bench.protect(log_age_s=120)
    bench.fleet.host_lost(A)
    found = bench.site.replication(pair_of(bench))
    assert (found.source, found.target) == (A, B)
    assert bench.fleet.now_s() - found.last_sync_at_s == pytest.approx(120, abs=1)


def test_a_vm_without_replication_has_none(bench):
    bench.fleet.add_vm(A, "gestionale", switch=LAN)
    assert bench.site.replication(pair_of(bench)) is None


def test_a_reading_can_be_written_as_json(bench):
    bench.protect(ODD)
    vm = bench.read().production.vms[0]
    assert json.loads(json.dumps(vm.name)) == ODD
