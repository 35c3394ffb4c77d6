# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host can carry what would be started on it, in words with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.ferragosto.dr.plugins.module_utils.core.findings import Capacity
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Datastore, Host, Power, Vm

_GIB = 2**30
_CPU_OVERCOMMIT = 8  # virtual CPUs per CPU of the host, above which a person should know
_DELTA_BYTES = _GIB  # a promoted replica writes into a snapshot: less room stops it soon


def capacity(
    host: Host,
    datastore: str | None,
    vms_to_start: Sequence[Vm],
    running: Sequence[Vm] = (),
    *,
    reserve_share: float = 0.05,
) -> Capacity:
    """Judge memory, CPU and disk for all of ``vms_to_start`` together: the VM and those that may fail over with it.

    ``datastore`` is named when their disks would move there, None when they start where they lie. ``running`` are the VMs
    of the site; those on this host count where the host does not tell its used memory. The bytes returned are memory.
    """
    here = [v for v in running if v.host == host.name and v.power is Power.ON]
    carried = {v.id for v in here}
    starting = [v for v in vms_to_start if v.id not in carried]
    needed = sum(v.memory_bytes for v in starting)
    used = host.memory_used_bytes or sum(v.memory_bytes for v in here)
    reserve = int(host.memory_bytes * reserve_share)
    free = max(0, host.memory_bytes - used - reserve)
    moving = [v for v in vms_to_start if datastore is not None and datastore not in v.datastores]
    faults = [
        *_of_host(host),
        *_of_memory(host, len(starting), needed, free),
        *_of_cpu(host, starting),
        *(_of_move(host, datastore, moving) if datastore is not None else _of_delta(host, starting)),
    ]
    if faults:
        return Capacity(is_enough=False, reason="; ".join(faults), needed_bytes=needed, free_bytes=free)
    reason = f"{host.name} can start {_count(len(starting))}: {_gib(needed)} of memory needed, {_gib(free)} free"
    if reserve:
        reason += f" beside a reserve of {_gib(reserve)}"
    reason += _cpu_note(host, starting, here)
    return Capacity(is_enough=True, reason=reason, needed_bytes=needed, free_bytes=free)


def _of_host(host: Host) -> list[str]:
    if host.connection is not Connection.CONNECTED:
        return [f"{host.name} is {host.connection}"]
    return [f"{host.name} is in maintenance mode"] if host.is_in_maintenance else []


def _of_memory(host: Host, count: int, needed: int, free: int) -> list[str]:
    if not host.memory_bytes:
        return [f"{host.name} does not tell its memory"]
    if needed <= free:
        return []
    return [f"memory: {_need(count)} {_gib(needed)}, {host.name} has {_gib(free)} free"]


def _of_cpu(host: Host, starting: Sequence[Vm]) -> list[str]:
    """Find VMs that cannot be powered on at all: more virtual CPUs than the host has."""
    if not host.cpu_count:
        return []
    too_wide = [v for v in starting if v.cpu_count > host.cpu_count]
    return [f"CPU: {v.name} has {v.cpu_count} virtual CPUs, {host.name} has {host.cpu_count}" for v in too_wide]


def _cpu_note(host: Host, starting: Sequence[Vm], here: Sequence[Vm]) -> str:
    count = sum(v.cpu_count for v in (*starting, *here))
    if not host.cpu_count or count <= host.cpu_count * _CPU_OVERCOMMIT:
        return ""
    return f"; it will be slow: {count} virtual CPUs on {host.cpu_count}"


def _of_move(host: Host, name: str, moving: Sequence[Vm]) -> list[str]:
    store = _store(host, name)
    if store is None:
        shown = ", ".join(d.name for d in host.datastores) or "none"
        return [f"disk: {host.name} has no datastore {name} (it has {shown})"]
    if not store.is_accessible:
        return [f"disk: datastore {name} is not accessible from {host.name}"]
    needed = sum(v.disk_bytes for v in moving)
    if needed + (_DELTA_BYTES if moving else 0) <= store.free_bytes:
        return []
    return [f"disk: {_need(len(moving))} {_gib(needed)}, datastore {name} has {_gib(store.free_bytes)} free"]


def _of_delta(host: Host, starting: Sequence[Vm]) -> list[str]:
    faults = []
    for name in dict.fromkeys(name for v in starting for name in v.datastores):
        store = _store(host, name)
        if store is None:
            continue
        if not store.is_accessible:
            faults.append(f"disk: datastore {name} is not accessible from {host.name}")
        elif store.free_bytes < _DELTA_BYTES:
            faults.append(f"disk: datastore {name} has {_gib(store.free_bytes)} free, too little for new writes")
    return faults


def _store(host: Host, name: str) -> Datastore | None:
    return next((d for d in host.datastores if d.name == name), None)


def _count(number: int) -> str:
    return "1 VM" if number == 1 else f"{number} VMs"


def _need(number: int) -> str:
    return f"{_count(number)} {'needs' if number == 1 else 'need'}"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f} GiB"
