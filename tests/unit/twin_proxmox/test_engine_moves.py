# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration and HA: planned moves, requests that are only requests, and the recovery of a dead node's guests."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import A, B, PveTiming, Site, vm, wish

MIGRATE = f"/nodes/{A}/qemu/100/migrate"
LIVE = {"target": B, "online": 1, "with_local_disks": 1}


@pytest.fixture
def site() -> Site:
    return Site()


# --- migration ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_running", [True, False])
def test_one_call_moves_the_guest_to_its_replica_and_turns_the_job_round(site: Site, is_running: bool) -> None:
    if not is_running:
        site.done(site.power("stop"))
    booted_s = site.world.copy("cluster/100").booted_at_s
    newest = site.world.data_of(site.world.copy("cluster/100")).generation
    site.done(site.post(MIGRATE, **LIVE))
    assert site.resource()["node"] == B
    assert site.resource()["status"] == ("running" if is_running else "stopped")
    copy = site.world.copy("replica:100")
    assert site.world.data_of(copy).generation >= newest
    state = site.job(B)
    assert (state["id"], state["source"], state["target"]) == ("100-0", B, A)
    assert site.clock.now_s() - state["last_sync"] < 30  # the state came along
    assert state["guest"] == 100
    if is_running:
        assert copy.booted_at_s == booted_s  # it never noticed
    assert site.violations() == set()
    assert site.accidents() == []


def test_there_and_back_again_loses_nothing(site: Site) -> None:
    site.done(site.post(MIGRATE, **LIVE))
    site.turn(100)
    site.done(site.post(f"/nodes/{B}/qemu/100/migrate", **{**LIVE, "target": A}))
    assert site.serving() is site.world.copy("cluster/100")
    site.post(f"/nodes/{A}/replication/100-0/schedule_now")
    site.turn(70)
    assert site.job()["fail_count"] == 0
    assert site.accidents() == []
    assert site.violations() == set()


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"target": A, "online": 1}, 400, "Parameter verification failed."),
        ({"target": "pve9", "online": 1}, 500, "no such cluster node 'pve9'"),
        ({"target": B}, 500, "can't migrate running VM without --online"),
    ],
)
def test_a_migration_that_cannot_be_is_refused(site: Site, params: dict[str, object], status: int, text: str) -> None:
    refused = site.refused("POST", MIGRATE, **params)
    assert (refused.status, refused.text) == (status, text)


def test_a_replicated_guest_is_not_migrated_alive_to_a_node_that_is_no_target(site: Site) -> None:
    site.dc.replication.jobs["100-0"].target = "pve3"
    assert site.refused("POST", MIGRATE, **LIVE).text.startswith(
        "Cannot live-migrate replicated VM to node 'pve2' - not a replication target."
    )


def test_a_migration_without_its_disks_is_aborted(site: Site) -> None:
    upid = site.post(MIGRATE, target=B, online=1)
    assert site.ended(upid) == "migration aborted"
    assert "can't live migrate attached local disks without with-local-disks option" in site.task_log(upid)
    assert site.resource()["node"] == A
    assert "lock" not in site.config()


def test_a_migration_to_a_dead_node_is_aborted() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(B)
    assert site.ended(site.post(MIGRATE, **LIVE)) == "migration aborted"


def test_a_migration_is_aborted_when_the_last_run_fails(site: Site) -> None:
    site.dc.replication.failing["100-0"] = "no tunnel"
    upid = site.post(MIGRATE, **LIVE)
    assert site.ended(upid) == "migration aborted"
    assert site.current()["status"] == "running"


def test_a_job_that_is_to_be_removed_stops_the_migration(site: Site) -> None:
    site.delete("/cluster/replication/100-0")
    assert site.ended(site.post(MIGRATE, **LIVE)) == "migration aborted"


def test_a_guest_is_locked_while_it_migrates(site: Site) -> None:
    upid = site.post(MIGRATE, **LIVE)
    site.turn(1)
    assert site.current()["lock"] == "migrate"
    site.done(upid)
    assert "lock" not in site.current(node=B)


def test_disks_that_are_not_replicated_are_copied_and_take_their_time() -> None:
    site = Site(wish(vm(replica="missing", disk_gb=80)), PveTiming())
    began_s = site.clock.now_s()
    site.done(site.post(MIGRATE, **LIVE))
    assert site.clock.now_s() - began_s > 80 * 2**30 / (400 * 2**20)
    assert site.world.copy("cluster/100").host == B
    assert (A, "tank:vm-100-disk-0") not in site.dc.shelf.volumes


def test_a_dead_guest_migrates_dead(site: Site) -> None:
    site.world.corrupt("erp")
    site.done(site.post(MIGRATE, **LIVE))
    copy = site.world.copy("replica:100")
    assert (copy.phase, copy.data.is_corrupted) == ("crashed", True)


def test_the_precheck_names_the_replicas(site: Site) -> None:
    row = site.get(MIGRATE, target=B)
    assert (row["running"], row["allowed_nodes"]) == (1, [B])
    assert [d["volid"] for d in row["local_disks"]] == ["tank:vm-100-disk-0"]


def test_a_replicated_guest_does_not_leave_the_cluster(site: Site) -> None:
    words = {"target_endpoint": "host=x", "target_storage": "tank", "target_bridge": "vmbr0"}
    refused = site.refused("POST", f"/nodes/{A}/qemu/100/remote_migrate", **words)
    assert refused.text == "cannot remote-migrate replicated VM"


def test_a_bulk_migration_moves_each_by_its_own_task() -> None:
    site = Site(wish(vm(), vm("dc")))
    site.done(site.post("/cluster/bulk-action/guest/migrate", vms="100,101", target=B, online=1, with_local_disks=1))
    assert {site.resource(100)["node"], site.resource(101)["node"]} == {B}


# --- HA ----------------------------------------------------------------------------------------------------------------


def manage(site: Site, **more: object) -> None:
    site.post("/cluster/ha/resources", sid="vm:100", state="started", **more)


def service(site: Site) -> dict[str, object]:
    found: dict[str, object] = next(r for r in site.get("/cluster/ha/status/current") if r["type"] == "service")
    return found


def test_a_managed_guest_is_kept_running(site: Site) -> None:
    manage(site)
    site.turn(15)
    assert (service(site)["state"], site.current()["ha"]) == ("started", {"managed": 1, "state": "started"})
    site.dc.machines.stop(site.dc.machines.required(site.dc.guests[100]))
    site.turn(20)
    assert site.current()["status"] == "running"
    assert site.resource()["hastate"] == "started"


def test_start_and_stop_of_a_managed_guest_are_requests(site: Site) -> None:
    manage(site)
    site.turn(15)
    upid = site.power("stop")
    assert ":hastop:" in upid
    site.done(upid)
    site.turn(60)
    assert site.current()["status"] == "stopped"
    upid = site.power("start")
    assert ":hastart:" in upid
    site.done(upid)
    site.turn(30)
    assert site.current()["status"] == "running"


def test_hamigrate_is_ok_when_it_is_merely_requested(site: Site) -> None:
    manage(site)
    site.turn(15)
    upid = site.post(MIGRATE, **LIVE)
    assert ":hamigrate:" in upid
    assert site.dc.tasks.tasks[upid].kind == "hamigrate"
    site.turn(0.5)
    assert site.get(f"/nodes/{A}/tasks/{upid}/status")["exitstatus"] == "OK"
    assert site.resource()["node"] == A
    site.turn(60)
    assert site.resource()["node"] == B


def test_a_guest_added_to_ha_after_its_node_died_is_recovered_elsewhere() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(A)
    site.door = B
    site.put("/cluster/replication/100-0", disable=1)
    site.post("/cluster/ha/rules", rule="pin", type="node-affinity", resources="vm:100", nodes=B, strict=1)
    manage(site)
    site.turn(20)
    assert service(site)["state"] == "fence"
    site.turn(80)
    assert (site.resource()["node"], site.resource()["status"]) == (B, "running")
    assert service(site)["state"] == "started"
    assert site.serving().id == "replica:100"
    site.delete("/cluster/ha/resources/vm:100", purge=1)
    assert site.get("/cluster/ha/resources") == []
    assert site.get("/cluster/ha/rules") == []
    assert site.resource()["status"] == "running"
    assert site.dc.return_node(A) == []
    assert site.violations() == set()


def test_a_strict_rule_keeps_a_guest_off_other_nodes() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(A)
    site.door = B
    site.post("/cluster/ha/rules", rule="pin", type="node-affinity", resources="vm:100", nodes=A, strict=1)
    manage(site)
    site.turn(200, step_s=1)
    assert service(site)["state"] == "recovery"
    assert site.resource()["node"] == A


def test_a_node_that_is_only_isolated_and_had_no_services_goes_on_and_splits_the_brain() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(A, isolated=True)
    site.door = B
    site.put("/cluster/replication/100-0", disable=1)
    manage(site)
    site.turn(120)
    assert site.resource()["status"] == "running"
    assert "two_guests_serving" in site.violations()


def test_a_node_with_services_resets_itself_before_they_are_recovered() -> None:
    site = Site(wish(has_qdevice=True))
    site.put("/cluster/replication/100-0", disable=1)
    manage(site)
    site.turn(15)
    site.dc.fail_node(A, isolated=True)
    site.door = B
    site.turn(120)
    assert site.resource()["node"] == B
    assert site.violations() == set()


def test_without_quorum_nothing_is_recovered(site: Site) -> None:
    manage(site)
    site.turn(15)
    site.dc.fail_node(A)
    site.door = B
    site.turn(200, step_s=1)
    assert site.resource()["node"] == A
    assert site.get("/cluster/ha/status/current")[0]["status"] == "No quorum!"


def test_a_recovery_without_a_replica_ends_in_error() -> None:
    site = Site(wish(vm(replica="missing"), has_qdevice=True))
    manage(site)
    site.turn(15)
    site.dc.fail_node(A)
    site.door = B
    site.turn(200, step_s=1)
    assert service(site)["state"] == "error"


def test_a_managed_guest_is_destroyed_only_with_purge(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    site.delete("/cluster/replication/100-0", force=1)
    site.done(site.power("stop"))
    manage(site, comment="x")
    site.put("/cluster/ha/resources/vm:100", state="disabled")
    assert "used in HA resources" in site.refused("DELETE", f"/nodes/{A}/qemu/100").text
    site.done(site.delete(f"/nodes/{A}/qemu/100", purge=1))
    assert site.get("/cluster/ha/resources") == []
