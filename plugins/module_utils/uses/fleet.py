# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fleet scan: many sites in one process, none waiting for another."""

from __future__ import annotations

import gc
import math
import time
import typing as t
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Connection,
    EndpointReading,
    Guest,
    Host,
    Power,
    SiteReading,
    Vm,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, SiteSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.options import as_site
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.readers import open_reader

Row: t.TypeAlias = "dict[str, t.Any]"
UNSEEN = Guest()  # where a bulk read does not bring the guest


def read_sites(sites: Sequence[Mapping[str, t.Any]], *, clock: Clock, deadline_s: float, workers: int) -> list[Row]:
    """Read all sites at once. A site that is late or wrong becomes a row with its error."""
    specs = [as_site(_hurried(site, deadline_s)) for site in sites]
    if not specs:
        return []
    pool = ThreadPoolExecutor(max_workers=max(1, min(workers, len(specs))))
    was_collecting = gc.isenabled()
    gc.disable()  # all that is read is kept: going through it again and again frees nothing, and takes a tenth of the scan
    try:
        waiting = [pool.submit(_read, spec, clock) for spec in specs]
        rounds = math.ceil(len(specs) / workers)  # a site's own time starts when a worker takes it
        ends_s = time.monotonic() + deadline_s * rounds
        return [_row_of(spec, future, ends_s, clock) for spec, future in zip(specs, waiting, strict=True)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if was_collecting:
            gc.enable()


def _hurried(site: Mapping[str, t.Any], deadline_s: float) -> Mapping[str, t.Any]:
    """Let no single call outlive the deadline: a thread that still waits would hold the whole module back."""
    ends = {
        name: {**site[name], "timeout": min(float(site[name]["timeout"]), deadline_s)}
        for name in ("production", "replica")
    }
    return {**site, **ends}


def _read(spec: SiteSpec, clock: Clock) -> SiteReading:
    site = open_reader(spec, clock=clock, progress=lambda _text: None)
    try:
        return site.read()
    finally:
        site.close()


def _row_of(spec: SiteSpec, future: Future[SiteReading], ends_s: float, clock: Clock) -> Row:
    try:
        return _row(future.result(timeout=max(0.0, ends_s - time.monotonic())), clock.now_s())
    except Late:
        error = "no answer within the deadline of the scan"
    except DrError as fault:
        error = str(fault)
    return {
        "name": spec.name,
        "is_reachable": False,
        "errors": [error],
        "findings": ["the state of every VM of this site is unknown"],
        "hosts": [],
        "vms": [],
        "calls": 0,
    }


def _row(reading: SiteReading, now_s: float) -> Row:
    ends = reading.endpoints()
    errors = [f"{end.address}: {end.error}" for end in ends if end.error is not None]
    return {
        "name": reading.name,
        "is_reachable": not errors,
        "errors": errors,
        "findings": [text for end in ends for text in _findings(end)],
        "hosts": [_host(host) for end in ends for host in end.hosts],
        "vms": _vm_rows([vm for end in ends for vm in end.vms], now_s),
        "calls": sum(end.calls for end in ends),
    }


def _findings(end: EndpointReading) -> list[str]:
    if end.error is not None:
        return [f"{end.address} does not answer: its VMs are unknown, not down"]
    found = []
    if not end.vms:
        found.append(f"{end.address} shows no VM at all: the account may lack rights; this is never healthy")
    for host in end.hosts:
        if host.connection is not Connection.CONNECTED:
            found.append(f"host {host.name} is {host.connection}: what is shown of its VMs is stale")
        found += [f"datastore {store.name} is not accessible" for store in host.datastores if not store.is_accessible]
    found += [f"{vm.name} waits for an answer: {vm.question}" for vm in end.vms if vm.question]
    return [*found, *end.notes]


def _host(host: Host) -> Row:
    return {
        "name": host.name,
        "connection": host.connection.value,
        "is_in_maintenance": host.is_in_maintenance,
        "memory_bytes": host.memory_bytes,
        "memory_used_bytes": host.memory_used_bytes,
        "datastores": [
            {"name": s.name, "free_bytes": s.free_bytes, "capacity_bytes": s.capacity_bytes} for s in host.datastores
        ],
    }


def _vm_rows(vms: Sequence[Vm], now_s: float) -> list[Row]:
    """Return a row per VM. A replica that only waits to be promoted is told in the row of the VM that it replicates."""
    shown = {vm.id for vm in vms}
    waiting = [vm for vm in vms if vm.replica_of in shown and vm.power is Power.OFF and stamps.RUN not in vm.stamps]
    replicas = {vm.replica_of: vm for vm in waiting}
    told = {id(vm) for vm in waiting}
    return [vm_row(vm, now_s, replicas.get(vm.id)) for vm in vms if id(vm) not in told]


def vm_row(vm: Vm, now_s: float, replica: Vm | None = None) -> Row:
    """Return the compact row of one VM: thousands of them pass through Ansible. ``replica``: its own, where that has no row."""
    points = (replica or vm).vendor_points()
    row: Row = {
        "name": vm.name,
        "id": vm.id,
        "host": vm.host,
        "power": vm.power.value,
        "recovery_points": len(points),
        "newest_point_age_s": round(now_s - points[-1].created_at_s) if points else None,
    }
    if replica is not None:
        row["replica_host"] = replica.host
    if vm.connection is not Connection.CONNECTED:
        row["connection"] = vm.connection.value
    if vm.guest != UNSEEN:
        row["heartbeat"], row["tools"] = vm.guest.heartbeat.value, vm.guest.tools.value
    if vm.stamps:
        row["stamps"] = dict(vm.stamps)
    return row
