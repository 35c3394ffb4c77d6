# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One Hyper-V host: switches, its configuration as a replica server, certificates, the people who may sign on."""

from __future__ import annotations

import ipaddress
import uuid
from dataclasses import dataclass, field
from enum import StrEnum


class Rights(StrEnum):
    """What a signed-on person may do with Hyper-V."""

    FULL = "full"  # Hyper-V Administrators
    READER = "reader"  # sees everything, changes nothing
    UNSEEN = "unseen"  # Get-VM answers with nothing at all
    DENIED = "denied"  # Get-VM answers with PermissionDenied


@dataclass(slots=True)
class Switch:
    name: str
    kind: str = "External"  # External | Internal | Private
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(slots=True)
class AuthorizationEntry:
    """From whom replication is accepted; ``*`` is every server."""

    allowed_primary_server: str
    storage_location: str = r"D:\Replica"
    trust_group: str = "site"

    @property
    def is_for_all(self) -> bool:
        return self.allowed_primary_server == "*"

    def admits(self, server: str) -> bool:
        name, wanted = server.casefold(), self.allowed_primary_server.casefold()
        return wanted == "*" or name == wanted or (wanted.startswith("*.") and name.endswith(wanted[1:]))


@dataclass(slots=True)
class ReplicaServer:
    """What Get-VMReplicationServer shows, and the firewall's rule for the listener."""

    is_enabled: bool = True
    authentication: str = "Certificate"  # Kerberos | Certificate | CertificateAndKerberos
    thumbprint: str = ""
    kerberos_port: int = 80
    certificate_port: int = 443
    storage_location: str = r"D:\Replica"
    entries: list[AuthorizationEntry] = field(default_factory=lambda: [AuthorizationEntry("*")])
    open_listeners: set[str] = field(default_factory=lambda: {"Certificate", "Kerberos"})

    def port(self, authentication: str) -> int:
        return self.certificate_port if authentication == "Certificate" else self.kerberos_port


@dataclass(slots=True)
class Host:
    """One host that stands alone; its power and its memory are the world's business."""

    name: str  # the FQDN; the world's host has the same name
    memory_bytes: int
    booted_at_s: float
    cpus: int = 16
    switches: dict[str, Switch] = field(default_factory=dict)
    server: ReplicaServer = field(default_factory=ReplicaServer)
    thumbprints: set[str] = field(default_factory=set)  # certificates with a private key in LocalMachine\My
    is_domain_joined: bool = False
    rights: dict[str, Rights] = field(default_factory=dict)  # by user, lower case, without a domain
    default_rights: Rights = Rights.FULL
    culture: str = "en-US"
    clock_skew_s: float = 0.0
    utc_offset_s: int = 7200  # of its time zone: what a script forgets to turn into UTC is seen
    disk_bytes: int = 4 * 2**40

    @property
    def computer_name(self) -> str:
        """The NetBIOS name, which every object's ComputerName shows."""
        return self.name.partition(".")[0].upper()[:15]

    def rights_of(self, user: str) -> Rights:
        bare = user.rpartition("\\")[2].partition("@")[0].casefold()
        return self.rights.get(bare, self.default_rights)

    def switch(self, name: str) -> Switch | None:
        """Find a switch by its name, whatever the case."""
        return next((s for s in self.switches.values() if s.name.casefold() == name.casefold()), None)

    def is_called(self, name: str) -> bool:
        """Whether a DNS or NetBIOS name is this host's."""
        return name.casefold() in (self.name.casefold(), self.computer_name.casefold())


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def refusal(source: Host, target: Host | None, *, authentication: str, thumbprint: str, is_up: bool) -> str:
    """Say in one word why the target takes no replication from the source, or ``ready``.

    The words are those of the column ``peer`` in states.json.
    """
    if target is None or not is_up:
        return "unreachable"
    if authentication == "Certificate" and thumbprint not in source.thumbprints:
        return "unknown_certificate"
    if authentication == "Kerberos" and not (source.is_domain_joined and target.is_domain_joined):
        return "no_domain"
    if not target.server.is_enabled:
        return "not_a_replica_server"
    if authentication not in target.server.open_listeners:
        return "firewall"
    if authentication not in target.server.authentication:
        return "authentication"
    if not any(entry.admits(source.name) for entry in target.server.entries):
        return "no_entry"
    return "ready"


PEER_WORDS = (
    "ready",
    "unreachable",
    "unknown_certificate",
    "no_domain",
    "not_a_replica_server",
    "firewall",
    "authentication",
    "no_entry",
)
