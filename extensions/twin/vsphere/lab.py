# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vSphere lab: a client's site in vcsim behind a TLS proxy, animated, watched, and ready to be broken."""

from __future__ import annotations

import secrets
import shutil
import ssl
import threading
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.doors import Door, backup_server
from ansible_collections.ferragosto.dr.extensions.twin.inventory import HostWish, SiteWish
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab, LabRunning, wait_for
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.animator import Animator
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.control import Control
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.gate import Gate
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.proxy import Proxy, server_tls
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.rules import Rules
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.session import Session, Sessions
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.simulator import Vcsim
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.site import Builder, Built
from ansible_collections.ferragosto.dr.extensions.twin.vsphere.views import HostFacts
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role, Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

__all__ = ["LabRunning", "VsphereLab", "wait_for"]

USER = "dr-operator@vsphere.local"
BLIND_USER = "no-rights@vsphere.local"


class VsphereLab(Lab):
    """Use ``VsphereLab.start(...)`` as a context manager; everything it started ends with it."""

    provider = "vsphere"
    control: Control

    def __init__(self, wish: SiteWish, timing: Timing, state_dir: Path) -> None:
        super().__init__(wish, timing, state_dir)
        # hex: a password may begin with "-", and vcsim takes it as an argument
        self.user, self.password = USER, secrets.token_hex(12)
        self.blind_user = BLIND_USER  # same password; sees hosts and no VM
        self._vcsim: Vcsim | None = None
        self._blind_vcsim: Vcsim | None = None
        self.animator: Animator
        self.built: Built
        self.gate: Gate
        self._proxy: Proxy | None = None
        self.control = Control(self)

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> tuple[str, int]:
        return "127.0.0.1", self.proxy.port

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise RuntimeError("the lab is not open")
        return self._proxy

    @property
    def vcsim(self) -> Vcsim:
        if self._vcsim is None:
            raise RuntimeError("the lab is not open")
        return self._vcsim

    @property
    def backup_url(self) -> str:
        """The replication product's own server."""
        return self._doors[1].url

    # --- life --------------------------------------------------------------------------------------------------------

    def _prepare_endpoints(self) -> None:
        self._good_tls = self.certificate()
        self._proxy = Proxy(self.gate, self._good_tls)

    def _more_doors(self) -> list[Door]:
        return [backup_server(lambda: self.world)]

    def _overlay(self, ports: dict[str, int]) -> dict[str, t.Any]:
        endpoint = {
            "api_host": "127.0.0.1",
            "api_port": self.proxy.port,
            "api_user": self.user,
            "api_password": self.password,
            "validate_certs": True,
            "ca_path": str(self.ca_path.resolve()),
        }
        is_own = self.wish.provider == self.provider
        return overlay.overlay(
            self.wish,
            self.provider,
            production=endpoint,
            replica=endpoint,
            ports=ports,
            extra={"backup_server_url": self.backup_url},
            per_host={} if is_own else {vm.host: {"dr_replica": {"name": vm.replica_name}} for vm in self.wish.vms},
        )

    def _facts(self) -> dict[str, t.Any]:
        return {"vcsim_pid": self.vcsim.pid, "endpoint": self.proxy.port}

    def _open_endpoints(self) -> None:
        self.animator.start()
        self.proxy.open()

    def _lock_folder(self) -> None:
        super()._lock_folder()
        for left in self.state_dir.glob("vcsim-*"):  # what a killed lab left
            shutil.rmtree(left, ignore_errors=True)

    def _stand_up(self) -> None:
        """A fresh vcsim with the site in it, and a fresh world."""
        vcsim = Vcsim(self.user, self.password, scratch=self.state_dir)
        try:
            world = World(RunningClock(), self.timing, self.wish.isolated_networks)
            sessions = Sessions(vcsim.port)
            built = Builder(sessions.of(), self.wish, world, vcsim.scratch).build()
        except BaseException:
            vcsim.end()
            raise
        self._vcsim, self.world, self.built = vcsim, world, built
        self.animator = Animator(world, sessions, built, self._refresh_pages)
        self.gate = Gate(vcsim.port, sessions, world, self.animator, Rules())
        self.gate.die = self._die
        self.gate.blind_user, self.gate.blind_port = self.blind_user, self._blind_port
        self._describe_hosts()
        for order, vm in enumerate(self.wish.vms, start=1):
            if vm.has_autostart:
                moid = built.moids[world.copy_of(vm.vm, Role.PRODUCTION).id]
                self.gate.autostart.enlist(built.hosts[self.wish.production.node], moid, order)

    def _describe_hosts(self) -> None:
        self.gate.facts.networks = tuple(m for m in self.built.networks if m.startswith("network-"))
        for node, moid in self.built.hosts.items():
            shape = self.wish.hosts.get(node, HostWish())
            memory_bytes = self.world.hosts[node].memory_bytes
            self.gate.facts.hosts[moid] = HostFacts(
                memory_bytes, 0, shape.cpus, is_lost=False, datastore=self.built.datastores[node]
            )
            self.gate.facts.datastores[self.built.datastores[node]] = shape.disk_gb * 2**30

    def _blind_port(self) -> int:
        """The vcsim of the account without rights: the same hosts, no VM. Started when first needed."""
        with self._lock:
            if self._blind_vcsim is None:
                vcsim = Vcsim(self.blind_user, self.password, scratch=self.state_dir)
                self._blind_vcsim = vcsim
                unseen = World(RunningClock(), self.timing)
                Builder(Sessions(vcsim.port).of(), self.wish, unseen, vcsim.scratch).build(with_vms=False)
            return self._blind_vcsim.port

    def _die(self, seconds: float) -> None:
        self.proxy.shut()
        if seconds > 0:
            timer = threading.Timer(seconds, self.proxy.open)
            timer.daemon = True
            timer.start()

    def reset(self) -> None:
        """Bring the site back to its first state: addresses stay, sessions and everything in the world are new."""
        with self._lock:
            old_vcsim, old_animator, old_world = self.vcsim, self.animator, self.world
            self.gate.end()
            old_animator.stop()
            self.past_violations.extend(old_world.violations)
            self._stand_up()
            self.proxy.gate, self.proxy.tls = self.gate, self._good_tls
            self.proxy.cut()
            self.pages.move_to(self.world)
            self.animator.start()
            self.proxy.open()
            old_vcsim.end()

    def _shut_endpoints(self) -> None:
        if self._proxy is not None:
            self._proxy.end()

    def _tear_down(self) -> None:
        if hasattr(self, "gate"):
            self.gate.end()
            self.animator.stop()
        for vcsim in (self._vcsim, self._blind_vcsim):
            if vcsim is not None:
                vcsim.end()

    def certificate(self, kind: str = "good") -> ssl.SSLContext:
        """A server certificate: "good", "expired" (of our CA), or "foreign" (of a CA that no client knows)."""
        leaf = self.leaf(kind)
        return server_tls(b"".join(c.bytes() for c in leaf.cert_chain_pems), leaf.private_key_pem.bytes())

    def session_as(self, user: str) -> Session:
        """A session in any user's name, past the proxy."""
        return self.gate.sessions.of(user)
