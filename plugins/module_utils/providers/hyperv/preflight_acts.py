# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the other host needs before a replication can be turned towards it: asked before the first step, told in words.

Turning it is not one command but several on two hosts. What would make the third of them fail must be known before the first.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.legs import Legs
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts.script import Script
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

CERTIFICATE, KERBEROS = "Certificate", "Kerberos"
ANYBODY = "*"
LISTENERS = {KERBEROS: "VIRT-HVRHTTPL-In-TCP-NoScope", CERTIFICATE: "VIRT-HVRHTTPSL-In-TCP-NoScope"}
TRY_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A host as a replica server. ``allowed`` are the primary servers of its authorization entries."""

    is_enabled: bool
    authentication: str
    is_any_allowed: bool
    thumbprint: str
    http_port: int
    https_port: int
    allowed: tuple[str, ...]
    open_rules: tuple[str, ...]
    is_firewall_read: bool
    switches: tuple[str, ...]
    memory_free_bytes: int  # -1: not told
    name: str  # its full name, by which certificates and authorization entries know it

    def entry_for(self, server: str) -> str | None:
        """Return the entry that lets a primary server in, None where there is none."""
        if self.is_any_allowed or ANYBODY in self.allowed:
            return ANYBODY
        return next((entry for entry in self.allowed if wire.admits(entry, server)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How one host replicates to the other: what is said on each of them."""

    server: str  # the receiving host's name
    thumbprint: str  # of the sending host's certificate; "" with Kerberos
    entry: str  # the receiving host's authorization entry for the sending one; "" where every server is allowed

    def as_replica(self) -> tuple[Script, dict[str, t.Any]]:
        """Return what is run at the receiving host."""
        if not self.entry:
            return scripts.AS_REPLICA, {}
        return scripts.AS_REPLICA_BY_ENTRY, {"entry": self.entry}

    def reverse(self) -> tuple[Script, dict[str, t.Any]]:
        """Return what is run at the sending host."""
        if not self.thumbprint:
            return scripts.REVERSE, {"server": self.server}
        return scripts.REVERSE_BY_CERTIFICATE, {"server": self.server, "thumbprint": self.thumbprint}


def receiver(client: Client) -> Receiver:
    row = client.run(scripts.RECEIVER)
    return Receiver(
        is_enabled=bool(row.get("is_enabled")),
        authentication=str(row.get("authentication") or ""),
        is_any_allowed=bool(row.get("is_any_allowed")),
        thumbprint=str(row.get("thumbprint") or ""),
        http_port=wire.whole(row.get("http_port")),
        https_port=wire.whole(row.get("https_port")),
        allowed=wire.words(row.get("allowed")),
        open_rules=wire.words(row.get("open_rules")),
        is_firewall_read=bool(row.get("is_firewall_read")),
        switches=wire.words(row.get("switches")),
        memory_free_bytes=wire.whole(row.get("memory_free", -1)),
        name=str(row.get("fqdn") or ""),
    )


def terms(
    legs: Legs, source: Machine, target: Machine, *, authentication: str, what: str, sends: Receiver | None = None
) -> Terms:
    """Return how ``source`` will replicate to ``target``; raise Refused where it could not. ``sends`` is what its host showed.

    In the end the source's host tries to reach the target's, as a replication will.
    """
    kind = authentication or KERBEROS
    shown, sending = receiver(target.client), sends or receiver(source.client)
    server, sender = _name_of(legs.spec(target), shown), _name_of(legs.spec(source), sending)
    _require_name(server, target, what)
    _require_server(shown, target, kind, what)
    entry = shown.entry_for(sender)
    if entry is None:
        raise Refused(
            what=what,
            why=f"{target.host} takes replication from {_say(shown.allowed)} only, and {sender} is none of them",
            next=f"on {target.host}: New-VMReplicationAuthorizationEntry -AllowedPrimaryServer {sender}"
            f" -ReplicaStorageLocation <path> -TrustGroup <name>, {AGAIN}",
        )
    thumbprint = _thumbprint(legs, source, sending, what) if kind == CERTIFICATE else ""
    port = shown.https_port if kind == CERTIFICATE else shown.http_port
    fault = _try(source, server, port, thumbprint)
    if fault is not None:
        raise _unreachable(shown, source, target, server=server, port=port, kind=kind, what=what, fault=fault)
    return Terms(server=server, thumbprint=thumbprint, entry="" if entry == ANYBODY else entry)


def require_switches(target: Machine, shown: Receiver, wanted: Iterable[str], what: str) -> None:
    """Raise where a VM could not be connected as it was: better now than with its service down."""
    missing = sorted({name for name in wanted if name and not any(wire.is_same(name, one) for one in shown.switches)})
    if missing:
        raise Refused(
            what=what,
            why=f"{target.host} has no virtual switch {_say(missing)}, to which the VM is to be connected",
            next=f"make it (New-VMSwitch), or name another one in dr_site (network), {AGAIN}",
        )


def require_memory(target: Machine, shown: Receiver, sheet: Sheet, what: str) -> None:
    """Raise where the VM could not start: it is off on both hosts by the time that would be seen."""
    if 0 <= shown.memory_free_bytes < sheet.memory_bytes and sheet.power is Power.OFF:
        raise Refused(
            what=what,
            why=f"{target.host} has {shown.memory_free_bytes / 2**30:.1f} GiB of memory free, the VM starts with"
            f" {sheet.memory_bytes / 2**30:.1f} GiB",
            next=f"turn off what may be off on {target.host}, {AGAIN}; the VM goes on serving where it is",
        )


def _name_of(spec: EndpointSpec, shown: Receiver) -> str:
    """Return a host's name as a replica server: what the inventory says of it, in full where that is known."""
    if spec.replica_server:
        return spec.replica_server
    names = [name for name in (spec.node, shown.name) if name and not _is_address(name)]
    return next((name for name in names if "." in name), names[0] if names else spec.node)


def _require_name(server: str, target: Machine, what: str) -> None:
    if server and not _is_address(server):
        return
    raise Refused(
        what=what,
        why=f"Hyper-V Replica needs the DNS name of {target.host}, and dr_site knows it as {server or 'nothing'!r}",
        next="set replica_server (or node) of that endpoint to the host's DNS name",
    )


def _require_server(shown: Receiver, target: Machine, kind: str, what: str) -> None:
    host = target.host
    if not shown.is_enabled:
        raise Refused(
            what=what,
            why=f"{host} is not a replica server",
            next=f"on {host}: Set-VMReplicationServer -ReplicationEnabled $true -AllowedAuthenticationType {kind}, and open its"
            f" listener in the firewall, {AGAIN}",
        )
    if kind not in shown.authentication:
        raise Refused(
            what=what,
            why=f"as a replica server {host} takes {shown.authentication or 'nothing'}, the VM replicates with {kind}",
            next=f"on {host}: Set-VMReplicationServer -AllowedAuthenticationType CertificateAndKerberos, {AGAIN}",
        )


def _thumbprint(legs: Legs, source: Machine, sending: Receiver, what: str) -> str:
    """With certificates -Reverse must be given one, also where a thumbprint is stored already."""
    found = wire.to_thumbprint(legs.spec(source).replica_thumbprint or "") or sending.thumbprint
    if found:
        return found
    raise Refused(
        what=what,
        why=f"the VM replicates with certificates, and that of {source.host} is not known",
        next=f"set replica_thumbprint of that endpoint in dr_site (on {source.host}: Get-ChildItem Cert:\\LocalMachine\\My),"
        f" {AGAIN}",
    )


def _try(source: Machine, server: str, port: int, thumbprint: str) -> ProviderFault | None:
    try:
        source.client.run(
            scripts.TRY_CONNECTION, within_s=TRY_WITHIN_S, server=server, port=port, thumbprint=thumbprint
        )
    except ProviderFault as fault:
        return fault
    return None


def _unreachable(
    shown: Receiver,
    source: Machine,
    target: Machine,
    *,
    server: str,
    port: int,
    kind: str,
    what: str,
    fault: ProviderFault,
) -> Refused:
    """Say why a host cannot be replicated to. A rule that is off does by itself no harm: another one may let replication in."""
    why = f"{source.host} cannot replicate to {server} now: {fault.why}"
    if shown.is_firewall_read and LISTENERS[kind] not in shown.open_rules:
        return Refused(
            what=what,
            why=f"{why}; the firewall of {target.host} is closed for replication ({LISTENERS[kind]})",
            next=f"on {target.host}: Enable-NetFirewallRule -Name {LISTENERS[kind]}, {AGAIN}",
        )
    return Refused(
        what=what,
        why=why,
        next=f"on {source.host}: Test-VMReplicationConnection -ReplicaServerName {server} -ReplicaServerPort {port}"
        f" -AuthenticationType {kind} says why; {AGAIN}",
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _say(names: Iterable[str]) -> str:
    return ", ".join(names) or "nobody"
