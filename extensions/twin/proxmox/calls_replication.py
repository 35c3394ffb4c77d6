# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on replication: the jobs of the cluster, and their state on the node that owns the guest."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.calls_tasks import log_rows
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.replication import LOCK, Job, config_row
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.schedule import BadSchedule, Calendar
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call, PveError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_JOBS, _NODE = "/cluster/replication", "/nodes/{node}/replication"
_ID = re.compile(r"^([1-9][0-9]{2,8})-(\d{1,9})$")


def _may(call: Call, job: Job) -> bool:
    return call.may(f"/vms/{job.guest}", "VM.Audit")


def _digest(datacenter: Datacenter) -> str:
    text = repr([config_row(job) for job in datacenter.replication.jobs.values()])
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# --- configuration, anywhere in the cluster -------------------------------------------------------------------------


@ROUTES.add("GET", _JOBS)
def list_jobs(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Configuration only: there is no last_sync here."""
    return [config_row(job) for job in datacenter.replication.jobs.values() if _may(call, job)]


@ROUTES.add("GET", f"{_JOBS}/{{id}}")
def read_job(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    job = datacenter.replication.job(call.args["id"])
    call.require(f"/vms/{job.guest}", "VM.Audit")
    return {**config_row(job), "digest": _digest(datacenter)}


@ROUTES.add("POST", _JOBS)
def create_job(datacenter: Datacenter, call: Call) -> None:
    job_id, target = str(call.params["id"]), str(call.params["target"])
    match = _ID.match(job_id)
    if match is None or call.params.get("type", "local") != "local":
        raise PveError(400, "Parameter verification failed.", {"id": "value does not match the regex pattern"})
    vmid = int(match.group(1))
    call.require(f"/vms/{vmid}", "VM.Replicate")
    datacenter.require_cfs_lock(call.node, LOCK)
    if job_id in datacenter.replication.jobs:
        raise PveError(500, f"replication job '{job_id}' already exists")
    guest = datacenter.guests.get(vmid)
    if guest is None:
        raise PveError(500, f"no such guest '{vmid}'")
    datacenter.node(target)
    if target == guest.node:
        raise PveError(500, "unable to sync to local node")
    if any(job.target == target for job in datacenter.replication.jobs_of(vmid)):
        raise PveError(500, f"replication job for guest '{vmid}' to target '{target}' already exists")
    if not datacenter.replication.volumes(guest):
        raise PveError(500, "no replicatable volumes found")
    job = Job(id=job_id, guest=vmid, target=target, source=guest.node)
    _set(job, call)
    datacenter.replication.jobs[job_id] = job


@ROUTES.add("PUT", f"{_JOBS}/{{id}}")
def change_job(datacenter: Datacenter, call: Call) -> None:
    """The target is fixed for the life of a job."""
    job = datacenter.replication.job(call.args["id"])
    call.require(f"/vms/{job.guest}", "VM.Replicate")
    datacenter.require_cfs_lock(call.node, LOCK)
    if "target" in call.params:
        words = "property is not defined in schema and the schema does not allow additional properties"
        raise PveError(400, "Parameter verification failed.", {"target": words})
    digest = call.params.get("digest")
    if digest and digest != _digest(datacenter):
        raise PveError(500, "detected modified configuration - file changed by other user? Try again.")
    _set(job, call)
    for key in re.split(r"[,; ]+", str(call.params.get("delete", ""))):
        if key == "disable":
            job.is_disabled = False
        elif key in ("schedule", "rate", "remove_job", "source"):
            setattr(job, key, None)
        elif key == "comment":
            job.comment = ""
    job.guest_as_text = False


@ROUTES.add("DELETE", f"{_JOBS}/{{id}}")
def delete_job(datacenter: Datacenter, call: Call) -> None:
    """Mark it for removal, which the scheduler of the owning node carries out; ``force`` forgets it at once."""
    job = datacenter.replication.job(call.args["id"])
    call.require(f"/vms/{job.guest}", "VM.Replicate")
    datacenter.require_cfs_lock(call.node, LOCK)
    if call.flag("force"):
        datacenter.replication.forget(job)
    else:
        job.remove_job = "local" if call.flag("keep") else "full"


def _set(job: Job, call: Call) -> None:
    wanted = call.params
    if "schedule" in wanted:
        try:
            Calendar.parse(str(wanted["schedule"]))
        except BadSchedule as bad:
            raise PveError(400, "Parameter verification failed.", {"schedule": f"invalid format - {bad}"}) from None
        job.schedule = str(wanted["schedule"])
    if "rate" in wanted:
        job.rate = float(wanted["rate"])
    if "comment" in wanted:
        job.comment = str(wanted["comment"])
    if "disable" in wanted:
        job.is_disabled = call.flag("disable")
    if "remove_job" in wanted:
        job.remove_job = str(wanted["remove_job"])
    if "source" in wanted:
        job.source = str(wanted["source"])


# --- state, on the node that owns the guest -------------------------------------------------------------------------


def _jobs_here(datacenter: Datacenter, call: Call) -> list[Job]:
    """Even a GET takes the cluster-wide lock, and turns a stolen guest's job round."""
    datacenter.require_cfs_lock(call.node, LOCK)
    return datacenter.replication.jobs_on(call.node)


def _job_here(datacenter: Datacenter, call: Call, *privileges: str) -> Job:
    jobs = _jobs_here(datacenter, call)
    job = next((job for job in jobs if job.id == call.args["id"]), None)
    if job is None:
        raise PveError(500, f"no such replication job '{call.args['id']}'")
    call.require_any(f"/vms/{job.guest}", *privileges)
    return job


@ROUTES.add("GET", _NODE)
def list_states(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Only the guests whose configuration lies on this node: a target node answers []."""
    guest = call.params.get("guest")
    return [
        datacenter.replication.row(call.node, job)
        for job in _jobs_here(datacenter, call)
        if _may(call, job) and (guest is None or int(guest) == job.guest)
    ]


@ROUTES.add("GET", f"{_NODE}/{{id}}")
def index(datacenter: Datacenter, call: Call) -> list[dict[str, str]]:
    return [{"subdir": word} for word in ("schedule_now", "log", "status")]


@ROUTES.add("GET", f"{_NODE}/{{id}}/status")
def read_state(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    return datacenter.replication.row(call.node, _job_here(datacenter, call, "VM.Audit"))


@ROUTES.add("GET", f"{_NODE}/{{id}}/log")
def read_log(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """The last run's lines alone: each run starts a new file."""
    job = datacenter.replication.job(call.args["id"])
    if not call.may(f"/nodes/{call.node}", "Sys.Audit"):
        call.require(f"/vms/{job.guest}", "VM.Audit")
    lines = datacenter.replication.state(call.node, job.id).log
    return log_rows(lines, int(call.params.get("start", 0)), int(call.params.get("limit", 50)))


@ROUTES.add("POST", f"{_NODE}/{{id}}/schedule_now")
def schedule_now(datacenter: Datacenter, call: Call) -> str:
    """Let the scheduler take it at its next look. No UPID comes back, and nothing happens to a job that never ran."""
    job = _job_here(datacenter, call, "VM.Replicate")
    state = datacenter.replication.state(call.node, job.id)
    if state.has_run:
        state.last_try = 0
    return ""
