# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Move a promoted VM to the other host by a planned failover of Hyper-V Replica: home, or back. Nothing that was written is lost.

The guest is shut down and the last log sent (prepared: from then on the VM is locked where it was), the other host fails over, the
replication is turned, and the VM starts there. Where a controller was killed between any two of these, the same call continues; the
call to the host that it came from takes back what was begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ansible_collections.ferragosto.dr.plugins.module_utils.core import marks, stamps, ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import ProviderFault, Refused, SiteUnreachable
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Vm
from ansible_collections.ferragosto.dr.plugins.module_utils.core.ports import GuestOutcome
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Sight, Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import (
    edition,
    keepsake,
    power,
    preflight_acts,
    turning,
    wire,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import legs as both
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Change, Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.faults import NoSuchVm
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.legs import (
    PREPARED,
    PRIMARY,
    REPLICA,
    REPLICATING,
    Legs,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.preflight_acts import Terms
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN, RUN_AGAIN

MIGRATE_WITHIN_S = 4 * 3600.0  # the last log of a VM that writes much
GUEST_WITHIN_S = 300.0  # a planned downtime: the guest gets the time it needs to close cleanly, and to come up
COLD = "cold"
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
    """Yield the steps of the move to the "production" or the "replica" host. Refuses before the first of them."""
    move = _Move(Legs.of(ends, vm), to=to, run_id=run_id, within_s=within_s, guest_within_s=guest_within_s)
    yield from move.steps(mode)


def end_migration(ends: Ends, vm: Vm, *, run_id: str, phase: str) -> Iterator[Step]:
    legs = Legs.of(ends, vm)
    what = f"stamp {legs.name} as {phase}"
    home, away = both.seen(legs.home)[0], both.seen(legs.away)[0]
    line = legs.line(home, away)
    if line is None:
        for machine, sheet in ((legs.home, home), (legs.away, away)):
            if sheet is None:
                both.required(machine, what)
        return  # an undo has given it back already
    yield line.stamp_step(f"stamp as {phase}", lambda sheet: Change(marks={stamps.RUN: run_id, stamps.PHASE: phase}))


class _Move:
    """``source`` is the host that it leaves, ``target`` the one where it is to serve."""

    def __init__(self, legs: Legs, *, to: str, run_id: str, within_s: float, guest_within_s: float) -> None:
        self.legs, self.run_id, self.within_s, self.guest_within_s = legs, run_id, within_s, guest_within_s
        self.target = legs.home if to == PRODUCTION else legs.away
        self.source = legs.other(self.target)
        self.what = f"migrate {legs.name} to {self.target.host}"

    def steps(self, mode: str) -> Iterator[Step]:
        there = both.required(self.target, self.what)
        here = both.seen(self.source)[0]
        sheets = {self.target.host: there, self.source.host: here}
        line = self.legs.line(sheets[self.legs.home.host], sheets[self.legs.away.host])
        if here is None and (line is not self.target or not _is_turned(there)):
            both.required(self.source, self.what)
        is_moving = there.stamps.get(stamps.PHASE) == Phase.MIGRATING or there.replication_state == PREPARED
        if line is None or (line is self.target and not is_moving):
            return
        if _is_left_half(there):
            yield from self._give_up()
        elif here is not None and (line is self.source or there.mode != PRIMARY):
            if mode != COLD:
                next_move = "allow its downtime: mode cold (dr_policy.cold_migration)"
                raise Refused(what=self.what, why=edition.LIVE, next=next_move)
            yield from self._go(here, there)
        yield from self._arrive()

    # --- before anything ----------------------------------------------------------------------------------------------

    def _require_way(self, here: Sheet, there: Sheet) -> Terms:
        source, target = self.source, self.target
        if here.mode != PRIMARY:
            raise Refused(
                what=self.what,
                why=f"its replication has not been reversed: on {target.host} are still the original's disks, which the move"
                " would overwrite",
                next="accept that loss (dr_accept.original_overwritten) and reverse the replication, or stay",
            )
        if there.replication_state not in wire.FAILED_OVER:
            both.refuse_running(target, there, self.what)
        if stamps.FENCED not in there.stamps and stamps.MODE not in there.stamps:
            raise Refused(
                what=self.what,
                why=f"{target.target} bears no fence stamp: nobody of us has seen to it that it cannot start by itself",
                next=f"fence it (module vm_fence), {AGAIN}",
            )
        is_failed_over = here.replication_state == PREPARED and there.replication_state in wire.FAILED_OVER
        if not is_failed_over and not _is_ready(here, there):
            raise Refused(
                what=self.what,
                why=f"its replication has not brought {target.host} in sync ({source.host}: {here.replication_state},"
                f" {target.host}: {there.mode}, {there.replication_state})",
                next=f"bring it there (replication: reversed), {AGAIN}",
            )
        shown = preflight_acts.receiver(target.client)
        preflight_acts.require_switches(target, shown, self._switches(there).values(), self.what)
        preflight_acts.require_memory(target, shown, there, self.what)
        kind = here.relation.authentication if here.relation is not None else ""
        return preflight_acts.terms(self.legs, target, source, authentication=kind, what=self.what, sends=shown)

    # --- away from the source -----------------------------------------------------------------------------------------

    def _go(self, here: Sheet, there: Sheet) -> Iterator[Step]:
        """Yield the steps from a primary that serves at the source to a primary that may start at the target."""
        terms = self._require_way(here, there)
        yield self.source.stamp_step(
            "stamp as migrating",
            lambda sheet: Change(marks={stamps.RUN: self.run_id, stamps.PHASE: Phase.MIGRATING}),
            unless=_has_left,
        )
        yield power.power_off_step(self.source, guest_within_s=self.guest_within_s, unless=_has_left)
        yield self._prepare()
        yield self._fail_over()
        yield self._claim()
        yield turning.turn(self.target, self.source, terms)

    def _prepare(self) -> Step:
        source = self.source

        def guard() -> None:
            sheet = both.must_be_off(source, f"send the last log of {source.target}", sheet=source.last())
            if sheet.replication_state != REPLICATING:
                raise ProviderFault(
                    what=f"send the last log of {source.target}",
                    why=f"its replication is {sheet.replication_state}",
                    next=f"the VM is off: bring its replication back (state enabled) {AGAIN}; or let it serve on {source.host}"
                    " meanwhile (Start-VM)",
                )

        return both.step(
            source,
            "prepare the failover",
            scripts.PREPARE,
            is_done=lambda sheet: _has_left(sheet) or sheet.replication_state == PREPARED,
            guard=guard,
            within_s=self.within_s,
            next=f"the VM is off on {source.host}: {RUN_AGAIN} to continue; to let it serve there, Stop-VMFailover and Start-VM"
            f" on {source.host}",
        )

    def _fail_over(self) -> Step:
        """Only what is prepared can be failed over without loss, and nothing but the source's host knows that it is."""
        source, target = self.source, self.target

        def guard() -> None:
            sheet = both.must_be_off(source, f"fail over to {target.host}")
            if sheet.mode != PRIMARY or sheet.replication_state != PREPARED:
                raise ProviderFault(
                    what=f"fail over to {target.host}",
                    why=f"{source.target} is not prepared ({sheet.mode}, {sheet.replication_state})",
                    next=f"see who changed it, {AGAIN}",
                )

        return both.step(
            target,
            "fail over to the last log",
            scripts.FAIL_OVER,
            is_done=lambda sheet: sheet.mode == PRIMARY or sheet.replication_state in wire.FAILED_OVER,
            guard=guard,
            next=f"the VM is off on both hosts: {RUN_AGAIN} to continue; to let it serve on {source.host}, migrate it back",
        )

    def _claim(self) -> Step:
        """The line's stamps go to the copy that is to serve, before it can be started; what the fence kept of it stays."""

        def change(sheet: Sheet) -> Change:
            wanted = {
                stamps.RUN: self.run_id,
                stamps.PHASE: Phase.MIGRATING,
                stamps.MODE: ways.FAILOVER,
                stamps.FENCED: "",
            }
            return Change(marks=wanted, kept=keepsake.now(sheet), autostart=NO_AUTOSTART)

        return self.target.stamp_step("stamp as the one to serve", change)

    def _give_up(self) -> Iterator[Step]:
        """Yield the steps that take back a move from here that was begun and not turned yet."""
        source = self.source
        yield both.step(
            source,
            "take the failover back",
            scripts.CANCEL,
            is_done=lambda sheet: sheet.replication_state not in wire.FAILED_OVER,
            guard=lambda: both.must_be_off(source, f"take the failover on {source.host} back", sheet=source.last()),
            next=f"by hand on {source.host}: Stop-VMFailover, {AGAIN}",
        )
        yield from self._rest()
        yield turning.take_back(self.target)

    # --- at the target ------------------------------------------------------------------------------------------------

    def _arrive(self) -> Iterator[Step]:
        target = self.target
        yield self._claim()
        yield from self._rest()
        yield target.nics_step(
            "connect the NICs",
            self._switches,
            next=f"connect the NICs of {target.target} (are their switches there?), {AGAIN}",
        )
        on = power.power_on_step(target)
        yield replace(on, act=_first(self._require_alone, on.act))
        yield self._see_guest()

    def _rest(self) -> Iterator[Step]:
        for step in turning.rest(self.source, self.run_id):
            yield self._tolerant(step)

    def _tolerant(self, step: Step) -> Step:
        """Once the replication is turned, a source that shows nothing keeps nobody waiting: what lies there cannot be started."""

        def look() -> Sight:
            try:
                return step.look()
            except (SiteUnreachable, NoSuchVm) as error:
                if not _is_turned(self.target.now()):
                    raise
                self.source.client.progress(f"{step.name}: left for later, {error.why}")
                return Sight(is_done=True, seen={"host": self.source.host, "unseen": error.why})

        return replace(step, look=look)

    def _require_alone(self) -> None:
        """Raise unless the other copy is seen off, or this one has become the primary and its host is silent."""
        what = f"power on {self.target.target}"
        try:
            both.must_be_off(self.source, what)
        except (SiteUnreachable, NoSuchVm):
            if not _is_turned(self.target.now()):
                raise

    def _switches(self, sheet: Sheet) -> Mapping[str, str]:
        """Return the switches that the copy served on before, as it keeps them; else the one the inventory names."""
        kept = keepsake.of(sheet)
        known = {} if kept is None else (kept.serve or kept.nics)
        found = keepsake.on_adapters(sheet.switches(), known)
        network = self.legs.spec(self.target).network
        if any(found.values()) or not network:
            return found
        return dict.fromkeys(sheet.switches(), network)

    def _see_guest(self) -> Step:
        return see_guest(self.target, within_s=self.guest_within_s)


def see_guest(machine: Machine, *, within_s: float) -> Step:
    """Return the step that waits until the guest is seen alive."""
    from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.health import await_guest

    def act() -> None:
        sheet = machine.last()
        since_s = power.booted_at_s(sheet) or sheet.read_at_s  # crashes before this boot are another guest's
        wait = await_guest(machine.client, machine.vm(sheet), within_s=within_s, since_s=since_s)
        if wait.outcome is not GuestOutcome.ALIVE:
            raise ProviderFault(
                what=f"see the guest of {machine.target} alive",
                why=f"{wait.outcome} after {wait.took_s:.0f} s: {wait.evidence}",
                next=f"look at its console; if it still boots, {RUN_AGAIN}",
            )

    return machine.step(
        marks.GUEST_ALIVE,
        calls=[f"{machine.host}: Get-VM -Id '{machine.guid}' (Heartbeat), for up to {within_s:.0f} s"],
        is_done=power.is_guest_alive,
        act=act,
        next=f"look at its console; give it more time and {RUN_AGAIN}",
    )


def _has_left(sheet: Sheet) -> bool:
    """Tell whether a leg is no primary any more: the replication was turned, and this is what lies at the source."""
    return sheet.mode != PRIMARY


def _is_turned(sheet: Sheet) -> bool:
    return sheet.mode == PRIMARY and sheet.replication_state != PREPARED


def _is_left_half(sheet: Sheet) -> bool:
    """Tell whether a move away from this leg was begun and not turned: to come back is to take it back."""
    return stamps.MODE in sheet.stamps and sheet.mode == PRIMARY and sheet.replication_state == PREPARED


def _is_ready(here: Sheet, there: Sheet) -> bool:
    is_sent = here.replication_state in (REPLICATING, PREPARED)
    is_taken = there.mode == REPLICA and there.replication_state == REPLICATING
    return is_sent and is_taken and there.relation is not None and there.relation.last_at_s is not None


def _first(guard: Callable[[], None], act: Callable[[], None]) -> Callable[[], None]:
    def both_in_order() -> None:
        guard()
        act()

    return both_in_order
