# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small cluster behind real doors, and the clients that knock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from proxmoxer import ProxmoxAPI  # type: ignore[import-untyped]

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import ROOT, Key
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.build import build
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.nodes import Node
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.server import Doors
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import Storage
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock, WorldClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World
from ansible_collections.ferragosto.dr.tests.unit.twin_proxmox.engine_kit import vm, wish

GB = 2**30
PACE = 0.02  # 3 s for a failed login become 60 ms


@dataclass(slots=True)
class Site:
    """Two nodes; VM 100 "gestionale" (Windows) on pve1, VM 200 "dc01" (Linux) on pve2, both on."""

    world: World
    datacenter: Datacenter
    doors: Doors
    folder: Path

    @property
    def ca_path(self) -> str:
        return str(self.folder / "ca.pem")

    def url(self, node: str, path: str = "", style: str = "json") -> str:
        host, port = self.doors.endpoint(node)
        return f"https://{host}:{port}/api2/{style}{path}"

    def by_token(self, key: Key | None = None, node: str = "pve1", **more: Any) -> ProxmoxAPI:
        key = key or self.doors.keys.operator
        host, port = self.doors.endpoint(node)
        secret = {"user": key.user, "token_name": key.token_id, "token_value": key.secret}
        return ProxmoxAPI(host, port=port, verify_ssl=self.ca_path, **secret, **more)

    def by_password(self, node: str = "pve1", user: str = ROOT, password: str = "") -> ProxmoxAPI:
        host, port = self.doors.endpoint(node)
        return ProxmoxAPI(
            host, port=port, user=user, password=password or self.doors.keys.root_password, verify_ssl=self.ca_path
        )

    def raw(self, method: str, path: str, node: str = "pve1", style: str = "json", **more: Any) -> requests.Response:
        """A call with the operator's token, unless it brings its own headers."""
        headers = more.pop("headers", self.doors.keys.operator.header)
        url = self.url(node, path, style)
        return requests.request(method, url, headers=headers, verify=self.ca_path, **{"timeout": 10, **more})


def datacenter(world: World, name: str = "luca", nodes: tuple[str, ...] = ("pve1", "pve2"), **more: Any) -> Datacenter:
    made = Datacenter(
        name,
        world,
        nodes=[Node(name=node, number=number) for number, node in enumerate(nodes, start=1)],
        timing=PveTiming.fast(),
        **more,
    )
    made.shelf.storages["tank"] = Storage(
        id="tank",
        kind="zfspool",
        content="images,rootdir",
        total_bytes=dict.fromkeys(nodes, 1000 * GB),
        options={"pool": "tank"},
    )
    return made


def add_guest(datacenter: Datacenter, vmid: int, name: str, node: str, ostype: str, **config: str) -> Guest:
    datacenter.shelf.add(node, "tank", f"vm-{vmid}-disk-0", 32 * GB, datacenter.now_s())
    guest = Guest(
        vmid=vmid,
        node=node,
        vm=name,
        config={
            "name": name,
            "ostype": ostype,
            "memory": "2048",
            "cores": "2",
            "agent": "1",
            "scsi0": f"tank:vm-{vmid}-disk-0,size=32G",
            "net0": f"virtio=BC:24:11:00:00:{vmid % 100:02X},bridge=vmbr0",
            **config,
        },
    )
    datacenter.guests[vmid] = guest
    datacenter.disk_set(vmid, node, vm=name, name=name, data=DataState(100, datacenter.now_s()))
    return guest


@contextlib.contextmanager
def site(folder: Path, clock: WorldClock | None = None, **more: Any) -> Iterator[Site]:
    world = World(clock or RunningClock(), Timing.fast())
    made = datacenter(world)
    for vmid, name, node, ostype in ((100, "gestionale", "pve1", "win11"), (200, "dc01", "pve2", "l26")):
        made.machines.start(add_guest(made, vmid, name, node, ostype), uptime_s=86400.0)
    doors = Doors([made], **{"pace": PACE, **more})
    (folder / "ca.pem").write_bytes(doors.certificates.ca_pem)
    doors.open()
    try:
        yield Site(world, made, doors, folder)
    finally:
        doors.end()


@contextlib.contextmanager
def built_site(folder: Path, *vms: str, **more: Any) -> Iterator[Site]:
    """The site that a client's inventory becomes: two nodes, replication jobs, backups, a history."""
    world = World(RunningClock(), Timing.fast(), ("dr-isolated",))
    (made,) = build(wish(*(vm(name) for name in vms)), world, PveTiming.fast())
    doors = Doors([made], **{"pace": PACE, **more})
    (folder / "ca.pem").write_bytes(doors.certificates.ca_pem)
    doors.open()
    try:
        yield Site(world, made, doors, folder)
    finally:
        doors.end()
