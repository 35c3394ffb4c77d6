# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Proxmox lab: a client's site in pure Python, behind the doors of its nodes, animated, watched, ready to be broken."""

from __future__ import annotations

import asyncio
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.inventory import BadInventory, SiteWish
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.animator import Animator
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.auth import Keys
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.build import build
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.control import Control
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.happenings import NoTarget
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schema import Schema
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.server import Doors
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.ssh import SshClient
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.timing import PveTiming
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wish import ProxmoxWish, proxmox_wish
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import UnknownThing, World

__all__ = ["ProxmoxLab"]

# What PVE does takes time here too, but nobody waits longer than it takes to see that.
REHEARSAL = PveTiming(
    start_s=0.5,
    replicate_s=1.0,
    migrate_s=1.5,
    copy_s_at_most=1.5,
    agent_timeout_s=0.4,
    scheduler_s=1.0,
    ha_round_s=3.0,
    ha_fence_s=15.0,
)


class ProxmoxLab(Lab):
    """Use ``ProxmoxLab.start(...)`` as a context manager; everything it started ends with it.

    Besides what every lab takes: ``layout``, ``has_ssh``, ``has_qdevice`` go before the lab file's words; ``pve_timing`` says how long
    Proxmox VE takes for what it does.
    """

    provider = "proxmox"
    control: Control
    wish: ProxmoxWish

    def __init__(self, wish: SiteWish, timing: Timing, state_dir: Path) -> None:
        super().__init__(wish, timing, state_dir)
        self.keys = Keys()
        self.schema = Schema.installed()  # where it is, requests and replies are held against it
        self.datacenters: list[Datacenter] = []
        self._animator: Animator | None = None
        self._front: Doors | None = None
        self._ssh: SshClient | None = None
        self.control = Control(self)

    @classmethod
    def _shape(
        cls,
        wish: SiteWish,
        layout: str | None = None,
        has_ssh: bool | None = None,
        has_qdevice: bool | None = None,
        pve_timing: PveTiming | None = None,
    ) -> ProxmoxWish:
        return proxmox_wish(wish, layout=layout, has_ssh=has_ssh, has_qdevice=has_qdevice, pve_timing=pve_timing)

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    def doors(self) -> Doors:
        if self._front is None:
            raise RuntimeError("the lab is not open")
        return self._front

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.doors.endpoint(self.wish.production.node)

    def node_name(self, said: str) -> str:
        """A node by its name, or by the client's own word for it."""
        return self.wish.node_names.get(said, said)

    def datacenter_of(self, node: str) -> Datacenter:
        for datacenter in self.datacenters:
            if node in datacenter.nodes:
                return datacenter
        raise UnknownThing(f"no node {node!r}; there are {', '.join(n for d in self.datacenters for n in d.nodes)}")

    def guest_of(self, copy_id: str) -> tuple[Datacenter, Guest]:
        """The configuration that runs on a copy's disks; a replica of volumes alone has none."""
        for datacenter in self.datacenters:
            with datacenter.lock:
                for guest in datacenter.guests.values():
                    if datacenter.copy_id_of(guest) == copy_id:
                        return datacenter, guest
        raise UnknownThing(f"{copy_id} is disks alone: no configuration names them, so it has no power and no NICs")

    # --- life --------------------------------------------------------------------------------------------------------

    def _stand_up(self) -> None:
        self.world = World(RunningClock(), self.timing, self.wish.isolated_networks)
        self.datacenters = build(self.wish, self.world, self._pve_timing())
        self._animator = Animator(self.world, self.datacenters, self._refresh_pages, self._refresh_doors)

    def _pve_timing(self) -> PveTiming:
        if self.wish.pve_timing is not None:
            return self.wish.pve_timing
        return PveTiming.fast() if self.timing.boot_s < 1.0 else REHEARSAL

    def _prepare_endpoints(self) -> None:
        # What PVE itself delays (a failed login, a lock without quorum) is slow where guests are slow.
        pace = 1.0 if self.timing.boot_s >= 1.0 else 0.05
        self._front = Doors(
            self.datacenters,
            ca=self.ca,
            keys=self.keys,
            schema=self.schema,
            has_ssh=self.wish.has_ssh,
            pace=pace,
        )
        if self.wish.has_ssh:
            self._ssh = self._front.write_ssh_client(self.state_dir)

    def _overlay(self, ports: dict[str, int]) -> dict[str, t.Any]:
        per_host = overlay.without_vendor(self.wish, self.provider)
        for host, name in self.wish.vm_names.items():
            per_host[host] = {**per_host.get(host, {}), "dr_vm": name}
        return overlay.overlay(
            self.wish,
            self.provider,
            production=self._end(self.wish.production.node),
            replica=self._end(self.wish.replica.node),
            ports=ports,
            per_host=per_host,
        )

    def _end(self, node: str) -> dict[str, t.Any]:
        """How a client reaches one node."""
        host, port = self.doors.endpoint(node)
        key = self.keys.operator
        ssh = {}
        if self._ssh is not None:
            ssh = {
                "ssh_user": self._ssh.user,
                "ssh_port": self.doors.ssh_endpoint(node)[1],
                "ssh_key_path": str(self._ssh.key_path.resolve()),
                "ssh_known_hosts_path": str(self._ssh.known_hosts_path.resolve()),
            }
        return {
            "api_host": host,
            "api_port": port,
            "api_user": key.user,
            "api_token_id": key.token_id,
            "api_token_secret": key.secret,
            "validate_certs": True,
            "ca_path": str(self.ca_path.resolve()),
            **ssh,
        }

    def _facts(self) -> dict[str, t.Any]:
        return {"endpoints": {node: self.doors.endpoint(node)[1] for node in self.doors.nodes}}

    def _open_endpoints(self) -> None:
        """Let the guests live and clients in; the plan of the lab file is in force from the first call on."""
        if self._animator is not None:
            self._animator.start()
        try:
            self.doors.faults.load(self.wish.faults)
        except NoTarget as missing:
            raise BadInventory(f"{self.wish.where}: proxmox: faults: {missing}") from None
        self.doors.open()

    def reset(self) -> None:
        """Bring the site back to its first state: addresses and keys stay, the fault plan and the world are new."""
        with self._lock:
            old_animator, old_world = self._animator, self.world
            if old_animator is not None:
                old_animator.stop()
            self.past_violations.extend(old_world.violations)
            self._stand_up()
            self.doors.move_to(self.datacenters)
            self.pages.move_to(self.world)
            self._open_endpoints()

    def settle_doors(self) -> None:
        """Return when the doors of lost nodes are shut, and those of returned nodes open."""
        self.doors.refresh()
        self.doors.loop.run(asyncio.sleep(0))

    def _refresh_doors(self) -> None:
        if self._front is not None:
            self._front.refresh()

    def _shut_endpoints(self) -> None:
        if self._front is not None:
            self._front.end()

    def _tear_down(self) -> None:
        if self._animator is not None:
            self._animator.stop()
