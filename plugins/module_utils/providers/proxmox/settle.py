# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""End a promotion: undo it to the exact former state, or commit it. Only here does a VM go, and only one that this run made."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Former
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.core.waiting import wait_until
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import (
    guards,
    inplace,
    job,
    keepsake,
    power,
    ssh,
    tags,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import (
    Machine,
    Row,
    Sheet,
    rows,
    votes,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.clone import (
    DESTROY_WITHIN_S,
    destroy,
    remove_shell,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    MOVED,
    Ends,
    copy_of,
    name_of,
    origin_of,
    rows_of_run,
    shells_of,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.job import Holder
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.promotion import PAST, stamp_step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import require_replica
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

GUEST_WITHIN_S = 30.0  # what the guest would save is thrown away
JOB_GONE_WITHIN_S = 300.0  # the scheduler looks each minute, then removes the target's disks


def undo_promotion(
    ends: Ends, pair: Pair, former: Former, *, run_id: str, guest_within_s: float = GUEST_WITHIN_S
) -> Iterator[Step]:
    """Yield the steps back to what was before the run, however far the promotion came.

    The copy goes first, the job is put back last: as long as it is disabled nothing that undo needs is overwritten.
    """
    origin, name = origin_of(pair), name_of(pair)
    found = rows_of_run(ends.replica, run_id, origin)
    copy = copy_of(found)
    _refuse_foreign(pair, run_id)
    if copy is not None and copy.stamps.get(stamps.PHASE) == Phase.COMMITTED:
        raise Refused(
            what=f"undo the promotion of {name}",
            why="it was committed",
            next="make the fenced original its replica (reprotect)",
        )
    _refuse_to_nowhere(ends, copy, name)
    moved = copy is not None and copy.vmid == origin
    if moved and copy is not None:
        yield from _undo_move(ends, pair, copy, origin=origin, run_id=run_id, guest_within_s=guest_within_s)
    elif copy is not None:
        yield from _undo_copy(ends, copy, name=name, origin=origin, run_id=run_id, guest_within_s=guest_within_s)
    elif _is_unstamped_move(ends, origin, run_id):
        # Killed between the move of the configuration and its first stamp.
        machine = Machine(ends.replica, origin, name=name, node=ends.away)
        yield _move_home(ends, machine)
    for shell in shells_of(found):
        machine = Machine(ends.replica, shell.vmid, name=f"shell of {name}", node=shell.node)
        yield remove_shell(machine, clone=int(shell.stamps[tags.SHELL]), origin=origin, run_id=run_id)
    holder = Holder(ends.replica, origin, name=name, owner=lambda: _owner(ends, origin))
    yield holder.release(run_id)


def commit(ends: Ends, pair: Pair, *, run_id: str) -> Iterator[Step]:
    """Yield the steps that make the promotion permanent. Nothing is removed: the fenced original is kept as it is.

    A VM that was promoted in place and came home is a plain protected VM again: no stamp stays on it.
    """
    name = name_of(pair)
    replica = require_replica(pair, "commit the promotion")
    row = copy_of(rows_of_run(ends.replica, run_id, origin_of(pair)))
    if row is None:
        if not any(key in vm.stamps for vm in pair.copies() for key in (stamps.RUN, stamps.FENCED)):
            return  # committed at home before: the stamps are off
        raise Refused(
            what=f"commit the promotion of {name}",
            why=f"it is not promoted by run {run_id} (its stamp: {replica.stamps.get(stamps.RUN) or 'none'})",
            next="see the status playbook for the run to commit",
        )
    machine = Machine(ends.replica, row.vmid, name=name, node=row.node, vm_id=replica.id)
    is_moved = row.stamps.get(stamps.MODE) in MOVED
    kept = keepsake.of(machine.now().config)
    if is_moved and row.node == ends.home:
        yield from _become_plain(ends, machine, kept, name=name, run_id=run_id)
        return
    yield stamp_step(
        machine,
        "stamp as committed",
        {stamps.PHASE: Phase.COMMITTED},
        # It is production from now on: what starts with its node is to start with it.
        more=lambda sheet: {"onboot": kept.onboot} if kept is not None else {},
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )
    if is_moved and kept is not None:
        yield guards.ha_back(machine, kept.ha)


# --- a copy of its own -----------------------------------------------------------------------------------------------


def _undo_copy(ends: Ends, row: Row, *, name: str, origin: int, run_id: str, guest_within_s: float) -> Iterator[Step]:
    machine = Machine(ends.replica, row.vmid, name=name, node=row.node)
    yield power.power_off_step(machine, guest_within_s=guest_within_s)
    yield _remove_jobs(machine)
    yield _remove_copy(machine, origin=origin, run_id=run_id)


def _remove_jobs(machine: Machine) -> Step:
    """Return the step that ends a replication of the copy, and sees its target's disks gone: they would be orphans."""

    def own() -> list[str]:
        shown = machine.client.get("/cluster/replication") or []
        return [str(row.get("id")) for row in shown if int(row.get("guest") or 0) == machine.vmid]

    def act() -> None:
        for one in job.jobs_of(machine.client, machine.vmid):  # those not being removed already
            machine.client.send("DELETE", f"/cluster/replication/{one.id}")
        wait_until(
            lambda: True if not own() else None, within_s=JOB_GONE_WITHIN_S, clock=machine.client.clock, every_s=1.0
        )

    return Step(
        name="end the copy's own replication",
        target=machine.target,
        calls=(f"DELETE /cluster/replication/{machine.vmid}-*",),
        look=lambda: Sight(is_done=not own(), seen={"jobs": own()}),
        act=act,
        next=f"wait until the job is gone (`pvesr list`), {AGAIN}",
    )


def _remove_copy(machine: Machine, *, origin: int, run_id: str) -> Step:
    """Return the step that removes the copy, and nothing but what this run has made."""

    def act() -> None:
        sheet = machine.now()
        is_ours = sheet.has_run(run_id) and sheet.stamps.get(stamps.MODE) not in MOVED and machine.vmid != origin
        if not is_ours or sheet.power is not Power.OFF or stamps.FENCED in sheet.stamps:
            raise ProviderFault(
                what=f"remove {machine.target}",
                why=f"it is {sheet.power} and not a copy that run {run_id} made",
                next="look at this VM yourself; it is left as it is",
            )
        destroy(machine, purge=True)

    return machine.step(
        "remove the copy",
        calls=[f"DELETE {machine.path} purge=1"],
        is_done=lambda sheet: not sheet.is_there,
        act=act,
        tasks=("qmdestroy",),
        within_s=DESTROY_WITHIN_S,
        next=f"remove VM {machine.vmid} by hand, {AGAIN}",
    )


# --- a moved configuration -------------------------------------------------------------------------------------------


def _undo_move(ends: Ends, pair: Pair, row: Row, *, origin: int, run_id: str, guest_within_s: float) -> Iterator[Step]:
    """Yield the steps that give the configuration back to the disks it came from, fenced as it was.

    The shape of the fence is put on again before the move: from the moment it is home it could be started.
    """
    name = name_of(pair)
    what = f"undo the promotion of {name}"
    marks = [one.mark for one in job.jobs_of(ends.replica, origin)]
    if any(mark is not None and mark.run_id == run_id and mark.word == job.REVERSED for mark in marks):
        raise Refused(
            what=what,
            why="its replication has been reversed: the original's disks were overwritten, as a person accepted",
            next="commit the promotion; what was before comes back from a backup only",
        )
    if not any(one.is_held_by(run_id) for one in job.jobs_of(ends.replica, origin)) and marks:
        raise Refused(
            what=what,
            why="its replication job is not the one this run disabled: the original's disks may have been overwritten",
            next="see the job's log (Replication), then commit the promotion or restore a backup",
        )
    if row.node != ends.home and not ssh.is_configured(ends.spec.replica):
        raise Refused(
            what=what,
            why=f"its configuration is on {row.node}, and only SSH can move it back without touching the original's disks",
            next="set ssh_user, ssh_key_path and ssh_known_hosts_path of dr_site.replica, or commit the promotion",
        )
    machine = Machine(ends.replica, origin, name=name, node=row.node, vm_id=f"replica:{origin}")
    yield power.power_off_step(machine, guest_within_s=guest_within_s)
    yield guards.ha_off(machine)
    yield _fence_shape(machine, run_id)
    yield inplace.quorum_of_one(ends)
    yield _move_home(ends, machine)
    yield stamp_step(
        machine,
        "take the promotion's stamps off",
        {stamps.RUN: "", stamps.PHASE: "", stamps.MODE: "", stamps.POINT: ""},
        next=f"remove the dr.run, dr.phase, dr.mode and dr.point tags from VM {origin}, {AGAIN}",
    )


def _fence_shape(machine: Machine, run_id: str) -> Step:
    """Return the step that makes the VM again what the fence left: unfence knows how to go on from there."""
    name = "fence it as before the promotion"

    def change(sheet: Sheet) -> dict[str, object]:
        return {
            **keepsake.linked(sheet.nets, is_up=False),
            "onboot": False,
            "tags": tags.with_stamps(sheet.config.get("tags"), {stamps.FENCED: run_id, stamps.PHASE: Phase.PROMOTING}),
        }

    return machine.step(
        name,
        calls=[f"PUT {machine.path}/config net* (link_down=1), onboot=0, tags"],
        is_done=lambda sheet: (
            sheet.stamps.get(stamps.FENCED) == run_id and not any(keepsake.links(sheet.nets).values())
        ),
        act=lambda: machine.put(name, change),
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )


def _move_home(ends: Ends, machine: Machine) -> Step:
    return inplace.move_step(
        ends, machine, source=ends.away, target=ends.home, name="move its configuration back to the original's disks"
    )


def _is_unstamped_move(ends: Ends, origin: int, run_id: str) -> bool:
    held = any(one.is_held_by(run_id) for one in job.jobs_of(ends.replica, origin))
    return held and _owner(ends, origin) == ends.away and ends.away != ends.home


def _become_plain(
    ends: Ends, machine: Machine, kept: keepsake.Keepsake | None, *, name: str, run_id: str
) -> Iterator[Step]:
    """Yield the steps that leave nothing of us on a VM that lives where it did, replicated as it was."""
    origin = machine.vmid
    holder = Holder(machine.client, origin, name=name, owner=lambda: _owner(ends, origin))
    title = "take every stamp off"

    def change(sheet: Sheet) -> dict[str, object]:
        mine: dict[str, object] = {
            "tags": ";".join(tags.foreign_tags(sheet.config.get("tags"))),
            "description": keepsake.forgotten(sheet.config),
        }
        if kept is not None:
            mine |= {"onboot": kept.onboot, "protection": kept.protection}
        return mine

    # First the word: from here on a killed commit is known as one, and is continued.
    yield stamp_step(
        machine,
        "stamp as committed",
        {stamps.PHASE: Phase.COMMITTED},
        unless=lambda sheet: not tags.is_ours(tags.split_tags(sheet.config.get("tags"))),
        next=f"read the answer of Proxmox VE above, {AGAIN}",
    )
    yield holder.release(run_id, is_enabled=True)
    if kept is not None:
        yield guards.ha_back(machine, kept.ha)
    yield machine.step(
        title,
        calls=[f"PUT {machine.path}/config tags, description, onboot, protection as they were"],
        is_done=lambda sheet: not tags.is_ours(tags.split_tags(sheet.config.get("tags"))),
        act=lambda: machine.put(title, change),
        next=f"remove the dr.* tags from VM {origin}, {AGAIN}",
    )


# --- inside ----------------------------------------------------------------------------------------------------------


def _owner(ends: Ends, origin: int) -> str:
    return next((row.node for row in rows(ends.replica) if row.vmid == origin), ends.home)


def _refuse_to_nowhere(ends: Ends, copy: Row | None, name: str) -> None:
    """A copy that serves is not stopped for an original whose node is dead: nothing would serve then."""
    if copy is None or copy.stamps.get(stamps.PHASE) not in PAST or not votes(ends.replica).is_dead(ends.home):
        return
    raise Refused(
        what=f"undo the promotion of {name}",
        why=f"it serves, and {ends.home}, to whose copy the undo would return, is not in the cluster",
        next=f"bring {ends.home} back first, {AGAIN}; or commit the promotion",
    )


def _refuse_foreign(pair: Pair, run_id: str) -> None:
    owner = pair.replica.stamps.get(stamps.RUN) if pair.replica is not None else None
    if owner and owner != run_id:
        raise Refused(
            what=f"undo the promotion of {pair.name} by run {run_id}",
            why=f"it is held by run {owner}",
            next=f"undo run {owner} instead",
        )
