# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promotion: the rules of facts-proxmox.md, section 2."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import HOUR, SHELL, A, B, Site, vm, wish


@pytest.fixture
def site() -> Site:
    return Site()


def rotten(site: Site) -> None:
    """The night of the story: the original is corrupted, its job is disabled, it is off."""
    site.world.corrupt("erp", since_s=site.clock.now_s() - 2 * HOUR)
    site.put("/cluster/replication/100-0", disable=1)
    site.done(site.power("stop"))
    site.put(f"/nodes/{A}/qemu/100/config", onboot=0)


# --- clone promotion ---------------------------------------------------------------------------------------------------


def test_a_whole_clone_promotion_leaves_original_and_replica_untouched(site: Site) -> None:
    rotten(site)
    original, replica = site.world.copy("cluster/100"), site.world.copy("replica:100")
    before = (original.data, replica.data, site.config(100))
    site.shell()
    site.done(site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1, name="erp"))
    site.put(f"/nodes/{B}/qemu/9200/config", net0=site.config()["net0"])
    site.done(site.delete(f"/nodes/{B}/qemu/9100", purge=1, destroy_unreferenced_disks=1))
    site.done(site.power("start", 9200, B))
    site.turn(10)
    serving = site.serving()
    assert (serving.id, serving.role, serving.host) == ("cluster/9200", "clone", B)
    assert serving.guest_id == site.config(9200, B)["vmgenid"]
    assert (original.data, replica.data, site.config(100)) == before
    assert site.accidents() == []
    assert site.violations() == set()
    assert (B, "tank:vm-100-disk-0") in site.dc.shelf.volumes


def test_after_the_clone_the_next_run_is_incremental_and_good(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    site.shell()
    site.done(site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1))
    site.done(site.delete(f"/nodes/{B}/qemu/9100", purge=1, destroy_unreferenced_disks=1))
    site.done(site.delete(f"/nodes/{B}/qemu/9200", purge=1))
    site.put("/cluster/replication/100-0", disable=0)
    site.post(f"/nodes/{A}/replication/100-0/schedule_now")
    site.turn(70)
    assert site.job()["fail_count"] == 0
    assert site.clock.now_s() - site.job()["last_sync"] < 80


def test_the_shell_is_accepted_on_a_volume_of_another_guest_and_destroyed_without_it(site: Site) -> None:
    site.shell()
    assert site.config(9100, B)["scsi0"] == "tank:vm-100-disk-0,size=80G"
    assert [c.id for c in site.world.copies_of("erp")] == ["cluster/100", "replica:100"]  # a shell is no copy
    site.done(site.delete(f"/nodes/{B}/qemu/9100", destroy_unreferenced_disks=1, purge=1))
    assert (B, "tank:vm-100-disk-0") in site.dc.shelf.volumes


@pytest.mark.parametrize(
    ("granted", "is_allowed"),
    [
        ({("/storage/tank", "Datastore.Allocate")}, True),
        ({("/vms/100", "VM.Config.Disk"), ("/storage/tank", "Datastore.Audit")}, True),
        ({("/vms/100", "VM.Config.Disk")}, False),
        ({("/storage/tank", "Datastore.Audit"), ("/storage/tank", "Datastore.AllocateSpace")}, False),
    ],
)
def test_the_shell_wants_the_right_to_a_foreign_volume(
    site: Site, granted: set[tuple[str, str]], is_allowed: bool
) -> None:
    guarded = {("/storage/tank", p) for p in ("Datastore.Allocate", "Datastore.Audit", "Datastore.AllocateSpace")}
    guarded.add(("/vms/100", "VM.Config.Disk"))
    site.rights = lambda path, privilege: (path, privilege) not in guarded - granted
    if is_allowed:
        site.shell()
    else:
        refused = site.refused("POST", f"/nodes/{B}/qemu", vmid=9100, **SHELL)
        assert (refused.status, refused.text) == (403, "Permission check failed (/storage/tank, Datastore.Allocate)")


def test_starting_the_shell_changes_the_replica_and_is_remembered(site: Site) -> None:
    site.shell()
    before = site.world.copy("replica:100").data
    site.done(site.power("start", 9100, B))
    site.turn(60)
    assert site.accidents() == ["replica_written_to"]
    site.done(site.power("stop", 9100, B))
    assert site.world.copy("replica:100").data.generation > before.generation


def test_a_connected_shell_beside_a_running_original_is_a_split_brain(site: Site) -> None:
    site.shell(net0="virtio,bridge=vmbr0")
    site.done(site.power("start", 9100, B))
    site.turn(10)
    assert site.violations() == {"two_on_production_network", "two_guests_serving"}


def test_import_from_a_replica_volume_fails_for_its_owner_is_elsewhere(site: Site) -> None:
    upid = site.post(f"/nodes/{B}/qemu", vmid=9100, scsi0="tank:0,import-from=tank:vm-100-disk-0")
    assert site.ended(upid) == "owner VM 100 not on local node"
    assert 9100 not in site.dc.guests


def test_a_clone_has_a_new_identity_and_keeps_the_rest(site: Site) -> None:
    site.put(f"/nodes/{A}/qemu/100/config", tags="erp;dr.run.x", description="the ERP")
    site.done(site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1))
    old, new = site.config(), site.config(9200)
    for key in ("vmgenid", "smbios1", "net0", "digest", "scsi0", "name"):
        assert old[key] != new[key], key
    for key in ("tags", "description", "memory", "cores", "onboot", "ostype", "agent", "boot"):
        assert old[key] == new[key], key
    assert new["scsi0"].startswith("tank:vm-9200-disk-0,")
    assert site.world.copy("cluster/9200").vm == "erp"


def test_a_clone_takes_time_by_its_size_and_is_locked_meanwhile() -> None:
    site = Site(wish(vm(disk_gb=100)))
    site.dc.timing = type(site.dc.timing)()
    began_s = site.clock.now_s()
    upid = site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1)
    assert site.resource(9200)["lock"] == "clone"
    site.turn(5)
    assert site.ended(site.power("start", 9200)) == "VM is locked (clone)"
    site.done(upid)
    assert site.clock.now_s() - began_s == pytest.approx(100 * 2**30 / (400 * 2**20), rel=0.05)
    assert "lock" not in site.config(9200)


def test_a_clone_of_a_running_guest_boots_from_what_it_held_when_the_clone_began(site: Site) -> None:
    upid = site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1)
    began = site.world.data_of(site.world.copy("cluster/100"))
    site.done(upid)
    assert site.world.copy("cluster/9200").data == began


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"newid": 100, "full": 1}, "VM 100 already exists on node 'pve1'"),
        ({"newid": 9200, "full": 0}, "Linked clone feature is only supported for templates"),
        ({"newid": 9200, "full": 1, "snapname": "none"}, "snapshot 'none' does not exist"),
        ({"newid": 9200, "full": 1, "target": B}, "Can't clone VM to node 'pve2' (VM uses local storage)"),
    ],
)
def test_a_clone_that_cannot_be_is_refused(site: Site, params: dict[str, object], text: str) -> None:
    assert site.refused("POST", f"/nodes/{A}/qemu/100/clone", **params).text == text


def test_a_snapshot_on_zfs_cannot_be_cloned_from(site: Site) -> None:
    site.done(site.post(f"/nodes/{A}/qemu/100/snapshot", snapname="before"))
    refused = site.refused("POST", f"/nodes/{A}/qemu/100/clone", newid=9200, full=1, snapname="before")
    assert refused.text == "Full clone feature is not supported for drive 'scsi0'"


def test_a_killed_clone_leaves_nothing_behind(site: Site) -> None:
    upid = site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1)
    site.turn(1)
    site.delete(f"/nodes/{A}/tasks/{upid}")
    assert site.ended(upid) == "interrupted by signal"
    assert 9200 not in site.dc.guests
    assert (A, "tank:vm-9200-disk-0") not in site.dc.shelf.volumes


def test_a_full_storage_fails_the_clone(site: Site) -> None:
    site.shell()
    site.dc.shelf.storages["tank"].full_on.add(B)
    upid = site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1)
    assert "out of space" in site.ended(upid)
    assert 9200 not in site.dc.guests


# --- in place ----------------------------------------------------------------------------------------------------------


def test_a_moved_configuration_runs_on_the_replica_and_leaves_the_original_disks(site: Site) -> None:
    rotten(site)
    evidence = site.world.copy("cluster/100").data
    site.dc.move_config(100, B, by_node=B)
    assert site.resource()["node"] == B
    assert site.refused("GET", f"/nodes/{A}/qemu/100/config").status == 500
    site.done(site.power("start", node=B))
    site.turn(10)
    serving = site.serving()
    assert (serving.id, serving.host) == ("replica:100", B)
    assert serving.guest_id == site.config(node=B)["vmgenid"]
    leftover = site.world.copy("cluster/100")
    assert (leftover.data, leftover.power) == (evidence, "off")
    assert site.accidents() == []


def test_the_move_is_undone_as_it_was_done(site: Site) -> None:
    rotten(site)
    before = (site.config(), site.world.copy("cluster/100").data)
    site.dc.move_config(100, B, by_node=B)
    site.done(site.power("start", node=B))
    site.turn(10)
    site.done(site.power("stop", node=B))
    site.dc.move_config(100, A, by_node=A)
    assert (site.config(), site.world.copy("cluster/100").data) == before
    site.done(site.power("start"))
    site.turn(10)
    assert site.world.copy("cluster/100").phase == "crashed"


def test_a_running_process_stays_behind_when_its_configuration_is_moved(site: Site) -> None:
    site.dc.move_config(100, B, by_node=A)
    assert site.resource()["status"] == "stopped"
    assert site.world.copy("cluster/100").power == "on"
    site.done(site.power("start", node=B))
    site.turn(10)
    assert "two_guests_serving" in site.violations()


def test_a_guest_whose_replica_is_missing_does_not_start_where_its_configuration_was_moved() -> None:
    site = Site(wish(vm(replica="missing")))
    site.done(site.power("stop"))
    site.dc.move_config(100, B, by_node=A)
    assert "no zvol device link for 'vm-100-disk-0' found" in site.ended(site.power("start", node=B))
    assert "replica:100" not in site.world.copies


def test_two_guests_on_one_disk_ruin_it(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    site.shell()
    site.done(site.power("stop"))
    site.dc.move_config(100, B, by_node=A)
    site.done(site.power("start", node=B))
    site.done(site.power("start", 9100, B))
    assert "disks_shared_by_two" in site.accidents()
    assert site.is_rotten("replica:100")


def test_a_snapshot_younger_than_the_replica_is_lost_with_the_original(site: Site) -> None:
    site.put("/cluster/replication/100-0", disable=1)
    site.done(site.post(f"/nodes/{A}/qemu/100/snapshot", snapname="before"))
    site.done(site.power("stop"))
    site.dc.move_config(100, B, by_node=A)
    assert "could not find any snapshots" in site.ended(site.post(f"/nodes/{B}/qemu/100/snapshot/before/rollback"))


def test_snapshots_travel_with_the_replication(site: Site) -> None:
    site.done(site.post(f"/nodes/{A}/qemu/100/snapshot", snapname="before"))
    site.done(site.post(f"/nodes/{A}/qemu/100/migrate", target=B, online=1, with_local_disks=1))
    site.done(site.post(f"/nodes/{B}/qemu/100/snapshot/before/rollback"))
