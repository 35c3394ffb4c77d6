# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Migration: to a replica's node with a last run and the jobs turned round, or by copying the disks."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, disks_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.machines import Process
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Body, Task, TaskFailed
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import DiskSet
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_ONE = "/nodes/{node}/qemu/{vmid}"


@ROUTES.add("GET", f"{_ONE}/migrate")
def preconditions(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    call.require(f"/vms/{call.vmid}", "VM.Migrate")
    guest = datacenter.guest(call.vmid, call.node)
    targets = {job.target for job in datacenter.replication.jobs_of(guest.vmid)}
    disks = []
    for key, volume_id in disks_of(guest.config).items():
        volume = datacenter.shelf.volumes.get((guest.node, volume_id))
        disks.append(
            {
                "volid": volume_id,
                "drivename": key,
                "size": volume.size_bytes if volume is not None else 0,
                "cdrom": 0,
                "is_attached": 1,
                "is_unused": 0,
                "is_vmstate": 0,
                "is_tpmstate": 0,
                "replicate": 1,
                "shared": 0,
            }
        )
    is_running = datacenter.machines.of(guest) is not None
    others = [n for n in datacenter.online() if n != call.node]
    return {
        "running": int(is_running),
        "allowed_nodes": others,
        "not_allowed_nodes": {},
        "local_disks": disks,
        "local_resources": [],
        "mapped-resources": [],
        "mapped-resource-info": {},
        "has-dbus-vmstate": 1,
        "dependent-ha-resources": [],
        **({"replication_targets": sorted(targets)} if targets else {}),
    }


@ROUTES.add("POST", f"{_ONE}/migrate")
def migrate(datacenter: Datacenter, call: Call) -> str:
    call.require(f"/vms/{call.vmid}", "VM.Migrate")
    target = str(call.params["target"])
    datacenter.node(target)
    if target == call.node:
        raise PveError(400, "Parameter verification failed.", {"target": "target is local node."})
    datacenter.require_quorum(call.node)
    guest = datacenter.guest(call.vmid, call.node)
    guest.require_unlocked()
    is_online = call.flag("online")
    if datacenter.machines.of(guest) is not None:
        if not is_online:
            raise PveError(500, "can't migrate running VM without --online")
        jobs = datacenter.replication.jobs_of(guest.vmid)
        if jobs and target not in {job.target for job in jobs} and not call.flag("force"):
            raise PveError(
                500,
                f"Cannot live-migrate replicated VM to node '{target}' - not a replication target. "
                "Use 'force' to override.",
            )
    if datacenter.ha.manages(guest.vmid):
        return datacenter.ha.request_migration(guest, target, call)
    return begin(datacenter, guest, target, with_local_disks=call.flag("with-local-disks"), call=call)


def begin(
    datacenter: Datacenter, guest: Guest, target: str, *, with_local_disks: bool, call: Call | None = None
) -> str:
    """Start the qmigrate task; a failure inside it is "migration aborted", with the reason in its log."""

    def body(task: Task) -> Body:
        guest.require_unlocked()
        began_s = datacenter.now_s()
        try:
            yield from _moving(datacenter, task, guest, target, with_local_disks=with_local_disks)
        except PveError as failed:
            lasted_s = int(datacenter.now_s() - began_s)
            task.say(f"ERROR: migration aborted (duration 00:00:{lasted_s % 60:02}): {failed.text}")
            raise TaskFailed("migration aborted") from None
        return 0

    return datacenter.tasks.start(guest.node, "qmigrate", guest.vmid, body, call)


def _moving(
    datacenter: Datacenter, task: Task, guest: Guest, target: str, *, with_local_disks: bool
) -> t.Generator[float, None, None]:
    source_node, timing = guest.node, datacenter.timing
    if not datacenter.node_is_up(target):
        address = datacenter.nodes[target].address
        raise PveError(500, f"Can't connect to destination address using public key: root@{address}")
    jobs = datacenter.replication.jobs_of(guest.vmid)
    if any(job.remove_job for job in jobs):
        raise PveError(500, "refusing to migrate replicated VM whose replication job is marked for removal")
    is_running = datacenter.machines.of(guest) is not None
    job = next((job for job in jobs if job.target == target), None)
    disks = disks_of(guest.config)
    if is_running and disks and not with_local_disks:
        raise PveError(500, "can't live migrate attached local disks without with-local-disks option")
    for volume_id in disks.values():
        datacenter.shelf.storage(volume_id.partition(":")[0], target)
    task.say(f"starting migration of VM {guest.vmid} to node '{target}' ({datacenter.nodes[target].address})")
    guest.config["lock"] = "migrate"
    try:
        if job is not None:
            task.say("start replication job")
            yield timing.migrate_s / 2
            error = datacenter.replication.run_now(job.id)
            if error is not None:
                raise PveError(500, error)
            task.say("end replication job")
            yield timing.migrate_s / 2
        else:
            size = datacenter.shelf.sizes(guest.config, source_node)
            yield timing.migrate_s + timing.copying_s(size, timing.clone_bytes_s)
        if not datacenter.node_is_up(target):
            raise PveError(500, f"command '/usr/bin/ssh root@{datacenter.nodes[target].address}' failed: exit code 255")
    finally:
        guest.config.pop("lock", None)
    arrive(datacenter, guest, target)
    task.say("migration finished successfully")


def arrive(datacenter: Datacenter, guest: Guest, target: str) -> None:
    """The guest, on or off, is at the target now: on the replica's disks, or with its own brought along."""
    world, source_node = datacenter.world, guest.node
    source = datacenter.disk_set_of(guest)
    process = datacenter.machines.running.pop((source_node, guest.vmid), None)
    there = datacenter.shelf.disk_sets.get((guest.vmid, target))
    jobs = [job for job in datacenter.replication.jobs_of(guest.vmid) if job.target == target]
    if jobs and there is not None:
        world.handed_over(source.copy_id, there.copy_id)
        # both hold the same now; what is written from here on is the target's own
        source.came = there.came = world.copy(there.copy_id).data
        copy_id = there.copy_id
    else:
        _bring_disks(datacenter, guest, source, target)
        world.observe(source.copy_id, host=target)
        copy_id = source.copy_id
    guest.node = target
    for job in jobs:
        # transfer_replication_state and switch_replication_job_target: the job keeps its id
        job.source, job.target = target, source_node
        datacenter.replication.carry_state(job, source_node, target)
    if process is not None:
        _go_on(datacenter, guest, process, copy_id)


def _go_on(datacenter: Datacenter, guest: Guest, process: Process, copy_id: str) -> None:
    process.node, process.copy_id = guest.node, copy_id
    datacenter.machines.running[(guest.node, guest.vmid)] = process


def _bring_disks(datacenter: Datacenter, guest: Guest, disks: DiskSet, target: str) -> None:
    shelf, source_node = datacenter.shelf, guest.node
    shelf.disk_sets.pop((disks.vmid, source_node), None)
    for volume in shelf.on(source_node, disks.vmid):
        shelf.remove(volume)
        volume.node = target
        shelf.volumes[(target, volume.id)] = volume
    disks.node = target
    disks.replication_snapshots.clear()
    shelf.disk_sets[(disks.vmid, target)] = disks


@ROUTES.add("POST", f"{_ONE}/remote_migrate")
def migrate_to_another_cluster(datacenter: Datacenter, call: Call) -> str:
    call.require(f"/vms/{call.vmid}", "VM.Migrate")
    guest = datacenter.guest(call.vmid, call.node)
    guest.require_unlocked()
    if datacenter.replication.jobs_of(guest.vmid):
        raise PveError(500, "cannot remote-migrate replicated VM")
    if datacenter.ha.manages(guest.vmid):
        raise PveError(500, "cannot migrate HA-managed VM to remote cluster")

    def body(task: Task) -> Body:
        yield datacenter.timing.config_s
        # the twin's datacenters do not speak to each other: the copying itself is not played
        raise TaskFailed("remote: tunnel failed: 500 Can't connect to target endpoint")

    return datacenter.tasks.start(call.node, "qmigrate", guest.vmid, body, call)
