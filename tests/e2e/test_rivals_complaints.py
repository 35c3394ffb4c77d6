# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users of rival products complain about (PegaProx, ProxCenter): each complaint is a claim that holds here."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.e2e.kit import CONTRACT
from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench

ESX1 = "esx1.clinic.example"


def test_no_split_brain_when_the_source_returns(pve: PveBench) -> None:
    """PegaProx #806, ProxCenter #580: the emergency failover never fenced the source."""
    pve.control.corrupt("solo", since_s=3600)
    pve.fail_over("solo")
    pve.control.host_lost(ESX1)
    started = pve.control.host_back(ESX1)
    assert "spare" in started, "autostart must be at work, or this proves nothing"
    assert "solo" not in started
    assert pve.control.violations() == []


def test_an_id_that_somebody_has_taken_does_not_stop_a_failover(pve: PveBench) -> None:
    """PegaProx #800: refuses because the pre-seeded target id exists."""
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    taken = max(vmid for dc in pve.lab.datacenters for vmid in dc.guests) + 1
    (datacenter,) = pve.lab.datacenters
    words = {"vmid": str(taken), "name": "stranger"}
    pve.control._carry_out(datacenter, "root@pam", "POST", "/nodes/esx2/qemu", "esx2", words)
    promoted = pve.promote("solo")
    assert not promoted.get("failed"), promoted["msg"]
    assert pve.guest(taken).name == "stranger"
    assert pve.serving("solo") == "replica"


def test_target_id_can_be_pinned(pve: PveBench) -> None:
    """PegaProx #552."""
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    promoted = pve.promote("solo", promoted_id="4242")
    assert not promoted.get("failed"), promoted["msg"]
    assert pve.clone_of("solo").vmid == 4242


def test_pinned_id_that_is_taken_is_refused_before_anything_is_made(pve: PveBench) -> None:
    pve.begun("solo")
    calls = pve.changing_calls()
    refused = pve.promote("solo", promoted_id=str(pve.vmid("spare")))
    assert refused["failed"]
    assert "dr_promoted_id" in refused["msg"]
    assert pve.changing_calls() == calls


def test_direction_of_the_replication_is_reversed_and_its_run_is_no_silent_no_op(pve_ssh: PveBench) -> None:
    """PegaProx #413: direction not reversed, Run is a silent no-op."""
    pve = pve_ssh
    pve.control.corrupt("solo", since_s=3600)
    pve.begun("solo")
    assert not pve.promote("solo", policy=pve.policy(promotion="in_place")).get("failed")
    refused = pve.module("replication", vm="solo", state="reversed")
    assert refused["failed"], "it would overwrite the original's disks"
    assert "original_overwritten" in refused["error"]["next"]
    accept = {"original_overwritten": "Luca has his evidence"}
    reversed_ = pve.done("replication", vm="solo", state="reversed", accept=accept)
    assert (reversed_["replication"]["source"], reversed_["replication"]["target"]) == ("esx2", "esx1")
    served = pve.lab.world.serving_copy("solo")
    original = next(c for c in pve.lab.world.copies_of("solo") if c.host == "esx1")
    assert not original.data.is_corrupted, "the good data travelled over the rotten ones"
    assert original.data.generation <= pve.lab.world.data_of(served).generation
    last = reversed_["replication"]["last_sync_at_s"]
    synced = pve.done("replication", vm="solo", state="synced")
    assert synced["replication"]["last_sync_at_s"] > last


def test_aborted_migration_is_not_completed(pve: PveBench) -> None:
    """PegaProx #413: "completed 1/1" when the migration had aborted."""
    pve.control.corrupt("solo", since_s=3600)
    pve.fail_over("solo")
    pve.control.rule(action="failing_task", target="qmigrate", text="migration aborted")
    moved = pve.module("vm_migration", vm="solo", to="production")
    assert moved["failed"]
    assert "migration aborted" in moved["msg"]
    assert pve.card("solo")["state"] != "failback"
    assert pve.serving("solo") == "replica"


def test_last_sync_is_read_where_it_is_known(pve: PveBench) -> None:
    """PegaProx #333: "last sync: Never", because it was read from /cluster/replication."""
    point = pve.done("replica_info", vm="solo", contract=CONTRACT)["replica"]["recovery_points"][0]
    assert point["age_s"] == pytest.approx(7 * 3600, abs=120)


def test_lost_ownership_tag_is_told_with_the_copy_to_name_and_the_state_that_follows(pve: PveBench) -> None:
    """PegaProx #799: the ownership tag is lost, so the next run refuses."""
    pve.control.corrupt("solo", since_s=3600)
    pve.fail_over("solo")
    clone = pve.clone_of("solo")
    with pve.lab.world.lock:
        clone.config["tags"] = ";".join(t for t in clone.config["tags"].split(";") if not t.startswith("dr."))
    told = pve.card("solo")["decision"]
    assert "give the one meant: dr_replica: {id: ...}" in told["next"]
    named = pve.card("solo", replica={"id": str(clone.vmid)})
    assert named["state"] == "found_running"
    assert named["decision"]["outcome"] in ("healthy", "refused")
    assert pve.control.violations() == []


def test_replication_network_of_the_cluster_is_left_to_the_cluster(pve: PveBench) -> None:
    """PegaProx #870: a dedicated replication network. It is a setting of the datacenter, which no call of ours overrides."""
    pve.control.corrupt("solo", since_s=3600)
    ended = pve.play("recover", limit="solo.clinic", extra={"dr_policy": pve.policy(migrate_home="auto")})
    assert ended.rc == 0, ended.text
    calls = [call for row in ended.of("vm_migration") for call in row.result["calls"]]
    assert any("migrate" in call for call in calls)
    assert not any("migration_network" in call or "migration_type" in call or "force" in call for call in calls)


def test_corrupted_source_is_preserved_and_every_vm_has_its_proof(pve: PveBench) -> None:
    """Unmet by all: proof per VM, the corrupted source kept, a dry run, a roll-up over many customers."""
    pve.control.corrupt("solo", since_s=3600)
    rotten = pve.copy("solo", "production")["data"]
    ended = pve.play("recover", limit="solo.clinic", extra={"dr_policy": pve.policy(migrate_home="auto")})
    assert ended.rc == 0, ended.text
    assert pve.copy("solo", "production")["data"] == rotten
    run = pve.run("solo")
    assert run["point"]["lost_s"] == pytest.approx(7 * 3600, abs=7300)
    verified = [r.body for r in pve.records("solo", "verified")]
    assert [v["where"] for v in verified] == ["replica", "home"]
    for one in verified:
        assert [stage["name"] for stage in one["stages"]] == ["power", "guest", "service"]
        assert all(stage["is_ok"] for stage in one["stages"])
    picture = pve.folder / "screen.png"
    shown = pve.done("vm_health_info", vm="db", screenshot=str(picture))
    assert shown["screenshot"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    sites = [{**pve.site(), "name": f"customer-{n}"} for n in range(5)]
    found = pve.done("site_info", site=None, sites=sites)["sites"]
    assert [site["name"] for site in found] == [site["name"] for site in sites]
    assert all(site["is_reachable"] and site["vms"] for site in found)
