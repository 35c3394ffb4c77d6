# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nodes that die, nodes that are cut off, and what may still be done without quorum."""

from __future__ import annotations

import pytest

from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import A, B, PveError, Site, vm, wish


@pytest.fixture
def site() -> Site:
    """Node A, with the guest, is dead; B alone has one vote of two."""
    site = Site()
    site.dc.fail_node(A)
    site.door = B
    return site


def test_reads_work_without_quorum(site: Site) -> None:
    rows = {row["id"]: row for row in site.get("/cluster/status")}
    assert rows["cluster"]["quorate"] == 0
    assert (rows["node/pve1"]["online"], rows["node/pve2"]["online"]) == (0, 1)
    assert rows["node/pve2"]["local"] == 1
    assert site.get("/cluster/replication")


def test_guests_of_a_dead_node_are_unknown_and_nameless(site: Site) -> None:
    row = site.resource()
    assert row["status"] == "unknown"
    assert "name" not in row
    assert "uptime" not in row
    [node] = [r for r in site.get("/cluster/resources", type="node") if r["node"] == A]
    assert node["status"] == "offline"


@pytest.mark.parametrize(
    ("method", "path", "params", "text"),
    [
        ("POST", "/nodes/pve2/qemu/101/status/start", {}, "cluster not ready - no quorum?"),
        ("POST", "/nodes/pve2/qemu", {"vmid": 9100}, "cluster not ready - no quorum?"),
        ("POST", "/cluster/ha/resources", {"sid": "vm:100"}, "cluster not ready - no quorum?"),
        (
            "PUT",
            "/nodes/pve2/qemu/101/config",
            {"onboot": 0},
            "unable to open file '/etc/pve/nodes/pve2/qemu-server/101.conf.tmp.1101' - Permission denied",
        ),
        ("PUT", "/cluster/replication/100-0", {"disable": 1}, "cfs-lock 'file-replication_cfg' error: no quorum!"),
        ("GET", "/nodes/pve2/replication", {}, "cfs-lock 'file-replication_cfg' error: no quorum!"),
    ],
)
def test_writes_are_refused_without_quorum(method: str, path: str, params: dict[str, object], text: str) -> None:
    site = Site(wish(vm(), vm("dc")))
    site.done(site.power("stop", 101))
    site.dc.move_config(101, B, by_node=A)
    site.dc.fail_node(A)
    site.door = B
    refused = site.refused(method, path, **params)
    assert (refused.status, refused.text) == (500, text)
    assert refused.delay_s == (10.0 if "cfs-lock" in text else 0.0)


def test_a_stop_needs_no_quorum() -> None:
    site = Site()
    site.dc.fail_node(B)
    site.done(site.power("stop"))


def test_a_configuration_moves_only_after_the_expected_votes_were_lowered(site: Site) -> None:
    with pytest.raises(PveError, match="Permission denied"):
        site.dc.move_config(100, B, by_node=B)
    site.dc.expected_votes(B, 1)
    assert site.dc.is_quorate(B)
    site.dc.move_config(100, B, by_node=B)
    assert site.resource()["name"] == "erp"
    site.done(site.power("start", node=B))
    site.turn(10)
    assert site.serving().host == B


def test_a_qdevice_keeps_the_survivor_quorate() -> None:
    site = Site(wish(has_qdevice=True))
    assert site.get("/cluster/config/qdevice")["State"] == "Connected"
    site.dc.fail_node(A)
    assert site.dc.is_quorate(B)


@pytest.mark.parametrize("layout", ["cluster", "standalone"])
def test_a_standalone_node_is_always_quorate(layout: str) -> None:
    site = Site(wish(layout=layout))
    site.datacenters[-1].fail_node(B)
    assert site.dc.is_quorate(A) is (layout == "standalone")


def test_a_returning_node_starts_its_onboot_guests_by_itself(site: Site) -> None:
    assert site.world.copy("cluster/100").power == "off"
    assert site.dc.return_node(A) == ["erp"]
    site.turn(10)
    assert site.serving().host == A


def test_a_returning_host_is_the_split_brain_when_a_clone_serves() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(A)
    site.door = B
    site.put("/cluster/replication/100-0", disable=1)
    site.shell(net0="virtio,bridge=vmbr0")
    site.done(site.post(f"/nodes/{B}/qemu/9100/clone", newid=9200, full=1))
    site.done(site.power("start", 9200, B))
    site.turn(10)
    assert site.violations() == set()
    site.dc.return_node(A)
    site.turn(10)
    assert "two_guests_serving" in site.violations()


@pytest.mark.parametrize("cure", ["onboot", "move"])
def test_a_returning_host_does_no_harm_to_one_who_took_care(cure: str) -> None:
    site = Site(wish(has_qdevice=True))
    if cure == "onboot":
        site.put(f"/nodes/{A}/qemu/100/config", onboot=0)
    site.dc.fail_node(A)
    site.door = B
    if cure == "move":
        site.put("/cluster/replication/100-0", disable=1)
        site.dc.move_config(100, B, by_node=B)
        site.done(site.power("start", node=B))
    assert site.dc.return_node(A) == []
    site.turn(10)
    assert site.violations() == set()


def test_a_returning_node_without_quorum_starts_nothing() -> None:
    site = Site()
    site.dc.fail_node(A)
    site.dc.fail_node(B)
    assert site.dc.return_node(A) == []
    assert site.world.copy("cluster/100").power == "off"


def test_the_return_of_a_node_raises_the_expected_votes_again(site: Site) -> None:
    site.dc.expected_votes(B, 1)
    site.dc.return_node(A)
    site.dc.fail_node(A)
    assert not site.dc.is_quorate(B)


def test_an_isolated_node_keeps_its_guest_running_unseen() -> None:
    site = Site(wish(has_qdevice=True))
    site.dc.fail_node(A, isolated=True)
    site.door = B
    assert site.resource()["status"] == "unknown"
    assert site.world.copy("cluster/100").power == "on"
    assert not site.dc.is_quorate(A)
    site.put("/cluster/replication/100-0", disable=1)
    site.dc.move_config(100, B, by_node=B)
    site.done(site.power("start", node=B))
    site.turn(10)
    assert "two_guests_serving" in site.violations()


def test_a_task_on_a_node_that_died_never_ends_well(site: Site) -> None:
    site = Site()
    upid = site.post(f"/nodes/{A}/qemu/100/clone", newid=9200, full=1)
    site.dc.fail_node(A)
    site.turn(60)
    site.dc.return_node(A)
    status = site.get(f"/nodes/{A}/tasks/{upid}/status")
    assert (status["status"], status["exitstatus"]) == ("stopped", "unexpected status")
    assert site.resource(9200)["lock"] == "clone"  # nobody unlocked it


def test_a_node_that_reports_nothing_is_unknown_and_not_offline() -> None:
    site = Site()
    site.dc.nodes[A].is_silent = True
    [node] = [r for r in site.get("/cluster/resources", type="node") if r["node"] == A]
    assert node["status"] == "unknown"
    assert site.resource()["status"] == "unknown"
    assert site.current()["status"] == "running"  # who asks the node itself is answered
    assert [r["online"] for r in site.get("/cluster/status") if r["type"] == "node"] == [1, 1]
