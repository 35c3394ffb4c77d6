# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Hyper-V lab: a client's two hosts in pure Python, behind WinRM, animated, watched, ready to be broken."""

from __future__ import annotations

import datetime as dt
import secrets
import typing as t
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin import overlay
from ansible_collections.ferragosto.dr.extensions.twin.hyperv import processes
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.animator import Animator
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.build import build, hyperv_timing
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.control import Control
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.doors import Doors
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import Rights
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.timing import HypervTiming
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wish import HypervWish, hyperv_wish
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.certificates import (
    ClientAuthority,
    ClientCertificate,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.executor import Outcome, Request
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Offer, Ways
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.shells import Limits
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.users import User
from ansible_collections.ferragosto.dr.extensions.twin.inventory import End, SiteWish
from ansible_collections.ferragosto.dr.extensions.twin.lab import Lab
from ansible_collections.ferragosto.dr.extensions.twin.world.clock import RunningClock
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Timing
from ansible_collections.ferragosto.dr.extensions.twin.world.world import World

__all__ = ["HypervLab"]

_CERTIFICATE_DOMAIN = "localhost"  # what a local account's client certificate says after the @
_OFFERS: t.Mapping[str, tuple[Offer, ...]] = {
    "ntlm": ("Negotiate",),
    "basic": ("Negotiate", "Basic"),
    "certificate": ("Negotiate", "Certificate"),
}


_CONSENT = "Luca agreed at 04:20: what the crashing disks hold since last night is not needed"
_PENULTIMATE_S = 60.0  # a technician names a moment well before the damage


class HypervLab(Lab):
    """Use ``HypervLab.start(...)`` as a context manager; everything it started ends with it.

    Besides what every lab takes: ``scheme``, ``transport``, ``auth``, ``culture`` go before the lab file's words.
    Tests must look at ``simulator_errors`` when they end: what stands there the twin did not know.
    """

    provider = "hyperv"
    control: Control
    wish: HypervWish
    user, blind_user, denied_user, reader = "dr-operator", "dr-blind", "dr-denied", "dr-reader"

    def __init__(self, wish: SiteWish, timing: Timing, state_dir: Path) -> None:
        super().__init__(wish, timing, state_dir)
        self.password = secrets.token_urlsafe(12)
        self.clients = ClientAuthority()
        self._fleet: Fleet | None = None
        self._animator: Animator | None = None
        self._front: Doors | None = None
        self._client_certificate: ClientCertificate | None = None
        self.past_simulator_errors: list[str] = []  # of before the last reset
        self._told_failures = 0
        self.control = Control(self)

    @classmethod
    def _shape(
        cls,
        wish: SiteWish,
        scheme: str | None = None,
        transport: str | None = None,
        auth: str | None = None,
        culture: str | None = None,
    ) -> HypervWish:
        return hyperv_wish(wish, scheme=scheme, transport=transport, auth=auth, culture=culture)

    # --- where it is -------------------------------------------------------------------------------------------------

    @property
    def fleet(self) -> Fleet:
        if self._fleet is None:
            raise RuntimeError("the lab is not open")
        return self._fleet

    @property
    def doors(self) -> Doors:
        if self._front is None:
            raise RuntimeError("the lab is not open")
        return self._front

    @property
    def endpoint(self) -> tuple[str, int]:
        return self.doors.endpoint(self.wish.production.node, self.wish.scheme)

    @property
    def hyperv_timing(self) -> HypervTiming:
        return self.fleet.timing

    @property
    def simulator_errors(self) -> list[str]:
        """What the twin did not know, and what it broke down with, since it was started or reset."""
        now = [] if self._fleet is None else [str(mishap) for mishap in self._fleet.mishaps]
        failures = [] if self._front is None else self._front.failures[self._told_failures :]
        return [*now, *map(repr, failures)]

    def technician_says(self) -> dict[str, t.Any]:
        """The replica follows in minutes and has the damage too: name a moment before it, and let go of those disks."""
        story = self.wish.story
        if story is None:
            return {}
        vm = next(vm for vm in self.wish.vms if vm.vm == story.vm)
        said: dict[str, t.Any] = {"dr_accept": {"original_overwritten": _CONSENT}}
        if self.wish.log_age_s(vm) < story.rotten_since_s:
            moment = dt.datetime.fromtimestamp(self.world.clock.now_s() - story.rotten_since_s - _PENULTIMATE_S, dt.UTC)
            said["recover_point"] = moment.isoformat(timespec="seconds")
        return said

    # --- life --------------------------------------------------------------------------------------------------------

    def _stand_up(self) -> None:
        self.world = World(RunningClock(), self.timing, self.wish.isolated_networks)
        rights = {
            self.blind_user: Rights.UNSEEN,
            self.denied_user: Rights.DENIED,
            self.reader: Rights.READER,
        }
        self._fleet = build(self.wish, self.world, hyperv_timing(self.timing), rights)
        self._animator = Animator(self._fleet, self._refresh_pages, self._refresh_doors)

    def _prepare_endpoints(self) -> None:
        names = (self.user, self.blind_user, self.denied_user, self.reader)
        if self.wish.transport == "certificate":
            self._client_certificate = self.clients.issue(f"{self.user}@{_CERTIFICATE_DOMAIN}", self.state_dir)
        self._front = Doors(
            (self.wish.production.node, self.wish.replica.node),
            self._execute,
            [User(name, self.password) for name in names],
            leaf=self.leaf,
            clients=self.clients,
            ways=Ways(
                offers=_OFFERS[self.wish.transport],
                certificate_users={f"{self.user}@{_CERTIFICATE_DOMAIN}": self.user},
            ),
            schemes=dict.fromkeys(["https", self.wish.scheme]),
            count=lambda kind: self.world.count(f"{processes.WSMAN}{kind}"),
            limits=Limits(),
        )

    def _execute(self, request: Request) -> Outcome:
        return processes.run(self.fleet, request)

    def _overlay(self, ports: dict[str, int]) -> dict[str, t.Any]:
        return overlay.overlay(
            self.wish,
            self.provider,
            production=self._end(self.wish.production),
            replica=self._end(self.wish.replica),
            ports=ports,
            per_host=overlay.without_vendor(self.wish, self.provider),
        )

    def _end(self, end: End) -> dict[str, t.Any]:
        """How a client reaches one host."""
        address, port = self.doors.endpoint(end.node, self.wish.scheme)
        words: dict[str, t.Any] = {
            "api_host": address,
            "api_port": port,
            "api_user": self.user,
            "api_password": self.password,
            "validate_certs": True,
            "ca_path": str(self.ca_path.resolve()),
            "winrm_transport": self.wish.transport,
            "winrm_scheme": self.wish.scheme,
            "replica_server": end.node,
        }
        if self._client_certificate is not None:
            words["winrm_cert_path"] = str(Path(self._client_certificate.cert_path).resolve())
            words["winrm_key_path"] = str(Path(self._client_certificate.key_path).resolve())
        thumbprint = self.fleet.host(end.node).server.thumbprint
        if thumbprint:
            words["replica_thumbprint"] = thumbprint
        return words

    def _facts(self) -> dict[str, t.Any]:
        return {"endpoints": {host: self.doors.endpoint(host, self.wish.scheme)[1] for host in self.doors.hosts}}

    def _open_endpoints(self) -> None:
        """Let the guests live and clients in; the plan of the lab file is in force from the first call on."""
        self.doors.move_to(self.fleet)
        self.doors.faults.load(self.wish.faults)
        if self._animator is not None:
            self._animator.start()
        self.doors.open()

    def reset(self) -> None:
        """Bring the site back to its first state: addresses and accounts stay, the fault plan and the world are new."""
        with self._lock:
            old_animator, old_fleet = self._animator, self.fleet
            if old_animator is not None:
                old_animator.stop()
            self.doors.shut(kills=True)  # what a process meets at its end still counts
            self.past_violations.extend(old_fleet.world.violations)
            self.past_simulator_errors.extend(self.simulator_errors)
            self._told_failures = len(self.doors.failures)
            self._stand_up()
            self.pages.move_to(self.world)
            self._open_endpoints()

    def _refresh_doors(self) -> None:
        if self._front is not None:
            self._front.refresh()

    def _shut_endpoints(self) -> None:
        if self._front is not None:
            self._front.end()

    def _tear_down(self) -> None:
        if self._animator is not None:
            self._animator.stop()
