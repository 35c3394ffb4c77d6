# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""pvesr: jobs of the cluster, their state on the node that owns the guest, and the runs that overwrite the replica."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.guests import Guest, disks_of, options_of
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schedule import next_event_s
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.volumes import DiskSet, Volume
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import PveError
from ansible_collections.ferragosto.dr.extensions.twin.world.model import DataState, Power, Role

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

LOCK = "file-replication_cfg"
DEFAULT_SCHEDULE = "*/15"
_RETRY_S, _LAST_RETRY_S, _RETRIES = 300.0, 1800.0, 3


@dataclass(slots=True, kw_only=True)
class Job:
    id: str  # "100-0"
    guest: int
    target: str
    source: str | None
    schedule: str | None = None
    rate: float | None = None
    comment: str = ""
    is_disabled: bool = False
    remove_job: str | None = None  # local | full
    guest_as_text: bool = False  # PVE's own slip after it swapped the direction of a stolen guest's job

    @property
    def number(self) -> int:
        return int(self.id.rpartition("-")[2])


@dataclass(slots=True, kw_only=True)
class JobState:
    """What one node's pve-replication-state.json knows of a job."""

    last_sync: float = 0.0
    last_try: float = 0.0
    fail_count: int = 0
    error: str = ""
    duration: float | None = None
    has_run: bool = False
    log: list[str] = field(default_factory=list)  # of the last run only


@dataclass(slots=True, kw_only=True)
class Run:
    job_id: str
    node: str
    pid: int
    started_at_s: float
    ends_at_s: float
    snapshot: str
    data: DataState


class Replication:
    def __init__(self, datacenter: Datacenter) -> None:
        self._datacenter, self._world = datacenter, datacenter.world
        self.jobs: dict[str, Job] = {}
        self.states: dict[tuple[str, str], JobState] = {}  # (node, job id)
        self.runs: dict[str, Run] = {}  # node -> its one run: jobs of a node run one after another
        self.failing: dict[str, str] = {}  # a fault: job id -> error of its runs
        self._pids = itertools.count(9001)
        self._looks_at_s = 0.0

    # --- questions ---------------------------------------------------------------------------------------------------

    def jobs_of(self, vmid: int) -> list[Job]:
        return [job for job in self.jobs.values() if job.guest == vmid]

    def job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise PveError(500, f"no such replication job '{job_id}'")
        return self.jobs[job_id]

    def state(self, node: str, job_id: str) -> JobState:
        return self.states.setdefault((node, job_id), JobState())

    def jobs_on(self, node: str) -> list[Job]:
        """The jobs whose guests lie on this node; a job whose guest came here by other means is turned round."""
        found = []
        for job in sorted(self.jobs.values(), key=lambda j: j.id):
            guest = self._datacenter.guests.get(job.guest)
            if guest is None or guest.node != node:
                continue
            if job.source is not None and job.source != node:
                if job.target == node:
                    job.target = job.source
                job.guest_as_text = True
            job.source = node
            found.append(job)
        return found

    def next_sync(self, node: str, job: Job) -> float:
        if job.remove_job:
            return 1
        state = self.state(node, job.id)
        if state.fail_count:
            if not self._datacenter.node_is_up(job.target):
                return 0
            late = _RETRY_S * state.fail_count if state.fail_count <= _RETRIES else _LAST_RETRY_S
            return state.last_try + late
        return next_event_s(job.schedule or DEFAULT_SCHEDULE, state.last_try)

    def row(self, node: str, job: Job) -> dict[str, t.Any]:
        """One job as GET /nodes/{node}/replication shows it."""
        state, run = self.state(node, job.id), self.runs.get(node)
        row: dict[str, t.Any] = {
            **config_row(job),
            "vmtype": "qemu",
            "last_sync": int(state.last_sync),
            "last_try": int(state.last_try),
            "next_sync": int(self.next_sync(node, job)),
            "fail_count": state.fail_count,
        }
        if job.guest_as_text:
            row["guest"] = str(job.guest)
        if state.duration is not None:
            row["duration"] = round(state.duration, 6)
        if state.error:
            row["error"] = state.error
        if run is not None and run.job_id == job.id:
            row["pid"] = run.pid
        return row

    def volumes(self, guest: Guest) -> list[Volume]:
        """What a job of this guest carries; raises for a storage that cannot replicate."""
        shelf, found = self._datacenter.shelf, []
        for key, volume_id in disks_of(guest.config).items():
            volume = shelf.volumes.get((guest.node, volume_id))
            if volume is None or options_of(guest.config[key]).get("replicate") == "0":
                continue
            storage = shelf.storages[volume.storage]
            if storage.is_shared or volume.owner != guest.vmid:
                continue
            if not storage.can_replicate:
                raise PveError(500, f"missing replicate feature on volume '{volume_id}'")
            found.append(volume)
        return found

    # --- life --------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        now_s = self._datacenter.now_s()
        for node, run in list(self.runs.items()):
            if self._datacenter.nodes[node].is_dead:
                del self.runs[node]
            elif run.ends_at_s <= now_s and "replication" not in self._datacenter.trouble.stuck_tasks:
                self._finish(self.runs.pop(node))
                self._begin_due(node, now_s)
        if now_s >= self._looks_at_s:
            self._looks_at_s = now_s + self._datacenter.timing.scheduler_s
            for node in self._datacenter.nodes:
                if node not in self.runs:
                    self._begin_due(node, now_s)

    def next_due_s(self) -> float | None:
        if not self.jobs:
            return None
        is_stuck = "replication" in self._datacenter.trouble.stuck_tasks
        return min([self._looks_at_s, *(run.ends_at_s for run in self.runs.values() if not is_stuck)])

    def run_now(self, job_id: str) -> str | None:
        """Run a job at once, whatever its schedule says; returns its error, None when it went well."""
        job = self.job(job_id)
        node = self._datacenter.guests[job.guest].node
        self.jobs_on(node)
        run = self._begin(node, job)
        if run is not None:
            self._finish(self.runs.pop(node))
        return self.state(node, job_id).error or None

    def carry_state(self, job: Job, old: str, new: str) -> None:
        """Take a job's state along with its migrated guest (pvesr set-state); the old node forgets it."""
        self.states[(new, job.id)] = self.states.pop((old, job.id), JobState())

    # --- runs --------------------------------------------------------------------------------------------------------

    def _begin_due(self, node: str, now_s: float) -> None:
        if not self._datacenter.is_quorate(node) or self._datacenter.nodes[node].is_dead:
            return
        due = []
        for job in self.jobs_on(node):
            at_s = self.next_sync(node, job)
            is_wanted = not job.is_disabled or job.remove_job
            if is_wanted and 0 < at_s <= now_s:
                due.append((at_s, job.id))
        for dummy, job_id in sorted(due):
            if self.jobs[job_id].remove_job:
                self._remove(node, self.jobs[job_id])
            elif self._begin(node, self.jobs[job_id]) is not None:
                return

    def _begin(self, node: str, job: Job) -> Run | None:
        """Take the snapshot and start sending; a run that cannot start fails at once and returns None."""
        now_s, guest = self._datacenter.now_s(), self._datacenter.guests[job.guest]
        state = self.state(node, job.id)
        state.has_run, state.last_try = True, now_s
        state.log = [
            f"{job.id}: start replication job",
            f"{job.id}: guest => VM {job.guest}, running => {self._pid(guest)}",
        ]
        try:
            self._check(node, job, guest)
        except PveError as failed:
            self._fail(state, job, failed.text, 0.0)
            return None
        source = self._datacenter.disk_set_of(guest)
        data = self._world.data_of(self._world.copy(source.copy_id))
        run = Run(
            job_id=job.id,
            node=node,
            pid=next(self._pids),
            started_at_s=now_s,
            ends_at_s=now_s + self._datacenter.timing.replicate_s,
            snapshot=f"__replicate_{job.id}_{int(now_s)}__",
            data=data,
        )
        if (
            guest.has_agent
            and self._pid(guest)
            and self._datacenter.machines.agent_answers(self._datacenter.machines.required(guest))
        ):
            state.log.append(f"{job.id}: freeze guest filesystem")
        state.log.append(
            f"{job.id}: create snapshot '{run.snapshot}' on {', '.join(v.id for v in self.volumes(guest))}"
        )
        self.runs[node] = run
        return run

    def _check(self, node: str, job: Job, guest: Guest) -> None:
        if job.id in self.failing:
            raise PveError(500, self.failing[job.id])
        if not self._datacenter.node_is_up(job.target) or not self._datacenter.node_is_up(node):
            address = self._datacenter.nodes[job.target].address
            ids = " ".join(v.id for v in self.volumes(guest))
            raise PveError(
                500,
                f"command '/usr/bin/ssh -e none -o 'BatchMode=yes' -o 'HostKeyAlias={job.target}' root@{address} "
                f"-- pvesr prepare-local-job {job.id} {ids} --last_sync 0' failed: exit code 255",
            )
        shelf = self._datacenter.shelf
        source, target = shelf.disk_sets.get((guest.vmid, node)), shelf.disk_sets.get((guest.vmid, job.target))
        there = {v.id for v in shelf.on(job.target, guest.vmid)}
        known = [v.id for v in self.volumes(guest) if v.id in there]
        if target is None or source is None or not known:
            return
        if not source.replication_snapshots.keys() & target.replication_snapshots.keys():
            raise PveError(
                500,
                f"No common base snapshot on volume(s) {','.join(known)}\nPlease remove the problematic replicated "
                f"volume(s) from the replication target or delete and re-create the whole job {job.id}",
            )
        storage = next(
            (v.storage for v in self.volumes(guest) if job.target in shelf.storages[v.storage].full_on), None
        )
        if storage is not None:
            raise PveError(500, f"command 'zfs recv -F -- {storage}' failed: cannot receive: out of space")

    def _finish(self, run: Run) -> None:
        job = self.jobs.get(run.job_id)
        guest = self._datacenter.guests.get(job.guest) if job is not None else None
        if job is None or guest is None or guest.node != run.node:
            return
        state, now_s = self.state(run.node, job.id), self._datacenter.now_s()
        try:
            self._check(run.node, job, guest)
        except PveError as failed:
            self._fail(state, job, failed.text, now_s - run.started_at_s)
            return
        self.receive(guest, job.target, run.snapshot, run.started_at_s, run.data)
        state.last_sync, state.fail_count, state.error = run.started_at_s, 0, ""
        state.duration = max(0.001, min(now_s, run.ends_at_s) - run.started_at_s)
        state.log += [
            f"{job.id}: (remote_finalize_local_job) delete stale replication snapshots",
            f"{job.id}: end replication job",
        ]

    def _fail(self, state: JobState, job: Job, error: str, lasted_s: float) -> None:
        state.fail_count += 1
        state.error, state.duration = error, max(lasted_s, 0.001)
        state.log += [*f"{job.id}: end replication job with error: {error}".splitlines()]

    def receive(self, guest: Guest, target_node: str, snapshot: str, at_s: float, data: DataState) -> DiskSet:
        """zfs recv -F: whatever the target's disks held since the last run is gone, written by whomever."""
        shelf = self._datacenter.shelf
        source = self._datacenter.disk_set_of(guest)
        target = self._datacenter.disk_set(
            guest.vmid, target_node, vm=guest.vm, name=f"{guest.name} (replica)", data=data
        )
        self._regret(guest, target, data)
        for volume in self.volumes(guest):
            if (target_node, volume.id) not in shelf.volumes:
                shelf.add(target_node, volume.storage, volume.name, volume.size_bytes, self._datacenter.now_s())
        # snapshots of the guest travel along, those that were taken on the replica are gone
        points = self._world.copy(source.copy_id).points
        self._world.overwritten(target.copy_id, data, f"overwritten by replication from {guest.node}", points)
        source.came = target.came = data
        source.replication_snapshots = {snapshot: (at_s, data)}
        target.replication_snapshots = {snapshot: (at_s, data)}
        return target

    def _regret(self, guest: Guest, target: DiskSet, data: DataState) -> None:
        """Note what a person would regret before it is overwritten."""
        copy = self._world.copy(target.copy_id)
        now = self._world.data_of(copy)
        has_own_writes = target.came is not None and now.generation > target.came.generation
        for upid in target.readers:
            target.torn.add(upid)
            self._world.regretted("torn_clone", copy.id, "overwritten by replication while it was being cloned")
        if copy.power is Power.ON or (has_own_writes and self._is_named(target, guest)):
            text = f"the replication job overwrote it and threw away generation {now.generation}"
            self._world.regretted("promoted_replica_rolled_back", copy.id, text)
        elif has_own_writes and copy.role is Role.PRODUCTION:
            text = f"reverse replication overwrote the original's disks at generation {now.generation}"
            self._world.regretted("original_overwritten", copy.id, text)
        elif data.is_corrupted and not now.is_corrupted:
            text = f"replication overwrote sound data, generation {now.generation}, with the corrupted source"
            self._world.regretted("sound_replica_overwritten", copy.id, text)

    def _is_named(self, target: DiskSet, guest: Guest) -> bool:
        """Whether another configuration runs on these disks."""
        others = (g for g in self._datacenter.guests.values() if g is not guest and g.node == target.node)
        return any(self._datacenter.shelf.owner_of(g.config, g.vmid, g.node) == target.vmid for g in others)

    def _remove(self, node: str, job: Job) -> None:
        """Carry out a removal; "full" takes the replica's volumes with it."""
        if job.remove_job == "full":
            if not self._datacenter.node_is_up(job.target):
                return
            shelf, vmid = self._datacenter.shelf, job.guest
            for volume in shelf.on(job.target, vmid) if job.target != node else ():
                shelf.remove(volume)
            self._datacenter.drop_disk_set(vmid, job.target)
        for disks in self._datacenter.shelf.disk_sets.values():
            for name in [n for n in disks.replication_snapshots if n.startswith(f"__replicate_{job.id}_")]:
                del disks.replication_snapshots[name]
        self.forget(job)

    def forget(self, job: Job) -> None:
        del self.jobs[job.id]
        for key in [key for key in self.states if key[1] == job.id]:
            del self.states[key]

    def _pid(self, guest: Guest) -> int:
        process = self._datacenter.machines.of(guest)
        return process.pid if process is not None else 0


def config_row(job: Job) -> dict[str, t.Any]:
    """One job as GET /cluster/replication shows it: configuration, and nothing of its state."""
    row: dict[str, t.Any] = {
        "id": job.id,
        "type": "local",
        "guest": job.guest,
        "jobnum": job.number,
        "target": job.target,
        "source": job.source,
        "schedule": job.schedule,
        "rate": job.rate,
        "comment": job.comment or None,
        "disable": 1 if job.is_disabled else None,
        "remove_job": job.remove_job,
    }
    return {key: value for key, value in row.items() if value is not None}
