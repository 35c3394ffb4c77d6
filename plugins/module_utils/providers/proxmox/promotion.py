# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all ways of promotion share: holding the job still, seeing the guest, plugging it in, and the stamps around that."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair, Power, RecoveryPoint
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox import guards, keepsake, power, tags
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.acting import Machine, Row, Sheet, rows
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.ends import (
    Ends,
    copy_of,
    name_of,
    origin_of,
    rows_of_run,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.job import Holder
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import require_replica
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.guest import not_alive
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN

PVESR = "pvesr:"
BACKUP = "backup:"
# From these on the promotion is complete: nothing of it may touch the copy again.
PAST = frozenset({Phase.FAILOVER, Phase.MIGRATING, Phase.FAILBACK, Phase.COMMITTED})


class Promotion:
    """One promotion by any way. Everything goes through the replica's end; the production node may be dead."""

    def __init__(
        self,
        ends: Ends,
        pair: Pair,
        point: RecoveryPoint,
        *,
        way: str,
        run_id: str,
        guest_within_s: float,
        clock: Clock,
        promoted_id: str = "",
    ) -> None:
        self.replica = require_replica(pair, "promote the replica")
        self.ends, self.pair, self.point, self.way, self.run_id = ends, pair, point, way, run_id
        self.guest_within_s, self.clock, self.promoted_id = guest_within_s, clock, promoted_id
        self.client = ends.replica
        self.origin = origin_of(pair)
        self.name = name_of(pair)
        self.what = f"promote the replica of {self.name} ({way})"

    # --- before anything ----------------------------------------------------------------------------------------------

    def found(self) -> list[Row]:
        """Return the VMs of this run, as they are now."""
        return rows_of_run(self.client, self.run_id, self.origin)

    def copy(self) -> Row | None:
        return copy_of(self.found())

    def refuse_foreign(self) -> None:
        """Raise where another run holds the replica, or this one went another way already."""
        shown = self.replica.stamps
        owner = shown.get(stamps.RUN, "")
        if owner and owner != self.run_id:
            raise Refused(
                what=self.what,
                why=f"run {owner} holds it (phase {shown.get(stamps.PHASE, 'unknown')})",
                next=f"continue or undo run {owner} first",
            )
        begun = next((row.stamps.get(stamps.MODE) for row in self.found() if row.stamps.get(stamps.MODE)), None)
        if begun and begun != self.way:
            raise Refused(
                what=self.what,
                why=f"this run has begun to promote by {begun}: two ways would make two copies",
                next=f"set dr_policy.promotion: {begun} and run the same command again, or undo this run",
            )

    def is_past(self, sheet: Sheet) -> bool:
        """Tell whether the promotion was completed: from then on nothing here may touch the copy again."""
        return sheet.has_run(self.run_id) and sheet.stamps.get(stamps.PHASE) in PAST

    # --- the job ------------------------------------------------------------------------------------------------------

    def holder(self) -> Holder:
        return Holder(self.client, self.origin, name=self.name, owner=self.owner)

    def owner(self) -> str:
        """Return the node that has the original's configuration now."""
        return next((row.node for row in rows(self.client) if row.vmid == self.origin), self.ends.home)

    def hold_job(self, *, is_point_checked: Callable[[], bool]) -> Iterator[Step]:
        """Yield the steps that stop the replication, then see that the disks are still those of the chosen point."""
        if not self.ends.is_one_cluster():
            return  # no replication reaches another cluster, and a job there of the same number is another VM's
        holder = self.holder()
        yield holder.hold(self.run_id)
        yield holder.still()
        if self.point.id.startswith(PVESR) and is_point_checked():
            self._require_point(holder)

    def _require_point(self, holder: Holder) -> None:
        """A replica is one point in time: a run between the choice and the disabling has overwritten it."""
        job_id, _at, at_s = self.point.id.removeprefix(PVESR).rpartition("@")
        states = holder.states()
        if states is None:  # the node is dead: it cannot have replicated since it was last asked
            return
        state = states.get(job_id)
        if state is None:
            raise Refused(
                what=self.what,
                why=f"the replication job {job_id} is gone",
                next="read the recovery points again with the assess playbook and choose another",
            )
        if str(state.last_sync_s) != at_s and state.last_sync_s:
            raise Refused(
                what=self.what,
                why=f"job {job_id} has replicated since the point was chosen: the replica is now of"
                f" {state.last_sync_s}, chosen was {at_s} (seconds since 1970)",
                next="run the same command again with the point that is there now (recover_point), after seeing that it is"
                " older than the trouble; else restore a backup",
            )

    # --- the copy, once it is there -----------------------------------------------------------------------------------

    def serve(self, machine: Machine) -> Iterator[Step]:
        """Yield the steps from a stamped, unplugged copy to a serving one."""
        yield power.power_on_step(machine, unless=self.is_past)
        yield self.see_guest(machine)
        yield self.connect(machine)
        yield self.stamp(
            machine,
            "stamp as failed over",
            {stamps.RUN: self.run_id, stamps.PHASE: Phase.FAILOVER},
            next=f"it serves already; {AGAIN}, which sets the stamp",
        )

    def stamp(self, machine: Machine, name: str, marks: dict[str, str], *, next: str) -> Step:
        return stamp_step(machine, name, marks, next=next, unless=self.is_past)

    def connect(self, machine: Machine) -> Step:
        """Return the step that gives the copy the links that the original had before it was fenced."""

        def wanted(sheet: Sheet) -> dict[str, str]:
            kept = keepsake.of(sheet.config)
            return {key: text for key, text in (kept.nets if kept is not None else {}).items() if key in sheet.nets}

        return guards.nics(
            machine,
            "connect the NICs",
            wanted,
            unless=self.is_past,
            next=f"untick Disconnect on the NICs of VM {machine.vmid} (does their bridge exist on {self.ends.away}?), {AGAIN}",
        )

    def see_guest(self, machine: Machine) -> Step:
        return machine.step(
            marks.GUEST_ALIVE,
            calls=[f"POST {machine.path}/agent/ping, for up to {self.guest_within_s:.0f} s"],
            is_done=lambda sheet: self.is_past(sheet) or _is_alive(machine, sheet),
            act=lambda: self._await_guest(machine),
            next=f"look at its console; give it more time and {RUN_AGAIN}, or choose an older recovery point",
        )

    def _await_guest(self, machine: Machine) -> None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.proxmox.health import await_guest

        sheet = machine.now()
        uptime_s = float(sheet.status.get("uptime") or 0)
        since_s = self.clock.now_s() + self.client.clock_offset_s - uptime_s
        wait = await_guest(self.client, machine.vm(sheet), within_s=self.guest_within_s, since_s=since_s)
        if wait.outcome is GuestOutcome.ALIVE:
            return
        raise not_alive(
            machine.target,
            wait,
            older=f"undo this run and choose an older recovery point than {self.point.name!r}, or a backup",
            who="see in its task history who stopped it",
            unblock="free its storage or lift what stopped it",
        )


def _is_alive(machine: Machine, sheet: Sheet) -> bool:
    if sheet.power is not Power.ON:
        return False
    # Without an agent nothing inside can speak for this guest: the checks of the service will have to.
    return not power.has_agent(sheet) or power.is_agent_alive(machine)


def stamp_step(
    machine: Machine,
    name: str,
    marks: dict[str, str],
    *,
    next: str,
    unless: Callable[[Sheet], bool] = lambda sheet: False,
    more: Callable[[Sheet], dict[str, t.Any]] = lambda sheet: {},
) -> Step:
    """Return the step that sets stamps ("" takes one off), with whatever else ``more`` writes in the same call."""

    def is_stamped(sheet: Sheet) -> bool:
        shown = sheet.stamps
        return all(shown.get(key, "") == value for key, value in marks.items())

    return machine.step(
        name,
        calls=[
            f"PUT {machine.path}/config tags ({', '.join(tags.tag_of(k, v) for k, v in marks.items() if v) or 'off'})"
        ],
        is_done=lambda sheet: unless(sheet) or is_stamped(sheet),
        act=lambda: machine.put(
            name,
            lambda sheet: {"tags": tags.with_stamps(sheet.config.get("tags"), marks), **more(sheet)},
        ),
        next=next,
    )
