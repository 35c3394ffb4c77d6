# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What two nodes say, as rows of the API; tests change a row and look what becomes of it."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.tests.unit.proxmox.front import Door, Say

GIB = 2**30
SYNCED_S = 1786759200  # 15 August, at night
CONFIG = {
    "name": "gestionale",
    "memory": "8192",
    "cores": 2,
    "onboot": 1,
    "agent": "1",
    "net0": "virtio=BC:24:11:00:00:64,bridge=vmbr0,firewall=1",
    "scsi0": "tank:vm-100-disk-0,size=80G",
    "ide2": "none,media=cdrom",
    "vmgenid": "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    "digest": "a" * 40,
}
STATUS = {"status": "running", "qmpstatus": "running", "uptime": 4000, "agent": 1, "maxmem": 8 * GIB, "cpus": 2}
SYNC = {
    "id": "100-0",
    "guest": "100",
    "type": "local",
    "source": "pve1",
    "target": "pve2",
    "jobnum": 0,
    "last_sync": SYNCED_S,
    "last_try": SYNCED_S,
    "next_sync": SYNCED_S + 900,
    "fail_count": 0,
    "duration": 3.2,
    "vmtype": "qemu",
}


def node_row(name: str, status: str = "online") -> dict[str, t.Any]:
    row: dict[str, t.Any] = {"type": "node", "id": f"node/{name}", "node": name, "status": status}
    if status == "online":
        row |= {"maxmem": 64 * GIB, "mem": 20 * GIB, "maxcpu": 16, "cpu": 0.25}
    return row


def vm_row(vmid: int, name: str, node: str, status: str = "running", **more: t.Any) -> dict[str, t.Any]:
    row = {"type": "qemu", "id": f"qemu/{vmid}", "vmid": vmid, "node": node, "status": status, "template": 0}
    if name:
        row["name"] = name
    return row | {"maxmem": 8 * GIB, "maxcpu": 2, "maxdisk": 80 * GIB} | more


def storage_row(name: str, node: str, **more: t.Any) -> dict[str, t.Any]:
    row = {"type": "storage", "id": f"storage/{node}/{name}", "storage": name, "node": node, "status": "available"}
    return row | {"maxdisk": 1000 * GIB, "disk": 400 * GIB, "content": "images,rootdir", "plugintype": "zfspool"} | more


class Cluster:
    """The rows of a cluster of two nodes, and how to put them before a door."""

    def __init__(self) -> None:
        self.status = [
            {"type": "cluster", "id": "cluster", "name": "luca", "nodes": 2, "quorate": 1, "version": 4},
            {
                "type": "node",
                "id": "node/pve1",
                "name": "pve1",
                "nodeid": 1,
                "online": 1,
                "local": 1,
                "ip": "10.99.0.1",
            },
            {
                "type": "node",
                "id": "node/pve2",
                "name": "pve2",
                "nodeid": 2,
                "online": 1,
                "local": 0,
                "ip": "10.99.0.2",
            },
        ]
        self.resources = [
            node_row("pve1"),
            node_row("pve2"),
            vm_row(100, "gestionale", "pve1"),
            vm_row(101, "dc01", "pve1"),
            vm_row(102, "stampe", "pve2", "stopped"),
            storage_row("tank", "pve1"),
            storage_row("tank", "pve2"),
        ]
        self.jobs = [{"id": "100-0", "guest": 100, "jobnum": 0, "type": "local", "target": "pve2", "source": "pve1"}]
        self.told: dict[str, list[dict[str, t.Any]]] = {"pve1": [dict(SYNC)], "pve2": []}
        self.configs: dict[tuple[str, int], dict[str, t.Any]] = {("pve1", 100): dict(CONFIG)}
        self.states: dict[int, dict[str, t.Any]] = {100: dict(STATUS)}
        self.pings: dict[int, Say] = {100: Say({"result": {}})}
        self.backups: list[dict[str, t.Any]] = []

    @property
    def row(self) -> dict[str, t.Any]:
        return next(r for r in self.resources if r.get("vmid") == 100)

    def kill(self, node: str, *, quorate: int = 0) -> None:
        """Let corosync see a node gone: its VMs lose name and status, as observed."""
        self.status[0]["quorate"] = quorate
        for one in self.status[1:]:
            if one["name"] == node:
                one["online"] = 0
        for one in self.resources:
            if one.get("node") != node:
                continue
            one["status"] = "offline" if one["type"] == "node" else "unknown"
            one.pop("name", None)

    def alone(self, node: str) -> Cluster:
        """Let it be one node without a cluster."""
        self.status = [
            {"type": "node", "id": f"node/{node}", "name": node, "nodeid": 0, "online": 1, "local": 1, "level": ""}
        ]
        self.resources = [r for r in self.resources if r.get("node") == node]
        self.jobs, self.told = [], {}
        return self

    def open(self, door: Door) -> Door:
        """Put all of it before a door."""
        say = door.script
        say["GET /cluster/status"] = Say(self.status)
        say["GET /cluster/resources"] = lambda asked: Say(self._resources(asked.params.get("type", "")))
        say["GET /cluster/replication"] = Say(self.jobs)
        for node, rows in self.told.items():
            say[f"GET /nodes/{node}/replication"] = Say(rows)
        for (node, vmid), config in self.configs.items():
            say[f"GET /nodes/{node}/qemu/{vmid}/config"] = Say(config)
            say[f"GET /nodes/{node}/qemu/{vmid}/status/current"] = Say(self.states.get(vmid, {"status": "stopped"}))
            say[f"POST /nodes/{node}/qemu/{vmid}/agent/ping"] = self.pings.get(vmid, Say({"result": {}}))
        for row in self.resources:
            if row["type"] == "storage" and "backup" in row["content"]:
                say[f"GET /nodes/{row['node']}/storage/{row['storage']}/content"] = Say(self.backups)
        return door

    def _resources(self, kind: str) -> list[dict[str, t.Any]]:
        wanted = {"": ("node", "qemu", "storage"), "vm": ("qemu",)}.get(kind, (kind,))
        return [row for row in self.resources if row["type"] in wanted]
