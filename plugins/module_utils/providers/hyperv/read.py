# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read a host in one process on it, and one VM again in another."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    Datastore,
    EndpointReading,
    Host,
    Power,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    faults,
    readiness,
    replicas,
    survey,
    wire,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import Survey


def require_node(client: Client, seen: Survey, *nodes: str) -> None:
    """Refuse a node that this host is not: acts on one host that are meant for the other make two copies run."""
    for node in nodes:
        # A full name is compared with the full name: hosts of two domains may share their first label
        names = (seen.fqdn,) if "." in node and "." in seen.fqdn else (seen.fqdn, seen.computer)
        if node and not any(wire.same_name(node, name) for name in names):
            raise BadInput(
                what=f"find the host {node!r}",
                why=f"{client.address} is the host {seen.fqdn or seen.computer}",
                next="correct 'node' or 'api_host' in dr_site: node is the host's computer name or its full DNS name",
            )


def reading(
    client: Client,
    seen: Survey,
    other: Survey | None,
    *,
    node: str,
    mine: EndpointSpec,
    theirs: EndpointSpec,
    started_s: float,
    calls: int,
) -> EndpointReading:
    """Make the core's reading of a host; ``other`` is the site's other host, None where it does not answer."""
    read_at_s = client.clock.now_s()
    vms = replicas.vms_of(seen, other)
    ids = {vm.handle: vm.id for vm in vms}
    found = readiness.findings(seen, other, mine, theirs)
    return EndpointReading(
        address=client.address,
        node=node,
        read_at_s=read_at_s,
        clock_at_s=read_at_s + seen.offset_s,
        took_s=read_at_s - started_s,
        calls=calls,
        hosts=(to_host(seen),),
        vms=vms,
        api=f"Hyper-V on Windows {seen.system}",
        notes=tuple(found),
        right=faults.right_of(client.spec),
        concerns={note: ids[guid] for note, guid in found.items() if guid in ids},
    )


def to_host(seen: Survey) -> Host:
    assigned = sum(sheet.memory_assigned_bytes for sheet in seen.sheets if sheet.power is Power.ON)
    used = seen.memory_bytes - seen.memory_free_bytes if seen.memory_free_bytes is not None else assigned
    return Host(
        name=seen.name,
        connection=Connection.CONNECTED,
        memory_bytes=seen.memory_bytes,
        memory_used_bytes=max(0, used),
        cpu_count=seen.cpu_count,
        datastores=tuple(
            Datastore(name=one.name.upper(), free_bytes=one.free_bytes, capacity_bytes=one.size_bytes)
            for one in seen.volumes
        ),
        networks=seen.switches,
    )


def refresh(client: Client, vm: Vm) -> Vm:
    """Read one VM again on its host; its line of data is told by its stamps, or as it was read."""
    sheet = survey.look(client, vm.handle)
    return replicas.again(sheet, vm, names=(vm.host,), offset_s=client.clock_offset_s)
