# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole promotions by raw calls, each request and reply held against the API's own schema by two validators."""

from __future__ import annotations

import time
import typing as t

import pytest
from proxmoxer import ResourceException  # type: ignore[import-untyped]
from proxmoxer.tools import Tasks  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.lab import wait_for
from ansible_collections.ferragosto.dr.tests.e2e.pve_kit import PveBench
from ansible_collections.ferragosto.dr.tests.e2e.third.judge import Judge
from ansible_collections.ferragosto.dr.tests.e2e.third.kit import Stranger


class Hand:
    """A person with proxmoxer and the operator's token, who does what the documentation of Proxmox VE says."""

    def __init__(self, stranger: Stranger) -> None:
        self.client = stranger.by_token(stranger.lab.keys.operator)
        self.here, self.there = self.client.nodes(stranger.production), self.client.nodes(stranger.replica)

    def done(self, upid: str) -> None:
        ended = Tasks.blocking_status(self.client, upid, timeout=20, polling_interval=0.05)
        assert ended is not None
        assert ended["exitstatus"] == "OK", ended

    def await_no_run(self, job: str) -> float:
        """Wait until no replication runs; returns the replica's age."""
        wait_for(lambda: "pid" not in self.here.replication(job).status.get(), 10, "the end of the replication's run")
        return time.time() - float(self.here.replication(job).status.get()["last_sync"])


def test_clone_of_the_replica_is_promoted_and_the_original_left_as_it_is(stranger: Stranger, judge: Judge) -> None:
    """The shell trick of facts-proxmox.md: shell VM on the replica's volume, full clone, shell away; by API alone."""
    hand, vmid = Hand(stranger), stranger.vmid("solo")
    stranger.bench.control.corrupt("solo", since_s=3600)
    job, shell, clone = f"{vmid}-0", 9100, 9200
    here, there, cluster = hand.here, hand.there, hand.client.cluster

    assert {row["id"] for row in cluster.replication.get()} >= {job}
    cluster.replication(job).put(disable=1)
    assert hand.await_no_run(job) == pytest.approx(7 * 3600, abs=300)
    hand.done(here.qemu(vmid).status.stop.post())
    config = here.qemu(vmid).config.get()
    here.qemu(vmid).config.put(onboot=0, net0=f"{config['net0']},link_down=1", digest=config["digest"])
    rotten = stranger.bench.copy("solo", "production")["data"]

    (volume,) = there.storage("local-zfs").content.get(content="images", vmid=vmid)
    hand.done(there.qemu.post(vmid=shell, name="shell", ostype=config["ostype"], scsi0=volume["volid"]))
    hand.done(there.qemu(shell).clone.post(newid=clone, name="solo", full=1))
    made = there.qemu(clone).config.get()
    wanted = {"memory": config["memory"], "cores": config["cores"], "agent": config["agent"], "onboot": 1}
    there.qemu(clone).config.put(net0=f"{config['net0']},link_down=1", digest=made["digest"], **wanted)
    hand.done(there.qemu.delete(shell, purge=1, **{"destroy-unreferenced-disks": 1}))
    assert [row["volid"] for row in there.storage("local-zfs").content.get(vmid=vmid)] == [volume["volid"]]

    hand.done(there.qemu(clone).status.start.post())
    wait_for(lambda: answers(there.qemu(clone).agent.ping.post), 10, "the guest's agent")
    there.qemu(clone).config.put(net0=config["net0"])
    stranger.await_serving("solo", stranger.replica)
    shown = there.qemu(clone).config.get()
    assert (shown["net0"], shown["onboot"]) == (config["net0"], 1)
    assert there.qemu(clone).status.current.get()["status"] == "running"
    assert [row["value"] for row in there.qemu(clone).pending.get() if row["key"] == "net0"] == [config["net0"]]
    assert {row["type"] for row in there.tasks.get(vmid=clone, source="all")} >= {"qmstart"}
    assert stranger.bench.copy("solo", "production")["data"] == rotten, "the evidence is untouched"
    assert not stranger.lab.world.data_of(stranger.lab.world.serving_copy("solo")).is_corrupted

    assert "GET /nodes/{node}/qemu/{vmid}/status/current" in judge.judged
    assert len(judge.judged) >= 12, judge.judged


def test_planned_failover_is_one_call_and_the_way_back_too(stranger: Stranger, judge: Judge) -> None:
    hand, vmid = Hand(stranger), stranger.vmid("web1")
    words = {"online": 1, "with-local-disks": 1}
    checked = hand.here.qemu(vmid).migrate.get(target=stranger.replica)
    assert stranger.replica in checked["allowed_nodes"]
    hand.done(hand.here.qemu(vmid).migrate.post(target=stranger.replica, **words))
    stranger.await_serving("web1", stranger.replica)
    (job,) = (row for row in hand.there.replication.get() if str(row["guest"]) == str(vmid))
    assert (job["source"], job["target"]) == (stranger.replica, stranger.production)
    assert time.time() - job["last_sync"] < 60
    hand.done(hand.there.qemu(vmid).migrate.post(target=stranger.production, **words))
    stranger.await_serving("web1", stranger.production)
    assert stranger.lab.world.violations == ()


def test_backup_is_restored_beside_the_original(stranger: Stranger, judge: Judge) -> None:
    hand, vmid, new = Hand(stranger), stranger.vmid("db"), 9300
    kept = hand.there.storage("pbs").content.get(content="backup", vmid=vmid)
    oldest = min(kept, key=lambda row: row["ctime"])
    upid = hand.there.qemu.post(vmid=new, archive=oldest["volid"], storage="local-zfs", unique=1)
    hand.done(upid)
    original, restored = hand.here.qemu(vmid).config.get(), hand.there.qemu(new).config.get()
    assert restored["name"] == original["name"]
    assert restored["net0"] != original["net0"], "unique: another MAC"
    assert restored["scsi0"].startswith(f"local-zfs:vm-{new}-disk-0")
    assert hand.there.qemu(new).status.current.get()["status"] == "stopped"
    hand.done(hand.there.qemu.delete(new, purge=1))
    assert stranger.lab.world.serving_copy("db").host == stranger.production


def test_our_own_recovery_says_and_hears_nothing_that_the_schema_does_not_know(pve_ssh: PveBench, judge: Judge) -> None:
    """The collection is no third party; the validators are."""
    pve_ssh.control.corrupt("solo", since_s=3600)
    policy = pve_ssh.policy(promotion="clone")
    ended = pve_ssh.play("recover", limit="solo.clinic", extra={"dr_policy": policy})
    assert ended.rc == 0, ended.text
    made = {call for call in judge.judged if not call.startswith("GET")}
    assert made >= {
        "PUT /cluster/replication/{id}",
        "POST /nodes/{node}/qemu",
        "POST /nodes/{node}/qemu/{vmid}/clone",
        "PUT /nodes/{node}/qemu/{vmid}/config",
        "POST /nodes/{node}/qemu/{vmid}/status/start",
        "DELETE /nodes/{node}/qemu/{vmid}",
    }
    assert judge.violations == []


def answers(call: t.Callable[[], t.Any]) -> bool:
    try:
        call()
    except ResourceException:
        return False
    return True
