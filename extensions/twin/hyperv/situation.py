# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a call meets: the facts that the rows of states.json ask for."""

from __future__ import annotations

import typing as t
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import AuthorizationEntry, is_address
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import RECOVERY_POINTS, Checkpoint, Machine
from ansible_collections.ferragosto.dr.extensions.twin.world.model import Phase

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.fleet import Fleet

DISK_SETTINGS = ("ReplicatedDisks", "ReplicatedDiskPaths")
Facts: t.TypeAlias = "dict[str, str]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One cmdlet on one VM. ``settings`` are the arguments that change the relationship, by canonical name."""

    cmdlet: str
    switch: str
    machine: Machine
    point: Checkpoint | None = None
    point_vm: uuid.UUID | None = None
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def server(self) -> str:
        return str(self.settings.get("ReplicaServerName") or "")

    @property
    def thumbprint(self) -> str:
        return str(self.settings.get("CertificateThumbprint") or "").replace(" ", "").upper()

    @property
    def authentication(self) -> str:
        """Kerberos or Certificate: as the call says, else as it is."""
        said = self.settings.get("AuthenticationType")
        if said is not None:
            return str(getattr(said, "name", said))
        return self.machine.endpoint.authentication if self.machine.endpoint else "Kerberos"


def facts(fleet: Fleet, call: Call) -> Facts:
    """Gather all facts; each is one word."""
    machine, end = call.machine, call.machine.endpoint
    host = fleet.hosts[machine.host]
    return {
        "mode": end.mode if end else "None",
        "state": end.state if end else "Disabled",
        "power": machine.state,
        "test": "yes" if end and end.test else "no",
        "received": "yes" if end and end.last_replication_s is not None else "no",
        "initialised": "yes" if end and end.is_initialised else "no",
        "planned": "yes" if end and end.is_planned else "no",
        "point": _point(call),
        "settings": _settings(call),
        "thumbprint": _thumbprint(call),
        "entry": _entry(fleet, call),
        "peer": _peer(fleet, call),
        "peer_end": _peer_end(fleet, call),
        "memory": "short" if machine.memory_bytes > fleet.powers.free_memory_bytes(host) else "enough",
        "guest": "listens" if _listens(fleet, machine) and not machine.refuses_power_off else "deaf",
        "storage": "gone" if machine.is_critical else "there",
        "worker": "hung" if machine.refuses_power_off else "works",
    }


def _point(call: Call) -> str:
    if call.point is None:
        return "none"
    if call.point_vm != call.machine.id or call.point not in call.machine.checkpoints:
        return "foreign"
    return "own" if call.point.kind in RECOVERY_POINTS else "wrong_type"


def _settings(call: Call) -> str:
    if any(name in call.settings for name in DISK_SETTINGS):
        return "disks"
    own = {"AllowedPrimaryServer"} if call.switch == "AsReplica" else set()
    return "some" if set(call.settings) - own else "none"


def _thumbprint(call: Call) -> str:
    if call.authentication != "Certificate":
        return "not_needed"
    return "given" if call.thumbprint else "missing"


def _entry(fleet: Fleet, call: Call) -> str:
    server = fleet.hosts[call.machine.host].server
    wanted = str(call.settings.get("AllowedPrimaryServer") or "").casefold()
    known = [entry.allowed_primary_server.casefold() for entry in server.entries] if server.is_enabled else []
    return "there" if (wanted or "*") in known else "missing"


def _peer(fleet: Fleet, call: Call) -> str:
    if call.machine.endpoint is None:
        return "unreachable"
    if is_address(call.server):
        return "address"
    return fleet.replication.peer_word(
        call.machine,
        server=call.server,
        authentication=call.authentication,
        thumbprint=call.thumbprint or None,
    )


def _peer_end(fleet: Fleet, call: Call) -> str:
    """What the other host shows of this VM; asked only where it could be reached."""
    peer = fleet.peer(call.machine)
    if peer is None or peer.endpoint is None:
        return "none"
    if call.server and not fleet.hosts[peer.host].is_called(call.server):
        return "none"
    there = peer.endpoint
    if there.mode == "Primary" and there.state == "PreparedForFailover":
        return "prepared"
    if there.mode == "Replica" and there.state == "WaitingForInitialReplication":
        own = fleet.hosts[call.machine.host]
        allowed = there.allowed_primary_server
        # It names an authorization entry, which may hold for a whole domain.
        is_let_in = not allowed or own.is_called(allowed) or AuthorizationEntry(allowed).admits(own.name)
        return "waiting" if is_let_in else "other"
    if there.mode == "Replica" and there.state in ("Replicating", "Resynchronizing"):
        return "replicating"
    return "other"


def _listens(fleet: Fleet, machine: Machine) -> bool:
    copy = fleet.copy(machine)
    return copy.has_tools and copy.phase in (Phase.RUNNING, Phase.SHUTTING_DOWN)
