# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a test of the engine holds in its hands: a site in a world whose clock only the test turns, and calls without a network."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, Namesake, SiteWish, Story, VmWish
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.build import build
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wish import proxmox_wish
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import TurnedClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Copy, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

A, B = "pve1", "pve2"
HOUR = 3600.0
SHELL = {"name": "shell", "scsi0": "tank:vm-100-disk-0", "net0": "virtio,bridge=vmbr0,link_down=1"}


def wish(*vms: VmWish, layout: str = "cluster", has_qdevice: bool = False, **more: t.Any) -> SiteWish:
    """Two nodes, pve1 and pve2, with the storage tank and the bridge vmbr0."""
    names = {"datastore": "tank", "network": "vmbr0"}
    site = SiteWish(
        name="site",
        group="site",
        provider="proxmox",
        production=End(node=A, **names),
        replica=End(node=B, **names),
        site_vars={"production": names, "replica": names},
        vms=vms or (vm(),),
        story=Story(vm="erp", rotten_since_s=2 * HOUR),
        **more,
    )
    return proxmox_wish(site, layout=layout, has_qdevice=has_qdevice)


def vm(name: str = "erp", **more: t.Any) -> VmWish:
    return VmWish(host=f"{name}.site", vm=name, replica_name="", address="192.0.2.20", **more)


class Site:
    """``get``, ``post``, ``put``, ``delete`` are calls of one user; ``door`` is the node that they come in by."""

    def __init__(self, site_wish: SiteWish | None = None, timing: PveTiming | None = None) -> None:
        self.clock = TurnedClock()
        self.world = World(self.clock, Timing(), ("dr-isolated",))
        self.datacenters = build(site_wish or wish(), self.world, timing or PveTiming(copy_s_at_most=20.0))
        self.door, self.user, self.token_id = A, "dr@pve", "t"
        self.rights: t.Callable[[str, str], bool] = lambda path, privilege: True
        self.schema = Schema.installed()

    @property
    def dc(self) -> Datacenter:
        return self.datacenters[0]

    def call(self, method: str, path: str, **params: t.Any) -> t.Any:
        """Names of parameters are written with _ for -."""
        route, args = ROUTES.find(method, path)
        node = args.get("node", self.door)
        datacenter = next(d for d in self.datacenters if node in d.nodes)
        call = Call(
            method=method,
            path=path,
            template=route.template,
            args=args,
            params={key.replace("_", "-") if key not in _UNDERSCORED else key: v for key, v in params.items()},
            user=self.user,
            token_id=self.token_id,
            node=node,
            door_node=self.door,
            may=self.rights,
        )
        data = datacenter.carry_out(route, call)
        if self.schema is not None:
            self.schema.reply(method, route.template, data)
        return data

    def get(self, path: str, **params: t.Any) -> t.Any:
        return self.call("GET", path, **params)

    def post(self, path: str, **params: t.Any) -> t.Any:
        return self.call("POST", path, **params)

    def put(self, path: str, **params: t.Any) -> t.Any:
        return self.call("PUT", path, **params)

    def delete(self, path: str, **params: t.Any) -> t.Any:
        return self.call("DELETE", path, **params)

    def refused(self, method: str, path: str, **params: t.Any) -> PveError:
        """What a call that must not work answers."""
        with pytest.raises(PveError) as caught:
            self.call(method, path, **params)
        return caught.value

    # --- time ---------------------------------------------------------------------------------------------------------

    def turn(self, seconds: float, step_s: float = 0.25) -> None:
        end_s = self.clock.now_s() + seconds
        while self.clock.now_s() < end_s - 1e-6:
            self.clock.turn(min(step_s, end_s - self.clock.now_s()))
            for datacenter in self.datacenters:
                datacenter.tick()

    def ended(self, upid: str, within_s: float = 300.0) -> str:
        """Wait for a task; returns its exit status."""
        task = next(d.tasks.tasks[upid] for d in self.datacenters if upid in d.tasks.tasks)
        end_s = self.clock.now_s() + within_s
        while task.is_running and self.clock.now_s() < end_s:
            self.turn(0.25)
        assert not task.is_running, f"{upid} did not end: {task.log}"
        return task.status

    def done(self, upid: str) -> None:
        assert self.ended(upid) == "OK"

    # --- short words ---------------------------------------------------------------------------------------------------

    def config(self, vmid: int = 100, node: str = A) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.get(f"/nodes/{node}/qemu/{vmid}/config")
        return found

    def current(self, vmid: int = 100, node: str = A) -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.get(f"/nodes/{node}/qemu/{vmid}/status/current")
        return found

    def job(self, node: str = A, job_id: str = "100-0") -> dict[str, t.Any]:
        found: dict[str, t.Any] = self.get(f"/nodes/{node}/replication/{job_id}/status")
        return found

    def power(self, word: str, vmid: int = 100, node: str = A, **params: t.Any) -> str:
        upid: str = self.post(f"/nodes/{node}/qemu/{vmid}/status/{word}", **params)
        return upid

    def resource(self, vmid: int = 100) -> dict[str, t.Any]:
        found: dict[str, t.Any] = next(r for r in self.get("/cluster/resources", type="vm") if r["vmid"] == vmid)
        return found

    def task_log(self, upid: str) -> str:
        task = next(d.tasks.tasks[upid] for d in self.datacenters if upid in d.tasks.tasks)
        return "\n".join(task.log)

    def shell(self, vmid: int = 9100, **more: t.Any) -> None:
        """A configuration on the replica's disks."""
        self.done(self.post(f"/nodes/{B}/qemu", vmid=vmid, **{**SHELL, **more}))

    def serving(self) -> Copy:
        """The copy of the ERP that clients reach now."""
        copy = self.world.serving_copy("erp")
        assert copy is not None
        return copy

    def is_rotten(self, copy_id: str) -> bool:
        return self.world.copy(copy_id).data.is_corrupted

    def violations(self) -> set[str]:
        return {violation.kind for violation in self.world.violations}

    def accidents(self) -> list[str]:
        return [accident.kind for accident in self.world.accidents]


_UNDERSCORED = {"max_relocate", "max_restart", "migration_type", "migration_network", "remove_job", "target_node"}

__all__ = ["HOUR", "SHELL", "A", "B", "Namesake", "PveError", "PveTiming", "Site", "Timing", "vm", "wish"]
