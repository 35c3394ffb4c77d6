# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storage replication: the rules of facts-proxmox.md, section 1."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import HOUR, A, B, PveTiming, Site, vm, wish


@pytest.fixture
def site() -> Site:
    return Site()


def run(site: Site, node: str = A) -> None:
    """Let the scheduler run the job now."""
    site.post(f"/nodes/{node}/replication/100-0/schedule_now")
    site.turn(65)


def test_the_cluster_lists_configuration_and_no_state(site: Site) -> None:
    [job] = site.get("/cluster/replication")
    assert job == {
        "id": "100-0",
        "type": "local",
        "guest": 100,
        "jobnum": 0,
        "source": A,
        "target": B,
        "schedule": job["schedule"],
    }
    assert "digest" in site.get("/cluster/replication/100-0")


def test_state_lives_on_the_owning_node_alone(site: Site) -> None:
    [state] = site.get(f"/nodes/{A}/replication")
    assert site.clock.now_s() - state["last_sync"] == pytest.approx(7 * HOUR, abs=1)
    assert state["fail_count"] == 0
    assert state["vmtype"] == "qemu"
    assert "error" not in state
    assert "pid" not in state
    assert site.get(f"/nodes/{B}/replication") == []


def test_a_guest_that_may_not_be_audited_is_left_out_silently(site: Site) -> None:
    site.rights = lambda path, privilege: path != "/vms/100"
    assert site.get("/cluster/replication") == []
    assert site.get(f"/nodes/{A}/replication") == []
    assert site.refused("GET", f"/nodes/{A}/replication/100-0/status").status == 403


def test_a_disabled_job_is_still_listed_with_a_next_sync(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    state = site.job()
    assert state["disable"] == 1
    assert state["next_sync"] > site.clock.now_s()
    before = state["last_sync"]
    site.turn(2 * 86400, step_s=600)
    assert site.job()["last_sync"] == before


def test_last_sync_is_the_start_of_the_run_and_pid_shows_while_it_runs(site: Site) -> None:
    site.post(f"/nodes/{A}/replication/100-0/schedule_now")
    assert site.job()["last_try"] == 0
    while "pid" not in (state := site.job()):
        site.turn(0.25)
    started_s = state["last_try"]
    assert state["last_sync"] < started_s
    site.turn(10)
    state = site.job()
    assert "pid" not in state
    assert state["last_sync"] == started_s
    assert state["duration"] > 0


def test_schedule_now_answers_no_upid_and_ignores_a_job_that_never_ran(site: Site) -> None:
    site.dc.replication.states.clear()
    tasks = len(site.dc.tasks.tasks)
    assert site.post(f"/nodes/{A}/replication/100-0/schedule_now") == ""
    assert len(site.dc.tasks.tasks) == tasks
    assert (site.job()["last_sync"], site.job()["last_try"]) == (0, 0)


def test_a_run_brings_the_content_and_keeps_one_snapshot(site: Site) -> None:
    replica = site.world.copy("replica:100")
    before = replica.data.generation
    site.turn(60)
    run(site)
    assert replica.data.generation > before
    [(name, created_s)] = site.dc.replication_snapshots(B)
    assert name == f"rpool/data/vm-100-disk-0@__replicate_100-0_{created_s}__"
    assert created_s == site.job()["last_sync"]
    assert site.dc.replication_snapshots(A) == [(name, created_s)]


def test_everything_written_to_the_replica_is_destroyed_by_the_next_run(site: Site) -> None:
    site.shell()
    site.done(site.power("start", 9100, B))
    site.turn(30)
    assert site.accidents() == ["replica_written_to"]
    run(site)
    assert "promoted_replica_rolled_back" in site.accidents()
    data = site.world.copy("replica:100").data
    assert site.clock.now_s() - data.as_of_s < 120


@pytest.mark.parametrize(("fails", "late_s"), [(1, 300), (2, 600), (3, 900), (4, 1800), (7, 1800)])
def test_a_failing_job_waits_longer_each_time(site: Site, fails: int, late_s: float) -> None:
    state = site.dc.replication.state(A, "100-0")
    state.fail_count, state.error = fails, "x"
    assert site.job()["next_sync"] == state.last_try + late_s


def test_the_error_is_cleared_by_the_next_good_run(site: Site) -> None:
    site.dc.replication.failing["100-0"] = "command 'zfs send' failed: exit code 1"
    run(site)
    state = site.job()
    assert (state["fail_count"], state["error"]) == (1, "command 'zfs send' failed: exit code 1")
    site.dc.replication.failing.clear()
    site.turn(400)
    state = site.job()
    assert state["fail_count"] == 0
    assert "error" not in state


def test_an_unreachable_target_fails_the_run_and_will_not_be_retried(site: Site) -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(B)
    run(site)
    state = site.job()
    assert state["error"].startswith("command '/usr/bin/ssh -e none")
    assert state["error"].endswith("failed: exit code 255")
    assert "root@10.99.0.2 -- pvesr prepare-local-job" in state["error"]
    assert state["next_sync"] == 0


def test_a_target_without_the_base_snapshot_keeps_its_old_data(site: Site) -> None:
    site.dc.shelf.disk_sets[(100, B)].replication_snapshots.clear()
    before = site.world.copy("replica:100").data
    run(site)
    state = site.job()
    assert state["fail_count"] == 1
    assert state["error"].startswith("No common base snapshot on volume(s) tank:vm-100-disk-0\nPlease remove ")
    assert state["next_sync"] == pytest.approx(state["last_try"] + 300, abs=1)
    assert site.world.copy("replica:100").data == before


def test_a_stolen_guest_turns_the_job_round_and_loses_its_state(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    site.done(site.power("stop"))
    site.dc.move_config(100, B, by_node=A)
    assert site.get("/cluster/replication")[0]["source"] == A  # until somebody asks the new node
    [state] = site.get(f"/nodes/{B}/replication")
    assert (state["source"], state["target"], state["id"]) == (B, A, "100-0")
    assert (state["last_sync"], state["last_try"]) == (0, 0)
    assert state["guest"] == "100"  # text here, a number elsewhere [RUN]
    [job] = site.get("/cluster/replication")
    assert (job["source"], job["target"], job["guest"]) == (B, A, 100)
    assert site.get(f"/nodes/{A}/replication") == []


def test_the_whole_cycle_overwrites_the_corrupted_source_only_when_it_is_enabled(site: Site) -> None:
    site.world.corrupt("erp", since_s=site.clock.now_s() - 2 * HOUR)
    site.put("/cluster/replication/100-0", disable=1)
    site.done(site.power("stop"))
    site.dc.move_config(100, B, by_node=A)
    site.done(site.power("start", node=B))
    site.turn(30)
    assert not site.is_rotten("replica:100")
    assert site.is_rotten("cluster/100")
    site.put("/cluster/replication/100-0", disable=0)
    site.turn(70)
    assert not site.is_rotten("cluster/100")
    assert site.job(B)["last_sync"] > 0
    assert site.accidents() == ["original_overwritten"]
    site.done(site.post(f"/nodes/{B}/qemu/100/migrate", target=A, online=1, with_local_disks=1))
    [job] = site.get("/cluster/replication")
    assert (job["id"], job["source"], job["target"]) == ("100-0", A, B)
    assert site.current()["status"] == "running"
    assert site.serving().id == "cluster/100"
    assert site.violations() == set()


def test_a_run_that_brings_rotten_data_over_sound_ones_is_remembered(site: Site) -> None:
    site.world.corrupt("erp")
    run(site)
    assert site.accidents() == ["sound_replica_overwritten"]


def test_a_clone_under_which_a_run_changed_the_disk_is_torn(site: Site) -> None:
    site.dc.timing = PveTiming(copy_s_at_most=100.0, scheduler_s=5.0)
    site.shell()
    upid = site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1)
    site.turn(2)
    site.post(f"/nodes/{A}/replication/100-0/schedule_now")
    site.done(upid)
    assert site.world.copy("cluster/9200").data.is_corrupted
    assert "torn_clone" in site.accidents()


# --- configuration ----------------------------------------------------------------------------------------------------


def test_a_job_is_created_with_its_node_as_source(site: Site) -> None:
    site = Site(wish(vm(replica="missing")))
    assert site.get("/cluster/replication") == []
    assert site.post("/cluster/replication", type="local", id="100-0", target=B) is None
    [job] = site.get("/cluster/replication")
    assert (job["source"], job["target"]) == (A, B)
    assert site.job()["last_sync"] == 0
    site.turn(70)
    assert site.job()["last_sync"] > 0
    assert site.world.copy("replica:100").role == "replica"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"id": "100-1", "target": A}, "unable to sync to local node"),
        ({"id": "100-0", "target": B}, "replication job '100-0' already exists"),
        ({"id": "777-0", "target": B}, "no such guest '777'"),
    ],
)
def test_a_job_that_cannot_be_is_refused(site: Site, params: dict[str, t.Any], text: str) -> None:
    assert site.refused("POST", "/cluster/replication", type="local", **params).text == text


def test_only_a_zfspool_can_replicate(site: Site) -> None:
    site = Site(wish(vm(replica="missing")))
    site.dc.shelf.storages["tank"].kind = "lvmthin"
    refused = site.refused("POST", "/cluster/replication", type="local", id="100-0", target=B)
    assert refused.text == "missing replicate feature on volume 'tank:vm-100-disk-0'"


def test_the_target_of_a_job_is_fixed(site: Site) -> None:
    assert site.refused("PUT", "/cluster/replication/100-0", target=A).status == 400


@pytest.mark.parametrize(("params", "keeps_volumes"), [({"keep": 1}, True), ({}, False), ({"force": 1}, True)])
def test_a_deleted_job_is_carried_away_by_the_scheduler(
    site: Site, params: dict[str, int], keeps_volumes: bool
) -> None:
    site.delete("/cluster/replication/100-0", **params)
    if "force" not in params:
        assert site.job()["next_sync"] == 1
        assert site.job()["remove_job"] == ("local" if keeps_volumes else "full")
    site.turn(65)
    assert site.get("/cluster/replication") == []
    assert ((B, "tank:vm-100-disk-0") in site.dc.shelf.volumes) is keeps_volumes


def test_volumes_of_another_guest_and_those_set_aside_are_skipped(site: Site) -> None:
    guest = site.dc.guests[100]
    guest.config["scsi1"] = "tank:vm-777-disk-0"
    site.dc.shelf.add(A, "tank", "vm-777-disk-0", 2**30, 0.0)
    site.dc.shelf.add(A, "tank", "vm-100-disk-1", 2**30, 0.0)
    guest.config["scsi2"] = "tank:vm-100-disk-1,replicate=0"
    assert [v.id for v in site.dc.replication.volumes(guest)] == ["tank:vm-100-disk-0"]


def test_the_log_holds_the_last_run_only(site: Site) -> None:
    run(site)
    first = site.get(f"/nodes/{A}/replication/100-0/log")
    run(site)
    assert len(site.get(f"/nodes/{A}/replication/100-0/log")) == len(first)


def test_jobs_of_a_node_run_one_after_another() -> None:
    site = Site(wish(vm(), vm("dc")), PveTiming(replicate_s=10))
    for job_id in ("100-0", "101-0"):
        site.post(f"/nodes/{A}/replication/{job_id}/schedule_now")
    seen = set()
    for dummy in range(120):
        site.turn(1)
        running = tuple(j["id"] for j in site.get(f"/nodes/{A}/replication") if "pid" in j)
        assert len(running) <= 1
        seen |= set(running)
    assert seen == {"100-0", "101-0"}


def test_the_replica_of_a_clone_is_not_the_one_that_protects(site: Site) -> None:
    site.shell()
    site.done(site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1))
    site.post("/cluster/replication", type="local", id="9200-0", target=A)
    site.turn(70)
    roles = {copy.id: copy.role.value for copy in site.world.copies_of("erp")}
    assert roles == {
        "cluster/100": "production",
        "replica:100": "replica",
        "cluster/9200": "clone",
        "replica:9200": "clone",
    }
    site.delete("/cluster/replication/9200-0")
    site.turn(70)
    assert "replica:9200" not in site.world.copies
    assert site.accidents() == []
