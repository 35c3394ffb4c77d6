# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one endpoint shows of its cluster (or of its one node) in 3 + N calls, still in Proxmox VE's order of things.

``/cluster/replication`` knows no time: only the node that owns a guest knows when it was last replicated, and asking it takes a
lock of the whole cluster. So the nodes are asked one after another, only those that own a replicated guest, and none at all
without quorum, where each would fail after ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, ProviderFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.faults import Kind, VendorFault
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.wire import (
    Row,
    number,
    rows_of,
    sanitised,
    truth,
    whole,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One replication job. ``is_read`` false: its owner could not be asked, and every time in it is unknown."""

    id: str
    vmid: int
    source: str
    target: str
    is_enabled: bool
    schedule: str
    is_going: bool = False  # remove_job is set: it is being deleted in the background
    is_read: bool = False
    is_running: bool = False
    last_sync_at_s: float | None = None  # START of the last good run: the age of the data
    last_try_at_s: float | None = None
    next_sync_at_s: float | None = None
    failures: int = 0
    error: str = ""

    def target_of(self, owner: str) -> str:
        """Return where the replica is: a job whose guest was moved by hand still names its old source."""
        return self.source if self.target == owner and self.source else self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    cluster: str  # "" for a node that stands alone
    nodes: Mapping[str, bool]  # name -> is online
    asked: str  # the node that answered
    is_quorate: bool
    rows: Sequence[Row]  # /cluster/resources
    owners: Mapping[int, str] = field(default_factory=dict)  # vmid -> the node that has its configuration
    jobs: Sequence[Job] = ()
    unread: Mapping[str, str] = field(default_factory=dict)  # node -> why its replication was not read

    def guests(self) -> list[Row]:
        return [r for r in self.rows if r.get("type") == "qemu" and not truth(r.get("template"))]

    def is_online(self, node: str) -> bool:
        return self.nodes.get(node, False)

    def storages(self, node: str, content: str) -> list[str]:
        """Return the storages of a node that hold a kind of content and can be read now."""
        return [
            str(r.get("storage"))
            for r in self.rows
            if r.get("type") == "storage"
            and r.get("node") == node
            and r.get("status") in ("available", None)
            and content in str(r.get("content") or "").split(",")
        ]


def take_survey(client: Client, status: object = None) -> Survey:
    """``status`` is /cluster/status where the caller has read it already."""
    try:
        return _take(client, status if status is not None else client.get("/cluster/status"))
    except VendorFault as fault:
        if fault.kind is not Kind.NO_RIGHT:
            raise
        # A reading that said "does not answer" would invite a failover of what is well
        raise BadInput(what=fault.what, why=fault.why, next=fault.next) from fault


def is_member(status: object, node: str) -> bool:
    """Tell whether /cluster/status shows a cluster with this node in it."""
    rows = rows_of(status)
    return any(r.get("type") == "cluster" for r in rows) and any(
        r.get("type") == "node" and r.get("name") == node for r in rows
    )


def _take(client: Client, status: object) -> Survey:
    shown = rows_of(status)
    nodes = [r for r in shown if r.get("type") == "node"]
    cluster = next((r for r in shown if r.get("type") == "cluster"), None)
    names = {str(r.get("name")): truth(r.get("online", 1)) for r in nodes}
    asked = next((str(r.get("name")) for r in nodes if truth(r.get("local"))), next(iter(names), ""))
    rows = rows_of(client.get("/cluster/resources"))
    is_quorate = cluster is None or truth(cluster.get("quorate"))
    survey = Survey(
        cluster=str(cluster.get("name") or "cluster") if cluster is not None else "",
        nodes=names,
        asked=asked,
        is_quorate=is_quorate,
        rows=rows,
        owners={whole(r.get("vmid")): str(r.get("node")) for r in rows if r.get("type") == "qemu"},
    )
    return survey if cluster is None else _with_jobs(client, survey)


def _with_jobs(client: Client, survey: Survey) -> Survey:
    configured = [r for r in rows_of(client.get("/cluster/replication")) if r.get("type", "local") == "local"]
    owners = dict.fromkeys(survey.owners.get(whole(r.get("guest")), "") for r in configured)
    told: dict[str, Row] = {}
    unread: dict[str, str] = {}
    for node in owners:
        why = _why_not(survey, node)
        if not why:
            try:
                told.update({str(r.get("id")): r for r in rows_of(client.get(f"/nodes/{node}/replication"))})
            except ProviderFault as fault:
                why = f"node {node} could not be asked: {sanitised(fault.why)}"
        if why:
            unread[node] = why
    jobs = [_job(row, told.get(str(row.get("id"))), survey) for row in configured]
    return replace(survey, jobs=jobs, unread=unread)


def _why_not(survey: Survey, node: str) -> str:
    if not node:
        return "the guest is not shown"
    if not survey.is_online(node):
        return f"node {node} is offline, and only it knows when it was last replicated"
    return "" if survey.is_quorate else "the cluster has no quorum: replication cannot be read"


def _job(row: Row, told: Row | None, survey: Survey) -> Job:
    vmid = whole(row.get("guest"))
    shown: Row = told or {}
    merged = {**row, **shown}
    return Job(
        id=str(row.get("id")),
        vmid=vmid,
        source=str(merged.get("source") or survey.owners.get(vmid, "")),
        target=str(merged.get("target") or ""),
        is_enabled=not truth(row.get("disable")),
        schedule=str(row.get("schedule") or "*/15"),
        is_going=bool(row.get("remove_job")),
        is_read=told is not None,
        is_running=bool(shown.get("pid")),
        last_sync_at_s=_instant(shown.get("last_sync")),
        last_try_at_s=_instant(shown.get("last_try")),
        next_sync_at_s=_instant(shown.get("next_sync")),
        failures=whole(shown.get("fail_count")),
        error=sanitised(shown.get("error")),
    )


def _instant(value: object) -> float | None:
    """Return an instant; 0 stands for never, and 1 for a job that waits for its removal."""
    found = number(value)
    return found if found > 1 else None


def jobs_by_vm(jobs: Iterable[Job]) -> dict[int, list[Job]]:
    """Return the jobs that count, by VM: one that is being removed keeps no replica."""
    found: dict[int, list[Job]] = {}
    for job in jobs:
        if not job.is_going:
            found.setdefault(job.vmid, []).append(job)
    return found
