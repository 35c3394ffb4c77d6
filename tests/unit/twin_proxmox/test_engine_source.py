# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks, backups, storages and snapshots as PVE's own source has them: who sees what, how lists are sorted, what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import A, B, Site, vm, wish


@pytest.fixture
def site() -> Site:
    return Site(wish(vm(), vm("dc")))


def kinds(site: Site, **wanted: object) -> list[str]:
    return [f"{row['type']} {row.get('status')}" for row in site.get(f"/nodes/{A}/tasks", **wanted)]


def test_a_task_that_runs_is_listed_as_running(site: Site) -> None:
    upid = site.power("stop")
    for source in ("active", "all"):
        assert kinds(site, source=source)[0] == "qmstop RUNNING"
    (row,) = site.get(f"/nodes/{A}/tasks", source="active")
    assert "endtime" not in row
    assert site.get(f"/nodes/{A}/tasks/{upid}/status")["status"] == "running"
    site.done(upid)
    assert kinds(site, source="active") == []
    assert kinds(site)[0] == "qmstop OK"


def test_errors_are_all_but_what_is_ok(site: Site) -> None:
    site.dc.tasks.past(A, "vzdump", 100, user="root@pam", age_s=60, status="WARNINGS: 1")
    site.dc.tasks.past(A, "qmstart", 100, user="root@pam", age_s=50, status="got timeout")
    site.dc.tasks.past(A, "qmstop", 100, user="root@pam", age_s=40, status="OK")
    site.dc.tasks.past(A, "qmclone", 100, user="root@pam", age_s=30, status="unexpected status")
    upid = site.power("reset")
    shown = kinds(site, source="all", errors=1, vmid=100)
    assert shown == ["qmreset RUNNING", "qmclone unexpected status", "qmstart got timeout", "vzdump WARNINGS: 1"]
    assert kinds(site, statusfilter="warning,ok", vmid=100, userfilter="ROOT")[:2] == [
        "qmstop OK",
        "vzdump WARNINGS: 1",
    ]
    site.done(upid)


@pytest.mark.parametrize(
    ("user", "token_id", "is_shown"),
    [("dr@pve", "one", True), ("dr@pve", "", True), ("dr@pve", "two", False), ("eva@pve", "", False)],
)
def test_without_audit_a_token_sees_its_own_tasks_and_a_user_its_tokens_too(
    site: Site, user: str, token_id: str, is_shown: bool
) -> None:
    site.user, site.token_id = "dr@pve", "one"
    upid = site.power("stop")
    site.done(upid)
    site.user, site.token_id = user, token_id
    site.rights = lambda path, privilege: privilege != "Sys.Audit"
    assert (upid in {row["upid"] for row in site.get(f"/nodes/{A}/tasks")}) is is_shown
    if is_shown:
        assert site.get(f"/nodes/{A}/tasks/{upid}/status")["exitstatus"] == "OK"
        return
    refused = site.refused("GET", f"/nodes/{A}/tasks/{upid}/status")
    assert (refused.status, refused.text) == (403, f"Permission check failed (/nodes/{A}, Sys.Audit)")


@pytest.mark.parametrize(
    ("upid", "words"),
    [
        (f"UPID:{A}:00000001:00000001:00000001:qmstart:100:root@pam:", "no such task"),
        ("nonsense", "unable to parse worker upid"),
    ],
)
def test_a_task_that_nobody_knows_is_a_wrong_parameter(site: Site, upid: str, words: str) -> None:
    refused = site.refused("GET", f"/nodes/{A}/tasks/{upid}/status")
    assert (refused.status, refused.errors) == (400, {"upid": words})


def test_to_end_a_task_that_has_ended_is_nothing(site: Site) -> None:
    upid = site.power("stop")
    site.done(upid)
    assert site.delete(f"/nodes/{A}/tasks/{upid}") is None
    assert site.ended(upid) == "OK"


def test_a_backup_without_the_right_to_one_guest_fails_in_its_task_before_the_first(site: Site) -> None:
    site.rights = lambda path, privilege: (path, privilege) != ("/vms/101", "VM.Backup")
    upid = site.post(f"/nodes/{A}/vzdump", vmid="100,101", storage="pbs")
    assert site.ended(upid) == "Permission check failed (/vms/101, VM.Backup)"
    assert "Starting Backup" not in site.task_log(upid)


def test_a_backup_of_all_takes_those_that_the_caller_may_back_up(site: Site) -> None:
    site.rights = lambda path, privilege: (path, privilege) != ("/vms/101", "VM.Backup")
    upid = site.post(f"/nodes/{A}/vzdump", all=1, storage="pbs")
    site.done(upid)
    assert "Starting Backup of VM 100" in site.task_log(upid)
    assert "Starting Backup of VM 101" not in site.task_log(upid)
    site.done(site.post(f"/nodes/{B}/vzdump", all=1, storage="pbs"))


@pytest.mark.parametrize(
    ("option", "value", "acl"),
    [
        ("bwlimit", 1000, ("/", "Sys.Modify")),
        ("prune_backups", "keep-last=3", ("/storage/pbs", "Datastore.Allocate")),
    ],
)
def test_some_options_of_a_backup_want_more(site: Site, option: str, value: object, acl: tuple[str, str]) -> None:
    site.rights = lambda path, privilege: (path, privilege) != acl
    refused = site.refused("POST", f"/nodes/{A}/vzdump", vmid="100", storage="pbs", **{option: value})
    assert (refused.status, refused.text) == (403, f"Permission check failed ({', '.join(acl)})")


@pytest.mark.parametrize(
    ("content", "lacks", "is_shown"),
    [
        ("backup", {"Datastore.Allocate"}, True),
        ("backup", {"Datastore.Allocate", "VM.Backup"}, False),
        ("backup", {"Datastore.Allocate", "Datastore.AllocateSpace"}, False),
        ("backup", {"VM.Backup", "Datastore.AllocateSpace"}, True),
        ("images", {"Datastore.Allocate", "VM.Backup"}, True),
        ("images", {"Datastore.Allocate", "VM.Config.Disk"}, False),
        ("images", {"VM.Config.Disk"}, True),
    ],
)
def test_what_a_storage_holds_is_seen_by_who_may_use_it(
    site: Site, content: str, lacks: set[str], is_shown: bool
) -> None:
    """The right to audit is not enough: a reader's token sees neither the replicas' volumes nor the backups."""
    storage = {"backup": "pbs", "images": "tank"}[content]
    path = f"/nodes/{A}/storage/{storage}/content"
    (first, *dummy) = site.get(path, content=content, vmid=100)
    site.rights = lambda path, privilege: privilege not in lacks
    shown = site.get(path, content=content, vmid=100)
    assert bool(shown) is is_shown
    if is_shown:
        assert site.get(f"{path}/{first['volid']}")["size"] == first["size"]
    else:
        assert site.refused("GET", f"{path}/{first['volid']}").status == 403


@pytest.mark.parametrize("name", ["current", "pending", "Pending"])
def test_the_name_of_the_present_is_no_snapshots_name(site: Site, name: str) -> None:
    refused = site.refused("POST", f"/nodes/{A}/qemu/100/snapshot", snapname=name)
    assert (refused.status, refused.text) == (500, f"unable to use snapshot name '{name.lower()}' (reserved name)")


def test_who_may_not_power_a_guest_on_does_not_do_so_by_a_rollback(site: Site) -> None:
    base = f"/nodes/{A}/qemu/100/snapshot"
    site.done(site.post(base, snapname="one"))
    site.rights = lambda path, privilege: privilege != "VM.PowerMgmt"
    assert (
        site.refused("POST", f"{base}/one/rollback", start=1).text == "Permission check failed (/vms/100, VM.PowerMgmt)"
    )
    site.done(site.post(f"{base}/one/rollback"))
    assert site.current()["status"] == "stopped"
