# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas that are no VMs: the disks that storage replication keeps on another node, and backups.

Each is shown as a copy at rest, ``replica:<vmid>``, so that the core sees two copies of every protected VM. An id names a set
of disks: once a configuration was moved onto the replica's disks, that VM is ``replica:<vmid>``, and the disks it left behind
are shown under the bare id, fenced. A clone or restored VM is a VM of its own and takes the place of the disks it came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, RecoveryPoint, ReplicaKind, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.points import (
    Backup,
    backup_points,
    job_point,
    stamped_point,
    vmid_of_point,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.survey import Job, Survey, jobs_by_vm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.wire import whole

REPLICA_ID = "replica:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a promoted copy keeps of the protected VM: its number, and the node it was on."""

    vmid: int
    home: str


def vmid_of(vm: Vm) -> int:
    """Return Proxmox VE's id of the VM that a copy belongs to: of a replica's disks, that of their VM."""
    return whole(vm.id.removeprefix(REPLICA_ID))


# --- both copies of every VM -----------------------------------------------------------------------------------------


def with_replicas(
    vms: Sequence[Vm],
    survey: Survey,
    *,
    replica_node: str,
    backups: Sequence[Backup] = (),
    production: Sequence[Vm] | None = None,
    origins: Mapping[str, Origin] | None = None,
) -> tuple[Vm, ...]:
    """Return the VMs together with the replicas that are none, each once.

    ``production`` are the VMs of another endpoint whose backups these are, with two nodes that stand alone: empty when it does
    not answer, None when there is no other.
    """
    own = [vm for vm in vms if not _is_shell(vm)]
    shown = [as_moved(vm) for vm in own]
    known = origins or {}
    places = _places(shown, [*vms, *(production or ())], known)
    taken = set(places.values())
    every_job, saved = jobs_by_vm(survey.jobs), _by_vm(backups)
    found: list[Vm] = []
    for vm, was in zip(shown, own, strict=True):
        jobs = every_job.get(whole(was.id), [])
        job = next((j for j in jobs if j.target_of(vm.host) == replica_node), next(iter(jobs), None))
        if vm is not was:
            home = known[was.id].home if was.id in known else ""
            found.append(leftover(vm, was, survey, host=home or (job.target_of(vm.host) if job is not None else "")))
        elif whole(vm.id) not in taken and not _is_promoted(vm):
            found += _replica(vm, job, survey, replica_node, saved.get(whole(vm.id), []))
    if production is not None:
        found += _of_elsewhere(saved, production, vms, taken, replica_node)
    return (*(_with_points(vm, survey, places, every_job, saved) for vm in shown), *found)


def _with_points(
    vm: Vm,
    survey: Survey,
    places: Mapping[str, int],
    jobs: Mapping[int, Sequence[Job]],
    saved: Mapping[int, Sequence[Backup]],
) -> Vm:
    """Return a promoted copy with the points of the replica that it was, and the one it was promoted at."""
    if not _is_promoted(vm):
        return vm
    of = places.get(vm.id) or vmid_of(vm)
    own = jobs.get(of, ())
    points = {p.id: p for p in (*backup_points(saved.get(of, ())), *(p for job in own for p in job_point(job)))}
    at = stamped_point(vm.stamps.get(stamps.POINT, ""))
    if at is not None:
        points.setdefault(at.id, at)
    unread = next(
        (survey.unread[n] for job in own if not job.is_read and (n := survey.owners.get(of, "")) in survey.unread), ""
    )
    return replace(
        vm,
        points=tuple(sorted(points.values(), key=lambda p: p.created_at_s)),
        points_note=unread,
        current_point=at.id if at is not None else None,
    )


def as_moved(vm: Vm) -> Vm:
    """Return a VM whose configuration was moved onto its replica's disks under the replica's id."""
    return replace(vm, id=f"{REPLICA_ID}{vm.id}") if vm.stamps.get(stamps.MODE) in ways.OVERWRITING else vm


def leftover(moved: Vm, was: Vm, survey: Survey, *, host: str) -> Vm:
    """Return the disks that a moved configuration left behind: nothing can start them, and nothing may overwrite them."""
    if host in ("", moved.host):
        host = next((node for node in survey.nodes if node != moved.host), "")
    return Vm(
        id=was.id,
        handle="",
        name=was.name,
        host=host,
        power=Power.OFF,
        memory_bytes=was.memory_bytes,
        cpu_count=was.cpu_count,
        disk_bytes=was.disk_bytes,
        datastores=was.datastores,
        stamps={stamps.FENCED: moved.stamps.get(stamps.RUN, "")} if stamps.RUN in moved.stamps else {},
        has_autostart=False,
        has_ha=False,
    )


def _replica(vm: Vm, job: Job | None, survey: Survey, replica_node: str, backups: Sequence[Backup]) -> list[Vm]:
    saved = backup_points(backups)
    if job is None and not saved:
        return []
    host = job.target_of(vm.host) if job is not None else replica_node
    if host == vm.host:  # backups of a VM that lives on the replica node already
        return []
    points = [*saved, *(job_point(job) if job is not None else ())]
    note = survey.unread.get(vm.host, "") if job is not None and not job.is_read else ""
    return [_at_rest(vm, host, points, note)]


def _of_elsewhere(
    saved: Mapping[int, Sequence[Backup]],
    production: Sequence[Vm],
    vms: Sequence[Vm],
    taken: set[int],
    replica_node: str,
) -> list[Vm]:
    """Return replicas that are backups of VMs of the other endpoint; named after its notes where that does not answer."""
    owners = {vmid_of(vm): vm for vm in production if vm.handle}
    here = {vmid_of(vm): vm for vm in vms}
    found = []
    for vmid, own in saved.items():
        owner = owners.get(vmid)
        if not vmid or vmid in taken or (production and owner is None):
            continue
        name = _name_in_notes(own)
        if owner is None:
            owner = Vm(id=str(vmid), handle=str(vmid), name=name, host="", power=Power.UNKNOWN)
        # Two nodes that stand alone count each for itself: the same number may be of another VM
        is_anothers = bool(name) and owner.name not in name
        is_mixed = vmid in here and (not name or here[vmid].name in (owner.name, name))
        if not is_anothers and not is_mixed:
            found.append(_at_rest(owner, replica_node, backup_points(own), ""))
    return found


def _by_vm(backups: Iterable[Backup]) -> dict[int, list[Backup]]:
    found: dict[int, list[Backup]] = {}
    for backup in backups:
        found.setdefault(backup.vmid, []).append(backup)
    return found


def _name_in_notes(backups: Iterable[Backup]) -> str:
    """Proxmox VE writes the guest's name into a backup's notes unless told otherwise."""
    newest = max(backups, key=lambda b: b.made_at_s, default=None)
    return newest.notes.split("\n")[0].strip() if newest is not None else ""


def _at_rest(vm: Vm, host: str, points: Iterable[RecoveryPoint], note: str) -> Vm:
    return Vm(
        id=f"{REPLICA_ID}{vm.id}",
        handle="",
        name=vm.name,
        host=host,
        power=Power.OFF,
        memory_bytes=vm.memory_bytes,
        cpu_count=vm.cpu_count,
        disk_bytes=vm.disk_bytes,
        datastores=vm.datastores,
        points=tuple(sorted(points, key=lambda p: p.created_at_s)),
        points_note=note,
        replica_kind=ReplicaKind.VOLUMES,
        has_autostart=False,
        has_ha=False,
    )


def _places(shown: Sequence[Vm], every: Sequence[Vm], origins: Mapping[str, Origin]) -> dict[str, int]:
    """Return whose replica's place each promoted copy takes that is a VM of its own, by its id."""
    found = {}
    for vm in shown:
        if not _is_promoted(vm) or vm.id.startswith(REPLICA_ID):
            continue
        told = origins[vm.id].vmid if vm.id in origins else 0
        of = told or vmid_of_point(vm.stamps.get(stamps.POINT, ""))
        namesake = next((whole(v.id) for v in every if v.name == vm.name and v.id != vm.id and not _is_promoted(v)), 0)
        if of or namesake:
            found[vm.id] = of or namesake
    return found


def _is_promoted(vm: Vm) -> bool:
    return stamps.RUN in vm.stamps or stamps.PHASE in vm.stamps


def _is_shell(vm: Vm) -> bool:
    """Tell a shell VM, which only lends a replica's disks to be cloned; the clone bears its stamps until it gets its own."""
    clone = vm.stamps.get(tags.SHELL)
    return clone is not None and clone != vm.id


def job_findings(survey: Survey, vms: Mapping[int, Vm]) -> list[str]:
    """Say what is wrong with replication, in words for a technician."""
    found = []
    for job in survey.jobs:
        vm = vms.get(job.vmid)
        name = f"{vm.name or job.vmid}" if vm is not None else str(job.vmid)
        is_held = vm is not None and bool({stamps.RUN, stamps.FENCED} & set(vm.stamps))
        if job.is_going:
            found.append(f"replication {job.id} of {name} is being removed")
        elif not job.is_enabled and not is_held:
            found.append(f"replication {job.id} of {name} is disabled: its replica grows old")
        if job.failures or job.error:
            times = f"{job.failures} time{'' if job.failures == 1 else 's'}"
            found.append(f"replication {job.id} of {name} failed {times}: {job.error or 'no reason given'}")
        if job.is_read and job.last_sync_at_s is None and job.is_enabled and not is_held:
            found.append(f"replication {job.id} of {name} has never run to its end")
    return found
