# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules of community.proxmox, as released, work on the twin; the world judges what they did, not the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.third.kit import PEERS, Playbook, Stranger, environment

pytestmark = pytest.mark.usefixtures("_peers")


def test_the_modules_are_those_of_the_release_that_the_project_promises() -> None:
    found = json.loads((Path(PEERS) / "ansible_collections/community/proxmox/MANIFEST.json").read_text("utf-8"))
    assert found["collection_info"]["version"] == "1.4.0"


def test_a_vm_is_stopped_moved_to_its_replica_and_started_there(stranger: Stranger) -> None:
    vmid, here, there = stranger.vmid("solo"), stranger.production, stranger.replica
    book = Playbook(stranger)
    kvm = {"vmid": vmid, "timeout": 15}
    book.task("before", "proxmox_vm_info", vmid=vmid, type="qemu", config="current", network=True)
    book.task("is on", "proxmox_kvm", state="current", **kvm)
    book.task("stop", "proxmox_kvm", state="stopped", **kvm)
    book.task("stop again", "proxmox_kvm", state="stopped", **kvm)
    book.task("move", "proxmox_kvm", migrate=True, node=there, **kvm)
    book.task("move again", "proxmox_kvm", migrate=True, node=there, **kvm)
    book.task("start", "proxmox_kvm", state="started", **kvm)
    book.task("start again", "proxmox_kvm", state="started", **kvm)
    book.task("after", "proxmox_vm_info", name="solo", type="qemu", node=there, config="current")
    book.task("all", "proxmox_vm_info")
    book.task("tasks there", "proxmox_tasks_info", node=there)
    book.task("tasks here", "proxmox_tasks_info", node=here)
    said = book.run()

    (before,), (after,) = said["before"]["proxmox_vms"], said["after"]["proxmox_vms"]
    assert (before["node"], before["status"], before["name"], before["template"]) == (here, "running", "solo", False)
    assert before["config"]["name"] == "solo"
    assert {row["name"] for row in before["network"]} >= {"lo", "eth0"}
    assert (after["node"], after["status"]) == (there, "running")
    assert after["config"]["scsi0"] == before["config"]["scsi0"]
    assert said["is on"]["status"] == "running"
    changed = {name: row["changed"] for name, row in said.items() if "again" in name or f"{name} again" in said}
    assert changed == {
        "stop": True,
        "stop again": False,
        "move": True,
        "move again": False,
        "start": True,
        "start again": False,
    }
    assert {row["name"] for row in said["all"]["proxmox_vms"]} == {vm.vm for vm in stranger.lab.wish.vms} | {"twin"}
    kinds = {row["type"]: row for row in said["tasks here"]["proxmox_tasks"] if row["id"] == str(vmid)}
    assert {"qmshutdown", "qmigrate"} <= set(kinds)
    assert kinds["qmigrate"]["status"] == "OK"
    assert "qmstart" in {row["type"] for row in said["tasks there"]["proxmox_tasks"] if row["id"] == str(vmid)}

    stranger.await_serving("solo", there)
    assert stranger.guest("solo").node == there
    job = stranger.bench.job("solo")
    assert (job.source, job.target) == (there, here), "the direction is turned round"
    for call in ("status/shutdown", "migrate", "status/start"):
        assert stranger.calls("POST", f"/{call}") == 1, f"{call}: a second run changes nothing"


def test_a_snapshot_is_taken_rolled_back_to_and_removed(stranger: Stranger) -> None:
    vmid, root = stranger.vmid("web1"), stranger.lab.keys.root_password
    book = Playbook(stranger, password=root)
    snap = {"vmid": vmid, "snapname": "before-update", "timeout": 15}
    book.task("take", "proxmox_snap", state="present", description="before the update", **snap)
    book.task("take again", "proxmox_snap", state="present", **snap)
    book.task("roll back", "proxmox_snap", state="rollback", **snap)
    book.task("is off", "proxmox_kvm", vmid=vmid, state="current")
    before = stranger.generation("web1")
    said = book.run()
    assert {name: row["changed"] for name, row in said.items()} == {
        "take": True,
        "take again": False,
        "roll back": True,
        "is off": False,
    }
    assert said["is off"]["status"] == "stopped", "a rollback without memory leaves the VM off"
    assert stranger.is_on("web1") is False
    assert list(stranger.guest("web1").snapshots) == ["before-update"]
    (point,) = stranger.bench.copy("web1", "production")["points"].values()
    assert before < stranger.generation("web1") == point["generation"], "what was written after the snapshot is gone"

    book = Playbook(stranger, password=root)
    book.task("remove", "proxmox_snap", state="absent", **snap)
    book.task("remove again", "proxmox_snap", state="absent", **snap)
    book.task("start", "proxmox_kvm", vmid=vmid, state="started", timeout=15)
    said = book.run()
    assert {name: row["changed"] for name, row in said.items()} == {
        "remove": True,
        "remove again": False,
        "start": True,
    }
    assert stranger.guest("web1").snapshots == {}
    stranger.await_serving("web1", stranger.production)
    assert stranger.generation("web1") > point["generation"]
    tasks = [t for t in stranger.lab.control.tasks() if t["id"] == str(vmid) and t["user"] == "root@pam"]
    done = [(t["type"], t["status"]) for t in sorted(tasks, key=lambda t: t["started_at_s"])][-4:]
    assert done == [(kind, "OK") for kind in ("qmsnapshot", "qmrollback", "qmdelsnapshot", "qmstart")]


def test_a_backup_is_made_waited_for_and_found(stranger: Stranger) -> None:
    vmid = stranger.vmid("db")
    vault = stranger.lab.datacenters[0].backups.vault.backups
    known = set(vault)
    book = Playbook(stranger)
    backup = {"mode": "include", "vmids": [vmid], "storage": "pbs", "description": "by {{ '{{' }}guestname{{ '}}' }}"}
    book.task("would back up", "proxmox_backup", check_mode=True, **backup)
    book.task(
        "back up", "proxmox_backup", backup_mode="snapshot", wait=True, wait_timeout=30, register="made", **backup
    )
    book.task(
        "its task",
        "proxmox_tasks_info",
        node=stranger.production,
        task="{{ (made.backups | selectattr('upid', 'ne', 'OK') | first).upid }}",
    )
    book.task(
        "kept", "proxmox_storage_contents_info", node=stranger.replica, storage="pbs", content="backup", vmid=vmid
    )
    book.task("storages", "proxmox_storage_info")
    book.task("storages of one kind", "proxmox_storage_info", type="pbs")
    book.task("nodes", "proxmox_node_info")
    book.task("jobs", "proxmox_backup_info", vm_name="db")
    said = book.run()

    assert said["would back up"]["changed"] is True
    made = {row["node"]: row for row in said["back up"]["backups"]}
    assert made[stranger.replica]["upid"] == "OK", "none of the VMs lies there"
    assert made[stranger.production]["status"] == "success"
    assert f"Finished Backup of VM {vmid}" in made[stranger.production]["log"]
    (task,) = said["its task"]["proxmox_tasks"]
    assert (task["type"], task["id"], task["status"], task["user"]) == ("vzdump", str(vmid), "OK", "colleague@pve")

    (new,) = set(vault) - known
    assert (vault[new].vm, vault[new].notes) == ("db", "by db")
    found = {row["volid"]: row for row in said["kept"]["proxmox_storage_content"]}
    assert set(found) == {name for name, kept in vault.items() if kept.vmid == vmid}
    assert found[new]["size"] == vault[new].size_bytes
    assert {row["storage"] for row in said["storages"]["proxmox_storages"]} >= {"pbs", "local-zfs"}
    assert [row["storage"] for row in said["storages of one kind"]["proxmox_storages"]] == ["pbs"]
    assert {row["node"]: row["status"] for row in said["nodes"]["proxmox_nodes"]} == {
        stranger.production: "online",
        stranger.replica: "online",
    }
    (job,) = said["jobs"]["backup_info"]
    assert (job["id"], job["vmid"], job["next-run"][-6:]) == ("backup-nightly", str(vmid), ":00:00")
    assert stranger.is_on("db"), "a backup in mode snapshot stops nothing"


def test_refusals_reach_the_modules_in_the_words_that_they_know(stranger: Stranger) -> None:
    lab, control = stranger.lab, stranger.bench.control
    solo, db, spare = (stranger.vmid(vm) for vm in ("solo", "db", "spare"))
    control.full_storage("pbs")
    control.lock("spare", "backup")
    book = Playbook(stranger)
    book.task(
        "move while it runs",
        "proxmox_kvm",
        vmid=solo,
        migrate=True,
        node=stranger.replica,
        timeout=2,
        ignore_errors=True,
    )
    book.task("back up", "proxmox_backup", mode="include", vmids=[db], storage="pbs", wait=True, ignore_errors=True)
    book.task("no such storage", "proxmox_backup", mode="include", vmids=[db], storage="nowhere", ignore_errors=True)
    book.task("snapshot of a locked one", "proxmox_snap", vmid=spare, snapname="x1", timeout=2, ignore_errors=True)
    book.task("no such VM", "proxmox_kvm", vmid=99999, state="started", ignore_errors=True)
    book.task("no such node", "proxmox_vm_info", node="pve99", ignore_errors=True)
    book.task("wrong secret", "proxmox_vm_info", api_token_secret="wrong", ignore_errors=True)
    book.task("no right", "proxmox_storage_info", name="pbs", ignore_errors=True)
    book.task("unknown authority", "proxmox_vm_info", ignore_errors=True, environment={"REQUESTS_CA_BUNDLE": ""})
    said = book.run()

    assert [name for name, row in said.items() if not row["failed"]] == []
    assert "migrating VM" in said["move while it runs"]["msg"]
    log = (
        lab.datacenters[0]
        .tasks.tasks[next(t["upid"] for t in control.tasks() if t["type"] == "qmigrate" and t["id"] == str(solo))]
        .log
    )
    assert any("can't live migrate attached local disks without with-local-disks option" in line for line in log)
    assert "No space left on device" in said["back up"]["msg"]
    assert "Storage nowhere does not exist" in said["no such storage"]["msg"]
    assert "snapshot" in said["snapshot of a locked one"]["msg"]
    assert "99999 does not exist in cluster" in said["no such VM"]["msg"]
    assert "pve99 doesn't exist" in said["no such node"]["msg"]
    assert "401" in said["wrong secret"]["msg"]
    assert "'pbs' does not exist" in said["no right"]["msg"], "1.4.0 says so of every refusal"
    assert "CERTIFICATE_VERIFY_FAILED" in said["unknown authority"]["msg"]

    assert stranger.guest("solo").node == stranger.production
    assert stranger.is_on("solo")
    assert stranger.guest("spare").snapshots == {}


def test_the_inventory_plugin_finds_the_site_as_it_is(stranger: Stranger, tmp_path: Path) -> None:
    client, vmid = stranger.by_token(), stranger.vmid("solo")
    client.nodes(stranger.production).qemu(vmid).config.put(tags="clinic")
    stranger.bench.control.power_off("spare")
    source = tmp_path / "clinic.proxmox.yml"
    words = {
        "plugin": "community.proxmox.proxmox",
        "url": stranger.url().removesuffix("/api2/json"),
        "user": stranger.key.user,
        "token_id": stranger.key.token_id,
        "token_secret": stranger.key.secret,
        "validate_certs": True,
        "want_facts": True,
        "qemu_extended_statuses": True,
    }
    source.write_text(json.dumps(words), encoding="utf-8")
    command = [sys.executable, "-m", "ansible.cli.inventory", "-i", str(source), "--list"]
    env = {**os.environ, **environment(stranger)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=env)
    found = json.loads(done.stdout, object_hook=lambda row: row.get("__ansible_unsafe", row))

    on = {vm.vm for vm in stranger.lab.wish.vms if stranger.is_on(vm.vm)}
    assert "solo" in on
    assert "spare" not in on
    assert set(found["proxmox_all_running"]["hosts"]) >= on
    assert "spare" in found["proxmox_all_stopped"]["hosts"]
    assert set(found["proxmox_nodes"]["hosts"]) == {stranger.production, stranger.replica}
    solo = found["_meta"]["hostvars"]["solo"]
    assert (solo["proxmox_vmid"], solo["proxmox_node"]) == (vmid, stranger.production)
    assert (solo["proxmox_qmpstatus"], solo["proxmox_tags_parsed"]) == ("running", ["clinic"])
    assert {row["name"] for row in solo["proxmox_agent_interfaces"]} >= {"lo", "eth0"}
