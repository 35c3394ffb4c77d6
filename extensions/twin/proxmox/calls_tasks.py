# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""API calls on tasks: lists, status, log, kill."""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.proxmox.tasks import Task
from ansible_collections.ferragosto.dr.extensions.twin.proxmox.wire import ROUTES, Call

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.proxmox.datacenter import Datacenter

_TASK = "/nodes/{node}/tasks/{upid}"


def row(task: Task) -> dict[str, t.Any]:
    """One line of a task list: ``user`` without the token, which stands by itself. [RUN]"""
    found: dict[str, t.Any] = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pid * 100,
        "starttime": int(task.started_at_s),
        "type": task.kind,
        "id": task.id,
        "user": task.user,
    }
    if task.token_id:
        found["tokenid"] = task.token_id
    if task.ended_at_s is not None:
        found["endtime"], found["status"] = int(task.ended_at_s), task.status
    return found


def _is_own(task: Task, call: Call) -> bool:
    """A token sees its own tasks alone, a user those of its tokens too."""
    return task.user == call.user and call.token_id in ("", task.token_id)


@ROUTES.add("GET", "/nodes/{node}/tasks")
def list_tasks(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """Newest first. ``source``: archive (ended ones, the default), active, all."""
    may_all, wanted = call.may(f"/nodes/{call.node}", "Sys.Audit"), call.params
    source, vmid = str(wanted.get("source", "archive")), wanted.get("vmid")
    found = []
    for task in sorted(datacenter.tasks.on(call.node), key=lambda task: (task.started_at_s, task.pid), reverse=True):
        if (source == "archive" and task.is_running) or (source == "active" and not task.is_running):
            continue
        if not (may_all or _is_own(task, call)) or (vmid is not None and task.id != str(vmid)):
            continue
        if _fits(task, wanted):
            found.append({**row(task), "status": "RUNNING"} if task.is_running else row(task))
    start, limit = int(wanted.get("start", 0)), int(wanted.get("limit", 50))
    return found[start : start + limit] if limit else found[start:]


def _fits(task: Task, wanted: t.Mapping[str, t.Any]) -> bool:
    kinds = str(wanted.get("statusfilter") or "ok,warning,error,unknown").lower().split(",")
    if str(wanted.get("errors", "0")).lower() in ("1", "true"):
        kinds = ["warning", "error", "unknown"]
    return (
        task.started_at_s >= float(wanted.get("since", 0))
        and task.started_at_s <= float(wanted.get("until", 1e18))
        and str(wanted.get("typefilter", task.kind)) == task.kind
        and str(wanted.get("userfilter", "")).lower() in task.user.lower()
        and _kind_of(task.status) in kinds
    )


def _kind_of(status: str) -> str:
    """How PVE sorts exit statuses; a task that runs has none, and is unknown."""
    if status in ("", "unexpected status"):
        return "unknown"
    return "ok" if status == "OK" else "warning" if status.startswith("WARNINGS: ") else "error"


@ROUTES.add("GET", "/cluster/tasks")
def recent(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    """The recent broadcast only, without filters."""
    may_all = call.may("/", "Sys.Audit")
    return [row(task) for task in datacenter.tasks.recent() if may_all or _is_own(task, call)]


def _task(datacenter: Datacenter, call: Call) -> Task:
    """An owner reads its own task without Sys.Audit; what nobody knows is a wrong parameter."""
    task = datacenter.tasks.find(call.node, call.args["upid"])
    if not _is_own(task, call):
        call.require(f"/nodes/{call.node}", "Sys.Audit")
    return task


@ROUTES.add("GET", _TASK)
def index(datacenter: Datacenter, call: Call) -> list[dict[str, str]]:
    _task(datacenter, call)
    return [{"name": "log"}, {"name": "status"}]


@ROUTES.add("GET", f"{_TASK}/status")
def status(datacenter: Datacenter, call: Call) -> dict[str, t.Any]:
    """``stopped`` says nothing of success: that is ``exitstatus``."""
    task = _task(datacenter, call)
    found = {k: v for k, v in row(task).items() if k not in ("status", "endtime")}
    found["status"] = "running" if task.is_running else "stopped"
    if not task.is_running:
        found["exitstatus"] = task.status
    return found


@ROUTES.add("GET", f"{_TASK}/log")
def log(datacenter: Datacenter, call: Call) -> list[dict[str, t.Any]]:
    lines = _task(datacenter, call).log
    return log_rows(lines, int(call.params.get("start", 0)), int(call.params.get("limit", 50)))


def log_rows(lines: t.Sequence[str], start: int, limit: int) -> list[dict[str, t.Any]]:
    """A log as PVE pages it; an empty one says so in its single line."""
    chosen = lines[start : start + limit] if limit else lines[start:]
    rows = [{"n": start + number, "t": text} for number, text in enumerate(chosen, start=1)]
    return rows or [{"n": 1, "t": "no content"}]


@ROUTES.add("DELETE", _TASK)
def kill(datacenter: Datacenter, call: Call) -> None:
    task = datacenter.tasks.find(call.node, call.args["upid"])
    if not _is_own(task, call):
        call.require(f"/nodes/{call.node}", "Sys.Modify")
    datacenter.tasks.kill(task)
