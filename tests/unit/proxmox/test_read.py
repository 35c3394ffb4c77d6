# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The site as it is read: how many calls, which copies, how old, and what is unknown when a node is dead."""

from __future__ import annotations

import json
import time

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core import resolve, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Heartbeat,
    Power,
    ReplicaKind,
    Tools,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags
from ansible_collections.ferragosto.dr.tests.unit.proxmox.cluster import GIB, SYNC, SYNCED_S, storage_row, vm_row
from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Say

RUN = "20260815T021400Z-1f3a9c"
POINT = f"pvesr:100-0@{SYNCED_S}"


def by_id(end):
    return {vm.id: vm for vm in end.vms}


def stamped(**marks):
    return tags.with_stamps("", {f"ferragosto.dr.{key}": value for key, value in marks.items()})


# --- one cluster -----------------------------------------------------------------------------------------------------


def test_a_cluster_is_read_in_three_calls_and_one_for_each_node_that_owns_a_replicated_vm(door, cluster, open_site):
    reading = open_site(cluster.open(door)).read()
    assert door.asked() == [
        "/cluster/status",
        "/cluster/resources",
        "/cluster/replication",
        "/nodes/pve1/replication",
    ]
    assert reading.production.calls == 4
    assert len(reading.endpoints()) == 1
    assert (reading.production.node, reading.replica.node) == ("pve1", "pve2")
    assert reading.production.api == "Proxmox VE cluster luca"


def test_both_copies_of_a_replicated_vm_are_shown(door, cluster, open_site):
    vms = by_id(open_site(cluster.open(door)).read().production)
    assert set(vms) == {"100", "replica:100", "101", "102"}
    replica = vms["replica:100"]
    assert (replica.name, replica.host, replica.handle) == ("gestionale", "pve2", "")
    assert (replica.power, replica.nics, replica.replica_kind) == (Power.OFF, (), ReplicaKind.VOLUMES)
    [point] = replica.points
    assert (point.id, point.name, point.created_at_s) == (f"pvesr:100-0@{SYNCED_S}", "replication 100-0", SYNCED_S)
    assert vms["100"].points == ()


def test_core_finds_the_pair_without_being_told_how_the_replica_is_called(door, cluster, open_site):
    pair = resolve.resolve(open_site(cluster.open(door)).read(deep=("gestionale",)), vm="gestionale")
    assert (pair.production.id, pair.replica.id, pair.replica_node) == ("100", "replica:100", "pve2")


def test_the_age_comes_from_the_owning_node_never_from_the_cluster(door, cluster, open_site):
    cluster.jobs[0]["last_sync"] = 1  # no such field there: if it were, it would not count
    cluster.told["pve1"][0]["last_sync"] = 0
    replica = by_id(open_site(cluster.open(door)).read().production)["replica:100"]
    assert (replica.points, replica.points_note) == ((), "")


def test_hosts_carry_memory_load_and_storages(door, cluster, open_site):
    host = open_site(cluster.open(door)).read().production.host("pve2")
    assert (host.memory_bytes, host.memory_used_bytes, host.cpu_count, host.cpu_used_share) == (
        64 * GIB,
        20 * GIB,
        16,
        0.25,
    )
    [store] = host.datastores
    assert (store.name, store.free_bytes, store.capacity_bytes, store.is_accessible) == (
        "tank",
        600 * GIB,
        1000 * GIB,
        True,
    )


def test_a_vm_that_is_on_and_not_read_closely_counts_as_connected(door, cluster, open_site):
    vms = by_id(open_site(cluster.open(door)).read().production)
    assert vms["101"].is_live()
    assert not vms["102"].is_live()


def test_templates_and_containers_are_no_vms(door, cluster, open_site):
    cluster.resources += [vm_row(900, "modello", "pve1", "stopped", template=1)]
    cluster.resources += [{"type": "lxc", "vmid": 200, "node": "pve1", "status": "running", "name": "ct"}]
    assert not {"900", "200"} & set(by_id(open_site(cluster.open(door)).read().production))


# --- read closely ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["gestionale", "100", "replica:100"])
def test_a_vm_asked_for_is_read_closely(door, cluster, open_site, clock, word):
    vm = by_id(open_site(cluster.open(door)).read(deep=(word,)).production)["100"]
    [nic] = vm.nics
    assert (nic.key, nic.network, nic.mac, nic.is_connected) == ("net0", "vmbr0", "bc:24:11:00:00:64", True)
    assert (vm.guest.heartbeat, vm.guest.tools) == (Heartbeat.GREEN, Tools.RUNNING)
    assert vm.guest.boot_at_s == pytest.approx(clock.now_s() - 4000, abs=2)
    assert vm.guest_ids == ("6f9619ff-8b86-d011-b42d-00c04fc964ff",)
    assert (vm.has_autostart, vm.has_ha, vm.datastores, vm.disk_bytes) == (True, False, ("tank",), 80 * GIB)
    assert json.loads(vm.remembered["config"])["scsi0"] == "tank:vm-100-disk-0,size=80G"
    assert vm.remembered["last_sync"] == str(SYNCED_S)


def test_only_what_is_asked_for_is_read_closely(door, cluster, open_site):
    open_site(cluster.open(door)).read(deep=("gestionale",))
    assert not any("/qemu/101" in path for path in door.asked())


def test_a_vm_with_our_stamps_is_read_closely_unasked(door, cluster, open_site):
    cluster.row["tags"] = f"contabilita;{stamped(fenced=RUN)}"
    cluster.configs["pve1", 100]["tags"] = cluster.row["tags"]
    vm = by_id(open_site(cluster.open(door)).read().production)["100"]
    assert vm.stamps == {stamps.FENCED: RUN}
    assert vm.nics[0].key == "net0"


@pytest.mark.parametrize(
    ("agent", "ping", "heartbeat", "tools"),
    [
        ("1", Say({}), Heartbeat.GREEN, Tools.RUNNING),
        ("enabled=1,fstrim_cloned_disks=1", Say({}), Heartbeat.GREEN, Tools.RUNNING),
        ("1", Say(status=500, text="QEMU guest agent is not running"), Heartbeat.RED, Tools.NOT_RUNNING),
        ("1", Say(status=500, text="VM 100 qmp command 'guest-ping' failed - got timeout"), Heartbeat.RED, Tools.NOT_RUNNING),
        ("1", Say(status=403, text="Permission check failed (/vms/100, VM.GuestAgent.Audit)"), Heartbeat.GREY, Tools.UNKNOWN),
        ("1", Say(status=500, text="No QEMU guest agent configured"), Heartbeat.GREY, Tools.UNKNOWN),
        ("0", Say({}), Heartbeat.GREY, Tools.NOT_INSTALLED),
        ("", Say({}), Heartbeat.GREY, Tools.NOT_INSTALLED),
        ("0,type=isa", Say({}), Heartbeat.GREY, Tools.NOT_INSTALLED),
    ],
)  # fmt: skip
def test_the_agents_silence_is_data(door, cluster, open_site, agent, ping, heartbeat, tools):
    cluster.configs["pve1", 100]["agent"] = agent
    cluster.pings[100] = ping
    guest = by_id(open_site(cluster.open(door)).read(deep=("100",)).production)["100"].guest
    assert (guest.heartbeat, guest.tools) == (heartbeat, tools)


@pytest.mark.parametrize(
    ("status", "power", "question"),
    [
        ({"status": "running", "qmpstatus": "running"}, Power.ON, None),
        ({"status": "running", "qmpstatus": "paused"}, Power.SUSPENDED, None),
        ({"status": "running", "qmpstatus": "io-error"}, Power.ON, "I/O error"),
        ({"status": "running", "qmpstatus": "internal-error"}, Power.ON, "internal error"),
        ({"status": "running", "qmpstatus": "prelaunch"}, Power.ON, None),
        ({"status": "stopped", "qmpstatus": "stopped"}, Power.OFF, None),
        ({"status": "stopped", "qmpstatus": "stopped", "lock": "suspended"}, Power.SUSPENDED, None),
    ],
)
def test_power_is_what_qemu_says(door, cluster, open_site, status, power, question):
    cluster.states[100] = status
    vm = by_id(open_site(cluster.open(door)).read(deep=("100",)).production)["100"]
    assert vm.power is power
    assert (question in vm.question) if question else vm.question is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"lock": "backup"}, "gestionale is locked (backup): a task works on it, or was cut off"),
        ({"pressureiofull": "93.5", "pressureiosome": 99}, "gestionale waits for its disks 94 % of the time"),
        ({"pressurememoryfull": 41}, "gestionale waits for memory 41 % of the time"),
        ({"pressurecpufull": 12.5, "pressurecpusome": 88}, None),
    ],
)
def test_what_weighs_on_a_vm_is_told(door, cluster, open_site, status, words):
    cluster.states[100] |= status
    notes = open_site(cluster.open(door)).read(deep=("100",)).production.notes
    assert [note for note in notes if "gestionale" in note] == ([words] if words else [])


@pytest.mark.parametrize(
    ("ha", "has_ha"),
    [({"managed": 0}, False), ({"managed": 1, "state": "started"}, True), ({"managed": 1, "state": "ignored"}, False),
     ({"managed": "1"}, True), (None, False)],
)  # fmt: skip
def test_ha_is_seen_in_the_status(door, cluster, open_site, ha, has_ha):
    cluster.states[100]["ha"] = ha
    assert by_id(open_site(cluster.open(door)).read(deep=("100",)).production)["100"].has_ha is has_ha


def test_a_missing_right_on_one_vm_is_told_and_does_not_blind_the_rest(door, cluster, open_site):
    cluster.open(door).script["GET /nodes/pve1/qemu/100/config"] = Say(
        status=403, text="Permission check failed (/vms/100, VM.Audit)"
    )
    end = open_site(door).read(deep=("100",)).production
    assert by_id(end)["100"].is_live()
    assert any("VM.Audit" in note for note in end.notes)


def test_numbers_that_come_as_text_are_numbers(door, cluster, open_site):
    cluster.row["vmid"] = "100"
    cluster.jobs[0]["guest"] = "100"
    cluster.told["pve1"][0] |= {"last_sync": str(SYNCED_S), "fail_count": "0"}
    cluster.status[0]["quorate"] = "1"
    vms = by_id(open_site(cluster.open(door)).read().production)
    assert vms["replica:100"].points[0].created_at_s == SYNCED_S


# --- dead nodes, quorum ----------------------------------------------------------------------------------------------


def test_a_dead_nodes_vms_are_unknown_and_its_replicas_still_there_with_a_note(door, cluster, open_site):
    cluster.kill("pve1")
    end = open_site(cluster.open(door)).read(deep=("gestionale",)).production
    vms = by_id(end)
    assert (vms["100"].power, vms["100"].connection, vms["100"].name) == (Power.UNKNOWN, Connection.DISCONNECTED, "")
    assert end.host("pve1").connection is Connection.DISCONNECTED
    replica = vms["replica:100"]
    assert (replica.host, replica.points, replica.remembered) == ("pve2", (), {})
    assert "pve1 is offline" in replica.points_note
    assert not any("/nodes/pve1/" in path for path in door.asked())


def test_without_quorum_the_replication_of_the_living_is_not_asked_for_either(door, cluster, open_site):
    cluster.row["node"] = "pve2"
    cluster.jobs[0] |= {"source": "pve2", "target": "pve1"}
    cluster.kill("pve1")
    end = open_site(cluster.open(door)).read().production
    assert "/nodes/pve2/replication" not in door.asked()
    assert "no quorum" in by_id(end)["replica:100"].points_note
    assert "cluster luca has no quorum" in end.notes[0]
    assert end.is_reachable


def test_a_third_vote_keeps_the_rest_able_to_act(door, cluster, open_site):
    cluster.kill("pve1", quorate=1)
    end = open_site(cluster.open(door)).read().production
    assert "node pve1 is offline" in end.notes
    assert not any("quorum" in note for note in end.notes)


@pytest.mark.parametrize(
    ("qdevice", "is_told"),
    [(Say({}), True), (Say({"State": "Connected"}), False), (Say({"State": "Disconnected"}), True),
     (Say(status=403, text="Permission check failed (/, Sys.Audit)"), False)],
)  # fmt: skip
def test_two_votes_without_a_third_are_told_before_it_matters(door, cluster, open_site, qdevice, is_told):
    cluster.open(door).script["GET /cluster/config/qdevice"] = qdevice
    notes = open_site(door).read(deep=("100",)).production.notes
    assert any("no third" in note for note in notes) is is_told


def test_a_node_that_died_but_is_not_yet_missed_shows_its_vm_unknown(door, cluster, open_site):
    cluster.open(door).script["GET /nodes/pve1/qemu/100/config"] = Say(status=595, text="No route to host")
    end = open_site(door).read(deep=("100",)).production
    vm = by_id(end)["100"]
    assert (vm.power, vm.connection) == (Power.UNKNOWN, Connection.DISCONNECTED)
    assert any("counts as online, but does not answer" in note for note in end.notes)


def test_a_node_that_stopped_reporting_has_vms_of_unknown_power_in_bulk_and_known_ones_when_asked(
    door, cluster, open_site
):
    cluster.row["status"] = "unknown"
    site = open_site(cluster.open(door))
    assert by_id(site.read().production)["100"].power is Power.UNKNOWN
    assert by_id(site.read(deep=("100",)).production)["100"].power is Power.ON


# --- what is wrong with replication ----------------------------------------------------------------------------------


NO_BASE = "No common base snapshot on volume(s) tank:vm-150-disk-0\nPlease remove it"
NO_SSH = "command '/usr/bin/ssh -e none -o 'BatchMode=yes' root@10.99.0.2 -- pvesr prepare-local-job 100-0' failed: exit code 255"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"fail_count": 3, "error": NO_BASE},
            "failed 3 times: No common base snapshot on volume(s) tank:vm-150-disk-0 Please",
        ),
        (
            {"fail_count": 1, "error": NO_SSH},
            "failed 1 time: the connection to the other node (ssh) failed: exit code 255",
        ),
        ({"fail_count": 1, "error": "no tunnel to 10.99.0.2"}, "no tunnel to <address>"),
        ({"last_sync": 0}, "has never run to its end"),
    ],
)
def test_failing_replication_is_told_without_addresses(door, cluster, open_site, change, words):
    cluster.told["pve1"][0] |= change
    notes = open_site(cluster.open(door)).read().production.notes
    assert any(words in note for note in notes), notes
    assert not any("10.99" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, {"last_sync_at_s": SYNCED_S, "next_sync_at_s": SYNCED_S + 900, "failures": 0, "is_running": False}),
        ({"pid": 4711}, {"is_running": True}),
        ({"last_sync": 0, "last_try": 0}, {"last_sync_at_s": None, "last_try_at_s": None}),
        ({"last_try": SYNCED_S + 60}, {"last_sync_at_s": SYNCED_S, "last_try_at_s": SYNCED_S + 60}),
        ({"next_sync": 0, "fail_count": 2, "error": "x"}, {"next_sync_at_s": None, "failures": 2, "error": "x"}),
        ({"next_sync": 1}, {"next_sync_at_s": None}),
        ({"guest": "100", "last_sync": f"{SYNCED_S}"}, {"last_sync_at_s": SYNCED_S}),
    ],
)
def test_a_jobs_state_is_read_as_its_owner_tells_it(door, cluster, open_site, change, shown):
    cluster.told["pve1"][0] |= change
    site = open_site(cluster.open(door))
    found = site.replication(resolve.resolve(site.read(), vm="gestionale"))
    assert {key: getattr(found, key) for key in shown} == shown
    assert (found.job, found.source, found.target, found.schedule) == ("100-0", "pve1", "pve2", "*/15")


def test_a_disabled_job_has_no_next_run_whatever_its_state_says(door, cluster, open_site):
    cluster.jobs[0]["disable"] = "1"
    site = open_site(cluster.open(door))
    found = site.replication(resolve.resolve(site.read(), vm="gestionale"))
    assert (found.is_enabled, found.next_sync_at_s) == (False, None)


def test_a_job_without_a_source_is_of_the_node_that_owns_the_guest(door, cluster, open_site):
    for row in (cluster.jobs[0], cluster.told["pve1"][0]):
        del row["source"]
    assert by_id(open_site(cluster.open(door)).read().production)["replica:100"].host == "pve2"


def test_a_containers_job_disturbs_nobody(door, cluster, open_site):
    cluster.jobs.append({"id": "200-0", "guest": 200, "type": "local", "target": "pve2", "source": "pve1"})
    end = open_site(cluster.open(door)).read().production
    assert "replica:200" not in by_id(end)
    assert not any("200" in note for note in end.notes)


def test_a_vm_in_no_backup_job_is_told_in_a_close_read(door, cluster, open_site):
    cluster.open(door).script["GET /cluster/backup-info/not-backed-up"] = Say(
        [{"vmid": 101, "name": "dc01", "type": "qemu"}]
    )
    site = open_site(door)
    assert "dc01 is in no backup job" in site.read(deep=("100",)).production.notes
    assert not site.read().production.notes


def test_a_thousand_vms_are_no_thousand_calls_and_no_long_sum(door, cluster, open_site):
    for vmid in range(1000, 2000):
        cluster.resources.append(vm_row(vmid, f"vm{vmid}", "pve1"))
        cluster.jobs.append({"id": f"{vmid}-0", "guest": vmid, "type": "local", "target": "pve2", "source": "pve1"})
        cluster.told["pve1"].append(SYNC | {"id": f"{vmid}-0", "guest": vmid})
    began_s = time.process_time()
    end = open_site(cluster.open(door)).read().production
    assert time.process_time() - began_s < 1.0
    assert (end.calls, len(end.vms)) == (4, 2004)


def test_a_disabled_job_is_told_unless_a_run_of_ours_holds_it(door, cluster, open_site):
    cluster.jobs[0]["disable"] = 1
    site = open_site(cluster.open(door))
    assert any("is disabled" in note for note in site.read().production.notes)
    cluster.row["tags"] = cluster.configs["pve1", 100]["tags"] = stamped(fenced=RUN)
    assert not any("is disabled" in note for note in site.read().production.notes)


def test_a_node_that_refuses_its_replication_leaves_the_age_unknown(door, cluster, open_site):
    cluster.open(door).script["GET /nodes/pve1/replication"] = Say(
        status=500, text="cfs-lock 'file-replication_cfg' error: no quorum!"
    )
    replica = by_id(open_site(door).read().production)["replica:100"]
    assert "could not be asked" in replica.points_note


def test_a_job_that_is_being_removed_is_no_replica(door, cluster, open_site):
    cluster.jobs[0]["remove_job"] = "full"
    end = open_site(cluster.open(door)).read().production
    assert "replica:100" not in by_id(end)
    assert any("being removed" in note for note in end.notes)


# --- promoted copies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["in_place", "ha"])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_a_moved_configuration_is_the_replica_and_leaves_the_originals_disks_behind(
    door, cluster, open_site, mode, is_swapped
):
    marks = stamped(run=RUN, phase="failover", mode=mode, point=POINT)
    cluster.told = {"pve1": [], "pve2": [SYNC | {"last_sync": 0, "last_try": 0}]}  # the state does not move along
    cluster.row.update(node="pve2", tags=marks)
    cluster.configs = {("pve2", 100): cluster.configs["pve1", 100] | {"tags": marks}}
    if is_swapped:
        cluster.jobs[0] |= {"source": "pve2", "target": "pve1"}
    vms = by_id(open_site(cluster.open(door)).read().production)
    moved, left = vms["replica:100"], vms["100"]
    assert (moved.handle, moved.host, moved.power, moved.stamps[stamps.RUN]) == ("100", "pve2", Power.ON, RUN)
    assert (left.handle, left.host, left.power, left.stamps) == ("", "pve1", Power.OFF, {stamps.FENCED: RUN})
    assert left.name == moved.name == "gestionale"
    assert (moved.current_point, [p.id for p in moved.points]) == (POINT, [POINT])
    assert len([vm for vm in vms.values() if vm.name == "gestionale"]) == 2


@pytest.mark.parametrize("point", [f"pvesr:100-0@{SYNCED_S}", "backup:pbs:backup/vm/100/2026-08-15T02:00:00Z",
                                   "backup:nas:backup/vzdump-qemu-100-2026_08_15-02_00_00.vma.zst"])  # fmt: skip
def test_a_clone_takes_the_place_of_the_disks_it_came_from(door, cluster, open_site, point):
    marks = stamped(run=RUN, phase="failover", mode="clone", point=point)
    cluster.resources.append(vm_row(9200, "gestionale", "pve2", tags=marks))
    cluster.configs["pve2", 9200] = cluster.configs["pve1", 100] | {"tags": marks}
    vms = by_id(open_site(cluster.open(door)).read().production)
    assert "replica:100" not in vms
    assert vms["9200"].stamps[stamps.POINT] == vms["9200"].current_point == point
    assert {point, POINT} == {p.id for p in vms["9200"].points}


def test_a_clone_without_a_point_yet_is_told_by_its_name(door, cluster, open_site):
    marks = stamped(run=RUN, phase="promoting")
    cluster.resources.append(vm_row(9200, "gestionale", "pve2", "stopped", tags=marks))
    cluster.configs["pve2", 9200] = {"name": "gestionale", "tags": marks}
    assert "replica:100" not in by_id(open_site(cluster.open(door)).read().production)


def test_a_shell_vm_is_not_shown_and_its_clone_is(door, cluster, open_site):
    marks = stamped(run=RUN, shell="9200")
    cluster.resources += [vm_row(vmid, "gestionale", "pve2", "stopped", tags=marks) for vmid in (9100, 9200)]
    for vmid in (9100, 9200):
        cluster.configs["pve2", vmid] = {"name": "gestionale", "tags": marks}
    vms = by_id(open_site(cluster.open(door)).read().production)
    assert "9100" not in vms
    assert "9200" in vms


# --- backups ---------------------------------------------------------------------------------------------------------

BACKUP = {"volid": "pbs:backup/vm/100/2026-08-14T02:00:00Z", "content": "backup", "ctime": SYNCED_S - 86400, "vmid": 100,
          "size": 30 * GIB, "format": "pbs-vm", "subtype": "qemu", "notes": "gestionale"}  # fmt: skip


def with_pbs(cluster, node="pve2"):
    cluster.resources.append(storage_row("pbs", node, content="backup", plugintype="pbs", shared=1))
    cluster.backups = [BACKUP]
    return cluster


def test_backups_are_points_beside_replication_in_a_close_read(door, cluster, open_site):
    site = open_site(with_pbs(cluster).open(door))
    assert len(by_id(site.read().production)["replica:100"].points) == 1
    assert "/nodes/pve2/storage/pbs/content" not in door.asked()
    points = by_id(site.read(deep=("gestionale",)).production)["replica:100"].points
    assert [point.id for point in points] == [f"backup:{BACKUP['volid']}", f"pvesr:100-0@{SYNCED_S}"]


def test_a_backup_alone_makes_a_replica(door, cluster, open_site):
    cluster.jobs.clear()
    replica = by_id(open_site(with_pbs(cluster).open(door)).read(deep=("gestionale",)).production)["replica:100"]
    assert (replica.host, replica.points[0].name) == ("pve2", BACKUP["volid"])


def test_a_backup_that_failed_its_verification_is_no_point(door, cluster, open_site):
    with_pbs(cluster).backups = [BACKUP | {"verification": {"state": "failed"}}]
    end = open_site(cluster.open(door)).read(deep=("gestionale",)).production
    assert [p.id for p in by_id(end)["replica:100"].points] == [f"pvesr:100-0@{SYNCED_S}"]
    assert any("failed its verification" in note for note in end.notes)


def test_a_dead_nodes_vm_still_has_its_backups(door, cluster, open_site):
    with_pbs(cluster).kill("pve1")
    replica = by_id(open_site(cluster.open(door)).read(deep=("gestionale",)).production)["replica:100"]
    assert [point.id for point in replica.points] == [f"backup:{BACKUP['volid']}"]
    assert "pve1 is offline" in replica.points_note


# --- two endpoints ---------------------------------------------------------------------------------------------------


def test_two_endpoints_of_one_cluster_are_read_through_one(open_door, cluster, open_site):
    one, two = cluster.open(open_door()), cluster.open(open_door())
    reading = open_site(one, two).read()
    assert (len(one.log), len(two.log)) == (4, 0)
    assert len(reading.endpoints()) == 1
    assert (reading.production.calls, reading.replica.node) == (4, "pve2")


def test_when_the_production_nodes_endpoint_is_dead_the_other_speaks_for_it(open_door, cluster, open_site):
    one, two = open_door(), cluster.open(open_door())
    cluster.kill("pve1")
    one.end()
    reading = open_site(one, two).read(deep=("gestionale",))
    assert reading.production.is_reachable
    assert "read through" in reading.production.notes[0]
    assert by_id(reading.production)["100"].connection is Connection.DISCONNECTED
    assert by_id(reading.replica)["replica:100"].host == "pve2"


def test_two_nodes_that_stand_alone_are_read_each_and_share_backups(open_door, cluster, open_site):
    other = with_pbs(type(cluster)()).alone("pve2")
    reading = open_site(cluster.alone("pve1").open(open_door()), other.open(open_door())).read()
    assert len(reading.endpoints()) == 2
    assert set(by_id(reading.production)) == {"100", "101"}
    replica = by_id(reading.replica)["replica:100"]
    assert (replica.name, replica.host, replica.points[0].id) == ("gestionale", "pve2", f"backup:{BACKUP['volid']}")
    assert reading.replica.api == "Proxmox VE node pve2"
    pair = resolve.resolve(reading, vm="gestionale")
    assert (pair.production.id, pair.replica.id) == ("100", "replica:100")


def test_a_dead_node_that_stood_alone_leaves_the_backups_named_by_their_notes(open_door, cluster, open_site):
    one = open_door()
    one.end()
    reading = open_site(one, with_pbs(cluster).alone("pve2").open(open_door())).read(deep=("gestionale",))
    assert not reading.production.is_reachable
    assert by_id(reading.replica)["replica:100"].name == "gestionale"


def test_the_same_number_on_two_nodes_that_stand_alone_is_not_the_same_vm(open_door, cluster, open_site):
    other = with_pbs(type(cluster)()).alone("pve2")
    other.resources.append(vm_row(100, "posta", "pve2"))
    other.backups = [BACKUP | {"notes": "posta"}]
    reading = open_site(cluster.alone("pve1").open(open_door()), other.open(open_door())).read()
    assert "replica:100" not in by_id(reading.replica)


def test_a_site_of_which_nothing_answers_says_so(open_door, open_site):
    door = open_door()
    door.end()
    reading = open_site(door).read()
    assert "refuses the connection" in reading.production.error
    assert reading.production.vms == ()


def test_a_wrong_token_is_not_a_dead_site(door, cluster, open_site):
    cluster.open(door).script["GET /cluster/status"] = Say(status=401, text="Authentication failed!")
    with pytest.raises(BadInput, match="Authentication failed!"):
        open_site(door).read()


def test_a_missing_right_is_not_a_dead_site(door, cluster, open_site):
    cluster.open(door).script["GET /cluster/status"] = Say(status=403, text="Permission check failed (/, Sys.Audit)")
    with pytest.raises(BadInput, match=r"lacks Sys\.Audit on /") as refused:
        open_site(door).read()
    assert "PVEAuditor" in refused.value.next


def test_a_node_that_is_not_in_the_cluster_is_told_with_those_that_are(door, cluster, open_site):
    cluster.open(door)
    for row in cluster.status[1:]:
        row["name"] = row["name"].replace("pve", "nodo")
    with pytest.raises(BadInput, match="shows the nodes nodo1, nodo2") as refused:
        open_site(door).read()
    assert "'node' in dr_site" in refused.value.next


def test_a_wrong_name_of_a_node_that_stands_alone_is_told_too(open_door, cluster, open_site):
    other = type(cluster)().alone("pve9").open(open_door())
    with pytest.raises(BadInput, match="find the node 'pve2'"):
        open_site(cluster.alone("pve1").open(open_door()), other).read()


# --- one VM again ----------------------------------------------------------------------------------------------------


def test_a_vm_that_moved_meanwhile_is_found_again(door, cluster, open_site):
    site = open_site(cluster.open(door))
    vm = by_id(site.read().production)["100"]
    cluster.row["node"] = "pve2"
    door.script["GET /nodes/pve2/qemu/100/config"] = door.script["GET /nodes/pve1/qemu/100/config"]
    door.script["GET /nodes/pve2/qemu/100/status/current"] = Say({"status": "stopped"})
    door.script["GET /nodes/pve1/qemu/100/config"] = Say(
        status=500, text="Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    )
    fresh = site.refresh(vm)
    assert (fresh.host, fresh.power) == ("pve2", Power.OFF)


def test_a_replica_that_is_only_disks_is_read_again_with_its_point(door, cluster, open_site):
    site = open_site(cluster.open(door))
    replica = by_id(site.read().production)["replica:100"]
    cluster.told["pve1"][0]["last_sync"] = SYNCED_S + 900
    assert site.refresh(replica).points[0].created_at_s == SYNCED_S + 900
