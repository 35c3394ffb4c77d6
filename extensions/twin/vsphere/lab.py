# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vSphere lab: a client's site in vcsim behind a TLS proxy, animated, watched, and ready to be broken."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
import ssl
import tempfile
import threading
import time
import typing as t
from datetime import UTC
from pathlib import Path

import trustme

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.doors import Door, NoSuchRoute, backup_server
from ansible_collections.ferragosto.dr.extensions.twin.inventory import HostWish, SiteWish, read_site
from ansible_collections.ferragosto.dr.extensions.twin.pages import GuestPages
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
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Role, Timing, Violation
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

_LOG = logging.getLogger(__name__)
USER = "dr-operator@vsphere.local"
BLIND_USER = "no-rights@vsphere.local"


class LabRunning(RuntimeError):
    """Another lab holds the state folder."""


class VsphereLab:
    """Use ``VsphereLab.start(...)`` as a context manager; everything it started ends with it."""

    def __init__(self, wish: SiteWish, timing: Timing, state_dir: Path) -> None:
        self.wish, self.timing, self.state_dir = wish, timing, state_dir
        # hex: a password may begin with "-", and vcsim takes it as an argument
        self.user, self.password = USER, secrets.token_hex(12)
        self.blind_user = BLIND_USER  # same password; sees hosts and no VM
        self.ca = trustme.CA()
        self.ca_path = state_dir / "ca.pem"
        self.past_violations: list[Violation] = []
        self._lock = threading.RLock()
        self._vcsim: Vcsim | None = None
        self._blind_vcsim: Vcsim | None = None
        self.world: World
        self.animator: Animator
        self.built: Built
        self.gate: Gate
        self._pages: GuestPages | None = None
        self._proxy: Proxy | None = None
        self._doors: list[Door] = []
        self._folder_lock: t.IO[str] | None = None
        self.control = Control(self)

    @classmethod
    def start(
        cls,
        inventory: Path | str,
        lab_file: Path | str | None = None,
        timing: Timing | None = None,
        state_dir: Path | str | None = None,
        limit: t.Container[str] | None = None,
    ) -> VsphereLab:
        """Build the client's site and open its endpoint; returns when a client may connect."""
        wish = read_site(Path(inventory), Path(lab_file) if lab_file else None, limit=limit)
        folder = Path(state_dir) if state_dir else Path(tempfile.mkdtemp(prefix="ferragosto-lab-"))
        folder.mkdir(parents=True, exist_ok=True)
        lab = cls(wish, timing or Timing(), folder)
        try:
            lab._open()
        except BaseException:
            lab.end()
            raise
        return lab

    def __enter__(self) -> VsphereLab:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

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
    def pages(self) -> GuestPages:
        if self._pages is None:
            raise RuntimeError("the lab is not open")
        return self._pages

    @property
    def vcsim(self) -> Vcsim:
        if self._vcsim is None:
            raise RuntimeError("the lab is not open")
        return self._vcsim

    @property
    def overlay_path(self) -> Path:
        return self.state_dir / "overlay.yml"

    @property
    def control_url(self) -> str:
        return self._doors[0].url

    @property
    def backup_url(self) -> str:
        return self._doors[1].url

    # --- life --------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._lock_folder()
        self.ca.cert_pem.write_to_path(str(self.ca_path))
        self._stand_up()
        self._pages = GuestPages(self.world)
        ports = {vm.vm: self._pages.add(vm.vm) for vm in self.wish.vms}
        self._good_tls = self.certificate()
        self._proxy = Proxy(self.gate, self._good_tls)
        token = secrets.token_urlsafe(24)
        self._doors = [Door(self._control_route, "control", token), backup_server(lambda: self.world)]
        endpoint = {
            "api_host": "127.0.0.1",
            "api_port": self._proxy.port,
            "api_user": self.user,
            "api_password": self.password,
            "validate_certs": True,
            "ca_path": str(self.ca_path.resolve()),
        }
        extra = {"backup_server_url": self.backup_url}
        content = overlay.overlay(self.wish, endpoint=endpoint, ports=ports, extra=extra)
        _write_secret(self.state_dir / "control-token", token)
        overlay.write(self.overlay_path, content)
        facts = {
            "pid": os.getpid(),
            "vcsim_pid": self.vcsim.pid,
            "endpoint": endpoint["api_port"],
            "control": self.control_url,
        }
        (self.state_dir / "lab.json").write_text(json.dumps(facts), encoding="utf-8")
        self.animator.start()
        self._proxy.open()

    def _lock_folder(self) -> None:
        """Keep a second lab out of this folder, and sweep out what a killed one left."""
        self._folder_lock = (self.state_dir / "lock").open("w")
        try:
            fcntl.flock(self._folder_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LabRunning(f"a lab runs in {self.state_dir} already: end it, or name another --state-dir") from None
        for left in self.state_dir.glob("vcsim-*"):
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

    def end(self) -> None:
        with self._lock:
            if self._proxy is not None:
                self._proxy.end()
            for door in self._doors:
                door.end()
            if hasattr(self, "gate"):
                self.gate.end()
                self.animator.stop()
            for vcsim in (self._vcsim, self._blind_vcsim):
                if vcsim is not None:
                    vcsim.end()
            if self._pages is not None:
                self._pages.end()
            if self._folder_lock is not None:
                self._folder_lock.close()

    def _refresh_pages(self) -> None:
        if self._pages is not None:
            self._pages.refresh()

    # --- certificates ------------------------------------------------------------------------------------------------

    def certificate(self, kind: str = "good") -> ssl.SSLContext:
        """A server certificate: "good", "expired" (of our CA), or "foreign" (of a CA that no client knows)."""
        if kind == "expired":
            from datetime import datetime, timedelta

            leaf = self.ca.issue_cert("127.0.0.1", "localhost", not_after=datetime.now(UTC) - timedelta(days=1))
        else:
            leaf = (trustme.CA() if kind == "foreign" else self.ca).issue_cert("127.0.0.1", "localhost")
        return server_tls(b"".join(c.bytes() for c in leaf.cert_chain_pems), leaf.private_key_pem.bytes())

    # --- control from other processes --------------------------------------------------------------------------------

    def _control_route(self, verb: str, path: str, body: dict[str, t.Any]) -> t.Any:
        if path not in Control.VERBS:
            raise NoSuchRoute(f"/{path}: the control knows {', '.join(sorted(Control.VERBS))}")
        return getattr(self.control, path)(**body)

    def session_as(self, user: str) -> Session:
        """A session in any user's name, past the proxy."""
        return self.gate.sessions.of(user)


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)


def wait_for(question: t.Callable[[], bool], within_s: float, what: str) -> None:
    """Poll until it is so; raises TimeoutError naming what did not come."""
    deadline = time.monotonic() + within_s
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:.1f} s: {what}")
        time.sleep(0.01)
