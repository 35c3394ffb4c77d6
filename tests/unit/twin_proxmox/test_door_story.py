# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole procedures through the doors, with proxmoxer and the least rights, every call judged by the published schema."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_access import ACCESS_ROUTES
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.door_kit import Site, built_site
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.test_door_ssh import run

SHELL, CLONE = 9100, 9200


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    with built_site(tmp_path, "erp", "web") as made:
        yield made
        assert made.doors.schema is not None
        assert made.doors.schema.violations == []
        assert made.world.violations == ()


def finish(api: Any, upid: str, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while (row := api.nodes(upid.split(":")[1]).tasks(upid).status.get())["status"] == "running":
        assert time.monotonic() < deadline, f"{upid} still runs"
        time.sleep(0.02)
    assert row["exitstatus"] == "OK"


def await_status(api: Any, node: str, vmid: int, wanted: str) -> None:
    deadline = time.monotonic() + 10
    while api.nodes(node).qemu(vmid).status.current.get()["status"] != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_clone_promotion_with_the_operators_rights(own):
    api = own.by_token(timeout=10)
    job = api.cluster.replication("100-0")
    before = api.nodes("pve1").qemu(100).config.get()
    job.put(disable=1)
    assert "pid" not in api.nodes("pve1").replication("100-0").status.get()
    finish(api, api.nodes("pve1").qemu(100).status.stop.post())
    api.nodes("pve1").qemu(100).config.put(onboot=0, tags="dr.fenced.r1", digest=before["digest"])

    drive = before["scsi0"].split(",")[0]
    there = api.nodes("pve2")
    finish(api, there.qemu.post(vmid=SHELL, name="dr-shell", scsi0=drive, net0="virtio,bridge=vmbr0,link_down=1"))
    finish(api, there.qemu(SHELL).clone.post(newid=CLONE, full=1, name="erp-promoted"))
    there.qemu(CLONE).config.put(net0=f"{before['net0']},link_down=1", tags="dr.run.r1;dr.phase.promoted")
    finish(api, there.qemu(SHELL).delete(purge=1))
    finish(api, there.qemu(CLONE).status.start.post())
    await_status(api, "pve2", CLONE, "running")
    there.qemu(CLONE).config.put(net0=before["net0"])
    assert {row["vmid"] for row in there.qemu.get()} == {CLONE}
    assert api.nodes("pve1").qemu(100).status.current.get()["status"] == "stopped"
    assert {row["volid"] for row in there.storage("tank").content.get()} >= {drive}, "the replica is untouched"


def test_a_promotion_in_place_of_a_dead_nodes_guest_over_ssh(own):
    client = own.doors.write_ssh_client(own.folder)
    own.doors.faults.add(action="dead_node", target="pve1")
    api = own.by_token(node="pve2", timeout=10)
    rows = {row["id"]: row for row in api.cluster.resources.get()}
    assert (rows["node/pve1"]["status"], rows["qemu/100"]["status"]) == ("offline", "unknown")
    source, target = ("/etc/pve/nodes/pve1/qemu-server/100.conf", "/etc/pve/nodes/pve2/qemu-server/")
    assert run(own, client, f"mv {source} {target}", "pve2").exit_status == 1
    snapshots = run(own, client, "zfs list -Hp -t snapshot -o name,creation", "pve2").stdout
    assert re.search(r"^rpool/data/vm-100-disk-0@__replicate_100-0_\d+__\t\d+$", str(snapshots), re.MULTILINE)
    assert run(own, client, "pvecm expected 1", "pve2").exit_status == 0
    assert run(own, client, f"mv {source} {target}", "pve2").exit_status == 0
    finish(api, api.nodes("pve2").qemu(100).status.start.post())
    await_status(api, "pve2", 100, "running")


def test_every_read_of_the_api_fits_the_published_schema(own):
    api, schema = own.by_token(timeout=10), own.doors.schema
    upid = api.nodes("pve1").qemu(100).snapshot.post(snapname="before")
    finish(api, upid)
    values = {
        **{"node": "pve1", "vmid": "100", "id": "100-0", "upid": upid, "storage": "tank", "snapname": "before"},
        "volume": "tank:vm-100-disk-0",
    }
    answered = set()
    for route in [*ROUTES.routes, *ACCESS_ROUTES.routes]:
        if route.method == "GET" and set(re.findall(r"\{(\w+)\}", route.template)) <= set(values):
            path = re.sub(r"\{(\w+)\}", lambda found: values[found[1]], route.template)
            params = {"timeframe": "hour"} if path.endswith("rrddata") else {}
            if path.endswith("/feature"):
                params = {"feature": "snapshot"}
            answer = own.raw("GET", path, params=params)
            assert answer.status_code == 200 or route.template == "/cluster/backup/{id}", (path, answer.reason)
            answered.add(route.template)
    assert len(answered) > 50
    assert schema is not None
    assert schema.violations == []
    assert "GET /nodes/{node}/replication/{id}/status" in schema.untyped
