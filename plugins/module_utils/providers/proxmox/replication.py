# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform's own replication of a VM brought into a state: enabled, disabled, synced now, or reversed.

Reversed means: what the promoted copy writes goes to the other node. For a copy of its own that is a new job. For a VM promoted
in place it is the old one, which overwrites the disks that the original left behind: only when a person has accepted that.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import NotReplicated, ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Row, rows, votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    MOVED,
    Ends,
    name_of,
    origin_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.job import (
    REVERSED,
    Holder,
    Job,
    State,
    await_sync,
    cure,
    jobs_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

SYNC_WITHIN_S = 4 * 3600.0  # the first run sends every disk whole
ENABLED, DISABLED, SYNCED, TURNED = "enabled", "disabled", "synced", "reversed"


def set_replication(
    ends: Ends,
    pair: Pair,
    *,
    state: str,
    run_id: str,
    is_loss_accepted: bool,
    within_s: float = SYNC_WITHIN_S,
) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them where good data would be overwritten with bad."""
    if not ends.is_one_cluster():
        raise NotReplicated(
            what=f"set the replication of {pair.name} to {state}",
            why=f"{ends.home} and {ends.away} are not nodes of one cluster, and Proxmox VE replicates within one only",
            next="cover it with a backup job",
        )
    change = _Change(ends, pair, run_id=run_id, within_s=within_s)
    match state:
        case "disabled":
            yield change.holder.hold(run_id)
            yield change.holder.still()
        case "enabled":
            change.refuse_overwriting(is_loss_accepted)
            yield change.holder.release(run_id)
            yield change.enable()
        case "synced":
            change.refuse_overwriting(is_loss_accepted)
            change.require_job()
            yield change.enable()
            yield change.sync()
        case "reversed":
            yield from change.reverse(is_loss_accepted)
        case _:
            raise NotReplicated(
                what=f"set the replication of {pair.name} to {state!r}",
                why="there is no such state",
                next=f"use one of {', '.join((ENABLED, DISABLED, SYNCED, TURNED))}",
            )


class _Change:
    def __init__(self, ends: Ends, pair: Pair, *, run_id: str, within_s: float) -> None:
        self.ends, self.pair, self.run_id, self.within_s = ends, pair, run_id, within_s
        self.client = ends.replica
        self.name = name_of(pair)
        self.origin = origin_of(pair)
        self.copy = self._promoted()
        vmid = self.copy.vmid if self.copy is not None else self.origin
        self.holder = Holder(self.client, vmid, name=self.name, owner=lambda: self._node_of(vmid))
        self.what = f"replicate {self.name} (VM {vmid})"

    @property
    def is_moved(self) -> bool:
        return self.copy is not None and self.copy.stamps.get(stamps.MODE) in MOVED

    # --- before anything ----------------------------------------------------------------------------------------------

    def refuse_overwriting(self, is_loss_accepted: bool) -> None:
        """Raise where a run of the job as it stands would overwrite what must not be lost."""
        if self.is_moved and not self._is_turned() and not is_loss_accepted:
            raise self._loss()
        production = self.pair.production
        is_fenced = production is not None and stamps.FENCED in production.stamps
        if self.copy is None and is_fenced:
            raise Refused(
                what=self.what,
                why="its production copy is fenced: a run would overwrite the replica with what was fenced",
                next="undo or commit the run first",
            )

    def require_job(self) -> None:
        if not self.holder.jobs():
            raise NotReplicated(
                what=self.what,
                why="it has no replication job",
                next="use the state reversed for a promoted copy, or create a job (Replication > Add)",
            )

    def _loss(self) -> Refused:
        return Refused(
            what=self.what,
            why="it was promoted in place: a run in this direction overwrites the original's disks, the evidence of what"
            " happened",
            next="keep them another way first (a backup, a ZFS clone), then say why it may be lost in"
            " dr_accept.original_overwritten",
        )

    def _is_turned(self) -> bool:
        """Tell whether the loss was accepted before: the job runs in this direction already."""
        return any(job.is_enabled or (job.mark is not None and job.mark.word == REVERSED) for job in self.holder.jobs())

    # --- reversed -----------------------------------------------------------------------------------------------------

    def reverse(self, is_loss_accepted: bool) -> Iterator[Step]:
        if self.copy is None:
            raise Refused(
                what=f"reverse the replication of {self.name}",
                why="no copy of it is promoted",
                next="read the site again with the assess playbook",
            )
        target = self.ends.other_node(self.copy.node)
        shown = votes(self.client)
        if target not in shown.known:
            raise Refused(
                what=self.what,
                why=f"{target} is not a node of the cluster of {self.copy.node}: Proxmox VE replicates within a cluster only",
                next="cover it with a backup job instead",
            )
        if shown.is_dead(target):
            raise Refused(
                what=self.what, why=f"{target} is not in the cluster now", next=f"repair the node first, {AGAIN}"
            )
        if self.is_moved:
            if not self._is_turned() and not is_loss_accepted:
                raise self._loss()
            self.require_job()
            yield self.turn(target)
        else:
            yield self.create(target)
        yield self.sync(is_first=True)

    def turn(self, target: str) -> Step:
        """Return the step that lets the job run again: it goes by where the VM is, so its direction turns by itself."""

        def is_turned() -> bool:
            return all(job.is_enabled for job in self.holder.jobs())

        def act() -> None:
            if self._production_runs():
                raise ProviderFault(
                    what=self.what, why=f"the disks on {target} are in use", next="see the status playbook"
                )
            for job in self.holder.jobs():
                if not job.is_enabled:
                    self.holder.put(job, is_enabled=True, comment=str(job.marked(REVERSED, self.run_id)))

        return Step(
            name="let the replication run the other way",
            target=self.holder.target,
            calls=tuple(f"PUT /cluster/replication/{job.id} disable=0" for job in self.holder.jobs()),
            look=lambda: Sight(is_done=is_turned(), seen={"target": target}),
            act=act,
            next=f"enable the job by hand (`pvesr enable` on a node), {AGAIN}",
        )

    def create(self, target: str) -> Step:
        """Return the step that gives a promoted copy a job of its own, on the schedule of the original's."""
        vmid = self.holder.vmid
        former = next(iter(jobs_of(self.client, self.origin)), None)
        schedule = former.schedule if former is not None else None

        def is_there() -> bool:
            return any(job.is_enabled for job in self.holder.jobs())

        def act() -> None:
            jobs = self.holder.jobs()
            if jobs:
                for job in jobs:
                    self.holder.put(job, is_enabled=True, comment=job.mark.comment if job.mark else job.comment)
                return
            self.client.send(
                "POST",
                "/cluster/replication",
                id=f"{vmid}-0",
                type="local",
                target=target,
                schedule=schedule,
                comment=f"ferragosto.dr: made by run {self.run_id}",
            )

        return Step(
            name="replicate it to the other node",
            target=self.holder.target,
            calls=(f"POST /cluster/replication id={vmid}-0 target={target} schedule={schedule}",),
            look=lambda: Sight(is_done=is_there(), seen={"target": target}),
            act=act,
            next=f"its disks must be on a ZFS storage that {target} has under the same name; else use a backup job",
        )

    # --- enabled, synced ----------------------------------------------------------------------------------------------

    def enable(self) -> Step:
        def is_enabled() -> bool:
            return all(job.is_enabled for job in self.holder.jobs())

        def act() -> None:
            for job in self.holder.jobs():
                if not job.is_enabled:
                    self.holder.put(job, is_enabled=True, comment=job.mark.comment if job.mark else job.comment)

        return Step(
            name="enable the replication job",
            target=self.holder.target,
            calls=tuple(f"PUT /cluster/replication/{job.id} disable=0" for job in self.holder.jobs()),
            look=lambda: Sight(is_done=is_enabled(), seen={"jobs": [job.id for job in self.holder.jobs()]}),
            act=act,
            next=f"enable the job by hand (`pvesr enable` on a node), {AGAIN}",
        )

    def sync(self, *, is_first: bool = False) -> Step:
        """Return the step that sees the other node's disks brought up to now.

        ``is_first``: one run in this direction is enough, whenever it was. Else one that begins after this is asked.
        """
        asked: list[bool] = []

        def job_of() -> Job | None:
            return next(iter(self.holder.jobs()), None)

        def is_done() -> bool:
            job = job_of()
            state = (self.holder.states() or {}).get(job.id) if job is not None else None
            if state is None or state.is_running or state.failures or not state.last_sync_s:
                return False
            return is_first or bool(asked)

        def act() -> None:
            job = job_of()
            if job is None:
                raise ProviderFault(what=self.what, why="its job is gone", next=f"create it again, {AGAIN}")
            before = self._settled(job)
            if not (is_first and before is not None and before.last_sync_s and not before.failures):
                self.client.send("POST", f"/nodes/{self.holder.owner()}/replication/{job.id}/schedule_now")
                await_sync(self.holder, job.id, before=before, within_s=self.within_s)
            asked.append(True)

        return Step(
            name=marks.REPROTECTED,
            target=self.holder.target,
            calls=(f"POST /nodes/{{node}}/replication/{self.holder.vmid}-0/schedule_now, waited for",),
            look=lambda: Sight(is_done=is_done(), seen={"last_sync": self._last_sync()}),
            act=act,
            next=f"read the job's log (Replication > Log), {AGAIN}",
        )

    def _settled(self, job: Job) -> State | None:
        """Return the job's state once nothing runs: a run that began before may miss what was written last."""
        state = (self.holder.states() or {}).get(job.id)
        if state is not None and state.is_running:
            try:
                await_sync(self.holder, job.id, before=state, within_s=self.within_s)
            except ProviderFault as fault:
                self.client.progress(f"{self.what}: {fault.why}; {cure(fault.why, job.id)}")
            state = (self.holder.states() or {}).get(job.id)
        return state

    def _last_sync(self) -> int | None:
        states = self.holder.states() or {}
        return max((state.last_sync_s for state in states.values()), default=None)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _promoted(self) -> Row | None:
        """Return the promoted copy, whichever run made it."""
        replica = self.pair.replica
        if replica is None or stamps.RUN not in replica.stamps or not replica.handle:
            return None
        return next((row for row in rows(self.client) if str(row.vmid) == replica.handle), None)

    def _node_of(self, vmid: int) -> str:
        return next((row.node for row in rows(self.client) if row.vmid == vmid), self.ends.away)

    def _production_runs(self) -> bool:
        production = self.pair.production
        return production is not None and bool(production.handle) and production.power is not Power.OFF
