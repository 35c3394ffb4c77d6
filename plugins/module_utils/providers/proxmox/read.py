# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read one endpoint: all of it in a few calls, and of the VMs that matter their configuration, status and guest."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Container, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    ProviderFault,
    SiteUnreachable,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Host,
    Power,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import keepsake, points, replicas, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, NoSuchVm, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.points import Backup
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.replicas import Origin
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.survey import Survey, take_survey

CONFIG, LAST_SYNC = "config", "last_sync"  # what the journal remembers of a VM
DEEP_WORKERS = 4  # pveproxy and pvedaemon have three workers each
NOT_ASKED = frozenset({Kind.NO_RIGHT, Kind.NODE_SILENT, Kind.NOT_IMPLEMENTED, Kind.AGENT_OFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What the node of one VM shows of it."""

    vm: Vm
    config: wire.Row
    troubles: tuple[str, ...] = ()


@dataclass(slots=True)
class View:
    """One endpoint as it was read, still in two halves: what it showed, and what is made of it for the core."""

    survey: Survey
    started_s: float
    read_at_s: float
    vms: list[Vm] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)  # of promoted copies, by VM id
    backups: list[Backup] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def hosts(self) -> tuple[Host, ...]:
        survey = self.survey
        return tuple(wire.to_host(name, survey.rows, is_online=up) for name, up in survey.nodes.items())


def view(client: Client, *, status: object = None, deep: Container[str] = (), replica_node: str = "") -> View:
    """Read an endpoint. Backups are read where they can be the only replica, or a single VM is looked at closely."""
    started_s = client.clock.now_s()
    survey = take_survey(client, status)
    found = View(survey=survey, started_s=started_s, read_at_s=started_s)
    bulk = [wire.to_vm(row, is_online=survey.is_online(str(row.get("node")))) for row in survey.guests()]
    found.vms = _deepen(client, found, bulk, deep)
    is_close = not (isinstance(deep, Sized) and len(deep) == 0)
    if replica_node in survey.nodes and (is_close or not survey.cluster):
        found.backups = _backups(client, found, replica_node)
    if is_close:
        found.notes += _close_notes(client, survey)
    found.read_at_s = client.clock.now_s()
    return found


def reading(
    client: Client, seen: View, *, node: str, replica_node: str, calls: int, production: Sequence[Vm] | None = None
) -> EndpointReading:
    """Make the core's reading of a view. ``production``: the VMs of the other endpoint, when each stands alone."""
    survey = seen.survey
    vms = replicas.with_replicas(
        seen.vms,
        survey,
        replica_node=replica_node,
        backups=seen.backups,
        production=production,
        origins=seen.origins,
    )
    by_vmid = {wire.whole(vm.handle): vm for vm in seen.vms}
    return EndpointReading(
        address=client.address,
        node=node,
        read_at_s=seen.read_at_s,
        clock_at_s=seen.read_at_s + client.clock_offset_s,
        took_s=seen.read_at_s - seen.started_s,
        calls=calls,
        hosts=seen.hosts(),
        vms=vms,
        api=f"Proxmox VE cluster {survey.cluster}" if survey.cluster else f"Proxmox VE node {survey.asked}",
        notes=(*_quorum_notes(survey), *seen.notes, *replicas.job_findings(survey, by_vmid)),
    )


# --- one VM ----------------------------------------------------------------------------------------------------------


def sheet_of(client: Client, vm: Vm, survey: Survey | None = None) -> Sheet:
    """Read configuration, status and guest of one VM on the node it is on, or was on when it was last seen."""
    path = f"/nodes/{vm.host}/qemu/{vm.handle}"
    config: wire.Row = client.get(f"{path}/config", current=1) or {}
    status: wire.Row = client.get(f"{path}/status/current") or {}
    has_agent = wire.has_agent(config)
    answers = ping(client, path) if has_agent and wire.to_power(status) is Power.ON else None
    guest = wire.to_guest(
        status, has_agent=has_agent, answers=answers, now_s=client.clock.now_s() + client.clock_offset_s
    )
    remembered = {CONFIG: json.dumps(dict(config), sort_keys=True)}
    jobs = survey.jobs if survey is not None else ()
    times = [j.last_sync_at_s for j in jobs if j.vmid == wire.whole(vm.handle) and j.last_sync_at_s is not None]
    if times:
        remembered[LAST_SYNC] = f"{max(times):.0f}"
    deep = wire.deepen(vm, config, status, guest, remembered)
    return Sheet(vm=deep, config=config, troubles=tuple(wire.troubles(status)))


def refresh(client: Client, vm: Vm) -> Vm:
    """Read one copy again, wherever it is now. A copy that is only disks is what the last read of the site showed."""
    if not vm.handle:
        return vm
    try:
        return replicas.as_moved(sheet_of(client, _bare(vm)).vm)
    except NoSuchVm:
        moved = where_is(client, vm)
        if moved is None or moved == vm.host:
            raise
        return replicas.as_moved(sheet_of(client, replace(_bare(vm), host=moved)).vm)


def where_is(client: Client, vm: Vm) -> str | None:
    """Return the node that holds the VM's configuration now."""
    for row in wire.rows_of(client.get("/cluster/resources", type="vm")):
        if row.get("type") == "qemu" and str(row.get("vmid")) == vm.handle:
            return str(row.get("node"))
    return None


def ping(client: Client, path: str) -> bool | None:
    """Ask the guest agent; None when it cannot be asked, which says nothing of the guest."""
    try:
        client.send("POST", f"{path}/agent/ping")
    except VendorFault as fault:
        return None if fault.kind in NOT_ASKED else False
    except (ProviderFault, SiteUnreachable):
        return None
    return True


def _bare(vm: Vm) -> Vm:
    """Under its own number again; it is renamed by the stamps that are read."""
    return replace(vm, id=vm.handle)


# --- inside ----------------------------------------------------------------------------------------------------------


def _deepen(client: Client, found: View, bulk: Sequence[Vm], deep: Container[str]) -> list[Vm]:
    wanted = [vm for vm in bulk if _is_wanted(vm, deep) and found.survey.is_online(vm.host)]
    if not wanted:
        return list(bulk)
    if len(wanted) == 1:
        sheets = [_sheet(client, wanted[0], found)]
    else:
        with ThreadPoolExecutor(max_workers=min(DEEP_WORKERS, len(wanted))) as pool:
            sheets = list(pool.map(lambda vm: _sheet(client, vm, found), wanted))
    for sheet in sheets:
        found.notes += [f"{sheet.vm.name or sheet.vm.id} {trouble}" for trouble in sheet.troubles]
        kept = keepsake.of(sheet.config)
        if kept is not None and (kept.origin or kept.home):
            found.origins[sheet.vm.handle] = Origin(vmid=kept.origin, home=kept.home)
    by_id = {sheet.vm.handle: sheet.vm for sheet in sheets}
    return [by_id.get(vm.handle, vm) for vm in bulk]


def _sheet(client: Client, vm: Vm, found: View) -> Sheet:
    """Read one VM closely; what cannot be read now is unknown, never last known."""
    try:
        return sheet_of(client, vm, found.survey)
    except NoSuchVm:
        found.notes.append(f"{vm.name or vm.id} left {vm.host} while the site was read")
    except VendorFault as fault:
        if fault.kind is Kind.NO_RIGHT:
            found.notes.append(f"{vm.name or vm.id} cannot be read closely: {fault.why}; {fault.next}")
            return Sheet(vm=vm, config={})
        if fault.kind is not Kind.NODE_SILENT:
            raise
        found.notes.append(f"node {vm.host} counts as online, but does not answer: {wire.sanitised(fault.why)}")
    return Sheet(vm=replace(vm, power=Power.UNKNOWN, connection=Connection.DISCONNECTED, nics=()), config={})


def _is_wanted(vm: Vm, deep: Container[str]) -> bool:
    words = (vm.name, vm.id, f"{replicas.REPLICA_ID}{vm.id}")
    return bool(vm.stamps) or any(word and word in deep for word in words)


def _backups(client: Client, found: View, node: str) -> list[Backup]:
    """Read the backups that a node could restore from; a storage that cannot be read is told, not fatal."""
    if not found.survey.is_online(node):
        return []
    backups: list[Backup] = []
    for storage in found.survey.storages(node, "backup"):
        try:
            rows = client.get(f"/nodes/{node}/storage/{storage}/content", content="backup")
        except ProviderFault as fault:
            found.notes.append(f"the backups on {storage} cannot be read: {wire.sanitised(fault.why)}")
            continue
        backups += points.to_backups(wire.rows_of(rows))
    for backup in backups:
        if not backup.is_sound:
            found.notes.append(f"backup {backup.volume} failed its verification: it is no recovery point")
    return backups


def _quorum_notes(survey: Survey) -> list[str]:
    notes = [f"node {name} is offline" for name, is_up in survey.nodes.items() if not is_up]
    if survey.cluster and not survey.is_quorate:
        notes.insert(
            0,
            f"cluster {survey.cluster} has no quorum: nothing can be started or changed before a vote is back, or"
            " `pvecm expected 1` is run on the node that is left (SSH)",
        )
    return notes


def _close_notes(client: Client, survey: Survey) -> list[str]:
    """Return what makes a cluster less ready than it looks; what the account may not read is left out."""
    notes: list[str] = []
    if survey.cluster and survey.is_quorate and len(survey.nodes) == 2 and not _has_third_vote(client):
        notes.append(
            f"cluster {survey.cluster} has two votes and no third (QDevice): when one node dies the other may not start anything"
            " without SSH"
        )
    for row in wire.rows_of(_or_none(client, "/cluster/backup-info/not-backed-up")):
        if row.get("type") in ("qemu", None):
            notes.append(f"{row.get('name') or row.get('vmid')} is in no backup job")
    return notes


def _has_third_vote(client: Client) -> bool:
    """Tell whether a QDevice votes; true where that cannot be read, for then nothing is known to be wrong."""
    shown = _or_none(client, "/cluster/config/qdevice")
    if not isinstance(shown, dict):
        return True
    return bool(shown) and "disconnected" not in str(shown.get("State", "")).lower()


def _or_none(client: Client, path: str) -> t.Any:
    try:
        return client.get(path)
    except ProviderFault:
        return None
