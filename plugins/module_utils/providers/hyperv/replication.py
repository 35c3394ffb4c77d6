# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hyper-V Replica of a VM brought into a state: enabled, disabled, synced now, or reversed.

Reversed means: what the promoted copy writes goes to the other host. There the original becomes its replica, and what is on its
disks is overwritten: only when a person has accepted that. The order is Hyper-V's own: first the original gives up its role, then the
promoted copy takes it, then the differences between the disks travel. Every command is local to the host it is sent to.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.ferragosto.dr.plugins.module_utils.core import stamps
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import (
    DrError,
    NotReplicated,
    Refused,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.model import Pair
from ansible_collections.ferragosto.dr.plugins.module_utils.core.stamps import Phase
from ansible_collections.ferragosto.dr.plugins.module_utils.core.steps import Step
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import legs as both
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv import preflight_acts, turning, wire
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.acting import Machine
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.ends import Ends
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.legs import (
    PREPARED,
    PRIMARY,
    REPLICA,
    REPLICATING,
    WAITING_COMPLETION,
    Legs,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.preflight_acts import Terms
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.scripts import replication as scripts
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.hyperv.survey import NO_AUTOSTART, Sheet
from ansible_collections.ferragosto.dr.plugins.module_utils.providers.shared.line import AGAIN

SYNC_WITHIN_S = 4 * 3600.0  # the differences between two sets of disks are found by reading both
ENABLED, DISABLED, SYNCED, TURNED = "enabled", "disabled", "synced", "reversed"
_FLOWING = frozenset({REPLICATING, "Resynchronizing", "InitialReplicationInProgress"})


def set_replication(
    ends: Ends,
    pair: Pair,
    *,
    state: str,
    run_id: str,
    is_loss_accepted: bool,
    within_s: float = SYNC_WITHIN_S,
) -> Iterator[Step]:
    """Yield the steps. Refuses before the first of them where good data would be overwritten with bad."""
    if state not in (ENABLED, DISABLED, SYNCED, TURNED):
        raise NotReplicated(
            what=f"set the replication of {pair.name} to {state!r}",
            why="there is no such state",
            next=f"use one of {', '.join((ENABLED, DISABLED, SYNCED, TURNED))}",
        )
    change = _Change(Legs.of_pair(ends, pair), state=state, within_s=within_s)
    match state:
        case "disabled":
            yield from change.disable()
        case "enabled":
            yield from change.enable(is_loss_accepted)
        case "synced":
            yield from change.enable(is_loss_accepted)
            yield change.sync()
        case _:
            yield from change.reverse(is_loss_accepted)


class _Change:
    """``line`` is the promoted leg, None when there is none; an end that does not answer shows no sheet."""

    def __init__(self, legs: Legs, *, state: str, within_s: float) -> None:
        self.legs, self.within_s = legs, within_s
        self.what = f"set the replication of {legs.name} to {state}"
        self.sheets: dict[str, Sheet] = {}
        self.errors: dict[str, DrError] = {}
        for machine in (legs.home, legs.away):
            sheet, error = both.seen(machine)
            if sheet is not None:
                self.sheets[machine.host] = sheet
            if error is not None:
                self.errors[machine.host] = error
        self.line = legs.line(self.sheet(legs.home), self.sheet(legs.away))

    def sheet(self, machine: Machine) -> Sheet | None:
        return self.sheets.get(machine.host)

    def required(self, machine: Machine) -> Sheet:
        """Return what a leg showed; refuse where its host did not answer."""
        return self.sheet(machine) or both.required(machine, self.what)

    # --- before anything ----------------------------------------------------------------------------------------------

    def ends(self) -> tuple[Machine, Machine]:
        """Return the leg that sends and the one that receives, as things stand."""
        home, away = self.legs.home, self.legs.away
        if self.line is not None:
            return self.line, self.legs.other(self.line)
        shown = self.sheet(away)
        return (away, home) if shown is not None and shown.mode == PRIMARY else (home, away)

    def is_turned(self, line: Machine) -> bool:
        """Tell whether the original has given up its role already: the loss was accepted before."""
        sheets = self.sheet(line), self.sheet(self.legs.other(line))
        return (sheets[0] is not None and sheets[0].mode == PRIMARY) or (
            sheets[1] is not None and sheets[1].mode == REPLICA
        )

    def refuse_overwriting(self, is_loss_accepted: bool) -> None:
        """Raise where replicating would overwrite what must not be lost."""
        if self.line is self.legs.away and not self.is_turned(self.line) and not is_loss_accepted:
            raise Refused(
                what=f"replicate {self.legs.name} ({self.legs.home.guid})",
                why="it was promoted in place: a run in this direction overwrites the original's disks, the evidence of what"
                " happened",
                next="keep them another way first (a backup, an export), then say why it may be lost in"
                " dr_accept.original_overwritten",
            )
        home = self.sheet(self.legs.home)
        if self.line is None and home is not None and stamps.FENCED in home.stamps and home.mode == PRIMARY:
            raise Refused(
                what=f"replicate {self.legs.name} ({self.legs.home.guid})",
                why="its production copy is fenced: a run would overwrite the replica with what was fenced",
                next="undo or commit the run first",
            )

    def require_relation(self, machine: Machine, sheet: Sheet) -> None:
        if sheet.relation is None or sheet.mode not in (PRIMARY, REPLICA):
            raise NotReplicated(
                what=self.what,
                why=f"{machine.target} takes part in no replication (mode {sheet.mode})",
                next=f"enable it in Hyper-V Manager, or by Enable-VMReplication on {machine.host}; or cover it with a backup job",
            )

    # --- disabled -----------------------------------------------------------------------------------------------------

    def disable(self) -> Iterator[Step]:
        sender, receiver = self.ends()
        shown = self.sheet(sender)
        if shown is not None:
            self.require_relation(sender, shown)
            if shown.mode == PRIMARY:
                yield self._suspend(sender)
            return  # a copy that was failed over receives nothing, and sends nothing yet
        # What the silent host sends once it is back is refused by a replica that is suspended.
        self.require_relation(receiver, self.required(receiver))
        yield self._suspend(receiver)

    def _suspend(self, machine: Machine) -> Step:
        return both.step(
            machine,
            "suspend the replication",
            scripts.SUSPEND,
            is_done=lambda sheet: sheet.replication_state not in _FLOWING,
            next=f"suspend it by hand (Suspend-VMReplication on {machine.host}), {AGAIN}",
        )

    # --- enabled ------------------------------------------------------------------------------------------------------

    def enable(self, is_loss_accepted: bool) -> Iterator[Step]:
        self.refuse_overwriting(is_loss_accepted)
        sender, receiver = self.ends()
        shown = self.required(sender)
        self.require_relation(sender, shown)
        if self.line is not None and shown.mode != PRIMARY:
            # There is one direction only in which a promoted copy can be replicated.
            yield from self.reverse(is_loss_accepted)
            return
        if shown.mode != PRIMARY:
            raise NotReplicated(
                what=self.what,
                why=f"both {sender.target} and {receiver.target} take themselves for the replica",
                next=f"reverse it on the host whose copy is the good one (Set-VMReplication -Reverse), {AGAIN}",
            )
        other = self.required(receiver)
        self.require_relation(receiver, other)
        if other.replication_state in wire.FAILED_OVER:
            raise Refused(
                what=self.what,
                why=f"{receiver.target} is failed over ({other.replication_state}): it takes no data until that is settled",
                next=f"continue the run that failed it over; or take that back by Stop-VMFailover on {receiver.host}",
            )
        yield turning.take_back(sender)
        yield turning.resume(receiver, sender, only=frozenset({"Suspended"}))
        yield turning.resume(sender, receiver)
        yield turning.first_replication(sender)

    # --- reversed -----------------------------------------------------------------------------------------------------

    def reverse(self, is_loss_accepted: bool) -> Iterator[Step]:
        line = self.line
        if line is None:
            for machine in (self.legs.home, self.legs.away):
                self.required(machine)
            raise Refused(
                what=f"reverse the replication of {self.legs.name}",
                why="no copy of it is promoted",
                next="read the site again with the assess playbook",
            )
        self.refuse_overwriting(is_loss_accepted)
        other = self.legs.other(line)
        shown = self.required(line)
        if self._is_moving(line, shown):
            return  # all that was written has travelled; nothing serves until the move is continued
        there = self.required(other)
        self.require_relation(line, shown)
        self.require_relation(other, there)
        if shown.mode == PRIMARY and there.mode == REPLICA:
            yield turning.take_back(line)
            yield turning.resume(other, line, only=frozenset({"Suspended"}))
            if stamps.MODE in there.stamps:  # its host was silent when the line left it
                yield from turning.rest(other, shown.stamps.get(stamps.RUN, ""))
        else:
            yield from self._turn(line, other, shown, there)
        yield turning.first_replication(line)
        yield self.sync(is_first=True)

    def _is_moving(self, line: Machine, shown: Sheet) -> bool:
        """Tell whether a way home was cut off after its last log was sent."""
        is_on_its_way = shown.stamps.get(stamps.PHASE) == Phase.MIGRATING
        return is_on_its_way and (line is self.legs.home or shown.replication_state == PREPARED)

    def _turn(self, line: Machine, other: Machine, shown: Sheet, there: Sheet) -> Iterator[Step]:
        """Yield the steps from a promoted replica and its original to a primary and its replica."""
        if shown.mode == REPLICA and shown.replication_state not in wire.FAILED_OVER:
            raise Refused(
                what=self.what,
                why=f"{line.target} is not failed over ({shown.replication_state})",
                next="continue or undo the run that promotes it first",
            )
        # J. Savill, Mastering Windows Server 2016 Hyper-V; unverified on Windows
        for machine, sheet in ((line, shown), (other, there)):
            if sheet.relation is not None and sheet.relation.has_extended:
                raise Refused(
                    what=self.what,
                    why=f"{machine.target} has an extended replica at a third host, and a VM has one replica only",
                    next=f"remove the extended replication on {machine.host} (Hyper-V Manager), {AGAIN}; or stay, with that"
                    " one as its protection",
                )
        is_planned = there.replication_state == PREPARED  # of a move that was cut off: the last log has arrived here
        if there.mode != REPLICA:
            both.refuse_running(other, there, self.what)
            if stamps.FENCED not in there.stamps:
                raise Refused(
                    what=self.what,
                    why=f"{other.target} is not fenced: it could be started while it becomes the replica",
                    next=f"fence it (module vm_fence), {AGAIN}",
                )
        terms = preflight_acts.terms(
            self.legs, line, other, authentication=_authentication(shown, there), what=self.what
        )
        if not is_planned:
            yield self._keep_still(other)
            yield self._give_up(other, terms)
            yield self._complete(line)
        yield turning.turn(line, other, terms)

    def _keep_still(self, machine: Machine) -> Step:
        """A saved state belongs to disks that are about to change."""
        return both.step(
            machine,
            "keep the original still",
            scripts.KEEP_STILL,
            is_done=lambda sheet: sheet.state != "Saved" and sheet.autostart == NO_AUTOSTART,
            next=f"turn {machine.target} off, delete its saved state, set its automatic start action to Nothing, {AGAIN}",
        )

    def _give_up(self, machine: Machine, terms: Terms) -> Step:
        script, values = terms.as_replica()
        return both.step(
            machine,
            "make the original a replica",
            script,
            is_done=lambda sheet: sheet.mode == REPLICA,
            guard=lambda: both.must_be_off(machine, f"make {machine.target} a replica", sheet=machine.last()),
            next=f"by hand on {machine.host}: Set-VMReplication -AsReplica (PowerShell only), {AGAIN}",
            **values,
        )

    def _complete(self, machine: Machine) -> Step:
        return both.step(
            machine,
            "complete the failover",
            scripts.COMPLETE,
            is_done=lambda sheet: sheet.mode == PRIMARY or sheet.replication_state != WAITING_COMPLETION,
            next=f"by hand on {machine.host}: Complete-VMFailover, {AGAIN}",
        )

    # --- in sync ------------------------------------------------------------------------------------------------------

    def sync(self, *, is_first: bool = False) -> Step:
        sender, receiver = self.ends()
        return turning.sync(sender, receiver, within_s=self.within_s, is_first=is_first)


def _authentication(shown: Sheet, there: Sheet) -> str:
    for sheet in (shown, there):
        if sheet.relation is not None and sheet.relation.authentication:
            return sheet.relation.authentication
    return preflight_acts.KERBEROS
