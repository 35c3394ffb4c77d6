# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading replication: the relationships, their statistics, the replica server, a try of the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ansible_collections.ferragosto.dr.extensions.twin.hyperv import messages
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.cmdlets_common import (
    FAILED,
    INVALID,
    NOT_FOUND,
    failure,
    is_pattern,
    machines,
    refuse,
    require_sight,
    visible,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.context import Context
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.host import is_address, refusal
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.machine import Machine
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.objects_replication import (
    authorization_entry,
    vm_replication,
    vm_replication_health,
    vm_replication_server,
)
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import PowerShellError
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.operators import wildcard
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.registry import Bound, cmdlet
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.values import EnumValue, PSObject
from ansible_collections.ferragosto.dr.extensions.twin.hyperv.relation import Endpoint


def _replications(
    bound: Bound, show: Callable[[Context, Machine, Endpoint], PSObject]
) -> Iterator[PSObject | PowerShellError]:
    """Show the relationships of the VMs named, or of all; of these those that the filters let through."""
    context = require_sight(bound)
    context.fleet.tick()
    if bound.has("VM") or bound.has("VMName"):
        names = bound.get("VMName")
        is_exact = bound.has("VM") or (isinstance(names, list) and not any(is_pattern(str(name)) for name in names))
        found: Iterator[Machine | PowerShellError] = machines(bound)
    else:
        is_exact, found = False, iter(visible(context))
    for machine in found:
        if isinstance(machine, PowerShellError):
            yield machine
        elif machine.endpoint is not None:
            shown = show(context, machine, machine.endpoint)
            if _filtered(bound, shown):
                yield shown
        elif is_exact:
            yield failure(bound, NOT_FOUND, "not_found_object", target=machine.name)


def _filtered(bound: Bound, shown: PSObject) -> bool:
    for parameter in ("ReplicationState", "ReplicationHealth", "ReplicationMode", "ReplicationRelationshipType"):
        wanted = bound.get(parameter)
        if isinstance(wanted, EnumValue) and shown.get(parameter) != wanted:
            return False
    for parameter in ("ReplicaServerName", "PrimaryServerName"):
        text = bound.get(parameter)
        if text and not wildcard(str(text)).fullmatch(str(shown.get(parameter))):
            return False
    refuse(bound, "TrustGroup")
    return True


@cmdlet("Get-VMReplication")
def get_vm_replication(bound: Bound) -> Iterator[object]:
    yield from _replications(bound, vm_replication)


@cmdlet("Measure-VMReplication")
def measure_vm_replication(bound: Bound) -> Iterator[object]:
    yield from _replications(bound, vm_replication_health)


@cmdlet("Get-VMReplicationServer")
def get_vm_replication_server(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    yield vm_replication_server(context, context.host)


@cmdlet("Get-VMReplicationAuthorizationEntry")
def get_vm_replication_authorization_entry(bound: Bound) -> Iterator[object]:
    context = require_sight(bound)
    for entry in context.host.server.entries:
        wanted = {
            "AllowedPrimaryServer": entry.allowed_primary_server,
            "ReplicaStorageLocation": entry.storage_location,
            "TrustGroup": entry.trust_group,
        }
        if all(str(bound.get(name, value)).casefold() == value.casefold() for name, value in wanted.items()):
            yield authorization_entry(context.host, entry)


@cmdlet("Test-VMReplicationConnection")
def check_vm_replication_connection(bound: Bound) -> Iterator[object]:
    """Try the replica server from here; says so in the session's language, or fails."""
    context = require_sight(bound)
    name, said = str(bound.get("ReplicaServerName")), bound.get("AuthenticationType")
    authentication = said.name if isinstance(said, EnumValue) else str(said)
    thumbprint = str(bound.get("CertificateThumbprint") or "").replace(" ", "").upper()
    if is_address(name):
        raise failure(bound, INVALID, "address", server=name)
    if authentication == "Certificate" and not thumbprint:
        raise failure(bound, INVALID, "no_thumbprint")
    fleet, target = context.fleet, context.fleet.find_host(name)
    is_up = target is not None and fleet.is_up(target.name) and fleet.is_up(context.host.name)
    word = refusal(context.host, target, authentication=authentication, thumbprint=thumbprint, is_up=is_up)
    if word == "ready" and target is not None and bound.get("ReplicaServerPort") != target.server.port(authentication):
        word = "unreachable"
    if word != "ready":
        key = "unreachable" if word == "firewall" else word
        raise failure(bound, FAILED, key, server=name, thumbprint=thumbprint)
    yield messages.text("connected", context.culture, server=name)
