# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication jobs (pvesr): reading them, and holding one still while its replica is promoted.

A run of the job makes the target's disks what the source's are, whatever was done there. So a promotion begins by disabling it;
the same call writes into the job's comment what it was, for undo.
"""

from __future__ import annotations

import re
import typing as t
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

DEFAULT_SCHEDULE = "*/15"
RUN_WITHIN_S = 1800.0  # a running replication sends what changed since the last one
POLL_S = 1.0
CHANGED_MEANWHILE_TRIES = 20
HELD, REVERSED = "disabled", "reversed"
_MARK = re.compile(
    r"ferragosto\.dr: (?P<word>disabled|reversed) by run (?P<run>\S+); was (?P<was>enabled|disabled)"
    r"(?:; comment was: (?P<comment>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a job's comment says of us: who holds it, and what it was before."""

    word: str
    run_id: str
    was_enabled: bool
    comment: str

    def __str__(self) -> str:
        was = "enabled" if self.was_enabled else "disabled"
        said = f"; comment was: {self.comment}" if self.comment else ""
        return f"ferragosto.dr: {self.word} by run {self.run_id}; was {was}{said}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as the cluster's configuration has it; what it did is known to its source node alone."""

    id: str
    vmid: int
    source: str
    target: str
    schedule: str
    comment: str
    is_enabled: bool
    is_being_removed: bool
    digest: str = ""

    @property
    def mark(self) -> Mark | None:
        found = _MARK.fullmatch(self.comment.strip())
        if found is None:
            return None
        return Mark(
            word=found["word"],
            run_id=found["run"],
            was_enabled=found["was"] == "enabled",
            comment=(found["comment"] or "").strip(),
        )

    def is_held_by(self, run_id: str) -> bool:
        mark = self.mark
        return not self.is_enabled and mark is not None and mark.run_id == run_id and mark.word == HELD

    def marked(self, word: str, run_id: str) -> Mark:
        """Return our mark for it; what an earlier mark remembers is what it was before any of us."""
        mark = self.mark
        if mark is not None:
            return Mark(word=word, run_id=run_id, was_enabled=mark.was_enabled, comment=mark.comment)
        return Mark(word=word, run_id=run_id, was_enabled=self.is_enabled, comment=" ".join(self.comment.split()))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a job did, from the node that owns its guest now. Times are on that node's clock; 0 is never."""

    job_id: str
    last_sync_s: int
    last_try_s: int
    next_sync_s: int
    failures: int
    error: str
    is_running: bool


# --- reads -----------------------------------------------------------------------------------------------------------


def jobs_of(client: Client, vmid: int) -> list[Job]:
    """Return the jobs of one VM. An endpoint that has none, or knows no replication, has none."""
    rows = wire.rows_of(client.get("/cluster/replication"))
    found = [_job(row) for row in rows if wire.whole(row.get("guest")) == vmid]
    return [job for job in found if not job.is_being_removed]


def states_of(client: Client, vmid: int, node: str) -> dict[str, State]:
    """Return what the jobs of a VM did; only ``node``, which has its configuration, knows."""
    rows = wire.rows_of(client.get(f"/nodes/{node}/replication", guest=vmid))
    return {str(row.get("id")): _state(row) for row in rows if wire.whole(row.get("guest")) == vmid}


def states_if_seen(client: Client, vmid: int, node: str) -> dict[str, State] | None:
    """As ``states_of``; None when the node is dead or nobody may read there now."""
    try:
        return states_of(client, vmid, node)
    except VendorFault as fault:
        if fault.kind in (Kind.NODE_SILENT, Kind.NO_QUORUM):
            return None
        raise


def _job(row: Mapping[str, t.Any]) -> Job:
    return Job(
        id=str(row.get("id") or ""),
        vmid=wire.whole(row.get("guest")),
        source=str(row.get("source") or ""),
        target=str(row.get("target") or ""),
        schedule=str(row.get("schedule") or DEFAULT_SCHEDULE),
        comment=str(row.get("comment") or ""),
        is_enabled=not wire.truth(row.get("disable") or 0),
        is_being_removed=bool(row.get("remove_job")),
        digest=str(row.get("digest") or ""),
    )


def _state(row: Mapping[str, t.Any]) -> State:
    return State(
        job_id=str(row.get("id")),
        last_sync_s=wire.whole(row.get("last_sync")),
        last_try_s=wire.whole(row.get("last_try")),
        next_sync_s=wire.whole(row.get("next_sync")),
        failures=wire.whole(row.get("fail_count")),
        error=wire.sanitised(row.get("error") or ""),
        is_running=bool(wire.whole(row.get("pid"))),
    )


# --- steps -----------------------------------------------------------------------------------------------------------


class Holder:
    """The jobs of one VM under our hands. ``owner`` tells the node that has the VM's configuration now."""

    def __init__(self, client: Client, vmid: int, *, name: str, owner: Callable[[], str]) -> None:
        self.client, self.vmid, self.owner = client, vmid, owner
        self.target = f"replication of {name} (VM {vmid})"

    def jobs(self) -> list[Job]:
        return jobs_of(self.client, self.vmid)

    def states(self) -> dict[str, State] | None:
        owner = self.owner()
        if votes(self.client).is_dead(owner):  # it would be asked in vain, for seconds each time
            return None
        return states_if_seen(self.client, self.vmid, owner)

    def hold(self, run_id: str) -> Step:
        """Return the step that disables every job of the VM, each keeping in its comment what it was."""
        known = self.jobs()
        return Step(
            name="disable the replication job",
            target=self.target,
            calls=tuple(f"PUT /cluster/replication/{job.id} disable=1, comment (keeps what it was)" for job in known),
            look=lambda: self._sight(lambda jobs: all(job.is_held_by(run_id) for job in jobs)),
            act=lambda: self._hold(run_id),
            next=f"disable the job by hand (`pvesr disable {self.vmid}-0` on a node), {AGAIN}",
        )

    def still(self) -> Step:
        """Return the step that waits for the end of a run that began before the job was disabled."""

        def is_still() -> bool:
            states = self.states()
            return states is None or not any(state.is_running for state in states.values())

        def act() -> None:
            wait_until(
                lambda: True if is_still() else None, within_s=RUN_WITHIN_S, clock=self.client.clock, every_s=POLL_S
            )

        return Step(
            name="wait for the running replication",
            target=self.target,
            calls=(f"GET /nodes/{{node}}/replication?guest={self.vmid} until no pid",),
            look=lambda: Sight(is_done=is_still(), seen={"last_sync": self._last_syncs()}),
            act=act,
            next=f"wait for its end, or stop it on its node (its pid is in `pvesr status`), {AGAIN}",
        )

    def release(self, run_id: str, *, is_enabled: bool = False) -> Step:
        """Return the step that makes every job that this run has marked what it was; or enabled, whatever it was."""
        marked = [job for job in self.jobs() if _is_of(job, run_id)]
        return Step(
            name="put the replication job back",
            target=self.target,
            calls=tuple(f"PUT /cluster/replication/{job.id} disable, comment as they were" for job in marked),
            look=lambda: self._sight(lambda jobs: not any(_is_of(job, run_id) for job in jobs)),
            act=lambda: self._release(run_id, is_enabled=is_enabled),
            next=f"enable the job by hand where it was enabled (`pvesr enable {self.vmid}-0` on a node), {AGAIN}",
        )

    def put(self, job: Job, *, is_enabled: bool, comment: str) -> None:
        """Write one job, unless it is so already. Without quorum the answer takes ten seconds."""
        for left in reversed(range(CHANGED_MEANWHILE_TRIES)):
            fresh = _job(self.client.get(f"/cluster/replication/{job.id}"))
            if fresh.is_enabled == is_enabled and fresh.comment == comment:
                return
            try:
                self.client.send(
                    "PUT",
                    f"/cluster/replication/{job.id}",
                    disable=not is_enabled,
                    comment=comment or None,
                    delete=None if comment or not fresh.comment else "comment",
                    digest=fresh.digest or None,
                )
                return
            except VendorFault as fault:
                # All jobs lie in one file: with many VMs failing over at once, somebody else has just written it.
                if fault.kind is not Kind.CHANGED_MEANWHILE or not left:
                    raise

    def _hold(self, run_id: str) -> None:
        for job in self.jobs():
            if not job.is_held_by(run_id):
                self.put(job, is_enabled=False, comment=str(job.marked(HELD, run_id)))

    def _release(self, run_id: str, *, is_enabled: bool) -> None:
        for job in self.jobs():
            mark = job.mark
            if mark is not None and mark.run_id == run_id:
                self.put(job, is_enabled=is_enabled or mark.was_enabled, comment=mark.comment)

    def _sight(self, is_done: Callable[[Sequence[Job]], bool]) -> Sight:
        jobs = self.jobs()
        return Sight(is_done=is_done(jobs), seen={"jobs": {job.id: facts(job) for job in jobs}})

    def _last_syncs(self) -> dict[str, int]:
        try:
            return {key: state.last_sync_s for key, state in (self.states() or {}).items()}
        except DrError:
            return {}


def facts(job: Job) -> dict[str, t.Any]:
    return {
        "is_enabled": job.is_enabled,
        "source": job.source,
        "target": job.target,
        "comment": job.comment,
        "schedule": job.schedule,
    }


def await_sync(holder: Holder, job_id: str, *, before: State | None, within_s: float) -> None:
    """Wait until a newer run than ``before`` ended well; raise ProviderFault when it failed."""
    last_sync_s = before.last_sync_s if before is not None else 0
    failures = before.failures if before is not None else 0

    def look() -> State | None:
        state = (holder.states() or {}).get(job_id)
        if state is None or state.is_running:
            return None
        if state.failures > failures:
            raise ProviderFault(
                what=f"bring the {holder.target} in sync",
                why=state.error or f"it failed {state.failures} times",
                next=cure(state.error, job_id),
            )
        return state if state.last_sync_s > last_sync_s else None

    wait_until(look, within_s=within_s, clock=holder.client.clock, every_s=POLL_S)


def cure(error: str, job_id: str) -> str:
    """Return the technician's move after an error of a run."""
    if "No common base snapshot" in error:
        return f"remove the disks that the error names on the target node, so that all is sent anew, {AGAIN}"
    if "ssh" in error or "tunnel" in error:
        return f"bring the other node and the network between them back, {AGAIN}"
    return f"read the log of job {job_id} (Replication > Log), {AGAIN}"


def _is_of(job: Job, run_id: str) -> bool:
    return job.mark is not None and job.mark.run_id == run_id
