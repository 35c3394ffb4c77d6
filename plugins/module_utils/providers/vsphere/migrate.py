# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a VM to the other host and its own datastore: home after a failover, or back to undo."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Connection, Datastore, Host, Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import EndpointSpec
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere import power, reconfigure, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.acting import Copy
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.client import Client
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.vsphere.sdk import vim

RELOCATE_WITHIN_S = 4 * 3600.0  # a terabyte over one gigabit takes some three hours
GUEST_WITHIN_S = 300.0  # a cold move is a planned downtime: the guest gets the time it needs to close cleanly
GIGABYTE = 1024**3
SPARE_BYTES = 2 * GIGABYTE  # swap and snapshot files grow while it arrives
LIVE, COLD = "live", "cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to, resolved to the vendor's objects before anything is touched."""

    host: Host
    host_object: vim.HostSystem
    pool_object: vim.ResourcePool
    datastore: str
    datastore_object: vim.Datastore


def migrate(
    client: Client,
    vm: Vm,
    *,
    to: EndpointSpec,
    mode: str,
    run_id: str,
    within_s: float = RELOCATE_WITHIN_S,
    guest_within_s: float = GUEST_WITHIN_S,
) -> Iterator[Step]:
    """Yield the steps of the move. Refuses before the first of them where the target cannot take the VM.

    ``to`` names the host (``node``), and optionally datastore and pool. Where the VM stands is told by ``runtime.host``.
    """
    start = Copy(client, vm).now()
    copy = Copy(client, start)
    target = find_target(client, start, to)
    if start.host != target.host.name:
        require_room(start, target)

    def is_there(now: Vm) -> bool:
        return now.host == target.host.name and target.datastore in now.datastores

    yield reconfigure.stamp(
        copy,
        "stamp as migrating",
        {stamps.RUN: run_id, stamps.PHASE: Phase.MIGRATING},
        unless=lambda now: is_there(now) and now.stamps.get(stamps.PHASE) in (Phase.FAILBACK, Phase.FAILOVER),
        next=f"read the task's error in the vSphere client, {AGAIN}",
    )
    if mode == COLD:
        yield from power.power_off(client, start, guest_within_s=guest_within_s, unless=is_there)
    yield copy.step(
        f"relocate to {target.host.name}",
        calls=[
            f"RelocateVM_Task({copy.handle}, host={target.host.name!r}, pool={target.pool_object._moId}, "
            f"datastore={target.datastore!r})"
        ],
        is_done=is_there,
        act=lambda: _relocate(copy, target, mode, within_s),
        task="relocat",
        within_s=within_s,
        next=_next_after(start, mode),
    )
    if mode == COLD:
        yield from power.power_on(client, start)


def end_migration(client: Client, vm: Vm, *, run_id: str, phase: str) -> list[Step]:
    copy = Copy(client, vm)
    return [
        reconfigure.stamp(
            copy,
            f"stamp as {phase}",
            {stamps.RUN: run_id, stamps.PHASE: phase},
            next=f"read the task's error in the vSphere client, {AGAIN}",
        )
    ]


# --- before anything -------------------------------------------------------------------------------------------------


def find_target(client: Client, vm: Vm, to: EndpointSpec) -> Target:
    """Resolve host, pool and datastore of the target, or say in words why the VM cannot go there."""
    what = f"migrate {vm.name} to {to.node or 'the other host'}"
    if not client.is_vcenter:
        raise Refused(
            what=what,
            why=f"{client.address} is a standalone ESXi: it knows no other host, so it cannot relocate a VM to one",
            next="stay on the replica host; bring it home by replicating back, or put both hosts under one vCenter",
        )
    rows = client.survey(
        [vim.HostSystem, vim.Datastore, vim.Network],
        {vim.HostSystem: wire.HOST_PATHS, vim.Datastore: wire.DATASTORE_PATHS, vim.Network: wire.NETWORK_PATHS},
    )
    known = {found._moId: shown for found, shown in rows}
    hosts = [
        (found, shown) for found, shown in rows if isinstance(found, vim.HostSystem) and shown.get("name") == to.node
    ]
    if len(hosts) != 1:
        names = sorted(str(shown.get("name")) for found, shown in rows if isinstance(found, vim.HostSystem))
        raise Refused(
            what=what,
            why=f"{client.address} shows {len(hosts) or 'no'} host{'s' if len(hosts) > 1 else ''} of that name",
            next=f"set node in dr_site to one of: {', '.join(names)}",
        )
    host_object, shown = hosts[0]
    host = wire.to_host(shown, known)
    _require_sound(host, what)
    _require_networks(vm, host, what)
    store = _choose_datastore(vm, host, to, what)
    stores = [found for found in shown.get("datastore") or () if known.get(found._moId, {}).get("name") == store.name]
    return Target(
        host=host,
        host_object=host_object,
        pool_object=_choose_pool(client, vm, shown["parent"], to, what),
        datastore=store.name,
        datastore_object=stores[0],
    )


def require_room(vm: Vm, target: Target) -> None:
    """Refuse when the VM's files or its memory do not fit."""
    what = f"migrate {vm.name} to {target.host.name}"
    store = next(s for s in target.host.datastores if s.name == target.datastore)
    if target.datastore not in vm.datastores:
        needed = vm.disk_bytes + vm.memory_bytes + SPARE_BYTES
        if store.free_bytes < needed:
            raise Refused(
                what=what,
                why=f"datastore {store.name} has {_gib(store.free_bytes)} free, the VM needs {_gib(needed)}",
                next="free space there, or name another datastore in dr_site",
            )
    free = target.host.memory_bytes - target.host.memory_used_bytes
    if target.host.memory_bytes and free < vm.memory_bytes:
        raise Refused(
            what=what,
            why=f"host {target.host.name} has {_gib(free)} of memory free, the VM needs {_gib(vm.memory_bytes)}",
            next="stop or move less important VMs there first",
        )


def _require_sound(host: Host, what: str) -> None:
    if host.connection is not Connection.CONNECTED:
        raise Refused(
            what=what,
            why=f"vCenter has no connection to host {host.name}",
            next="repair the host first; the VM goes on serving where it is",
        )
    if host.is_in_maintenance:
        raise Refused(
            what=what,
            why=f"host {host.name} is in maintenance mode",
            next="end its maintenance mode first; the VM goes on serving where it is",
        )


def _require_networks(vm: Vm, host: Host, what: str) -> None:
    used = {n.network for n in vm.nics if n.is_connected or n.starts_connected}
    missing = sorted(used - set(host.networks))
    if missing:
        raise Refused(
            what=what,
            why=f"host {host.name} has no network {', '.join(map(repr, missing))}, to which the VM is connected",
            next=f"make a port group of that name on {host.name}",
        )


def _choose_datastore(vm: Vm, host: Host, to: EndpointSpec, what: str) -> Datastore:
    """Take the datastore named; else the one it is on where the host sees it; else the one with the most room."""
    sound = [s for s in host.datastores if s.is_accessible]
    if to.datastore:
        named = [s for s in sound if s.name == to.datastore]
        if not named:
            raise Refused(
                what=what,
                why=f"host {host.name} has no accessible datastore {to.datastore!r}",
                next=f"set datastore in dr_site to one of: {', '.join(s.name for s in sound) or 'none is accessible'}",
            )
        return named[0]
    if not sound:
        raise Refused(
            what=what, why=f"host {host.name} has no accessible datastore", next=f"attach its storage, {AGAIN}"
        )
    stays = [s for s in sound if s.name in vm.datastores]
    return (stays or sorted(sound, key=lambda s: s.free_bytes, reverse=True))[0]


def _choose_pool(client: Client, vm: Vm, compute: vim.ComputeResource, to: EndpointSpec, what: str) -> vim.ResourcePool:
    """Take the pool named; else stay in the VM's where it belongs to the same cluster; else the root pool."""
    root = client.retrieve([compute], ["resourcePool"])[compute._moId]["resourcePool"]
    if to.pool:
        named = _find_pool(client, root, to.pool)
        if named is None:
            raise Refused(
                what=what,
                why=f"there is no resource pool {to.pool!r} at host {to.node}",
                next="correct pool in dr_site, or leave it out for the root pool",
            )
        return named
    own = client.retrieve([client.object(vim.VirtualMachine, vm.handle)], ["resourcePool"])[vm.handle]
    pool = own.get("resourcePool")
    if pool is not None:
        owner = client.retrieve([pool], ["owner"])[pool._moId].get("owner")
        if owner is not None and owner._moId == compute._moId:
            return t.cast("vim.ResourcePool", pool)
    return t.cast("vim.ResourcePool", root)


def _find_pool(client: Client, root: vim.ResourcePool, name: str) -> vim.ResourcePool | None:
    level: Sequence[vim.ResourcePool] = [root]
    while level:
        shown = client.retrieve(level, ["name", "resourcePool"])
        for pool in level:
            if shown[pool._moId].get("name") == name:
                return pool
        level = [child for pool in level for child in shown[pool._moId].get("resourcePool") or ()]
    return None


# --- the move --------------------------------------------------------------------------------------------------------


def _relocate(copy: Copy, target: Target, mode: str, within_s: float) -> None:
    now = copy.now()
    if mode == COLD and now.power is not Power.OFF:
        raise ProviderFault(
            what=f"relocate {copy.target}",
            why=f"a cold move was asked for, and it is {now.power}",
            next=f"find out who powered it on, {AGAIN}",
        )
    spec = vim.vm.RelocateSpec(host=target.host_object, pool=target.pool_object, datastore=target.datastore_object)
    try:
        copy.run(f"relocate to {target.host.name}", lambda: copy.object.RelocateVM_Task(spec=spec), within_s=within_s)
    except ProviderFault as fault:
        if fault.is_answer_lost:
            raise
        raise ProviderFault(what=fault.what, why=fault.why, next=f"{fault.next}. {_next_after(now, mode)}") from fault


def _next_after(vm: Vm, mode: str) -> str:
    if mode == LIVE and vm.power is Power.ON:
        return (
            f"the VM goes on serving on {vm.host}; if vMotion is not licensed or not configured there, allow a cold move "
            f"with its downtime: dr_policy.cold_migration: true, {AGAIN}"
        )
    return f"the VM is off on {vm.host}: {RUN_AGAIN} to continue the move, or let it serve there: vm_power state=on"


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / GIGABYTE:.1f} GiB"
