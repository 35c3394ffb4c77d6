# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a VM to the other node of its cluster, its local disks with it: home after a failover, or back to undo.

A replicated VM is the special case: Proxmox VE sends only what changed since the last replication, onto the disks that are
there. Before the job was reversed, those are the original's.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError, ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Power, Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import job, power, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, Sheet, votes
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import MOVED, Ends, storage_rows
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import stamp_step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN

MIGRATE_WITHIN_S = 4 * 3600.0  # a terabyte over one gigabit takes some three hours
GUEST_WITHIN_S = 300.0  # a cold move is a planned downtime: the guest gets the time it needs to close cleanly
SPARE_BYTES = 2 * 2**30
LIVE, COLD = "live", "cold"
PRODUCTION = "production"


def migrate(
    ends: Ends,
    vm: Vm,
    *,
    to: str,
    mode: str,
    run_id: str,
    within_s: float = MIGRATE_WITHIN_S,
    guest_within_s: float = GUEST_WITHIN_S,
) -> Iterator[Step]:
    """Yield the steps of the move to the "production" or the "replica" node. Refuses before the first of them."""
    target = ends.home if to == PRODUCTION else ends.away
    machine = Machine.of(ends.replica, vm)
    start = machine.now()
    if stamps.FENCED in start.stamps and start.stamps.get(stamps.MODE) in MOVED:
        return  # an undo has given it back to its own disks already
    if start.node != target:
        _require_way(ends, machine, start, target)

    def is_there(sheet: Sheet) -> bool:
        return sheet.is_there and sheet.node == target and sheet.lock != "migrate"

    yield stamp_step(
        machine,
        "stamp as migrating",
        {stamps.RUN: run_id, stamps.PHASE: Phase.MIGRATING},
        unless=lambda sheet: is_there(sheet) and sheet.stamps.get(stamps.PHASE) in (Phase.FAILBACK, Phase.FAILOVER),
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )
    was_on = start.power is Power.ON or start.stamps.get(stamps.PHASE) == Phase.MIGRATING
    if mode == COLD:
        yield power.power_off_step(machine, guest_within_s=guest_within_s, unless=is_there)
    yield machine.step(
        f"migrate to {target}",
        calls=[f"POST {machine.path}/migrate target={target} online={mode == LIVE:d} with-local-disks=1"],
        is_done=is_there,
        act=lambda: _move(ends, machine, target, mode, within_s),
        tasks=("qmigrate", "hamigrate"),
        on_nodes=lambda: [ends.home, ends.away],
        within_s=within_s,
        next=_next_after(machine, start, mode),
    )
    if mode == COLD and was_on:
        yield power.power_on_step(machine)


def end_migration(ends: Ends, vm: Vm, *, run_id: str, phase: str) -> Iterator[Step]:
    machine = Machine.of(ends.replica, vm)
    start = machine.now()
    if stamps.FENCED in start.stamps and start.stamps.get(stamps.MODE) in MOVED:
        return
    yield stamp_step(
        machine,
        f"stamp as {phase}",
        {stamps.RUN: run_id, stamps.PHASE: phase},
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )


# --- before anything -------------------------------------------------------------------------------------------------


def _require_way(ends: Ends, machine: Machine, sheet: Sheet, target: str) -> None:
    what = f"migrate {machine.name} to {target}"
    shown = votes(ends.replica)
    if target not in shown.known:
        raise Refused(
            what=what,
            why=f"{target} is not a node of the cluster of {sheet.node}, and the migration between clusters (remote_migrate)"
            " is still experimental: it loses snapshots and needs the target's token",
            next="stay on the replica node; bring it home by a backup and a restore in a planned downtime",
        )
    if shown.is_dead(target):
        raise Refused(
            what=what,
            why=f"{target} is not in the cluster now",
            next="repair the node first; the VM goes on serving where it is",
        )
    if not shown.is_quorate:
        raise Refused(what=what, why="the cluster has no quorum", next=f"bring the other node back, {AGAIN}")
    if sheet.lock:
        raise Refused(
            what=what,
            why=f"the VM is locked ({sheet.lock}): a task works on it, or died while it did",
            next=f"wait for it in the node's task list (a stale lock goes with `qm unlock {machine.vmid}`), {AGAIN}",
        )
    jobs = job.jobs_of(ends.replica, machine.vmid)
    if jobs:
        _require_reversed(ends, machine, sheet, target, jobs, what)
    else:
        _require_room(ends, machine, sheet, target, what)
    _require_bridges(ends, sheet, target, what)


def _require_reversed(ends: Ends, machine: Machine, sheet: Sheet, target: str, jobs: list[job.Job], what: str) -> None:
    """Only after a run in this direction are the target's disks this VM's, and the way home short."""
    states = job.states_of(ends.replica, machine.vmid, sheet.node)
    for one in jobs:
        state = states.get(one.id)
        if target not in (one.target, one.source):
            continue
        if not one.is_enabled:
            raise Refused(
                what=what,
                why=f"its replication job {one.id} is disabled: on {target} are still the original's disks, which the move"
                " would overwrite",
                next="accept that loss (dr_accept.original_overwritten) and reverse the replication, or stay",
            )
        if state is None or not state.last_sync_s or state.failures:
            failed = f" (it fails: {state.error})" if state is not None and state.error else ""
            raise Refused(
                what=what,
                why=f"its replication job {one.id} has not yet brought {target} in sync{failed}",
                next=f"wait for its first run in this direction (replication: reversed), {AGAIN}",
            )


def _require_room(ends: Ends, machine: Machine, sheet: Sheet, target: str, what: str) -> None:
    known = storage_rows(ends.replica, target)
    by_storage: dict[str, int] = {}
    for disk in wire.disks_of(sheet.config):
        storage = _target_storage(ends, target) or disk.storage
        by_storage[storage] = by_storage.get(storage, 0) + disk.size_bytes
    for storage, size in by_storage.items():
        row = known.get(storage)
        if row is None:
            raise Refused(
                what=what,
                why=f"{target} has no storage {storage}, on which its disks would be",
                next=f"name one in dr_site (datastore): {', '.join(sorted(known)) or 'none is there'}",
            )
        free = wire.whole(row.get("maxdisk")) - wire.whole(row.get("disk"))
        if row.get("maxdisk") is not None and free < size + SPARE_BYTES:
            raise Refused(
                what=what,
                why=f"storage {storage} of {target} has {free / 2**30:.1f} GiB free, the VM needs"
                f" {(size + SPARE_BYTES) / 2**30:.1f} GiB beside the original's disks",
                next="free space there, or name another storage in dr_site (datastore)",
            )


def _require_bridges(ends: Ends, sheet: Sheet, target: str, what: str) -> None:
    """What cannot be read is not held against the move: Proxmox VE checks again."""
    try:
        rows = wire.rows_of(ends.replica.get(f"/nodes/{target}/network", type="any_bridge"))
    except DrError:
        return
    there = {str(row.get("iface")) for row in rows}
    missing = sorted(
        {str(net.options.get("bridge")) for net in wire.nets_of(sheet.config) if net.options.get("bridge")} - there
    )
    if there and missing:
        raise Refused(
            what=what,
            why=f"{target} has no bridge {', '.join(missing)}, to which the VM is connected",
            next=f"make a bridge of that name on {target}, {AGAIN}",
        )


def _target_storage(ends: Ends, target: str) -> str | None:
    spec = ends.spec.production if target == ends.home else ends.spec.replica
    return spec.datastore


def _other_storage(ends: Ends, sheet: Sheet, target: str) -> str | None:
    """Return the storage to name in the call: only where the disks do not keep the one they are on."""
    wanted = _target_storage(ends, target)
    return wanted if any(disk.storage != wanted for disk in wire.disks_of(sheet.config)) else None


# --- the move --------------------------------------------------------------------------------------------------------


def _move(ends: Ends, machine: Machine, target: str, mode: str, within_s: float) -> None:
    sheet = machine.now()
    if mode == COLD and sheet.power is not Power.OFF:
        raise ProviderFault(
            what=f"migrate {machine.target}",
            why=f"a cold move was asked for, and it is {sheet.power}",
            next=f"find out who powered it on, {AGAIN}",
        )
    is_replicated = bool(job.jobs_of(ends.replica, machine.vmid))
    is_online = sheet.power is Power.ON
    options = {"with-local-disks": True} if is_online else {}
    deadline = machine.client.clock.now_s() + within_s
    machine.run(
        f"migrate to {target}",
        "POST",
        f"{machine.path}/migrate",
        within_s=within_s,
        target=target,
        online=is_online or None,
        targetstorage=None if is_replicated else _other_storage(ends, sheet, target),
        **options,
    )
    if machine.now().node != target:
        # HA answers when it was asked: the VM has moved when its node is another.
        left_s = deadline - machine.client.clock.now_s()
        machine.await_sheet(lambda now: now.node == target and now.lock != "migrate", within_s=left_s)


def _next_after(machine: Machine, start: Sheet, mode: str) -> str:
    if mode == LIVE and start.power is Power.ON:
        return (
            f"the VM goes on serving on {start.node}; read the task's log there. If it cannot move while it runs, allow a cold"
            f" move with its downtime: dr_policy.cold_migration: true, {AGAIN}"
        )
    return f"the VM is off on {start.node}: {RUN_AGAIN} to continue the move, or let it serve there: `qm start {machine.vmid}`"
