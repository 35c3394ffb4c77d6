# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The replication of one VM as it is now, read without the rest of the cluster."""

from __future__ import annotations

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Replication
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import job, replicas, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.wire import whole


def replication(client: Client, pair: Pair) -> Replication | None:
    """Return the VM's replication job and how it fares; None when it has none.

    Its times are unknown while the node that owns the VM is dead: no other knows them.
    """
    jobs: list[job.Job] = []
    vmid = 0
    for vmid in _vmids(pair):
        jobs = job.jobs_of(client, vmid)
        if jobs:
            break
    if not jobs:
        return None
    one = next((j for j in jobs if pair.replica_node in (j.target, j.source)), jobs[0])
    owner = _owner(client, vmid) or one.source
    state = (job.states_if_seen(client, vmid, owner) or {}).get(one.id)
    target = one.target if one.target != owner else one.source
    return Replication(
        job=one.id,
        source=owner,
        target=target,
        is_enabled=one.is_enabled,
        schedule=one.schedule,
        is_running=state is not None and state.is_running,
        last_sync_at_s=_instant(state.last_sync_s) if state is not None else None,
        last_try_at_s=_instant(state.last_try_s) if state is not None else None,
        # Of a disabled job Proxmox VE still tells a next run that will not come
        next_sync_at_s=_instant(state.next_sync_s) if state is not None and one.is_enabled else None,
        failures=state.failures if state is not None else 0,
        error=state.error if state is not None else "",
    )


def _vmids(pair: Pair) -> list[int]:
    """Return the numbers to ask for: a promoted copy that is a VM of its own has a job of its own once it is reprotected."""
    promoted, production = pair.replica, pair.production
    first = (
        [whole(promoted.handle)] if promoted is not None and promoted.handle and stamps.RUN in promoted.stamps else []
    )
    rest = [replicas.vmid_of(vm) for vm in (production, promoted) if vm is not None]
    return list(dict.fromkeys([*first, *rest]))


def _owner(client: Client, vmid: int) -> str:
    rows = wire.rows_of(client.get("/cluster/resources", type="vm"))
    return next((str(r.get("node")) for r in rows if r.get("type") == "qemu" and wire.whole(r.get("vmid")) == vmid), "")


def _instant(value: int) -> float | None:
    return float(value) if value > 1 else None
