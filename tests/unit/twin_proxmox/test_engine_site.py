# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks, storages, backups, snapshots, and the site that is built."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import (
    HOUR,
    A,
    B,
    Namesake,
    PveTiming,
    Site,
    vm,
    wish,
)

DAY = 24 * HOUR
NIGHTS = (7 * HOUR, 31 * HOUR, 55 * HOUR)


@pytest.fixture
def site() -> Site:
    return Site(wish(vm(point_ages_s=NIGHTS)))


def backups(site: Site, node: str = B) -> list[str]:
    rows = site.get(f"/nodes/{node}/storage/pbs/content", content="backup", vmid=100)
    return [row["volid"] for row in sorted(rows, key=lambda row: -row["ctime"])]


# --- tasks -------------------------------------------------------------------------------------------------------------


def test_a_task_list_shows_user_and_token_apart(site: Site) -> None:
    upid = site.power("stop")
    site.done(upid)
    assert ":dr@pve!t:" in upid
    [row] = site.get(f"/nodes/{A}/tasks", vmid=100, typefilter="qmstop")
    assert (row["upid"], row["user"], row["tokenid"], row["status"]) == (upid, "dr@pve", "t", "OK")


def test_stopped_says_nothing_of_success(site: Site) -> None:
    upid = site.power("start")
    site.turn(3)
    row = site.get(f"/nodes/{A}/tasks/{upid}/status")
    assert (row["status"], row["exitstatus"]) == ("stopped", "VM 100 already running")
    assert site.get(f"/nodes/{A}/tasks/{upid}/log")[-1]["t"] == "TASK ERROR: VM 100 already running"


@pytest.mark.parametrize(
    ("params", "kinds"),
    [
        ({"source": "active"}, ["qmclone"]),
        ({"vmid": 100, "limit": 2}, ["qmstart", "qmstop"]),
        ({"vmid": 100, "errors": 1}, ["qmstart"]),
        ({"typefilter": "qmstop"}, ["qmstop"]),
        ({"source": "all", "limit": 1}, ["qmclone"]),
        ({"userfilter": "nobody"}, []),
    ],
)
def test_tasks_are_filtered(site: Site, params: dict[str, object], kinds: list[str]) -> None:
    site.done(site.power("stop"))
    site.dc.trouble.failing_tasks["qmstart"] = "no luck"
    site.turn(2)
    site.power("start")
    site.turn(2)
    site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1)
    assert [row["type"] for row in site.get(f"/nodes/{A}/tasks", **params)] == kinds


def test_tasks_since_a_time(site: Site) -> None:
    site.turn(60)
    now_s = int(site.clock.now_s())
    site.turn(1)
    site.done(site.power("stop"))
    assert [row["type"] for row in site.get(f"/nodes/{A}/tasks", since=now_s, source="all")] == ["qmstop"]


def test_others_tasks_want_an_audit_of_the_node(site: Site) -> None:
    upid = site.power("stop")
    site.done(upid)
    site.user, site.rights = "other@pve", lambda path, privilege: privilege != "Sys.Audit" and path != "/vms/100"
    assert site.get(f"/nodes/{A}/tasks") == []
    assert site.refused("GET", f"/nodes/{A}/tasks/{upid}/status").status == 403
    site.user = "dr@pve"
    assert site.get(f"/nodes/{A}/tasks/{upid}/status")["status"] == "stopped"


@pytest.mark.parametrize("has_effect", [True, False])
def test_a_failing_task_may_have_had_its_effect(site: Site, has_effect: bool) -> None:
    site.dc.trouble.failing_tasks["qmstop:100"] = "got timeout"
    if has_effect:
        site.dc.trouble.failing_after_effect.add("qmstop:100")
    assert site.ended(site.power("stop")) == "got timeout"
    assert site.current()["status"] == ("stopped" if has_effect else "running")


def test_a_stuck_task_goes_on_when_it_is_let_go(site: Site) -> None:
    site.dc.trouble.stuck_tasks.add("qmstop")
    upid = site.power("stop")
    site.turn(600, step_s=10)
    assert site.get(f"/nodes/{A}/tasks/{upid}/status")["status"] == "running"
    site.dc.trouble.stuck_tasks.clear()
    site.done(upid)


def test_the_history_tells_who_changed_what() -> None:
    from ansible_collections.ferragosto.dr.extensions.twin.inventory import PastEvent

    event = PastEvent(vm="erp", kind="VmReconfiguredEvent", user="marco.rinaldi", age_s=26 * HOUR)
    site = Site(wish(events=(event,)))
    [row] = site.get(f"/nodes/{A}/tasks", typefilter="qmconfig")
    assert (row["user"], row["id"]) == ("marco.rinaldi@pve", "100")
    assert site.clock.now_s() - row["starttime"] == pytest.approx(26 * HOUR, abs=1)


def test_recent_tasks_of_all_nodes_are_a_short_list(site: Site) -> None:
    for dummy in range(40):
        site.ended(site.power("start"))
    assert len(site.get("/cluster/tasks")) == 25


# --- backups -----------------------------------------------------------------------------------------------------------


def test_backups_have_a_history_on_both_nodes(site: Site) -> None:
    rows = site.get(f"/nodes/{B}/storage/pbs/content", content="backup", vmid=100)
    assert sorted(round((site.clock.now_s() - row["ctime"]) / HOUR) for row in rows) == [7, 31, 55]
    assert all(row["verification"]["state"] == "ok" for row in rows)
    assert backups(site, A) == backups(site, B)
    assert site.get(f"/nodes/{B}/storage/pbs/content", vmid=777) == []


@pytest.mark.parametrize(
    ("rotten_since_h", "chosen", "phase"), [(2, 0, "running"), (8, 0, "crashed"), (8, 1, "running")]
)
def test_a_restore_brings_back_what_the_backup_held(site: Site, rotten_since_h: int, chosen: int, phase: str) -> None:
    site.world.corrupt("erp", since_s=site.clock.now_s() - rotten_since_h * HOUR)
    site.done(site.power("stop"))
    archive = backups(site)[chosen]
    site.done(site.post(f"/nodes/{B}/qemu", vmid=9200, archive=archive, storage="tank", unique=1))
    assert ":qmrestore:" in next(t for t in site.dc.tasks.tasks if "qmrestore" in t)
    old, new = site.config(), site.config(9200, B)
    for key in ("net0", "vmgenid", "smbios1"):
        assert old[key] != new[key]
    site.done(site.power("start", 9200, B))
    site.turn(10)
    copy = site.world.copy("cluster/9200")
    assert (copy.vm, copy.role, copy.host, copy.phase) == ("erp", "clone", B, phase)


def test_a_restore_without_unique_keeps_the_hardware_address(site: Site) -> None:
    site.done(site.post(f"/nodes/{B}/qemu", vmid=9200, archive=backups(site)[0], storage="tank", name="erp-2"))
    assert site.config(9200, B)["net0"] == site.config()["net0"]
    assert site.config(9200, B)["smbios1"] == site.config()["smbios1"]
    assert site.config(9200, B)["name"] == "erp-2"


def test_a_live_restore_runs_long_before_it_is_done() -> None:
    site = Site(timing=PveTiming())
    site.done(site.power("stop"))
    upid = site.post(f"/nodes/{B}/qemu", vmid=9200, archive=backups(site)[0], storage="tank", unique=1, live_restore=1)
    site.turn(15)
    assert site.dc.tasks.tasks[upid].is_running
    assert site.serving().id == "cluster/9200"
    assert site.ended(upid, 600) == "OK"


def test_a_restore_over_a_guest_needs_force_and_a_stopped_guest(site: Site) -> None:
    words = {"vmid": 100, "archive": backups(site)[0], "storage": "tank"}
    create = f"/nodes/{A}/qemu"
    assert (
        site.refused("POST", create, **words).text == "unable to restore VM 100 - VM 100 already exists on node 'pve1'"
    )
    assert site.refused("POST", create, **words, force=1).text == "unable to restore VM 100 - VM 100 is running"
    site.done(site.power("stop"))
    site.done(site.post(create, **words, force=1))
    assert site.clock.now_s() - site.world.copy("cluster/100").data.as_of_s > 6 * HOUR


def test_a_restore_that_fails_leaves_nothing(site: Site) -> None:
    site.dc.shelf.storages["tank"].full_on.add(B)
    upid = site.post(f"/nodes/{B}/qemu", vmid=9200, archive=backups(site)[0], storage="tank", unique=1)
    assert "out of space" in site.ended(upid)
    assert 9200 not in site.dc.guests


def test_an_unknown_archive_is_refused(site: Site) -> None:
    refused = site.refused("POST", f"/nodes/{B}/qemu", vmid=9200, archive="pbs:backup/vm/100/never", storage="tank")
    assert refused.text == "volume 'pbs:backup/vm/100/never' does not exist"


def test_a_backup_is_made_with_its_notes_and_locks_the_guest(site: Site) -> None:
    upid = site.post(
        f"/nodes/{A}/vzdump", vmid="100", storage="pbs", mode="snapshot", protected=1, notes_template="{{guestname}}!"
    )
    site.turn(0.1)
    assert site.current()["lock"] == "backup"
    site.done(upid)
    row = max(site.get(f"/nodes/{A}/storage/pbs/content"), key=lambda r: r["ctime"])
    assert (row["notes"], row["protected"]) == ("erp!", 1)
    assert "verification" not in row
    assert "lock" not in site.current()
    removal = site.delete(f"/nodes/{A}/storage/pbs/content/{row['volid']}")
    assert site.ended(removal) == f"can't remove protected archive '{row['volid']}'"
    site.put(f"/nodes/{A}/storage/pbs/content/{row['volid']}", protected=0)
    site.done(site.delete(f"/nodes/{A}/storage/pbs/content/{row['volid']}"))


def test_a_backup_on_a_node_without_the_guest_is_no_task(site: Site) -> None:
    assert site.post(f"/nodes/{B}/vzdump", vmid="100", storage="pbs") == "OK"
    assert site.ended(site.post(f"/nodes/{B}/vzdump", vmid="777", storage="pbs")) == "job errors"


def test_guests_in_no_backup_job_are_listed() -> None:
    site = Site(wish(vm(), vm("dc", replica="missing")))
    assert [row["vmid"] for row in site.get("/cluster/backup-info/not-backed-up")] == [101]
    site.rights = lambda path, privilege: path != "/vms/101"
    assert site.get("/cluster/backup-info/not-backed-up") == []


# --- storages ----------------------------------------------------------------------------------------------------------


def test_a_storage_shows_the_replica_and_nothing_of_its_age(site: Site) -> None:
    [row] = site.get(f"/nodes/{B}/storage/tank/content", vmid=100)
    assert (row["volid"], row["size"], row["content"]) == ("tank:vm-100-disk-0", 80 * 2**30, "images")
    assert "ctime" not in row
    [status] = site.get(f"/nodes/{B}/storage", storage="tank")
    assert status["used"] + status["avail"] == status["total"]


def test_a_volume_of_a_guest_on_this_node_is_not_removed(site: Site) -> None:
    path = f"/nodes/{A}/storage/tank/content/tank:vm-100-disk-0"
    assert site.refused("DELETE", path).status == 403
    site.done(site.delete(f"/nodes/{B}/storage/tank/content/tank:vm-100-disk-0"))
    assert "replica:100" not in site.world.copies
    assert site.accidents() == ["disks_destroyed"]


# --- snapshots ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_taken_rolled_back_to_and_deleted(site: Site) -> None:
    base = f"/nodes/{A}/qemu/100/snapshot"
    site.done(site.post(base, snapname="before", description="good"))
    held = site.world.copy("cluster/100").points["100:before"]
    site.put(f"/nodes/{A}/qemu/100/config", tags="later")
    site.world.corrupt("erp", since_s=site.clock.now_s() + 1)
    assert [row["name"] for row in site.get(base)] == ["before", "current"]
    assert site.get(base)[-1]["parent"] == "before"
    site.done(site.post(f"{base}/before/rollback", start=1))
    site.turn(10)
    assert "tags" not in site.config()
    assert site.world.data_of(site.world.copy("cluster/100")).generation > held.generation
    assert site.world.copy("cluster/100").phase == "running"
    site.done(site.delete(f"{base}/before"))
    assert [row["name"] for row in site.get(base)] == ["current"]
    assert site.ended(site.delete(f"{base}/before")) == "snapshot 'before' does not exist"


def test_only_the_newest_snapshot_can_be_rolled_back_to(site: Site) -> None:
    base = f"/nodes/{A}/qemu/100/snapshot"
    for name in ("first", "second"):
        site.done(site.post(base, snapname=name))
        site.turn(1)
    refused = site.ended(site.post(f"{base}/first/rollback"))
    assert refused == "can't rollback, 'first' is not most recent snapshot on 'tank:vm-100-disk-0'"
    assert site.ended(site.post(base, snapname="second")) == "snapshot name 'second' already used"


# --- the site ----------------------------------------------------------------------------------------------------------


def test_a_cluster_is_built_with_jobs_and_history() -> None:
    site = Site(wish(vm(), vm("dc", has_tools=False, has_autostart=False)))
    assert [(r["vmid"], r["name"], r["status"]) for r in site.get("/cluster/resources", type="vm")] == [
        (100, "erp", "running"),
        (101, "dc", "running"),
    ]
    assert site.current()["uptime"] == 41 * 86400
    assert (site.config()["onboot"], site.config()["agent"]) == (1, "1")
    assert not {"onboot", "agent"} & site.config(101).keys()
    assert (site.config()["ostype"], site.config(101)["ostype"]) == ("win11", "l26")
    assert {j["id"] for j in site.get("/cluster/replication")} == {"100-0", "101-0"}
    site.turn(5 * 60)
    assert all(j["fail_count"] == 0 and "pid" not in j for j in site.get(f"/nodes/{A}/replication"))
    assert site.violations() == set()


def test_standalone_nodes_share_their_backups_alone() -> None:
    site = Site(wish(vm(point_ages_s=NIGHTS), layout="standalone"))
    assert [list(d.nodes) for d in site.datacenters] == [[A], [B]]
    assert [row["type"] for row in site.get("/cluster/status")] == ["node"]
    assert site.get("/cluster/replication") == []
    assert len(backups(site, B)) == 3
    site.door = B
    assert site.get("/cluster/resources", type="vm") == []
    site.done(site.power("stop"))
    site.done(site.post(f"/nodes/{B}/qemu", vmid=100, archive=backups(site)[0], storage="tank"))
    site.done(site.power("start", 100, B))
    site.turn(10)
    serving = site.serving()
    assert (serving.id, serving.host, serving.role) == ("pve2/100", B, "clone")


@pytest.mark.parametrize("layout", ["cluster", "standalone"])
def test_a_guest_found_running_on_the_second_node_is_the_only_one(layout: str) -> None:
    site = Site(wish(vm(replica="running"), layout=layout))
    serving = site.serving()
    assert serving.host == B
    assert site.violations() == set()
    site.turn(600, step_s=5)
    assert site.accidents() == []


def test_a_namesake_is_a_guest_of_its_own() -> None:
    site = Site(wish(namesakes=(Namesake(name="erp", folder="old", node=B, power="on"),)))
    names = [(r["name"], r["node"], r.get("pool")) for r in site.get("/cluster/resources", type="vm")]
    assert names == [("erp", A, None), ("erp", B, "old")]
    assert [m["vmid"] for m in site.get("/pools/old")["members"]] == [900]
    assert site.violations() == set()


def test_a_parameter_that_is_missing_is_named(site: Site) -> None:
    refused = site.refused("POST", f"/nodes/{A}/qemu/100/clone")
    assert (refused.status, refused.errors) == (400, {"newid": "property is missing and it is not optional"})


def test_the_next_free_id_is_found(site: Site) -> None:
    assert site.get("/cluster/nextid") == "101"
    assert site.refused("GET", "/cluster/nextid", vmid=100).errors == {"vmid": "VM 100 already exists"}


def test_nodes_and_version_are_told(site: Site) -> None:
    assert site.get("/version")["release"] == "9.2"
    assert [(n["node"], n["status"]) for n in site.get("/nodes")] == [(A, "online"), (B, "online")]
    assert site.get(f"/nodes/{A}/status")["memory"]["total"] == 64 * 2**30
    assert site.get(f"/nodes/{A}/time")["time"] == int(site.clock.now_s())
    assert {n["iface"] for n in site.get(f"/nodes/{A}/network")} == {"vmbr0", "dr-isolated"}
    assert site.get(f"/nodes/{A}/lxc") == []
