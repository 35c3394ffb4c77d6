# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promote a replica by the failover of Hyper-V Replica: stamp, fail over to the point, isolate, power on, see the guest, connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core import ways as core_ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import BadInput, DrError, Refused
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import (
    Pair,
    Power,
    RecoveryPoint,
    Way,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import Clock, GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import keepsake, points, power, preflight
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import (
    Change,
    Look,
    Machine,
    never,
    unplugged,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.preflight import (
    BEGUN,
    COMPLETED,
    Preflight,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import failover as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.ends import require_replica
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.guest import not_alive
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN

FAIL_OVER_WITHIN_S = 300.0  # the chosen point's differences are merged on some releases before the answer comes
BOOT_ROUNDED_S = 1.0  # uptime is told in whole seconds
# From these on the promotion is complete: nothing of it may touch the copy again.
PAST = frozenset({Phase.FAILOVER, Phase.MIGRATING, Phase.FAILBACK, Phase.COMMITTED})


def ways(ends: Ends, pair: Pair, point: RecoveryPoint) -> tuple[Way, ...]:
    """Return the one way there is, with every reason against it. Reads only: the host's own guards are asked by -WhatIf."""
    try:
        found = preflight.check(ends, pair, point)
    except DrError as error:
        return (Way(name=core_ways.FAILOVER, is_possible=False, reason=error.why),)
    return (preflight.as_way(found, ends),)


def promote(
    ends: Ends,
    pair: Pair,
    point: RecoveryPoint,
    *,
    way: str,
    run_id: str,
    guest_within_s: float,
    clock: Clock,
    promoted_id: str = "",
) -> Iterator[Step]:
    """Yield the steps that make the replica serve at ``point``. Refuses before the first of them."""
    if way != core_ways.FAILOVER:
        raise BadInput(
            what=f"promote the replica of {pair.name} at {point.name} by {way!r}",
            why="Hyper-V Replica knows one way, its failover",
            next=f"set dr_policy.promotion to auto or {core_ways.FAILOVER}",
        )
    if promoted_id:
        raise BadInput(
            what=f"promote the replica of {pair.name} as {promoted_id}",
            why="a failover keeps the VM's id: no new VM is made",
            next="remove dr_promoted_id",
        )
    yield from Promotion(ends, pair, point, run_id=run_id, guest_within_s=guest_within_s, clock=clock).steps()


class Promotion:
    """One promotion. All acts go to the replica's host; the production host may be dead."""

    def __init__(
        self, ends: Ends, pair: Pair, point: RecoveryPoint, *, run_id: str, guest_within_s: float, clock: Clock
    ) -> None:
        self.replica = require_replica(pair, "promote the replica")
        self.ends, self.pair, self.point, self.run_id = ends, pair, point, run_id
        self.guest_within_s, self.clock = guest_within_s, clock
        self.machine = ends.machine(self.replica)
        self.what = f"promote the replica of {pair.name}"
        self._off_at_s = 0.0  # when it was last seen off, by its host's clock

    def steps(self) -> Iterator[Step]:
        found = preflight.check(self.ends, self.pair, self.point, self.machine)
        self._refuse_foreign(found.sheet)
        if found.reasons and not self.is_past(found.sheet):
            raise Refused(what=self.what, why="; ".join(found.reasons), next=f"lift what stands against it, {AGAIN}")
        if self._is_second_choice(found.sheet):
            yield self._end_first_choice()
        yield self._claim(found)
        yield self._fail_over()
        yield self._isolate()
        yield power.power_on_step(self.machine, unless=self._is_past_noting_off)
        yield self._see_guest()
        yield self._connect()
        yield self.machine.stamp_step(
            "stamp as failed over",
            lambda sheet: Change(marks={stamps.RUN: self.run_id, stamps.PHASE: Phase.FAILOVER}),
            unless=self.is_past,
            next=f"it serves already; {RUN_AGAIN}, which sets the stamp",
        )

    # --- what is there ------------------------------------------------------------------------------------------------

    def is_past(self, sheet: Sheet) -> bool:
        """Tell whether the promotion was completed: from then on nothing here may touch the copy again."""
        return self._is_ours(sheet) and sheet.stamps.get(stamps.PHASE) in PAST

    def _is_past_noting_off(self, sheet: Sheet) -> bool:
        if sheet.power is Power.OFF:
            self._off_at_s = sheet.read_at_s
        return self.is_past(sheet)

    def _is_ours(self, sheet: Sheet) -> bool:
        return sheet.stamps.get(stamps.RUN) == self.run_id

    def _is_claimed(self, sheet: Sheet) -> bool:
        shown = sheet.stamps
        return self._is_ours(sheet) and stamps.MODE in shown and shown.get(stamps.POINT) == self.point.id

    def _refuse_foreign(self, sheet: Sheet) -> None:
        owner = sheet.stamps.get(stamps.RUN, "")
        if owner and owner != self.run_id:
            raise Refused(
                what=self.what,
                why=f"run {owner} holds it (phase {sheet.stamps.get(stamps.PHASE, 'unknown')})",
                next=f"continue or undo run {owner} first",
            )

    def _is_second_choice(self, sheet: Sheet) -> bool:
        """Tell whether this run has tried another point before, whose guest did not come up."""
        stamped = sheet.stamps.get(stamps.POINT, "")
        return self._is_ours(sheet) and stamped not in ("", self.point.id) and not self.is_past(sheet)

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _end_first_choice(self) -> Step:
        """What the guest wrote since is of a point that did not serve; every recovery point stays."""
        return cancel_step(self.machine, unless=lambda sheet: self.is_past(sheet) or self._is_claimed(sheet))

    def _claim(self, found: Preflight) -> Step:
        kept = found.kept()

        def change(sheet: Sheet) -> Change:
            wanted = {
                stamps.RUN: self.run_id,
                stamps.PHASE: Phase.PROMOTING,
                stamps.MODE: core_ways.FAILOVER,
                stamps.POINT: self.point.id,
                stamps.FENCED: "",
            }
            return Change(marks=wanted, kept=kept, autostart=NO_AUTOSTART)

        return self.machine.stamp_step("stamp as being promoted", change, unless=self.is_past)

    def _fail_over(self) -> Step:
        script = scripts.FAIL_OVER
        snapshot = points.snapshot_of(self.point.id)

        def is_done(sheet: Sheet) -> bool:
            return self.is_past(sheet) or (self._is_claimed(sheet) and sheet.replication_state in (BEGUN, COMPLETED))

        def act() -> None:
            self.machine.act(script, within_s=FAIL_OVER_WITHIN_S, point=snapshot, notes=self.machine.last().notes)

        calls = script.calls(self.machine.host, id=self.machine.guid, point=snapshot)
        if not snapshot:
            calls = (f"{self.machine.host}: Start-VMFailover -VM '{self.machine.guid}' -Confirm:$false",)
        return self.machine.step(
            "fail over to the recovery point",
            calls=calls,
            is_done=is_done,
            act=act,
            more=lambda sheet: {"point": self.point.id},
            next=f"see the event log Hyper-V-VMMS on {self.machine.host}; choose another recovery point, or {RUN_AGAIN}",
        )

    def _isolate(self) -> Step:
        return self.machine.nics_step(
            "isolate before power on",
            unplugged,
            # One that is on was isolated before that; NICs that are connected by now serve.
            unless=lambda sheet: self.is_past(sheet) or sheet.power is Power.ON,
            next=f"set every NIC of {self.replica.name} on {self.machine.host} to Not connected (Settings), {AGAIN}",
        )

    def _see_guest(self) -> Step:
        return self.machine.step(
            marks.GUEST_ALIVE,
            calls=[
                f"{self.machine.host}: Get-VM -Id '{self.machine.guid}' (Heartbeat), for up to {self.guest_within_s:.0f} s"
            ],
            is_done=lambda sheet: self.is_past(sheet) or power.is_guest_alive(sheet),
            act=self._await_guest,
            next=f"look at its console; give it more time and {RUN_AGAIN}, or choose an older recovery point",
        )

    def _await_guest(self) -> None:
        from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.health import await_guest

        sheet = self.machine.last()
        # Crashes before this boot are another guest's
        since_s = self._off_at_s or (power.booted_at_s(sheet) or sheet.read_at_s) - BOOT_ROUNDED_S
        wait = await_guest(self.machine.client, self.machine.vm(sheet), within_s=self.guest_within_s, since_s=since_s)
        if wait.outcome is GuestOutcome.ALIVE:
            return
        raise not_alive(
            self.machine.target,
            wait,
            older=f"choose an older recovery point than {self.point.name!r}: -e recover_point=..., {AGAIN}",
            who="see in the event log Hyper-V-Worker who turned it off",
            unblock="free its volume or lift what stopped it",
        )

    def _connect(self) -> Step:
        return self.machine.nics_step(
            "connect the NICs",
            self._switches_to_serve,
            unless=self.is_past,
            next=f"connect the NICs of {self.replica.name} on {self.machine.host} (is their switch there?), {AGAIN}",
        )

    def _switches_to_serve(self, sheet: Sheet) -> Mapping[str, str]:
        """Return the switches that were chosen at the start, when the production host could perhaps still be asked."""
        kept = keepsake.of(sheet)
        return keepsake.on_adapters(sheet.switches(), kept.serve if kept is not None else {})


def cancel_step(machine: Machine, *, unless: Look = never) -> Step:
    """Return the step that takes a failover back: the VM is off, and what it wrote since is gone."""
    return machine.step(
        "cancel the failover",
        calls=scripts.CANCEL.calls(machine.host, id=machine.guid),
        is_done=lambda sheet: unless(sheet) or (sheet.replication_state != BEGUN and sheet.power is Power.OFF),
        act=lambda: machine.act(scripts.CANCEL, within_s=FAIL_OVER_WITHIN_S),
        next=f"run `Stop-VMFailover` for {machine.name} on {machine.host} by hand, {AGAIN}",
    )
